//! One array job, as the machine sees it.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::mem::Discriminant;

use super::super::event::Queue;
use super::super::index::OriginalIndex;
use super::super::plan::Members;
use super::super::status::JobStatus;
use super::{Action, Execution};
use crate::map::task::Completion;

/// How far an array has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArrayState {
    /// To be submitted.
    Planned,
    /// Submitted, perhaps.
    Unknown,
    /// With Batch.
    Running {
        /// Batch's id of it.
        job: String,
    },
    /// Over, every child judged; or never submitted and not needed any more.
    Ended,
}

/// An array job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Array {
    /// Its subtasks.
    pub members: Members,
    /// Where it goes.
    pub queue: Queue,
    /// How often Batch may start each child.
    pub attempts: u32,
    /// How far it has come.
    pub state: ArrayState,
    /// Batch's id, kept after the end: how a child's logs are found.
    pub job: Option<String>,
    /// Whether its current action has been handed out.
    pub(super) asked: bool,
    /// Which action that was.
    pub(super) asked_as: Option<Discriminant<Action>>,
    /// Children judged before the array's end.
    pub(super) early: BTreeSet<OriginalIndex>,
    /// How many of those had failed.
    pub(super) early_failed: u32,
    /// Children that Batch has counted as ended; a lower bound, for the counts lag.
    pub(super) done: u32,
    /// Children that Batch has counted as failed; a lower bound.
    pub(super) failed: u32,
    /// Children that run now, by the newest counts.
    pub(super) active: u32,
}

/// What one poll says of an array.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The parent's state; absent when Batch does not know it any more.
    pub status: Option<JobStatus>,
    /// Its children by state; empty for a plain job.
    pub children: BTreeMap<JobStatus, u32>,
}

/// How closely the driver should look at an array after a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Not at all.
    Away,
    /// List the children that have failed: they may decide, or run again.
    AtFailures,
    /// List what has ended, either way: success may be near enough.
    AtEnds,
    /// The array is over: judge every child.
    AtAll,
}

impl Array {
    /// An array that is to be submitted.
    pub fn of(members: Members, queue: Queue, attempts: u32) -> Self {
        Array {
            members,
            queue,
            attempts,
            state: ArrayState::Planned,
            job: None,
            asked: false,
            asked_as: None,
            early: BTreeSet::new(),
            early_failed: 0,
            done: 0,
            failed: 0,
            active: 0,
        }
    }

    /// Places that its children take under a concurrency. A child whose end has been counted or judged has left; all
    /// others keep theirs, through Batch's own retries and through a submission of unknown outcome.
    pub(super) fn places(&self) -> u32 {
        match self.state {
            ArrayState::Ended => 0,
            _ => self.members.len() - self.done.max(self.early.len() as u32).min(self.members.len()),
        }
    }

    /// Batch's id of it, once it has one.
    pub fn job_id(&self) -> Option<&str> {
        match &self.state {
            ArrayState::Running { job } => Some(job),
            _ => self.job.as_deref(),
        }
    }

    /// Children that Batch holds unfinished, and how many of them run: for display.
    pub fn held(&self) -> (u32, u32) {
        let held = self.places();
        (held, self.active.min(held))
    }

    /// Children judged so far, while the array is not over.
    pub fn judged(&self) -> u64 {
        self.early.len() as u64
    }

    /// Whether this subtask was judged before the array's end.
    pub fn judged_early(&self, index: OriginalIndex) -> bool {
        self.early.contains(&index)
    }

    fn count(&mut self, seen: &Seen) {
        let of = |status| seen.children.get(&status).copied().unwrap_or(0);
        let failed = of(JobStatus::Failed);
        // The counts lag and may even step back, but both ends are final: the greatest seen is true.
        self.failed = self.failed.max(failed);
        self.done = self.done.max(failed + of(JobStatus::Succeeded));
        self.active = of(JobStatus::Running) + of(JobStatus::Starting);
        if seen.children.is_empty() {
            self.active = u32::from(matches!(seen.status, Some(JobStatus::Running | JobStatus::Starting)));
        }
    }
}

impl Execution {
    /// Takes in what a poll says of a running array and answers how closely to look.
    pub fn observe(&mut self, array: u32, seen: &Seen) -> Look {
        let decided = self.decision.is_some();
        let state = self.array_mut(array);
        let before = state.done;
        state.count(seen);
        let (done, failed, early) = (state.done, state.failed, state.early_failed);
        match seen.status {
            None | Some(JobStatus::Succeeded | JobStatus::Failed) => Look::AtAll,
            _ if decided => Look::Away,
            _ if self.success_is_near() && done > before => Look::AtEnds,
            _ if failed > early && self.failures_matter() => Look::AtFailures,
            _ => Look::Away,
        }
    }

    /// Whether failures that are counted but not judged could decide the outcome, or could run again meanwhile.
    fn failures_matter(&self) -> bool {
        let unjudged: u64 = self
            .arrays
            .iter()
            .filter(|array| array.state != ArrayState::Ended)
            .map(|array| u64::from(array.failed.saturating_sub(array.early_failed)))
            .sum();
        let hopeful = self.outcomes.succeeded() + self.outcomes.outstanding();
        let decides = !self.terms.run_all && hopeful.saturating_sub(unjudged) < self.terms.min_successes;
        decides || self.terms.retries > 0
    }

    /// Whether the successes that are counted but not judged could be enough already.
    fn success_is_near(&self) -> bool {
        let unjudged: u64 = self
            .arrays
            .iter()
            .filter(|array| array.state != ArrayState::Ended)
            .map(|array| u64::from(array.done - array.failed.min(array.done)))
            .sum();
        self.terms.completion == Completion::Satisfied
            && self.outcomes.succeeded() + unjudged >= self.terms.min_successes
    }
}
