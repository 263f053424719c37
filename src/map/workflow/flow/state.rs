//! What the machine remembers of each node and of each scope.

use super::super::event::{Cached, NodeError};

/// Where a node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodePhase {
    /// Nodes before it have not ended. Such a node does not exist for Flyte's clients yet.
    Waiting,
    /// It may start, and has not: it waits for a place, or its inputs are being bound.
    Queued,
    /// What it runs has been launched, or is about to be.
    Running,
    /// Its outputs are stored.
    Succeeded,
    /// It has no outputs, and gets none.
    Failed,
    /// It was stopped, or kept from starting.
    Aborted,
    /// Its branch has chosen another.
    Skipped,
}

impl NodePhase {
    /// Whether the phase is final.
    pub const fn is_terminal(self) -> bool {
        matches!(self, NodePhase::Succeeded | NodePhase::Failed | NodePhase::Aborted | NodePhase::Skipped)
    }
}

/// An attempt of a node that is over, though the node was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The map execution that ran it; absent when it could not be started.
    pub execution: Option<String>,
    /// When it was started, in milliseconds.
    pub started_ms: Option<u64>,
    /// When it ended, in milliseconds.
    pub ended_ms: u64,
    /// Why.
    pub error: NodeError,
}

/// A node's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NodeState {
    pub(super) phase: NodePhase,
    /// Nodes that it waits for.
    pub(super) blocked: usize,
    pub(super) attempt: u32,
    pub(super) earlier: Vec<Attempt>,
    pub(super) execution: Option<String>,
    pub(super) created_ms: Option<u64>,
    pub(super) started_ms: Option<u64>,
    pub(super) ended_ms: Option<u64>,
    pub(super) cached: Cached,
    pub(super) reused_from: Option<String>,
    pub(super) error: Option<NodeError>,
}

impl NodeState {
    pub(super) fn new(blocked: usize) -> Self {
        NodeState {
            phase: NodePhase::Waiting,
            blocked,
            attempt: 0,
            earlier: Vec::new(),
            execution: None,
            created_ms: None,
            started_ms: None,
            ended_ms: None,
            cached: Cached::Off,
            reused_from: None,
            error: None,
        }
    }
}

/// How far the nodes of a scope have got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ScopeState {
    /// Whether its nodes may run.
    pub(super) open: bool,
    /// Nodes that have neither succeeded nor been passed over.
    pub(super) left: usize,
    /// Nodes that are queued or run.
    pub(super) active: usize,
    /// Whether no further node of it starts, and those that run are stopped.
    pub(super) stopping: bool,
    /// Whether all its nodes have succeeded and its outputs are being bound.
    pub(super) binding: bool,
    /// The first failure in it: the innermost node, absent for outputs that could not be bound, and why.
    pub(super) failure: Option<(Option<usize>, NodeError)>,
}

impl ScopeState {
    pub(super) fn new(nodes: usize) -> Self {
        ScopeState { open: false, left: nodes, active: 0, stopping: false, binding: false, failure: None }
    }
}
