//! The driver of one workflow's execution: take an action, do it, write down what came of it.
//!
//! ```text
//!            ┌──── Flow::next_action ◄──── handle ◄── journal ◄── check ◄──┐
//!            ▼                                                             │
//!   bind inputs, drive a node, stop one, bind outputs: each a task ── its answer
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Host;
use super::log::{Log, LogError};
use super::node::{self, Job, NodeEnd as Driven};
use super::values::Values;
use super::view::{self, Stored, ViewError};
use crate::aws::store::StoreError;
use crate::idl::core::{LiteralMap, WorkflowExecutionIdentifier};
use crate::idl::record::FlowRecord;
use crate::map::flyte::{self, Shape};
use crate::map::policy::Origin;
use crate::map::summary::Summary;
use crate::map::workflow::event::Cached;
use crate::map::workflow::{Flow, FlowAction, FlowEvent, FlowOutcome, IllegalEvent, NodeEnd, NodeError};
use crate::run::driver::Control;
use crate::run::launch;

/// How long to wait after S3 was out of reach.
const PAUSE: Duration = Duration::from_secs(2);

/// How many signs of life a server gives between two looks whether an execution is still its own: one that was taken for
/// dead finds out by that, though nothing happens in the execution.
const BEATS: u32 = 6;

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

/// The counts of the nodes that run here.
pub(super) type Progress = Arc<Mutex<BTreeMap<String, watch::Receiver<Option<Summary>>>>>;

/// The machine, which those who ask look at as well. Nobody holds it for longer than a look or one event takes.
pub(super) type SharedFlow = Arc<Mutex<Flow>>;

/// The machine for a moment.
pub(super) fn locked(flow: &SharedFlow) -> MutexGuard<'_, Flow> {
    flow.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a task brings back.
enum Answer {
    /// An event, in answer to an action.
    Event(FlowEvent),
    /// The action could not be carried out.
    Not(FlowAction, StoreError),
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
        stopping: CancellationToken,
    ) -> Result<FlowDriver, FlowError> {
        let Stored { record, records, .. } = stored;
        let id = record.id.clone().unwrap_or_default();
        let root = host.root.flow(&id);
        // Two lives of one server are two writers.
        let writer = format!("{}-{:016x}", host.server, crate::run::random());
        let log = Log::after(host.ports.store.clone(), root.clone(), writer, &records);
        locked(&flow).resume();
        let values = Arc::new(Values::new(host.ports.store.clone(), root, record.clone()));
        let options = Arc::new(super::options::options(&record, host.runner));
        let (tasks, controls) = (JoinSet::new(), BTreeMap::new());
        let mut driver = FlowDriver { values, options, record, flow, log, tasks, controls, progress, stopping, host };
        driver.take_in(FlowEvent::Taken { server: driver.host.server.clone() }).await?;
        Ok(driver)
    }

    /// Drives the execution to its end; nothing when this server was told to leave it.
    ///
    /// # Errors
    /// When another server has taken it over, or its journal cannot be gone on with.
    pub(super) async fn run(
        mut self,
        requests: &mut mpsc::Receiver<Request>,
    ) -> Result<Option<FlowOutcome>, FlowError> {
        let mut turn = tokio::time::interval(self.host.lease.beat * BEATS);
        turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        turn.reset();
        loop {
            loop {
                // Its own statement: the lock is not held over what follows.
                let action = self.flow().next_action();
                match action {
                    Some(FlowAction::Record(event)) => self.take_in(event).await?,
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
                            self.take_in(event).await?;
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
                Some(answer) = self.tasks.join_next() => match answer {
                    Ok(Answer::Event(event)) => self.answered(event).await?,
                    Ok(Answer::Not(action, error)) => match lasting(&action, &error) {
                        Some(event) => self.answered(event).await?,
                        None => {
                            tracing::warn!(%error, ?action, "trying again");
                            self.later(action);
                        }
                    },
                    Ok(Answer::Again(action)) => self.flow().ask_again(&action),
                    Ok(Answer::Overtaken(action)) => {
                        self.make_sure().await?;
                        self.later(action);
                    }
                    Ok(Answer::Nothing) => {}
                    Err(error) => match error.try_into_panic() {
                        Ok(panic) => std::panic::resume_unwind(panic),
                        Err(_) => return Ok(None),
                    },
                },
            }
        }
    }

    fn flow(&self) -> MutexGuard<'_, Flow> {
        locked(&self.flow)
    }

    /// Takes in what a task has brought, unless it has come too late.
    async fn answered(&mut self, event: FlowEvent) -> Result<(), FlowError> {
        if let FlowEvent::NodeEnded { node, .. } = &event {
            self.progress.lock().unwrap_or_else(PoisonError::into_inner).remove(node);
            let execution = self.flow().node(node).and_then(|node| node.execution.map(str::to_owned));
            if let Some(execution) = execution {
                self.controls.remove(&execution);
            }
        }
        let checked = self.flow().check(&event);
        match checked {
            Ok(()) => self.take_in(event).await,
            Err(late) => {
                tracing::debug!(%late, "an answer is not wanted any more");
                Ok(())
            }
        }
    }

    /// Writes an event down, however long S3 is out of reach, and goes on from it.
    async fn take_in(&mut self, event: FlowEvent) -> Result<(), FlowError> {
        let now = loop {
            match self.log.append(self.host.ports.clock.now_ms(), vec![event.clone()]).await {
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
        self.flow().handle(now, &event)?;
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
                self.tasks.spawn_local(async move {
                    let id = launch::new_id(host.ports.clock.now_ms());
                    match values.start(&flow, &node, attempt, id, recovers.map(|old| host.root.flow(&old))).await {
                        Ok(event) => Answer::Event(event),
                        Err(error) => Answer::Not(action, error),
                    }
                });
            }
            FlowAction::BindOutputs { ref node } => {
                let (values, graph, node) = (self.values.clone(), self.flow().graph().clone(), node.clone());
                self.tasks.spawn_local(async move {
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
        let (counts, watched) = watch::channel(None);
        self.controls.insert(execution.clone(), control);
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).insert(node.clone(), watched);
        let (host, values, options) = (self.host.clone(), self.values.clone(), self.options.clone());
        let (graph, recovers) = (self.flow().graph().clone(), self.record.recovers.clone());
        let id = self.record.id.clone().unwrap_or_default();
        let turn = format!("{}/{}/{}", id.project, id.domain, id.name);
        self.tasks.spawn_local(async move {
            let action = FlowAction::DriveNode { node: node.clone(), attempt, execution: execution.clone() };
            let inputs = match values.inputs(&node).await {
                Ok(inputs) => inputs,
                Err(error) => return Answer::Not(action, error),
            };
            let earlier = match recovers {
                Some(old) => earlier(&host, &values, &old, &node, &inputs).await,
                None => None,
            };
            let job = match job(&graph, &node, &inputs, &options, execution) {
                Ok(job) => Job { earlier, ..job },
                Err(end) => return Answer::Event(FlowEvent::NodeEnded { node, attempt, end }),
            };
            let cached = job.task.policy.cache.is_some();
            let end = match in_turn(&host, &turn, &job, &mut controlled, &counts).await {
                Driven::Left => return Answer::Nothing,
                Driven::Overtaken => return Answer::Overtaken(action),
                Driven::Succeeded { outputs, cached: hit } => match values.keep(&node, &outputs).await {
                    Ok(()) => NodeEnd::Succeeded { cached: cache_word(cached, hit) },
                    Err(error) => return Answer::Not(action, error),
                },
                Driven::Failed { code, message, origin } => {
                    NodeEnd::Failed(NodeError { code, message, origin, recoverable: false })
                }
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
        self.tasks.spawn_local(async move {
            let asked = Control::Abort { reason: reason.clone() };
            // Whoever drives it here answers for it.
            if let Some(control) = control
                && control.send(asked).await.is_ok()
            {
                return Answer::Nothing;
            }
            match node::stop(&host, &execution, &reason).await {
                Driven::Overtaken => Answer::Overtaken(FlowAction::AbortNode { node, attempt, execution }),
                _ => Answer::Event(FlowEvent::NodeEnded { node, attempt, end: NodeEnd::Aborted { reason } }),
            }
        });
    }
}

/// Runs a node when it is the turn of its execution. One that is to end is not waited with.
async fn in_turn(
    host: &Host,
    turn: &str,
    job: &Job,
    control: &mut mpsc::Receiver<Control>,
    counts: &watch::Sender<Option<Summary>>,
) -> Driven {
    let _place = tokio::select! {
        biased;
        place = host.turns.place(turn) => place,
        asked = control.recv() => return match asked {
            // It may have run before, on another server.
            Some(Control::Abort { reason }) => node::stop(host, &job.execution, &reason).await,
            Some(Control::Detach) | None => Driven::Left,
        },
    };
    node::run(host, job, control, counts).await
}

/// What an error of S3 means for an action, where waiting does not help.
fn lasting(action: &FlowAction, error: &StoreError) -> Option<FlowEvent> {
    if matches!(error, StoreError::Unreachable { .. }) {
        return None;
    }
    let error = NodeError {
        code: "Storage".to_owned(),
        message: error.to_string(),
        origin: Origin::System,
        recoverable: false,
    };
    match action {
        FlowAction::StartNode { node, attempt } | FlowAction::DriveNode { node, attempt, .. } => {
            Some(FlowEvent::NodeEnded { node: node.clone(), attempt: *attempt, end: NodeEnd::Failed(error) })
        }
        FlowAction::BindOutputs { node } => Some(FlowEvent::OutputsBound { node: node.clone(), error: Some(error) }),
        FlowAction::AbortNode { .. } | FlowAction::Record(_) | FlowAction::Finish(_) => None,
    }
}

fn cache_word(cached: bool, hit: bool) -> Cached {
    match (cached, hit) {
        (false, _) => Cached::Off,
        (true, false) => Cached::Populated,
        (true, true) => Cached::Hit,
    }
}

/// What a node is to run.
fn job(
    graph: &crate::map::workflow::Graph,
    node: &str,
    inputs: &LiteralMap,
    options: &flyte::Options,
    execution: String,
) -> Result<Job, NodeEnd> {
    let failed = |code: &str, message: String| {
        NodeEnd::Failed(NodeError { code: code.to_owned(), message, origin: Origin::User, recoverable: false })
    };
    let known = graph.node(node).and_then(|node| Some((node, node.task()?)));
    let Some((node, template)) = known else {
        return Err(failed("Unknown", format!("the workflow has no node {node} that runs a task")));
    };
    let task = flyte::map_task(template, node.source(), inputs, options)
        .map_err(|refused| failed(refused.code, refused.to_string()))?;
    let mapped = flyte::shape(template, node.source()) == Shape::List;
    Ok(Job { task, execution, mapped, earlier: None })
}

/// The map execution of the same node in the execution that this one recovers, where it was given the same.
async fn earlier(
    host: &Host,
    values: &Values,
    old: &WorkflowExecutionIdentifier,
    node: &str,
    inputs: &LiteralMap,
) -> Option<String> {
    let root = host.root.flow(old);
    let found = async {
        if !values.same_inputs(&root, node, inputs).await? {
            return Ok(None);
        }
        let old = view::read(host.ports.store.as_ref(), &root, old).await?;
        Ok::<_, ViewError>(old.flow.node(node).and_then(|node| node.execution.map(str::to_owned)))
    };
    found.await.unwrap_or_else(|error| {
        // What cannot be taken over is run.
        tracing::warn!(node, %error, "cannot read what the earlier execution has brought");
        None
    })
}
