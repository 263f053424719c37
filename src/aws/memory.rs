//! A bucket in memory: the double for tests of everything that needs a [`Store`].

use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;

use super::store::{Listed, Page, Store, StoreError};

/// Objects of one page of a listing, as S3 has it.
const PAGE: usize = 1000;

/// A bucket in memory. Every call is atomic.
#[derive(Debug, Default)]
pub struct MemoryStore {
    bucket: String,
    objects: Mutex<BTreeMap<String, Object>>,
    /// What its clock shows when it stands still; otherwise it goes with this machine's.
    still_ms: Option<u64>,
    /// How far its clock is ahead of that, in milliseconds.
    ahead_ms: AtomicU64,
}

#[derive(Clone, Debug)]
struct Object {
    body: Bytes,
    modified_ms: u64,
}

impl MemoryStore {
    /// An empty bucket called `bucket`.
    pub fn new(bucket: &str) -> Self {
        MemoryStore { bucket: bucket.to_owned(), ..MemoryStore::default() }
    }

    /// An empty bucket called `bucket`, whose clock shows `now_ms` and is moved by [`MemoryStore::pass`] alone.
    pub fn standing_still(bucket: &str, now_ms: u64) -> Self {
        MemoryStore { still_ms: Some(now_ms), ..MemoryStore::new(bucket) }
    }

    /// Every object by its key.
    pub fn objects(&self) -> BTreeMap<String, Bytes> {
        self.lock().iter().map(|(key, object)| (key.clone(), object.body.clone())).collect()
    }

    /// Takes an object away, if it is there.
    pub fn remove(&self, key: &str) -> Option<Bytes> {
        self.lock().remove(key).map(|object| object.body)
    }

    /// Lets `time` pass by the store's clock: what is there now is that much older afterwards.
    pub fn pass(&self, time: Duration) {
        self.ahead_ms.fetch_add(time.as_millis() as u64, Ordering::Relaxed);
    }

    fn now_ms(&self) -> u64 {
        let machine = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        self.still_ms.unwrap_or_else(machine) + self.ahead_ms.load(Ordering::Relaxed)
    }

    fn object(&self, body: Bytes) -> Object {
        Object { body, modified_ms: self.now_ms() }
    }

    // No call leaves the map half changed, so one that a panic has interrupted is as good as any.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Object>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn not_found(&self, key: &str) -> StoreError {
        StoreError::NotFound { bucket: self.bucket.clone(), key: key.to_owned() }
    }

    fn refused(&self, operation: &'static str, key: &str, code: &str, message: String) -> StoreError {
        let (bucket, key, code) = (self.bucket.clone(), key.to_owned(), code.to_owned());
        StoreError::Refused { operation, bucket, key, code, message }
    }

    fn local(&self, operation: &'static str, key: &str, file: &Path, error: &std::io::Error) -> StoreError {
        self.refused(operation, key, "LocalFile", format!("{}: {error}", file.display()))
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn bucket(&self) -> &str {
        &self.bucket
    }

    async fn put(&self, key: &str, body: Bytes) -> Result<(), StoreError> {
        self.lock().insert(key.to_owned(), self.object(body));
        Ok(())
    }

    async fn put_new(&self, key: &str, body: Bytes) -> Result<(), StoreError> {
        let mut objects = self.lock();
        if objects.contains_key(key) {
            return Err(StoreError::AlreadyExists { bucket: self.bucket.clone(), key: key.to_owned() });
        }
        objects.insert(key.to_owned(), self.object(body));
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<Bytes, StoreError> {
        self.lock().get(key).map(|object| object.body.clone()).ok_or_else(|| self.not_found(key))
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let object = self.get(key).await?;
        let size = object.len() as u64;
        if range.start >= size {
            let message = format!("bytes {range:?} of an object of {size}");
            return Err(self.refused("GetObject", key, "InvalidRange", message));
        }
        Ok(object.slice(range.start as usize..range.end.min(size) as usize))
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, StoreError> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let objects = self.lock();
        let found = objects.range::<str, _>((from, Bound::Unbounded)).take_while(|(key, _)| key.starts_with(prefix));
        let mut listed = found.map(|(key, object)| Listed {
            key: key.clone(),
            size: object.body.len() as u64,
            modified_ms: object.modified_ms,
        });
        Ok(Page { objects: listed.by_ref().take(PAGE).collect(), more: listed.next().is_some() })
    }

    async fn list_directories(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let objects = self.lock();
        let below = objects.keys().filter_map(|key| key.strip_prefix(prefix)?.split_once('/'));
        let mut names: Vec<String> = below.map(|(name, _)| name.to_owned()).collect();
        names.dedup();
        Ok(names)
    }

    async fn delete_many(&self, keys: &[String]) -> Result<(), StoreError> {
        let mut objects = self.lock();
        for key in keys {
            objects.remove(key);
        }
        Ok(())
    }

    async fn now(&self) -> Result<u64, StoreError> {
        Ok(self.now_ms())
    }

    async fn upload(&self, key: &str, file: &Path) -> Result<(), StoreError> {
        let body = tokio::fs::read(file).await.map_err(|error| self.local("PutObject", key, file, &error))?;
        self.put(key, body.into()).await
    }

    async fn download(&self, key: &str, file: &Path) -> Result<(), StoreError> {
        let body = self.get(key).await?;
        tokio::fs::write(file, body).await.map_err(|error| self.local("GetObject", key, file, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn bucket_with(keys: impl IntoIterator<Item = String>) -> MemoryStore {
        let store = MemoryStore::new("bucket");
        for key in keys {
            store.put(&key, Bytes::from_static(b"body")).await.unwrap();
        }
        store
    }

    #[tokio::test]
    async fn the_first_of_two_new_ones_stays() {
        let store = MemoryStore::new("bucket");
        store.put_new("k", Bytes::from_static(b"first")).await.unwrap();
        let second = store.put_new("k", Bytes::from_static(b"second")).await;
        assert!(matches!(second, Err(StoreError::AlreadyExists { .. })));
        assert_eq!(store.get("k").await.unwrap(), "first");
        assert!(matches!(store.get("other").await, Err(StoreError::NotFound { .. })));
    }

    #[tokio::test]
    async fn ranges() {
        let store = bucket_with(["k".to_owned()]).await;
        assert_eq!(store.get_range("k", 1..3).await.unwrap(), "od");
        assert_eq!(store.get_range("k", 2..9).await.unwrap(), "dy");
        assert!(
            matches!(store.get_range("k", 4..5).await, Err(StoreError::Refused { code, .. }) if code == "InvalidRange")
        );
        assert_eq!(store.get_range("missing", 3..3).await.unwrap(), "");
    }

    #[tokio::test]
    async fn listings_come_in_pages() {
        let store = bucket_with((0..2001).map(|n| format!("a/{n:04}")).chain(["b".to_owned()])).await;
        let first = store.list("a/", None).await.unwrap();
        assert_eq!((first.objects.len(), first.more), (1000, true));
        let second = store.list("a/", Some(&first.objects[999].key)).await.unwrap();
        assert_eq!((second.objects[0].key.as_str(), second.objects[0].size), ("a/1000", 4));
        let third = store.list("a/", Some("a/1999")).await.unwrap();
        assert_eq!((third.objects.len(), third.more), (1, false));
        assert_eq!(store.list("b", Some("a")).await.unwrap().objects.len(), 1);
        assert_eq!(store.list("a/", Some("b")).await.unwrap(), Page::default());
    }

    #[tokio::test]
    async fn directories() {
        let store = bucket_with(["d/a/1", "d/a/2", "d/b/1", "d/file", "e/c/1"].map(str::to_owned)).await;
        assert_eq!(store.list_directories("d/").await.unwrap(), ["a", "b"]);
    }

    #[tokio::test]
    async fn a_clock_that_stands_still_is_moved_by_hand() {
        let store = MemoryStore::standing_still("bucket", 5_000);
        store.put("old", Bytes::new()).await.unwrap();
        store.pass(Duration::from_secs(2));
        store.put("young", Bytes::new()).await.unwrap();
        let dates: Vec<u64> =
            store.list("", None).await.unwrap().objects.iter().map(|object| object.modified_ms).collect();
        assert_eq!((dates, store.now().await.unwrap()), (vec![5_000, 7_000], 7_000));
    }

    #[tokio::test]
    async fn files() {
        let store = bucket_with(["k".to_owned()]).await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f");
        store.download("k", &file).await.unwrap();
        store.upload("again", &file).await.unwrap();
        assert_eq!(store.get("again").await.unwrap(), "body");
        assert!(store.upload("x", &folder.path().join("missing")).await.is_err());
    }
}
