//! ListJobsByConsumableResource.

use super::api::{Filter, ListJobsByConsumableResource};
use super::describe::consumables;
use super::job::{Job, Status};
use super::list::{is_named, page};
use super::reply::{ConsumingJob, ConsumingJobs};
use super::{Model, Refusal, ids, token};

const PAGE: usize = 100;

impl Model {
    /// ListJobsByConsumableResource: parents and plain jobs, the newest first; they must pass every filter.
    ///
    /// # Errors
    /// An unknown resource, filter or status, a token that is not ours.
    pub fn list_jobs_by_consumable_resource(
        &self,
        request: &ListJobsByConsumableResource,
    ) -> Result<ConsumingJobs, Refusal> {
        let name = ids::name_of("consumable-resource", &request.consumable_resource);
        if !self.consumables.contains_key(name) {
            return Err(Refusal(format!("Consumable resource {} does not exist", request.consumable_resource)));
        }
        request.filters.iter().try_for_each(check)?;
        let page = page(request.max_results, PAGE)?;
        let scope = format!("ListJobsByConsumableResource/{name}");
        let before = request.next_token.as_ref().map_or(Ok(u32::MAX), |token| token::decode(&scope, token))?;
        let mut matching = self.jobs.range(..before).rev().filter_map(|(key, job)| {
            let (_, quantity) = job.consumables.iter().find(|(other, _)| other == name)?;
            request.filters.iter().all(|filter| keeps(filter, job)).then_some((*key, *quantity))
        });
        let found: Vec<(u32, u64)> = matching.by_ref().take(page).collect();
        let next_token = matching.next().and(found.last()).map(|(last, _)| token::encode(&scope, *last));
        let jobs = found.into_iter().map(|(key, quantity)| self.consuming(key, quantity)).collect();
        Ok(ConsumingJobs { jobs, next_token })
    }

    fn consuming(&self, key: u32, quantity: u64) -> ConsumingJob {
        let job = &self.jobs[&key];
        let view = self.view(key, None);
        let (name, revision) = &job.definition;
        ConsumingJob {
            job_arn: ids::arn("job", &job.id),
            job_queue_arn: ids::arn("job-queue", &job.queue),
            job_name: job.name.clone(),
            job_definition_arn: ids::arn("job-definition", &format!("{name}:{revision}")),
            share_identifier: (!job.share.is_empty()).then(|| job.share.clone()),
            job_status: view.status,
            quantity,
            status_reason: view.reason,
            started_at: view.started_at,
            created_at: job.created_at,
            consumable_resource_properties: consumables(job).unwrap_or_default(),
        }
    }
}

fn check(filter: &Filter) -> Result<(), Refusal> {
    match filter.name.as_str() {
        "JOB_NAME" => Ok(()),
        "JOB_STATUS" => match filter.values.iter().find(|value| Status::parse(value).is_none()) {
            Some(wrong) => Err(Refusal(format!("filter JOB_STATUS '{wrong}' is no job status"))),
            None => Ok(()),
        },
        other => Err(Refusal(format!("filter name '{other}' is not valid: use JOB_STATUS or JOB_NAME"))),
    }
}

fn keeps(filter: &Filter, job: &Job) -> bool {
    match filter.name.as_str() {
        "JOB_STATUS" => filter.values.iter().any(|value| Status::parse(value) == Some(job.status())),
        _ => filter.values.iter().any(|value| is_named(value, &job.name)),
    }
}
