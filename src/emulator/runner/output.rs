//! What children write, on its way into the log.

use std::io;

use crate::emulator::batch::clock::now_ms;
use crate::emulator::logs::LogWriter;

/// Output that cannot be kept is let go: a full disk must not stop the child. The first loss while `healthy` is told.
pub(super) fn push(log: &mut LogWriter, bytes: &[u8], healthy: &mut bool) {
    if let Err(error) = log.push(now_ms(), bytes)
        && std::mem::take(healthy)
    {
        lost(&error);
    }
}

/// Tells that output is lost.
pub(super) fn lost(error: &io::Error) {
    tracing::warn!(%error, "output of a child is lost");
}
