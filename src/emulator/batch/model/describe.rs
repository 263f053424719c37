//! DescribeJobs.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::api::{ConsumableProperties, ConsumableRequirement, DescribeJobs, RegisterJobDefinition, RetryStrategy};
use super::job::{Attempt, Child, Job, Status};
use super::reply::{ArrayDetail, AttemptContainer, AttemptDetail, ContainerDetail, JobDetail, JobDetails};
use super::{Model, Refusal, ids};

const MAX_IDS: usize = 100;
const CHILD_FAILED: &str = "Array Child Job failed";

impl Model {
    /// DescribeJobs: parents, children and plain jobs by id; what is unknown is left out.
    ///
    /// # Errors
    /// No id, or more than 100.
    pub fn describe_jobs(&self, request: &DescribeJobs) -> Result<JobDetails, Refusal> {
        if request.jobs.is_empty() || request.jobs.len() > MAX_IDS {
            return Err(Refusal(format!("jobs must hold 1 to {MAX_IDS} job IDs, but holds {}", request.jobs.len())));
        }
        let found = request.jobs.iter().filter_map(|id| self.find(id));
        Ok(JobDetails { jobs: found.map(|(key, child)| self.detail(key, child)).collect() })
    }

    fn detail(&self, key: u32, child: Option<u32>) -> JobDetail {
        let job = &self.jobs[&key];
        let view = self.summary_told(key, child, self.view(key, child));
        let (name, revision) = &job.definition;
        let attempts = view.child.map_or_else(Vec::new, |(index, record)| self.attempts(job, index, record));
        let last = view.child.map(|(index, record)| (index, u32::from(record.attempt), &record.last));
        JobDetail {
            job_arn: ids::arn("job", &view.id),
            job_name: job.name.clone(),
            job_id: view.id,
            job_queue: ids::arn("job-queue", &job.queue),
            job_definition: ids::arn("job-definition", &format!("{name}:{revision}")),
            status: view.status,
            status_reason: view.reason,
            share_identifier: (!job.share.is_empty()).then(|| job.share.clone()),
            scheduling_priority: job.priority,
            created_at: job.created_at,
            started_at: view.started_at,
            stopped_at: view.stopped_at,
            attempts,
            retry_strategy: RetryStrategy { attempts: Some(job.retry.attempts.unwrap_or(1)), ..job.retry.clone() },
            timeout: job.timeout_ms.map(|ms| json!({"attemptDurationSeconds": ms / 1000})),
            depends_on: job.depends_on.clone(),
            parameters: job.parameters.clone(),
            container: self.container_detail(job, last),
            ecs_properties: job.is_task.then(|| self.task_detail(job, last)),
            array_properties: view.array,
            tags: job.tags.clone(),
            propagate_tags: job.propagate_tags,
            platform_capabilities: job.platforms.clone(),
            is_cancelled: view.cancelled,
            is_terminated: view.terminated,
            consumable_resource_properties: consumables(job),
        }
    }

    fn attempts(&self, job: &Job, index: u32, child: &Child) -> Vec<AttemptDetail> {
        let earlier = job.earlier.get(&index).map_or(&[][..], Vec::as_slice);
        let ended = child.attempt > 0 && child.last.stopped_at > 0;
        let last = ended.then_some(&child.last);
        (1..)
            .zip(earlier.iter().chain(last))
            .map(|(number, attempt)| AttemptDetail {
                started_at: time(attempt.started_at),
                stopped_at: attempt.stopped_at,
                status_reason: self.texts.owned(attempt.status_reason),
                container: match job.is_task {
                    true => AttemptContainer::default(),
                    false => self.attempt_container(job, 0, index, number, attempt),
                },
                task_properties: job.is_task.then(|| vec![self.attempt_task(job, index, number, attempt)]),
            })
            .collect()
    }

    /// What the attempt left of each container of its task.
    fn attempt_task(&self, job: &Job, index: u32, number: u32, attempt: &Attempt) -> Value {
        let containers: Vec<Value> = (0..job.containers.len())
            .map(|place| {
                let mut left = self.attempt_container(job, place, index, number, attempt);
                left.task_arn = None;
                with(json!({"name": job.containers[place].name, "networkInterfaces": []}), &left)
            })
            .collect();
        json!({"taskArn": ids::task_arn(&ids::task_id(&job.id, index, number)), "containers": containers})
    }

    /// What an attempt left of the container at `place`. Where that is not known of each, what it left as a whole.
    fn attempt_container(
        &self,
        job: &Job,
        place: usize,
        index: u32,
        number: u32,
        attempt: &Attempt,
    ) -> AttemptContainer {
        let parts = job.parts.get(&index).and_then(|attempts| attempts.get(&number));
        let part = parts.and_then(|parts| parts.get(place));
        // A container that never ran has no stream; its task there was.
        let ran = attempt.started_at > 0 && part.is_none_or(|part| part.ran);
        let (exit_code, reason) =
            part.map_or((attempt.exit_code, attempt.reason), |part| (part.exit_code, part.reason));
        let name = job.containers.get(place).map_or("default", |container| container.name.as_str());
        AttemptContainer {
            exit_code,
            reason: self.texts.owned(reason),
            log_stream_name: ran.then(|| ids::log_stream(&job.definition.0, name, &job.id, index, number)),
            task_arn: (number > 0).then(|| ids::task_arn(&ids::task_id(&job.id, index, number))),
        }
    }

    /// The definition's container with overrides applied, and what the last attempt left of it. Empty for a job of tasks.
    fn container_detail(&self, job: &Job, last: Option<(u32, u32, &Attempt)>) -> ContainerDetail {
        let Some(container) = job.containers.first().filter(|_| !job.is_task) else {
            return ContainerDetail { is_empty: true, ..ContainerDetail::default() };
        };
        let mut properties = match self.defined(job).and_then(|request| request.container_properties.as_ref()) {
            Some(Value::Object(properties)) => properties.clone(),
            _ => Map::new(),
        };
        for own in ["image", "command", "environment", "resourceRequirements", "vcpus", "memory"] {
            properties.remove(own);
        }
        for list in ["volumes", "mountPoints", "ulimits", "secrets", "networkInterfaces"] {
            properties.entry(list).or_insert_with(|| json!([]));
        }
        ContainerDetail {
            is_empty: false,
            image: container.image.clone(),
            vcpus: container.vcpus,
            memory: container.memory,
            command: container.command.clone(),
            environment: container.environment.clone(),
            resource_requirements: container.resources.clone(),
            properties,
            last: last.map_or_else(AttemptContainer::default, |(index, number, attempt)| {
                self.attempt_container(job, 0, index, number, attempt)
            }),
        }
    }

    /// `ecsProperties`: the definition's task with overrides applied, and what the last attempt left of its containers.
    fn task_detail(&self, job: &Job, last: Option<(u32, u32, &Attempt)>) -> Value {
        let defined = self.defined(job).and_then(|request| request.ecs_properties.as_ref());
        let mut task = defined.map_or_else(|| json!({}), |properties| properties["taskProperties"][0].clone());
        if let Some((index, number, _)) = last.filter(|(_, number, _)| *number > 0) {
            task["taskArn"] = json!(ids::task_arn(&ids::task_id(&job.id, index, number)));
        }
        // The revision may be gone, and its list of containers with it: 180 days after it was deregistered.
        let mut details = task["containers"].as_array().cloned().unwrap_or_default();
        details.resize_with(job.containers.len(), || json!({}));
        for (place, (container, detail)) in job.containers.iter().zip(&mut details).enumerate() {
            if let Some(image) = &container.image {
                detail["image"] = json!(image);
            }
            detail["name"] = json!(container.name);
            detail["command"] = json!(container.command);
            detail["environment"] = json!(container.environment);
            detail["resourceRequirements"] = json!(container.resources);
            detail["networkInterfaces"] = json!([]);
            if let Some((index, number, attempt)) = last {
                let mut left = self.attempt_container(job, place, index, number, attempt);
                left.task_arn = None;
                *detail = with(detail.take(), &left);
            }
        }
        task["containers"] = Value::Array(details);
        json!({"taskProperties": [task]})
    }

    /// The definition's revision a job was submitted with, active or not.
    fn defined(&self, job: &Job) -> Option<&RegisterJobDefinition> {
        let (name, revision) = &job.definition;
        self.definition(name, *revision).map(|definition| &definition.request)
    }

    /// What DescribeJobs and ListJobs both say of a job.
    pub(super) fn view(&self, key: u32, child: Option<u32>) -> View<'_> {
        let job = &self.jobs[&key];
        match child {
            None if job.is_array => self.parent_view(key, job),
            None => self.child_view(key, 0, job.id.clone(), None),
            Some(index) => {
                let array = ArrayDetail { index: Some(index), ..ArrayDetail::default() };
                self.child_view(key, index, format!("{}:{index}", job.id), Some(array))
            }
        }
    }

    fn parent_view(&self, key: u32, job: &Job) -> View<'static> {
        let status = job.status();
        let reason = match status {
            Status::Failed if job.reason.is_none() => Some(CHILD_FAILED.to_owned()),
            Status::Failed => self.texts.owned(job.reason),
            Status::Succeeded => None,
            // Its child holds the queue up: whoever follows the parent should know.
            _ => self.standstill(key, None).map(str::to_owned),
        };
        let summary: BTreeMap<Status, u32> = Status::ALL.into_iter().map(|s| (s, job.count(s))).collect();
        View {
            id: job.id.clone(),
            status,
            reason,
            started_at: time(job.started_at).filter(|_| status.is_terminal()),
            stopped_at: status.is_terminal().then_some(job.changed_at),
            cancelled: job.cancelled,
            terminated: job.terminated,
            array: Some(ArrayDetail {
                status_summary: summary,
                status_summary_last_updated_at: Some(job.changed_at),
                size: Some(job.size()),
                index: None,
            }),
            child: None,
        }
    }

    fn child_view(&self, key: u32, index: u32, id: String, array: Option<ArrayDetail>) -> View<'_> {
        let record = &self.jobs[&key].children[index as usize];
        let reason = match record.status {
            Status::Runnable => self.standstill(key, Some(index)).map(str::to_owned),
            status if status.is_terminal() || record.terminated => self.texts.owned(record.reason),
            _ => None,
        };
        View {
            id,
            status: record.status,
            reason,
            started_at: time(record.last.started_at),
            stopped_at: time(record.last.stopped_at).filter(|_| record.status.is_terminal()),
            cancelled: record.cancelled,
            terminated: record.terminated,
            array,
            child: Some((index, record)),
        }
    }
}

/// A job as its callers see it.
pub(super) struct View<'a> {
    pub(super) id: String,
    pub(super) status: Status,
    pub(super) reason: Option<String>,
    pub(super) started_at: Option<u64>,
    pub(super) stopped_at: Option<u64>,
    pub(super) cancelled: bool,
    pub(super) terminated: bool,
    pub(super) array: Option<ArrayDetail>,
    /// Absent for an array's parent.
    pub(super) child: Option<(u32, &'a Child)>,
}

fn time(ms: u64) -> Option<u64> {
    (ms > 0).then_some(ms)
}

/// What each child of a job takes.
pub(super) fn consumables(job: &Job) -> Option<ConsumableProperties> {
    let list = job.consumables.iter().map(|(name, quantity)| ConsumableRequirement {
        consumable_resource: ids::arn("consumable-resource", name),
        quantity: i64::try_from(*quantity).ok(),
    });
    let consumable_resource_list: Vec<ConsumableRequirement> = list.collect();
    (!consumable_resource_list.is_empty()).then_some(ConsumableProperties { consumable_resource_list })
}

/// An object with more fields.
fn with(mut object: Value, more: &impl Serialize) -> Value {
    if let (Some(fields), Ok(Value::Object(more))) = (object.as_object_mut(), serde_json::to_value(more)) {
        fields.extend(more);
    }
    object
}
