//! The driver's snapshots of its journal: written beside the driving, and nothing depends on them.

use std::time::Duration;

use super::Driver;
use crate::run::journal::Stored;
use crate::run::launch::Names;

/// How long a driver that is done waits for its last snapshot: S3 takes a moment for one, and who is out of reach of S3
/// should not be kept.
const LAST_WAIT: Duration = Duration::from_secs(10);

impl Driver {
    /// Writes a snapshot if one is due. To be called when the machine stands where the journal ends.
    pub(super) fn save_if_due(&mut self) {
        while self.saving.try_join_next().is_some() {}
        if self.journal.growth().is_due() && self.saving.is_empty() {
            self.save();
        }
    }

    /// Writes the last snapshot, for all who will read this journal when nobody writes it any more.
    pub(super) async fn save_at_end(&mut self) {
        if self.journal.growth().is_long() {
            self.save();
        }
        let written = async { while self.saving.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_WAIT, written).await.is_err() {
            tracing::debug!("the last snapshot is not waited for any longer");
            self.saving.abort_all();
        }
    }

    fn save(&mut self) {
        let Some((first_ms, last_ms)) = self.journal.times() else { return };
        let names = Some(Names {
            definition: self.template.definition.clone(),
            queue: self.template.queue.clone(),
            interruptible_queue: self.template.interruptible_queue.clone(),
        });
        let sequence = self.journal.len();
        let body = Stored { names, first_ms, last_ms, state: self.execution.snapshot() }.encode(sequence);
        self.journal.snapshot_taken(body.len());
        let (store, key) = (self.ports.store.clone(), self.template.root.snapshot(sequence));
        self.saving.spawn(async move {
            if let Err(error) = store.put(&key, body).await {
                tracing::warn!(%error, "a snapshot could not be written: the journal is read instead");
            }
        });
    }
}
