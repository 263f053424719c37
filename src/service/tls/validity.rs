//! The time of a certificate, read off its DER (RFC 5280 section 4.1): a server whose certificate's time is over would
//! serve nobody, and the clients' words for that are not kind.

use std::ops::Range;

use time::{Date, Month, PrimitiveDateTime, Time};

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
/// The version of a certificate, which the first one had not.
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// When a certificate is valid, in seconds since 1970; nothing where it cannot be told.
pub(super) fn of(certificate: &[u8]) -> Option<Range<i64>> {
    let (whole, _) = expect(SEQUENCE, certificate)?;
    let (mut rest, _) = expect(SEQUENCE, whole)?;
    if let Some((_, after)) = expect(VERSION, rest) {
        rest = after;
    }
    // The serial number, the algorithm and the issuer.
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        rest = expect(tag, rest)?.1;
    }
    let (validity, _) = expect(SEQUENCE, rest)?;
    let (from, rest) = moment(validity)?;
    let (until, _) = moment(rest)?;
    Some(from..until)
}

/// The content of the first element, if it has this tag, and what follows it.
fn expect(tag: u8, input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(input)?;
    (found == tag).then_some((content, rest))
}

/// The first element: its tag, its content, and what follows it.
fn element(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = input.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // The number of bytes that tell the length; no certificate needs more than four.
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// A point in time, and what follows it.
fn moment(input: &[u8]) -> Option<(i64, &[u8])> {
    let (tag, content, rest) = element(input)?;
    let digits = std::str::from_utf8(content).ok()?.strip_suffix('Z')?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, digits) = match (tag, digits.len()) {
        (UTC_TIME, 12) => {
            let year: i32 = digits[..2].parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, &digits[2..])
        }
        (GENERALIZED_TIME, 14) => (digits[..4].parse().ok()?, &digits[4..]),
        _ => return None,
    };
    let two = |at: usize| digits[2 * at..2 * at + 2].parse::<u8>().ok();
    let date = Date::from_calendar_date(year, Month::try_from(two(0)?).ok()?, two(1)?).ok()?;
    let time = Time::from_hms(two(2)?, two(3)?, two(4)?).ok()?;
    Some((PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp(), rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![tag];
        match content.len() {
            length @ 0..0x80 => bytes.push(length as u8),
            length => bytes.extend([0x82, (length >> 8) as u8, length as u8]),
        }
        bytes.extend(content);
        bytes
    }

    fn certificate(version: bool, times: &[Vec<u8>]) -> Vec<u8> {
        let mut parts = if version { wrap(VERSION, &wrap(INTEGER, &[2])) } else { Vec::new() };
        parts.extend(wrap(INTEGER, &[1, 2, 3]));
        parts.extend(wrap(SEQUENCE, &[5; 11]));
        parts.extend(wrap(SEQUENCE, &[5; 300]));
        parts.extend(wrap(SEQUENCE, &times.concat()));
        wrap(SEQUENCE, &wrap(SEQUENCE, &parts))
    }

    #[test]
    fn both_forms_of_time_are_read() {
        let times = [wrap(UTC_TIME, b"260101000000Z"), wrap(GENERALIZED_TIME, b"20500101000001Z")];
        for version in [true, false] {
            assert_eq!(of(&certificate(version, &times)), Some(1_767_225_600..2_524_608_001));
        }
        let old = [wrap(UTC_TIME, b"700101000000Z"), wrap(UTC_TIME, b"991231235959Z")];
        assert_eq!(of(&certificate(true, &old)), Some(0..946_684_799));
    }

    #[test]
    fn what_is_no_time_is_not_made_up() {
        for wrong in [&b"260101000000"[..], b"261301000000Z", b"26010100000xZ", b"Z", b""] {
            let times = [wrap(UTC_TIME, wrong), wrap(UTC_TIME, b"260101000000Z")];
            assert_eq!(of(&certificate(true, &times)), None, "{wrong:?}");
        }
        assert_eq!(of(&[SEQUENCE, 0x85, 0, 0, 0, 0, 1]), None);
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            of(&bytes);
            of(&wrap(SEQUENCE, &wrap(SEQUENCE, &bytes)));
        }
    }
}
