//! The reading thread: opens, cuts, parses and hands over batches.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use serde_json::Value;
use tokio::sync::mpsc::Sender;

use super::split::{Format, MAX_ELEMENT_BYTES, Next, Splitter};
use super::{BATCH_BYTES, BATCH_ELEMENTS, Element, Item, Message, SourceError};
use crate::aws::store::StoreError;

/// Bytes read from a file at once.
const READ_BYTES: usize = 64 << 10;

/// Opens a file to read its elements.
pub(super) fn open_file(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    let file = File::open(path)?;
    // Reading one would fail too, but with a message that names no directory on some systems.
    if file.metadata()?.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "is a directory"));
    }
    Ok(Box::new(file))
}

/// Sends all elements of what `open` opens. Ends early when nobody listens any more.
pub(super) fn run(label: &str, open: impl FnOnce() -> io::Result<Box<dyn Read + Send>>, sender: &Sender<Message>) {
    let sent = match open() {
        Ok(reader) => Batches { label, sender, items: Vec::new(), bytes: 0 }.send_all(reader),
        Err(error) => Err(failed(label, 0, error)),
    };
    let last = match sent {
        Ok(()) => Message::End,
        Err(error) => Message::Failed(error),
    };
    // Without a listener there is nobody to tell.
    let _ = sender.blocking_send(last);
}

struct Batches<'a> {
    label: &'a str,
    sender: &'a Sender<Message>,
    items: Vec<Item>,
    bytes: usize,
}

impl Batches<'_> {
    fn send_all(mut self, reader: Box<dyn Read + Send>) -> Result<(), SourceError> {
        let reader = BufReader::with_capacity(READ_BYTES, reader);
        let mut splitter = Splitter::new(reader, Format::of_name(self.label));
        let mut last_line = 0;
        loop {
            let next = splitter.next().map_err(|error| failed(self.label, last_line, error))?;
            let (line, value) = match next {
                Next::Element { line } => (line, parse(splitter.text())),
                Next::TooLong { line } => {
                    let most = MAX_ELEMENT_BYTES >> 20;
                    (line, Err(format!("is longer than {most} MiB; pass large data as files (type file)")))
                }
                Next::End => {
                    self.flush();
                    return Ok(());
                }
                Next::Broken { line, problem } => {
                    self.flush();
                    return Err(unreadable(self.label, line, problem.to_owned()));
                }
            };
            last_line = line;
            self.bytes += splitter.text().len();
            self.items.push(Item { line, value: value.map(Element::Json) });
            if (self.items.len() >= BATCH_ELEMENTS || self.bytes >= BATCH_BYTES) && !self.flush() {
                return Ok(());
            }
        }
    }

    /// Sends what there is; `false` when nobody listens any more.
    fn flush(&mut self) -> bool {
        self.bytes = 0;
        let items = std::mem::take(&mut self.items);
        items.is_empty() || self.sender.blocking_send(Message::Batch(items)).is_ok()
    }
}

fn parse(text: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(text).map_err(|error| {
        format!("holds invalid UTF-8 at byte {} of the element; write it in UTF-8", error.valid_up_to() + 1)
    })?;
    serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let message = error.to_string();
        let plain = message.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&message);
        let line = if line > 1 { format!("line {line} of it, ") } else { String::new() };
        format!("is not JSON: {plain} ({line}column {column})")
    })
}

fn failed(label: &str, line: u64, error: io::Error) -> SourceError {
    let problem = match error.downcast::<StoreError>() {
        Ok(StoreError::NotFound { .. }) => "does not exist".to_owned(),
        Ok(error) => return SourceError::Store(error),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound => "does not exist".to_owned(),
            io::ErrorKind::PermissionDenied => "may not be read by this user".to_owned(),
            io::ErrorKind::IsADirectory => "is a directory".to_owned(),
            _ => format!("cannot be read: {error}"),
        },
    };
    unreadable(label, line, problem)
}

fn unreadable(label: &str, line: u64, problem: String) -> SourceError {
    let place = if line == 0 { label.to_owned() } else { format!("{label}:{line}") };
    SourceError::Unreadable { place, problem }
}
