//! What does not compile, and in which words.

use super::samples::{
    Step, bare, bound, closure, constant, dict, enters, faults, fixture, graph, list, maps, part, promise, runs,
    workflow,
};
use crate::idl::core::{
    Alias, ArrayNode, CompiledWorkflowClosure, LiteralType, Node, TaskMetadata, TypeStructure, Variable, WorkflowNode,
    node, workflow_node,
};
use crate::idl::make;
use crate::idl::types::parse_type;
use crate::map::workflow::Graph;

fn refusal(closure: &CompiledWorkflowClosure) -> String {
    Graph::compile(closure).unwrap_err().to_string()
}

#[test]
fn what_is_not_run_is_refused_by_name() {
    for (closure, words) in [
        (fixture!("gate"), "it is a gate"),
        (fixture!("launches"), "the launch plan plan_of_innermost of version v is not there"),
        (fixture!("maps_a_plan"), "it maps over a launch plan"),
        (fixture!("handled"), "node fn0 (clean_up) of workflow make.handled: batchmap runs no failure handlers"),
    ] {
        let message = refusal(&closure);
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn everything_is_told_at_once() {
    let nodes = vec![
        runs("n0", "absent", Vec::new()),
        runs("n0", "one", Vec::new()),
        runs("n1", "one", Vec::new()).after(&["n9"]),
        enters("n2", "absent", Vec::new()),
        bare("n3", None, Vec::new()),
        runs("n 4", "one", Vec::new()),
        runs("n5", "one", vec![("b", promise("", "x")), ("a", promise("n8", "o0"))]),
    ];
    let message = faults(workflow("w", &[], nodes, vec![("o0", "int", promise("n1", "o7"))]), Vec::new());
    for words in [
        "node n0 (name of n0) of workflow w: the task absent of version v is not there",
        "another node has the same id",
        "it waits for node \"n9\", which the workflow does not have",
        "the sub-workflow absent of version v is not there",
        "node n3 (name of n3) of workflow w: it runs nothing",
        "its id must be letters",
        "it has no input b; known are a.",
        "input a: it comes from node \"n8\"",
        "outputs of workflow w: output o0: output o7 of node n1 does not exist",
    ] {
        assert!(message.contains(words), "{words}\n\n{message}");
    }
    assert_eq!(message.lines().count(), 9, "{message}");
}

#[test]
fn a_long_list_is_cut() {
    let nodes = (0..500).map(|at| runs(&format!("n{at}"), "absent", Vec::new())).collect();
    let message = faults(workflow("w", &[], nodes, Vec::new()), Vec::new());
    assert_eq!(message.lines().count(), 26);
    assert!(message.ends_with("... and 475 more"), "{message}");
}

#[test]
fn circles_are_found() {
    let nodes = vec![
        runs("n0", "none", Vec::new()),
        runs("n1", "one", vec![("a", promise("n3", "o0"))]).after(&["n0"]),
        runs("n2", "one", vec![("a", promise("n1", "o0"))]),
        runs("n3", "none", Vec::new()).after(&["n2"]),
        runs("n4", "none", Vec::new()).after(&["n3"]),
    ];
    let mut nodes = nodes;
    nodes[3] = runs("n3", "one", vec![("a", promise("n2", "o0"))]);
    let message = faults(workflow("w", &[], nodes, Vec::new()), Vec::new());
    assert!(message.contains("it waits for itself, through n1, n3, n2"), "{message}");
    let own = vec![runs("n0", "one", vec![("a", promise("n0", "o0"))])];
    let message = faults(workflow("w", &[], own, Vec::new()), Vec::new());
    assert!(message.contains("it waits for itself, through n0"), "{message}");
}

#[test]
fn a_workflow_may_not_contain_itself() {
    let a = workflow("a", &[], vec![enters("n0", "b", Vec::new())], Vec::new());
    let b = workflow("b", &[], vec![enters("n0", "a", Vec::new())], Vec::new());
    let message = faults(a.clone(), vec![a, b]);
    assert!(message.contains("it runs the workflow a, which runs this one"), "{message}");
}

#[test]
fn lists_are_mapped_over_tasks_only() {
    let mut array = maps("n0", "one", Vec::new());
    let target = enters("", "leaf", Vec::new()).target;
    array.array_mut().node = Some(Box::new(Node { target, ..Node::default() }));
    let leaf = workflow("leaf", &[], Vec::new(), Vec::new());
    let message = faults(workflow("w", &[], vec![array], Vec::new()), vec![leaf]);
    assert!(message.contains("it maps over a sub-workflow"), "{message}");
    let nothing = bare("n0", Some(node::Target::ArrayNode(Box::default())), Vec::new());
    let message = faults(workflow("w", &[], vec![nothing], Vec::new()), Vec::new());
    assert!(message.contains("it maps over nothing"), "{message}");
    let inner = Box::new(bare("", Some(node::Target::ArrayNode(Box::default())), Vec::new()));
    let twice = ArrayNode { node: Some(inner), ..ArrayNode::default() };
    let twice = bare("n0", Some(node::Target::ArrayNode(Box::new(twice))), Vec::new());
    let message = faults(workflow("w", &[], vec![twice], Vec::new()), Vec::new());
    assert!(message.contains("it maps over a node that is no task"), "{message}");
}

#[test]
fn what_would_be_passed_over_in_silence_is_refused() {
    let leaf = workflow("leaf", &[], Vec::new(), Vec::new());
    let again = vec![enters("n0", "leaf", Vec::new()).retries(2)];
    let message = faults(workflow("w", &[], again, Vec::new()), vec![leaf]);
    assert!(message.contains("it has retries"), "{message}");
    let mut aliased = runs("n0", "one", Vec::new());
    aliased.output_aliases.push(Alias { var: "o0".to_owned(), alias: "x".to_owned() });
    let message = faults(workflow("w", &[], vec![aliased], Vec::new()), Vec::new());
    assert!(message.contains("aliases"), "{message}");
    let target = node::Target::WorkflowNode(WorkflowNode { reference: None::<workflow_node::Reference> });
    let message = faults(workflow("w", &[], vec![bare("n0", Some(target), Vec::new())], Vec::new()), Vec::new());
    assert!(message.contains("it refers to no workflow"), "{message}");
    let mut eager = closure(workflow("w", &[], vec![runs("n0", "none", Vec::new())], Vec::new()), Vec::new());
    for task in eager.tasks.iter_mut().filter_map(|task| task.template.as_mut()) {
        task.metadata = Some(TaskMetadata { is_eager: true, ..TaskMetadata::default() });
    }
    assert!(refusal(&eager).contains("it is eager"));
}

#[test]
fn values_that_do_not_fit_are_told_with_both_types() {
    let inputs = [("x", "int"), ("s", "str"), ("l", "[int]"), ("d", "map[str]"), ("u", "int|str"), ("o", "[int?]")];
    for (task, data, words) in [
        ("one", promise("", "s"), "the workflow's input s is of type string; give it a value of type integer?"),
        ("one", constant(make::string("1")), "it is a string; expected integer; give it a value of type integer?"),
        ("one", list(Vec::new()), "no variant of the type takes it"),
        ("text", promise("", "u"), "is of type integer|string"),
        ("text", part("", "d", &[Step::Name("k")]), ""),
        ("text", part("", "d", &[Step::Name("k"), Step::Name("k")]), "d[\"k\"][\"k\"]: it is a plain value"),
        ("text", part("", "l", &[Step::Name("k")]), "l[\"k\"]: it is a list"),
        ("text", part("", "l", &[Step::Place(0)]), "l[0] is of type integer"),
        ("list", promise("", "l"), ""),
        ("list", promise("", "o"), "is of type [integer?]; give it a value of type [integer]"),
        ("list", promise("", "x"), "is of type integer; give it a value of type [integer]"),
        ("list", list(vec![promise("", "x"), constant(make::integer(1))]), ""),
        ("list", list(vec![promise("", "x"), promise("", "s")]), "is of type string"),
        ("list", dict(vec![("k", promise("", "x"))]), "it is a dictionary"),
    ] {
        let input = match task {
            "one" => "a",
            "text" => "s",
            _ => "xs",
        };
        let primary = workflow("w", &inputs, vec![runs("n0", task, vec![(input, data)])], Vec::new());
        if words.is_empty() {
            graph(primary, Vec::new());
        } else {
            let message = faults(primary, Vec::new());
            assert!(message.contains(words), "{words}\n\n{message}");
        }
    }
}

#[test]
fn what_is_required_must_be_bound_once() {
    let message = faults(workflow("w", &[], vec![runs("n0", "text", Vec::new())], Vec::new()), Vec::new());
    assert!(message.contains("input s is bound to nothing"), "{message}");
    graph(workflow("w", &[], vec![runs("n0", "one", Vec::new())], Vec::new()), Vec::new());
    let mut twice = runs("n0", "text", Vec::new());
    twice.inputs = bound(vec![("s", constant(make::string("x"))), ("s", constant(make::string("y")))]);
    let message = faults(workflow("w", &[], vec![twice], Vec::new()), Vec::new());
    assert!(message.contains("input s is bound more than once"), "{message}");
    let mut unbound = workflow("w", &[], Vec::new(), vec![("o0", "int", constant(make::integer(1)))]);
    unbound.outputs.clear();
    let message = faults(unbound, Vec::new());
    assert!(message.contains("outputs of workflow w: output o0 is bound to nothing"), "{message}");
}

#[test]
fn ids_that_meet_after_laying_out_are_refused() {
    let leaf = workflow("leaf", &[], vec![runs("n0", "none", Vec::new())], Vec::new());
    let nodes = vec![enters("n1", "leaf", Vec::new()), runs("n1-0-n0", "none", Vec::new())];
    let message = faults(workflow("w", &[], nodes, Vec::new()), vec![leaf]);
    assert!(message.contains("n1-0-n0"), "{message}");
}

#[test]
fn fields_of_a_dataclass_have_their_types() {
    let kind = |text: &str| parse_type(text).unwrap();
    let fields = [("count".to_owned(), kind("int")), ("ratio".to_owned(), kind("float"))].into();
    let structure = Some(TypeStructure { tag: String::new(), dataclass_type: fields });
    let point = LiteralType { structure, ..kind("struct") };
    let with = |binding| {
        let nodes = vec![runs("n0", "float", vec![("r", binding)])];
        let mut primary = workflow("w", &[("x", "int"), ("s", "struct")], nodes, Vec::new());
        let inputs = primary.interface.get_or_insert_default().inputs.get_or_insert_default();
        let variable = Variable { r#type: Some(point.clone()), ..Variable::default() };
        inputs.variables.insert("p".to_owned(), variable);
        primary
    };
    for good in [promise("", "x"), part("", "p", &[Step::Name("ratio")]), part("", "s", &[Step::Name("anything")])] {
        graph(with(good), Vec::new());
    }
    // flytekit reads a float from an integer, but not from one in MessagePack.
    for (field, words) in [
        ("count", "the workflow's input p[\"count\"] is of type integer; give it a value of type float"),
        ("cuont", "the workflow's input p[\"cuont\"]: it has no such field"),
    ] {
        let message = faults(with(part("", "p", &[Step::Name(field)])), Vec::new());
        assert!(message.contains(words), "{message}");
    }
}
