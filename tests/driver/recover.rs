//! A new execution of an old one: its successes are taken, the rest is run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use batchmap::aws::store::Store;
use batchmap::idl::record::TaskRecord;
use batchmap::map::event::{Decision, Source};
use batchmap::map::index::OriginalIndex;
use batchmap::map::layout::Root;
use batchmap::map::ranges::Ranges;
use batchmap::run::cache;
use batchmap::run::driver::Driver;
use batchmap::run::launch;
use batchmap::run::recover::{self, RecoverError, Recovered};
use batchmap::run::result::{Places, collect};
use serde_json::json;

use super::batch::{Ending, outputs};
use super::cache::{cached, key, names, stage_keys};
use super::harness::{Harness, abort_after, aborted, finish, with_policy};

fn indices(all: &[u64]) -> Ranges {
    all.iter().copied().map(OriginalIndex).collect()
}

fn from(id: &str) -> Source {
    Source::Execution(id.to_owned())
}

/// Ten subtasks of which eight must succeed.
fn eight_of_ten() -> TaskRecord {
    with_policy(10, |policy| policy.min_successes = 8)
}

async fn recovered(harness: &Harness, old: &Root) -> Result<Recovered, RecoverError> {
    let store: Arc<dyn Store> = harness.store.clone();
    let known = launch::read(&store, old).await.unwrap();
    recover::recover(store.as_ref(), old, &known).await
}

/// Recovers `old` as execution `id`, as the command does, and begins it.
async fn begin(harness: &Harness, old: &Root, id: &str) -> (Root, Driver) {
    let Recovered { record, reused, .. } = recovered(harness, old).await.unwrap();
    let store: Arc<dyn Store> = harness.store.clone();
    let root = old.sibling(id);
    recover::write(&store, &root, &record).await.unwrap();
    let reused = recover::events(reused);
    let driver =
        launch::begin_reusing(&harness.ports(), &root, record, names(), harness.patience, reused).await.unwrap();
    (root, driver)
}

/// The list of outputs as JSON.
async fn list(harness: &Harness, root: &Root, driver: &Driver) -> serde_json::Value {
    let spool = collect(harness.store.as_ref(), root, driver.record(), driver.execution()).await.unwrap();
    let mut text = Vec::new();
    batchmap::run::result::print(&spool, batchmap::run::result::Format::Json, &mut text).unwrap();
    serde_json::from_slice(&text).unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_failed_runs_again_and_nothing_else() {
    let harness = Harness::new(eight_of_ten()).await;
    for index in [3, 7] {
        harness.batch.ends(index, 0, Ending::Exit(1));
    }
    harness.run().await;
    let (root, mut driver) = begin(&harness, &harness.root, "y").await;
    assert_eq!(
        (driver.record().inputs_of.as_str(), driver.record().relies_on.as_slice()),
        ("x", &["x".to_owned()][..])
    );
    assert_eq!(finish(&mut driver).await.unwrap(), Decision::Succeeded);
    let twice: BTreeMap<u64, u32> = (0..10).map(|index| (index, if [3, 7].contains(&index) { 2 } else { 1 })).collect();
    assert_eq!(harness.batch.runs(), twice);
    assert_eq!(list(&harness, &root, &driver).await, json!((0..10).collect::<Vec<_>>()));
    let summary = driver.execution().summary();
    assert_eq!((summary.succeeded, summary.reused, summary.cached), (10, 8, 0));
    let next = launch::take_over(&harness.ports(), &root, harness.patience).await.unwrap();
    assert_eq!(next.execution().reused()[&from("x")].len(), 8, "who takes over knows as much");
}

#[tokio::test(start_paused = true)]
async fn a_recovery_of_a_recovery_names_who_holds_the_outputs() {
    let harness = Harness::new(eight_of_ten()).await;
    for (index, run) in [(3, 0), (7, 0), (7, 1)] {
        harness.batch.ends(index, run, Ending::Exit(1));
    }
    harness.run().await;
    let (second, mut driver) = begin(&harness, &harness.root, "y").await;
    finish(&mut driver).await.unwrap();
    let (third, mut driver) = begin(&harness, &second, "z").await;
    let held = driver.execution().reused().clone();
    assert_eq!(held, BTreeMap::from([(from("x"), indices(&[0, 1, 2, 4, 5, 6, 8, 9])), (from("y"), indices(&[3]))]));
    assert_eq!(driver.record().relies_on, ["x", "y"]);
    assert_eq!(driver.record().inputs_of, "x");
    assert_eq!(finish(&mut driver).await.unwrap(), Decision::Succeeded);
    assert_eq!(harness.batch.runs()[&7], 3);
    let places = Places::of(&third, driver.execution());
    assert_eq!([0, 3, 7].map(|index| places.root(OriginalIndex(index)).id().to_owned()), ["x", "y", "z"]);
    assert_eq!(list(&harness, &third, &driver).await, json!((0..10).collect::<Vec<_>>()));
}

#[tokio::test(start_paused = true)]
async fn a_recovery_that_brought_nothing_is_not_relied_on() {
    let harness = Harness::new(eight_of_ten()).await;
    for run in 0..2 {
        harness.batch.ends(3, run, Ending::Exit(1));
    }
    harness.run().await;
    let (second, mut driver) = begin(&harness, &harness.root, "y").await;
    finish(&mut driver).await.unwrap();
    let third = recovered(&harness, &second).await.unwrap();
    assert_eq!(third.record.relies_on, ["x"]);
    assert_eq!(third.reused.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_aborted_execution_gives_what_it_had_and_what_came_late() {
    let harness = Harness::new(with_policy(10, |policy| policy.concurrency = 4)).await;
    (0..10).for_each(|index| harness.batch.takes(index, Duration::from_secs(1 + 3000 * (index / 4))));
    let mut driver = harness.begin().await.unwrap();
    assert_eq!(abort_after(&mut driver, Duration::from_secs(200)).await.unwrap(), aborted());
    assert_eq!(driver.execution().summary().succeeded, 4);
    // Two that ran had written their outputs when they were killed; of a third only a piece is there.
    for index in [5, 6] {
        harness
            .store
            .memory
            .put(&harness.root.outputs(OriginalIndex(index)), outputs(OriginalIndex(index)))
            .await
            .unwrap();
    }
    harness.store.memory.put(&harness.root.outputs(OriginalIndex(7)), "piece".into()).await.unwrap();
    // A week later Batch knows nothing of it.
    harness.batch.forget();
    let found = recovered(&harness, &harness.root).await.unwrap();
    assert_eq!((found.reused[&from("x")].clone(), found.late), (indices(&[0, 1, 2, 3, 5, 6]), 2));
    let (root, mut driver) = begin(&harness, &harness.root, "y").await;
    assert_eq!(finish(&mut driver).await.unwrap(), Decision::Succeeded);
    assert_eq!(list(&harness, &root, &driver).await, json!((0..10).collect::<Vec<_>>()));
    assert_eq!((harness.batch.runs()[&5], harness.batch.runs()[&7]), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_success_has_nothing_left_to_run() {
    let harness = Harness::new(eight_of_ten()).await;
    harness.run().await;
    let calls = harness.batch.calls().len();
    let (root, mut driver) = begin(&harness, &harness.root, "y").await;
    assert_eq!(finish(&mut driver).await.unwrap(), Decision::Succeeded);
    assert_eq!(harness.batch.calls().len(), calls);
    assert_eq!(list(&harness, &root, &driver).await, json!((0..10).collect::<Vec<_>>()));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_over_is_not_recovered() {
    let harness = Harness::new(eight_of_ten()).await;
    let error = recovered(&harness, &harness.root).await.unwrap_err();
    assert!(matches!(error, RecoverError::NeverBegun { .. }), "{error}");
    let driver = harness.begin().await.unwrap();
    let error = recovered(&harness, &harness.root).await.unwrap_err().to_string();
    assert!(error.contains("batchmap resume x") && error.contains("batchmap abort x"), "{error}");
    drop(driver);
}

#[tokio::test(start_paused = true)]
async fn a_cached_task_keeps_its_cache_when_it_is_recovered() {
    let mut record = cached(10);
    record.policy.as_mut().unwrap().min_successes = 8;
    let harness = Harness::new(record).await;
    stage_keys(&harness, &harness.root, &harness.record).await;
    for index in [3, 7] {
        harness.batch.ends(index, 0, Ending::Exit(1));
    }
    harness.run().await;
    harness.store.memory.put(&harness.root.cached(&key(7)), outputs(OriginalIndex(7))).await.unwrap();
    // Somebody else has computed one of the two meanwhile.
    let found = recovered(&harness, &harness.root).await.unwrap();
    let known = Ranges::union_of(found.reused.values());
    let root = harness.root.sibling("y");
    let hits = cache::look_up(harness.store.as_ref(), &root, &found.record, &known).await.unwrap();
    assert_eq!(hits, indices(&[7]));
    let (_, mut driver) = begin(&harness, &harness.root, "y").await;
    assert_eq!(finish(&mut driver).await.unwrap(), Decision::Succeeded);
    assert!(harness.store.memory.objects().contains_key(&root.cached(&key(3))), "by the keys of the old packs");
}

#[tokio::test(start_paused = true)]
async fn outputs_that_came_from_the_cache_are_taken_from_the_execution_they_were_copied_to() {
    let harness = Harness::new(cached(10)).await;
    stage_keys(&harness, &harness.root, &harness.record).await;
    harness.store.memory.put(&harness.root.cached(&key(1)), outputs(OriginalIndex(1))).await.unwrap();
    let hits =
        cache::look_up(harness.store.as_ref(), &harness.root, &harness.record, &Ranges::default()).await.unwrap();
    let reused = recover::events(BTreeMap::from([(Source::Cache, hits)]));
    let (ports, record) = (harness.ports(), harness.record.clone());
    let mut driver =
        launch::begin_reusing(&ports, &harness.root, record, names(), harness.patience, reused).await.unwrap();
    finish(&mut driver).await.unwrap();
    let found = recovered(&harness, &harness.root).await.unwrap();
    assert_eq!(found.reused, BTreeMap::from([(from("x"), Ranges::span(OriginalIndex(0), 10))]));
}
