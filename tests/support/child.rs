//! A staged execution in a bucket that is a directory, and worker processes that run its children.
//!
//! The worker runs in a process of its own, so that its exit code, its output and the signals to it are real: the test
//! binary starts itself again, as the ignored test `worker_process`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use batchmap::aws::memory::MemoryStore;
use batchmap::aws::store::Store;
use batchmap::idl::core::{ContainerError, ErrorDocument, Literal, LiteralMap, TypedInterface, Variable, VariableMap};
use batchmap::idl::json::{literal_from_json, literal_to_json};
use batchmap::idl::record::{Policy, TaskRecord};
use batchmap::idl::types::{infer, parse_type};
use batchmap::map::index::OriginalIndex;
use batchmap::map::layout::{self, Place, RECORD_VERSION, Root};
use batchmap::map::pack::{PackBuilder, Pushed};
use batchmap::worker::{self, WorkerArgs};
use bytes::Bytes;
use prost::Message;
use serde_json::{Value, json};

/// Printed by the worker process before the worker begins: what comes before is the test harness's.
const MARKER: &str = "-- the worker begins --";
const BUCKETS: &str = "TEST_BUCKETS";
const COMMAND: &str = "command.json";

/// What a test stages. Elements and bound values are JSON; the mapped inputs' names are sorted.
pub struct Staged {
    pub record: TaskRecord,
    pub objects: BTreeMap<String, Bytes>,
    pub environment: BTreeMap<String, String>,
    folder: tempfile::TempDir,
}

pub fn root() -> Root {
    Root::new("p", "e1")
}

pub fn literal(value: &Value) -> Literal {
    literal_from_json(value, &infer(value)).unwrap()
}

impl Staged {
    /// Ten subtasks from original index 0 in packs of `per_pack`, mapping `x` over `values`.
    pub fn new(values: &[Value]) -> Self {
        let elements: Vec<Vec<Literal>> = values.iter().map(|value| vec![literal(value)]).collect();
        Staged::packed(&["x"], &elements, &BTreeMap::new(), usize::MAX)
    }

    /// Maps `x` over `values` and binds `bound`.
    pub fn with_bound(values: &[Value], bound: &Value) -> Self {
        let bound = bound.as_object().unwrap().iter().map(|(name, value)| (name.clone(), literal(value))).collect();
        let elements: Vec<Vec<Literal>> = values.iter().map(|value| vec![literal(value)]).collect();
        Staged::packed(&["x"], &elements, &bound, usize::MAX)
    }

    pub fn packed(
        mapped: &[&str],
        elements: &[Vec<Literal>],
        bound: &BTreeMap<String, Literal>,
        per_pack: usize,
    ) -> Self {
        let mapped: Vec<String> = mapped.iter().map(|name| (*name).to_owned()).collect();
        let mut builder = PackBuilder::new(bound, &mapped).unwrap();
        let (mut objects, mut pack_starts, mut start) = (BTreeMap::new(), Vec::new(), 0);
        for chunk in elements.chunks(per_pack.min(elements.len())) {
            for element in chunk {
                assert_eq!(builder.try_push(element), Ok(Pushed::Added));
            }
            let (number, pack) = (pack_starts.len() as u32, builder.finish().unwrap());
            objects.insert(root().pack(number), pack.body);
            objects.insert(root().pack_index(number), pack.index);
            pack_starts.push(start);
            start += chunk.len() as u64;
        }
        let record = TaskRecord {
            version: RECORD_VERSION,
            name: "task".to_owned(),
            mapped: mapped.clone(),
            size: elements.len() as u64,
            pack_starts,
            ..TaskRecord::default()
        };
        let environment = [
            ("PATH", std::env::var("PATH").unwrap()),
            (layout::ENV_EXECUTION, root().url("bucket")),
            (layout::ENV_ARRAY, "0".to_owned()),
            (layout::ENV_PLACE, Place::Range { pack: 0, position: 0, first: OriginalIndex(0) }.to_string()),
            (layout::ENV_WIDTH, layout::index_width(mapped.len()).to_string()),
            ("AWS_BATCH_JOB_ATTEMPT", "1".to_owned()),
            ("AWS_BATCH_JOB_ID", "job:0".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        Staged { record, objects, environment, folder: tempfile::tempdir().unwrap() }
    }

    pub fn outputs(mut self, outputs: &[(&str, &str)]) -> Self {
        let variable = |(name, text): &(&str, &str)| {
            let variable = Variable { r#type: Some(parse_type(text).unwrap()), ..Variable::default() };
            ((*name).to_owned(), variable)
        };
        let variables = outputs.iter().map(variable).collect();
        self.record.interface = Some(TypedInterface { inputs: None, outputs: Some(VariableMap { variables }) });
        self
    }

    pub fn timeout_ms(mut self, timeout_ms: u64) -> Self {
        self.record.policy = Some(Policy { timeout_ms, ..Policy::default() });
        self
    }

    pub fn retrying_timeouts(mut self) -> Self {
        self.record.policy.get_or_insert_default().retry_timeouts = true;
        self
    }

    pub fn child(mut self, index: u32) -> Self {
        self.environment.insert("AWS_BATCH_JOB_ARRAY_INDEX".to_owned(), index.to_string());
        self
    }

    pub fn set(mut self, name: &str, value: impl ToString) -> Self {
        self.environment.insert(name.to_owned(), value.to_string());
        self
    }

    /// Everything staged, with the record, by key.
    pub fn all(&self) -> BTreeMap<String, Bytes> {
        let mut objects = self.objects.clone();
        objects.insert(root().task(), self.record.encode_to_vec().into());
        objects
    }

    /// A directory of the test's own.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Starts a worker process; what is staged must outlive it.
    pub fn start(&self, command: &[&str]) -> Running {
        for (key, body) in self.all() {
            write(&self.path().join("bucket").join(key), &body);
        }
        let mut process = Command::new(std::env::current_exe().unwrap());
        process.args(["--exact", "worker_process", "--ignored", "--nocapture", "--quiet"]);
        process.env_clear().envs(&self.environment);
        process.env(BUCKETS, self.path());
        write(&self.path().join(COMMAND), json!(command).to_string().as_bytes());
        // An earlier worker of the same test.
        let _ = fs::remove_dir_all(self.path().join("bucket-after"));
        let temporary = self.path().join("tmp");
        fs::create_dir_all(&temporary).unwrap();
        process.env("TMPDIR", temporary);
        let mut process = process.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains(MARKER) {
            line.clear();
            assert_ne!(stdout.read_line(&mut line).unwrap(), 0, "the worker process did not begin");
        }
        Running { process, stdout, folder: self.path().to_owned() }
    }

    /// Runs a worker process to its end.
    pub fn run(&self, command: &[&str]) -> Outcome {
        self.start(command).finish()
    }

    /// Runs `script` by a shell, with the arguments after it as `$1`, `$2`...
    pub fn shell(&self, script: &str, arguments: &[&str]) -> Outcome {
        self.run(&[&["sh", "-c", script, "sh"], arguments].concat())
    }
}

fn write(path: &Path, body: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, body).unwrap();
}

/// A worker at work.
pub struct Running {
    process: Child,
    stdout: BufReader<ChildStdout>,
    folder: PathBuf,
}

impl Running {
    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(self.process.id().try_into().unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
    }

    /// The next line that the command prints.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Reads all output, which ends when no process holds it open any more, and waits for the worker.
    pub fn finish(mut self) -> Outcome {
        let mut errors = self.process.stderr.take().unwrap();
        let stderr = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            errors.read_to_end(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        });
        let mut stdout = Vec::new();
        self.stdout.read_to_end(&mut stdout).unwrap();
        let code = self.process.wait().unwrap().code();
        let left = fs::read_dir(self.folder.join("tmp")).unwrap().count();
        let mut objects = BTreeMap::new();
        read_bucket(&self.folder.join("bucket-after"), "", &mut objects);
        Outcome { code, stdout, stderr: stderr.join().unwrap(), objects, temporary_left: left }
    }
}

/// What a worker left behind.
pub struct Outcome {
    /// Absent when a signal ended it.
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
    pub objects: BTreeMap<String, Bytes>,
    pub temporary_left: usize,
}

impl Outcome {
    /// The outputs of a subtask in JSON, if it has any.
    pub fn outputs(&self, index: u64) -> Option<Value> {
        let bytes = self.objects.get(&root().outputs(OriginalIndex(index)))?;
        Some(outputs_of(bytes))
    }

    /// The error document of an attempt of a subtask.
    pub fn error(&self, index: u64, attempt: &str) -> Option<ContainerError> {
        error_of(self.objects.get(&root().error(OriginalIndex(index), attempt))?)
    }

    /// The outputs of subtask 0, which must have succeeded.
    #[track_caller]
    pub fn succeeded(&self) -> Value {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        assert_eq!(self.temporary_left, 0);
        assert!(self.error(0, "000000-01").is_none());
        self.outputs(0).expect("outputs.pb")
    }

    /// The error of subtask 0, which must have failed with `code`.
    #[track_caller]
    pub fn failed(&self, code: i32) -> ContainerError {
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        assert_eq!(self.temporary_left, 0);
        assert!(self.outputs(0).is_none());
        let error = self.error(0, "000000-01").expect("error.pb");
        assert!(error.timestamp.is_some());
        assert_eq!(error.worker, "job:0");
        error
    }
}

pub fn outputs_of(bytes: &Bytes) -> Value {
    let literals = LiteralMap::decode(bytes.clone()).unwrap().literals;
    Value::Object(literals.iter().map(|(name, literal)| (name.clone(), literal_to_json(literal))).collect())
}

pub fn error_of(bytes: &Bytes) -> Option<ContainerError> {
    ErrorDocument::decode(bytes.clone()).unwrap().error
}

fn read_bucket(folder: &Path, prefix: &str, objects: &mut BTreeMap<String, Bytes>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        let key = format!("{prefix}{}", path.file_name().unwrap().to_string_lossy());
        if path.is_dir() {
            read_bucket(&path, &format!("{key}/"), objects);
        } else {
            objects.insert(key, fs::read(path).unwrap().into());
        }
    }
}

/// Where the test that started this process has staged everything, if one has.
pub fn worker_folder() -> Option<PathBuf> {
    std::env::var_os(BUCKETS).map(PathBuf::from)
}

/// The worker process: each directory of the test is a bucket, and what becomes of it is written beside it.
pub fn worker_process(folder: &Path) -> i32 {
    let command: Vec<String> = serde_json::from_slice(&fs::read(folder.join(COMMAND)).unwrap()).unwrap();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    println!("{MARKER}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let bucket = open(folder, "bucket").await;
        let connect = async |name: &str| {
            let store: Arc<dyn Store> = if name == "bucket" { bucket.clone() } else { open(folder, name).await };
            Ok(store)
        };
        let code = worker::run(WorkerArgs::from_process(command), connect).await;
        for (key, body) in bucket.objects() {
            write(&folder.join("bucket-after").join(key), &body);
        }
        code
    })
}

async fn open(folder: &Path, name: &str) -> Arc<MemoryStore> {
    let store = MemoryStore::new(name);
    let mut objects = BTreeMap::new();
    read_bucket(&folder.join(name), "", &mut objects);
    for (key, body) in objects {
        store.put(&key, body).await.unwrap();
    }
    Arc::new(store)
}
