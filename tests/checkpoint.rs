//! Checkpoints: what an attempt leaves is what the next one gets, whoever starts it and however the first one ended.

#[path = "support/child.rs"]
#[allow(dead_code)]
mod child;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use batchmap::aws::memory::MemoryStore;
use batchmap::aws::store::{Page, Store, StoreError};
use batchmap::idl::record::TaskRecord;
use batchmap::map::index::OriginalIndex;
use batchmap::map::layout::{ENV_ARRAY, ENV_PLACE, Place};
use batchmap::worker::{self, WorkerArgs};
use bytes::Bytes;
use nix::sys::signal::Signal;
use prost::Message;
use serde_json::json;
use tokio::sync::Semaphore;

use child::{Outcome, Staged, root};

/// Not a test: the process in which the others run the worker.
#[test]
#[ignore = "other tests start it"]
fn worker_process() {
    // Asked for by name without a test around it, it has nothing to do.
    if let Some(folder) = child::worker_folder() {
        std::process::exit(child::worker_process(&folder));
    }
}

/// Counts one further at each attempt, and fails until three have gone by.
const COUNT: &str = "\
cd $BATCHMAP_CHECKPOINT_DIR
[ -e deep/er/count ] || { mkdir -p deep/er; echo 0 > deep/er/count; }
n=$(($(cat deep/er/count) + 1)); echo $n > deep/er/count
[ $n -ge 3 ] && echo $n || exit 75";

fn task() -> Staged {
    let mut staged = Staged::new(&[json!(1)]).outputs(&[("o0", "integer")]);
    staged.record.checkpoint = true;
    staged
}

/// The same bucket after an attempt.
fn after(mut staged: Staged, outcome: &Outcome) -> Staged {
    staged.objects.extend(outcome.objects.clone());
    staged
}

/// Keys that the worker's own saves have left.
fn saved(objects: &BTreeMap<String, Bytes>) -> Vec<&str> {
    let prefix = root().checkpoints(OriginalIndex(0));
    objects.keys().filter_map(|key| key.strip_prefix(&prefix)).collect()
}

#[test]
fn batchs_own_next_attempt_and_then_a_compacted_array_go_on_where_the_one_before_stopped() {
    let first = task();
    let outcome = first.shell(COUNT, &[]);
    outcome.failed(75);
    assert_eq!(saved(&outcome.objects), ["000000-01.saved/000000", "000000-01.saved/manifest"]);
    let second = after(first, &outcome).set("AWS_BATCH_JOB_ATTEMPT", 2);
    let outcome = second.shell(COUNT, &[]);
    assert_eq!(outcome.code, Some(75), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("the checkpoint of attempt 000000-01 is restored: 1 files"), "{}", outcome.stderr);
    let mut third = after(second, &outcome).set(ENV_PLACE, Place::List).set(ENV_ARRAY, 5);
    third.objects.insert(root().array_indices(5), Bytes::from_static(&[0; 16]));
    let outcome = third.set("AWS_BATCH_JOB_ATTEMPT", 1).shell(COUNT, &[]);
    assert_eq!(outcome.outputs(0), Some(json!({"o0": 3})), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("attempt 000000-02 is restored"), "{}", outcome.stderr);
    assert!(!saved(&outcome.objects).iter().any(|key| key.starts_with("000005")), "a success has no next attempt");
}

#[test]
fn what_a_command_writes_on_sigterm_is_saved() {
    let script = "cd $BATCHMAP_CHECKPOINT_DIR; cat at 2>/dev/null && exit 0; trap 'echo 41 > at; exit 1' TERM; \
                  echo ready; while :; do sleep 0.05; done";
    let staged = task();
    let mut running = staged.start(&["sh", "-c", script]);
    assert_eq!(running.line(), "ready");
    running.signal(Signal::SIGTERM);
    let outcome = running.finish();
    assert_eq!(outcome.failed(1).code, "SYSTEM:Terminated");
    let staged = after(staged, &outcome).set("AWS_BATCH_JOB_ATTEMPT", 2);
    assert_eq!(staged.run(&["sh", "-c", script]).outputs(0), Some(json!({"o0": 41})));
}

#[test]
fn the_directory_stands_in_a_template_too_and_then_nobody_needs_to_ask() {
    let mut staged = task();
    staged.record.checkpoint = false;
    let script = "[ \"$1\" = \"$BATCHMAP_CHECKPOINT_DIR\" ] && echo 7 > $1/x; exit 1";
    let outcome = staged.shell(script, &["{{.checkpointDir}}"]);
    assert_eq!(saved(&outcome.objects), ["000000-01.saved/000000", "000000-01.saved/manifest"], "{}", outcome.stderr);
    let outcome = staged.shell("env | grep -c CHECKPOINT; exit 1", &[]);
    assert_eq!(outcome.stdout, b"0\n");
    assert!(saved(&outcome.objects).is_empty());
}

#[test]
fn a_command_with_checkpoints_of_its_own_gets_flytes_prefixes() {
    let command = ["echo", "{{.checkpointOutputPrefix}}", "{{.prevCheckpointPrefix}}"];
    let mut staged = task().outputs(&[("o0", "string")]);
    staged.record.checkpoint = false;
    let prefix = "s3://bucket/p/executions/e1/subtasks/0000000000/checkpoint";
    let first = format!("{prefix}/000000-01 \"\"");
    assert_eq!(staged.run(&command).succeeded(), json!({ "o0": first }));
    // Attempts that left something, in no order; one that only has the worker's own save; and this one's.
    for left in ["000000-02/_dst_cp", "000000-01/_dst_cp", "000000-03.saved/manifest", "000002-01/_dst_cp"] {
        let key = format!("{}{left}", root().checkpoints(OriginalIndex(0)));
        staged.objects.insert(key, Bytes::from_static(b"1"));
    }
    let staged = staged.set(ENV_ARRAY, 2);
    let next = format!("{prefix}/000002-01 {prefix}/000000-02");
    assert_eq!(staged.run(&command).outputs(0), Some(json!({ "o0": next })));
}

#[test]
fn a_damaged_checkpoint_is_passed_over_for_the_one_before() {
    let first = task();
    let outcome = first.shell(COUNT, &[]);
    let second = after(first, &outcome).set("AWS_BATCH_JOB_ATTEMPT", 2);
    let outcome = second.shell(COUNT, &[]);
    let third = after(second, &outcome);
    let saved = format!("{}000000-02.saved/", root().checkpoints(OriginalIndex(0)));
    for (name, body) in [("manifest", "{}"), ("000000", "9"), ("000000", "")] {
        let mut staged = task().set("AWS_BATCH_JOB_ATTEMPT", 3);
        staged.objects = third.objects.clone();
        staged.objects.insert(format!("{saved}{name}"), body.into());
        let outcome = staged.shell("cat $BATCHMAP_CHECKPOINT_DIR/deep/er/count", &[]);
        assert_eq!(outcome.outputs(0), Some(json!({"o0": 1})), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("attempt 000000-02 is passed over"), "{}", outcome.stderr);
    }
}

// In this process, on a clock that runs ahead whenever all wait.

/// A store that counts its calls, and of which one write can be made to hang.
struct Watched {
    inner: MemoryStore,
    calls: Mutex<Vec<String>>,
    /// The end of the key whose write hangs, once that many of them have gone through.
    hang: Mutex<Option<(&'static str, u32)>>,
    /// One for each manifest, for the write that hangs, and for each upload that is done beside it.
    news: Semaphore,
}

impl Watched {
    async fn of(staged: &Staged) -> Arc<Self> {
        let inner = MemoryStore::new("bucket");
        for (key, body) in staged.all() {
            inner.put(&key, body).await.unwrap();
        }
        Arc::new(Watched { inner, calls: Mutex::default(), hang: Mutex::default(), news: Semaphore::new(0) })
    }

    fn note(&self, call: &str, key: &str) {
        self.calls.lock().unwrap().push(format!("{call} {key}"));
    }

    async fn write(&self, key: &str) {
        self.note("write", key);
        let hangs = match self.hang.lock().unwrap().as_mut() {
            Some((end, 0)) => key.ends_with(*end),
            Some((end, left)) => {
                *left -= u32::from(key.ends_with(*end));
                false
            }
            None => false,
        };
        if hangs {
            self.news.add_permits(1);
            std::future::pending::<()>().await;
        }
    }

    fn hang(&self, end: &'static str, after: u32) {
        *self.hang.lock().unwrap() = Some((end, after));
    }
}

#[async_trait]
impl Store for Watched {
    fn bucket(&self) -> &str {
        self.inner.bucket()
    }
    async fn put(&self, key: &str, body: Bytes) -> Result<(), StoreError> {
        self.write(key).await;
        self.inner.put(key, body).await?;
        if key.ends_with("manifest") {
            self.news.add_permits(1);
        }
        Ok(())
    }
    async fn put_new(&self, key: &str, body: Bytes) -> Result<(), StoreError> {
        self.write(key).await;
        self.inner.put_new(key, body).await
    }
    async fn get(&self, key: &str) -> Result<Bytes, StoreError> {
        self.note("read", key);
        self.inner.get(key).await
    }
    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        if !range.is_empty() {
            self.note("read", key);
        }
        self.inner.get_range(key, range).await
    }
    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, StoreError> {
        self.note("list", prefix);
        self.inner.list(prefix, after).await
    }
    async fn list_directories(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.note("list", prefix);
        self.inner.list_directories(prefix).await
    }
    async fn delete_many(&self, keys: &[String]) -> Result<(), StoreError> {
        self.note("delete", &keys.join(" "));
        self.inner.delete_many(keys).await
    }
    async fn now(&self) -> Result<u64, StoreError> {
        self.inner.now().await
    }
    async fn upload(&self, key: &str, file: &Path) -> Result<(), StoreError> {
        self.write(key).await;
        self.inner.upload(key, file).await?;
        if self.hang.lock().unwrap().is_some() {
            self.news.add_permits(1);
        }
        Ok(())
    }
    async fn download(&self, key: &str, file: &Path) -> Result<(), StoreError> {
        self.note("read", key);
        self.inner.download(key, file).await
    }
}

async fn run_here(staged: &Staged, store: &Arc<Watched>, attempt: u32, script: &str) -> i32 {
    let mut environment: BTreeMap<_, _> =
        staged.environment.iter().map(|(name, value)| (name.into(), value.into())).collect();
    environment.insert("AWS_BATCH_JOB_ATTEMPT".into(), attempt.to_string().into());
    environment.insert("PLACE".into(), staged.path().into());
    let args = WorkerArgs { command: ["sh", "-c", script].map(str::to_owned).to_vec(), environment };
    worker::run(args, async |_: &str| Ok(store.clone() as Arc<dyn Store>)).await
}

/// Runs the first attempt, does `then` at the first piece of news, and kills it at the last: whatever it was at, it does
/// no more.
async fn run_and_kill(staged: &Staged, store: &Arc<Watched>, script: &str, then: &[&(dyn Fn() + Sync)]) {
    let news = async {
        for then in then {
            store.news.acquire().await.unwrap().forget();
            then();
        }
        store.news.acquire().await.unwrap().forget();
    };
    tokio::select! {
        code = run_here(staged, store, 1, script) => panic!("it ended with {code}"),
        () = news => {}
    }
    *store.hang.lock().unwrap() = None;
}

/// What the second attempt finds, in one line.
async fn found(staged: &Staged, store: &Arc<Watched>) -> String {
    let script =
        "cd $BATCHMAP_CHECKPOINT_DIR; for f in $(find . -type f | sort); do echo $f $(cat $f); done > $PLACE/seen";
    run_here(staged, store, 2, script).await;
    let seen = std::fs::read_to_string(staged.path().join("seen")).unwrap();
    seen.lines().collect::<Vec<_>>().join(", ")
}

#[tokio::test(start_paused = true)]
async fn what_changes_is_saved_while_the_command_runs() {
    let (staged, script) = (task(), "cd $BATCHMAP_CHECKPOINT_DIR; echo 1 > .new; mv .new step; exec sleep 1000");
    let store = Watched::of(&staged).await;
    run_and_kill(&staged, &store, script, &[]).await;
    assert!(!store.inner.objects().contains_key(&root().error(OriginalIndex(0), "000000-01")));
    assert!(["./step 1", "./.new 1"].contains(&found(&staged, &store).await.as_str()), "whole either way");
}

/// Two sets, each put in place at once; the second save stops after the first of its two files.
#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_killed_midway_of_an_upload_leaves_the_checkpoint_before() {
    let staged = task();
    let store = Watched::of(&staged).await;
    let script = "mk() { mkdir $PLACE/$1; echo $1 > $PLACE/$1/a; echo $1 > $PLACE/$1/b; mv $PLACE/$1 $BATCHMAP_CHECKPOINT_DIR/; }; \
                  mk one; until [ -e $PLACE/go ]; do sleep 0.01; done; mk two; exec sleep 1000";
    let go = || {
        store.hang("000003", 0);
        std::fs::write(staged.path().join("go"), "").unwrap();
    };
    run_and_kill(&staged, &store, script, &[&go, &|| {}]).await;
    let objects = store.inner.objects();
    assert!(saved(&objects).contains(&"000000-01.saved/000002"), "half of it is there: {:?}", saved(&objects));
    assert_eq!(found(&staged, &store).await, "./one/a one, ./one/b one");
}

/// The new version of a file is uploaded, and the manifest that would name it does not get there.
#[tokio::test(start_paused = true)]
async fn a_new_version_of_a_file_does_not_overwrite_the_one_that_counts() {
    let staged = task();
    let store = Watched::of(&staged).await;
    let script = "put() { echo $1 > $PLACE/new; mv $PLACE/new $BATCHMAP_CHECKPOINT_DIR/step; }; \
                  put 1; until [ -e $PLACE/go ]; do sleep 0.01; done; put 2; exec sleep 1000";
    let go = || {
        store.hang("manifest", 0);
        std::fs::write(staged.path().join("go"), "").unwrap();
    };
    run_and_kill(&staged, &store, script, &[&go, &|| {}]).await;
    let objects = store.inner.objects();
    assert_eq!(saved(&objects).len(), 3, "two versions and a manifest: {:?}", saved(&objects));
    assert_eq!(found(&staged, &store).await, "./step 1");
}

/// The clock stands still while somebody reads the pipe, so the time is up only once the command has written.
#[tokio::test(start_paused = true)]
async fn what_a_command_had_when_its_time_was_up_is_saved() {
    let staged = task().timeout_ms(60_000);
    let store = Watched::of(&staged).await;
    let pipe = staged.path().join("ready");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let ready = tokio::task::spawn_blocking(move || std::fs::read(pipe));
    let script = "echo 5 > $BATCHMAP_CHECKPOINT_DIR/step; echo > $PLACE/ready; exec sleep 1000";
    assert_eq!(run_here(&staged, &store, 1, script).await, 124);
    ready.await.unwrap().unwrap();
    let timeless = TaskRecord { policy: None, ..staged.record.clone() };
    store.inner.put(&root().task(), timeless.encode_to_vec().into()).await.unwrap();
    assert_eq!(found(&staged, &store).await, "./step 5");
}

#[tokio::test]
async fn who_does_not_use_checkpoints_pays_no_request_for_them() {
    let mut staged = task();
    for (asked, requests) in [(false, 4), (true, 5)] {
        staged.record.checkpoint = asked;
        let store = Watched::of(&staged).await;
        assert_eq!(run_here(&staged, &store, 1, "echo 1").await, 0);
        let calls = store.calls.lock().unwrap().clone();
        // Index entry and record; the element, for there is no head; the outputs. And one look at what there is.
        assert_eq!(calls.len(), requests, "{calls:?}");
        assert_eq!(calls.iter().any(|call| call.starts_with("list ")), asked);
    }
}

#[tokio::test]
async fn an_unchanged_checkpoint_is_not_saved_again() {
    let staged = task();
    let store = Watched::of(&staged).await;
    assert_eq!(run_here(&staged, &store, 1, "echo 1 > $BATCHMAP_CHECKPOINT_DIR/x; exit 75").await, 75);
    assert_eq!(run_here(&staged, &store, 2, "exit 75").await, 75);
    assert_eq!(saved(&store.inner.objects()), ["000000-01.saved/000000", "000000-01.saved/manifest"]);
    // And an emptied one is a checkpoint as well.
    assert_eq!(run_here(&staged, &store, 3, "rm $BATCHMAP_CHECKPOINT_DIR/x; exit 75").await, 75);
    assert_eq!(saved(&store.inner.objects()).last(), Some(&"000000-03.saved/manifest"));
}
