//! Who waits in a queue.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::Model;
use super::hold::Held;
use super::job::{Job, Status};
use super::texts::Text;

/// A queue's children that are RUNNABLE. One that has moved on is dropped from the line when it is met.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Line {
    /// By share identifier; a queue without a scheduling policy has one share, without a name.
    pub(super) shares: BTreeMap<String, Share>,
    /// Who holds the queue up, and why.
    pub(super) blocked: Option<Blocked>,
    /// When those who wait last moved to other places.
    pub(super) moved_at: u64,
}

/// Who waits under a share identifier.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Share {
    /// Children that start again, ahead of all others.
    pub(super) retries: VecDeque<(u32, u32)>,
    /// Jobs, by rank, whose children all became RUNNABLE at once: each knows its next.
    pub(super) fresh: BTreeSet<(i64, u32)>,
    /// Children, by rank and job, that became RUNNABLE one by one.
    pub(super) ready: BTreeSet<(i64, u32, u32)>,
    /// What its children that are STARTING or RUNNING have, in thousandths of a vCPU.
    pub(super) used: u64,
    /// What it was charged for what it had, up to `charged_at`.
    pub(super) charge: u64,
    pub(super) charged_at: u64,
}

/// A child at the head of its queue that cannot start until something changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Blocked {
    pub(super) job: u32,
    pub(super) child: u32,
    /// Such as `MISCONFIGURATION:...`.
    pub(super) reason: Text,
    /// Since when it stands there for this reason.
    pub(super) since: u64,
}

/// Where a child stands in its share; the least starts first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) lane: Lane,
    pub(super) rank: i64,
    pub(super) job: u32,
    pub(super) child: u32,
}

/// Whether a child ran before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    Retry,
    Fresh,
}

impl Share {
    /// Whether nobody stands in it; somebody who has moved on may.
    pub(super) fn is_empty(&self) -> bool {
        self.retries.is_empty() && self.fresh.is_empty() && self.ready.is_empty()
    }
}

impl Model {
    /// Puts all children of a job that are RUNNABLE in line.
    pub(super) fn line_up_all(&mut self, key: u32) {
        if let Some(held) = self.held.get_mut(&key) {
            held.fresh = true;
        } else if let Some((share, rank)) = self.share_of(key) {
            share.fresh.insert((rank, key));
        }
    }

    /// Puts a child that has become RUNNABLE in line.
    pub(super) fn line_up(&mut self, key: u32, child: u32) {
        if let Some(held) = self.held.get_mut(&key) {
            held.ready.push(child);
        } else if let Some((share, rank)) = self.share_of(key) {
            share.ready.insert((rank, key, child));
        }
    }

    /// Puts a child that is to start again in line.
    pub(super) fn line_up_again(&mut self, key: u32, child: u32) {
        if let Some(held) = self.held.get_mut(&key) {
            held.retries.push(child);
        } else if let Some((share, _)) = self.share_of(key) {
            share.retries.push_back((key, child));
        }
    }

    /// Takes a job none of whose children is RUNNABLE any more out of its line: behind a head that stands still nobody would
    /// come across it.
    pub(super) fn leave_line(&mut self, key: u32) {
        if let Some(held) = self.held.get_mut(&key) {
            *held = Held::default();
        }
        let Some(job) = self.jobs.get(&key) else { return };
        let (queue, rank) = (self.queues.get_mut(&job.queue), job.rank());
        let Some(share) = queue.and_then(|queue| queue.line.shares.get_mut(&job.share)) else { return };
        share.fresh.remove(&(rank, key));
        let stale: Vec<_> = share.ready.range((rank, key, 0)..=(rank, key, u32::MAX)).copied().collect();
        for place in stale {
            share.ready.remove(&place);
        }
        share.retries.retain(|(job, _)| *job != key);
    }

    /// The share a job waits in, and its rank there; nothing when its queue is gone.
    fn share_of(&mut self, key: u32) -> Option<(&mut Share, i64)> {
        let job = self.jobs.get(&key)?;
        let line = &mut self.queues.get_mut(&job.queue)?.line;
        // Somebody may have come in ahead of others.
        line.moved_at = self.now;
        Some((line.share(&job.share), job.rank()))
    }
}

impl Line {
    /// The share of that name.
    pub(super) fn share(&mut self, name: &str) -> &mut Share {
        if !self.shares.contains_key(name) {
            self.shares.insert(name.to_owned(), Share::default());
        }
        self.shares.get_mut(name).expect("it was inserted just now")
    }

    /// Whether nobody stands in it.
    pub(super) fn is_empty(&self) -> bool {
        self.shares.values().all(Share::is_empty)
    }
}

impl Share {
    /// The child that starts next. Those who have moved on leave the line here.
    pub(super) fn head(&mut self, jobs: &mut BTreeMap<u32, Job>) -> Option<Place> {
        while let Some((job, child)) = self.retries.front().copied() {
            if runnable(jobs, job, child) {
                return Some(Place { lane: Lane::Retry, rank: 0, job, child });
            }
            self.retries.pop_front();
        }
        let (fresh, ready) = (self.first_fresh(jobs), self.first_ready(jobs));
        fresh.into_iter().chain(ready).min()
    }

    fn first_fresh(&mut self, jobs: &mut BTreeMap<u32, Job>) -> Option<Place> {
        while let Some((rank, key)) = self.fresh.first().copied() {
            if let Some(job) = jobs.get_mut(&key) {
                while job.child(job.next_fresh).is_some_and(|child| child.status != Status::Runnable) {
                    job.next_fresh += 1;
                }
                if job.next_fresh < job.size() {
                    return Some(Place { lane: Lane::Fresh, rank, job: key, child: job.next_fresh });
                }
            }
            self.fresh.pop_first();
        }
        None
    }

    fn first_ready(&mut self, jobs: &BTreeMap<u32, Job>) -> Option<Place> {
        while let Some((rank, job, child)) = self.ready.first().copied() {
            if runnable(jobs, job, child) {
                return Some(Place { lane: Lane::Fresh, rank, job, child });
            }
            self.ready.pop_first();
        }
        None
    }

    /// Takes the head out of the line.
    pub(super) fn leave(&mut self, place: Place, jobs: &mut BTreeMap<u32, Job>) {
        match place.lane {
            Lane::Retry => drop(self.retries.pop_front()),
            Lane::Fresh => {
                let one_by_one = self.ready.remove(&(place.rank, place.job, place.child));
                if let Some(job) = jobs.get_mut(&place.job).filter(|_| !one_by_one) {
                    job.next_fresh = place.child + 1;
                }
            }
        }
    }
}

/// Whether a child is RUNNABLE.
pub(super) fn runnable(jobs: &BTreeMap<u32, Job>, job: u32, child: u32) -> bool {
    jobs.get(&job).and_then(|job| job.child(child)).is_some_and(|child| child.status == Status::Runnable)
}
