//! DescribeJobs.

use std::collections::BTreeMap;

use serde_json::json;

use super::api::{DescribeJobs, RetryStrategy};
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
        let view = self.view(key, child);
        let (name, revision) = &job.definition;
        let attempts = view.child.map_or_else(Vec::new, |(index, record)| self.attempts(job, index, record));
        let last = view.child.map_or_else(AttemptContainer::default, |(index, record)| {
            self.attempt_container(job, index, u32::from(record.attempt), &record.last)
        });
        JobDetail {
            job_arn: ids::arn("job", &view.id),
            job_name: job.name.clone(),
            job_id: view.id,
            job_queue: ids::arn("job-queue", &job.queue),
            job_definition: ids::arn("job-definition", &format!("{name}:{revision}")),
            status: view.status,
            status_reason: view.reason,
            created_at: job.created_at,
            started_at: view.started_at,
            stopped_at: view.stopped_at,
            attempts,
            retry_strategy: RetryStrategy { attempts: Some(job.retry.attempts.unwrap_or(1)), ..job.retry.clone() },
            timeout: job.timeout_ms.map(|ms| json!({"attemptDurationSeconds": ms / 1000})),
            depends_on: Vec::new(),
            parameters: job.parameters.clone(),
            container: ContainerDetail {
                image: job.image.clone(),
                command: job.command.clone(),
                environment: job.environment.clone(),
                resource_requirements: job.resources.clone(),
                last,
            },
            array_properties: view.array,
            tags: job.tags.clone(),
            propagate_tags: job.propagate_tags,
            platform_capabilities: job.platforms.clone(),
            is_cancelled: view.cancelled,
            is_terminated: view.terminated,
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
                container: self.attempt_container(job, index, number, attempt),
            })
            .collect()
    }

    fn attempt_container(&self, job: &Job, index: u32, number: u32, attempt: &Attempt) -> AttemptContainer {
        // A container that never ran has neither stream nor task.
        let ran = attempt.started_at > 0;
        AttemptContainer {
            exit_code: attempt.exit_code,
            reason: self.texts.owned(attempt.reason),
            log_stream_name: ran.then(|| ids::log_stream(&job.definition.0, &job.id, index, number)),
            task_arn: ran.then(|| ids::task_arn(&ids::task_id(&job.id, index, number))),
        }
    }

    /// What DescribeJobs and ListJobs both say of a job.
    pub(super) fn view(&self, key: u32, child: Option<u32>) -> View<'_> {
        let job = &self.jobs[&key];
        match child {
            None if job.is_array => self.parent_view(job),
            None => self.child_view(job, 0, job.id.clone(), None),
            Some(index) => {
                let array = ArrayDetail { index: Some(index), ..ArrayDetail::default() };
                self.child_view(job, index, format!("{}:{index}", job.id), Some(array))
            }
        }
    }

    fn parent_view(&self, job: &Job) -> View<'static> {
        let status = job.status();
        let reason = match status {
            Status::Failed if job.reason.is_none() => Some(CHILD_FAILED.to_owned()),
            Status::Failed => self.texts.owned(job.reason),
            _ => None,
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

    fn child_view<'a>(&self, job: &'a Job, index: u32, id: String, array: Option<ArrayDetail>) -> View<'a> {
        let record = &job.children[index as usize];
        View {
            id,
            status: record.status,
            reason: self.texts.owned(record.reason).filter(|_| record.status.is_terminal() || record.terminated),
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
