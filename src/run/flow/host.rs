//! The host of many executions: it begins them, shows them, ends them, and takes up what nobody drives any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{LocalPoolHandle, TaskTracker};

use super::drive::{FlowDriver, FlowError, Progress, Request, SharedFlow, locked};
use super::lease::{self, Lease};
use super::log::LogError;
use super::turns::Turns;
use super::view::{self, FlowView, Stored, ViewError};
use super::{Values, created_ms};
use crate::aws::batch::Definition;
use crate::aws::store::StoreError;
use crate::idl::core::WorkflowExecutionIdentifier;
use crate::idl::record::FlowRecord;
use crate::map::flyte::Outline;
use crate::map::layout::flyte::FlyteRoot;
use crate::map::task::Runner;
use crate::map::workflow::{FlowPhase, NodePhase, NodeView};
use crate::run::Ports;
use crate::run::begin::Queues;
use crate::run::bound::Results;
use crate::run::driver::Patience;
use crate::run::result;
use crate::run::source::Stores;

/// How long the making of an execution may take before its mark is written again: others take older ones away.
const SLOW: Duration = Duration::from_secs(10);

/// How long whoever asks for the end of an execution waits until that is in its journal.
const HEARING: Duration = Duration::from_secs(30);

/// Makes the job definition of a task, or says what is wrong with it in a sentence.
pub type Definitions = Arc<dyn Fn(&Outline) -> Result<Definition, String> + Send + Sync>;

/// What all executions of a server share.
pub struct Host {
    /// The outside world.
    pub ports: Ports,
    /// The prefix of every key.
    pub prefix: String,
    /// The keys of workflows and their executions.
    pub root: FlyteRoot,
    /// This server's name: no other's, and no earlier one's.
    pub server: String,
    /// Where jobs go.
    pub queues: Queues,
    /// How tasks become job definitions.
    pub definitions: Definitions,
    /// Who runs the commands of tasks that are begun: what their images hold. Those that have begun stay as they are.
    pub runner: Runner,
    /// How drivers wait.
    pub patience: Patience,
    /// How servers share the work.
    pub lease: Lease,
    /// Nodes at once, and children at once of a map, of an execution that says nothing itself; 0 is unbounded. It is written
    /// into the execution's record, so that it stays what it was when another server takes it up.
    pub max_parallelism: i32,
    /// Nodes that run at once on this server, over all executions.
    pub turns: Turns,
    /// Whether clients can reach the bucket: then they are given its own addresses to write to.
    pub direct_uploads: bool,
    /// Where people find the output of all jobs: an address of AWS's console.
    pub log_link: Option<String>,
}

impl Host {
    /// The stores of inputs that lie elsewhere: a node's are all literals, so none is asked for.
    pub(super) fn stores(&self) -> Stores {
        let store = self.ports.store.clone();
        Arc::new(move |_| store.clone())
    }

    /// The outputs of earlier executions.
    pub(super) fn results(&self) -> Arc<dyn Results> {
        Arc::new(result::Stored { store: self.ports.store.clone(), prefix: self.prefix.clone() })
    }
}

/// Why an execution was not begun. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// There is one of that name.
    #[error("execution {0} exists already: give another name")]
    Exists(String),
    /// One of that name is being made for somebody else.
    #[error("execution {0} is being made at this moment: call again to learn what has come of it")]
    Making(String),
    /// What it is to run cannot be read back.
    #[error(transparent)]
    Unusable(#[from] ViewError),
    /// S3.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The server is being stopped.
    #[error("this server is being stopped: call again, for another one to answer")]
    Stopping,
}

/// An execution's project, domain and name.
pub(super) type Key = (String, String, String);

/// An execution that is driven here.
struct Live {
    record: Arc<FlowRecord>,
    flow: SharedFlow,
    progress: Progress,
    requests: mpsc::Sender<Request>,
}

pub(super) struct Shared {
    pub(super) host: Arc<Host>,
    live: Mutex<BTreeMap<Key, Live>>,
    /// Executions that are being made here: their marks are there, and they are not yet.
    making: Mutex<BTreeSet<Key>>,
    pub(super) stopping: CancellationToken,
    tasks: TaskTracker,
    pool: LocalPoolHandle,
}

/// The executions of a server.
pub struct Flows {
    shared: Arc<Shared>,
    warden: Mutex<Option<JoinHandle<()>>>,
}

pub(super) fn key(id: &WorkflowExecutionIdentifier) -> Key {
    (id.project.clone(), id.domain.clone(), id.name.clone())
}

impl Flows {
    /// Begins to host: takes up what no living server drives, now and from time to time.
    pub fn open(host: Host) -> Flows {
        let (live, making) = (Mutex::default(), Mutex::default());
        let (stopping, tasks) = (CancellationToken::new(), TaskTracker::new());
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let pool = LocalPoolHandle::new(threads);
        let shared = Arc::new(Shared { host: Arc::new(host), live, making, stopping, tasks, pool });
        let warden = Mutex::new(Some(tokio::spawn(shared.clone().watch())));
        Flows { shared, warden }
    }

    /// Begins an execution. It exists when this returns, and is driven to its end by this server or another one.
    ///
    /// # Errors
    /// When it exists already, or S3 cannot be used; then nothing of it is left.
    pub async fn create(&self, record: FlowRecord) -> Result<(), CreateError> {
        if self.shared.stopping.is_cancelled() {
            return Err(CreateError::Stopping);
        }
        let id = record.id.clone().unwrap_or_default();
        let stored = Stored::new(record)?;
        {
            if !self.shared.making().insert(key(&id)) {
                return Err(CreateError::Making(id.name));
            }
            // Also when the caller goes away.
            let _making = Making { shared: &self.shared, key: key(&id) };
            self.make(&id, &stored.record).await?;
        }
        // From here on it exists, and nothing that fails may say otherwise.
        self.shared.clone().drive_here(id, stored);
        Ok(())
    }

    /// Writes what an execution is made of. Marks come before the record that they are of: one without it is swept away, a
    /// record without them would be lost.
    async fn make(&self, id: &WorkflowExecutionIdentifier, record: &FlowRecord) -> Result<(), CreateError> {
        let host = &self.shared.host;
        let (store, root) = (host.ports.store.as_ref(), host.root.flow(id));
        match store.get(&root.spec()).await {
            Ok(_) => return Err(CreateError::Exists(id.name.clone())),
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let began = Instant::now();
        // The one names the other, for whoever sweeps.
        let (mark, entry) = (host.root.running(id), host.root.index_entry(id, created_ms(record)));
        store.put(&mark, Bytes::from(entry.clone())).await?;
        store.put(&entry, Bytes::new()).await?;
        match store.put_new(&root.spec(), Bytes::from(record.encode_to_vec())).await {
            Ok(()) => {}
            Err(StoreError::AlreadyExists { .. }) => {
                let there = view::read_record(store, &root, id).await?;
                if *there != *record {
                    if created_ms(&there) != created_ms(record) {
                        // It has an entry of its own.
                        store.delete_many(&[entry]).await?;
                    }
                    return Err(CreateError::Exists(id.name.clone()));
                }
            }
            Err(error) => return Err(error.into()),
        }
        if began.elapsed() > SLOW {
            store.put(&mark, Bytes::from(entry)).await?;
        }
        Ok(())
    }

    /// An execution as it stands.
    ///
    /// # Errors
    /// When there is none, or what is stored of it cannot be read.
    pub async fn view(&self, id: &WorkflowExecutionIdentifier) -> Result<Arc<FlowView>, ViewError> {
        if let Some(view) = self.shared.live_view(id) {
            return Ok(view);
        }
        Ok(Arc::new(self.stored(id).await?.view()))
    }

    async fn stored(&self, id: &WorkflowExecutionIdentifier) -> Result<Stored, ViewError> {
        let host = &self.shared.host;
        view::read(host.ports.store.as_ref(), &host.root.flow(id), id).await
    }

    /// The values of an execution.
    pub fn values(&self, record: &Arc<FlowRecord>) -> Values {
        let host = &self.shared.host;
        let id = record.id.clone().unwrap_or_default();
        Values::new(host.ports.store.clone(), host.root.flow(&id), record.clone())
    }

    /// What all executions share.
    pub fn host(&self) -> &Arc<Host> {
        &self.shared.host
    }

    /// Asks for the end of an execution; one that is over stays as it is. Where another server drives it, this one takes
    /// it over.
    ///
    /// # Errors
    /// When there is none, or it cannot be taken over.
    pub async fn abort(&self, id: &WorkflowExecutionIdentifier, cause: &str, principal: &str) -> Result<(), ViewError> {
        // The second time for one that has just been taken over, or has just ended.
        for _ in 0..2 {
            if self.shared.ask_to_abort(id, cause, principal).await {
                return Ok(());
            }
            let flow = self.stored(id).await?.flow;
            if flow.finished().is_some() || flow.abort().is_some() {
                return Ok(());
            }
            self.shared.clone().begin(id.clone()).await?;
        }
        if self.shared.ask_to_abort(id, cause, principal).await {
            return Ok(());
        }
        Err(ViewError::Moving { name: id.name.clone() })
    }

    /// Executions that are driven here.
    pub fn driven(&self) -> usize {
        self.shared.live().len()
    }

    /// The phase of each execution that is driven here, and the number of its nodes that run.
    pub fn driven_phases(&self) -> Vec<(FlowPhase, usize)> {
        let flows: Vec<SharedFlow> = self.shared.live().values().map(|live| live.flow.clone()).collect();
        let of = |flow: &SharedFlow| {
            let flow = locked(flow);
            let running = |node: &NodeView<'_>| node.phase == NodePhase::Running && !node.node.is_parent();
            (flow.phase(), flow.nodes().filter(running).count())
        };
        flows.iter().map(of).collect()
    }

    /// Stops hosting: nothing new is begun, what runs goes on in AWS Batch, and another server may take it up at once.
    pub async fn stop(&self) {
        let shared = &self.shared;
        shared.stopping.cancel();
        let warden = self.warden.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(warden) = warden {
            let _ = warden.await;
        }
        let leaving: Vec<_> = shared.live().values().map(|live| live.requests.clone()).collect();
        for requests in leaving {
            // One that has just ended needs no word.
            let _ = requests.send(Request::Leave).await;
        }
        shared.tasks.close();
        shared.tasks.wait().await;
        let host = &shared.host;
        if let Err(error) = lease::leave(host.ports.store.as_ref(), &host.root, &host.server).await {
            tracing::warn!(%error, "other servers have to wait for this one's sign of life to lapse");
        }
    }
}

impl Shared {
    fn live(&self) -> MutexGuard<'_, BTreeMap<Key, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an execution is neither driven nor being made here.
    pub(super) fn is_others(&self, key: &Key) -> bool {
        !self.live().contains_key(key) && !self.making().contains(key)
    }

    fn making(&self) -> MutexGuard<'_, BTreeSet<Key>> {
        self.making.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn live_view(&self, id: &WorkflowExecutionIdentifier) -> Option<Arc<FlowView>> {
        let (record, flow, progress) = {
            let live = self.live();
            let live = live.get(&key(id))?;
            (live.record.clone(), live.flow.clone(), live.progress.clone())
        };
        let flow = locked(&flow).clone();
        let progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = progress.iter().filter_map(|(node, counts)| Some((node.clone(), counts.borrow().clone()?)));
        let updated_ms = flow.updated_ms().unwrap_or_else(|| created_ms(&record));
        let server = flow.server().map(str::to_owned);
        Some(Arc::new(FlowView { record, flow, progress: counts.collect(), server, updated_ms }))
    }

    /// Asks whoever drives the execution here to end it; whether that is in its journal now.
    async fn ask_to_abort(&self, id: &WorkflowExecutionIdentifier, cause: &str, principal: &str) -> bool {
        let Some(requests) = self.live().get(&key(id)).map(|live| live.requests.clone()) else { return false };
        let (heard, hears) = oneshot::channel();
        let request = Request::Abort { cause: cause.to_owned(), principal: principal.to_owned(), heard };
        if requests.send(request).await.is_err() {
            return false;
        }
        matches!(tokio::time::timeout(HEARING, hears).await, Ok(Ok(())))
    }

    /// Drives an execution here, from where its journal ends. Returns when it is known that it can be.
    pub(super) async fn begin(self: Arc<Self>, id: WorkflowExecutionIdentifier) -> Result<(), ViewError> {
        let host = &self.host;
        let stored = view::read(host.ports.store.as_ref(), &host.root.flow(&id), &id).await?;
        if stored.flow.finished().is_some() {
            self.clean(&id).await;
        } else {
            self.drive_here(id, stored);
        }
        Ok(())
    }

    /// Drives an execution here from where `stored` ends, unless it is driven here already.
    fn drive_here(self: Arc<Self>, id: WorkflowExecutionIdentifier, stored: Stored) {
        let (requests, mut requested) = mpsc::channel(16);
        let progress = Progress::default();
        let (record, flow) = (stored.record.clone(), Arc::new(Mutex::new(stored.flow.clone())));
        {
            let mut live = self.live();
            // Somebody else of this server was faster.
            if live.contains_key(&key(&id)) || self.stopping.is_cancelled() {
                return;
            }
            live.insert(key(&id), Live { record, flow: flow.clone(), progress: progress.clone(), requests });
        }
        let shared = self.clone();
        // Pinned to a thread: a driver's futures hold what may not move between threads.
        let driven = self.pool.spawn_pinned(move || async move {
            let ended = {
                // Also when the driver breaks: what is not driven here is looked for.
                let _driven = Driven { shared: &shared, key: key(&id) };
                shared.drive(stored, (progress, flow), &mut requested).await
            };
            match ended {
                Ok(true) => shared.clean(&id).await,
                Ok(false) => {}
                Err(FlowError::Log(error @ LogError::Overtaken { .. })) => tracing::info!(execution = id.name, %error),
                Err(error @ FlowError::Stopping) => tracing::warn!(execution = id.name, %error),
                Err(error) => tracing::error!(execution = id.name, %error, "this execution cannot be driven on here"),
            }
        });
        self.tasks.spawn(async move {
            if let Err(error) = driven.await {
                tracing::error!(%error, "the driver of an execution broke");
            }
        });
    }

    /// Whether the execution has ended.
    async fn drive(
        &self,
        stored: Stored,
        shown: (Progress, SharedFlow),
        requested: &mut mpsc::Receiver<Request>,
    ) -> Result<bool, FlowError> {
        let driver = FlowDriver::take(self.host.clone(), stored, shown, self.stopping.clone()).await?;
        Ok(driver.run(requested).await?.is_some())
    }

    /// Takes the mark away from an execution that is over.
    async fn clean(&self, id: &WorkflowExecutionIdentifier) {
        let mark = self.host.root.running(id);
        if let Err(error) = self.host.ports.store.delete_many(&[mark]).await {
            // The next look finds it over, and tries again.
            tracing::warn!(%error, "the mark of an execution that is over stays for now");
        }
    }
}

/// Takes an execution from the list of those that are being made here, when it is dropped.
struct Making<'s> {
    shared: &'s Shared,
    key: Key,
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        self.shared.making().remove(&self.key);
    }
}

/// Takes an execution from the list of those that are driven here, when it is dropped.
struct Driven<'s> {
    shared: &'s Shared,
    key: Key,
}

impl Drop for Driven<'_> {
    fn drop(&mut self) {
        self.shared.live().remove(&self.key);
    }
}
