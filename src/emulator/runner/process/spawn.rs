//! The spawner's work: one attempt from the queue to a process.

use std::ffi::OsString;
use std::io::{self, PipeReader, Read};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::{Pid, getpid, getppid, setsid, write};

use super::attempt::{self, Began};
use super::{Shared, Stage, Table};
use crate::emulator::batch::model::{End, Start};
use crate::emulator::logs::GROUP;
use crate::emulator::runner::Report;
use crate::emulator::runner::guardian::Guardian;

/// The name that stands for this executable in a job's command: in an image it is on the PATH.
const OWN_NAME: &str = "batchmap";

/// What is handed on of this process's environment: enough to find programs and a home, nothing that tells of the driver.
const INHERITED: [&str; 4] = ["HOME", "LANG", "TMPDIR", "USER"];

/// Begins an attempt, or reports why it cannot.
pub(super) fn begin(shared: &Arc<Shared>, start: Start) {
    let attempt = start.attempt;
    match try_begin(shared, &start) {
        Ok(began) => {
            let _ = shared.host.reports.send(Report::Started(attempt));
            attempt::follow(shared, attempt, began);
        }
        Err(reason) => {
            tracing::debug!(job = start.job_id, reason, "a child did not start");
            shared.finish(attempt, End::StartFailed { reason: format!("CannotStartContainerError: {reason}") });
        }
    }
}

fn try_begin(shared: &Shared, start: &Start) -> Result<Began, String> {
    if start.containers.len() > 1 {
        let names: Vec<&str> = start.containers.iter().map(|container| container.name.as_str()).collect();
        return Err(format!(
            "local processes run one container a job, and this job has {}; start the endpoint with --runner podman",
            names.join(", ")
        ));
    }
    if start.command.is_empty() {
        return Err("the job has no command, and a local process has no image that could bring one".to_owned());
    }
    let cwd = &shared.config.cwd;
    if !cwd.is_dir() {
        return Err(format!("the working directory {} does not exist", cwd.display()));
    }
    let log = shared.host.logs.writer(GROUP, &start.log_stream);
    let log = log.map_err(|error| format!("cannot open the log stream {}: {error}", start.log_stream))?;

    let mut table = shared.table();
    match table.attempts.get(&start.attempt) {
        Some(Stage::Waiting) if !table.closing => {}
        _ => return Err("the job was stopped before its command began".to_owned()),
    }
    let (child, output) = spawn_guarded(shared, &mut table, start)?;
    // A process id is a positive i32 on every Unix.
    let session = child.id() as i32;
    table.attempts.insert(start.attempt, Stage::Running(session));
    Ok(Began { child, session, output, log })
}

/// Spawns under a guardian that is alive: one that died is replaced, and told of all who run.
fn spawn_guarded(shared: &Shared, table: &mut Table, start: &Start) -> Result<(Child, PipeReader), String> {
    let failed = |error: io::Error| format!("cannot execute {:?}: {error}", start.command[0]);
    let guardian = living_guardian(shared, table)?;
    let first = spawn_under(shared, start, guardian);
    match first {
        // It was dying when it was asked, and gone when the child came to register.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            table.guardian = None;
            let guardian = living_guardian(shared, table)?;
            spawn_under(shared, start, guardian).map_err(failed)
        }
        other => other.map_err(failed),
    }
}

fn living_guardian<'a>(shared: &Shared, table: &'a mut Table) -> Result<&'a mut Guardian, String> {
    let alive = table.guardian.as_mut().is_some_and(|guardian| guardian.probe().is_ok());
    if !alive {
        tracing::warn!("the guardian is gone; starting another");
        let mut guardian = Guardian::spawn(&shared.config.guardian).map_err(|error| error.to_string())?;
        for session in table.sessions() {
            guardian.register(session).map_err(|error| format!("the guardian cannot be told: {error}"))?;
        }
        table.guardian = Some(guardian);
    }
    table.guardian.as_mut().ok_or_else(|| "there is no guardian".to_owned())
}

fn spawn_under(shared: &Shared, start: &Start, guardian: &mut Guardian) -> io::Result<(Child, PipeReader)> {
    let fd = guardian.fd().ok_or(io::ErrorKind::BrokenPipe)?;
    spawn(shared, start, fd).map_err(|(error, session)| {
        // It registered itself and then could not execute its command.
        if let Some(session) = session {
            let _ = guardian.unregister(session);
        }
        error
    })
}

/// Spawns one process. After a failure, the session it had registered, if it got that far.
fn spawn(shared: &Shared, start: &Start, guardian: RawFd) -> Result<(Child, PipeReader), (io::Error, Option<i32>)> {
    let early = |error| (error, None);
    let (output, writer) = io::pipe().map_err(early)?;
    let (mut told, tell) = io::pipe().map_err(early)?;
    // Found even where the job sets a PATH of its own, or the executable goes by another name.
    let own = start.command[0] == OWN_NAME;
    let program = if own { shared.config.guardian.program.as_os_str() } else { start.command[0].as_ref() };
    let mut command = Command::new(program);
    command
        .args(&start.command[1..])
        .env_clear()
        .envs(inherited())
        .envs(shared.config.environment.iter().map(|(name, value)| (name, value)))
        .envs(secrets(start))
        .envs(start.environment.iter().map(|(name, value)| (name, value)))
        .current_dir(&shared.config.cwd)
        .stdin(Stdio::null())
        .stdout(writer.try_clone().map_err(early)?)
        .stderr(writer);
    let parent = Pid::this();
    let tell_fd = tell.as_raw_fd();
    // SAFETY: between fork and exec the closure only makes system calls that are safe there and allocates nothing; both
    // descriptors are open until spawn returns, for `tell` and the locked table outlive it.
    unsafe {
        command.pre_exec(move || prepare(parent, guardian, tell_fd));
    }
    match command.spawn() {
        Ok(child) => Ok((child, output)),
        Err(error) => {
            drop(tell);
            let mut session = [0; 4];
            let session = told.read_exact(&mut session).ok().map(|()| i32::from_ne_bytes(session));
            Err((error, session))
        }
    }
}

/// Runs in the child, before its command: it must never outlive the endpoint, from here on.
fn prepare(parent: Pid, guardian: RawFd, tell: RawFd) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    if getppid() != parent {
        // The endpoint died before the line above: nobody would ever send the signal.
        return Err(io::ErrorKind::NotConnected.into());
    }
    setsid()?;
    let pid = getpid().as_raw();
    let (line, length) = registration(pid);
    // SAFETY: ignoring and restoring a signal between fork and exec; no other thread exists in this process. A guardian
    // that is gone must be an error of this spawn, not the child's death.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigIgn) }?;
    // SAFETY: both descriptors are open in the parent while it waits for this exec, so they are open here.
    let (guardian, tell) = unsafe { (BorrowedFd::borrow_raw(guardian), BorrowedFd::borrow_raw(tell)) };
    write(tell, &pid.to_ne_bytes())?;
    if write(guardian, &line[..length])? != length {
        return Err(io::ErrorKind::WriteZero.into());
    }
    // SAFETY: as above.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }?;
    Ok(())
}

/// `+<pid>` and a line break, made without an allocation.
fn registration(pid: i32) -> ([u8; 16], usize) {
    let mut line = [0; 16];
    let mut digits = [0; 10];
    let (mut rest, mut count) = (pid.unsigned_abs(), 0);
    while rest > 0 {
        digits[count] = b'0' + (rest % 10) as u8;
        rest /= 10;
        count += 1;
    }
    line[0] = b'+';
    for (place, digit) in digits[..count].iter().rev().enumerate() {
        line[1 + place] = *digit;
    }
    line[1 + count] = b'\n';
    (line, count + 2)
}

/// The clean environment every child begins with.
fn inherited() -> Vec<(OsString, OsString)> {
    let mut variables = vec![("PATH".into(), path())];
    variables.extend(INHERITED.iter().filter_map(|name| Some((OsString::from(name), std::env::var_os(name)?))));
    variables
}

/// The secrets that the job's definition names. There is no Secrets Manager on this machine: each comes from the variable
/// of the same name of this process, and is absent where that is.
fn secrets(start: &Start) -> impl Iterator<Item = (&String, OsString)> {
    start.secrets.iter().filter_map(|name| Some((name, std::env::var_os(name)?)))
}

/// The search path, with this program's own directory first: children call `batchmap worker`.
fn path() -> OsString {
    let own = std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_path_buf));
    let inherited = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    let all = own.into_iter().chain(std::env::split_paths(&inherited));
    // A directory with a colon in its name cannot be in a search path at all.
    std::env::join_paths(all).unwrap_or(inherited)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registration_is_what_the_guardian_reads() {
        for pid in [2, 10, 4_194_304, i32::MAX] {
            let (line, length) = registration(pid);
            assert_eq!(&line[..length], format!("+{pid}\n").as_bytes());
        }
    }
}
