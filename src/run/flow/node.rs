//! One node: a map execution, from its literals to its outputs.

mod staging;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use self::staging::Begun;
use super::Host;
use super::host::Shared;
use super::shared::{Running, Standing};
use super::values::Values;
use crate::aws::batch::BatchError;
use crate::aws::store::StoreError;
use crate::idl::core::{Literal, LiteralMap, WorkflowExecutionIdentifier};
use crate::idl::make;
use crate::map::event::Decision;
use crate::map::execution::Execution;
use crate::map::flyte::{self, Shape};
use crate::map::layout::Root;
use crate::map::policy::Origin;
use crate::map::summary::Summary;
use crate::map::workflow::event::Cached;
use crate::map::workflow::{self as flow, Graph, GraphNode};
use crate::run::begin::BeginError;
use crate::run::driver::{Control, DriveError, Driver, Ended};
use crate::run::journal::JournalError;
use crate::run::launch::{self, LaunchError};
use crate::run::result::{self, ResultError};
use crate::run::stage::StageError;

/// How long a node waits before it is taken up again after AWS was out of reach for too long.
const PAUSE: Duration = Duration::from_secs(15);

/// Outputs of one node, in bytes as literals: they are held in memory where they are bound to other nodes' inputs.
const LARGEST: u64 = 256 << 20;

/// A node that is to be run, or gone on with. It holds no literals: they are read when it is staged, by a few nodes at once.
pub(super) struct Node {
    pub shared: Arc<Shared>,
    pub graph: Arc<Graph>,
    pub values: Arc<Values>,
    pub options: Arc<flyte::Options>,
    /// Its unique id.
    pub id: String,
    /// The id of its map execution: written to the journal before anything is done, so that whoever takes over finds it.
    pub execution: String,
    /// The workflow's execution that this one recovers.
    pub recovers: Option<WorkflowExecutionIdentifier>,
}

/// How a node ended.
#[derive(Debug)]
pub(super) enum NodeEnd {
    /// With these outputs.
    Succeeded {
        /// One literal for each declared output.
        outputs: LiteralMap,
        /// What the cache had to do with them.
        cached: Cached,
    },
    /// Not, and nothing of it is left with AWS Batch.
    Failed(flow::NodeError),
    /// It cannot be gone on with, and AWS Batch may hold jobs of it.
    Broken(flow::NodeError),
    /// Because it was asked to.
    Aborted,
    /// This server was told to leave it.
    Left,
    /// Somebody else has taken its map execution over.
    Overtaken,
}

/// Why a node's end is not known.
#[derive(Debug, thiserror::Error)]
enum NodeError {
    #[error(transparent)]
    Launch(#[from] LaunchError),
    #[error(transparent)]
    Stage(#[from] StageError),
    #[error(transparent)]
    Drive(#[from] DriveError),
    #[error(transparent)]
    Result(#[from] ResultError),
    #[error(transparent)]
    Begin(#[from] BeginError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{message}")]
    Task {
        /// A short name of it.
        code: &'static str,
        /// What is wrong with it.
        message: String,
    },
}

/// What an error means for its node.
enum Meaning {
    /// Another server drives it.
    Overtaken,
    /// It may pass.
    Passing,
    /// It will not, and it is somebody's fault.
    Lasting(Origin),
}

impl NodeError {
    fn meaning(&self) -> Meaning {
        match self {
            NodeError::Drive(
                DriveError::Journal(JournalError::Overtaken { .. })
                // What is left is in the log; the one who has overtaken is not to pay for it.
                | DriveError::Left { .. },
            ) => Meaning::Overtaken,
            NodeError::Drive(error) if error.is_transient() => Meaning::Passing,
            NodeError::Launch(error) | NodeError::Begin(BeginError::Launch(error)) => of_launch(error),
            NodeError::Stage(StageError::Store(error))
            | NodeError::Result(ResultError::Store(error))
            | NodeError::Begin(BeginError::Store(error))
            | NodeError::Store(error) => of_store(error),
            NodeError::Begin(BeginError::Batch(BatchError::Refused { .. })) => Meaning::Lasting(Origin::System),
            NodeError::Begin(BeginError::Batch(_)) => Meaning::Passing,
            NodeError::Stage(StageError::Faults(_))
            | NodeError::Task { .. }
            | NodeError::Begin(BeginError::Definition(_)) => Meaning::Lasting(Origin::User),
            _ => Meaning::Lasting(Origin::System),
        }
    }
}

fn of_launch(error: &LaunchError) -> Meaning {
    match error {
        LaunchError::Journal(JournalError::Overtaken { .. }) => Meaning::Overtaken,
        LaunchError::Store(error) | LaunchError::Journal(JournalError::Store(error)) => of_store(error),
        _ => Meaning::Lasting(Origin::System),
    }
}

fn of_store(error: &StoreError) -> Meaning {
    match error {
        StoreError::Unreachable { .. } => Meaning::Passing,
        _ => Meaning::Lasting(Origin::System),
    }
}

impl NodeError {
    /// The same in a workflow's words.
    fn of_flow(&self, origin: Origin) -> flow::NodeError {
        let code = match self {
            NodeError::Task { code, .. } => code,
            NodeError::Store(_) => "Storage",
            _ if origin == Origin::User => "BadTask",
            _ => "SystemError",
        };
        flow::NodeError { code: code.to_owned(), message: self.to_string(), origin, recoverable: false }
    }
}

impl Node {
    /// Runs a node to its end, taking up what an earlier server has begun of it. AWS's outages are waited for.
    pub(super) async fn run(
        &self,
        control: &mut mpsc::Receiver<Control>,
        standing: &watch::Sender<Standing>,
    ) -> NodeEnd {
        loop {
            let error = match self.attempt(control, standing).await {
                Ok(end) => return end,
                Err(error) => error,
            };
            match error.meaning() {
                Meaning::Overtaken => {
                    tracing::info!(execution = self.execution, %error);
                    return NodeEnd::Overtaken;
                }
                Meaning::Passing => {
                    tracing::warn!(execution = self.execution, %error, "trying again");
                    standing.send_modify(|standing| standing.trouble = Some(error.to_string()));
                }
                Meaning::Lasting(origin) => return NodeEnd::Broken(error.of_flow(origin)),
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                message = control.recv() => match message {
                    Some(Control::Detach) | None => return NodeEnd::Left,
                    // It may have jobs in AWS Batch already.
                    Some(Control::Abort { reason }) => return stop_unless_left(&self.shared.host, &self.execution, &reason, control).await,
                },
            }
        }
    }
}

/// [`stop`], until this server is to leave the node.
pub(super) async fn stop_unless_left(
    host: &Host,
    execution: &str,
    reason: &str,
    control: &mut mpsc::Receiver<Control>,
) -> NodeEnd {
    tokio::select! {
        end = stop(host, execution, reason) => end,
        () = told_to_leave(control) => NodeEnd::Left,
    }
}

/// Returns when this server is to leave the node.
pub(super) async fn told_to_leave(control: &mut mpsc::Receiver<Control>) {
    loop {
        if let Some(Control::Detach) | None = control.recv().await {
            return;
        }
    }
}

/// Ends a node's map execution that nobody drives here. Nothing is launched for it, by this server or another one.
pub(super) async fn stop(host: &Host, execution: &str, reason: &str) -> NodeEnd {
    let root = Root::new(&host.prefix, execution);
    loop {
        let error = match end_now(host, &root, reason).await {
            Ok(end) => return end,
            Err(error) => error,
        };
        match error.meaning() {
            Meaning::Overtaken => return NodeEnd::Overtaken,
            Meaning::Passing => tracing::warn!(execution, %error, "trying again"),
            Meaning::Lasting(_) => {
                // The workflow ends all the same; what Batch may hold of it is found by its name.
                tracing::error!(execution, %error, "a node could not be ended");
                return NodeEnd::Aborted;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn end_now(host: &Host, root: &Root, reason: &str) -> Result<NodeEnd, NodeError> {
    let mut driver = match launch::take_over(&host.ports, root, host.patience).await {
        Ok(driver) => driver,
        // Another server may be about to begin it.
        Err(LaunchError::Unknown { .. } | LaunchError::NeverBegun { .. }) => {
            launch::forestall(&host.ports, root, reason).await?;
            return Ok(NodeEnd::Aborted);
        }
        Err(error) => return Err(error.into()),
    };
    if driver.execution().decision().is_none() {
        driver.abort_first(reason)?;
    }
    let (_open, mut nobody) = mpsc::channel(1);
    driver.run(&mut nobody).await?;
    Ok(NodeEnd::Aborted)
}

impl Node {
    async fn attempt(
        &self,
        control: &mut mpsc::Receiver<Control>,
        standing: &watch::Sender<Standing>,
    ) -> Result<NodeEnd, NodeError> {
        let root = Root::new(&self.shared.host.prefix, &self.execution);
        let mut driver = match self.begin(&root).await? {
            Begun::Driver(driver) => driver,
            Begun::Nothing(outputs) => return Ok(NodeEnd::Succeeded { outputs, cached: Cached::Off }),
        };
        // Asked while it was being launched: nothing is to be submitted first.
        match control.try_recv() {
            Ok(Control::Detach) => return Ok(NodeEnd::Left),
            Ok(Control::Abort { reason }) if driver.execution().decision().is_none() => driver.abort_first(&reason)?,
            _ => {}
        }
        let (mut counts, shown) = (driver.progress(), driver.shown());
        show(standing, counts.borrow_and_update().clone(), &shown);
        let ended = tokio::select! {
            ended = driver.run(control) => ended?,
            never = pass_on(counts, &shown, standing) => match never {},
        };
        match ended {
            Ended::Detached => Ok(NodeEnd::Left),
            Ended::Finished(decision) => {
                let summary = driver.execution().summary();
                show(standing, summary.clone(), &driver.shown());
                self.end_of(&root, &driver, &decision, &summary).await
            }
        }
    }
}

fn show(standing: &watch::Sender<Standing>, counts: Summary, shown: &watch::Receiver<Arc<Execution>>) {
    let running = Some(Running { counts, shown: shown.clone() });
    standing.send_replace(Standing { running, trouble: None });
}

/// Passes the counts on for as long as the driver runs.
async fn pass_on(
    mut counts: watch::Receiver<Summary>,
    shown: &watch::Receiver<Arc<Execution>>,
    standing: &watch::Sender<Standing>,
) -> std::convert::Infallible {
    while counts.changed().await.is_ok() {
        show(standing, counts.borrow_and_update().clone(), shown);
    }
    std::future::pending().await
}

impl Node {
    async fn end_of(
        &self,
        root: &Root,
        driver: &Driver,
        decision: &Decision,
        summary: &Summary,
    ) -> Result<NodeEnd, NodeError> {
        Ok(match decision {
            Decision::Succeeded => {
                let store = self.shared.host.ports.store.as_ref();
                let spool = result::collect(store, root, driver.record(), driver.execution()).await?;
                if spool.bytes() > LARGEST {
                    let message = format!(
                        "its outputs have {} bytes, and at most {LARGEST} are bound to other nodes: put large values into files",
                        spool.bytes()
                    );
                    return Err(NodeError::Task { code: "BadTask", message });
                }
                let all_cached = summary.cached > 0 && summary.cached == driver.record().size;
                let cached = match (driver.record().cache.is_some(), all_cached) {
                    (false, _) => Cached::Off,
                    (true, false) => Cached::Populated,
                    (true, true) => Cached::Hit,
                };
                NodeEnd::Succeeded { outputs: outputs(&spool, self.is_mapped())?, cached }
            }
            Decision::Aborted { .. } => NodeEnd::Aborted,
            _ => NodeEnd::Failed(failed(self.is_mapped(), summary)),
        })
    }

    /// Whether its outputs are lists of what its subtasks put out, or those of its only subtask.
    fn is_mapped(&self) -> bool {
        let shape = |node: &GraphNode| Some(flyte::shape(node.task()?, node.source()));
        self.graph.node(&self.id).and_then(shape) == Some(Shape::List)
    }
}

/// The spooled rows as lists, or the only row as it is.
fn outputs(spool: &result::Spool, mapped: bool) -> Result<LiteralMap, NodeError> {
    let mut lists: Vec<Vec<Literal>> = vec![Vec::new(); spool.names().len()];
    let mut rows = spool.read()?;
    while let Some(row) = rows.next_row()? {
        for (list, body) in lists.iter_mut().zip(row) {
            // What the spool holds was encoded by this process.
            list.push(
                prost::Message::decode(body.as_slice())
                    .map_err(|error| NodeError::Task { code: "SystemError", message: error.to_string() })?,
            );
        }
    }
    let literal =
        |mut list: Vec<Literal>| if mapped { make::collection(list) } else { list.pop().unwrap_or_else(make::none) };
    Ok(LiteralMap { literals: spool.names().iter().cloned().zip(lists.into_iter().map(literal)).collect() })
}

/// The failures of a node's subtasks, as its own.
fn failed(mapped: bool, summary: &Summary) -> flow::NodeError {
    let Some(first) = summary.failures.first() else {
        let message = summary.reason.clone().unwrap_or_else(|| "the execution failed".to_owned());
        return flow::NodeError { code: "Failed".to_owned(), message, origin: Origin::System, recoverable: false };
    };
    let lines = summary.failures.iter().map(|folded| match mapped {
        true => format!("{}: {}: {}", folded.indices, folded.code, folded.message),
        false => folded.message.clone(),
    });
    let mut lines: Vec<String> = lines.collect();
    if mapped {
        lines.extend(summary.reason.clone());
    }
    let (code, message) = (first.code.clone(), lines.join("\n"));
    flow::NodeError { code, message, origin: first.origin, recoverable: false }
}
