//! SubmitJob: what AWS checks at once, and the job that comes of it.

use std::collections::BTreeMap;

use serde::Deserialize;

pub(super) use super::check::{check_environment, check_name, check_resources};

use super::api::{ConsumableProperties, KeyValue, RegisterJobDefinition, SubmitJob};
use super::definition::check_timeout;
use super::job::{Attempt, Child, Job, Status};
use super::places::Queue;
use super::places::page::check_range;
use super::places::tags;
use super::reply::Submitted;
use super::requirements::{amount, check_amounts};
use super::texts::Text;
use super::{Model, Refusal, container, ids, retry};

/// AWS's limit on a SubmitJob's size.
const MAX_BYTES: usize = 30 * 1024;
/// ECS's limit on a task's overrides, which Batch meets only when it starts the task.
const MAX_OVERRIDES: usize = 8192;
const MAX_CONSUMABLES: usize = 5;
const UNFIT_OVERRIDES: &str = "Container Overrides length must be at most 8192";
const UNFIT_TAGS: &str = "The combined tags of the job and its job definition must be at most 50";

impl Model {
    /// SubmitJob.
    pub(super) fn submit(&mut self, request: SubmitJob) -> Result<Submitted, Refusal> {
        let size = check(&request)?;
        let dependencies = self.dependencies(&request, size)?;
        let mut job = self.build(&request, size)?;
        self.check_shares(&job.queue, &job.share)?;
        let status = if dependencies.is_empty() { Status::Runnable } else { Status::Pending };
        let count = size.unwrap_or(1);
        job.children = vec![Child { status, ..FRESH }; count as usize];
        job.counts[status as usize] = count;

        let (key, id) = (self.next_job, job.id.clone());
        self.next_job += 1;
        self.by_id.insert(id.clone(), key);
        self.jobs.insert(key, job);
        if dependencies.is_empty() {
            self.line_up_all(key);
        } else {
            self.begin_waiting(key, &dependencies);
        }
        Ok(Submitted { job_arn: ids::arn("job", &id), job_name: request.job_name, job_id: id })
    }

    /// The queue a submission names.
    fn open_queue(&self, given: &str) -> Result<(&String, &Queue), Refusal> {
        match self.queues.get_key_value(ids::name_of("job-queue", given)) {
            None => Err(Refusal(format!("Job queue {given} does not exist"))),
            Some((_, queue)) if !queue.enabled => {
                Err(Refusal(format!("Job queue {given} is DISABLED and takes no jobs")))
            }
            Some(found) => Ok(found),
        }
    }

    /// The job of a submission, without its children.
    fn build(&self, request: &SubmitJob, size: Option<u32>) -> Result<Job, Refusal> {
        let (name, queue) = self.open_queue(&request.job_queue)?;
        check_share(request, queue)?;
        let (definition, revision) = self.active_definition(&request.job_definition)?;
        let defined = &definition.request;
        check_kind(request, defined)?;
        self.check_platform(name, queue, &defined.platform_capabilities)?;
        let mut parameters = defined.parameters.clone();
        parameters.extend(request.parameters.clone());
        let containers = container::of_job(defined, request, &parameters)?;
        check_amounts(&defined.platform_capabilities, &containers)?;
        let mut platforms = defined.platform_capabilities.clone();
        if platforms.is_empty() {
            platforms.push("EC2".to_owned());
        }
        let timeout = request.timeout.as_ref().or(defined.timeout.as_ref());
        Ok(Job {
            id: ids::job_id(&self.seed, self.next_job),
            name: request.job_name.clone(),
            queue: name.clone(),
            definition: (defined.job_definition_name.clone(), revision),
            is_array: size.is_some(),
            need: amount(&containers),
            containers,
            is_task: defined.ecs_properties.is_some(),
            parameters,
            tags: request.tags.clone(),
            propagate_tags: request.propagate_tags.or(defined.propagate_tags),
            platforms,
            retry: request.retry_strategy.clone().or_else(|| defined.retry_strategy.clone()).unwrap_or_default(),
            timeout_ms: timeout
                .and_then(|timeout| timeout.attempt_duration_seconds)
                .map(|seconds| seconds.unsigned_abs().saturating_mul(1000)),
            unfit: unfit(request, &defined.tags),
            consumables: self.consumables_of(request, defined)?,
            share: request.share_identifier.clone().unwrap_or_default(),
            priority: request.scheduling_priority_override.or(defined.scheduling_priority),
            depends_on: request.depends_on.clone(),
            waits: 0,
            each: Vec::new(),
            sequential: false,
            followed: 0,
            created_at: self.now,
            changed_at: self.now,
            started_at: 0,
            cancelled: false,
            terminated: false,
            reason: Text::NONE,
            children: Vec::new(),
            moves: 0,
            counts: [0; 7],
            earlier: BTreeMap::new(),
            parts: BTreeMap::new(),
            next_fresh: 0,
        })
    }

    /// What each child takes of consumable resources: the definition's, those that the submission names replaced.
    fn consumables_of(
        &self,
        request: &SubmitJob,
        defined: &RegisterJobDefinition,
    ) -> Result<Vec<(String, u64)>, Refusal> {
        let of_definition = defined.consumable_resource_properties.as_ref();
        let of_definition = of_definition.and_then(|value| ConsumableProperties::deserialize(value).ok());
        let overrides = request.consumable_resource_properties_override.clone();
        let mut all: Vec<(String, u64)> = Vec::new();
        let given = of_definition.into_iter().chain(overrides).flat_map(|given| given.consumable_resource_list);
        for requirement in given {
            let name = ids::name_of("consumable-resource", &requirement.consumable_resource);
            if !self.consumables.contains_key(name) {
                return Err(Refusal(format!("Consumable resource {} does not exist", requirement.consumable_resource)));
            }
            let Some(quantity) = requirement.quantity.and_then(|quantity| u64::try_from(quantity).ok()) else {
                return Err(Refusal(format!(
                    "the quantity of consumable resource {name} must be given, and at least 0"
                )));
            };
            all.retain(|(other, _)| other != name);
            all.push((name.to_owned(), quantity));
        }
        if all.len() > MAX_CONSUMABLES {
            return Err(Refusal(format!(
                "a job may use at most {MAX_CONSUMABLES} consumable resources, but uses {}",
                all.len()
            )));
        }
        Ok(all)
    }
}

/// A child that has not begun.
const FRESH: Child = Child {
    status: Status::Runnable,
    cancelled: false,
    terminated: false,
    timed_out: false,
    attempt: 0,
    reason: Text::NONE,
    environment: Text::NONE,
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
    if let Some(overrides) = &request.container_overrides {
        check_overrides("containerOverrides", overrides.command.as_deref(), &overrides.environment)?;
        check_resources("containerOverrides.resourceRequirements", &overrides.resource_requirements)?;
        for (field, value) in [("vcpus", overrides.vcpus), ("memory", overrides.memory)] {
            check_range(&format!("containerOverrides.{field}"), value, 0, i64::from(i32::MAX))?;
        }
    }
    let tasks = request.ecs_properties_override.iter().flat_map(|given| &given.task_properties);
    for overrides in tasks.flat_map(|task| &task.containers) {
        let field = "ecsPropertiesOverride.taskProperties.containers";
        check_overrides(field, overrides.command.as_deref(), &overrides.environment)?;
        check_resources(&format!("{field}.resourceRequirements"), &overrides.resource_requirements)?;
    }
    request.retry_strategy.as_ref().map_or(Ok(()), retry::check)?;
    request.timeout.as_ref().map_or(Ok(()), check_timeout)?;
    tags::check(&request.tags)?;
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

fn check_overrides(field: &str, command: Option<&[String]>, environment: &[KeyValue]) -> Result<(), Refusal> {
    if command.unwrap_or_default().iter().any(String::is_empty) {
        return Err(Refusal(format!("{field}.command must not contain an empty string")));
    }
    check_environment(&format!("{field}.environment"), environment)
}

/// A queue with a scheduling policy needs to know whose share a job is; another one has no shares.
fn check_share(request: &SubmitJob, queue: &Queue) -> Result<(), Refusal> {
    // The priority is of no effect in a queue without shares, but no error.
    check_range("schedulingPriorityOverride", request.scheduling_priority_override, 0, 9999)?;
    if queue.policy.is_none() {
        return match request.share_identifier {
            None => Ok(()),
            Some(_) => Err(Refusal(format!(
                "shareIdentifier may only be given for a job queue with a scheduling policy; {} has none",
                request.job_queue
            ))),
        };
    }
    let share = request.share_identifier.as_deref().unwrap_or_default();
    let body = share.strip_suffix('*').unwrap_or(share);
    if body.is_empty() || body.len() > 255 || !body.chars().all(|c| c.is_ascii_alphanumeric()) {
        return Err(Refusal(format!(
            "shareIdentifier must be given for job queue {}, which has a scheduling policy, and hold 1 to 255 letters and \
             digits, and an optional '*' at the end, but was '{share}'",
            request.job_queue
        )));
    }
    Ok(())
}

/// Refuses what does not run here, whatever its definition says.
fn check_kind(request: &SubmitJob, defined: &RegisterJobDefinition) -> Result<(), Refusal> {
    let multinode =
        defined.node_properties.is_some() || defined.kind == "multinode" || request.node_overrides.is_some();
    let eks = defined.eks_properties.is_some() || request.eks_properties_override.is_some();
    let kind = match (multinode, eks) {
        (true, _) => "multi-node parallel jobs",
        (_, true) => "jobs on Amazon EKS",
        _ => return Ok(()),
    };
    Err(Refusal(format!(
        "job definition {} cannot be submitted: this endpoint does not run {kind}; use containerProperties or ecsProperties",
        request.job_definition
    )))
}

/// What lets a submission through on AWS and fails its children when they would start.
fn unfit(request: &SubmitJob, defined: &BTreeMap<String, String>) -> Option<String> {
    let chars = |text: serde_json::Result<String>| text.map_or(0, |text| text.chars().count());
    let container = request.container_overrides.as_ref().map_or(0, |given| chars(serde_json::to_string(given)));
    let task = request.ecs_properties_override.as_ref().map_or(0, |given| chars(serde_json::to_string(given)));
    if container.max(task) > MAX_OVERRIDES {
        return Some(UNFIT_OVERRIDES.to_owned());
    }
    let tags = &request.tags;
    let names = tags.len() + defined.keys().filter(|name| !tags.contains_key(*name)).count();
    (names > 50).then(|| UNFIT_TAGS.to_owned())
}
