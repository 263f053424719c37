//! Batch's states and Flyte's phases.

use serde::{Deserialize, Serialize};

/// A job's state, as Batch reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum JobStatus {
    /// Accepted, not yet looked at.
    Submitted,
    /// Waiting for dependencies; of an array's parent: children are at work.
    Pending,
    /// Waiting for a place.
    Runnable,
    /// Its container is being prepared.
    Starting,
    /// Its container runs.
    Running,
    /// Ended with exit code 0; of a parent: every child did.
    Succeeded,
    /// Ended otherwise; of a parent: at least one child did.
    Failed,
}

impl JobStatus {
    /// Whether the state is final.
    pub const fn is_terminal(self) -> bool {
        matches!(self, JobStatus::Succeeded | JobStatus::Failed)
    }
}

/// Where an execution stands, in Flyte's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Nothing runs yet.
    Queued,
    /// Children are with Batch.
    Running,
    /// Enough subtasks have succeeded; the rest is being ended.
    Succeeding,
    /// Enough subtasks have succeeded.
    Succeeded,
    /// Too few can succeed; the rest is being ended.
    Failing,
    /// Too few can.
    Failed,
    /// Stopped on request; the children are being ended.
    Aborting,
    /// Stopped on request.
    Aborted,
}
