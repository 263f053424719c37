//! Children that only take time: for scale, for drills, for benchmarks.
//!
//! Those that follow a [`Script`] cost an entry in a heap and one in a table: a million may run at once. Those that do
//! something of the caller's are a task each.

mod script;
mod timer;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

pub use self::script::{Script, SimulatedDuration};
use self::timer::Timer;
use super::{Host, Report, Runner};
use crate::emulator::batch::model::{AttemptKey, End, Start, Stop};

/// How a simulated attempt goes.
#[derive(Clone, Debug, PartialEq)]
pub struct SimulatedEnd {
    /// How long it still takes, milliseconds.
    pub after_ms: u64,
    /// How it ends.
    pub end: End,
}

type Behaviour = Arc<dyn Fn(Start) -> BoxFuture<'static, SimulatedEnd> + Send + Sync>;

enum Mode {
    Script(Arc<Script>),
    Tasks(Behaviour),
}

/// Runs attempts by letting time pass.
pub struct SimulatedRunner {
    mode: Mode,
    attached: OnceLock<Attached>,
}

struct Attached {
    host: Host,
    runtime: Handle,
    timer: Timer,
    under_way: Arc<Mutex<BTreeMap<AttemptKey, AbortHandle>>>,
}

impl SimulatedRunner {
    /// Attempts follow a script.
    pub fn script(script: Script) -> SimulatedRunner {
        SimulatedRunner { mode: Mode::Script(Arc::new(script)), attached: OnceLock::new() }
    }

    /// Attempts go as `behaviour` says; it must not block.
    pub fn with(behaviour: impl Fn(&Start) -> SimulatedEnd + Send + Sync + 'static) -> SimulatedRunner {
        SimulatedRunner::with_async(move |start| Box::pin(std::future::ready(behaviour(&start))))
    }

    /// Attempts do what `behaviour` does, such as writing their outputs, and then take the time it says.
    pub fn with_async(
        behaviour: impl Fn(Start) -> BoxFuture<'static, SimulatedEnd> + Send + Sync + 'static,
    ) -> SimulatedRunner {
        SimulatedRunner { mode: Mode::Tasks(Arc::new(behaviour)), attached: OnceLock::new() }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Attached {
    fn spawn(&self, behaviour: Behaviour, start: Start) {
        let attempt = start.attempt;
        let (reports, under_way) = (self.host.reports.clone(), Arc::clone(&self.under_way));
        // Held over the spawn, so that the task finds its entry whenever it ends.
        let mut table = lock(&self.under_way);
        let task = self.runtime.spawn(async move {
            let SimulatedEnd { after_ms, end } = behaviour(start).await;
            if after_ms > 0 {
                tokio::time::sleep(Duration::from_millis(after_ms)).await;
            }
            // Whoever takes the entry reports the end, so there is one report even if a signal comes now.
            if lock(&under_way).remove(&attempt).is_some() {
                let _ = reports.send(Report::Ended(attempt, end));
            }
        });
        table.insert(attempt, task.abort_handle());
    }

    /// Forgets an attempt; whether it was under way.
    fn forget(&self, attempt: AttemptKey) -> bool {
        match lock(&self.under_way).remove(&attempt) {
            Some(task) => {
                task.abort();
                true
            }
            None => self.timer.forget(attempt),
        }
    }
}

#[async_trait]
impl Runner for SimulatedRunner {
    fn attach(&self, host: Host) -> io::Result<()> {
        let script = match &self.mode {
            Mode::Script(script) => Arc::clone(script),
            Mode::Tasks(_) => Arc::default(),
        };
        let timer = Timer::begin(script, host.reports.clone());
        let attached = Attached { host, runtime: Handle::current(), timer, under_way: Arc::default() };
        self.attached.set(attached).map_err(|_| io::Error::other("the simulated runner is attached already"))
    }

    fn start(&self, start: Start) {
        let Some(attached) = self.attached.get() else { return };
        let _ = attached.host.reports.send(Report::Started(start.attempt));
        match &self.mode {
            Mode::Script(_) => attached.timer.start(start.attempt),
            Mode::Tasks(behaviour) => attached.spawn(Arc::clone(behaviour), start),
        }
    }

    fn signal(&self, attempts: &[AttemptKey], stop: Stop) {
        let Some(attached) = self.attached.get() else { return };
        let exit_code = match stop {
            Stop::Term => 143,
            Stop::Kill => 137,
        };
        for attempt in attempts {
            if attached.forget(*attempt) {
                let _ = attached.host.reports.send(Report::Ended(*attempt, End::exited(exit_code)));
            }
        }
    }

    async fn shutdown(&self) {
        let Some(attached) = self.attached.get() else { return };
        attached.timer.stop();
        for task in std::mem::take(&mut *lock(&attached.under_way)).into_values() {
            task.abort();
        }
    }
}
