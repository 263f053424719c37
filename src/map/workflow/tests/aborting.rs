//! Executions that are asked to stop.

use std::sync::Arc;

use super::samples::{enters, graph, runs, workflow};
use super::world::World;
use crate::map::workflow::{Flow, FlowAction, FlowEvent, FlowOutcome, FlowPhase, NodeEnd, NodePhase};

fn aborted() -> FlowOutcome {
    FlowOutcome::Aborted { cause: "enough".to_owned(), principal: "me".to_owned() }
}

/// a runs leaf with n0 and, after it, n1; b stands beside it.
fn nested() -> World {
    let none = |id: &str| runs(id, "none", Vec::new());
    let leaf = workflow("leaf", &[], vec![none("n0"), none("n1").after(&["n0"])], Vec::new());
    let nodes = vec![enters("a", "leaf", Vec::new()), none("b")];
    World::new(graph(workflow("w", &[], nodes, Vec::new()), vec![leaf]), 0)
}

#[test]
fn everything_that_runs_is_stopped() {
    let mut world = nested();
    for node in ["a", "b", "a-0-n0"] {
        world.start(node);
    }
    world.asked();
    world.abort();
    assert_eq!(world.flow.phase(), FlowPhase::Aborting);
    assert_eq!(world.next(), ["abort b", "abort a-0-n0"]);
    world.take_over();
    assert_eq!(world.next(), ["abort b", "abort a-0-n0"]);
    world.end("b", NodeEnd::Aborted { reason: "enough".to_owned() });
    // One that ends well all the same lets nothing start after it.
    world.succeed("a-0-n0");
    assert_eq!(world.phase("a-0-n1"), NodePhase::Waiting);
    assert_eq!(world.phase("a"), NodePhase::Aborted);
    assert_eq!(world.outcome(), aborted());
    assert_eq!(world.flow.phase(), FlowPhase::Aborted);
    assert_eq!(world.flow.abort(), Some(("enough", "me")));
}

#[test]
fn what_was_started_and_not_yet_driven_is_only_stopped() {
    let mut world = nested();
    world.start("b");
    world.abort();
    assert_eq!(world.next(), ["abort b"]);
}

#[test]
fn an_abort_outranks_a_failure() {
    let mut world = nested();
    for node in ["a", "b", "a-0-n0"] {
        world.start(node);
    }
    world.fail("b");
    world.abort();
    world.fail("a-0-n0");
    assert_eq!(world.outcome(), aborted());
    assert_eq!(world.phase("b"), NodePhase::Failed);
}

#[test]
fn an_abort_before_anything_runs_ends_it() {
    let graph = graph(workflow("w", &[], vec![runs("n0", "none", Vec::new())], Vec::new()), Vec::new());
    let mut flow = Flow::new(Arc::new(graph), 0);
    let abort = FlowEvent::AbortRequested { cause: "enough".to_owned(), principal: "me".to_owned() };
    flow.handle(1, &abort).unwrap();
    assert!(flow.check(&abort).unwrap_err().problem.contains("is being aborted"));
    flow.handle(2, &FlowEvent::Taken { server: "s".to_owned() }).unwrap();
    let Some(FlowAction::Record(event)) = flow.next_action() else { panic!("nothing to record") };
    flow.handle(3, &event).unwrap();
    assert_eq!(flow.next_action(), Some(FlowAction::Finish(aborted())));
}

#[test]
fn an_abort_while_outputs_are_bound_does_not_wait_for_them() {
    let mut world = nested();
    world.start("a");
    for node in ["a-0-n0", "a-0-n1"] {
        world.start(node);
        world.succeed(node);
    }
    world.start("b");
    assert_eq!(world.next(), ["bind a", "drive b"]);
    world.abort();
    assert_eq!(world.phase("a"), NodePhase::Aborted);
    let late = FlowEvent::OutputsBound { node: Some("a".to_owned()), error: None };
    assert!(world.flow.check(&late).is_err());
    world.succeed("b");
    assert_eq!(world.outcome(), aborted());
}

#[test]
fn an_abort_while_the_workflows_outputs_are_bound_wins() {
    let mut world = World::new(graph(workflow("w", &[], Vec::new(), Vec::new()), Vec::new()), 0);
    assert_eq!(world.next(), ["bind"]);
    world.abort();
    assert_eq!(world.outcome(), aborted());
}
