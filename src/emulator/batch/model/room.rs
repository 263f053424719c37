//! Where a child finds room: a slot of the endpoint, a compute environment of its queue, units of consumable resources.

use std::borrow::Cow;

use super::Model;
use super::places::{Amount, Environment};

/// What a head of a queue may expect.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outlook {
    /// It starts in this compute environment.
    Starts(String),
    /// It fails: it was never fit to start.
    Fails,
    /// It waits; with a reason when nothing it waits for will come by itself.
    Waits(Option<Cow<'static, str>>),
}

const DISABLED: &str = "ACTION_REQUIRED - No compute environment of the job queue is ENABLED.";
const TOO_MANY_VCPUS: &str = "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE - CE(s) associated with the job queue \
                              cannot meet the CPU requirement of the job.";
const TOO_LARGE: &str = "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job resource requirement (vCPU/memory/GPU) is \
                         higher than that can be met by the CE(s) attached to the job queue.";

impl Model {
    /// What a job at the head of `queue` may expect for its next child.
    pub(super) fn outlook(&self, queue: &str, job: u32) -> Outlook {
        if let Some(reason) = self.drills.shortage(queue) {
            return Outlook::Waits(Some(Cow::Owned(reason.to_owned())));
        }
        let (Some(queue), Some(job)) = (self.queues.get(queue), self.jobs.get(&job)) else {
            return Outlook::Waits(None);
        };
        let full = self.live >= self.slots;
        if job.unfit.is_some() {
            return if full { Outlook::Waits(None) } else { Outlook::Fails };
        }
        let enabled = || {
            let known = queue.environments.iter().filter_map(|name| Some((name, self.environments.get(name)?)));
            known.filter(|(_, environment)| environment.enabled)
        };
        if let Some(reason) = never(job.need, enabled().map(|(_, environment)| environment)) {
            return Outlook::Waits(Some(Cow::Borrowed(reason)));
        }
        if let Some(reason) = self.starved(&job.consumables) {
            return Outlook::Waits(Some(Cow::Owned(reason)));
        }
        if full || !self.consumables_suffice(&job.consumables) || self.is_reserved(queue, job) {
            return Outlook::Waits(None);
        }
        let room = |environment: &Environment| match environment.capacity {
            None => true,
            Some(capacity) => job.need.fits(environment.used, capacity),
        };
        match enabled().find(|(_, environment)| room(environment)) {
            Some((name, _)) => Outlook::Starts(name.clone()),
            None => Outlook::Waits(None),
        }
    }

    fn consumables_suffice(&self, needed: &[(String, u64)]) -> bool {
        needed.iter().all(|(name, quantity)| {
            *quantity == 0 || self.consumables.get(name).is_some_and(|resource| resource.available() >= *quantity)
        })
    }

    /// Why a job will not get its units before somebody does something. AWS has no word for it, and a queue that stands still
    /// in silence helps nobody.
    fn starved(&self, needed: &[(String, u64)]) -> Option<String> {
        let (name, quantity, total) =
            needed.iter().filter(|(_, quantity)| *quantity > 0).find_map(|(name, quantity)| {
                let total = self.consumables.get(name).map(|resource| resource.total);
                total.is_none_or(|total| total < *quantity).then_some((name, quantity, total))
            })?;
        Some(match total {
            None => format!("ACTION_REQUIRED - The consumable resource {name}, which the job needs, does not exist."),
            Some(total) => format!(
                "ACTION_REQUIRED - The job needs {quantity} of the consumable resource {name}, which has {total} in all."
            ),
        })
    }

    /// Takes what an attempt of a child needs.
    pub(super) fn take_room(&mut self, key: u32, child: u32, environment: &str) {
        let Some(job) = self.jobs.get(&key) else { return };
        self.live += 1;
        if let Some(environment) = self.environments.get_mut(environment) {
            environment.used += job.need;
        }
        for (name, quantity) in &job.consumables {
            if let Some(resource) = self.consumables.get_mut(name) {
                resource.take((key, child), *quantity);
            }
        }
        let window = self.window_ms(&job.queue);
        if let Some(queue) = self.queues.get_mut(&job.queue) {
            let share = queue.line.share(&job.share);
            share.set_used(share.used.saturating_add(job.vcpus()), self.now, window);
        }
    }

    /// Gives back what the attempt under way of a child has. A child that will start again gives it back too, and takes it
    /// anew: AWS does not say, and a child that waits in line should not keep others from what it does not use. What is
    /// used up stays used up.
    pub(super) fn give_room_back(&mut self, key: u32, child: u32) {
        let Some(job) = self.jobs.get(&key) else { return };
        self.live -= 1;
        let name = job.child(child).and_then(|record| self.texts.get(record.environment));
        // A place that is deleted stays until its last child is gone, so this one had it.
        if let Some(environment) = name.and_then(|name| self.environments.get_mut(name)) {
            environment.used -= job.need;
        }
        for (name, quantity) in &job.consumables {
            if let Some(resource) = self.consumables.get_mut(name) {
                resource.give_back((key, child), *quantity);
            }
        }
        let window = self.window_ms(&job.queue);
        if let Some(queue) = self.queues.get_mut(&job.queue) {
            let share = queue.line.share(&job.share);
            share.set_used(share.used.saturating_sub(job.vcpus()), self.now, window);
        }
    }
}

/// Why none of a queue's enabled environments will ever take a child that needs so much.
fn never<'a>(need: Amount, enabled: impl Iterator<Item = &'a Environment> + Clone) -> Option<&'static str> {
    if enabled.clone().next().is_none() {
        return Some(DISABLED);
    }
    let possible = |capacity: Option<Amount>| capacity.is_none_or(|capacity| need.fits(Amount::default(), capacity));
    if enabled.clone().any(|environment| possible(environment.capacity)) {
        return None;
    }
    let vcpus = |capacity: Amount| need.milli_vcpus <= capacity.milli_vcpus;
    let vcpus_fit = enabled.clone().any(|environment| environment.capacity.is_none_or(vcpus));
    Some(if vcpus_fit { TOO_LARGE } else { TOO_MANY_VCPUS })
}
