//! Compute environments.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// CreateComputeEnvironment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CreateComputeEnvironment {
    /// At most 128 letters, digits, hyphens and underscores.
    pub compute_environment_name: String,
    /// `MANAGED` or `UNMANAGED`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `ENABLED` (when absent) or `DISABLED`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Only of an unmanaged one.
    #[serde(rename = "unmanagedvCpus", skip_serializing_if = "Option::is_none")]
    pub unmanaged_vcpus: Option<i64>,
    /// Of a managed one, which must have them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compute_resources: Option<Box<ComputeResources>>,
    /// Echoed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_role: Option<String>,
    /// At most 50.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// An environment with it is stored and described, and takes no jobs here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eks_configuration: Option<Value>,
    /// Echoed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// Echoed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ecs_settings: Option<Value>,
}

/// `computeResources` of a creation, an update and a description. What is only echoed is kept whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ComputeResources {
    /// `EC2`, `SPOT`, `FARGATE`, `FARGATE_SPOT` or `ECS_MANAGED_INSTANCES`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// `BEST_FIT` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocation_strategy: Option<String>,
    /// What it keeps although nothing runs.
    #[serde(rename = "minvCpus", skip_serializing_if = "Option::is_none")]
    pub min_vcpus: Option<i64>,
    /// What its jobs may have at once.
    #[serde(rename = "maxvCpus", skip_serializing_if = "Option::is_none")]
    pub max_vcpus: Option<i64>,
    /// Between the two.
    #[serde(rename = "desiredvCpus", skip_serializing_if = "Option::is_none")]
    pub desired_vcpus: Option<i64>,
    /// Types (`c5.xlarge`), families (`c5`) or `optimal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_types: Option<Vec<String>>,
    /// An empty text takes it away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_id: Option<String>,
    /// At least one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnets: Option<Vec<String>>,
    /// At least one, unless a launch template has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_group_ids: Option<Vec<String>>,
    /// An empty text takes it away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ec2_key_pair: Option<String>,
    /// The instances' profile: name or ARN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_role: Option<String>,
    /// Of the instances, not of the environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
    /// An empty text takes it away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement_group: Option<String>,
    /// 1..=100, of the price on demand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bid_percentage: Option<i64>,
    /// Required for SPOT with BEST_FIT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spot_iam_fleet_role: Option<String>,
    /// By id or by name. Empty texts take it away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launch_template: Option<Value>,
    /// At most two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ec2_configuration: Option<Vec<Value>>,
    /// Echoed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaling_policy: Option<Value>,
    /// Of ECS_MANAGED_INSTANCES, which must have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed_instances_provider: Option<Value>,
    /// Of ECS_MANAGED_INSTANCES.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_tags: Option<BTreeMap<String, String>>,
}

/// What an update does to jobs that run. Its two fields are required together by nobody; both have defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpdatePolicy {
    /// False when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminate_jobs_on_update: Option<bool>,
    /// 1..=7200; 30 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_execution_timeout_minutes: Option<i64>,
}

/// UpdateComputeEnvironment: what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpdateComputeEnvironment {
    /// Name or ARN.
    pub compute_environment: String,
    /// `ENABLED` or `DISABLED`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Only of an unmanaged one.
    #[serde(rename = "unmanagedvCpus", skip_serializing_if = "Option::is_none")]
    pub unmanaged_vcpus: Option<i64>,
    /// What changes of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compute_resources: Option<Box<ComputeResources>>,
    /// Echoed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_role: Option<String>,
    /// Echoed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_policy: Option<UpdatePolicy>,
    /// Its `accessEntry` alone can change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eks_configuration: Option<Value>,
    /// Echoed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// Echoed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ecs_settings: Option<Value>,
}

/// DeleteComputeEnvironment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeleteComputeEnvironment {
    /// Name or ARN.
    pub compute_environment: String,
}

/// DescribeComputeEnvironments.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DescribeComputeEnvironments {
    /// Names or ARNs, at most 100; all when empty.
    pub compute_environments: Vec<String>,
    /// 1..=100.
    pub max_results: Option<i64>,
    /// Where to go on.
    pub next_token: Option<String>,
}
