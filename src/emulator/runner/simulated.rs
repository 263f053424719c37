//! Children that only take time: for scale, for drills, for benchmarks.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

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

/// How long simulated attempts take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SimulatedDuration {
    /// All alike, milliseconds.
    Fixed(u64),
    /// Exponentially distributed.
    Exponential {
        /// Milliseconds.
        mean_ms: f64,
    },
}

/// A drill. What an attempt draws depends on the seed, its job's name, its index and its number alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    /// How long attempts take.
    pub duration: SimulatedDuration,
    /// The share that fails, 0..=1.
    pub failure_rate: f64,
    /// The exit code of those that fail.
    pub exit_code: i32,
    /// Another seed, other draws.
    pub seed: u64,
}

impl Script {
    /// What the attempt draws.
    pub fn draw(&self, start: &Start) -> SimulatedEnd {
        let key = format!("{}/{}/{}/{}", self.seed, start.job_name, start.attempt.child, start.attempt.attempt);
        let hash = blake3::hash(key.as_bytes());
        let (first, second) = (unit(&hash.as_bytes()[..8]), unit(&hash.as_bytes()[8..16]));
        let after_ms = match self.duration {
            SimulatedDuration::Fixed(ms) => ms,
            SimulatedDuration::Exponential { mean_ms } => (-(1.0 - first).ln() * mean_ms) as u64,
        };
        let exit_code = if second < self.failure_rate { self.exit_code } else { 0 };
        SimulatedEnd { after_ms, end: End::exited(exit_code) }
    }
}

/// A number in 0..1 from eight bytes.
fn unit(bytes: &[u8]) -> f64 {
    let mut whole = [0; 8];
    whole.copy_from_slice(bytes);
    // 53 bits are what an f64 holds exactly.
    (u64::from_le_bytes(whole) >> 11) as f64 / (1u64 << 53) as f64
}

type Behaviour = Arc<dyn Fn(Start) -> BoxFuture<'static, SimulatedEnd> + Send + Sync>;

/// Runs attempts by letting time pass.
pub struct SimulatedRunner {
    behaviour: Behaviour,
    attached: OnceLock<Attached>,
}

struct Attached {
    host: Host,
    runtime: Handle,
    under_way: Arc<Mutex<BTreeMap<AttemptKey, AbortHandle>>>,
}

impl SimulatedRunner {
    /// Attempts follow a script.
    pub fn script(script: Script) -> SimulatedRunner {
        SimulatedRunner::with(move |start| script.draw(start))
    }

    /// Attempts go as `behaviour` says; it must not block.
    pub fn with(behaviour: impl Fn(&Start) -> SimulatedEnd + Send + Sync + 'static) -> SimulatedRunner {
        SimulatedRunner::with_async(move |start| Box::pin(std::future::ready(behaviour(&start))))
    }

    /// Attempts do what `behaviour` does, such as writing their outputs, and then take the time it says.
    pub fn with_async(
        behaviour: impl Fn(Start) -> BoxFuture<'static, SimulatedEnd> + Send + Sync + 'static,
    ) -> SimulatedRunner {
        SimulatedRunner { behaviour: Arc::new(behaviour), attached: OnceLock::new() }
    }

    fn take_all(&self) -> BTreeMap<AttemptKey, AbortHandle> {
        self.attached.get().map_or_else(BTreeMap::new, |attached| std::mem::take(&mut *lock(&attached.under_way)))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Runner for SimulatedRunner {
    fn attach(&self, host: Host) -> io::Result<()> {
        let attached = Attached { host, runtime: Handle::current(), under_way: Arc::default() };
        self.attached.set(attached).map_err(|_| io::Error::other("the simulated runner is attached already"))
    }

    fn start(&self, start: Start) {
        let Some(attached) = self.attached.get() else { return };
        let attempt = start.attempt;
        let (reports, under_way) = (attached.host.reports.clone(), Arc::clone(&attached.under_way));
        let _ = reports.send(Report::Started(attempt));
        let behaviour = Arc::clone(&self.behaviour);
        // Held over the spawn, so that the task finds its entry whenever it ends.
        let mut table = lock(&attached.under_way);
        let task = attached.runtime.spawn(async move {
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

    fn signal(&self, attempts: &[AttemptKey], stop: Stop) {
        let Some(attached) = self.attached.get() else { return };
        let exit_code = match stop {
            Stop::Term => 143,
            Stop::Kill => 137,
        };
        for attempt in attempts {
            if let Some(task) = lock(&attached.under_way).remove(attempt) {
                task.abort();
                let _ = attached.host.reports.send(Report::Ended(*attempt, End::exited(exit_code)));
            }
        }
    }

    async fn shutdown(&self) {
        for task in self.take_all().into_values() {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_draws_what_it_says_and_always_the_same() {
        let script = Script {
            duration: SimulatedDuration::Exponential { mean_ms: 1000.0 },
            failure_rate: 0.25,
            exit_code: 3,
            seed: 7,
        };
        let start = |child| Start {
            attempt: AttemptKey { job: 9, child, attempt: 1 },
            job_id: String::new(),
            job_name: "j".to_owned(),
            image: None,
            command: Vec::new(),
            environment: Vec::new(),
            resources: Vec::new(),
            log_stream: String::new(),
            containers: Vec::new(),
        };
        let drawn: Vec<SimulatedEnd> = (0..10_000).map(|child| script.draw(&start(child))).collect();
        let mean = drawn.iter().map(|end| end.after_ms as f64).sum::<f64>() / 10_000.0;
        let failed = drawn.iter().filter(|end| end.end == End::exited(3)).count();
        assert!((950.0..1050.0).contains(&mean), "{mean}");
        assert!((2350..2650).contains(&failed), "{failed}");
        assert_eq!(script.draw(&start(5)), drawn[5]);
    }
}
