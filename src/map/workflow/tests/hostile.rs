//! Inputs made to break things, and large ones.

use proptest::prelude::*;
use prost::Message;

use super::samples::{closure, constant, enters, faults, fixture, graph, list, promise, runs, workflow};
use super::world::World;
use crate::idl::core::{CompiledWorkflowClosure, Node, WorkflowTemplate};
use crate::idl::make;
use crate::map::workflow::graph::{MAX_DEPTH, MAX_NODES};
use crate::map::workflow::{FlowOutcome, Graph};

/// `levels` workflows, each of which runs the next one `times` over.
fn tower(levels: usize, times: usize) -> Vec<WorkflowTemplate> {
    let level = |at: usize| {
        let inner = format!("w{}", at + 1);
        let runs = |time: usize| enters(&format!("n{time}"), &inner, Vec::new());
        let nodes = if at + 1 < levels { (0..times).map(runs).collect() } else { Vec::new() };
        workflow(&format!("w{at}"), &[], nodes, Vec::new())
    };
    (0..levels).map(level).collect()
}

fn refused(mut tower: Vec<WorkflowTemplate>) -> String {
    let primary = tower.remove(0);
    faults(primary, tower)
}

#[test]
fn a_small_message_cannot_make_a_large_graph() {
    assert!(refused(tower(12, 10)).contains("nodes, and 20000 are possible"));
    assert!(refused(tower(15, 40)).contains("nodes, and 20000 are possible"));
}

#[test]
fn what_is_wrong_in_many_places_is_told_in_a_few() {
    let node = |at: usize| runs(&format!("n{at}"), "text", Vec::new());
    let message = faults(workflow("w", &[], (0..MAX_NODES).map(node).collect(), Vec::new()), Vec::new());
    assert_eq!(message.lines().count(), 26);
    assert!(message.contains("... and 19975 more"), "{message}");
    let message = faults(workflow("w", &[], (0..MAX_NODES + 3).map(node).collect(), Vec::new()), Vec::new());
    assert!(message.contains("it has 20003 nodes, and 20000 are possible"), "{message}");
}

#[test]
fn one_task_is_copied_once_however_many_nodes_run_it() {
    let node = |at: usize| runs(&format!("n{at}"), "none", Vec::new());
    let graph = graph(workflow("w", &[], (0..2).map(node).collect(), Vec::new()), Vec::new());
    let [one, other] = ["n0", "n1"].map(|id| std::ptr::from_ref(graph.node(id).unwrap().interface()));
    assert_eq!(one, other);
}

#[test]
fn depth_is_bounded() {
    let mut deepest = tower(MAX_DEPTH, 1);
    let primary = deepest.remove(0);
    assert_eq!(graph(primary, deepest).nodes().len(), MAX_DEPTH - 1);
    assert!(refused(tower(MAX_DEPTH + 1, 1)).contains("deep in one another"));
    assert!(refused(tower(5000, 1)).contains("deep in one another"));
    // The deepest part was read before, on a shorter way.
    let mut short = tower(MAX_DEPTH, 1);
    let mut primary = short[0].clone();
    primary.id.as_mut().unwrap().name = "outer".to_owned();
    primary.nodes = vec![enters("a", "w1", Vec::new()), enters("b", "w0", Vec::new())];
    short.push(workflow("unused", &[], Vec::new(), Vec::new()));
    assert!(faults(primary, short).contains("levels of sub-workflows"));
}

#[test]
fn long_names_stay_out_of_keys_and_answers() {
    let node = |id: String| runs(&id, "none", Vec::new());
    assert!(faults(workflow("w", &[], vec![node("n".repeat(101))], Vec::new()), Vec::new()).contains("node_name"));
    let mut nested = tower(6, 1);
    for workflow in &mut nested {
        workflow.nodes.iter_mut().for_each(|node| node.id = "n".repeat(60));
    }
    assert!(refused(nested).contains("bytes in the longest node id"));
    let message = faults(workflow(&"w".repeat(100_000), &[], vec![node("../x".to_owned())], Vec::new()), Vec::new());
    assert!(message.len() < 1000, "{}", message.len());
}

#[test]
fn nodes_that_all_wait_for_all_before_them_are_bounded() {
    let all = |at: usize| {
        let before: Vec<_> = (0..at).map(|at| format!("n{at}")).collect();
        Node { upstream_node_ids: before, ..runs(&format!("n{at}"), "none", Vec::new()) }
    };
    let dense = workflow("dense", &[], (0..200).map(all).collect(), Vec::new());
    let nodes = (0..60).map(|at| enters(&format!("n{at}"), "dense", Vec::new())).collect();
    let message = faults(workflow("w", &[], nodes, Vec::new()), vec![dense]);
    assert!(message.contains("dependencies between nodes"), "{message}");
}

#[test]
fn a_deep_binding_is_refused() {
    let mut deep = constant(make::integer(1));
    for _ in 0..30 {
        deep = list(vec![deep]);
    }
    let nodes = vec![runs("n0", "list", vec![("xs", deep)])];
    assert!(faults(workflow("w", &[], nodes, Vec::new()), Vec::new()).contains("it is a list"));
}

/// A chain within which every node has `beside` others beside it.
fn run_through(world: &mut World) -> usize {
    let mut actions = 0;
    loop {
        let asked = world.next();
        actions += asked.len();
        for action in &asked {
            match action.split_once(' ') {
                Some(("start", node)) => world.start(node),
                Some(("drive", node)) => world.succeed(node),
                _ if action == "bind" => world.bind(None),
                _ if action == "finish" => return actions,
                _ => panic!("unexpected: {action}"),
            }
        }
    }
}

#[test]
fn ten_thousand_nodes_in_a_row_and_side_by_side() {
    let chain = (0..10_000).map(|at| {
        let before = if at == 0 { promise("", "x") } else { promise(&format!("n{}", at - 1), "o0") };
        runs(&format!("n{at}"), "one", vec![("a", before)])
    });
    let chain = workflow("w", &[("x", "int")], chain.collect(), vec![("o0", "int", promise("n9999", "o0"))]);
    let side = (0..MAX_NODES).map(|at| runs(&format!("n{at}"), "none", Vec::new()));
    let side = workflow("w", &[], side.collect(), Vec::new());
    for (template, nodes, places) in [(chain, 10_000, 0), (side, MAX_NODES, 7)] {
        let mut world = World::new(graph(template, Vec::new()), places);
        assert_eq!(run_through(&mut world), 2 * nodes + 2, "each is started and driven once");
        assert_eq!(world.outcome(), FlowOutcome::Succeeded);
    }
}

proptest! {
    #[test]
    fn damaged_registrations_are_read_or_refused(at in 0_usize..6000, flip in 1_u8..=255, cut in 0_usize..6000) {
        for whole in [fixture!("nested"), fixture!("maps"), fixture!("attributes"), closure(tower(3, 2)[0].clone(), tower(3, 2))] {
            let mut bytes = whole.encode_to_vec();
            let length = bytes.len();
            bytes[at % length] ^= flip;
            bytes.truncate(length - cut % 3);
            if let Ok(damaged) = CompiledWorkflowClosure::decode(bytes.as_slice()) {
                let _ = Graph::compile(&damaged);
            }
        }
    }
}
