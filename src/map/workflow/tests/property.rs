//! Random workflows under a random conductor, against an oracle that knows only the rules.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::samples::{chooses, enters, graph, maps, runs, workflow};
use super::world::{World, error};
use crate::idl::core::{Node, WorkflowTemplate};
use crate::map::workflow::event::Cached;
use crate::map::workflow::{
    Flow, FlowAction, FlowEvent, FlowOutcome, Graph, NodeEnd, NodeError, NodeKind, NodePhase, NodeView,
};

/// A workflow's shape: for each node the nodes before it that it waits for, as bits, and what it runs.
#[derive(Clone, Debug)]
struct Shape {
    nodes: Vec<(u16, u8)>,
    lenient: bool,
}

fn shape(most: usize) -> impl Strategy<Value = Shape> {
    let nodes = prop::collection::vec((any::<u16>(), any::<u8>()), 0..=most);
    (nodes, any::<bool>()).prop_map(|(nodes, lenient)| Shape { nodes, lenient })
}

impl Shape {
    /// The workflow of this shape; some nodes run those of `within`, some are arrays that are run again once.
    fn build(&self, name: &str, within: &[&str]) -> WorkflowTemplate {
        let node = |(at, (mask, what)): (usize, &(u16, u8))| -> Node {
            let id = format!("n{at}");
            let node = match within.get(usize::from(what % 8)) {
                Some(inner) => enters(&id, inner, Vec::new()),
                // What it chooses from waits for the same nodes, and so it does itself.
                None if what % 8 == 6 => {
                    let first = within
                        .first()
                        .map_or_else(|| runs("b0", "none", Vec::new()), |it| enters("b0", it, Vec::new()));
                    let before: Vec<String> =
                        (0..at).filter(|before| mask >> before & 1 == 1).map(|it| format!("n{it}")).collect();
                    let before: Vec<&str> = before.iter().map(String::as_str).collect();
                    let within = chooses(
                        "b2",
                        vec![runs("c0", "none", Vec::new()), runs("c1", "none", Vec::new())],
                        1,
                        Vec::new(),
                    );
                    let nodes = vec![first, runs("b1", "none", Vec::new()).after(&before), within];
                    return chooses(&id, nodes, usize::from(what / 8) % 3, Vec::new());
                }
                None if what % 8 == 7 => maps(&id, "none", Vec::new()).retries(1),
                None => runs(&id, "none", Vec::new()),
            };
            let before: Vec<String> =
                (0..at).filter(|before| mask >> before & 1 == 1).map(|it| format!("n{it}")).collect();
            node.after(&before.iter().map(String::as_str).collect::<Vec<_>>())
        };
        let template = workflow(name, &[], self.nodes.iter().enumerate().map(node).collect(), Vec::new());
        if self.lenient { template.lenient() } else { template }
    }
}

/// What the random conductor draws from; zeros when it is used up, which are answers that end everything well.
struct Dice(std::vec::IntoIter<u8>);

impl Dice {
    fn roll(&mut self) -> u8 {
        self.0.next().unwrap_or(0)
    }
}

/// The rules, checked against everything that comes out.
struct Oracle {
    graph: std::sync::Arc<Graph>,
    places: usize,
    /// Attempts asked to start since the last take-over, and attempts that have ended.
    asked: BTreeSet<(String, u32)>,
    ended: BTreeMap<String, NodePhase>,
    running: BTreeSet<String>,
    /// Scopes (by owner) in which something has failed at once, or everything when aborted.
    closed: BTreeSet<Option<String>>,
    aborted: bool,
}

impl Oracle {
    fn starts(&mut self, node: &str, attempt: u32) {
        assert!(self.asked.insert((node.to_owned(), attempt)), "{node} is asked for twice");
        assert!(!self.ended.contains_key(node), "{node} has ended");
        let found = self.graph.node(node).unwrap();
        for &before in found.upstream() {
            let id = self.graph.nodes()[before].id();
            assert_eq!(self.ended.get(id), Some(&NodePhase::Succeeded), "{node} starts before {id} has succeeded");
        }
        assert!(!self.aborted, "{node} starts after the abort");
        let mut around = found.parent().map(str::to_owned);
        loop {
            assert!(!self.closed.contains(&around), "{node} starts after a failure in {around:?}");
            let Some(parent) = around else { break };
            assert!(self.running.contains(&parent), "{node} starts and its parent does not run");
            around = self.graph.node(&parent).unwrap().parent().map(str::to_owned);
        }
        self.count(found.is_parent());
    }

    /// Nodes that were asked for and have not ended hold a place.
    fn count(&self, parent: bool) {
        if parent || self.places == 0 {
            return;
        }
        let leaf = |id: &&String| !self.graph.node(id).unwrap().is_parent();
        let ids: BTreeSet<&String> = self.asked.iter().map(|(id, _)| id).chain(&self.running).collect();
        let taken = ids.into_iter().filter(leaf).filter(|id| !self.ended.contains_key(*id)).count();
        assert!(taken <= self.places, "{taken} nodes run at once");
    }

    /// Takes in what the flow says after an event.
    fn see(&mut self, flow: &Flow) {
        // An attempt that has failed holds no place while the next one waits.
        self.asked.retain(|(id, attempt)| flow.node(id).is_some_and(|view| view.attempt == *attempt));
        for view in flow.nodes() {
            let id = view.node.id();
            if let Some(ended) = self.ended.get(id) {
                assert_eq!(*ended, view.phase, "{id} has changed after its end");
            }
            self.running.remove(id);
            match view.phase {
                NodePhase::Running => {
                    self.running.insert(id.to_owned());
                }
                phase if phase.is_terminal() => {
                    self.ended.insert(id.to_owned(), phase);
                }
                _ => {}
            }
            let strict = !lenient(self.graph.scope_around(view.node).template());
            if view.phase == NodePhase::Failed && strict {
                self.closed.insert(view.node.parent().map(str::to_owned));
            }
        }
    }
}

/// Whether a branch has chosen another, here or around.
fn passed_over(flow: &Flow, view: &NodeView<'_>) -> bool {
    match (view.phase, view.node.parent()) {
        (NodePhase::Skipped, _) => true,
        (NodePhase::Waiting, Some(parent)) => passed_over(flow, &flow.node(parent).unwrap()),
        _ => false,
    }
}

/// Whether exactly one node of a branch was run, if the branch was.
fn one_is_taken(flow: &Flow, branch: &NodeView<'_>) -> bool {
    let ran = flow.children(Some(branch.node.id())).filter(|view| view.phase == NodePhase::Succeeded).count();
    ran == usize::from(branch.phase == NodePhase::Succeeded)
}

fn lenient(template: &WorkflowTemplate) -> bool {
    template.metadata.as_ref().is_some_and(|metadata| metadata.on_failure == 1)
}

fn answer(world: &World, action: &FlowAction, roll: u8, failures: bool) -> FlowEvent {
    let fails = failures && roll % 8 == 7;
    let oops = NodeError { recoverable: roll % 16 == 15, ..error("Oops") };
    match action {
        FlowAction::StartNode { node, attempt } if fails && !world.flow.graph().node(node).unwrap().is_parent() => {
            FlowEvent::NodeEnded { node: node.clone(), attempt: *attempt, end: NodeEnd::Failed(oops) }
        }
        FlowAction::StartNode { node, .. } if world.flow.graph().node(node).unwrap().branch().is_some() => {
            let graph = world.flow.graph();
            let mut within = graph.scope_of(Some(node)).unwrap().nodes();
            let taken = within.nth(usize::from(roll) % within.len()).unwrap();
            FlowEvent::BranchTaken { node: node.clone(), taken: graph.nodes()[taken].id().to_owned() }
        }
        FlowAction::StartNode { node, attempt } => {
            let parent = world.flow.graph().node(node).unwrap().is_parent();
            let execution = (!parent).then(|| "x".to_owned());
            FlowEvent::NodeStarted { node: node.clone(), attempt: *attempt, execution }
        }
        FlowAction::AbortNode { node, attempt, .. } if roll.is_multiple_of(2) => {
            let end = NodeEnd::Aborted { reason: String::new() };
            FlowEvent::NodeEnded { node: node.clone(), attempt: *attempt, end }
        }
        FlowAction::DriveNode { node, attempt, .. } | FlowAction::AbortNode { node, attempt, .. } => {
            let end = if fails { NodeEnd::Failed(oops) } else { NodeEnd::Succeeded { cached: Cached::Off } };
            FlowEvent::NodeEnded { node: node.clone(), attempt: *attempt, end }
        }
        FlowAction::BindOutputs { node } => {
            FlowEvent::OutputsBound { node: node.clone(), error: (failures && roll % 32 == 31).then_some(oops) }
        }
        FlowAction::Record(_) | FlowAction::Finish(_) => panic!("no question: {action:?}"),
    }
}

/// Runs a workflow to its end; its world, and how it ended.
fn live(graph: Graph, places: u32, dice: &mut Dice, failures: bool) -> (World, FlowOutcome) {
    let mut world = World::new(graph, places);
    let mut oracle = Oracle {
        graph: std::sync::Arc::clone(world.flow.graph()),
        places: places as usize,
        asked: BTreeSet::new(),
        ended: BTreeMap::new(),
        running: BTreeSet::new(),
        closed: BTreeSet::new(),
        aborted: false,
    };
    let mut open: Vec<FlowAction> = Vec::new();
    for _ in 0..10_000 {
        for action in world.asked() {
            match action {
                FlowAction::Finish(outcome) => return (world, outcome),
                FlowAction::StartNode { ref node, attempt } => oracle.starts(node, attempt),
                _ => {}
            }
            open.push(action);
        }
        let roll = dice.roll();
        if failures && roll == 255 && world.flow.phase() == crate::map::workflow::FlowPhase::Running {
            world.abort();
            oracle.aborted = true;
        } else if roll % 16 == 14 {
            world.take_over();
            open.clear();
            oracle.asked.clear();
        } else {
            assert!(!open.is_empty(), "nothing is asked, and it has not ended");
            let action = open.swap_remove(usize::from(dice.roll()) % open.len());
            let event = answer(&world, &action, roll, failures);
            // Answers that come too late are dropped, as a conductor does.
            if world.flow.check(&event).is_ok() {
                world.tell(event);
            }
        }
        oracle.see(&world.flow);
    }
    panic!("it does not end");
}

fn replays_like_it_was(world: &World, places: u32) {
    let mut again = Flow::new(std::sync::Arc::clone(world.flow.graph()), places);
    for (now, event) in &world.journal {
        again.handle(*now, event).unwrap();
        let mut resumed = again.clone();
        resumed.resume();
        // Whatever it asks is allowed: the answers are the journal's own.
        while let Some(action) = resumed.next_action() {
            if matches!(action, FlowAction::Record(_) | FlowAction::Finish(_)) {
                break;
            }
        }
    }
    again.resume();
    let mut lived = world.flow.clone();
    lived.resume();
    assert!(again == lived, "the replay differs");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn without_failures_every_node_succeeds_once(
        outer in shape(8), middle in shape(4), inner in shape(3), places in 0_u32..4,
        dice in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let within = vec![middle.build("middle", &["inner"]), inner.build("inner", &[])];
        let graph = graph(outer.build("outer", &["inner", "middle"]), within);
        let (world, outcome) = live(graph, places, &mut Dice(dice.into_iter()), false);
        prop_assert_eq!(outcome, FlowOutcome::Succeeded);
        // All but what branches have passed over, of which nothing has begun.
        let ran = |view: &NodeView<'_>| view.phase == NodePhase::Succeeded && view.attempt == 0;
        prop_assert!(world.flow.nodes().all(|view| ran(&view) || passed_over(&world.flow, &view)));
        prop_assert!(world.flow.nodes().all(|view| view.node.branch().is_none() || one_is_taken(&world.flow, &view)));
        let started =
            |(_, event): &&(u64, FlowEvent)| matches!(event, FlowEvent::NodeStarted { .. } | FlowEvent::BranchTaken { .. });
        prop_assert_eq!(world.journal.iter().filter(started).count(), world.flow.nodes().filter(ran).count());
        replays_like_it_was(&world, places);
    }

    #[test]
    fn whatever_fails_it_ends_by_the_rules(
        outer in shape(8), middle in shape(4), inner in shape(3), places in 0_u32..4,
        dice in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let within = vec![middle.build("middle", &["inner"]), inner.build("inner", &[])];
        let graph = graph(outer.build("outer", &["inner", "middle"]), within);
        let (world, outcome) = live(graph, places, &mut Dice(dice.into_iter()), true);
        let phases = || world.flow.nodes();
        match &outcome {
            FlowOutcome::Succeeded => prop_assert!(
                phases().all(|view| view.phase == NodePhase::Succeeded || passed_over(&world.flow, &view))
            ),
            FlowOutcome::Failed { node: Some(node), error } => {
                let view = world.flow.node(node).unwrap();
                prop_assert!(view.phase == NodePhase::Failed);
                prop_assert_eq!(view.error, Some(error));
            }
            FlowOutcome::Failed { node: None, .. } => {
                let mut top = world.flow.children(None);
                prop_assert!(top.all(|view| view.phase == NodePhase::Succeeded));
            }
            FlowOutcome::Aborted { .. } => prop_assert!(world.flow.abort().is_some()),
        }
        // Nothing is left running, and of a lenient workflow everything has run that could.
        let graph = world.flow.graph();
        for view in phases() {
            prop_assert!(view.phase == NodePhase::Waiting || view.phase.is_terminal());
            let upstream = view.node.upstream().iter().map(|&number| graph.nodes()[number].id());
            let free = upstream.into_iter().all(|id| world.flow.node(id).unwrap().phase == NodePhase::Succeeded);
            let top = view.node.parent().is_none();
            let going_on = top && outer.lenient && !matches!(outcome, FlowOutcome::Aborted { .. });
            prop_assert!(!(going_on && free) || matches!(view.phase, NodePhase::Succeeded | NodePhase::Failed));
        }
        replays_like_it_was(&world, places);
    }

    #[test]
    fn the_edges_are_those_that_were_asked_for(outer in shape(12)) {
        let graph = graph(outer.build("outer", &[]), Vec::new());
        // What branches choose from comes after them.
        for (at, node) in graph.nodes().iter().enumerate().take(outer.nodes.len()) {
            let expected: Vec<usize> = (0..at).filter(|before| outer.nodes[at].0 >> before & 1 == 1).collect();
            prop_assert_eq!(node.upstream(), expected);
            prop_assert!(!matches!(node.kind(), NodeKind::Workflow(_)));
            for &next in node.downstream() {
                prop_assert!(graph.nodes()[next].upstream().contains(&at));
            }
        }
    }
}
