//! AWS Batch as a pure state machine: no clock, no files, no processes. Time is an argument, ids come from a seed, and nothing
//! is iterated out of order, so the same inputs always give the same answers and effects.
//!
//! ```text
//!  API request ─┐                       ┌─► Reply, or a Refusal
//!  runner report ├─► apply(now, Input) ─┤
//!  tick ─────────┘                      └─► Effects: start this attempt, signal those
//!                     wake_at(): when the next tick is due
//! ```
//!
//! Who drives it owns the rest: it carries effects out in their order and reports how attempts go.

mod blocked;
mod check;
mod consuming;
mod container;
mod definition;
mod depend;
mod describe;
mod dispatch;
mod drill;
mod fair;
mod finish;
mod hold;
mod ids;
mod job;
mod line;
mod list;
mod places;
mod platform;
mod requirements;
mod retain;
mod retry;
mod room;
mod settings;
mod snapshot;
mod stop;
mod submit;
mod texts;
mod token;

pub mod api;
pub mod effect;
pub mod reply;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

pub use self::drill::Drill;
pub use self::effect::{ContainerEnd, Effect, End, Start, Stop, TaskContainer};
pub use self::job::{AttemptKey, Status};
pub use self::places::{INTERRUPTIBLE, MAIN};
pub use self::reply::Reply;
pub use self::settings::{Device, HostPath, LinuxParameters, MountPoint, Settings, Tmpfs, Ulimit, Volume};

use self::api::{DeregisterJobDefinition, PlaceChange, RegisterJobDefinition, StopJob, StopJobs, SubmitJob};
use self::definition::Revisions;
use self::job::Job;
use self::places::tags::Tags;
use self::places::{Consumable, Environment, Policy, Queue};
use self::texts::Texts;

/// A change. The journal is a list of these, so a variant or field once written is read for ever.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Input {
    /// RegisterJobDefinition.
    Register(Box<RegisterJobDefinition>),
    /// DeregisterJobDefinition.
    Deregister(DeregisterJobDefinition),
    /// Compute environments, job queues, scheduling policies, consumable resources and tags.
    Place(Box<PlaceChange>),
    /// SubmitJob.
    Submit(Box<SubmitJob>),
    /// CancelJob.
    Cancel(StopJob),
    /// TerminateJob.
    Terminate(StopJob),
    /// CancelJobs.
    CancelMany(StopJobs),
    /// TerminateJobs.
    TerminateMany(StopJobs),
    /// The runner has the attempt's command running.
    Started(AttemptKey),
    /// The attempt is over and nothing of it is left.
    Ended(AttemptKey, End),
    /// Time has passed.
    Tick,
    /// How many children may run at once from now on.
    Slots(u32),
    /// Every attempt under way is lost with its host.
    HostLost,
    /// No job starts children until it is released.
    Hold,
    /// These jobs' drivers are back.
    Release(Vec<String>),
    /// What goes wrong with jobs on purpose from now on.
    Drill(Box<Drill>),
    /// The hosts of all attempts under way go, or of those of these jobs and children.
    LoseHosts(Vec<String>),
}

/// What a change brought about.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// The API's answer; empty for other inputs.
    pub reply: Reply,
    /// To be carried out in this order.
    pub effects: Vec<Effect>,
}

/// Why a request was refused: AWS's `ClientException`. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

/// Every job, definition, queue and compute environment of the endpoint.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Model {
    seed: String,
    /// The latest time seen: it never goes back.
    now: u64,
    slots: u32,
    /// Children that are STARTING or RUNNING.
    live: u32,
    next_job: u32,
    environments: BTreeMap<String, Environment>,
    queues: BTreeMap<String, Queue>,
    /// By name.
    consumables: BTreeMap<String, Consumable>,
    /// By name.
    policies: BTreeMap<String, Policy>,
    /// Of all that is named so far, by `kind/name`; jobs and definitions have their own.
    tags: BTreeMap<String, Tags>,
    /// By name.
    definitions: BTreeMap<String, Revisions>,
    /// In order of submission.
    jobs: BTreeMap<u32, Job>,
    by_id: BTreeMap<String, u32>,
    texts: Texts,
    deadlines: BTreeSet<(u64, AttemptKey, Deadline)>,
    /// Who waits for whom.
    dependents: BTreeSet<depend::Wait>,
    /// When jobs that have ended are forgotten.
    expiries: BTreeSet<(u64, u32)>,
    /// Children whose end must still be told to those who wait for it; empty between inputs.
    #[serde(skip)]
    settled: VecDeque<(u32, u32)>,
    /// Jobs that wait for their driver.
    #[serde(default)]
    held: BTreeMap<u32, hold::Held>,
    #[serde(default)]
    drills: drill::Drills,
}

/// What is due for an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Deadline {
    Timeout,
    Kill,
}

impl Model {
    /// An endpoint with its queues and environments and no job. `seed` makes its ids; `slots` is how many children run at once.
    pub fn new(seed: &str, slots: u32) -> Model {
        Model {
            seed: seed.to_owned(),
            now: 0,
            slots,
            live: 0,
            next_job: 0,
            environments: places::environments(seed),
            queues: places::queues(),
            consumables: BTreeMap::new(),
            policies: BTreeMap::new(),
            tags: BTreeMap::new(),
            definitions: BTreeMap::new(),
            jobs: BTreeMap::new(),
            by_id: BTreeMap::new(),
            texts: Texts::default(),
            deadlines: BTreeSet::new(),
            dependents: BTreeSet::new(),
            expiries: BTreeSet::new(),
            settled: VecDeque::new(),
            held: BTreeMap::new(),
            drills: drill::Drills::default(),
        }
    }

    /// Takes one input at `now` (milliseconds since 1970; an earlier time than the last counts as the last).
    ///
    /// # Errors
    /// A refused request, which has changed nothing. Reports are never refused: one about an attempt that is over says nothing new.
    pub fn apply(&mut self, now: u64, input: Input) -> Result<Output, Refusal> {
        self.now = self.now.max(now);
        let mut effects = Vec::new();
        self.tell_what_is_due();
        let reply = self.change(input, &mut effects)?;
        self.drill(&mut effects);
        self.follow();
        self.dispatch(&mut effects);
        while self.fail_unpulled() {
            self.follow();
            self.dispatch(&mut effects);
        }
        self.forget_empty_environments();
        self.note_changes();
        if self.texts.is_due() {
            self.renew_texts();
        }
        Ok(Output { reply, effects })
    }

    fn change(&mut self, input: Input, effects: &mut Vec<Effect>) -> Result<Reply, Refusal> {
        match input {
            Input::Register(request) => return self.register(*request).map(Reply::Registered),
            Input::Place(change) => return self.place(&change, effects).map(Reply::Placed),
            Input::Submit(request) => return self.submit(*request).map(Reply::Submitted),
            Input::Deregister(request) => self.deregister(&request)?,
            Input::Cancel(request) => self.cancel(&request)?,
            Input::Terminate(request) => self.terminate(&request, effects)?,
            Input::CancelMany(request) => return self.stop_jobs(&request, false, effects).map(Reply::Stopped),
            Input::TerminateMany(request) => return self.stop_jobs(&request, true, effects).map(Reply::Stopped),
            Input::Started(attempt) => {
                self.started(attempt);
                self.draw_loss(attempt);
            }
            Input::Ended(attempt, end) => self.ended(attempt, &end),
            Input::Tick => self.tick(effects),
            Input::Slots(slots) => self.slots = slots,
            Input::HostLost => self.host_lost(),
            Input::Hold => self.hold(),
            Input::Release(ids) => self.release(&ids),
            Input::Drill(drill) => self.set_drill(*drill),
            Input::LoseHosts(ids) => return self.lose_hosts(&ids, effects),
        }
        Ok(Reply::Done {})
    }

    /// When the next [`Input::Tick`] is due, in milliseconds since 1970.
    pub fn wake_at(&self) -> Option<u64> {
        let attempt = self.deadlines.first().map(|(at, _, _)| *at);
        [attempt, self.next_limit(), self.next_expiry(), self.drills.wake_at()].into_iter().flatten().min()
    }

    /// How many jobs (parents and plain ones) have not ended.
    pub fn unfinished(&self) -> usize {
        self.jobs.values().filter(|job| !job.status().is_terminal()).count()
    }

    /// How many children (a plain job is one) have not ended.
    pub fn unfinished_children(&self) -> u64 {
        let left = |job: &Job| job.size() - job.count(Status::Succeeded) - job.count(Status::Failed);
        self.jobs.values().map(|job| u64::from(left(job))).sum()
    }

    /// How many children of a job (a plain job is its own) have not ended; none of one that is not known.
    pub fn unfinished_children_of(&self, id: &str) -> u32 {
        let job = self.find(id).and_then(|(key, _)| self.jobs.get(&key));
        job.map_or(0, |job| job.size() - job.count(Status::Succeeded) - job.count(Status::Failed))
    }

    /// How many children the runner has: STARTING or RUNNING.
    pub fn live(&self) -> u32 {
        self.live
    }

    /// The job and child of an id; no child means the job as a whole.
    fn find(&self, id: &str) -> Option<(u32, Option<u32>)> {
        let (parent, child) = ids::split_child(id);
        let key = *self.by_id.get(parent)?;
        let job = self.jobs.get(&key)?;
        match child {
            None => Some((key, None)),
            Some(index) if job.is_array && index < job.size() => Some((key, Some(index))),
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
