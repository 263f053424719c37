//! What a task or a node may say in Flyte and Batch has no words for.

use super::CONTAINER_ARRAY;
use super::batch::AWS_BATCH;
use crate::idl::core::node::Target;
use crate::idl::core::{ExtendedResources, Node, TaskTemplate};
use crate::map::spec::{Fault, Faults};

/// The types of task that are one command in one container and need nothing else around them.
const TYPES: [&str; 10] = [
    "python-task",
    "raw-container",
    AWS_BATCH,
    CONTAINER_ARRAY,
    "container",
    "sidecar",
    "nb-python-task",
    "sqlite",
    "java-task",
    "scala-task",
];

/// Refuses what a task cannot be or have.
pub(super) fn task(template: &TaskTemplate, faults: &mut Faults) {
    if !TYPES.contains(&template.r#type.as_str()) {
        let problem = "is no type of task that one container can run";
        let fix = format!("use one of {}", TYPES.join(", "));
        faults.0.push(Fault::text("type", &template.r#type, problem, fix));
    }
    let metadata = template.metadata.clone().unwrap_or_default();
    if metadata.is_eager {
        let fix = "write a @workflow: an eager task would have to call the server while it runs";
        faults.0.push(Fault::text("metadata.is_eager", "true", "eager workflows are not run", fix));
    }
    if !metadata.pod_template_name.is_empty() {
        let fix = "leave it out: there are no pods";
        faults.0.push(Fault::text("metadata.pod_template_name", &metadata.pod_template_name, "cannot be had", fix));
    }
    security(template, faults);
    if let Some(resources) = &template.extended_resources {
        extended("extended_resources", resources, faults);
    }
}

fn security(template: &TaskTemplate, faults: &mut Faults) {
    let Some(context) = &template.security_context else { return };
    let run_as = context.run_as.clone().unwrap_or_default();
    for (name, value) in [("iam_role", run_as.iam_role), ("k8s_service_account", run_as.k8s_service_account)] {
        if !value.is_empty() && value != "default" {
            let fix = "leave it out: the role of all jobs is set where batchmap is set up";
            faults.0.push(Fault::text(format!("security_context.run_as.{name}"), &value, "cannot be chosen", fix));
        }
    }
}

fn extended(field: &str, resources: &ExtendedResources, faults: &mut Faults) {
    if let Some(gpu) = &resources.gpu_accelerator {
        let fix = "ask for GPUs only, and give the task a queue of machines that have this one";
        faults.0.push(Fault::text(format!("{field}.gpu_accelerator"), &gpu.device, "Batch chooses no device", fix));
    }
    if let Some(memory) = &resources.shared_memory {
        let fix = "leave it out: a container has 64 MiB at /dev/shm";
        let problem = "batchmap's job definitions ask for no shared memory";
        faults.0.push(Fault::text(format!("{field}.shared_memory"), &memory.size_limit, problem, fix));
    }
}

/// Refuses what a node cannot be or have.
pub(super) fn node(node: &Node, faults: &mut Faults) {
    match &node.target {
        Some(Target::TaskNode(_)) => overrides(node, faults),
        Some(Target::ArrayNode(array)) => match array.node.as_deref() {
            Some(inner) if matches!(inner.target, Some(Target::TaskNode(_))) => overrides(inner, faults),
            inner => {
                let what = match inner.and_then(|inner| inner.target.as_ref()) {
                    Some(Target::WorkflowNode(_)) => "a launch plan or a workflow",
                    Some(Target::ArrayNode(_)) => "another map",
                    _ => "something that is no task",
                };
                let problem = format!("maps {what}");
                faults.0.push(Fault::missing("array_node.node", problem, "map a task"));
            }
        },
        _ => faults.0.push(Fault::missing("target", "is neither a task nor a map of one", "make it one")),
    }
}

fn overrides(node: &Node, faults: &mut Faults) {
    let Some(Target::TaskNode(task)) = &node.target else { return };
    let Some(overrides) = &task.overrides else { return };
    if let Some(resources) = &overrides.extended_resources {
        extended("overrides.extended_resources", resources, faults);
    }
    if overrides.pod_template.is_some() {
        let fix = "override resources or the image alone";
        faults.0.push(Fault::missing("overrides.pod_template", "cannot be laid over a Batch job", fix));
    }
}
