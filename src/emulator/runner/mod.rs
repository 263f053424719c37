//! What runs children: local processes, containers, or a simulation.

pub mod container;
pub mod guardian;
mod output;
pub mod process;
mod session;
pub mod simulated;

use std::io;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

use super::batch::model::{AttemptKey, End, Start, Stop};
use super::logs::LogStore;

/// How an attempt goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// Its command runs.
    Started(AttemptKey),
    /// It is over, and nothing of it is left: the last report about it.
    Ended(AttemptKey, End),
}

/// What a runner is given to work with.
#[derive(Clone, Debug)]
pub struct Host {
    /// Where reports go. The receiver may be gone when the endpoint is; there is nobody to tell then.
    pub reports: UnboundedSender<Report>,
    /// Where output goes.
    pub logs: LogStore,
}

/// Runs attempts. Nothing here may block for long, and no report may be awaited: the endpoint calls while it holds its state.
#[async_trait]
pub trait Runner: Send + Sync {
    /// Called once, inside a tokio runtime, before anything else.
    ///
    /// # Errors
    /// What the runner needs is not there.
    fn attach(&self, host: Host) -> io::Result<()>;

    /// Begins an attempt. Exactly one [`Report::Ended`] follows, whatever happens, unless the runner is shut down first.
    fn start(&self, start: Start);

    /// Signals attempts. One whose process has not begun when this is called never begins: it ends at once.
    fn signal(&self, attempts: &[AttemptKey], stop: Stop);

    /// Kills everything and returns when nothing is left. What is started afterwards is dropped.
    async fn shutdown(&self);
}

/// Waits until no attempt is left; `left` tells of each that goes.
async fn none_left(left: &Notify, is_empty: impl Fn() -> bool) {
    loop {
        // Before the look: one that goes in between is not missed.
        let gone = left.notified();
        if is_empty() {
            return;
        }
        gone.await;
    }
}
