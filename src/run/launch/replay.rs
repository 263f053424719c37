//! From a journal to the machine: the newest snapshot that is of use, and the records after it.

use std::sync::Arc;

use futures::TryStreamExt;

use super::{Known, LaunchError, Names, machine, packs, terms};
use crate::aws::store::Store;
use crate::idl::record::TaskRecord;
use crate::map::event::Event;
use crate::map::execution::Execution;
use crate::map::layout::Root;
use crate::run::journal::{self, Growth, Record, Stored};

/// Reads the journal of the execution that `record` describes.
///
/// # Errors
/// When S3 fails, a record is missing or of another format, or the records contradict one another.
pub(super) async fn replay(store: &Arc<dyn Store>, root: &Root, record: TaskRecord) -> Result<Known, LaunchError> {
    for sequence in journal::snapshots(store, root).await? {
        let Some((stored, bytes)) = journal::read_snapshot(store, root, sequence).await? else { continue };
        let known = match from_snapshot(record.clone(), sequence, stored, bytes) {
            Ok(known) => go_on(store, root, known).await,
            Err(error) => Err(error),
        };
        match known {
            // Records can be read again without it: what has no remedy is told by that reading.
            Err(LaunchError::Illegal(_) | LaunchError::Unreadable { .. }) => {
                tracing::warn!(key = root.snapshot(sequence), "a snapshot does not fit its journal and is passed over");
            }
            known => return known,
        }
    }
    let execution = machine(&record);
    go_on(store, root, Known { record, execution, names: None, times: None, records: 0, growth: Growth::default() })
        .await
}

fn from_snapshot(record: TaskRecord, sequence: u64, stored: Stored, bytes: u64) -> Result<Known, LaunchError> {
    let packs = packs(&record);
    let Stored { names, first_ms, last_ms, state } = stored;
    let execution = Execution::restore(terms(&record), packs, state)
        .map_err(|error| LaunchError::Unreadable { id: String::new(), problem: error.to_string() })?;
    let growth = Growth { snapshot: bytes, ..Growth::default() };
    Ok(Known { record, execution, names, times: Some((first_ms, last_ms)), records: sequence, growth })
}

/// Takes in the records after those that `known` has.
async fn go_on(store: &Arc<dyn Store>, root: &Root, mut known: Known) -> Result<Known, LaunchError> {
    let mut records = Box::pin(journal::records_after(store, root, known.records).await?);
    while let Some((record, bytes)) = records.try_next().await? {
        known.take_in(&record)?;
        known.growth.add(bytes);
    }
    Ok(known)
}

impl Known {
    /// Takes in the next record of its journal.
    ///
    /// # Errors
    /// When the record does not fit.
    pub fn take_in(&mut self, record: &Record) -> Result<(), LaunchError> {
        for event in &record.events {
            self.execution.handle(event)?;
            if let Event::Started { definition, queue, interruptible_queue } = event {
                self.names = Some(Names {
                    definition: definition.clone(),
                    queue: queue.clone(),
                    interruptible_queue: interruptible_queue.clone(),
                });
            }
        }
        let first = self.times.map_or(record.now_ms, |(first, _)| first);
        self.times = Some((first, record.now_ms));
        self.records += 1;
        Ok(())
    }
}
