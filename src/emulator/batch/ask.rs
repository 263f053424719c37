//! The port's questions in the model's terms, and the model's answers in the port's: what [`super::port`] does around its
//! service, and a simulation around a model of its own.

mod task;

use serde_json::{Value, json};

use super::model::api::{
    ArrayProperties, ContainerOverrides, DescribeComputeEnvironments, DescribeJobDefinitions, DescribeJobQueues,
    DescribeJobs, EvaluateOnExit, Filter, JobTimeout, KeyValue, ListJobs, RegisterJobDefinition, RetryStrategy,
    StopJob, SubmitJob,
};
use super::model::{Input, Model, Refusal, Status, reply};
use crate::aws::about;
use crate::aws::batch::{
    AttemptDetail, BatchError, Definition, EnvironmentDetail, JobDetail, JobPage, JobStatus, JobSummary, PLACEHOLDER,
    QueueDetail, RetryRule, SubmitRequest,
};

/// What the SDK's adapter makes of the face's answer to a refused request `about` something.
pub fn refused(operation: &'static str, about: &str, refusal: &Refusal) -> BatchError {
    let message = format!("{refusal} [{about}]");
    BatchError::Refused { operation, code: "ClientException".to_owned(), message }
}

/// SubmitJob.
pub fn submit(request: &SubmitRequest) -> Input {
    Input::Submit(Box::new(submission(request)))
}

/// TerminateJob.
pub fn terminate(id: &str, reason: &str) -> Input {
    Input::Terminate(StopJob { job_id: id.to_owned(), reason: reason.to_owned() })
}

/// RegisterJobDefinition.
pub fn register(definition: &Definition) -> Input {
    Input::Register(Box::new(registration(definition)))
}

/// DescribeJobs.
///
/// # Errors
/// What the model refuses.
pub fn describe(model: &Model, ids: &[String]) -> Result<Vec<JobDetail>, BatchError> {
    let found = model.describe_jobs(&DescribeJobs { jobs: ids.to_vec() });
    let found = found.map_err(|refusal| refused("DescribeJobs", &about::jobs(ids), &refusal))?;
    Ok(found.jobs.into_iter().map(detail).collect())
}

/// ListJobs of an array's children.
///
/// # Errors
/// What the model refuses.
pub fn list_children(
    model: &Model,
    parent: &str,
    status: JobStatus,
    token: Option<&str>,
) -> Result<JobPage, BatchError> {
    let request = ListJobs {
        array_job_id: Some(parent.to_owned()),
        job_status: Some(model_status(status).name().to_owned()),
        next_token: token.map(str::to_owned),
        ..ListJobs::default()
    };
    model.list_jobs(&request).map(page).map_err(|refusal| refused("ListJobs", &about::children(parent), &refusal))
}

/// ListJobs of a queue's jobs by name.
///
/// # Errors
/// What the model refuses.
pub fn list_named(model: &Model, queue: &str, name: &str, token: Option<&str>) -> Result<JobPage, BatchError> {
    let request = ListJobs {
        job_queue: Some(queue.to_owned()),
        filters: vec![Filter { name: "JOB_NAME".to_owned(), values: vec![name.to_owned()] }],
        next_token: token.map(str::to_owned),
        ..ListJobs::default()
    };
    let list = model.list_jobs(&request);
    let list = list.map_err(|refusal| refused("ListJobs", &about::named(queue, name), &refusal))?;
    Ok(page(list).named(name))
}

/// The ARN of a definition's newest active revision.
///
/// # Errors
/// What the model refuses.
pub fn find_definition(model: &Model, name: &str) -> Result<Option<String>, BatchError> {
    let mut request = DescribeJobDefinitions {
        job_definition_name: Some(name.to_owned()),
        status: Some("ACTIVE".to_owned()),
        ..DescribeJobDefinitions::default()
    };
    let mut newest: Option<(u64, String)> = None;
    loop {
        let page = model.describe_job_definitions(&request);
        let page = page.map_err(|refusal| refused("DescribeJobDefinitions", &about::definition(name), &refusal))?;
        let found = page.job_definitions.iter().filter_map(|definition| {
            Some((definition["revision"].as_u64()?, definition["jobDefinitionArn"].as_str()?.to_owned()))
        });
        newest = found.chain(newest).max();
        request.next_token = page.next_token;
        if request.next_token.is_none() {
            return Ok(newest.map(|(_, arn)| arn));
        }
    }
}

/// DescribeJobQueues.
///
/// # Errors
/// What the model refuses.
pub fn queues(model: &Model, names: &[String]) -> Result<Vec<QueueDetail>, BatchError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let request = DescribeJobQueues { job_queues: names.to_vec(), ..DescribeJobQueues::default() };
    let found = model.describe_job_queues(&request);
    let found = found.map_err(|refusal| refused("DescribeJobQueues", &about::queues(names), &refusal))?;
    Ok(list(&found["jobQueues"]).map(queue).collect())
}

/// DescribeComputeEnvironments.
///
/// # Errors
/// What the model refuses.
pub fn environments(model: &Model, names: &[String]) -> Result<Vec<EnvironmentDetail>, BatchError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let request =
        DescribeComputeEnvironments { compute_environments: names.to_vec(), ..DescribeComputeEnvironments::default() };
    let found = model.describe_compute_environments(&request);
    let about = about::environments(names);
    let found = found.map_err(|refusal| refused("DescribeComputeEnvironments", &about, &refusal))?;
    Ok(list(&found["computeEnvironments"]).map(environment).collect())
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A queue as the model tells it, its environments in order already.
fn queue(told: &Value) -> QueueDetail {
    QueueDetail {
        name: text(&told["jobQueueName"]),
        arn: text(&told["jobQueueArn"]),
        state: text(&told["state"]),
        status: text(&told["status"]),
        status_reason: told["statusReason"].as_str().map(str::to_owned),
        environments: list(&told["computeEnvironmentOrder"]).map(|entry| text(&entry["computeEnvironment"])).collect(),
    }
}

fn environment(told: &Value) -> EnvironmentDetail {
    let resources = &told["computeResources"];
    EnvironmentDetail {
        name: text(&told["computeEnvironmentName"]),
        arn: text(&told["computeEnvironmentArn"]),
        state: text(&told["state"]),
        status: text(&told["status"]),
        status_reason: told["statusReason"].as_str().map(str::to_owned),
        kind: text(&resources["type"]),
        max_vcpus: resources["maxvCpus"].as_u64().and_then(|most| u32::try_from(most).ok()),
        instance_types: list(&resources["instanceTypes"]).map(text).collect(),
    }
}

fn submission(request: &SubmitRequest) -> SubmitJob {
    let array = ArrayProperties { size: Some(i64::from(request.size)) };
    let environment = request.environment.iter();
    let environment: Vec<KeyValue> =
        environment.map(|(name, value)| KeyValue { name: name.clone(), value: value.clone() }).collect();
    let command = Some(request.command.clone());
    let retry = RetryStrategy {
        attempts: Some(i64::from(request.attempts)),
        evaluate_on_exit: request.retry_rules.iter().map(rule).collect(),
    };
    let timeout = |seconds| JobTimeout { attempt_duration_seconds: Some(i64::from(seconds)) };
    SubmitJob {
        job_name: request.name.clone(),
        job_queue: request.queue.clone(),
        job_definition: request.definition.clone(),
        // An array of one is refused by Batch: it is a plain job.
        array_properties: (request.size != 1).then_some(array),
        ecs_properties_override: task::overrides(request, environment.clone()),
        container_overrides: request.container.is_none().then(|| ContainerOverrides {
            command,
            environment,
            ..ContainerOverrides::default()
        }),
        retry_strategy: Some(retry),
        timeout: request.timeout_seconds.map(timeout),
        tags: request.tags.clone(),
        propagate_tags: request.propagate_tags.then_some(true),
        scheduling_priority_override: request.scheduling_priority.map(i64::from),
        ..SubmitJob::default()
    }
}

fn rule(rule: &RetryRule) -> EvaluateOnExit {
    EvaluateOnExit {
        on_status_reason: rule.on_status_reason.clone(),
        on_reason: rule.on_reason.clone(),
        on_exit_code: rule.on_exit_code.clone(),
        action: if rule.retry { "RETRY" } else { "EXIT" }.to_owned(),
    }
}

fn registration(definition: &Definition) -> RegisterJobDefinition {
    let ecs_properties = task::properties(definition);
    RegisterJobDefinition {
        job_definition_name: definition.name.clone(),
        kind: "container".to_owned(),
        platform_capabilities: vec![definition.platform.clone()],
        container_properties: ecs_properties.is_none().then(|| container(definition)),
        ecs_properties,
        ..RegisterJobDefinition::default()
    }
}

/// What a definition runs, where it has one container.
fn container(definition: &Definition) -> Value {
    let mut container = json!({
        "image": definition.image,
        "command": [PLACEHOLDER],
        "resourceRequirements": requirements(definition),
    });
    let mut set = |field: &str, value: Option<Value>| {
        if let Some(value) = value {
            container[field] = value;
        }
    };
    set("jobRoleArn", definition.job_role.as_ref().map(|role| json!(role)));
    set("executionRoleArn", definition.execution_role.as_ref().map(|role| json!(role)));
    set("logConfiguration", log(definition));
    set("networkConfiguration", address(definition));
    set("secrets", secrets(definition));
    set("linuxParameters", parameters(definition));
    let arm = || json!({"operatingSystemFamily": "LINUX", "cpuArchitecture": "ARM64"});
    set("runtimePlatform", definition.arm64.then(arm));
    container
}

fn log(definition: &Definition) -> Option<Value> {
    let log = |group: &String| json!({"logDriver": "awslogs", "options": {"awslogs-group": group}});
    definition.log_group.as_ref().map(log)
}

fn address(definition: &Definition) -> Option<Value> {
    let address = if definition.assign_public_ip { "ENABLED" } else { "DISABLED" };
    (definition.platform == "FARGATE").then(|| json!({ "assignPublicIp": address }))
}

fn secrets(definition: &Definition) -> Option<Value> {
    let secret = |(name, arn)| json!({"name": name, "valueFrom": arn});
    let secrets: Vec<Value> = definition.secrets.iter().map(secret).collect();
    (!secrets.is_empty()).then_some(json!(secrets))
}

fn parameters(definition: &Definition) -> Option<Value> {
    let shared = definition.shared_memory_mib;
    (shared > 0).then(|| json!({"sharedMemorySize": shared}))
}

fn requirements(definition: &Definition) -> Vec<Value> {
    let mut all = vec![
        json!({"type": "VCPU", "value": definition.vcpus}),
        json!({"type": "MEMORY", "value": definition.memory_mib.to_string()}),
    ];
    if definition.gpus > 0 {
        all.push(json!({"type": "GPU", "value": definition.gpus.to_string()}));
    }
    all
}

fn detail(job: reply::JobDetail) -> JobDetail {
    let main = job.ecs_properties.as_ref().and_then(task::essential);
    let name = main.and_then(|container| container["name"].as_str());
    let attempts: Vec<AttemptDetail> = job.attempts.into_iter().map(|ended| attempt(ended, name)).collect();
    let current = match main {
        Some(container) => container["logStreamName"].as_str().map(str::to_owned),
        None => job.container.last.log_stream_name,
    };
    let last = attempts.iter().rev().find_map(|attempt| attempt.log_stream.clone());
    let summary = job.array_properties.map(|array| array.status_summary).unwrap_or_default();
    JobDetail {
        id: job.job_id,
        name: job.job_name,
        status: port_status(job.status),
        status_reason: job.status_reason,
        summary: summary.into_iter().map(|(status, count)| (port_status(status), count)).collect(),
        log_stream: current.or(last),
        attempts,
        cancelled: job.is_cancelled,
        terminated: job.is_terminated,
    }
}

/// An attempt: its `container`, or of a task the container called `main`.
fn attempt(ended: reply::AttemptDetail, main: Option<&str>) -> AttemptDetail {
    let of_task = ended.task_properties.and_then(|tasks| task::attempt(&tasks, main));
    let left = of_task.unwrap_or_else(|| AttemptDetail {
        exit_code: ended.container.exit_code,
        reason: ended.container.reason,
        log_stream: ended.container.log_stream_name,
        ..AttemptDetail::default()
    });
    AttemptDetail { status_reason: ended.status_reason, ..left }
}

fn page(list: reply::JobList) -> JobPage {
    let jobs = list.job_summary_list.into_iter().map(|job| {
        let container = job.container.unwrap_or_default();
        JobSummary {
            id: job.job_id,
            name: job.job_name,
            status: port_status(job.status),
            status_reason: job.status_reason,
            exit_code: container.exit_code,
            reason: container.reason,
            cancelled: job.is_cancelled,
            terminated: job.is_terminated,
        }
    });
    JobPage { jobs: jobs.collect(), next: list.next_token }
}

/// The two enumerations of the seven states, side by side.
const STATES: [(Status, JobStatus); 7] = [
    (Status::Submitted, JobStatus::Submitted),
    (Status::Pending, JobStatus::Pending),
    (Status::Runnable, JobStatus::Runnable),
    (Status::Starting, JobStatus::Starting),
    (Status::Running, JobStatus::Running),
    (Status::Succeeded, JobStatus::Succeeded),
    (Status::Failed, JobStatus::Failed),
];

fn port_status(status: Status) -> JobStatus {
    STATES[status as usize].1
}

fn model_status(status: JobStatus) -> Status {
    STATES[status as usize].0
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn states_stand_in_the_order_of_both_enumerations() {
        for (place, (status, port)) in STATES.into_iter().enumerate() {
            assert_eq!((status as usize, port as usize), (place, place));
            assert_eq!(json!(status), json!(port));
        }
    }

    #[test]
    fn nothing_of_a_request_is_left_out() {
        let request = SubmitRequest {
            name: "n".to_owned(),
            queue: "q".to_owned(),
            definition: "d".to_owned(),
            size: 1,
            command: vec!["true".to_owned()],
            environment: BTreeMap::new(),
            container: None,
            attempts: 1,
            retry_rules: Vec::new(),
            timeout_seconds: None,
            tags: BTreeMap::from([("team".to_owned(), "a".to_owned())]),
            propagate_tags: true,
            scheduling_priority: Some(7),
        };
        let submitted = submission(&request);
        assert_eq!((submitted.propagate_tags, submitted.scheduling_priority_override), (Some(true), Some(7)));
        assert_eq!(submitted.tags, request.tags);
        let definition = Definition {
            name: "d".to_owned(),
            image: "i".to_owned(),
            platform: "EC2".to_owned(),
            vcpus: "1".to_owned(),
            memory_mib: 128,
            gpus: 2,
            job_role: None,
            execution_role: None,
            log_group: None,
            assign_public_ip: false,
            secrets: BTreeMap::from([("S".to_owned(), "arn".to_owned())]),
            shared_memory_mib: 64,
            arm64: true,
            injection: None,
        };
        let container = registration(&definition).container_properties.unwrap();
        assert_eq!(container["secrets"], json!([{"name": "S", "valueFrom": "arn"}]));
        assert_eq!(container["resourceRequirements"][2], json!({"type": "GPU", "value": "2"}));
        assert_eq!(container["linuxParameters"], json!({"sharedMemorySize": 64}));
        assert_eq!(container["runtimePlatform"]["cpuArchitecture"], json!("ARM64"));
    }
}
