//! A job and its children, kept small: an array of 10,000 is one allocation, and no child owns a string.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::api::{JobDependency, RetryStrategy};
use super::container::Container;
use super::places::Amount;
use super::texts::Text;

/// A job's state; the order is the life of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[repr(u8)]
pub enum Status {
    /// Accepted.
    Submitted,
    /// Waiting for dependencies; of a parent: children are at work.
    Pending,
    /// Waiting for a slot.
    Runnable,
    /// Handed to the runner.
    Starting,
    /// Its container runs.
    Running,
    /// Ended with exit code 0.
    Succeeded,
    /// Ended otherwise.
    Failed,
}

impl Status {
    /// All seven, in order.
    pub const ALL: [Status; 7] = [
        Status::Submitted,
        Status::Pending,
        Status::Runnable,
        Status::Starting,
        Status::Running,
        Status::Succeeded,
        Status::Failed,
    ];

    /// Whether the state is final.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Status::Succeeded | Status::Failed)
    }

    /// Whether the runner has the child: it holds a slot.
    pub const fn is_live(self) -> bool {
        matches!(self, Status::Starting | Status::Running)
    }

    /// The state of that name, as AWS spells it.
    pub fn parse(name: &str) -> Option<Status> {
        Status::ALL.into_iter().find(|status| status.name() == name)
    }

    /// AWS's name.
    pub const fn name(self) -> &'static str {
        match self {
            Status::Submitted => "SUBMITTED",
            Status::Pending => "PENDING",
            Status::Runnable => "RUNNABLE",
            Status::Starting => "STARTING",
            Status::Running => "RUNNING",
            Status::Succeeded => "SUCCEEDED",
            Status::Failed => "FAILED",
        }
    }
}

/// One attempt of one child: what runners report about and effects name. Unique for the life of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptKey {
    /// The job, in order of submission.
    pub job: u32,
    /// The child's index; 0 for a plain job.
    pub child: u32,
    /// From 1.
    pub attempt: u32,
}

/// One attempt's record. Times in milliseconds since 1970, 0 when there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "AttemptRow", into = "AttemptRow")]
pub(super) struct Attempt {
    pub(super) started_at: u64,
    pub(super) stopped_at: u64,
    pub(super) exit_code: Option<i32>,
    pub(super) reason: Text,
    pub(super) status_reason: Text,
}

/// Rows rather than objects on disk: a snapshot of a million children is mostly these.
type AttemptRow = (u64, u64, Option<i32>, Text, Text);

impl From<AttemptRow> for Attempt {
    fn from((started_at, stopped_at, exit_code, reason, status_reason): AttemptRow) -> Self {
        Attempt { started_at, stopped_at, exit_code, reason, status_reason }
    }
}

impl From<Attempt> for AttemptRow {
    fn from(a: Attempt) -> Self {
        (a.started_at, a.stopped_at, a.exit_code, a.reason, a.status_reason)
    }
}

/// What an attempt left of a container of a task with several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "PartRow", into = "PartRow")]
pub(super) struct Part {
    pub(super) ran: bool,
    pub(super) exit_code: Option<i32>,
    pub(super) reason: Text,
}

type PartRow = (bool, Option<i32>, Text);

impl From<PartRow> for Part {
    fn from((ran, exit_code, reason): PartRow) -> Self {
        Part { ran, exit_code, reason }
    }
}

impl From<Part> for PartRow {
    fn from(part: Part) -> Self {
        (part.ran, part.exit_code, part.reason)
    }
}

/// A child of an array, or the one child that a plain job is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "ChildRow", into = "ChildRow")]
pub(super) struct Child {
    pub(super) status: Status,
    pub(super) cancelled: bool,
    pub(super) terminated: bool,
    pub(super) timed_out: bool,
    /// Attempts begun.
    pub(super) attempt: u8,
    /// Why it was stopped, or why it ended.
    pub(super) reason: Text,
    /// The name of the compute environment of its last attempt.
    pub(super) environment: Text,
    /// The last attempt; earlier ones are in [`Job::earlier`].
    pub(super) last: Attempt,
}

type ChildRow = (u8, u8, u8, Text, Text, Attempt);

impl From<ChildRow> for Child {
    fn from((status, flags, attempt, reason, environment, last): ChildRow) -> Self {
        let status = Status::ALL[usize::from(status).min(Status::ALL.len() - 1)];
        Child {
            status,
            cancelled: flags & 1 != 0,
            terminated: flags & 2 != 0,
            timed_out: flags & 4 != 0,
            attempt,
            reason,
            environment,
            last,
        }
    }
}

impl From<Child> for ChildRow {
    fn from(c: Child) -> Self {
        let flags = u8::from(c.cancelled) | u8::from(c.terminated) << 1 | u8::from(c.timed_out) << 2;
        (c.status as u8, flags, c.attempt, c.reason, c.environment, c.last)
    }
}

/// A job: an array's parent with its children, or a plain job with one child that is the job itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) id: String,
    pub(super) name: String,
    /// The queue's name.
    pub(super) queue: String,
    /// The definition's name and revision.
    pub(super) definition: (String, u32),
    pub(super) is_array: bool,
    /// One; of a definition with `ecsProperties`, all of its task's, overrides and parameters applied.
    pub(super) containers: Vec<Container>,
    /// Whether the definition has `ecsProperties`.
    pub(super) is_task: bool,
    pub(super) parameters: BTreeMap<String, String>,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) propagate_tags: Option<bool>,
    pub(super) platforms: Vec<String>,
    pub(super) retry: RetryStrategy,
    /// Milliseconds of an attempt.
    pub(super) timeout_ms: Option<u64>,
    /// Why its children fail at dispatch, where AWS finds out only then.
    pub(super) unfit: Option<String>,
    /// What each child takes of its compute environment.
    pub(super) need: Amount,
    /// What each child takes of consumable resources, by name.
    pub(super) consumables: Vec<(String, u64)>,
    /// The share identifier; empty in a queue without a scheduling policy.
    pub(super) share: String,
    /// Within its share: the highest first.
    pub(super) priority: Option<i64>,
    /// As submitted.
    pub(super) depends_on: Vec<JobDependency>,
    /// Jobs and children that it waits for as a whole, and that have not ended.
    pub(super) waits: u32,
    /// Arrays whose child of the same index each child waits for.
    pub(super) each: Vec<u32>,
    /// Whether each child waits for the one before it.
    pub(super) sequential: bool,
    /// Children that have ended and whose end has been told to those that wait for it.
    pub(super) followed: u32,
    pub(super) created_at: u64,
    /// When a child's state last changed.
    pub(super) changed_at: u64,
    /// When its first attempt began; 0 before.
    pub(super) started_at: u64,
    /// Stopped as a whole.
    pub(super) cancelled: bool,
    pub(super) terminated: bool,
    pub(super) reason: Text,
    pub(super) children: Vec<Child>,
    /// How often a child changed its state.
    #[serde(default)]
    pub(super) moves: u64,
    /// Children by state.
    pub(super) counts: [u32; 7],
    /// Ended attempts of retried children, without the last.
    pub(super) earlier: BTreeMap<u32, Vec<Attempt>>,
    /// What ended attempts left of their containers, by child and attempt: of tasks with several that ran as such.
    #[serde(default)]
    pub(super) parts: BTreeMap<u32, BTreeMap<u32, Vec<Part>>>,
    /// The first child that may never have been dispatched, of a job whose children all became RUNNABLE at once.
    pub(super) next_fresh: u32,
}

impl Job {
    /// How many children there are; 1 for a plain job.
    pub(super) fn size(&self) -> u32 {
        // A submission is refused above 10,000.
        self.children.len() as u32
    }

    pub(super) fn child(&self, index: u32) -> Option<&Child> {
        self.children.get(index as usize)
    }

    pub(super) fn count(&self, status: Status) -> u32 {
        self.counts[status as usize]
    }

    pub(super) fn child_mut(&mut self, index: u32) -> Option<&mut Child> {
        self.children.get_mut(index as usize)
    }

    /// What its share is charged for each child, in thousandths of a vCPU; one that asks for none counts as one vCPU.
    pub(super) fn vcpus(&self) -> u64 {
        if self.need.milli_vcpus == 0 { 1000 } else { self.need.milli_vcpus }
    }

    /// Where it stands in its share: the higher its priority, the lower its rank.
    pub(super) fn rank(&self) -> i64 {
        if self.share.is_empty() { 0 } else { -self.priority.unwrap_or(0) }
    }

    /// Moves a child to another state, in its own record and in the summary. The end of a child goes through
    /// [`super::Model::settle`], which tells those that wait for it. Whoever calls this says so to [`super::drill::Drills::moved`].
    pub(super) fn set_status(&mut self, index: u32, status: Status, now: u64) {
        let child = &mut self.children[index as usize];
        self.counts[child.status as usize] -= 1;
        self.counts[status as usize] += 1;
        child.status = status;
        self.changed_at = now;
        self.moves += 1;
    }

    /// The job's own state. A parent is never RUNNABLE, STARTING or RUNNING.
    pub(super) fn status(&self) -> Status {
        if !self.is_array {
            return self.children[0].status;
        }
        let (size, failed) = (self.size(), self.count(Status::Failed));
        if self.count(Status::Succeeded) + failed == size {
            return if failed > 0 { Status::Failed } else { Status::Succeeded };
        }
        if self.count(Status::Submitted) == size { Status::Submitted } else { Status::Pending }
    }
}
