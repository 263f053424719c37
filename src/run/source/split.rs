//! Cutting a JSON array or JSON lines into the texts of their elements, one at a time, without parsing them.
//!
//! `serde_json` reads an array element by element too, but says neither on which line each begins nor how long it is,
//! and gives up at the first bad one. Here a bad element is one fault, and the next is read.

use std::io::{self, BufRead};

/// The longest text of one element. A pack holds less; this only keeps a file without line breaks out of memory.
pub(super) const MAX_ELEMENT_BYTES: usize = 64 << 20;

/// How elements are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// One JSON value a line; empty lines are skipped.
    Lines,
    /// One JSON array.
    Array,
}

impl Format {
    /// The format that a file's name settles; for others, the first byte does.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
        matches!(extension.as_deref(), Some("jsonl" | "ndjson")).then_some(Format::Lines)
    }
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// An element's text is in [`Splitter::text`].
    Element {
        /// Where it begins, from 1.
        line: u64,
    },
    /// An element that is longer than [`MAX_ELEMENT_BYTES`], skipped.
    TooLong {
        /// Where it begins.
        line: u64,
    },
    /// There are no more.
    End,
    /// The list itself is broken: nothing after this can be read.
    Broken {
        /// Where.
        line: u64,
        /// What is wrong.
        problem: &'static str,
    },
}

/// Cuts what `reader` reads.
pub(super) struct Splitter<R> {
    reader: R,
    format: Option<Format>,
    line: u64,
    text: Vec<u8>,
    /// Where the element in `text` begins.
    began: u64,
    started: bool,
    any: bool,
}

impl<R: BufRead> Splitter<R> {
    /// A splitter; without a format, `[` as the first byte means an array, anything else lines.
    pub(super) fn new(reader: R, format: Option<Format>) -> Self {
        Splitter { reader, format, line: 1, text: Vec::new(), began: 1, started: false, any: false }
    }

    /// The text of the element last told of.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Goes on to the next element.
    pub(super) fn next(&mut self) -> io::Result<Next> {
        if !self.started {
            self.started = true;
            if let Some(broken) = self.start()? {
                return Ok(broken);
            }
        }
        match self.format {
            Some(Format::Array) => self.next_in_array(),
            _ => self.next_line(),
        }
    }

    /// Skips a byte order mark and, unless the format is known to be lines, the way to the first byte.
    fn start(&mut self) -> io::Result<Option<Next>> {
        const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
        if self.reader.fill_buf()?.starts_with(BYTE_ORDER_MARK) {
            self.reader.consume(BYTE_ORDER_MARK.len());
        }
        if self.format == Some(Format::Lines) {
            return Ok(None);
        }
        let first = self.skip_space()?;
        if first == Some(b'[') {
            self.reader.consume(1);
            self.format = Some(Format::Array);
        } else if self.format.is_none() {
            self.format = Some(Format::Lines);
        } else {
            return Ok(Some(Next::Broken { line: self.line, problem: "a JSON array begins with [" }));
        }
        Ok(None)
    }

    /// Skips white space and returns the byte after it, not consumed.
    fn skip_space(&mut self) -> io::Result<Option<u8>> {
        loop {
            let chunk = self.reader.fill_buf()?;
            let space = chunk.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(chunk.len());
            self.line += chunk[..space].iter().filter(|b| **b == b'\n').count() as u64;
            let (first, end) = (chunk.get(space).copied(), chunk.is_empty());
            self.reader.consume(space);
            if first.is_some() || end {
                return Ok(first);
            }
        }
    }

    fn next_line(&mut self) -> io::Result<Next> {
        loop {
            self.text.clear();
            let mut length = 0;
            let mut ended = false;
            while !ended {
                let chunk = self.reader.fill_buf()?;
                if chunk.is_empty() {
                    break;
                }
                let end = chunk.iter().position(|b| *b == b'\n');
                let part = end.unwrap_or(chunk.len());
                append(&mut self.text, &mut length, &chunk[..part]);
                ended = end.is_some();
                self.reader.consume(part + usize::from(ended));
            }
            if !ended && length == 0 {
                return Ok(Next::End);
            }
            let line = self.line;
            self.line += u64::from(ended);
            if length > MAX_ELEMENT_BYTES {
                return Ok(Next::TooLong { line });
            }
            if !self.text.trim_ascii().is_empty() {
                return Ok(Next::Element { line });
            }
        }
    }

    fn next_in_array(&mut self) -> io::Result<Next> {
        self.text.clear();
        self.skip_space()?;
        self.began = self.line;
        let mut length = 0;
        let mut scan = Scan::default();
        let end = loop {
            let chunk = self.reader.fill_buf()?;
            if chunk.is_empty() {
                return Ok(Next::Broken { line: self.line, problem: "the array is not closed" });
            }
            let end = chunk.iter().position(|b| scan.ends_at(*b));
            let part = end.unwrap_or(chunk.len());
            let byte = end.map(|at| chunk[at]);
            self.line += chunk[..part].iter().filter(|b| **b == b'\n').count() as u64;
            append(&mut self.text, &mut length, &chunk[..part]);
            self.reader.consume(part + usize::from(end.is_some()));
            if let Some(byte) = byte {
                break byte;
            }
        };
        self.delimited(end, length)
    }

    /// What the text before `end`, a comma or the closing bracket, is.
    fn delimited(&mut self, end: u8, length: usize) -> io::Result<Next> {
        let empty = length <= MAX_ELEMENT_BYTES && self.text.trim_ascii().is_empty();
        if end == b',' && !empty {
            self.any = true;
        } else if end == b'}' {
            return Ok(Next::Broken { line: self.line, problem: "a } closes nothing" });
        } else if empty && (end == b',' || self.any) {
            return Ok(Next::Broken { line: self.line, problem: "a comma has no value beside it" });
        } else if self.skip_space()?.is_some() {
            let problem = "there is more after the array's end; JSON lines that begin with [ are read from a name ending in .jsonl";
            return Ok(Next::Broken { line: self.line, problem });
        } else {
            // The end: whatever comes next finds an empty line.
            self.format = Some(Format::Lines);
        }
        match empty {
            true => Ok(Next::End),
            false if length > MAX_ELEMENT_BYTES => Ok(Next::TooLong { line: self.began }),
            false => Ok(Next::Element { line: self.began }),
        }
    }
}

/// Appends `part` unless the text would be too long; `length` counts on.
fn append(text: &mut Vec<u8>, length: &mut usize, part: &[u8]) {
    *length += part.len();
    if *length <= MAX_ELEMENT_BYTES {
        text.extend_from_slice(part);
    } else {
        // Not only emptied: one monster would otherwise keep its memory to the end.
        *text = Vec::new();
    }
}

/// How deep in brackets and strings the scan of an element is.
#[derive(Default)]
struct Scan {
    depth: u32,
    in_string: bool,
    escaped: bool,
}

impl Scan {
    /// Takes one byte; whether it ends the element.
    fn ends_at(&mut self, byte: u8) -> bool {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' => self.in_string = true,
            b'[' | b'{' => self.depth += 1,
            b',' | b']' | b'}' if self.depth == 0 => return true,
            b']' | b'}' => self.depth -= 1,
            _ => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// All elements with their lines, and what came after them; read in chunks of `chunk` bytes.
    fn split(text: &[u8], format: Option<Format>, chunk: usize) -> (Vec<(u64, String)>, Next) {
        let mut splitter = Splitter::new(BufReader::with_capacity(chunk.max(3), text), format);
        let mut elements = Vec::new();
        loop {
            match splitter.next().unwrap() {
                Next::Element { line } => {
                    let text = String::from_utf8_lossy(splitter.text().trim_ascii()).into_owned();
                    elements.push((line, text));
                }
                last => return (elements, last),
            }
        }
    }

    fn element(line: u64, text: &str) -> (u64, String) {
        (line, text.to_owned())
    }

    #[test]
    fn lines_and_arrays_are_told_apart_by_the_first_byte() {
        for chunk in [1, 4, 4096] {
            let lines = split(b"\n 1\r\n\n{\"a\": [1,\t2]}\n\"x\"", None, chunk);
            assert_eq!(lines, (vec![element(2, "1"), element(4, "{\"a\": [1,\t2]}"), element(5, "\"x\"")], Next::End));
            let array = split(b"\xef\xbb\xbf\n[1,\n  [2, \"],\\\"\"],\n{\"a\":\n3}]\n", None, chunk);
            let expected = vec![element(2, "1"), element(3, "[2, \"],\\\"\"]"), element(4, "{\"a\":\n3}")];
            assert_eq!(array, (expected, Next::End));
            let lists = split(b"[1]\n[2]\n", Some(Format::Lines), chunk);
            assert_eq!(lists, (vec![element(1, "[1]"), element(2, "[2]")], Next::End));
        }
    }

    #[test]
    fn nothing_is_an_empty_list() {
        for text in ["", "\n \n", "[]", " [ \n ] \n"] {
            assert_eq!(split(text.as_bytes(), None, 8), (vec![], Next::End), "{text:?}");
        }
    }

    #[test]
    fn a_broken_array_says_where() {
        for (text, line, problem) in [
            ("[1,\n2", 2, "the array is not closed"),
            ("[1,\n\"2]", 2, "the array is not closed"),
            ("[1,,2]", 1, "a comma has no value beside it"),
            ("[1,\n]", 2, "a comma has no value beside it"),
            ("[,1]", 1, "a comma has no value beside it"),
            ("[1}", 1, "a } closes nothing"),
        ] {
            assert_eq!(split(text.as_bytes(), None, 8).1, Next::Broken { line, problem }, "{text:?}");
        }
        let (_, Next::Broken { line, problem }) = split(b"[1]\n[2]\n", None, 8) else { panic!("not broken") };
        assert!(line == 2 && problem.contains(".jsonl"));
    }

    #[test]
    fn after_the_end_comes_the_end() {
        let mut splitter = Splitter::new(&b"[1]"[..], None);
        assert_eq!(splitter.next().unwrap(), Next::Element { line: 1 });
        assert_eq!(splitter.next().unwrap(), Next::End);
        assert_eq!(splitter.next().unwrap(), Next::End);
    }

    #[test]
    fn an_endless_line_is_skipped() {
        let mut text = vec![b'1'; MAX_ELEMENT_BYTES + 1];
        text.extend_from_slice(b"\n2\n");
        let mut splitter = Splitter::new(text.as_slice(), None);
        assert_eq!(splitter.next().unwrap(), Next::TooLong { line: 1 });
        assert_eq!(splitter.next().unwrap(), Next::Element { line: 2 });
        assert_eq!(splitter.text(), b"2");
    }

    #[test]
    fn names_that_settle_the_format() {
        assert_eq!(Format::of_name("a/points.jsonl"), Some(Format::Lines));
        assert_eq!(Format::of_name("a.NDJSON"), Some(Format::Lines));
        assert_eq!(Format::of_name("points.json"), None);
        assert_eq!(Format::of_name("jsonl"), None);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[ -~\\n\\\\\"\\[\\]{},é]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[a-z\",]{0,3}", inner), 0..4)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn both_formats_give_back_what_was_written(list in prop::collection::vec(any_json(), 0..6), chunk in 3..40_usize, pretty: bool) {
            let array = if pretty { serde_json::to_string_pretty(&list) } else { serde_json::to_string(&list) }.unwrap();
            let lines: String = list.iter().map(|value| format!("{value}\n")).collect();
            for (text, format) in [(array, None), (lines, Some(Format::Lines))] {
                let (elements, end) = split(text.as_bytes(), format, chunk);
                let values: Vec<Value> = elements.iter().map(|(_, text)| serde_json::from_str(text).unwrap()).collect();
                prop_assert_eq!(&values, &list);
                prop_assert_eq!(end, Next::End);
            }
        }

        #[test]
        fn any_bytes_are_cut_without_panic(text in prop::collection::vec(prop::sample::select(b"[]{},\"\\ \n1a\xff".to_vec()), 0..40), chunk in 3..8_usize) {
            split(&text, None, chunk);
        }
    }
}
