//! The endpoint's Batch: model, journal, runner and clock put together.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::task::JoinHandle;

use super::clock::{Clock, now_ms};
use super::journal::{self, Journal};
use super::model::{Drill, Effect, Input, Model, Refusal, Reply};
use crate::emulator::logs::LogStore;
use crate::emulator::runner::{Host, Report, Runner};

/// Reports taken at once: one write to the journal for all of them.
const REPORTS: usize = 256;

/// The usual [`ServiceConfig::journal_bytes`]: some 400,000 changes, which are replayed in a few seconds.
pub const JOURNAL_BYTES: u64 = 32 * 1024 * 1024;

/// How long to wait before a disk that was full is tried again.
const RETRY_MS: u64 = 1000;

/// Where a service lives and what it may do.
#[derive(Clone, Debug)]
pub struct ServiceConfig {
    /// The directory that holds `batch/` and `logs/`. The caller sees to it that one service at a time writes there.
    pub data: PathBuf,
    /// How many children run at once.
    pub slots: usize,
    /// Answer from what is there; write nothing, run nothing. Children are told as the last service left them.
    pub read_only: bool,
    /// Whether jobs that an earlier process left unfinished wait until somebody describes them: for an endpoint that lives
    /// in a driver's process, where the next driver is another one. Otherwise they go on, as on AWS.
    pub hold: bool,
    /// Whether a change is on the disk for sure when [`Service::durable`] returns: it survives a loss of power then.
    pub durable: bool,
    /// Bytes of journal after which it is folded into a snapshot; [`JOURNAL_BYTES`] unless a test says otherwise.
    pub journal_bytes: u64,
    /// What tells the time.
    pub clock: Clock,
}

impl ServiceConfig {
    /// At work in `data` with `slots`, as on AWS: jobs go on by themselves, changes survive a loss of power.
    pub fn new(data: PathBuf, slots: usize) -> ServiceConfig {
        let journal_bytes = JOURNAL_BYTES;
        ServiceConfig { data, slots, read_only: false, hold: false, durable: true, journal_bytes, clock: Clock::Wall }
    }
}

/// AWS Batch and its logs on one machine.
pub struct Service {
    state: Mutex<State>,
    runner: Arc<dyn Runner>,
    logs: LogStore,
    /// Told when the time to wake may have changed.
    changed: Arc<Notify>,
    /// Told after every change, for those who wait for a state.
    moved: Notify,
    task: Mutex<Option<JoinHandle<()>>>,
    dir: PathBuf,
    durable: bool,
    clock: Clock,
    /// How far the journal is known to be on the disk. Held by whoever syncs; the others find their work done.
    synced: tokio::sync::Mutex<u64>,
}

/// Everything that changes. A std mutex: the steps under it are short, but for a sync when a journal is rotated.
struct State {
    model: Model,
    /// Absent when read only.
    journal: Option<Journal>,
    /// Bytes after which the journal is folded; none while that is being done.
    fold_at: Option<u64>,
    journal_bytes: u64,
    /// Set while the model knows more than the disk.
    behind: Option<Behind>,
    stopping: bool,
}

/// Reports that could not be written, on a full disk most often. What comes later must not be written either before a
/// snapshot has brought the disk up to the model: a journal with a hole replays to something that never was.
struct Behind {
    why: String,
    /// When to try again; milliseconds since 1970.
    retry_at: u64,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The request is at fault.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The endpoint is.
    #[error("{0}")]
    Server(String),
}

impl Service {
    /// Opens the service on `config.data`, inside a tokio runtime. Children that ran when its last process died have lost their
    /// host, and start again or fail as their retry strategy says.
    ///
    /// # Errors
    /// The directory cannot be read or written, or the runner cannot work.
    pub fn open(config: ServiceConfig, runner: Arc<dyn Runner>) -> io::Result<Arc<Service>> {
        Service::open_drilled(config, Drill::default(), runner)
    }

    /// Opens the service with these faults, and none of those that an earlier process was given.
    ///
    /// # Errors
    /// As [`Service::open`].
    pub fn open_drilled(config: ServiceConfig, drill: Drill, runner: Arc<dyn Runner>) -> io::Result<Arc<Service>> {
        let dir = config.data.join("batch");
        let logs = LogStore::new(config.data.join("logs"));
        let slots = u32::try_from(config.slots).unwrap_or(u32::MAX);
        let loaded = journal::load(&dir)?;
        let generation = loaded.as_ref().map_or(0, |loaded| loaded.generation);
        let mut model = match loaded {
            Some(loaded) => loaded.model,
            None => Model::new(&seed(&config), slots),
        };
        let mut effects = Vec::new();
        let mut journal = None;
        let (reports, received) = mpsc::unbounded_channel();
        if !config.read_only {
            // Lost before the slots are set, so that nothing starts twice; the snapshot then holds both.
            let hold = config.hold.then_some(Input::Hold);
            let lost = [Input::Slots(0), Input::HostLost, Input::Drill(Box::new(drill))];
            let inputs = lost.into_iter().chain(hold).chain([Input::Slots(slots)]);
            for input in inputs {
                if let Ok(output) = model.apply(config.clock.now_ms(), input) {
                    effects.extend(output.effects);
                }
            }
            journal = Some(Journal::begin(&dir, generation + 1, &model)?);
            runner.attach(Host { reports, logs: logs.clone() })?;
        }
        if config.read_only {
            // Whoever reads what a dead process left is not to be told late.
            model.tell_all();
        }
        let live = journal.is_some();
        let service = Arc::new(Service {
            state: Mutex::new(State {
                model,
                journal,
                fold_at: Some(config.journal_bytes),
                journal_bytes: config.journal_bytes,
                behind: None,
                stopping: false,
            }),
            runner,
            logs,
            changed: Arc::new(Notify::new()),
            moved: Notify::new(),
            task: Mutex::new(None),
            dir,
            durable: config.durable,
            clock: config.clock,
            synced: tokio::sync::Mutex::new(0),
        });
        if live {
            service.carry_out(effects);
            let task = tokio::spawn(work(Arc::downgrade(&service), Arc::clone(&service.changed), received));
            *service.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
        }
        Ok(service)
    }

    /// The HTTP face: Batch under `/v1/`, CloudWatch Logs at `POST /` with its `X-Amz-Target`.
    pub fn router(self: &Arc<Self>) -> axum::Router {
        super::face::router(Arc::clone(self))
    }

    /// How many jobs (parents and plain ones) have not ended.
    pub fn unfinished(&self) -> usize {
        self.state().model.unfinished()
    }

    /// Children's output.
    pub fn logs(&self) -> &LogStore {
        &self.logs
    }

    /// Makes a change: into the journal, then into the model, then out to the runner.
    ///
    /// # Errors
    /// A refused request, or a service that cannot write: then nothing has changed.
    pub fn change(self: &Arc<Self>, input: Input) -> Result<Reply, Fault> {
        let now = self.clock.now_ms();
        let mut state = self.state();
        if state.stopping {
            return Err(Fault::Server("the endpoint is shutting down".to_owned()));
        }
        self.catch_up(&mut state)?;
        let Some(journal) = &mut state.journal else {
            return Err(Fault::Server("the endpoint's state was opened for reading only".to_owned()));
        };
        journal
            .append(&[(now, &input)])
            .map_err(|error| Fault::Server(format!("cannot write the journal: {error}")))?;
        let output = state.model.apply(now, input)?;
        // Under the lock, so that a signal never overtakes the start it is meant for.
        self.carry_out(output.effects);
        self.fold(&mut state);
        drop(state);
        self.changed.notify_one();
        self.moved.notify_waiters();
        Ok(output.reply)
    }

    /// How far the journal has been written; absent when read only.
    fn position(&self) -> Option<u64> {
        self.state().journal.as_ref().map(Journal::position)
    }

    /// Waits until everything that has happened is on the disk, so that it may be told: in the kernel's hands, and if this
    /// service is durable, on the disk itself. Callers at the same time share one sync.
    ///
    /// # Errors
    /// The disk would not take it: what has happened is in force, and may yet be lost.
    pub async fn durable(&self) -> Result<(), Fault> {
        self.catch_up(&mut self.state())?;
        let Some(wanted) = self.position().filter(|_| self.durable) else { return Ok(()) };
        let mut synced = self.synced.lock().await;
        if *synced >= wanted {
            return Ok(());
        }
        let Some((file, reached)) = self.state().journal.as_ref().map(Journal::unsynced) else { return Ok(()) };
        let result = tokio::task::spawn_blocking(move || file.sync_data()).await;
        match result.map_err(io::Error::other).flatten() {
            Ok(()) => {
                *synced = reached;
                Ok(())
            }
            Err(error) => Err(Fault::Server(format!("cannot bring the journal to the disk: {error}"))),
        }
    }

    /// Brings a disk that has missed something up to the model, if that can be done; at most once a second.
    fn catch_up(&self, state: &mut State) -> Result<(), Fault> {
        let now = self.clock.now_ms();
        let State { model, journal: Some(journal), behind, fold_at, .. } = state else { return Ok(()) };
        let Some(missed) = behind else { return Ok(()) };
        // A snapshot that is being written is of an earlier state, and must not come after ours.
        if now >= missed.retry_at && fold_at.is_some() {
            // Rare, and nothing else may happen meanwhile: so it is done under the lock.
            match journal.rotate().and_then(|generation| journal::settle(&self.dir, generation, model)) {
                Ok(_) => {
                    tracing::warn!("the journal is whole again");
                    *behind = None;
                    return Ok(());
                }
                Err(error) => *missed = Behind { why: error.to_string(), retry_at: now + RETRY_MS },
            }
        }
        Err(Fault::Server(format!(
            "the endpoint cannot write its state, and says nothing until it can: {}",
            missed.why
        )))
    }

    /// Folds a long journal into a snapshot. Only a copy of the model is made under the lock; it is written beside the work.
    fn fold(self: &Arc<Self>, state: &mut State) {
        let State { model, journal: Some(journal), fold_at, behind: None, .. } = state else { return };
        if fold_at.is_none_or(|limit| journal.length() < limit) {
            return;
        }
        let generation = match journal.rotate() {
            Ok(generation) => generation,
            Err(error) => {
                tracing::error!(%error, "the journal grows on: no other can be begun");
                *fold_at = Some(journal.length().saturating_mul(2));
                return;
            }
        };
        *fold_at = None;
        let (model, service) = (model.clone(), Arc::clone(self));
        tokio::task::spawn_blocking(move || {
            let written = journal::settle(&service.dir, generation, &model);
            let mut state = service.state();
            // Never before the journal is as long as the snapshot: folding stays a fraction of the work.
            let bytes = *written.as_ref().unwrap_or(&0);
            state.fold_at = Some(state.journal_bytes.max(bytes));
            if let Err(error) = written {
                tracing::error!(%error, "no snapshot was written; the journals before it stay");
            }
        });
    }

    /// Reads the model.
    pub fn read<T>(&self, question: impl FnOnce(&Model) -> T) -> T {
        question(&self.state().model)
    }

    /// Waits until the model has an answer. For callers in the same process, who need not poll.
    pub async fn until<T>(&self, mut question: impl FnMut(&Model) -> Option<T>) -> T {
        loop {
            // Made before the question, so that no change between the two is missed.
            let moved = self.moved.notified();
            if let Some(answer) = self.read(&mut question) {
                return answer;
            }
            moved.await;
        }
    }

    /// Kills all children, waits until they are gone and everything is on the disk. Their attempts count as lost hosts when the
    /// service is opened again. Changes are refused from here on.
    pub async fn shutdown(&self) {
        self.state().stopping = true;
        self.runner.shutdown().await;
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            task.abort();
        }
        let mut state = self.state();
        if let Some(behind) = &mut state.behind {
            behind.retry_at = 0;
        }
        if let Err(error) = self.catch_up(&mut state) {
            tracing::error!(%error, "the last reports are lost");
        }
        if let Some(Err(error)) = state.journal.as_ref().map(Journal::sync) {
            tracing::error!(%error, "the journal may not be on the disk");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic under the lock is a bug of ours; the model's own steps are small, and answering beats hanging.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn carry_out(&self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Start(start) => self.runner.start(*start),
                Effect::Signal(attempts, stop) => self.runner.signal(&attempts, stop),
            }
        }
    }

    /// Takes reports, or the passing of time. Once stopping, nobody is told any more how children end: they were killed.
    fn absorb(self: &Arc<Self>, inputs: Vec<Input>) {
        let now = self.clock.now_ms();
        let mut state = self.state();
        if state.stopping {
            return;
        }
        if self.catch_up(&mut state).is_ok() {
            let lines: Vec<(u64, &Input)> = inputs.iter().map(|input| (now, input)).collect();
            if let Some(Err(error)) = state.journal.as_mut().map(|journal| journal.append(&lines)) {
                tracing::error!(%error, "reports are not in the journal: nothing is answered until they are");
                state.behind = Some(Behind { why: error.to_string(), retry_at: now + RETRY_MS });
            }
        }
        for input in inputs {
            if let Ok(output) = state.model.apply(now, input) {
                self.carry_out(output.effects);
            }
        }
        self.fold(&mut state);
        drop(state);
        self.moved.notify_waiters();
    }
}

/// The one task: waits for reports and for the time to wake. It does not keep the service alive.
async fn work(service: Weak<Service>, changed: Arc<Notify>, mut received: UnboundedReceiver<Report>) {
    let mut reports = Vec::new();
    loop {
        let Some((clock, wake_at)) = service.upgrade().map(|service| (service.clock, service.read(Model::wake_at)))
        else {
            return;
        };
        let wait = wake_at.map(|at| Duration::from_millis(at.saturating_sub(clock.now_ms())));
        let inputs = tokio::select! {
            count = received.recv_many(&mut reports, REPORTS) => match count {
                0 => return,
                _ => reports.drain(..).map(input).collect(),
            },
            () = sleep(wait) => vec![Input::Tick],
            () = changed.notified() => continue,
        };
        let Some(service) = service.upgrade() else { return };
        service.absorb(inputs);
    }
}

async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

fn input(report: Report) -> Input {
    match report {
        Report::Started(attempt) => Input::Started(attempt),
        Report::Ended(attempt, end) => Input::Ended(attempt, end),
    }
}

/// A new store's seed: its ids must differ from every other store's.
fn seed(config: &ServiceConfig) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(config.data.as_os_str().as_encoded_bytes());
    hasher.update(&now_ms().to_le_bytes());
    hasher.update(&std::process::id().to_le_bytes());
    // RandomState is seeded by the system.
    let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0);
    hasher.update(&random.to_le_bytes());
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests;
