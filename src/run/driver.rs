//! The driver of one execution: wait, take in one thing, drain the actions.
//!
//! ```text
//!        ┌──────────────── control (abort, detach) ───────────────┐
//!        ▼                                                        │
//!   wait ──► poll: DescribeJobs ──► judge what ended ──► events ──┤
//!        ▲                                                 │      │
//!        └── drain: journal, then submit / look up / terminate ◄──┘
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::journal::{Journal, JournalError};
use super::settle::{Case, OUR_REASON, SettleError};
use super::submit::Template;
use super::{Ports, now_ms, observe};
use crate::aws::batch::{BatchError, JobDetail};
use crate::aws::store::StoreError;
use crate::idl::record::TaskRecord;
use crate::map::cadence::{Cadence, Pace};
use crate::map::event::{Decision, Event};
use crate::map::execution::{Action, Execution, IllegalEvent, Look, ended_unjudged};
use crate::map::layout;
use crate::map::summary::Summary;

/// SubmitJob calls under way at once. AWS takes 50 a second for an account; eight at about 100 ms each stay below.
const SUBMITS_AT_ONCE: usize = 8;

/// How long a throttled call waits before the next try, at first and at most.
const THROTTLE_WAIT: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(20));

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
    /// Whether waiting may help. The journal is not among these: a record whose PUT has failed may be there all the
    /// same, and only a new driver that reads it first can know.
    fn is_transient(&self) -> bool {
        matches!(
            self,
            DriveError::Batch(BatchError::Throttled { .. } | BatchError::Unknown { .. })
                | DriveError::Store(StoreError::Unreachable { .. })
        )
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
    to_submit: Vec<u32>,
    /// Since when AWS has been out of reach.
    failing: Option<Instant>,
    /// Events that the machine has taken in and the journal has not.
    unwritten: Vec<Event>,
    /// Jobs that Batch did not know when last asked, since when.
    missing: BTreeMap<u32, Instant>,
    /// Arrays that this driver has handed to SubmitJob: for any other one, not even the question is needed.
    issued: BTreeSet<u32>,
    /// Whether the execution was taken over from a journal, so that another driver's calls may still arrive.
    inherited: bool,
    progress: watch::Sender<Summary>,
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
        let (progress, _) = watch::channel(execution.summary());
        Driver {
            ports,
            record,
            template,
            execution,
            journal,
            patience,
            cadence: Cadence::new(patience.pace),
            to_submit: Vec::new(),
            failing: None,
            unwritten: Vec::new(),
            missing: BTreeMap::new(),
            issued: BTreeSet::new(),
            inherited: false,
            progress,
            warned: None,
        }
    }

    /// The same driver, taking over from another one whose calls may still arrive.
    pub fn inheriting(mut self) -> Self {
        self.inherited = true;
        self
    }

    /// The counts, as they change.
    pub fn progress(&self) -> watch::Receiver<Summary> {
        self.progress.subscribe()
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
            match self.drain().await {
                Ok(Some(decision)) => return Ok(Ended::Finished(decision)),
                Ok(None) => {}
                Err(error) => self.endure(error)?,
            }
            let wake = tokio::time::sleep(self.cadence.interval());
            tokio::select! {
                // A caller that dropped its end has nothing more to say: the poll alone goes on.
                Some(message) = control.recv() => match message {
                    Control::Detach => return Ok(Ended::Detached),
                    Control::Abort { reason } => self.take_in(Event::AbortRequested { reason })?,
                },
                () = wake => match self.poll().await {
                    Ok(()) => self.failing = None,
                    Err(error) => self.endure(error)?,
                },
            }
        }
    }

    /// Goes on after an error that waiting may mend, unless it has lasted too long.
    fn endure(&mut self, error: DriveError) -> Result<(), DriveError> {
        let since = *self.failing.get_or_insert_with(Instant::now);
        if !error.is_transient() || since.elapsed() > self.patience.outage {
            return Err(error);
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
        if !self.unwritten.is_empty() {
            self.journal.append(now_ms(), std::mem::take(&mut self.unwritten)).await?;
        }
        let summary = self.execution.summary();
        self.progress.send_if_modified(|old| std::mem::replace(old, summary.clone()) != summary);
        Ok(())
    }

    /// Carries out every action that the machine has; answers with the decision once nothing is left.
    async fn drain(&mut self) -> Result<Option<Decision>, DriveError> {
        loop {
            match self.execution.next_action() {
                Some(Action::Record(event)) => self.take_in(event)?,
                Some(Action::Submit { array }) => self.to_submit.push(array),
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

    /// Submits arrays; every call has returned when this does, so that nothing is submitted after a later decision.
    async fn submit(&mut self) -> Result<(), DriveError> {
        let lists = self.to_submit.iter().map(|&array| self.write_members(array));
        futures::stream::iter(lists).buffer_unordered(SUBMITS_AT_ONCE).try_collect::<Vec<()>>().await?;
        self.flush().await?;
        let arrays = std::mem::take(&mut self.to_submit);
        self.issued.extend(&arrays);
        let answers: Vec<(u32, Result<String, BatchError>)> = {
            let calls = arrays.into_iter().map(|array| {
                let state = &self.execution.arrays()[array as usize];
                let request = self.template.request(array, state, &self.record, self.execution.packs());
                let batch = self.ports.batch.clone();
                async move { (array, submit_patiently(batch.as_ref(), &request).await) }
            });
            futures::stream::iter(calls).buffered(SUBMITS_AT_ONCE).collect().await
        };
        for (array, answer) in answers {
            match answer {
                Ok(job) => self.take_in(Event::Submitted { array, job })?,
                Err(BatchError::Unknown { message, .. }) => {
                    tracing::warn!(array, message, "no clear answer to SubmitJob: looking the array up by its name");
                    self.take_in(Event::SubmitUnknown { array })?;
                }
                // Refused means that nothing happened: the array does not exist, and no other would be taken either.
                Err(error) => {
                    self.issued.remove(&array);
                    self.take_in(Event::Refused { message: error.to_string() })?;
                }
            }
        }
        self.cadence.hurry();
        Ok(())
    }

    /// Stores the list of a compacted array, which its children look themselves up in.
    async fn write_members(&self, array: u32) -> Result<(), DriveError> {
        let state = &self.execution.arrays()[array as usize];
        if let crate::map::plan::Members::List(indices) = &state.members {
            let entries = self.execution.packs().list_entries(indices);
            self.ports.store.put(&self.template.root.array_indices(array), entries.into()).await?;
        }
        Ok(())
    }

    /// Finds out by its name whether an array was submitted.
    async fn look_up(&mut self, array: u32) -> Result<(), DriveError> {
        self.flush().await?;
        if !self.inherited && !self.issued.contains(&array) {
            return self.take_in(Event::NotSubmitted { array });
        }
        let name = layout::job_name(self.template.root.id(), array);
        let queue = self.template.queue(self.execution.arrays()[array as usize].queue).to_owned();
        let until = Instant::now() + self.patience.lag;
        loop {
            let page = self.ports.batch.list_named(&queue, &name, None).await?;
            if let Some(job) = page.jobs.iter().find(|job| job.name == name) {
                return self.take_in(Event::Submitted { array, job: job.id.clone() });
            }
            if Instant::now() >= until {
                return self.take_in(Event::NotSubmitted { array });
            }
            tokio::time::sleep(THROTTLE_WAIT.0).await;
        }
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
        let jobs: Vec<String> = running.iter().map(|(_, job)| job.clone()).collect();
        let answers = observe::poll(self.ports.batch.as_ref(), &jobs).await?;
        let before = self.execution.summary();
        for (number, job) in running {
            let detail = answers.get(&job);
            if detail.is_none() && self.may_lag(number) {
                continue;
            }
            self.warn_if_stuck(detail);
            let seen = detail.map(observe::seen).unwrap_or_default();
            let look = self.execution.observe(number, &seen);
            if look != Look::Away {
                let event = self.judge(number, &job, detail, look).await?;
                self.take_in(event)?;
            }
        }
        self.cadence.polled(self.execution.summary() != before);
        Ok(())
    }

    async fn judge(&self, number: u32, job: &str, detail: Option<&JobDetail>, look: Look) -> Result<Event, DriveError> {
        // Once the outcome is decided, no result changes it: that the array is over is all there is to know.
        if self.execution.decision().is_some() {
            return Ok(ended_unjudged(number));
        }
        let interface = self.record.interface.as_ref().and_then(|interface| interface.outputs.as_ref());
        let case = Case {
            root: &self.template.root,
            number,
            array: &self.execution.arrays()[number as usize],
            job,
            detail,
            outputs_due: interface.is_some_and(|outputs| !outputs.variables.is_empty()),
        };
        Ok(case.judge(&self.ports, look).await?)
    }

    /// Whether a job that Batch does not know may merely be too new.
    fn may_lag(&mut self, number: u32) -> bool {
        let since = *self.missing.entry(number).or_insert_with(Instant::now);
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

/// Submits, waiting as long as AWS throttles: a throttled request has not been carried out.
async fn submit_patiently(
    batch: &dyn crate::aws::batch::Batch,
    request: &crate::aws::batch::SubmitRequest,
) -> Result<String, BatchError> {
    let (mut wait, longest) = THROTTLE_WAIT;
    loop {
        match batch.submit(request).await {
            Err(BatchError::Throttled { message, .. }) => {
                tracing::debug!(message, "throttled");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(longest);
            }
            answer => return answer,
        }
    }
}
