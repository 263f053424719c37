//! Points in time and durations between protobuf's messages and their texts.

use prost_types::{Duration, Timestamp};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Seconds a protobuf duration may hold: about 10,000 years.
const MAX_SECONDS: i64 = 315_576_000_000;
const NANOS: i64 = 1_000_000_000;

/// Reads an RFC 3339 point in time.
///
/// # Errors
/// When the text is none, or has no offset from UTC; or the year is 0, which protobuf cannot hold.
pub(super) fn parse_datetime(text: &str) -> Result<Timestamp, String> {
    let parsed = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| {
        format!("{text:?} is no RFC 3339 time; write it like 2026-01-31T12:00:00Z, with Z or an offset")
    })?;
    let seconds = parsed.unix_timestamp();
    // 0001-01-01T00:00:00Z to 9999-12-31T23:59:59Z: what protobuf allows.
    if !(-62_135_596_800..=253_402_300_799).contains(&seconds) {
        return Err(format!("{text:?} is outside the years 1 to 9999"));
    }
    Ok(Timestamp { seconds, nanos: i32::try_from(parsed.nanosecond()).unwrap_or_default() })
}

/// Writes a point in time as RFC 3339 in UTC; `None` for one outside the years that it can express.
pub(super) fn format_datetime(timestamp: &Timestamp) -> Option<String> {
    let nanos = i128::from(timestamp.seconds) * i128::from(NANOS) + i128::from(timestamp.nanos);
    OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?.format(&Rfc3339).ok()
}

/// Reads a duration: seconds as protobuf's JSON form writes them (`300s`, `-1.5s`, also without the `s`), or units as
/// people do (`5m`, `1h 30m`).
///
/// # Errors
/// When the text is neither, or beyond protobuf's range.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    if let Some(duration) = decimal_seconds(text.strip_suffix('s').unwrap_or(text)) {
        return in_range(duration, text);
    }
    let parsed = humantime::parse_duration(text)
        .map_err(|error| format!("{text:?} is no duration ({error}); write it like 300s, 5m or 1h 30m"))?;
    let seconds = i64::try_from(parsed.as_secs()).map_err(|_| out_of_range(text))?;
    in_range(Duration { seconds, nanos: i32::try_from(parsed.subsec_nanos()).unwrap_or_default() }, text)
}

/// A duration of `seconds`, to the nearest nanosecond.
///
/// # Errors
/// When it is beyond protobuf's range, or not a number.
pub(super) fn duration_of_seconds(seconds: f64) -> Result<Duration, String> {
    if seconds.is_nan() || seconds.abs() > MAX_SECONDS as f64 {
        return Err(out_of_range(&seconds.to_string()));
    }
    let nanos = (seconds.fract() * NANOS as f64).round() as i64;
    let duration = Duration { seconds: seconds.trunc() as i64 + nanos / NANOS, nanos: (nanos % NANOS) as i32 };
    in_range(duration, &seconds.to_string())
}

/// Writes a duration as protobuf's JSON form does: `300s`, `-1.5s`.
pub(super) fn format_duration(duration: &Duration) -> String {
    let total = i128::from(duration.seconds) * i128::from(NANOS) + i128::from(duration.nanos);
    let sign = if total < 0 { "-" } else { "" };
    let (seconds, nanos) = (total.unsigned_abs() / NANOS as u128, total.unsigned_abs() % NANOS as u128);
    if nanos == 0 {
        return format!("{sign}{seconds}s");
    }
    format!("{sign}{seconds}.{}s", format!("{nanos:09}").trim_end_matches('0'))
}

/// Exact, unlike a float: digits with up to nine after the point.
fn decimal_seconds(text: &str) -> Option<Duration> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let numeric = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !numeric(whole) || !numeric(fraction) || fraction.len() > 9 {
        return None;
    }
    let sign = if negative { -1 } else { 1 };
    let seconds = whole.parse::<i64>().ok()?;
    let nanos = format!("{fraction:0<9}").parse::<i32>().ok()?;
    Some(Duration { seconds: sign * seconds, nanos: sign as i32 * nanos })
}

fn in_range(duration: Duration, text: &str) -> Result<Duration, String> {
    let limit = MAX_SECONDS - i64::from(duration.nanos != 0);
    if (-limit..=limit).contains(&duration.seconds) { Ok(duration) } else { Err(out_of_range(text)) }
}

fn out_of_range(text: &str) -> String {
    format!("{text} is no duration within {MAX_SECONDS} seconds either way")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_in_every_form() {
        for (text, seconds, nanos) in [
            ("300s", 300, 0),
            ("300", 300, 0),
            ("5m", 300, 0),
            ("1h 30m", 5400, 0),
            ("1.5s", 1, 500_000_000),
            ("-1.5s", -1, -500_000_000),
            ("-0.25s", 0, -250_000_000),
            ("250ms", 0, 250_000_000),
            ("315576000000s", 315_576_000_000, 0),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration { seconds, nanos }), "{text}");
        }
        for text in
            ["", "s", "five", "1.0000000001s", "315576000001s", "315576000000.5s", "99999999999999999999s", "--1s"]
        {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn seconds_as_numbers() {
        assert_eq!(duration_of_seconds(1.5), Ok(Duration { seconds: 1, nanos: 500_000_000 }));
        assert_eq!(duration_of_seconds(-0.1), Ok(Duration { seconds: 0, nanos: -100_000_000 }));
        assert_eq!(duration_of_seconds(0.999_999_999_9), Ok(Duration { seconds: 1, nanos: 0 }));
        for bad in [f64::NAN, f64::INFINITY, 1e300, -4e11] {
            assert!(duration_of_seconds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times() {
        for (text, again) in [
            ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"),
            ("2026-01-31T12:00:00.25+02:00", "2026-01-31T10:00:00.25Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
            ("1969-12-31T23:59:59.999999999Z", "1969-12-31T23:59:59.999999999Z"),
        ] {
            assert_eq!(format_datetime(&parse_datetime(text).unwrap()).as_deref(), Some(again), "{text}");
        }
        for text in ["2026-01-31", "2026-01-31T12:00:00", "0000-12-31T00:00:00Z", "2026-02-30T00:00:00Z", "now"] {
            assert!(parse_datetime(text).is_err(), "{text}");
        }
        assert_eq!(format_datetime(&Timestamp { seconds: i64::MAX, nanos: 0 }), None);
    }

    proptest! {
        #[test]
        fn a_duration_survives_its_text(seconds in 0..MAX_SECONDS, nanos in 0..1_000_000_000_i32, negative: bool) {
            let sign = if negative { -1 } else { 1 };
            let duration = Duration { seconds: seconds * i64::from(sign), nanos: nanos * sign };
            prop_assert_eq!(parse_duration(&format_duration(&duration)), Ok(duration));
        }
    }
}
