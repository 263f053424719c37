//! The journal in S3: log and fence in one.
//!
//! Record `n` is created by a conditional PUT. Whoever creates it has the right to go on; whoever finds it taken has
//! been overtaken and stops. A PUT that was answered late may have been written all the same, so a record that is
//! already there is read back: it may be our own.

mod fence;
mod snapshot;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use fence::Sign;
use futures::{Stream, StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
pub use snapshot::{Growth, Stored, list as snapshots, read as read_snapshot};
use tokio::time::Instant;

use crate::aws::store::{Store, StoreError};
use crate::map::event::Event;
use crate::map::layout::Root;
use crate::run::Clock;

/// The format that this version writes. A record of a newer one is refused, never guessed at.
pub const VERSION: u32 = 1;

/// How many records are fetched at once when a journal is read.
const READ_AHEAD: usize = 16;

/// One object of the journal: what happened between two waits of a driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The format.
    pub version: u32,
    /// Its number, from 1.
    pub sequence: u64,
    /// The driver that wrote it: with the number, unique to one PUT.
    pub writer: String,
    /// When, in milliseconds since 1970; never less than in the record before.
    pub now_ms: u64,
    /// What.
    pub events: Vec<Event>,
}

/// Why the journal could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another driver has written where this one meant to.
    #[error("another driver ({writer}) has taken over this execution at record {sequence}: this one stops")]
    Overtaken {
        /// The record that was taken.
        sequence: u64,
        /// Who wrote it.
        writer: String,
    },
    /// A record is of a newer format, or no record at all.
    #[error("journal record {key} cannot be read: {problem}")]
    Unreadable {
        /// The record's key.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The execution was removed while this driver slept.
    #[error("this execution was removed (journal record {sequence} is gone): this driver stops")]
    Removed {
        /// The record of its own that it looked for.
        sequence: u64,
    },
    /// A record is missing between others.
    #[error("journal record {sequence} is missing, though later ones exist")]
    Gap {
        /// The missing record.
        sequence: u64,
    },
    /// S3 failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where a journal ends.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// The number of its records.
    pub records: u64,
    /// When the first and the last were written, in milliseconds since 1970.
    pub times: Option<(u64, u64)>,
    /// How far it has grown since its newest snapshot.
    pub growth: Growth,
    /// When it was known to end there.
    pub seen: (Instant, u64),
}

/// The journal of one execution, open for appending.
pub struct Journal {
    store: Arc<dyn Store>,
    root: Root,
    writer: String,
    clock: Clock,
    next: u64,
    first_ms: Option<u64>,
    last_ms: u64,
    growth: Growth,
    /// When it was last known that nobody else has gone on.
    sign: Sign,
    /// Records whose PUT has not been answered yet: each is tried again as it is, for it may be there already.
    unanswered: VecDeque<Record>,
}

impl Journal {
    /// Reads every record and opens the journal for appending as `writer` (unique to this driver).
    ///
    /// # Errors
    /// When S3 fails, a record is missing, or one is of a format that this version does not know.
    pub async fn open(store: Arc<dyn Store>, root: Root, writer: String) -> Result<(Self, Vec<Record>), JournalError> {
        let clock = Clock::wall();
        let seen = (Instant::now(), clock.now_ms());
        let records = read_from(&store, &root, 1).await?;
        let times = records.first().zip(records.last()).map(|(first, last)| (first.now_ms, last.now_ms));
        let end = End { records: records.len() as u64, times, growth: Growth::default(), seen };
        Ok((Journal::after(store, root, writer, end, clock), records))
    }

    /// Opens a journal that was read to its end; `clock` is the one that `end` was seen by.
    pub fn after(store: Arc<dyn Store>, root: Root, writer: String, end: End, clock: Clock) -> Self {
        let (first_ms, last_ms) = (end.times.map(|(first, _)| first), end.times.map_or(0, |(_, last)| last));
        let (next, growth, sign) = (end.records + 1, end.growth, Sign::of(end.seen));
        Journal { store, root, writer, clock, next, first_ms, last_ms, growth, sign, unanswered: VecDeque::new() }
    }

    /// The same journal, whose fence goes by this clock.
    pub fn timed_by(self, clock: Clock) -> Self {
        self.sign.renew((Instant::now(), clock.now_ms()));
        Journal { clock, ..self }
    }

    /// Appends one record, after those that could not be written before.
    ///
    /// # Errors
    /// [`JournalError::Overtaken`] when another driver has written this record: it must not be gone on with. After
    /// [`JournalError::Store`] the record is kept, and [`Journal::flush`] tries it again.
    pub async fn append(&mut self, now_ms: u64, events: Vec<Event>) -> Result<(), JournalError> {
        self.last_ms = self.last_ms.max(now_ms);
        let (sequence, writer) = (self.next + self.unanswered.len() as u64, self.writer.clone());
        self.unanswered.push_back(Record { version: VERSION, sequence, writer, now_ms: self.last_ms, events });
        self.flush().await
    }

    /// Writes what could not be written before; nothing to do is fine.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub async fn flush(&mut self) -> Result<(), JournalError> {
        while let Some(record) = self.unanswered.front() {
            let asked = (Instant::now(), self.clock.now_ms());
            let slept = !self.sign.is_fresh(asked.1);
            let bytes = self.write(record).await?;
            if slept {
                self.not_removed(record.sequence).await?;
            }
            self.sign.renew(asked);
            self.growth.add(bytes);
            self.first_ms.get_or_insert(record.now_ms);
            self.unanswered.pop_front();
            self.next += 1;
        }
        Ok(())
    }

    /// Writes a record and answers with its size in bytes.
    async fn write(&self, record: &Record) -> Result<usize, JournalError> {
        let body = serde_json::to_vec(record).expect("an event is plain data");
        let bytes = body.len();
        let key = self.root.journal_record(record.sequence);
        match self.store.put_new(&key, Bytes::from(body)).await {
            Ok(()) => Ok(bytes),
            Err(StoreError::AlreadyExists { .. }) => match read(&self.store, &key).await?.0 {
                there if there == *record => Ok(bytes),
                there => Err(JournalError::Overtaken { sequence: record.sequence, writer: there.writer }),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// The number of records.
    pub fn len(&self) -> u64 {
        self.next - 1
    }

    /// When the first and the last record were written, in milliseconds since 1970.
    pub fn times(&self) -> Option<(u64, u64)> {
        self.first_ms.map(|first| (first, self.last_ms))
    }

    /// How far it has grown since its newest snapshot.
    pub fn growth(&self) -> Growth {
        self.growth
    }

    /// A snapshot of so many bytes is on its way: from here on growth is counted anew.
    pub fn snapshot_taken(&mut self, bytes: usize) {
        self.growth = Growth { snapshot: bytes as u64, ..Growth::default() };
    }

    /// Whether nothing has been written yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Reads the records from number `first` on.
///
/// # Errors
/// As [`Journal::open`].
pub async fn read_from(store: &Arc<dyn Store>, root: &Root, first: u64) -> Result<Vec<Record>, JournalError> {
    let keys = keys_from(store, root, first).await?;
    stream(store, keys).map_ok(|(record, _)| record).try_collect().await
}

/// The records after number `known`, each with its size in bytes. Record `known` itself must still be there: who has a
/// snapshot finds out that it is of this journal.
///
/// # Errors
/// As [`Journal::open`].
pub async fn records_after<'a>(
    store: &'a Arc<dyn Store>,
    root: &Root,
    known: u64,
) -> Result<impl Stream<Item = Result<(Record, usize), JournalError>> + 'a, JournalError> {
    let mut keys = keys_from(store, root, known.max(1)).await?;
    if known > 0 {
        if keys.is_empty() {
            return Err(JournalError::Gap { sequence: known });
        }
        keys.remove(0);
    }
    Ok(stream(store, keys))
}

/// The keys of the records from number `first` on, without a gap.
async fn keys_from(store: &Arc<dyn Store>, root: &Root, first: u64) -> Result<Vec<String>, JournalError> {
    let mut keys = Vec::new();
    let mut after = (first > 1).then(|| root.journal_record(first - 1));
    loop {
        let page = store.list(&root.journal(), after.as_deref()).await?;
        keys.extend(page.objects.into_iter().map(|object| object.key));
        if !page.more {
            break;
        }
        after = keys.last().cloned();
    }
    for (expected, key) in (first..).zip(&keys) {
        if *key != root.journal_record(expected) {
            return Err(JournalError::Gap { sequence: expected });
        }
    }
    Ok(keys)
}

fn stream(store: &Arc<dyn Store>, keys: Vec<String>) -> impl Stream<Item = Result<(Record, usize), JournalError>> + '_ {
    futures::stream::iter(keys).map(move |key| async move { read(store, &key).await }).buffered(READ_AHEAD)
}

/// A record and its size in bytes.
async fn read(store: &Arc<dyn Store>, key: &str) -> Result<(Record, usize), JournalError> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let body = store.get(key).await?;
    let unreadable = |problem: String| JournalError::Unreadable { key: key.to_owned(), problem };
    let Versioned { version } = serde_json::from_slice(&body).map_err(|error| unreadable(error.to_string()))?;
    if version != VERSION {
        let problem =
            format!("its format is {version} and this batchmap knows {VERSION}: use the version that wrote it");
        return Err(unreadable(problem));
    }
    let record = serde_json::from_slice(&body).map_err(|error| unreadable(error.to_string()))?;
    Ok((record, body.len()))
}
