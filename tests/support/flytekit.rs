//! Tasks that flytekit has serialised: `tests/fixtures/flytekit`.

// Each test binary uses its own part of it.
#![allow(dead_code)]

use std::fs;
use std::path::PathBuf;

use batchmap::idl::admin::{TaskSpec, WorkflowSpec};
use batchmap::idl::core::node::Target;
use batchmap::idl::core::task_node::Reference;
use batchmap::idl::core::{LiteralMap, Node, TaskTemplate};
use prost::Message;

pub fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/flytekit").join(name)
}

/// A fixture: the task, the node that runs it and the node's inputs.
pub struct Fixture {
    pub template: TaskTemplate,
    pub node: Node,
    pub inputs: LiteralMap,
}

pub fn fixture(name: &str) -> Fixture {
    let read = |file: &str| fs::read(folder(name).join(file)).unwrap_or_default();
    let template = TaskSpec::decode(read("task.pb").as_slice()).unwrap().template.unwrap();
    let workflow = WorkflowSpec::decode(read("workflow.pb").as_slice()).unwrap().template.unwrap();
    let id = template.id.clone().unwrap();
    let runs = |node: &Node| match &node.target {
        Some(Target::TaskNode(task)) => Some(task.clone()),
        Some(Target::ArrayNode(array)) => match array.node.as_ref()?.target.as_ref()? {
            Target::TaskNode(task) => Some(task.clone()),
            _ => None,
        },
        _ => None,
    };
    let referred = |node: &Node| {
        runs(node).is_some_and(|task| matches!(task.reference, Some(Reference::ReferenceId(found)) if found == id))
    };
    let node = workflow.nodes.into_iter().find(referred).unwrap_or_else(|| panic!("{name}: no node runs {}", id.name));
    Fixture { template, node, inputs: LiteralMap::decode(read("inputs.pb").as_slice()).unwrap() }
}
