//! flytekit's own entrypoints, run by the worker in children of the embedded endpoint: what they give is what the
//! fixtures hold, which the same flytekit gave by itself.
//!
//! `BATCHMAP_TEST_FLYTEKIT` names a Python that has flytekit.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use crate::emulator::{Emulator, NAME, Setting};
use crate::flytekit::{Fixture, fixture, folder};
use crate::{definition, skip};
use async_trait::async_trait;
use batchmap::aws::sdk::{self, Target};
use batchmap::idl::core::{BlobType, Literal, LiteralMap, LiteralType};
use batchmap::idl::json::literal_to_json;
use batchmap::idl::make;
use batchmap::map::cadence::Pace;
use batchmap::map::event::Source;
use batchmap::map::flyte::{self, Options};
use batchmap::map::index::OriginalIndex;
use batchmap::map::layout::Root;
use batchmap::map::ranges::Ranges;
use batchmap::map::status::Phase;
use batchmap::map::summary::Summary;
use batchmap::map::task::MapTask;
use batchmap::run::bound::{Results, ResultsError};
use batchmap::run::driver::{Ended, Patience};
use batchmap::run::launch::{self, Names};
use batchmap::run::stage::{self, StageOptions};
use batchmap::run::{Clock, Ports, cache, definition as definitions, now_ms, recover, result};
use prost::Message;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// The Python that has flytekit, or why the test is skipped.
pub(crate) fn python() -> Option<PathBuf> {
    let Some(python) = std::env::var_os("BATCHMAP_TEST_FLYTEKIT").map(PathBuf::from) else {
        skip::skipped("BATCHMAP_TEST_FLYTEKIT names no Python with flytekit");
        return None;
    };
    let found = Command::new(&python).args(["-c", "import flytekit"]).stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        skip::skipped("the Python of BATCHMAP_TEST_FLYTEKIT has no flytekit");
        return None;
    }
    Some(python)
}

/// An endpoint whose children find flytekit.
pub(crate) struct World {
    emulator: Emulator,
    pub(crate) ports: Ports,
}

/// What has become of a task.
pub(crate) struct Outcome {
    pub(crate) root: Root,
    outputs: LiteralMap,
    pub(crate) summary: Summary,
}

impl Outcome {
    /// Its outputs in JSON; it must have succeeded.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.summary.phase, Phase::Succeeded, "{:?}", self.summary);
        Value::Object(self.outputs.literals.iter().map(|(name, l)| (name.clone(), literal_to_json(l))).collect())
    }
}

struct Nothing;

#[async_trait]
impl Results for Nothing {
    async fn output(&self, id: &str, _: Option<&str>) -> Result<(LiteralType, Literal), ResultsError> {
        Err(ResultsError::Unusable(format!("there is no {id}")))
    }
}

impl World {
    pub(crate) async fn start(python: &Path) -> World {
        let own = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{own}", python.parent().unwrap().display());
        let emulator = Setting::default().env("PATH", path).start();
        let target = Target { endpoint: Some(emulator.url().to_owned()), bucket: NAME.to_owned(), ..Target::default() };
        let sdk::Clients { store, batch, logs, .. } = sdk::connect(&target).await;
        World { emulator, ports: Ports { batch, store, logs, clock: Clock::wall() } }
    }

    pub(crate) fn options(&self) -> Options {
        let modules = folder("");
        Options {
            project: "proj".to_owned(),
            domain: "development".to_owned(),
            execution: "ex".to_owned(),
            envs: BTreeMap::from([
                ("PYTHONPATH".to_owned(), modules.to_string_lossy().into_owned()),
                // The fixtures' directory stays as it is.
                ("PYTHONDONTWRITEBYTECODE".to_owned(), "1".to_owned()),
            ]),
            ..Options::default()
        }
    }

    async fn run(&self, fixture: &Fixture) -> Outcome {
        let task = flyte::map_task(&fixture.template, &fixture.node, &fixture.inputs, &self.options());
        self.run_task(&task.unwrap_or_else(|refused| panic!("{refused}"))).await
    }

    pub(crate) async fn run_task(&self, task: &MapTask) -> Outcome {
        let root = Root::new("", &launch::new_id(now_ms()));
        let store = self.ports.store.clone();
        let options = StageOptions {
            dry_run: false,
            stores: Arc::new(move |_| store.clone()),
            results: Arc::new(Nothing),
            stdin: None,
        };
        let record = stage::stage(task, &self.ports.store, &root, options).await.unwrap().record;
        let hits = cache::look_up(self.ports.store.as_ref(), &root, &record, &Ranges::default()).await.unwrap();
        let reused = recover::events(BTreeMap::from([(Source::Cache, hits)]));
        let definition = definitions::ensure(self.ports.batch.as_ref(), definition::small("x")).await.unwrap();
        let names = Names { definition, queue: NAME.to_owned(), interruptible_queue: None };
        let patience = Patience { pace: Pace::EMBEDDED, lag: Duration::ZERO, outage: Duration::from_secs(30) };
        let begun = launch::begin_reusing(&self.ports, &root, record, names, patience, reused).await;
        let mut driver = begun.unwrap();
        let (_control, mut requests) = mpsc::channel(1);
        let ended = driver.run(&mut requests).await.unwrap();
        assert!(matches!(ended, Ended::Finished(_)), "{ended:?}");
        let summary = driver.execution().summary();
        let mut outputs = LiteralMap::default();
        if summary.phase == Phase::Succeeded {
            let store = self.ports.store.as_ref();
            let spool = result::collect(store, &root, driver.record(), driver.execution()).await.unwrap();
            let key = result::write(store, &root, &spool, result::PART_LIMIT).await.unwrap();
            outputs = LiteralMap::decode(store.get(&key).await.unwrap()).unwrap();
        }
        Outcome { root, outputs, summary }
    }

    pub(crate) fn url(&self) -> &str {
        self.emulator.url()
    }

    /// What the endpoint's jobs say of themselves, for a test that fails.
    pub(crate) fn log(&self) -> String {
        self.emulator.log()
    }
}

fn assembled(name: &str) -> LiteralMap {
    let bytes = fs::read(folder(name).join("assembled_outputs.pb")).unwrap();
    LiteralMap::decode(bytes.as_slice()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn maps_give_the_lists_of_the_fixtures() {
    let Some(python) = python() else { return };
    let world = World::start(&python).await;
    for name in ["conc_ratio", "dataclass", "env", "none", "partial_literal", "resources", "zip", "zip_legacy"] {
        let outcome = world.run(&fixture(name)).await;
        assert_eq!(outcome.summary.phase, Phase::Succeeded, "{name}: {:?} {}", outcome.summary, world.log());
        assert_eq!(outcome.outputs, assembled(name), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn single_tasks_and_those_that_flytekit_cannot_map_itself() {
    let Some(python) = python() else { return };
    let world = World::start(&python).await;
    let outcome = world.run(&fixture("batch_single")).await;
    assert_eq!(outcome.json(), json!({"o0": ["42"]}));
    assert_eq!(flyte::unlisted(outcome.outputs).literals["o0"], make::string("42"));
    let outcome = world.run(&fixture("two_outputs")).await;
    assert_eq!(flyte::unlisted(outcome.outputs).literals.keys().collect::<Vec<_>>(), ["label", "total"]);
    // By flytekit's own command every element fails: it is given the whole list.
    for name in ["batch_map", "batch_map_legacy"] {
        assert_eq!(world.run(&fixture(name)).await.json(), json!({"o0": ["2", "4", "6"]}), "{name}");
    }
    let mut decked = fixture("deck");
    decked.inputs.literals.insert("a".to_owned(), make::collection(vec![make::integer(1)]));
    let outcome = world.run(&decked).await;
    assert_eq!(outcome.summary.phase, Phase::Succeeded, "{:?}", outcome.summary);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raw_container_has_its_own_directories_on_this_machine_too() {
    let Some(python) = python() else { return };
    let world = World::start(&python).await;
    let outcome = world.run(&fixture("container")).await;
    let given: Value = literal_to_json(&fixture("container").inputs.literals["x"]);
    assert_eq!(outcome.json(), json!({"y": [given.as_i64().unwrap() * 2]}));
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_speak_in_the_tasks_own_words() {
    let Some(python) = python() else { return };
    let world = World::start(&python).await;
    let failed = world.run(&fixture("fail_user")).await;
    assert_eq!(failed.summary.phase, Phase::Failed);
    let told = format!("{:?}", failed.summary);
    assert!(told.contains("user error on") && told.contains("USER:"), "{told}");
    // Not recoverable: run once.
    let attempts = world.ports.store.list_directories(&failed.root.subtask(OriginalIndex(0))).await.unwrap();
    assert_eq!(attempts.iter().filter(|name| name.starts_with("0000")).count(), 1, "{attempts:?}");

    let mut one = fixture("fail_recoverable");
    one.inputs.literals.insert("a".to_owned(), make::collection(vec![make::integer(5)]));
    let failed = world.run(&one).await;
    let told = format!("{:?}", failed.summary);
    assert!(told.contains("please retry 5"), "{told}");
    let attempts = world.ports.store.list_directories(&failed.root.subtask(OriginalIndex(0))).await.unwrap();
    assert_eq!(attempts.iter().filter(|name| name.starts_with("0000")).count(), 3, "{attempts:?}");
}

/// A task of the test's own in a module of its own, in place of a fixture's.
pub(crate) fn own_task(fixture: &mut Fixture, module: &str, task: &str) {
    let Some(batchmap::idl::core::task_template::Target::Container(container)) = &mut fixture.template.target else {
        panic!("no container")
    };
    for (key, value) in [("task-module", module), ("task-name", task)] {
        let at = container.args.iter().position(|word| word == key).unwrap();
        container.args[at + 1] = value.to_owned();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_reads_what_the_one_before_it_saved() {
    let Some(python) = python() else { return };
    let world = World::start(&python).await;
    let mut resumed = fixture("checkpoint");
    own_task(&mut resumed, "maptasks.own", "fail_once");
    let outcome = world.run(&resumed).await;
    // Each element failed once, and then knew it.
    let count = resumed.inputs.literals.len();
    assert_eq!(count, 1);
    let Value::Array(list) = outcome.json()["o0"].clone() else { panic!("no list") };
    assert!(list.iter().all(|value| value.as_i64() == Some(2)), "{list:?} {}", world.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn files_go_where_the_execution_says() {
    let Some(python) = python() else { return };
    let world = World::start(&python).await;
    let kind = BlobType::default();
    let mut blobs = Vec::new();
    for (number, text) in ["a", "four", ""].iter().enumerate() {
        let key = format!("given/{number}.txt");
        world.ports.store.put(&key, text.as_bytes().to_vec().into()).await.unwrap();
        blobs.push(make::blob(&kind, format!("s3://{NAME}/{key}")));
    }
    let mut counted = fixture("file");
    counted.inputs.literals.insert("f".to_owned(), make::collection(blobs));
    let raw_output_prefix = Some(format!("s3://{NAME}/files/raw"));
    let options = Options { raw_output_prefix, ..world.options() };
    let task = flyte::map_task(&counted.template, &counted.node, &counted.inputs, &options).unwrap();
    let outcome = world.run_task(&task).await;
    assert_eq!(outcome.summary.phase, Phase::Succeeded, "{:?}", outcome.summary);
    let Value::Array(addresses) = outcome.json()["o0"].clone() else { panic!("no list") };
    let mut counts = Vec::new();
    for address in addresses {
        let key = address.as_str().unwrap().strip_prefix(&format!("s3://{NAME}/")).unwrap().to_owned();
        assert!(key.starts_with(&format!("files/raw/{}/", outcome.root.id())), "{key}");
        counts.push(String::from_utf8(world.ports.store.get(&key).await.unwrap().to_vec()).unwrap());
    }
    assert_eq!(counts, ["1", "4", "0"]);
}

/// A task whose code comes with it, to be unpacked into `elsewhere`.
pub(crate) async fn shipped(world: &World, elsewhere: &Path) -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let source = "from flytekit import task\n\n@task\ndef f(data_point: int) -> bool:\n    return data_point > 3\n";
    fs::write(directory.path().join("shipped.py"), source).unwrap();
    let archive = directory.path().join("fast.tar.gz");
    let mut tar = Command::new("tar");
    let packed = tar.arg("-czf").arg(&archive).arg("-C").arg(directory.path()).arg("shipped.py").status();
    assert!(packed.unwrap().success());
    world.ports.store.put("code/fast.tar.gz", fs::read(&archive).unwrap().into()).await.unwrap();
    let mut shipped = fixture("detect_anomalies");
    own_task(&mut shipped, "shipped", "f");
    let Some(batchmap::idl::core::task_template::Target::Container(container)) = &mut shipped.template.target else {
        panic!("no container")
    };
    let fast = [
        "pyflyte-fast-execute",
        "--additional-distribution",
        &format!("s3://{NAME}/code/fast.tar.gz"),
        "--dest-dir",
        elsewhere.to_str().unwrap(),
        "--",
    ];
    container.args.splice(0..0, fast.map(str::to_owned));
    shipped.inputs.literals.insert("data_point".to_owned(), make::collection(vec![make::integer(3), make::integer(4)]));
    shipped
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_comes_with_a_task_is_unpacked_where_the_child_works() {
    let Some(python) = python() else { return };
    let world = World::start(&python).await;
    let elsewhere = tempfile::tempdir().unwrap().path().join("elsewhere");
    let shipped = shipped(&world, &elsewhere).await;
    assert_eq!(world.run(&shipped).await.json(), json!({"o0": [false, true]}));
    assert!(!elsewhere.exists(), "nothing is unpacked into a directory of this machine");
}

/// The archive is opened by flytekit, in the child: what it says of it is the child's failure.
#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_archive_fails_its_children_in_words() {
    let Some(python) = python() else { return };
    let world = World::start(&python).await;
    let elsewhere = tempfile::tempdir().unwrap().path().join("elsewhere");
    let shipped = shipped(&world, &elsewhere).await;
    world.ports.store.put("code/fast.tar.gz", b"no archive".as_slice().into()).await.unwrap();
    let outcome = world.run(&shipped).await;
    assert_eq!(outcome.summary.phase, Phase::Failed);
    let message = &outcome.summary.failures[0].message;
    assert!(message.starts_with("the command exited with code 1\n"), "{message}");
    // The error that ended it, and not what flytekit's logger wrote after that.
    assert!(message.contains("fast.tar.gz") && !message.contains("levelname"), "{message}");
    assert!(!elsewhere.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cached_is_not_run_again() {
    let Some(python) = python() else { return };
    let world = World::start(&python).await;
    let cached = fixture("resources");
    let first = world.run(&cached).await;
    assert_eq!((first.summary.phase, first.summary.cached), (Phase::Succeeded, 0));
    let mut other = fixture("resources");
    // Of another version of the task, but of the same version of the cache.
    other.template.id.as_mut().unwrap().version = "v2".to_owned();
    let second = world.run(&other).await;
    assert_eq!(second.summary.cached, second.summary.size);
    assert_eq!(second.outputs, first.outputs);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_leaves_nothing_fails_in_words() {
    let Some(python) = python() else { return };
    let world = World::start(&python).await;
    let mut wrong = fixture("batch_single");
    own_task(&mut wrong, "maptasks.own", "vanishes");
    let failed = world.run(&wrong).await;
    let told = format!("{:?}", failed.summary);
    assert!(failed.summary.phase == Phase::Failed && told.contains("left neither outputs nor an error"), "{told}");
}
