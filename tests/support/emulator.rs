//! `batchmap emulator` as a process of its own, on a free loopback port and over a directory of its own.

// Each test binary uses its own part of it.
#![allow(dead_code)]

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The bucket, queue and compute environment that the emulator starts with.
pub const NAME: &str = "batchmap";

/// A running emulator; ended (SIGTERM, then waited for) when dropped.
pub struct Emulator {
    process: Option<Child>,
    url: String,
    data: PathBuf,
    /// Removed with the handle, when the directory is the handle's own.
    _own: Option<tempfile::TempDir>,
}

/// How to start one.
#[derive(Default)]
pub struct Setting {
    args: Vec<String>,
    env: Vec<(String, String)>,
    data: Option<PathBuf>,
    listen: Option<SocketAddr>,
}

impl Setting {
    /// More arguments of `batchmap emulator`.
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// A variable of its environment.
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// A directory of state that outlives the handle, to start over with what another left.
    pub fn data(mut self, directory: &Path) -> Self {
        self.data = Some(directory.to_owned());
        self
    }

    /// The address of one that has ended, to stand in its place; a free port otherwise.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = Some(address);
        self
    }

    /// The command, for a test that adds to it what no setting says. Its standard error goes to `emulator.log` in the
    /// directory above its state.
    pub fn command(&self, data: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_batchmap"));
        let listen = self.listen.unwrap_or_else(|| ([127, 0, 0, 1], 0).into()).to_string();
        command.args(["emulator", "--listen", &listen, "--data"]).arg(data).args(&self.args);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        let log = File::create(data.with_file_name("emulator.log")).expect("a file for the log");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        command
    }

    /// Starts it and waits until it serves.
    pub fn start(self) -> Emulator {
        let own = self.data.is_none().then(|| tempfile::tempdir().expect("a temporary directory"));
        let data = match (&own, &self.data) {
            (Some(own), _) => own.path().join("data"),
            (None, given) => given.clone().expect("one of the two"),
        };
        let process = self.command(&data).spawn().expect("the emulator starts");
        Emulator::await_url(process, data, own)
    }
}

impl Emulator {
    /// Starts one with nothing set.
    pub fn start() -> Emulator {
        Setting::default().start()
    }

    /// Takes charge of a process from [`Setting::command`].
    pub fn of(process: Child, data: &Path) -> Emulator {
        Emulator::await_url(process, data.to_owned(), None)
    }

    fn await_url(mut process: Child, data: PathBuf, own: Option<tempfile::TempDir>) -> Emulator {
        let mut url = String::new();
        // It prints its URL when it serves; a process that ends instead closes the pipe.
        BufReader::new(process.stdout.take().expect("piped")).read_line(&mut url).expect("a line");
        let emulator = Emulator { process: Some(process), url: url.trim().to_owned(), data, _own: own };
        assert!(emulator.url.starts_with("http://"), "the emulator does not serve: {}", emulator.log());
        emulator
    }

    /// `http://127.0.0.1:<port>`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its address.
    pub fn addr(&self) -> SocketAddr {
        self.url.trim_start_matches("http://").parse().expect("an address")
    }

    /// Its directory of state.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// What it has written to standard error.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.data.with_file_name("emulator.log")).unwrap_or_default()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        if let Some(process) = &self.process {
            kill(Pid::from_raw(process.id() as i32), signal).expect("the process is ours");
        }
    }

    /// Sends it a signal and waits for its end.
    pub fn end(mut self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        self.process.take().expect("not ended before").wait().expect("its status")
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| matches!(process.try_wait(), Ok(None)))
    }

    /// The environment of an AWS client that is to use it: nothing of this machine's settings.
    pub fn client(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AWS_")) {
            command.env_remove(name);
        }
        command
            .env("AWS_ENDPOINT_URL", &self.url)
            .env("AWS_REGION", "us-east-1")
            .env("AWS_DEFAULT_REGION", "us-east-1");
        command.env("AWS_ACCESS_KEY_ID", "any").env("AWS_SECRET_ACCESS_KEY", "thing");
        command.env("AWS_EC2_METADATA_DISABLED", "true").env("AWS_PAGER", "").env("AWS_MAX_ATTEMPTS", "1");
        command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
        command.stdin(Stdio::null());
        command
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = kill(Pid::from_raw(process.id() as i32), Signal::SIGTERM);
            let _ = process.wait();
        }
    }
}

/// The Python that has boto3: what `BATCHMAP_TEST_PYTHON` names, else `python3`; `None` when it has not.
pub fn python() -> Option<PathBuf> {
    let python = PathBuf::from(std::env::var_os("BATCHMAP_TEST_PYTHON").unwrap_or_else(|| "python3".into()));
    let found = Command::new(&python).args(["-c", "import boto3"]).stderr(Stdio::null()).status();
    found.is_ok_and(|status| status.success()).then_some(python)
}

/// The aws CLI: beside the Python of `BATCHMAP_TEST_PYTHON`, else on the path; `None` when there is none.
pub fn aws_cli() -> Option<PathBuf> {
    let beside = std::env::var_os("BATCHMAP_TEST_PYTHON").map(|python| Path::new(&python).with_file_name("aws"));
    let found = |aws: &PathBuf| {
        let version = Command::new(aws).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        version.is_ok_and(|status| status.success())
    };
    beside.into_iter().chain([PathBuf::from("aws")]).find(found)
}

/// What a command that must succeed has printed.
pub fn succeeds(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{command:?}: {}", told(&output));
    String::from_utf8(output.stdout).expect("text")
}

/// What a command that must fail has said.
pub fn fails(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    assert!(!output.status.success(), "{command:?} succeeded: {}", told(&output));
    told(&output)
}

fn told(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
