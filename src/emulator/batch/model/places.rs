//! Queues and compute environments: for now the two of each that every endpoint starts with.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::api::{DescribeComputeEnvironments, DescribeJobQueues};
use super::{Model, ids};

/// The queue and compute environment of ordinary work.
pub const MAIN: &str = "batchmap";
/// The queue and compute environment of interruptible work.
pub const INTERRUPTIBLE: &str = "batchmap-interruptible";

/// A compute environment. All share the endpoint's slots.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Environment {
    /// `EC2` or `SPOT`.
    pub(super) kind: String,
}

/// A job queue and who waits in it. A child that has moved on is dropped from a lane when it is met.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Queue {
    pub(super) priority: i64,
    pub(super) enabled: bool,
    /// Names, in order.
    pub(super) environments: Vec<String>,
    /// Children that start again, ahead of all others.
    pub(super) retries: VecDeque<(u32, u32)>,
    /// Jobs with children that never started: each knows its next.
    pub(super) fresh: VecDeque<u32>,
}

pub(super) fn environments() -> BTreeMap<String, Environment> {
    [(MAIN, "EC2"), (INTERRUPTIBLE, "SPOT")]
        .into_iter()
        .map(|(name, kind)| (name.to_owned(), Environment { kind: kind.to_owned() }))
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
                retries: VecDeque::new(),
                fresh: VecDeque::new(),
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
