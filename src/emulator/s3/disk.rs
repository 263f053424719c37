//! All buckets, as directories.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use super::bucket::{Bucket, Care, REMOVED};

/// The store: `<root>/<bucket>/`.
#[derive(Debug)]
pub(super) struct Disk {
    root: PathBuf,
    care: Care,
    buckets: RwLock<BTreeMap<String, Arc<Bucket>>>,
}

impl Disk {
    /// Opens every bucket below `root`.
    pub(super) fn open(root: PathBuf, care: Care) -> io::Result<Disk> {
        let mut buckets = BTreeMap::new();
        let entries = match std::fs::read_dir(&root) {
            Ok(entries) => Some(entries),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => None,
            Err(cause) => return Err(cause),
        };
        for entry in entries.into_iter().flatten() {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(REMOVED) {
                // Its removal was cut short.
                if !care.read_only {
                    std::fs::remove_dir_all(entry.path())?;
                }
                continue;
            }
            if entry.file_type()?.is_dir() {
                let bucket = Bucket::open(entry.path(), care)?;
                buckets.insert(bucket.name.clone(), Arc::new(bucket));
            }
        }
        Ok(Disk { root, care, buckets: RwLock::new(buckets) })
    }

    /// A bucket by name.
    pub(super) fn bucket(&self, name: &str) -> Option<Arc<Bucket>> {
        self.buckets.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// All buckets, by name.
    pub(super) fn all(&self) -> Vec<Arc<Bucket>> {
        self.buckets.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Makes a bucket (whose name has been checked to be one); nothing when it exists. Of a read-only store, nothing.
    pub(super) fn create(&self, name: &str) -> io::Result<()> {
        let mut buckets = self.buckets.write().unwrap_or_else(PoisonError::into_inner);
        if !buckets.contains_key(name) && !self.care.read_only {
            let bucket = Bucket::open(self.root.join(name), self.care)?;
            buckets.insert(name.to_owned(), Arc::new(bucket));
        }
        Ok(())
    }

    /// Removes a bucket that holds no object; whether it did not.
    pub(super) fn remove(&self, name: &str) -> io::Result<bool> {
        let mut buckets = self.buckets.write().unwrap_or_else(PoisonError::into_inner);
        match buckets.get(name) {
            Some(bucket) => {
                let removed = bucket.destroy()?;
                if removed {
                    buckets.remove(name);
                }
                Ok(removed)
            }
            None => Ok(true),
        }
    }
}
