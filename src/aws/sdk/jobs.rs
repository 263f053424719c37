//! The SDK's shapes of jobs and definitions, to and from the port's.

use aws_sdk_batch::types::{self, KeyValuePair, ResourceRequirement, ResourceType, RetryAction};

use super::task;
use crate::aws::batch::{
    AttemptDetail, BatchError, Definition, JobDetail, JobPage, JobStatus, JobSummary, PLACEHOLDER, RetryRule,
    SubmitRequest,
};

/// The port's status as the SDK's.
pub(super) fn status_to_sdk(status: JobStatus) -> types::JobStatus {
    match status {
        JobStatus::Submitted => types::JobStatus::Submitted,
        JobStatus::Pending => types::JobStatus::Pending,
        JobStatus::Runnable => types::JobStatus::Runnable,
        JobStatus::Starting => types::JobStatus::Starting,
        JobStatus::Running => types::JobStatus::Running,
        JobStatus::Succeeded => types::JobStatus::Succeeded,
        JobStatus::Failed => types::JobStatus::Failed,
    }
}

fn status_named(name: &str) -> Option<JobStatus> {
    Some(match name {
        "SUBMITTED" => JobStatus::Submitted,
        "PENDING" => JobStatus::Pending,
        "RUNNABLE" => JobStatus::Runnable,
        "STARTING" => JobStatus::Starting,
        "RUNNING" => JobStatus::Running,
        "SUCCEEDED" => JobStatus::Succeeded,
        "FAILED" => JobStatus::Failed,
        _ => return None,
    })
}

/// Reads a job's id and status, which every job has.
fn identity(
    id: Option<String>,
    status: Option<&types::JobStatus>,
    operation: &'static str,
) -> Result<(String, JobStatus), BatchError> {
    let id = id.ok_or_else(|| BatchError::Unknown { operation, message: "a job without an id".to_owned() })?;
    let name = status.map_or("", types::JobStatus::as_str);
    let status = status_named(name).ok_or_else(|| BatchError::Unknown {
        operation,
        message: format!("job {id} has the status {name:?}, which this version does not know"),
    })?;
    Ok((id, status))
}

/// A job of DescribeJobs.
pub(super) fn detail(job: types::JobDetail, operation: &'static str) -> Result<JobDetail, BatchError> {
    let (id, status) = identity(job.job_id, job.status.as_ref(), operation)?;
    let counts = job.array_properties.and_then(|array| array.status_summary).unwrap_or_default();
    let summary = counts
        .iter()
        .filter_map(|(name, count)| Some((status_named(name)?, u32::try_from(*count).unwrap_or_default())))
        .collect();
    let tasks = job.ecs_properties.and_then(|ecs| ecs.task_properties).unwrap_or_default();
    let main = task::main(&tasks);
    let attempts: Vec<AttemptDetail> = job
        .attempts
        .unwrap_or_default()
        .into_iter()
        .map(|ended| attempt(ended, main.and_then(types::TaskContainerDetails::name)))
        .collect();
    // Of a task, `container` is absent or empty.
    let current = match main {
        Some(container) => container.log_stream_name.clone(),
        None => job.container.and_then(|container| container.log_stream_name),
    };
    let log_stream = current.or_else(|| attempts.iter().rev().find_map(|attempt| attempt.log_stream.clone()));
    Ok(JobDetail {
        id,
        name: job.job_name.unwrap_or_default(),
        status,
        status_reason: job.status_reason,
        summary,
        attempts,
        log_stream,
        cancelled: job.is_cancelled.unwrap_or_default(),
        terminated: job.is_terminated.unwrap_or_default(),
    })
}

/// An attempt: its `container`, or of a job by `ecsProperties` the container called `main`.
fn attempt(ended: types::AttemptDetail, main: Option<&str>) -> AttemptDetail {
    let status_reason = ended.status_reason;
    let of_task = task::attempt(&ended.task_properties.unwrap_or_default(), main);
    let left = of_task.or_else(|| {
        let container = ended.container?;
        let (exit_code, reason, log_stream) = (container.exit_code, container.reason, container.log_stream_name);
        Some(AttemptDetail { exit_code, reason, log_stream, ..AttemptDetail::default() })
    });
    AttemptDetail { status_reason, ..left.unwrap_or_default() }
}

/// A page of ListJobs.
pub(super) fn page(
    jobs: Option<Vec<types::JobSummary>>,
    next: Option<String>,
    operation: &'static str,
) -> Result<JobPage, BatchError> {
    let jobs = jobs.unwrap_or_default().into_iter().map(|job| {
        let (id, status) = identity(job.job_id, job.status.as_ref(), operation)?;
        let (exit_code, reason) = job.container.map_or((None, None), |c| (c.exit_code, c.reason));
        Ok(JobSummary {
            id,
            name: job.job_name.unwrap_or_default(),
            status,
            status_reason: job.status_reason,
            exit_code,
            reason,
            cancelled: job.is_cancelled.unwrap_or_default(),
            terminated: job.is_terminated.unwrap_or_default(),
        })
    });
    Ok(JobPage { jobs: jobs.collect::<Result<_, BatchError>>()?, next: next.filter(|token| !token.is_empty()) })
}

/// Command and environment of a submission, where its definition has one container.
pub(super) fn overrides(request: &SubmitRequest) -> Option<types::ContainerOverrides> {
    let overrides = types::ContainerOverrides::builder()
        .set_command(Some(request.command.clone()))
        .set_environment(environment(request))
        .build();
    request.container.is_none().then_some(overrides)
}

/// The variables of a submission.
pub(super) fn environment(request: &SubmitRequest) -> Option<Vec<KeyValuePair>> {
    // No SDK builder of this shape can fail.
    let pair = |(name, value): (&String, &String)| KeyValuePair::builder().name(name).value(value).build();
    (!request.environment.is_empty()).then(|| request.environment.iter().map(pair).collect())
}

/// Attempts and `evaluateOnExit` of a submission.
pub(super) fn retry_strategy(request: &SubmitRequest) -> types::RetryStrategy {
    let rules = request.retry_rules.iter().map(rule).collect();
    types::RetryStrategy::builder()
        .attempts(i32::try_from(request.attempts).unwrap_or(i32::MAX))
        .set_evaluate_on_exit((!request.retry_rules.is_empty()).then_some(rules))
        .build()
}

fn rule(rule: &RetryRule) -> types::EvaluateOnExit {
    types::EvaluateOnExit::builder()
        .set_on_status_reason(rule.on_status_reason.clone())
        .set_on_reason(rule.on_reason.clone())
        .set_on_exit_code(rule.on_exit_code.clone())
        .action(if rule.retry { RetryAction::Retry } else { RetryAction::Exit })
        .build()
}

/// The timeout of an attempt.
pub(super) fn timeout(seconds: u32) -> types::JobTimeout {
    types::JobTimeout::builder().attempt_duration_seconds(i32::try_from(seconds).unwrap_or(i32::MAX)).build()
}

/// What a definition runs, where it has one container.
pub(super) fn container(definition: &Definition) -> Option<types::ContainerProperties> {
    if definition.injection.is_some() {
        return None;
    }
    let container = types::ContainerProperties::builder()
        .image(&definition.image)
        .command(PLACEHOLDER)
        .set_resource_requirements(Some(requirements(definition)))
        .set_job_role_arn(definition.job_role.clone())
        .set_execution_role_arn(definition.execution_role.clone())
        .set_log_configuration(log(definition))
        .set_network_configuration(network(definition))
        .set_secrets(secrets(definition))
        .set_linux_parameters(linux(definition))
        .set_runtime_platform(runtime(definition))
        .build();
    Some(container)
}

/// The address that a child gets, on Fargate.
pub(super) fn network(definition: &Definition) -> Option<types::NetworkConfiguration> {
    let ip = if definition.assign_public_ip { types::AssignPublicIp::Enabled } else { types::AssignPublicIp::Disabled };
    (definition.platform == "FARGATE").then(|| types::NetworkConfiguration::builder().assign_public_ip(ip).build())
}

/// Where a container's output goes, if not to Batch's own group.
pub(super) fn log(definition: &Definition) -> Option<types::LogConfiguration> {
    definition.log_group.as_ref().map(|group| {
        types::LogConfiguration::builder().log_driver(types::LogDriver::Awslogs).options("awslogs-group", group).build()
    })
}

pub(super) fn linux(definition: &Definition) -> Option<types::LinuxParameters> {
    let size = i32::try_from(definition.shared_memory_mib).unwrap_or(i32::MAX);
    (size > 0).then(|| types::LinuxParameters::builder().shared_memory_size(size).build())
}

pub(super) fn runtime(definition: &Definition) -> Option<types::RuntimePlatform> {
    let arm = || types::RuntimePlatform::builder().operating_system_family("LINUX").cpu_architecture("ARM64").build();
    definition.arm64.then(arm)
}

pub(super) fn secrets(definition: &Definition) -> Option<Vec<types::Secret>> {
    let secret = |(name, arn): (&String, &String)| types::Secret::builder().name(name).value_from(arn).build();
    (!definition.secrets.is_empty()).then(|| definition.secrets.iter().map(secret).collect())
}

pub(super) fn requirements(definition: &Definition) -> Vec<ResourceRequirement> {
    let mut all =
        vec![(ResourceType::Vcpu, definition.vcpus.clone()), (ResourceType::Memory, definition.memory_mib.to_string())];
    if definition.gpus > 0 {
        all.push((ResourceType::Gpu, definition.gpus.to_string()));
    }
    all.into_iter().map(|(kind, value)| ResourceRequirement::builder().r#type(kind).value(value).build()).collect()
}
