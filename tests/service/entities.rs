//! Registering, reading back and listing.

use batchmap::idl::admin::{
    ActiveLaunchPlanRequest, LaunchPlanMetadata, LaunchPlanSpec, LaunchPlanState, LaunchPlanUpdateRequest,
    NamedEntityIdentifier, Notification, ObjectGetRequest, ResourceListRequest, Schedule, Sort, notification, schedule,
    sort::Direction,
};
use batchmap::idl::core::{
    BranchNode, DataLoadingConfig, GateNode, LiteralMap, Parameter, ParameterMap, ResourceType, TaskMetadata, Variable,
    WorkflowNode, node, parameter, task_template, workflow_node,
};
use batchmap::idl::make;
use tonic::Code;

use super::peer::{Peer, plan_id, refused};
use super::world::{
    World, bound, identifier, integer, list_of, mapped_task, node_of, runs, single_task, task, template,
};

fn get(id: batchmap::idl::core::Identifier) -> ObjectGetRequest {
    ObjectGetRequest { id: Some(id) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_again_exists_and_another_content_is_refused() {
    let mut peer = Peer::with_workflow(World::new()).await;
    refused(peer.task(single_task()).await, Code::AlreadyExists, &["task single of version v1 (p/d)", "this content"]);
    refused(peer.workflow(template()).await, Code::AlreadyExists, &["workflow wf"]);
    refused(peer.plan("wf", LaunchPlanSpec::default()).await, Code::AlreadyExists, &["launch plan wf"]);
    let mut other = single_task();
    other.metadata = Some(TaskMetadata { discoverable: true, discovery_version: "1".to_owned(), ..Default::default() });
    refused(peer.task(other).await, Code::InvalidArgument, &["another content (its metadata)", "another version"]);
    // flytekit's collision of map tasks, in words.
    let mut map = mapped_task();
    map.id.as_mut().unwrap().name = "wf.map_f_0123-arraynode".to_owned();
    peer.task(map.clone()).await.unwrap();
    map.metadata = Some(TaskMetadata { discoverable: true, discovery_version: "1".to_owned(), ..Default::default() });
    refused(peer.task(map).await, Code::InvalidArgument, &["not after its metadata", "give one of them another"]);
    peer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_part_of_an_id_is_due_and_fits() {
    let mut peer = Peer::start(World::new()).await;
    type Part = fn(&mut batchmap::idl::core::Identifier) -> &mut String;
    let parts: [(&str, Part); 4] = [
        ("project", |id| &mut id.project),
        ("domain", |id| &mut id.domain),
        ("name", |id| &mut id.name),
        ("version", |id| &mut id.version),
    ];
    for (part, of) in parts {
        for (value, words) in [(String::new(), "is empty"), ("x".repeat(256), "256 characters")] {
            let mut task = single_task();
            *of(task.id.as_mut().unwrap()) = value.clone();
            refused(peer.task(task.clone()).await, Code::InvalidArgument, &[&format!("id.{part} "), words]);
            let id = task.id.clone().unwrap();
            refused(peer.admin.get_task(get(id)).await, Code::InvalidArgument, &[&format!("id.{part} "), words]);
        }
    }
    let mut task = single_task();
    task.id.as_mut().unwrap().name = "\u{1f980}".repeat(200);
    refused(peer.task(task).await, Code::InvalidArgument, &["id is too long", "2404 bytes"]);
    let mut task = single_task();
    task.id.as_mut().unwrap().set_resource_type(ResourceType::Workflow);
    refused(peer.task(task).await, Code::InvalidArgument, &["resource_type is WORKFLOW"]);
    refused(
        peer.admin.create_task(batchmap::idl::admin::TaskCreateRequest::default()).await,
        Code::InvalidArgument,
        &["id is missing"],
    );
    peer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_name_is_kept_as_it_is() {
    let mut peer = Peer::start(World::new()).await;
    let names = ["a/b", "..", ".", "../../secret", "\u{e9}\u{4e2d}", "a b%2f", "%", "a\nb", "v?x=1#y"];
    for name in names {
        let mut task = single_task();
        task.id.as_mut().unwrap().name = name.to_owned();
        peer.task(task.clone()).await.unwrap();
        let found = peer.admin.get_task(get(task.id.clone().unwrap())).await.unwrap().into_inner();
        assert_eq!(found.id, task.id);
    }
    let id = NamedEntityIdentifier { project: "p".to_owned(), domain: "d".to_owned(), ..Default::default() };
    let list = ResourceListRequest { id: Some(id), limit: 100, ..Default::default() };
    let found = peer.admin.list_tasks(list).await.unwrap().into_inner().tasks;
    assert_eq!(found.len(), names.len());
    assert!(peer.world.keys("").iter().all(|key| key.starts_with("flyte/")));
    peer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_run_is_refused_with_its_node() {
    let mut peer = Peer::with_workflow(World::new()).await;
    let mut unknown = template();
    unknown.id.as_mut().unwrap().name = "other".to_owned();
    let mut task = single_task();
    task.id.as_mut().unwrap().name = "missing".to_owned();
    unknown.nodes[1].target = Some(runs(&task));
    refused(peer.workflow(unknown).await, Code::InvalidArgument, &["node n1 runs task missing", "register it first"]);

    let mut cyclic = template();
    cyclic.id.as_mut().unwrap().name = "other".to_owned();
    cyclic.nodes[0].upstream_node_ids = vec!["n1".to_owned()];
    refused(peer.workflow(cyclic).await, Code::InvalidArgument, &["n0", "n1"]);

    let plan = WorkflowNode { reference: Some(workflow_node::Reference::LaunchplanRef(plan_id("wf"))) };
    let kinds = [
        node::Target::BranchNode(Box::<BranchNode>::default()),
        node::Target::GateNode(GateNode::default()),
        node::Target::WorkflowNode(plan),
    ];
    for target in kinds {
        let mut refused_kind = template();
        refused_kind.id.as_mut().unwrap().name = "other".to_owned();
        refused_kind.nodes[1].target = Some(target);
        refused(peer.workflow(refused_kind).await, Code::InvalidArgument, &["n1"]);
    }
    assert_eq!(peer.world.keys("workflows/other"), [""; 0], "nothing of them is kept");
    peer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_needs_a_worker_is_refused_where_images_have_none() {
    let mut peer = Peer::with_workflow(World::stock()).await;
    let mut raw = single_task();
    raw.id.as_mut().unwrap().name = "raw".to_owned();
    if let Some(task_template::Target::Container(container)) = &mut raw.target {
        container.args = vec!["true".to_owned()];
        container.data_config = Some(DataLoadingConfig { enabled: true, ..Default::default() });
    }
    let words = ["container.data_config", "batchmap's worker", "flyte_images = \"worker\""];
    refused(peer.task(raw.clone()).await, Code::InvalidArgument, &words);
    peer.stop().await;
    let mut peer = Peer::with_workflow(World::new()).await;
    peer.task(raw).await.unwrap();
    peer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workflow_of_ten_thousand_nodes() {
    let mut peer = Peer::with_workflow(World::new()).await;
    let mut large = template();
    large.id.as_mut().unwrap().name = "large".to_owned();
    large.nodes.truncate(1);
    large.outputs.clear();
    large.interface.as_mut().unwrap().outputs = None;
    for at in 1..10_000 {
        let mut node = node_of(&format!("n{at}"), runs(&single_task()), vec![bound("xs", "n0", "o0")]);
        node.upstream_node_ids = vec![format!("n{}", at - 1)];
        large.nodes.push(node);
    }
    peer.workflow(large.clone()).await.unwrap();
    let found = peer.admin.get_workflow(get(large.id.clone().unwrap())).await.unwrap().into_inner();
    let found = found.closure.unwrap().compiled_workflow.unwrap();
    assert_eq!(found.primary.unwrap().template.unwrap().nodes.len(), 10_000);
    assert_eq!(found.tasks.len(), 2, "each task once");
    peer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_filtered_sorted_and_turned() {
    let mut peer = Peer::start(World::new()).await;
    for (name, version) in [("a", "v1"), ("a", "v2"), ("b", "v1")] {
        let mut task = single_task();
        let id = task.id.as_mut().unwrap();
        (id.name, id.version) = (name.to_owned(), version.to_owned());
        peer.task(task).await.unwrap();
    }
    let mut list = async |name: &str, filters: &str, direction: Direction, limit: u32, token: &str| {
        let id = NamedEntityIdentifier {
            project: "p".to_owned(),
            domain: "d".to_owned(),
            name: name.to_owned(),
            ..Default::default()
        };
        let mut sort = Sort { key: "name".to_owned(), ..Default::default() };
        sort.set_direction(direction);
        let request = ResourceListRequest {
            id: Some(id),
            limit,
            token: token.to_owned(),
            filters: filters.to_owned(),
            sort_by: Some(sort),
        };
        peer.admin.list_tasks(request).await.map(|answer| {
            let answer = answer.into_inner();
            let ids = answer.tasks.into_iter().map(|task| task.id.unwrap());
            (ids.map(|id| format!("{}{}", id.name, id.version)).collect::<Vec<_>>().join(" "), answer.token)
        })
    };
    let of = |ids: &str, token: &str| (ids.to_owned(), token.to_owned());
    assert_eq!(list("", "", Direction::Ascending, 100, "").await.unwrap(), of("av1 av2 bv1", ""));
    assert_eq!(list("", "", Direction::Descending, 2, "").await.unwrap(), of("bv1 av2", "2"));
    assert_eq!(list("", "", Direction::Descending, 2, "2").await.unwrap(), of("av1", ""));
    assert_eq!(list("a", "", Direction::Ascending, 0, "").await.unwrap(), of("av1 av2", ""));
    assert_eq!(list("", "eq(version,v1)", Direction::Ascending, 0, "").await.unwrap(), of("av1 bv1", ""));
    assert_eq!(list("", "contains(name,b)", Direction::Ascending, 0, "").await.unwrap(), of("bv1", ""));
    refused(list("", "like(name,b)", Direction::Ascending, 0, "").await, Code::InvalidArgument, &["like(name,b"]);
    refused(list("", "", Direction::Ascending, 0, "x").await, Code::InvalidArgument, &["token is \"x\""]);
    peer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn launch_plans() {
    let mut peer = Peer::with_workflow(World::new()).await;
    let active = ActiveLaunchPlanRequest {
        id: Some(NamedEntityIdentifier {
            project: "p".to_owned(),
            domain: "d".to_owned(),
            name: "wf".to_owned(),
            ..Default::default()
        }),
    };
    refused(peer.admin.get_active_launch_plan(active.clone()).await, Code::NotFound, &["no version of launch plan wf"]);
    let set = |state: LaunchPlanState| LaunchPlanUpdateRequest { id: Some(plan_id("wf")), state: state.into() };
    peer.admin.update_launch_plan(set(LaunchPlanState::Active)).await.unwrap();
    let found = peer.admin.get_active_launch_plan(active.clone()).await.unwrap().into_inner();
    assert_eq!((found.id, found.closure.unwrap().state()), (Some(plan_id("wf")), LaunchPlanState::Active));
    peer.admin.update_launch_plan(set(LaunchPlanState::Inactive)).await.unwrap();
    refused(peer.admin.get_active_launch_plan(active).await, Code::NotFound, &[]);

    let fixed = LiteralMap { literals: [("y".to_owned(), make::integer(1))].into() };
    let spec = LaunchPlanSpec { fixed_inputs: Some(fixed), ..Default::default() };
    refused(peer.plan("bad", spec).await, Code::InvalidArgument, &["input y", "there are x"]);
    let var = Some(Variable { r#type: Some(integer()), ..Default::default() });
    let parameter = Parameter { var, behavior: Some(parameter::Behavior::Required(true)) };
    let defaults = ParameterMap { parameters: [("z".to_owned(), parameter)].into() };
    let spec = LaunchPlanSpec { default_inputs: Some(defaults), ..Default::default() };
    refused(peer.plan("bad", spec).await, Code::InvalidArgument, &["input z"]);
    let email = Notification { r#type: Some(notification::Type::Email(Default::default())), ..Default::default() };
    let metadata = LaunchPlanMetadata { notifications: vec![email], ..Default::default() };
    let spec = LaunchPlanSpec { entity_metadata: Some(metadata), ..Default::default() };
    refused(peer.plan("bad", spec).await, Code::InvalidArgument, &["entity_metadata.notifications[0] is email"]);
    // A schedule is no more than words until it is to be followed.
    let cron = schedule::ScheduleExpression::CronExpression("0 * * * *".to_owned());
    let schedule = Some(Schedule { schedule_expression: Some(cron), ..Default::default() });
    let metadata = LaunchPlanMetadata { schedule, ..Default::default() };
    let spec = LaunchPlanSpec { entity_metadata: Some(metadata), ..Default::default() };
    peer.plan("hourly", spec).await.unwrap();
    let activate = LaunchPlanUpdateRequest { id: Some(plan_id("hourly")), state: LaunchPlanState::Active.into() };
    refused(peer.admin.update_launch_plan(activate).await, Code::InvalidArgument, &["batchmap follows no schedules"]);
    let gone = identifier(ResourceType::LaunchPlan, "none");
    refused(peer.admin.get_launch_plan(get(gone)).await, Code::NotFound, &["launch plan none", "is not registered"]);
    peer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_that_is_none_is_the_same_again() {
    let mut peer = Peer::with_workflow(World::new()).await;
    let fixed = LiteralMap { literals: [("x".to_owned(), make::float(f64::NAN))].into() };
    let spec = LaunchPlanSpec { fixed_inputs: Some(fixed), ..Default::default() };
    peer.plan("nan", spec.clone()).await.unwrap();
    refused(peer.plan("nan", spec).await, Code::AlreadyExists, &["this content"]);
    peer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nests_too_deep_is_refused_or_can_be_read_back() {
    let mut peer = Peer::start(World::new()).await;
    let mut kept = 0;
    for depth in 40..60 {
        let mut of = integer();
        for _ in 0..depth {
            of = list_of(of);
        }
        let mut deep = task(&format!("deep-{depth}"), "pyflyte-execute", &[("x", of)], &[]);
        deep.id.as_mut().unwrap().version = "1".to_owned();
        match peer.task(deep).await {
            Ok(()) => kept += 1,
            Err(status) => assert_eq!(status.code(), Code::InvalidArgument, "{status:?}"),
        }
    }
    let id = NamedEntityIdentifier { project: "p".to_owned(), domain: "d".to_owned(), ..Default::default() };
    let list = ResourceListRequest { id: Some(id), ..Default::default() };
    assert_eq!(peer.admin.list_tasks(list).await.unwrap().into_inner().tasks.len(), kept);
    peer.stop().await;
}
