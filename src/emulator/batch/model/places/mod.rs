//! Where jobs run: compute environments, job queues, and what they refer to. Every endpoint starts with two of each.

mod amount;
mod capacity;
mod consumable;
mod environment;
pub(super) mod page;
mod policy;
mod queue;
mod resources;
pub(super) mod tags;

use std::collections::BTreeMap;

use serde_json::Value;

pub(super) use self::amount::Amount;
pub(super) use self::consumable::Consumable;
#[cfg(test)]
pub(super) use self::consumable::ConsumableKind;
pub(super) use self::environment::Environment;
pub(super) use self::policy::Policy;
pub(super) use self::queue::Queue;
pub(super) use self::queue::TimeLimit;
use super::api::PlaceChange;
use super::effect::Effect;
use super::{Model, Refusal};

/// The queue and compute environment of ordinary work.
pub const MAIN: &str = "batchmap";
/// The queue and compute environment of interruptible work.
pub const INTERRUPTIBLE: &str = "batchmap-interruptible";

/// AWS's limit on compute environments, and on job queues; those that every endpoint starts with count.
const MAX_PLACES: usize = 50;

pub(super) fn environments(seed: &str) -> BTreeMap<String, Environment> {
    [(MAIN, "EC2", "BEST_FIT_PROGRESSIVE"), (INTERRUPTIBLE, "SPOT", "SPOT_PRICE_CAPACITY_OPTIMIZED")]
        .into_iter()
        .map(|(name, kind, strategy)| (name.to_owned(), Environment::built_in(seed, name, kind, strategy)))
        .collect()
}

pub(super) fn queues() -> BTreeMap<String, Queue> {
    [MAIN, INTERRUPTIBLE].into_iter().map(|name| (name.to_owned(), Queue::built_in(name))).collect()
}

impl Model {
    /// A change to where jobs run; the answer is the operation's.
    pub(super) fn place(&mut self, change: &PlaceChange, effects: &mut Vec<Effect>) -> Result<Value, Refusal> {
        match change {
            PlaceChange::CreateComputeEnvironment(request) => self.create_environment(request),
            PlaceChange::UpdateComputeEnvironment(request) => self.update_environment(request),
            PlaceChange::DeleteComputeEnvironment(request) => self.delete_environment(request),
            PlaceChange::CreateJobQueue(request) => self.create_queue(request),
            PlaceChange::UpdateJobQueue(request) => self.update_queue(request),
            PlaceChange::DeleteJobQueue(request) => self.delete_queue(request, effects),
            PlaceChange::CreateSchedulingPolicy(request) => self.create_policy(request),
            PlaceChange::UpdateSchedulingPolicy(request) => self.update_policy(request),
            PlaceChange::DeleteSchedulingPolicy(request) => self.delete_policy(request),
            PlaceChange::CreateConsumableResource(request) => self.create_consumable(request),
            PlaceChange::UpdateConsumableResource(request) => self.update_consumable(request),
            PlaceChange::DeleteConsumableResource(request) => self.delete_consumable(request),
            PlaceChange::TagResource(request) => self.tag(request),
            PlaceChange::UntagResource(request) => self.untag(request),
        }
    }
}
