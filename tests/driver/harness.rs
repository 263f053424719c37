//! One execution, its bucket, its Batch, and drivers that come and go.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use batchmap::aws::batch::Batch;
use batchmap::aws::logs::{LogPage, Logs, LogsError};
use batchmap::aws::pacing::{Backoff, Paced, Pacer};
use batchmap::aws::store::Store;
use batchmap::idl::core::{LiteralType, TypedInterface, Variable, VariableMap};
use batchmap::idl::record::{Policy, TaskRecord};
use batchmap::map::bitset::Outcomes;
use batchmap::map::cadence::Pace;
use batchmap::map::event::Decision;
use batchmap::map::layout::{RECORD_VERSION, Root};
use batchmap::run::driver::{Control, DriveError, Driver, Ended, Patience};
use batchmap::run::launch::{self, LaunchError, Names};
use batchmap::run::{Clock, Ports};
use prost::Message;
use tokio::sync::mpsc;

use super::batch::ScriptedBatch;
use super::store::FaultyStore;

/// No test reads logs.
struct NoLogs;

#[async_trait]
impl Logs for NoLogs {
    async fn page(&self, group: &str, stream: &str, _token: Option<&str>) -> Result<LogPage, LogsError> {
        Err(LogsError::NotFound { group: group.to_owned(), stream: stream.to_owned() })
    }
}

pub struct Harness {
    pub store: Arc<FaultyStore>,
    pub batch: Arc<ScriptedBatch>,
    pub root: Root,
    pub record: TaskRecord,
    pub patience: Patience,
    /// Whether drivers call Batch at the pace of AWS.
    pub paced: bool,
}

/// `size` subtasks that all must succeed, with outputs due.
pub fn task(size: u64) -> TaskRecord {
    let output = Variable { r#type: Some(LiteralType::default()), ..Default::default() };
    let outputs = VariableMap { variables: [("o0".to_owned(), output)].into() };
    TaskRecord {
        version: RECORD_VERSION,
        command: vec!["true".to_owned()],
        interface: Some(TypedInterface { outputs: Some(outputs), ..Default::default() }),
        mapped: vec!["x".to_owned()],
        size,
        pack_starts: (0..size.max(1)).step_by(10_000).collect(),
        policy: Some(Policy { min_successes: size, ..Default::default() }),
        ..Default::default()
    }
}

/// The same with another policy.
pub fn with_policy(size: u64, change: impl FnOnce(&mut Policy)) -> TaskRecord {
    let mut record = task(size);
    change(record.policy.as_mut().unwrap());
    record
}

impl Harness {
    pub async fn new(record: TaskRecord) -> Self {
        let store = Arc::new(FaultyStore::new());
        let due = record.interface.as_ref().and_then(|interface| interface.outputs.as_ref());
        let batch = Arc::new(ScriptedBatch::new(store.clone(), due.is_some_and(|due| !due.variables.is_empty())));
        let root = Root::new("", "x");
        store.memory.put(&root.task(), record.encode_to_vec().into()).await.unwrap();
        let patience = Patience { pace: Pace::AWS, lag: Duration::from_secs(60), outage: Duration::from_secs(15 * 60) };
        Harness { store, batch, root, record, patience, paced: false }
    }

    pub fn ports(&self) -> Ports {
        let batch: Arc<dyn Batch> = match self.paced {
            true => Arc::new(Paced::new(self.batch.clone(), Arc::new(Pacer::aws(Backoff::AWS, 1)))),
            false => self.batch.clone(),
        };
        Ports { batch, store: self.store.clone(), logs: Arc::new(NoLogs), clock: Clock::wall() }
    }

    /// The first driver.
    pub async fn begin(&self) -> Result<Driver, LaunchError> {
        let names = Names { definition: "d:1".to_owned(), queue: "q".to_owned(), interruptible_queue: None };
        launch::begin(&self.ports(), &self.root, self.record.clone(), names, self.patience).await
    }

    /// The next driver.
    pub async fn take_over(&self) -> Driver {
        launch::take_over(&self.ports(), &self.root, self.patience).await.unwrap()
    }

    /// Drives to the end, which is expected.
    pub async fn run(&self) -> (Decision, Outcomes) {
        let mut driver = self.begin().await.unwrap();
        (finish(&mut driver).await.unwrap(), driver.execution().outcomes().clone())
    }

    /// The bucket, as a reader needs it.
    pub fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    /// The number of the journal's records.
    pub fn records(&self) -> usize {
        let prefix = self.root.journal();
        self.store.memory.objects().keys().filter(|key| key.starts_with(&prefix)).count()
    }
}

/// Drives without anybody interfering.
pub async fn finish(driver: &mut Driver) -> Result<Decision, DriveError> {
    let (_keep, mut control) = mpsc::channel(1);
    match driver.run(&mut control).await? {
        Ended::Finished(decision) => Ok(decision),
        Ended::Detached => unreachable!("nobody asked for that"),
    }
}

/// Drives, and asks for the end after `delay`.
pub async fn abort_after(driver: &mut Driver, delay: Duration) -> Result<Ended, DriveError> {
    let (sender, mut control) = mpsc::channel(1);
    let asker = async move {
        tokio::time::sleep(delay).await;
        // A driver that has ended meanwhile hears nothing.
        let _ = sender.send(Control::Abort { reason: "enough".to_owned() }).await;
        std::future::pending::<()>().await
    };
    tokio::select! {
        ended = driver.run(&mut control) => ended,
        () = asker => unreachable!("it never ends"),
    }
}

pub fn aborted() -> Ended {
    Ended::Finished(Decision::Aborted { reason: "enough".to_owned() })
}
