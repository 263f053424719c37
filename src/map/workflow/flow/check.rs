//! Whether an event fits. The journal may be damaged, the conductor may be late or wrong, so nothing is taken on trust: an
//! event that would run a node twice, or lose one, is refused before it changes anything.

use super::super::event::{FlowEvent, NodeEnd};
use super::super::graph::{GraphNode, NodeKind};
use super::state::{NodePhase, NodeState};
use super::{Flow, IllegalEvent};

impl Flow {
    /// Whether [`Flow::handle`] would take the event: to be asked before an answer is journalled.
    ///
    /// # Errors
    /// When it would not; the answer has come too late, or is wrong.
    pub fn check(&self, event: &FlowEvent) -> Result<(), IllegalEvent> {
        self.problem(event).map_err(|problem| IllegalEvent { event: format!("{event:?}"), problem })
    }

    fn problem(&self, event: &FlowEvent) -> Result<(), String> {
        if self.finished {
            return Err("it has finished".to_owned());
        }
        match event {
            FlowEvent::Taken { .. } => Ok(()),
            FlowEvent::NodeStarted { node, attempt, execution } => {
                self.check_started(node, *attempt, execution.as_deref())
            }
            FlowEvent::BranchTaken { node, taken } => self.check_taken(node, taken),
            FlowEvent::NodeEnded { node, attempt, end } => self.check_ended(node, *attempt, end),
            FlowEvent::NodeReused { node, .. } => {
                let (_, state) = self.known(node)?;
                if state.phase != NodePhase::Queued {
                    return Err(format!("node {node} is not about to start"));
                }
                Ok(())
            }
            FlowEvent::OutputsBound { node, .. } => {
                let name = node.as_deref().unwrap_or("the workflow");
                let scope = self.find_scope(node.as_deref()).ok_or_else(|| format!("{name} is no sub-workflow"))?;
                if self.scopes[scope].binding { Ok(()) } else { Err(format!("{name} has no outputs to bind now")) }
            }
            FlowEvent::AbortRequested { .. } if self.abort.is_some() => Err("it is being aborted".to_owned()),
            FlowEvent::AbortRequested { .. } if self.outcome.is_some() => Err("it is over".to_owned()),
            FlowEvent::AbortRequested { .. } => Ok(()),
            FlowEvent::Finished { outcome } => match &self.outcome {
                None => Err("something of it still runs".to_owned()),
                Some(decided) if decided != outcome => Err(format!("its outcome is {decided:?}")),
                Some(_) => Ok(()),
            },
        }
    }

    fn known(&self, node: &str) -> Result<(&GraphNode, &NodeState), String> {
        let number = *self.graph.ids.get(node).ok_or_else(|| format!("the workflow has no node {node}"))?;
        Ok((&self.graph.nodes[number], &self.nodes[number]))
    }

    fn check_started(&self, node: &str, attempt: u32, execution: Option<&str>) -> Result<(), String> {
        let (known, state) = self.known(node)?;
        if state.phase != NodePhase::Queued {
            return Err(format!("node {node} is not about to start"));
        }
        check_attempt(node, state, attempt)?;
        match (&known.kind, execution) {
            (NodeKind::Workflow(_), None) => Ok(()),
            (NodeKind::Workflow(_), Some(_)) => Err(format!("node {node} runs a sub-workflow, no map execution")),
            (NodeKind::Branch(_), _) => Err(format!("node {node} is a branch and has not chosen")),
            (_, Some(id)) if !id.is_empty() => Ok(()),
            _ => Err(format!("node {node} needs a map execution")),
        }
    }

    /// A branch chooses one of its own, once.
    fn check_taken(&self, node: &str, taken: &str) -> Result<(), String> {
        let (known, state) = self.known(node)?;
        if state.phase != NodePhase::Queued {
            return Err(format!("node {node} is not about to start"));
        }
        let NodeKind::Branch(scope) = known.kind else { return Err(format!("node {node} is no branch")) };
        let own = self.graph.ids.get(taken).is_some_and(|number| self.graph.scopes[scope].nodes.contains(number));
        if own { Ok(()) } else { Err(format!("node {taken} is none of the branch {node}")) }
    }

    /// A node ends that runs, or that could not be started. A sub-workflow's node ends with its own.
    fn check_ended(&self, node: &str, attempt: u32, end: &NodeEnd) -> Result<(), String> {
        let (known, state) = self.known(node)?;
        check_attempt(node, state, attempt)?;
        match (state.phase, end) {
            (NodePhase::Running, _) if known.is_parent() => Err(format!("node {node} ends with its sub-workflow")),
            (NodePhase::Running, _) | (NodePhase::Queued, NodeEnd::Failed(_)) => Ok(()),
            (NodePhase::Queued, _) => Err(format!("node {node} has not started")),
            _ => Err(format!("node {node} does not run")),
        }
    }
}

fn check_attempt(node: &str, state: &NodeState, attempt: u32) -> Result<(), String> {
    if attempt == state.attempt {
        return Ok(());
    }
    Err(format!("node {node} is at attempt {}", state.attempt))
}
