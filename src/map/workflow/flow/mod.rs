//! The machine: what a workflow's execution does next. No clock, no I/O.
//!
//! ```text
//!         next_action()                          handle(now, event)
//! Flow ──────────────────► conductor ──► S3, map executions ─────────────► Flow
//!         Record(event)               (journalled first)
//! ```
//!
//! It is driven as [`super::super::execution::Execution`] is: whatever is to be remembered is a [`FlowEvent`], written to
//! the journal and then handed to [`Flow::handle`], and replaying a journal gives the same machine as living through it.
//! What the machine has asked for and not been told of yet is not part of that: after a replay, [`Flow::resume`] makes it
//! ask again.
//!
//! A node goes through this, the conductor's part in brackets:
//!
//! ```text
//! Waiting ─► Queued ──StartNode──► [bind inputs, choose an id] ──NodeStarted──► Running
//!                                                                               │ a task: DriveNode ─► [launch, drive]
//!                                                                               │ a sub-workflow: its nodes, BindOutputs
//!         of a branch: BranchTaken ─► Running, one node in it begins ───────────┤ a branch: that node, BindOutputs
//!            Succeeded, Failed, Aborted ◄──NodeEnded, OutputsBound──────────────┘
//! ```
//!
//! A conductor does several things at once, so an answer may come when it is not wanted any more: an execution is aborted
//! while a node's inputs are being bound. [`Flow::check`] says so *before* the answer is journalled; it is then dropped.

mod check;
mod decide;
mod state;
mod view;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::event::{Cached, FlowEvent, FlowOutcome};
use super::graph::Graph;
pub use state::{Attempt, NodePhase};
use state::{NodeState, ScopeState};
pub use view::{FlowPhase, NodeView};

/// What the conductor is to do next. Answers are events: journalled, then handed to [`Flow::handle`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlowAction {
    /// Write the event to the journal, then hand it back to [`Flow::handle`].
    Record(FlowEvent),
    /// Bind the node's inputs and store them, and choose the id of the map execution that is to run it, or of a branch the
    /// node that is taken. Answer with `NodeStarted`; with `BranchTaken`, of a branch; with `NodeReused` where an earlier execution has its outputs; with `NodeEnded` as failed where it
    /// cannot be started. Nothing is launched yet.
    StartNode {
        /// The node's unique id.
        node: String,
        /// The attempt: 0 is the first.
        attempt: u32,
    },
    /// Launch this map execution unless that has happened already, and drive it to its end, across any number of servers.
    /// Answer with `NodeEnded`.
    DriveNode {
        /// The node's unique id.
        node: String,
        /// The attempt.
        attempt: u32,
        /// The map execution.
        execution: String,
    },
    /// Stop this map execution. Answer with `NodeEnded`, however it has ended in fact, once nothing of it runs; as aborted
    /// where it was never launched. It comes with or without a `DriveNode` before it.
    AbortNode {
        /// The node's unique id.
        node: String,
        /// The attempt.
        attempt: u32,
        /// The map execution.
        execution: String,
    },
    /// Bind the outputs of a sub-workflow, or of the workflow, from those of its nodes and store them. Answer with
    /// `OutputsBound`.
    BindOutputs {
        /// The sub-workflow's node; absent for the workflow itself.
        node: Option<String>,
    },
    /// Nothing is left to do.
    Finish(FlowOutcome),
}

/// An event that cannot happen in the state it met: one that came too late, a damaged journal, or a bug of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event {event} does not fit the workflow's execution: {problem}")]
pub struct IllegalEvent {
    /// The event, as the journal writes it.
    pub event: String,
    /// What is wrong with it.
    pub problem: String,
}

/// One execution of a workflow.
#[derive(Clone, Debug, PartialEq)]
pub struct Flow {
    graph: Arc<Graph>,
    /// Nodes that may run at once, sub-workflows not counted; 0 is unbounded.
    max_parallelism: u32,
    nodes: Vec<NodeState>,
    scopes: Vec<ScopeState>,
    /// Nodes in [`NodePhase::Running`] that run a task.
    running: usize,
    abort: Option<(String, String)>,
    /// Decided, not yet finished.
    outcome: Option<FlowOutcome>,
    finished: bool,
    server: Option<String>,
    /// When the first and the last event came, in milliseconds.
    times: Option<(u64, u64)>,
    todo: Todo,
}

/// What is to be asked for; every entry comes out once. By number of node or scope, so that the order is the graph's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Todo {
    aborts: BTreeSet<usize>,
    binds: BTreeSet<usize>,
    /// Nodes of sub-workflows, which take no place.
    parents: BTreeSet<usize>,
    drives: BTreeSet<usize>,
    tasks: BTreeSet<usize>,
    /// Tasks asked for by `StartNode` and not answered: they hold a place.
    starting: BTreeSet<usize>,
}

impl Flow {
    /// An execution that has done nothing yet. `max_parallelism` is how many nodes may run a task at once; 0 is
    /// unbounded.
    pub fn new(graph: Arc<Graph>, max_parallelism: u32) -> Self {
        let nodes = graph.nodes.iter().map(|node| NodeState::new(node.upstream.len())).collect();
        let scopes = graph.scopes.iter().map(|scope| ScopeState::new(scope.nodes.len())).collect();
        Flow {
            graph,
            max_parallelism,
            nodes,
            scopes,
            running: 0,
            abort: None,
            outcome: None,
            finished: false,
            server: None,
            times: None,
            todo: Todo::default(),
        }
    }

    /// Takes in an event that is in the journal, which it reached at `now_ms`.
    ///
    /// # Errors
    /// When the event does not fit; the machine is then unchanged.
    pub fn handle(&mut self, now_ms: u64, event: &FlowEvent) -> Result<(), IllegalEvent> {
        self.check(event)?;
        let (first, last) = self.times.unwrap_or((now_ms, now_ms));
        // Time never goes back, whatever the clocks of two servers say.
        let now = now_ms.max(last);
        self.times = Some((first, now));
        match event {
            FlowEvent::Taken { server } => {
                self.server = Some(server.clone());
                self.open(0, now);
            }
            FlowEvent::NodeStarted { node, execution, .. } => {
                self.started(self.number(node), execution.as_deref(), now)
            }
            FlowEvent::BranchTaken { node, taken } => self.take(self.number(node), self.number(taken), now),
            FlowEvent::NodeEnded { node, end, .. } => self.ended(self.number(node), end, now),
            FlowEvent::NodeReused { node, source } => {
                let number = self.number(node);
                self.nodes[number].reused_from = Some(source.clone());
                self.succeed(number, Cached::Off, now);
            }
            FlowEvent::OutputsBound { node, error } => {
                let scope = self.scope_number(node.as_deref());
                self.bound(scope, error.clone(), now);
            }
            FlowEvent::AbortRequested { cause, principal } => {
                self.abort = Some((cause.clone(), principal.clone()));
                self.stop(0, now);
            }
            FlowEvent::Finished { outcome } => {
                self.outcome = Some(outcome.clone());
                self.finished = true;
            }
        }
        Ok(())
    }

    /// Tells a machine that was replayed from a journal that nobody is carrying out its actions any more: whatever is
    /// still wanted comes out of [`Flow::next_action`] again.
    pub fn resume(&mut self) {
        self.todo = Todo::default();
        for number in 0..self.nodes.len() {
            self.want(number);
        }
        for scope in 0..self.scopes.len() {
            if self.scopes[scope].binding {
                self.todo.binds.insert(scope);
            }
        }
    }

    /// What to do next; nothing when only an answer can bring something new.
    pub fn next_action(&mut self) -> Option<FlowAction> {
        if let Some(outcome) = &self.outcome {
            let outcome = outcome.clone();
            let record = FlowAction::Record(FlowEvent::Finished { outcome: outcome.clone() });
            return Some(if self.finished { FlowAction::Finish(outcome) } else { record });
        }
        if let Some(number) = self.todo.aborts.pop_first() {
            return Some(self.ask(number, true));
        }
        if let Some(scope) = self.todo.binds.pop_first() {
            let node = self.graph.owner_id(&self.graph.scopes[scope]).map(str::to_owned);
            return Some(FlowAction::BindOutputs { node });
        }
        if let Some(number) = self.todo.parents.pop_first() {
            return Some(self.start(number));
        }
        if let Some(number) = self.todo.drives.pop_first() {
            return Some(self.ask(number, false));
        }
        let taken = self.running + self.todo.starting.len();
        if self.max_parallelism > 0 && taken >= self.max_parallelism as usize {
            return None;
        }
        let number = self.todo.tasks.pop_first()?;
        self.todo.starting.insert(number);
        Some(self.start(number))
    }

    /// The conductor could not carry out an action that may be tried again: it comes out of [`Flow::next_action`] once
    /// more, if it is still wanted.
    pub fn ask_again(&mut self, action: &FlowAction) {
        match action {
            FlowAction::StartNode { node, .. }
            | FlowAction::DriveNode { node, .. }
            | FlowAction::AbortNode { node, .. } => {
                if let Some(&number) = self.graph.ids.get(node) {
                    self.todo.starting.remove(&number);
                    self.want(number);
                }
            }
            FlowAction::BindOutputs { node } => {
                let scope = self.find_scope(node.as_deref()).filter(|&scope| self.scopes[scope].binding);
                self.todo.binds.extend(scope);
            }
            FlowAction::Record(_) | FlowAction::Finish(_) => {}
        }
    }

    /// The graph it runs.
    pub fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    /// How it has ended, once nothing of it runs.
    pub fn finished(&self) -> Option<&FlowOutcome> {
        self.outcome.as_ref().filter(|_| self.finished)
    }

    fn start(&self, number: usize) -> FlowAction {
        let node = self.graph.nodes[number].id.clone();
        FlowAction::StartNode { node, attempt: self.nodes[number].attempt }
    }

    fn ask(&self, number: usize, abort: bool) -> FlowAction {
        let (node, state) = (self.graph.nodes[number].id.clone(), &self.nodes[number]);
        let (attempt, execution) = (state.attempt, state.execution.clone().unwrap_or_default());
        if abort {
            FlowAction::AbortNode { node, attempt, execution }
        } else {
            FlowAction::DriveNode { node, attempt, execution }
        }
    }

    /// The number of a node that [`Flow::check`] has found.
    fn number(&self, node: &str) -> usize {
        self.graph.ids.get(node).copied().unwrap_or_default()
    }

    fn scope_number(&self, node: Option<&str>) -> usize {
        self.find_scope(node).unwrap_or_default()
    }

    fn find_scope(&self, node: Option<&str>) -> Option<usize> {
        let Some(node) = node else { return Some(0) };
        self.graph.node(node)?.scope_within()
    }
}
