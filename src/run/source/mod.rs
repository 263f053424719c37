//! The elements of a mapped input, streamed: a file of ten million lines is never held in memory.
//!
//! Each source has a thread of its own that reads, cuts and parses, and hands over batches through a short channel:
//!
//! ```text
//! file, standard input ──┐
//! S3 (ranged GETs, one   ├─► Splitter ─► serde_json ─► [Batch] x CHANNEL ─► Elements ─► staging
//!     ahead) ────────────┘
//! ```

use std::collections::VecDeque;
use std::io::Read;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::mpsc;

mod object;
mod read;
mod split;

use crate::aws::store::{Store, StoreError};
use crate::idl::core::Literal;
use crate::map::task::MappedSource;

/// Elements of one batch, at most: enough to make the channel's cost vanish beside the parsing.
const BATCH_ELEMENTS: usize = 1024;
/// Bytes of text of one batch, unless one element alone is longer.
const BATCH_BYTES: usize = 256 << 10;
/// Batches waiting: one being taken, one ready.
const CHANNEL: usize = 2;
/// Batches that are read ahead of staging to infer a type, at most.
const AHEAD: usize = 32;

/// Gives the store of a bucket by its name.
pub type Stores = Arc<dyn Fn(&str) -> Arc<dyn Store> + Send + Sync>;

/// One element.
#[derive(Debug)]
pub struct Item {
    /// The line that it begins on, from 1; 0 where the list is inline.
    pub line: u64,
    /// The value, or why its text is none.
    pub value: Result<Element, String>,
}

/// The value of an element.
#[derive(Clone, Debug, PartialEq)]
pub enum Element {
    /// To be converted.
    Json(Value),
    /// As it is staged.
    Literal(Box<Literal>),
}

/// Why a list cannot be read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The list is not there, not readable or broken: the caller's to correct.
    #[error("{place}: {problem}")]
    Unreadable {
        /// The file and, inside it, the line.
        place: String,
        /// What is wrong.
        problem: String,
    },
    /// The store refused, or could not be reached.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a reading thread sends.
#[derive(Debug)]
enum Message {
    Batch(Vec<Item>),
    End,
    Failed(SourceError),
}

/// The elements of one mapped input, in order.
pub struct Elements {
    label: String,
    buffer: VecDeque<Item>,
    /// Absent when everything there is, is in the buffer or below.
    batches: Option<mpsc::Receiver<Message>>,
    /// Literals in memory and how many of them have gone into the buffer, where copies of a few wait.
    literals: Option<(Arc<[Literal]>, usize)>,
}

impl Elements {
    /// Begins to read `source`. What is wrong with it comes out with the first elements. `stdin` is read in place of
    /// the process's own standard input where given. Must be called within a runtime.
    pub fn open(source: &MappedSource, stores: &Stores, stdin: Option<Box<dyn Read + Send>>) -> Self {
        match source {
            MappedSource::Inline(list) => {
                let items = list.iter().map(|value| Item { line: 0, value: Ok(Element::Json(value.clone())) });
                Elements { label: String::new(), buffer: items.collect(), batches: None, literals: None }
            }
            MappedSource::Literals(list) => {
                let literals = Some((Arc::clone(list), 0));
                Elements { label: String::new(), buffer: VecDeque::new(), batches: None, literals }
            }
            MappedSource::File(path) => {
                let label = path.display().to_string();
                let path = path.clone();
                Self::spawn(label, move || read::open_file(&path))
            }
            MappedSource::Stdin => {
                Self::spawn(
                    "standard input".to_owned(),
                    move || Ok(stdin.unwrap_or_else(|| Box::new(std::io::stdin()))),
                )
            }
            MappedSource::S3 { bucket, key } => {
                let reader = object::ObjectReader::open(stores(bucket), key);
                Self::spawn(format!("s3://{bucket}/{key}"), move || Ok(Box::new(reader)))
            }
        }
    }

    /// A thread and not a task of the blocking pool: the runtime would wait at its end for one that still waits for
    /// standard input.
    fn spawn(label: String, open: impl FnOnce() -> std::io::Result<Box<dyn Read + Send>> + Send + 'static) -> Self {
        let (sender, receiver) = mpsc::channel(CHANNEL);
        let (name, failed) = (label.clone(), sender.clone());
        let thread = std::thread::Builder::new().name("batchmap-read".to_owned());
        let started = thread.spawn(move || read::run(&name, open, &sender));
        if let Err(error) = started {
            // The channel is empty and has room, so this cannot fail.
            let failure =
                SourceError::Unreadable { place: label.clone(), problem: format!("cannot start a thread: {error}") };
            let _ = failed.try_send(Message::Failed(failure));
        }
        Elements { label, buffer: VecDeque::new(), batches: Some(receiver), literals: None }
    }

    /// Where an element stands: `points.jsonl:17`; empty where the list is inline.
    pub fn place(&self, line: u64) -> String {
        if line == 0 { self.label.clone() } else { format!("{}:{line}", self.label) }
    }

    /// How many elements can be taken by [`Self::pop`] at once: 0 only at the end.
    ///
    /// # Errors
    /// When the list cannot be read on.
    pub async fn ready(&mut self) -> Result<usize, SourceError> {
        while self.buffer.is_empty() && self.receive().await? {}
        Ok(self.buffer.len())
    }

    /// Takes the next element of those that are ready.
    pub fn pop(&mut self) -> Option<Item> {
        self.buffer.pop_front()
    }

    /// Reads ahead until `count` elements are ready, or all where there are fewer. Less of large ones: what is read ahead
    /// stays within a fixed number of batches.
    ///
    /// # Errors
    /// When the list cannot be read that far.
    pub async fn read_ahead(&mut self, count: usize) -> Result<(), SourceError> {
        for _ in 0..AHEAD {
            if self.buffer.len() >= count || !self.receive().await? {
                break;
            }
        }
        Ok(())
    }

    /// The elements that are ready, not taken.
    pub fn peek(&self) -> impl Iterator<Item = &Item> {
        self.buffer.iter()
    }

    /// Takes all that is left and counts it.
    ///
    /// # Errors
    /// When the list cannot be read to its end.
    pub async fn count_rest(&mut self) -> Result<u64, SourceError> {
        let mut count = 0;
        loop {
            match self.ready().await? {
                0 => return Ok(count),
                ready => {
                    count += ready as u64;
                    self.buffer.clear();
                }
            }
        }
    }

    /// Receives one batch; `false` at the end.
    async fn receive(&mut self) -> Result<bool, SourceError> {
        if let Some((list, taken)) = &mut self.literals {
            let next = &list[*taken..list.len().min(*taken + BATCH_ELEMENTS)];
            *taken += next.len();
            let items =
                next.iter().map(|literal| Item { line: 0, value: Ok(Element::Literal(Box::new(literal.clone()))) });
            self.buffer.extend(items);
            return Ok(!next.is_empty());
        }
        let Some(batches) = &mut self.batches else { return Ok(false) };
        match batches.recv().await {
            Some(Message::Batch(items)) => {
                self.buffer.extend(items);
                Ok(true)
            }
            Some(Message::End) => {
                self.batches = None;
                Ok(false)
            }
            Some(Message::Failed(error)) => {
                self.batches = None;
                Err(error)
            }
            None => {
                let problem = "its reader has stopped; this is a fault of batchmap".to_owned();
                Err(SourceError::Unreadable { place: self.label.clone(), problem })
            }
        }
    }
}
