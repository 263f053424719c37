//! AWS Batch on the AWS SDK.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_batch::config::timeout::TimeoutConfig;
use aws_sdk_batch::error::SdkError;
use aws_sdk_batch::types;

use super::counts::{Call, Counts};
use super::fault::Fault;
use super::{jobs, places, task};
use crate::aws::about;
use crate::aws::batch::{
    Batch, BatchError, Definition, EnvironmentDetail, JobDetail, JobPage, JobStatus, QueueDetail, SubmitRequest,
};

/// How long SubmitJob may take, all told. Nothing is known about a call that is given up, so this must be long enough
/// for any call that will still be answered, and bounded, because a caller that hangs cannot look the job up. AWS
/// answers in less than a second; 30 seconds is where its own front end gives up.
const SUBMIT_TIMEOUT: Duration = Duration::from_secs(30);

/// Children in a page of ListJobs: the API's most with a status and no filter.
const CHILDREN_PAGE: i32 = 1000;

/// Jobs in a page of ListJobs with a filter: the API's most.
const NAMED_PAGE: i32 = 100;

/// The [`Batch`] port on aws-sdk-batch. Each call is one request: [`crate::aws::pacing`] makes it again.
pub(super) struct SdkBatch {
    client: aws_sdk_batch::Client,
    counts: Counts,
    /// Of the configuration, as the queue is: the same for all that is submitted.
    share_identifier: Option<String>,
}

impl SdkBatch {
    pub(super) fn new(config: aws_sdk_batch::Config, counts: Counts, share_identifier: Option<String>) -> Self {
        SdkBatch { client: aws_sdk_batch::Client::from_conf(config), counts, share_identifier }
    }
}

/// Reads a failed call.
fn told<E>(operation: &'static str, resource: &str, error: &SdkError<E>, call: &Call) -> BatchError
where
    E: aws_sdk_batch::error::ProvideErrorMetadata + std::error::Error + 'static,
{
    Fault::read(error, call).into_batch(operation, resource)
}

/// An answer that lacks what it must hold.
fn hollow(operation: &'static str, what: &str) -> BatchError {
    BatchError::Unknown { operation, message: format!("the answer holds no {what}") }
}

#[async_trait]
impl Batch for SdkBatch {
    async fn submit(&self, request: &SubmitRequest) -> Result<String, BatchError> {
        const OPERATION: &str = "SubmitJob";
        let call = self.counts.call(OPERATION);
        let size = i32::try_from(request.size).unwrap_or(i32::MAX);
        // An array of one is refused by Batch: it is a plain job.
        let array = (size != 1).then(|| types::ArrayProperties::builder().size(size).build());
        let timeout = request.timeout_seconds.map(jobs::timeout);
        let bounded = aws_sdk_batch::config::Builder::new()
            .timeout_config(TimeoutConfig::builder().operation_timeout(SUBMIT_TIMEOUT).build());
        let operation = self
            .client
            .submit_job()
            .job_name(&request.name)
            .job_queue(&request.queue)
            .job_definition(&request.definition)
            .set_array_properties(array)
            .set_container_overrides(jobs::overrides(request))
            .set_ecs_properties_override(task::overrides(request))
            .retry_strategy(jobs::retry_strategy(request))
            .set_timeout(timeout)
            .set_tags((!request.tags.is_empty()).then(|| request.tags.clone().into_iter().collect()))
            .set_propagate_tags(request.propagate_tags.then_some(true))
            .set_share_identifier(self.share_identifier.clone())
            .set_scheduling_priority_override(request.scheduling_priority.and_then(|it| i32::try_from(it).ok()))
            .customize()
            .config_override(bounded)
            .interceptor(call.clone());
        let resource = about::submission(request);
        let sent = operation.send().await.map_err(|error| told(OPERATION, &resource, &error, &call))?;
        sent.job_id.filter(|id| !id.is_empty()).ok_or_else(|| hollow(OPERATION, "job id"))
    }

    async fn describe(&self, ids: &[String]) -> Result<Vec<JobDetail>, BatchError> {
        const OPERATION: &str = "DescribeJobs";
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let call = self.counts.call(OPERATION);
        let request = self.client.describe_jobs().set_jobs(Some(ids.to_vec())).customize().interceptor(call.clone());
        let sent = request.send().await.map_err(|error| told(OPERATION, &about::jobs(ids), &error, &call))?;
        sent.jobs.unwrap_or_default().into_iter().map(|job| jobs::detail(job, OPERATION)).collect()
    }

    async fn list_children(&self, parent: &str, status: JobStatus, token: Option<&str>) -> Result<JobPage, BatchError> {
        const OPERATION: &str = "ListJobs";
        let call = self.counts.call(OPERATION);
        let request = self
            .client
            .list_jobs()
            .array_job_id(parent)
            .job_status(jobs::status_to_sdk(status))
            .max_results(CHILDREN_PAGE)
            .set_next_token(token.map(str::to_owned))
            .customize()
            .interceptor(call.clone());
        let resource = about::children(parent);
        let page = request.send().await.map_err(|error| told(OPERATION, &resource, &error, &call))?;
        jobs::page(page.job_summary_list, page.next_token, OPERATION)
    }

    async fn list_named(&self, queue: &str, name: &str, token: Option<&str>) -> Result<JobPage, BatchError> {
        const OPERATION: &str = "ListJobs";
        let call = self.counts.call(OPERATION);
        let request = self
            .client
            .list_jobs()
            .job_queue(queue)
            .filters(types::KeyValuesPair::builder().name("JOB_NAME").values(name).build())
            .max_results(NAMED_PAGE)
            .set_next_token(token.map(str::to_owned))
            .customize()
            .interceptor(call.clone());
        let resource = about::named(queue, name);
        let page = request.send().await.map_err(|error| told(OPERATION, &resource, &error, &call))?;
        Ok(jobs::page(page.job_summary_list, page.next_token, OPERATION)?.named(name))
    }

    async fn terminate(&self, id: &str, reason: &str) -> Result<(), BatchError> {
        const OPERATION: &str = "TerminateJob";
        let call = self.counts.call(OPERATION);
        let request = self.client.terminate_job().job_id(id).reason(reason).customize().interceptor(call.clone());
        let sent = request.send().await;
        sent.map(drop).map_err(|error| told(OPERATION, &about::job(id), &error, &call))
    }

    async fn find_definition(&self, name: &str) -> Result<Option<String>, BatchError> {
        const OPERATION: &str = "DescribeJobDefinitions";
        let mut newest: Option<(i32, String)> = None;
        let mut token = None;
        loop {
            let call = self.counts.call(OPERATION);
            let request = self.client.describe_job_definitions().job_definition_name(name).status("ACTIVE");
            let sent = request.set_next_token(token).customize().interceptor(call.clone()).send().await;
            let page = sent.map_err(|error| told(OPERATION, &about::definition(name), &error, &call))?;
            // The order of revisions is not documented.
            for found in page.job_definitions.unwrap_or_default() {
                let revision = found.revision.unwrap_or_default();
                if let Some(arn) = found.job_definition_arn
                    && newest.as_ref().is_none_or(|(best, _)| revision > *best)
                {
                    newest = Some((revision, arn));
                }
            }
            token = page.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(newest.map(|(_, arn)| arn));
            }
        }
    }

    async fn register(&self, definition: &Definition) -> Result<String, BatchError> {
        const OPERATION: &str = "RegisterJobDefinition";
        let call = self.counts.call(OPERATION);
        let request = self
            .client
            .register_job_definition()
            .job_definition_name(&definition.name)
            .r#type(types::JobDefinitionType::Container)
            .platform_capabilities(types::PlatformCapability::from(definition.platform.as_str()))
            .set_container_properties(jobs::container(definition))
            .set_ecs_properties(task::properties(definition))
            .customize()
            .interceptor(call.clone());
        let resource = about::definition(&definition.name);
        let sent = request.send().await.map_err(|error| told(OPERATION, &resource, &error, &call))?;
        sent.job_definition_arn.filter(|arn| !arn.is_empty()).ok_or_else(|| hollow(OPERATION, "definition ARN"))
    }

    async fn queues(&self, names: &[String]) -> Result<Vec<QueueDetail>, BatchError> {
        const OPERATION: &str = "DescribeJobQueues";
        // No names would mean all that the account has.
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let call = self.counts.call(OPERATION);
        let request = self.client.describe_job_queues().set_job_queues(Some(names.to_vec()));
        let sent = request.customize().interceptor(call.clone()).send().await;
        let page = sent.map_err(|error| told(OPERATION, &about::queues(names), &error, &call))?;
        Ok(page.job_queues.unwrap_or_default().into_iter().map(places::queue).collect())
    }

    async fn environments(&self, names: &[String]) -> Result<Vec<EnvironmentDetail>, BatchError> {
        const OPERATION: &str = "DescribeComputeEnvironments";
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let call = self.counts.call(OPERATION);
        let request = self.client.describe_compute_environments().set_compute_environments(Some(names.to_vec()));
        let sent = request.customize().interceptor(call.clone()).send().await;
        let page = sent.map_err(|error| told(OPERATION, &about::environments(names), &error, &call))?;
        Ok(page.compute_environments.unwrap_or_default().into_iter().map(places::environment).collect())
    }
}
