//! A conductor that does what it is told and remembers it, for tests that say what happens next themselves.

use std::sync::Arc;

use crate::map::policy::Origin;
use crate::map::workflow::event::Cached;
use crate::map::workflow::{Flow, FlowAction, FlowEvent, FlowOutcome, Graph, NodeEnd, NodeError, NodePhase};

/// A flow, its journal, and the actions that came out of it.
pub(super) struct World {
    pub(super) flow: Flow,
    pub(super) journal: Vec<(u64, FlowEvent)>,
    max_parallelism: u32,
    now: u64,
}

impl World {
    /// An execution that a server has taken on.
    pub(super) fn new(graph: Graph, max_parallelism: u32) -> World {
        let flow = Flow::new(Arc::new(graph), max_parallelism);
        let mut world = World { flow, journal: Vec::new(), max_parallelism, now: 1000 };
        world.tell(FlowEvent::Taken { server: "s".to_owned() });
        world
    }

    /// Journals an event, and hands it in.
    pub(super) fn tell(&mut self, event: FlowEvent) {
        self.flow.check(&event).unwrap();
        self.now += 1;
        self.flow.handle(self.now, &event).unwrap();
        self.journal.push((self.now, event));
    }

    /// What the flow asks for now, decisions journalled on the way.
    pub(super) fn asked(&mut self) -> Vec<FlowAction> {
        let mut asked = Vec::new();
        while let Some(action) = self.flow.next_action() {
            match action {
                FlowAction::Record(event) => self.tell(event),
                FlowAction::Finish(_) => {
                    asked.push(action);
                    break;
                }
                action => asked.push(action),
            }
        }
        asked
    }

    /// The same in short: `start n0`, `drive n0`, `abort n0`, `bind n1`, `bind`, `finish`.
    pub(super) fn next(&mut self) -> Vec<String> {
        self.asked().iter().map(short).collect()
    }

    pub(super) fn start(&mut self, node: &str) {
        let view = self.flow.node(node).unwrap();
        let execution = (!view.node.is_parent()).then(|| format!("x-{node}-{}", view.attempt));
        let event = FlowEvent::NodeStarted { node: node.to_owned(), attempt: view.attempt, execution };
        self.tell(event);
    }

    /// A branch takes one of its own.
    pub(super) fn take(&mut self, node: &str, taken: &str) {
        self.tell(FlowEvent::BranchTaken { node: node.to_owned(), taken: taken.to_owned() });
    }

    pub(super) fn end(&mut self, node: &str, end: NodeEnd) {
        let attempt = self.flow.node(node).unwrap().attempt;
        self.tell(FlowEvent::NodeEnded { node: node.to_owned(), attempt, end });
    }

    pub(super) fn succeed(&mut self, node: &str) {
        self.end(node, NodeEnd::Succeeded { cached: Cached::Off });
    }

    pub(super) fn fail(&mut self, node: &str) {
        self.end(node, NodeEnd::Failed(error("Oops")));
    }

    pub(super) fn bind(&mut self, node: Option<&str>) {
        self.tell(FlowEvent::OutputsBound { node: node.map(str::to_owned), error: None });
    }

    pub(super) fn abort(&mut self) {
        self.tell(FlowEvent::AbortRequested { cause: "enough".to_owned(), principal: "me".to_owned() });
    }

    /// The flow as another server gets it: replayed from the journal.
    pub(super) fn replayed(&self) -> Flow {
        let mut flow = Flow::new(Arc::clone(self.flow.graph()), self.max_parallelism);
        for (now, event) in &self.journal {
            flow.handle(*now, event).unwrap();
        }
        flow.resume();
        flow
    }

    /// Another server takes over.
    pub(super) fn take_over(&mut self) {
        self.flow = self.replayed();
    }

    pub(super) fn phase(&self, node: &str) -> NodePhase {
        self.flow.node(node).unwrap().phase
    }

    /// The flow has finished; how, and what a replay makes of it.
    pub(super) fn outcome(&mut self) -> FlowOutcome {
        let outcome = match self.asked().as_slice() {
            [FlowAction::Finish(outcome)] => outcome.clone(),
            other => panic!("not finished: {other:?}"),
        };
        assert_eq!(self.flow.finished(), Some(&outcome));
        assert_eq!(self.replayed().finished(), Some(&outcome));
        outcome
    }
}

pub(super) fn short(action: &FlowAction) -> String {
    match action {
        FlowAction::Record(event) => format!("record {event:?}"),
        FlowAction::StartNode { node, .. } => format!("start {node}"),
        FlowAction::DriveNode { node, .. } => format!("drive {node}"),
        FlowAction::AbortNode { node, .. } => format!("abort {node}"),
        FlowAction::BindOutputs { node: Some(node) } => format!("bind {node}"),
        FlowAction::BindOutputs { node: None } => "bind".to_owned(),
        FlowAction::Finish(_) => "finish".to_owned(),
    }
}

pub(super) fn error(code: &str) -> NodeError {
    NodeError { code: code.to_owned(), message: "m".to_owned(), origin: Origin::User, recoverable: false }
}
