//! The driver of one execution: wait, take in one thing, drain the actions.
//!
//! ```text
//!        ┌──────────────── control (abort, detach) ───────────────┐
//!        ▼                                                        │
//!   wait ──► poll: DescribeJobs ──► judge what ended ──► events ──┤
//!        ▲                                                 │      │
//!        └── drain: journal, then submit / look up / terminate ◄──┘
//! ```

mod deadline;
mod ending;
mod error;
mod last_look;
mod leaving;
mod overtaken;
mod polling;
mod saving;
mod sharing;
mod submitting;
mod sweeping;
mod terminating;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

pub use ending::Unended;
pub use error::DriveError;
use sweeping::Sweep;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Ports;
use super::journal::{Journal, JournalError};
use super::submit::Template;
use crate::aws::batch::BatchError;
use crate::idl::record::TaskRecord;
use crate::map::cadence::{Cadence, Pace};
use crate::map::event::{Decision, Event};
use crate::map::execution::{Action, Execution};
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
    /// Arrays that this driver has handed to SubmitJob and knows nothing of yet: for any other of its own, not even the question is needed.
    issued: BTreeSet<u32>,
    /// What this driver alone knows of: its submissions that the journal does not show yet.
    own: overtaken::Own,
    /// Arrays that another driver had planned: its calls may still arrive.
    inherited: u32,
    /// Jobs under the execution's name that the journal does not know.
    sweep: Sweep,
    /// The snapshot that is being written. It dies with the driver.
    saving: JoinSet<()>,
    progress: watch::Sender<Summary>,
    shown: watch::Sender<Arc<Execution>>,
    polls: u64,
    /// When the execution must be over.
    deadline: Option<deadline::Deadline>,
    /// Arrays that are to end, since when they have been told so.
    ending: BTreeMap<u32, Instant>,
    /// Arrays that Batch has taken the end of.
    told: BTreeSet<u32>,
    /// Whether what has ended was looked at for the last time before the decision.
    looked: bool,
    /// Children that wait and do not start.
    waiting: waiting::Waiting,
    /// When the last poll began.
    polled: Instant,
    /// What is shared with other executions: cached outputs that one of them computes.
    sharing: sharing::Sharing,
    /// Whether the last turn ended with actions left.
    interrupted: bool,
}

/// How long a turn of the driver goes on with actions before it hears whoever wants something of it.
const LONGEST_TURN: Duration = Duration::from_secs(5);

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
        let (shown, _) = watch::channel(Arc::new(execution.clone()));
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
            own: overtaken::Own::default(),
            inherited: 0,
            sweep: Sweep::default(),
            saving: JoinSet::new(),
            progress,
            shown,
            polls: 0,
            deadline: None,
            ending: BTreeMap::new(),
            told: BTreeSet::new(),
            looked: false,
            waiting: waiting::Waiting::default(),
            polled: Instant::now(),
            sharing: sharing::Sharing::new(patience.pace),
            interrupted: false,
        }
    }

    /// The same driver, taking over from another one whose calls may still arrive.
    pub fn inheriting(mut self) -> Self {
        self.inherited = self.execution.arrays().len() as u32;
        if self.inherited > 0 {
            self.sweep.inherit(self.execution.was_unsure());
        }
        self
    }

    /// The counts, as they change.
    pub fn progress(&self) -> watch::Receiver<Summary> {
        self.progress.subscribe()
    }

    /// The machine, as it changes: whoever looks disturbs nobody.
    pub fn shown(&self) -> watch::Receiver<Arc<Execution>> {
        let shown = self.shown.subscribe();
        self.shown.send_replace(Arc::new(self.execution.clone()));
        shown
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

    /// Drives the execution to its end, or until told to stop. Whoever is overtaken ends first what only it knows of.
    ///
    /// # Errors
    /// When AWS or the journal makes it impossible to go on.
    pub async fn run(&mut self, control: &mut mpsc::Receiver<Control>) -> Result<Ended, DriveError> {
        let ended = self.drive(control).await;
        self.sharing.rest();
        let detached = matches!(ended, Ok(Ended::Detached));
        match self.leave(ended).await {
            Err(DriveError::Journal(error @ (JournalError::Overtaken { .. } | JournalError::Removed { .. }))) => {
                match self.end_own(error, control).await {
                    // Whoever wanted to stop it need not hear that somebody else goes on.
                    DriveError::Journal(_) if detached => Ok(Ended::Detached),
                    error => Err(error),
                }
            }
            ended => ended,
        }
    }

    async fn drive(&mut self, control: &mut mpsc::Receiver<Control>) -> Result<Ended, DriveError> {
        loop {
            self.expire()?;
            let drained = match self.drain().await {
                Ok(Some(decision)) => return Ok(Ended::Finished(decision)),
                Ok(None) => true,
                Err(error) => {
                    self.endure(error)?;
                    false
                }
            };
            // What is left to submit waits for a poll that is due, not for the next one. After the decision nothing is: to
            // hurry for it would be to turn round and round until the end.
            let undecided = self.execution.decision().is_none();
            let work = undecided && (!self.to_submit.is_empty() || self.sharing.has_more());
            let more = drained && (self.interrupted || work);
            let wait = if more { Duration::ZERO } else { self.cadence.interval() };
            let expires = self.expires_at();
            let polled = async {
                tokio::time::sleep(wait).await;
                self.poll().await
            };
            tokio::select! {
                biased;
                // A caller that dropped its end has nothing more to say: the poll alone goes on. One that has not is heard
                // also while it goes on, for it may take minutes: what a poll has found is taken in as it is found, and
                // the rest is found again.
                Some(message) = control.recv() => match message {
                    Control::Detach => return Ok(Ended::Detached),
                    Control::Abort { reason } => self.take_in(Event::AbortRequested { reason })?,
                },
                // The next turn takes it in, before anything else is done.
                () = tokio::time::sleep_until(expires) => {}
                polled = polled => match polled {
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
            events => self.journal.append(self.ports.clock.now_ms(), events).await?,
        }
        self.own.written(&self.execution);
        self.save_if_due();
        self.show();
        Ok(())
    }

    /// Tells whoever follows how far it has come.
    fn show(&self) {
        let (stuck, looking) = (self.waiting.stuck().cloned(), self.looking());
        let summary = Summary { stuck, looking, ..self.execution.counts() };
        // A copy of the machine is worth making only where somebody looks at it.
        if self.shown.receiver_count() > 0 {
            self.shown.send_replace(Arc::new(self.execution.clone()));
        }
        self.progress.send_if_modified(|old| std::mem::replace(old, summary.clone()) != summary);
    }

    /// Carries out every action that the machine has; answers with the decision once nothing is left.
    async fn drain(&mut self) -> Result<Option<Decision>, DriveError> {
        // Those come after all others have had their turn.
        if !self.interrupted {
            for array in std::mem::take(&mut self.not_found) {
                self.execution.ask_again(array);
            }
        }
        self.begin_sharing().await?;
        let mut refused = Vec::new();
        self.interrupted = false;
        let drained = self.carry_out(&mut refused).await;
        refused.iter().for_each(|(array, _)| self.execution.ask_again(*array));
        match (drained, refused.into_iter().next()) {
            (Err(error), _) if !error.is_transient() => Err(error),
            (_, Some((_, refusal))) => Err(refusal),
            (drained, None) => drained,
        }
    }

    /// As [`Driver::drain`]; arrays that may not be ended are put into `refused`, and the others are ended all the same:
    /// what is denied for one is perhaps allowed for another.
    async fn carry_out(&mut self, refused: &mut Vec<(u32, DriveError)>) -> Result<Option<Decision>, DriveError> {
        let mut begun = Instant::now();
        loop {
            // A thousand arrays are looked up, or ended, for minutes: whoever wants to say something has a turn in between.
            // After a refusal all others are tried first: the driver stops with it.
            if begun.elapsed() >= LONGEST_TURN && refused.is_empty() {
                self.interrupted = true;
                break;
            }
            match self.execution.next_action() {
                Some(Action::Record(Event::Finished)) if !self.nothing_is_left().await? => break,
                Some(Action::Record(Event::Decided { decision })) if self.looks_again(&decision) => {
                    self.last_look(&decision).await?;
                    // The look is bounded by itself. To cut the turn here would put a poll between it and the end of children.
                    begun = Instant::now();
                }
                Some(Action::Record(event)) => self.take_in(event)?,
                Some(Action::Submit { array }) => drop(self.to_submit.insert(array)),
                Some(Action::LookUp { array }) => {
                    let found = self.look_up(array).await;
                    self.retry_later(array, found)?;
                }
                Some(Action::Terminate { array, job }) => match self.terminate(array, &job).await {
                    Err(error @ DriveError::Batch(BatchError::Refused { .. })) => refused.push((array, error)),
                    done => self.retry_later(array, done)?,
                },
                Some(Action::Finish(decision)) => {
                    self.flush().await?;
                    self.save_at_end().await;
                    return Ok(Some(decision));
                }
                None => {
                    self.sweep_after_takeover().await?;
                    if self.share().await? {
                        continue;
                    }
                    if self.to_submit.is_empty() || self.poll_is_due() {
                        break;
                    }
                    self.submit().await?;
                }
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
}
