//! An attempt that runs: its output copied, its end awaited, its remains killed.

use std::io::{self, PipeReader};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::sync::Arc;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;

use super::{Shared, Stage};
use crate::emulator::batch::clock::now_ms;
use crate::emulator::batch::model::{AttemptKey, End};
use crate::emulator::logs::LogWriter;
use crate::emulator::runner::output::{lost, push};
use crate::emulator::runner::session;

/// The most that a pipe holds: what can be left in it when its writers are dead.
const PIPE_MAX: usize = 1024 * 1024;
/// A waiter does next to nothing, and there is one for every child.
const WAITER_STACK: usize = 128 * 1024;

/// A process that has begun.
pub(super) struct Began {
    pub(super) child: Child,
    pub(super) session: i32,
    pub(super) output: PipeReader,
    pub(super) log: LogWriter,
}

/// Follows a process to its end and reports it.
pub(super) fn follow(shared: &Arc<Shared>, attempt: AttemptKey, began: Began) {
    let Began { child, session, output, log } = began;
    let (exit, exited) = oneshot::channel();
    let copier = Arc::clone(shared);
    shared.runtime.spawn(async move {
        let end = copy(output, log, exited).await;
        copier.finish(attempt, end);
    });
    let waiter = Arc::clone(shared);
    let work = move || drop(exit.send(wait(&waiter, attempt, child, session)));
    let thread = std::thread::Builder::new().name("batchmap-wait".to_owned()).stack_size(WAITER_STACK);
    if let Err(error) = thread.spawn(work) {
        // The work, and with it the sender, is dropped: the copier reports the attempt as one that broke off.
        tracing::error!(%error, "no thread to wait for a child; it is killed");
        session::kill_all(&[session].into());
    }
}

/// Waits for the main process, then ends what it left.
fn wait(shared: &Shared, attempt: AttemptKey, mut child: Child, session: i32) -> End {
    // Unreaped, the process keeps its id from being given to another while its session is being cleared.
    #[cfg(target_os = "linux")]
    {
        use nix::sys::wait::{Id, WaitPidFlag, waitid};
        let process = nix::unistd::Pid::from_raw(session);
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        while let Err(nix::errno::Errno::EINTR) = waitid(Id::Pid(process), flags) {}
    }
    #[cfg(not(target_os = "linux"))]
    let _ = child.wait();
    session::kill_all(&[session].into());
    let mut table = shared.table();
    table.attempts.insert(attempt, Stage::Draining);
    if let Some(Err(error)) = table.guardian.as_mut().map(|guardian| guardian.unregister(session)) {
        tracing::debug!(%error, "the guardian is gone; the next start replaces it");
    }
    let status = child.wait();
    drop(table);
    match status {
        Ok(status) => End::exited(code(status)),
        Err(error) => End::Exited { exit_code: 255, reason: Some(format!("CannotInspectContainerError: {error}")) },
    }
}

/// The exit code as a container runtime tells it: 128 + the signal for a signal.
fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// Copies output to the log until the attempt's end is known and the pipe is empty.
async fn copy(output: PipeReader, mut log: LogWriter, mut exited: oneshot::Receiver<End>) -> End {
    let mut pipe = pipe::Receiver::from_owned_fd(OwnedFd::from(output)).inspect_err(lost).ok();
    let mut buffer = vec![0; 64 * 1024];
    let mut healthy = true;
    let end = loop {
        tokio::select! {
            read = read(&mut pipe, &mut buffer) => match read {
                Ok(0) | Err(_) => pipe = None,
                Ok(length) => push(&mut log, &buffer[..length], &mut healthy),
            },
            end = &mut exited => break end,
        }
    };
    // The writers are dead, unless one fled into a session of its own: it may hold the pipe open, but not us.
    let mut left = PIPE_MAX;
    // Asked of the kernel: tokio's own `try_read` knows only what its last poll has seen, and would miss the last words.
    while let Some(Ok(length @ 1..)) = pipe.as_ref().map(|pipe| nix::unistd::read(pipe, &mut buffer)) {
        push(&mut log, &buffer[..length], &mut healthy);
        left = left.saturating_sub(length);
        if left == 0 {
            break;
        }
    }
    if let Err(error) = log.finish(now_ms()) {
        lost(&error);
    }
    end.unwrap_or_else(|_| End::exited(137))
}

/// Reads once; never returns when there is nothing more to read.
async fn read(pipe: &mut Option<pipe::Receiver>, buffer: &mut [u8]) -> io::Result<usize> {
    match pipe {
        Some(pipe) => pipe.read(buffer).await,
        None => std::future::pending().await,
    }
}
