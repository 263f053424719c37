//! What the machine shows to who asks how it goes.

use super::super::event::{Cached, FlowOutcome, NodeError};
use super::super::graph::{GraphNode, NodeKind};
use super::Flow;
use super::state::{Attempt, NodePhase};

/// Where a workflow's execution stands, in Flyte's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowPhase {
    /// No server has taken it on.
    Queued,
    /// Nodes run.
    Running,
    /// Every node has succeeded, and the outputs are being bound.
    Succeeding,
    /// A node has failed, and others still run.
    Failing,
    /// It was asked to stop, and nodes still run.
    Aborting,
    /// It has outputs.
    Succeeded,
    /// It has none.
    Failed,
    /// It was stopped.
    Aborted,
}

/// A node and its state.
#[derive(Clone, Copy, Debug)]
pub struct NodeView<'a> {
    /// The node: ids, parent, kind.
    pub node: &'a GraphNode,
    /// Where it stands.
    pub phase: NodePhase,
    /// Whether something in it has failed and it is not over: only of a sub-workflow's node.
    pub failing: bool,
    /// The present attempt, or the last: 0 is the first.
    pub attempt: u32,
    /// The attempts before it, in order.
    pub earlier: &'a [Attempt],
    /// The map execution of this attempt.
    pub execution: Option<&'a str>,
    /// When it could first have started, in milliseconds; absent while it waits for other nodes.
    pub created_ms: Option<u64>,
    /// When this attempt started, in milliseconds.
    pub started_ms: Option<u64>,
    /// When it ended, in milliseconds.
    pub ended_ms: Option<u64>,
    /// What the cache had to do with its outputs.
    pub cached: Cached,
    /// The earlier execution whose outputs it has taken over.
    pub reused_from: Option<&'a str>,
    /// Why it has not succeeded.
    pub error: Option<&'a NodeError>,
}

impl Flow {
    /// Every node, in the order of [`super::super::Graph::nodes`].
    pub fn nodes(&self) -> impl Iterator<Item = NodeView<'_>> {
        (0..self.nodes.len()).map(|number| self.view(number))
    }

    /// The node of this unique id.
    pub fn node(&self, id: &str) -> Option<NodeView<'_>> {
        self.graph.ids.get(id).map(|&number| self.view(number))
    }

    /// The node that a branch has taken; nothing where it is none, or has not chosen.
    pub fn taken(&self, branch: &str) -> Option<&str> {
        let NodeKind::Branch(scope) = self.graph.node(branch)?.kind else { return None };
        let mut nodes = self.graph.scopes[scope].nodes.clone();
        let taken = nodes.find(|&number| !matches!(self.nodes[number].phase, NodePhase::Skipped | NodePhase::Waiting));
        taken.map(|number| self.graph.nodes[number].id.as_str())
    }

    /// The nodes of the sub-workflow that `parent` runs, or of the workflow itself; none where it is no such node.
    pub fn children(&self, parent: Option<&str>) -> impl Iterator<Item = NodeView<'_>> {
        let nodes = self.graph.scope_of(parent).map_or(0..0, super::super::Scope::nodes);
        nodes.map(|number| self.view(number))
    }

    fn view(&self, number: usize) -> NodeView<'_> {
        let (node, state) = (&self.graph.nodes[number], &self.nodes[number]);
        let failing = node
            .scope_within()
            .is_some_and(|scope| state.phase == NodePhase::Running && self.scopes[scope].failure.is_some());
        NodeView {
            node,
            phase: state.phase,
            failing,
            attempt: state.attempt,
            earlier: &state.earlier,
            execution: state.execution.as_deref(),
            created_ms: state.created_ms,
            started_ms: state.started_ms,
            ended_ms: state.ended_ms,
            cached: state.cached,
            reused_from: state.reused_from.as_deref(),
            error: state.error.as_ref(),
        }
    }

    /// Where the execution stands.
    pub fn phase(&self) -> FlowPhase {
        let root = &self.scopes[0];
        match self.finished() {
            Some(FlowOutcome::Succeeded) => FlowPhase::Succeeded,
            Some(FlowOutcome::Failed { .. }) => FlowPhase::Failed,
            Some(FlowOutcome::Aborted { .. }) => FlowPhase::Aborted,
            None if self.abort.is_some() => FlowPhase::Aborting,
            None if root.failure.is_some() || matches!(self.outcome, Some(FlowOutcome::Failed { .. })) => {
                FlowPhase::Failing
            }
            None if root.binding || self.outcome.is_some() => FlowPhase::Succeeding,
            None if root.open => FlowPhase::Running,
            None => FlowPhase::Queued,
        }
    }

    /// The server that has it.
    pub fn server(&self) -> Option<&str> {
        self.server.as_deref()
    }

    /// When the first server took it on, in milliseconds.
    pub fn started_ms(&self) -> Option<u64> {
        self.times.map(|(first, _)| first)
    }

    /// When something last happened, in milliseconds; its end, once it has finished.
    pub fn updated_ms(&self) -> Option<u64> {
        self.times.map(|(_, last)| last)
    }

    /// The cause and the principal of the abort that was asked for.
    pub fn abort(&self) -> Option<(&str, &str)> {
        self.abort.as_ref().map(|(cause, principal)| (cause.as_str(), principal.as_str()))
    }

    /// How many nodes may run a task at once; 0 is unbounded.
    pub fn max_parallelism(&self) -> u32 {
        self.max_parallelism
    }
}
