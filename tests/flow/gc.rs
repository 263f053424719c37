//! `gc` and executions of workflows: what goes, what stays, and what a removal that meets others, or is broken off, leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use batchmap::aws::memory::MemoryStore;
use batchmap::aws::store::{Page, Store, StoreError};
use batchmap::idl::core::LiteralMap;
use batchmap::idl::make;
use batchmap::idl::record::FlowRecord;
use batchmap::map::layout::flyte::{FlyteRoot, Kind, REMOVED_VERSION};
use batchmap::run::flow::{CreateError, Flows, ViewError};
use batchmap::run::gc::{self, Options, Report, State, Why};
use bytes::Bytes;
use prost::Message;
use tokio::sync::Mutex;

use super::store::Fault;
use super::world::{HOUR, PATIENT, World, assert_done, ended, eventually, id, identifier, record};

const DAY: Duration = HOUR.saturating_mul(24);

fn options() -> Options {
    let states = [State::Succeeded, State::Failed, State::Aborted, State::Unbegun].into();
    Options { older_than: 30 * DAY, states, cache_older_than: None, damaged: false, dry_run: false }
}

async fn gc(world: &World, options: &Options) -> Report {
    let store: Arc<dyn Store> = world.store.clone();
    gc::run(&store, "", options).await.unwrap()
}

fn gone(report: &Report) -> Vec<&str> {
    report.workflows.iter().map(|removed| removed.id.as_str()).collect()
}

fn why<'a>(report: &'a Report, id: &str) -> &'a Why {
    let kept: Vec<_> = report.kept.iter().filter(|kept| kept.id == id).collect();
    assert_eq!(kept.len(), 1, "{id} is kept once: {report:?}");
    &kept[0].why
}

/// Keys but for servers' signs of life.
fn keys(world: &World) -> BTreeSet<String> {
    world.store.memory.objects().into_keys().filter(|key| !key.contains("servers/")).collect()
}

async fn run(flows: &Flows, world: &World, name: &str) {
    flows.create(record(name)).await.unwrap();
    assert_done(world, flows, name).await;
    eventually("the mark to go", async || world.keys(&format!("running/p/d/{name}")).is_empty()).await;
}

/// Succeeded a month ago, and nothing else in the bucket.
async fn old_success() -> World {
    let world = World::new();
    let (flows, _) = world.open("first", PATIENT);
    run(&flows, &world, "e").await;
    flows.stop().await;
    world.store.memory.pass(31 * DAY);
    world
}

async fn put(world: &World, key: &str, body: impl Into<Bytes>) {
    world.store.memory.put(key, body.into()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_old_and_over_goes_with_its_nodes() {
    let world = old_success().await;
    let entity = world.root.entity(Kind::Task, &identifier(batchmap::idl::core::ResourceType::Task, "t"));
    put(&world, &entity, "an entity").await;
    let before = world.store.memory.objects();
    let dry = gc(&world, &Options { dry_run: true, ..options() }).await;
    assert_eq!(world.store.memory.objects(), before, "a dry run changes nothing");
    let report = gc(&world, &options()).await;
    assert_eq!(report, dry, "and tells the truth");
    assert_eq!((gone(&report), report.removed.len(), report.kept.len()), (vec!["p/d/e"], 2, 0));
    let amounts = report.removed.iter().chain(&report.workflows).map(|removed| removed.amount.objects);
    assert_eq!(amounts.sum::<u64>(), before.len() as u64 - 1);
    assert_eq!(keys(&world), [entity].into(), "what is registered stays");
    assert_eq!(gc(&world, &options()).await, Report::default());
    // The name may be given again.
    let (flows, _) = world.open("second", PATIENT);
    assert!(matches!(flows.view(&id("e")).await, Err(ViewError::Unknown { .. })));
    run(&flows, &world, "e").await;
    flows.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_is_young_or_was_not_asked_for_stays_with_its_nodes() {
    let world = World::endless();
    let (flows, _) = world.open("first", PATIENT);
    flows.create(record("e")).await.unwrap();
    eventually("a job", async || world.batch.submits() == 1).await;
    let now = Options { older_than: Duration::ZERO, ..options() };
    let before: BTreeSet<String> = keys(&world);
    let report = gc(&world, &now).await;
    assert_eq!((why(&report, "p/d/e"), gone(&report)), (&Why::NotOver, vec![]));
    assert!(keys(&world).is_superset(&before));
    flows.abort(&id("e"), "enough", "me").await.unwrap();
    ended(&flows, "e").await;
    eventually("the mark to go", async || world.keys("running/").is_empty()).await;
    flows.stop().await;
    let before = keys(&world);
    let node = world.map_executions().into_iter().next().unwrap();
    for (options, due) in [
        (options(), Why::Young),
        (Options { states: [State::Succeeded].into(), ..now.clone() }, Why::State(State::Aborted)),
    ] {
        let report = gc(&world, &options).await;
        assert_eq!((why(&report, "p/d/e"), why(&report, &node)), (&due, &Why::OfWorkflow));
        assert_eq!(keys(&world), before);
    }
    // Its nodes go with it, whatever their own ends.
    let report = gc(&world, &Options { states: [State::Aborted].into(), ..now }).await;
    assert_eq!((gone(&report), report.removed.len(), keys(&world)), (vec!["p/d/e"], 1, BTreeSet::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_that_runs_recovers_or_has_made_stays() {
    let world = World::endless();
    let (flows, _) = world.open("first", PATIENT);
    flows.create(record("parent")).await.unwrap();
    eventually("a job", async || world.batch.submits() == 1).await;
    // A launch plan's node has the name of the execution that it has made where this one has a map execution.
    let made = world.map_executions().into_iter().next().unwrap();
    for name in ["old", &made] {
        flows.create(record(name)).await.unwrap();
        flows.abort(&id(name), "enough", "me").await.unwrap();
        ended(&flows, name).await;
    }
    flows.create(FlowRecord { recovers: Some(id("old")), ..record("new") }).await.unwrap();
    let now = Options { older_than: Duration::ZERO, ..options() };
    let report = gc(&world, &now).await;
    assert_eq!(gone(&report), [""; 0]);
    assert_eq!(why(&report, "p/d/old"), &Why::UsedBy("p/d/new".to_owned()));
    assert_eq!(why(&report, &format!("p/d/{made}")), &Why::UsedBy("p/d/parent".to_owned()));
    for name in ["parent", "new"] {
        flows.abort(&id(name), "enough", "me").await.unwrap();
        ended(&flows, name).await;
    }
    eventually("the marks to go", async || world.keys("running/").is_empty()).await;
    flows.stop().await;
    assert_eq!(gone(&gc(&world, &now).await).len(), 4);
    assert_eq!(keys(&world), BTreeSet::new());
}

/// Their files may be anybody's, and so may what was uploaded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_named_by_executions_or_entities_that_stay_is_kept() {
    let world = old_success().await;
    let node = world.map_executions().into_iter().next().unwrap();
    let file = |index: u64| format!("raw/{node}/{index:010}/a/o");
    for index in 0..3 {
        put(&world, &file(index), "a file").await;
    }
    let uploads = world.root.uploads("p", "d");
    let upload = |folder: &str| format!("{uploads}{folder}/fast.tar.gz");
    for folder in ["in-a-task", "in-inputs", "nobody"] {
        put(&world, &upload(folder), "code").await;
    }
    world.store.memory.pass(31 * DAY);
    put(&world, &upload("young"), "code").await;
    let entity = world.root.entity(Kind::Task, &identifier(batchmap::idl::core::ResourceType::Task, "t"));
    put(&world, &entity, format!("\u{3}s3://bucket/{} s3://bucket/{}", upload("in-a-task"), file(1))).await;
    // Another one, whose inputs name the rest, and which is begun now.
    let (flows, _) = world.open("second", PATIENT);
    let address = |key: &str| make::string(format!("s3://bucket/{key}"));
    let mut other = record("other");
    let literals = &mut other.inputs.as_mut().unwrap().literals;
    literals.insert("file".to_owned(), address(&file(0)));
    literals.insert("upload".to_owned(), address(&upload("in-inputs")));
    flows.create(other).await.unwrap();
    assert_done(&world, &flows, "other").await;
    flows.stop().await;

    let report = gc(&world, &options()).await;
    assert_eq!((gone(&report), report.uploads.objects, report.removed.len()), (vec!["p/d/e"], 1, 2));
    assert_eq!(why(&report, "p/d/other"), &Why::Young);
    let left = keys(&world);
    for (key, stays) in [
        (file(0), true),
        (file(1), true),
        (file(2), false),
        (upload("in-a-task"), true),
        (upload("in-inputs"), true),
        (upload("young"), true),
        (upload("nobody"), false),
    ] {
        assert_eq!(left.contains(&key), stays, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_stays_with_all_that_may_be_its_own() {
    let world = old_success().await;
    put(&world, &world.root.flow(&id("e")).record(2), "garbage").await;
    world.store.memory.pass(31 * DAY);
    let before = keys(&world);
    let report = gc(&world, &options()).await;
    assert!(matches!(why(&report, "p/d/e"), Why::Unreadable(_)), "{report:?}");
    assert!(report.removed.is_empty() && keys(&world) == before, "{report:?}");
    // Then nobody knows whose its nodes' are, and they go by their own age.
    let report = gc(&world, &Options { damaged: true, ..options() }).await;
    assert_eq!((gone(&report), report.workflows[0].state), (vec!["p/d/e"], Some(State::Damaged)));
    assert_eq!(keys(&world), BTreeSet::new());
}

/// Wherever a removal breaks off, the name stays taken, nobody sees anything, and the next run finishes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_that_is_broken_off_is_finished_by_the_next() {
    let mut broken = 0;
    for skip in 0..20 {
        let world = old_success().await;
        world.store.fail("delete_many", "", Fault::Unreachable, skip, 1);
        let store: Arc<dyn Store> = world.store.clone();
        let ran = gc::run(&store, "", &options()).await;
        world.store.heal();
        if ran.is_ok() {
            assert_eq!(keys(&world), BTreeSet::new());
            break;
        }
        broken += 1;
        let (flows, _) = world.open("second", PATIENT);
        if !world.keys("spec.pb").is_empty() {
            let seen = flows.view(&id("e")).await;
            assert!(matches!(seen, Err(ViewError::Unknown { .. })), "{skip}");
            assert!(matches!(flows.create(record("e")).await, Err(CreateError::Exists(_))), "{skip}");
        }
        flows.stop().await;
        assert!(world.keys("running/").is_empty(), "{skip}: nobody takes it up");
        let report = gc(&world, &options()).await;
        assert_eq!((gone(&report), report.workflows[0].state), (vec!["p/d/e"], None), "{skip}");
        assert_eq!(keys(&world), BTreeSet::new(), "{skip}");
    }
    assert!(broken > 5, "{broken}");
}

/// Another one that takes over what the first has brought, in the steps of `run::flow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It is made.
    Make,
    /// It copies a node's outputs, and makes sure that the first is still there.
    Copy,
}

/// A bucket in which that one takes its steps before calls of `gc`.
struct Between {
    memory: MemoryStore,
    calls: AtomicU32,
    steps: Mutex<BTreeMap<u32, Vec<Step>>>,
    copied: Mutex<bool>,
}

impl Between {
    async fn turn(&self) -> &MemoryStore {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        for step in self.steps.lock().await.remove(&call).unwrap_or_default() {
            self.take(step).await;
        }
        &self.memory
    }

    async fn take(&self, step: Step) {
        let root = FlyteRoot::new("");
        let (old, new) = (root.flow(&id("e")), root.flow(&id("new")));
        match step {
            Step::Make => {
                let made = FlowRecord { recovers: Some(id("e")), ..record("new") };
                self.memory.put(&root.index_entry(&id("new"), 1_795_000_000_001), Bytes::new()).await.unwrap();
                self.memory.put(&new.spec(), made.encode_to_vec().into()).await.unwrap();
            }
            Step::Copy => {
                let Ok(outputs) = self.memory.get(&old.outputs("n0")).await else { return };
                self.memory.put(&new.outputs("n0"), outputs).await.unwrap();
                let there = self.memory.get(&old.spec()).await.ok();
                *self.copied.lock().await = there == Some(record("e").encode_to_vec().into());
            }
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_takes_values_over_keeps_their_files_or_does_not_take_them() {
    let world = old_success().await;
    let node = world.map_executions().into_iter().next().unwrap();
    let file = format!("raw/{node}/0000000001/a/o");
    put(&world, &file, "a file").await;
    let value = LiteralMap { literals: [("o0".to_owned(), make::string(format!("s3://bucket/{file}")))].into() };
    put(&world, &world.root.flow(&id("e")).outputs("n0"), value.encode_to_vec()).await;
    let old = world.store.memory.objects();
    let (mut taken, mut refused, mut make, mut last) = (0, 0, 0, 20);
    while make <= last {
        let reach = last;
        for copy in (make..=reach).step_by(if make % 12 == 0 { 1 } else { 7 }) {
            let memory = MemoryStore::new("bucket");
            for (key, body) in &old {
                memory.put(key, body.clone()).await.unwrap();
            }
            memory.pass(31 * DAY);
            let mut steps: BTreeMap<u32, Vec<Step>> = BTreeMap::new();
            steps.entry(make).or_default().push(Step::Make);
            steps.entry(copy).or_default().push(Step::Copy);
            let (calls, copied) = (AtomicU32::new(0), Mutex::new(false));
            let between = Arc::new(Between { memory, calls, steps: steps.into(), copied });
            let store: Arc<dyn Store> = between.clone();
            gc::run(&store, "", &options()).await.unwrap();
            last = last.max(between.calls.load(Ordering::Relaxed));
            let left: Vec<Step> = std::mem::take(&mut *between.steps.lock().await).into_values().flatten().collect();
            for step in left {
                between.take(step).await;
            }
            if *between.copied.lock().await {
                taken += 1;
                let now = between.memory.objects();
                assert!(now.contains_key(&file), "make {make}, copy {copy}: {:?}", now.keys());
            } else {
                refused += 1;
            }
        }
        make += 3;
    }
    assert!(taken > 5 && refused > 5 && last > 20, "{taken} taken, {refused} not, of {last} calls");
}

/// `gc` marks a record before it removes anything: from then on nothing of it is taken over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_recovers_one_that_is_being_removed_runs_everything_itself() {
    let world = old_success().await;
    let before = world.batch.submits();
    let (flows, _) = world.open("second", PATIENT);
    flows.create(FlowRecord { recovers: Some(id("e")), ..record("taken") }).await.unwrap();
    assert_done(&world, &flows, "taken").await;
    assert_eq!(world.batch.submits(), before, "all is taken over from what is there");
    let mark = FlowRecord { version: REMOVED_VERSION, id: Some(id("e")), ..FlowRecord::default() };
    put(&world, &world.root.flow(&id("e")).spec(), mark.encode_to_vec()).await;
    flows.create(FlowRecord { recovers: Some(id("e")), ..record("alone") }).await.unwrap();
    assert_done(&world, &flows, "alone").await;
    assert_eq!(world.batch.submits(), before + 2);
    flows.stop().await;
}
