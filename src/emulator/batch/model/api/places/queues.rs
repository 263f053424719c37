//! Job queues.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An environment of a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ComputeEnvironmentOrder {
    /// The lowest is tried first.
    pub order: i64,
    /// Name or ARN.
    pub compute_environment: String,
}

/// What happens to a job that stays at the head of a queue for too long.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobStateTimeLimitAction {
    /// The status reason it is for.
    pub reason: String,
    /// `RUNNABLE`.
    pub state: String,
    /// 600..=86,400.
    pub max_time_seconds: i64,
    /// `CANCEL`.
    pub action: String,
}

/// CreateJobQueue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CreateJobQueue {
    /// At most 128 letters, digits, hyphens and underscores.
    pub job_queue_name: String,
    /// `ENABLED` (when absent) or `DISABLED`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// For fair shares; a queue made without one never has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduling_policy_arn: Option<String>,
    /// The highest first.
    pub priority: i64,
    /// 1 to 3, all of one kind.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub compute_environment_order: Vec<ComputeEnvironmentOrder>,
    /// Refused: there are no service environments here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub service_environment_order: Vec<Value>,
    /// Must be what its environments make it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_queue_type: Option<String>,
    /// At most 50.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// One for each reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub job_state_time_limit_actions: Vec<JobStateTimeLimitAction>,
}

/// UpdateJobQueue: what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpdateJobQueue {
    /// Name or ARN.
    pub job_queue: String,
    /// `ENABLED` or `DISABLED`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Instead of the policy it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduling_policy_arn: Option<String>,
    /// The highest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
    /// Instead of the environments it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compute_environment_order: Option<Vec<ComputeEnvironmentOrder>>,
    /// Refused, unless empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub service_environment_order: Vec<Value>,
    /// Instead of those it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_state_time_limit_actions: Option<Vec<JobStateTimeLimitAction>>,
}

/// DeleteJobQueue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeleteJobQueue {
    /// Name or ARN.
    pub job_queue: String,
}

/// DescribeJobQueues.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DescribeJobQueues {
    /// Names or ARNs, at most 100; all when empty.
    pub job_queues: Vec<String>,
    /// 1..=100.
    pub max_results: Option<i64>,
    /// Where to go on.
    pub next_token: Option<String>,
}
