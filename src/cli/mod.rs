//! The command line: one file a command. Only this room prints: results on standard output, all else on standard
//! error.

/// Prints a line on standard output. A reader that has gone (`| head`) is no fault of ours; what must not be lost is
/// printed by [`finish::print`], which looks.
macro_rules! out {
    ($($line:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($line)*);
    }};
}

/// Prints a line on standard error, if anybody reads it.
macro_rules! note {
    ($($line:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($line)*);
    }};
}

mod abort;
pub mod config;
mod definitions;
mod doctor;
mod emulator;
mod exit;
mod finish;
mod gc;
mod inspect;
mod list;
mod logs;
mod outputs;
mod plan;
mod progress;
mod queues;
mod recover;
mod report;
mod resume;
mod run;
mod serve;
mod session;
mod signals;
mod status;
pub mod task_args;
mod token;
mod wait;
mod words;
mod worker;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use exit::{Exit, Failure};

/// What is logged unless said otherwise. The S3 server's crate calls an ordinary 404 or 412 an error; the client that
/// gets it knows better.
const USUAL: &str = "warn,s3s=off";
/// The same in a worker, which writes to its child's log: what it does as well.
const WORKERS: &str = "batchmap=info,warn";

/// Flyte map tasks on AWS Batch array jobs, with no Kubernetes.
#[derive(Debug, Parser)]
#[command(name = "batchmap", version, after_help = exit::HELP, max_term_width = 100)]
struct Arguments {
    /// What is logged to standard error: error, warn, info, debug, trace, or a filter like batchmap=debug.
    /// Warnings when absent; in a worker, which writes to its child's log, what it does as well.
    #[arg(long, global = true, env = "BATCHMAP_LOG", value_name = "FILTER")]
    log: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a command once for each element of its lists, and print the outputs in order.
    Run(run::RunArgs),
    /// Show what `run` would submit: arrays, calls, bytes. Nothing is sent.
    Plan(plan::PlanArgs),
    /// Show where an execution stands; the newest one without an id.
    Status(status::StatusArgs),
    /// List executions, the newest first.
    List(list::ListArgs),
    /// Print an execution's outputs again.
    Outputs(outputs::OutputsArgs),
    /// Terminate an execution: every child of every array.
    Abort(abort::AbortArgs),
    /// Wait until an execution that another process drives is over.
    Wait(wait::WaitArgs),
    /// Take up an execution whose driver has stopped, and see it through.
    Resume(resume::ResumeArgs),
    /// Start a new execution that takes every success of an old one, and runs the rest.
    Recover(recover::RecoverArgs),
    /// Start a new execution as `recover` does, running the rest with another image or size.
    RetryFailed(recover::RetryArgs),
    /// Print what a subtask's child wrote.
    Logs(logs::LogsArgs),
    /// Remove old executions and their files.
    Gc(gc::GcArgs),
    /// Check an account, or an endpoint in its place, step by step: what is wrong, and what to do.
    Doctor(doctor::DoctorArgs),
    /// Print the JSON Schema of a task's specification.
    Schema,
    /// Serve AWS Batch, S3 and CloudWatch Logs on this machine.
    Emulator(emulator::EmulatorArgs),
    /// Serve flytekit: FlyteAdmin's part in front of AWS Batch, for `pyflyte run --remote`.
    Serve(serve::ServeArgs),
    /// Make a token for callers of `serve`.
    Token(token::TokenArgs),
    /// Run one subtask: what a child's container starts.
    Worker(worker::WorkerArgs),
    /// What the job of `doctor` runs.
    #[command(hide = true)]
    Probe {
        /// Printed first.
        element: String,
        /// Printed after it.
        bound: String,
    },
    /// Kill local children when the process that started them dies.
    #[command(hide = true)]
    Guardian {
        /// What its children carry in their environment.
        mark: Option<String>,
        /// The engine whose containers carry it as a label.
        #[arg(long)]
        containers: Option<String>,
    },
}

/// The program that an image holds beside a task's own: the worker, in a third of the size.
#[derive(Debug, Parser)]
#[command(
    name = "batchmap",
    version,
    after_help = "This program is the worker alone: container/README.md tells of it."
)]
struct WorkerArguments {
    /// What is logged to standard error: error, warn, info, debug, trace, or a filter like batchmap=debug.
    #[arg(long, global = true, env = "BATCHMAP_LOG", value_name = "FILTER", default_value = WORKERS)]
    log: String,
    #[command(subcommand)]
    command: WorkerCommand,
}

#[derive(Debug, Subcommand)]
enum WorkerCommand {
    /// Run one subtask: what a child's container starts.
    Worker(worker::WorkerArgs),
}

/// Runs the program of the worker alone. It takes what the whole one takes for it.
pub fn worker_main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match WorkerArguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => return unparsed(&error),
    };
    let WorkerCommand::Worker(args) = arguments.command;
    ended(start_logging(&arguments.log).and_then(|()| worker::run(args)))
}

/// Help and version are no errors, and go to standard output; clap knows which is which.
fn unparsed(error: &clap::Error) -> ExitCode {
    let exit = if error.use_stderr() { Exit::BadInput } else { Exit::Ok };
    let _ = error.print();
    exit.into()
}

/// Runs the program: parses the arguments, carries the command out, and says how it ended.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => return unparsed(&error),
    };
    let usual = if matches!(arguments.command, Command::Worker(_)) { WORKERS } else { USUAL };
    if let Err(failure) = start_logging(arguments.log.as_deref().unwrap_or(usual)) {
        return ended(Err(failure));
    }
    ended(carry_out(arguments.command))
}

fn carry_out(command: Command) -> Result<Exit, Failure> {
    match command {
        // The worker and the guardian start once for every child: they get the lightest runtime, or none.
        Command::Worker(args) => worker::run(args),
        Command::Guardian { mark, containers } => emulator::guardian(mark.as_deref(), containers.as_deref()),
        Command::Schema => Ok(print_schema()),
        Command::Probe { element, bound } => {
            out!("{element} {bound}");
            Ok(Exit::Ok)
        }
        Command::Token(args) => token::run(&args),
        Command::Run(args) => block_on(run::run(args)),
        Command::Plan(args) => block_on(plan::run(args)),
        Command::Status(args) => block_on(status::run(args)),
        Command::List(args) => block_on(list::run(args)),
        Command::Outputs(args) => block_on(outputs::run(args)),
        Command::Abort(args) => block_on(abort::run(args)),
        Command::Wait(args) => block_on(wait::run(args)),
        Command::Resume(args) => block_on(resume::run(args)),
        Command::Recover(args) => block_on(recover::run(args)),
        Command::RetryFailed(args) => block_on(recover::retry_failed(args)),
        Command::Logs(args) => block_on(logs::run(args)),
        Command::Gc(args) => block_on(gc::run(args)),
        Command::Doctor(args) => block_on(doctor::run(args)),
        Command::Emulator(args) => block_on(emulator::run(args)),
        Command::Serve(args) => block_on(serve::run(args)),
    }
}

/// Runs a command on a runtime of its own.
fn block_on(command: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::internal(format!("cannot start: {error}")))?;
    let ended = runtime.block_on(command);
    // Reading standard input cannot be interrupted: a thread that still does must not hold the process.
    runtime.shutdown_background();
    ended
}

fn ended(result: Result<Exit, Failure>) -> ExitCode {
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => {
            note!("error: {}", failure.message);
            failure.exit.into()
        }
    }
}

fn start_logging(filter: &str) -> Result<(), Failure> {
    let filter = tracing_subscriber::EnvFilter::try_new(filter).map_err(|error| {
        Failure::input(format!("--log is {filter:?}: {error}; give error, warn, info, debug or trace"))
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .without_time()
        .init();
    Ok(())
}

fn print_schema() -> Exit {
    out!("{:#}", crate::map::spec::json_schema());
    Exit::Ok
}
