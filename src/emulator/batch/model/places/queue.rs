//! Job queues.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::api::{
    ComputeEnvironmentOrder, CreateJobQueue, DeleteJobQueue, DescribeJobQueues, JobStateTimeLimitAction, StopJob,
    UpdateJobQueue,
};
use super::super::check::check_name;
use super::super::effect::Effect;
use super::super::line::Line;
use super::super::{Model, Refusal, ids};
use super::page::{check_range, chosen, enabled, page, state};
use super::{MAX_PLACES, environment, policy, tags};

/// The resource's kind in ARNs.
pub(super) const ARN: &str = "job-queue";
/// Environments of a queue.
const MAX_ENVIRONMENTS: usize = 3;
const DELETED: &str = "The job's queue was deleted";

/// A job queue.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in super::super) struct Queue {
    pub(in super::super) priority: i64,
    pub(in super::super) enabled: bool,
    /// Names, in order.
    pub(in super::super) environments: Vec<String>,
    /// The `order` that each was given with: they need not be 1, 2, 3.
    pub(in super::super) orders: Vec<i64>,
    /// The name of its scheduling policy.
    pub(in super::super) policy: Option<String>,
    /// `jobStateTimeLimitActions`: what happens to a job that stays at the head for too long.
    pub(in super::super) time_limits: Vec<TimeLimit>,
    /// Who waits in it.
    pub(in super::super) line: Line,
}

/// One of a queue's `jobStateTimeLimitActions`; the state is RUNNABLE and the action CANCEL, AWS has no other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct TimeLimit {
    /// The status reason it is for, such as `CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY`.
    pub(in super::super) reason: String,
    /// 600..=86,400.
    pub(in super::super) seconds: u32,
}

impl Queue {
    /// One of the two that every endpoint starts with, for the environment of the same name.
    pub(super) fn built_in(name: &str) -> Queue {
        Queue {
            priority: 1,
            enabled: true,
            environments: vec![name.to_owned()],
            orders: vec![1],
            policy: None,
            time_limits: Vec::new(),
            line: Line::default(),
        }
    }
}

impl Model {
    pub(super) fn create_queue(&mut self, request: &CreateJobQueue) -> Result<Value, Refusal> {
        let name = &request.job_queue_name;
        check_name("jobQueueName", name)?;
        if self.queues.contains_key(name) {
            return Err(Refusal(format!("Object already exists: job queue {name}; choose another name")));
        }
        if self.queues.len() >= MAX_PLACES {
            return Err(Refusal(format!("there may be at most {MAX_PLACES} job queues; delete one first")));
        }
        tags::check(&request.tags)?;
        refuse_services(&request.service_environment_order)?;
        let (environments, orders) = self.check_order(&request.compute_environment_order)?;
        let kind = self.kind_of(&environments);
        if let Some(asked) = request.job_queue_type.as_deref().filter(|asked| *asked != kind) {
            return Err(Refusal(format!(
                "jobQueueType is {asked}, but the compute environments make it {kind}; leave it out or name others"
            )));
        }
        check_priority(request.priority)?;
        let policy = request.scheduling_policy_arn.as_deref().filter(|arn| !arn.is_empty());
        let queue = Queue {
            priority: request.priority,
            enabled: enabled(request.state.as_deref())?,
            environments,
            orders,
            policy: policy.map(|arn| self.check_policy(arn)).transpose()?,
            time_limits: time_limits(&request.job_state_time_limit_actions)?,
            line: Line::default(),
        };
        self.queues.insert(name.clone(), queue);
        self.set_tags(ARN, name, request.tags.clone());
        Ok(named(name))
    }

    pub(super) fn update_queue(&mut self, request: &UpdateJobQueue) -> Result<Value, Refusal> {
        let name = ids::name_of(ARN, &request.job_queue);
        let old = self.queues.get(name).ok_or_else(|| missing(&request.job_queue))?;
        refuse_services(&request.service_environment_order)?;
        let order = request.compute_environment_order.as_deref().map(|order| self.check_order(order)).transpose()?;
        let policy = match (request.scheduling_policy_arn.as_deref(), &old.policy) {
            (None, kept) => kept.clone(),
            (Some(""), None) => None,
            (Some(""), Some(_)) => {
                return Err(Refusal(format!(
                    "schedulingPolicyArn of job queue {name} can be replaced but not removed; create another queue"
                )));
            }
            (Some(_), None) => {
                return Err(Refusal(format!(
                    "schedulingPolicyArn cannot be given to job queue {name}, which was created without one; create \
                     another queue"
                )));
            }
            (Some(arn), Some(_)) => Some(self.check_policy(arn)?),
        };
        let enabled = request.state.as_deref().map(|state| enabled(Some(state))).transpose()?;
        request.priority.map_or(Ok(()), check_priority)?;
        let limits = request.job_state_time_limit_actions.as_deref().map(time_limits).transpose()?;
        let Some(queue) = self.queues.get_mut(name) else { return Err(missing(name)) };
        queue.policy = policy;
        queue.enabled = enabled.unwrap_or(queue.enabled);
        queue.priority = request.priority.unwrap_or(queue.priority);
        if let Some((environments, orders)) = order {
            (queue.environments, queue.orders) = (environments, orders);
        }
        if let Some(limits) = limits {
            queue.time_limits = limits;
        }
        Ok(named(name))
    }

    /// DeleteJobQueue: its jobs are terminated.
    pub(super) fn delete_queue(
        &mut self,
        request: &DeleteJobQueue,
        effects: &mut Vec<Effect>,
    ) -> Result<Value, Refusal> {
        let name = ids::name_of(ARN, &request.job_queue);
        let queue = self.queues.get(name).ok_or_else(|| missing(&request.job_queue))?;
        if queue.enabled {
            return Err(Refusal(format!(
                "Cannot delete, job queue {name} is ENABLED; set its state to DISABLED first"
            )));
        }
        let left = self.jobs.values().filter(|job| job.queue == name && !job.status().is_terminal());
        let left: Vec<String> = left.map(|job| job.id.clone()).collect();
        for job_id in left {
            self.terminate(&StopJob { job_id, reason: DELETED.to_owned() }, effects)?;
        }
        self.queues.remove(name);
        self.forget_tags(ARN, name);
        Ok(json!({}))
    }

    /// The environments of a queue by rising order: 1 to 3 that exist, of one kind and architecture.
    fn check_order(&self, given: &[ComputeEnvironmentOrder]) -> Result<(Vec<String>, Vec<i64>), Refusal> {
        if !(1..=MAX_ENVIRONMENTS).contains(&given.len()) {
            return Err(Refusal(format!(
                "computeEnvironmentOrder must hold 1 to {MAX_ENVIRONMENTS} compute environments, but holds {}",
                given.len()
            )));
        }
        let mut sorted: Vec<&ComputeEnvironmentOrder> = given.iter().collect();
        sorted.sort_by_key(|entry| entry.order);
        let (mut names, mut orders) = (Vec::new(), Vec::new());
        for entry in sorted {
            check_range("computeEnvironmentOrder.order", Some(entry.order), 0, i64::from(i32::MAX))?;
            let name = ids::name_of(environment::ARN, &entry.compute_environment);
            let Some(environment) = self.environments.get(name).filter(|known| !known.is_deleting()) else {
                return Err(Refusal(format!(
                    "computeEnvironmentOrder names {}, which does not exist; create the compute environment first",
                    entry.compute_environment
                )));
            };
            if orders.contains(&entry.order) || names.iter().any(|known| known == name) {
                return Err(Refusal(format!(
                    "computeEnvironmentOrder has order {} or compute environment {name} twice; each must be unique",
                    entry.order
                )));
            }
            if let Some(first) = names.first().and_then(|first| self.environments.get(first)) {
                check_alike(first, environment)?;
            }
            names.push(name.to_owned());
            orders.push(entry.order);
        }
        Ok((names, orders))
    }

    /// The `jobQueueType` that these environments make.
    fn kind_of(&self, environments: &[String]) -> &'static str {
        let first = environments.first().and_then(|name| self.environments.get(name));
        first.map_or("ECS", environment::Environment::queue_type)
    }

    /// The name of a policy that exists.
    fn check_policy(&self, arn: &str) -> Result<String, Refusal> {
        let name = ids::name_of(policy::ARN, arn);
        match self.policies.contains_key(name) {
            true => Ok(name.to_owned()),
            false => {
                Err(Refusal(format!("schedulingPolicyArn {arn} does not exist; create the scheduling policy first")))
            }
        }
    }

    /// DescribeJobQueues; names that are unknown are left out.
    ///
    /// # Errors
    /// More than 100 names or results asked for, a token that is not ours.
    pub fn describe_job_queues(&self, request: &DescribeJobQueues) -> Result<Value, Refusal> {
        let all = chosen(&self.queues, "jobQueues", &request.job_queues, ARN)?;
        let (told, next) = page(all.into_iter(), request.max_results, request.next_token.as_deref())?;
        let told: Vec<Value> = told.into_iter().map(|(name, queue)| self.tell_queue(name, queue)).collect();
        let mut answer = json!({ "jobQueues": told });
        if let Some(next) = next {
            answer["nextToken"] = json!(next);
        }
        Ok(answer)
    }

    fn tell_queue(&self, name: &str, queue: &Queue) -> Value {
        let order = queue.orders.iter().zip(&queue.environments);
        let order: Vec<Value> = order
            .map(|(order, name)| json!({ "order": order, "computeEnvironment": ids::arn(environment::ARN, name) }))
            .collect();
        let limits = queue.time_limits.iter().map(|limit| {
            json!({ "reason": limit.reason, "state": "RUNNABLE", "maxTimeSeconds": limit.seconds, "action": "CANCEL" })
        });
        let mut fields = json!({
            "jobQueueName": name,
            "jobQueueArn": ids::arn(ARN, name),
            "state": state(queue.enabled),
            "status": "VALID",
            "statusReason": "JobQueue Healthy",
            "priority": queue.priority,
            "computeEnvironmentOrder": order,
            "serviceEnvironmentOrder": [],
            "jobQueueType": self.kind_of(&queue.environments),
            "tags": self.tags_of(ARN, name),
            "jobStateTimeLimitActions": limits.collect::<Vec<Value>>(),
        });
        if let Some(name) = &queue.policy {
            fields["schedulingPolicyArn"] = json!(ids::arn(policy::ARN, name));
        }
        fields
    }
}

fn named(name: &str) -> Value {
    json!({ "jobQueueName": name, "jobQueueArn": ids::arn(ARN, name) })
}

fn missing(given: &str) -> Refusal {
    Refusal(format!("{given} does not exist: there is no job queue of that name"))
}

fn refuse_services(order: &[Value]) -> Result<(), Refusal> {
    if order.is_empty() {
        return Ok(());
    }
    Err(Refusal("serviceEnvironmentOrder must be empty: this endpoint has no service environments".to_owned()))
}

fn check_priority(priority: i64) -> Result<(), Refusal> {
    check_range("priority", Some(priority), 0, i64::from(i32::MAX))
}

fn check_alike(first: &environment::Environment, other: &environment::Environment) -> Result<(), Refusal> {
    if first.queue_type() != other.queue_type() {
        return Err(Refusal(format!(
            "computeEnvironmentOrder mixes kinds: {} and {} cannot be mixed in a job queue; EC2 goes with SPOT, and FARGATE \
             with FARGATE_SPOT",
            first.kind, other.kind
        )));
    }
    if let (Some(first), Some(other)) = (first.is_arm(), other.is_arm())
        && first != other
    {
        return Err(Refusal(
            "computeEnvironmentOrder mixes x86 and ARM instances; name environments of one architecture".to_owned(),
        ));
    }
    Ok(())
}

fn time_limits(actions: &[JobStateTimeLimitAction]) -> Result<Vec<TimeLimit>, Refusal> {
    let read = |action: &JobStateTimeLimitAction| {
        let field = |name: &str| format!("jobStateTimeLimitActions.{name}");
        if action.reason.is_empty() {
            return Err(Refusal(format!("{} must not be empty", field("reason"))));
        }
        for (name, value, only) in [("state", &action.state, "RUNNABLE"), ("action", &action.action, "CANCEL")] {
            if value != only {
                return Err(Refusal(format!("{} must be {only}, but was '{value}'", field(name))));
            }
        }
        check_range(&field("maxTimeSeconds"), Some(action.max_time_seconds), 600, 86_400)?;
        let seconds = u32::try_from(action.max_time_seconds).unwrap_or(u32::MAX);
        Ok(TimeLimit { reason: action.reason.clone(), seconds })
    };
    actions.iter().map(read).collect()
}
