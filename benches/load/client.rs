//! A client that asks what flytekit asks while it waits.

use std::time::{Duration, Instant};

use batchmap::idl::admin::{
    ExecutionCreateRequest, ExecutionSpec, LaunchPlanCreateRequest, LaunchPlanSpec, NodeExecutionGetDataRequest,
    NodeExecutionListRequest, TaskCreateRequest, TaskExecutionGetDataRequest, TaskExecutionGetRequest,
    TaskExecutionListRequest, TaskSpec, WorkflowCreateRequest, WorkflowExecutionGetDataRequest,
    WorkflowExecutionGetRequest, WorkflowSpec,
};
use batchmap::idl::core::workflow_execution::Phase;
use batchmap::idl::core::{LiteralMap, NodeExecutionIdentifier, ResourceType, WorkflowExecutionIdentifier};
use batchmap::idl::make;
use batchmap::service::rpc::admin_service_client::AdminServiceClient;
use tonic::transport::Channel;
use tonic::{Response, Status};

use super::table::Latencies;
use super::workflow::{DOMAIN, PROJECT, identifier, task, workflow};

/// As flytekit sets it.
const PAGE: u32 = 100;

async fn connect(address: &str) -> AdminServiceClient<Channel> {
    let endpoint = Channel::from_shared(format!("http://{address}")).expect("an address");
    AdminServiceClient::new(endpoint.connect().await.expect("the server"))
}

/// Registers the task, the workflow, and a launch plan whose default is a list with an element for each child.
pub async fn register(address: &str, children: usize) {
    let mut admin = connect(address).await;
    let spec = TaskSpec { template: Some(task()), ..Default::default() };
    admin.create_task(TaskCreateRequest { id: task().id, spec: Some(spec) }).await.expect("a task");
    let spec = WorkflowSpec { template: Some(workflow()), ..Default::default() };
    admin.create_workflow(WorkflowCreateRequest { id: workflow().id, spec: Some(spec) }).await.expect("a workflow");
    let list = make::collection((0..children as i64).map(make::integer).collect());
    let spec = LaunchPlanSpec {
        workflow_id: workflow().id,
        fixed_inputs: Some(LiteralMap { literals: [("x".to_owned(), list)].into() }),
        ..Default::default()
    };
    let id = Some(identifier(ResourceType::LaunchPlan, "wf"));
    admin.create_launch_plan(LaunchPlanCreateRequest { id, spec: Some(spec) }).await.expect("a launch plan");
}

/// One client's connection, and how long its calls took.
struct Client {
    admin: AdminServiceClient<Channel>,
    latencies: Latencies,
}

impl Client {
    async fn timed<T>(
        &mut self,
        method: &'static str,
        call: impl AsyncFnOnce(&mut AdminServiceClient<Channel>) -> Result<Response<T>, Status>,
    ) -> T {
        let began = Instant::now();
        let answer = call(&mut self.admin).await;
        self.latencies.add(method, began.elapsed());
        answer.unwrap_or_else(|status| panic!("{method}: {status}")).into_inner()
    }
}

/// Begins an execution and looks at it until it is over, as `pyflyte run --remote --wait` does.
pub async fn follow(address: String, poll: Duration) -> Latencies {
    let mut client = Client { admin: connect(&address).await, latencies: Latencies::default() };
    let request = ExecutionCreateRequest {
        project: PROJECT.to_owned(),
        domain: DOMAIN.to_owned(),
        spec: Some(ExecutionSpec {
            launch_plan: Some(identifier(ResourceType::LaunchPlan, "wf")),
            ..Default::default()
        }),
        inputs: Some(LiteralMap::default()),
        ..Default::default()
    };
    let created = client.timed("CreateExecution", async |admin| admin.create_execution(request).await).await;
    let id = created.id.expect("an id");
    loop {
        match look(&mut client, &id).await {
            Phase::Succeeded => return client.latencies,
            Phase::Failed | Phase::Aborted | Phase::TimedOut => panic!("execution {} has failed", id.name),
            _ => tokio::time::sleep(poll).await,
        }
    }
}

/// One look: the execution, its nodes and their attempts.
async fn look(client: &mut Client, id: &WorkflowExecutionIdentifier) -> Phase {
    let request = WorkflowExecutionGetRequest { id: Some(id.clone()) };
    let execution = client.timed("GetExecution", async |admin| admin.get_execution(request).await).await;
    let request = WorkflowExecutionGetDataRequest { id: Some(id.clone()) };
    client.timed("GetExecutionData", async |admin| admin.get_execution_data(request).await).await;
    let request =
        NodeExecutionListRequest { workflow_execution_id: Some(id.clone()), limit: PAGE, ..Default::default() };
    let nodes = client.timed("ListNodeExecutions", async |admin| admin.list_node_executions(request).await).await;
    for node in nodes.node_executions {
        look_at_node(client, node.id.expect("an id")).await;
    }
    execution.closure.expect("a closure").phase()
}

async fn look_at_node(client: &mut Client, id: NodeExecutionIdentifier) {
    let request = NodeExecutionGetDataRequest { id: Some(id.clone()) };
    client.timed("GetNodeExecutionData", async |admin| admin.get_node_execution_data(request).await).await;
    let request = TaskExecutionListRequest { node_execution_id: Some(id), limit: PAGE, ..Default::default() };
    let tasks = client.timed("ListTaskExecutions", async |admin| admin.list_task_executions(request).await).await;
    for task in tasks.task_executions {
        let request = TaskExecutionGetRequest { id: task.id.clone() };
        client.timed("GetTaskExecution", async |admin| admin.get_task_execution(request).await).await;
        let request = TaskExecutionGetDataRequest { id: task.id };
        client.timed("GetTaskExecutionData", async |admin| admin.get_task_execution_data(request).await).await;
    }
}
