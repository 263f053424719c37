//! What the first records of a journal add up to, stored beside them so that a reader need not read them all.
//!
//! Two lines of JSON: what it is a snapshot of, with the digest of the second line, and the state. It is written by
//! whoever drives, but not under the fence: what records 1 to n add up to is the same whoever says it, and record n was
//! acknowledged before. Nobody depends on it: a snapshot that is damaged, or of another version, is passed over.
//!
//! The records stay when a snapshot has taken them in. Their keys are the fence: were record n deleted, a driver that
//! has slept since before it could create it again and would take itself for the one that drives.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::JournalError;
use crate::aws::store::{Store, StoreError};
use crate::map::execution::{SNAPSHOT_VERSION, Snapshot};
use crate::map::layout::Root;
use crate::run::launch::Names;

/// Records that must have been written since the last snapshot: fewer are read about as fast as a snapshot is.
const MIN_RECORDS: u64 = 64;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    version: u32,
    sequence: u64,
    digest: String,
}

/// The second line: everything that the records up to the snapshot's have told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// The names that submissions use, once the execution has begun.
    pub names: Option<Names>,
    /// When the first of the records was written, in milliseconds since 1970.
    pub first_ms: u64,
    /// When the last of them was.
    pub last_ms: u64,
    /// The machine.
    pub state: Snapshot,
}

/// How far a journal has grown since its newest snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Growth {
    /// Records.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of that snapshot.
    pub snapshot: u64,
}

impl Growth {
    /// Takes in a record of so many bytes.
    pub fn add(&mut self, bytes: usize) {
        self.records += 1;
        self.bytes += bytes as u64;
    }

    /// Whether a snapshot is worth writing. Each is paid for by records of at least its size, so that all of them
    /// together are no more than the journal, and a reader reads no more than about two snapshots' bytes.
    pub fn is_due(&self) -> bool {
        self.is_long() && self.bytes > self.snapshot
    }

    /// Whether there are more records than a reader should be left with when nobody will write any more.
    pub fn is_long(&self) -> bool {
        self.records >= MIN_RECORDS
    }
}

impl Stored {
    /// The object for records 1 to `sequence`.
    pub fn encode(&self, sequence: u64) -> Bytes {
        let state = serde_json::to_vec(self).expect("a snapshot is plain data");
        let digest = blake3::hash(&state).to_hex().to_string();
        let head = Head { version: SNAPSHOT_VERSION, sequence, digest };
        let mut body = serde_json::to_vec(&head).expect("a head is plain data");
        body.push(b'\n');
        body.extend(state);
        body.into()
    }

    /// Reads an object that [`Stored::encode`] wrote for `sequence`.
    ///
    /// # Errors
    /// In words, when it is damaged or of another version.
    pub fn decode(body: &[u8], sequence: u64) -> Result<Self, String> {
        let newline = body.iter().position(|byte| *byte == b'\n').ok_or("it is not two lines")?;
        let (head, state) = (&body[..newline], &body[newline + 1..]);
        let head: Head = serde_json::from_slice(head).map_err(|error| format!("its first line: {error}"))?;
        if head.version != SNAPSHOT_VERSION {
            return Err(format!("its format is {} and this batchmap knows {SNAPSHOT_VERSION}", head.version));
        }
        if head.sequence != sequence {
            return Err(format!("it is of record {}", head.sequence));
        }
        if blake3::hash(state).to_hex().as_str() != head.digest {
            return Err("its digest does not match".to_owned());
        }
        serde_json::from_slice(state).map_err(|error| format!("its second line: {error}"))
    }
}

/// The numbers of the records that there are snapshots after, the newest first.
///
/// # Errors
/// When the bucket cannot be listed.
pub async fn list(store: &Arc<dyn Store>, root: &Root) -> Result<Vec<u64>, JournalError> {
    let prefix = root.snapshots();
    let mut numbers = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = store.list(&prefix, after.as_deref()).await?;
        let keys = page.objects.iter().map(|object| &object.key);
        // Whatever else lies there is none of ours.
        numbers.extend(keys.filter_map(|key| key.strip_prefix(&prefix)?.parse::<u64>().ok()));
        after = page.objects.into_iter().last().map(|object| object.key);
        if !page.more {
            break;
        }
    }
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    Ok(numbers)
}

/// The snapshot after record `sequence` and its size in bytes; nothing when it is of no use, which is said in the log.
///
/// # Errors
/// When S3 fails.
pub async fn read(store: &Arc<dyn Store>, root: &Root, sequence: u64) -> Result<Option<(Stored, u64)>, JournalError> {
    let key = root.snapshot(sequence);
    let body = match store.get(&key).await {
        Ok(body) => body,
        Err(StoreError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    match Stored::decode(&body, sequence) {
        Ok(stored) => Ok(Some((stored, body.len() as u64))),
        Err(problem) => {
            tracing::warn!(key, problem, "a snapshot is passed over, and more of the journal is read instead");
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::execution::{Execution, Terms};
    use crate::map::plan::Packs;
    use crate::map::task::{Completion, ConcurrencyMode};

    fn stored() -> Stored {
        let terms = Terms {
            min_successes: 3,
            concurrency: 0,
            mode: ConcurrencyMode::Rolling,
            completion: Completion::Settled,
            retries: 0,
            interruptible: false,
            run_all: false,
        };
        let state = Execution::new(terms, Packs::new(vec![0], 3)).snapshot();
        Stored { names: None, first_ms: 1, last_ms: 2, state }
    }

    #[test]
    fn a_snapshot_survives() {
        let body = stored().encode(70);
        assert_eq!(Stored::decode(&body, 70), Ok(stored()));
        assert_eq!(body, stored().encode(70), "the same state, the same bytes");
    }

    #[test]
    fn what_is_damaged_or_not_ours_is_refused() {
        let body = stored().encode(70);
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert_eq!(Stored::decode(&body, 71), Err("it is of record 70".to_owned()));
        let newer = text.replacen("\"version\":1", "\"version\":2", 1);
        assert!(Stored::decode(newer.as_bytes(), 70).unwrap_err().contains("its format is 2"));
        for at in 0..body.len() {
            let mut damaged = body.to_vec();
            damaged[at] ^= 1;
            assert!(Stored::decode(&damaged, 70).is_err(), "byte {at}");
            assert!(Stored::decode(&body[..at], 70).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_snapshot_is_due_when_records_have_paid_for_it() {
        let growth = |records, bytes, snapshot| Growth { records, bytes, snapshot };
        assert!(!growth(63, 1_000_000, 0).is_due());
        assert!(growth(64, 6_400, 0).is_due());
        assert!(!growth(64, 6_400, 6_400).is_due());
        assert!(growth(65, 6_500, 6_400).is_due());
    }
}
