//! The host of many executions: it begins them, shows them, ends them, and takes up what nobody drives any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{LocalPoolHandle, TaskTracker};

use super::Values;
use super::drive::{FlowDriver, FlowError, Request};
use super::driving::Driving;
use super::known::Known;
use super::lease::{self, Lease};
use super::log::LogError;
use super::shared::{self, Ended, Progress, SharedFlow};
use super::turns::Turns;
use super::view::{self, FlowView, Stored, ViewError};
use crate::aws::batch::Definition;
use crate::aws::sdk::Counts;
use crate::aws::store::StoreError;
use crate::idl::core::WorkflowExecutionIdentifier;
use crate::idl::record::FlowRecord;
use crate::map::flyte::Outline;
use crate::map::inject::Injection;
use crate::map::layout::flyte::FlyteRoot;
use crate::map::task::Runner;
use crate::map::workflow::FlowOutcome;
use crate::run::Ports;
use crate::run::begin::Queues;
use crate::run::bound::Results;
use crate::run::driver::Patience;
use crate::run::result;
use crate::run::source::Stores;

/// Nodes, of all executions, whose literals are in memory to be bound or staged.
const ROOM: usize = 16;

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
    /// How the worker gets beside their images, where it is the runner and is in none of them. As with the runner.
    pub injection: Option<Injection>,
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
    /// What counts this server's calls to AWS.
    pub calls: Counts,
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

impl Live {
    fn view(&self) -> FlowView {
        FlowView { record: self.record.clone(), flow: self.flow.look(), progress: self.progress.clone() }
    }
}

pub(super) struct Shared {
    pub(super) host: Arc<Host>,
    live: Mutex<BTreeMap<Key, Live>>,
    /// Executions that are being made here: their marks are there, and they are not yet.
    making: Mutex<BTreeSet<Key>>,
    pub(super) known: Known,
    ended: Ended,
    /// Room for literals in memory.
    pub(super) room: Semaphore,
    pub(super) stopping: CancellationToken,
    pub(super) tasks: TaskTracker,
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
        let (ended, room) = (shared::room(), Semaphore::new(ROOM));
        let known = Known::new(ended.clone());
        let host = Arc::new(host);
        let shared = Arc::new(Shared { host, live, making, known, ended, room, stopping, tasks, pool });
        let warden = Mutex::new(Some(tokio::spawn(shared.clone().watch())));
        Flows { shared, warden }
    }

    /// Begins an execution. It exists when this returns, and is driven to its end by this server or another one.
    ///
    /// # Errors
    /// When it exists already, or S3 cannot be used; then nothing of it is left, or is taken away as soon as S3 can be
    /// reached.
    pub async fn create(&self, record: FlowRecord) -> Result<(), CreateError> {
        self.shared.create(record).await
    }

    /// Whether there is an execution that can be shown.
    pub async fn exists(&self, id: &WorkflowExecutionIdentifier) -> bool {
        self.view(id).await.is_ok()
    }

    /// An execution as it stands.
    ///
    /// # Errors
    /// When there is none, or what is stored of it cannot be read.
    pub async fn view(&self, id: &WorkflowExecutionIdentifier) -> Result<Arc<FlowView>, ViewError> {
        if let Some(view) = self.shared.live_view(id) {
            return Ok(view);
        }
        let host = &self.shared.host;
        self.shared.known.view(host.ports.store.as_ref(), &host.root, id).await
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
        self.shared.abort(id, cause, principal).await
    }

    /// Executions that are driven here.
    pub fn driven(&self) -> usize {
        self.shared.live().len()
    }

    /// What goes on in each execution that is driven here.
    pub fn driven_now(&self) -> Vec<Driving> {
        let views: Vec<FlowView> = self.shared.live().values().map(Live::view).collect();
        views.iter().map(Driving::of).collect()
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
    async fn stored(&self, id: &WorkflowExecutionIdentifier) -> Result<Stored, ViewError> {
        let host = &self.host;
        view::read(host.ports.store.as_ref(), &host.root.flow(id), id).await
    }

    /// See [`Flows::abort`].
    pub(super) async fn abort(
        self: &Arc<Self>,
        id: &WorkflowExecutionIdentifier,
        cause: &str,
        principal: &str,
    ) -> Result<(), ViewError> {
        // The second time for one that has just been taken over, or has just ended.
        for _ in 0..2 {
            if self.ask_to_abort(id, cause, principal).await {
                return Ok(());
            }
            let flow = self.stored(id).await?.flow;
            if flow.finished().is_some() || flow.abort().is_some() {
                return Ok(());
            }
            // The first thing that its driver hears: nothing is begun to be ended.
            let (request, hears) = abort_request(cause, principal);
            self.clone().begin(id.clone(), Some(request)).await?;
            if matches!(tokio::time::timeout(HEARING, hears).await, Ok(Ok(()))) {
                return Ok(());
            }
        }
        Err(ViewError::Moving { name: id.name.clone() })
    }

    /// How an execution ended, if it has.
    pub(super) async fn outcome(&self, id: &WorkflowExecutionIdentifier) -> Result<Option<FlowOutcome>, ViewError> {
        let view = match self.live_view(id) {
            Some(view) => view,
            None => self.known.view(self.host.ports.store.as_ref(), &self.host.root, id).await?,
        };
        Ok(view.flow.finished().cloned())
    }

    /// Whether an execution is driven here.
    pub(super) fn drives(&self, id: &WorkflowExecutionIdentifier) -> bool {
        self.live().contains_key(&key(id))
    }

    fn live(&self) -> MutexGuard<'_, BTreeMap<Key, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an execution is neither driven nor being made here.
    pub(super) fn is_others(&self, key: &Key) -> bool {
        !self.live().contains_key(key) && !self.making().contains(key)
    }

    pub(super) fn making(&self) -> MutexGuard<'_, BTreeSet<Key>> {
        self.making.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn live_view(&self, id: &WorkflowExecutionIdentifier) -> Option<Arc<FlowView>> {
        self.live().get(&key(id)).map(|live| Arc::new(live.view()))
    }

    /// Asks whoever drives the execution here to end it; whether that is in its journal now.
    async fn ask_to_abort(&self, id: &WorkflowExecutionIdentifier, cause: &str, principal: &str) -> bool {
        let Some(requests) = self.live().get(&key(id)).map(|live| live.requests.clone()) else { return false };
        let (request, hears) = abort_request(cause, principal);
        let asked = async { requests.send(request).await.is_ok() && hears.await.is_ok() };
        tokio::time::timeout(HEARING, asked).await.unwrap_or(false)
    }

    /// Drives an execution here, from where its journal ends; `asked` is looked at before anything else. Returns when it is
    /// known that it can be.
    pub(super) async fn begin(
        self: Arc<Self>,
        id: WorkflowExecutionIdentifier,
        asked: Option<Request>,
    ) -> Result<(), ViewError> {
        let host = &self.host;
        let stored = view::read(host.ports.store.as_ref(), &host.root.flow(&id), &id).await?;
        if stored.flow.finished().is_some() {
            self.clean(&id).await;
        } else {
            self.drive_here(id, stored, asked);
        }
        Ok(())
    }

    /// Drives an execution here from where `stored` ends, unless it is driven here already.
    pub(super) fn drive_here(self: Arc<Self>, id: WorkflowExecutionIdentifier, stored: Stored, asked: Option<Request>) {
        let (requests, mut requested) = mpsc::channel(16);
        // The channel is empty, and has room.
        let _ = asked.map(|asked| requests.try_send(asked));
        let progress = Progress::new(self.ended.clone());
        let (record, flow) = (stored.record.clone(), SharedFlow::new(stored.flow.clone()));
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
            let (driver, ended) = {
                // Also when the driver breaks: what is not driven here is looked for.
                let _driven = Driven { shared: &shared, key: key(&id) };
                shared.drive(stored, (progress, flow), &mut requested).await
            };
            match ended {
                Ok(true) => shared.clean(&id).await,
                Ok(false) => {}
                Err(FlowError::Log(error @ LogError::Overtaken { .. })) => {
                    tracing::info!(execution = id.name, %error);
                    if let Some(mut driver) = driver {
                        driver.outlast().await;
                    }
                }
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

    /// Whether the execution has ended, and its driver.
    async fn drive(
        self: &Arc<Self>,
        stored: Stored,
        shown: (Progress, SharedFlow),
        requested: &mut mpsc::Receiver<Request>,
    ) -> (Option<FlowDriver>, Result<bool, FlowError>) {
        match FlowDriver::take(self.clone(), stored, shown).await {
            Ok(mut driver) => {
                let ended = driver.run(requested).await.map(|outcome| outcome.is_some());
                (Some(driver), ended)
            }
            Err(error) => (None, Err(error)),
        }
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

/// The request for an end, and what hears when it is in the journal.
fn abort_request(cause: &str, principal: &str) -> (Request, oneshot::Receiver<()>) {
    let (heard, hears) = oneshot::channel();
    (Request::Abort { cause: cause.to_owned(), principal: principal.to_owned(), heard }, hears)
}

/// Takes an execution from the list of those that are driven here, when it is dropped.
struct Driven<'s> {
    shared: &'s Shared,
    key: Key,
}

impl Drop for Driven<'_> {
    fn drop(&mut self) {
        // Whoever waits for its end asks about it once more at least.
        let view = self.shared.live().get(&self.key).map(Live::view);
        if let Some(view) = view.filter(|view| view.flow.finished().is_some()) {
            self.shared.known.ended(self.key.clone(), view);
        }
        self.shared.live().remove(&self.key);
    }
}
