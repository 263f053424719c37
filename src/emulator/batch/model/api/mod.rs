//! The requests of the Batch API, with AWS's field names. They are what a client sends and what the journal keeps, so a field
//! once written here is read for ever.

mod definitions;
mod jobs;
mod places;

use serde::{Deserialize, Serialize};

pub use self::definitions::*;
pub use self::jobs::*;
pub use self::places::*;

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
