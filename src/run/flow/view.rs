//! An execution of a workflow as it stands, for whoever asks.

use std::sync::Arc;

use prost::Message;

use super::log::{self, LogError, Record};
use super::shared::{Ended, Progress};
use crate::aws::store::{Store, StoreError};
use crate::idl::record::FlowRecord;
use crate::map::execution::Execution;
use crate::map::layout::flyte::{FLYTE_VERSION, FlowRoot, REMOVED_VERSION};
use crate::map::summary::Summary;
use crate::map::workflow::{Flow, Graph, IllegalEvent};

/// A snapshot.
#[derive(Clone)]
pub struct FlowView {
    /// What is run.
    pub record: Arc<FlowRecord>,
    /// Its machine.
    pub flow: Arc<Flow>,
    pub(super) progress: Progress,
}

impl FlowView {
    /// The counts of a node that runs on this server, by its unique id.
    pub fn counts(&self, node: &str) -> Option<Summary> {
        self.progress.of(node)
    }

    /// What keeps a node that runs on this server from going on, in words; nothing while it does.
    pub fn trouble(&self, node: &str) -> Option<String> {
        self.progress.trouble(node)
    }

    /// The map execution of this id, which `node` runs or ran: if it is, or was, driven by this server, and not too long ago.
    pub fn execution(&self, node: &str, id: &str) -> Option<Arc<Execution>> {
        self.progress.execution(node, id)
    }

    /// When the last record of its journal was written, in milliseconds since 1970; its creation where there is none.
    pub fn updated_ms(&self) -> u64 {
        self.flow.updated_ms().unwrap_or_else(|| created_ms(&self.record))
    }
}

/// Why an execution cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// There is none of that name.
    #[error("there is no execution {name} in {project}/{domain}")]
    Unknown {
        /// Its project.
        project: String,
        /// Its domain.
        domain: String,
        /// Its name.
        name: String,
    },
    /// What is stored of it is damaged, or of another version.
    #[error("the record of execution {name} cannot be read: {problem}")]
    Unreadable {
        /// Its name.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// Its journal.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A journal that no execution of this workflow could have written.
    #[error(transparent)]
    Illegal(#[from] IllegalEvent),
    /// S3.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It passes from one server to another.
    #[error("execution {name} is passing from one server to another, or S3 is out of its server's reach: call again")]
    Moving {
        /// Its name.
        name: String,
    },
}

/// An execution as the bucket has it.
pub(in crate::run) struct Stored {
    pub record: Arc<FlowRecord>,
    pub flow: Arc<Flow>,
    pub records: Vec<Record>,
}

impl Stored {
    /// One that has just been made: nothing has happened yet.
    pub(super) fn new(record: FlowRecord) -> Result<Stored, ViewError> {
        let flow = Arc::new(machine(&record, graph(&record)?));
        Ok(Stored { record: Arc::new(record), flow, records: Vec::new() })
    }

    /// What clients are shown; `ended` is what this server has driven.
    pub(super) fn view(self, ended: Ended) -> FlowView {
        FlowView { record: self.record, flow: self.flow, progress: Progress::new(ended) }
    }
}

/// The server that has taken an execution on last.
pub(super) fn server_of(records: &[Record]) -> Option<String> {
    use crate::map::workflow::FlowEvent;
    records.iter().rev().flat_map(|record| record.events.iter().rev()).find_map(|event| match event {
        FlowEvent::Taken { server } => Some(server.clone()),
        _ => None,
    })
}

/// When an execution was made, in milliseconds since 1970.
pub fn created_ms(record: &FlowRecord) -> u64 {
    let at = record.created_at.unwrap_or_default();
    u64::try_from(at.seconds).unwrap_or_default() * 1000 + u64::try_from(at.nanos).unwrap_or_default() / 1_000_000
}

/// Reads what an execution is to run.
pub(super) async fn read_record(
    store: &dyn Store,
    root: &FlowRoot,
    id: &crate::idl::core::WorkflowExecutionIdentifier,
) -> Result<Arc<FlowRecord>, ViewError> {
    let (project, domain, name) = (id.project.clone(), id.domain.clone(), id.name.clone());
    let body = match store.get(&root.spec()).await {
        Ok(body) => body,
        Err(StoreError::NotFound { .. }) => return Err(ViewError::Unknown { project, domain, name }),
        Err(error) => return Err(error.into()),
    };
    let unreadable = |problem: String| ViewError::Unreadable { name: id.name.clone(), problem };
    let record = FlowRecord::decode(body).map_err(|error| unreadable(error.to_string()))?;
    match record.version {
        FLYTE_VERSION => Ok(Arc::new(record)),
        REMOVED_VERSION => Err(ViewError::Unknown { project, domain, name: id.name.clone() }),
        other => Err(unreadable(format!("its format is {other}, and this batchmap knows {FLYTE_VERSION}"))),
    }
}

/// Reads an execution and replays its journal.
pub(in crate::run) async fn read(
    store: &dyn Store,
    root: &FlowRoot,
    id: &crate::idl::core::WorkflowExecutionIdentifier,
) -> Result<Stored, ViewError> {
    let record = read_record(store, root, id).await?;
    let graph = graph(&record)?;
    let records = log::read(store, root, 1).await?;
    let mut flow = machine(&record, graph);
    replay(&mut flow, &records)?;
    Ok(Stored { record, flow: Arc::new(flow), records })
}

/// Hands a machine what its journal says has happened to it.
pub(super) fn replay(flow: &mut Flow, records: &[Record]) -> Result<(), IllegalEvent> {
    records.iter().try_for_each(|entry| entry.events.iter().try_for_each(|event| flow.handle(entry.now_ms, event)))
}

/// The graph of what a record is to run.
pub(super) fn graph(record: &FlowRecord) -> Result<Arc<Graph>, ViewError> {
    let name = || record.id.as_ref().map(|id| id.name.clone()).unwrap_or_default();
    let unreadable = |problem: String| ViewError::Unreadable { name: name(), problem };
    let closure = record.workflow.as_ref().ok_or_else(|| unreadable("it holds no workflow".to_owned()))?;
    Graph::compile(closure).map(Arc::new).map_err(|faults| unreadable(faults.to_string()))
}

/// The machine of a record, before anything has happened.
pub(super) fn machine(record: &FlowRecord, graph: Arc<Graph>) -> Flow {
    let parallelism = record.spec.as_ref().map_or(0, |spec| spec.max_parallelism);
    Flow::new(graph, u32::try_from(parallelism).unwrap_or_default())
}
