//! Faults of jobs, on demand: what AWS does to them now and then. The settings are an input, and every choice is a hash of
//! their seed and of the job, the child and the attempt it is about; so a journal replays to the same model.
//!
//! A job's number here is its place in order of submission: the same submissions meet the same faults.

mod lag;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use self::lag::Lag;
use super::effect::{Effect, End, Start, Stop};
use super::job::{AttemptKey, Status};
use super::reply::HostsLost;
use super::{Model, Refusal, Reply};
use crate::emulator::faults::draw::Draw;
use crate::emulator::faults::{ImagePull, ListingLag, Shortage, SlowStart, SpotLoss, SummaryLag};

/// How many hosts there are to lose. What a lost attempt is told of its host is kept, so their names must not be new for ever.
const HOSTS: u64 = 4096;

/// What goes wrong with jobs on purpose. What is absent does not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Drill {
    /// Of every choice.
    pub seed: u64,
    /// How late an array's summary is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary_lag: Option<SummaryLag>,
    /// How late ListJobs is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listing_lag: Option<ListingLag>,
    /// Attempts that lose their host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spot_loss: Option<SpotLoss>,
    /// Queues that start nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shortage: Option<Shortage>,
    /// Attempts whose image cannot be pulled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_pull: Option<ImagePull>,
    /// Attempts that are STARTING for long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_start: Option<SlowStart>,
}

/// A drill under way.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Drills {
    set: Drill,
    due: BTreeSet<(u64, AttemptKey, Due)>,
    /// STARTING, and not given to the runner yet.
    waiting: BTreeSet<AttemptKey>,
    /// To fail as soon as the dispatch that started them is over.
    unpulled: Vec<AttemptKey>,
    lag: Lag,
    /// How often each fault has struck, since the seed was set.
    struck: BTreeMap<String, u64>,
}

/// What happens to an attempt at a drawn time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Due {
    /// It is given to the runner.
    Begin,
    /// Its host goes.
    Loss,
}

impl Drills {
    /// What a queue without capacity says.
    pub(super) fn shortage(&self, queue: &str) -> Option<&str> {
        let shortage = self.set.shortage.as_ref().filter(|shortage| meant(&shortage.queues, queue))?;
        Some(&shortage.reason)
    }

    /// When something is due.
    pub(super) fn wake_at(&self) -> Option<u64> {
        self.due.first().map(|(at, _, _)| *at).into_iter().chain(self.lag.wake_at()).min()
    }

    /// A child of this job has changed its state: to be said of every [`super::job::Job::set_status`].
    pub(super) fn moved(&mut self, job: u32) {
        self.lag.moved(job);
    }

    fn strike(&mut self, fault: &str) {
        *self.struck.entry(fault.to_owned()).or_default() += 1;
    }

    fn draw(&self, what: &str, attempt: AttemptKey) -> Draw {
        let place = [u64::from(attempt.job), u64::from(attempt.child), u64::from(attempt.attempt)];
        Draw::of(self.set.seed, what, &place)
    }
}

/// Whether a fault of these queues is about this one.
fn meant(queues: &[String], queue: &str) -> bool {
    queues.is_empty() || queues.iter().any(|name| name == queue)
}

impl Model {
    /// How often each fault about jobs has struck.
    pub fn struck(&self) -> &BTreeMap<String, u64> {
        &self.drills.struck
    }

    /// Sets what goes wrong from now on. A fault that is set as it was goes on; of one that is set anew, what was drawn for
    /// attempts under way holds, but for losses still to come.
    pub(super) fn set_drill(&mut self, drill: Drill) {
        let before = std::mem::replace(&mut self.drills.set, drill);
        let set = &self.drills.set;
        if before.spot_loss != set.spot_loss {
            self.drills.due.retain(|(_, _, due)| *due != Due::Loss);
        }
        if before.seed != set.seed {
            self.drills.struck.clear();
        }
        let (summaries, listings) = (before.summary_lag != set.summary_lag, before.listing_lag != set.listing_lag);
        if summaries {
            self.begin_summary_lag();
        }
        if listings {
            self.begin_listing_lag();
        }
    }

    /// Gives an attempt to the runner, unless it is to fail or to wait first.
    pub(super) fn begin(&mut self, start: Start, effects: &mut Vec<Effect>) {
        let (set, attempt) = (&self.drills.set, start.attempt);
        let queue = self.jobs.get(&attempt.job).map_or("", |job| job.queue.as_str());
        let pull = set.image_pull.as_ref().filter(|pull| meant(&pull.queues, queue));
        if pull.is_some_and(|pull| self.drills.draw("image_pull", attempt).hits(pull.share)) {
            self.drills.strike("image_pull");
            self.drills.unpulled.push(attempt);
            return;
        }
        if let Some(slow) = set.slow_start.as_ref().filter(|slow| meant(&slow.queues, queue)) {
            let mut draw = self.drills.draw("slow_start", attempt);
            if draw.hits(slow.share) {
                let at = self.now.saturating_add(slow.time.draw(&mut draw));
                self.drills.due.insert((at, attempt, Due::Begin));
                self.drills.waiting.insert(attempt);
                self.drills.strike("slow_start");
                return;
            }
        }
        effects.push(Effect::Start(Box::new(start)));
    }

    /// Draws whether an attempt that has begun will lose its host.
    pub(super) fn draw_loss(&mut self, attempt: AttemptKey) {
        let Some(loss) = &self.drills.set.spot_loss else { return };
        let Some(job) = self.jobs.get(&attempt.job) else { return };
        let Some(child) = job.child(attempt.child).filter(|child| child.status == Status::Running) else { return };
        if !self.is_live(attempt) || !meant(&loss.queues, &job.queue) || loss.spot_only && !self.on_spot(attempt) {
            return;
        }
        let mut draw = self.drills.draw("spot_loss", attempt);
        if draw.hits(loss.share) {
            let at = child.last.started_at.saturating_add(loss.after.draw(&mut draw));
            self.drills.due.insert((at, attempt, Due::Loss));
        }
    }

    /// Whether an attempt runs where capacity may be taken back.
    fn on_spot(&self, attempt: AttemptKey) -> bool {
        let child = self.jobs.get(&attempt.job).and_then(|job| job.child(attempt.child));
        let name = child.and_then(|child| self.texts.get(child.environment));
        name.and_then(|name| self.environments.get(name)).is_some_and(|environment| environment.kind.ends_with("SPOT"))
    }

    /// After an input: hosts go, slow starts begin, and those that are stopped before they begin are over.
    pub(super) fn drill(&mut self, effects: &mut Vec<Effect>) {
        if self.drills.due.is_empty() {
            return;
        }
        self.stop_waiting(effects);
        let mut lost = Vec::new();
        while let Some((at, attempt, due)) = self.drills.due.first().copied().filter(|(at, _, _)| *at <= self.now) {
            self.drills.due.remove(&(at, attempt, due));
            match due {
                Due::Loss => lost.extend(self.is_live(attempt).then_some(attempt)),
                Due::Begin => {
                    if self.drills.waiting.remove(&attempt) && self.is_live(attempt) {
                        effects.push(Effect::Start(Box::new(self.describe_start(attempt))));
                    }
                }
            }
        }
        lost.iter().for_each(|_| self.drills.strike("spot_loss"));
        self.lose(&lost, effects);
    }

    /// After a dispatch: fails those whose image could not be pulled. Whether there were any: then others may start.
    pub(super) fn fail_unpulled(&mut self) -> bool {
        let unpulled = std::mem::take(&mut self.drills.unpulled);
        let reason = self.drills.set.image_pull.as_ref().map_or(String::new(), |pull| pull.reason.clone());
        let end = End::StartFailed { reason };
        unpulled.iter().for_each(|attempt| self.ended(*attempt, &end));
        !unpulled.is_empty()
    }

    /// The runner knows nothing of those that wait to begin: a signal ends them here.
    fn stop_waiting(&mut self, effects: &[Effect]) {
        let signals = effects.iter().filter_map(|effect| match effect {
            Effect::Signal(attempts, stop) => Some((attempts, stop)),
            Effect::Start(_) => None,
        });
        for (attempts, stop) in signals {
            let exit_code = match stop {
                Stop::Term => 143,
                Stop::Kill => 137,
            };
            for attempt in attempts {
                if self.drills.waiting.remove(attempt) {
                    self.ended(*attempt, &End::exited(exit_code));
                }
            }
        }
    }

    /// These attempts' hosts go: each is over, and what is left of it is killed.
    fn lose(&mut self, attempts: &[AttemptKey], effects: &mut Vec<Effect>) {
        let mut kill = Vec::new();
        for attempt in attempts {
            let host = self.drills.draw("instance", *attempt).between(0, HOSTS - 1);
            let instance = Draw::of(self.drills.set.seed, "instance", &[host]).bits();
            let status_reason = format!("Host EC2 (instance i-{instance:017x}) terminated.");
            if !self.drills.waiting.remove(attempt) {
                kill.push(*attempt);
            }
            self.ended(*attempt, &End::Lost { status_reason });
        }
        if !kill.is_empty() {
            effects.push(Effect::Signal(kill, Stop::Kill));
        }
    }

    /// The hosts of all attempts under way go, or of those of these jobs and children.
    pub(super) fn lose_hosts(&mut self, ids: &[String], effects: &mut Vec<Effect>) -> Result<Reply, Refusal> {
        let unknown = |id: &String| Refusal(format!("Job {id} does not exist"));
        let wanted = ids.iter().map(|id| self.find(id).ok_or_else(|| unknown(id))).collect::<Result<Vec<_>, _>>()?;
        let mut lost = Vec::new();
        for (key, job) in &self.jobs {
            if job.count(Status::Starting) + job.count(Status::Running) == 0 {
                continue;
            }
            for (child, record) in (0..).zip(&job.children) {
                let meant = |(job, one): &(u32, Option<u32>)| job == key && one.is_none_or(|one| one == child);
                if record.status.is_live() && (ids.is_empty() || wanted.iter().any(meant)) {
                    lost.push(AttemptKey { job: *key, child, attempt: u32::from(record.attempt) });
                }
            }
        }
        self.lose(&lost, effects);
        Ok(Reply::HostsLost(HostsLost { lost: lost.len() }))
    }
}

#[cfg(test)]
mod tests;
