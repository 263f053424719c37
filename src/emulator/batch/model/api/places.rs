//! Compute environments, job queues, scheduling policies and consumable resources.

use serde::Deserialize;

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
