//! Lists: filters, order and pages.

use batchmap::aws::store::Store;
use batchmap::idl::admin::{
    ExecutionCreateRequest, ExecutionSpec, ExecutionTerminateRequest, LaunchPlanSpec, LaunchPlanState,
    LaunchPlanUpdateRequest, NamedEntityIdentifier, NodeExecutionListRequest, ResourceListRequest, Sort,
    WorkflowExecutionGetRequest, sort::Direction,
};
use batchmap::idl::core::workflow_execution::Phase;
use batchmap::idl::core::{LiteralMap, ResourceType, TaskTemplate};
use batchmap::idl::make;
use batchmap::idl::record::Registered;
use batchmap::map::layout::flyte::Kind;
use prost::Message;
use tonic::{Code, Status};

use super::peer::{Peer, plan_id, refused};
use super::world::{World, eventually, id, identifier, single_task};

fn domain(name: &str) -> Option<NamedEntityIdentifier> {
    let (project, domain) = ("p".to_owned(), "d".to_owned());
    Some(NamedEntityIdentifier { project, domain, name: name.to_owned(), ..Default::default() })
}

fn list(filters: &str, sort: Option<(&str, Direction)>, limit: u32) -> ResourceListRequest {
    let sort_by = sort.map(|(key, direction)| Sort { key: key.to_owned(), direction: direction.into() });
    ResourceListRequest { id: domain(""), limit, filters: filters.to_owned(), sort_by, ..Default::default() }
}

async fn create(peer: &mut Peer, name: &str) {
    let xs = make::collection((0..3).map(make::integer).collect());
    let request = ExecutionCreateRequest {
        project: "p".to_owned(),
        domain: "d".to_owned(),
        name: name.to_owned(),
        spec: Some(ExecutionSpec { launch_plan: Some(plan_id("wf")), ..Default::default() }),
        inputs: Some(LiteralMap { literals: [("x".to_owned(), xs)].into() }),
        ..Default::default()
    };
    peer.admin.create_execution(request).await.unwrap();
}

async fn reaches(peer: &Peer, name: &str, due: Phase) {
    eventually(&format!("{name} to be {due:?}"), async || {
        let request = WorkflowExecutionGetRequest { id: Some(id(name)) };
        peer.admin.clone().get_execution(request).await.unwrap().into_inner().closure.unwrap().phase() == due
    })
    .await;
}

async fn executions(peer: &mut Peer, request: ResourceListRequest) -> Result<(Vec<String>, String), Status> {
    let answer = peer.admin.list_executions(request).await?.into_inner();
    Ok((answer.executions.into_iter().map(|execution| execution.id.unwrap().name).collect(), answer.token))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn executions_by_name_phase_and_order() {
    let mut peer = Peer::with_workflow(World::endless()).await;
    for name in ["b", "a", "c"] {
        create(&mut peer, name).await;
    }
    let request = ExecutionTerminateRequest { id: Some(id("a")), cause: "enough".to_owned() };
    peer.admin.terminate_execution(request).await.unwrap();
    reaches(&peer, "a", Phase::Aborted).await;
    for name in ["b", "c"] {
        reaches(&peer, name, Phase::Running).await;
    }
    let by_name = Some(("name", Direction::Ascending));
    for (filters, due) in [
        ("", vec!["a", "b", "c"]),
        ("eq(name,b)", vec!["b"]),
        ("ne(execution_name,b)", vec!["a", "c"]),
        ("value_in(name,a;c;x)", vec!["a", "c"]),
        ("eq(phase,ABORTED)", vec!["a"]),
        ("value_in(phase,RUNNING;ABORTED)+ne(name,c)", vec!["a", "b"]),
        ("eq(phase,SUCCEEDED)", vec![]),
        ("eq(project,p)+eq(execution.domain,d)", vec!["a", "b", "c"]),
        ("eq(project,other)", vec![]),
    ] {
        let (found, token) = executions(&mut peer, list(filters, by_name, 0)).await.unwrap();
        assert_eq!((found, token), (due.into_iter().map(str::to_owned).collect(), String::new()), "{filters}");
    }
    let down = Some(("name", Direction::Descending));
    let (found, token) = executions(&mut peer, list("", down, 2)).await.unwrap();
    assert_eq!((found, token.as_str()), (vec!["c".to_owned(), "b".to_owned()], "2"));
    // What is left out takes no place in a page.
    let (first, token) = executions(&mut peer, list("eq(phase,RUNNING)", by_name, 1)).await.unwrap();
    let rest = ResourceListRequest { token, ..list("eq(phase,RUNNING)", by_name, 1) };
    let (second, token) = executions(&mut peer, rest).await.unwrap();
    assert_eq!((first, second, token.as_str()), (vec!["b".to_owned()], vec!["c".to_owned()], ""));
    refused(executions(&mut peer, list("eq(colour,red)", None, 0)).await, Code::InvalidArgument, &["eq(colour,red"]);
    let wrong = ResourceListRequest { token: "next".to_owned(), ..list("", None, 0) };
    refused(executions(&mut peer, wrong).await, Code::InvalidArgument, &["token is \"next\""]);
    let sorted = list("", Some(("colour", Direction::Ascending)), 0);
    refused(executions(&mut peer, sorted).await, Code::InvalidArgument, &["sort_by.key is \"colour\""]);
    peer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_executions_come_first_and_every_page_has_its_own() {
    let mut peer = Peer::with_workflow(World::endless()).await;
    // Many in one millisecond: their order is one and the same all the same.
    let names: Vec<String> = (0..7).map(|at| format!("e{at}")).collect();
    for name in &names {
        create(&mut peer, name).await;
    }
    let whole = executions(&mut peer, list("", None, 0)).await.unwrap().0;
    assert_eq!(whole.len(), 7);
    let (mut token, mut paged) = (String::new(), Vec::new());
    loop {
        let request = ResourceListRequest { token, ..list("", None, 3) };
        let (page, next) = executions(&mut peer, request).await.unwrap();
        assert!(page.len() <= 3);
        paged.extend(page);
        token = next;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(paged, whole);
    let up = Some(("created_at", Direction::Ascending));
    let mut reversed = executions(&mut peer, list("", up, u32::MAX)).await.unwrap().0;
    reversed.reverse();
    assert_eq!(reversed, whole);
    peer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn launch_plans_by_state_name_and_version() {
    let mut peer = Peer::with_workflow(World::new()).await;
    for name in ["one", "two"] {
        peer.plan(name, LaunchPlanSpec::default()).await.unwrap();
    }
    let mut update = LaunchPlanUpdateRequest { id: Some(plan_id("two")), ..Default::default() };
    update.set_state(LaunchPlanState::Active);
    peer.admin.update_launch_plan(update).await.unwrap();
    let by_name = Some(("name", Direction::Ascending));
    for (filters, due) in [
        ("", vec!["one", "two", "wf"]),
        ("eq(state,1)", vec!["two"]),
        ("eq(state,0)", vec!["one", "wf"]),
        ("eq(state,0)+contains(name,w)", vec!["wf"]),
        ("eq(version,v1)+ne(launch_plan.name,wf)", vec!["one", "two"]),
        ("eq(version,v2)", vec![]),
    ] {
        let answer = peer.admin.list_launch_plans(list(filters, by_name, 0)).await.unwrap().into_inner();
        let found: Vec<String> = answer.launch_plans.into_iter().map(|plan| plan.id.unwrap().name).collect();
        assert_eq!((found, answer.token), (due.into_iter().map(str::to_owned).collect(), String::new()), "{filters}");
    }
    let answer = peer.admin.list_launch_plans(list("eq(state,0)", by_name, 1)).await.unwrap().into_inner();
    let rest = ResourceListRequest { token: answer.token, ..list("eq(state,0)", by_name, 1) };
    let rest = peer.admin.list_launch_plans(rest).await.unwrap().into_inner();
    assert_eq!((rest.launch_plans.len(), rest.launch_plans[0].id.as_ref().unwrap().name.as_str()), (1, "wf"));
    refused(
        peer.admin.list_launch_plans(list("eq(phase,RUNNING)", None, 0)).await,
        Code::InvalidArgument,
        &["eq(phase,RUNNING", "version"],
    );
    peer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_fits_into_what_a_client_takes() {
    let mut peer = Peer::start(World::new()).await;
    // 24 MiB of tasks: more than flytekit takes in one answer.
    for at in 0..6 {
        let mut task: TaskTemplate = single_task();
        task.id.as_mut().unwrap().name = format!("large-{at}");
        task.config = [("note".to_owned(), "x".repeat(4 << 20))].into();
        peer.task(task).await.unwrap();
    }
    let (mut token, mut names) = (String::new(), Vec::new());
    loop {
        let request = ResourceListRequest { token, ..list("", Some(("name", Direction::Ascending)), 0) };
        let page = peer.admin.list_tasks(request).await.unwrap().into_inner();
        assert!(!page.tasks.is_empty());
        names.extend(page.tasks.into_iter().map(|task| task.id.unwrap().name));
        token = page.token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(names, (0..6).map(|at| format!("large-{at}")).collect::<Vec<_>>());
    peer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_by_name_and_phase() {
    let mut peer = Peer::with_workflow(World::new()).await;
    create(&mut peer, "e").await;
    reaches(&peer, "e", Phase::Succeeded).await;
    let mut nodes = async |filters: &str, key: &str, direction: Direction| {
        let request = NodeExecutionListRequest {
            workflow_execution_id: Some(id("e")),
            filters: filters.to_owned(),
            sort_by: Some(Sort { key: key.to_owned(), direction: direction.into() }),
            ..Default::default()
        };
        let nodes = peer.admin.list_node_executions(request).await.unwrap().into_inner().node_executions;
        nodes.into_iter().map(|node| node.id.unwrap().node_id).collect::<Vec<_>>()
    };
    assert_eq!(nodes("", "name", Direction::Descending).await, ["n1", "n0"]);
    assert_eq!(nodes("", "created_at", Direction::Ascending).await, ["n0", "n1"]);
    assert_eq!(nodes("eq(node_id,n1)", "", Direction::Ascending).await, ["n1"]);
    assert_eq!(nodes("eq(phase,RUNNING)", "", Direction::Ascending).await, [""; 0]);
    peer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_left_out() {
    let mut peer = Peer::with_workflow(World::new()).await;
    create(&mut peer, "e").await;
    reaches(&peer, "e", Phase::Succeeded).await;
    // A newer server's, or a damaged one.
    let damaged = identifier(ResourceType::Task, "damaged");
    let entity = Registered { version: 999, id: Some(damaged.clone()), ..Default::default() };
    let key = peer.world.root.entity(Kind::Task, &damaged);
    peer.world.store.memory.put(&key, entity.encode_to_vec().into()).await.unwrap();
    let flow = peer.world.root.flow(&id("torn"));
    peer.world.store.memory.put(&flow.spec(), vec![0xff; 9].into()).await.unwrap();
    let entry = peer.world.root.index_entry(&id("torn"), 1_795_000_000_000);
    peer.world.store.memory.put(&entry, Default::default()).await.unwrap();
    let tasks = peer.admin.list_tasks(list("", None, 0)).await.unwrap().into_inner().tasks;
    assert_eq!(tasks.len(), 2);
    assert_eq!(executions(&mut peer, list("", None, 0)).await.unwrap().0, ["e"]);
    let request = WorkflowExecutionGetRequest { id: Some(id("torn")) };
    refused(peer.admin.get_execution(request).await, Code::DataLoss, &["torn", "cannot be read"]);
    peer.stop().await;
}
