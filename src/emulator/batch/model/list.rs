//! ListJobs: jobs of a queue, or children of an array.

use super::api::{Filter, ListJobs};
use super::job::{Child, Job, Status};
use super::reply::{AttemptContainer, CapacityUsage, JobList, JobSummary};
use super::retry::glob;
use super::{Model, Refusal, ids, token};

/// The longest page without filters, and with one.
const PAGE: usize = 1000;
const FILTERED_PAGE: usize = 100;

impl Model {
    /// ListJobs: exactly one selector; RUNNING unless a status or filter is given; filters do not apply to children.
    ///
    /// # Errors
    /// Another number of selectors, an unknown queue, status or filter, a token that is not ours.
    pub fn list_jobs(&self, request: &ListJobs) -> Result<JobList, Refusal> {
        let selectors = [&request.job_queue, &request.array_job_id, &request.multi_node_job_id];
        if selectors.iter().filter(|selector| selector.is_some()).count() != 1 {
            return Err(Refusal("exactly one of jobQueue, arrayJobId and multiNodeJobId must be given".to_owned()));
        }
        let status = match request.job_status.as_deref() {
            None => Status::Running,
            Some(name) => Status::parse(name).ok_or_else(|| Refusal(format!("jobStatus '{name}' is not valid")))?,
        };
        if let Some(queue) = &request.job_queue {
            let queue = ids::name_of("job-queue", queue);
            if !self.queues.contains_key(queue) {
                return Err(Refusal(format!("Job queue {queue} does not exist")));
            }
            return match request.filters.as_slice() {
                [] => self.list_queue(request, queue, PAGE, |key, job| self.listed_status(key, job) == status),
                [filter] => {
                    let keep = matcher(filter)?;
                    // The one filter that goes together with a status.
                    let status =
                        request.job_status.as_ref().and(Some(status)).filter(|_| filter.name == "SHARE_IDENTIFIER");
                    let told = |key, job: &Job| status.is_none_or(|status| self.listed_status(key, job) == status);
                    self.list_queue(request, queue, FILTERED_PAGE, |key, job| keep(job) && told(key, job))
                }
                more => Err(Refusal(format!("only one filter can be used at a time, but {} were given", more.len()))),
            };
        }
        match request.array_job_id.as_deref().and_then(|id| self.by_id.get(id)) {
            Some(key) if self.jobs[key].is_array && self.is_listed(*key) => self.list_children(request, *key, status),
            _ => Ok(JobList::default()),
        }
    }

    /// The newest first: a token is the last job already told.
    fn list_queue(
        &self,
        request: &ListJobs,
        queue: &str,
        limit: usize,
        keep: impl Fn(u32, &Job) -> bool,
    ) -> Result<JobList, Refusal> {
        let page = page(request.max_results, limit)?;
        let scope = format!("ListJobs/queue/{queue}");
        let before = request.next_token.as_ref().map_or(Ok(u32::MAX), |token| token::decode(&scope, token))?;
        let mut matching = self
            .jobs
            .range(..before)
            .rev()
            .filter(|(key, job)| job.queue == queue && self.is_listed(**key) && keep(**key, job));
        let keys: Vec<u32> = matching.by_ref().take(page).map(|(key, _)| *key).collect();
        let next_token = matching.next().and(keys.last()).map(|last| token::encode(&scope, *last));
        Ok(JobList { job_summary_list: keys.into_iter().map(|key| self.summary(key, None)).collect(), next_token })
    }

    /// By index: a token is the first child not yet told.
    fn list_children(&self, request: &ListJobs, key: u32, status: Status) -> Result<JobList, Refusal> {
        let page = page(request.max_results, PAGE)?;
        let scope = format!("ListJobs/array/{}", self.jobs[&key].id);
        let from = request.next_token.as_ref().map_or(Ok(0), |token| token::decode(&scope, token))?;
        let children = &self.jobs[&key].children;
        let told = self.listed_children(key);
        let state = |index, child: &Child| told.as_ref().map_or(child.status, |told| told(index));
        let mut matching =
            (0..).zip(children).skip(from as usize).filter(|(index, child)| state(*index, child) == status);
        let job_summary_list = matching.by_ref().take(page).map(|(index, _)| self.summary(key, Some(index))).collect();
        let next_token = matching.next().map(|(index, _)| token::encode(&scope, index));
        Ok(JobList { job_summary_list, next_token })
    }

    fn summary(&self, key: u32, child: Option<u32>) -> JobSummary {
        let job = &self.jobs[&key];
        let view = self.listing_told(key, child, self.view(key, child));
        let (name, revision) = &job.definition;
        let container = view.child.map(|(_, record)| AttemptContainer {
            exit_code: record.last.exit_code,
            reason: self.texts.owned(record.last.reason),
            ..AttemptContainer::default()
        });
        JobSummary {
            job_arn: ids::arn("job", &view.id),
            job_id: view.id,
            job_name: job.name.clone(),
            job_definition: ids::arn("job-definition", &format!("{name}:{revision}")),
            share_identifier: (!job.share.is_empty()).then(|| job.share.clone()),
            capacity_usage: view.child.map(|_| vec![CapacityUsage::vcpus(job.need.milli_vcpus)]),
            created_at: job.created_at,
            status: view.status,
            status_reason: view.reason,
            started_at: view.started_at,
            stopped_at: view.stopped_at,
            container: container.filter(|container| *container != AttemptContainer::default()),
            array_properties: view.array,
            is_cancelled: view.cancelled,
            is_terminated: view.terminated,
        }
    }
}

/// How many a page holds.
pub(super) fn page(max_results: Option<i64>, limit: usize) -> Result<usize, Refusal> {
    match max_results {
        None => Ok(limit),
        Some(n) if n < 1 => Err(Refusal(format!("maxResults must be at least 1, but was {n}"))),
        Some(n) => Ok(usize::try_from(n).unwrap_or(limit).min(limit)),
    }
}

type Keep<'a> = Box<dyn Fn(&Job) -> bool + 'a>;

/// What a filter keeps, checked.
fn matcher(filter: &Filter) -> Result<Keep<'_>, Refusal> {
    let values = &filter.values;
    if values.is_empty() {
        return Err(Refusal(format!("filter {} needs a value", filter.name)));
    }
    match filter.name.as_str() {
        "JOB_NAME" => Ok(Box::new(|job| values.iter().any(|value| is_named(value, &job.name)))),
        "SHARE_IDENTIFIER" => Ok(Box::new(|job| values.contains(&job.share))),
        "JOB_DEFINITION" => Ok(Box::new(|job| {
            let (name, revision) = &job.definition;
            values.iter().any(|value| match value.starts_with("arn:") {
                true => *value == ids::arn("job-definition", &format!("{name}:{revision}")),
                false => glob(value, name),
            })
        })),
        "BEFORE_CREATED_AT" => millis(filter).map(|at| Box::new(move |job: &Job| job.created_at < at) as Box<_>),
        "AFTER_CREATED_AT" => millis(filter).map(|at| Box::new(move |job: &Job| job.created_at > at) as Box<_>),
        other => Err(Refusal(format!(
            "filter name '{other}' is not valid: use JOB_NAME, JOB_DEFINITION, BEFORE_CREATED_AT, AFTER_CREATED_AT or \
             SHARE_IDENTIFIER"
        ))),
    }
}

/// Whether a job's name is the one wanted, or begins with it when it ends in `*`; in any case.
pub(super) fn is_named(wanted: &str, name: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(prefix) => name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix)),
        None => name.eq_ignore_ascii_case(wanted),
    }
}

fn millis(filter: &Filter) -> Result<u64, Refusal> {
    let value = filter.values[0].as_str();
    value.parse().map_err(|_| Refusal(format!("filter {} '{value}' is not milliseconds since 1970", filter.name)))
}
