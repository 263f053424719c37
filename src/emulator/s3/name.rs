//! Object keys as file paths, one to one.
//!
//! A key may be any UTF-8 text up to 1,024 bytes; a path may not. So each of the key's segments (between slashes) is
//! written in `a-z 0-9 _ - .`, every other byte as `%xx`: capitals too, for file systems that do not tell them from
//! small letters. Three marks, none of which that alphabet holds, keep the rest apart:
//!
//! - `=` ends the name of an object, so that the object `a` (file `a=`) and the prefix `a/` (directory `a`) can both be;
//! - `+` ends a piece of a segment too long for one file name, whose rest is in the directory below;
//! - `%` alone is an empty segment, as in `a//b` or `a/`.
//!
//! A dot that begins a name is written `%2e`, so that no name is `.`, `..` or hidden.

use std::path::{Path, PathBuf};

/// Bytes of a file name, marks not counted. File systems take 255.
const NAME: usize = 240;

/// The path of the object `key` below `root`.
pub(super) fn path_of(root: &Path, key: &str) -> PathBuf {
    let mut path = root.to_path_buf();
    let mut segments = key.split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        push_segment(&mut path, segment, if last { "=" } else { "" });
    }
    path
}

fn push_segment(path: &mut PathBuf, segment: &str, mark: &str) {
    let mut name = String::with_capacity(segment.len() + 1);
    for byte in segment.bytes() {
        let plain = matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-') || (byte == b'.' && !name.is_empty());
        if name.len() + if plain { 1 } else { 3 } > NAME {
            name.push('+');
            path.push(&name);
            name.clear();
            // The dot rule is for the name, not for the segment.
            push_byte(&mut name, byte, plain && byte != b'.');
        } else {
            push_byte(&mut name, byte, plain);
        }
    }
    if name.is_empty() {
        name.push('%');
    }
    name.push_str(mark);
    path.push(name);
}

fn push_byte(name: &mut String, byte: u8, plain: bool) {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    if plain {
        name.push(char::from(byte));
    } else {
        name.extend(['%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}

/// What one directory entry adds to the key whose beginning the directories above it spell.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// A directory; the bytes to add, the slash included when the segment ends here.
    Directory(Vec<u8>),
    /// An object; the key's last bytes.
    Object(Vec<u8>),
}

/// Reads a name that [`path_of`] wrote; `None` for any other file.
pub(super) fn read_name(name: &str) -> Option<Entry> {
    if let Some(rest) = name.strip_suffix('=') {
        return decode(rest).map(Entry::Object);
    }
    if let Some(rest) = name.strip_suffix('+') {
        return decode(rest).map(Entry::Directory);
    }
    let mut bytes = decode(name)?;
    bytes.push(b'/');
    Some(Entry::Directory(bytes))
}

fn decode(name: &str) -> Option<Vec<u8>> {
    if name == "%" {
        return Some(Vec::new());
    }
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                bytes.push(u8::try_from(high * 16 + low).ok()?);
            }
            b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' => bytes.push(byte),
            _ => return None,
        }
    }
    (!bytes.is_empty()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads a path back as a walk over the directories would.
    fn key_of(path: &Path) -> Option<String> {
        let mut key = Vec::new();
        let mut parts = path.components().peekable();
        while let Some(part) = parts.next() {
            match (read_name(part.as_os_str().to_str()?)?, parts.peek().is_none()) {
                (Entry::Directory(bytes), false) | (Entry::Object(bytes), true) => key.extend(bytes),
                _ => return None,
            }
        }
        String::from_utf8(key).ok()
    }

    #[test]
    fn paths_are_what_the_module_says() {
        let path = |key| path_of(Path::new(""), key).to_str().unwrap().to_owned();
        assert_eq!(path("a/outputs.pb"), "a/outputs.pb=");
        assert_eq!(path("a"), "a=");
        assert_eq!(path("a/"), "a/%=");
        assert_eq!(path("a//b"), "a/%/b=");
        assert_eq!(path("../x"), "%2e./x=");
        assert_eq!(path("A b"), "%41%20b=");
        assert!(path(&"x".repeat(500)).split('/').all(|name| name.len() <= 255));
    }

    #[test]
    fn a_dot_at_the_seam_of_a_long_segment_is_no_parent_directory() {
        let key = format!("{}../tail", "x".repeat(NAME));
        let path = path_of(Path::new(""), &key);
        assert!(path.components().all(|part| matches!(part, std::path::Component::Normal(_))), "{path:?}");
        assert_eq!(key_of(&path), Some(key));
    }

    proptest! {
        #[test]
        fn every_key_survives_its_path(key in "(?s).{1,300}") {
            prop_assert_eq!(key_of(&path_of(Path::new(""), &key)), Some(key));
        }

        #[test]
        fn keys_made_of_hard_pieces_survive(parts in prop::collection::vec(
            prop_oneof![Just("/"), Just("."), Just(".."), Just("="), Just("+"), Just("%"), Just("é"), Just("a"), Just("A")], 1..600
        )) {
            let key = parts.concat();
            let path = path_of(Path::new(""), &key);
            prop_assert!(path.components().all(|part| part.as_os_str().len() <= 255));
            prop_assert_eq!(key_of(&path), Some(key));
        }
    }
}
