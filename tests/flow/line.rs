//! One host's line to the bucket: it can be cut, for good or for a while, and what goes over it can be held.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use batchmap::aws::store::{Page, Store, StoreError};
use bytes::Bytes;
use tokio::sync::{Notify, Semaphore};

use super::store::FaultyStore;

/// A host's line.
pub struct Line {
    inner: Arc<FaultyStore>,
    /// Writes that still go through; the host is dead after them.
    writes: AtomicI64,
    cut: AtomicBool,
    /// Calls that have been made, each with its key.
    calls: Mutex<Vec<(&'static str, String)>>,
    called: Notify,
    held: Mutex<Option<Held>>,
}

struct Held {
    operation: &'static str,
    part: String,
    gate: Arc<Semaphore>,
}

impl Line {
    pub fn new(inner: Arc<FaultyStore>) -> Line {
        Line {
            inner,
            writes: AtomicI64::new(i64::MAX),
            cut: AtomicBool::new(false),
            calls: Mutex::default(),
            called: Notify::new(),
            held: Mutex::default(),
        }
    }

    /// The host dies after this many more writes: nothing it does reaches anybody then.
    pub fn dies_after(&self, writes: i64) {
        self.writes.store(writes, Ordering::SeqCst);
    }

    pub fn is_dead(&self) -> bool {
        self.writes.load(Ordering::SeqCst) <= 0
    }

    /// Whether S3 is out of reach.
    pub fn cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::SeqCst);
    }

    /// Holds the calls of `operation` on keys that contain `part`.
    pub fn hold(&self, operation: &'static str, part: &str) {
        let held = Held { operation, part: part.to_owned(), gate: Arc::new(Semaphore::new(0)) };
        *self.held.lock().unwrap() = Some(held);
    }

    /// Lets them through.
    pub fn release(&self) {
        if let Some(held) = self.held.lock().unwrap().take() {
            held.gate.close();
        }
    }

    pub fn count(&self, operation: &str, part: &str) -> usize {
        self.calls.lock().unwrap().iter().filter(|(of, key)| *of == operation && key.contains(part)).count()
    }

    /// Waits for this many more calls.
    pub async fn calls(&self, operation: &str, part: &str, more: usize) {
        let due = self.count(operation, part) + more;
        loop {
            let called = self.called.notified();
            tokio::pin!(called);
            called.as_mut().enable();
            if self.count(operation, part) >= due {
                return;
            }
            called.await;
        }
    }

    fn unreachable(&self, operation: &'static str, key: &str) -> StoreError {
        let (bucket, key) = (self.bucket().to_owned(), key.to_owned());
        StoreError::Unreachable { operation, bucket, key, message: "no route to host".to_owned() }
    }

    fn dead(&self, operation: &'static str, key: &str) -> StoreError {
        let (bucket, key) = (self.bucket().to_owned(), key.to_owned());
        StoreError::Refused { operation, bucket, key, code: "Dead".to_owned(), message: "the host is dead".to_owned() }
    }

    async fn pass(&self, operation: &'static str, key: &str) -> Result<(), StoreError> {
        self.calls.lock().unwrap().push((operation, key.to_owned()));
        self.called.notify_waiters();
        let gate = {
            let held = self.held.lock().unwrap();
            let held = held.as_ref().filter(|held| held.operation == operation && key.contains(&held.part));
            held.map(|held| held.gate.clone())
        };
        if let Some(gate) = gate {
            // Closed when it is to pass.
            let _ = gate.acquire().await;
        }
        if self.cut.load(Ordering::SeqCst) {
            return Err(self.unreachable(operation, key));
        }
        if self.is_dead() {
            return Err(self.dead(operation, key));
        }
        Ok(())
    }

    async fn write(&self, operation: &'static str, key: &str) -> Result<(), StoreError> {
        self.pass(operation, key).await?;
        if self.writes.fetch_sub(1, Ordering::SeqCst) <= 0 {
            return Err(self.dead(operation, key));
        }
        Ok(())
    }
}

#[async_trait]
impl Store for Line {
    fn bucket(&self) -> &str {
        self.inner.bucket()
    }

    async fn put(&self, key: &str, body: Bytes) -> Result<(), StoreError> {
        self.write("put", key).await?;
        self.inner.put(key, body).await
    }

    async fn put_new(&self, key: &str, body: Bytes) -> Result<(), StoreError> {
        self.write("put_new", key).await?;
        self.inner.put_new(key, body).await
    }

    async fn get(&self, key: &str) -> Result<Bytes, StoreError> {
        self.pass("get", key).await?;
        self.inner.get(key).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.pass("get", key).await?;
        self.inner.get_range(key, range).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, StoreError> {
        self.pass("list", prefix).await?;
        self.inner.list(prefix, after).await
    }

    async fn list_directories(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.pass("list", prefix).await?;
        self.inner.list_directories(prefix).await
    }

    async fn delete_many(&self, keys: &[String]) -> Result<(), StoreError> {
        self.write("delete_many", keys.first().map_or("", String::as_str)).await?;
        self.inner.delete_many(keys).await
    }

    async fn now(&self) -> Result<u64, StoreError> {
        self.pass("now", "").await?;
        self.inner.now().await
    }

    async fn upload(&self, key: &str, file: &Path) -> Result<(), StoreError> {
        self.write("put", key).await?;
        self.inner.upload(key, file).await
    }

    async fn download(&self, key: &str, file: &Path) -> Result<(), StoreError> {
        self.pass("get", key).await?;
        self.inner.download(key, file).await
    }
}
