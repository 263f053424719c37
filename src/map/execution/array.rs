//! One array job, as the machine sees it.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::mem::Discriminant;

use super::super::event::Queue;
use super::super::index::OriginalIndex;
use super::super::plan::Members;
use super::super::status::JobStatus;
use super::{Action, Execution, Tally};
use crate::map::task::{Completion, ConcurrencyMode};

/// How far an array has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArrayState {
    /// To be submitted.
    Planned,
    /// Known not to be with Batch: to be submitted after another intent.
    Withheld,
    /// Submitted, perhaps.
    Unknown,
    /// With Batch.
    Running {
        /// Batch's id of it.
        job: String,
    },
}

/// An array job that is not over.
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
    /// Another driver planned it and may have submitted it. Not journalled: every new driver doubts for itself.
    pub(super) doubted: bool,
    /// The kind of action that was last handed out for it.
    pub(super) asked: Option<Discriminant<Action>>,
    /// Children judged before the array's end.
    pub(super) early: BTreeSet<OriginalIndex>,
    /// How many FAILED children a listing has shown: those are judged, so only more of them are news.
    pub(super) listed_failed: u32,
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
            doubted: false,
            asked: None,
            early: BTreeSet::new(),
            listed_failed: 0,
            done: 0,
            failed: 0,
            active: 0,
        }
    }

    /// Places that its children take under a concurrency. A child whose end has been counted or judged has left; all
    /// others keep theirs, through Batch's own retries and through a submission of unknown outcome.
    pub(super) fn places(&self) -> u32 {
        self.members.len() - self.done.max(self.early.len() as u32).min(self.members.len())
    }

    /// Batch's id of it, once it has one.
    pub fn job_id(&self) -> Option<&str> {
        match &self.state {
            ArrayState::Running { job } => Some(job),
            ArrayState::Planned | ArrayState::Withheld | ArrayState::Unknown => None,
        }
    }

    /// Whether Batch may have it without our knowing its id: it is to be looked up by its name.
    pub fn is_in_doubt(&self) -> bool {
        self.state == ArrayState::Unknown || self.doubted
    }

    /// Batch has it, as `job`.
    pub(super) fn run_as(&mut self, job: &str) {
        self.state = ArrayState::Running { job: job.to_owned() };
        self.doubted = false;
    }

    /// Batch is known not to have it: it is to be submitted at once, or after another intent.
    pub(super) fn is_not_there(&mut self, state: ArrayState) {
        (self.state, self.doubted, self.asked) = (state, false, None);
    }

    /// What it adds to the sums over all open arrays.
    pub(super) fn tally(&self) -> Tally {
        let untouched = self.state == ArrayState::Planned && !self.doubted && self.asked.is_none();
        Tally {
            places: u64::from(self.places()),
            unlisted_failures: u64::from(self.unlisted_failures()),
            hopeful: u64::from(self.unjudged_ends().min(self.done - self.failed)),
            begun: u64::from(!untouched),
            withheld: u64::from(self.state == ArrayState::Withheld),
        }
    }

    /// What is to be done about it next, once the outcome is decided or before.
    pub(super) fn action(&self, number: u32, decided: bool) -> Option<Action> {
        match &self.state {
            ArrayState::Planned if self.doubted => Some(Action::LookUp { array: number }),
            ArrayState::Planned => Some(Action::Submit { array: number }),
            ArrayState::Unknown => Some(Action::LookUp { array: number }),
            ArrayState::Running { job } if decided => Some(Action::Terminate { array: number, job: job.clone() }),
            ArrayState::Withheld | ArrayState::Running { .. } => None,
        }
    }

    /// Forgets what is not in the journal.
    #[cfg(test)]
    pub(super) fn forget_observations(&mut self) {
        (self.asked, self.doubted) = (None, false);
        (self.done, self.failed, self.active, self.listed_failed) = (0, 0, 0, 0);
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

    /// Children that Batch has counted as ended and that are not judged: at least so many.
    pub fn unjudged_ends(&self) -> u32 {
        self.done.saturating_sub(self.early.len() as u32)
    }

    /// Children that Batch has counted as failed and that no listing has shown yet: at least so many.
    fn unlisted_failures(&self) -> u32 {
        self.failed.saturating_sub(self.listed_failed)
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
        self.arrays.change(array, |state| state.count(seen));
        let Some(state) = self.array(array) else { return Look::Away };
        match seen.status {
            None | Some(JobStatus::Succeeded | JobStatus::Failed) => Look::AtAll,
            _ if self.decision.is_some() => Look::Away,
            // Both compare what is counted with what is judged, not with the last poll: a look that came to nothing,
            // because AWS was out of reach or a listing lagged, is asked for again.
            _ if state.unjudged_ends() > 0 && self.success_is_near() => Look::AtEnds,
            _ if state.unlisted_failures() > 0 && self.failures_matter() => Look::AtFailures,
            _ => Look::Away,
        }
    }

    /// Takes in that a listing of a running array showed `failed` FAILED children, all of which are judged now. As with
    /// [`Execution::observe`], nothing is settled by it.
    pub fn listed(&mut self, array: u32, failed: u32) {
        // It may have ended with what was listed.
        self.arrays.change(array, |state| state.listed_failed = state.listed_failed.max(failed));
    }

    /// Whether failures that are counted but not judged could decide the outcome, or could run again meanwhile.
    fn failures_matter(&self) -> bool {
        let unjudged = self.arrays.tally().unlisted_failures;
        let hopeful = self.outcomes.succeeded() + self.outcomes.outstanding();
        let decides = !self.terms.run_all && hopeful.saturating_sub(unjudged) < self.terms.min_successes;
        // A batch takes nobody in while it runs, so that what is to be run again need not be known before its end.
        let rolls = self.terms.concurrency == 0 || self.terms.mode == ConcurrencyMode::Rolling;
        decides || (rolls && self.terms.retries > 0)
    }

    /// Whether the successes that are counted but not judged could be enough already.
    fn success_is_near(&self) -> bool {
        self.terms.completion == Completion::Satisfied
            && self.outcomes.succeeded() + self.arrays.tally().hopeful >= self.terms.min_successes
    }
}
