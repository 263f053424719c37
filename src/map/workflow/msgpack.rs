//! A view into MessagePack: enough to find one value within another, and to cut it out as it stands.
//!
//! flytekit writes dataclasses, pydantic models and untyped dictionaries so. An attribute of one is handed on in
//! MessagePack too, so that nothing is ever decoded here or written anew: what comes out is a stretch of what came in.

/// What to look for: a key of a map, or a place in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key<'a> {
    /// A key that is a string.
    Name(&'a str),
    /// A key that is a number, or a place in a list; negative ones count from its end.
    Number(i64),
}

/// What a value is, as far as is needed to pass it.
enum Head<'a> {
    Integer(i128),
    Text(&'a [u8]),
    Array(usize),
    Map(usize),
    Other,
}

/// The value of `key` within the one value that `bytes` is.
///
/// # Errors
/// When there is none, or the bytes are no MessagePack; in words.
pub(super) fn get<'a>(bytes: &'a [u8], key: Key<'_>) -> Result<&'a [u8], String> {
    let damaged = || "the value is no whole MessagePack".to_owned();
    let (head, mut at) = read(bytes, 0).ok_or_else(damaged)?;
    match (head, key) {
        (Head::Map(pairs), _) => {
            for _ in 0..pairs {
                let (name, _) = read(bytes, at).ok_or_else(damaged)?;
                let value = skip(bytes, at).ok_or_else(damaged)?;
                at = skip(bytes, value).ok_or_else(damaged)?;
                if is(&name, key) {
                    return Ok(&bytes[value..at]);
                }
            }
            Err("it has no such key".to_owned())
        }
        (Head::Array(length), Key::Number(index)) => {
            let index = place(index, length)?;
            for _ in 0..index {
                at = skip(bytes, at).ok_or_else(damaged)?;
            }
            let end = skip(bytes, at).ok_or_else(damaged)?;
            Ok(&bytes[at..end])
        }
        (Head::Array(_), Key::Name(_)) => Err("it is a list, and a list has places, no names".to_owned()),
        _ => Err("it is neither a list nor has it keys".to_owned()),
    }
}

/// A value that has no parts.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Plain {
    None,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    /// Nanoseconds since 1970. MessagePack has none.
    Datetime(i128),
    /// Nanoseconds. MessagePack has none.
    Duration(i128),
}

/// The plain value that `bytes` is; nothing where it has parts, or is of a kind that no condition knows.
pub(super) fn plain(bytes: &[u8]) -> Option<Plain> {
    let (head, _) = read(bytes, 0)?;
    match (head, *bytes.first()?) {
        (Head::Integer(number), _) => i64::try_from(number).ok().map(Plain::Integer),
        (Head::Text(text), _) => std::str::from_utf8(text).ok().map(|text| Plain::Text(text.to_owned())),
        (Head::Other, 0xc0) => Some(Plain::None),
        (Head::Other, 0xc2) => Some(Plain::Boolean(false)),
        (Head::Other, 0xc3) => Some(Plain::Boolean(true)),
        (Head::Other, 0xca) => Some(Plain::Float(f64::from(f32::from_be_bytes(bytes.get(1..5)?.try_into().ok()?)))),
        (Head::Other, 0xcb) => Some(Plain::Float(f64::from_be_bytes(bytes.get(1..9)?.try_into().ok()?))),
        _ => None,
    }
}

/// The elements of the list that `bytes` is; nothing where it is none.
pub(super) fn elements(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let (Head::Array(length), mut at) = read(bytes, 0)? else { return None };
    let mut elements = Vec::new();
    for _ in 0..length {
        let end = skip(bytes, at)?;
        elements.push(&bytes[at..end]);
        at = end;
    }
    Some(elements)
}

/// The place `index` of a list of `length`, counted from its end when negative.
pub(super) fn place(index: i64, length: usize) -> Result<usize, String> {
    let from_end = if index < 0 { i64::try_from(length).unwrap_or(i64::MAX) } else { 0 };
    let place = index.checked_add(from_end).and_then(|place| usize::try_from(place).ok());
    place.filter(|place| *place < length).ok_or_else(|| format!("it has {length} elements"))
}

fn is(head: &Head<'_>, key: Key<'_>) -> bool {
    match (head, key) {
        (Head::Text(text), Key::Name(name)) => *text == name.as_bytes(),
        (Head::Integer(number), Key::Number(wanted)) => *number == i128::from(wanted),
        _ => false,
    }
}

/// Where the value at `at` ends, all that is within it included. No recursion: a value may nest as deep as it is long.
fn skip(bytes: &[u8], mut at: usize) -> Option<usize> {
    let mut left = 1_usize;
    while left > 0 {
        let (head, next) = read(bytes, at)?;
        at = next;
        let within = match head {
            Head::Array(length) => length,
            Head::Map(pairs) => pairs.checked_mul(2)?,
            _ => 0,
        };
        left = (left - 1).checked_add(within)?;
    }
    Some(at)
}

/// The value at `at`, and where what follows its head begins: its first element, or the next value.
fn read(bytes: &[u8], at: usize) -> Option<(Head<'_>, usize)> {
    let marker = *bytes.get(at)?;
    let at = at + 1;
    let small = |mask: u8| usize::from(marker & mask);
    Some(match marker {
        0x00..=0x7f => (Head::Integer(i128::from(marker)), at),
        0xe0..=0xff => (Head::Integer(i128::from(marker as i8)), at),
        0x80..=0x8f => (Head::Map(small(0x0f)), at),
        0x90..=0x9f => (Head::Array(small(0x0f)), at),
        0xa0..=0xbf => text(bytes, at, small(0x1f))?,
        0xc0 | 0xc2 | 0xc3 => (Head::Other, at),
        0xc4..=0xc6 => sized(bytes, at, 1 << (marker - 0xc4), 0)?,
        0xc7..=0xc9 => sized(bytes, at, 1 << (marker - 0xc7), 1)?,
        0xca => (Head::Other, pass(bytes, at, 4)?),
        0xcb => (Head::Other, pass(bytes, at, 8)?),
        0xcc..=0xcf => {
            let (number, next) = number(bytes, at, 1 << (marker - 0xcc))?;
            (Head::Integer(i128::from(number)), next)
        }
        0xd0..=0xd3 => {
            let width = 1 << (marker - 0xd0);
            let (number, next) = number(bytes, at, width)?;
            let unused = 64 - 8 * width;
            (Head::Integer(i128::from((number << unused) as i64 >> unused)), next)
        }
        0xd4..=0xd8 => (Head::Other, pass(bytes, at, 1 + (1 << (marker - 0xd4)))?),
        0xd9..=0xdb => {
            let (length, next) = length(bytes, at, 1 << (marker - 0xd9))?;
            text(bytes, next, length)?
        }
        0xdc | 0xdd => {
            let (length, next) = length(bytes, at, 2 << (marker - 0xdc))?;
            (Head::Array(length), next)
        }
        0xde | 0xdf => {
            let (pairs, next) = length(bytes, at, 2 << (marker - 0xde))?;
            (Head::Map(pairs), next)
        }
        // The one marker that MessagePack never uses.
        0xc1 => return None,
    })
}

fn number(bytes: &[u8], at: usize, width: usize) -> Option<(u64, usize)> {
    let end = pass(bytes, at, width)?;
    Some((bytes[at..end].iter().fold(0, |number, byte| (number << 8) | u64::from(*byte)), end))
}

fn length(bytes: &[u8], at: usize, width: usize) -> Option<(usize, usize)> {
    let (length, next) = number(bytes, at, width)?;
    Some((usize::try_from(length).ok()?, next))
}

fn text(bytes: &[u8], at: usize, length: usize) -> Option<(Head<'_>, usize)> {
    let end = pass(bytes, at, length)?;
    Some((Head::Text(&bytes[at..end]), end))
}

/// Bytes behind a length of `width` bytes, and `more` that it does not count.
fn sized(bytes: &[u8], at: usize, width: usize, more: usize) -> Option<(Head<'_>, usize)> {
    let (length, next) = length(bytes, at, width)?;
    Some((Head::Other, pass(bytes, next, length.checked_add(more)?)?))
}

fn pass(bytes: &[u8], at: usize, count: usize) -> Option<usize> {
    at.checked_add(count).filter(|end| *end <= bytes.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As Python's msgpack writes `{"a": [1, -2, 300, -40000, 2**63], "b": {"c": "x" * 40}, 7: None, "d": 1.5, "e": b"yz"}`.
    fn sample() -> Vec<u8> {
        let mut bytes = vec![0x85, 0xa1, b'a', 0x95, 0x01, 0xfe, 0xcd, 0x01, 0x2c, 0xd2, 0xff, 0xff, 0x63, 0xc0];
        bytes.extend([0xcf, 0x80, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend([0xa1, b'b', 0x81, 0xa1, b'c', 0xd9, 40]);
        bytes.extend([b'x'; 40]);
        bytes.extend([0x07, 0xc0, 0xa1, b'd', 0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0, 0xa1, b'e', 0xc4, 2, b'y', b'z']);
        bytes
    }

    #[test]
    fn a_value_is_cut_out_as_it_stands() {
        let bytes = sample();
        let list = get(&bytes, Key::Name("a")).unwrap();
        assert_eq!(list.len(), 20);
        assert_eq!(get(list, Key::Number(0)), Ok(&[0x01][..]));
        assert_eq!(get(list, Key::Number(1)), Ok(&[0xfe][..]));
        assert_eq!(get(list, Key::Number(-5)), Ok(&[0x01][..]));
        assert_eq!(get(list, Key::Number(-1)).map(<[u8]>::len), Ok(9));
        let inner = get(&bytes, Key::Name("b")).unwrap();
        assert_eq!(get(inner, Key::Name("c")).map(<[u8]>::len), Ok(42));
        assert_eq!(get(&bytes, Key::Number(7)), Ok(&[0xc0][..]));
        assert_eq!(get(&bytes, Key::Name("d")).map(<[u8]>::len), Ok(9));
        assert_eq!(get(&bytes, Key::Name("e")), Ok(&[0xc4, 2, b'y', b'z'][..]));
    }

    #[test]
    fn keys_that_are_numbers_are_found_however_they_are_written() {
        // {-3: 1, 300: 2, -40000: 3} with the widest integers there are.
        let mut bytes = vec![0x83, 0xd3];
        bytes.extend((-3_i64).to_be_bytes());
        bytes.extend([1, 0xcf]);
        bytes.extend(300_u64.to_be_bytes());
        bytes.extend([2, 0xd2]);
        bytes.extend((-40_000_i32).to_be_bytes());
        bytes.push(3);
        for (key, value) in [(-3, 1), (300, 2), (-40_000, 3)] {
            assert_eq!(get(&bytes, Key::Number(key)), Ok(&[value][..]));
        }
    }

    #[test]
    fn what_is_not_there_is_told() {
        let bytes = sample();
        assert!(get(&bytes, Key::Name("z")).unwrap_err().contains("no such key"));
        let list = get(&bytes, Key::Name("a")).unwrap();
        assert!(get(list, Key::Number(5)).unwrap_err().contains("5 elements"));
        assert!(get(list, Key::Number(-6)).unwrap_err().contains("5 elements"));
        assert!(get(list, Key::Name("x")).unwrap_err().contains("list"));
        assert!(get(&[0x01], Key::Number(0)).unwrap_err().contains("neither"));
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        for bytes in [
            &[][..],
            &[0xc1],
            &[0xdf, 0xff, 0xff, 0xff, 0xff],
            &[0xdd, 0xff, 0xff, 0xff, 0xff, 0x01],
            &[0x81, 0xdb, 0xff, 0xff, 0xff, 0xff],
            &[0x81, 0xa1],
        ] {
            assert!(get(bytes, Key::Number(3)).is_err(), "{bytes:x?}");
        }
        // A list within a list, 100,000 deep: passed without recursion.
        let mut deep = vec![0x92];
        deep.extend(vec![0x91; 100_000]);
        deep.extend([0xc0, 0x05]);
        assert_eq!(get(&deep, Key::Number(1)), Ok(&[0x05][..]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64), index in -4_i64..4) {
            let _ = get(&bytes, Key::Number(index));
            if let Ok(found) = get(&bytes, Key::Name("a")) {
                prop_assert!(!found.is_empty());
            }
        }
    }
}
