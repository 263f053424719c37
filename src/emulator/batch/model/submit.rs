//! SubmitJob: what AWS checks at once, and the job that comes of it.

use std::collections::BTreeMap;

use super::api::{ContainerOverrides, ContainerProperties, KeyValue, ResourceRequirement, SubmitJob};
use super::definition::check_timeout;
use super::job::{Attempt, Child, Job, Status};
use super::reply::Submitted;
use super::texts::Text;
use super::{Model, Refusal, ids, retry};

/// AWS's limit on a SubmitJob's size.
const MAX_BYTES: usize = 30 * 1024;
/// ECS's limit on a task's overrides, which Batch meets only when it starts the task.
const MAX_OVERRIDES: usize = 8192;
const UNFIT_OVERRIDES: &str = "Container Overrides length must be at most 8192";
const UNFIT_TAGS: &str = "The combined tags of the job and its job definition must be at most 50";

impl Model {
    /// SubmitJob.
    pub(super) fn submit(&mut self, request: SubmitJob) -> Result<Submitted, Refusal> {
        let size = check(&request)?;
        let queue = ids::name_of("job-queue", &request.job_queue).to_owned();
        match self.queues.get(&queue) {
            None => return Err(Refusal(format!("Job queue {} does not exist", request.job_queue))),
            Some(known) if !known.enabled => {
                return Err(Refusal(format!("Job queue {} is DISABLED and takes no jobs", request.job_queue)));
            }
            Some(_) => {}
        }
        let id = ids::job_id(&self.seed, self.next_job);
        let job = self.build(&request, queue.clone(), id.clone(), size)?;
        let key = self.next_job;
        self.next_job += 1;
        self.by_id.insert(id.clone(), key);
        self.jobs.insert(key, job);
        if let Some(queue) = self.queues.get_mut(&queue) {
            queue.line.fresh.push_back(key);
        }
        Ok(Submitted { job_arn: ids::arn("job", &id), job_name: request.job_name, job_id: id })
    }

    fn build(&self, request: &SubmitJob, queue: String, id: String, size: Option<u32>) -> Result<Job, Refusal> {
        let (definition, revision) = self.active_definition(&request.job_definition)?;
        let defined = &definition.request;
        let container = definition.container();
        let overrides = request.container_overrides.clone().unwrap_or_default();
        let mut parameters = defined.parameters.clone();
        parameters.extend(request.parameters.clone());
        let timeout = request.timeout.as_ref().or(defined.timeout.as_ref());
        let mut platforms = defined.platform_capabilities.clone();
        if platforms.is_empty() {
            platforms.push("EC2".to_owned());
        }
        let count = size.unwrap_or(1);
        let mut counts = [0; 7];
        counts[Status::Runnable as usize] = count;
        Ok(Job {
            id,
            name: request.job_name.clone(),
            queue,
            definition: (defined.job_definition_name.clone(), revision),
            is_array: size.is_some(),
            resources: resources(&container, &overrides),
            image: container.image,
            command: substitute(overrides.command.clone().unwrap_or(container.command), &parameters),
            environment: merge(container.environment, &overrides.environment),
            parameters,
            tags: request.tags.clone(),
            propagate_tags: request.propagate_tags.or(defined.propagate_tags),
            platforms,
            retry: request.retry_strategy.clone().or_else(|| defined.retry_strategy.clone()).unwrap_or_default(),
            timeout_ms: timeout
                .and_then(|timeout| timeout.attempt_duration_seconds)
                .map(|seconds| seconds.unsigned_abs().saturating_mul(1000)),
            unfit: unfit(&overrides, &request.tags, &defined.tags),
            created_at: self.now,
            changed_at: self.now,
            started_at: 0,
            cancelled: false,
            terminated: false,
            reason: Text::NONE,
            children: vec![FRESH; count as usize],
            counts,
            earlier: BTreeMap::new(),
            next_fresh: 0,
        })
    }
}

/// A child that waits for its first slot: there is nothing here that would hold it back earlier.
const FRESH: Child = Child {
    status: Status::Runnable,
    cancelled: false,
    terminated: false,
    timed_out: false,
    attempt: 0,
    reason: Text::NONE,
    last: Attempt { started_at: 0, stopped_at: 0, exit_code: None, reason: Text::NONE, status_reason: Text::NONE },
};

/// Checks what needs nothing but the request; returns an array's size.
fn check(request: &SubmitJob) -> Result<Option<u32>, Refusal> {
    check_name("jobName", &request.job_name)?;
    for (field, value) in [("jobQueue", &request.job_queue), ("jobDefinition", &request.job_definition)] {
        if value.is_empty() {
            return Err(Refusal(format!("{field} must not be empty")));
        }
    }
    check_unsupported(request)?;
    if let Some(overrides) = &request.container_overrides {
        if overrides.command.iter().flatten().any(String::is_empty) {
            return Err(Refusal("containerOverrides.command must not contain an empty string".to_owned()));
        }
        check_environment("containerOverrides.environment", &overrides.environment)?;
        check_resources("containerOverrides.resourceRequirements", &overrides.resource_requirements)?;
    }
    request.retry_strategy.as_ref().map_or(Ok(()), retry::check)?;
    request.timeout.as_ref().map_or(Ok(()), check_timeout)?;
    if request.tags.len() > 50 {
        return Err(Refusal(format!("tags may hold at most 50 entries, but has {}", request.tags.len())));
    }
    let bytes = serde_json::to_vec(request).map_or(0, |body| body.len());
    if bytes > MAX_BYTES {
        return Err(Refusal(format!("a SubmitJob request may have at most {MAX_BYTES} bytes, but has {bytes}")));
    }
    match request.array_properties.as_ref().and_then(|array| array.size) {
        None => Ok(None),
        Some(size) => match u32::try_from(size) {
            Ok(size @ 2..=10_000) => Ok(Some(size)),
            _ => Err(Refusal(format!("Array job size must be between 2 and 10000, but was {size}"))),
        },
    }
}

fn check_unsupported(request: &SubmitJob) -> Result<(), Refusal> {
    for (field, given) in [
        ("shareIdentifier", &request.share_identifier),
        ("schedulingPriorityOverride", &request.scheduling_priority_override),
    ] {
        if given.is_some() {
            return Err(Refusal(format!(
                "{field} may only be given for a job queue with a scheduling policy; {} has none",
                request.job_queue
            )));
        }
    }
    for (field, given) in [
        ("dependsOn", &request.depends_on),
        ("nodeOverrides", &request.node_overrides),
        ("eksPropertiesOverride", &request.eks_properties_override),
        ("ecsPropertiesOverride", &request.ecs_properties_override),
        ("consumableResourcePropertiesOverride", &request.consumable_resource_properties_override),
    ] {
        let empty = given.as_ref().is_none_or(|value| value.as_array().is_some_and(Vec::is_empty));
        if !empty {
            return Err(Refusal(format!("{field} is not yet implemented by this endpoint")));
        }
    }
    Ok(())
}

/// A job's or definition's name.
pub(super) fn check_name(field: &str, name: &str) -> Result<(), Refusal> {
    let first = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    let rest = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if first && rest && name.len() <= 128 {
        return Ok(());
    }
    Err(Refusal(format!(
        "{field} '{name}' is not valid: it must begin with a letter or digit and have at most 128 letters, digits, \
         hyphens and underscores"
    )))
}

pub(super) fn check_environment(field: &str, environment: &[KeyValue]) -> Result<(), Refusal> {
    for pair in environment {
        if pair.name.starts_with("AWS_BATCH") {
            return Err(Refusal(format!(
                "{field} name '{}' is not valid: names that begin with AWS_BATCH are reserved",
                pair.name
            )));
        }
        if pair.name.is_empty() || pair.name.contains(['=', '\0']) || pair.value.contains('\0') {
            return Err(Refusal(format!("{field} entry '{}' cannot be an environment variable", pair.name)));
        }
    }
    Ok(())
}

pub(super) fn check_resources(field: &str, resources: &[ResourceRequirement]) -> Result<(), Refusal> {
    for resource in resources {
        if !matches!(resource.kind.as_str(), "VCPU" | "MEMORY" | "GPU") {
            return Err(Refusal(format!("{field} type must be VCPU, MEMORY or GPU, but was '{}'", resource.kind)));
        }
        let amount = resource.value.parse::<f64>().ok().filter(|amount| amount.is_finite() && *amount > 0.0);
        if amount.is_none() {
            return Err(Refusal(format!("{field} {} '{}' is not a positive number", resource.kind, resource.value)));
        }
    }
    Ok(())
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

fn resources(container: &ContainerProperties, overrides: &ContainerOverrides) -> Vec<ResourceRequirement> {
    let old = [("VCPU", container.vcpus), ("MEMORY", container.memory)];
    let mut merged: Vec<ResourceRequirement> = old
        .into_iter()
        .filter_map(|(kind, value)| Some(ResourceRequirement { kind: kind.to_owned(), value: value?.to_string() }))
        .collect();
    for resource in container.resource_requirements.iter().chain(&overrides.resource_requirements) {
        merged.retain(|other| other.kind != resource.kind);
        merged.push(resource.clone());
    }
    merged
}

/// What lets a submission through on AWS and fails its children when they would start.
fn unfit(
    overrides: &ContainerOverrides,
    tags: &BTreeMap<String, String>,
    defined: &BTreeMap<String, String>,
) -> Option<String> {
    let length = serde_json::to_string(overrides).map_or(0, |text| text.chars().count());
    if length > MAX_OVERRIDES {
        return Some(UNFIT_OVERRIDES.to_owned());
    }
    let names = tags.len() + defined.keys().filter(|name| !tags.contains_key(*name)).count();
    (names > 50).then(|| UNFIT_TAGS.to_owned())
}
