//! What follows from an event: which nodes may start, which are to stop, and when a scope is over.

use super::super::event::{Cached, FlowOutcome, NodeEnd, NodeError};
use super::Flow;
use super::state::{Attempt, NodePhase};
use crate::idl::core::workflow_metadata::OnFailurePolicy;
use crate::map::policy::Origin;

impl Flow {
    /// Puts on the list what is wanted of a node in its present state.
    pub(super) fn want(&mut self, number: usize) {
        let parent = self.graph.nodes[number].is_parent();
        let stopping = self.scopes[self.graph.nodes[number].scope].stopping;
        let list = match self.nodes[number].phase {
            NodePhase::Queued if parent => &mut self.todo.parents,
            NodePhase::Queued => &mut self.todo.tasks,
            NodePhase::Running if parent => return,
            NodePhase::Running if stopping => &mut self.todo.aborts,
            NodePhase::Running => &mut self.todo.drives,
            _ => return,
        };
        list.insert(number);
    }

    /// Takes a node off every list: it is not wanted any more.
    fn unwant(&mut self, number: usize) {
        let todo = &mut self.todo;
        for list in [&mut todo.aborts, &mut todo.parents, &mut todo.drives, &mut todo.tasks, &mut todo.starting] {
            list.remove(&number);
        }
    }

    /// Lets the nodes of a scope run: those that wait for no other begin. Once only.
    pub(super) fn open(&mut self, scope: usize, now: u64) {
        if std::mem::replace(&mut self.scopes[scope].open, true) {
            return;
        }
        for number in self.graph.scopes[scope].nodes.clone() {
            self.release(number, now);
        }
        self.settle(scope, now);
    }

    /// Queues a node if nothing holds it back.
    fn release(&mut self, number: usize, now: u64) {
        let scope = &mut self.scopes[self.graph.nodes[number].scope];
        let state = &mut self.nodes[number];
        if state.phase == NodePhase::Waiting && state.blocked == 0 && !scope.stopping {
            state.phase = NodePhase::Queued;
            state.created_ms = Some(now);
            scope.active += 1;
            self.want(number);
        }
    }

    pub(super) fn started(&mut self, number: usize, execution: Option<&str>, now: u64) {
        self.unwant(number);
        let state = &mut self.nodes[number];
        state.phase = NodePhase::Running;
        state.started_ms = Some(now);
        state.execution = execution.map(str::to_owned);
        match self.graph.nodes[number].scope_within() {
            Some(scope) => self.open(scope, now),
            None => {
                self.running += 1;
                self.want(number);
            }
        }
    }

    /// A branch has chosen: the other nodes in it are passed over, and this one begins.
    pub(super) fn take(&mut self, number: usize, taken: usize, now: u64) {
        if let Some(scope) = self.graph.nodes[number].scope_within() {
            for other in self.graph.scopes[scope].nodes.clone().filter(|other| *other != taken) {
                let state = &mut self.nodes[other];
                state.phase = NodePhase::Skipped;
                (state.created_ms, state.ended_ms) = (Some(now), Some(now));
                self.scopes[scope].left -= 1;
            }
        }
        self.started(number, None, now);
    }

    pub(super) fn ended(&mut self, number: usize, end: &NodeEnd, now: u64) {
        let stopping = self.scopes[self.graph.nodes[number].scope].stopping;
        match end {
            NodeEnd::Succeeded { cached } => self.succeed(number, *cached, now),
            NodeEnd::Failed(error) if self.tries_again(number, error) && !stopping => {
                self.try_again(number, error, now)
            }
            NodeEnd::Failed(error) => {
                self.fail(number, NodePhase::Failed, (Some(number), error.clone()), now);
            }
            NodeEnd::Aborted { reason } => {
                let error = NodeError {
                    code: "Aborted".to_owned(),
                    message: reason.clone(),
                    origin: Origin::User,
                    recoverable: false,
                };
                self.fail(number, NodePhase::Aborted, (Some(number), error), now);
            }
        }
    }

    fn tries_again(&self, number: usize, error: &NodeError) -> bool {
        error.recoverable && self.nodes[number].attempt < self.graph.nodes[number].retries
    }

    fn try_again(&mut self, number: usize, error: &NodeError, now: u64) {
        self.unwant(number);
        self.leave(number);
        let state = &mut self.nodes[number];
        let (execution, started_ms) = (state.execution.take(), state.started_ms.take());
        state.earlier.push(Attempt { execution, started_ms, ended_ms: now, error: error.clone() });
        state.attempt += 1;
        state.phase = NodePhase::Queued;
        self.want(number);
    }

    /// Frees the place of a node that runs a task.
    fn leave(&mut self, number: usize) {
        if self.nodes[number].phase == NodePhase::Running && !self.graph.nodes[number].is_parent() {
            self.running -= 1;
        }
    }

    /// Ends a node that was queued or ran. What it means for its scope is for the caller to say.
    fn end(&mut self, number: usize, phase: NodePhase, now: u64) {
        self.unwant(number);
        self.leave(number);
        let state = &mut self.nodes[number];
        state.phase = phase;
        state.ended_ms = Some(now);
        self.scopes[self.graph.nodes[number].scope].active -= 1;
    }

    pub(super) fn succeed(&mut self, number: usize, cached: Cached, now: u64) {
        self.end(number, NodePhase::Succeeded, now);
        self.nodes[number].cached = cached;
        let graph = std::sync::Arc::clone(&self.graph);
        let node = &graph.nodes[number];
        self.scopes[node.scope].left -= 1;
        for &next in &node.downstream {
            self.nodes[next].blocked -= 1;
            self.release(next, now);
        }
        self.settle(node.scope, now);
    }

    /// Ends a node without success. The first such end is its scope's failure, unless the scope is being stopped anyway.
    fn fail(&mut self, number: usize, phase: NodePhase, failure: (Option<usize>, NodeError), now: u64) {
        self.end(number, phase, now);
        let scope = self.graph.nodes[number].scope;
        self.nodes[number].error = Some(failure.1.clone());
        if !self.scopes[scope].stopping {
            self.scopes[scope].failure.get_or_insert(failure);
            if self.fails_at_once(scope) {
                self.stop(scope, now);
                return;
            }
        }
        self.settle(scope, now);
    }

    fn fails_at_once(&self, scope: usize) -> bool {
        let policy = self.graph.scopes[scope].template.metadata.as_ref().map(|metadata| metadata.on_failure());
        policy != Some(OnFailurePolicy::FailAfterExecutableNodesComplete)
    }

    /// Starts no further node of a scope, and stops what runs in it.
    pub(super) fn stop(&mut self, scope: usize, now: u64) {
        if !std::mem::replace(&mut self.scopes[scope].stopping, true) {
            let graph = std::sync::Arc::clone(&self.graph);
            for number in graph.scopes[scope].nodes.clone() {
                match (self.nodes[number].phase, graph.nodes[number].scope_within()) {
                    (NodePhase::Queued, _) => self.end(number, NodePhase::Aborted, now),
                    (NodePhase::Running, Some(inner)) => self.stop(inner, now),
                    (NodePhase::Running, None) => {
                        self.unwant(number);
                        self.want(number);
                    }
                    _ => {}
                }
            }
        }
        self.settle(scope, now);
    }

    /// What becomes of a scope when nothing of it is queued or runs: it is over, or its outputs are to be bound.
    fn settle(&mut self, scope: usize, now: u64) {
        let state = &mut self.scopes[scope];
        let owner = self.graph.scopes[scope].owner;
        if state.active > 0
            || self.outcome.is_some()
            || owner.is_some_and(|it| self.nodes[it].phase != NodePhase::Running)
        {
            return;
        }
        if let Some(failure) = state.failure.clone() {
            self.close(scope, NodePhase::Failed, Some(failure), now);
        } else if state.stopping {
            self.close(scope, NodePhase::Aborted, None, now);
        } else if state.left == 0 && state.open && !state.binding {
            state.binding = true;
            self.todo.binds.insert(scope);
        }
    }

    pub(super) fn bound(&mut self, scope: usize, error: Option<NodeError>, now: u64) {
        self.scopes[scope].binding = false;
        self.todo.binds.remove(&scope);
        match (error, self.graph.scopes[scope].owner) {
            (None, Some(owner)) => self.succeed(owner, Cached::Off, now),
            (None, None) => self.outcome = Some(FlowOutcome::Succeeded),
            (Some(error), owner) => self.close(scope, NodePhase::Failed, Some((owner, error)), now),
        }
    }

    /// Ends a scope without success, and with it the node or the execution whose scope it is.
    fn close(&mut self, scope: usize, phase: NodePhase, failure: Option<(Option<usize>, NodeError)>, now: u64) {
        self.scopes[scope].binding = false;
        self.todo.binds.remove(&scope);
        match (self.graph.scopes[scope].owner, failure) {
            (Some(owner), Some(failure)) => self.fail(owner, phase, failure, now),
            (Some(owner), None) => {
                self.end(owner, phase, now);
                self.settle(self.graph.nodes[owner].scope, now);
            }
            (None, failure) => self.outcome = Some(self.unsuccessful(failure)),
        }
    }

    /// The outcome of an execution that does not succeed. Who asked for the end gets it, whatever failed meanwhile.
    fn unsuccessful(&self, failure: Option<(Option<usize>, NodeError)>) -> FlowOutcome {
        match (&self.abort, failure) {
            (None, Some((node, error))) => {
                FlowOutcome::Failed { node: node.map(|number| self.graph.nodes[number].id.clone()), error }
            }
            (abort, _) => {
                let (cause, principal) = abort.clone().unwrap_or_default();
                FlowOutcome::Aborted { cause, principal }
            }
        }
    }
}
