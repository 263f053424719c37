//! One node: a map execution, from its literals to its outputs.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::Host;
use crate::aws::batch::BatchError;
use crate::aws::store::StoreError;
use crate::idl::core::{Literal, LiteralMap};
use crate::idl::make;
use crate::idl::record::TaskRecord;
use crate::map::event::Decision;
use crate::map::flyte::{Outline, stock};
use crate::map::layout::Root;
use crate::map::policy::Origin;
use crate::map::summary::Summary;
use crate::map::task::MapTask;
use crate::run::begin::{self, BeginError};
use crate::run::driver::{Control, DriveError, Driver, Ended};
use crate::run::journal::JournalError;
use crate::run::launch::{self, LaunchError};
use crate::run::recover::{self, RecoverError, Recovered};
use crate::run::result::{self, ResultError};
use crate::run::stage::{self, StageError, StageOptions};

/// How long a node waits before it is taken up again after AWS was out of reach for too long.
const PAUSE: Duration = Duration::from_secs(15);

/// Outputs of one node, in bytes as literals: they are held in memory where they are bound to other nodes' inputs.
const LARGEST: u64 = 256 << 20;

/// What a node is to do.
pub(super) struct Job {
    /// Its task, with literals for inputs.
    pub task: MapTask,
    /// The id of its map execution: written to the journal before anything is done, so that whoever takes over finds it.
    pub execution: String,
    /// Whether its outputs are lists of what its subtasks put out, or those of its only subtask.
    pub mapped: bool,
    /// The map execution of the same node, given the same, in the execution that this one recovers.
    pub earlier: Option<String>,
}

/// How a node ended.
#[derive(Debug)]
pub(super) enum NodeEnd {
    /// With these outputs.
    Succeeded {
        /// One literal for each declared output.
        outputs: LiteralMap,
        /// Whether every subtask's came from the cache.
        cached: bool,
    },
    /// Not.
    Failed {
        /// A short name of what went wrong.
        code: String,
        /// What went wrong, folded by index range.
        message: String,
        /// Who is to blame.
        origin: Origin,
    },
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
    #[error("{0}")]
    Task(String),
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
            NodeError::Drive(DriveError::Journal(JournalError::Overtaken { .. })) => Meaning::Overtaken,
            NodeError::Drive(error) if error.is_transient() => Meaning::Passing,
            NodeError::Launch(error) | NodeError::Begin(BeginError::Launch(error)) => of_launch(error),
            NodeError::Stage(StageError::Store(error))
            | NodeError::Result(ResultError::Store(error))
            | NodeError::Begin(BeginError::Store(error))
            | NodeError::Store(error) => of_store(error),
            NodeError::Begin(BeginError::Batch(BatchError::Refused { .. })) => Meaning::Lasting(Origin::System),
            NodeError::Begin(BeginError::Batch(_)) => Meaning::Passing,
            NodeError::Stage(StageError::Faults(_))
            | NodeError::Task(_)
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

/// Runs a node to its end, taking up what an earlier server has begun of it. AWS's outages are waited for.
pub(super) async fn run(
    host: &Host,
    job: &Job,
    control: &mut mpsc::Receiver<Control>,
    progress: &watch::Sender<Option<Summary>>,
) -> NodeEnd {
    loop {
        let error = match attempt(host, job, control, progress).await {
            Ok(end) => return end,
            Err(error) => error,
        };
        match error.meaning() {
            Meaning::Overtaken => return NodeEnd::Overtaken,
            Meaning::Passing => tracing::warn!(execution = job.execution, %error, "trying again"),
            Meaning::Lasting(origin) => {
                let code = if origin == Origin::User { "BadTask" } else { "SystemError" };
                // Jobs that AWS Batch holds already would run for nobody.
                let reason = error.to_string();
                tokio::select! {
                    _ = stop(host, &job.execution, &reason) => {}
                    () = told_to_leave(control) => return NodeEnd::Left,
                }
                return NodeEnd::Failed { code: code.to_owned(), message: error.to_string(), origin };
            }
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            message = control.recv() => match message {
                Some(Control::Detach) | None => return NodeEnd::Left,
                // It may have jobs in AWS Batch already.
                Some(Control::Abort { reason }) => tokio::select! {
                    end = stop(host, &job.execution, &reason) => return end,
                    () = told_to_leave(control) => return NodeEnd::Left,
                },
            },
        }
    }
}

/// Returns when this server is to leave the node.
async fn told_to_leave(control: &mut mpsc::Receiver<Control>) {
    loop {
        if let Some(Control::Detach) | None = control.recv().await {
            return;
        }
    }
}

/// Ends a node's map execution that nobody drives here. Nothing is launched for it.
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
        Err(LaunchError::Unknown { .. } | LaunchError::NeverBegun { .. }) => return Ok(NodeEnd::Aborted),
        Err(error) => return Err(error.into()),
    };
    if driver.execution().decision().is_none() {
        driver.abort_first(reason)?;
    }
    let (_open, mut nobody) = mpsc::channel(1);
    driver.run(&mut nobody).await?;
    Ok(NodeEnd::Aborted)
}

async fn attempt(
    host: &Host,
    job: &Job,
    control: &mut mpsc::Receiver<Control>,
    progress: &watch::Sender<Option<Summary>>,
) -> Result<NodeEnd, NodeError> {
    let root = Root::new(&host.prefix, &job.execution);
    let Some(mut driver) = driver(host, job, &root).await? else {
        return Ok(NodeEnd::Succeeded { outputs: empty(job), cached: false });
    };
    // Asked while it was being launched: nothing is to be submitted first.
    match control.try_recv() {
        Ok(Control::Detach) => return Ok(NodeEnd::Left),
        Ok(Control::Abort { reason }) if driver.execution().decision().is_none() => driver.abort_first(&reason)?,
        _ => {}
    }
    let mut counts = driver.progress();
    progress.send_replace(Some(counts.borrow_and_update().clone()));
    let ended = tokio::select! {
        ended = driver.run(control) => ended?,
        never = pass_on(counts, progress) => match never {},
    };
    match ended {
        Ended::Detached => Ok(NodeEnd::Left),
        Ended::Finished(decision) => {
            let summary = driver.execution().summary();
            progress.send_replace(Some(summary.clone()));
            end_of(host, job, &root, &driver, &decision, &summary).await
        }
    }
}

/// Passes the counts on for as long as the driver runs.
async fn pass_on(
    mut counts: watch::Receiver<Summary>,
    progress: &watch::Sender<Option<Summary>>,
) -> std::convert::Infallible {
    while counts.changed().await.is_ok() {
        progress.send_replace(Some(counts.borrow_and_update().clone()));
    }
    std::future::pending().await
}

/// The driver of a node's map execution, wherever an earlier server has left it; nothing where its lists are empty.
async fn driver(host: &Host, job: &Job, root: &Root) -> Result<Option<Driver>, NodeError> {
    let store = &host.ports.store;
    let written = match launch::read_record(store, root).await {
        Ok(record) => match launch::take_over(&host.ports, root, host.patience).await {
            Ok(driver) => return Ok(Some(driver)),
            Err(LaunchError::NeverBegun { .. }) => Some(record),
            Err(error) => return Err(error.into()),
        },
        Err(LaunchError::Unknown { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let (record, reused) = match (recovered(host, job, root).await?, written) {
        (Some(Recovered { record, reused, .. }), written) => (written.unwrap_or(record), reused),
        (None, Some(record)) => (record, BTreeMap::new()),
        (None, None) => {
            let options = StageOptions { dry_run: false, stores: host.stores(), results: host.results(), stdin: None };
            let record = stage::stage(&job.task, store, root, options).await?.record;
            tell_timeout(&record);
            (record, BTreeMap::new())
        }
    };
    if record.size == 0 {
        return Ok(None);
    }
    let bucket = host.ports.store.bucket();
    launch::check_stock(bucket, root, &record).map_err(|error| NodeError::Task(error.to_string()))?;
    let MapTask { image, resources, batch, .. } = &job.task;
    let outline = Outline { image: image.clone(), resources: resources.clone(), batch: batch.clone() };
    let definition = || (host.definitions)(&outline);
    let begun = begin::begin(&host.ports, root, record, definition, &host.queues, host.patience, reused);
    Ok(Some(begun.await?))
}

/// Without a worker AWS Batch's timeout is the only one, and it has a shortest.
fn tell_timeout(record: &TaskRecord) {
    let timeout_ms = record.policy.map_or(0, |policy| policy.timeout_ms);
    let shortest = stock::SHORTEST_TIMEOUT_SECONDS;
    if stock::runner(record).is_some() && (1..shortest * 1000).contains(&timeout_ms) {
        tracing::warn!(task = record.name, timeout_ms, "a timeout is at least {shortest} seconds where no worker is");
    }
}

/// What the same node has brought in an earlier execution, where it can be taken over; its record is written then.
async fn recovered(host: &Host, job: &Job, root: &Root) -> Result<Option<Recovered>, NodeError> {
    let Some(old) = job.earlier.as_ref().map(|id| root.sibling(id)) else { return Ok(None) };
    let store = &host.ports.store;
    let known = match launch::read(store, &old).await {
        Ok(known) => known,
        // Never launched, or removed since.
        Err(LaunchError::Unknown { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let taken = async {
        let mut recovered = recover::recover(store.as_ref(), &old, &known).await?;
        // The task is the same, but it is told that it runs in another execution.
        recovered.record.environment = job.task.environment.clone();
        recover::write(store, root, &recovered.record).await?;
        recover::confirm(store.as_ref(), root, &recovered.record).await?;
        Ok::<_, RecoverError>(recovered)
    };
    match taken.await {
        Ok(recovered) => Ok(Some(recovered)),
        Err(RecoverError::Store(error)) => Err(error.into()),
        // Then there is nothing to take, and all of it is run.
        Err(error) => {
            tracing::info!(execution = job.execution, %error, "nothing is taken over");
            Ok(None)
        }
    }
}

/// The outputs of a map over nothing.
fn empty(job: &Job) -> LiteralMap {
    LiteralMap { literals: job.task.outputs.keys().map(|name| (name.clone(), make::collection(Vec::new()))).collect() }
}

async fn end_of(
    host: &Host,
    job: &Job,
    root: &Root,
    driver: &Driver,
    decision: &Decision,
    summary: &Summary,
) -> Result<NodeEnd, NodeError> {
    Ok(match decision {
        Decision::Succeeded => {
            let spool = result::collect(host.ports.store.as_ref(), root, driver.record(), driver.execution()).await?;
            if spool.bytes() > LARGEST {
                let message = format!(
                    "its outputs have {} bytes, and at most {LARGEST} are bound to other nodes: put large values into files",
                    spool.bytes()
                );
                return Err(NodeError::Task(message));
            }
            let cached = summary.cached > 0 && summary.cached == driver.record().size;
            NodeEnd::Succeeded { outputs: outputs(&spool, job.mapped)?, cached }
        }
        Decision::Aborted { .. } => NodeEnd::Aborted,
        _ => failed(job, summary),
    })
}

/// The spooled rows as lists, or the only row as it is.
fn outputs(spool: &result::Spool, mapped: bool) -> Result<LiteralMap, NodeError> {
    let mut lists: Vec<Vec<Literal>> = vec![Vec::new(); spool.names().len()];
    let mut rows = spool.read()?;
    while let Some(row) = rows.next_row()? {
        for (list, body) in lists.iter_mut().zip(row) {
            // What the spool holds was encoded by this process.
            list.push(prost::Message::decode(body.as_slice()).map_err(|error| NodeError::Task(error.to_string()))?);
        }
    }
    let literal =
        |mut list: Vec<Literal>| if mapped { make::collection(list) } else { list.pop().unwrap_or_else(make::none) };
    Ok(LiteralMap { literals: spool.names().iter().cloned().zip(lists.into_iter().map(literal)).collect() })
}

/// The failures of a node's subtasks, as its own.
fn failed(job: &Job, summary: &Summary) -> NodeEnd {
    let Some(first) = summary.failures.first() else {
        let message = summary.reason.clone().unwrap_or_else(|| "the execution failed".to_owned());
        return NodeEnd::Failed { code: "Failed".to_owned(), message, origin: Origin::System };
    };
    let lines = summary.failures.iter().map(|folded| match job.mapped {
        true => format!("{}: {}: {}", folded.indices, folded.code, folded.message),
        false => folded.message.clone(),
    });
    let mut lines: Vec<String> = lines.collect();
    if job.mapped {
        lines.extend(summary.reason.clone());
    }
    NodeEnd::Failed { code: first.code.clone(), message: lines.join("\n"), origin: first.origin }
}
