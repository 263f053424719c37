//! What callers are told late: a change is told some time after it was made, and with it all that was made since.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::super::Model;
use super::super::describe::View;
use super::super::job::{Job, Status};
use crate::emulator::faults::Span;
use crate::emulator::faults::draw::Draw;

/// What is told of jobs that are told late. A job that is not here is told as it is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Lag {
    /// Jobs below this number have been met.
    met: u32,
    /// By DescribeJobs, of arrays.
    pub(super) summaries: Late,
    /// By ListJobs.
    pub(super) listings: Late,
    /// Jobs whose children changed their states during this input; empty between inputs.
    #[serde(skip)]
    moved: Vec<u32>,
}

/// Jobs as they are told. No input looks at more of them than it changes or makes due.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Late {
    pub(super) told: BTreeMap<u32, Told>,
    /// When each is next to be told as it is: those of `told` that are due at all.
    pub(super) due: BTreeSet<(u64, u32)>,
}

/// A job as it was.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Told {
    /// When it was like this.
    at: u64,
    status: Status,
    counts: [u32; 7],
    /// Children's states, where they are told one by one; none before the job is listed at all.
    children: Option<Vec<u8>>,
    /// [`Job::moves`] then; none before it was first told.
    pub(super) moves: Option<u64>,
    /// When it is next to be told as it is.
    pub(super) due: Option<u64>,
}

impl Told {
    /// A job that nobody has been told of.
    fn unseen(job: &Job) -> Told {
        let mut counts = [0; 7];
        counts[Status::Submitted as usize] = job.size();
        Told { at: job.created_at, status: Status::Submitted, counts, children: None, moves: None, due: None }
    }

    fn seen(job: &Job, now: u64, with_children: bool) -> Told {
        let children = with_children.then(|| job.children.iter().map(|child| child.status as u8).collect());
        Told { at: now, status: job.status(), counts: job.counts, children, moves: Some(job.moves), due: None }
    }

    fn child(&self, index: u32) -> Status {
        let state = self.children.as_ref().and_then(|children| children.get(index as usize));
        state.and_then(|state| Status::ALL.get(usize::from(*state))).copied().unwrap_or(Status::Submitted)
    }

    /// Tells a job as it was.
    fn cover(&self, view: &mut View<'_>) {
        cover_state(self.status, view);
        if let Some(array) = view.array.as_mut().filter(|array| array.size.is_some()) {
            let summary = Status::ALL.into_iter().map(|status| (status, self.counts[status as usize]));
            array.status_summary = summary.collect();
            array.status_summary_last_updated_at = Some(self.at);
        }
    }
}

/// Tells a job or child to be in a state that it was in.
fn cover_state(status: Status, view: &mut View<'_>) {
    if view.status == status {
        return;
    }
    view.status = status;
    view.reason = None;
    view.stopped_at = None;
    if status < Status::Running {
        view.started_at = None;
    }
    view.child = None;
}

impl Lag {
    pub(super) fn wake_at(&self) -> Option<u64> {
        [&self.summaries, &self.listings].into_iter().filter_map(|late| late.due.first()).map(|(at, _)| *at).min()
    }

    /// A child of this job has changed its state.
    pub(super) fn moved(&mut self, key: u32) {
        if self.moved.last() != Some(&key) {
            self.moved.push(key);
        }
    }
}

impl Late {
    /// Meets new jobs, and draws when a change will be told.
    fn note(
        &mut self,
        jobs: &BTreeMap<u32, Job>,
        new: impl Iterator<Item = u32>,
        moved: &[u32],
        now: u64,
        draw: impl Fn(u32, u64) -> u64,
    ) {
        let new: Vec<u32> = new.collect();
        self.told.extend(new.iter().map(|key| (*key, Told::unseen(&jobs[key]))));
        for key in new.iter().chain(moved) {
            let Some(told) = self.told.get_mut(key).filter(|told| told.due.is_none()) else { continue };
            if let Some(job) = jobs.get(key).filter(|job| Some(job.moves) != told.moves) {
                let due = now.saturating_add(draw(*key, job.moves));
                told.due = Some(due);
                self.due.insert((due, *key));
            }
        }
    }

    /// Tells what is due as it is now.
    fn tell(&mut self, jobs: &BTreeMap<u32, Job>, now: u64, with_children: bool) {
        while let Some((_, key)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            self.due.pop_first();
            let told = jobs.get(&key).map(|job| Told::seen(job, now, with_children));
            // An ended job does not change any more, nor does one that is forgotten.
            match told.filter(|told| !told.status.is_terminal()) {
                Some(told) => drop(self.told.insert(key, told)),
                None => drop(self.told.remove(&key)),
            }
        }
    }

    /// What is told of a job, if it is told late.
    fn get(&self, key: u32) -> Option<&Told> {
        self.told.get(&key)
    }
}

impl Model {
    /// Begins or ends to be late about arrays, with what is known now.
    pub(super) fn begin_summary_lag(&mut self) {
        self.drills.lag.summaries = match self.drills.set.summary_lag {
            Some(_) => self.tell_unended(|job| job.is_array, false),
            None => Late::default(),
        };
        self.drills.lag.met = self.next_job;
    }

    /// The same about listings.
    pub(super) fn begin_listing_lag(&mut self) {
        self.drills.lag.listings = match self.drills.set.listing_lag {
            Some(_) => self.tell_unended(|_| true, true),
            None => Late::default(),
        };
        self.drills.lag.met = self.next_job;
    }

    /// What there is to tell now of jobs that may still change.
    fn tell_unended(&self, which: impl Fn(&Job) -> bool, with_children: bool) -> Late {
        let jobs = self.jobs.iter().filter(|(_, job)| !job.status().is_terminal() && which(job));
        let told = jobs.map(|(key, job)| (*key, Told::seen(job, self.now, with_children))).collect();
        Late { told, due: BTreeSet::new() }
    }

    /// Tells everything as it is.
    pub fn tell_all(&mut self) {
        self.drills.lag = Lag { met: self.next_job, ..Lag::default() };
    }

    /// Before an input: tells what is due as it is now.
    pub(in super::super) fn tell_what_is_due(&mut self) {
        let lag = &mut self.drills.lag;
        lag.summaries.tell(&self.jobs, self.now, false);
        lag.listings.tell(&self.jobs, self.now, true);
    }

    /// After an input: finds what has changed.
    pub(in super::super) fn note_changes(&mut self) {
        let (set, lag, now, jobs) = (&self.drills.set, &mut self.drills.lag, self.now, &self.jobs);
        let (seed, met) = (set.seed, std::mem::replace(&mut lag.met, self.next_job));
        let moved = std::mem::take(&mut lag.moved);
        let lateness = |what: &'static str, time: Span| {
            move |key: u32, moves: u64| time.draw(&mut Draw::of(seed, what, &[u64::from(key), moves]))
        };
        if let Some(summary) = &set.summary_lag {
            let new = jobs.range(met..).filter(|(_, job)| job.is_array).map(|(key, _)| *key);
            lag.summaries.note(jobs, new, &moved, now, lateness("summary_lag", summary.time));
        }
        if let Some(listing) = &set.listing_lag {
            let new = jobs.range(met..).map(|(key, _)| *key);
            lag.listings.note(jobs, new, &moved, now, lateness("listing_lag", listing.time));
        }
    }

    /// A parent as DescribeJobs tells it.
    pub(in super::super) fn summary_told<'a>(&self, key: u32, child: Option<u32>, mut view: View<'a>) -> View<'a> {
        if let Some(told) = self.drills.lag.summaries.get(key).filter(|_| child.is_none()) {
            told.cover(&mut view);
        }
        view
    }

    /// A job as ListJobs tells it.
    pub(in super::super) fn listing_told<'a>(&self, key: u32, child: Option<u32>, mut view: View<'a>) -> View<'a> {
        match (self.drills.lag.listings.get(key), child) {
            (Some(told), None) => told.cover(&mut view),
            (Some(told), Some(index)) => cover_state(told.child(index), &mut view),
            (None, _) => {}
        }
        view
    }

    /// Whether ListJobs knows of a job.
    pub(in super::super) fn is_listed(&self, key: u32) -> bool {
        self.drills.lag.listings.get(key).is_none_or(|told| told.children.is_some())
    }

    /// The state that ListJobs tells of a job.
    pub(in super::super) fn listed_status(&self, key: u32, job: &Job) -> Status {
        self.drills.lag.listings.get(key).map_or_else(|| job.status(), |told| told.status)
    }

    /// The states that ListJobs tells of a job's children, where they are not those they have.
    pub(in super::super) fn listed_children(&self, key: u32) -> Option<impl Fn(u32) -> Status + '_> {
        self.drills.lag.listings.get(key).map(|told| |index| told.child(index))
    }
}
