//! The engine's command line: each call is a process of its own, and none is left when the endpoint is gone.

use std::io;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::emulator::runner::guardian::MARKER;

/// The longest that a call which downloads nothing may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The label of whoever runs a container; its value is the endpoint's own.
pub(super) const SESSION: &str = "batchmap.session";
/// The label of the directory of state that its endpoint works in.
pub(super) const HOME: &str = "batchmap.home";

/// What runs containers: a program that is called by this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Containers without a service.
    Podman,
    /// Containers of the Docker service.
    Docker,
}

impl Engine {
    /// The program's name, found on the search path.
    pub const fn program(self) -> &'static str {
        match self {
            Engine::Podman => "podman",
            Engine::Docker => "docker",
        }
    }

    /// The engine of that name.
    pub fn named(name: &str) -> Option<Engine> {
        [Engine::Podman, Engine::Docker].into_iter().find(|engine| engine.program() == name)
    }

    fn command(self) -> Command {
        let mut command = Command::new(self.program());
        command.stdin(Stdio::null());
        command
    }

    /// `rm` with its flags: at once, and with the volumes that nobody named.
    fn removal(self) -> &'static [&'static str] {
        match self {
            // Otherwise it is asked nicely first, for ten seconds.
            Engine::Podman => &["rm", "--force", "--volumes", "--time=0"],
            Engine::Docker => &["rm", "--force", "--volumes"],
        }
    }

    /// Waits for an answer.
    fn ask(self, args: &[&str]) -> io::Result<String> {
        let program = self.program();
        let output = self.command().args(args).output().map_err(|error| {
            io::Error::new(error.kind(), format!("cannot run {program}: {error}; install it, or use another --runner"))
        })?;
        told(&output).map_err(|why| io::Error::other(format!("{program} {}: {why}", args[0])))
    }

    /// Finds out whether the engine can be used.
    ///
    /// # Errors
    /// Its program is not there, or its service does not answer.
    pub fn check(self) -> io::Result<()> {
        self.ask(&["version"]).map(drop)
    }

    /// Removes containers and volumes with this label; how many there were.
    ///
    /// # Errors
    /// The program cannot be run, or does not do so.
    pub(super) fn sweep(self, label: &str) -> io::Result<usize> {
        let filter = format!("label={label}");
        let containers = self.ask(&["ps", "--all", "--quiet", "--filter", &filter])?;
        let containers: Vec<&str> = containers.lines().collect();
        if !containers.is_empty() {
            self.ask(&[self.removal(), &containers[..]].concat())?;
        }
        let volumes = self.ask(&["volume", "ls", "--quiet", "--filter", &filter])?;
        let volumes: Vec<&str> = volumes.lines().collect();
        if !volumes.is_empty() {
            self.ask(&[&["volume", "rm", "--force"], &volumes[..]].concat())?;
        }
        Ok(containers.len() + volumes.len())
    }

    /// What the guardian does when the endpoint is gone: sweeps until nothing comes any more.
    pub(in crate::emulator::runner) fn clear(self, session: &str) {
        let label = format!("{SESSION}={session}");
        let mut clear = 0;
        for _ in 0..20 {
            match self.sweep(&label) {
                Ok(0) => clear += 1,
                // One that was being made may be there in a moment.
                _ => clear = 0,
            }
            if clear == 2 {
                return;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// The engine as an endpoint calls it.
#[derive(Clone, Debug)]
pub(super) struct Cli {
    pub(super) engine: Engine,
    /// What its processes carry as their [`MARKER`].
    pub(super) mark: String,
}

impl Cli {
    pub(super) fn command(&self) -> tokio::process::Command {
        let mut command = self.engine.command();
        command.env(MARKER, &self.mark);
        // A Ctrl-C in the endpoint's terminal is the endpoint's: it ends its containers itself.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        tokio::process::Command::from(command)
    }

    /// A call that is over soon, or is given up: a service that does not answer must not keep the endpoint from its end.
    async fn soon(&self, args: &[&str]) -> Result<String, String> {
        let answer = tokio::time::timeout(PATIENCE, self.call(args)).await;
        answer
            .unwrap_or_else(|_| Err(format!("{} {} has not answered in {PATIENCE:?}", self.engine.program(), args[0])))
    }

    /// What a call prints, or what it says is wrong.
    async fn call(&self, args: &[&str]) -> Result<String, String> {
        // Who does not wait any more wants no answer either.
        let output = self.command().args(args).kill_on_drop(true).output().await;
        told(&output.map_err(|error| format!("cannot run {}: {error}", self.engine.program()))?)
    }

    pub(super) async fn has_image(&self, image: &str) -> bool {
        self.soon(&["image", "inspect", "--format", "{{.Id}}", image]).await.is_ok()
    }

    pub(super) async fn pull(&self, image: &str) -> Result<(), String> {
        self.call(&["pull", "--quiet", image]).await.map(drop)
    }

    pub(super) async fn make_volume(&self, name: &str, labels: &[String]) -> Result<(), String> {
        let labels: Vec<String> = labels.iter().map(|label| format!("--label={label}")).collect();
        let mut args = vec!["volume", "create"];
        args.extend(labels.iter().map(String::as_str));
        args.push(name);
        self.soon(&args).await.map(drop)
    }

    pub(super) async fn remove_volumes(&self, names: &[String]) {
        let mut args = vec!["volume", "rm", "--force"];
        args.extend(names.iter().map(String::as_str));
        if let Err(error) = self.soon(&args).await {
            tracing::warn!(error, "a volume of a child is left until the endpoint ends");
        }
    }

    pub(super) async fn kill(&self, name: &str, signal: &str) -> Result<(), String> {
        self.soon(&["kill", "--signal", signal, name]).await.map(drop)
    }

    /// The process id of its first process; none before it has begun.
    pub(super) async fn pid(&self, name: &str, pidfile: &Path) -> Option<u32> {
        let told = match self.engine {
            Engine::Podman => std::fs::read_to_string(pidfile).ok()?,
            Engine::Docker => {
                self.soon(&["inspect", "--type=container", "--format", "{{.State.Pid}}", name]).await.ok()?
            }
        };
        told.trim().parse().ok().filter(|pid| *pid > 0)
    }

    /// What [`super::end::FORMAT`] asks for; none of a container that is not there.
    pub(super) async fn inspect(&self, name: &str) -> Option<String> {
        self.soon(&["inspect", "--type=container", "--format", super::end::FORMAT, name]).await.ok()
    }

    /// Ends a container, if it still runs, and removes what is left of it.
    pub(super) async fn remove(&self, name: &str) {
        let mut why = String::new();
        for _ in 0..3 {
            match self.soon(&[self.engine.removal(), &[name]].concat()).await {
                Ok(_) => return,
                Err(error) if error.to_ascii_lowercase().contains("no such container") => return,
                Err(error) => why = error,
            }
        }
        tracing::warn!(container = name, why, "what is left of a child is removed when the endpoint ends");
    }
}

fn told(output: &Output) -> Result<String, String> {
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(super::end::complaint(&output.stderr)),
    }
}
