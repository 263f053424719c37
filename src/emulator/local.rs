//! The whole endpoint on this machine: S3, Batch and logs on one port, children as local processes.

use std::fs::{File, TryLockError};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::batch;
use super::runner::Runner;
use super::runner::guardian::{GuardianCommand, MARKER};
use super::runner::process::{ProcessConfig, ProcessRunner};
use super::s3;
use super::server::Endpoint;

/// The access key that the client and the children sign with. The endpoint takes any.
pub const ACCESS_KEY: &str = "batchmap";
/// The secret that goes with it.
pub const SECRET_KEY: &str = "batchmap";
/// The bucket, the queue and the compute environment that an endpoint starts with.
pub const NAME: &str = "batchmap";
/// The queue of interruptible tasks that it starts with.
pub const INTERRUPTIBLE: &str = "batchmap-interruptible";
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
}

impl Settings {
    /// For driving jobs from this process: on a free loopback port, with as many slots as the machine has cores unless
    /// said otherwise. Objects survive the process, not a power cut: thousands of small ones are written, and what a
    /// power cut loses, its children lose too.
    pub fn driving(data: PathBuf, slots: Option<usize>) -> Self {
        let slots = slots.unwrap_or_else(cores);
        Settings { listen: loopback(), data, slots, durable: false, read_only: false, hold: true }
    }

    /// For reading state that no live process serves.
    pub fn reading(data: PathBuf) -> Self {
        Settings { listen: loopback(), data, slots: 1, durable: false, read_only: true, hold: false }
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

/// Starts an endpoint.
///
/// # Errors
/// When the address or the directory cannot be used.
pub async fn start(settings: Settings) -> io::Result<Local> {
    let bound = Endpoint::bind(settings.listen).await?;
    // Locked before anything in the directory is touched.
    let lock = if settings.read_only { None } else { Some(lock(&settings.data)?) };
    let temporary = if settings.read_only { settings.data.clone() } else { temporary_folder(&settings.data)? };
    let runner = Arc::new(ProcessRunner::new(children(&bound.url(), &temporary)?));
    let mut local = start_with(bound, settings, runner).await?;
    local.lock = lock;
    Ok(local)
}

/// Starts an endpoint with a runner of the caller's, on an address taken before.
///
/// # Errors
/// When the directory cannot be used.
pub async fn start_with(bound: super::server::Bound, settings: Settings, runner: Arc<dyn Runner>) -> io::Result<Local> {
    let Settings { data, slots, durable, read_only, hold, .. } = settings;
    let config = s3::Config { root: data.join("s3"), durable, read_only, buckets: vec![NAME.to_owned()] };
    let s3 = tokio::task::spawn_blocking(|| s3::Service::open(config)).await.map_err(io::Error::other)??;
    let batch = batch::ServiceConfig { read_only, hold, durable, ..batch::ServiceConfig::new(data, slots) };
    let batch = batch::Service::open(batch, runner)?;
    let endpoint = bound.serve(s3, Some(batch.router()));
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

    /// Kills the children, then stops serving.
    pub async fn stop(self) {
        self.batch.shutdown().await;
        self.endpoint.stop().await;
        drop(self.lock);
    }
}

/// What children get: this executable as `batchmap`, the way to the endpoint, and a folder for temporary files that
/// goes when the endpoint does.
fn children(url: &str, temporary: &Path) -> io::Result<ProcessConfig> {
    let mark = format!("{:016x}", crate::run::random());
    let temporary = temporary.to_string_lossy();
    let environment = [
        ("AWS_ENDPOINT_URL", url),
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
        ("AWS_REGION", REGION),
        ("AWS_DEFAULT_REGION", REGION),
        // The endpoint is near and has no instance behind it: nothing should look for one.
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("TMPDIR", &temporary),
        (MARKER, &mark),
    ];
    let environment = environment.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let guardian = GuardianCommand::marked(std::env::current_exe()?, &mark);
    Ok(ProcessConfig { guardian, cwd: std::env::current_dir()?, environment })
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
fn lock(data: &Path) -> io::Result<File> {
    std::fs::create_dir_all(data)?;
    let lock = File::options().write(true).create(true).truncate(false).open(data.join("lock"))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::Error(error)) => Err(error),
        Err(TryLockError::WouldBlock) => {
            Err(io::Error::other("another batchmap serves this directory: end it, or give another directory"))
        }
    }
}
