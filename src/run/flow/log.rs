//! The journal of one workflow's execution: log and fence in one, as [`crate::run::journal`] is for a map's.
//!
//! A workflow has few events (some a node), so there are no snapshots, and the one who drives it writes each record
//! before it acts on it.

use std::sync::Arc;

use bytes::Bytes;
use futures::{FutureExt, StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};

use crate::aws::store::{Store, StoreError};
use crate::map::layout::flyte::{FLYTE_VERSION, FlowRoot};
use crate::map::workflow::event::FlowEvent;

/// Records fetched at once.
const READ_AHEAD: usize = 64;

/// After so long without a record, in milliseconds, it is made sure that the journal is still there.
const QUIET_MS: u64 = 60_000;

/// One record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The format.
    pub version: u32,
    /// Its number, from 1.
    pub sequence: u64,
    /// Who wrote it: with the number, unique to one PUT.
    pub writer: String,
    /// When, in milliseconds since 1970; never less than in the record before.
    pub now_ms: u64,
    /// What.
    pub events: Vec<FlowEvent>,
}

/// Why the journal could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Another server has written where this one meant to.
    #[error("another server ({writer}) drives this execution since record {sequence}: this one stops")]
    Overtaken {
        /// The record that was taken.
        sequence: u64,
        /// Who wrote it.
        writer: String,
    },
    /// The execution was removed while this server slept.
    #[error("this execution was removed (journal record {sequence} is gone): this server stops driving it")]
    Removed {
        /// The record that was looked for.
        sequence: u64,
    },
    /// A record is of another format, or none at all.
    #[error("journal record {key} cannot be read: {problem}")]
    Unreadable {
        /// Its key.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// S3.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The journal, open for appending.
pub struct Log {
    store: Arc<dyn Store>,
    root: FlowRoot,
    writer: String,
    next: u64,
    last_ms: u64,
    /// A record whose PUT was not answered: it may be there, so it is tried again as it is.
    unanswered: Option<Record>,
}

impl Log {
    /// The journal behind `records`, to be gone on with as `writer`.
    pub fn after(store: Arc<dyn Store>, root: FlowRoot, writer: String, records: &[Record]) -> Self {
        let last_ms = records.last().map_or(0, |record| record.now_ms);
        Log { store, root, writer, next: records.len() as u64 + 1, last_ms, unanswered: None }
    }

    /// Appends a record and returns its time, which never goes back.
    ///
    /// # Errors
    /// [`LogError::Overtaken`] when another server has gone on: nothing more may be done. After [`LogError::Store`]
    /// the same call is to be made again, with the same events.
    pub async fn append(&mut self, now_ms: u64, events: Vec<FlowEvent>) -> Result<u64, LogError> {
        let record = self.unanswered.take().unwrap_or_else(|| Record {
            version: FLYTE_VERSION,
            sequence: self.next,
            writer: self.writer.clone(),
            now_ms: self.last_ms.max(now_ms),
            events,
        });
        let written = self.write(&record).await;
        match written {
            Ok(()) => {
                self.still_there(now_ms).await?;
                self.next += 1;
                self.last_ms = record.now_ms;
                Ok(record.now_ms)
            }
            Err(LogError::Store(error)) => {
                self.unanswered = Some(record);
                Err(error.into())
            }
            Err(error) => Err(error),
        }
    }

    /// A number that nobody has written may also be free because all of them are gone: a server that sleeps for long enough
    /// finds its execution over and removed, and must not take that for the right to go on.
    async fn still_there(&self, now_ms: u64) -> Result<(), LogError> {
        let sequence = self.next - 1;
        if sequence == 0 || now_ms.saturating_sub(self.last_ms) < QUIET_MS {
            return Ok(());
        }
        match self.store.get(&self.root.record(sequence)).await {
            Err(StoreError::NotFound { .. }) => Err(LogError::Removed { sequence }),
            // What cannot be told now is told by the next call that needs the store.
            _ => Ok(()),
        }
    }

    /// Makes sure that no other server has gone on from here.
    ///
    /// # Errors
    /// [`LogError::Overtaken`] when one has; otherwise when S3 fails.
    pub async fn make_sure(&self) -> Result<(), LogError> {
        let next = self.root.record(self.next);
        match read_one(self.store.as_ref(), &next).await {
            Ok(record) => Err(LogError::Overtaken { sequence: record.sequence, writer: record.writer }),
            Err(LogError::Store(StoreError::NotFound { .. })) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn write(&self, record: &Record) -> Result<(), LogError> {
        let key = self.root.record(record.sequence);
        let body = serde_json::to_vec(record).expect("an event is plain data");
        match self.store.put_new(&key, Bytes::from(body)).await {
            Ok(()) => Ok(()),
            Err(StoreError::AlreadyExists { .. }) => match read_one(self.store.as_ref(), &key).await? {
                there if there == *record => Ok(()),
                there => Err(LogError::Overtaken { sequence: record.sequence, writer: there.writer }),
            },
            Err(error) => Err(error.into()),
        }
    }
}

/// Reads the records from number `first` on.
///
/// # Errors
/// When S3 fails, or a record cannot be read or is missing between others.
pub async fn read(store: &dyn Store, root: &FlowRoot, first: u64) -> Result<Vec<Record>, LogError> {
    let mut keys: Vec<String> = Vec::new();
    let mut after = (first > 1).then(|| root.record(first - 1));
    loop {
        let page = store.list(&root.journal(), after.as_deref()).await?;
        keys.extend(page.objects.into_iter().map(|object| object.key));
        if !page.more {
            break;
        }
        after = keys.last().cloned();
    }
    for (due, key) in (first..).zip(&keys) {
        if *key != root.record(due) {
            let problem = "it is missing, though later ones exist".to_owned();
            return Err(LogError::Unreadable { key: root.record(due), problem });
        }
    }
    let reads: Vec<_> = keys.iter().map(|key| read_one(store, key).boxed()).collect();
    futures::stream::iter(reads).buffered(READ_AHEAD).try_collect().await
}

/// Reads the records from number `first` on where few are expected, mostly none: one GET each, and one that finds nothing.
///
/// # Errors
/// As [`read`].
pub async fn read_on(store: &dyn Store, root: &FlowRoot, first: u64) -> Result<Vec<Record>, LogError> {
    let mut records = Vec::new();
    for number in first.. {
        match read_one(store, &root.record(number)).await {
            Ok(record) => records.push(record),
            Err(LogError::Store(StoreError::NotFound { .. })) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(records)
}

async fn read_one(store: &dyn Store, key: &str) -> Result<Record, LogError> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let body = store.get(key).await?;
    let unreadable = |problem: String| LogError::Unreadable { key: key.to_owned(), problem };
    let Versioned { version } = serde_json::from_slice(&body).map_err(|error| unreadable(error.to_string()))?;
    if version != FLYTE_VERSION {
        let problem = format!("its format is {version} and this batchmap knows {FLYTE_VERSION}");
        return Err(unreadable(problem));
    }
    serde_json::from_slice(&body).map_err(|error| unreadable(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::memory::MemoryStore;
    use crate::idl::core::WorkflowExecutionIdentifier;
    use crate::map::layout::flyte::FlyteRoot;

    fn taken() -> Vec<FlowEvent> {
        vec![FlowEvent::Taken { server: "s".to_owned() }]
    }

    /// A number that is free because all of them are gone is no right to go on.
    #[tokio::test]
    async fn a_server_that_slept_through_the_removal_stops() {
        let memory = Arc::new(MemoryStore::new("bucket"));
        let root = FlyteRoot::new("").flow(&WorkflowExecutionIdentifier::default());
        let mut log = Log::after(memory.clone(), root.clone(), "me".to_owned(), &[]);
        log.append(1_000, taken()).await.unwrap();
        log.append(1_000 + 2 * QUIET_MS, taken()).await.unwrap();
        for number in [1, 2] {
            memory.remove(&root.record(number));
        }
        let slept = log.append(1_000 + 4 * QUIET_MS, taken()).await;
        assert!(matches!(slept, Err(LogError::Removed { sequence: 2 })), "{slept:?}");
    }
}
