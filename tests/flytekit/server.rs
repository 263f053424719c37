//! `batchmap serve --local` in a folder of its own, and flytekit's commands against it.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::skip;

/// `WorkflowExecution.Phase`.
pub const SUCCEEDED: i32 = 4;
/// `WorkflowExecution.Phase`.
pub const FAILED: i32 = 6;
/// `WorkflowExecution.Phase`.
pub const ABORTED: i32 = 7;

/// How long the server may take to begin and to end, on a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server, and the folder that it and its clients work in.
pub struct Server {
    // The processes end first, and the folder goes last.
    running: Mutex<Running>,
    /// The endpoint of its own process that it works on, where there is one.
    emulator: Option<Running>,
    folder: TempDir,
    python: PathBuf,
    /// What the server is started with.
    more: Vec<String>,
}

struct Running {
    process: Child,
    address: String,
}

/// What a finished client left.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// The Python that has flytekit, or why the test is skipped.
fn python() -> Option<PathBuf> {
    let Some(python) = std::env::var_os("BATCHMAP_TEST_FLYTEKIT").map(PathBuf::from) else {
        skip::skipped("BATCHMAP_TEST_FLYTEKIT names no Python with flytekit");
        return None;
    };
    let found = Command::new(&python).args(["-c", "import flytekit"]).stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        skip::skipped("the Python of BATCHMAP_TEST_FLYTEKIT has no flytekit");
        return None;
    }
    Some(python)
}

impl Server {
    /// A server that the tests which run now share; nothing where there is no flytekit.
    pub fn shared() -> Option<Arc<Server>> {
        static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return Some(server);
        }
        let server = Arc::new(Server::own()?);
        *shared = Arc::downgrade(&server);
        Some(server)
    }

    /// A server for one test.
    pub fn own() -> Option<Server> {
        Server::with::<&str>(&[])
    }

    /// A server for one test, with more arguments.
    pub fn with<S: AsRef<str>>(more: &[S]) -> Option<Server> {
        let python = python()?;
        let folder = TempDir::new().unwrap();
        let running = Mutex::new(start(&python, folder.path(), "127.0.0.1:0", &local(more)));
        Some(Server { python, folder, emulator: None, more: local(more), running })
    }

    /// A server for one test, on an emulator that is a process of its own and whose children only take time.
    pub fn on_an_emulator(simulate: &[&str]) -> Option<Server> {
        let python = python()?;
        let folder = TempDir::new().unwrap();
        let mut args = vec!["emulator", "--listen", "127.0.0.1:0", "--data", "emulator", "--runner", "none"];
        simulate.iter().for_each(|setting| args.extend(["--simulate", setting]));
        let emulator = batchmap(&python, folder.path(), &args);
        let more = vec!["--endpoint".to_owned(), emulator.address.clone()];
        let running = Mutex::new(start(&python, folder.path(), "127.0.0.1:0", &more));
        Some(Server { python, folder, emulator: Some(emulator), more, running })
    }

    /// Kills the server as `kill -9` does, and starts it again at the same place.
    pub fn kill_and_restart(&self) {
        let mut running = self.running();
        running.process.kill().unwrap();
        running.process.wait().unwrap();
        let address = running.address.clone();
        *running = start(&self.python, self.folder.path(), &address, &self.more);
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A path in the server's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A new folder in which tasks leave traces.
    pub fn traces(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir(&path).unwrap();
        path
    }

    /// Runs a client of `tests/flytekit/clients`.
    pub fn client<A: AsRef<OsStr>>(&self, script: &str, args: &[A]) -> Ran {
        Ran::of(self.client_command(script).args(args).output().unwrap())
    }

    /// Starts a client and leaves it running.
    pub fn spawn_client<A: AsRef<OsStr>>(&self, script: &str, args: &[A]) -> Child {
        self.client_command(script).args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// A batchmap command in the server's folder.
    pub fn batchmap(&self, args: &[&str]) -> Ran {
        let mut command = clean(Path::new(env!("CARGO_BIN_EXE_batchmap")), &self.python);
        Ran::of(command.args(args).current_dir(self.folder.path()).output().unwrap())
    }

    pub fn client_command(&self, script: &str) -> Command {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/flytekit/clients").join(script);
        let mut command = self.command(&self.python);
        command.arg(path);
        command
    }

    /// `pyflyte`, in the folder of the workflows.
    pub fn pyflyte<A: AsRef<OsStr>>(&self, args: &[A]) -> Command {
        let mut command = self.command(&self.python.with_file_name("pyflyte"));
        command.args(args).current_dir(workflows());
        command
    }

    fn command(&self, program: &Path) -> Command {
        let url = match &self.emulator {
            Some(emulator) => emulator.address.clone(),
            None => {
                let record = std::fs::read_to_string(self.path(".batchmap/endpoint.json")).unwrap();
                let record: Value = serde_json::from_str(&record).unwrap();
                record["url"].as_str().unwrap().to_owned()
            }
        };
        let mut command = clean(program, &self.python);
        command
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .env("FLYTE_PLATFORM_URL", &self.running().address)
            .env("FLYTE_PLATFORM_INSECURE", "true")
            .env("BATCH_URL", &url)
            .env("WORKFLOWS", workflows())
            .env("WORKING", self.folder.path())
            // Files of the store, which clients read by themselves.
            .envs([
                ("FLYTE_AWS_ENDPOINT", url.as_str()),
                ("FLYTE_AWS_ACCESS_KEY_ID", "any"),
                ("FLYTE_AWS_SECRET_ACCESS_KEY", "any"),
            ]);
        command
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.process.try_wait().map_or(true, |ended| ended.is_some()) {
            return;
        }
        let _ = kill(Pid::from_raw(self.process.id().cast_signed()), Signal::SIGTERM);
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.process.try_wait().map_or(true, |ended| ended.is_some()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The arguments of a server that brings its own endpoint.
fn local<S: AsRef<str>>(more: &[S]) -> Vec<String> {
    std::iter::once("--local".to_owned()).chain(more.iter().map(|it| it.as_ref().to_owned())).collect()
}

/// A server, with these arguments.
fn start(python: &Path, folder: &Path, listen: &str, more: &[String]) -> Running {
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    batchmap(python, folder, &[&["serve", "--listen", listen], &more[..]].concat())
}

/// A process of batchmap that prints its address once it serves.
fn batchmap(python: &Path, folder: &Path, args: &[&str]) -> Running {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("server.log")).unwrap();
    let mut process = clean(Path::new(env!("CARGO_BIN_EXE_batchmap")), python)
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().to_owned();
    if address.is_empty() {
        let _ = process.wait();
        panic!("{args:?} did not begin: {}", std::fs::read_to_string(folder.join("server.log")).unwrap_or_default());
    }
    Running { process, address }
}

/// A command without the caller's configuration, whose children find flytekit's commands.
fn clean(program: &Path, python: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        // What IAM would be asked is recorded of every process there is.
        let ours = ["AWS_", "BATCHMAP_", "FLYTE", "_FLYTE"].iter().any(|prefix| name.starts_with(prefix));
        if ours && name != "BATCHMAP_RECORD" {
            command.env_remove(name);
        }
    }
    let bin = python.parent().map(Path::to_owned).unwrap_or_default();
    let mut paths = vec![bin];
    paths.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    command.env("PATH", std::env::join_paths(paths).unwrap());
    command
}

fn workflows() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/flytekit/workflows")
}

impl Ran {
    pub fn of(output: Output) -> Self {
        Ran {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Asserts the exit code, showing what was said.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\n--- stdout\n{}\n--- stderr\n{}", self.out, self.err);
        self
    }

    /// The last line of standard output as JSON; the client must have ended well.
    #[track_caller]
    pub fn json(self) -> Value {
        let ran = self.exits(0);
        let last = ran.out.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {}\n{}", ran.out, ran.err))
    }
}
