//! One workflow: a map, over its input, of a task that puts nothing out.

use batchmap::idl::core::array_node::SuccessCriteria;
use batchmap::idl::core::{
    ArrayNode, Binding, BindingData, Container, Identifier, LiteralType, Node, NodeMetadata, OutputReference,
    ResourceType, SimpleType, TaskMetadata, TaskNode, TaskTemplate, TypedInterface, Variable, VariableMap,
    WorkflowMetadata, WorkflowTemplate, binding_data, node, task_node, task_template,
};
use batchmap::idl::types;

pub const PROJECT: &str = "load";
pub const DOMAIN: &str = "development";

pub fn identifier(kind: ResourceType, name: &str) -> Identifier {
    Identifier {
        resource_type: kind.into(),
        project: PROJECT.to_owned(),
        domain: DOMAIN.to_owned(),
        name: name.to_owned(),
        version: "1".to_owned(),
        ..Default::default()
    }
}

/// The interface of both: a list of numbers, and nothing comes out.
fn interface() -> TypedInterface {
    let list: LiteralType = types::collection(types::simple(SimpleType::Integer));
    let variable = Variable { r#type: Some(list), ..Default::default() };
    let inputs = VariableMap { variables: [("x".to_owned(), variable)].into() };
    TypedInterface { inputs: Some(inputs), outputs: Some(VariableMap::default()) }
}

pub fn task() -> TaskTemplate {
    let words = ["pyflyte-map-execute", "--inputs", "{{.input}}", "--output-prefix", "{{.outputPrefix}}"];
    let container =
        Container { image: "bench".to_owned(), args: words.map(str::to_owned).to_vec(), ..Default::default() };
    TaskTemplate {
        id: Some(identifier(ResourceType::Task, "mapped")),
        r#type: "python-task".to_owned(),
        metadata: Some(TaskMetadata::default()),
        interface: Some(interface()),
        target: Some(task_template::Target::Container(container)),
        ..Default::default()
    }
}

pub fn workflow() -> WorkflowTemplate {
    let promise = OutputReference { node_id: String::new(), var: "x".to_owned(), attr_path: Vec::new() };
    let value = Some(binding_data::Value::Promise(promise));
    let inputs = vec![Binding { var: "x".to_owned(), binding: Some(BindingData { value, ..Default::default() }) }];
    let reference = task().id.map(task_node::Reference::ReferenceId);
    let node = |target: node::Target| Node {
        id: "n0".to_owned(),
        metadata: Some(NodeMetadata { name: "n0".to_owned(), ..Default::default() }),
        inputs: inputs.clone(),
        target: Some(target),
        ..Default::default()
    };
    let inner = node(node::Target::TaskNode(TaskNode { reference, overrides: None }));
    let array = ArrayNode {
        node: Some(Box::new(inner)),
        success_criteria: Some(SuccessCriteria::MinSuccessRatio(1.0)),
        ..Default::default()
    };
    WorkflowTemplate {
        id: Some(identifier(ResourceType::Workflow, "wf")),
        metadata: Some(WorkflowMetadata::default()),
        interface: Some(interface()),
        nodes: vec![node(node::Target::ArrayNode(Box::new(array)))],
        ..Default::default()
    }
}
