//! What happens to a workflow's execution: the content of its journal. Replaying the events is recovery.

use serde::{Deserialize, Serialize};

use super::super::policy::Origin;

/// The format of the events. A record of a journal carries it, and a reader refuses one it does not know.
pub const VERSION: u32 = 1;

/// Something that happened, or was decided. Every variant is written to the journal before what it causes is done.
///
/// Nodes go by their unique ids (`n0`, and `n1-0-n0` within the sub-workflow that `n1` runs).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlowEvent {
    /// A server has taken the execution on: the first one, or another after it.
    Taken {
        /// The server's name.
        server: String,
    },
    /// A node's inputs are bound and stored. The intent: what it runs is launched after this is in the journal.
    NodeStarted {
        /// The node.
        node: String,
        /// Which attempt: 0 is the first.
        attempt: u32,
        /// The id of the map execution that runs it, or of a launch plan's node the name of the workflow execution; absent
        /// for the node of a sub-workflow.
        execution: Option<String>,
    },
    /// A branch has chosen: of the nodes in it this one runs, and the others are passed over.
    BranchTaken {
        /// The branch: a node that was about to start.
        node: String,
        /// The node in it.
        taken: String,
    },
    /// What a node ran is over, or it could not be started at all.
    NodeEnded {
        /// The node: one that runs a task.
        node: String,
        /// The attempt that is over.
        attempt: u32,
        /// How it went.
        end: NodeEnd,
    },
    /// A node need not run: its outputs are those of an earlier execution, and are where its own would be.
    NodeReused {
        /// The node: one that was about to start.
        node: String,
        /// The name of the earlier execution.
        source: String,
    },
    /// The outputs of a sub-workflow, or of the workflow, have been bound from those of its nodes and stored.
    OutputsBound {
        /// The sub-workflow's node; absent for the workflow itself.
        node: Option<String>,
        /// Why they could not be, if so.
        error: Option<NodeError>,
    },
    /// Somebody asked for the end.
    AbortRequested {
        /// Their words.
        cause: String,
        /// Who they are.
        principal: String,
    },
    /// Nothing of the execution runs any more, and this is how it ended. It never changes after this.
    Finished {
        /// How.
        outcome: FlowOutcome,
    },
}

/// How an attempt of a node ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeEnd {
    /// Its outputs are stored.
    Succeeded {
        /// What the cache had to do with it.
        cached: Cached,
    },
    /// It has no outputs.
    Failed(NodeError),
    /// What it ran was stopped.
    Aborted {
        /// Why, in the words of who did it.
        reason: String,
    },
}

/// Where a node's outputs come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cached {
    /// From running; the task is not cached.
    #[default]
    Off,
    /// From running, at least in part; they are in the cache now.
    Populated,
    /// All from the cache.
    Hit,
}

/// Why a node has failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeError {
    /// The error's code: the error document's, or a name of ours.
    pub code: String,
    /// What went wrong and, where it is known, what to do.
    pub message: String,
    /// Who is to blame.
    pub origin: Origin,
    /// Whether another attempt of the node may go better; one is made where the node has retries of its own.
    pub recoverable: bool,
}

/// How a workflow's execution ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlowOutcome {
    /// Every node has succeeded, and the outputs are stored.
    Succeeded,
    /// A node has failed, or the outputs could not be bound.
    Failed {
        /// The innermost node that failed first; absent when it was the workflow's outputs.
        node: Option<String>,
        /// Why.
        error: NodeError,
    },
    /// It was asked to stop.
    Aborted {
        /// The asker's words.
        cause: String,
        /// The asker.
        principal: String,
    },
}
