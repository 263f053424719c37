//! Executions that go well.

use super::samples::{enters, fixture, graph, promise, runs, workflow};
use super::world::World;
use crate::map::workflow::event::Cached;
use crate::map::workflow::{Flow, FlowEvent, FlowOutcome, FlowPhase, Graph, NodeEnd, NodePhase};

#[test]
fn nodes_run_when_those_before_them_have_ended() {
    let mut world = World::new(Graph::compile(&fixture!("ordered")).unwrap(), 0);
    assert_eq!(world.next(), ["start n0"]);
    assert_eq!(world.next(), [""; 0], "asked once");
    assert_eq!(world.phase("n1"), NodePhase::Waiting);
    for node in ["n0", "n1", "n2"] {
        assert_eq!(world.phase(node), NodePhase::Queued);
        world.start(node);
        assert_eq!(world.next(), [format!("drive {node}")]);
        assert_eq!(world.flow.phase(), FlowPhase::Running);
        world.succeed(node);
        let next = world.next();
        assert_eq!(next.len(), 1, "{next:?}");
    }
    assert_eq!(world.flow.phase(), FlowPhase::Succeeding);
    world.bind(None);
    assert_eq!(world.outcome(), FlowOutcome::Succeeded);
    assert_eq!(world.flow.phase(), FlowPhase::Succeeded);
    let view = world.flow.node("n1").unwrap();
    assert_eq!(view.execution, Some("x-n1-0"));
    assert!(view.created_ms < view.started_ms && view.started_ms < view.ended_ms);
    assert_eq!(world.flow.updated_ms(), world.journal.last().map(|(now, _)| *now));
}

#[test]
fn a_workflow_without_nodes_succeeds_at_once() {
    let mut world = World::new(Graph::compile(&fixture!("passes_on")).unwrap(), 1);
    assert_eq!(world.next(), ["bind"]);
    world.bind(None);
    assert_eq!(world.outcome(), FlowOutcome::Succeeded);
}

#[test]
fn sub_workflows_run_within_their_nodes() {
    let mut world = World::new(Graph::compile(&fixture!("nested")).unwrap(), 0);
    assert_eq!(world.next(), ["start n0"]);
    world.start("n0");
    assert_eq!(world.next(), ["start n0-0-n0"]);
    world.start("n0-0-n0");
    assert_eq!(world.next(), ["start n0-0-n0-0-n0"]);
    for node in ["n0-0-n0-0-n0", "n0-0-n0-0-n1"] {
        world.start(node);
        world.succeed(node);
    }
    assert_eq!(world.next(), ["bind n0-0-n0", "start n0-0-n0-0-n1"][..1]);
    assert_eq!(world.phase("n0-0-n0"), NodePhase::Running);
    world.bind(Some("n0-0-n0"));
    assert_eq!(world.phase("n0-0-n0"), NodePhase::Succeeded);
    assert_eq!(world.next(), ["start n0-0-n1"]);
    world.start("n0-0-n1");
    for node in ["n0-0-n1-0-n0", "n0-0-n1-0-n1"] {
        world.start(node);
        world.succeed(node);
    }
    world.bind(Some("n0-0-n1"));
    world.start("n0-0-n2");
    world.succeed("n0-0-n2");
    assert_eq!(world.next(), ["bind n0"]);
    world.bind(Some("n0"));
    assert_eq!(world.next(), ["start n1"]);
    world.start("n1");
    world.succeed("n1");
    world.bind(None);
    assert_eq!(world.outcome(), FlowOutcome::Succeeded);
    let children: Vec<&str> = world.flow.children(Some("n0-0-n1")).map(|view| view.node.id()).collect();
    assert_eq!(children, ["n0-0-n1-0-n0", "n0-0-n1-0-n1"]);
    assert_eq!(world.flow.children(None).count(), 2);
    assert_eq!(world.flow.children(Some("n1")).count(), 0);
    assert_eq!(world.flow.nodes().count(), 9);
}

#[test]
fn an_empty_sub_workflow_goes_straight_to_its_outputs() {
    let leaf = workflow("leaf", &[("a", "int")], Vec::new(), vec![("o0", "int", promise("", "a"))]);
    let nodes = vec![enters("n0", "leaf", vec![("a", promise("", "x"))])];
    let primary = workflow("w", &[("x", "int")], nodes, vec![("o0", "int", promise("n0", "o0"))]);
    let mut world = World::new(graph(primary, vec![leaf]), 0);
    assert_eq!(world.next(), ["start n0"]);
    world.start("n0");
    assert_eq!(world.next(), ["bind n0"]);
    world.bind(Some("n0"));
    assert_eq!(world.next(), ["bind"]);
}

/// Nodes n0, n1, ... that wait for nothing.
fn wide(nodes: usize) -> Graph {
    let nodes = (0..nodes).map(|at| runs(&format!("n{at}"), "none", Vec::new())).collect();
    graph(workflow("w", &[], nodes, Vec::new()), Vec::new())
}

#[test]
fn no_more_nodes_run_at_once_than_there_are_places() {
    let mut world = World::new(wide(4), 2);
    assert_eq!(world.next(), ["start n0", "start n1"]);
    world.start("n0");
    assert_eq!(world.next(), ["drive n0"]);
    world.succeed("n0");
    assert_eq!(world.next(), ["start n2"]);
    world.start("n1");
    world.start("n2");
    assert_eq!(world.next(), ["drive n1", "drive n2"]);
    world.take_over();
    assert_eq!(world.next(), ["drive n1", "drive n2"]);
    world.succeed("n2");
    assert_eq!(world.next(), ["start n3"]);
}

#[test]
fn sub_workflows_take_no_place() {
    let leaf = workflow("leaf", &[], vec![runs("n0", "none", Vec::new())], Vec::new());
    let nodes = vec![enters("a", "leaf", Vec::new()), enters("b", "leaf", Vec::new())];
    let mut world = World::new(graph(workflow("w", &[], nodes, Vec::new()), vec![leaf]), 1);
    assert_eq!(world.next(), ["start a", "start b"]);
    world.start("a");
    world.start("b");
    assert_eq!(world.next(), ["start a-0-n0"]);
    world.start("a-0-n0");
    world.succeed("a-0-n0");
    assert_eq!(world.next(), ["bind a", "start b-0-n0"]);
}

#[test]
fn what_is_still_wanted_is_asked_for_again() {
    let mut world = World::new(wide(2), 1);
    let asked = world.asked();
    assert_eq!(world.next(), [""; 0]);
    world.flow.ask_again(&asked[0]);
    assert_eq!(world.asked(), asked);
    world.start("n0");
    let drive = world.asked();
    world.flow.ask_again(&asked[0]);
    assert_eq!(world.asked(), drive, "it has started, and is to be driven");
    world.succeed("n0");
    world.flow.ask_again(&drive[0]);
    assert_eq!(world.next(), ["start n1"], "n0 is over");
    world.start("n1");
    world.succeed("n1");
    let bind = world.asked();
    world.flow.ask_again(&bind[0]);
    assert_eq!(world.asked(), bind);
    world.take_over();
    assert_eq!(world.asked(), bind);
}

#[test]
fn outputs_of_an_earlier_execution_are_taken_over() {
    let leaf = workflow("leaf", &[], vec![runs("n0", "none", Vec::new())], Vec::new());
    let nodes = vec![enters("a", "leaf", Vec::new()), runs("b", "none", Vec::new()).after(&["a"])];
    let mut world = World::new(graph(workflow("w", &[], nodes, Vec::new()), vec![leaf]), 0);
    for node in ["a", "b"] {
        assert_eq!(world.next(), [format!("start {node}")]);
        world.tell(FlowEvent::NodeReused { node: node.to_owned(), source: "old".to_owned() });
        let view = world.flow.node(node).unwrap();
        assert_eq!((view.phase, view.reused_from, view.started_ms), (NodePhase::Succeeded, Some("old"), None));
    }
    assert_eq!(world.next(), ["bind"]);
    assert_eq!(world.phase("a-0-n0"), NodePhase::Waiting);
    world.bind(None);
    assert_eq!(world.outcome(), FlowOutcome::Succeeded);
}

#[test]
fn the_cache_is_remembered() {
    let mut world = World::new(wide(1), 0);
    world.start("n0");
    world.end("n0", NodeEnd::Succeeded { cached: Cached::Hit });
    assert_eq!(world.flow.node("n0").unwrap().cached, Cached::Hit);
}

#[test]
fn events_that_do_not_fit_change_nothing() {
    let leaf = workflow("leaf", &[], vec![runs("n0", "none", Vec::new())], Vec::new());
    let nodes = vec![
        enters("a", "leaf", Vec::new()),
        runs("b", "none", Vec::new()).after(&["a"]),
        runs("c", "none", Vec::new()),
    ];
    let mut world = World::new(graph(workflow("w", &[], nodes, Vec::new()), vec![leaf]), 0);
    world.start("a");
    world.start("c");
    let started = |node: &str, attempt, execution: Option<&str>| FlowEvent::NodeStarted {
        node: node.to_owned(),
        attempt,
        execution: execution.map(str::to_owned),
    };
    let ended = |node: &str, attempt| FlowEvent::NodeEnded {
        node: node.to_owned(),
        attempt,
        end: NodeEnd::Succeeded { cached: Cached::Off },
    };
    let bound = |node: Option<&str>| FlowEvent::OutputsBound { node: node.map(str::to_owned), error: None };
    for (event, words) in [
        (started("q", 0, Some("x")), "has no node q"),
        (started("b", 0, Some("x")), "is not about to start"),
        (started("c", 0, Some("x")), "is not about to start"),
        (started("a-0-n0", 1, Some("x")), "is at attempt 0"),
        (started("a-0-n0", 0, None), "needs a map execution"),
        (started("a-0-n0", 0, Some("")), "needs a map execution"),
        (ended("a-0-n0", 0), "has not started"),
        (ended("a", 0), "ends with its sub-workflow"),
        (ended("b", 0), "does not run"),
        (ended("c", 2), "is at attempt 0"),
        (bound(None), "no outputs to bind now"),
        (bound(Some("a")), "no outputs to bind now"),
        (bound(Some("c")), "is no sub-workflow"),
        (FlowEvent::NodeReused { node: "c".to_owned(), source: "old".to_owned() }, "is not about to start"),
        (FlowEvent::Finished { outcome: FlowOutcome::Succeeded }, "still runs"),
    ] {
        let before = world.flow.clone();
        let error = world.flow.handle(5000, &event).unwrap_err();
        assert!(error.problem.contains(words), "{error}");
        assert!(world.flow == before);
    }
}

#[test]
fn an_end_is_final() {
    let mut world = World::new(wide(0), 0);
    world.bind(None);
    let wrong = FlowOutcome::Aborted { cause: String::new(), principal: String::new() };
    let error = world.flow.check(&FlowEvent::Finished { outcome: wrong }).unwrap_err();
    assert!(error.problem.contains("its outcome is Succeeded"), "{error}");
    let abort = FlowEvent::AbortRequested { cause: String::new(), principal: String::new() };
    assert!(world.flow.check(&abort).unwrap_err().problem.contains("it is over"));
    assert_eq!(world.outcome(), FlowOutcome::Succeeded);
    assert_eq!(world.outcome(), FlowOutcome::Succeeded);
    let taken = FlowEvent::Taken { server: "t".to_owned() };
    assert!(world.flow.check(&taken).unwrap_err().problem.contains("has finished"));
}

#[test]
fn before_a_server_takes_it_nothing_happens() {
    let mut flow = Flow::new(std::sync::Arc::new(wide(1)), 0);
    assert_eq!((flow.next_action(), flow.phase(), flow.started_ms()), (None, FlowPhase::Queued, None));
    flow.resume();
    assert_eq!(flow.next_action(), None);
    let taken = |server: &str| FlowEvent::Taken { server: server.to_owned() };
    flow.handle(10, &taken("s")).unwrap();
    flow.handle(5, &taken("t")).unwrap();
    assert_eq!((flow.server(), flow.started_ms(), flow.updated_ms()), (Some("t"), Some(10), Some(10)));
}

#[test]
fn events_survive_their_journal() {
    let mut world = World::new(wide(1), 0);
    world.start("n0");
    world.fail("n0");
    world.outcome();
    for (_, event) in &world.journal {
        let text = serde_json::to_string(event).unwrap();
        assert_eq!(serde_json::from_str::<FlowEvent>(&text).unwrap(), *event, "{text}");
    }
}
