//! The driver of one workflow's execution: take an action, do it, write down what came of it.
//!
//! ```text
//!            ┌──── Flow::next_action ◄──── handle ◄── journal ◄── check ◄──┐
//!            ▼                                                             │
//!   bind inputs, drive a node, stop one, bind outputs: each a task ── its answer
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::Host;
use super::host::Shared;
use super::log::{Log, LogError};
use super::shared::{Progress, SharedFlow};
use super::steps::lasting;
use super::values::Values;
use super::view::Stored;
use crate::aws::store::StoreError;
use crate::idl::record::FlowRecord;
use crate::map::flyte;
use crate::map::workflow::{Flow, FlowAction, FlowEvent, FlowOutcome, IllegalEvent, NodeError};
use crate::run::driver::Control;

/// How long to wait after S3 was out of reach.
const PAUSE: Duration = Duration::from_secs(2);

/// How many signs of life a server gives between two looks whether an execution is still its own: one that was taken for
/// dead finds out by that, though nothing happens in the execution.
const BEATS: u32 = 6;

/// Events in one record of the journal at most. Nodes that end together are one write, not one each.
const MOST_EVENTS: usize = 500;

/// How long a server that another one has taken an execution from lets the drivers of its nodes end what only they know
/// of, beyond the lag of AWS's listings.
const GRACE: Duration = Duration::from_secs(90);

/// How long a server that is being stopped waits for steps under way.
const PATIENCE: Duration = Duration::from_secs(10);

/// What somebody wants of a running execution.
#[derive(Debug)]
pub(super) enum Request {
    /// Its end.
    Abort {
        /// The asker's words.
        cause: String,
        /// The asker.
        principal: String,
        /// Told when it is in the journal, where no server forgets it.
        heard: oneshot::Sender<()>,
    },
    /// That this server leaves it, with all that runs, to the next one.
    Leave,
}

/// Why an execution is not driven on by this server.
#[derive(Debug, thiserror::Error)]
pub(super) enum FlowError {
    /// Its journal.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A journal that does not fit the workflow.
    #[error(transparent)]
    Illegal(#[from] IllegalEvent),
    /// Nothing more can be written, and this server is being stopped.
    #[error("S3 is out of reach and this server is being stopped: another one goes on from what is written")]
    Stopping,
}

/// What a task brings back.
pub(super) enum Answer {
    /// An event, in answer to an action.
    Event(FlowEvent),
    /// The action could not be carried out.
    Not(FlowAction, StoreError),
    /// The action cannot be carried out, whoever tries it.
    Broken(FlowAction, NodeError),
    /// It may be tried again now.
    Again(FlowAction),
    /// Somebody else has taken over what the action is about.
    Overtaken(FlowAction),
    /// Nothing is to be said: this server leaves it, or another task answers.
    Nothing,
}

/// The driver of one execution.
pub(super) struct FlowDriver {
    pub(super) host: Arc<Host>,
    /// For the executions of launch plans.
    pub(super) shared: Arc<Shared>,
    pub(super) values: Arc<Values>,
    pub(super) record: Arc<FlowRecord>,
    pub(super) options: Arc<flyte::Options>,
    flow: SharedFlow,
    log: Log,
    pub(super) tasks: JoinSet<Answer>,
    /// The way to those who drive a map execution here, by its id.
    pub(super) controls: BTreeMap<String, mpsc::Sender<Control>>,
    pub(super) progress: Progress,
    stopping: CancellationToken,
}

impl FlowDriver {
    /// Takes an execution on: from its beginning, or where another server has left it.
    ///
    /// # Errors
    /// When another server was faster, or the journal cannot be written.
    pub(super) async fn take(
        shared: Arc<Shared>,
        stored: Stored,
        (progress, flow): (Progress, SharedFlow),
    ) -> Result<FlowDriver, FlowError> {
        let (host, stopping) = (shared.host.clone(), shared.stopping.clone());
        let Stored { record, records, .. } = stored;
        let id = record.id.clone().unwrap_or_default();
        let root = host.root.flow(&id);
        // Two lives of one server are two writers.
        let writer = format!("{}-{:016x}", host.server, crate::run::random());
        let log = Log::after(host.ports.store.clone(), root.clone(), writer, &records);
        flow.change(Flow::resume);
        let values = Arc::new(Values::new(host.ports.store.clone(), root, record.clone()));
        let options = Arc::new(super::options::options(&record, host.runner, host.injection.clone()));
        let (tasks, controls) = (JoinSet::new(), BTreeMap::new());
        let mut driver =
            FlowDriver { values, options, record, flow, log, tasks, controls, progress, stopping, host, shared };
        driver.take_in(vec![FlowEvent::Taken { server: driver.host.server.clone() }]).await?;
        Ok(driver)
    }

    /// Drives the execution to its end; nothing when this server was told to leave it.
    ///
    /// # Errors
    /// When another server has taken it over, or its journal cannot be gone on with.
    pub(super) async fn run(
        &mut self,
        requests: &mut mpsc::Receiver<Request>,
    ) -> Result<Option<FlowOutcome>, FlowError> {
        let mut turn = tokio::time::interval(self.host.lease.beat * BEATS);
        turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        turn.reset();
        if let Ok(asked) = requests.try_recv()
            && self.heard(Some(asked)).await?
        {
            return Ok(None);
        }
        loop {
            loop {
                match self.flow.change(Flow::next_action) {
                    Some(FlowAction::Record(event)) => self.take_in(vec![event]).await?,
                    Some(FlowAction::Finish(outcome)) => return Ok(Some(outcome)),
                    Some(action) => self.begin(action),
                    None => break,
                }
            }
            tokio::select! {
                biased;
                request = requests.recv() => if self.heard(request).await? {
                    return Ok(None);
                },
                _ = turn.tick() => self.make_sure().await?,
                Some(first) = self.tasks.join_next() => {
                    let mut events = Vec::from_iter(self.event_of(first).await?);
                    while events.len() < MOST_EVENTS && let Some(next) = self.tasks.try_join_next() {
                        events.extend(self.event_of(next).await?);
                    }
                    self.answered(events).await?;
                }
            }
        }
    }

    /// Takes in what somebody asks for; whether it was to leave the execution.
    async fn heard(&mut self, request: Option<Request>) -> Result<bool, FlowError> {
        match request {
            Some(Request::Abort { cause, principal, heard }) => {
                let event = FlowEvent::AbortRequested { cause, principal };
                if self.flow().check(&event).is_ok() {
                    self.take_in(vec![event]).await?;
                }
                // An asker that has gone away need not hear it.
                let _ = heard.send(());
                Ok(false)
            }
            Some(Request::Leave) | None => {
                self.leave().await;
                Ok(true)
            }
        }
    }

    /// The event that a task has brought, if it is one.
    async fn event_of(&mut self, answer: Result<Answer, JoinError>) -> Result<Option<FlowEvent>, FlowError> {
        match answer {
            Ok(Answer::Event(event)) => return Ok(Some(event)),
            Ok(Answer::Not(action, error)) => match lasting(&action, &error) {
                Some(error) => return Ok(self.give_up(action, error)),
                None => {
                    tracing::warn!(%error, ?action, "trying again");
                    self.later(action);
                }
            },
            Ok(Answer::Broken(action, error)) => {
                // Whoever has taken the execution over may get on with it.
                self.make_sure().await?;
                return Ok(self.give_up(action, error));
            }
            Ok(Answer::Again(action)) => self.flow.change(|flow| flow.ask_again(&action)),
            Ok(Answer::Overtaken(action)) => {
                self.make_sure().await?;
                self.later(action);
            }
            Ok(Answer::Nothing) => {}
            // None is cancelled while this runs, and each catches its own panics.
            Err(error) => tracing::error!(%error, "a step of an execution broke"),
        }
        Ok(None)
    }

    pub(super) fn flow(&self) -> Arc<Flow> {
        self.flow.look()
    }

    /// Takes in what tasks have brought, but for what has come too late.
    async fn answered(&mut self, events: Vec<FlowEvent>) -> Result<(), FlowError> {
        let mut wanted = Vec::with_capacity(events.len());
        // Whether one fits depends on those before it.
        let mut ahead = self.flow();
        for event in events {
            if let FlowEvent::NodeEnded { node, .. } = &event {
                self.progress.end(node);
                if let Some(execution) = ahead.node(node).and_then(|node| node.execution) {
                    self.controls.remove(execution);
                }
            }
            match ahead.check(&event) {
                Ok(()) => wanted.push(event),
                Err(late) => {
                    tracing::debug!(%late, "an answer is not wanted any more");
                    continue;
                }
            }
            if let Some(event) = wanted.last() {
                Arc::make_mut(&mut ahead).handle(0, event)?;
            }
        }
        if wanted.is_empty() { Ok(()) } else { self.take_in(wanted).await }
    }

    /// Writes events down, however long S3 is out of reach, and goes on from them.
    async fn take_in(&mut self, events: Vec<FlowEvent>) -> Result<(), FlowError> {
        let now = loop {
            match self.log.append(self.host.ports.clock.now_ms(), events.clone()).await {
                Ok(now) => break now,
                Err(LogError::Store(error @ StoreError::Unreachable { .. })) => {
                    tracing::warn!(%error, "trying again");
                    tokio::select! {
                        () = tokio::time::sleep(PAUSE) => {}
                        () = self.stopping.cancelled() => return Err(FlowError::Stopping),
                    }
                }
                Err(error) => return Err(error.into()),
            }
        };
        self.flow.change(|flow| events.iter().try_for_each(|event| flow.handle(now, event)))?;
        Ok(())
    }

    /// Lets an action be asked for again after a pause.
    fn later(&mut self, action: FlowAction) {
        self.tasks.spawn_local(async move {
            tokio::time::sleep(PAUSE).await;
            Answer::Again(action)
        });
    }

    /// Makes sure that the execution is still this server's. A node's map execution that somebody else has taken over is
    /// the next server's doing, or that of a person with `batchmap resume`, who does not mind following.
    async fn make_sure(&self) -> Result<(), FlowError> {
        match self.log.make_sure().await {
            Err(LogError::Store(error)) => {
                tracing::warn!(%error, "cannot tell whether another server drives this execution");
                Ok(())
            }
            known => Ok(known?),
        }
    }

    /// After another server has taken the execution: waits, in bounded time, until the drivers of its nodes have found
    /// out too. Each may have submitted what nobody else knows of, and ends that.
    pub(super) async fn outlast(&mut self) {
        let limit = self.host.patience.lag + GRACE;
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        tokio::select! {
            _ = tokio::time::timeout(limit, ended) => {}
            () = self.stopping.cancelled() => {}
        }
        self.leave().await;
    }

    /// Lets go of every node; what AWS Batch holds goes on.
    async fn leave(&mut self) {
        for control in self.controls.values() {
            // One whose driver has ended needs no word.
            let _ = control.try_send(Control::Detach);
        }
        let left = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(PATIENCE, left).await.is_err() {
            tracing::warn!("some nodes are left in the middle of a step; the next server takes it up");
            self.tasks.shutdown().await;
        }
    }
}
