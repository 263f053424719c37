//! How long jobs are remembered.

use super::Model;

/// Seven days after its end a job is forgotten: AWS keeps it at least that long, and nobody may count on more.
pub(super) const RETENTION_MS: u64 = 7 * 24 * 60 * 60 * 1000;

impl Model {
    /// A job and all its children have ended.
    pub(super) fn remember_end(&mut self, key: u32) {
        self.expiries.insert((self.now.saturating_add(RETENTION_MS), key));
    }

    /// Forgets what is old enough.
    pub(super) fn forget(&mut self) {
        while let Some((at, key)) = self.expiries.first().copied() {
            if at > self.now {
                return;
            }
            self.expiries.pop_first();
            if let Some(job) = self.jobs.remove(&key) {
                self.by_id.remove(&job.id);
            }
        }
    }

    /// When the next job is old enough.
    pub(super) fn next_expiry(&self) -> Option<u64> {
        self.expiries.first().map(|(at, _)| *at)
    }
}
