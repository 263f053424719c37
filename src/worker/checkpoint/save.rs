//! The checkpoint directory of one attempt: restored before the command starts, saved while it runs and when it fails.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};

use super::super::failure::Failure;
use super::super::setting::Setting;
use super::super::workspace::Temporary;
use super::manifest::{Entry, MAX_MANIFEST, Manifest};
use super::scan::{Snapshot, Stamp, scan};
use crate::aws::store::{Store, StoreError};
use crate::map::index::OriginalIndex;

/// How often the directory is looked at while the command runs.
const POLL: Duration = Duration::from_secs(5);

/// A directory that changes at every look is saved all the same after so many of them.
const RESTLESS: u32 = 6;

/// Files under way to or from S3 at once.
const AT_ONCE: usize = 4;

/// Tries of the save after the command has ended: what left its process group may still write.
const LAST_TRIES: u32 = 3;

/// The name of the manifest beside the files.
const MANIFEST: &str = "manifest";

/// Why there is no new checkpoint. The one before it stands.
#[derive(Debug, thiserror::Error)]
enum SaveError {
    #[error("a file changed while it was saved")]
    Changed,
    #[error("{0}")]
    Unusable(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The checkpoint directory of one attempt; removed with it.
pub(in crate::worker) struct Saver {
    store: Arc<dyn Store>,
    /// Of this attempt's objects; ends in a slash.
    prefix: String,
    directory: Temporary,
    /// Manifests of which S3 may have any: the last that surely was written, and those tried since.
    held: Vec<Manifest>,
    /// What this attempt has uploaded of each file, and as of when.
    uploaded: BTreeMap<String, (Stamp, Entry)>,
    /// The directory as it was restored or last saved.
    saved: Snapshot,
}

impl Saver {
    /// Makes the directory in `parent` and fills it from the newest of `attempts` (newest first) that is complete.
    pub(super) async fn restore(
        store: &Arc<dyn Store>,
        setting: &Setting,
        index: OriginalIndex,
        attempts: &[&str],
        parent: &Path,
    ) -> Result<Self, Failure> {
        let directory = Temporary::make(parent)?;
        let prefix = setting.root.saved_checkpoint(index, &setting.attempt);
        for attempt in attempts.iter().filter(|attempt| **attempt != setting.attempt) {
            let from = setting.root.saved_checkpoint(index, attempt);
            match fetch(store.as_ref(), &from, directory.path()).await {
                Ok(Some(count)) => {
                    tracing::info!("the checkpoint of attempt {attempt} is restored: {count} files");
                    break;
                }
                // It was never complete, or its writer lives on and has replaced it meanwhile.
                Ok(None) => {}
                Err(SaveError::Store(error)) => return Err(error.into()),
                Err(error) => tracing::warn!("the checkpoint of attempt {attempt} is passed over: {error}"),
            }
            directory.clear()?;
        }
        let saved = scan(directory.path()).map_err(Failure::system)?;
        Ok(Saver { store: Arc::clone(store), prefix, directory, held: vec![], uploaded: BTreeMap::new(), saved })
    }

    /// The directory.
    pub(in crate::worker) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Saves whatever changes, for as long as it is polled. It may be dropped at any point.
    pub(in crate::worker) async fn watch(&mut self) -> Infallible {
        let (mut before, mut restless) = (None, 0);
        loop {
            tokio::time::sleep(POLL).await;
            let now = match scan(self.path()) {
                Ok(now) => now,
                Err(error) => {
                    tracing::warn!("the checkpoint directory is not saved: {error}");
                    continue;
                }
            };
            if now == self.saved {
                restless = 0;
            } else if before.as_ref() == Some(&now) || restless >= RESTLESS {
                restless = 0;
                if let Err(error) = self.save().await {
                    tracing::warn!("the checkpoint directory is not saved: {error}");
                }
            } else {
                restless += 1;
            }
            before = Some(now);
        }
    }

    /// Saves what the command has left, once it has ended.
    pub(in crate::worker) async fn save_last(&mut self) {
        for _ in 0..LAST_TRIES {
            match self.save().await {
                Err(SaveError::Changed) => {}
                Ok(()) => return,
                Err(error) => return tracing::error!("the checkpoint directory is not saved: {error}"),
            }
        }
        tracing::error!("the checkpoint directory is not saved: its files keep changing though the command has ended");
    }

    /// Makes the directory as it is now the checkpoint, if it has changed.
    async fn save(&mut self) -> Result<(), SaveError> {
        let before = scan(self.path()).map_err(SaveError::Unusable)?;
        if before == self.saved {
            return Ok(());
        }
        self.upload(&before).await?;
        if scan(self.path()).map_err(SaveError::Unusable)? != before {
            return Err(SaveError::Changed);
        }
        let files = before.keys().map(|path| self.uploaded[path].1.clone()).collect();
        let manifest = Manifest::new(files);
        let body = manifest.encode();
        // Whether it arrives is not known before the answer.
        self.held.push(manifest.clone());
        self.store.put(&format!("{}{MANIFEST}", self.prefix), body.into()).await?;
        self.held = vec![manifest];
        self.saved = before;
        Ok(())
    }

    /// Uploads every file that is not there as it is now, to numbers that no manifest names.
    async fn upload(&mut self, snapshot: &Snapshot) -> Result<(), SaveError> {
        let fresh = |path: &String, stamp: &Stamp| self.uploaded.get(path).is_some_and(|(at, _)| at == stamp);
        let (kept, changed): (Vec<_>, Vec<_>) = snapshot.iter().partition(|(path, stamp)| fresh(path, stamp));
        let mut taken: BTreeSet<u32> = kept.iter().map(|(path, _)| self.uploaded[*path].1.object).collect();
        taken.extend(self.held.iter().flat_map(|manifest| &manifest.files).map(|entry| entry.object));
        let free = (0..).filter(|number| !taken.contains(number));
        let uploads = changed.into_iter().zip(free).map(|((path, stamp), object)| {
            let (file, key) = (self.path().join(path), format!("{}{object:06}", self.prefix));
            let store = &self.store;
            async move {
                let (size, hash) = digest(file.clone()).await.map_err(|error| gone_or(&file, &error))?;
                store.upload(&key, &file).await?;
                Ok::<_, SaveError>((path.clone(), (*stamp, Entry { path: path.clone(), object, size, hash })))
            }
        });
        let uploaded: Vec<_> = stream::iter(uploads.collect::<Vec<_>>()).buffered(AT_ONCE).try_collect().await?;
        self.uploaded.retain(|path, _| snapshot.contains_key(path));
        self.uploaded.extend(uploaded);
        Ok(())
    }
}

fn gone_or(file: &Path, error: &io::Error) -> SaveError {
    match error.kind() {
        io::ErrorKind::NotFound => SaveError::Changed,
        _ => SaveError::Unusable(format!("{} cannot be read: {error}", file.display())),
    }
}

/// A file's size and hash.
async fn digest(file: PathBuf) -> io::Result<(u64, String)> {
    let hashed = tokio::task::spawn_blocking(move || {
        let mut hasher = blake3::Hasher::new();
        let size = io::copy(&mut File::open(file)?, &mut hasher)?;
        Ok((size, hasher.finalize().to_hex().to_string()))
    });
    hashed.await.map_err(io::Error::other)?
}

/// Downloads the checkpoint under `prefix`, if there is a complete one, and says how many files it has.
async fn fetch(store: &dyn Store, prefix: &str, directory: &Path) -> Result<Option<usize>, SaveError> {
    let body = match store.get_range(&format!("{prefix}{MANIFEST}"), 0..MAX_MANIFEST).await {
        Ok(body) => body,
        Err(StoreError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let manifest = Manifest::decode(&body).map_err(SaveError::Unusable)?;
    let downloads = manifest.files.iter().map(|entry| download(store, prefix, directory, entry));
    stream::iter(downloads.collect::<Vec<_>>()).buffered(AT_ONCE).try_collect::<()>().await?;
    Ok(Some(manifest.files.len()))
}

async fn download(store: &dyn Store, prefix: &str, directory: &Path, entry: &Entry) -> Result<(), SaveError> {
    let file = directory.join(&entry.path);
    let unusable = |error: io::Error| SaveError::Unusable(format!("{}: {error}", file.display()));
    if let Some(parent) = file.parent() {
        fs::create_dir_all(parent).map_err(unusable)?;
    }
    let another = || SaveError::Unusable(format!("{:?} is not the file that the manifest names", entry.path));
    match store.download(&format!("{prefix}{:06}", entry.object), &file).await {
        Err(StoreError::NotFound { .. }) => return Err(another()),
        done => done?,
    }
    let found = digest(file.clone()).await.map_err(unusable)?;
    if found == (entry.size, entry.hash.clone()) { Ok(()) } else { Err(another()) }
}
