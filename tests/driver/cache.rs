//! The cache: what is in it is not run, and what runs enters it, whoever dies.

use std::collections::BTreeMap;

use batchmap::aws::store::Store;
use batchmap::idl::core::blob_type::BlobDimensionality;
use batchmap::idl::core::{BlobType, Literal, LiteralMap};
use batchmap::idl::make;
use batchmap::idl::record::{Cache, TaskRecord};
use batchmap::map::cache::Key;
use batchmap::map::event::{Decision, Event, Source};
use batchmap::map::index::OriginalIndex;
use batchmap::map::layout::Root;
use batchmap::map::ranges::Ranges;
use batchmap::run::driver::Driver;
use batchmap::run::journal::read_from;
use batchmap::run::launch::{self, Names};
use batchmap::run::{cache, recover};
use bytes::Bytes;
use prost::Message;

use super::batch::{Ending, outputs};
use super::harness::{Harness, finish, task};
use super::store::Fault;

/// A cached task in two packs.
pub fn cached(size: u64) -> TaskRecord {
    let cache = Cache { version: "1".to_owned(), ..Cache::default() };
    TaskRecord { cache: Some(cache), pack_starts: vec![0, size / 2], ..task(size) }
}

pub fn key(index: u64) -> Key {
    Key([index as u8; 32])
}

/// Stages the keys of an execution.
pub async fn stage_keys(harness: &Harness, root: &Root, record: &TaskRecord) {
    for (pack, start) in record.pack_starts.iter().enumerate() {
        let end = record.pack_starts.get(pack + 1).copied().unwrap_or(record.size);
        let keys: Vec<u8> = (*start..end).flat_map(|index| key(index).0).collect();
        harness.store.memory.put(&root.pack_keys(pack as u32), keys.into()).await.unwrap();
    }
}

async fn staged(record: TaskRecord) -> Harness {
    let harness = Harness::new(record).await;
    stage_keys(&harness, &harness.root, &harness.record).await;
    harness
}

pub fn names() -> Names {
    Names { definition: "d:1".to_owned(), queue: "q".to_owned(), interruptible_queue: None }
}

/// Looks into the cache and begins, as `run` does.
async fn begin(harness: &Harness, root: &Root, record: &TaskRecord) -> (Driver, bool) {
    let hits = cache::look_up(harness.store.as_ref(), root, record, &Ranges::default()).await.unwrap();
    let reused = recover::events(BTreeMap::from([(Source::Cache, hits)]));
    let work = launch::has_work(record, &reused).unwrap();
    let begun = launch::begin_reusing(&harness.ports(), root, record.clone(), names(), harness.patience, reused).await;
    (begun.unwrap(), work)
}

async fn put_entry(harness: &Harness, index: u64, body: Bytes) {
    harness.store.memory.put(&harness.root.cached(&key(index)), body).await.unwrap();
}

fn entries(harness: &Harness) -> BTreeMap<String, Bytes> {
    harness.store.memory.objects().into_iter().filter(|(key, _)| key.starts_with("cache/")).collect()
}

#[track_caller]
fn all_cached(harness: &Harness) {
    for index in 0..harness.record.size {
        let entry = &entries(harness)[&harness.root.cached(&key(index))];
        assert_eq!(*entry, outputs(OriginalIndex(index)), "{index}");
    }
}

fn indices(all: &[u64]) -> Ranges {
    all.iter().copied().map(OriginalIndex).collect()
}

#[tokio::test(start_paused = true)]
async fn a_second_run_calls_nothing_of_batch() {
    let harness = staged(cached(10)).await;
    assert_eq!(harness.run().await.0, Decision::Succeeded);
    all_cached(&harness);
    let calls = harness.batch.calls().len();
    let again = harness.root.sibling("y");
    stage_keys(&harness, &again, &harness.record).await;
    let (mut driver, work) = begin(&harness, &again, &harness.record).await;
    assert!(!work, "no job definition is needed");
    assert_eq!(finish(&mut driver).await.unwrap(), Decision::Succeeded);
    assert_eq!(harness.batch.calls().len(), calls);
    let summary = driver.execution().summary();
    assert_eq!((summary.succeeded, summary.reused, summary.cached), (10, 10, 10));
    let copied = harness.store.memory.get(&again.outputs(OriginalIndex(3))).await.unwrap();
    assert_eq!(copied, outputs(OriginalIndex(3)));
}

#[tokio::test(start_paused = true)]
async fn only_misses_are_submitted_and_the_first_record_says_which() {
    let harness = staged(cached(10)).await;
    for index in [0, 4, 5, 9] {
        put_entry(&harness, index, outputs(OriginalIndex(index))).await;
    }
    let (mut driver, work) = begin(&harness, &harness.root, &harness.record).await;
    assert!(work);
    assert_eq!(finish(&mut driver).await.unwrap(), Decision::Succeeded);
    let ran: Vec<u64> = harness.batch.runs().into_keys().collect();
    assert_eq!(ran, [1, 2, 3, 6, 7, 8]);
    all_cached(&harness);
    let store: std::sync::Arc<dyn Store> = harness.store.clone();
    let first = read_from(&store, &harness.root, 1).await.unwrap().remove(0);
    let reused = Event::Reused { indices: indices(&[0, 4, 5, 9]), source: Source::Cache };
    assert!(matches!(first.events[0], Event::Started { .. }));
    assert_eq!(first.events[1..2], [reused]);
    // Whoever takes over knows as much.
    assert_eq!(harness.take_over().await.execution().reused().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_death_at_any_record_leaves_every_success_in_the_cache() {
    let undisturbed = staged(cached(6)).await;
    undisturbed.run().await;
    for fault in [Fault::DiesBefore, Fault::DiesAfter] {
        for skip in 1..undisturbed.records() as u32 {
            let harness = staged(cached(6)).await;
            put_entry(&harness, 2, outputs(OriginalIndex(2))).await;
            harness.store.fail("put_new", "/journal/", fault, skip, 1);
            let (mut driver, _) = begin(&harness, &harness.root, &harness.record).await;
            finish(&mut driver).await.expect_err("it dies");
            drop(driver);
            harness.store.heal();
            let mut next = harness.take_over().await;
            assert_eq!(finish(&mut next).await.unwrap(), Decision::Succeeded, "{fault:?} {skip}");
            assert_eq!(next.execution().summary().cached, 1);
            all_cached(&harness);
            assert_eq!(harness.batch.runs().len(), 5, "{fault:?} {skip}");
            assert!(harness.batch.runs().values().all(|runs| *runs == 1), "{fault:?} {skip}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_death_before_the_first_record_is_no_beginning() {
    let harness = staged(cached(6)).await;
    put_entry(&harness, 2, outputs(OriginalIndex(2))).await;
    cache::look_up(harness.store.as_ref(), &harness.root, &harness.record, &Ranges::default()).await.unwrap();
    let known = launch::take_over(&harness.ports(), &harness.root, harness.patience).await;
    assert!(matches!(known, Err(launch::LaunchError::NeverBegun { .. })));
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_is_no_good_is_a_miss_and_is_replaced() {
    let file = |key: &str, dimensionality: BlobDimensionality| {
        let kind = BlobType { format: String::new(), dimensionality: dimensionality.into() };
        make::blob(&kind, format!("s3://bucket/{key}"))
    };
    let single = |key: &str| file(key, BlobDimensionality::Single);
    let folder = |key: &str| file(key, BlobDimensionality::Multipart);
    let entry = |literal: Literal| -> Bytes {
        LiteralMap { literals: [("o0".to_owned(), make::collection(vec![literal]))].into() }.encode_to_vec().into()
    };
    let harness = staged(cached(8)).await;
    for (key, body) in [("raw/old/file", "x"), ("raw/old/folder/part", "x"), ("raw/old/gone-but-for-its-name", "x")] {
        harness.store.memory.put(key, body.into()).await.unwrap();
    }
    let wrong_name = LiteralMap { literals: [("o1".to_owned(), make::integer(1))].into() }.encode_to_vec();
    for (index, body) in [
        (0, Bytes::from_static(b"\xffgarbage")),
        (1, Bytes::new()),
        (2, wrong_name.into()),
        (3, entry(single("raw/old/gone"))),
        (4, entry(folder("raw/old/gone"))),
        (5, entry(single("raw/old/file"))),
        (6, entry(folder("raw/old/folder"))),
        (7, entry(make::blob(&BlobType::default(), "s3://another-bucket/file"))),
    ] {
        put_entry(&harness, index, body).await;
    }
    let (mut driver, _) = begin(&harness, &harness.root, &harness.record).await;
    assert_eq!(driver.execution().reused()[&Source::Cache], indices(&[5, 6, 7]));
    assert_eq!(finish(&mut driver).await.unwrap(), Decision::Succeeded);
    for index in 0..5 {
        let entry = &entries(&harness)[&harness.root.cached(&key(index))];
        assert_eq!(*entry, outputs(OriginalIndex(index)), "{index} is mended");
    }
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_is_good_is_kept() {
    let harness = staged(cached(4)).await;
    let theirs: Bytes = LiteralMap { literals: [("o0".to_owned(), make::integer(77))].into() }.encode_to_vec().into();
    let mut driver = harness.begin().await.unwrap();
    // Another execution is faster.
    put_entry(&harness, 1, theirs.clone()).await;
    assert_eq!(finish(&mut driver).await.unwrap(), Decision::Succeeded);
    assert_eq!(entries(&harness)[&harness.root.cached(&key(1))], theirs);
    assert_eq!(entries(&harness).len(), 4);
}

#[tokio::test(start_paused = true)]
async fn overwriting_reads_nothing_and_replaces_all() {
    let mut record = cached(4);
    record.cache.as_mut().unwrap().overwrite = true;
    let harness = staged(record).await;
    put_entry(&harness, 1, outputs(OriginalIndex(77))).await;
    let (mut driver, work) = begin(&harness, &harness.root, &harness.record).await;
    assert!(work && driver.execution().reused().is_empty());
    assert_eq!(finish(&mut driver).await.unwrap(), Decision::Succeeded);
    all_cached(&harness);
}

#[tokio::test(start_paused = true)]
async fn lost_and_repeated_replies_to_a_write_do_no_harm() {
    let harness = staged(cached(8)).await;
    harness.store.fail("put_new", "cache/", Fault::ReplyLost, 1, 2);
    harness.store.fail("put_new", "cache/", Fault::Repeated, 0, 4);
    assert_eq!(harness.run().await.0, Decision::Succeeded);
    all_cached(&harness);
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_cannot_be_written_fails_nothing() {
    for operation in ["put_new", "get"] {
        let harness = staged(cached(40)).await;
        let part = if operation == "get" { "outputs.pb" } else { "cache/" };
        harness.store.fail(operation, part, Fault::Unreachable, 0, 1000);
        assert_eq!(harness.run().await.0, Decision::Succeeded);
        assert_eq!(harness.batch.submits(), 2);
        assert!(entries(&harness).is_empty());
    }
    let harness = Harness::new(cached(4)).await;
    assert_eq!(harness.run().await.0, Decision::Succeeded, "the keys are gone");
    assert!(entries(&harness).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_cannot_be_read_begins_nothing() {
    let harness = staged(cached(4)).await;
    harness.store.fail("get", "cache/", Fault::Unreachable, 0, 1);
    cache::look_up(harness.store.as_ref(), &harness.root, &harness.record, &Ranges::default()).await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn what_has_failed_does_not_enter_the_cache() {
    let mut record = cached(6);
    record.policy.as_mut().unwrap().min_successes = 4;
    let harness = staged(record).await;
    harness.batch.ends(1, 0, Ending::Exit(1));
    harness.batch.ends(5, 0, Ending::Error { recoverable: false });
    assert_eq!(harness.run().await.0, Decision::Succeeded);
    let keys: Vec<String> = [0, 2, 3, 4].map(|index| harness.root.cached(&key(index))).into();
    assert_eq!(entries(&harness).into_keys().collect::<Vec<_>>(), keys);
}

#[tokio::test(start_paused = true)]
async fn a_task_without_outputs_is_known_to_have_run() {
    let harness = staged(TaskRecord { interface: None, ..cached(4) }).await;
    assert_eq!(harness.run().await.0, Decision::Succeeded);
    assert_eq!(entries(&harness).len(), 4);
    assert!(entries(&harness).values().all(Bytes::is_empty));
    let again = harness.root.sibling("y");
    stage_keys(&harness, &again, &harness.record).await;
    let (driver, work) = begin(&harness, &again, &harness.record).await;
    assert!(!work);
    assert_eq!(driver.execution().summary().cached, 4);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_not_cached_leaves_the_cache_alone() {
    let harness = staged(TaskRecord { cache: None, ..cached(4) }).await;
    put_entry(&harness, 1, outputs(OriginalIndex(1))).await;
    let (mut driver, _) = begin(&harness, &harness.root, &harness.record).await;
    assert_eq!(finish(&mut driver).await.unwrap(), Decision::Succeeded);
    assert_eq!((driver.execution().summary().cached, entries(&harness).len()), (0, 1));
}
