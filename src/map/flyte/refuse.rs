//! What a task or a node may say in Flyte and Batch has no words for.

use super::batch::AWS_BATCH;
use super::{CONTAINER_ARRAY, limits};
use crate::idl::core::gpu_accelerator::PartitionSizeValue;
use crate::idl::core::node::Target as NodeTarget;
use crate::idl::core::task_template::Target;
use crate::idl::core::{ExtendedResources, Node, SecurityContext, TaskTemplate};
use crate::map::spec::{Fault, Faults};

/// The types of task that are one command in one container and need nothing else around them.
const TYPES: [&str; 9] = [
    "python-task",
    "raw-container",
    AWS_BATCH,
    CONTAINER_ARRAY,
    "container",
    "sidecar",
    "nb-python-task",
    "java-task",
    "scala-task",
];

/// Keys of a task's `config` that are honoured, here or where the container is read.
const CONFIG: [&str; 2] = ["platformCapabilities", "primary_container_name"];

/// Where Batch has a container's shared memory.
const SHARED: &str = "/dev/shm";

/// Refuses what a task cannot be or have.
pub(super) fn task(template: &TaskTemplate, faults: &mut Faults) {
    if !TYPES.contains(&template.r#type.as_str()) {
        let problem = "is no type of task that one container can run";
        let fix = format!("use one of {}", TYPES.join(", "));
        faults.0.push(Fault::text("type", &template.r#type, problem, fix));
    }
    limits::interface("", template.interface.as_ref(), faults);
    let metadata = template.metadata.clone().unwrap_or_default();
    if metadata.is_eager {
        let fix = "write a @workflow: an eager task would have to call the server while it runs";
        faults.0.push(Fault::text("metadata.is_eager", "true", "eager workflows are not run", fix));
    }
    if !metadata.pod_template_name.is_empty() {
        let fix = "leave it out: there are no pods";
        faults.0.push(Fault::text("metadata.pod_template_name", &metadata.pod_template_name, "cannot be had", fix));
    }
    for (key, value) in template.config.iter().filter(|(key, _)| !CONFIG.contains(&key.as_str())) {
        let fix = "leave it out, or hand it to the task in its environment";
        faults.0.push(Fault::text(format!("config.{key}"), value, "nothing here reads it", fix));
    }
    let custom = template.custom.as_ref().filter(|_| ![AWS_BATCH, CONTAINER_ARRAY].contains(&template.r#type.as_str()));
    for (key, _) in custom.iter().flat_map(|custom| &custom.fields) {
        let problem = format!("nothing here reads it in a task of type {}", template.r#type);
        let fix = "leave out the plugin's configuration: only AWSBatchConfig has a meaning here";
        faults.0.push(Fault::missing(format!("custom.{key}"), problem, fix));
    }
    if let Some(Target::Sql(sql)) = &template.target {
        let fix = "run the statement from a python task, with a client of the database";
        faults.0.push(Fault::text("sql.statement", &sql.statement, "there is no engine to run it", fix));
    }
    if let Some(context) = &template.security_context {
        security("security_context", context, faults);
    }
    if let Some(resources) = &template.extended_resources {
        extended("extended_resources", resources, faults);
    }
}

/// What to write instead of a role of one's own.
const NO_ROLE: &str = "leave it out: the role of all jobs is set where batchmap is set up";

/// Refuses an identity that stands in `field`; the default service account is nobody's wish.
pub(super) fn identity(field: &str, value: &str, faults: &mut Faults) {
    if !value.is_empty() && value != "default" {
        faults.0.push(Fault::text(field, value, "cannot be chosen", NO_ROLE));
    }
}

/// Refuses what a security context asks for but its secrets, which are looked at where they are read.
pub(super) fn security(field: &str, context: &SecurityContext, faults: &mut Faults) {
    let run_as = context.run_as.clone().unwrap_or_default();
    let client = run_as.oauth2_client.map(|client| client.client_id).unwrap_or_default();
    for (name, value) in [
        ("iam_role", run_as.iam_role),
        ("k8s_service_account", run_as.k8s_service_account),
        ("execution_identity", run_as.execution_identity),
        ("oauth2_client", client),
    ] {
        identity(&format!("{field}.run_as.{name}"), &value, faults);
    }
    for (at, token) in context.tokens.iter().enumerate() {
        let fix = "let the task fetch it, with the client's secret as one of its secrets";
        let field = format!("{field}.tokens[{at}]");
        faults.0.push(Fault::text(field, &token.name, "batchmap fetches no tokens", fix));
    }
}

fn extended(field: &str, resources: &ExtendedResources, faults: &mut Faults) {
    if let Some(gpu) = &resources.gpu_accelerator {
        let field = format!("{field}.gpu_accelerator");
        let fix = "ask for GPUs only, and give the task a queue of machines that have this one";
        if !gpu.device.is_empty() {
            faults.0.push(Fault::text(&field, &gpu.device, "Batch chooses no device", fix));
        }
        if let Some(PartitionSizeValue::PartitionSize(size)) = &gpu.partition_size_value {
            faults.0.push(Fault::text(format!("{field}.partition_size"), size, "Batch gives whole GPUs", fix));
        }
    }
    if let Some(memory) = &resources.shared_memory
        && !matches!(memory.mount_path.as_str(), "" | SHARED)
    {
        let field = format!("{field}.shared_memory.mount_path");
        let problem = format!("Batch has shared memory at {SHARED} alone");
        faults.0.push(Fault::text(field, &memory.mount_path, problem, "leave it out"));
    }
}

/// Refuses what a node cannot be or have.
pub(super) fn node(node: &Node, faults: &mut Faults) {
    config(node, faults);
    match &node.target {
        Some(NodeTarget::TaskNode(_)) => overrides(node, faults),
        Some(NodeTarget::ArrayNode(array)) => match array.node.as_deref() {
            Some(inner) if matches!(inner.target, Some(NodeTarget::TaskNode(_))) => {
                config(inner, faults);
                overrides(inner, faults);
            }
            inner => {
                let what = match inner.and_then(|inner| inner.target.as_ref()) {
                    Some(NodeTarget::WorkflowNode(_)) => "a launch plan or a workflow",
                    Some(NodeTarget::ArrayNode(_)) => "another map",
                    _ => "something that is no task",
                };
                let problem = format!("maps {what}");
                faults.0.push(Fault::missing("array_node.node", problem, "map a task"));
            }
        },
        _ => faults.0.push(Fault::missing("target", "is neither a task nor a map of one", "make it one")),
    }
}

/// Refuses the words of a node's metadata that nothing reads.
fn config(node: &Node, faults: &mut Faults) {
    for (key, value) in node.metadata.iter().flat_map(|metadata| &metadata.config) {
        faults.0.push(Fault::text(format!("metadata.config.{key}"), value, "nothing here reads it", "leave it out"));
    }
}

fn overrides(node: &Node, faults: &mut Faults) {
    let Some(NodeTarget::TaskNode(task)) = &node.target else { return };
    let Some(overrides) = &task.overrides else { return };
    if let Some(resources) = &overrides.extended_resources {
        extended("overrides.extended_resources", resources, faults);
    }
    if overrides.pod_template.is_some() {
        let fix = "override resources or the image alone";
        faults.0.push(Fault::missing("overrides.pod_template", "cannot be laid over a Batch job", fix));
    }
}
