//! The whole endpoint on this machine: S3, Batch and logs on one port, children as local processes or containers.

use std::fs::{File, TryLockError};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::batch;
use super::faults::{Faults, Gate};
use super::record::Recorder;
use super::runner::Runner;
use super::runner::container::{ContainerConfig, ContainerRunner, Engine};
use super::runner::guardian::{GuardianCommand, MARKER};
use super::runner::process::{ProcessConfig, ProcessRunner};
use super::runner::simulated::{Script, SimulatedRunner};
use super::s3;
use super::server::Endpoint;
use crate::aws::target::OWN_INTERRUPTIBLE;
use crate::map::layout::ENV_PROCESS;

/// The access key that the client signs with. The endpoint takes any.
pub const ACCESS_KEY: &str = "batchmap";
/// The access key of children: what they do is told from what those do who submit them.
pub const CHILD_KEY: &str = "batchmap-child";
/// The secret that goes with it.
pub const SECRET_KEY: &str = "batchmap";
/// The bucket, the queue and the compute environment that an endpoint starts with.
pub const NAME: &str = "batchmap";
/// The queue of interruptible tasks that it starts with.
pub const INTERRUPTIBLE: &str = OWN_INTERRUPTIBLE;
/// The region that children sign for.
const REGION: &str = "us-east-1";

/// What an endpoint is to be.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The directory of its state.
    pub data: PathBuf,
    /// Children at once.
    pub slots: usize,
    /// Whether an object or a change of a job is on disk for sure when it is answered.
    pub durable: bool,
    /// Whether it only reads.
    pub read_only: bool,
    /// See [`batch::ServiceConfig::hold`].
    pub hold: bool,
    /// What runs its children.
    pub runner: RunnerKind,
    /// Where its children find S3, when that is not here: the URL of an endpoint.
    pub s3: Option<String>,
    /// What goes wrong on purpose: for the life of this endpoint. One that is started on the same directory later has its own.
    pub faults: Faults,
    /// Of every choice that a fault makes.
    pub seed: u64,
    /// The file to which it records what IAM would be asked; see [`crate::emulator::record`].
    pub record: Option<PathBuf>,
}

/// What runs children.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum RunnerKind {
    /// Processes of this machine.
    #[default]
    Process,
    /// Containers of this machine.
    Container(Engine),
    /// Nothing: they only take time.
    None(Script),
}

/// Slots without a limit in effect, for children that cost nothing: as many as any answer of the API can hold.
pub const UNLIMITED: usize = i32::MAX as usize;

impl Settings {
    /// For driving jobs from this process: on a free loopback port, with as many slots as the machine has cores unless
    /// said otherwise. Objects survive the process, not a power cut: thousands of small ones are written, and what a
    /// power cut loses, its children lose too.
    pub fn driving(data: PathBuf, slots: Option<usize>) -> Self {
        let slots = slots.unwrap_or_else(cores);
        Settings { slots, read_only: false, hold: true, ..Settings::reading(data) }
    }

    /// For reading state that no live process serves.
    pub fn reading(data: PathBuf) -> Self {
        Settings {
            listen: loopback(),
            data,
            slots: 1,
            durable: false,
            read_only: true,
            hold: false,
            runner: RunnerKind::Process,
            s3: None,
            faults: Faults::default(),
            seed: 0,
            record: None,
        }
    }
}

/// Cores of this machine.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn loopback() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

/// An endpoint at work.
pub struct Local {
    endpoint: Endpoint,
    batch: Arc<batch::Service>,
    /// Held while it serves.
    lock: Option<File>,
}

/// Why an endpoint does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be had.
    #[error("cannot listen on {address}: {cause}; {fix}")]
    Address {
        /// As given.
        address: SocketAddr,
        /// The system's reason.
        cause: io::Error,
        /// What to do.
        fix: &'static str,
    },
    /// Another endpoint works in the directory.
    #[error(
        "another batchmap serves this directory, {}: end it, or give another directory",
        .0.display()
    )]
    Locked(PathBuf),
    /// The directory cannot be used.
    #[error("cannot use the directory {}: {cause}; give a directory that this user can write, or that can be made", .folder.display())]
    Directory {
        /// As given.
        folder: PathBuf,
        /// The system's reason.
        cause: io::Error,
    },
    /// What is to run containers cannot.
    #[error("{0}")]
    Engine(io::Error),
    /// What the directory holds cannot be taken up, or the machine lacks something else.
    #[error(transparent)]
    State(#[from] io::Error),
}

impl StartError {
    /// Whether another address, directory or runner would do.
    pub fn is_callers(&self) -> bool {
        !matches!(self, StartError::State(_))
    }
}

fn unlistenable(address: SocketAddr, cause: io::Error) -> StartError {
    let fix = match cause.kind() {
        io::ErrorKind::AddrInUse => "end what listens there, or give another port (0 takes a free one)",
        io::ErrorKind::AddrNotAvailable => "give an address of this machine, such as 127.0.0.1:4566",
        io::ErrorKind::PermissionDenied => "give a port from 1024 on",
        _ => "give another address, such as 127.0.0.1:0",
    };
    StartError::Address { address, cause, fix }
}

/// Starts an endpoint.
///
/// # Errors
/// When the address or the directory cannot be used.
pub async fn start(settings: Settings) -> Result<Local, StartError> {
    let bound = Endpoint::bind(settings.listen).await.map_err(|cause| unlistenable(settings.listen, cause))?;
    let unusable = |cause| StartError::Directory { folder: settings.data.clone(), cause };
    // Locked before anything in the directory is touched.
    let lock = if settings.read_only { None } else { Some(lock(&settings.data)?) };
    let access = || access(&bound.url(), settings.s3.as_deref());
    let runner: Arc<dyn Runner> = match &settings.runner {
        RunnerKind::None(script) => Arc::new(SimulatedRunner::script(script.clone())),
        RunnerKind::Process if settings.read_only => Arc::new(ProcessRunner::new(children(access(), &settings.data)?)),
        RunnerKind::Process => {
            let temporary = temporary_folder(&settings.data).map_err(unusable)?;
            Arc::new(ProcessRunner::new(children(access(), &temporary)?))
        }
        RunnerKind::Container(engine) => {
            engine.check().map_err(StartError::Engine)?;
            let temporary = temporary_folder(&settings.data).map_err(unusable)?;
            Arc::new(ContainerRunner::new(containers(access(), *engine, temporary)?))
        }
    };
    let mut local = start_with(bound, settings, runner).await?;
    local.lock = lock;
    Ok(local)
}

/// Starts an endpoint with a runner of the caller's, on an address taken before.
///
/// # Errors
/// When the directory cannot be used.
pub async fn start_with(bound: super::server::Bound, settings: Settings, runner: Arc<dyn Runner>) -> io::Result<Local> {
    let Settings { data, slots, durable, read_only, hold, faults, seed, record, .. } = settings;
    let bound = match record {
        Some(file) => bound.recording(Recorder::to_file(&file)),
        None => bound,
    };
    let config = s3::Config { root: data.join("s3"), durable, read_only, buckets: vec![NAME.to_owned()] };
    let s3 = tokio::task::spawn_blocking(|| s3::Service::open(config)).await.map_err(io::Error::other)??;
    let batch = batch::ServiceConfig { read_only, hold, durable, ..batch::ServiceConfig::new(data, slots) };
    let batch = batch::Service::open_drilled(batch, faults.drill(seed), runner)?;
    let gate = Gate::new(seed, faults, Arc::clone(&batch));
    let endpoint = bound.serve_behind(Some(Arc::new(gate)), s3, Some(batch.router()));
    Ok(Local { endpoint, batch, lock: None })
}

impl Local {
    /// The endpoint's URL.
    pub fn url(&self) -> String {
        self.endpoint.url()
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Its Batch, for callers in the same process.
    pub fn batch(&self) -> &Arc<batch::Service> {
        &self.batch
    }

    /// Kills the children, then stops serving.
    pub async fn stop(self) {
        self.batch.shutdown().await;
        self.endpoint.stop().await;
        drop(self.lock);
    }
}

/// What children get: this executable as `batchmap`, the way to the endpoint, and a folder for temporary files that
/// goes when the endpoint does.
fn children(access: Vec<(String, String)>, temporary: &Path) -> io::Result<ProcessConfig> {
    let mark = format!("{:016x}", crate::run::random());
    let temporary = temporary.to_string_lossy();
    let own = [("TMPDIR", &*temporary), (ENV_PROCESS, "1"), (MARKER, &mark)];
    let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let environment = access.into_iter().chain(own).collect();
    let guardian = GuardianCommand::marked(std::env::current_exe()?, &mark);
    Ok(ProcessConfig { guardian, cwd: std::env::current_dir()?, environment })
}

/// What containers get: the way to the endpoint. All else is in their image.
fn containers(environment: Vec<(String, String)>, engine: Engine, scratch: PathBuf) -> io::Result<ContainerConfig> {
    let session = format!("{:016x}", crate::run::random());
    let guardian = ContainerConfig::guardian(std::env::current_exe()?, engine, &session);
    let home = blake3::hash(scratch.as_os_str().as_encoded_bytes()).to_hex()[..16].to_owned();
    Ok(ContainerConfig { engine, guardian, session, home, scratch, environment })
}

/// The way to the endpoint, and to S3 where that is `elsewhere`, for children of any kind.
fn access(url: &str, elsewhere: Option<&str>) -> Vec<(String, String)> {
    let environment = [
        ("AWS_ENDPOINT_URL", url),
        ("AWS_ACCESS_KEY_ID", CHILD_KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
        ("AWS_REGION", REGION),
        ("AWS_DEFAULT_REGION", REGION),
        // The endpoint is near and has no instance behind it: nothing should look for one.
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
    let s3 = elsewhere.map(|url| ("AWS_ENDPOINT_URL_S3", url));
    environment.into_iter().chain(s3).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// An empty folder for children's temporary files: what killed ones of an earlier life left is not theirs to find.
fn temporary_folder(data: &Path) -> io::Result<PathBuf> {
    let folder = data.join("tmp");
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => std::fs::create_dir_all(&folder)?,
    }
    folder.canonicalize()
}

/// Takes the directory for this process: two endpoints on one would run every child twice.
fn lock(data: &Path) -> Result<File, StartError> {
    let unusable = |cause| StartError::Directory { folder: data.to_owned(), cause };
    if data.exists() && !data.is_dir() {
        return Err(unusable(io::Error::other("it is no directory")));
    }
    std::fs::create_dir_all(data).map_err(unusable)?;
    let lock = File::options().write(true).create(true).truncate(false).open(data.join("lock")).map_err(unusable)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::Error(cause)) => Err(unusable(cause)),
        Err(TryLockError::WouldBlock) => Err(StartError::Locked(data.to_owned())),
    }
}
