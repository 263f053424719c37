//! Jobs that wait for their driver. Not an AWS notion: on AWS jobs go on without whoever submitted them. On one machine the
//! endpoint lives in the driver's process, and its next life may belong to another driver: what the earlier one left
//! unfinished must not start by itself then. It is held until somebody describes it, which is what its driver does first.

use serde::{Deserialize, Serialize};

use super::Model;
use super::job::Status;
use super::line::runnable;

/// A held job's places in its queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Held {
    /// Whether it has children that became RUNNABLE together and were never dispatched.
    pub(super) fresh: bool,
    /// Children that became RUNNABLE one by one.
    pub(super) ready: Vec<u32>,
    /// Children that are to be started again.
    pub(super) retries: Vec<u32>,
}

impl Model {
    /// Takes every job out of its queue; those that wait for dependencies will not enter theirs either.
    pub(super) fn hold(&mut self) {
        for (key, job) in &self.jobs {
            if !job.status().is_terminal() {
                self.held.entry(*key).or_default();
            }
        }
        for queue in self.queues.values_mut() {
            for share in queue.line.shares.values_mut() {
                // Who is not RUNNABLE any more has no place to keep.
                for (_, key) in std::mem::take(&mut share.fresh) {
                    if self.jobs.get(&key).is_some_and(|job| job.count(Status::Runnable) > 0) {
                        self.held.entry(key).or_default().fresh = true;
                    }
                }
                for (_, job, child) in std::mem::take(&mut share.ready) {
                    if runnable(&self.jobs, job, child) {
                        self.held.entry(job).or_default().ready.push(child);
                    }
                }
                for (job, child) in share.retries.drain(..) {
                    if runnable(&self.jobs, job, child) {
                        self.held.entry(job).or_default().retries.push(child);
                    }
                }
            }
        }
    }

    /// Whether any of these jobs is held. A child's id says nothing: a driver asks about parents, and who asks about one
    /// child wants to read its log.
    pub fn holds(&self, ids: &[String]) -> bool {
        let held = |id: &String| matches!(self.find(id), Some((job, None)) if self.held.contains_key(&job));
        !self.held.is_empty() && ids.iter().any(held)
    }

    /// Puts held jobs back in their queues.
    pub(super) fn release(&mut self, ids: &[String]) {
        for id in ids {
            let Some((key, None)) = self.find(id) else { continue };
            let Some(held) = self.held.remove(&key) else { continue };
            for child in held.retries {
                self.line_up_again(key, child);
            }
            for child in held.ready {
                self.line_up(key, child);
            }
            if held.fresh {
                self.line_up_all(key);
            }
        }
    }
}
