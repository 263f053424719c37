//! The machine: what an execution does next. No clock, no I/O.
//!
//! The driver owns the world, the machine owns the decisions:
//!
//! ```text
//!            next_action()                         handle(event)
//! machine ────────────────► driver ──► S3, Batch ────────────────► machine
//!            Record(event)           (journalled first)
//! ```
//!
//! Everything the machine decides is itself an [`Event`]: it hands it out as [`Action::Record`], the driver writes it
//! to the journal and hands it back to [`Execution::handle`], and only then do the actions that follow from it come
//! out. So replaying a journal through `handle` gives the same machine as living through it.
//!
//! What Batch's counts say between two settlements ([`Execution::observe`]) is kept apart: it frees places and asks for
//! a closer look, it settles nothing, and it is not journalled. After a replay it is learnt again from the next poll.

mod array;
mod arrays;
mod check;
mod decide;
mod held;
mod settle;
mod snapshot;

use std::collections::{BTreeMap, BTreeSet};

pub use array::{Array, ArrayState, Look, Seen};
use arrays::Tally;
pub use arrays::{ArrayRef, Arrays};
pub use decide::SYSTEM_ATTEMPTS;
pub use settle::ended_unjudged;
pub use snapshot::{Damaged, Snapshot, VERSION as SNAPSHOT_VERSION};

use super::bitset::Outcomes;
use super::event::{Decision, Event, Queue, Source};
use super::index::OriginalIndex;
use super::plan::Packs;
use super::ranges::Ranges;
use super::summary::{FailureFold, Summary};
use super::task::{Completion, ConcurrencyMode};

/// What an execution has agreed to: everything of the task that bears on decisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Subtasks that must succeed.
    pub min_successes: u64,
    /// Children that Batch may hold unfinished; 0 is unbounded.
    pub concurrency: u32,
    /// How places are filled.
    pub mode: ConcurrencyMode,
    /// When success is declared.
    pub completion: Completion,
    /// Further attempts after a recoverable failure of the user's.
    pub retries: u32,
    /// Whether the spot queue is used.
    pub interruptible: bool,
    /// Whether to go on when success has become impossible.
    pub run_all: bool,
}

/// What the driver is to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Write the event to the journal, then hand it back to [`Execution::handle`].
    Record(Event),
    /// Submit this array; answer with `Submitted`, `SubmitUnknown` or `Refused`.
    Submit {
        /// The array's number.
        array: u32,
    },
    /// Find out by its name whether Batch has this array; answer with `Submitted` or `NotSubmitted`.
    LookUp {
        /// The array's number.
        array: u32,
    },
    /// Terminate this array: every child of it, in whatever state.
    Terminate {
        /// The array's number.
        array: u32,
        /// Batch's id of it.
        job: String,
    },
    /// Nothing is left to do.
    Finish(Decision),
}

/// An event that cannot happen in the state it met: a damaged journal, or a bug of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event {event} does not fit the execution: {problem}")]
pub struct IllegalEvent {
    /// The event, as the journal writes it.
    pub event: String,
    /// What is wrong with it.
    pub problem: String,
}

/// Attempts that a subtask has used up; kept only for those that have failed at least once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Spent {
    /// Recoverable failures of its own.
    user: u32,
    /// Starts that were lost to the machinery.
    system: u32,
}

/// One execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution {
    terms: Terms,
    packs: Packs,
    outcomes: Outcomes,
    /// The first index that no array has taken yet and that is new work: not reused, and never held.
    fresh: u64,
    /// Indices to run again, by the queue they go to.
    again: BTreeMap<Queue, BTreeSet<OriginalIndex>>,
    spent: BTreeMap<OriginalIndex, Spent>,
    arrays: Arrays,
    /// Whether it was ever unknown what had become of a submission.
    unsure: bool,
    failures: FailureFold,
    /// Outputs that were there before anything ran, by where they come from.
    reused: BTreeMap<Source, Ranges>,
    /// Subtasks that wait for outputs which somebody else computes.
    held: held::Held,
    /// How many subtasks after the first index that no array has taken yet are no new work: reused, or held once.
    ahead: u64,
    abort: Option<String>,
    /// Why the deadline has ended it.
    expired: Option<String>,
    refusal: Option<String>,
    decision: Option<Decision>,
    finished: bool,
}

impl Execution {
    /// An execution that has done nothing yet.
    pub fn new(terms: Terms, packs: Packs) -> Self {
        let outcomes = Outcomes::new(packs.size());
        Execution {
            terms,
            packs,
            outcomes,
            fresh: 0,
            again: BTreeMap::new(),
            spent: BTreeMap::new(),
            arrays: Arrays::default(),
            unsure: false,
            failures: FailureFold::default(),
            reused: BTreeMap::new(),
            held: held::Held::default(),
            ahead: 0,
            abort: None,
            expired: None,
            refusal: None,
            decision: None,
            finished: false,
        }
    }

    /// Takes in an event that is in the journal.
    ///
    /// # Errors
    /// When the event does not fit; the machine is then unchanged.
    pub fn handle(&mut self, event: &Event) -> Result<(), IllegalEvent> {
        self.check(event).map_err(|problem| IllegalEvent { event: format!("{event:?}"), problem })?;
        match event {
            // Names are the driver's affair; they bear on no decision.
            Event::Started { .. } => {}
            Event::Reused { indices, source } => {
                self.outcomes.succeed_all(indices);
                self.held.release(indices);
                let all = self.reused.entry(source.clone()).or_default();
                *all = all.union(indices);
                self.ahead = self.count_ahead();
                self.skip_reused();
            }
            Event::Held { indices, by } => self.hold(indices, by),
            Event::Freed { indices } => self.free(indices),
            Event::Planned { array: _, members, queue, attempts } => {
                self.take(members);
                self.arrays.push(Array::of(members.clone(), *queue, *attempts));
            }
            Event::Submitted { array, job } => {
                self.arrays.change(*array, |state| state.run_as(job));
            }
            Event::SubmitUnknown { array } => {
                self.unsure = true;
                self.arrays.change(*array, |state| (state.state, state.asked) = (ArrayState::Unknown, None));
            }
            Event::NotSubmitted { array } => {
                self.unsure = true;
                self.not_there(*array, ArrayState::Planned);
            }
            Event::Withheld { arrays } => {
                arrays.iter().for_each(|array| self.not_there(*array, ArrayState::Withheld));
            }
            Event::Intended { arrays } => {
                for array in arrays {
                    self.arrays.change(*array, |state| state.is_not_there(ArrayState::Planned));
                }
            }
            Event::Refused { message } => {
                self.refusal.get_or_insert_with(|| message.clone());
            }
            Event::Settled { array, succeeded, failures, ended } => self.settle(*array, succeeded, failures, *ended),
            Event::Expired { reason } => {
                self.expired.get_or_insert_with(|| reason.clone());
            }
            Event::AbortRequested { reason } => {
                self.abort.get_or_insert_with(|| reason.clone());
            }
            Event::Decided { decision } => {
                self.decision = Some(decision.clone());
                self.doubt_planned();
            }
            Event::Finished => self.finished = true,
        }
        Ok(())
    }

    /// Tells a machine that was replayed from a journal that nobody is carrying out its actions any more: an array
    /// that was about to be submitted may or may not have been.
    pub fn resume(&mut self) {
        self.arrays.change_all(|array| {
            array.asked = None;
            array.doubted |= array.state == ArrayState::Planned;
        });
    }

    /// What to do next; nothing when only time or Batch can bring something new.
    pub fn next_action(&mut self) -> Option<Action> {
        if self.finished {
            return self.decision.clone().map(Action::Finish);
        }
        if let Some(event) = self.decide() {
            return Some(Action::Record(event));
        }
        self.arrays.next_action(self.decision.is_some())
    }

    /// The driver could not carry out an action that may be tried again: it comes out of
    /// [`Execution::next_action`] once more.
    pub fn ask_again(&mut self, array: u32) {
        self.arrays.change(array, |state| state.asked = None);
    }

    /// Whether the outcome is known.
    pub fn decision(&self) -> Option<&Decision> {
        self.decision.as_ref()
    }

    /// The outcome, once nothing of the execution is left with Batch.
    pub fn finished(&self) -> Option<&Decision> {
        self.decision.as_ref().filter(|_| self.finished)
    }

    /// What is known of every subtask.
    pub fn outcomes(&self) -> &Outcomes {
        &self.outcomes
    }

    /// Subtasks whose outputs were there before anything ran, by where those come from.
    pub fn reused(&self) -> &BTreeMap<Source, Ranges> {
        &self.reused
    }

    /// Where the staged inputs are.
    pub fn packs(&self) -> &Packs {
        &self.packs
    }

    /// Every array so far, by number.
    pub fn arrays(&self) -> &Arrays {
        &self.arrays
    }

    /// An array that is not over.
    pub fn array(&self, number: u32) -> Option<&Array> {
        self.arrays.open.get(&number)
    }

    /// Whether it was ever unknown what had become of a submission: Batch may then hold an array twice.
    pub fn was_unsure(&self) -> bool {
        self.unsure
    }

    /// The arrays that Batch holds, with their job ids: what a poll asks about.
    pub fn running(&self) -> impl Iterator<Item = (u32, &Array, &str)> {
        self.open().filter_map(|(number, array)| match &array.state {
            ArrayState::Running { job } => Some((number, array, job.as_str())),
            _ => None,
        })
    }

    /// The arrays that have not ended, by number.
    pub fn open(&self) -> impl Iterator<Item = (u32, &Array)> {
        self.arrays.open.iter().map(|(&number, array)| (number, array))
    }

    /// Counts, phase and folded failures.
    pub fn summary(&self) -> Summary {
        Summary::of(self)
    }

    /// Counts and phase alone: cheap enough for every poll.
    pub fn counts(&self) -> Summary {
        Summary::counts(self)
    }

    /// The failures so far, equal ones folded.
    pub fn failures(&self) -> &FailureFold {
        &self.failures
    }

    /// How many subtasks must succeed.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Subtasks that wait to be run again.
    pub fn waiting_again(&self) -> u64 {
        self.again.values().map(|set| set.len() as u64).sum()
    }

    /// Whether a subtask has been run before, and failed.
    pub fn has_failed_before(&self, index: OriginalIndex) -> bool {
        self.spent.contains_key(&index)
    }

    /// Subtasks that have been run, or are to be run, more than once.
    pub fn retried(&self) -> u64 {
        self.spent.len() as u64
    }
}

#[cfg(test)]
mod tests;
