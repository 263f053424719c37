//! The driver of one workflow's execution: take an action, do it, write down what came of it.
//!
//! ```text
//!            ┌──── Flow::next_action ◄──── handle ◄── journal ◄── check ◄──┐
//!            ▼                                                             │
//!   bind inputs, drive a node, stop one, bind outputs: each a task ── its answer
//! ```

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::Host;
use super::log::{Log, LogError};
use super::node::{self, Node, NodeEnd as Driven, Standing};
use super::shared::{Progress, SharedFlow};
use super::values::Values;
use super::view::Stored;
use crate::aws::store::StoreError;
use crate::idl::record::FlowRecord;
use crate::map::flyte;
use crate::map::policy::Origin;
use crate::map::workflow::{Flow, FlowAction, FlowEvent, FlowOutcome, IllegalEvent, NodeEnd, NodeError};
use crate::run::driver::Control;
use crate::run::launch;

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
enum Answer {
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
    host: Arc<Host>,
    values: Arc<Values>,
    record: Arc<FlowRecord>,
    options: Arc<flyte::Options>,
    flow: SharedFlow,
    log: Log,
    tasks: JoinSet<Answer>,
    /// The way to those who drive a map execution here, by its id.
    controls: BTreeMap<String, mpsc::Sender<Control>>,
    progress: Progress,
    room: Arc<Semaphore>,
    stopping: CancellationToken,
}

impl FlowDriver {
    /// Takes an execution on: from its beginning, or where another server has left it.
    ///
    /// # Errors
    /// When another server was faster, or the journal cannot be written.
    pub(super) async fn take(
        host: Arc<Host>,
        stored: Stored,
        (progress, flow): (Progress, SharedFlow),
        (room, stopping): (Arc<Semaphore>, CancellationToken),
    ) -> Result<FlowDriver, FlowError> {
        let Stored { record, records, .. } = stored;
        let id = record.id.clone().unwrap_or_default();
        let root = host.root.flow(&id);
        // Two lives of one server are two writers.
        let writer = format!("{}-{:016x}", host.server, crate::run::random());
        let log = Log::after(host.ports.store.clone(), root.clone(), writer, &records);
        flow.change(Flow::resume);
        let values = Arc::new(Values::new(host.ports.store.clone(), root, record.clone()));
        let options = Arc::new(super::options::options(&record));
        let (tasks, controls) = (JoinSet::new(), BTreeMap::new());
        let mut driver =
            FlowDriver { values, options, record, flow, log, tasks, controls, progress, room, stopping, host };
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
                request = requests.recv() => match request {
                    Some(Request::Abort { cause, principal, heard }) => {
                        let event = FlowEvent::AbortRequested { cause, principal };
                        let wanted = self.flow().check(&event).is_ok();
                        if wanted {
                            self.take_in(vec![event]).await?;
                        }
                        // An asker that has gone away need not hear it.
                        let _ = heard.send(());
                    }
                    Some(Request::Leave) | None => {
                        self.leave().await;
                        return Ok(None);
                    }
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

    fn flow(&self) -> Arc<Flow> {
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

    /// Begins to carry out an action.
    fn begin(&mut self, action: FlowAction) {
        match action {
            FlowAction::StartNode { ref node, attempt } => {
                let (values, flow) = (self.values.clone(), self.flow().graph().clone());
                let (node, host, recovers) = (node.clone(), self.host.clone(), self.record.recovers.clone());
                let room = self.room.clone();
                self.spawn(action.clone(), async move {
                    let id = launch::node_id(host.ports.clock.now_ms());
                    // Nobody closes it.
                    let _room = room.acquire().await;
                    match values.start(&flow, &node, attempt, id, recovers.map(|old| host.root.flow(&old))).await {
                        Ok(event) => Answer::Event(event),
                        Err(error) => Answer::Not(action, error),
                    }
                });
            }
            FlowAction::BindOutputs { ref node } => {
                let (values, graph, node) = (self.values.clone(), self.flow().graph().clone(), node.clone());
                let room = self.room.clone();
                self.spawn(action.clone(), async move {
                    let _room = room.acquire().await;
                    match values.bind_outputs(&graph, node.as_deref()).await {
                        Ok(event) => Answer::Event(event),
                        Err(error) => Answer::Not(action, error),
                    }
                });
            }
            FlowAction::DriveNode { node, attempt, execution } => self.drive(node, attempt, execution),
            FlowAction::AbortNode { node, attempt, execution } => self.stop(node, attempt, execution),
            FlowAction::Record(_) | FlowAction::Finish(_) => {}
        }
    }

    fn drive(&mut self, node: String, attempt: u32, execution: String) {
        let (control, mut controlled) = mpsc::channel(4);
        let (standing, watched) = watch::channel(Standing::default());
        self.controls.insert(execution.clone(), control);
        self.progress.begin(&node, watched);
        let id = self.record.id.clone().unwrap_or_default();
        let turn = format!("{}/{}/{}", id.project, id.domain, id.name);
        let action = FlowAction::DriveNode { node: node.clone(), attempt, execution: execution.clone() };
        let run = Node {
            host: self.host.clone(),
            graph: self.flow().graph().clone(),
            values: self.values.clone(),
            options: self.options.clone(),
            id: node.clone(),
            execution,
            recovers: self.record.recovers.clone(),
            room: self.room.clone(),
        };
        self.spawn(action.clone(), async move {
            let end = match in_turn(&run, &turn, &mut controlled, &standing).await {
                Driven::Left => return Answer::Nothing,
                Driven::Overtaken => return Answer::Overtaken(action),
                Driven::Succeeded { outputs, cached } => match run.values.keep(&node, &outputs).await {
                    Ok(()) => NodeEnd::Succeeded { cached },
                    Err(error) => return Answer::Not(action, error),
                },
                Driven::Failed(error) => NodeEnd::Failed(error),
                Driven::Broken(error) => return Answer::Broken(action, error),
                Driven::Aborted => NodeEnd::Aborted { reason: "it was terminated".to_owned() },
            };
            Answer::Event(FlowEvent::NodeEnded { node, attempt, end })
        });
    }

    fn stop(&mut self, node: String, attempt: u32, execution: String) {
        let reason = match self.flow().abort() {
            Some((cause, _)) => format!("the workflow is aborted: {cause}"),
            None => "another node of the workflow has failed".to_owned(),
        };
        let control = self.controls.get(&execution).cloned();
        let host = self.host.clone();
        let action = FlowAction::AbortNode { node: node.clone(), attempt, execution: execution.clone() };
        self.spawn(action.clone(), async move {
            let asked = Control::Abort { reason: reason.clone() };
            // Whoever drives it here answers for it.
            if let Some(control) = control
                && control.send(asked).await.is_ok()
            {
                return Answer::Nothing;
            }
            match node::stop(&host, &execution, &reason).await {
                Driven::Overtaken => Answer::Overtaken(action),
                _ => Answer::Event(FlowEvent::NodeEnded { node, attempt, end: NodeEnd::Aborted { reason } }),
            }
        });
    }

    /// An action cannot be carried out, for good. Where it is a node's that AWS Batch may hold jobs of, these end first.
    fn give_up(&mut self, action: FlowAction, error: NodeError) -> Option<FlowEvent> {
        let FlowAction::DriveNode { node, attempt, execution } = action else { return given_up(&action, error) };
        let (control, mut controlled) = mpsc::channel(4);
        self.controls.insert(execution.clone(), control);
        let host = self.host.clone();
        let action = FlowAction::DriveNode { node: node.clone(), attempt, execution: execution.clone() };
        let failed = FlowEvent::NodeEnded { node, attempt, end: NodeEnd::Failed(error.clone()) };
        // Should ending it break too, it has failed all the same.
        let unended = failed.clone();
        let broken = AssertUnwindSafe(async move {
            match node::stop_unless_left(&host, &execution, &error.message, &mut controlled).await {
                Driven::Left => Answer::Nothing,
                Driven::Overtaken => Answer::Overtaken(action),
                _ => Answer::Event(failed),
            }
        });
        self.tasks.spawn_local(async move { broken.catch_unwind().await.unwrap_or(Answer::Event(unended)) });
        None
    }

    /// Carries out an action. What breaks at it ends the action, and not the driver with all the other nodes.
    fn spawn(&mut self, action: FlowAction, work: impl Future<Output = Answer> + 'static) {
        self.tasks.spawn_local(async move {
            AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| {
                let message = "batchmap has a fault of its own here; the server's log says more".to_owned();
                let (code, origin) = ("Internal".to_owned(), Origin::System);
                Answer::Broken(action, NodeError { code, message, origin, recoverable: false })
            })
        });
    }
}

/// Runs a node when it is the turn of its execution. One that is to end is not waited with.
async fn in_turn(
    run: &Node,
    turn: &str,
    control: &mut mpsc::Receiver<Control>,
    standing: &watch::Sender<Standing>,
) -> Driven {
    let _place = tokio::select! {
        biased;
        place = run.host.turns.place(turn) => place,
        asked = control.recv() => return match asked {
            // It may have run before, on another server.
            Some(Control::Abort { reason }) => node::stop_unless_left(&run.host, &run.execution, &reason, control).await,
            Some(Control::Detach) | None => Driven::Left,
        },
    };
    run.run(control, standing).await
}

/// What an error of S3 means for an action, where waiting does not help.
fn lasting(action: &FlowAction, error: &StoreError) -> Option<NodeError> {
    // What is to end is ended, however long it takes.
    if matches!(error, StoreError::Unreachable { .. }) || matches!(action, FlowAction::AbortNode { .. }) {
        return None;
    }
    let (code, message) = ("Storage".to_owned(), error.to_string());
    Some(NodeError { code, message, origin: Origin::System, recoverable: false })
}

/// What becomes of an action that cannot be carried out.
fn given_up(action: &FlowAction, error: NodeError) -> Option<FlowEvent> {
    match action {
        FlowAction::StartNode { node, attempt } | FlowAction::DriveNode { node, attempt, .. } => {
            Some(FlowEvent::NodeEnded { node: node.clone(), attempt: *attempt, end: NodeEnd::Failed(error) })
        }
        FlowAction::BindOutputs { node } => Some(FlowEvent::OutputsBound { node: node.clone(), error: Some(error) }),
        FlowAction::AbortNode { node, attempt, .. } => Some(FlowEvent::NodeEnded {
            node: node.clone(),
            attempt: *attempt,
            end: NodeEnd::Aborted { reason: error.message },
        }),
        FlowAction::Record(_) | FlowAction::Finish(_) => None,
    }
}
