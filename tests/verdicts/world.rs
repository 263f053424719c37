//! One execution on the emulator's Batch under virtual time. Subtask 0 ends as it is told, every time it is started; all
//! others end well.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use batchmap::aws::batch::Batch;
use batchmap::aws::memory::MemoryStore;
use batchmap::aws::pacing::{Backoff, Paced, Pacer};
use batchmap::aws::store::Store;
use batchmap::emulator::batch::model::{End, Start};
use batchmap::emulator::batch::port::InProcess;
use batchmap::emulator::batch::{Clock, Service, ServiceConfig};
use batchmap::emulator::faults::Faults;
use batchmap::emulator::runner::simulated::{SimulatedEnd, SimulatedRunner};
use batchmap::idl::core::container_error::Kind;
use batchmap::idl::core::execution_error::ErrorKind;
use batchmap::idl::core::{ContainerError, ErrorDocument, LiteralType, TypedInterface, Variable, VariableMap};
use batchmap::idl::record::{Policy, TaskRecord};
use batchmap::map::cadence::Pace;
use batchmap::map::index::OriginalIndex;
use batchmap::map::layout::{self, Place, RECORD_VERSION, Root};
use batchmap::run::driver::{Driver, Ended, Patience};
use batchmap::run::launch::{self, Names};
use batchmap::run::{self, Ports};
use prost::Message;
use tokio::sync::mpsc;

/// What subtask 0 does whenever it is started.
#[derive(Clone, Debug)]
pub struct Does {
    /// Leaves its outputs.
    pub outputs: bool,
    /// Leaves an error document with the code `ValueError`.
    pub document: Option<(ErrorKind, Kind)>,
    /// How it ends.
    pub end: End,
    /// Runs until somebody ends it.
    pub hangs: bool,
}

impl Does {
    pub fn end(end: End) -> Does {
        Does { outputs: false, document: None, end, hangs: false }
    }

    pub fn exit(code: i32) -> Does {
        Does::end(End::exited(code))
    }

    /// Ends with a status reason of Batch's and no exit code.
    pub fn lost(status_reason: &str) -> Does {
        Does::end(End::Lost { status_reason: status_reason.to_owned() })
    }

    pub fn cannot_start(reason: &str) -> Does {
        Does::end(End::StartFailed { reason: reason.to_owned() })
    }

    pub fn hangs() -> Does {
        Does { hangs: true, ..Does::exit(0) }
    }

    pub fn with_outputs(self) -> Does {
        Does { outputs: true, ..self }
    }

    pub fn says(self, origin: ErrorKind, kind: Kind) -> Does {
        Does { document: Some((origin, kind)), ..self }
    }
}

pub struct World {
    record: TaskRecord,
    ports: Ports,
    pub port: InProcess,
    pub service: Arc<Service>,
    definition: String,
    does: Arc<Mutex<Vec<Does>>>,
    /// The queue of each start of subtask 0.
    starts: Arc<Mutex<Vec<String>>>,
    _data: tempfile::TempDir,
}

fn root() -> Root {
    Root::new("", "x")
}

impl World {
    /// `size` subtasks of which none needs to succeed. `does` is what subtask 0 does in each start, the last for ever.
    pub async fn new(size: u64, outputs_due: bool, policy: Policy, does: Vec<Does>) -> World {
        let output = Variable { r#type: Some(LiteralType::default()), ..Default::default() };
        let outputs = VariableMap { variables: [("o0".to_owned(), output)].into() };
        let interface = TypedInterface { outputs: outputs_due.then_some(outputs), ..Default::default() };
        let record = TaskRecord {
            version: RECORD_VERSION,
            command: vec!["true".to_owned()],
            interface: Some(interface),
            mapped: vec!["x".to_owned()],
            size,
            pack_starts: vec![0],
            policy: Some(policy),
            ..Default::default()
        };
        let store = Arc::new(MemoryStore::new("bucket"));
        store.put(&root().task(), record.encode_to_vec().into()).await.unwrap();
        let (does, starts) = (Arc::new(Mutex::new(does)), Arc::<Mutex<Vec<String>>>::default());
        let runner = {
            let (does, starts, store) = (does.clone(), starts.clone(), store.clone());
            SimulatedRunner::with_async(move |start| {
                let (does, starts, store) = (does.clone(), starts.clone(), store.clone());
                Box::pin(async move { run(&start, &does, &starts, store.as_ref(), outputs_due).await })
            })
        };
        let data = tempfile::tempdir().unwrap();
        let clock = Clock::simulated(1_700_000_000_000);
        let config = ServiceConfig { durable: false, clock, ..ServiceConfig::new(data.path().to_owned(), 8) };
        let service = Service::open_drilled(config, Faults::default().drill(1), Arc::new(runner)).unwrap();
        let port = InProcess::new(Arc::clone(&service));
        let definition = port.register(&crate::definition::small("d")).await.unwrap();
        let batch = Paced::new(Arc::new(port.clone()), Arc::new(Pacer::aws(Backoff::AWS, 1)));
        let ports = Ports { batch: Arc::new(batch), store, logs: Arc::new(port.clone()), clock: run::Clock::wall() };
        World { record, ports, port, service, definition, does, starts, _data: data }
    }

    /// From now on subtask 0 does this.
    pub fn now_does(&self, does: Does) {
        *self.does.lock().unwrap() = vec![does];
    }

    /// The queue of each start of subtask 0 so far.
    pub fn starts(&self) -> Vec<String> {
        self.starts.lock().unwrap().clone()
    }

    fn patience() -> Patience {
        Patience { pace: Pace::AWS, lag: Duration::from_secs(60), outage: Duration::from_secs(15 * 60) }
    }

    pub async fn begin(&self) -> Driver {
        let names = Names {
            definition: self.definition.clone(),
            queue: "batchmap".to_owned(),
            interruptible_queue: Some("batchmap-interruptible".to_owned()),
        };
        launch::begin(&self.ports, &root(), self.record.clone(), names, World::patience()).await.unwrap()
    }

    pub async fn take_over(&self) -> Driver {
        launch::take_over(&self.ports, &root(), World::patience()).await.unwrap()
    }

    /// The job of an array, once there is one.
    pub async fn job(&self, array: u32) -> String {
        loop {
            let page = self.port.list_named("batchmap", &layout::job_name("x", array), None).await.unwrap();
            if let Some(job) = page.jobs.first() {
                return job.id.clone();
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

/// Drives to the end. However a child ends, there is one: an hour without it is for ever.
pub async fn finish(driver: &mut Driver) {
    let (_keep, mut control) = mpsc::channel(1);
    let ended = tokio::time::timeout(Duration::from_secs(3600), driver.run(&mut control)).await;
    assert!(matches!(ended.expect("it ends"), Ok(Ended::Finished(_))));
}

/// One start of a child.
async fn run(
    start: &Start,
    does: &Mutex<Vec<Does>>,
    starts: &Mutex<Vec<String>>,
    store: &MemoryStore,
    outputs_due: bool,
) -> SimulatedEnd {
    let variable = |name: &str| {
        let found = start.environment.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_else(|| panic!("{name} is set"))
    };
    let array: u32 = variable(layout::ENV_ARRAY).parse().unwrap();
    let index = match variable(layout::ENV_PLACE).parse().unwrap() {
        Place::Range { first, .. } => OriginalIndex(first.0 + u64::from(start.attempt.child)),
        Place::List => OriginalIndex(0),
    };
    let does = if index.0 == 0 {
        starts.lock().unwrap().push(variable("AWS_BATCH_JQ_NAME").to_owned());
        let mut all = does.lock().unwrap();
        if all.len() > 1 { all.remove(0) } else { all[0].clone() }
    } else {
        Does { outputs: outputs_due, ..Does::exit(0) }
    };
    if does.outputs {
        store.put(&root().outputs(index), "outputs".into()).await.unwrap();
    }
    if let Some((origin, kind)) = does.document {
        let (code, message) = ("ValueError".to_owned(), "it broke".to_owned());
        let error = ContainerError { code, message, kind: kind.into(), origin: origin.into(), ..Default::default() };
        let key = root().error(index, &layout::attempt(array, start.attempt.attempt));
        store.put(&key, ErrorDocument { error: Some(error) }.encode_to_vec().into()).await.unwrap();
    }
    SimulatedEnd { after_ms: if does.hangs { u64::from(u32::MAX) } else { 1000 }, end: does.end }
}
