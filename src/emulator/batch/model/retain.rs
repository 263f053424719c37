//! How long jobs are remembered.

use std::collections::BTreeMap;

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
                let attempts = job.children.len() + job.earlier.values().map(Vec::len).sum::<usize>();
                let parts: usize = job.parts.values().flat_map(BTreeMap::values).map(Vec::len).sum();
                self.texts.released(3 * attempts as u64 + parts as u64);
            }
        }
    }

    /// Drops the texts of jobs that are forgotten, and whatever else nobody tells any more. Every [`super::texts::Text`] of
    /// the model is met here.
    pub(super) fn renew_texts(&mut self) {
        let mut renewal = self.texts.renew();
        for job in self.jobs.values_mut() {
            renewal.keep(&mut job.reason);
            for child in &mut job.children {
                renewal.keep(&mut child.reason);
                renewal.keep(&mut child.environment);
            }
            let last = job.children.iter_mut().map(|child| &mut child.last);
            for attempt in last.chain(job.earlier.values_mut().flatten()) {
                renewal.keep(&mut attempt.reason);
                renewal.keep(&mut attempt.status_reason);
            }
            for part in job.parts.values_mut().flat_map(BTreeMap::values_mut).flatten() {
                renewal.keep(&mut part.reason);
            }
        }
        for blocked in self.queues.values_mut().filter_map(|queue| queue.line.blocked.as_mut()) {
            renewal.keep(&mut blocked.reason);
        }
        self.texts = renewal.done();
    }

    /// When the next job is old enough.
    pub(super) fn next_expiry(&self) -> Option<u64> {
        self.expiries.first().map(|(at, _)| *at)
    }
}
