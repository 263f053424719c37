//! The requests of the Batch API, with AWS's field names. They are what a client sends and what the journal keeps, so a field
//! once written here is read for ever.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `name` and `value` of an environment variable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyValue {
    /// The variable.
    pub name: String,
    /// What it holds.
    pub value: String,
}

/// An amount of `VCPU`, `MEMORY` (MiB) or `GPU`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceRequirement {
    /// `VCPU`, `MEMORY` or `GPU`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The amount, as a decimal number.
    pub value: String,
}

/// One row of `evaluateOnExit`; a condition that is absent holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EvaluateOnExit {
    /// Against the attempt's status reason; may end in `*`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_status_reason: Option<String>,
    /// Against the container's reason; may end in `*`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_reason: Option<String>,
    /// Against the exit code in decimal; may end in `*`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_exit_code: Option<String>,
    /// `RETRY` or `EXIT`, in any case.
    pub action: String,
}

/// How often Batch itself starts a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RetryStrategy {
    /// 1..=10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<i64>,
    /// At most 5 rows; the first that matches decides, no match retries.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub evaluate_on_exit: Vec<EvaluateOnExit>,
}

/// The longest an attempt may run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JobTimeout {
    /// Seconds, at least 60.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt_duration_seconds: Option<i64>,
}

/// The array of an array job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ArrayProperties {
    /// Children, 2..=10,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<i64>,
}

/// What a submission changes of its definition's container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerOverrides {
    /// Instead of the definition's command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Added to the definition's environment; the same name replaces.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<KeyValue>,
    /// Per type, instead of the definition's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resource_requirements: Vec<ResourceRequirement>,
    /// Echoed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<String>,
}

/// SubmitJob.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubmitJob {
    /// At most 128 of `[A-Za-z0-9_-]`, the first a letter or digit.
    pub job_name: String,
    /// Name or ARN.
    pub job_queue: String,
    /// Name (its newest active revision), `name:revision` or ARN.
    pub job_definition: String,
    /// Absent for a plain job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub array_properties: Option<ArrayProperties>,
    /// What replaces `Ref::name` in the command.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// Changes to the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_overrides: Option<ContainerOverrides>,
    /// Instead of the definition's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_strategy: Option<RetryStrategy>,
    /// Instead of the definition's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<JobTimeout>,
    /// At most 50.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Echoed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub propagate_tags: Option<bool>,
    /// Refused for now, unless empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depends_on: Option<Value>,
    /// Refused: no queue here has a scheduling policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share_identifier: Option<Value>,
    /// Refused: no queue here has a scheduling policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduling_priority_override: Option<Value>,
    /// Refused for now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_overrides: Option<Value>,
    /// Refused for now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eks_properties_override: Option<Value>,
    /// Refused for now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ecs_properties_override: Option<Value>,
    /// Refused for now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumable_resource_properties_override: Option<Value>,
}

/// RegisterJobDefinition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RegisterJobDefinition {
    /// As a job's name.
    pub job_definition_name: String,
    /// `container`; the others are refused for now.
    #[serde(rename = "type")]
    pub kind: String,
    /// Defaults of `Ref::name`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// Kept whole, echoed by describe; the fields the model uses are read by [`ContainerProperties`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_properties: Option<Value>,
    /// For submissions that bring none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_strategy: Option<RetryStrategy>,
    /// For submissions that bring none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<JobTimeout>,
    /// At most 50.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Echoed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub propagate_tags: Option<bool>,
    /// `EC2` or `FARGATE`; EC2 when empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub platform_capabilities: Vec<String>,
    /// Echoed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduling_priority: Option<i64>,
    /// Refused for now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_properties: Option<Value>,
    /// Refused for now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eks_properties: Option<Value>,
    /// Refused for now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ecs_properties: Option<Value>,
    /// Refused for now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumable_resource_properties: Option<Value>,
}

/// What the model itself reads of a definition's container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerProperties {
    /// Required by AWS; a process runner ignores it.
    pub image: Option<String>,
    /// The command, with `Ref::name` placeholders.
    pub command: Vec<String>,
    /// The environment.
    pub environment: Vec<KeyValue>,
    /// VCPU, MEMORY, GPU.
    pub resource_requirements: Vec<ResourceRequirement>,
    /// The old form of VCPU.
    pub vcpus: Option<i64>,
    /// The old form of MEMORY, MiB.
    pub memory: Option<i64>,
}

/// DeregisterJobDefinition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeregisterJobDefinition {
    /// `name:revision` or ARN.
    pub job_definition: String,
}

/// CancelJob and TerminateJob.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StopJob {
    /// A job, an array's parent or a child.
    pub job_id: String,
    /// 1 to 1,024 characters: the status reason of what it ends.
    pub reason: String,
}

/// DescribeJobs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DescribeJobs {
    /// At most 100; what is unknown is left out of the answer.
    pub jobs: Vec<String>,
}

/// One filter of ListJobs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// `JOB_NAME` and so on.
    pub name: String,
    /// Any of these.
    pub values: Vec<String>,
}

/// ListJobs: exactly one of the first three.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListJobs {
    /// Parents and plain jobs of a queue.
    pub job_queue: Option<String>,
    /// Children of an array.
    pub array_job_id: Option<String>,
    /// Nodes of a multi-node job: there are none here.
    pub multi_node_job_id: Option<String>,
    /// RUNNING when absent; ignored with filters.
    pub job_status: Option<String>,
    /// At least 1; more than the page's limit is the limit.
    pub max_results: Option<i64>,
    /// Where to go on.
    pub next_token: Option<String>,
    /// At most one.
    pub filters: Vec<Filter>,
}

/// DescribeJobDefinitions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DescribeJobDefinitions {
    /// `name:revision` or ARNs, at most 100; with nothing else.
    pub job_definitions: Vec<String>,
    /// All revisions of this name.
    pub job_definition_name: Option<String>,
    /// `ACTIVE` or `INACTIVE`; both when absent.
    pub status: Option<String>,
    /// 1..=100.
    pub max_results: Option<i64>,
    /// Where to go on.
    pub next_token: Option<String>,
}

/// DescribeJobQueues.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DescribeJobQueues {
    /// Names or ARNs; all when empty.
    pub job_queues: Vec<String>,
}

/// DescribeComputeEnvironments.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DescribeComputeEnvironments {
    /// Names or ARNs; all when empty.
    pub compute_environments: Vec<String>,
}
