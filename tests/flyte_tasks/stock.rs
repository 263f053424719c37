//! flytekit's own entrypoints in children without a worker: S3 and AWS Batch are the embedded endpoint's.
//!
//! `BATCHMAP_TEST_FLYTEKIT` names a Python that has flytekit.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::process::Command;

use batchmap::idl::make;
use batchmap::map::flyte::{self, Options};
use batchmap::map::status::Phase;
use batchmap::map::task::{ConcurrencyMode, MapTask, Runner};
use serde_json::json;

use crate::emulator::NAME;
use crate::flytekit::{Fixture, fixture};
use crate::kit::{World, own_task, python, shipped};

fn task(world: &World, fixture: &Fixture, runner: Runner) -> MapTask {
    let options = Options { runner, ..world.options() };
    flyte::map_task(&fixture.template, &fixture.node, &fixture.inputs, &options)
        .unwrap_or_else(|refused| panic!("{refused}"))
}

fn integers(numbers: &[i64]) -> batchmap::idl::core::Literal {
    make::collection(numbers.iter().map(|number| make::integer(*number)).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn single_tasks_maps_and_bound_inputs_run_without_a_worker() {
    let Some(python) = python() else { return };
    let world = World::start(&python).await;
    let single = world.run_task(&task(&world, &fixture("batch_single"), Runner::StockProcess)).await;
    assert_eq!(single.json(), json!({"o0": ["42"]}), "{}", world.log());
    // flytekit's own command for it fails for every element.
    let mut repaired = fixture("batch_map");
    repaired.inputs.literals.insert("a".to_owned(), integers(&[4, 5]));
    let repaired = world.run_task(&task(&world, &repaired, Runner::StockProcess)).await;
    assert_eq!(repaired.json(), json!({"o0": ["8", "10"]}), "{}", world.log());
    // What ran were flytekit's own commands, and no worker: nothing of the worker's is there.
    let objects = world.ports.store.list("", None).await.unwrap().objects;
    let left = |part: &str| objects.iter().filter(|object| object.key.contains(part)).count();
    assert_eq!(left("/children/outputs/"), 3, "{objects:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_shell_the_older_resolver_finds_each_ones_place() {
    let Some(python) = python() else { return };
    let world = World::start(&python).await;
    let mut bound = fixture("partial_literal");
    let name = bound.node.target.as_ref().map(|_| bound.inputs.literals.keys().cloned().collect::<Vec<_>>()).unwrap();
    for name in name {
        use batchmap::idl::core::literal::Value;
        if let Some(Value::Collection(list)) = bound.inputs.literals.get_mut(&name).and_then(|l| l.value.as_mut()) {
            list.literals.truncate(2);
        }
    }
    let expected = world.run_task(&task(&world, &bound, Runner::StockProcess)).await.json();
    let bare = world.run_task(&task(&world, &bound, Runner::StockNoShell)).await;
    assert_eq!(bare.json(), expected, "{}", world.log());
    assert_eq!(expected["o0"].as_array().map(Vec::len), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_without_a_worker_speak_in_the_tasks_own_words() {
    let Some(python) = python() else { return };
    let world = World::start(&python).await;
    let mut one = fixture("fail_user");
    for list in one.inputs.literals.values_mut() {
        *list = integers(&[2]);
    }
    let failed = world.run_task(&task(&world, &one, Runner::StockProcess)).await;
    let told = format!("{:?}", failed.summary);
    assert_eq!(failed.summary.phase, Phase::Failed);
    assert!(told.contains("user error on") && told.contains("USER:"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn those_that_run_again_read_a_pack_of_their_own_and_their_own_checkpoints() {
    let Some(python) = python() else { return };
    let world = World::start(&python).await;
    let traces = tempfile::tempdir().unwrap();
    let mut odd = fixture("checkpoint");
    own_task(&mut odd, "maptasks.own", "odd_ones_fail_once");
    let name = odd.inputs.literals.keys().next().unwrap().clone();
    odd.inputs.literals.insert(name, integers(&[1, 2, 3, 5]));
    let mut task = task(&world, &odd, Runner::StockProcess);
    task.environment.insert("TRACES".to_owned(), traces.path().to_string_lossy().into_owned());
    // Those that fail are run again when all have ended: together.
    task.policy.concurrency = NonZeroU32::new(4);
    task.policy.concurrency_mode = ConcurrencyMode::Batches;
    let outcome = world.run_task(&task).await;
    // 3 has left no checkpoint, and was given none.
    assert_eq!(outcome.json(), json!({"o0": [111, 200, 300, 511]}), "{}", world.log());
    let arrays = format!("{}arrays/", outcome.root.everything());
    let written: Vec<String> =
        world.ports.store.list(&arrays, None).await.unwrap().objects.into_iter().map(|object| object.key).collect();
    let expected = ["000001/inputs.pb", "000001/previous.json"].map(|name| format!("{arrays}{name}"));
    assert_eq!(written, expected);
    let previous = world.ports.store.get(&expected[1]).await.unwrap();
    let previous: BTreeMap<u32, String> = serde_json::from_slice(&previous).unwrap();
    assert_eq!(previous.keys().copied().collect::<Vec<_>>(), [0, 2]);
    assert!(previous.values().all(|address| address.starts_with(&format!("s3://{NAME}/"))), "{previous:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_comes_with_a_task_is_unpacked_where_a_process_works() {
    let Some(python) = python() else { return };
    let world = World::start(&python).await;
    let elsewhere = tempfile::tempdir().unwrap().path().join("elsewhere");
    let shipped = shipped(&world, &elsewhere).await;
    let outcome = world.run_task(&task(&world, &shipped, Runner::StockProcess)).await;
    assert_eq!(outcome.json(), json!({"o0": [false, true]}), "{}", world.log());
    assert!(!elsewhere.exists() && !std::path::Path::new("shipped.py").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn batchs_own_next_attempt_finds_the_newest_checkpoint_before_it() {
    let Some(python) = python() else { return };
    let world = World::start(&python).await;
    let base = "executions/e/children/checkpoints/000002/";
    for key in ["j/4/1/_dst_cp", "j/4/10/_dst_cp", "j/40/2/_dst_cp"] {
        world.ports.store.put(&format!("{base}{key}"), "1".into()).await.unwrap();
    }
    world
        .ports
        .store
        .put("previous.json", r#"{"4": "s3://b/earlier/1", "5": "s3://b/earlier/2"}"#.into())
        .await
        .unwrap();
    let (base, known) = (format!("s3://{NAME}/{base}"), format!("s3://{NAME}/previous.json"));
    let program = include_str!("../../src/map/flyte/stock/previous.py");
    let find = |child: &str| {
        let variables = [("ENDPOINT", world.url()), ("ACCESS_KEY_ID", "any"), ("SECRET_ACCESS_KEY", "any")];
        let mut command = Command::new(&python);
        command.args(["-c", program, &base, child, &known]);
        command.envs(variables.map(|(name, value)| (format!("FLYTE_AWS_{name}"), value)));
        let found = command.output().unwrap();
        assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
        String::from_utf8(found.stdout).unwrap().trim_end().to_owned()
    };
    // Attempt 2 has left none, and attempt 10 is not before it.
    assert_eq!(find("j/4/3"), format!("{base}j/4/1"));
    // What this array has left goes before what others have.
    assert_eq!(find("j/5/2"), "s3://b/earlier/2");
    assert_eq!(find("j/6/2"), "");
}
