//! What happens to an execution: the journal's content. Replaying the events is recovery.

use serde::{Deserialize, Serialize};

use super::plan::Members;
use super::policy::Origin;
use super::ranges::Ranges;

/// Which of the two queues an array goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Queue {
    /// On-demand capacity.
    Default,
    /// Spot capacity.
    Interruptible,
}

/// Something that happened, or was decided. Every variant is written to the journal before what it causes is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The execution begins: the names that all its submissions use.
    Started {
        /// ARN of the job definition.
        definition: String,
        /// Name or ARN of the default queue.
        queue: String,
        /// Name or ARN of the interruptible queue, where there is one.
        interruptible_queue: Option<String>,
    },
    /// Subtasks that need not run, for their outputs are there already. Only before the first array, or of subtasks that
    /// have waited for them.
    Reused {
        /// Which ones.
        indices: Ranges,
        /// Where the outputs come from.
        source: Source,
    },
    /// Subtasks that wait, for somebody else is computing what has their cache key. They are not run until they are freed.
    Held {
        /// Which ones: in no array that goes on.
        indices: Ranges,
        /// The id of the execution that computes them: another one, or this one where two of its subtasks are the same.
        by: String,
    },
    /// Subtasks that have waited so and are to be run here: whoever computed them has failed, or is gone.
    Freed {
        /// Which ones.
        indices: Ranges,
    },
    /// An array is about to be submitted: the intent.
    Planned {
        /// Its number: one more than the last.
        array: u32,
        /// Its subtasks.
        members: Members,
        /// Where it goes.
        queue: Queue,
        /// How often Batch may start each child by itself.
        attempts: u32,
    },
    /// Batch took the array.
    Submitted {
        /// The array.
        array: u32,
        /// Batch's job id.
        job: String,
    },
    /// Whether Batch took the array is not known: no answer came.
    SubmitUnknown {
        /// The array.
        array: u32,
    },
    /// An array of unknown outcome was looked for and is not there: it may be submitted again.
    NotSubmitted {
        /// The array.
        array: u32,
    },
    /// Arrays that Batch is known not to have: it has refused them, or was never asked for them. Each needs another intent
    /// before it is submitted.
    Withheld {
        /// Their numbers, ascending.
        arrays: Vec<u32>,
    },
    /// Arrays that were withheld are about to be submitted: the intent anew.
    Intended {
        /// Their numbers, ascending.
        arrays: Vec<u32>,
    },
    /// AWS refused what the execution needs: it cannot go on.
    Refused {
        /// AWS's words.
        message: String,
    },
    /// Children were judged.
    Settled {
        /// Their array.
        array: u32,
        /// Subtasks whose outputs count.
        succeeded: Ranges,
        /// Subtasks that failed, equal failures folded.
        failures: Vec<Failure>,
        /// Whether the array is over: nothing of it runs, and every child has been judged.
        ended: bool,
    },
    /// The execution has run into its deadline.
    Expired {
        /// What the deadline was, in a sentence.
        reason: String,
    },
    /// Somebody asked for the end.
    AbortRequested {
        /// Their words.
        reason: String,
    },
    /// The outcome is decided; it never changes after this.
    Decided {
        /// What it is.
        decision: Decision,
    },
    /// Nothing of the execution is left with Batch.
    Finished,
}

impl Event {
    /// Whether this changes anything: a settlement of no child, of an array that goes on, does not.
    pub fn settles_something(&self) -> bool {
        match self {
            Event::Settled { succeeded, failures, ended, .. } => {
                *ended || !succeeded.is_empty() || !failures.is_empty()
            }
            _ => true,
        }
    }
}

/// Where outputs come from that this execution has not made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The cache: each output was copied to where its subtask would have left it.
    Cache,
    /// An earlier execution, by its id: the outputs stay where they are.
    Execution(String),
}

/// Subtasks that failed in the same way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Which ones.
    pub indices: Ranges,
    /// Who is to blame.
    pub origin: Origin,
    /// Whether another attempt is worth it, budget permitting.
    pub recoverable: bool,
    /// How often each of the children was started in its array, as far as is known; at least 1. All starts but the last
    /// were lost to the machinery: Batch repeats nothing else.
    pub starts: u32,
    /// The error's code: the document's, or the verdict's name.
    pub code: String,
    /// What went wrong.
    pub message: String,
}

/// How an execution ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Enough subtasks have succeeded.
    Succeeded,
    /// Too few can.
    Failed {
        /// Why, in a sentence.
        reason: String,
    },
    /// It was asked to stop.
    Aborted {
        /// The asker's words.
        reason: String,
    },
    /// AWS refused what it needs.
    Refused {
        /// AWS's words.
        reason: String,
    },
}
