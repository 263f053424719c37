//! Jobs: submitting, stopping, describing and listing them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{JobTimeout, KeyValue, ResourceRequirement, RetryStrategy};

/// The array of an array job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ArrayProperties {
    /// Children, 2..=10,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<i64>,
}

/// One of `dependsOn`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JobDependency {
    /// A plain job, an array's parent or a child; absent for SEQUENTIAL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// Absent: wait for the whole of it. `N_TO_N`: each child for the child of its index. `SEQUENTIAL`: each child for the one
    /// before it.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// Units of a consumable resource that each child takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumableRequirement {
    /// Name or ARN.
    pub consumable_resource: String,
    /// At least 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantity: Option<i64>,
}

/// `consumableResourceProperties`: at most five resources.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumableProperties {
    /// One a resource.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub consumable_resource_list: Vec<ConsumableRequirement>,
}

/// What a submission changes of one container of its definition's task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskContainerOverrides {
    /// The container meant; the only one when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Instead of the definition's command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Added to the definition's environment; the same name replaces.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<KeyValue>,
    /// Per type, instead of the definition's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resource_requirements: Vec<ResourceRequirement>,
}

/// What a submission changes of its definition's task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskPropertiesOverride {
    /// One a container.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<TaskContainerOverrides>,
}

/// `ecsPropertiesOverride`: at most one task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EcsPropertiesOverride {
    /// Of the definition's one task.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub task_properties: Vec<TaskPropertiesOverride>,
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
    /// Of multi-node jobs: without meaning here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<String>,
    /// The old form of VCPU: instead of the definition's own old form only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vcpus: Option<i64>,
    /// The old form of MEMORY, MiB: instead of the definition's own old form only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<i64>,
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
    /// At most 20.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<JobDependency>,
    /// Due for a queue with a scheduling policy, refused for one without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share_identifier: Option<String>,
    /// 0..=9999; of no effect in a queue without a scheduling policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduling_priority_override: Option<i64>,
    /// Refused: multi-node jobs do not run here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_overrides: Option<Value>,
    /// Refused: jobs on EKS do not run here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eks_properties_override: Option<Value>,
    /// Changes to the containers of a definition with `ecsProperties`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ecs_properties_override: Option<EcsPropertiesOverride>,
    /// Per resource, instead of the definition's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumable_resource_properties_override: Option<ConsumableProperties>,
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

/// CancelJobs and TerminateJobs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StopJobs {
    /// 1 to 50 of what [`StopJob`] takes.
    pub jobs: Vec<String>,
    /// 1 to 1,024 characters: the status reason of what it ends.
    pub reason: String,
}

/// GetJobQueueSnapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GetJobQueueSnapshot {
    /// Name or ARN.
    pub job_queue: String,
}

/// ListJobsByConsumableResource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListJobsByConsumableResource {
    /// Name or ARN.
    pub consumable_resource: String,
    /// `JOB_STATUS` and `JOB_NAME`; a job must pass each.
    pub filters: Vec<Filter>,
    /// 1..=100.
    pub max_results: Option<i64>,
    /// Where to go on.
    pub next_token: Option<String>,
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
