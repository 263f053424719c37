//! Scheduling policies.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How a queue's jobs share it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FairsharePolicy {
    /// 0..=604,800; 0 and absent mean 600.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share_decay_seconds: Option<i64>,
    /// 0..=99: percent kept for shares that have no job yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compute_reservation: Option<i64>,
    /// At most 500, none a prefix of another's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub share_distribution: Vec<ShareAttributes>,
}

/// The weight of a share.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ShareAttributes {
    /// At most 255 letters and digits; a `*` at the end means all that begin so.
    pub share_identifier: String,
    /// 0.0001..=999.9999, 1 when absent; half the weight gets twice the resources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_factor: Option<f64>,
}

/// CreateSchedulingPolicy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CreateSchedulingPolicy {
    /// At most 128 letters, digits, hyphens and underscores.
    pub name: String,
    /// The rules; all defaults when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fairshare_policy: Option<FairsharePolicy>,
    /// Refused: there are no quota shares here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota_share_policy: Option<Value>,
    /// At most 50.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// UpdateSchedulingPolicy: the rules as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpdateSchedulingPolicy {
    /// The policy's.
    pub arn: String,
    /// Instead of those it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fairshare_policy: Option<FairsharePolicy>,
    /// Refused: there are no quota shares here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota_share_policy: Option<Value>,
}

/// DeleteSchedulingPolicy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeleteSchedulingPolicy {
    /// The policy's.
    pub arn: String,
}

/// DescribeSchedulingPolicies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DescribeSchedulingPolicies {
    /// 1 to 100.
    pub arns: Vec<String>,
}

/// ListSchedulingPolicies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListSchedulingPolicies {
    /// 1..=100.
    pub max_results: Option<i64>,
    /// Where to go on.
    pub next_token: Option<String>,
}
