//! The answers of the Batch API, with AWS's field names. Times are milliseconds since 1970.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Map, Value};

use super::api::{ConsumableProperties, JobDependency, KeyValue, ResourceRequirement, RetryStrategy};
use super::job::Status;

/// What a change answers.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Reply {
    /// SubmitJob.
    Submitted(Submitted),
    /// RegisterJobDefinition.
    Registered(Registered),
    /// CancelJobs and TerminateJobs.
    Stopped(Stopped),
    /// What a change to places answers.
    Placed(Value),
    /// How many attempts lost their host on demand: no operation of AWS's.
    HostsLost(HostsLost),
    /// Everything that answers an empty object.
    Done {},
}

/// The answer to a loss of hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct HostsLost {
    /// Attempts.
    pub lost: usize,
}

/// SubmitJob's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Submitted {
    /// The job's ARN.
    pub job_arn: String,
    /// The name given.
    pub job_name: String,
    /// The job's id.
    pub job_id: String,
}

/// RegisterJobDefinition's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Registered {
    /// The name given.
    pub job_definition_name: String,
    /// The revision's ARN.
    pub job_definition_arn: String,
    /// From 1.
    pub revision: u32,
}

/// CancelJobs' and TerminateJobs' answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stopped {
    /// Ids whose request was accepted, known or not.
    pub successful: Vec<String>,
    /// The others.
    pub errors: Vec<NotStopped>,
}

/// A job that CancelJobs or TerminateJobs could not take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotStopped {
    /// The id given.
    pub job: String,
    /// `ValidationException`.
    pub code: &'static str,
    /// What is wrong with it.
    pub message: String,
}

/// DescribeJobs' answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JobDetails {
    /// In the order asked.
    pub jobs: Vec<JobDetail>,
}

/// A job in full.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobDetail {
    /// Its ARN.
    pub job_arn: String,
    /// Its name; a child's is its parent's.
    pub job_name: String,
    /// Its id; a child's is `<parent>:<index>`.
    pub job_id: String,
    /// The queue's ARN.
    pub job_queue: String,
    /// The definition's ARN.
    pub job_definition: String,
    /// Its state.
    pub status: Status,
    /// Why it is in that state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_reason: Option<String>,
    /// In a queue with a scheduling policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share_identifier: Option<String>,
    /// As submitted, else as defined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduling_priority: Option<i64>,
    /// When it was submitted.
    pub created_at: u64,
    /// When its (last) attempt began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<u64>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_at: Option<u64>,
    /// Attempts that have ended, oldest first.
    pub attempts: Vec<AttemptDetail>,
    /// The attempts it may have.
    pub retry_strategy: RetryStrategy,
    /// `attemptDurationSeconds`; absent without a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Value>,
    /// As submitted.
    pub depends_on: Vec<JobDependency>,
    /// The definition's, overridden by the submission's.
    pub parameters: BTreeMap<String, String>,
    /// The container of the attempt under way or of the last one; an empty object when the definition has `ecsProperties`.
    #[serde(serialize_with = "or_empty")]
    pub container: ContainerDetail,
    /// The task of the attempt under way or of the last one, when the definition has `ecsProperties`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ecs_properties: Option<Value>,
    /// Of parents and children.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub array_properties: Option<ArrayDetail>,
    /// Of the submission.
    pub tags: BTreeMap<String, String>,
    /// As submitted, else as defined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub propagate_tags: Option<bool>,
    /// `EC2` or `FARGATE`.
    pub platform_capabilities: Vec<String>,
    /// By CancelJob.
    pub is_cancelled: bool,
    /// By TerminateJob.
    pub is_terminated: bool,
    /// What each child takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumable_resource_properties: Option<ConsumableProperties>,
}

/// The array a job is the parent or a child of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ArrayDetail {
    /// A parent's children by state, all seven; empty for a child.
    pub status_summary: BTreeMap<Status, u32>,
    /// When the summary last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_summary_last_updated_at: Option<u64>,
    /// A parent's number of children.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
    /// A child's place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
}

/// An attempt that has ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptDetail {
    /// When its container ran; absent when it never did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<u64>,
    /// When it ended.
    pub stopped_at: u64,
    /// Why it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_reason: Option<String>,
    /// What its container left; empty when the definition has `ecsProperties`.
    pub container: AttemptContainer,
    /// What the containers of its task left, when the definition has `ecsProperties`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_properties: Option<Vec<Value>>,
}

/// What the container of an attempt left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptContainer {
    /// 128 + the signal when a signal ended it; absent when it never ran, or its host was lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The container's own trouble, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The stream of its output; absent when it never ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_stream_name: Option<String>,
    /// The task's ARN, from STARTING on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_arn: Option<String>,
}

/// A job's container.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerDetail {
    /// Whether there is nothing to tell.
    #[serde(skip)]
    pub is_empty: bool,
    /// The definition's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The old form of VCPU, when it was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vcpus: Option<i64>,
    /// The old form of MEMORY, when it was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<i64>,
    /// With overrides and parameters applied.
    pub command: Vec<String>,
    /// With overrides applied.
    pub environment: Vec<KeyValue>,
    /// With overrides applied.
    pub resource_requirements: Vec<ResourceRequirement>,
    /// All else that the definition says of it.
    #[serde(flatten)]
    pub properties: Map<String, Value>,
    /// What the last attempt left.
    #[serde(flatten)]
    pub last: AttemptContainer,
}

fn or_empty<S: Serializer>(container: &ContainerDetail, serializer: S) -> Result<S::Ok, S::Error> {
    match container.is_empty {
        true => serializer.serialize_map(Some(0))?.end(),
        false => container.serialize(serializer),
    }
}

/// ListJobs' answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobList {
    /// A queue's newest first, an array's by index.
    pub job_summary_list: Vec<JobSummary>,
    /// Where to go on; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// A job in short.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobSummary {
    /// Its ARN.
    pub job_arn: String,
    /// Its id.
    pub job_id: String,
    /// Its name.
    pub job_name: String,
    /// The definition's ARN.
    pub job_definition: String,
    /// In a queue with a scheduling policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share_identifier: Option<String>,
    /// What a child or plain job asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_usage: Option<Vec<CapacityUsage>>,
    /// When it was submitted.
    pub created_at: u64,
    /// Its state.
    pub status: Status,
    /// Why it is in that state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_reason: Option<String>,
    /// When its (last) attempt began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<u64>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_at: Option<u64>,
    /// `exitCode` and `reason` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<AttemptContainer>,
    /// Of parents and children.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub array_properties: Option<ArrayDetail>,
    /// By CancelJob; told when it is so.
    #[serde(skip_serializing_if = "is_false")]
    pub is_cancelled: bool,
    /// By TerminateJob; told when it is so.
    #[serde(skip_serializing_if = "is_false")]
    pub is_terminated: bool,
}

/// `serde`'s form of a question asks for a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(value: &bool) -> bool {
    !value
}

/// An amount of capacity.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CapacityUsage {
    /// `VCPU`.
    pub capacity_unit: &'static str,
    /// In that unit.
    pub quantity: f64,
}

impl CapacityUsage {
    /// So many thousandths of a vCPU.
    pub(super) fn vcpus(milli: u64) -> CapacityUsage {
        CapacityUsage { capacity_unit: "VCPU", quantity: milli as f64 / 1000.0 }
    }
}

/// GetJobQueueSnapshot's answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueSnapshot {
    /// Who starts next.
    pub front_of_queue: FrontOfQueue,
    /// What runs.
    pub queue_utilization: QueueUtilization,
}

/// The first 100 that are RUNNABLE.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FrontOfQueue {
    /// In the order they start.
    pub jobs: Vec<FrontOfQueueJob>,
    /// When this was so.
    pub last_updated_at: u64,
}

/// One that waits at the front of its queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FrontOfQueueJob {
    /// A plain job's or a child's ARN.
    pub job_arn: String,
    /// Since when it stands at this place; not before anybody last left or entered the line.
    pub earliest_time_at_position: u64,
}

/// What the jobs of a queue use.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueUtilization {
    /// Of all.
    pub total_capacity_usage: Vec<CapacityUsage>,
    /// By share, in a queue with a scheduling policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fairshare_utilization: Option<FairshareUtilization>,
    /// When this was so.
    pub last_updated_at: u64,
}

/// What the shares of a queue use.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FairshareUtilization {
    /// Shares that use anything.
    pub active_share_count: u64,
    /// The first 20, those that use most first.
    pub top_capacity_utilization: Vec<ShareUtilization>,
}

/// What a share uses.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShareUtilization {
    /// The share.
    pub share_identifier: String,
    /// What its children have.
    pub capacity_usage: Vec<CapacityUsage>,
}

/// ListJobsByConsumableResource's answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumingJobs {
    /// The newest first.
    pub jobs: Vec<ConsumingJob>,
    /// Where to go on; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// A job that needs a consumable resource.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumingJob {
    /// Its ARN.
    pub job_arn: String,
    /// Its queue's ARN.
    pub job_queue_arn: String,
    /// Its name.
    pub job_name: String,
    /// Its definition's ARN.
    pub job_definition_arn: String,
    /// In a queue with a scheduling policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share_identifier: Option<String>,
    /// Its state.
    pub job_status: Status,
    /// What each of its children takes of the resource.
    pub quantity: u64,
    /// Why it is in that state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_reason: Option<String>,
    /// When its (last) attempt began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<u64>,
    /// When it was submitted.
    pub created_at: u64,
    /// All that each of its children takes.
    pub consumable_resource_properties: ConsumableProperties,
}

/// DescribeJobDefinitions' answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DefinitionList {
    /// By name, the newest revision first.
    pub job_definitions: Vec<Value>,
    /// Where to go on; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}
