//! Executions that fail.

use super::samples::{enters, graph, maps, promise, runs, workflow};
use super::world::{World, error};
use crate::idl::core::WorkflowTemplate;
use crate::map::workflow::{FlowEvent, FlowOutcome, FlowPhase, NodeEnd, NodeError, NodePhase};

/// n0 and n1 wait for nothing, n2 for n0, n3 for n1.
fn pairs() -> WorkflowTemplate {
    let none = |id: &str| runs(id, "none", Vec::new());
    let nodes = vec![none("n0"), none("n1"), none("n2").after(&["n0"]), none("n3").after(&["n1"])];
    workflow("w", &[], nodes, Vec::new())
}

fn failed(node: &str) -> FlowOutcome {
    FlowOutcome::Failed { node: Some(node.to_owned()), error: error("Oops") }
}

#[test]
fn one_failure_stops_the_rest() {
    let mut world = World::new(graph(pairs(), Vec::new()), 0);
    world.start("n0");
    world.start("n1");
    assert_eq!(world.next(), ["drive n0", "drive n1"]);
    world.fail("n0");
    assert_eq!(world.flow.phase(), FlowPhase::Failing);
    assert_eq!(world.next(), ["abort n1"]);
    world.end("n1", NodeEnd::Aborted { reason: "n0 failed".to_owned() });
    assert_eq!(world.outcome(), failed("n0"));
    assert_eq!((world.phase("n1"), world.phase("n3")), (NodePhase::Aborted, NodePhase::Waiting));
    assert_eq!(world.flow.phase(), FlowPhase::Failed);
}

#[test]
fn what_waits_for_a_place_never_starts() {
    let mut world = World::new(graph(pairs(), Vec::new()), 1);
    world.start("n0");
    assert_eq!(world.phase("n1"), NodePhase::Queued);
    world.fail("n0");
    assert_eq!(world.phase("n1"), NodePhase::Aborted);
    assert_eq!(world.outcome(), failed("n0"));
}

#[test]
fn a_lenient_workflow_goes_on_as_far_as_it_can() {
    let mut world = World::new(graph(pairs().lenient(), Vec::new()), 0);
    world.start("n0");
    world.start("n1");
    world.fail("n0");
    assert_eq!(world.next(), ["drive n1"], "n1 is not stopped, and n2 never starts");
    assert_eq!(world.flow.phase(), FlowPhase::Failing);
    world.succeed("n1");
    assert_eq!(world.next(), ["start n3"]);
    world.start("n3");
    world.end("n3", NodeEnd::Failed(error("Later")));
    assert_eq!(world.outcome(), failed("n0"), "the first failure is the one to show");
    assert_eq!(world.flow.node("n3").unwrap().error.unwrap().code, "Later");
    assert_eq!(world.phase("n2"), NodePhase::Waiting);
}

#[test]
fn a_node_that_cannot_be_started_has_failed() {
    let mut world = World::new(graph(pairs(), Vec::new()), 0);
    assert_eq!(world.next(), ["start n0", "start n1"]);
    world.fail("n0");
    let late = FlowEvent::NodeStarted { node: "n1".to_owned(), attempt: 0, execution: Some("x".to_owned()) };
    assert!(world.flow.check(&late).is_err(), "n1 is aborted: what was to start it is dropped");
    assert_eq!(world.outcome(), failed("n0"));
}

#[test]
fn a_map_execution_that_somebody_else_stops_fails_the_workflow() {
    let mut world = World::new(graph(pairs(), Vec::new()), 1);
    world.start("n0");
    world.end("n0", NodeEnd::Aborted { reason: "by hand".to_owned() });
    let FlowOutcome::Failed { node, error } = world.outcome() else { panic!("not failed") };
    assert_eq!((node.as_deref(), error.code.as_str(), error.message.as_str()), (Some("n0"), "Aborted", "by hand"));
    assert_eq!(world.phase("n0"), NodePhase::Aborted);
}

#[test]
fn what_ends_well_while_all_is_stopped_has_ended_well() {
    let mut world = World::new(graph(pairs(), Vec::new()), 0);
    world.start("n0");
    world.start("n1");
    world.fail("n0");
    world.succeed("n1");
    assert_eq!((world.phase("n1"), world.phase("n3")), (NodePhase::Succeeded, NodePhase::Waiting));
    assert_eq!(world.outcome(), failed("n0"));
}

#[test]
fn outputs_that_cannot_be_bound_fail_the_workflow() {
    let mut world = World::new(graph(workflow("w", &[], Vec::new(), Vec::new()), Vec::new()), 0);
    world.tell(FlowEvent::OutputsBound { node: None, error: Some(error("BindingFailed")) });
    assert_eq!(world.flow.phase(), FlowPhase::Failing);
    assert_eq!(world.outcome(), FlowOutcome::Failed { node: None, error: error("BindingFailed") });
}

/// Two levels: w runs leaf as a, leaf has n0 and n1 side by side; b stands beside a.
fn nested(lenient: bool) -> World {
    let none = |id: &str| runs(id, "none", Vec::new());
    let leaf = workflow("leaf", &[], vec![none("n0"), none("n1")], Vec::new());
    let leaf = if lenient { leaf.lenient() } else { leaf };
    let nodes = vec![enters("a", "leaf", Vec::new()), none("b"), none("c").after(&["a"])];
    World::new(graph(workflow("w", &[], nodes, Vec::new()), vec![leaf]), 0)
}

#[test]
fn a_failure_goes_up_when_its_sub_workflow_is_over() {
    let mut world = nested(false);
    for node in ["a", "b", "a-0-n0", "a-0-n1"] {
        world.start(node);
    }
    world.asked();
    world.fail("a-0-n1");
    assert_eq!(world.next(), ["abort a-0-n0"], "b runs on while a is failing");
    let view = world.flow.node("a").unwrap();
    assert_eq!((view.phase, view.failing), (NodePhase::Running, true));
    assert_eq!(world.flow.phase(), FlowPhase::Running);
    world.end("a-0-n0", NodeEnd::Aborted { reason: String::new() });
    assert_eq!(world.phase("a"), NodePhase::Failed);
    assert_eq!(world.flow.node("a").unwrap().error.unwrap().code, "Oops");
    assert_eq!(world.next(), ["abort b"]);
    world.end("b", NodeEnd::Aborted { reason: String::new() });
    assert_eq!(world.outcome(), failed("a-0-n1"));
}

#[test]
fn each_sub_workflow_has_its_own_policy() {
    let mut world = nested(true);
    for node in ["a", "b", "a-0-n0", "a-0-n1"] {
        world.start(node);
    }
    world.asked();
    world.fail("a-0-n1");
    assert_eq!(world.next(), [""; 0], "leaf is lenient");
    world.succeed("a-0-n0");
    assert_eq!(world.phase("a"), NodePhase::Failed);
    assert_eq!(world.next(), ["abort b"], "w is not");
}

#[test]
fn a_failure_outside_stops_what_is_inside() {
    let mut world = nested(true);
    for node in ["a", "b", "a-0-n0"] {
        world.start(node);
    }
    world.asked();
    world.fail("b");
    assert_eq!(world.next(), ["abort a-0-n0"]);
    assert_eq!(world.phase("a-0-n1"), NodePhase::Aborted, "it had not started");
    world.take_over();
    assert_eq!(world.next(), ["abort a-0-n0"]);
    world.fail("a-0-n0");
    assert_eq!((world.phase("a-0-n0"), world.phase("a")), (NodePhase::Failed, NodePhase::Aborted));
    assert_eq!(world.outcome(), failed("b"));
}

#[test]
fn outputs_of_a_sub_workflow_that_cannot_be_bound_fail_its_node() {
    let leaf = workflow("leaf", &[("a", "int")], Vec::new(), vec![("o0", "int", promise("", "a"))]);
    let nodes = vec![enters("n0", "leaf", vec![("a", promise("", "x"))])];
    let mut world = World::new(graph(workflow("w", &[("x", "int")], nodes, Vec::new()), vec![leaf]), 0);
    world.start("n0");
    world.tell(FlowEvent::OutputsBound { node: Some("n0".to_owned()), error: Some(error("BindingFailed")) });
    assert_eq!(world.phase("n0"), NodePhase::Failed);
    assert_eq!(world.outcome(), FlowOutcome::Failed { node: Some("n0".to_owned()), error: error("BindingFailed") });
}

#[test]
fn an_array_with_retries_of_its_own_is_run_again() {
    let nodes = vec![maps("n0", "none", Vec::new()).retries(1), runs("n1", "none", Vec::new()).retries(3)];
    let mut world = World::new(graph(workflow("w", &[], nodes, Vec::new()).lenient(), Vec::new()), 1);
    let recoverable = NodeEnd::Failed(NodeError { recoverable: true, ..error("Again") });
    assert_eq!(world.next(), ["start n0"]);
    world.start("n0");
    world.end("n0", recoverable.clone());
    assert_eq!(world.next(), ["start n0"]);
    world.start("n0");
    let view = world.flow.node("n0").unwrap();
    assert_eq!((view.attempt, view.execution), (1, Some("x-n0-1")));
    assert_eq!(view.earlier.len(), 1);
    assert_eq!(view.earlier[0].execution.as_deref(), Some("x-n0-0"));
    assert_eq!(world.next(), ["drive n0"]);
    world.end("n0", recoverable.clone());
    assert_eq!(world.phase("n0"), NodePhase::Failed, "its budget is used up");
    assert_eq!(world.next(), ["start n1"]);
    world.start("n1");
    world.end("n1", recoverable);
    assert_eq!(world.phase("n1"), NodePhase::Failed, "a task's retries are its map execution's");
}

#[test]
fn what_is_being_stopped_is_not_run_again() {
    let nodes = vec![maps("n0", "none", Vec::new()).retries(1), runs("n1", "none", Vec::new())];
    let mut world = World::new(graph(workflow("w", &[], nodes, Vec::new()), Vec::new()), 0);
    world.start("n0");
    world.start("n1");
    world.fail("n1");
    world.end("n0", NodeEnd::Failed(NodeError { recoverable: true, ..error("Again") }));
    assert_eq!(world.phase("n0"), NodePhase::Failed);
    assert_eq!(world.outcome(), failed("n1"));
}
