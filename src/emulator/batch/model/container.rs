//! What a job's containers are: its definition's, with the submission's overrides and parameters applied.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::api::{
    ContainerOverrides, ContainerProperties, EcsPropertiesOverride, KeyValue, RegisterJobDefinition,
    ResourceRequirement, SecretName, SubmitJob, TaskContainerOverrides,
};
use super::{Refusal, Settings};

/// The name AWS gives the one container of a definition with `containerProperties`.
const DEFAULT: &str = "default";

/// A container of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Container {
    pub(super) name: String,
    pub(super) image: Option<String>,
    pub(super) command: Vec<String>,
    pub(super) environment: Vec<KeyValue>,
    /// The names of its secrets: what is in them is no affair of Batch's.
    pub(super) secrets: Vec<String>,
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
    /// What only a container runner can give it.
    #[serde(default)]
    pub(super) settings: Settings,
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
    secrets: Vec<SecretName>,
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
    let mut containers = of_definition(definition);
    match (&definition.ecs_properties, &request.container_overrides, &request.ecs_properties_override) {
        (Some(_), Some(_), _) => {
            return Err(Refusal(
                "containerOverrides may not be given for a job definition with ecsProperties; use \
                 ecsPropertiesOverride"
                    .to_owned(),
            ));
        }
        (None, _, Some(_)) => {
            return Err(Refusal(
                "ecsPropertiesOverride may only be given for a job definition with ecsProperties; use \
                 containerOverrides"
                    .to_owned(),
            ));
        }
        (Some(_), None, Some(overrides)) => change_task(&mut containers, overrides)?,
        (None, Some(overrides), None) => change_container(&mut containers, overrides),
        (_, None, None) => {}
    }
    for container in &mut containers {
        container.command = substitute(std::mem::take(&mut container.command), parameters);
    }
    Ok(containers)
}

/// The containers of a definition: the one of `containerProperties`, or those of `ecsProperties`.
pub(super) fn of_definition(definition: &RegisterJobDefinition) -> Vec<Container> {
    match (&definition.ecs_properties, &definition.container_properties) {
        (Some(properties), _) => {
            let whole = &properties["taskProperties"][0];
            let task = Task::deserialize(whole).unwrap_or_default();
            let settings = (0..).map(|place: usize| Settings::of(&whole["containers"][place], &whole["volumes"]));
            task.containers.into_iter().zip(settings).map(of_task_container).collect()
        }
        (None, Some(properties)) => {
            let settings = Settings::of(properties, &serde_json::Value::Null);
            vec![Container {
                settings,
                ..of_container(ContainerProperties::deserialize(properties).unwrap_or_default())
            }]
        }
        (None, None) => Vec::new(),
    }
}

fn of_container(defined: ContainerProperties) -> Container {
    Container {
        name: DEFAULT.to_owned(),
        image: defined.image,
        command: defined.command,
        environment: defined.environment,
        secrets: names(defined.secrets),
        resources: defined.resource_requirements,
        vcpus: defined.vcpus,
        memory: defined.memory,
        essential: true,
        depends_on: Vec::new(),
        settings: Settings::default(),
    }
}

fn names(secrets: Vec<SecretName>) -> Vec<String> {
    secrets.into_iter().map(|secret| secret.name).collect()
}

fn change_container(containers: &mut [Container], overrides: &ContainerOverrides) {
    for container in containers {
        if let Some(command) = &overrides.command {
            container.command.clone_from(command);
        }
        container.environment = merge(std::mem::take(&mut container.environment), &overrides.environment);
        container.resources = replace(std::mem::take(&mut container.resources), &overrides.resource_requirements);
        // They replace only what was given in the same form.
        container.vcpus = overrides.vcpus.or(container.vcpus);
        container.memory = overrides.memory.or(container.memory);
    }
}

fn change_task(containers: &mut [Container], overrides: &EcsPropertiesOverride) -> Result<(), Refusal> {
    let tasks = &overrides.task_properties;
    if tasks.len() > 1 {
        return Err(Refusal(format!(
            "ecsPropertiesOverride.taskProperties may hold at most 1 entry, but has {}",
            tasks.len()
        )));
    }
    let only = containers.len() == 1;
    for change in tasks.iter().flat_map(|task| &task.containers) {
        let meant = |container: &&mut Container| match &change.name {
            Some(name) => container.name == *name,
            None => only,
        };
        let Some(container) = containers.iter_mut().find(meant) else {
            return Err(Refusal(format!(
                "ecsPropertiesOverride names the container '{}', which the job definition does not have",
                change.name.as_deref().unwrap_or_default()
            )));
        };
        apply(container, change);
    }
    Ok(())
}

fn of_task_container((defined, settings): (TaskContainer, Settings)) -> Container {
    let depends_on = defined.depends_on.into_iter().map(|other| (other.container_name, other.condition)).collect();
    Container {
        name: defined.name.filter(|name| !name.is_empty()).unwrap_or_else(|| DEFAULT.to_owned()),
        image: defined.image,
        command: defined.command,
        environment: defined.environment,
        secrets: names(defined.secrets),
        resources: defined.resource_requirements,
        vcpus: None,
        memory: None,
        essential: defined.essential.unwrap_or(true),
        depends_on,
        settings,
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
