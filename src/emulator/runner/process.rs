//! Children as local processes: each in a session of its own, with a clean environment, its output in a log stream, and
//! nothing left of it when it has ended.
//!
//! ```text
//!  start() ─► queue ─► spawner thread ─► child ─┬─► waiter thread: exit, kill the rest, reap ─┐
//!                                               └─► copier task: output ─► log stream ────────┴─► Ended
//! ```
//! There is one spawner thread and it lives as long as the runner: on Linux a child is killed when the *thread* that
//! spawned it dies.

mod attempt;
mod spawn;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};

use async_trait::async_trait;
use nix::sys::signal::Signal;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::guardian::{Guardian, GuardianCommand};
use super::{Host, Report, Runner, none_left, session};
use crate::emulator::batch::model::{AttemptKey, End, Start, Stop};

/// What children are given.
#[derive(Clone, Debug)]
pub struct ProcessConfig {
    /// How to call the guardian.
    pub guardian: GuardianCommand,
    /// Their working directory.
    pub cwd: PathBuf,
    /// Added to their environment, below what their job says: the endpoint's address, its credentials.
    pub environment: Vec<(String, String)>,
}

/// Runs attempts as processes of this machine.
#[derive(Debug)]
pub struct ProcessRunner {
    config: ProcessConfig,
    attached: OnceLock<Attached>,
}

#[derive(Debug)]
struct Attached {
    shared: Arc<Shared>,
    /// Dropping it ends the spawner thread.
    queue: Mutex<mpsc::Sender<Start>>,
}

/// What the threads share.
#[derive(Debug)]
struct Shared {
    config: ProcessConfig,
    host: Host,
    runtime: Handle,
    table: Mutex<Table>,
    /// Told whenever an attempt leaves the table.
    left: Notify,
}

#[derive(Debug)]
struct Table {
    guardian: Option<Guardian>,
    attempts: BTreeMap<AttemptKey, Stage>,
    closing: bool,
}

/// How far an attempt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// In the queue.
    Waiting,
    /// Stopped in the queue: it must not begin.
    Stopped,
    /// Its session.
    Running(i32),
    /// Its processes are gone; its last output is being written.
    Draining,
}

impl ProcessRunner {
    /// A runner that begins to work when it is attached.
    pub fn new(config: ProcessConfig) -> ProcessRunner {
        ProcessRunner { config, attached: OnceLock::new() }
    }
}

#[async_trait]
impl Runner for ProcessRunner {
    fn attach(&self, host: Host) -> io::Result<()> {
        let guardian = Guardian::spawn(&self.config.guardian)?;
        let shared = Arc::new(Shared {
            config: self.config.clone(),
            host,
            runtime: Handle::current(),
            table: Mutex::new(Table { guardian: Some(guardian), attempts: BTreeMap::new(), closing: false }),
            left: Notify::new(),
        });
        let (queue, starts) = mpsc::channel();
        let spawner = Arc::clone(&shared);
        std::thread::Builder::new().name("batchmap-spawn".to_owned()).spawn(move || {
            for start in starts {
                spawn::begin(&spawner, start);
            }
        })?;
        let attached = Attached { shared, queue: Mutex::new(queue) };
        self.attached.set(attached).map_err(|_| io::Error::other("the process runner is attached already"))
    }

    fn start(&self, start: Start) {
        let Some(attached) = self.attached.get() else { return };
        let attempt = start.attempt;
        attached.shared.table().attempts.insert(attempt, Stage::Waiting);
        let queue = attached.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.send(start).is_err() {
            let reason = "CannotStartContainerError: the spawner is gone".to_owned();
            attached.shared.finish(attempt, End::StartFailed { reason });
        }
    }

    fn signal(&self, attempts: &[AttemptKey], stop: Stop) {
        let Some(attached) = self.attached.get() else { return };
        let signal = match stop {
            Stop::Term => Signal::SIGTERM,
            Stop::Kill => Signal::SIGKILL,
        };
        // Held while signalling: no session in the table can have been reaped, so none is another's by now.
        let mut table = attached.shared.table();
        let mut sessions = BTreeSet::new();
        for attempt in attempts {
            match table.attempts.get_mut(attempt) {
                Some(stage @ Stage::Waiting) => *stage = Stage::Stopped,
                Some(Stage::Running(session)) => drop(sessions.insert(*session)),
                _ => {}
            }
        }
        session::signal(&sessions, signal);
    }

    async fn shutdown(&self) {
        let Some(attached) = self.attached.get() else { return };
        let shared = &attached.shared;
        shared.close();
        none_left(&shared.left, || shared.table().attempts.is_empty()).await;
        let guardian = shared.table().guardian.take();
        // It has nothing to do any more, and is gone in a moment.
        let _ = tokio::task::spawn_blocking(move || drop(guardian)).await;
    }
}

impl Drop for ProcessRunner {
    fn drop(&mut self) {
        // Without a shutdown; on Linux the spawner's end would kill the children too, but not theirs.
        if let Some(attached) = self.attached.get() {
            attached.shared.close();
        }
    }
}

impl Table {
    fn sessions(&self) -> BTreeSet<i32> {
        let session = |stage: &Stage| match stage {
            Stage::Running(session) => Some(*session),
            _ => None,
        };
        self.attempts.values().filter_map(session).collect()
    }
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        // No step under this lock leaves the table half changed.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Kills what runs, and lets nothing begin any more.
    fn close(&self) {
        let mut table = self.table();
        table.closing = true;
        session::signal(&table.sessions(), Signal::SIGKILL);
    }

    /// The attempt is over: tells the endpoint, and whoever waits for the table to empty.
    fn finish(&self, attempt: AttemptKey, end: End) {
        let _ = self.host.reports.send(Report::Ended(attempt, end));
        self.table().attempts.remove(&attempt);
        self.left.notify_waiters();
    }
}
