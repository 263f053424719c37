//! Calls to AWS Batch at a pace that the account stands, and again where that is safe.
//!
//! ```text
//!  run/, cli/ ─► Paced (Batch) ─► lane of the operation ─► SdkBatch ─► AWS
//!                  ▲                ▲ rate: halved on a throttled answer,
//!                  └─ full jitter ──┘ growing back by a call a second each second
//! ```
//! - An account has about 50 calls a second for everything, SubmitJob included, and it cannot be raised. Each operation
//!   has a lane of its own ([`Operation::share`], together below 50), so that polls never wait behind submissions, and
//!   within a lane calls go in the order in which they came.
//! - A throttled call has not happened: it is made again under its lane's rate. An unclear answer (5xx, timeout, broken
//!   connection) is worth another try for every call but SubmitJob, which has no token to tell a repetition by: whether it
//!   has happened is for the caller to find out. What AWS refuses is told at once.
//! - This is the only layer that retries calls to Batch; the SDK's own retries are off for it, for they would hide the
//!   throttled answers from the lanes. S3 needs no lanes (3,500 writes a second for each prefix): the SDK's retries and
//!   the tries of conditional writes in `sdk/store.rs` do there.
//! - An endpoint that is not AWS's is not paced, only retried: see [`Pacer::unpaced`].

mod backoff;
mod batch;
mod rate;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

pub use self::backoff::Backoff;
use self::backoff::Jitter;
pub use self::batch::Paced;
use self::rate::Rate;
use crate::aws::batch::BatchError;

/// How long a throttled SubmitJob is held on to. Then it is given back, for its caller has others to serve meanwhile: it
/// polls, and whoever wants to stop the execution is heard.
const SUBMIT_PATIENCE: Duration = Duration::from_secs(4);

/// The operations that have a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// SubmitJob.
    Submit,
    /// DescribeJobs.
    Describe,
    /// ListJobs.
    List,
    /// TerminateJob.
    Terminate,
    /// Everything else: definitions, queues.
    Other,
}

impl Operation {
    /// Every operation, in the order of the lanes.
    pub const ALL: [Operation; 5] =
        [Operation::Submit, Operation::Describe, Operation::List, Operation::Terminate, Operation::Other];

    /// The calls a second that this process makes at most. Together they stay below an account's 50, and leave some to
    /// whoever else works in it; if that is too few, the throttled answers say so.
    pub const fn share(self) -> u32 {
        match self {
            Operation::Submit => 20,
            Operation::Describe | Operation::List | Operation::Terminate => 8,
            Operation::Other => 2,
        }
    }
}

/// The pace of all calls to one account and region. Shared by everything in a process that makes them.
pub struct Pacer {
    /// In the order of [`Operation::ALL`]; none when calls are not paced.
    lanes: Vec<Lane>,
    backoff: Backoff,
    jitter: Mutex<Jitter>,
    origin: Instant,
}

/// The way of one operation's calls.
struct Lane {
    /// Whoever holds it is next; tokio gives it out in the order of asking.
    turn: tokio::sync::Mutex<()>,
    rate: Mutex<Rate>,
}

impl Pacer {
    /// For AWS itself. `seed` decides the jitter.
    pub fn aws(backoff: Backoff, seed: u64) -> Self {
        let lane = |operation: Operation| Lane {
            turn: tokio::sync::Mutex::default(),
            rate: Mutex::new(Rate::new(f64::from(operation.share()))),
        };
        Pacer { lanes: Operation::ALL.into_iter().map(lane).collect(), ..Pacer::unpaced(backoff, seed) }
    }

    /// For an endpoint without an account's limits: nothing waits that has not failed before.
    pub fn unpaced(backoff: Backoff, seed: u64) -> Self {
        Pacer { lanes: Vec::new(), backoff, jitter: Mutex::new(Jitter::new(seed)), origin: Instant::now() }
    }

    /// The calls a second that an operation is allowed now; without a limit when calls are not paced.
    pub fn rate(&self, operation: Operation) -> Option<f64> {
        Some(locked(&self.lanes.get(operation as usize)?.rate).calls_a_second())
    }

    /// Makes a call in its turn, and again where that is safe and may help.
    ///
    /// # Errors
    /// The last answer, when it was refused, when trying again is not safe, or when patience is at its end.
    pub async fn call<T, F>(&self, operation: Operation, mut make: impl FnMut() -> F) -> Result<T, BatchError>
    where
        F: Future<Output = Result<T, BatchError>>,
    {
        let begun = Instant::now();
        let mut tried = 0;
        loop {
            let sent = self.turn(operation).await;
            let answer = make().await;
            tried += 1;
            let error = match answer {
                Err(error @ BatchError::Throttled { .. }) => {
                    self.on(operation, |rate| rate.throttled(self.origin.elapsed(), sent));
                    error
                }
                // Nobody was asked, so nothing is learnt about the rate.
                Err(error @ BatchError::Fenced { .. }) => return Err(error),
                Err(error @ BatchError::Unknown { .. }) if operation != Operation::Submit => error,
                told => {
                    self.on(operation, Rate::answered);
                    return told;
                }
            };
            let late = operation == Operation::Submit && begun.elapsed() >= SUBMIT_PATIENCE;
            if late || tried >= self.backoff.tries {
                return Err(error);
            }
            let wait = self.backoff.wait(tried, &mut locked(&self.jitter));
            tracing::debug!(%error, ?wait, tried, "calling again");
            tokio::time::sleep(wait).await;
        }
    }

    /// Waits until it is this call's turn; answers when that is, from the pacer's beginning.
    async fn turn(&self, operation: Operation) -> Duration {
        if let Some(lane) = self.lanes.get(operation as usize) {
            let _next = lane.turn.lock().await;
            // Asked again after the wait: the rate may have been cut meanwhile.
            loop {
                let taken = locked(&lane.rate).take(self.origin.elapsed());
                match taken {
                    Ok(()) => break,
                    Err(wait) => tokio::time::sleep(wait).await,
                }
            }
        }
        self.origin.elapsed()
    }

    fn on(&self, operation: Operation, change: impl FnOnce(&mut Rate)) {
        if let Some(lane) = self.lanes.get(operation as usize) {
            change(&mut locked(&lane.rate));
        }
    }
}

// Nothing here is left half changed by a panic.
fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
