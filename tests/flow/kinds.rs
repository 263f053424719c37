//! Nodes that run no task themselves: branches, and executions of launch plans.

use batchmap::aws::store::Store;
use batchmap::idl::admin::execution_metadata::ExecutionMode;
use batchmap::idl::admin::{LaunchPlanSpec, WorkflowSpec};
use batchmap::idl::core::comparison_expression::Operator;
use batchmap::idl::core::{
    BooleanExpression, BranchNode, ComparisonExpression, CompiledLaunchPlan, CompiledTask, CompiledWorkflow,
    CompiledWorkflowClosure, Error, IfBlock, IfElseBlock, LaunchPlanTemplate, LiteralMap, Operand, Primitive,
    ResourceType, TypedInterface, WorkflowMetadata, WorkflowNode, WorkflowTemplate, boolean_expression, if_else_block,
    node, operand, primitive, workflow_node,
};
use batchmap::idl::make;
use batchmap::idl::record::registered::Spec;
use batchmap::idl::record::{FlowRecord, Registered};
use batchmap::map::layout::flyte::{FLYTE_VERSION, Kind};
use batchmap::map::workflow::{FlowOutcome, NodePhase};
use prost::Message;

use super::world::{
    IMPATIENT, PATIENT, World, bound, due, ended, eventually, id, identifier, integer, list_of, node_of, record, runs,
    task, template, until, variables, workflow,
};

/// An execution of this workflow, of one task `one(a) -> o0`.
fn execution(name: &str, nodes: Vec<batchmap::idl::core::Node>, a: i64) -> FlowRecord {
    let one = task("one", "pyflyte-execute", &[("a", integer())], &[("o0", integer())]);
    let template = WorkflowTemplate {
        id: Some(identifier(ResourceType::Workflow, "chooses")),
        metadata: Some(WorkflowMetadata::default()),
        interface: Some(TypedInterface {
            inputs: Some(variables(&[("a", integer())])),
            outputs: Some(variables(&[("o0", integer())])),
        }),
        nodes,
        outputs: vec![bound("o0", "n0", "o0")],
        ..Default::default()
    };
    let closure = CompiledWorkflowClosure {
        primary: Some(CompiledWorkflow { template: Some(template), connections: None }),
        tasks: vec![CompiledTask { template: Some(one) }],
        ..Default::default()
    };
    let inputs = LiteralMap { literals: [("a".to_owned(), make::integer(a))].into() };
    FlowRecord { inputs: Some(inputs), workflow: Some(closure), ..record(name) }
}

/// `one` where the input is more than 5, else an error.
fn more_than_five() -> batchmap::idl::core::Node {
    let one = task("one", "pyflyte-execute", &[("a", integer())], &[("o0", integer())]);
    let five = Primitive { value: Some(primitive::Value::Integer(5)) };
    let comparison = ComparisonExpression {
        operator: Operator::Gt.into(),
        left_value: Some(Operand { val: Some(operand::Val::Var(".a".to_owned())) }),
        right_value: Some(Operand { val: Some(operand::Val::Primitive(five)) }),
    };
    let condition = BooleanExpression { expr: Some(boolean_expression::Expr::Comparison(comparison)) };
    let chosen = node_of("n0", runs(&one), vec![bound("a", "", "a")]);
    let case = IfBlock { condition: Some(condition), then_node: Some(Box::new(chosen)) };
    let error = Error { failed_node_id: "n0".to_owned(), message: "too few".to_owned() };
    let default = Some(if_else_block::Default::Error(error));
    let block = IfElseBlock { case: Some(Box::new(case)), other: Vec::new(), default };
    let branch = BranchNode { if_else: Some(Box::new(block)) };
    node_of("n0", node::Target::BranchNode(Box::new(branch)), vec![bound(".a", "", "a")])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_branch_runs_one_node_and_has_its_outputs() {
    let world = World::new();
    let (flows, _) = world.open("only", PATIENT);
    flows.create(execution("e", vec![more_than_five()], 6)).await.unwrap();
    assert_eq!(ended(&flows, "e").await, FlowOutcome::Succeeded);
    assert_eq!(world.outputs("e").await.literals["o0"], make::integer(0));
    let view = flows.view(&id("e")).await.unwrap();
    assert_eq!(view.flow.node("n0-0-n0").unwrap().phase, NodePhase::Succeeded);
    assert_eq!(world.batch.submits(), 1);
    flows.create(execution("f", vec![more_than_five()], 5)).await.unwrap();
    let FlowOutcome::Failed { node, error } = ended(&flows, "f").await else { panic!("no case is met") };
    assert_eq!(
        (node.as_deref(), error.code.as_str(), error.message.as_str()),
        (Some("n0"), "UserProvidedError", "too few")
    );
    assert_eq!(world.batch.submits(), 1, "nothing more");
    flows.stop().await;
}

/// An execution whose only node makes one of the launch plan `plan`, which runs the workflow of the other tests.
async fn planned(world: &World, name: &str) -> FlowRecord {
    let (plan, flow) = (identifier(ResourceType::LaunchPlan, "plan"), identifier(ResourceType::Workflow, "wf"));
    let spec = LaunchPlanSpec { workflow_id: Some(flow.clone()), max_parallelism: 7, ..Default::default() };
    for (kind, id, spec, compiled) in [
        (Kind::LaunchPlan, &plan, Spec::LaunchPlan(spec), None),
        (Kind::Workflow, &flow, Spec::Workflow(WorkflowSpec::default()), Some(workflow())),
    ] {
        let entity = Registered {
            version: FLYTE_VERSION,
            id: Some(id.clone()),
            spec: Some(spec),
            compiled,
            ..Default::default()
        };
        world.store.memory.put(&world.root.entity(kind, id), entity.encode_to_vec().into()).await.unwrap();
    }
    let interface = template().interface;
    let reference = Some(workflow_node::Reference::LaunchplanRef(plan.clone()));
    let target = node::Target::WorkflowNode(WorkflowNode { reference });
    let primary = WorkflowTemplate {
        id: Some(identifier(ResourceType::Workflow, "outer")),
        metadata: Some(WorkflowMetadata::default()),
        interface: Some(TypedInterface {
            inputs: Some(variables(&[("x", list_of(integer()))])),
            outputs: Some(variables(&[("o0", list_of(integer()))])),
        }),
        nodes: vec![node_of("n0", target, vec![bound("x", "", "x")])],
        outputs: vec![bound("o0", "n0", "o0")],
        ..Default::default()
    };
    let template = LaunchPlanTemplate { id: Some(plan), interface, fixed_inputs: None };
    let closure = CompiledWorkflowClosure {
        primary: Some(CompiledWorkflow { template: Some(primary), connections: None }),
        launch_plans: vec![CompiledLaunchPlan { template: Some(template) }],
        ..Default::default()
    };
    FlowRecord { workflow: Some(closure), ..record(name) }
}

/// The name of the execution that the node has made.
async fn launched(flows: &batchmap::run::flow::Flows, name: &str) -> String {
    let view = until(flows, name, |view| view.flow.node("n0").is_some_and(|node| node.execution.is_some())).await;
    view.flow.node("n0").unwrap().execution.unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_launch_plans_node_is_an_execution_of_its_own() {
    let world = World::new();
    let (flows, _) = world.open("only", PATIENT);
    flows.create(planned(&world, "e").await).await.unwrap();
    assert_eq!(ended(&flows, "e").await, FlowOutcome::Succeeded);
    assert_eq!(world.outputs("e").await.literals["o0"], due().literals["o0"]);
    let child = launched(&flows, "e").await;
    assert_eq!(world.outputs(&child).await, due());
    let view = flows.view(&id(&child)).await.unwrap();
    let spec = view.record.spec.clone().unwrap();
    let metadata = spec.metadata.unwrap();
    assert_eq!((metadata.mode(), metadata.nesting, spec.max_parallelism), (ExecutionMode::ChildWorkflow, 1, 7));
    assert_eq!(metadata.parent_node_execution.unwrap().execution_id, Some(id("e")));
    flows.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abort_goes_through_to_the_launch_plans_execution() {
    let world = World::endless();
    let (flows, _) = world.open("only", PATIENT);
    flows.create(planned(&world, "e").await).await.unwrap();
    eventually("a job", async || world.batch.submits() == 1).await;
    flows.abort(&id("e"), "enough", "me").await.unwrap();
    assert!(matches!(ended(&flows, "e").await, FlowOutcome::Aborted { .. }));
    let child = launched(&flows, "e").await;
    let FlowOutcome::Aborted { cause, .. } = ended(&flows, &child).await else { panic!("{child} goes on") };
    assert!(cause.contains("enough"), "{cause}");
    assert_eq!(world.batch.alive(), 0);
    flows.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_goes_through_to_the_launch_plans_execution() {
    let world = World::endless();
    let (flows, _) = world.open("only", PATIENT);
    flows.create(planned(&world, "e").await).await.unwrap();
    eventually("a job", async || world.batch.submits() == 1).await;
    flows.abort(&id("e"), "enough", "me").await.unwrap();
    ended(&flows, "e").await;
    let old = launched(&flows, "e").await;
    flows.create(FlowRecord { recovers: Some(id("e")), ..planned(&world, "r").await }).await.unwrap();
    let new = launched(&flows, "r").await;
    assert_ne!(old, new);
    let view = until(&flows, &new, |_| true).await;
    assert_eq!(view.record.recovers, Some(id(&old)));
    flows.abort(&id("r"), "enough", "me").await.unwrap();
    ended(&flows, "r").await;
    flows.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_server_goes_on_with_both_executions() {
    let world = World::endless();
    let (first, _) = world.open("first", PATIENT);
    first.create(planned(&world, "e").await).await.unwrap();
    eventually("a job", async || world.batch.submits() == 1).await;
    let child = launched(&first, "e").await;
    first.stop().await;
    let (second, _) = world.open("second", IMPATIENT);
    for name in ["e", child.as_str()] {
        until(&second, name, |view| view.flow.server() == Some("second")).await;
    }
    second.abort(&id(&child), "by hand", "me").await.unwrap();
    // What becomes of the execution becomes of the node.
    let FlowOutcome::Failed { node, error } = ended(&second, "e").await else { panic!("it goes on without") };
    assert_eq!(node.as_deref(), Some("n0"));
    assert!(error.message.contains(&child) && error.message.contains("by hand"), "{}", error.message);
    assert_eq!(world.batch.submits(), 1, "nothing was begun twice");
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_launch_plan_does_not_take_fails_its_node() {
    let world = World::new();
    let (flows, _) = world.open("only", PATIENT);
    let mut record = planned(&world, "e").await;
    // Registered with an input that the plan of today requires, and given none.
    let closure = record.workflow.as_mut().unwrap();
    closure.primary.as_mut().unwrap().template.as_mut().unwrap().nodes[0].inputs.clear();
    let plan = closure.launch_plans[0].template.as_mut().unwrap();
    plan.interface.as_mut().unwrap().inputs = None;
    flows.create(record).await.unwrap();
    let FlowOutcome::Failed { error, .. } = ended(&flows, "e").await else { panic!("x is missing") };
    assert!(error.code == "BadInputs" && error.message.contains("inputs.x: it is missing"), "{error:?}");
    flows.stop().await;
}
