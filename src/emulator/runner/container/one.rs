//! A container from its image to its removal.

use std::io::{self, PipeReader};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::Child;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::args::{self, Frame};
use super::end::{self, Over, State};
use super::memory::Watch;
use super::{Quit, Shared};
use crate::emulator::batch::clock::now_ms;
use crate::emulator::batch::model::{ContainerEnd, TaskContainer};
use crate::emulator::logs::{GROUP, LogWriter};
use crate::emulator::runner::output::{lost, push};

/// Where podman writes the process id, in the container's folder.
const PIDFILE: &str = "pid";
/// What podman's monitor leaves in the folder it was called in, when the kernel has killed for want of memory. podman
/// itself looks for it elsewhere.
const OOM_NOTE: &str = "oom";
/// How often to look whether it has begun: a look costs next to nothing, and a start some hundred milliseconds.
const LOOK: Duration = Duration::from_millis(25);
/// How often a signal is sent to what cannot take it yet.
const AGAIN: Duration = Duration::from_millis(100);
/// How long a client may outlive the SIGKILL of its container.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is kept of output to find the engine's own complaint in.
const TAIL: usize = 8 * 1024;
/// The most that a pipe holds: what can be left in it when the client is dead.
const PIPE_MAX: usize = 1024 * 1024;

/// A container that is to run.
pub(super) struct One<'a> {
    pub(super) shared: &'a Shared,
    pub(super) container: &'a TaskContainer,
    /// Its name at the engine.
    pub(super) name: String,
    /// What the names of its task's volumes begin with.
    pub(super) volumes: &'a str,
    pub(super) quit: watch::Receiver<Quit>,
}

/// The engine's `run`, and what came of it so far.
struct Client {
    process: Child,
    output: Output,
    watch: Option<Watch>,
    began: bool,
    signalling: Option<AbortHandle>,
}

impl One<'_> {
    /// Runs it to its end; nothing of it is left then. `began` is called once its command runs, and never of one that
    /// does not.
    pub(super) async fn run(mut self, mut began: impl FnMut()) -> ContainerEnd {
        let image = self.container.image.clone().unwrap_or_default();
        if !image.is_empty() {
            let images = &self.shared.images;
            let pulled = tokio::select! {
                pulled = images.ensure(&self.shared.cli, &image) => pulled,
                () = told_to_quit(&mut self.quit) => Ok(()),
            };
            if let Err(why) = pulled {
                return end::unpulled(&why);
            }
        }
        let folder = self.shared.config.scratch.join(&self.name);
        let client = match self.begin(&folder) {
            Ok(client) => client,
            Err(why) => return end::never(&why),
        };
        let ended = self.follow(client, &folder, &mut began).await;
        let _ = std::fs::remove_dir_all(&folder);
        if !ended.ran {
            self.shared.images.doubt(&image);
        }
        ended
    }

    /// Starts the engine's `run` in a folder of its own.
    fn begin(&self, folder: &Path) -> Result<Client, String> {
        let shared = self.shared;
        let pidfile = folder.join(PIDFILE);
        let frame = Frame {
            engine: shared.cli.engine,
            name: &self.name,
            labels: &shared.labels,
            pidfile: Some(&pidfile),
            environment: &shared.config.environment,
            cores: shared.cores,
            volumes: self.volumes,
        };
        let args = args::run(&frame, self.container)?;
        shared.guarded()?;
        if *self.quit.borrow() != Quit::Not {
            return Err("the job was stopped before its command began".to_owned());
        }
        std::fs::create_dir_all(folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        let broken = |error: io::Error| format!("cannot run {}: {error}", shared.cli.engine.program());
        let (output, writer) = io::pipe().map_err(broken)?;
        let mut command = shared.cli.command();
        // The container's monitor may leave a file where it is called: nowhere else than here.
        command.current_dir(folder);
        command.args(args).stdout(writer.try_clone().map_err(broken)?).stderr(writer).kill_on_drop(true);
        let process = command.spawn().map_err(broken)?;
        let output = Output::of(output).map_err(broken)?;
        Ok(Client { process, output, watch: None, began: false, signalling: None })
    }

    async fn follow(&mut self, mut client: Client, folder: &Path, began: &mut impl FnMut()) -> ContainerEnd {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let patience = tokio::time::sleep(PATIENCE);
        tokio::pin!(patience);
        let mut killed = false;
        let status = loop {
            tokio::select! {
                status = client.process.wait() => break status,
                () = client.output.copy() => {}
                _ = look.tick(), if !client.began => {
                    if let Some(pid) = self.shared.cli.pid(&self.name, &folder.join(PIDFILE)).await {
                        client.watch = Watch::begin(pid);
                        self.open(&mut client, began);
                        self.signal(&mut client);
                    }
                }
                Ok(()) = self.quit.changed() => {
                    self.signal(&mut client);
                    if *self.quit.borrow() == Quit::Kill {
                        killed = true;
                        let wait = if client.began { PATIENCE } else { Duration::ZERO };
                        patience.as_mut().reset(tokio::time::Instant::now() + wait);
                    }
                }
                // It may hang where no signal reaches its container; the removal finds what there is.
                () = &mut patience, if killed => {
                    killed = false;
                    let _ = client.process.start_kill();
                }
            }
        };
        if let Some(signalling) = client.signalling.take() {
            signalling.abort();
        }
        client.output.drain();
        self.close(client, status, folder, began).await
    }

    /// The container is over, or its client is: finds out how, and removes it.
    async fn close(
        &self,
        mut client: Client,
        status: io::Result<ExitStatus>,
        folder: &Path,
        began: &mut impl FnMut(),
    ) -> ContainerEnd {
        let cli = &self.shared.cli;
        let code = status.ok().and_then(|status| status.code());
        let state = match code {
            Some(0) => None,
            _ => cli.inspect(&self.name).await.as_deref().and_then(State::parse),
        };
        cli.remove(&self.name).await;
        let out_of_memory = folder.join(OOM_NOTE).exists()
            || match client.watch.take() {
                Some(watch) if code != Some(0) => watch.struck().await,
                _ => false,
            };
        let over = Over { client: code, state, printed: &client.output.tail, out_of_memory, quit: *self.quit.borrow() };
        let ended = over.judge();
        if ended.ran && !client.began {
            // It was over before the first look.
            self.open(&mut client, began);
        }
        client.output.finish();
        ended
    }

    /// Its command runs: from here on what is printed is its own.
    fn open(&self, client: &mut Client, began: &mut impl FnMut()) {
        client.began = true;
        match self.shared.host.logs.writer(GROUP, &self.container.log_stream) {
            Ok(log) => client.output.open(log),
            Err(error) => lost(&error),
        }
        began();
    }

    /// Passes a stop on to one that has begun.
    fn signal(&self, client: &mut Client) {
        let signal = match *self.quit.borrow() {
            Quit::Not => return,
            Quit::Term => "TERM",
            Quit::Kill => "KILL",
        };
        if !client.began {
            return;
        }
        if let Some(earlier) = client.signalling.take() {
            earlier.abort();
        }
        let (cli, name) = (self.shared.cli.clone(), self.name.clone());
        let sending = tokio::spawn(async move {
            // Between being there and running it takes no signal; when it is over, this is aborted.
            while let Err(error) = cli.kill(&name, signal).await {
                tracing::debug!(name, signal, error, "a container does not take a signal yet");
                tokio::time::sleep(AGAIN).await;
            }
        });
        client.signalling = Some(sending.abort_handle());
    }
}

/// Returns when there is a word to stop.
pub(super) async fn told_to_quit(quit: &mut watch::Receiver<Quit>) {
    if quit.wait_for(|quit| *quit != Quit::Not).await.is_err() {
        // Nobody is left who could say so.
        std::future::pending().await
    }
}

/// What a client prints: kept back until it is known to be the container's.
struct Output {
    pipe: Option<pipe::Receiver>,
    buffer: Vec<u8>,
    /// Before the log is there: all of it, up to a limit. Later its end.
    tail: Vec<u8>,
    log: Option<LogWriter>,
    healthy: bool,
}

impl Output {
    fn of(pipe: PipeReader) -> io::Result<Output> {
        let pipe = pipe::Receiver::from_owned_fd(OwnedFd::from(pipe))?;
        Ok(Output { pipe: Some(pipe), buffer: vec![0; 64 * 1024], tail: Vec::new(), log: None, healthy: true })
    }

    /// Copies what comes next; never returns when there is nothing more.
    async fn copy(&mut self) {
        let Some(pipe) = &mut self.pipe else { return std::future::pending().await };
        match pipe.read(&mut self.buffer).await {
            Ok(0) | Err(_) => self.pipe = None,
            Ok(length) => self.take(length),
        }
    }

    /// Copies what is left when the client is dead.
    fn drain(&mut self) {
        let mut left = PIPE_MAX;
        // Asked of the kernel: tokio's own `try_read` knows only what its last poll has seen.
        while let Some(Ok(length @ 1..)) = self.pipe.as_ref().map(|pipe| nix::unistd::read(pipe, &mut self.buffer)) {
            self.take(length);
            left = left.saturating_sub(length);
            if left == 0 {
                break;
            }
        }
    }

    fn take(&mut self, length: usize) {
        let Output { buffer, tail, log, healthy, .. } = self;
        let bytes = &buffer[..length];
        match log {
            Some(log) => push(log, bytes, healthy),
            None => {
                tail.extend_from_slice(bytes);
                // A container that prints so much has begun, and is about to be found out.
                let surplus = tail.len().saturating_sub(PIPE_MAX);
                tail.drain(..surplus);
            }
        }
    }

    fn open(&mut self, mut log: LogWriter) {
        push(&mut log, &self.tail, &mut self.healthy);
        self.tail.drain(..self.tail.len().saturating_sub(TAIL));
        self.log = Some(log);
    }

    fn finish(mut self) {
        if let Some(Err(error)) = self.log.as_mut().map(|log| log.finish(now_ms())) {
            lost(&error);
        }
    }
}
