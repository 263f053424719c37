//! What compiles, and to what.

use super::samples::{closure, enters, fixture, graph, maps, promise, runs, task, workflow};
use crate::idl::core::{CompiledTask, CompiledWorkflow, CompiledWorkflowClosure, Node, WorkflowTemplate};
use crate::idl::types::type_name;
use crate::map::workflow::{Graph, NodeKind};

fn ids(graph: &Graph) -> Vec<&str> {
    graph.nodes().iter().map(crate::map::workflow::GraphNode::id).collect()
}

/// `n1<n0` for each node that waits for others.
fn edges(graph: &Graph) -> Vec<String> {
    let name = |number: &usize| graph.nodes()[*number].id().to_owned();
    let edge = |node: &crate::map::workflow::GraphNode| {
        let before: Vec<String> = node.upstream().iter().map(name).collect();
        format!("{}<{}", node.id(), before.join(","))
    };
    graph.nodes().iter().filter(|node| !node.upstream().is_empty()).map(edge).collect()
}

#[test]
fn what_flytekit_writes_compiles() {
    for closure in [
        fixture!("attributes"),
        fixture!("ordered"),
        fixture!("nested"),
        fixture!("maps"),
        fixture!("collections"),
        fixture!("passes_on"),
        fixture!("lenient"),
        // Nothing in a dynamic task's registration says that it is one: its `futures.pb` does.
        fixture!("dynamic_inside"),
    ] {
        Graph::compile(&closure).unwrap();
    }
}

#[test]
fn data_and_order_make_the_edges() {
    let attributes = Graph::compile(&fixture!("attributes")).unwrap();
    assert_eq!(edges(&attributes), ["n3<n0", "n4<n2", "n5<n0,n1"]);
    let ordered = Graph::compile(&fixture!("ordered")).unwrap();
    assert_eq!(edges(&ordered), ["n1<n0", "n2<n1"]);
}

#[test]
fn sub_workflows_are_laid_out_under_propellers_ids() {
    let graph = Graph::compile(&fixture!("nested")).unwrap();
    let expected =
        ["n0", "n1", "n0-0-n0", "n0-0-n1", "n0-0-n2", "n0-0-n0-0-n0", "n0-0-n0-0-n1", "n0-0-n1-0-n0", "n0-0-n1-0-n1"];
    assert_eq!(ids(&graph), expected);
    let inner = graph.node("n0-0-n1-0-n0").unwrap();
    assert_eq!((inner.spec_id(), inner.parent(), inner.name()), ("n0", Some("n0-0-n1"), "double"));
    assert!(!inner.is_parent() && graph.node("n0-0-n1").unwrap().is_parent());
    assert_eq!(
        edges(&graph),
        [
            "n1<n0",
            "n0-0-n1<n0-0-n0",
            "n0-0-n2<n0-0-n0,n0-0-n1",
            "n0-0-n0-0-n1<n0-0-n0-0-n0",
            "n0-0-n1-0-n1<n0-0-n1-0-n0"
        ]
    );
    let scope = graph.scope_around(inner);
    assert_eq!(scope.workflow().unwrap().name, "make.innermost");
    assert_eq!(graph.owner_id(scope), Some("n0-0-n1"));
    assert_eq!(graph.source_id(scope, "n0").as_deref(), Some("n0-0-n1-0-n0"));
    assert_eq!(graph.source_id(scope, ""), None);
    assert_eq!(graph.scope_of(Some("n0-0-n1")), Some(scope));
    assert_eq!(graph.scope_of(None), Some(graph.root()));
    assert!(graph.scope_of(Some("n1")).is_none() && graph.scope_of(Some("n7")).is_none());
}

#[test]
fn an_array_has_the_lists_of_its_task() {
    let graph = Graph::compile(&fixture!("maps")).unwrap();
    let array = graph.nodes().iter().find(|node| node.array().is_some()).unwrap();
    assert!(matches!(array.kind(), NodeKind::Array(_)));
    let outputs = array.interface().outputs.as_ref().unwrap();
    assert_eq!(type_name(outputs.variables["o0"].r#type.as_ref().unwrap()), "[integer?]");
    assert!(array.overrides().is_some(), "those of the node in it");
}

#[test]
fn an_array_over_the_interface_of_one_element_gets_lists() {
    let mut array = maps("n0", "pair", vec![("a", promise("", "xs")), ("b", promise("", "b"))]).ratio(0.5);
    array.array_mut().is_original_sub_node_interface = Some(true);
    array.array_mut().bound_inputs = vec!["b".to_owned()];
    let inputs = [("xs", "[int]"), ("b", "str")];
    let mut closure =
        closure(workflow("w", &inputs, vec![array], vec![("o0", "[bool?]", promise("n0", "o0"))]), Vec::new());
    let pair = task("pair", &[("a", "int"), ("b", "str")], &[("o0", "bool")]);
    closure.tasks.push(CompiledTask { template: Some(pair) });
    Graph::compile(&closure).unwrap();
}

#[test]
fn start_and_end_are_no_nodes() {
    let start = Node { id: "start-node".to_owned(), ..Node::default() };
    let end = Node { id: "end-node".to_owned(), ..Node::default() };
    let node = runs("n0", "one", vec![("a", promise("start-node", "x"))]).after(&["start-node"]);
    let graph = graph(workflow("w", &[("x", "int")], vec![start, node, end], Vec::new()), Vec::new());
    assert_eq!(ids(&graph), ["n0"]);
    assert!(graph.nodes()[0].upstream().is_empty());
}

#[test]
fn templates_are_shared_by_all_who_run_them() {
    let leaf = workflow("leaf", &[], vec![runs("n0", "none", Vec::new())], Vec::new());
    let primary =
        workflow("w", &[], vec![enters("a", "leaf", Vec::new()), enters("b", "leaf", Vec::new())], Vec::new());
    let graph = graph(primary, vec![leaf]);
    let [first, second] = ["a-0-n0", "b-0-n0"].map(|id| graph.node(id).unwrap());
    assert!(std::sync::Arc::ptr_eq(first.source(), second.source()));
    assert!(std::sync::Arc::ptr_eq(first.task().unwrap(), second.task().unwrap()));
}

#[test]
fn a_workflow_that_is_registered_without_some_parts_is_refused() {
    assert!(Graph::compile(&CompiledWorkflowClosure::default()).is_err());
    let primary = Some(CompiledWorkflow { template: None, connections: None });
    assert!(Graph::compile(&CompiledWorkflowClosure { primary, ..CompiledWorkflowClosure::default() }).is_err());
    let primary = Some(CompiledWorkflow { template: Some(WorkflowTemplate::default()), connections: None });
    let empty = Graph::compile(&CompiledWorkflowClosure { primary, ..CompiledWorkflowClosure::default() }).unwrap();
    assert!(empty.nodes().is_empty());
}
