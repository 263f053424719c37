//! The driver's eye on children that wait and do not start.
//!
//! What Batch says of a job at the head of a blocked queue is seen with every poll, for nothing. Where it says nothing,
//! the queue and its compute environments are looked at: seldom, and only when nothing of this execution has moved in
//! that queue for a while. All of it is for people: nothing is decided by it, and it is not journalled.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::Driver;
use crate::aws::batch::JobDetail;
use crate::map::event::Queue;
use crate::map::stuck::{Shape, Stuck};
use crate::run::stuck;

/// How long nothing may start before AWS is asked why. An instance takes some minutes to come up.
const FIRST_LOOK: Duration = Duration::from_secs(5 * 60);

/// The same on an emulator, where places are free at once.
const FIRST_LOOK_EMULATED: Duration = Duration::from_secs(5);

/// The longest pause between two such questions; it doubles up to here.
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);

/// What is known of the children that wait.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    quiet: BTreeMap<Queue, Quiet>,
    found: BTreeMap<Queue, Stuck>,
}

/// A queue in which nothing of ours moves.
#[derive(Debug)]
struct Quiet {
    since: Instant,
    /// Children that had ended by then.
    ended: u64,
    look_at: Instant,
    pause: Duration,
}

/// One queue's part of a poll.
#[derive(Debug, Default)]
struct Seen {
    runnable: u64,
    going: u64,
    ended: u64,
    /// An array with children that wait.
    array: Option<String>,
    told: Option<Stuck>,
}

impl Waiting {
    /// Why children wait, if that is known.
    pub(super) fn stuck(&self) -> Option<&Stuck> {
        self.found.values().next()
    }
}

impl Driver {
    /// Takes in a poll's answers: `running` are the arrays asked about. Never fails, for driving does not depend on it.
    pub(super) async fn watch_waiting(&mut self, running: &[(u32, String)], answers: &BTreeMap<String, JobDetail>) {
        // What is being ended need not start any more.
        if self.execution.decision().is_some() {
            self.waiting = Waiting::default();
            return;
        }
        let mut queues: BTreeMap<Queue, Seen> = BTreeMap::new();
        let open: BTreeMap<u32, Queue> = self.execution.open().map(|(number, array)| (number, array.queue)).collect();
        for (number, job) in running {
            let (Some(queue), Some(detail)) = (open.get(number), answers.get(job)) else { continue };
            queues.entry(*queue).or_default().add(job, detail);
        }
        self.waiting.quiet.retain(|queue, _| queues.contains_key(queue));
        self.waiting.found.retain(|queue, _| queues.contains_key(queue));
        for (queue, seen) in queues {
            self.watch_queue(queue, seen).await;
        }
    }

    async fn watch_queue(&mut self, queue: Queue, seen: Seen) {
        if let Some(told) = seen.told {
            return self.tell_stuck(queue, told);
        }
        let (now, first) = (Instant::now(), self.first_look());
        let moved = |quiet: &Quiet| quiet.ended != seen.ended;
        let quiet = self.waiting.quiet.get(&queue);
        if seen.runnable == 0 || seen.going > 0 || quiet.is_some_and(moved) {
            self.waiting.quiet.remove(&queue);
            self.waiting.found.remove(&queue);
            return;
        }
        let fresh = Quiet { since: now, ended: seen.ended, look_at: now + first, pause: first };
        let quiet = self.waiting.quiet.entry(queue).or_insert(fresh);
        if now < quiet.look_at {
            return;
        }
        quiet.pause = (quiet.pause * 2).min(LONGEST_PAUSE);
        quiet.look_at = now + quiet.pause;
        let (since, name) = (quiet.since, self.template.queue(queue).to_owned());
        let batch = self.ports.batch.clone();
        match stuck::inquire(batch.as_ref(), &name, seen.array.as_deref(), self.shape_to_fit()).await {
            Ok(found) => {
                let in_order = || stuck::in_order(&name, since.elapsed(), self.is_emulated());
                let stuck = found.unwrap_or_else(in_order);
                self.tell_stuck(queue, stuck);
            }
            Err(error) => tracing::debug!(%error, "why nothing starts could not be asked"),
        }
    }

    fn tell_stuck(&mut self, queue: Queue, stuck: Stuck) {
        // In full once; how long it has lasted is no news.
        if self.waiting.found.get(&queue).is_none_or(|known| known.code != stuck.code) {
            tracing::warn!("children wait and do not start: {stuck}");
        }
        self.waiting.found.insert(queue, stuck);
    }

    fn first_look(&self) -> Duration {
        if self.is_emulated() { FIRST_LOOK_EMULATED } else { FIRST_LOOK }
    }

    /// An emulator says itself what can never start, and its own environments take children of any size.
    fn shape_to_fit(&self) -> Shape {
        if self.is_emulated() { Shape::default() } else { stuck::shape(&self.record) }
    }

    /// Only AWS's answers lag.
    fn is_emulated(&self) -> bool {
        self.patience.lag.is_zero()
    }
}

impl Seen {
    fn add(&mut self, job: &str, detail: &JobDetail) {
        let (runnable, going, ended) = stuck::tally(detail);
        self.runnable += u64::from(runnable);
        self.going += u64::from(going);
        self.ended += u64::from(ended);
        if runnable > 0 && !detail.summary.is_empty() {
            self.array.get_or_insert_with(|| job.to_owned());
        }
        if self.told.is_none() {
            self.told = stuck::told(detail);
        }
    }
}
