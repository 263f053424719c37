//! `batchmap emulator`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use tokio::signal::unix::{SignalKind, signal};

use super::{Exit, Failure};
use crate::aws::target::is_endpoint;
use crate::emulator::faults::{self, Faults};
use crate::emulator::local::{self, RunnerKind, Settings, StartError};
use crate::emulator::runner::container::Engine;
use crate::emulator::runner::guardian;
use crate::emulator::runner::simulated::Script;
use crate::map::spec::{Fault, shorten};
use crate::run;

const HELP: &str = "\
Once it serves, its URL is printed on standard output, alone on a line. Any credentials will do.

Faults, each set by --fault, in the file of --faults, or while it runs at /.batchmap/faults (GET, PUT, PATCH, DELETE):
  throttle=SHARE       requests refused for their rate (429, 503 SlowDown); throttle.rate=N: above N a second
  error=SHARE          requests that fail with a server's error
  latency=TIME         requests that wait first
  denied=SHARE         requests that are refused for want of a permission
  lost_reply=SHARE     requests that are carried out and not answered
  summary_lag=TIME     DescribeJobs tells an array's statusSummary and status that late
  listing_lag=TIME     ListJobs tells jobs and states that late
  spot_loss=SHARE      attempts that lose their host; .after=TIME since they began, .spot_only=true
  shortage=WHAT        capacity, misconfiguration, or a status reason: nothing starts
  image_pull=SHARE     attempts that fail with CannotPullContainerError
  slow_start=TIME      attempts that are STARTING that long; .share=SHARE
SHARE is a number from 0 to 1. TIME is such as 2s, or 100ms..5s, which is drawn from.
The first four take .operations=SubmitJob,PutObject,s3; the last four take .queues=NAME,NAME.
POST /.batchmap/faults/lose-hosts takes the hosts of all running attempts away at once.

Containers (--runner podman, docker): real images, from the local store first, on the host's network, with their
definition's command, user, memory, vCPUs (at most the machine's), volumes, ulimits, linuxParameters, and all containers of
ecsProperties in the order of their dependsOn. What runs out of memory says so. No GPU, no EFS; log drivers and roles have
no effect. privileged is passed on. podman is called with this process's environment (CONTAINERS_CONF and the like).

Simulated children (--runner none), each NAME set by --simulate NAME=VALUE or in its file:
  distribution         fixed, uniform, exponential, lognormal or pareto [default: fixed]
  mean                 how long children take [default: 1s]; min and max instead for uniform
  sigma, shape         of lognormal [default: 1] and pareto [default: 1.5]
  failure_rate         share that fails [default: 0]
  exit_codes           of those that fail, such as 1,75 [default: 1]
  seed                 [default: the one of --seed]

Exit codes: 0 ended by SIGINT or SIGTERM; 2 a flag, a file, the address or the directory cannot be used; 5 the state in the
directory cannot be read, or the machine failed.";

/// Arguments of `batchmap emulator`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = HELP, after_help = "`--help` tells of the faults and of simulated children.")]
pub struct EmulatorArgs {
    /// The address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:4566", value_name = "ADDRESS", value_parser = address)]
    listen: SocketAddr,
    /// Accept an address of --listen that other machines can reach. There is no access check: whoever reaches it runs
    /// commands on this machine as you
    #[arg(long)]
    allow_remote: bool,
    /// The directory of its state; made when there is none
    #[arg(long, default_value = ".batchmap-emulator", value_name = "DIRECTORY")]
    data: PathBuf,
    /// Children at once [default: the machine's cores; with --runner none no limit but that of the compute
    /// environments' vCPUs]
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=i64::from(i32::MAX)))]
    slots: Option<u32>,
    /// What runs children
    #[arg(long, value_enum, default_value_t = Kind::Process)]
    runner: Kind,
    /// Where children find S3 when that is not this endpoint: LocalStack's, or moto's
    #[arg(long, value_name = "URL", value_parser = endpoint)]
    s3_endpoint: Option<String>,
    /// How simulated children go: a TOML file, or NAME=VALUE; may be repeated
    #[arg(long, value_name = "FILE|NAME=VALUE")]
    simulate: Vec<String>,
    /// Make something go wrong; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    fault: Vec<String>,
    /// A TOML file of faults; --fault overrides it
    #[arg(long, value_name = "FILE")]
    faults: Option<PathBuf>,
    /// The seed of every choice that faults and simulated children make [default: drawn, and printed]
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true, value_parser = clap::value_parser!(u64).range(0..))]
    seed: Option<u64>,
    /// Record which IAM action batchmap and its children ask of which resource, each once, to this file as JSON lines
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

/// An address with its port; `localhost` is one by its name.
///
/// # Errors
/// When it is none.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let numeric = text.strip_prefix("localhost:").map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
    numeric.parse().map_err(|_| "not an address with a port: give one such as 127.0.0.1:0, for a free port".to_owned())
}

/// The URL of an endpoint.
///
/// # Errors
/// When it is none.
fn endpoint(text: &str) -> Result<String, String> {
    let not = || "not the address of an endpoint: give one such as http://127.0.0.1:4566".to_owned();
    is_endpoint(text).then(|| text.trim_end_matches('/').to_owned()).ok_or_else(not)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Processes of this machine, whatever image their definition names
    Process,
    /// Containers of their definition's image, by podman
    Podman,
    /// Containers of their definition's image, by docker
    Docker,
    /// Nothing: children only take time
    None,
}

/// Serves until SIGINT or SIGTERM; then its children are killed.
///
/// # Errors
/// When the arguments are wrong, or the address or the directory cannot be used.
pub async fn run(args: EmulatorArgs) -> Result<Exit, Failure> {
    let settings = settings(&args)?;
    let broken = |error: std::io::Error| Failure::internal(format!("cannot wait for signals: {error}"));
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt()).map_err(broken)?, signal(SignalKind::terminate()).map_err(broken)?);
    let (slots, seed) = (settings.slots, settings.seed);
    let drilled = settings.faults != Faults::default();
    let served = local::start(settings).await.map_err(|error| not_started(&args, error))?;
    // One line on standard output once it serves, so that a script can wait for it.
    out!("{}", served.url());
    let slots = if slots >= local::UNLIMITED { "unlimited".to_owned() } else { slots.to_string() };
    note!(
        "AWS Batch, S3 and CloudWatch Logs, with {slots} slots. Point clients at it: export AWS_ENDPOINT_URL={}",
        served.url()
    );
    note!("seed {seed}{}", if drilled { "; faults are on" } else { "" });
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    note!("stopping");
    served.stop().await;
    Ok(Exit::Ok)
}

fn settings(args: &EmulatorArgs) -> Result<Settings, Failure> {
    if !args.listen.ip().is_loopback() {
        if !args.allow_remote {
            return Err(Failure::input(format!(
                "--listen is {}: other machines may reach it, and whoever does runs commands on this one as you; give an \
                 address of 127.0.0.0/8, or --allow-remote if that is what you want",
                args.listen
            )));
        }
        note!(
            "warning: {} is not a loopback address and there is no access check: anyone who reaches it runs commands on this \
             machine as you, and reads and writes every object",
            args.listen
        );
    }
    // Short enough to be typed again.
    let seed = args.seed.unwrap_or_else(|| run::random() >> 32);
    let runner = runner(args, seed)?;
    let slots = match (args.slots, &runner) {
        (Some(slots), _) => slots as usize,
        (None, RunnerKind::Process | RunnerKind::Container(_)) => local::cores(),
        (None, RunnerKind::None(_)) => local::UNLIMITED,
    };
    Ok(Settings {
        listen: args.listen,
        data: args.data.clone(),
        slots,
        durable: true,
        read_only: false,
        hold: false,
        runner,
        s3: args.s3_endpoint.clone(),
        faults: faults(args)?,
        seed,
        record: recordable(args.record.as_deref())?,
    })
}

/// The file of --record, once it is sure that it can be written.
fn recordable(file: Option<&Path>) -> Result<Option<PathBuf>, Failure> {
    let Some(file) = file else { return Ok(None) };
    match std::fs::File::options().append(true).create(true).open(file) {
        Ok(_) => Ok(Some(file.to_owned())),
        Err(error) => Err(Failure::input(format!(
            "--record is {}: cannot be written: {error}; give a file in a directory that this user can write",
            file.display()
        ))),
    }
}

fn runner(args: &EmulatorArgs, seed: u64) -> Result<RunnerKind, Failure> {
    let real = match args.runner {
        Kind::Process => Some((RunnerKind::Process, "processes")),
        Kind::Podman => Some((RunnerKind::Container(Engine::Podman), "containers")),
        Kind::Docker => Some((RunnerKind::Container(Engine::Docker), "containers")),
        Kind::None => None,
    };
    if let Some((kind, what)) = real {
        return match args.simulate.first() {
            None => Ok(kind),
            Some(given) => {
                let given = shorten(given);
                Err(Failure::input(format!("--simulate is {given}: children are real {what}; add --runner none")))
            }
        };
    }
    let (given, files): (Vec<String>, Vec<String>) = args.simulate.iter().cloned().partition(|text| text.contains('='));
    if let [_, second, ..] = files.as_slice() {
        return Err(Failure::input(format!("--simulate is {}: a second file; give one", shorten(second))));
    }
    let file = files.first().map(|file| read(Path::new(file), "--simulate")).transpose()?;
    let script = Script::from_sources(file.as_deref(), &given, seed);
    script.map(RunnerKind::None).map_err(|fault| wrong("--simulate", files.first().map(String::as_str), &fault))
}

fn faults(args: &EmulatorArgs) -> Result<Faults, Failure> {
    let file = args.faults.as_deref().map(|file| read(file, "--faults")).transpose()?;
    let name = args.faults.as_ref().map(|file| file.display().to_string());
    faults::from_sources(file.as_deref(), &args.fault).map_err(|fault| wrong("fault", name.as_deref(), &fault))
}

fn read(file: &Path, flag: &str) -> Result<String, Failure> {
    let unreadable = |error| Failure::input(format!("{flag} is {}: cannot be read: {error}", file.display()));
    std::fs::read_to_string(file).map_err(unreadable)
}

/// A setting that is wrong, with the file it may come from.
fn wrong(what: &str, file: Option<&str>, fault: &Fault) -> Failure {
    let file = file.map(|file| format!("{file}: ")).unwrap_or_default();
    Failure::input(format!("{what}: {file}{fault}"))
}

fn not_started(args: &EmulatorArgs, error: StartError) -> Failure {
    match error {
        error if error.is_callers() => Failure::input(error.to_string()),
        error => Failure::internal(format!("cannot serve with {}: {error}", args.data.display())),
    }
}

/// Runs the guardian: see [`guardian`].
///
/// # Errors
/// Never; it ends when the process that started it does.
pub fn guardian(mark: Option<&str>, containers: Option<&str>) -> Result<Exit, Failure> {
    guardian::guardian_main(mark, containers.and_then(Engine::named));
    Ok(Exit::Ok)
}
