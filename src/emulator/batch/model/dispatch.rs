//! Who starts next: slots are filled in the order of the queues, retried children first.

use std::cmp::Reverse;

use super::effect::{Effect, Start};
use super::job::{Attempt, AttemptKey, Status};
use super::{Model, ids};

/// Where a child stands in line; the least starts first.
type Place = (Reverse<i64>, Lane, u32, u32);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    Retry,
    Fresh,
}

impl Model {
    /// Fills the free slots.
    pub(super) fn dispatch(&mut self, effects: &mut Vec<Effect>) {
        while self.live < self.slots {
            let Some((_, _, job, child)) = self.head() else { return };
            if self.jobs[&job].unfit.is_some() {
                self.fail_unfit(job, child);
            } else {
                effects.push(Effect::Start(Box::new(self.start(job, child))));
            }
        }
    }

    /// The child at the head of the line. It leaves the line by changing state: it is met here again and dropped.
    fn head(&mut self) -> Option<Place> {
        let mut best: Option<Place> = None;
        for queue in self.queues.values_mut() {
            let runnable = |job: &u32, child: u32| {
                self.jobs.get(job).and_then(|job| job.child(child)).is_some_and(|c| c.status == Status::Runnable)
            };
            while queue.line.retries.front().is_some_and(|(job, child)| !runnable(job, *child)) {
                queue.line.retries.pop_front();
            }
            let mut place = queue.line.retries.front().map(|(job, child)| (Lane::Retry, *job, *child));
            while let (None, Some(key)) = (place, queue.line.fresh.front().copied()) {
                let job = self.jobs.get_mut(&key);
                let next = job.and_then(|job| {
                    while job.child(job.next_fresh).is_some_and(|c| c.status != Status::Runnable) {
                        job.next_fresh += 1;
                    }
                    (job.next_fresh < job.size()).then_some(job.next_fresh)
                });
                match next {
                    Some(child) => place = Some((Lane::Fresh, key, child)),
                    None => drop(queue.line.fresh.pop_front()),
                }
            }
            if let Some((lane, job, child)) = place {
                let place = (Reverse(queue.priority), lane, job, child);
                best = Some(best.map_or(place, |other| other.min(place)));
            }
        }
        best
    }

    /// Fails a child for what AWS only finds out when it would start it.
    fn fail_unfit(&mut self, key: u32, child: u32) {
        let now = self.now;
        let Some(job) = self.jobs.get_mut(&key) else { return };
        let reason = self.texts.intern(job.unfit.as_deref().unwrap_or_default());
        let record = &mut job.children[child as usize];
        record.reason = reason;
        record.last.stopped_at = now;
        job.set_status(child, Status::Failed, now);
    }

    fn start(&mut self, key: u32, child: u32) -> Start {
        let job = self.jobs.get_mut(&key).expect("the head of the line is a job of ours");
        let record = &mut job.children[child as usize];
        if record.attempt > 0 {
            job.earlier.entry(child).or_default().push(record.last);
        }
        record.attempt += 1;
        record.last = Attempt::default();
        let attempt = AttemptKey { job: key, child, attempt: u32::from(record.attempt) };
        job.set_status(child, Status::Starting, self.now);
        self.live += 1;
        self.describe_start(attempt)
    }

    fn describe_start(&self, attempt: AttemptKey) -> Start {
        let job = &self.jobs[&attempt.job];
        let job_id = self.child_id(attempt.job, attempt.child);
        let environment = self.queues.get(&job.queue).and_then(|queue| queue.environments.first());
        let mut variables: Vec<(String, String)> =
            job.environment.iter().map(|pair| (pair.name.clone(), pair.value.clone())).collect();
        let mut own = |name: &str, value: String| variables.push((name.to_owned(), value));
        own("AWS_BATCH_JOB_ID", job_id.clone());
        own("AWS_BATCH_JOB_ATTEMPT", attempt.attempt.to_string());
        own("AWS_BATCH_CE_NAME", environment.cloned().unwrap_or_default());
        own("AWS_BATCH_JQ_NAME", job.queue.clone());
        if job.is_array {
            own("AWS_BATCH_JOB_ARRAY_INDEX", attempt.child.to_string());
        }
        Start {
            attempt,
            job_id,
            job_name: job.name.clone(),
            image: job.image.clone(),
            command: job.command.clone(),
            environment: variables,
            resources: job.resources.clone(),
            log_stream: ids::log_stream(&job.definition.0, &job.id, attempt.child, attempt.attempt),
        }
    }

    /// The id that DescribeJobs knows a child by: for a plain job's one child, the job's.
    pub(super) fn child_id(&self, key: u32, child: u32) -> String {
        let job = &self.jobs[&key];
        if job.is_array { format!("{}:{child}", job.id) } else { job.id.clone() }
    }
}
