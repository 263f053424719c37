//! Log streams as files: `<group>/<stream>`, one line an event, `<milliseconds> <message>`.
//!
//! A token is a byte offset: reading on costs a seek, however long the stream. Times never go back within a stream, so a
//! time is found by halving.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// CloudWatch's limit on an event: a longer line becomes several.
const MAX_EVENT: usize = 256 * 1024;
/// CloudWatch's limit on a page.
const MAX_PAGE: usize = 1024 * 1024;
/// Tells a stream's file from a directory: `a` and `a/b` may both be streams, and no encoded name has a dot.
const SUFFIX: &str = ".log";

/// The streams under a directory.
#[derive(Clone, Debug)]
pub struct LogStore {
    pub(super) dir: PathBuf,
}

/// One line of output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEvent {
    /// Milliseconds since 1970.
    pub timestamp_ms: u64,
    /// The line, without its line break; what is not UTF-8 is replaced.
    pub message: String,
    /// Where it begins in its stream.
    pub offset: u64,
}

/// Events in order, and the offsets around them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogPage {
    /// The oldest first.
    pub events: Vec<LogEvent>,
    /// Where the events before begin to be read, backwards.
    pub begin: u64,
    /// Where the events after begin.
    pub end: u64,
}

/// Which events to read.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// At most so many events.
    pub limit: usize,
    /// The earliest time, milliseconds since 1970.
    pub start_ms: u64,
    /// The time before which all are, milliseconds since 1970.
    pub end_ms: u64,
}

impl LogStore {
    /// The streams under `dir`, which need not exist yet.
    pub fn new(dir: PathBuf) -> LogStore {
        LogStore { dir }
    }

    /// Creates a stream, or goes on with it.
    ///
    /// # Errors
    /// The directory or file cannot be made.
    pub fn writer(&self, group: &str, stream: &str) -> io::Result<LogWriter> {
        let path = self.path(group, stream);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        // Going on with a stream, its times go on too.
        let last = Stream::open(&path)?.last()?;
        Ok(LogWriter { file, partial: Vec::new(), path, last: last.unwrap_or(0) })
    }

    /// A stream, opened for reading.
    ///
    /// # Errors
    /// `NotFound` for an unknown stream; otherwise it cannot be read.
    pub(super) fn open(&self, group: &str, stream: &str) -> io::Result<Stream> {
        Stream::open(&self.path(group, stream))
    }

    /// Reads forward from `offset`.
    ///
    /// # Errors
    /// `NotFound` for an unknown stream; otherwise it cannot be read.
    pub fn forward(&self, group: &str, stream: &str, offset: u64, window: Window) -> io::Result<LogPage> {
        let stream = self.open(group, stream)?;
        let (least, most) = stream.between(window)?;
        stream.forward(offset.max(least), most, window.limit)
    }

    /// Reads the events just before `offset` (the stream's end when absent).
    ///
    /// # Errors
    /// As [`LogStore::forward`].
    pub fn backward(&self, group: &str, stream: &str, offset: Option<u64>, window: Window) -> io::Result<LogPage> {
        let stream = self.open(group, stream)?;
        let (least, most) = stream.between(window)?;
        let end = offset.unwrap_or(u64::MAX).min(most);
        stream.backward(least.min(end), end, window.limit)
    }

    /// The streams of a group whose name begins with `prefix`, in order of name.
    ///
    /// # Errors
    /// The directory cannot be read; an unknown group has no streams.
    pub fn streams(&self, group: &str, prefix: &str) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        walk(&self.dir.join(encode(group)), "", &mut found)?;
        found.retain(|name| name.starts_with(prefix));
        found.sort();
        Ok(found)
    }

    fn path(&self, group: &str, stream: &str) -> PathBuf {
        let mut path = self.dir.join(encode(group));
        path.extend(stream.split('/').map(encode));
        path.as_mut_os_string().push(SUFFIX);
        path
    }
}

/// An open stream: as long as it is at that moment, but for a last line without its break.
#[derive(Debug)]
pub(super) struct Stream {
    file: File,
    /// Bytes of whole lines.
    pub(super) length: u64,
}

impl Stream {
    fn open(path: &Path) -> io::Result<Stream> {
        let file = File::open(path)?;
        let mut stream = Stream { length: file.metadata()?.len(), file };
        stream.length = stream.line_start(stream.length)?;
        Ok(stream)
    }

    /// Where the line that `at` lies in begins: behind the last line break before `at`.
    fn line_start(&self, at: u64) -> io::Result<u64> {
        let mut piece = vec![0; 4096];
        let mut end = at;
        while end > 0 {
            let from = end.saturating_sub(piece.len() as u64);
            let here = &mut piece[..(end - from) as usize];
            self.file.read_exact_at(here, from)?;
            if let Some(found) = here.iter().rposition(|byte| *byte == b'\n') {
                return Ok(from + found as u64 + 1);
            }
            end = from;
        }
        Ok(0)
    }

    /// The event that begins at `offset`, and where the next one does; `None` at the end.
    fn event_at(&self, offset: u64) -> io::Result<Option<(LogEvent, u64)>> {
        let page = self.forward(offset, self.length, 1)?;
        Ok(page.events.into_iter().next().map(|event| (event, page.end)))
    }

    /// The time of the first event, milliseconds since 1970.
    pub(super) fn first(&self) -> io::Result<Option<u64>> {
        Ok(self.event_at(0)?.map(|(event, _)| event.timestamp_ms))
    }

    /// The time of the last event, milliseconds since 1970.
    pub(super) fn last(&self) -> io::Result<Option<u64>> {
        let start = self.line_start(self.length.saturating_sub(1))?;
        Ok(self.event_at(start)?.map(|(event, _)| event.timestamp_ms))
    }

    /// When the file was made, as well as the system knows.
    pub(super) fn made(&self) -> std::time::SystemTime {
        let found = self.file.metadata().and_then(|found| found.created().or_else(|_| found.modified()));
        found.unwrap_or(std::time::UNIX_EPOCH)
    }

    /// Where the first event at or after a time begins.
    pub(super) fn seek(&self, time_ms: u64) -> io::Result<u64> {
        let (mut low, mut high) = (0, self.length);
        if time_ms == 0 {
            return Ok(0);
        }
        while low < high {
            let start = self.line_start(low + (high - low) / 2)?;
            match self.event_at(start)? {
                Some((event, after)) if event.timestamp_ms < time_ms => low = after,
                _ => high = start,
            }
        }
        Ok(low)
    }

    /// The bytes of the events in a window of time.
    fn between(&self, window: Window) -> io::Result<(u64, u64)> {
        let most = if window.end_ms == u64::MAX { self.length } else { self.seek(window.end_ms)? };
        Ok((self.seek(window.start_ms)?.min(most), most))
    }

    /// Reads from `offset` as far as `most`, at most `limit` events and a page.
    pub(super) fn forward(&self, offset: u64, most: u64, limit: usize) -> io::Result<LogPage> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(offset))?;
        let mut reader = BufReader::new(file.take(most.saturating_sub(offset)));
        let mut page = LogPage { events: Vec::new(), begin: offset, end: offset };
        let (mut line, mut size) = (Vec::new(), 0);
        while page.events.len() < limit {
            line.clear();
            let length = reader.read_until(b'\n', &mut line)?;
            if line.pop() != Some(b'\n') {
                break;
            }
            if let Some(event) = parse(&line, page.end) {
                size += event.message.len();
                if size > MAX_PAGE && !page.events.is_empty() {
                    break;
                }
                page.events.push(event);
            }
            page.end += length as u64;
        }
        Ok(page)
    }

    /// Reads back from `end` as far as `least`, at most `limit` events and a page.
    fn backward(&self, least: u64, end: u64, limit: usize) -> io::Result<LogPage> {
        let end = self.line_start(end)?;
        let from = end.saturating_sub((MAX_PAGE + MAX_EVENT) as u64).max(least);
        let mut bytes = vec![0; end.saturating_sub(from) as usize];
        self.file.read_exact_at(&mut bytes, from)?;
        // What precedes the first line break belongs to a line cut off.
        let whole = bytes.len();
        let skip = match from == least {
            true => 0,
            false => bytes.iter().position(|byte| *byte == b'\n').map_or(whole, |at| at + 1),
        };
        let mut page = LogPage { events: Vec::new(), begin: end, end };
        let (mut at, mut size) = (whole, 0);
        while at > skip && page.events.len() < limit {
            let start = bytes[skip..at - 1].iter().rposition(|byte| *byte == b'\n').map_or(skip, |i| skip + i + 1);
            let begin = from + start as u64;
            if let Some(event) = parse(&bytes[start..at - 1], begin) {
                size += event.message.len();
                if size > MAX_PAGE && !page.events.is_empty() {
                    break;
                }
                page.events.push(event);
            }
            page.begin = begin;
            at = start;
        }
        page.events.reverse();
        Ok(page)
    }
}

fn walk(dir: &Path, above: &str, found: &mut Vec<String>) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let file_name = entry.file_name();
        let component = file_name.to_string_lossy();
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), &format!("{above}{}/", decode(&component)), found)?;
        } else if let Some(component) = component.strip_suffix(SUFFIX) {
            found.push(format!("{above}{}", decode(component)));
        }
    }
    Ok(())
}

/// A name as one component of a path: no dot and no separator survives, so no name leads out of the store.
pub(super) fn encode(name: &str) -> String {
    if name.is_empty() {
        return "%".to_owned();
    }
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    name.bytes().map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02x}") }).collect()
}

pub(super) fn decode(component: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), component.bytes());
    while let Some(byte) = rest.next() {
        let digits: Vec<u8> = if byte == b'%' { rest.by_ref().take(2).collect() } else { vec![] };
        let code = std::str::from_utf8(&digits).ok().and_then(|text| u8::from_str_radix(text, 16).ok());
        if byte != b'%' {
            bytes.push(byte);
        } else if let Some(code) = code {
            bytes.push(code);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn parse(line: &[u8], offset: u64) -> Option<LogEvent> {
    let space = line.iter().position(|byte| *byte == b' ')?;
    let timestamp_ms = std::str::from_utf8(&line[..space]).ok()?.parse().ok()?;
    Some(LogEvent { timestamp_ms, message: String::from_utf8_lossy(&line[space + 1..]).into_owned(), offset })
}

/// Appends output to a stream, line by line.
#[derive(Debug)]
pub struct LogWriter {
    file: File,
    /// A line whose break has not come yet.
    partial: Vec<u8>,
    path: PathBuf,
    /// The time of the last event: none is before it, whatever the clock does.
    last: u64,
}

impl LogWriter {
    /// Takes output as it comes, at `now` milliseconds since 1970.
    ///
    /// # Errors
    /// The file cannot be written; the output is lost then, and the next may be tried.
    pub fn push(&mut self, now: u64, mut bytes: &[u8]) -> io::Result<()> {
        let mut out = Vec::with_capacity(bytes.len() + 32);
        while let Some(at) = bytes.iter().position(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(&bytes[..at]);
            self.line(now, &mut out);
            bytes = &bytes[at + 1..];
        }
        self.partial.extend_from_slice(bytes);
        if self.partial.len() >= MAX_EVENT {
            self.line(now, &mut out);
        }
        self.write(&out)
    }

    /// Writes what is left of a last line without its break.
    ///
    /// # Errors
    /// As [`LogWriter::push`].
    pub fn finish(&mut self, now: u64) -> io::Result<()> {
        let mut out = Vec::new();
        if !self.partial.is_empty() {
            self.line(now, &mut out);
        }
        self.write(&out)
    }

    fn line(&mut self, now: u64, out: &mut Vec<u8>) {
        self.last = self.last.max(now);
        let now = self.last;
        let line = std::mem::take(&mut self.partial);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        let mut pieces = line.chunks(MAX_EVENT);
        let first = pieces.next().unwrap_or_default();
        for piece in std::iter::once(first).chain(pieces) {
            out.extend_from_slice(now.to_string().as_bytes());
            out.push(b' ');
            out.extend_from_slice(piece);
            out.push(b'\n');
        }
    }

    fn write(&mut self, out: &[u8]) -> io::Result<()> {
        if out.is_empty() {
            return Ok(());
        }
        let name = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", self.path.display()));
        self.file.write_all(out).map_err(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Window = Window { limit: 10_000, start_ms: 0, end_ms: u64::MAX };

    fn texts(page: &LogPage) -> Vec<&str> {
        page.events.iter().map(|event| event.message.as_str()).collect()
    }

    #[test]
    fn lines_are_put_together_and_read_back_in_pages() {
        let dir = tempfile::tempdir().unwrap();
        let store = LogStore::new(dir.path().to_owned());
        let mut writer = store.writer("/g", "d/default/1").unwrap();
        for (now, piece) in [(1, "on"), (2, "e\ntwo\r\n\nth"), (3, "ree")] {
            writer.push(now, piece.as_bytes()).unwrap();
        }
        let page = store.forward("/g", "d/default/1", 0, ALL).unwrap();
        assert_eq!(texts(&page), ["one", "two", ""]);
        assert_eq!(page.events[0].timestamp_ms, 2);
        writer.finish(4).unwrap();
        let rest = store.forward("/g", "d/default/1", page.end, ALL).unwrap();
        assert_eq!(texts(&rest), ["three"]);
        let end = store.forward("/g", "d/default/1", rest.end, ALL).unwrap();
        assert_eq!((end.events.len(), end.end), (0, rest.end));

        let last = store.backward("/g", "d/default/1", None, Window { limit: 2, ..ALL }).unwrap();
        assert_eq!(texts(&last), ["", "three"]);
        let before = store.backward("/g", "d/default/1", Some(last.begin), ALL).unwrap();
        assert_eq!(texts(&before), ["one", "two"]);
        assert_eq!(store.backward("/g", "d/default/1", Some(before.begin), ALL).unwrap().events, []);
        assert_eq!(store.streams("/g", "d/").unwrap(), ["d/default/1"]);
        assert_eq!(store.streams("/other", "").unwrap(), [""; 0]);
    }

    #[test]
    fn a_window_of_time_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let store = LogStore::new(dir.path().to_owned());
        let mut writer = store.writer("/g", "s").unwrap();
        for now in 1..=5 {
            writer.push(now, format!("{now}\n").as_bytes()).unwrap();
        }
        let window = Window { start_ms: 2, end_ms: 4, ..ALL };
        assert_eq!(texts(&store.forward("/g", "s", 0, window).unwrap()), ["2", "3"]);
        assert_eq!(texts(&store.backward("/g", "s", None, window).unwrap()), ["2", "3"]);
    }

    #[test]
    fn no_name_leads_out_of_the_store() {
        let dir = tempfile::tempdir().unwrap();
        let store = LogStore::new(dir.path().join("logs"));
        for stream in ["../x", "..", "a/../../../x", "/x", ".", "a//b"] {
            let path = store.path("..", stream);
            assert!(path.starts_with(dir.path().join("logs")), "{stream}");
            assert!(path.components().all(|part| part.as_os_str() != ".."), "{stream}");
            store.writer("..", stream).unwrap().push(1, b"x\n").unwrap();
            assert!(store.streams("..", "").unwrap().contains(&stream.to_owned()), "{stream}");
        }
    }

    #[test]
    fn a_line_that_never_ends_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        let store = LogStore::new(dir.path().to_owned());
        let mut writer = store.writer("/g", "s").unwrap();
        for _ in 0..40 {
            writer.push(1, &[b'x'; 65_536]).unwrap();
        }
        assert!(writer.partial.len() < MAX_EVENT);
        let page = store.forward("/g", "s", 0, ALL).unwrap();
        assert_eq!(page.events.len(), 4, "a page holds 1 MiB");
        assert!(page.events.iter().all(|event| event.message.len() == MAX_EVENT));
    }
}
