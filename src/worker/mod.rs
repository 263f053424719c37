//! The worker: the process inside each child's container. `batchmap worker -- COMMAND...` gives the command its own
//! element of the map and brings its outputs back.
//!
//! ```text
//! setting (environment) ─► fetch (S3) ─► workspace, present ─► command ─► judge ─► outputs.pb or error.pb (S3)
//!                                                checkpoint ◄──┴──────────────────────┘ saved
//! ```
//! - Inputs: `{{.inputs.x}}` in the arguments, a file for each in `$BATCHMAP_INPUT_DIR`, `$BATCHMAP_INPUT_x` where short.
//! - Outputs: a file for each in `$BATCHMAP_OUTPUT_DIR`; a single one may be standard output instead.
//! - Also in the environment: `BATCHMAP_INDEX` (place in the caller's list, from 0), `BATCHMAP_SIZE` (its length) and
//!   `BATCHMAP_ATTEMPT` (a name that differs and sorts later for each attempt).
//! - Checkpoints, where the task uses them: `$BATCHMAP_CHECKPOINT_DIR`; see `worker::checkpoint`.
//! - Commands of Flyte's are given and leave what Flyte has them: see `worker::flyte`.
//! - Failure: see [`crate::map::exit`].

mod checkpoint;
mod command;
mod copilot;
mod failure;
mod fetch;
mod flyte;
mod install;
mod memory;
mod outputs;
mod pass;
mod present;
mod setting;
mod workspace;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;
use prost::Message;

use self::checkpoint::{Found, Saver, Wanted};
use self::command::{Ended, Signals};
use self::failure::Failure;
use self::fetch::Fetched;
pub use self::install::install;
use self::present::{Invocation, Told};
use self::setting::Setting;
use self::workspace::Workspace;
use crate::aws::store::{Store, StoreError};
use crate::idl::core::{Literal, LiteralMap};
use crate::idl::record::flyte::Kind;
use crate::idl::text::literal_to_text;
use crate::map::exit::{
    EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, EXIT_OUTPUT, EXIT_RECOVERABLE, EXIT_SIGNAL, EXIT_SYSTEM, RECOVERABLE_FILE,
};
use crate::map::index::OriginalIndex;
use crate::map::inject::{SCRATCH_DIR, TMP_DIR};

/// Bytes of a command's last words that an error message shows at most.
const LAST_WORDS: usize = 2 << 10;
/// Bytes of the recoverable file that become the message.
const MESSAGE: usize = 4 << 10;

/// Opens a bucket by its name; the error is a message.
pub trait Connect: AsyncFn(&str) -> Result<Arc<dyn Store>, String> {}

impl<F: AsyncFn(&str) -> Result<Arc<dyn Store>, String>> Connect for F {}

/// What the worker is given.
#[derive(Clone, Debug, Default)]
pub struct WorkerArgs {
    /// The command, its templates unrendered; the record's own when empty.
    pub command: Vec<String>,
    /// The environment: where the child's setting is found, and what the command inherits.
    pub environment: BTreeMap<OsString, OsString>,
}

impl WorkerArgs {
    /// `command` in this process's environment.
    pub fn from_process(command: Vec<String>) -> Self {
        WorkerArgs { command, environment: std::env::vars_os().collect() }
    }
}

/// Runs one attempt of one child and returns the exit code that the process is to end with.
///
/// The command's standard output and error go to this process's own; diagnostics go to `tracing`. Call it on the main
/// thread's runtime: on Linux the command is killed when the thread that started it ends.
pub async fn run<C: Connect>(args: WorkerArgs, connect: C) -> i32 {
    let setting = match Setting::read(&args.environment) {
        Ok(setting) => setting,
        Err(message) => {
            tracing::error!("{message}");
            return EXIT_SYSTEM;
        }
    };
    if setting.plain {
        tracing::info!("no AWS_BATCH_JOB_ARRAY_INDEX is set: this is a plain job, and it runs as child 0");
    }
    let store = match connect(&setting.bucket).await {
        Ok(store) => store,
        Err(message) => {
            tracing::error!("cannot open the bucket {}: {message}", setting.bucket);
            return EXIT_SYSTEM;
        }
    };
    let mut child = Child { index: setting.index(), setting, store, saver: None };
    match child.carry_out(args, &connect).await {
        Ok(()) => 0,
        Err(failure) => {
            tracing::error!("{}: {}", failure.code, failure.message);
            child.report(&failure).await;
            // After the report: a large checkpoint may take longer than whoever stops this child waits.
            if let Some(saver) = &mut child.saver {
                saver.save_last().await;
            }
            // Never 0 beside an error document: of a task without outputs the driver believes a SUCCEEDED array unseen.
            failure.exit.max(1)
        }
    }
}

/// One attempt of one child.
struct Child {
    setting: Setting,
    store: Arc<dyn Store>,
    /// Its original index, once known.
    index: Option<OriginalIndex>,
    /// The checkpoint directory, once the command could have written to it.
    saver: Option<Saver>,
}

/// Everything that is ready before the command starts.
struct Prepared {
    fetched: Fetched,
    workspace: Workspace,
    invocation: Invocation,
    checkpoint: Found,
    /// Where the command is one of Flyte's.
    flyte: Option<Kind>,
}

impl Child {
    async fn carry_out<C: Connect>(&mut self, args: WorkerArgs, connect: &C) -> Result<(), Failure> {
        let mut signals =
            Signals::listen().map_err(|error| Failure::system(format!("cannot listen to signals: {error}")))?;
        let prepared = tokio::select! {
            prepared = self.prepare(args, connect) => prepared?,
            signal = signals.next_stop() => return Err(Failure::terminated_early(signal)),
        };
        let Prepared { fetched, workspace, invocation, checkpoint, flyte } = prepared;
        self.saver = checkpoint.saver;
        let declared = outputs::declared(fetched.record.interface.as_ref());
        let from_stdout = !flyte::by_protobuf(flyte) && outputs::from_stdout(&declared);
        let keep = from_stdout.then_some(outputs::MAX_OUTPUT);
        let policy = fetched.record.policy.unwrap_or_default();
        let limit = (policy.timeout_ms > 0).then(|| Duration::from_millis(policy.timeout_ms));
        let running = command::run(&invocation, limit, keep, &mut signals);
        let ended = match &mut self.saver {
            Some(saver) => tokio::select! {
                ended = running => ended,
                never = saver.watch() => match never {},
            },
            None => running.await,
        };
        let ended = ended.map_err(|error| not_started(&invocation, &error))?;
        let literals = if flyte::by_protobuf(flyte) {
            let left = flyte::left_in(&workspace.outputs);
            self.save_deck(fetched.index, &left).await;
            if let Some(failure) = flyte::error(&left).filter(|_| ended.says_itself()) {
                return Err(failure);
            }
            judge(&ended, &workspace, limit, policy.retry_timeouts)?;
            flyte::outputs(&left, &declared, &ended)
        } else {
            let told = flyte.and_then(|_| copilot::error(&workspace.outputs, exit_code(ended.status)));
            if let Some(failure) = told.filter(|_| ended.says_itself()) {
                return Err(failure);
            }
            judge(&ended, &workspace, limit, policy.retry_timeouts)?;
            let raw = self.setting.root.raw_attempt(fetched.index, &self.setting.attempt, &self.setting.worker);
            outputs::collect(&declared, &workspace.outputs, ended.stdout.as_ref(), self.store.as_ref(), &raw).await
        };
        let literals = literals.map_err(|failure| match ended.signal {
            // It ended in good order because it was told to, its work undone.
            Some(signal) if failure.exit == EXIT_OUTPUT => Failure::terminated(signal, EXIT_OUTPUT),
            _ => failure,
        })?;
        self.keep(fetched.index, &literals).await
    }

    /// Writes the outputs, unless there are some.
    async fn keep(&self, index: OriginalIndex, literals: &LiteralMap) -> Result<(), Failure> {
        let key = self.setting.root.outputs(index);
        match self.store.put_new(&key, literals.encode_to_vec().into()).await {
            // Another attempt of the same subtask was complete before this one: its outputs count.
            Err(StoreError::AlreadyExists { .. }) => {
                tracing::info!("subtask {index} has outputs already; they stay");
                Ok(())
            }
            written => Ok(written?),
        }
    }

    async fn prepare<C: Connect>(&mut self, args: WorkerArgs, connect: &C) -> Result<Prepared, Failure> {
        let fetched = fetch::fetch(self.store.as_ref(), &self.setting, &mut self.index).await?;
        let mut environment = args.environment;
        let parent = workspace::temporary_parent(&mut environment, [TMP_DIR, SCRATCH_DIR].map(Path::new));
        let flyte = flyte::kind(&fetched.record)?;
        let workspace = if flyte.is_some() && flyte::is_process(&environment) {
            let (workspace, temporary) = Workspace::apart(&fetched.record, &parent)?;
            environment.insert("TMPDIR".into(), temporary.into());
            workspace
        } else {
            Workspace::make(&fetched.record, &parent)?
        };
        let texts = match flyte {
            Some(kind @ (Kind::Single | Kind::Map)) => {
                flyte::write_inputs(kind, &fetched, &workspace)?;
                let text = |(name, literal): (&String, &Literal)| (name.clone(), literal_to_text(literal));
                fetched.inputs.iter().map(text).collect()
            }
            Some(Kind::Container) => copilot::write_inputs(&fetched.inputs, &workspace, &self.store, connect).await?,
            None => present::write_inputs(&fetched.inputs, &workspace, &self.store, connect).await?,
        };
        let command = if args.command.is_empty() { &fetched.record.command } else { &args.command };
        if command.is_empty() {
            return Err(Failure::system("there is no command, neither given nor in the record"));
        }
        let wanted = match flyte {
            Some(_) => Wanted::of_flyte(command),
            None => Wanted::of(command, fetched.record.checkpoint),
        };
        let checkpoint = wanted.find(&self.store, &self.setting, fetched.index, &parent).await?;
        let told = Told {
            fetched: &fetched,
            texts: &texts,
            workspace: &workspace,
            checkpoint: &checkpoint,
            setting: &self.setting,
        };
        let invocation = match flyte {
            Some(kind) => told.flyte(kind, command, environment)?,
            None => told.invocation(command, environment)?,
        };
        Ok(Prepared { fetched, workspace, invocation, checkpoint, flyte })
    }

    /// Puts the command's deck beside its outputs. It is for looking at: without it the subtask is as good.
    async fn save_deck(&self, index: OriginalIndex, left: &Path) {
        let Some(deck) = flyte::deck(left) else { return };
        if let Err(error) = self.store.upload(&self.setting.root.deck(index), &deck).await {
            tracing::warn!("the deck is not saved: {error}");
        }
    }

    /// Writes the error document, where it is known for which subtask.
    async fn report(&self, failure: &Failure) {
        let Some(index) = self.index else { return };
        let key = self.setting.root.error(index, &self.setting.attempt);
        let document = failure.document(&self.setting.worker, SystemTime::now());
        if let Err(error) = self.store.put(&key, document.into()).await {
            tracing::error!("the error document is not written: {error}");
        }
    }
}

/// Whether a command that has ended counts as having done its work. What it says of itself comes before its exit code.
fn judge(ended: &Ended, workspace: &Workspace, limit: Option<Duration>, retry_timeouts: bool) -> Result<(), Failure> {
    let exit = exit_code(ended.status);
    if ended.timed_out {
        let limit = humantime::format_duration(limit.unwrap_or_default());
        let message = with_tail(format!("the command ran longer than the timeout of {limit}"), ended);
        return Err(Failure::timeout(message, retry_timeouts));
    }
    if let Some(message) = recoverable_file(workspace) {
        let message =
            if message.is_empty() { with_tail("the command asks to be run again".to_owned(), ended) } else { message };
        return Err(Failure::recoverable(message, if exit == 0 { EXIT_RECOVERABLE } else { exit }));
    }
    match (ended.status.code(), ended.signal) {
        (Some(0), _) => Ok(()),
        (_, Some(signal)) => Err(Failure::terminated(signal, exit)),
        _ if ended.starved => {
            let message =
                format!("{}: it used more memory {}; raise resources.mem", ending(ended.status), memory::limit());
            Err(Failure::memory(with_tail(message, ended), exit))
        }
        (Some(EXIT_RECOVERABLE), None) => Err(Failure::recoverable(with_tail(ending(ended.status), ended), exit)),
        _ => Err(Failure::command(with_tail(ending(ended.status), ended), exit)),
    }
}

/// As a shell has it: the command's own, or 128 plus the signal.
fn exit_code(status: ExitStatus) -> i32 {
    status.code().or_else(|| Some(EXIT_SIGNAL + status.signal()?)).unwrap_or(EXIT_SYSTEM)
}

fn ending(status: ExitStatus) -> String {
    let signal = status.signal().map(|number| (number, Signal::try_from(number)));
    match (status.code(), signal) {
        (Some(code), _) => format!("the command exited with code {code}"),
        (None, Some((_, Ok(Signal::SIGKILL)))) => {
            "the command was killed by SIGKILL; most often that is for lack of memory: then raise resources.mem"
                .to_owned()
        }
        (None, Some((_, Ok(signal)))) => format!("the command was ended by {signal}"),
        (None, Some((number, Err(_)))) => format!("the command was ended by signal {number}"),
        (None, None) => "the command ended in an unknown way".to_owned(),
    }
}

fn with_tail(message: String, ended: &Ended) -> String {
    let tail = ended.stderr.last_words(LAST_WORDS);
    if tail.is_empty() { message } else { format!("{message}\n{tail}") }
}

fn recoverable_file(workspace: &Workspace) -> Option<String> {
    let bytes = std::fs::read(workspace.outputs.join(RECOVERABLE_FILE)).ok()?;
    let shown = &bytes[..bytes.len().min(MESSAGE)];
    Some(String::from_utf8_lossy(shown).trim().to_owned())
}

fn not_started(invocation: &Invocation, error: &io::Error) -> Failure {
    let program = invocation.argv.first().map_or("", String::as_str);
    match error.kind() {
        io::ErrorKind::NotFound => {
            let message = format!(
                "{program:?} is not found; name a program of the image, or its whole path; where children are processes of this \
                 machine, one of the environment that batchmap was started from"
            );
            Failure::start(message, EXIT_NOT_FOUND)
        }
        io::ErrorKind::ArgumentListTooLong => {
            let message =
                format!("cannot start {program:?}: the arguments are too long; read inputs from {{{{.inputDir}}}}");
            Failure::start(message, EXIT_NOT_EXECUTABLE)
        }
        io::ErrorKind::OutOfMemory | io::ErrorKind::WouldBlock => {
            Failure::system(format!("cannot start {program:?}: {error}"))
        }
        _ => Failure::start(format!("cannot start {program:?}: {error}"), EXIT_NOT_EXECUTABLE),
    }
}
