//! Queues and compute environments: for now the two of each that every endpoint starts with.

mod amount;
mod consumable;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub(super) use self::amount::Amount;
pub(super) use self::consumable::{Consumable, ConsumableKind};
use super::api::{DescribeComputeEnvironments, DescribeJobQueues};
use super::line::Line;
use super::{Model, ids};

/// The queue and compute environment of ordinary work.
pub const MAIN: &str = "batchmap";
/// The queue and compute environment of interruptible work.
pub const INTERRUPTIBLE: &str = "batchmap-interruptible";

/// A compute environment. All share the endpoint's slots.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Environment {
    /// `EC2`, `SPOT`, `FARGATE` or `FARGATE_SPOT`.
    pub(super) kind: String,
    /// Whether it takes new children.
    pub(super) enabled: bool,
    /// What its children may have at once; when absent, the endpoint's slots alone bound them.
    pub(super) capacity: Option<Amount>,
    /// What its children that are STARTING or RUNNING have.
    pub(super) used: Amount,
}

/// A job queue.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Queue {
    pub(super) priority: i64,
    pub(super) enabled: bool,
    /// Names, in order.
    pub(super) environments: Vec<String>,
    /// The name of its scheduling policy.
    pub(super) policy: Option<String>,
    /// `jobStateTimeLimitActions`: what happens to a job that stays at the head for too long.
    pub(super) time_limits: Vec<TimeLimit>,
    /// Who waits in it.
    pub(super) line: Line,
}

/// One of a queue's `jobStateTimeLimitActions`; the state is RUNNABLE and the action CANCEL, AWS has no other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TimeLimit {
    /// The status reason it is for, such as `CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY`.
    pub(super) reason: String,
    /// 600..=86,400.
    pub(super) seconds: u32,
}

pub(super) fn environments() -> BTreeMap<String, Environment> {
    [(MAIN, "EC2"), (INTERRUPTIBLE, "SPOT")]
        .into_iter()
        .map(|(name, kind)| {
            // A local process reserves nothing: the built-in places give every child one slot, whatever it asks for.
            let environment =
                Environment { kind: kind.to_owned(), enabled: true, capacity: None, used: Amount::default() };
            (name.to_owned(), environment)
        })
        .collect()
}

pub(super) fn queues() -> BTreeMap<String, Queue> {
    [MAIN, INTERRUPTIBLE]
        .into_iter()
        .map(|name| {
            let queue = Queue {
                priority: 1,
                enabled: true,
                environments: vec![name.to_owned()],
                policy: None,
                time_limits: Vec::new(),
                line: Line::default(),
            };
            (name.to_owned(), queue)
        })
        .collect()
}

impl Model {
    /// DescribeJobQueues; names that are unknown are left out.
    pub fn describe_job_queues(&self, request: &DescribeJobQueues) -> Value {
        let queues: Vec<Value> = chosen(&self.queues, &request.job_queues, "job-queue")
            .map(|(name, queue)| {
                let order: Vec<Value> = (1..)
                    .zip(&queue.environments)
                    .map(|(order, name)| {
                        json!({"order": order, "computeEnvironment": ids::arn("compute-environment", name)})
                    })
                    .collect();
                json!({
                    "jobQueueName": name,
                    "jobQueueArn": ids::arn("job-queue", name),
                    "state": if queue.enabled { "ENABLED" } else { "DISABLED" },
                    "status": "VALID",
                    "statusReason": "JobQueue Healthy",
                    "priority": queue.priority,
                    "computeEnvironmentOrder": order,
                    "serviceEnvironmentOrder": [],
                    "jobQueueType": "ECS",
                    "tags": {},
                })
            })
            .collect();
        json!({ "jobQueues": queues })
    }

    /// DescribeComputeEnvironments; names that are unknown are left out.
    pub fn describe_compute_environments(&self, request: &DescribeComputeEnvironments) -> Value {
        let environments: Vec<Value> = chosen(&self.environments, &request.compute_environments, "compute-environment")
            .map(|(name, environment)| {
                json!({
                    "computeEnvironmentName": name,
                    "computeEnvironmentArn": ids::arn("compute-environment", name),
                    "ecsClusterArn": "arn:aws:ecs:us-east-1:000000000000:cluster/batchmap",
                    "tags": {},
                    "type": "MANAGED",
                    "state": "ENABLED",
                    "status": "VALID",
                    "statusReason": "ComputeEnvironment Healthy",
                    "computeResources": {
                        "type": environment.kind,
                        "minvCpus": 0,
                        "maxvCpus": self.slots,
                        "desiredvCpus": self.live,
                        "instanceTypes": ["optimal"],
                        "subnets": [],
                    },
                    "containerOrchestrationType": "ECS",
                })
            })
            .collect();
        json!({ "computeEnvironments": environments })
    }
}

/// Those of `wanted` (names or ARNs of `kind`) that exist, or all when none is named.
fn chosen<'a, T>(
    all: &'a BTreeMap<String, T>,
    wanted: &[String],
    kind: &str,
) -> impl Iterator<Item = (&'a String, &'a T)> {
    let names: Vec<&str> = wanted.iter().map(|given| ids::name_of(kind, given)).collect();
    let everything = names.is_empty();
    let kept: Vec<_> = all.iter().filter(|(name, _)| everything || names.contains(&name.as_str())).collect();
    kept.into_iter()
}
