//! What the machine decides by itself: the outcome, and which array comes next.

use super::super::bitset::Outcome;
use super::super::event::{Decision, Event, Queue};
use super::super::index::OriginalIndex;
use super::super::plan::{MAX_ARRAY, Members, rolling_group};
use super::super::ranges::Ranges;
use super::super::task::{Completion, ConcurrencyMode};
use super::{Execution, Spent};

/// How often a subtask may be started over reasons that are not its own (host, image pull, agent, start), the first time
/// included: it outlives two such losses, and the third is final. Flyte calls this system retries; it is Flyte's default.
///
/// The budget is a subtask's whole life long, whoever starts it: Batch itself within an array (its attempts are what is
/// left of the budget, less one on the interruptible queue, so that the last start is on demand), or a further array.
/// So a subtask is started at most `retries + SYSTEM_ATTEMPTS` times. How many of an array's attempts a child has used is
/// known from Batch's own rules when it has used all, from the name of its error document, or from DescribeJobs; see
/// `run::settle`. Where nothing tells, of a job that Batch has forgotten, one start more may be made.
pub const SYSTEM_ATTEMPTS: u32 = 3;

impl Execution {
    /// The next event that follows from the state alone.
    pub(super) fn decide(&self) -> Option<Event> {
        match &self.decision {
            None => match self.outcome() {
                Some(decision) => Some(Event::Decided { decision }),
                None if self.arrays.tally().withheld > 0 => Some(Event::Intended { arrays: self.withheld() }),
                None => self.plan(),
            },
            Some(_) => self.arrays.open.is_empty().then_some(Event::Finished),
        }
    }

    /// A deadline ends the waiting: with enough successes by then the execution has succeeded, else it has failed.
    fn outcome(&self) -> Option<Decision> {
        let (needed, size) = (self.terms.min_successes, self.outcomes.size());
        let (succeeded, outstanding) = (self.outcomes.succeeded(), self.outcomes.outstanding());
        let enough = succeeded >= needed;
        // What has succeeded has, whatever came in between: the last look before a decision may find it so.
        if enough && (outstanding == 0 || self.terms.completion == Completion::Satisfied) {
            return Some(Decision::Succeeded);
        }
        if let Some(reason) = &self.abort {
            return Some(Decision::Aborted { reason: reason.clone() });
        }
        if let Some(reason) = &self.expired {
            // The deadline ends the waiting for the others; those that must succeed have.
            return Some(if enough { Decision::Succeeded } else { Decision::Failed { reason: reason.clone() } });
        }
        if let Some(reason) = &self.refusal {
            return Some(Decision::Refused { reason: reason.clone() });
        }
        let impossible = succeeded + outstanding < needed;
        let hopeless = impossible && (outstanding == 0 || !self.terms.run_all);
        hopeless.then(|| {
            let failed = self.outcomes.failed();
            Decision::Failed { reason: format!("{failed} of {size} subtasks failed, and {needed} must succeed") }
        })
    }

    /// The next array, when there is work and room for it: retries ahead of new work.
    fn plan(&self) -> Option<Event> {
        let fresh = self.unstarted();
        let work = self.waiting_again() + fresh;
        let room = self.room(work);
        if room == 0 {
            return None;
        }
        let again = self.again.iter().find(|(_, indices)| !indices.is_empty());
        let (queue, left, members) = match again {
            Some((queue, indices)) => {
                let limit = room.min(u64::from(MAX_ARRAY)) as usize;
                let taken: Ranges = self.packs.together(indices.iter().copied()).take(limit).collect();
                // One number holds for the whole array. Who has more left gets it in a later one, if need be.
                let left = taken.iter().map(|index| self.starts_left(index)).min().unwrap_or(1);
                (*queue, left, self.packs.members(taken))
            }
            None => (self.first_queue(), SYSTEM_ATTEMPTS, self.next_fresh(room)),
        };
        let attempts = match queue {
            Queue::Default => left,
            // The last start of an interruptible subtask is a new array on the on-demand queue.
            Queue::Interruptible => left - 1,
        };
        let attempts = attempts.max(1);
        Some(Event::Planned { array: self.arrays.len() as u32, members, queue, attempts })
    }

    /// How many children may be submitted now.
    fn room(&self, work: u64) -> u64 {
        if work == 0 {
            return 0;
        }
        let concurrency = self.terms.concurrency;
        if concurrency == 0 {
            return work;
        }
        let free = u64::from(concurrency).saturating_sub(self.arrays.tally().places);
        let enough = match self.terms.mode {
            // Planned arrays of the batch under way are not a reason to wait: a batch may be several arrays.
            ConcurrencyMode::Batches => self.batch_is_open(),
            ConcurrencyMode::Rolling => free >= work.min(u64::from(rolling_group(concurrency))),
        };
        if enough { free.min(work) } else { 0 }
    }

    /// Whether no batch is under way, or one that is still being put together: none of its arrays is with Batch yet.
    fn batch_is_open(&self) -> bool {
        self.arrays.tally().begun == 0
    }

    pub(super) fn first_queue(&self) -> Queue {
        if self.terms.interruptible { Queue::Interruptible } else { Queue::Default }
    }

    /// Starts that a subtask has left for reasons that are not its own.
    fn starts_left(&self, index: OriginalIndex) -> u32 {
        let lost = self.spent.get(&index).map_or(0, |spent| spent.system);
        SYSTEM_ATTEMPTS.saturating_sub(lost).max(1)
    }

    /// The queue for another attempt of a subtask that has this behind it: the last one, by either budget, is on demand.
    pub(super) fn next_queue(&self, spent: Spent) -> Queue {
        let last = spent.system + 1 >= SYSTEM_ATTEMPTS || (spent.user > 0 && spent.user >= self.terms.retries);
        if self.terms.interruptible && !last { Queue::Interruptible } else { Queue::Default }
    }

    /// Subtasks that no array has taken yet.
    fn unstarted(&self) -> u64 {
        (self.outcomes.size() - self.fresh).saturating_sub(self.ahead)
    }

    /// Subtasks from the first new one on that are no new work, counted.
    pub(super) fn count_ahead(&self) -> u64 {
        let passed_over = Ranges::union_of(self.reused.values().chain([self.held.ever()]));
        let beyond = |&(first, last): &(u64, u64)| (last + 1).saturating_sub(first.max(self.fresh));
        passed_over.spans().iter().map(beyond).sum()
    }

    /// The next array of new work, at most `room` children: a stretch of a pack or, where reused or held subtasks lie
    /// between, a compacted one.
    fn next_fresh(&self, room: u64) -> Members {
        let first = OriginalIndex(self.fresh);
        if self.reused.is_empty() && self.held.ever().is_empty() {
            return self.packs.range_from(first, room);
        }
        let limit = room.min(u64::from(MAX_ARRAY)) as usize;
        self.packs.members(self.packs.together(self.fresh_from(first)).take(limit).collect())
    }

    /// New work from `first` on, in order.
    pub(super) fn fresh_from(&self, first: OriginalIndex) -> impl Iterator<Item = OriginalIndex> + '_ {
        let outstanding = |index: &OriginalIndex| {
            self.outcomes.get(*index) == Outcome::Outstanding && !self.held.ever().contains(*index)
        };
        (first.0..self.outcomes.size()).map(OriginalIndex).filter(outstanding)
    }

    /// Whether `ranges` are the next new work, none of it left out.
    pub(super) fn is_next_fresh(&self, ranges: &Ranges) -> bool {
        ranges.iter().eq(self.fresh_from(OriginalIndex(self.fresh)).take(ranges.len() as usize))
    }

    /// Moves on to the first subtask that is new work.
    pub(super) fn skip_reused(&mut self) {
        let next = self.fresh_from(OriginalIndex(self.fresh)).next();
        let next = next.map_or(self.outcomes.size(), |index| index.0);
        // A damaged snapshot may have it wrong; a journal never has.
        self.ahead = self.ahead.saturating_sub(next - self.fresh);
        self.fresh = next;
    }

    /// Marks the subtasks of a planned array as taken.
    pub(super) fn take(&mut self, members: &Members) {
        let ranges = members.ranges();
        if let Some(&(_, last)) = ranges.spans().last().filter(|_| self.is_next_fresh(&ranges)) {
            self.ahead = self.ahead.saturating_sub(last + 1 - self.fresh - ranges.len());
            self.fresh = last + 1;
            self.skip_reused();
        }
        if self.again.values().any(|set| !set.is_empty()) {
            for index in ranges.iter() {
                self.again.values_mut().for_each(|set| {
                    set.remove(&index);
                });
            }
        }
    }
}
