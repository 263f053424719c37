//! Executions: begun, followed as flytekit follows them, ended and begun again.

use batchmap::aws::store::Store;
use batchmap::idl::admin::execution_metadata::ExecutionMode;
use batchmap::idl::admin::{
    ClusterAssignment, ExecutionCreateRequest, ExecutionRecoverRequest, ExecutionRelaunchRequest, ExecutionSpec,
    ExecutionTerminateRequest, NodeExecutionGetDataRequest, NodeExecutionListRequest, TaskExecutionGetDataRequest,
    TaskExecutionGetRequest, TaskExecutionListRequest, WorkflowExecutionGetDataRequest, WorkflowExecutionGetRequest,
    execution_closure,
};
use batchmap::idl::admin::{Sort, sort::Direction};
use batchmap::idl::core::node_execution::Phase as NodePhase;
use batchmap::idl::core::task_execution::Phase as TaskPhase;
use batchmap::idl::core::workflow_execution::Phase;
use batchmap::idl::core::{Identifier, Literal, LiteralMap, NodeExecutionIdentifier};
use batchmap::idl::make;
use batchmap::idl::service::{GetDataRequest, get_data_response::Data};
use prost::Message;
use tonic::{Code, Status};

use super::batch::Ending;
use super::peer::{Peer, plan_id, refused, signals};
use super::store::Fault;
use super::world::{World, due, eventually, id, single_task};

fn inputs(literal: Literal) -> LiteralMap {
    LiteralMap { literals: [("x".to_owned(), literal)].into() }
}

pub fn three() -> LiteralMap {
    inputs(make::collection((10..13).map(make::integer).collect()))
}

pub fn of(name: &str, plan: Identifier, inputs: LiteralMap) -> ExecutionCreateRequest {
    ExecutionCreateRequest {
        project: "p".to_owned(),
        domain: "d".to_owned(),
        name: name.to_owned(),
        spec: Some(ExecutionSpec { launch_plan: Some(plan), ..Default::default() }),
        inputs: Some(inputs),
        ..Default::default()
    }
}

async fn create(peer: &mut Peer, name: &str, inputs: LiteralMap) -> Result<String, Status> {
    let answer = peer.admin.create_execution(of(name, plan_id("wf"), inputs)).await?;
    Ok(answer.into_inner().id.unwrap().name)
}

async fn phase(peer: &Peer, name: &str) -> Phase {
    let request = WorkflowExecutionGetRequest { id: Some(id(name)) };
    peer.admin.clone().get_execution(request).await.unwrap().into_inner().closure.unwrap().phase()
}

async fn reaches(peer: &Peer, name: &str, due: Phase) {
    eventually(&format!("{name} to be {due:?}"), async || phase(peer, name).await == due).await;
}

fn node_id(name: &str, node: &str) -> NodeExecutionIdentifier {
    NodeExecutionIdentifier { node_id: node.to_owned(), execution_id: Some(id(name)) }
}

/// Every field that flytekit cannot do without.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_flytekit_reads_is_there() {
    let mut peer = Peer::with_workflow(World::new()).await;
    assert_eq!(create(&mut peer, "e", three()).await.unwrap(), "e");
    reaches(&peer, "e", Phase::Succeeded).await;
    let request = WorkflowExecutionGetRequest { id: Some(id("e")) };
    let execution = peer.admin.get_execution(request).await.unwrap().into_inner();
    assert_eq!((execution.id, execution.spec.unwrap().launch_plan), (Some(id("e")), Some(plan_id("wf"))));
    let closure = execution.closure.unwrap();
    assert!(closure.created_at.is_some() && closure.started_at.is_some() && closure.duration.is_some());
    let request = WorkflowExecutionGetDataRequest { id: Some(id("e")) };
    let data = peer.admin.get_execution_data(request).await.unwrap().into_inner();
    assert_eq!((data.full_inputs, data.full_outputs), (Some(three()), Some(due())));

    let mut sort = Sort { key: "created_at".to_owned(), ..Default::default() };
    sort.set_direction(Direction::Ascending);
    let request = NodeExecutionListRequest {
        workflow_execution_id: Some(id("e")),
        limit: 100,
        sort_by: Some(sort),
        ..Default::default()
    };
    let nodes = peer.admin.list_node_executions(request).await.unwrap().into_inner().node_executions;
    let names: Vec<_> = nodes.iter().map(|node| node.id.clone().unwrap()).collect();
    assert_eq!(names, [node_id("e", "n0"), node_id("e", "n1")]);
    let arrays: Vec<bool> = nodes.iter().map(|node| node.metadata.as_ref().unwrap().is_array).collect();
    assert_eq!(arrays, [true, false]);
    assert!(nodes.iter().all(|node| node.closure.as_ref().unwrap().phase() == NodePhase::Succeeded));
    let request = NodeExecutionGetDataRequest { id: Some(node_id("e", "n0")) };
    let data = peer.admin.get_node_execution_data(request).await.unwrap().into_inner();
    assert_eq!(data.full_inputs, Some(three()));
    assert_eq!(data.full_outputs.unwrap().literals["o0"], due().literals["o0"]);

    let request =
        TaskExecutionListRequest { node_execution_id: Some(node_id("e", "n1")), limit: 100, ..Default::default() };
    let tasks = peer.admin.list_task_executions(request).await.unwrap().into_inner().task_executions;
    assert_eq!(tasks.len(), 1);
    let task_id = tasks[0].id.clone().unwrap();
    assert_eq!((&task_id.node_execution_id, &task_id.task_id), (&Some(node_id("e", "n1")), &single_task().id));
    let request = TaskExecutionGetRequest { id: Some(task_id.clone()) };
    let task = peer.admin.get_task_execution(request).await.unwrap().into_inner();
    assert_eq!(task.closure.unwrap().phase(), TaskPhase::Succeeded);
    let request = TaskExecutionGetDataRequest { id: Some(task_id) };
    let data = peer.admin.get_task_execution_data(request).await.unwrap().into_inner();
    assert_eq!(data.full_outputs.unwrap().literals["o0"], make::integer(0));
    peer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_begun_leaves_nothing() {
    let mut peer = Peer::with_workflow(World::new()).await;
    let text = inputs(make::string("text"));
    for (name, given, code, words) in [
        ("Upper", three(), Code::InvalidArgument, vec!["name is \"Upper\""]),
        ("e", LiteralMap::default(), Code::InvalidArgument, vec!["x"]),
        ("e", text, Code::InvalidArgument, vec!["x"]),
        ("e", LiteralMap { literals: [("y".to_owned(), make::integer(1))].into() }, Code::InvalidArgument, vec!["y"]),
    ] {
        refused(create(&mut peer, name, given).await, code, &words);
    }
    let request = of("e", plan_id("none"), three());
    refused(peer.admin.create_execution(request).await, Code::NotFound, &["launch plan none"]);
    let cluster = ClusterAssignment { cluster_pool_name: "c".to_owned() };
    let mut request = of("e", plan_id("wf"), three());
    request.spec.as_mut().unwrap().cluster_assignment = Some(cluster);
    refused(
        peer.admin.create_execution(request).await,
        Code::InvalidArgument,
        &["cluster_pool_name is c", "leave it out"],
    );
    let request = ExecutionCreateRequest { spec: None, ..of("e", plan_id("wf"), three()) };
    refused(peer.admin.create_execution(request).await, Code::InvalidArgument, &["spec is missing"]);
    let request = ExecutionCreateRequest { project: "p".repeat(800), ..of("e", plan_id("wf"), three()) };
    refused(peer.admin.create_execution(request).await, Code::InvalidArgument, &["too long"]);
    for part in ["running/", "index/", "spec.pb"] {
        assert_eq!(peer.world.keys(part), [""; 0]);
    }
    create(&mut peer, "e", three()).await.unwrap();
    refused(create(&mut peer, "e", three()).await, Code::AlreadyExists, &["execution e exists already"]);
    let request = WorkflowExecutionGetRequest { id: Some(id("none")) };
    refused(peer.admin.get_execution(request).await, Code::NotFound, &["no execution none in p/d"]);
    peer.stop().await;
}

/// `pyflyte run` gives no name, and flytekit repeats every failed call at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nameless_call_whose_outcome_nobody_knows_is_repeated_under_its_own_name() {
    let mut peer = Peer::with_workflow(World::new()).await;
    for fault in [Fault::ReplyLost, Fault::Unreachable] {
        let before = peer.world.keys("spec.pb").len();
        peer.world.store.fail("put_new", "spec.pb", fault, 0, 1);
        // The server's own tries after that.
        peer.world.store.fail("put_new", "spec.pb", Fault::Unreachable, 0, 4);
        let unknown = create(&mut peer, "", three()).await;
        refused(unknown, Code::Unavailable, &["no route to host"]);
        // While it takes away what may have landed, it says so.
        let name = loop {
            match create(&mut peer, "", three()).await {
                Ok(name) => break name,
                Err(making) => assert!(making.message().contains("is being made at this moment"), "{making:?}"),
            }
        };
        assert_eq!(peer.world.keys("spec.pb").len(), before + 1, "{fault:?}");
        reaches(&peer, &name, Phase::Succeeded).await;
        // Whoever asks for the same once more means it.
        assert_ne!(create(&mut peer, "", three()).await.unwrap(), name);
        peer.world.store.heal();
    }
    peer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_shows_an_execution_and_others_are_not_there() {
    let mut peer = Peer::with_workflow(World::new()).await;
    create(&mut peer, "e", three()).await.unwrap();
    reaches(&peer, "e", Phase::Succeeded).await;
    let mut text = String::new();
    for (path, due, words) in [
        ("projects/p/domains/d/executions/e", 200, "SUCCEEDED"),
        ("projects/p/domains/d/executions/none", 404, "no execution none"),
        ("projects/p/domains/d/workflow/wf/version/v", 404, "pages for executions alone"),
        ("", 404, "pages for executions alone"),
    ] {
        let (code, body) = peer.http(&format!("GET /console/{path} HTTP/1.1\r\n"), b"").await;
        let body = String::from_utf8(body).unwrap();
        assert!(code == due && body.contains(words), "{path}: {code} {body}");
        if due == 200 {
            text = body;
        }
    }
    assert!(text.contains("n0") && text.contains("n1") && !text.contains("placeholder"), "{text}");
    peer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_alone_is_a_workflow_of_one_node() {
    let mut peer = Peer::with_workflow(World::new()).await;
    let xs = LiteralMap { literals: [("xs".to_owned(), make::collection(Vec::new()))].into() };
    let answer = peer.admin.create_execution(of("", single_task().id.unwrap(), xs)).await.unwrap();
    let name = answer.into_inner().id.unwrap().name;
    reaches(&peer, &name, Phase::Succeeded).await;
    let request = WorkflowExecutionGetRequest { id: Some(id(&name)) };
    let execution = peer.admin.get_execution(request).await.unwrap().into_inner();
    assert_eq!(execution.spec.unwrap().launch_plan, single_task().id, "its kind tells the client what it is");
    peer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terminated_relaunched_and_recovered() {
    let mut peer = Peer::with_workflow(World::endless()).await;
    create(&mut peer, "e", three()).await.unwrap();
    eventually("a job", async || peer.world.batch.submits() == 1).await;
    let recover = |name: &str| ExecutionRecoverRequest { id: Some(id("e")), name: name.to_owned(), metadata: None };
    refused(peer.admin.recover_execution(recover("r")).await, Code::FailedPrecondition, &["is not over"]);
    let request = ExecutionTerminateRequest { id: Some(id("e")), cause: "enough".to_owned() };
    peer.admin.terminate_execution(request).await.unwrap();
    reaches(&peer, "e", Phase::Aborted).await;
    let request = WorkflowExecutionGetRequest { id: Some(id("e")) };
    let closure = peer.admin.get_execution(request).await.unwrap().into_inner().closure.unwrap();
    match closure.output_result {
        Some(execution_closure::OutputResult::AbortMetadata(abort)) => assert_eq!(abort.cause, "enough"),
        other => panic!("{other:?}"),
    }
    assert_eq!(peer.world.batch.alive(), 0);

    (0..3).for_each(|index| peer.world.batch.takes(index, std::time::Duration::ZERO));
    let relaunch = ExecutionRelaunchRequest { id: Some(id("e")), name: "again".to_owned(), ..Default::default() };
    peer.admin.relaunch_execution(relaunch).await.unwrap();
    reaches(&peer, "again", Phase::Succeeded).await;
    peer.admin.recover_execution(recover("r")).await.unwrap();
    reaches(&peer, "r", Phase::Succeeded).await;
    for (name, mode) in [("again", ExecutionMode::Relaunch), ("r", ExecutionMode::Recovered)] {
        let request = WorkflowExecutionGetRequest { id: Some(id(name)) };
        let spec = peer.admin.get_execution(request).await.unwrap().into_inner().spec.unwrap();
        let metadata = spec.metadata.unwrap();
        assert_eq!((metadata.mode(), metadata.reference_execution), (mode, Some(id("e"))));
    }
    peer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_that_fails_fails_its_execution_in_its_own_words() {
    let world = World::new();
    (0..9).for_each(|run| world.batch.ends(1, run, Ending::Error { recoverable: false }));
    let mut peer = Peer::with_workflow(world).await;
    create(&mut peer, "e", three()).await.unwrap();
    reaches(&peer, "e", Phase::Failed).await;
    let request = WorkflowExecutionGetRequest { id: Some(id("e")) };
    let closure = peer.admin.get_execution(request).await.unwrap().into_inner().closure.unwrap();
    match closure.output_result {
        Some(execution_closure::OutputResult::Error(error)) => {
            assert_eq!(error.code, "ValueError");
            assert!(error.message.contains("node n0") && error.message.contains("it broke"), "{}", error.message);
        }
        other => panic!("{other:?}"),
    }
    // What has succeeded is not run again.
    let runs = peer.world.batch.runs();
    (0..9).for_each(|run| peer.world.batch.ends(1, run, Ending::Good));
    let request = ExecutionRecoverRequest { id: Some(id("e")), name: "r".to_owned(), metadata: None };
    peer.admin.recover_execution(request).await.unwrap();
    reaches(&peer, "r", Phase::Succeeded).await;
    let after = peer.world.batch.runs();
    assert_eq!((after[&1] - runs[&1], after[&2] - runs[&2]), (1, 0));
    peer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_inputs_are_fetched_over_http() {
    let (mut peer, line) = Peer::on_a_line(World::new()).await;
    // No child is started for them: the list is empty, and the launch plan's own input is large by its hash.
    let large = Literal { hash: "h".repeat(9 << 20), ..make::collection(Vec::new()) };
    create(&mut peer, "e", inputs(large.clone())).await.unwrap();
    let request = WorkflowExecutionGetDataRequest { id: Some(id("e")) };
    for _ in 0..2 {
        peer.admin.get_execution_data(request.clone()).await.unwrap();
    }
    let data = peer.admin.get_execution_data(request).await.unwrap().into_inner();
    assert_eq!(line.count("put_new", "executions/p/d/e/inputs.pb"), 1, "they are put there once");
    assert_eq!(data.full_inputs, None);
    let blob = data.inputs.unwrap();
    assert!(!blob.url.contains('?') && blob.url.starts_with(&format!("http://{}/", peer.addr())), "{}", blob.url);
    let path = blob.url.strip_prefix(&format!("http://{}", peer.addr())).unwrap();
    let (code, body) = peer.http(&format!("GET {path} HTTP/1.1\r\n"), b"").await;
    assert_eq!((code, body.len() as i64), (200, blob.bytes));
    assert_eq!(LiteralMap::decode(body.as_slice()).unwrap(), inputs(large));
    peer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_outputs_are_never_read_to_be_shown() {
    let (mut peer, line) = Peer::on_a_line(World::new()).await;
    create(&mut peer, "e", three()).await.unwrap();
    reaches(&peer, "e", Phase::Succeeded).await;
    let large = inputs(Literal { hash: "h".repeat(30 << 20), ..make::collection(Vec::new()) });
    let (root, body) = (peer.world.root.flow(&id("e")), large.encode_to_vec());
    for key in [root.outputs("n0"), root.outputs("")] {
        peer.world.store.memory.put(&key, body.clone().into()).await.unwrap();
    }
    let gets = line.count("get", "outputs.pb");
    for _ in 0..5 {
        let request = NodeExecutionGetDataRequest { id: Some(node_id("e", "n0")) };
        let data = peer.admin.get_node_execution_data(request).await.unwrap().into_inner();
        assert_eq!((data.full_outputs, data.outputs.unwrap().bytes), (None, body.len() as i64));
        let request = WorkflowExecutionGetDataRequest { id: Some(id("e")) };
        let data = peer.admin.get_execution_data(request).await.unwrap().into_inner();
        assert_eq!((data.full_outputs, data.outputs.unwrap().bytes), (None, body.len() as i64));
    }
    let request = GetDataRequest { flyte_url: "flyte://v1/p/d/e/n0/o".to_owned() };
    let words = [root.outputs("n0"), body.len().to_string()];
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    refused(peer.data.get_data(request).await, Code::FailedPrecondition, &words);
    assert_eq!(line.count("get", "outputs.pb"), gets);
    peer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_that_never_change_are_read_once() {
    let (mut peer, line) = Peer::on_a_line(World::new()).await;
    create(&mut peer, "e", three()).await.unwrap();
    reaches(&peer, "e", Phase::Succeeded).await;
    let mut gets = Vec::new();
    for _ in 0..3 {
        let request = WorkflowExecutionGetDataRequest { id: Some(id("e")) };
        assert_eq!(peer.admin.get_execution_data(request).await.unwrap().into_inner().full_outputs, Some(due()));
        for node in ["n0", "n1"] {
            let request = NodeExecutionGetDataRequest { id: Some(node_id("e", node)) };
            let data = peer.admin.get_node_execution_data(request).await.unwrap().into_inner();
            assert_eq!(
                data.full_outputs.unwrap().literals["o0"],
                due().literals[if node == "n0" { "o0" } else { "o1" }]
            );
        }
        gets.push(line.count("get", "executions/p/d/e/"));
    }
    assert!(gets[0] == gets[1] && gets[1] == gets[2], "{gets:?}");
    peer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_of_values() {
    let mut peer = Peer::with_workflow(World::new()).await;
    create(&mut peer, "e", three()).await.unwrap();
    reaches(&peer, "e", Phase::Succeeded).await;
    let mut get = async |rest: &str| {
        let request = GetDataRequest { flyte_url: format!("flyte://v1/p/d/{rest}") };
        peer.data.get_data(request).await.map(|answer| answer.into_inner().data.unwrap())
    };
    assert_eq!(get("e/n0/i").await.unwrap(), Data::LiteralMap(three()));
    assert_eq!(get("e/n1/0/o/o0").await.unwrap(), Data::Literal(make::integer(0)));
    refused(get("e/n1/o/o9").await, Code::NotFound, &["no \"o9\"", "o0"]);
    refused(get("e/n7/o").await, Code::NotFound, &["no node \"n7\""]);
    refused(get("none/n0/o").await, Code::NotFound, &["no execution none"]);
    refused(get("e").await, Code::InvalidArgument, &["expected flyte://"]);
    refused(get("e/n0/d").await, Code::NotFound, &["no deck", "a map makes none"]);
    refused(get("e/n1/d").await, Code::NotFound, &["enable_deck"]);
    peer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_served_says_so() {
    let peer = Peer::start(World::new()).await;
    let request = batchmap::idl::admin::SignalSetRequest::default();
    refused(signals(&peer).set_signal(request).await, Code::Unimplemented, &["gate nodes"]);
    // A method that there is not: the path is all that differs.
    let mut grpc = tonic::client::Grpc::new(peer.channel.clone());
    grpc.ready().await.unwrap();
    let path = "/flyteidl.service.AdminService/GetDescriptionEntity".parse().unwrap();
    let codec = tonic_prost::ProstCodec::<WorkflowExecutionGetRequest, LiteralMap>::default();
    let answer = grpc.unary(tonic::Request::new(WorkflowExecutionGetRequest::default()), path, codec).await;
    refused(
        answer,
        Code::Unimplemented,
        &["batchmap does not serve flyteidl.service.AdminService/GetDescriptionEntity"],
    );
    drop(grpc);
    peer.stop().await;
}
