//! A folder to run the binary in.
//!
//! With the URL of another S3 in `BATCHMAP_TEST_PAIR_S3` and a bucket of it in `BATCHMAP_TEST_PAIR_BUCKET`, nothing runs on
//! the embedded endpoint: every folder gets a `batchmap emulator` for its jobs, and that S3 holds its objects.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

/// A temporary folder; every command runs in it, with nothing of the caller's configuration.
pub struct Place {
    /// Ended before its folder goes.
    pair: Option<Pair>,
    folder: TempDir,
}

/// An emulator for jobs whose objects are elsewhere.
struct Pair {
    emulator: Child,
    environment: [(&'static str, String); 4],
}

impl Pair {
    /// The pair that the environment asks for.
    fn asked(folder: &Path) -> Option<Pair> {
        let s3 = std::env::var("BATCHMAP_TEST_PAIR_S3").ok().filter(|url| !url.is_empty())?;
        let bucket = std::env::var("BATCHMAP_TEST_PAIR_BUCKET").expect("BATCHMAP_TEST_PAIR_BUCKET names a bucket");
        let prefix = folder.file_name().unwrap().to_str().unwrap().trim_start_matches('.').to_owned();
        let settings = [("region", "us-east-1"), ("bucket", &bucket), ("prefix", &prefix), ("queue", "batchmap")];
        let lines = settings.iter().chain(&[("interruptible_queue", "batchmap-interruptible"), ("image", "none")]);
        let text: String = lines.map(|(name, value)| format!("{name} = \"{value}\"\n")).collect();
        std::fs::write(folder.join("batchmap.toml"), text).unwrap();

        let usual = ["emulator", "--listen", "127.0.0.1:0", "--data", ".pair", "--slots", "16", "--s3-endpoint", &s3];
        let mut emulator = bare(folder, usual).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(emulator.stdout.take().unwrap()).read_line(&mut url).unwrap();
        let environment = [
            ("AWS_ENDPOINT_URL", url.trim().to_owned()),
            ("AWS_ENDPOINT_URL_S3", s3),
            ("AWS_ACCESS_KEY_ID", "any".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "any".to_owned()),
        ];
        Some(Pair { emulator, environment })
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.emulator.id() as i32), Signal::SIGTERM);
        let _ = self.emulator.wait();
    }
}

/// Longer than any command of a test takes on any machine.
const EVER: Duration = Duration::from_secs(900);

/// Runs a command to its end. One that serves where it ought to refuse would keep the tests for ever: it is killed.
fn finished(mut command: Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_raw(child.id() as i32);
    let (ended, watched) = mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        if watched.recv_timeout(EVER) == Err(mpsc::RecvTimeoutError::Timeout) {
            let _ = kill(pid, Signal::SIGKILL);
        }
    });
    let output = child.wait_with_output().unwrap();
    drop(ended);
    watch.join().unwrap();
    output
}

/// The binary in a folder, with nothing of the caller's configuration.
fn bare<A: AsRef<OsStr>>(folder: &Path, args: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_batchmap"));
    command.args(args).current_dir(folder).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        // What IAM would be asked is recorded of every process there is.
        if name.starts_with("AWS_") || name.starts_with("BATCHMAP_") && name != "BATCHMAP_RECORD" {
            command.env_remove(name);
        }
    }
    command
}

/// What a finished command left.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Place {
    pub fn new() -> Self {
        let folder = TempDir::new().unwrap();
        Place { pair: Pair::asked(folder.path()), folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub fn command<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = bare(self.folder.path(), args);
        command.envs(self.pair.iter().flat_map(|pair| pair.environment.iter().map(|(name, value)| (name, value))));
        command
    }

    pub fn run<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Ran {
        Ran::of(finished(self.command(args)))
    }

    /// Runs with `input` on standard input.
    pub fn run_with<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>, input: &[u8]) -> Ran {
        let mut child =
            self.command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writer = std::thread::spawn(move || {
            // A command that refuses its arguments does not read: that is its right.
            let _ = stdin.write_all(&input);
        });
        let ran = Ran::of(child.wait_with_output().unwrap());
        writer.join().unwrap();
        ran
    }

    /// Starts a command and leaves it running.
    pub fn spawn<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Child {
        self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Makes a FIFO: children that hold it open for writing keep its reader from the end.
    pub fn fifo(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        let made = Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        path
    }

    /// The ids of the executions there are, the newest first.
    pub fn ids(&self) -> Vec<String> {
        let listed = self.run(["list", "--format", "json"]);
        assert_eq!(listed.code, 0, "{}", listed.err);
        listed
            .out
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned())
            .collect()
    }
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

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {:?}\n{}", self.out, self.err))
    }

    /// Asserts that standard error says every one of `words`.
    #[track_caller]
    pub fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.err.contains(word), "{word:?} is not said:\n{}", self.err);
        }
        self
    }

    /// The counts that `--stats` printed.
    #[track_caller]
    pub fn stats(&self) -> Value {
        let line = self.err.lines().find(|line| line.starts_with("{\"requests\"")).expect("--stats was given");
        serde_json::from_str(line).unwrap()
    }
}

/// The repository's examples, copied: what runs writes nothing into the repository.
pub fn copy_examples(place: &Place) {
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples"), &place.path("examples"));
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
