//! The folder `.batchmap/`, shared by every batchmap process that works in one directory.
//!
//! ```text
//! owner.lock     held exclusively by the process that serves the endpoint
//! clients.lock   held shared by every process that uses it
//! endpoint.json  where the endpoint is, written by its owner
//! data/          the endpoint's state
//! ```
//!
//! Locks are the kernel's (`flock`): they end with the process, however it ends, so a record without a lock is stale
//! and is ignored. An owner whose own work is done waits for its clients: it takes `clients.lock` exclusively, and while
//! it holds that, no new client can begin; then it stops, and whoever comes next becomes the owner.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::server::{Endpoint, IDENTITY_PATH};

/// How often a lock or a record is looked at again: they change when a person starts or ends a command.
const LOOK: Duration = Duration::from_millis(50);

/// How long a process that holds the owner's lock may take until its endpoint answers.
const START: Duration = Duration::from_secs(20);

/// How long the endpoint may take to tell who it is.
const ANSWER: Duration = Duration::from_secs(2);

/// The version of `endpoint.json`. One that differs is another program's to read.
const VERSION: u32 = 1;

/// Where the live endpoint is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The version of this record's form.
    pub version: u32,
    /// The endpoint's URL.
    pub url: String,
    /// What the endpoint says when asked who it is: the port may be another program's by now.
    pub id: String,
    /// The process that serves it.
    pub pid: u32,
    /// When it began, in milliseconds since 1970.
    pub started_ms: u64,
    /// The version of batchmap that serves it.
    pub program: String,
}

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A file of the folder cannot be read, written or locked.
    #[error("cannot use {path}: {cause}")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        cause: io::Error,
    },
    /// Another process owns the folder, and its endpoint does not answer.
    #[error(
        "{folder} is in use by {owner}, whose endpoint does not answer: end that process, or work in another directory"
    )]
    Silent {
        /// The folder.
        folder: PathBuf,
        /// `process 123`, or what is known.
        owner: String,
    },
    /// The endpoint's record is of another version of batchmap.
    #[error(
        "{folder} is in use by batchmap {program}, which this version cannot talk to: use that one, or wait for it to end"
    )]
    OtherVersion {
        /// The folder.
        folder: PathBuf,
        /// The version in use.
        program: String,
    },
}

/// A `.batchmap/` folder.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
}

/// What this process is to the folder.
#[derive(Debug)]
pub enum Role {
    /// It serves: no one else does, nor can until this is dropped.
    Owner(Owner),
    /// Another process serves.
    Client(Client),
}

/// The right to serve the folder.
#[derive(Debug)]
pub struct Owner {
    folder: Folder,
    clients: File,
    // Last, so that the record is gone before the lock is.
    _lock: File,
}

/// The use of another process's endpoint; while it is held, that process does not stop it of its own accord.
#[derive(Debug)]
pub struct Client {
    /// Where the endpoint is.
    pub record: Record,
    _lock: File,
}

/// No client is left, and none can begin while this is held. Drop it after the endpoint has stopped.
#[derive(Debug)]
pub struct Closed {
    _lock: File,
}

impl Folder {
    /// Opens the folder at `root`, making it when there is none.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(root: impl Into<PathBuf>) -> Result<Folder, FolderError> {
        let folder = Folder { root: root.into() };
        std::fs::create_dir_all(folder.data()).map_err(|cause| folder.fault("data", cause))?;
        // State, not source: no repository should take it in.
        let ignore = folder.root.join(".gitignore");
        if !ignore.exists() {
            std::fs::write(&ignore, "*\n").map_err(|cause| folder.fault(".gitignore", cause))?;
        }
        Ok(folder)
    }

    /// The folder at `root` if there is one: for commands that only read, which leave no trace where nothing ran.
    pub fn existing(root: impl Into<PathBuf>) -> Option<Folder> {
        let folder = Folder { root: root.into() };
        folder.data().is_dir().then_some(folder)
    }

    /// The directory of the endpoint's state.
    pub fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Becomes the folder's owner, or the client of the owner there is.
    ///
    /// # Errors
    /// When the folder's files cannot be used, or its owner's endpoint does not answer for twenty seconds.
    pub async fn role(&self) -> Result<Role, FolderError> {
        let start = tokio::time::Instant::now();
        loop {
            if let Some(lock) = self.try_owner()? {
                self.remove_record()?;
                let clients = self.lock_file("clients.lock")?;
                return Ok(Role::Owner(Owner { folder: self.clone(), clients, _lock: lock }));
            }
            if let Some(client) = self.try_client().await? {
                return Ok(Role::Client(client));
            }
            if start.elapsed() > START {
                let owner =
                    self.record()?.map_or_else(|| "another process".to_owned(), |r| format!("process {}", r.pid));
                return Err(FolderError::Silent { folder: self.root.clone(), owner });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The client of the folder's owner, or `None` when it has none: then the state on disk is all there is, and can be
    /// opened for reading. Never becomes the owner.
    ///
    /// # Errors
    /// As [`Folder::role`].
    pub async fn live(&self) -> Result<Option<Client>, FolderError> {
        let start = tokio::time::Instant::now();
        loop {
            if let Some(client) = self.try_client().await? {
                return Ok(Some(client));
            }
            // The lock is free, or its holder does not answer (yet).
            if self.try_owner()?.is_some() {
                return Ok(None);
            }
            if start.elapsed() > START {
                let owner =
                    self.record()?.map_or_else(|| "another process".to_owned(), |r| format!("process {}", r.pid));
                return Err(FolderError::Silent { folder: self.root.clone(), owner });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn try_owner(&self) -> Result<Option<File>, FolderError> {
        let lock = self.lock_file("owner.lock")?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(lock)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(cause)) => Err(self.fault("owner.lock", cause)),
        }
    }

    /// Registers as a client, then looks whether there is an endpoint to be one of: in that order, for an owner that
    /// sees no client may stop.
    async fn try_client(&self) -> Result<Option<Client>, FolderError> {
        let lock = self.lock_file("clients.lock")?;
        match lock.try_lock_shared() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(cause)) => return Err(self.fault("clients.lock", cause)),
        }
        let Some(record) = self.record()? else { return Ok(None) };
        if record.version != VERSION {
            // Only a live owner's record counts.
            return match self.try_owner()? {
                Some(_) => Ok(None),
                None => Err(FolderError::OtherVersion { folder: self.root.clone(), program: record.program }),
            };
        }
        let answers = tokio::time::timeout(ANSWER, identify(&record.url)).await;
        let alive = matches!(answers, Ok(Ok(id)) if id == record.id);
        Ok(alive.then_some(Client { record, _lock: lock }))
    }

    fn record(&self) -> Result<Option<Record>, FolderError> {
        match std::fs::read(self.root.join("endpoint.json")) {
            // Half a record cannot be: it is renamed into place. Any other text is as good as none.
            Ok(json) => Ok(serde_json::from_slice(&json).ok()),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(self.fault("endpoint.json", cause)),
        }
    }

    fn remove_record(&self) -> Result<(), FolderError> {
        match std::fs::remove_file(self.root.join("endpoint.json")) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(self.fault("endpoint.json", cause)),
            _ => Ok(()),
        }
    }

    fn lock_file(&self, name: &str) -> Result<File, FolderError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        options.open(self.root.join(name)).map_err(|cause| self.fault(name, cause))
    }

    fn fault(&self, name: &str, cause: io::Error) -> FolderError {
        FolderError::File { path: self.root.join(name), cause }
    }
}

impl Owner {
    /// The folder owned.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Tells other processes where the endpoint is. To be called once it serves.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn publish(&self, endpoint: &Endpoint) -> Result<(), FolderError> {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let record = Record {
            version: VERSION,
            url: endpoint.url(),
            id: endpoint.id().to_owned(),
            pid: std::process::id(),
            started_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            program: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let (aside, place) = (self.folder.root.join("endpoint.json.new"), self.folder.root.join("endpoint.json"));
        let written =
            serde_json::to_vec(&record).map_err(io::Error::other).and_then(|json| std::fs::write(&aside, json));
        written
            .and_then(|()| std::fs::rename(&aside, &place))
            .map_err(|cause| self.folder.fault("endpoint.json", cause))
    }

    /// Whether any process uses the endpoint now.
    ///
    /// # Errors
    /// When the lock cannot be looked at.
    pub fn has_clients(&self) -> Result<bool, FolderError> {
        match self.clients.try_lock() {
            Ok(()) => self.clients.unlock().map(|()| false).map_err(|cause| self.folder.fault("clients.lock", cause)),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(cause)) => Err(self.folder.fault("clients.lock", cause)),
        }
    }

    /// Waits until no process uses the endpoint, and keeps new ones from it: the record is gone when this returns.
    /// May be given up at any time, with no effect.
    ///
    /// # Errors
    /// When a file of the folder cannot be used.
    pub async fn clients_gone(&self) -> Result<Closed, FolderError> {
        loop {
            let lock = self.folder.lock_file("clients.lock")?;
            match lock.try_lock() {
                Ok(()) => {
                    self.folder.remove_record()?;
                    return Ok(Closed { _lock: lock });
                }
                Err(TryLockError::WouldBlock) => tokio::time::sleep(LOOK).await,
                Err(TryLockError::Error(cause)) => return Err(self.folder.fault("clients.lock", cause)),
            }
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if let Err(cause) = self.folder.remove_record() {
            // Without the lock it is ignored anyway.
            tracing::debug!(%cause, "the endpoint's record stays");
        }
    }
}

/// Asks the endpoint at `url` who it is.
async fn identify(url: &str) -> io::Result<String> {
    let address = url.strip_prefix("http://").unwrap_or(url);
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    let request = format!("GET {IDENTITY_PATH} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    // Whatever else may listen there must not fill our memory.
    stream.take(4096).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    Ok(answer.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::server::EndpointConfig;
    use super::*;

    async fn serve(folder: &Folder) -> (Owner, Endpoint) {
        let Role::Owner(owner) = folder.role().await.unwrap() else { panic!("the folder has an owner") };
        let endpoint = Endpoint::start(EndpointConfig {
            listen: ([127, 0, 0, 1], 0).into(),
            data: folder.data(),
            batch: None,
            durable: false,
            read_only: false,
            buckets: vec!["batchmap".to_owned()],
        });
        let endpoint = endpoint.await.unwrap();
        owner.publish(&endpoint).unwrap();
        (owner, endpoint)
    }

    #[tokio::test]
    async fn the_first_owns_and_the_next_are_its_clients() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path().join(".batchmap")).unwrap();
        assert!(folder.live().await.unwrap().is_none());
        let (owner, endpoint) = serve(&folder).await;
        assert!(!owner.has_clients().unwrap());
        let Role::Client(client) = folder.role().await.unwrap() else { panic!("there are two owners") };
        assert_eq!(client.record.url, endpoint.url());
        assert!(owner.has_clients().unwrap());
        drop(client);
        assert!(!owner.has_clients().unwrap());
        assert_eq!(folder.live().await.unwrap().map(|client| client.record.pid), Some(std::process::id()));
        let closed = owner.clients_gone().await.unwrap();
        endpoint.stop().await;
        drop((owner, closed));
        assert!(folder.live().await.unwrap().is_none());
        assert!(matches!(folder.role().await.unwrap(), Role::Owner(_)));
    }

    #[tokio::test]
    async fn an_owner_waits_for_its_clients_and_newcomers_for_the_next_owner() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path().join(".batchmap")).unwrap();
        let (owner, endpoint) = serve(&folder).await;
        let client = folder.live().await.unwrap().unwrap();
        let gone = tokio::time::timeout(Duration::from_millis(1), owner.clients_gone());
        assert!(gone.await.is_err(), "a client is left");
        drop(client);
        let closed = owner.clients_gone().await.unwrap();
        let newcomer = tokio::spawn({
            let folder = folder.clone();
            async move { folder.role().await }
        });
        endpoint.stop().await;
        drop((owner, closed));
        assert!(matches!(newcomer.await.unwrap().unwrap(), Role::Owner(_)));
    }

    #[tokio::test]
    async fn a_record_without_a_lock_is_ignored() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path().join(".batchmap")).unwrap();
        let (owner, endpoint) = serve(&folder).await;
        let record = std::fs::read(folder.path().join("endpoint.json")).unwrap();
        endpoint.stop().await;
        drop(owner);
        // As a killed owner leaves it; and on its port now another endpoint, of another folder.
        std::fs::write(folder.path().join("endpoint.json"), record).unwrap();
        assert!(folder.live().await.unwrap().is_none());
        assert!(matches!(folder.role().await.unwrap(), Role::Owner(_)));
    }

    #[tokio::test]
    async fn a_record_of_another_version_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path().join(".batchmap")).unwrap();
        let (owner, endpoint) = serve(&folder).await;
        let mut record = folder.record().unwrap().unwrap();
        (record.version, record.program) = (2, "9.9.9".to_owned());
        std::fs::write(folder.path().join("endpoint.json"), serde_json::to_vec(&record).unwrap()).unwrap();
        assert!(folder.role().await.unwrap_err().to_string().contains("9.9.9"));
        endpoint.stop().await;
        drop(owner);
        assert!(folder.live().await.unwrap().is_none());
    }
}
