//! A bucket, a Batch, and hosts that come and go; a workflow that maps and then runs one task.

// Each test binary uses its own part of it.
#![allow(dead_code)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use batchmap::aws::batch::Definition;
use batchmap::aws::logs::{LogPage, Logs, LogsError};
use batchmap::aws::sdk::Counts;
use batchmap::aws::store::Store;
use batchmap::idl::core::array_node::SuccessCriteria;
use batchmap::idl::core::{
    ArrayNode, Binding, BindingData, CompiledTask, CompiledWorkflow, CompiledWorkflowClosure, Container, Identifier,
    LiteralMap, LiteralType, Node, NodeMetadata, OutputReference, ResourceType, SimpleType, TaskMetadata, TaskNode,
    TaskTemplate, TypedInterface, Variable, VariableMap, WorkflowExecutionIdentifier, WorkflowMetadata,
    WorkflowTemplate, binding_data, literal_type, node, task_node, task_template,
};
use batchmap::idl::make;
use batchmap::idl::record::FlowRecord;
use batchmap::map::cadence::Pace;
use batchmap::map::layout::flyte::{FLYTE_VERSION, FlyteRoot};
use batchmap::map::task::Runner;
use batchmap::map::workflow::FlowOutcome;
use batchmap::run::begin::Queues;
use batchmap::run::driver::Patience;
use batchmap::run::flow::{FlowView, Flows, Host, Lease, Turns};
use batchmap::run::{Clock, Ports};

use super::batch::ScriptedBatch;
use super::line::Line;
use super::store::FaultyStore;

/// How often hosts look here.
pub const BEAT: Duration = Duration::from_millis(20);

/// A host that takes others for dead at once.
pub const IMPATIENT: Lease = Lease { beat: BEAT, lapse: Duration::ZERO };

/// A host that takes others for dead when they have been silent for half a day by the bucket's clock: that clock goes on
/// by itself as well, and no machine is so slow that it matters.
pub const PATIENT: Lease = Lease { beat: BEAT, lapse: HOUR.saturating_mul(12) };

pub const HOUR: Duration = Duration::from_secs(3600);

/// No test reads logs.
struct NoLogs;

#[async_trait]
impl Logs for NoLogs {
    async fn page(&self, group: &str, stream: &str, _token: Option<&str>) -> Result<LogPage, LogsError> {
        Err(LogsError::NotFound { group: group.to_owned(), stream: stream.to_owned() })
    }
}

pub struct World {
    pub store: Arc<FaultyStore>,
    pub batch: Arc<ScriptedBatch>,
    pub root: FlyteRoot,
    /// Who runs the children's commands.
    pub runner: Runner,
}

impl World {
    /// Children take no time.
    pub fn new() -> World {
        let store = Arc::new(FaultyStore::new());
        let batch = Arc::new(ScriptedBatch::new(store.clone(), true));
        (0..3).for_each(|index| batch.takes(index, Duration::ZERO));
        World { store, batch, root: FlyteRoot::new(""), runner: Runner::Worker }
    }

    /// The same without a worker in the images.
    pub fn stock() -> World {
        World { runner: Runner::Stock, ..World::new() }
    }

    /// Children take for ever, unless they are ended.
    pub fn endless() -> World {
        let world = World::new();
        (0..3).for_each(|index| world.batch.takes(index, Duration::from_secs(100_000)));
        world
    }

    pub fn line(&self) -> Arc<Line> {
        Arc::new(Line::new(self.store.clone()))
    }

    pub fn host(&self, server: &str, line: Arc<Line>, lease: Lease) -> Host {
        Host {
            runner: self.runner,
            ports: Ports { batch: self.batch.clone(), store: line, logs: Arc::new(NoLogs), clock: Clock::wall() },
            prefix: String::new(),
            root: self.root.clone(),
            server: server.to_owned(),
            queues: Queues { default: "q".to_owned(), interruptible: None },
            definitions: Arc::new(|_| Ok(definition())),
            injection: None,
            patience: Patience {
                pace: Pace { shortest: Duration::from_millis(5), longest: Duration::from_millis(20) },
                lag: Duration::ZERO,
                outage: Duration::from_secs(60),
            },
            lease,
            max_parallelism: 0,
            turns: Turns::new(None),
            direct_uploads: false,
            log_link: None,
            calls: Counts::default(),
        }
    }

    /// A host of its own line.
    pub fn open(&self, server: &str, lease: Lease) -> (Flows, Arc<Line>) {
        let line = self.line();
        (Flows::open(self.host(server, line.clone(), lease)), line)
    }

    /// The keys that contain `part`.
    pub fn keys(&self, part: &str) -> Vec<String> {
        self.store.memory.objects().into_keys().filter(|key| key.contains(part)).collect()
    }

    /// The ids of all map executions that were staged.
    pub fn map_executions(&self) -> BTreeSet<String> {
        let keys = self.store.memory.objects().into_keys();
        keys.filter_map(|key| Some(key.strip_prefix("executions/")?.split_once('/')?.0.to_owned())).collect()
    }

    pub async fn outputs(&self, name: &str) -> LiteralMap {
        let body = self.store.memory.get(&self.root.flow(&id(name)).outputs("")).await.unwrap();
        prost::Message::decode(body).unwrap()
    }
}

pub fn definition() -> Definition {
    Definition {
        name: "d".to_owned(),
        image: "i".to_owned(),
        platform: "EC2".to_owned(),
        vcpus: "1".to_owned(),
        memory_mib: 128,
        gpus: 0,
        job_role: None,
        execution_role: None,
        log_group: None,
        assign_public_ip: false,
        secrets: Default::default(),
        shared_memory_mib: 0,
        arm64: false,
        injection: None,
    }
}

pub fn id(name: &str) -> WorkflowExecutionIdentifier {
    let (project, domain) = ("p".to_owned(), "d".to_owned());
    WorkflowExecutionIdentifier { project, domain, name: name.to_owned(), ..Default::default() }
}

/// Waits until `done` says so of the execution; half a minute is far more than it takes.
pub async fn until(flows: &Flows, name: &str, done: impl Fn(&FlowView) -> bool) -> Arc<FlowView> {
    let waited = async {
        loop {
            // A host that was told to leave, or is cut off, has nothing to show.
            if let Ok(view) = flows.view(&id(name)).await
                && done(&view)
            {
                return view;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    match tokio::time::timeout(Duration::from_secs(60), waited).await {
        Ok(view) => view,
        Err(_) => panic!("{name} is at {:?}", flows.view(&id(name)).await.map(|view| view.flow.phase())),
    }
}

/// Waits for the end.
pub async fn ended(flows: &Flows, name: &str) -> FlowOutcome {
    until(flows, name, |view| view.flow.finished().is_some()).await.flow.finished().unwrap().clone()
}

/// Waits until `done`.
pub async fn eventually(what: &str, done: impl AsyncFn() -> bool) {
    let waited = async {
        while !done().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(60), waited).await.is_ok(), "{what}");
}

pub fn integer() -> LiteralType {
    LiteralType { r#type: Some(literal_type::Type::Simple(SimpleType::Integer.into())), ..Default::default() }
}

pub fn list_of(inner: LiteralType) -> LiteralType {
    LiteralType { r#type: Some(literal_type::Type::CollectionType(Box::new(inner))), ..Default::default() }
}

pub fn variables(of: &[(&str, LiteralType)]) -> VariableMap {
    let variable = |of: &LiteralType| Variable { r#type: Some(of.clone()), ..Default::default() };
    VariableMap { variables: of.iter().map(|(name, of)| ((*name).to_owned(), variable(of))).collect() }
}

pub fn identifier(kind: ResourceType, name: &str) -> Identifier {
    Identifier {
        resource_type: kind.into(),
        project: "p".to_owned(),
        domain: "d".to_owned(),
        name: name.to_owned(),
        version: "v1".to_owned(),
        ..Default::default()
    }
}

/// A python task as flytekit registers it.
pub fn task(
    name: &str,
    entrypoint: &str,
    inputs: &[(&str, LiteralType)],
    outputs: &[(&str, LiteralType)],
) -> TaskTemplate {
    let words = [entrypoint, "--inputs", "{{.input}}", "--output-prefix", "{{.outputPrefix}}"];
    let container =
        Container { image: "image:1".to_owned(), args: words.map(str::to_owned).to_vec(), ..Default::default() };
    TaskTemplate {
        id: Some(identifier(ResourceType::Task, name)),
        r#type: "python-task".to_owned(),
        metadata: Some(TaskMetadata::default()),
        interface: Some(TypedInterface { inputs: Some(variables(inputs)), outputs: Some(variables(outputs)) }),
        target: Some(task_template::Target::Container(container)),
        ..Default::default()
    }
}

pub fn single_task() -> TaskTemplate {
    let (inputs, outputs) = ([("xs", list_of(integer()))], [("o0", integer())]);
    task("single", "pyflyte-execute", &inputs, &outputs)
}

pub fn mapped_task() -> TaskTemplate {
    let (inputs, outputs) = ([("x", list_of(integer()))], [("o0", list_of(integer()))]);
    task("mapped", "pyflyte-map-execute", &inputs, &outputs)
}

pub fn bound(var: &str, node_id: &str, source: &str) -> Binding {
    let promise = OutputReference { node_id: node_id.to_owned(), var: source.to_owned(), attr_path: Vec::new() };
    let value = Some(binding_data::Value::Promise(promise));
    Binding { var: var.to_owned(), binding: Some(BindingData { value, ..Default::default() }) }
}

pub fn runs(task: &TaskTemplate) -> node::Target {
    let reference = task.id.clone().map(task_node::Reference::ReferenceId);
    node::Target::TaskNode(TaskNode { reference, overrides: None })
}

pub fn node_of(id: &str, target: node::Target, inputs: Vec<Binding>) -> Node {
    let metadata = Some(NodeMetadata { name: id.to_owned(), ..Default::default() });
    Node { id: id.to_owned(), metadata, inputs, target: Some(target), ..Default::default() }
}

pub fn array_node(id: &str, task: &TaskTemplate, inputs: Vec<Binding>) -> Node {
    let inner = node_of(id, runs(task), inputs.clone());
    let array = ArrayNode {
        node: Some(Box::new(inner)),
        success_criteria: Some(SuccessCriteria::MinSuccessRatio(1.0)),
        ..Default::default()
    };
    node_of(id, node::Target::ArrayNode(Box::new(array)), inputs)
}

/// `n0` maps over the input `x`, `n1` is given what comes of it; both give an output.
pub fn template() -> WorkflowTemplate {
    let outputs = [("o0", list_of(integer())), ("o1", integer())];
    WorkflowTemplate {
        id: Some(identifier(ResourceType::Workflow, "wf")),
        metadata: Some(WorkflowMetadata::default()),
        interface: Some(TypedInterface {
            inputs: Some(variables(&[("x", list_of(integer()))])),
            outputs: Some(variables(&outputs)),
        }),
        nodes: vec![
            array_node("n0", &mapped_task(), vec![bound("x", "", "x")]),
            node_of("n1", runs(&single_task()), vec![bound("xs", "n0", "o0")]),
        ],
        outputs: vec![bound("o0", "n0", "o0"), bound("o1", "n1", "o0")],
        ..Default::default()
    }
}

pub fn workflow() -> CompiledWorkflowClosure {
    CompiledWorkflowClosure {
        primary: Some(CompiledWorkflow { template: Some(template()), connections: None }),
        tasks: [mapped_task(), single_task()].map(|task| CompiledTask { template: Some(task) }).to_vec(),
        ..Default::default()
    }
}

/// An execution over three elements.
pub fn record(name: &str) -> FlowRecord {
    let xs = (10..13).map(make::integer).collect();
    FlowRecord {
        version: FLYTE_VERSION,
        id: Some(id(name)),
        inputs: Some(LiteralMap { literals: [("x".to_owned(), make::collection(xs))].into() }),
        workflow: Some(workflow()),
        created_at: Some(prost_types::Timestamp { seconds: 1_795_000_000, nanos: 0 }),
        ..Default::default()
    }
}

/// What it gives: each child puts out its own index.
pub fn due() -> LiteralMap {
    let list = make::collection((0..3).map(make::integer).collect());
    LiteralMap { literals: [("o0".to_owned(), list), ("o1".to_owned(), make::integer(0))].into() }
}

/// The same as a value, for comparisons.
pub async fn assert_done(world: &World, flows: &Flows, name: &str) {
    assert_eq!(ended(flows, name).await, FlowOutcome::Succeeded);
    assert_eq!(world.outputs(name).await, due());
}
