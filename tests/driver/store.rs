//! A bucket in memory in front of which faults can be put.

use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use batchmap::aws::memory::MemoryStore;
use batchmap::aws::store::{Page, Store, StoreError};
use bytes::Bytes;

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The endpoint is out of reach, and nothing has happened.
    Unreachable,
    /// The write has landed, and the answer was lost.
    ReplyLost,
    /// The write has landed; the client has repeated it by itself and found the key taken.
    Repeated,
    /// The write lands, and its answer is a minute and a half in coming: the process was paused meanwhile.
    Paused,
    /// The process dies instead of the call.
    DiesBefore,
    /// The process dies after the call.
    DiesAfter,
}

/// How long [`Fault::Paused`] lasts.
pub const PAUSE: Duration = Duration::from_secs(90);

/// A rule: the calls on keys that contain `part` meet `fault`, after `skip` of them, for `count` of them.
struct Rule {
    operation: &'static str,
    part: String,
    fault: Fault,
    skip: u32,
    count: u32,
}

/// The bucket.
pub struct FaultyStore {
    pub memory: MemoryStore,
    rules: Mutex<Vec<Rule>>,
}

impl FaultyStore {
    pub fn new() -> Self {
        FaultyStore { memory: MemoryStore::new("bucket"), rules: Mutex::default() }
    }

    /// Makes `count` calls of `operation` on keys containing `part` fail, after letting `skip` of them through.
    pub fn fail(&self, operation: &'static str, part: &str, fault: Fault, skip: u32, count: u32) {
        self.rules.lock().unwrap().push(Rule { operation, part: part.to_owned(), fault, skip, count });
    }

    /// Nothing fails any more.
    pub fn heal(&self) {
        self.rules.lock().unwrap().clear();
    }

    fn fault(&self, operation: &'static str, key: &str) -> Option<Fault> {
        let mut rules = self.rules.lock().unwrap();
        // Of two rules for one call the later one is for what the earlier one leaves.
        let due = |rule: &&mut Rule| rule.skip > 0 || rule.count > 0;
        let of = |rule: &&mut Rule| rule.operation == operation && key.contains(&rule.part);
        let rule = rules.iter_mut().filter(due).find(of)?;
        if rule.skip > 0 {
            rule.skip -= 1;
            return None;
        }
        rule.count = rule.count.checked_sub(1)?;
        Some(rule.fault)
    }

    fn unreachable(&self, operation: &'static str, key: &str) -> StoreError {
        let (bucket, key) = (self.bucket().to_owned(), key.to_owned());
        StoreError::Unreachable { operation, bucket, key, message: "no route to host".to_owned() }
    }

    /// An answer upon which a driver stops: it stands for the death of its process.
    fn dead(&self, operation: &'static str, key: &str) -> StoreError {
        let (bucket, key) = (self.bucket().to_owned(), key.to_owned());
        StoreError::Refused { operation, bucket, key, code: "Dead".to_owned(), message: "the process died".to_owned() }
    }
}

#[async_trait]
impl Store for FaultyStore {
    fn bucket(&self) -> &str {
        self.memory.bucket()
    }

    async fn put(&self, key: &str, body: Bytes) -> Result<(), StoreError> {
        match self.fault("put", key) {
            Some(Fault::Paused) => {
                tokio::time::sleep(PAUSE).await;
                self.memory.put(key, body).await
            }
            Some(_) => Err(self.unreachable("PutObject", key)),
            None => self.memory.put(key, body).await,
        }
    }

    async fn put_new(&self, key: &str, body: Bytes) -> Result<(), StoreError> {
        let fault = self.fault("put_new", key);
        match fault {
            Some(Fault::Unreachable) => return Err(self.unreachable("PutObject", key)),
            Some(Fault::DiesBefore) => return Err(self.dead("PutObject", key)),
            _ => self.memory.put_new(key, body.clone()).await?,
        }
        match fault {
            Some(Fault::ReplyLost) => Err(self.unreachable("PutObject", key)),
            Some(Fault::DiesAfter) => Err(self.dead("PutObject", key)),
            Some(Fault::Repeated) => self.memory.put_new(key, body).await,
            Some(Fault::Paused) => {
                tokio::time::sleep(PAUSE).await;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn get(&self, key: &str) -> Result<Bytes, StoreError> {
        match self.fault("get", key) {
            Some(_) => Err(self.unreachable("GetObject", key)),
            None => self.memory.get(key).await,
        }
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.memory.get_range(key, range).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, StoreError> {
        match self.fault("list", prefix) {
            Some(_) => Err(self.unreachable("ListObjectsV2", prefix)),
            None => self.memory.list(prefix, after).await,
        }
    }

    async fn list_directories(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.memory.list_directories(prefix).await
    }

    async fn delete_many(&self, keys: &[String]) -> Result<(), StoreError> {
        let named = keys.first().map_or("", String::as_str);
        match self.fault("delete_many", named) {
            // S3 deletes one after the other: some are gone, and others not.
            Some(_) => {
                self.memory.delete_many(&keys[..keys.len() / 2]).await?;
                Err(self.unreachable("DeleteObjects", named))
            }
            None => self.memory.delete_many(keys).await,
        }
    }

    async fn now(&self) -> Result<u64, StoreError> {
        self.memory.now().await
    }

    async fn upload(&self, key: &str, file: &Path) -> Result<(), StoreError> {
        self.memory.upload(key, file).await
    }

    async fn download(&self, key: &str, file: &Path) -> Result<(), StoreError> {
        self.memory.download(key, file).await
    }
}
