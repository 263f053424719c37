//! One struct for each fault. Those about requests may be limited to operations, those about jobs to queues.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::values::{Fields, Span};
use crate::map::spec::Fault;

/// Requests refused for being too many: 429 `TooManyRequestsException` from Batch, 400 `ThrottlingException` from the
/// logs, 503 `SlowDown` from S3.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Throttle {
    /// The share of requests refused whatever their rate, 0..=1.
    pub share: f64,
    /// How many requests a second each operation takes; a second's worth may come at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Operations or services; all when empty.
    pub operations: Vec<String>,
}

/// Requests that fail and have no effect: 500 `ServerException` from Batch, `ServiceUnavailableException` from the logs,
/// `InternalError` from S3.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Errors {
    /// The share of requests, 0..=1.
    pub share: f64,
    /// Operations or services; all when empty.
    pub operations: Vec<String>,
}

/// Requests that are refused for want of a permission: 403 `AccessDeniedException` from Batch, 400 from the logs, 403
/// `AccessDenied` from S3.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Denied {
    /// The share of requests, 0..=1.
    pub share: f64,
    /// Operations or services; all when empty.
    pub operations: Vec<String>,
}

/// Requests that wait before they are looked at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Latency {
    /// How long.
    pub time: Span,
    /// Operations or services; all when empty.
    pub operations: Vec<String>,
}

/// Requests that are carried out, and whose connection ends without an answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LostReply {
    /// The share of requests, 0..=1.
    pub share: f64,
    /// Operations or services; all when empty.
    pub operations: Vec<String>,
}

/// DescribeJobs tells an array's state and `statusSummary` as they were.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SummaryLag {
    /// How long after a change it is told; `statusSummaryLastUpdatedAt` says what it is as of.
    pub time: Span,
}

/// ListJobs does not know yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListingLag {
    /// How long after its submission a job is listed, and how long after a change its children's states are.
    pub time: Span,
}

/// Attempts that lose their host: `Host EC2 (instance i-...) terminated.`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SpotLoss {
    /// The share of attempts, 0..=1.
    pub share: f64,
    /// How long after they began.
    pub after: Span,
    /// Only in compute environments of type SPOT or FARGATE_SPOT.
    pub spot_only: bool,
    /// Queues by name; all when empty.
    pub queues: Vec<String>,
}

/// Queues that start nothing: the job at the head is told why.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shortage {
    /// The status reason of the job at the head.
    pub reason: String,
    /// Queues by name; all when empty.
    pub queues: Vec<String>,
}

/// Attempts that fail to start, for their image cannot be pulled.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImagePull {
    /// The share of attempts, 0..=1.
    pub share: f64,
    /// The container's reason.
    pub reason: String,
    /// Queues by name; all when empty.
    pub queues: Vec<String>,
}

/// Attempts that stay in STARTING.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SlowStart {
    /// How long.
    pub time: Span,
    /// The share of attempts, 0..=1.
    pub share: f64,
    /// Queues by name; all when empty.
    pub queues: Vec<String>,
}

/// A fault that can be read from settings.
pub(super) trait Rule: Sized {
    /// The field that stands for the whole.
    const MAIN: &'static str;

    /// Takes its fields.
    fn take(fields: &mut Fields) -> Result<Self, Fault>;
}

/// Takes the fault `name` from the table of all.
pub(super) fn read<R: Rule>(all: &mut Fields, name: &'static str) -> Result<Option<R>, Fault> {
    let Some(value) = all.take(name) else { return Ok(None) };
    let mut fields = Fields::of(name, value, R::MAIN);
    let rule = R::take(&mut fields);
    // Something missing is something misspelt, where there is a field too many.
    if rule.as_ref().err().is_none_or(|fault| fault.value.is_empty()) {
        fields.end()?;
    }
    rule.map(Some)
}

fn required<T>(fields: &Fields, field: &str, taken: Option<T>, example: &str) -> Result<T, Fault> {
    taken.ok_or_else(|| Fault::missing(fields.name(field), "missing", format!("give it, such as {field} = {example}")))
}

fn share(fields: &mut Fields) -> Result<f64, Fault> {
    let share = fields.share("share")?;
    required(fields, "share", share, "0.1")
}

fn time(fields: &mut Fields) -> Result<Span, Fault> {
    let time = fields.span("time")?;
    required(fields, "time", time, "\"2s\"")
}

impl Rule for Throttle {
    const MAIN: &'static str = "share";

    fn take(fields: &mut Fields) -> Result<Self, Fault> {
        let (share, rate) = (fields.share("share")?, fields.positive("rate", "20")?);
        let operations = fields.operations()?;
        if share.is_none() && rate.is_none() {
            let fix = "give share = 0.1 for a tenth of requests, or rate = 20 for that many a second";
            return Err(Fault::missing(fields.name("share"), "neither share nor rate is given", fix));
        }
        Ok(Throttle { share: share.unwrap_or(0.0), rate, operations })
    }
}

impl Rule for Errors {
    const MAIN: &'static str = "share";

    fn take(fields: &mut Fields) -> Result<Self, Fault> {
        let operations = fields.operations()?;
        Ok(Errors { share: share(fields)?, operations })
    }
}

impl Rule for Denied {
    const MAIN: &'static str = "share";

    fn take(fields: &mut Fields) -> Result<Self, Fault> {
        let operations = fields.operations()?;
        Ok(Denied { share: share(fields)?, operations })
    }
}

impl Rule for Latency {
    const MAIN: &'static str = "time";

    fn take(fields: &mut Fields) -> Result<Self, Fault> {
        let operations = fields.operations()?;
        Ok(Latency { time: time(fields)?, operations })
    }
}

impl Rule for LostReply {
    const MAIN: &'static str = "share";

    fn take(fields: &mut Fields) -> Result<Self, Fault> {
        let operations = fields.operations()?;
        Ok(LostReply { share: share(fields)?, operations })
    }
}

impl Rule for SummaryLag {
    const MAIN: &'static str = "time";

    fn take(fields: &mut Fields) -> Result<Self, Fault> {
        Ok(SummaryLag { time: time(fields)? })
    }
}

impl Rule for ListingLag {
    const MAIN: &'static str = "time";

    fn take(fields: &mut Fields) -> Result<Self, Fault> {
        Ok(ListingLag { time: time(fields)? })
    }
}

impl Rule for SpotLoss {
    const MAIN: &'static str = "share";

    fn take(fields: &mut Fields) -> Result<Self, Fault> {
        let queues = fields.names("queues")?;
        let after = fields.span("after")?.unwrap_or_default();
        let spot_only = fields.flag("spot_only")?.unwrap_or(false);
        Ok(SpotLoss { share: share(fields)?, after, spot_only, queues })
    }
}

const CAPACITY: &str = "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - no instance of the compute environment's types is to \
                        be had (a fault that was ordered)";
const MISCONFIGURATION: &str = "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - no instance type of the compute \
                                environment has what the job asks for (a fault that was ordered)";

impl Rule for Shortage {
    const MAIN: &'static str = "reason";

    fn take(fields: &mut Fields) -> Result<Self, Fault> {
        let queues = fields.names("queues")?;
        let reason = match fields.text("reason")?.as_deref() {
            None | Some("capacity") => CAPACITY.to_owned(),
            Some("misconfiguration") => MISCONFIGURATION.to_owned(),
            Some(own) if own.starts_with("CAPACITY:") || own.starts_with("MISCONFIGURATION:") => own.to_owned(),
            Some(other) => {
                let fix = "give capacity, misconfiguration, or a status reason that begins with CAPACITY: or \
                           MISCONFIGURATION:";
                let value = Value::from(other);
                return Err(Fault::of(fields.name("reason"), &value, "no reason that Batch would give", fix));
            }
        };
        Ok(Shortage { reason, queues })
    }
}

const CANNOT_PULL: &str = "CannotPullContainerError: the registry did not answer (a fault that was ordered)";

impl Rule for ImagePull {
    const MAIN: &'static str = "share";

    fn take(fields: &mut Fields) -> Result<Self, Fault> {
        let queues = fields.names("queues")?;
        let reason = match fields.text("reason")? {
            None => CANNOT_PULL.to_owned(),
            Some(own) if own.starts_with("CannotPullContainerError: ") => own,
            Some(own) => format!("CannotPullContainerError: {own}"),
        };
        Ok(ImagePull { share: share(fields)?, reason, queues })
    }
}

impl Rule for SlowStart {
    const MAIN: &'static str = "time";

    fn take(fields: &mut Fields) -> Result<Self, Fault> {
        let queues = fields.names("queues")?;
        let share = fields.share("share")?.unwrap_or(1.0);
        Ok(SlowStart { time: time(fields)?, share, queues })
    }
}
