//! Children as containers of real images, by the command line of `podman` or `docker`.
//!
//! ```text
//!  start() ─► a task for each attempt ─► volumes ─► containers, in the order of their dependencies ─► Ended
//!                                                    └─ image ─► `run` ─► output, end ─► `rm`
//! ```
//! Every container carries two labels: its endpoint's, by which a guardian removes it when the endpoint is gone, and its
//! directory's, by which the next endpoint there does.

mod args;
mod end;
mod engine;
mod image;
mod memory;
mod one;
mod order;
mod task;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

pub use self::engine::Engine;

use self::engine::Cli;
use self::image::Images;
use super::guardian::{Guardian, GuardianCommand};
use super::{Host, Report, Runner, none_left};
use crate::emulator::batch::model::{AttemptKey, End, Start, Stop};

/// What containers are given.
#[derive(Clone, Debug)]
pub struct ContainerConfig {
    /// What runs them.
    pub engine: Engine,
    /// How to call the guardian.
    pub guardian: GuardianCommand,
    /// This endpoint's own: a word of hexadecimal digits that no other has.
    pub session: String,
    /// The endpoint's directory of state, in a word: what an earlier endpoint of this directory has left is removed.
    pub home: String,
    /// A directory for files of the runner's.
    pub scratch: PathBuf,
    /// Added to their environment, below what their job says: the endpoint's address, its credentials.
    pub environment: Vec<(String, String)>,
}

impl ContainerConfig {
    /// The guardian of containers of this session: `<program> guardian --containers <engine> <session>`.
    pub fn guardian(program: PathBuf, engine: Engine, session: &str) -> GuardianCommand {
        let arguments = ["guardian", "--containers", engine.program(), session];
        GuardianCommand { program, arguments: arguments.into_iter().map(Into::into).collect() }
    }
}

/// Removes what is left of containers of a session: the guardian's work.
pub(super) fn clear(engine: Engine, session: &str) {
    engine.clear(session);
}

/// Runs attempts as containers of this machine.
#[derive(Debug)]
pub struct ContainerRunner {
    config: ContainerConfig,
    attached: OnceLock<Attached>,
}

#[derive(Debug)]
struct Attached {
    shared: Arc<Shared>,
    runtime: Handle,
}

/// What attempts share.
#[derive(Debug)]
struct Shared {
    config: ContainerConfig,
    cli: Cli,
    labels: Vec<String>,
    cores: usize,
    images: Images,
    host: Host,
    table: Mutex<Table>,
    /// Told whenever an attempt leaves the table.
    left: Notify,
}

#[derive(Debug)]
struct Table {
    guardian: Option<Guardian>,
    attempts: BTreeMap<AttemptKey, watch::Sender<Quit>>,
    closing: bool,
}

/// How an attempt or container is told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Quit {
    Not,
    Term,
    Kill,
}

impl ContainerRunner {
    /// A runner that begins to work when it is attached.
    pub fn new(config: ContainerConfig) -> ContainerRunner {
        ContainerRunner { config, attached: OnceLock::new() }
    }
}

#[async_trait]
impl Runner for ContainerRunner {
    fn attach(&self, host: Host) -> io::Result<()> {
        let config = self.config.clone();
        let home = format!("{}={}", engine::HOME, config.home);
        // Finds out as well whether the engine works at all.
        let left = config.engine.sweep(&home)?;
        if left > 0 {
            tracing::info!(left, "removed containers and volumes that an earlier endpoint of this directory left");
        }
        let guardian = Guardian::spawn(&config.guardian)?;
        let shared = Arc::new(Shared {
            cli: Cli { engine: config.engine, mark: config.session.clone() },
            labels: vec![format!("{}={}", engine::SESSION, config.session), home],
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            images: Images::default(),
            host,
            table: Mutex::new(Table { guardian: Some(guardian), attempts: BTreeMap::new(), closing: false }),
            left: Notify::new(),
            config,
        });
        let attached = Attached { shared, runtime: Handle::current() };
        self.attached.set(attached).map_err(|_| io::Error::other("the container runner is attached already"))
    }

    fn start(&self, start: Start) {
        let Some(attached) = self.attached.get() else { return };
        let shared = &attached.shared;
        let (tell, hear) = watch::channel(Quit::Not);
        let mut table = shared.table();
        if table.closing {
            return;
        }
        table.attempts.insert(start.attempt, tell);
        drop(table);
        attached.runtime.spawn(task::run(Arc::clone(shared), start, hear));
    }

    fn signal(&self, attempts: &[AttemptKey], stop: Stop) {
        let Some(attached) = self.attached.get() else { return };
        let quit = match stop {
            Stop::Term => Quit::Term,
            Stop::Kill => Quit::Kill,
        };
        let table = attached.shared.table();
        for tell in attempts.iter().filter_map(|attempt| table.attempts.get(attempt)) {
            worsen(tell, quit);
        }
    }

    async fn shutdown(&self) {
        let Some(attached) = self.attached.get() else { return };
        let shared = &attached.shared;
        shared.close();
        none_left(&shared.left, || shared.table().attempts.is_empty()).await;
        let guardian = shared.table().guardian.take();
        // It looks once more whether anything is left.
        let _ = tokio::task::spawn_blocking(move || drop(guardian)).await;
    }
}

impl Drop for ContainerRunner {
    fn drop(&mut self) {
        if let Some(attached) = self.attached.get() {
            attached.shared.close();
        }
    }
}

/// Says a word, unless it or a worse one was said before; whether it was said.
fn worsen(tell: &watch::Sender<Quit>, quit: Quit) -> bool {
    tell.send_if_modified(|told| {
        let worse = quit > *told;
        *told = quit.max(*told);
        worse
    })
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        // No step under this lock leaves the table half changed.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the names of this endpoint's containers begin with.
    fn prefix(&self) -> String {
        format!("batchmap-{}", self.config.session)
    }

    /// Kills what runs, and lets nothing begin any more.
    fn close(&self) {
        let mut table = self.table();
        table.closing = true;
        for tell in table.attempts.values() {
            worsen(tell, Quit::Kill);
        }
    }

    /// Sees to it that there is a guardian: nothing begins without one.
    fn guarded(&self) -> Result<(), String> {
        let mut table = self.table();
        if table.guardian.as_mut().is_none_or(|guardian| guardian.probe().is_err()) {
            if table.closing {
                return Err("the endpoint is shutting down".to_owned());
            }
            // One that died has swept nothing: its end is not the endpoint's.
            tracing::warn!("the guardian is gone; starting another");
            table.guardian = Some(Guardian::spawn(&self.config.guardian).map_err(|error| error.to_string())?);
        }
        Ok(())
    }

    /// The attempt is over: tells the endpoint, and whoever waits for the table to empty.
    fn finish(&self, attempt: AttemptKey, end: End) {
        let _ = self.host.reports.send(Report::Ended(attempt, end));
        self.table().attempts.remove(&attempt);
        self.left.notify_waiters();
    }
}
