//! Jobs that wait for their driver. Not an AWS notion: on AWS jobs go on without whoever submitted them. On one machine the
//! endpoint lives in the driver's process, and its next life may belong to another driver: what the earlier one left
//! unfinished must not start by itself then. It is held until somebody describes it, which is what its driver does first.

use serde::{Deserialize, Serialize};

use super::Model;

/// A held job's places in its queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Held {
    /// Whether it has children that were never dispatched.
    fresh: bool,
    /// Children that are to be started again.
    retries: Vec<u32>,
}

impl Model {
    /// Takes every job out of its queue.
    pub(super) fn hold(&mut self) {
        for queue in self.queues.values_mut() {
            for job in queue.line.fresh.drain(..) {
                self.held.entry(job).or_default().fresh = true;
            }
            for (job, child) in queue.line.retries.drain(..) {
                self.held.entry(job).or_default().retries.push(child);
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
            let queue = self.jobs.get(&key).and_then(|job| self.queues.get_mut(&job.queue));
            if let Some(queue) = queue {
                queue.line.retries.extend(held.retries.into_iter().map(|child| (key, child)));
                if held.fresh {
                    queue.line.fresh.push_back(key);
                }
            }
        }
    }
}
