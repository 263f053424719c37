//! One execution, its bucket, the emulator's Batch, and drivers that come and go.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use batchmap::aws::batch::{Batch, Definition};
use batchmap::aws::memory::MemoryStore;
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
use batchmap::map::bitset::Outcome;
use batchmap::map::cadence::Pace;
use batchmap::map::event::Decision;
use batchmap::map::index::OriginalIndex;
use batchmap::map::layout::{self, Place, RECORD_VERSION, Root};
use batchmap::run::driver::{Driver, Ended, Patience};
use batchmap::run::launch::{self, Names};
use batchmap::run::{self, Ports};
use prost::Message;
use tokio::sync::mpsc;

use crate::network::Network;
use crate::script::{Dice, Ending, Ledger, Oracle, Script};

/// When every simulation begins: any time does.
const EPOCH_MS: u64 = 1_700_000_000_000;

pub struct World {
    script: Script,
    store: Arc<MemoryStore>,
    service: Arc<Service>,
    ports: Ports,
    definition: String,
    last: Option<Driver>,
    _data: tempfile::TempDir,
}

fn root() -> Root {
    Root::new("", "x")
}

fn record(script: &Script) -> TaskRecord {
    let output = Variable { r#type: Some(LiteralType::default()), ..Default::default() };
    let outputs = VariableMap { variables: [("o0".to_owned(), output)].into() };
    let policy = Policy {
        min_successes: script.min_successes,
        concurrency: script.concurrency,
        retries: script.retries,
        ..Default::default()
    };
    TaskRecord {
        version: RECORD_VERSION,
        command: vec!["true".to_owned()],
        interface: Some(TypedInterface { outputs: Some(outputs), ..Default::default() }),
        mapped: vec!["x".to_owned()],
        size: script.size,
        pack_starts: vec![0],
        policy: Some(policy),
        ..Default::default()
    }
}

fn patience() -> Patience {
    Patience { pace: Pace::AWS, lag: Duration::from_secs(60), outage: Duration::from_secs(15 * 60) }
}

impl World {
    pub async fn new(seed: u64) -> World {
        let script = Script::new(seed);
        let store = Arc::new(MemoryStore::new("bucket"));
        store.put(&root().task(), record(&script).encode_to_vec().into()).await.unwrap();
        let data = tempfile::tempdir().unwrap();
        let slots = 1 + script.dice.roll("slots", 30) as usize;
        let config = ServiceConfig {
            durable: false,
            clock: Clock::simulated(EPOCH_MS),
            ..ServiceConfig::new(data.path().to_owned(), slots)
        };
        let children = Arc::new(Children { script: script.clone(), store: store.clone(), ledger: Mutex::default() });
        let runner = SimulatedRunner::with_async(move |start| {
            let children = Arc::clone(&children);
            Box::pin(async move { children.run(start).await })
        });
        let faults = Faults::from_value(script.faults()).unwrap();
        let service = Service::open_drilled(config, faults.drill(seed), Arc::new(runner)).unwrap();
        let port = InProcess::new(Arc::clone(&service));
        let definition = port.register(&definition()).await.unwrap();
        let network = Network {
            port: port.clone(),
            dice: Dice(seed),
            trouble: script.trouble,
            calls: AtomicU64::new(0),
            watch: watch(&service, script.concurrency),
        };
        let ports =
            Ports { batch: Arc::new(network), store: store.clone(), logs: Arc::new(port), clock: run::Clock::wall() };
        World { script, store, service, ports, definition, last: None, _data: data }
    }

    pub fn size(&self) -> u64 {
        self.script.size
    }

    pub fn oracle(&self) -> Oracle {
        self.script.oracle()
    }

    /// Drives to the end. Drivers die at drawn moments, wherever they are, and others take over.
    pub async fn run(&mut self) -> Decision {
        let mut driver = None;
        for life in 0..200 {
            // Later ones live longer, so that it ends.
            let span = Duration::from_millis(self.script.dice.roll(&format!("life/{life}"), 40_000 * (life + 1)));
            let finished = tokio::select! {
                finished = self.live(&mut driver, life) => Some(finished),
                () = tokio::time::sleep(span), if life < 20 => None,
            };
            match finished {
                Some(decision) => {
                    self.last = driver;
                    return decision;
                }
                None => driver = None,
            }
        }
        panic!("it does not end");
    }

    async fn live(&self, driver: &mut Option<Driver>, life: u64) -> Decision {
        let names =
            Names { definition: self.definition.clone(), queue: "batchmap".to_owned(), interruptible_queue: None };
        let begun = if life == 0 || self.records() == 0 {
            launch::begin(&self.ports, &root(), record(&self.script), names, patience()).await
        } else {
            launch::take_over(&self.ports, &root(), patience()).await
        };
        let driver = driver.insert(begun.expect("it begins"));
        let (_keep, mut control) = mpsc::channel(1);
        match driver.run(&mut control).await.expect("it is driven to its end") {
            Ended::Finished(decision) => decision,
            Ended::Detached => unreachable!("nobody asked for that"),
        }
    }

    fn records(&self) -> usize {
        let prefix = root().journal();
        self.store.objects().keys().filter(|key| key.starts_with(&prefix)).count()
    }

    /// The subtasks that the last driver counts as succeeded.
    pub fn succeeded(&self) -> BTreeSet<u64> {
        let outcomes = self.last.as_ref().expect("it has run").execution().outcomes();
        (0..self.script.size).filter(|index| outcomes.get(OriginalIndex(*index)) == Outcome::Succeeded).collect()
    }

    /// When it is over, nothing of it is left in Batch.
    pub fn check_batch(&self) {
        let seed = self.script.dice.0;
        assert_eq!((self.service.unfinished(), self.service.read(|model| model.live())), (0, 0), "seed {seed}");
    }

    pub async fn stop(self) {
        self.service.shutdown().await;
    }
}

fn definition() -> Definition {
    Definition {
        name: "d".to_owned(),
        image: "i".to_owned(),
        platform: "EC2".to_owned(),
        vcpus: "1".to_owned(),
        memory_mib: 128,
        gpus: 0,
        job_role: None,
        execution_role: None,
        log_group: None,
        assign_public_ip: false,
    }
}

/// Never more children in Batch that have not ended than the caller allows.
fn watch(service: &Arc<Service>, concurrency: u32) -> Arc<dyn Fn() + Send + Sync> {
    let service = Arc::downgrade(service);
    Arc::new(move || {
        let Some(service) = service.upgrade() else { return };
        let held = service.read(|model| model.unfinished_children());
        assert!(concurrency == 0 || held <= u64::from(concurrency), "{held} children at once, {concurrency} allowed");
    })
}

/// What children do.
struct Children {
    script: Script,
    store: Arc<MemoryStore>,
    ledger: Mutex<Ledger>,
}

impl Children {
    async fn run(&self, start: Start) -> SimulatedEnd {
        let (array, index) = self.place(&start).await;
        let (duration, lost, user) = {
            let mut ledger = self.ledger.lock().unwrap();
            let job = start.job_id.split(':').next().unwrap_or_default().to_owned();
            let first = ledger.jobs.entry((array, index)).or_insert_with(|| job.clone());
            assert_eq!(*first, job, "array {array} was submitted twice");
            let losses = *ledger.losses.entry(index).or_default();
            let user = *ledger.user.entry(index).or_default();
            let lost = self.script.loses_host(index, losses);
            *(if lost { ledger.losses.entry(index) } else { ledger.user.entry(index) }).or_default() += 1;
            (self.script.duration(index, losses + user), lost, user)
        };
        tokio::time::sleep(Duration::from_millis(duration)).await;
        if lost {
            return SimulatedEnd { after_ms: 0, end: End::HostLost };
        }
        SimulatedEnd { after_ms: 0, end: End::exited(self.leave(array, index, &start, user).await) }
    }

    /// Leaves in S3 what a worker leaves; returns its exit code.
    async fn leave(&self, array: u32, index: u64, start: &Start, user: u32) -> i32 {
        let (index, ending) = (OriginalIndex(index), self.script.ending(index, user));
        let kind = match ending {
            Ending::Good => {
                self.store.put(&root().outputs(index), "outputs".into()).await.unwrap();
                return 0;
            }
            Ending::Code => return 1,
            Ending::Recoverable => Kind::Recoverable,
            Ending::Hopeless => Kind::NonRecoverable,
        };
        let error = ContainerError {
            code: "ValueError".to_owned(),
            message: "it broke".to_owned(),
            kind: kind.into(),
            origin: ErrorKind::User.into(),
            ..Default::default()
        };
        let body = ErrorDocument { error: Some(error) }.encode_to_vec();
        let key = root().error(index, &layout::attempt(array, start.attempt.attempt));
        self.store.put(&key, body.into()).await.unwrap();
        1
    }

    /// The array and the subtask of a child, found as the worker finds them.
    async fn place(&self, start: &Start) -> (u32, u64) {
        let variable = |name: &str| {
            let found = start.environment.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.as_str()).unwrap_or_else(|| panic!("{name} is set"))
        };
        let array = variable(layout::ENV_ARRAY).parse().unwrap();
        let child = u64::from(start.attempt.child);
        match variable(layout::ENV_PLACE).parse().unwrap() {
            Place::Range { first, .. } => (array, first.0 + child),
            Place::List => {
                let list = self.store.get(&root().array_indices(array)).await.expect("the list is there first");
                let at = (child * layout::INDICES_WIDTH) as usize;
                (array, u64::from_le_bytes(list[at..at + 8].try_into().unwrap()))
            }
        }
    }
}
