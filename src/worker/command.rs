//! Runs the user's command: its own process group, its output passed through, signals forwarded, its time limited.

use std::future::{pending, poll_fn};
use std::io;
use std::process::{ExitStatus, Stdio};
use std::task::Poll;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use super::memory;
use super::pass::{Kept, Pass};
use super::present::Invocation;
use crate::map::inject::BINARY;

/// From SIGTERM to SIGKILL when the time is up: time to clean up, and well within the 30 seconds that Batch itself gives.
const GRACE: Duration = Duration::from_secs(10);
/// How long output is still read once the whole process group is gone: only a process that left the group can hold the
/// pipe open, and it is not waited for.
pub(super) const DRAIN: Duration = Duration::from_secs(2);
/// Bytes of the end of standard error that are kept: an error message shows what is not a logger's of them.
const TAIL: usize = 32 << 10;

/// How a command ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// Of its main process.
    pub status: ExitStatus,
    /// Whether it was ended because its time was up.
    pub timed_out: bool,
    /// The first signal that came from outside and asked it to stop.
    pub signal: Option<Signal>,
    /// What it printed to standard output, if that was asked for.
    pub stdout: Option<Kept>,
    /// The last that it printed to standard error.
    pub stderr: Kept,
    /// Whether something of this container was killed for lack of memory meanwhile.
    pub starved: bool,
}

impl Ended {
    /// Whether it came to its end without being stopped: then what it says of its failure counts.
    pub(super) fn says_itself(&self) -> bool {
        !self.timed_out && (self.signal.is_none() || self.status.success())
    }
}

/// The signals that the worker passes on.
#[derive(Debug)]
pub(super) struct Signals(Vec<(Signal, Stream)>);

impl Signals {
    /// Listens; from now on the signals do not end this process.
    pub(super) fn listen() -> io::Result<Self> {
        let passed_on = [
            (Signal::SIGTERM, SignalKind::terminate()),
            (Signal::SIGINT, SignalKind::interrupt()),
            (Signal::SIGHUP, SignalKind::hangup()),
            (Signal::SIGQUIT, SignalKind::quit()),
            (Signal::SIGUSR1, SignalKind::user_defined1()),
            (Signal::SIGUSR2, SignalKind::user_defined2()),
        ];
        let streams = passed_on.into_iter().map(|(name, kind)| Ok((name, signal(kind)?)));
        Ok(Signals(streams.collect::<io::Result<_>>()?))
    }

    /// The next signal.
    pub(super) async fn next(&mut self) -> Signal {
        poll_fn(|context| {
            for (name, stream) in &mut self.0 {
                // A stream that has ended brings no signal any more.
                if let Poll::Ready(Some(())) = stream.poll_recv(context) {
                    return Poll::Ready(*name);
                }
            }
            Poll::Pending
        })
        .await
    }

    /// The next signal that asks to stop.
    pub(super) async fn next_stop(&mut self) -> Signal {
        loop {
            let signal = self.next().await;
            if stops(signal) {
                return signal;
            }
        }
    }
}

/// Whether a signal asks to stop: the user's own two mean what the command wants them to.
fn stops(signal: Signal) -> bool {
    !matches!(signal, Signal::SIGUSR1 | Signal::SIGUSR2)
}

/// Runs the command to its end. Standard output is kept up to `keep` bytes when that is given.
///
/// Call it on a thread that lives as long as the process: on Linux the command is killed when the thread that started
/// it ends, and so when the worker is killed.
///
/// # Errors
/// When the command cannot be started.
pub(super) async fn run(
    invocation: &Invocation,
    limit: Option<Duration>,
    keep: Option<usize>,
    signals: &mut Signals,
) -> io::Result<Ended> {
    let (program, arguments) = invocation.argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    // By this name a command means this very program, wherever in the image that is: `doctor` relies on nothing else.
    let own = (program == BINARY).then(|| std::env::current_exe().ok()).flatten();
    let mut command = Command::new(own.as_deref().map_or(program.as_ref(), |own| own.as_os_str()));
    command.args(arguments).env_clear().envs(&invocation.environment);
    if let Some(directory) = &invocation.directory {
        command.current_dir(directory);
    }
    command.stdin(Stdio::null()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
    // Nobody in between where nothing is to be kept.
    command.stdout(if keep.is_some() { Stdio::piped() } else { Stdio::inherit() });
    die_with_this_process(&mut command);
    let killed = memory::kills();
    let mut child = command.spawn()?;
    let group = Group::of(&child);
    let stdout =
        child.stdout.take().zip(keep).map(|(pipe, keep)| Pass::start(pipe, tokio::io::stdout(), Kept::first(keep)));
    let stderr = child.stderr.take().map(|pipe| Pass::start(pipe, tokio::io::stderr(), Kept::last(TAIL)));
    let (status, timed_out, signal) = watch(&mut child, &group, limit, signals).await?;
    group.signal(Signal::SIGKILL);
    let drained = async {
        let stdout = async { Some(stdout?.finish().await) };
        let stderr = async { Some(stderr?.finish().await) };
        tokio::join!(stdout, stderr)
    };
    let (stdout, stderr) = drained.await;
    let starved = memory::kills() > killed;
    Ok(Ended { status, timed_out, signal, stdout, stderr: stderr.unwrap_or_else(|| Kept::last(TAIL)), starved })
}

/// Waits for the main process, passing signals on and watching the clock.
async fn watch(
    child: &mut Child,
    group: &Group,
    limit: Option<Duration>,
    signals: &mut Signals,
) -> io::Result<(ExitStatus, bool, Option<Signal>)> {
    let (mut timed_out, mut first) = (false, None);
    let mut next = Signal::SIGTERM;
    let mut alarm = limit.and_then(|limit| Instant::now().checked_add(limit));
    loop {
        let rung = async {
            match alarm {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
        };
        tokio::select! {
            status = child.wait() => return Ok((status?, timed_out, first)),
            signal = signals.next() => {
                if stops(signal) {
                    first.get_or_insert(signal);
                }
                group.signal(signal);
            }
            () = rung => {
                timed_out = true;
                group.signal(next);
                alarm = (next == Signal::SIGTERM).then(|| Instant::now() + GRACE);
                next = Signal::SIGKILL;
            }
        }
    }
}

/// The command's process group.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Group(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw))
    }

    /// A group without members is gone, which is as good.
    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            let _ = killpg(group, signal);
        }
    }
}

/// Lets the kernel kill the command when this process ends in whatever way: it may be killed without a chance to pass
/// that on.
#[cfg(target_os = "linux")]
fn die_with_this_process(command: &mut Command) {
    let parent = Pid::this();
    // SAFETY: between fork and exec only system calls are made, no memory is allocated and no lock taken.
    unsafe {
        command.pre_exec(move || {
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
            // The parent may have ended before the call above.
            if nix::unistd::getppid() == parent { Ok(()) } else { Err(io::Error::from_raw_os_error(nix::libc::ESRCH)) }
        });
    }
}

#[cfg(not(target_os = "linux"))]
fn die_with_this_process(_: &mut Command) {}
