//! The process that ends children when their endpoint dies, however it dies.
//!
//! It holds the reading end of a pipe whose only lasting writer is the endpoint. Each child writes `+<session>` into it
//! before its command is executed, the endpoint `-<session>` when nothing of the child is left. At the end of the pipe
//! the endpoint is gone, and what is still registered is killed.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, BufRead, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};

use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::setsid;

use super::container::{self, Engine};
use super::session;

/// The variable that every child of an endpoint carries, with a value of that endpoint's own.
pub const MARKER: &str = "BATCHMAP_ENDPOINT";

/// The whole of `batchmap guardian`: reads registrations from standard input until it ends, then kills what is left,
/// and whatever carries `mark` as its [`MARKER`]; and removes that endpoint's containers, if an engine ran them.
pub fn guardian_main(mark: Option<&str>, engine: Option<Engine>) {
    // Out of the terminal's reach: a Ctrl-C meant for the driver must not end this before the driver.
    let _ = setsid();
    for ignored in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGPIPE] {
        // SAFETY: ignoring a signal installs no handler, and no other thread runs yet.
        let _ = unsafe { signal(ignored, SigHandler::SigIgn) };
    }
    let sessions = read_registrations(io::stdin().lock());
    session::kill_all(&sessions);
    if let Some(mark) = mark {
        // The engine's clients first: they would make containers yet.
        session::kill_marked(&format!("{MARKER}={mark}"));
        if let Some(engine) = engine {
            container::clear(engine, mark);
        }
    }
}

/// What is registered when the input ends. Lines that say nothing are probes.
fn read_registrations(input: impl BufRead) -> BTreeSet<i32> {
    let mut sessions = BTreeSet::new();
    for line in input.split(b'\n').map_while(Result::ok) {
        let Ok(line) = std::str::from_utf8(&line) else { continue };
        let Some((sign, number)) = line.split_at_checked(1) else { continue };
        // Session 1 and below are never a child's.
        let Some(number) = number.parse::<i32>().ok().filter(|number| *number > 1) else { continue };
        match sign {
            "+" => drop(sessions.insert(number)),
            "-" => drop(sessions.remove(&number)),
            _ => {}
        }
    }
    sessions
}

/// How the guardian is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardianCommand {
    /// The executable that knows the guardian: batchmap itself.
    pub program: PathBuf,
    /// What makes it the guardian.
    pub arguments: Vec<OsString>,
}

impl GuardianCommand {
    /// `<program> guardian`.
    pub fn of(program: PathBuf) -> GuardianCommand {
        GuardianCommand { program, arguments: vec!["guardian".into()] }
    }

    /// The same, for children that carry `mark` as their [`MARKER`].
    pub fn marked(program: PathBuf, mark: &str) -> GuardianCommand {
        GuardianCommand { program, arguments: vec!["guardian".into(), mark.into()] }
    }
}

/// The endpoint's hold on its guardian. Dropping it ends the guardian, and with it what is still registered.
#[derive(Debug)]
pub(super) struct Guardian {
    process: Child,
    pipe: Option<ChildStdin>,
}

impl Guardian {
    pub(super) fn spawn(command: &GuardianCommand) -> io::Result<Guardian> {
        let mut process = Command::new(&command.program)
            .args(&command.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| {
                io::Error::new(
                    error.kind(),
                    format!("cannot start the guardian {}: {error}", command.program.display()),
                )
            })?;
        let pipe = process.stdin.take();
        Ok(Guardian { process, pipe })
    }

    /// Fails when the guardian is gone.
    pub(super) fn probe(&mut self) -> io::Result<()> {
        self.say("\n")
    }

    pub(super) fn register(&mut self, session: i32) -> io::Result<()> {
        self.say(&format!("+{session}\n"))
    }

    pub(super) fn unregister(&mut self, session: i32) -> io::Result<()> {
        self.say(&format!("-{session}\n"))
    }

    /// The end that children register themselves through.
    pub(super) fn fd(&self) -> Option<RawFd> {
        self.pipe.as_ref().map(AsRawFd::as_raw_fd)
    }

    fn say(&mut self, line: &str) -> io::Result<()> {
        // One write of less than PIPE_BUF: lines of several writers do not mix.
        self.pipe.as_mut().ok_or(io::ErrorKind::BrokenPipe)?.write_all(line.as_bytes())
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        drop(self.pipe.take());
        let _ = self.process.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_registered_and_not_taken_back_is_left() {
        let input: &[u8] = b"+100\n\n+200\nnonsense\n-100\n+1\n+-5\n+300\n-999\n\xff\n+40";
        assert_eq!(read_registrations(input), BTreeSet::from([40, 200, 300]));
    }
}
