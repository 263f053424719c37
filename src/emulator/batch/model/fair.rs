//! Fair shares: whose turn it is in a queue with a scheduling policy.
//!
//! AWS does not publish its arithmetic, so this is an approximation with the documented effects. A share is charged its vCPUs
//! times the milliseconds it has them. What it was charged halves every half of `shareDecaySeconds`, and what it has now counts
//! as if it kept it for all of them. The share with the least charge times its weight comes next: half the weight, twice the
//! resources. Within a share the higher scheduling priority goes first. All of it is integers, so that a replay agrees.

use std::collections::BTreeMap;

use super::api::FairsharePolicy;
use super::job::Job;
use super::line::{Line, Place, Share};
use super::places::Queue;
use super::{Model, Refusal};

/// AWS's limit on active shares of a queue.
const MAX_SHARES: usize = 500;
/// AWS's window when the policy gives none.
const DEFAULT_WINDOW_MS: u64 = 600_000;
/// Weights are counted in ten-thousandths, AWS's smallest.
const UNIT: f64 = 10_000.0;

/// A policy's rules.
pub(super) struct Rules<'a> {
    policy: Option<&'a FairsharePolicy>,
}

impl Rules<'_> {
    fn window_ms(&self) -> u64 {
        let seconds = self.policy.and_then(|policy| policy.share_decay_seconds).unwrap_or(0);
        match u64::try_from(seconds) {
            Ok(seconds @ 1..) => seconds.saturating_mul(1000),
            _ => DEFAULT_WINDOW_MS,
        }
    }

    /// In ten-thousandths; a name that ends in `*` stands for all that begin so.
    fn weight(&self, share: &str) -> u64 {
        let shares = self.policy.map_or(&[][..], |policy| &policy.share_distribution);
        let names = |name: &str| match name.strip_suffix('*') {
            Some(prefix) => share.starts_with(prefix),
            None => share == name,
        };
        let weight = shares.iter().find(|known| names(&known.share_identifier)).and_then(|known| known.weight_factor);
        (weight.unwrap_or(1.0) * UNIT).round() as u64
    }

    /// What decides whose turn it is; the least comes next.
    fn charge(&self, name: &str, share: &Share, now: u64) -> u128 {
        let present = u128::from(share.used) * u128::from(self.window_ms());
        let charged = u128::from(share.charged(now, self.window_ms()));
        charged.saturating_add(present).saturating_mul(u128::from(self.weight(name)))
    }

    /// The percentage of vCPUs that is kept for shares without jobs, as a fraction of all.
    fn reserved(&self, active: usize) -> f64 {
        let percent = self.policy.and_then(|policy| policy.compute_reservation).unwrap_or(0).clamp(0, 99);
        if percent == 0 { 0.0 } else { (percent as f64 / 100.0).powi(i32::try_from(active).unwrap_or(i32::MAX)) }
    }
}

impl Share {
    /// What the share was charged, in thousandths of a vCPU times milliseconds, as much of it as is left at `now`.
    fn charged(&self, now: u64, window_ms: u64) -> u64 {
        let elapsed = now.saturating_sub(self.charged_at);
        let since = self.used.saturating_mul(elapsed);
        halved(self.charge, elapsed, (window_ms / 2).max(1)).saturating_add(since)
    }

    /// Changes what the share has, after charging it for what it had.
    pub(super) fn set_used(&mut self, used: u64, now: u64, window_ms: u64) {
        self.charge = self.charged(now, window_ms);
        self.charged_at = now;
        self.used = used;
    }

    fn is_active(&self) -> bool {
        self.used > 0 || !self.is_empty()
    }
}

/// What is left of `amount` when half of it goes every `half_life`; between the halves it falls in a straight line.
fn halved(amount: u64, elapsed: u64, half_life: u64) -> u64 {
    let halves = u32::try_from(elapsed / half_life).unwrap_or(u32::MAX);
    let left = amount.checked_shr(halves).unwrap_or(0);
    let part = u128::from(left) * u128::from(elapsed % half_life) / u128::from(2 * half_life);
    left - u64::try_from(part).unwrap_or(left)
}

impl Model {
    /// The rules of a queue with a scheduling policy.
    pub(super) fn rules(&self, queue: &Queue) -> Option<Rules<'_>> {
        let policy = self.policies.get(queue.policy.as_ref()?);
        Some(Rules { policy: policy.and_then(|policy| policy.fairshare.as_ref()) })
    }

    /// How far back a queue's shares are charged, in milliseconds.
    pub(super) fn window_ms(&self, queue: &str) -> u64 {
        let rules = self.queues.get(queue).and_then(|queue| self.rules(queue));
        rules.map_or(DEFAULT_WINDOW_MS, |rules| rules.window_ms())
    }

    /// The share of a queue whose head comes next, without those that have been passed over.
    pub(super) fn next_share(&mut self, queue: &str, passed: impl Fn(&str) -> bool) -> Option<(Place, String)> {
        let now = self.now;
        let line = &mut self.queues.get_mut(queue)?.line;
        let waiting = line.shares.iter_mut().filter(|(name, _)| !passed(name));
        let heads: Vec<(Place, String)> =
            waiting.filter_map(|(name, share)| Some((share.head(&mut self.jobs)?, name.clone()))).collect();
        let queue = self.queues.get(queue)?;
        match self.rules(queue) {
            None => heads.into_iter().min(),
            Some(rules) => heads.into_iter().min_by_key(|(_, name)| {
                let charge = queue.line.shares.get(name).map_or(0, |share| rules.charge(name, share, now));
                (charge, name.clone())
            }),
        }
    }

    /// Whether a queue's policy keeps the room that one more child of `job` would take for shares without jobs. What is kept
    /// is whole vCPUs, and never so much that nothing of the queue runs: else a small place would stand still for ever.
    pub(super) fn is_reserved(&self, queue: &Queue, job: &Job) -> bool {
        let Some(rules) = self.rules(queue) else { return false };
        let active = queue.line.shares.values().filter(|share| share.is_active()).count();
        let reserved = rules.reserved(active);
        if reserved <= 0.0 {
            return false;
        }
        let environments = queue.environments.iter().filter_map(|name| self.environments.get(name));
        let all: u64 = environments
            .filter(|environment| environment.enabled)
            .map(|environment| environment.capacity.map_or(u64::from(self.slots) * 1000, |it| it.milli_vcpus))
            .fold(0, u64::saturating_add);
        let used = queue.line.shares.values().map(|share| share.used).fold(0, u64::saturating_add);
        let open = (all as f64 / 1000.0 * (1.0 - reserved)).ceil() * 1000.0;
        used > 0 && used.saturating_add(job.vcpus()) as f64 > open
    }

    /// Refuses a share too many, and forgets those that are of no consequence any more.
    pub(super) fn check_shares(&mut self, queue: &str, share: &str) -> Result<(), Refusal> {
        let (now, window) = (self.now, self.window_ms(queue));
        let Some(queue) = self.queues.get_mut(queue).filter(|queue| queue.policy.is_some()) else { return Ok(()) };
        let shares = &mut queue.line.shares;
        if shares.len() < MAX_SHARES || shares.contains_key(share) {
            return Ok(());
        }
        shares.retain(|_, share| share.is_active() || share.charged(now, window) > 0);
        match shares.values().filter(|share| share.is_active()).count() {
            MAX_SHARES.. => Err(Refusal(format!(
                "shareIdentifier '{share}' would be one too many: the job queue has {MAX_SHARES} active shares"
            ))),
            _ => Ok(()),
        }
    }

    /// The first `count` of those who wait in a queue, in the order they would start if all fitted.
    pub(super) fn front(&self, queue: &Queue, count: usize) -> Vec<Place> {
        let Some(rules) = self.rules(queue) else {
            let mut front: Vec<Place> = in_line(&queue.line, &self.jobs, count).into_values().flatten().collect();
            if queue.line.shares.len() > 1 {
                front.sort();
            }
            front.truncate(count);
            return front;
        };
        // Each is handed its vCPUs in thought, as it would be when it starts.
        let mut shares: BTreeMap<&String, Share> = BTreeMap::new();
        let mut waiting = in_line(&queue.line, &self.jobs, count);
        for (name, share) in &queue.line.shares {
            let (used, charge, charged_at) = (share.used, share.charge, share.charged_at);
            shares.insert(name, Share { used, charge, charged_at, ..Share::default() });
        }
        waiting.values_mut().for_each(|places| places.reverse());
        let mut front = Vec::new();
        while front.len() < count {
            let standing = waiting.iter_mut().filter(|(_, places)| !places.is_empty());
            let next = standing.min_by_key(|(name, _)| (rules.charge(name, &shares[*name], self.now), **name));
            let Some((name, place)) = next.and_then(|(name, places)| Some((*name, places.pop()?))) else { break };
            if let Some(share) = shares.get_mut(name) {
                share.used = share.used.saturating_add(self.jobs.get(&place.job).map_or(0, Job::vcpus));
            }
            front.push(place);
        }
        front
    }
}

fn in_line<'a>(line: &'a Line, jobs: &BTreeMap<u32, Job>, count: usize) -> BTreeMap<&'a String, Vec<Place>> {
    line.shares.iter().map(|(name, share)| (name, share.in_order(jobs).take(count).collect())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charge_halves() {
        for (elapsed, left) in [(0, 1000), (50, 750), (100, 500), (150, 375), (200, 250), (1000, 0), (u64::MAX, 0)] {
            assert_eq!(halved(1000, elapsed, 100), left, "after {elapsed}");
        }
        assert_eq!(halved(u64::MAX, 1, 2), u64::MAX - u64::MAX / 4);
    }
}
