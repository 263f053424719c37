//! `gc` and `recover` at the same time, in every order of their calls: what a new execution relies on is never removed,
//! or that execution never begins.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use batchmap::aws::memory::MemoryStore;
use batchmap::aws::store::{Page, Store, StoreError};
use batchmap::idl::record::TaskRecord;
use batchmap::map::event::Decision;
use batchmap::map::layout::Root;
use batchmap::run::gc::{self, Options, State};
use batchmap::run::recover::{self, RecoverError};
use bytes::Bytes;
use tokio::sync::Mutex;

use super::harness::{Harness, task};

const DAY: Duration = Duration::from_secs(86_400);

/// What the other command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It writes its record.
    Write,
    /// It makes sure that all is there.
    Confirm,
}

/// A bucket in which the other command takes its steps before calls of the first.
struct Between {
    memory: Arc<MemoryStore>,
    calls: AtomicU32,
    steps: Mutex<BTreeMap<u32, Vec<Step>>>,
    new: (Root, TaskRecord),
    confirmed: Mutex<Option<Result<(), RecoverError>>>,
}

impl Between {
    /// The other command's turn, before the next call.
    async fn turn(&self) -> &MemoryStore {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let steps = self.steps.lock().await.remove(&call).unwrap_or_default();
        for step in steps {
            self.take(step).await;
        }
        &self.memory
    }

    async fn take(&self, step: Step) {
        let (root, record) = &self.new;
        match step {
            Step::Write => {
                let store: Arc<dyn Store> = self.memory.clone();
                recover::write(&store, root, record).await.unwrap();
            }
            Step::Confirm => {
                let confirmed = recover::confirm(self.memory.as_ref(), root, record).await;
                *self.confirmed.lock().await = Some(confirmed);
            }
        }
    }

    /// What is left when the first command has ended.
    async fn rest(&self) {
        let left: Vec<Step> = std::mem::take(&mut *self.steps.lock().await).into_values().flatten().collect();
        for step in left {
            self.take(step).await;
        }
    }
}

#[async_trait]
impl Store for Between {
    fn bucket(&self) -> &str {
        self.memory.bucket()
    }
    async fn put(&self, key: &str, body: Bytes) -> Result<(), StoreError> {
        self.turn().await.put(key, body).await
    }
    async fn put_new(&self, key: &str, body: Bytes) -> Result<(), StoreError> {
        self.turn().await.put_new(key, body).await
    }
    async fn get(&self, key: &str) -> Result<Bytes, StoreError> {
        self.turn().await.get(key).await
    }
    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.turn().await.get_range(key, range).await
    }
    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, StoreError> {
        self.turn().await.list(prefix, after).await
    }
    async fn list_directories(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.turn().await.list_directories(prefix).await
    }
    async fn delete_many(&self, keys: &[String]) -> Result<(), StoreError> {
        self.turn().await.delete_many(keys).await
    }
    async fn now(&self) -> Result<u64, StoreError> {
        self.turn().await.now().await
    }
    async fn upload(&self, key: &str, file: &Path) -> Result<(), StoreError> {
        self.turn().await.upload(key, file).await
    }
    async fn download(&self, key: &str, file: &Path) -> Result<(), StoreError> {
        self.turn().await.download(key, file).await
    }
}

#[tokio::test(start_paused = true)]
async fn gc_and_recover_see_one_another_whatever_the_order() {
    let options = Options {
        older_than: 30 * DAY,
        states: [State::Succeeded].into(),
        cache_older_than: None,
        damaged: false,
        dry_run: false,
    };
    let harness = Harness::new(task(3)).await;
    assert_eq!(harness.run().await.0, Decision::Succeeded);
    harness.store.memory.put(&harness.root.pack(0), "a pack".into()).await.unwrap();
    harness.store.memory.put(&format!("{}0000000001/a/o", harness.root.raw()), "a file".into()).await.unwrap();
    let old = harness.store.memory.objects();
    let record = TaskRecord { inputs_of: "x".to_owned(), relies_on: vec!["x".to_owned()], ..harness.record.clone() };
    let (mut begun, mut refused, mut last) = (0, 0, 8);
    let mut write = 0;
    while write <= last {
        let reach = last;
        for confirm in write..=reach {
            let memory = Arc::new(MemoryStore::new("bucket"));
            for (key, body) in &old {
                memory.put(key, body.clone()).await.unwrap();
            }
            memory.pass(31 * DAY);
            let mut steps: BTreeMap<u32, Vec<Step>> = BTreeMap::new();
            steps.entry(write).or_default().push(Step::Write);
            steps.entry(confirm).or_default().push(Step::Confirm);
            let new = (Root::new("", "y"), record.clone());
            let calls = AtomicU32::new(0);
            let between =
                Arc::new(Between { memory: memory.clone(), calls, steps: steps.into(), new, confirmed: None.into() });
            let store: Arc<dyn Store> = between.clone();
            gc::run(&store, "", &options).await.unwrap();
            last = last.max(between.calls.load(Ordering::Relaxed));
            between.rest().await;
            let now = memory.objects();
            match between.confirmed.lock().await.take().unwrap() {
                Ok(()) => {
                    begun += 1;
                    let missing: Vec<&String> = old.keys().filter(|key| !now.contains_key(*key)).collect();
                    let ours = |key: &&&String| !key.starts_with("raw/");
                    assert!(!missing.iter().any(|key| ours(&key)), "write {write}, confirm {confirm}: {missing:?}");
                    assert!(now.contains_key("executions/y/task.pb"));
                }
                Err(RecoverError::Removed { id }) => {
                    refused += 1;
                    assert_eq!(id, "x");
                    assert!(
                        !now.keys().any(|key| key.starts_with("executions/y/")),
                        "write {write}, confirm {confirm}"
                    );
                }
                Err(error) => panic!("{error}"),
            }
        }
        write += 1;
    }
    assert!(begun > 5 && refused > 5 && last > 8, "{begun} began, {refused} were refused, of {last} calls");
}
