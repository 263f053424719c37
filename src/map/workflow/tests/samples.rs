//! Workflows to test with: built by hand, and those that flytekit has written.

use prost::Message;

use crate::idl::core::{
    ArrayNode, Binding, BindingData, BindingDataCollection, BindingDataMap, BooleanExpression, BranchNode,
    ComparisonExpression, CompiledLaunchPlan, CompiledTask, CompiledWorkflow, CompiledWorkflowClosure, Identifier,
    IfBlock, IfElseBlock, LaunchPlanTemplate, Literal, Node, NodeMetadata, Operand, OutputReference, Primitive,
    PromiseAttribute, RetryStrategy, Scalar, TaskNode, TaskTemplate, TypedInterface, Variable, VariableMap,
    WorkflowMetadata, WorkflowNode, WorkflowTemplate, array_node, binding_data, boolean_expression, literal, node,
    operand, primitive, promise_attribute, task_node, workflow_metadata, workflow_node,
};
use crate::idl::types::parse_type;
use crate::map::spec::Faults;
use crate::map::workflow::Graph;

/// A workflow of `tests/fixtures/workflows`.
macro_rules! fixture {
    ($name:literal) => {
        $crate::map::workflow::tests::samples::decode(include_bytes!(concat!(
            "../../../../tests/fixtures/workflows/",
            $name,
            ".pb"
        )))
    };
}
pub(super) use fixture;

pub(super) fn decode(bytes: &[u8]) -> CompiledWorkflowClosure {
    CompiledWorkflowClosure::decode(bytes).unwrap()
}

pub(super) fn id(name: &str) -> Identifier {
    Identifier { name: name.to_owned(), version: "v".to_owned(), ..Identifier::default() }
}

pub(super) fn variables(variables: &[(&str, &str)]) -> VariableMap {
    let variable = |(name, kind): &(&str, &str)| {
        let variable = Variable { r#type: Some(parse_type(kind).unwrap()), ..Variable::default() };
        ((*name).to_owned(), variable)
    };
    VariableMap { variables: variables.iter().map(variable).collect() }
}

fn interface(inputs: &[(&str, &str)], outputs: &[(&str, &str)]) -> TypedInterface {
    TypedInterface { inputs: Some(variables(inputs)), outputs: Some(variables(outputs)) }
}

pub(super) fn task(name: &str, inputs: &[(&str, &str)], outputs: &[(&str, &str)]) -> TaskTemplate {
    TaskTemplate { id: Some(id(name)), interface: Some(interface(inputs, outputs)), ..TaskTemplate::default() }
}

pub(super) fn data(value: binding_data::Value) -> BindingData {
    BindingData { value: Some(value), union: None }
}

/// The output `var` of `node`, or with an empty node the workflow's input.
pub(super) fn promise(node: &str, var: &str) -> BindingData {
    part(node, var, &[])
}

/// A step of an attribute path.
pub(super) enum Step {
    Name(&'static str),
    Place(i32),
}

pub(super) fn steps(path: &[Step]) -> Vec<PromiseAttribute> {
    let step = |step: &Step| match step {
        Step::Name(name) => promise_attribute::Value::StringValue((*name).to_owned()),
        Step::Place(place) => promise_attribute::Value::IntValue(*place),
    };
    path.iter().map(|it| PromiseAttribute { value: Some(step(it)) }).collect()
}

pub(super) fn part(node: &str, var: &str, path: &[Step]) -> BindingData {
    let (node_id, var) = (node.to_owned(), var.to_owned());
    data(binding_data::Value::Promise(OutputReference { node_id, var, attr_path: steps(path) }))
}

pub(super) fn constant(value: Literal) -> BindingData {
    match value.value {
        Some(literal::Value::Scalar(scalar)) => data(binding_data::Value::Scalar(Scalar { value: scalar.value })),
        other => panic!("no scalar: {other:?}"),
    }
}

pub(super) fn list(bindings: Vec<BindingData>) -> BindingData {
    data(binding_data::Value::Collection(BindingDataCollection { bindings }))
}

pub(super) fn dict(bindings: Vec<(&str, BindingData)>) -> BindingData {
    let bindings = bindings.into_iter().map(|(key, data)| (key.to_owned(), data)).collect();
    data(binding_data::Value::Map(BindingDataMap { bindings }))
}

pub(super) fn bound(bindings: Vec<(&str, BindingData)>) -> Vec<Binding> {
    bindings.into_iter().map(|(var, data)| Binding { var: var.to_owned(), binding: Some(data) }).collect()
}

pub(super) fn bare(id: &str, target: Option<node::Target>, inputs: Vec<(&str, BindingData)>) -> Node {
    let metadata = Some(NodeMetadata { name: format!("name of {id}"), ..NodeMetadata::default() });
    Node { id: id.to_owned(), metadata, inputs: bound(inputs), target, ..Node::default() }
}

fn task_node(task: &str) -> node::Target {
    let reference = Some(task_node::Reference::ReferenceId(id(task)));
    node::Target::TaskNode(TaskNode { overrides: None, reference })
}

/// A node that runs a task.
pub(super) fn runs(id: &str, task: &str, inputs: Vec<(&str, BindingData)>) -> Node {
    bare(id, Some(task_node(task)), inputs)
}

/// A node that maps a task.
pub(super) fn maps(id: &str, task: &str, inputs: Vec<(&str, BindingData)>) -> Node {
    let node = Some(Box::new(bare("", Some(task_node(task)), Vec::new())));
    let array = ArrayNode { node, ..ArrayNode::default() };
    bare(id, Some(node::Target::ArrayNode(Box::new(array))), inputs)
}

/// A node that runs a sub-workflow.
pub(super) fn enters(name: &str, workflow: &str, inputs: Vec<(&str, BindingData)>) -> Node {
    let reference = Some(workflow_node::Reference::SubWorkflowRef(id(workflow)));
    bare(name, Some(node::Target::WorkflowNode(WorkflowNode { reference })), inputs)
}

/// A node that runs one of others: the first whose constant condition holds, which is the one at `met`.
pub(super) fn chooses(id: &str, nodes: Vec<Node>, met: usize, inputs: Vec<(&str, BindingData)>) -> Node {
    let truth = |value: bool| {
        let primitive = Primitive { value: Some(primitive::Value::Boolean(value)) };
        Some(Operand { val: Some(operand::Val::Primitive(primitive)) })
    };
    let case = |(at, node): (usize, Node)| {
        let comparison = ComparisonExpression { operator: 0, left_value: truth(at == met), right_value: truth(true) };
        let condition = BooleanExpression { expr: Some(boolean_expression::Expr::Comparison(comparison)) };
        IfBlock { condition: Some(condition), then_node: Some(Box::new(node)) }
    };
    let mut cases = nodes.into_iter().enumerate().map(case);
    let block = IfElseBlock { case: cases.next().map(Box::new), other: cases.collect(), default: None };
    let branch = BranchNode { if_else: Some(Box::new(block)) };
    bare(id, Some(node::Target::BranchNode(Box::new(branch))), inputs)
}

/// A node that makes an execution of a launch plan.
pub(super) fn launches(name: &str, plan: &str, inputs: Vec<(&str, BindingData)>) -> Node {
    let reference = Some(workflow_node::Reference::LaunchplanRef(id(plan)));
    bare(name, Some(node::Target::WorkflowNode(WorkflowNode { reference })), inputs)
}

/// A launch plan of these inputs and outputs.
pub(super) fn plan(name: &str, inputs: &[(&str, &str)], outputs: &[(&str, &str)]) -> CompiledLaunchPlan {
    let interface = Some(interface(inputs, outputs));
    CompiledLaunchPlan { template: Some(LaunchPlanTemplate { id: Some(id(name)), interface, fixed_inputs: None }) }
}

impl Node {
    /// The node, waiting for others too.
    pub(super) fn after(mut self, ids: &[&str]) -> Node {
        self.upstream_node_ids.extend(ids.iter().map(|id| (*id).to_owned()));
        self
    }

    pub(super) fn retries(mut self, retries: u32) -> Node {
        self.metadata.get_or_insert_default().retries = Some(RetryStrategy { retries });
        self
    }

    pub(super) fn array_mut(&mut self) -> &mut ArrayNode {
        match &mut self.target {
            Some(node::Target::ArrayNode(array)) => array,
            other => panic!("no array: {other:?}"),
        }
    }

    pub(super) fn ratio(mut self, ratio: f32) -> Node {
        self.array_mut().success_criteria = Some(array_node::SuccessCriteria::MinSuccessRatio(ratio));
        self
    }
}

/// A workflow; its outputs come with their types.
pub(super) fn workflow(
    name: &str,
    inputs: &[(&str, &str)],
    nodes: Vec<Node>,
    outputs: Vec<(&str, &str, BindingData)>,
) -> WorkflowTemplate {
    let types: Vec<(&str, &str)> = outputs.iter().map(|(var, kind, _)| (*var, *kind)).collect();
    WorkflowTemplate {
        id: Some(id(name)),
        metadata: Some(WorkflowMetadata::default()),
        interface: Some(interface(inputs, &types)),
        nodes,
        outputs: bound(outputs.into_iter().map(|(var, _, data)| (var, data)).collect()),
        ..WorkflowTemplate::default()
    }
}

impl WorkflowTemplate {
    /// The workflow, going on after a failure as far as it can.
    pub(super) fn lenient(mut self) -> WorkflowTemplate {
        let policy = workflow_metadata::OnFailurePolicy::FailAfterExecutableNodesComplete;
        self.metadata.get_or_insert_default().set_on_failure(policy);
        self
    }
}

/// Tasks that most samples use: `one(a: int?) -> int`, `none()`, `list(xs: [int]) -> [int]`, `text(s: str) -> str`,
/// `float(r: float)`.
fn tasks() -> Vec<TaskTemplate> {
    vec![
        task("one", &[("a", "int?")], &[("o0", "int")]),
        task("none", &[], &[]),
        task("list", &[("xs", "[int]")], &[("o0", "[int]")]),
        task("text", &[("s", "str")], &[("o0", "str")]),
        task("float", &[("r", "float")], &[]),
    ]
}

pub(super) fn closure(primary: WorkflowTemplate, within: Vec<WorkflowTemplate>) -> CompiledWorkflowClosure {
    let compiled = |template| CompiledWorkflow { template: Some(template), connections: None };
    CompiledWorkflowClosure {
        primary: Some(compiled(primary)),
        sub_workflows: within.into_iter().map(compiled).collect(),
        tasks: tasks().into_iter().map(|template| CompiledTask { template: Some(template) }).collect(),
        launch_plans: Vec::new(),
    }
}

pub(super) fn graph(primary: WorkflowTemplate, within: Vec<WorkflowTemplate>) -> Graph {
    Graph::compile(&closure(primary, within)).unwrap()
}

pub(super) fn faults(primary: WorkflowTemplate, within: Vec<WorkflowTemplate>) -> String {
    let faults: Faults = Graph::compile(&closure(primary, within)).unwrap_err();
    assert!(!faults.0.is_empty());
    faults.to_string()
}
