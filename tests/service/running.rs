//! What flytekit cannot do without is there while an execution runs as well: its clients look from the first second on.

use batchmap::idl::admin::{
    ExecutionCreateRequest, ExecutionSpec, NodeExecutionGetDataRequest, NodeExecutionListRequest,
    TaskExecutionGetDataRequest, TaskExecutionGetRequest, TaskExecutionListRequest, WorkflowExecutionGetDataRequest,
    WorkflowExecutionGetRequest,
};
use batchmap::idl::core::node_execution::Phase as NodePhase;
use batchmap::idl::core::task_execution::Phase as TaskPhase;
use batchmap::idl::core::workflow_execution::Phase;
use batchmap::idl::core::{LiteralMap, NodeExecutionIdentifier, ResourceType};
use batchmap::idl::make;

use super::peer::{Peer, plan_id};
use super::world::{World, eventually, id, mapped_task};

fn three() -> LiteralMap {
    LiteralMap { literals: [("x".to_owned(), make::collection((10..13).map(make::integer).collect()))].into() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_flytekit_reads_is_there_while_nodes_run() {
    let (mut peer, line) = Peer::on_a_line(World::endless()).await;
    let request = ExecutionCreateRequest {
        project: "p".to_owned(),
        domain: "d".to_owned(),
        name: "e".to_owned(),
        spec: Some(ExecutionSpec { launch_plan: Some(plan_id("wf")), ..Default::default() }),
        inputs: Some(three()),
        ..Default::default()
    };
    assert_eq!(peer.admin.create_execution(request).await.unwrap().into_inner().id, Some(id("e")));
    // From the first moment on.
    let request = WorkflowExecutionGetRequest { id: Some(id("e")) };
    let execution = peer.admin.get_execution(request.clone()).await.unwrap().into_inner();
    let (spec, closure) = (execution.spec.unwrap(), execution.closure.unwrap());
    assert_eq!((execution.id, spec.launch_plan.clone()), (Some(id("e")), Some(plan_id("wf"))));
    assert_eq!(spec.launch_plan.unwrap().resource_type(), ResourceType::LaunchPlan);
    assert!(matches!(closure.phase(), Phase::Queued | Phase::Running), "{:?}", closure.phase());
    assert!(closure.output_result.is_none() && closure.duration.is_none() && closure.created_at.is_some());
    let request = WorkflowExecutionGetDataRequest { id: Some(id("e")) };
    let data = peer.admin.get_execution_data(request).await.unwrap().into_inner();
    assert_eq!((data.full_inputs, data.full_outputs), (Some(three()), Some(LiteralMap::default())));

    eventually("a job", async || peer.world.batch.submits() == 1).await;
    let request = NodeExecutionListRequest { workflow_execution_id: Some(id("e")), limit: 100, ..Default::default() };
    let nodes = peer.admin.list_node_executions(request).await.unwrap().into_inner();
    // The other one waits, and what waits is none of a client's.
    assert_eq!((nodes.node_executions.len(), nodes.token.as_str()), (1, ""));
    let node = nodes.node_executions.into_iter().next().unwrap();
    let node_id = NodeExecutionIdentifier { node_id: "n0".to_owned(), execution_id: Some(id("e")) };
    assert_eq!(node.id.as_ref(), Some(&node_id));
    let (metadata, closure) = (node.metadata.unwrap(), node.closure.unwrap());
    assert!(metadata.is_array && !metadata.is_parent_node);
    assert!(closure.phase() == NodePhase::Running && closure.started_at.is_some() && closure.output_result.is_none());
    let request = NodeExecutionGetDataRequest { id: Some(node_id.clone()) };
    let data = peer.admin.get_node_execution_data(request).await.unwrap().into_inner();
    assert_eq!((data.full_inputs, data.full_outputs), (Some(three()), Some(LiteralMap::default())));

    let request =
        TaskExecutionListRequest { node_execution_id: Some(node_id.clone()), limit: 100, ..Default::default() };
    let tasks = peer.admin.list_task_executions(request).await.unwrap().into_inner().task_executions;
    assert_eq!(tasks.len(), 1);
    let task_id = tasks[0].id.clone().unwrap();
    assert_eq!((task_id.node_execution_id.as_ref(), &task_id.task_id), (Some(&node_id), &mapped_task().id));
    eventually("the attempt to run", async || {
        let request = TaskExecutionGetRequest { id: Some(task_id.clone()) };
        let task = peer.admin.clone().get_task_execution(request).await.unwrap().into_inner();
        let closure = task.closure.unwrap();
        assert!(closure.output_result.is_none());
        closure.phase() == TaskPhase::Running && closure.metadata.unwrap().external_resources.len() == 3
    })
    .await;
    // Nobody has to read a journal for that: the driver is here.
    let lists = line.count("list", "/journal");
    for _ in 0..3 {
        let request = TaskExecutionGetRequest { id: Some(task_id.clone()) };
        peer.admin.get_task_execution(request).await.unwrap();
    }
    assert_eq!(line.count("list", "/journal"), lists);
    let request = TaskExecutionGetDataRequest { id: Some(task_id) };
    let data = peer.admin.get_task_execution_data(request).await.unwrap().into_inner();
    assert_eq!((data.full_inputs, data.full_outputs), (Some(three()), Some(LiteralMap::default())));
    peer.stop().await;
}
