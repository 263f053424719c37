//! The driver of one execution: wait, take in one thing, drain the actions.
//!
//! ```text
//!        ┌──────────────── control (abort, detach) ───────────────┐
//!        ▼                                                        │
//!   wait ──► poll: DescribeJobs ──► judge what ended ──► events ──┤
//!        ▲                                                 │      │
//!        └── drain: journal, then submit / look up / terminate ◄──┘
//! ```

mod submitting;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::journal::{Journal, JournalError};
use super::settle::{Case, Judged, OUR_REASON, SettleError};
use super::submit::Template;
use super::{Ports, now_ms, observe};
use crate::aws::batch::{BatchError, JobDetail};
use crate::aws::store::StoreError;
use crate::idl::record::TaskRecord;
use crate::map::cadence::{Cadence, Pace};
use crate::map::event::{Decision, Event};
use crate::map::execution::{Action, Execution, IllegalEvent, Look, ended_unjudged};
use crate::map::summary::Summary;

/// What somebody else wants of a running driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// Terminate everything and end as aborted.
    Abort {
        /// The asker's words.
        reason: String,
    },
    /// Stop driving; what Batch holds goes on.
    Detach,
}

/// How a driver ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The execution is over.
    Finished(Decision),
    /// It was told to stop driving; the execution is not over.
    Detached,
}

/// Why a driver could not go on. The execution is not over: another driver can take it up from the journal.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// AWS Batch.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// S3.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A damaged journal, or a bug.
    #[error(transparent)]
    Illegal(#[from] IllegalEvent),
}

impl DriveError {
    /// Whether waiting may help.
    fn is_transient(&self) -> bool {
        matches!(
            self,
            DriveError::Batch(
                BatchError::Throttled { .. } | BatchError::Unauthenticated { .. } | BatchError::Unknown { .. }
            )
                | DriveError::Store(StoreError::Unreachable { .. })
                // The journal keeps the record, and finds out whether it was written after all.
                | DriveError::Journal(JournalError::Store(StoreError::Unreachable { .. }))
        )
    }

    /// Whether AWS has answered, and only asks for patience.
    fn is_throttle(&self) -> bool {
        matches!(self, DriveError::Batch(BatchError::Throttled { .. }))
    }
}

impl From<SettleError> for DriveError {
    fn from(error: SettleError) -> Self {
        match error {
            SettleError::Batch(error) => DriveError::Batch(error),
            SettleError::Store(error) => DriveError::Store(error),
        }
    }
}

/// How a driver waits.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Between two polls.
    pub pace: Pace,
    /// How long a job that was just submitted may be missing from Batch's answers: listings lag on AWS, they do not on
    /// the embedded endpoint.
    pub lag: Duration,
    /// How long AWS may be out of reach before the driver gives up (the execution goes on in Batch).
    pub outage: Duration,
}

/// The driver of one execution.
pub struct Driver {
    ports: Ports,
    record: TaskRecord,
    template: Template,
    execution: Execution,
    journal: Journal,
    patience: Patience,
    cadence: Cadence,
    /// Arrays to submit next.
    to_submit: BTreeSet<u32>,
    /// Since when AWS has been out of reach.
    failing: Option<Instant>,
    /// Events that the machine has taken in and the journal has not.
    unwritten: Vec<Event>,
    /// Arrays of which Batch shows less than there must be, since when.
    behind: BTreeMap<u32, Instant>,
    /// Arrays of unknown outcome that were looked for in vain this time.
    not_found: Vec<u32>,
    /// Arrays that this driver has handed to SubmitJob: for any other of its own, not even the question is needed.
    issued: BTreeSet<u32>,
    /// Arrays that another driver had planned: its calls may still arrive.
    inherited: u32,
    progress: watch::Sender<Summary>,
    polls: u64,
    warned: Option<String>,
}

impl Driver {
    /// A driver for an execution that stands where `journal` ends.
    pub fn new(
        ports: Ports,
        record: TaskRecord,
        template: Template,
        patience: Patience,
        (journal, execution): (Journal, Execution),
    ) -> Self {
        let (progress, _) = watch::channel(execution.counts());
        Driver {
            ports,
            record,
            template,
            execution,
            journal,
            patience,
            cadence: Cadence::new(patience.pace),
            to_submit: BTreeSet::new(),
            failing: None,
            unwritten: Vec::new(),
            behind: BTreeMap::new(),
            not_found: Vec::new(),
            issued: BTreeSet::new(),
            inherited: 0,
            progress,
            polls: 0,
            warned: None,
        }
    }

    /// The same driver, taking over from another one whose calls may still arrive.
    pub fn inheriting(mut self) -> Self {
        self.inherited = self.execution.arrays().len() as u32;
        self
    }

    /// The counts, as they change.
    pub fn progress(&self) -> watch::Receiver<Summary> {
        self.progress.subscribe()
    }

    /// How often Batch has been asked about the arrays it holds.
    pub fn polls(&self) -> u64 {
        self.polls
    }

    /// What is to be done.
    pub fn record(&self) -> &TaskRecord {
        &self.record
    }

    /// The execution as it stands.
    pub fn execution(&self) -> &Execution {
        &self.execution
    }

    /// Asks for the end before the driving begins, so that nothing is submitted first.
    ///
    /// # Errors
    /// When the execution is over already.
    pub fn abort_first(&mut self, reason: &str) -> Result<(), DriveError> {
        self.take_in(Event::AbortRequested { reason: reason.to_owned() })
    }

    /// Drives the execution to its end, or until told to stop.
    ///
    /// # Errors
    /// When AWS or the journal makes it impossible to go on.
    pub async fn run(&mut self, control: &mut mpsc::Receiver<Control>) -> Result<Ended, DriveError> {
        loop {
            let drained = match self.drain().await {
                Ok(Some(decision)) => return Ok(Ended::Finished(decision)),
                Ok(None) => true,
                Err(error) => {
                    self.endure(error)?;
                    false
                }
            };
            let wake = tokio::time::sleep(self.cadence.interval());
            tokio::select! {
                biased;
                // A caller that dropped its end has nothing more to say: the poll alone goes on.
                Some(message) = control.recv() => match message {
                    Control::Detach => return Ok(Ended::Detached),
                    Control::Abort { reason } => self.take_in(Event::AbortRequested { reason })?,
                },
                () = wake => match self.poll().await {
                    // A poll alone is no proof: there may have been nothing to ask about.
                    Ok(()) if drained => self.failing = None,
                    Ok(()) => {}
                    Err(error) => self.endure(error)?,
                },
            }
        }
    }

    /// Goes on after an error that waiting may mend, unless it has lasted too long.
    fn endure(&mut self, error: DriveError) -> Result<(), DriveError> {
        if !error.is_throttle() {
            let since = *self.failing.get_or_insert_with(Instant::now);
            if !error.is_transient() || since.elapsed() > self.patience.outage {
                return Err(error);
            }
        }
        tracing::warn!(%error, "trying again");
        self.cadence.polled(false);
        Ok(())
    }

    fn take_in(&mut self, event: Event) -> Result<(), DriveError> {
        self.execution.handle(&event)?;
        self.unwritten.push(event);
        Ok(())
    }

    /// Writes what the machine has taken in. Called before anything is done because of it.
    async fn flush(&mut self) -> Result<(), DriveError> {
        match std::mem::take(&mut self.unwritten) {
            none if none.is_empty() => self.journal.flush().await?,
            events => self.journal.append(now_ms(), events).await?,
        }
        let summary = self.execution.counts();
        self.progress.send_if_modified(|old| std::mem::replace(old, summary.clone()) != summary);
        Ok(())
    }

    /// Carries out every action that the machine has; answers with the decision once nothing is left.
    async fn drain(&mut self) -> Result<Option<Decision>, DriveError> {
        for array in std::mem::take(&mut self.not_found) {
            self.execution.ask_again(array);
        }
        loop {
            match self.execution.next_action() {
                Some(Action::Record(event)) => self.take_in(event)?,
                Some(Action::Submit { array }) => drop(self.to_submit.insert(array)),
                Some(Action::LookUp { array }) => {
                    let found = self.look_up(array).await;
                    self.retry_later(array, found)?;
                }
                Some(Action::Terminate { array, job }) => {
                    let done = self.terminate(array, &job).await;
                    self.retry_later(array, done)?;
                }
                Some(Action::Finish(decision)) => {
                    self.flush().await?;
                    return Ok(Some(decision));
                }
                None if self.to_submit.is_empty() => break,
                None => self.submit().await?,
            }
        }
        self.flush().await?;
        Ok(None)
    }

    /// An action that failed comes out of the machine again at the next drain.
    fn retry_later(&mut self, array: u32, answer: Result<(), DriveError>) -> Result<(), DriveError> {
        if answer.is_err() {
            self.execution.ask_again(array);
        }
        answer
    }

    async fn terminate(&mut self, array: u32, job: &str) -> Result<(), DriveError> {
        self.flush().await?;
        let reason = match self.execution.decision() {
            Some(Decision::Succeeded) => "enough subtasks have succeeded".to_owned(),
            Some(Decision::Failed { reason } | Decision::Aborted { reason } | Decision::Refused { reason }) => {
                reason.clone()
            }
            None => "not needed any more".to_owned(),
        };
        let reason: String = format!("{OUR_REASON}{reason}").chars().take(1000).collect();
        self.ports.batch.terminate(job, &reason).await?;
        tracing::debug!(array, job, "terminated");
        self.cadence.hurry();
        Ok(())
    }

    /// One poll: asks about every array that Batch holds and judges what has ended.
    async fn poll(&mut self) -> Result<(), DriveError> {
        let running: Vec<(u32, String)> =
            self.execution.running().map(|(number, _, job)| (number, job.to_owned())).collect();
        if running.is_empty() {
            return Ok(());
        }
        self.polls += 1;
        let jobs: Vec<String> = running.iter().map(|(_, job)| job.clone()).collect();
        let answers = observe::poll(self.ports.batch.as_ref(), &jobs).await?;
        let before = self.execution.counts();
        for (number, job) in running {
            let detail = answers.get(&job);
            if detail.is_none() && self.may_lag(number) {
                continue;
            }
            self.warn_if_stuck(detail);
            let seen = detail.map(observe::seen).unwrap_or_default();
            let look = self.execution.observe(number, &seen);
            if look == Look::Away {
                self.behind.remove(&number);
            } else {
                self.look_closely(number, &job, detail, look).await?;
            }
        }
        self.cadence.polled(self.execution.counts() != before);
        Ok(())
    }

    async fn look_closely(
        &mut self,
        number: u32,
        job: &str,
        detail: Option<&JobDetail>,
        look: Look,
    ) -> Result<(), DriveError> {
        // Once the outcome is decided, no result changes it: that the array is over is all there is to know.
        if self.execution.decision().is_some() {
            return self.take_in(ended_unjudged(number));
        }
        let patient = self.behind.get(&number).is_none_or(|since| since.elapsed() < self.patience.lag);
        let interface = self.record.interface.as_ref().and_then(|interface| interface.outputs.as_ref());
        let case = Case {
            root: &self.template.root,
            number,
            array: &self.execution.arrays()[number as usize],
            job,
            detail,
            outputs_due: interface.is_some_and(|outputs| !outputs.variables.is_empty()),
            retry_timeouts: self.record.policy.is_some_and(|policy| policy.retry_timeouts),
            patient,
        };
        let Some(Judged { event, listed_failed }) = case.judge(&self.ports, look).await? else {
            self.may_lag(number);
            return Ok(());
        };
        self.behind.remove(&number);
        // A look that has found nothing new is no news for the journal either.
        if event.settles_something() {
            self.take_in(event)?;
        }
        self.execution.listed(number, listed_failed);
        Ok(())
    }

    /// Whether a job that Batch does not show, or not whole, may merely be too new.
    fn may_lag(&mut self, number: u32) -> bool {
        let since = *self.behind.entry(number).or_insert_with(Instant::now);
        since.elapsed() < self.patience.lag
    }

    fn warn_if_stuck(&mut self, detail: Option<&JobDetail>) {
        if let Some(reason) = detail.and_then(observe::stuck)
            && self.warned.as_deref() != Some(reason)
        {
            tracing::warn!(reason, "AWS Batch cannot place the job: nothing will run until this is mended");
            self.warned = Some(reason.to_owned());
        }
    }
}
