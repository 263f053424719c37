//! Branches: what they are compiled to, and how they run; and nodes that run launch plans.

use super::samples::{bare, chooses, closure, enters, faults, fixture, graph, launches, plan, promise, runs, workflow};
use super::world::World;
use crate::idl::core::{BranchNode, WorkflowTemplate, node};
use crate::idl::types::type_name;
use crate::map::workflow::{FlowEvent, FlowOutcome, Graph, NodeKind, NodePhase};

/// `n0` is doubled, then one of three is run, then `n2` of what it gave.
fn sample() -> WorkflowTemplate {
    let nodes = vec![
        runs("n0", "one", vec![("a", promise("", "x"))]),
        chooses(
            "n1",
            vec![
                runs("n0", "one", vec![("a", promise("n0", "o0"))]),
                enters("n1", "leaf", Vec::new()),
                runs("n2", "one", vec![("a", promise("", "x"))]),
            ],
            0,
            vec![(".x", promise("", "x"))],
        ),
        runs("n2", "one", vec![("a", promise("n1", "o0"))]),
    ];
    workflow("w", &[("x", "int")], nodes, vec![("o0", "int", promise("n2", "o0"))])
}

fn leaf() -> WorkflowTemplate {
    workflow("leaf", &[], vec![runs("n0", "one", Vec::new())], vec![("o0", "int", promise("n0", "o0"))])
}

#[test]
fn a_branch_holds_nodes_that_speak_of_the_workflow_around_it() {
    let graph = graph(sample(), vec![leaf()]);
    let ids: Vec<&str> = graph.nodes().iter().map(|node| node.id()).collect();
    assert_eq!(ids, ["n0", "n1", "n2", "n1-0-n0", "n1-0-n1", "n1-0-n2", "n1-0-n1-0-n0"]);
    let branch = graph.node("n1").unwrap();
    assert!(matches!(branch.kind(), NodeKind::Branch(_)) && branch.is_parent() && branch.task().is_none());
    assert_eq!(branch.upstream(), [0], "what is in it needs n0");
    assert_eq!(
        type_name(branch.interface().outputs.as_ref().unwrap().variables["o0"].r#type.as_ref().unwrap()),
        "integer"
    );
    let inner = graph.node("n1-0-n0").unwrap();
    let scope = graph.scope_around(inner);
    assert_eq!((graph.owner_id(scope), graph.speaker_id(scope), scope.is_branch()), (Some("n1"), None, true));
    assert_eq!(graph.source_id(scope, "n0").as_deref(), Some("n0"), "the workflow's, not its own");
    assert_eq!(inner.upstream(), [0_usize; 0]);
    let in_leaf = graph.scope_around(graph.node("n1-0-n1-0-n0").unwrap());
    assert_eq!(graph.speaker_id(in_leaf), Some("n1-0-n1"));
}

#[test]
fn flytekits_conditionals_compile() {
    let graph = Graph::compile(&fixture!("branch")).unwrap();
    let ids: Vec<&str> = graph.nodes().iter().map(|node| node.id()).collect();
    assert_eq!(ids, ["n0", "n0-0-n0", "n0-0-n1"]);
}

#[test]
fn one_node_runs_and_the_others_are_passed_over() {
    let mut world = World::new(graph(sample(), vec![leaf()]), 1);
    assert_eq!(world.next(), ["start n0"]);
    world.start("n0");
    assert_eq!(world.next(), ["drive n0"]);
    world.succeed("n0");
    assert_eq!(world.next(), ["start n1"]);
    let own = FlowEvent::NodeStarted { node: "n1".to_owned(), attempt: 0, execution: None };
    assert!(world.flow.check(&own).is_err(), "it has to choose");
    for foreign in ["n0", "n1-0-n1-0-n0", "n7"] {
        let event = FlowEvent::BranchTaken { node: "n1".to_owned(), taken: foreign.to_owned() };
        assert!(world.flow.check(&event).is_err(), "{foreign}");
    }
    world.take("n1", "n1-0-n1");
    assert_eq!(world.flow.taken("n1"), Some("n1-0-n1"));
    assert_eq!((world.phase("n1-0-n0"), world.phase("n1-0-n2")), (NodePhase::Skipped, NodePhase::Skipped));
    world.take_over();
    assert_eq!(world.next(), ["start n1-0-n1"]);
    world.start("n1-0-n1");
    world.next();
    world.start("n1-0-n1-0-n0");
    world.succeed("n1-0-n1-0-n0");
    assert_eq!(world.next(), ["bind n1-0-n1"]);
    world.bind(Some("n1-0-n1"));
    assert_eq!(world.next(), ["bind n1"]);
    world.bind(Some("n1"));
    assert_eq!(world.next(), ["start n2"]);
    world.start("n2");
    world.succeed("n2");
    assert_eq!(world.next(), ["bind"]);
    world.bind(None);
    assert_eq!(world.outcome(), FlowOutcome::Succeeded);
}

#[test]
fn a_failure_in_a_branch_is_the_branchs() {
    let mut world = World::new(graph(sample(), vec![leaf()]), 0);
    world.next();
    world.start("n0");
    world.succeed("n0");
    world.next();
    world.take("n1", "n1-0-n2");
    world.next();
    world.start("n1-0-n2");
    world.fail("n1-0-n2");
    assert_eq!((world.phase("n1"), world.phase("n2")), (NodePhase::Failed, NodePhase::Waiting));
    assert!(matches!(world.outcome(), FlowOutcome::Failed { node: Some(node), .. } if node == "n1-0-n2"));
}

#[test]
fn an_abort_stops_what_runs_in_a_branch() {
    let mut world = World::new(graph(sample(), vec![leaf()]), 0);
    world.next();
    world.start("n0");
    world.succeed("n0");
    world.next();
    world.take("n1", "n1-0-n0");
    world.next();
    world.start("n1-0-n0");
    world.next();
    world.abort();
    assert_eq!(world.next(), ["abort n1-0-n0"]);
    world.succeed("n1-0-n0");
    assert!(matches!(world.outcome(), FlowOutcome::Aborted { .. }));
}

#[test]
fn what_a_branch_cannot_be_is_told() {
    let inner = |id: &str| runs(id, "one", Vec::new());
    let empty = bare("n0", Some(node::Target::BranchNode(Box::<BranchNode>::default())), Vec::new());
    for (node, words) in [
        (empty, "it is a branch without cases"),
        (chooses("n0", vec![inner("a"), inner("a")], 0, Vec::new()), "two of its cases run nodes called a"),
        (
            chooses("n0", vec![runs("a", "absent", Vec::new())], 0, Vec::new()),
            "node a (name of a) of workflow w: the task absent",
        ),
        (chooses("n0", vec![inner("a")], 0, Vec::new()).retries(1), "it has retries, and a branch is not run again"),
        (
            chooses("n0", vec![runs("a", "one", vec![("a", promise("n0", "o0"))])], 0, Vec::new()),
            "it waits for itself, through n0",
        ),
        (chooses("n0", vec![inner("a")], 0, vec![(".q", promise("", "q"))]), "the workflow's input q does not exist"),
    ] {
        let message = faults(workflow("w", &[], vec![node], Vec::new()), Vec::new());
        assert!(message.contains(words), "{words}\n\n{message}");
    }
    // What only some cases put out is no output.
    let some = chooses("n0", vec![inner("a"), runs("b", "none", Vec::new())], 0, Vec::new());
    let message = faults(workflow("w", &[], vec![some], vec![("o0", "int", promise("n0", "o0"))]), Vec::new());
    assert!(message.contains("output o0 of node n0 does not exist"), "{message}");
}

#[test]
fn a_launch_plans_node_runs_by_itself() {
    let node = launches("n0", "p", vec![("a", promise("", "x"))]);
    let after = runs("n1", "one", vec![("a", promise("n0", "o0"))]);
    let mut closure = closure(workflow("w", &[("x", "int")], vec![node, after], Vec::new()), Vec::new());
    closure.launch_plans.push(plan("p", &[("a", "int"), ("b", "str?")], &[("o0", "int")]));
    let graph = Graph::compile(&closure).unwrap();
    let node = graph.node("n0").unwrap();
    assert!(node.plan().is_some() && node.task().is_none() && !node.is_parent());
    let mut world = World::new(graph, 0);
    assert_eq!(world.next(), ["start n0"]);
    world.start("n0");
    assert_eq!(world.next(), ["drive n0"]);
    world.abort();
    assert_eq!(world.next(), ["abort n0"]);
    closure.launch_plans = vec![plan("p", &[("a", "str")], &[("o0", "int")])];
    let message = Graph::compile(&closure).unwrap_err().to_string();
    assert!(message.contains("the workflow's input x is of type integer; give it a value of type string"), "{message}");
}
