//! The sweep: jobs under the execution's name that its journal does not know are ended.
//!
//! SubmitJob has no client token and no fence in S3 reaches it. A driver that was paused between its look at the journal
//! and its call, or a request that spent minutes in the network, makes a job that nobody waits for; after it the same
//! array may have been submitted again. Such jobs run real children, so they are looked for by name when a driver takes
//! over, and once more before the execution is called finished, when they would be left behind for good.
//!
//! Which job is whose is told by the journal alone: of two jobs of one name the adopted one stays.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::terminating::Stop;
use super::{DriveError, Driver};
use crate::aws::batch::{BatchError, JobSummary};
use crate::map::event::{Event, Queue};
use crate::map::layout;
use crate::run::observe;

/// Pages of ListJobs (100 jobs each) that one turn of the driver takes at most: some seconds, after which whoever wants
/// to stop it, and the next poll, have their turn.
const PAGES_A_TURN: usize = 100;

/// Passes in a row that may be cut short by a refused page token. One may have grown old; five have another reason.
const FRESH_STARTS: u32 = 5;

/// What such a job is told.
const REASON: &str = "not in the journal of its execution: it was submitted by a driver that had been overtaken";

/// One reading of every job under the execution's name.
#[derive(Debug)]
struct Pass {
    began: Instant,
    queues: Vec<String>,
    /// Where the first of the queues is to be read on.
    token: Option<String>,
}

/// What the sweep has come to.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    /// Whether there may be jobs that the journal does not know.
    needed: bool,
    /// Whether an array was given up that may have been submitted all the same, and may show late.
    given_up: bool,
    /// Whether the pass of a driver that has taken over is still to be made.
    at_takeover: bool,
    pass: Option<Pass>,
    /// Passes in a row that were cut short.
    cut_short: u32,
    /// When the last pass that was made to its end began.
    passed: Option<Instant>,
    /// Since when nothing of what the journal knows has been left with Batch.
    over: Option<Instant>,
    /// Jobs that are to end, since when they are known, and whether Batch has been told.
    strays: BTreeMap<String, (Instant, bool)>,
}

impl Sweep {
    /// This driver has taken over from another one, of whose submissions one was perhaps in doubt.
    pub(super) fn inherit(&mut self, doubt: bool) {
        (self.needed, self.at_takeover) = (true, true);
        self.given_up |= doubt;
    }

    /// A submission got no clear answer.
    pub(super) fn unanswered(&mut self) {
        self.needed = true;
    }

    /// Whether only AWS's lag is waited for: all has ended, and what was submitted perhaps may still show.
    pub(super) fn is_late(&self) -> bool {
        self.given_up && self.over.is_some()
    }

    /// An array was looked for in vain, and will be submitted again or forgotten.
    pub(super) fn given_up(&mut self) {
        (self.needed, self.given_up) = (true, true);
    }
}

impl Driver {
    /// The sweep of a driver that has just taken over, once it knows what has become of every submission that was under
    /// way. A turn takes a part of it; what comes after does not wait.
    pub(super) async fn sweep_after_takeover(&mut self) -> Result<(), DriveError> {
        if self.sweep.at_takeover && !self.execution.open().any(|(_, array)| array.is_in_doubt()) {
            self.flush().await?;
            if self.sweep_on().await? {
                self.sweep.at_takeover = false;
            }
        }
        // They take places that the concurrency does not count: told at once, and confirmed before the end.
        self.stop_strays().await
    }

    /// Whether the execution may be called finished: nothing of it is left with Batch, known to the journal or not. To be
    /// asked when everything that the journal knows has ended.
    pub(super) async fn nothing_is_left(&mut self) -> Result<bool, DriveError> {
        if !self.sweep.needed {
            return Ok(true);
        }
        self.flush().await?;
        let lag = self.patience.lag;
        if self.sweep.over.is_none() && self.sweep.given_up && !lag.is_zero() {
            tracing::info!(?lag, "all has ended; waiting for submissions that AWS may show late");
        }
        let over = *self.sweep.over.get_or_insert_with(Instant::now);
        // What was submitted before now shows when the listings have caught up. The first pass does not wait for that:
        // what is visible already is ended meanwhile.
        let late = if self.sweep.given_up { over + lag } else { over };
        // A pass that began before, for the takeover, says nothing of what came since.
        self.sweep.pass.take_if(|pass| pass.began < over);
        let now = Instant::now();
        let seen = |from: Instant| self.sweep.passed.is_some_and(|passed| passed >= from);
        if self.sweep.pass.is_some() || !seen(over) || (now >= late && !seen(late)) {
            self.sweep_on().await?;
        }
        self.stop_strays().await?;
        self.strays_end().await?;
        let sweep = &self.sweep;
        let done = sweep.pass.is_none() && sweep.strays.is_empty() && sweep.passed.is_some_and(|passed| passed >= late);
        if !done {
            self.cadence.hurry();
        }
        Ok(done)
    }

    /// Goes on with the pass under way, or begins one; whether it has come to its end.
    async fn sweep_on(&mut self) -> Result<bool, DriveError> {
        let mut pass = self.sweep.pass.take().unwrap_or_else(|| self.new_pass());
        for _ in 0..PAGES_A_TURN {
            let Some(queue) = pass.queues.first().cloned() else {
                self.sweep.passed = Some(pass.began);
                self.sweep.cut_short = 0;
                return Ok(true);
            };
            let name = format!("{}*", layout::job_name_prefix(self.template.root.id()));
            let page = match self.ports.batch.list_named(&queue, &name, pass.token.as_deref()).await {
                Ok(page) => page,
                // A page's token does not live for ever: this pass is over, and the next begins anew.
                Err(BatchError::Refused { message, .. })
                    if pass.token.is_some() && self.sweep.cut_short < FRESH_STARTS =>
                {
                    self.sweep.cut_short += 1;
                    tracing::debug!(message, "the sweep begins anew");
                    return Ok(false);
                }
                Err(error) => {
                    self.sweep.pass = Some(pass);
                    return Err(error.into());
                }
            };
            for job in &page.jobs {
                self.consider(job)?;
            }
            pass.token = page.next;
            if pass.token.is_none() {
                pass.queues.remove(0);
            }
        }
        self.sweep.pass = Some(pass);
        Ok(false)
    }

    fn new_pass(&self) -> Pass {
        let mut queues = vec![self.template.queue(Queue::Default).to_owned()];
        let interruptible = self.template.queue(Queue::Interruptible).to_owned();
        if self.execution.terms().interruptible && !queues.contains(&interruptible) {
            queues.push(interruptible);
        }
        Pass { began: Instant::now(), queues, token: None }
    }

    /// Takes in a job that was found under the execution's name.
    fn consider(&mut self, job: &JobSummary) -> Result<(), DriveError> {
        let Some(number) = layout::array_of(self.template.root.id(), &job.name) else { return Ok(()) };
        let known = self.execution.arrays().get(number);
        let ours = known.and_then(|array| array.job_id()).is_some_and(|id| id == job.id);
        if ours || job.status.is_terminal() || self.sweep.strays.contains_key(&job.id) {
            return Ok(());
        }
        match known.and_then(|array| array.open()) {
            // It will be looked up, and found.
            Some(array) if array.is_in_doubt() => Ok(()),
            // It was looked for in vain, and is there after all: better this one than another.
            Some(array) if array.job_id().is_none() => {
                self.take_in(Event::Submitted { array: number, job: job.id.clone() })
            }
            _ => {
                tracing::warn!(job = job.id, name = job.name, "a job that the journal does not know is ended");
                self.sweep.strays.insert(job.id.clone(), (Instant::now(), false));
                Ok(())
            }
        }
    }

    /// Tells Batch to end those that have been found.
    async fn stop_strays(&mut self) -> Result<(), DriveError> {
        let untold: Vec<String> =
            self.sweep.strays.iter().filter(|(_, (_, told))| !told).map(|(job, _)| job.clone()).collect();
        if !untold.is_empty() {
            // What was adopted in their place must be known to the next driver, or it might take one of them.
            self.flush().await?;
            // Perhaps it is this driver that was overtaken, and they are its successor's: then that one has written first.
            self.journal.look().await?;
        }
        for job in untold {
            let stop = self.end_job(&job, REASON).await?;
            let Some((since, told)) = self.sweep.strays.get_mut(&job) else { continue };
            *told = stop == Stop::Taken;
            // A listing showed it: that nothing else does may be lag, but not for ever.
            if stop == Stop::Missing && since.elapsed() >= self.patience.lag {
                self.sweep.strays.remove(&job);
            }
            self.cadence.hurry();
        }
        Ok(())
    }

    /// Forgets those that have ended. One that Batch does not show may be too new, for as long as answers lag.
    async fn strays_end(&mut self) -> Result<(), DriveError> {
        let jobs: Vec<String> = self.sweep.strays.keys().cloned().collect();
        let seen = observe::poll(self.ports.batch.as_ref(), &jobs).await?;
        let lag = self.patience.lag;
        self.sweep.strays.retain(|job, (since, _)| match seen.get(job) {
            Some(detail) => !detail.status.is_terminal(),
            None => since.elapsed() < lag,
        });
        Ok(())
    }
}
