//! Every field that something registered or created can carry: honoured, refused in words, or without a meaning here. The
//! fields come from the published descriptors, so that none can be forgotten.
//!
//! What is refused is answered INVALID_ARGUMENT by the service; `tests/service` sees that it is.

use std::collections::BTreeSet;
use std::path::Path;

use batchmap::idl::admin::{
    Annotations, Auth, AuthRole, ClusterAssignment, ConcurrencyPolicy, EmailNotification, ExecutionClusterLabel,
    ExecutionSpec, LaunchPlanSpec, Notification, NotificationList, Schedule, execution_spec, notification, schedule,
};
use batchmap::idl::core::{
    Alias, ArtifactId, ArtifactQuery, CompiledTask, CompiledWorkflow, CompiledWorkflowClosure, Container,
    DataLoadingConfig, ExecutionEnvAssignment, ExtendedResources, GateNode, GpuAccelerator, Identifier, Identity,
    IoStrategy, K8sPod, KeyValuePair, Node, NodeMetadata, OAuth2Client, OAuth2TokenRequest, Parameter,
    QualityOfService, ResourceType, RetryStrategy, SecurityContext, SharedMemory, Sql, TaskMetadata, TaskNode,
    TaskNodeOverrides, TaskTemplate, WorkflowMetadata, WorkflowNode, WorkflowTemplate, container, gpu_accelerator,
    io_strategy, node, node_metadata, parameter, quality_of_service, task_node, task_template, workflow_node,
};
use batchmap::map::flyte;
use batchmap::map::workflow::Graph;
use prost::Message;
use prost_types::FileDescriptorSet;

/// What becomes of a field.
enum Fate {
    /// It does what it says; where.
    Honoured(&'static str),
    /// It has nothing to do here; why not.
    Harmless(&'static str),
    /// It is looked at, and this is refused.
    Refused(Change, &'static str),
}

use Fate::{Harmless, Honoured, Refused};

/// Something that carries the field.
enum Change {
    Task(fn(&mut TaskTemplate)),
    Node(fn(&mut Node)),
    SubWorkflow(fn(&mut Node)),
    Workflow(fn(&mut WorkflowTemplate)),
    Plan(fn(&mut LaunchPlanSpec)),
    Activation(fn(&mut LaunchPlanSpec)),
    Execution(fn(&mut ExecutionSpec)),
}

use Change::{Activation, Execution, Plan, SubWorkflow, Task, Workflow};

fn id(name: &str) -> Identifier {
    Identifier { resource_type: ResourceType::Task.into(), name: name.to_owned(), ..Identifier::default() }
}

fn task() -> TaskTemplate {
    let container = Container {
        image: "image:1".to_owned(),
        args: ["pyflyte-execute", "--inputs", "{{.input}}"].map(str::to_owned).to_vec(),
        ..Container::default()
    };
    TaskTemplate {
        id: Some(id("task")),
        r#type: "python-task".to_owned(),
        target: Some(task_template::Target::Container(container)),
        ..TaskTemplate::default()
    }
}

fn node() -> Node {
    let reference = Some(task_node::Reference::ReferenceId(id("task")));
    let overrides = Some(TaskNodeOverrides::default());
    let target = Some(node::Target::TaskNode(TaskNode { reference, overrides }));
    Node { id: "n0".to_owned(), metadata: Some(NodeMetadata::default()), target, ..Node::default() }
}

fn workflow(node: Node) -> WorkflowTemplate {
    WorkflowTemplate { id: Some(id("w")), nodes: vec![node], ..WorkflowTemplate::default() }
}

fn compile(workflow: WorkflowTemplate) -> Result<(), String> {
    let compiled = |template| CompiledWorkflow { template: Some(template), connections: None };
    let leaf = WorkflowTemplate { id: Some(id("leaf")), ..WorkflowTemplate::default() };
    let closure = CompiledWorkflowClosure {
        primary: Some(compiled(workflow)),
        sub_workflows: vec![compiled(leaf)],
        tasks: vec![CompiledTask { template: Some(task()) }],
        launch_plans: Vec::new(),
    };
    let graph = Graph::compile(&closure).map_err(|faults| faults.to_string())?;
    let mut nodes = graph.nodes().iter().filter(|node| node.task().is_some());
    nodes.try_for_each(|node| flyte::check_node(&task(), node.source()).map(drop).map_err(|faults| faults.to_string()))
}

impl Change {
    fn refusal(&self) -> Result<(), String> {
        let said = |result: Result<(), batchmap::map::spec::Faults>| result.map_err(|faults| faults.to_string());
        match self {
            Task(change) => {
                let mut task = task();
                change(&mut task);
                flyte::check_task(&task).map(drop).map_err(|faults| faults.to_string())
            }
            Change::Node(change) => {
                let mut node = node();
                change(&mut node);
                compile(workflow(node))
            }
            SubWorkflow(change) => {
                let reference = Some(workflow_node::Reference::SubWorkflowRef(id("leaf")));
                let target = Some(node::Target::WorkflowNode(WorkflowNode { reference }));
                let mut node = Node { target, ..node() };
                change(&mut node);
                compile(workflow(node))
            }
            Workflow(change) => {
                let mut workflow = workflow(node());
                change(&mut workflow);
                compile(workflow)
            }
            Plan(change) => {
                let mut plan = LaunchPlanSpec::default();
                change(&mut plan);
                said(flyte::check_launch_plan(&plan))
            }
            Activation(change) => {
                let mut plan = LaunchPlanSpec::default();
                change(&mut plan);
                said(flyte::check_launch_plan(&plan))?;
                said(flyte::check_activation(&plan))
            }
            Execution(change) => {
                let mut spec = ExecutionSpec::default();
                change(&mut spec);
                said(flyte::check_execution(&spec))
            }
        }
    }
}

fn metadata(task: &mut TaskTemplate) -> &mut TaskMetadata {
    task.metadata.get_or_insert_default()
}

fn container(task: &mut TaskTemplate) -> &mut Container {
    match &mut task.target {
        Some(task_template::Target::Container(container)) => container,
        other => panic!("{other:?}"),
    }
}

fn run_as(task: &mut TaskTemplate) -> &mut Identity {
    task.security_context.get_or_insert_default().run_as.get_or_insert_default()
}

fn extended(task: &mut TaskTemplate) -> &mut ExtendedResources {
    task.extended_resources.get_or_insert_default()
}

fn gpu(task: &mut TaskTemplate) -> &mut GpuAccelerator {
    extended(task).gpu_accelerator.get_or_insert_default()
}

fn copilot(task: &mut TaskTemplate) -> &mut IoStrategy {
    let container = container(task);
    container.args = vec!["program".to_owned()];
    let data = container.data_config.insert(DataLoadingConfig { enabled: true, ..DataLoadingConfig::default() });
    data.io_strategy.get_or_insert_default()
}

fn overrides(node: &mut Node) -> &mut TaskNodeOverrides {
    match &mut node.target {
        Some(node::Target::TaskNode(task)) => task.overrides.get_or_insert_default(),
        other => panic!("{other:?}"),
    }
}

fn of_node(node: &mut Node) -> &mut NodeMetadata {
    node.metadata.get_or_insert_default()
}

fn second() -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds: 1, nanos: 0 })
}

fn high() -> Option<QualityOfService> {
    Some(QualityOfService { designation: Some(quality_of_service::Designation::Tier(1)) })
}

fn email() -> Notification {
    Notification { r#type: Some(notification::Type::Email(EmailNotification::default())), ..Notification::default() }
}

fn account() -> Option<SecurityContext> {
    let run_as = Some(Identity { k8s_service_account: "robot".to_owned(), ..Identity::default() });
    Some(SecurityContext { run_as, ..SecurityContext::default() })
}

fn role() -> Option<AuthRole> {
    Some(AuthRole { assumable_iam_role: "role".to_owned(), ..AuthRole::default() })
}

fn query(plan: &mut LaunchPlanSpec, behavior: parameter::Behavior) {
    let parameter = Parameter { var: None, behavior: Some(behavior) };
    plan.default_inputs.get_or_insert_default().parameters.insert("x".to_owned(), parameter);
}

const NOTES: &str = "notes for Kubernetes' controllers; kept and told back";
const TASK: &str = "map::flyte";
const POLICY: &str = "map::flyte::policy";
const GRAPH: &str = "map::workflow::compile";
const OPTIONS: &str = "map::flyte::inherit, run::flow::options";

/// The fields of a task.
fn of_tasks() -> Vec<(&'static str, Fate)> {
    vec![
        ("core.TaskTemplate.id", Honoured("the task's name, for the cache and the environment")),
        (
            "core.TaskTemplate.type",
            Refused(Task(|t| t.r#type = "spark".to_owned()), "type is spark: is no type of task"),
        ),
        ("core.TaskTemplate.metadata", Honoured(POLICY)),
        ("core.TaskTemplate.interface", Honoured("map::flyte::inputs")),
        (
            "core.TaskTemplate.custom",
            Refused(
                Task(|t| {
                    drop(t.custom.get_or_insert_default().fields.insert("workers".to_owned(), Default::default()))
                }),
                "custom.workers: nothing here reads it in a task of type python-task",
            ),
        ),
        ("core.TaskTemplate.container", Honoured("map::flyte::container")),
        ("core.TaskTemplate.k8s_pod", Honoured("map::flyte::container, of one container")),
        (
            "core.TaskTemplate.sql",
            Refused(
                Task(|t| {
                    let sql = Sql { statement: "select 1".to_owned(), ..Sql::default() };
                    t.target = Some(task_template::Target::Sql(sql));
                }),
                "sql.statement is select 1: there is no engine to run it",
            ),
        ),
        ("core.TaskTemplate.task_type_version", Harmless("which of a plugin's forms custom has; both are read")),
        ("core.TaskTemplate.security_context", Honoured("map::flyte::batch, its secrets")),
        ("core.TaskTemplate.extended_resources", Honoured("map::flyte::batch, its shared memory")),
        (
            "core.TaskTemplate.config",
            Refused(
                Task(|t| drop(t.config.insert("engine".to_owned(), "x".to_owned()))),
                "config.engine is x: nothing here reads it",
            ),
        ),
        ("core.TaskMetadata.discoverable", Honoured(POLICY)),
        ("core.TaskMetadata.runtime", Harmless("which SDK has written the task")),
        ("core.TaskMetadata.timeout", Honoured(POLICY)),
        ("core.TaskMetadata.retries", Honoured(POLICY)),
        ("core.TaskMetadata.discovery_version", Honoured(POLICY)),
        ("core.TaskMetadata.deprecated_error_message", Harmless("words to who uses a deprecated task; told back")),
        ("core.TaskMetadata.interruptible", Honoured(POLICY)),
        ("core.TaskMetadata.cache_serializable", Honoured(POLICY)),
        ("core.TaskMetadata.tags", Honoured("tags of the jobs")),
        (
            "core.TaskMetadata.pod_template_name",
            Refused(Task(|t| metadata(t).pod_template_name = "p".to_owned()), "metadata.pod_template_name is p"),
        ),
        ("core.TaskMetadata.cache_ignore_input_vars", Honoured(POLICY)),
        ("core.TaskMetadata.is_eager", Refused(Task(|t| metadata(t).is_eager = true), "metadata.is_eager is true")),
        ("core.TaskMetadata.generates_deck", Honoured("service::executions::decks")),
        ("core.TaskMetadata.metadata", Honoured("its labels are tags of the jobs")),
        ("core.Container.image", Honoured(TASK)),
        ("core.Container.command", Honoured(TASK)),
        (
            "core.Container.args",
            Refused(
                Task(|t| container(t).args.push("{{.taskTemplatePath}}".to_owned())),
                "container.args is {{.taskTemplatePath}}: taskTemplatePath is nothing that a job has",
            ),
        ),
        ("core.Container.resources", Honoured("map::flyte::resources")),
        ("core.Container.env", Honoured("map::flyte::environment")),
        (
            "core.Container.config",
            Refused(
                Task(|t| container(t).config.push(KeyValuePair { key: "k".to_owned(), value: "v".to_owned() })),
                "container.config.k is v: nothing here reads it",
            ),
        ),
        ("core.Container.ports", Harmless("a note in Kubernetes too: nothing is opened by it")),
        ("core.Container.data_config", Honoured("worker::copilot")),
        (
            "core.Container.architecture",
            Refused(
                Task(|t| container(t).set_architecture(container::Architecture::ArmV7)),
                "container.architecture is ARM_V7: Batch has no such machines",
            ),
        ),
        ("core.DataLoadingConfig.enabled", Honoured("map::flyte::container")),
        ("core.DataLoadingConfig.input_path", Honoured("worker::workspace")),
        ("core.DataLoadingConfig.output_path", Honoured("worker::workspace")),
        ("core.DataLoadingConfig.format", Honoured("worker::copilot writes all three")),
        ("core.DataLoadingConfig.io_strategy", Honoured("files are whole before and after")),
        (
            "core.IOStrategy.download_mode",
            Refused(
                Task(|t| copilot(t).set_download_mode(io_strategy::DownloadMode::DoNotDownload)),
                "container.data_config.io_strategy.download_mode is DO_NOT_DOWNLOAD",
            ),
        ),
        (
            "core.IOStrategy.upload_mode",
            Refused(
                Task(|t| copilot(t).set_upload_mode(io_strategy::UploadMode::DoNotUpload)),
                "container.data_config.io_strategy.upload_mode is DO_NOT_UPLOAD",
            ),
        ),
        ("core.K8sPod.metadata", Honoured("its labels are tags of the jobs")),
        (
            "core.K8sPod.pod_spec",
            Refused(
                Task(|t| {
                    t.target = Some(task_template::Target::K8sPod(K8sPod {
                        pod_spec: Some(Default::default()),
                        ..K8sPod::default()
                    }))
                }),
                "k8s_pod.pod_spec.containers: has 0 containers",
            ),
        ),
        ("core.K8sPod.data_config", Honoured("worker::copilot")),
        ("core.K8sPod.primary_container_name", Honoured("must be the only container's name")),
        ("core.K8sObjectMetadata.labels", Honoured("tags of the jobs")),
        ("core.K8sObjectMetadata.annotations", Harmless(NOTES)),
        ("core.SecurityContext.run_as", Honoured("the default account is everybody's")),
        ("core.SecurityContext.secrets", Honoured("map::flyte::batch")),
        (
            "core.SecurityContext.tokens",
            Refused(
                Task(|t| {
                    let token = OAuth2TokenRequest { name: "t".to_owned(), ..OAuth2TokenRequest::default() };
                    t.security_context.get_or_insert_default().tokens.push(token);
                }),
                "security_context.tokens[0] is t: batchmap fetches no tokens",
            ),
        ),
        ("core.Identity.iam_role", Refused(Task(|t| run_as(t).iam_role = "r".to_owned()), "run_as.iam_role is r")),
        (
            "core.Identity.k8s_service_account",
            Refused(Task(|t| run_as(t).k8s_service_account = "a".to_owned()), "run_as.k8s_service_account is a"),
        ),
        (
            "core.Identity.oauth2_client",
            Refused(
                Task(|t| {
                    let client = OAuth2Client { client_id: "c".to_owned(), ..OAuth2Client::default() };
                    run_as(t).oauth2_client = Some(client);
                }),
                "run_as.oauth2_client is c",
            ),
        ),
        (
            "core.Identity.execution_identity",
            Refused(Task(|t| run_as(t).execution_identity = "e".to_owned()), "run_as.execution_identity is e"),
        ),
        (
            "core.ExtendedResources.gpu_accelerator",
            Refused(Task(|t| gpu(t).device = "l4".to_owned()), "extended_resources.gpu_accelerator is l4"),
        ),
        ("core.ExtendedResources.shared_memory", Honoured("map::flyte::batch, on EC2")),
        ("core.GPUAccelerator.device", Refused(Task(|t| gpu(t).device = "l4".to_owned()), "Batch chooses no device")),
        ("core.GPUAccelerator.unpartitioned", Honoured("Batch gives whole GPUs")),
        (
            "core.GPUAccelerator.partition_size",
            Refused(
                Task(|t| {
                    let size = gpu_accelerator::PartitionSizeValue::PartitionSize("1g.5gb".to_owned());
                    gpu(t).partition_size_value = Some(size);
                }),
                "extended_resources.gpu_accelerator.partition_size is 1g.5gb: Batch gives whole GPUs",
            ),
        ),
        (
            "core.SharedMemory.mount_path",
            Refused(
                Task(|t| {
                    extended(t).shared_memory =
                        Some(SharedMemory { mount_path: "/m".to_owned(), ..Default::default() });
                }),
                "extended_resources.shared_memory.mount_path is /m",
            ),
        ),
        ("core.SharedMemory.mount_name", Harmless("the name of a volume of a pod")),
        (
            "core.SharedMemory.size_limit",
            Refused(
                Task(|t| {
                    extended(t).shared_memory =
                        Some(SharedMemory { size_limit: "much".to_owned(), ..Default::default() });
                }),
                "extended_resources.shared_memory.size_limit is much: is no quantity",
            ),
        ),
        ("core.Variable.type", Honoured("map::workflow::types")),
        ("core.Variable.description", Harmless("words; told back")),
        ("core.Variable.artifact_partial_id", Harmless("where a value would be published; kept and told back")),
        ("core.Variable.artifact_tag", Harmless("where a value would be published; kept and told back")),
    ]
}

/// The fields of nodes and workflows.
fn of_workflows() -> Vec<(&'static str, Fate)> {
    vec![
        ("core.TaskNode.reference_id", Honoured(GRAPH)),
        ("core.TaskNode.overrides", Honoured(TASK)),
        ("core.TaskNodeOverrides.resources", Honoured("map::flyte::resources")),
        (
            "core.TaskNodeOverrides.extended_resources",
            Refused(
                Change::Node(|n| {
                    let gpu_accelerator = Some(GpuAccelerator { device: "l4".to_owned(), ..Default::default() });
                    overrides(n).extended_resources = Some(ExtendedResources { gpu_accelerator, ..Default::default() });
                }),
                "node n0: overrides.extended_resources.gpu_accelerator is l4",
            ),
        ),
        ("core.TaskNodeOverrides.container_image", Honoured("map::flyte::container")),
        (
            "core.TaskNodeOverrides.pod_template",
            Refused(
                Change::Node(|n| overrides(n).pod_template = Some(K8sPod::default())),
                "node n0: overrides.pod_template: cannot be laid over a Batch job",
            ),
        ),
        ("core.NodeMetadata.name", Honoured("shown")),
        ("core.NodeMetadata.timeout", Refused(SubWorkflow(|n| of_node(n).timeout = second()), "it has a timeout")),
        (
            "core.NodeMetadata.retries",
            Refused(SubWorkflow(|n| of_node(n).retries = Some(RetryStrategy { retries: 1 })), "it has retries"),
        ),
        (
            "core.NodeMetadata.interruptible",
            Honoured("of nodes that run tasks; others do not hand it on, as in propeller"),
        ),
        (
            "core.NodeMetadata.cacheable",
            Refused(
                SubWorkflow(|n| of_node(n).cacheable_value = Some(node_metadata::CacheableValue::Cacheable(true))),
                "it is to be cached",
            ),
        ),
        ("core.NodeMetadata.cache_version", Honoured(POLICY)),
        ("core.NodeMetadata.cache_serializable", Honoured(POLICY)),
        (
            "core.NodeMetadata.config",
            Refused(
                Change::Node(|n| drop(of_node(n).config.insert("k".to_owned(), "v".to_owned()))),
                "metadata.config.k is \"v\", and nothing reads it",
            ),
        ),
        ("core.Node.id", Honoured(GRAPH)),
        ("core.Node.metadata", Honoured(POLICY)),
        ("core.Node.inputs", Honoured(GRAPH)),
        ("core.Node.upstream_node_ids", Honoured(GRAPH)),
        (
            "core.Node.output_aliases",
            Refused(
                Change::Node(|n| n.output_aliases.push(Alias { var: "o".to_owned(), alias: "p".to_owned() })),
                "it renames its outputs (aliases)",
            ),
        ),
        ("core.Node.task_node", Honoured(GRAPH)),
        ("core.Node.workflow_node", Honoured(GRAPH)),
        ("core.Node.branch_node", Honoured("map::workflow::branch")),
        (
            "core.Node.gate_node",
            Refused(Change::Node(|n| n.target = Some(node::Target::GateNode(GateNode::default()))), "it is a gate"),
        ),
        ("core.Node.array_node", Honoured(GRAPH)),
        (
            "core.ArrayNode.node",
            Refused(Change::Node(|n| n.target = Some(node::Target::ArrayNode(Box::default()))), "it maps over nothing"),
        ),
        ("core.ArrayNode.parallelism", Honoured(POLICY)),
        ("core.ArrayNode.min_successes", Honoured(POLICY)),
        ("core.ArrayNode.min_success_ratio", Honoured(POLICY)),
        ("core.ArrayNode.execution_mode", Harmless("how propeller keeps its own state")),
        ("core.ArrayNode.is_original_sub_node_interface", Honoured(GRAPH)),
        ("core.ArrayNode.data_mode", Harmless("how propeller hands inputs to children; the worker does that here")),
        ("core.ArrayNode.bound_inputs", Honoured("map::flyte::inputs")),
        ("core.ArrayNode.run_all_sub_nodes", Honoured(POLICY)),
        ("core.BranchNode.if_else", Honoured("map::workflow::branch")),
        ("core.IfElseBlock.case", Honoured("map::workflow::branch")),
        ("core.IfElseBlock.other", Honoured("map::workflow::branch")),
        ("core.IfElseBlock.else_node", Honoured("map::workflow::branch")),
        ("core.IfElseBlock.error", Honoured("map::workflow::branch")),
        ("core.WorkflowNode.launchplan_ref", Honoured("run::flow::plan")),
        ("core.WorkflowNode.sub_workflow_ref", Honoured(GRAPH)),
        ("core.WorkflowTemplate.id", Honoured(GRAPH)),
        ("core.WorkflowTemplate.metadata", Honoured(GRAPH)),
        ("core.WorkflowTemplate.interface", Honoured(GRAPH)),
        ("core.WorkflowTemplate.nodes", Honoured(GRAPH)),
        ("core.WorkflowTemplate.outputs", Honoured(GRAPH)),
        (
            "core.WorkflowTemplate.failure_node",
            Refused(Workflow(|w| w.failure_node = Some(node())), "batchmap runs no failure handlers"),
        ),
        ("core.WorkflowTemplate.metadata_defaults", Honoured("run::flow::options")),
        (
            "core.WorkflowMetadata.quality_of_service",
            Refused(
                Workflow(|w| w.metadata = Some(WorkflowMetadata { quality_of_service: high(), ..Default::default() })),
                "metadata.quality_of_service of workflow w.tier is HIGH",
            ),
        ),
        ("core.WorkflowMetadata.on_failure", Honoured("map::workflow::flow")),
        ("core.WorkflowMetadata.tags", Harmless("words about the workflow; told back")),
        ("core.WorkflowMetadataDefaults.interruptible", Honoured("run::flow::options")),
    ]
}

/// The fields of launch plans and executions.
fn of_launches() -> Vec<(&'static str, Fate)> {
    vec![
        ("core.Parameter.var", Honoured("map::workflow::inputs")),
        ("core.Parameter.default", Honoured("map::workflow::inputs")),
        ("core.Parameter.required", Honoured("map::workflow::inputs")),
        (
            "core.Parameter.artifact_query",
            Refused(
                Plan(|p| query(p, parameter::Behavior::ArtifactQuery(ArtifactQuery::default()))),
                "default_inputs.x: comes from an artifact",
            ),
        ),
        (
            "core.Parameter.artifact_id",
            Refused(
                Plan(|p| query(p, parameter::Behavior::ArtifactId(ArtifactId::default()))),
                "default_inputs.x: comes from an artifact",
            ),
        ),
        ("admin.LaunchPlanSpec.workflow_id", Honoured("service::executions::begin")),
        ("admin.LaunchPlanSpec.entity_metadata", Honoured("looked at below")),
        ("admin.LaunchPlanSpec.default_inputs", Honoured("map::flyte::expected")),
        ("admin.LaunchPlanSpec.fixed_inputs", Honoured("map::workflow::inputs")),
        ("admin.LaunchPlanSpec.role", Refused(Plan(|p| p.role = "r".to_owned()), "role is r: cannot be chosen")),
        ("admin.LaunchPlanSpec.labels", Honoured(OPTIONS)),
        ("admin.LaunchPlanSpec.annotations", Harmless(NOTES)),
        (
            "admin.LaunchPlanSpec.auth",
            Refused(
                Plan(|p| p.auth = Some(Auth { assumable_iam_role: "r".to_owned(), ..Auth::default() })),
                "auth.assumable_iam_role is r",
            ),
        ),
        (
            "admin.LaunchPlanSpec.auth_role",
            Refused(Plan(|p| p.auth_role = role()), "auth_role.assumable_iam_role is role"),
        ),
        (
            "admin.LaunchPlanSpec.security_context",
            Refused(Plan(|p| p.security_context = account()), "security_context.run_as.k8s_service_account is robot"),
        ),
        ("admin.LaunchPlanSpec.quality_of_service", Refused(Plan(|p| p.quality_of_service = high()), "tier is HIGH")),
        ("admin.LaunchPlanSpec.raw_output_data_config", Honoured(OPTIONS)),
        ("admin.LaunchPlanSpec.max_parallelism", Honoured(OPTIONS)),
        ("admin.LaunchPlanSpec.interruptible", Honoured(OPTIONS)),
        ("admin.LaunchPlanSpec.overwrite_cache", Honoured(OPTIONS)),
        ("admin.LaunchPlanSpec.envs", Honoured(OPTIONS)),
        (
            "admin.LaunchPlanSpec.execution_env_assignments",
            Refused(
                Plan(|p| p.execution_env_assignments.push(ExecutionEnvAssignment::default())),
                "execution_env_assignments[0]: batchmap keeps no environments alive",
            ),
        ),
        (
            "admin.LaunchPlanSpec.cluster_assignment",
            Refused(
                Plan(|p| p.cluster_assignment = Some(ClusterAssignment { cluster_pool_name: "c".to_owned() })),
                "cluster_assignment.cluster_pool_name is c",
            ),
        ),
        (
            "admin.LaunchPlanSpec.concurrency_policy",
            Refused(
                Plan(|p| p.concurrency_policy = Some(ConcurrencyPolicy { max: 1, ..Default::default() })),
                "concurrency_policy.max is 1",
            ),
        ),
        (
            "admin.LaunchPlanMetadata.schedule",
            Refused(
                Activation(|p| {
                    let expression = schedule::ScheduleExpression::CronExpression("* * * * *".to_owned());
                    let schedule = Schedule { schedule_expression: Some(expression), ..Schedule::default() };
                    p.entity_metadata.get_or_insert_default().schedule = Some(schedule);
                }),
                "entity_metadata.schedule: batchmap follows no schedules",
            ),
        ),
        (
            "admin.LaunchPlanMetadata.notifications",
            Refused(
                Plan(|p| p.entity_metadata.get_or_insert_default().notifications.push(email())),
                "entity_metadata.notifications[0] is email: batchmap notifies nobody",
            ),
        ),
        (
            "admin.LaunchPlanMetadata.launch_conditions",
            Refused(
                Plan(|p| p.entity_metadata.get_or_insert_default().launch_conditions = Some(Default::default())),
                "entity_metadata.launch_conditions: batchmap reacts to no artifacts",
            ),
        ),
        ("admin.ExecutionSpec.launch_plan", Honoured("service::executions::begin")),
        ("admin.ExecutionSpec.inputs", Honoured("service::executions::begin")),
        ("admin.ExecutionSpec.metadata", Honoured("the principal; the rest is the server's to say")),
        (
            "admin.ExecutionSpec.notifications",
            Refused(
                Execution(|e| {
                    let list = NotificationList { notifications: vec![email()] };
                    e.notification_overrides = Some(execution_spec::NotificationOverrides::Notifications(list));
                }),
                "spec.notifications[0] is email",
            ),
        ),
        ("admin.ExecutionSpec.disable_all", Honoured("nobody is notified")),
        ("admin.ExecutionSpec.labels", Honoured("tags of the jobs")),
        ("admin.ExecutionSpec.annotations", Harmless(NOTES)),
        (
            "admin.ExecutionSpec.security_context",
            Refused(
                Execution(|e| e.security_context = account()),
                "security_context.run_as.k8s_service_account is robot",
            ),
        ),
        (
            "admin.ExecutionSpec.auth_role",
            Refused(Execution(|e| e.auth_role = role()), "auth_role.assumable_iam_role is role"),
        ),
        (
            "admin.ExecutionSpec.quality_of_service",
            Refused(Execution(|e| e.quality_of_service = high()), "tier is HIGH"),
        ),
        ("admin.ExecutionSpec.max_parallelism", Honoured(OPTIONS)),
        ("admin.ExecutionSpec.raw_output_data_config", Honoured(OPTIONS)),
        (
            "admin.ExecutionSpec.cluster_assignment",
            Refused(
                Execution(|e| e.cluster_assignment = Some(ClusterAssignment { cluster_pool_name: "c".to_owned() })),
                "cluster_assignment.cluster_pool_name is c",
            ),
        ),
        ("admin.ExecutionSpec.interruptible", Honoured(OPTIONS)),
        ("admin.ExecutionSpec.overwrite_cache", Honoured(OPTIONS)),
        ("admin.ExecutionSpec.envs", Honoured(OPTIONS)),
        ("admin.ExecutionSpec.tags", Harmless("words to find it by; told back")),
        (
            "admin.ExecutionSpec.execution_cluster_label",
            Refused(
                Execution(|e| e.execution_cluster_label = Some(ExecutionClusterLabel { value: "c".to_owned() })),
                "spec.execution_cluster_label is c",
            ),
        ),
        (
            "admin.ExecutionSpec.execution_env_assignments",
            Refused(
                Execution(|e| e.execution_env_assignments.push(ExecutionEnvAssignment::default())),
                "execution_env_assignments[0]",
            ),
        ),
    ]
}

/// The fields of every message that stands in a table, by the published descriptors.
fn published(messages: &BTreeSet<&str>) -> BTreeSet<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/flyteidl-1.16.8.fds.bin");
    let files = FileDescriptorSet::decode(std::fs::read(file).unwrap().as_slice()).unwrap();
    let mut fields = BTreeSet::new();
    for file in &files.file {
        let Some(package) = file.package().strip_prefix("flyteidl.") else { continue };
        for message in &file.message_type {
            let name = format!("{package}.{}", message.name());
            if messages.contains(name.as_str()) {
                fields.extend(message.field.iter().map(|field| format!("{name}.{}", field.name())));
            }
        }
    }
    fields
}

#[test]
fn every_field_is_honoured_refused_or_without_meaning() {
    let rows: Vec<_> = [of_tasks(), of_workflows(), of_launches()].into_iter().flatten().collect();
    let told: BTreeSet<String> = rows.iter().map(|(field, _)| (*field).to_owned()).collect();
    assert_eq!(told.len(), rows.len(), "a field stands there twice");
    let messages: BTreeSet<&str> = rows.iter().filter_map(|(field, _)| Some(field.rsplit_once('.')?.0)).collect();
    assert_eq!(told, published(&messages));
}

#[test]
fn what_is_refused_is_refused_in_words_with_a_fix() {
    for change in [
        Task(|_| {}),
        Change::Node(|_| {}),
        SubWorkflow(|_| {}),
        Workflow(|_| {}),
        Activation(|_| {}),
        Execution(|_| {}),
    ] {
        assert_eq!(change.refusal(), Ok(()), "the sample itself is fine");
    }
    // What is looked at and means nothing.
    let fine = Plan(|p| {
        p.annotations = Some(Annotations::default());
        p.security_context = Some(SecurityContext::default());
        p.quality_of_service = Some(QualityOfService::default());
        p.auth_role = Some(AuthRole { kubernetes_service_account: "default".to_owned(), ..AuthRole::default() });
    });
    assert_eq!(fine.refusal(), Ok(()));
    for (field, fate) in [of_tasks(), of_workflows(), of_launches()].into_iter().flatten() {
        match fate {
            Honoured(words) | Harmless(words) => assert!(!words.is_empty(), "{field}"),
            Refused(change, words) => {
                let said = change.refusal().expect_err(field);
                assert!(said.contains(words), "{field}: {words:?} in {said:?}");
                assert!(said.contains("; "), "{field}: no fix in {said:?}");
            }
        }
    }
}
