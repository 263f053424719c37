//! GetJobQueueSnapshot.

use std::collections::BTreeMap;

use super::api::GetJobQueueSnapshot;
use super::job::{Job, Status};
use super::line::{Lane, Line, Place, Share};
use super::reply::{
    CapacityUsage, FairshareUtilization, FrontOfQueue, FrontOfQueueJob, QueueSnapshot, QueueUtilization,
    ShareUtilization,
};
use super::{Model, Refusal, ids};

/// How many of those who wait are told.
const FRONT: usize = 100;
/// How many shares are told.
const TOP: usize = 20;

impl Model {
    /// GetJobQueueSnapshot: the first 100 that are RUNNABLE, in the order they would start if all fitted, and what runs.
    ///
    /// # Errors
    /// An unknown queue.
    pub fn get_job_queue_snapshot(&self, request: &GetJobQueueSnapshot) -> Result<QueueSnapshot, Refusal> {
        let name = ids::name_of("job-queue", &request.job_queue);
        let Some(queue) = self.queues.get(name) else {
            return Err(Refusal(format!("Job queue {} does not exist", request.job_queue)));
        };
        let line = &queue.line;
        let jobs = self.front(queue, FRONT).into_iter().map(|place| FrontOfQueueJob {
            job_arn: ids::arn("job", &self.child_id(place.job, place.child)),
            earliest_time_at_position: line.moved_at.max(self.jobs[&place.job].created_at),
        });
        let used = line.shares.values().map(|share| share.used).fold(0, u64::saturating_add);
        Ok(QueueSnapshot {
            front_of_queue: FrontOfQueue { jobs: jobs.collect(), last_updated_at: self.now },
            queue_utilization: QueueUtilization {
                total_capacity_usage: vec![CapacityUsage::vcpus(used)],
                fairshare_utilization: queue.policy.as_ref().map(|_| shares(line)),
                last_updated_at: self.now,
            },
        })
    }
}

fn shares(line: &Line) -> FairshareUtilization {
    let mut active: Vec<(&String, u64)> =
        line.shares.iter().map(|(name, share)| (name, share.used)).filter(|(_, used)| *used > 0).collect();
    active.sort_by_key(|(_, used)| std::cmp::Reverse(*used));
    FairshareUtilization {
        active_share_count: active.len() as u64,
        top_capacity_utilization: active
            .into_iter()
            .take(TOP)
            .map(|(name, used)| ShareUtilization {
                share_identifier: name.clone(),
                capacity_usage: vec![CapacityUsage::vcpus(used)],
            })
            .collect(),
    }
}

impl Share {
    /// Those who wait, in the order they start.
    pub(super) fn in_order<'a>(&'a self, jobs: &'a BTreeMap<u32, Job>) -> impl Iterator<Item = Place> + 'a {
        let waits = |job: u32, child: u32| {
            jobs.get(&job).and_then(|job| job.child(child)).is_some_and(|child| child.status == Status::Runnable)
        };
        let retries =
            self.retries.iter().map(|(job, child)| Place { lane: Lane::Retry, rank: 0, job: *job, child: *child });
        let fresh = self.fresh.iter().flat_map(|(rank, key)| {
            let children = jobs.get(key).map_or(0..0, |job| job.next_fresh..job.size());
            children.map(|child| Place { lane: Lane::Fresh, rank: *rank, job: *key, child })
        });
        let ready = self.ready.iter().map(|(rank, job, child)| Place {
            lane: Lane::Fresh,
            rank: *rank,
            job: *job,
            child: *child,
        });
        retries.chain(merged(fresh, ready)).filter(move |place| waits(place.job, place.child))
    }
}

/// Two sorted sequences as one.
fn merged(left: impl Iterator<Item = Place>, right: impl Iterator<Item = Place>) -> impl Iterator<Item = Place> {
    let (mut left, mut right) = (left.peekable(), right.peekable());
    std::iter::from_fn(move || match (left.peek(), right.peek()) {
        (Some(a), Some(b)) if b < a => right.next(),
        (Some(_), _) => left.next(),
        (None, _) => right.next(),
    })
}
