//! What a job's containers are: its definition's, with the submission's overrides and parameters applied.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Refusal;
use super::api::{
    ContainerOverrides, ContainerProperties, KeyValue, RegisterJobDefinition, ResourceRequirement, SubmitJob,
    TaskContainerOverrides,
};

/// The name AWS gives the one container of a definition with `containerProperties`.
const DEFAULT: &str = "default";

/// A container of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Container {
    pub(super) name: String,
    pub(super) image: Option<String>,
    pub(super) command: Vec<String>,
    pub(super) environment: Vec<KeyValue>,
    /// VCPU, MEMORY and GPU as given in that form.
    pub(super) resources: Vec<ResourceRequirement>,
    /// The old form of VCPU, when it was used.
    pub(super) vcpus: Option<i64>,
    /// The old form of MEMORY, when it was used.
    pub(super) memory: Option<i64>,
    /// Whether its end is the end of the task.
    pub(super) essential: bool,
    /// The containers of its task that it waits for, and their conditions.
    pub(super) depends_on: Vec<(String, String)>,
}

impl Container {
    /// What it asks for, the old form told in the new one.
    pub(super) fn requirements(&self) -> Vec<ResourceRequirement> {
        let mut all = self.resources.clone();
        for (kind, amount) in [("VCPU", self.vcpus), ("MEMORY", self.memory)] {
            if let Some(amount) = amount.filter(|_| all.iter().all(|other| other.kind != kind)) {
                all.push(ResourceRequirement { kind: kind.to_owned(), value: amount.to_string() });
            }
        }
        all
    }
}

/// A task of `ecsProperties`, as far as the model reads it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Task {
    containers: Vec<TaskContainer>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TaskContainer {
    name: Option<String>,
    image: Option<String>,
    command: Vec<String>,
    environment: Vec<KeyValue>,
    resource_requirements: Vec<ResourceRequirement>,
    essential: Option<bool>,
    depends_on: Vec<ContainerDependency>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerDependency {
    container_name: String,
    condition: String,
}

/// The containers of a job.
///
/// # Errors
/// Overrides of another kind than the definition, or of a container that it does not have.
pub(super) fn of_job(
    definition: &RegisterJobDefinition,
    request: &SubmitJob,
    parameters: &BTreeMap<String, String>,
) -> Result<Vec<Container>, Refusal> {
    let mut containers = match &definition.ecs_properties {
        Some(properties) => of_task(properties, request)?,
        None if request.ecs_properties_override.is_some() => {
            return Err(Refusal(
                "ecsPropertiesOverride may only be given for a job definition with ecsProperties; use \
                 containerOverrides"
                    .to_owned(),
            ));
        }
        None => {
            let properties = definition.container_properties.as_ref();
            let defined = properties.and_then(|value| ContainerProperties::deserialize(value).ok()).unwrap_or_default();
            vec![of_container(defined, request.container_overrides.as_ref())]
        }
    };
    for container in &mut containers {
        container.command = substitute(std::mem::take(&mut container.command), parameters);
    }
    Ok(containers)
}

fn of_container(defined: ContainerProperties, overrides: Option<&ContainerOverrides>) -> Container {
    let none = ContainerOverrides::default();
    let overrides = overrides.unwrap_or(&none);
    Container {
        name: DEFAULT.to_owned(),
        image: defined.image,
        command: overrides.command.clone().unwrap_or(defined.command),
        environment: merge(defined.environment, &overrides.environment),
        resources: replace(defined.resource_requirements, &overrides.resource_requirements),
        // They replace only what was given in the same form.
        vcpus: overrides.vcpus.or(defined.vcpus),
        memory: overrides.memory.or(defined.memory),
        essential: true,
        depends_on: Vec::new(),
    }
}

fn of_task(properties: &Value, request: &SubmitJob) -> Result<Vec<Container>, Refusal> {
    if request.container_overrides.is_some() {
        return Err(Refusal(
            "containerOverrides may not be given for a job definition with ecsProperties; use ecsPropertiesOverride"
                .to_owned(),
        ));
    }
    let overrides = request.ecs_properties_override.as_ref().map_or(&[][..], |given| &given.task_properties);
    if overrides.len() > 1 {
        return Err(Refusal(format!(
            "ecsPropertiesOverride.taskProperties may hold at most 1 entry, but has {}",
            overrides.len()
        )));
    }
    let task = properties.get("taskProperties").and_then(|tasks| tasks.get(0));
    let task = task.and_then(|task| Task::deserialize(task).ok()).unwrap_or_default();
    let only = task.containers.len() == 1;
    let mut containers: Vec<Container> = task.containers.into_iter().map(of_task_container).collect();
    for change in overrides.iter().flat_map(|task| &task.containers) {
        let meant = |container: &&mut Container| match &change.name {
            Some(name) => container.name == *name,
            None => only,
        };
        match containers.iter_mut().find(meant) {
            Some(container) => apply(container, change),
            None => {
                return Err(Refusal(format!(
                    "ecsPropertiesOverride names the container '{}', which the job definition does not have",
                    change.name.as_deref().unwrap_or_default()
                )));
            }
        }
    }
    Ok(containers)
}

fn of_task_container(defined: TaskContainer) -> Container {
    let depends_on = defined.depends_on.into_iter().map(|other| (other.container_name, other.condition)).collect();
    Container {
        name: defined.name.filter(|name| !name.is_empty()).unwrap_or_else(|| DEFAULT.to_owned()),
        image: defined.image,
        command: defined.command,
        environment: defined.environment,
        resources: defined.resource_requirements,
        vcpus: None,
        memory: None,
        essential: defined.essential.unwrap_or(true),
        depends_on,
    }
}

fn apply(container: &mut Container, change: &TaskContainerOverrides) {
    if let Some(command) = &change.command {
        container.command.clone_from(command);
    }
    container.environment = merge(std::mem::take(&mut container.environment), &change.environment);
    container.resources = replace(std::mem::take(&mut container.resources), &change.resource_requirements);
}

/// Replaces whole elements `Ref::name`; one without a value stays, as on AWS.
fn substitute(command: Vec<String>, parameters: &BTreeMap<String, String>) -> Vec<String> {
    let replace = |part: String| match part.strip_prefix("Ref::").and_then(|name| parameters.get(name)) {
        Some(value) => value.clone(),
        None => part,
    };
    command.into_iter().map(replace).collect()
}

fn merge(mut defined: Vec<KeyValue>, overrides: &[KeyValue]) -> Vec<KeyValue> {
    for pair in overrides {
        defined.retain(|other| other.name != pair.name);
        defined.push(pair.clone());
    }
    defined
}

fn replace(mut defined: Vec<ResourceRequirement>, overrides: &[ResourceRequirement]) -> Vec<ResourceRequirement> {
    for resource in overrides {
        defined.retain(|other| other.kind != resource.kind);
        defined.push(resource.clone());
    }
    defined
}
