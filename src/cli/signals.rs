//! Ctrl-C and SIGTERM.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pressed {
    /// SIGINT: a person at a terminal.
    Interrupt,
    /// SIGTERM: a program.
    Terminate,
}

/// SIGINT and SIGTERM, as they come.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Listens: from now on neither ends the process by itself.
    ///
    /// # Errors
    /// When the operating system has no room for a handler.
    pub fn new() -> std::io::Result<Self> {
        Ok(Signals { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// The next one.
    pub async fn next(&mut self) -> Pressed {
        tokio::select! {
            _ = self.interrupt.recv() => Pressed::Interrupt,
            _ = self.terminate.recv() => Pressed::Terminate,
        }
    }
}
