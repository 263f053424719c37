//! ListJobs: jobs of a queue, or children of an array.

use super::api::{Filter, ListJobs};
use super::job::{Child, Job, Status};
use super::reply::{AttemptContainer, JobList, JobSummary};
use super::retry::glob;
use super::{Model, Refusal, ids};

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
                    self.list_queue(request, queue, FILTERED_PAGE, |_, job| keep(job))
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
        let page = page(request, limit)?;
        let before = token(request)?.unwrap_or(u32::MAX);
        let mut matching = self
            .jobs
            .range(..before)
            .rev()
            .filter(|(key, job)| job.queue == queue && self.is_listed(**key) && keep(**key, job));
        let keys: Vec<u32> = matching.by_ref().take(page).map(|(key, _)| *key).collect();
        let next_token = matching.next().and(keys.last()).map(u32::to_string);
        Ok(JobList { job_summary_list: keys.into_iter().map(|key| self.summary(key, None)).collect(), next_token })
    }

    /// By index: a token is the first child not yet told.
    fn list_children(&self, request: &ListJobs, key: u32, status: Status) -> Result<JobList, Refusal> {
        let page = page(request, PAGE)?;
        let from = token(request)?.unwrap_or(0) as usize;
        let children = &self.jobs[&key].children;
        let told = self.listed_children(key);
        let state = |index, child: &Child| told.as_ref().map_or(child.status, |told| told(index));
        let mut matching = (0..).zip(children).skip(from).filter(|(index, child)| state(*index, child) == status);
        let job_summary_list = matching.by_ref().take(page).map(|(index, _)| self.summary(key, Some(index))).collect();
        let next_token = matching.next().map(|(index, _)| index.to_string());
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

fn page(request: &ListJobs, limit: usize) -> Result<usize, Refusal> {
    match request.max_results {
        None => Ok(limit),
        Some(n) if n < 1 => Err(Refusal(format!("maxResults must be at least 1, but was {n}"))),
        Some(n) => Ok(usize::try_from(n).unwrap_or(limit).min(limit)),
    }
}

fn token(request: &ListJobs) -> Result<Option<u32>, Refusal> {
    let parse = |token: &String| token.parse().map_err(|_| Refusal("nextToken is not valid".to_owned()));
    request.next_token.as_ref().map(parse).transpose()
}

type Keep<'a> = Box<dyn Fn(&Job) -> bool + 'a>;

/// What a filter keeps, checked.
fn matcher(filter: &Filter) -> Result<Keep<'_>, Refusal> {
    let values = &filter.values;
    if values.is_empty() {
        return Err(Refusal(format!("filter {} needs a value", filter.name)));
    }
    match filter.name.as_str() {
        "JOB_NAME" => {
            let lower: Vec<String> = values.iter().map(|value| value.to_lowercase()).collect();
            Ok(Box::new(move |job| {
                let name = job.name.to_lowercase();
                lower.iter().any(|value| glob(value, &name))
            }))
        }
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
            "filter name '{other}' is not valid here: use JOB_NAME, JOB_DEFINITION, BEFORE_CREATED_AT or \
             AFTER_CREATED_AT"
        ))),
    }
}

fn millis(filter: &Filter) -> Result<u64, Refusal> {
    let value = filter.values[0].as_str();
    value.parse().map_err(|_| Refusal(format!("filter {} '{value}' is not milliseconds since 1970", filter.name)))
}
