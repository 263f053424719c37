//! Removing executions: what goes, what stays, and what a removal that is broken off leaves.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use batchmap::aws::store::Store;
use batchmap::idl::record::TaskRecord;
use batchmap::map::cache::Key;
use batchmap::map::event::Decision;
use batchmap::map::index::OriginalIndex;
use batchmap::map::layout::Root;
use batchmap::run::driver::DriveError;
use batchmap::run::gc::{self, Options, Report, State, Why};
use batchmap::run::journal::JournalError;
use batchmap::run::launch::{self, LaunchError};
use prost::Message;

use super::batch::Ending;
use super::harness::{Harness, abort_after, finish, task};
use super::store::Fault;

const DAY: Duration = Duration::from_secs(86_400);

fn options() -> Options {
    let states = [State::Succeeded, State::Failed, State::Aborted, State::Unbegun].into();
    Options { older_than: 30 * DAY, states, cache_older_than: None, damaged: false, dry_run: false }
}

async fn gc(harness: &Harness, options: &Options) -> Report {
    gc::run(&harness.store(), "", options).await.unwrap()
}

fn removed(report: &Report) -> Vec<&str> {
    report.removed.iter().map(|removed| removed.id.as_str()).collect()
}

fn why<'a>(report: &'a Report, id: &str) -> &'a Why {
    let kept: Vec<_> = report.kept.iter().filter(|kept| kept.id == id).collect();
    assert_eq!(kept.len(), 1, "{id} is kept once: {report:?}");
    &kept[0].why
}

fn keys(harness: &Harness) -> BTreeSet<String> {
    harness.store.memory.objects().into_keys().collect()
}

/// An execution that succeeded long ago, with files of its subtasks, and nothing else in the bucket.
async fn old_success() -> Harness {
    let harness = Harness::new(task(4)).await;
    assert_eq!(harness.run().await.0, Decision::Succeeded);
    for index in 0..4 {
        let key = format!("{}o0", harness.root.raw_attempt(OriginalIndex(index), "000000-01", ""));
        put(&harness, &key, "a file").await;
    }
    harness.store.memory.pass(31 * DAY);
    harness
}

async fn put(harness: &Harness, key: &str, body: &str) {
    harness.store.memory.put(key, body.to_owned().into()).await.unwrap();
}

/// Another execution's record, staged now.
async fn stage(harness: &Harness, id: &str, change: impl FnOnce(&mut TaskRecord)) -> Root {
    let root = Root::new("", id);
    let mut record = task(2);
    change(&mut record);
    harness.store.memory.put(&root.task(), record.encode_to_vec().into()).await.unwrap();
    root
}

#[tokio::test(start_paused = true)]
async fn what_is_old_and_over_goes_with_everything() {
    let harness = old_success().await;
    let before = harness.store.memory.objects();
    let dry = gc(&harness, &Options { dry_run: true, ..options() }).await;
    assert_eq!(harness.store.memory.objects(), before, "a dry run changes nothing");
    let report = gc(&harness, &options()).await;
    assert_eq!(report, dry, "and tells the truth");
    assert_eq!(removed(&report), ["x"]);
    let amount = report.removed[0].amount;
    let bytes: usize = before.values().map(|body| body.len()).sum();
    assert_eq!((amount.objects, amount.bytes), (before.len() as u64, bytes as u64));
    assert_eq!(keys(&harness), BTreeSet::new());
    assert_eq!(gc(&harness, &options()).await, Report::default());
}

/// Its workflow is gone, so it goes by its own age; one that cannot be read may be its workflow.
#[tokio::test(start_paused = true)]
async fn what_ran_a_node_goes_by_itself_when_there_is_no_workflow_left() {
    let harness = old_success().await;
    let flyte = Some(batchmap::idl::record::Flyte::default());
    let record = TaskRecord { flyte, ..harness.record.clone() };
    put(&harness, "flyte/executions/p/d/e/spec.pb", "garbage").await;
    harness.store.memory.put(&harness.root.task(), record.encode_to_vec().into()).await.unwrap();
    harness.store.memory.pass(31 * DAY);
    let before = keys(&harness);
    let report = gc(&harness, &options()).await;
    assert_eq!((removed(&report), why(&report, "x")), (vec![], &Why::OfWorkflow));
    assert_eq!(keys(&harness), before);
    harness.store.memory.remove("flyte/executions/p/d/e/spec.pb");
    assert_eq!(removed(&gc(&harness, &options()).await), ["x"]);
    assert_eq!(keys(&harness), BTreeSet::new());
}

#[tokio::test(start_paused = true)]
async fn age_and_state_decide() {
    let harness = Harness::new(task(4)).await;
    harness.batch.ends(1, 0, Ending::Exit(3));
    assert!(matches!(harness.run().await.0, Decision::Failed { .. }));
    harness.store.memory.pass(29 * DAY);
    let report = gc(&harness, &options()).await;
    assert_eq!((removed(&report), why(&report, "x")), (vec![], &Why::Young));
    harness.store.memory.pass(DAY);
    let report = gc(&harness, &Options { states: [State::Succeeded].into(), ..options() }).await;
    assert_eq!((removed(&report), why(&report, "x")), (vec![], &Why::State(State::Failed)));
    assert_eq!(removed(&gc(&harness, &Options { states: [State::Failed].into(), ..options() }).await), ["x"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_over_stays_however_old() {
    let harness = Harness::new(task(4)).await;
    (0..4).for_each(|index| harness.batch.takes(index, 100 * DAY));
    let mut driver = harness.begin().await.unwrap();
    let _ = tokio::time::timeout(DAY, finish(&mut driver)).await;
    harness.store.memory.pass(1000 * DAY);
    let before = keys(&harness);
    let report = gc(&harness, &options()).await;
    assert_eq!((removed(&report), why(&report, "x")), (vec![], &Why::NotOver));
    assert_eq!(keys(&harness), before);
    // It can be ended then, and goes.
    let mut driver = harness.take_over().await;
    abort_after(&mut driver, Duration::ZERO).await.unwrap();
    harness.store.memory.pass(31 * DAY);
    assert_eq!(removed(&gc(&harness, &Options { states: [State::Aborted].into(), ..options() }).await), ["x"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_never_begun_goes_by_its_newest_object() {
    let harness = Harness::new(task(4)).await;
    harness.store.memory.pass(31 * DAY);
    // Staging goes on: its files come before its record.
    put(&harness, &harness.root.pack(3), "a pack").await;
    let half = Root::new("", "y");
    put(&harness, &half.pack(0), "a pack").await;
    assert_eq!(removed(&gc(&harness, &options()).await), Vec::<&str>::new());
    harness.store.memory.pass(31 * DAY);
    assert_eq!(removed(&gc(&harness, &options()).await), ["y", "x"]);
    assert_eq!(keys(&harness), BTreeSet::new());
}

#[tokio::test(start_paused = true)]
async fn what_another_one_reads_stays_and_what_that_one_reads_too() {
    let harness = old_success().await;
    let old = stage(&harness, "y", |record| record.relies_on = vec!["x".to_owned()]).await;
    harness.store.memory.pass(31 * DAY);
    let young = stage(&harness, "z", |record| record.inputs_of = "y".to_owned()).await;
    let before = keys(&harness);
    let report = gc(&harness, &options()).await;
    assert_eq!(removed(&report), Vec::<&str>::new());
    assert_eq!(why(&report, "x"), &Why::UsedBy("y".to_owned()));
    assert_eq!(why(&report, "y"), &Why::UsedBy("z".to_owned()));
    assert_eq!(keys(&harness), before);
    // With the last of them all go, whoever relies on others first.
    harness.store.memory.pass(31 * DAY);
    assert_eq!(removed(&gc(&harness, &options()).await), ["z", "y", "x"]);
    drop((old, young));
}

#[tokio::test(start_paused = true)]
async fn files_that_the_cache_names_stay_until_it_does_not() {
    let harness = old_success().await;
    let named = format!("{}o0", harness.root.raw_attempt(OriginalIndex(2), "000000-01", ""));
    put(&harness, "cache/abc", &format!("\u{1}s3://bucket/{named}\u{2}")).await;
    let report = gc(&harness, &options()).await;
    assert_eq!((removed(&report), report.removed[0].named.objects), (vec!["x"], 1));
    assert_eq!(keys(&harness), ["cache/abc".to_owned(), named.clone()].into());
    // What is left of it stays as long as the entry does.
    harness.store.memory.pass(31 * DAY);
    assert_eq!(why(&gc(&harness, &options()).await, "x"), &Why::Named);
    let with_cache = Options { cache_older_than: Some(60 * DAY), ..options() };
    assert_eq!(why(&gc(&harness, &with_cache).await, "x"), &Why::Named);
    harness.store.memory.pass(31 * DAY);
    let report = gc(&harness, &with_cache).await;
    assert_eq!((removed(&report), report.removed[0].state, report.cache.objects), (vec!["x"], Some(State::Removed), 1));
    assert_eq!(keys(&harness), BTreeSet::new());
}

/// In its inputs, its command, or its outputs, those that came from the cache among them.
#[tokio::test(start_paused = true)]
async fn files_that_another_execution_names_stay() {
    for place in 0..4 {
        let harness = old_success().await;
        let file = |index| format!("{}o0", harness.root.raw_attempt(OriginalIndex(index), "000000-01", ""));
        let address = format!("s3://bucket/{}", file(1));
        let command = if place == 3 { vec!["cat".to_owned(), address.clone()] } else { vec!["true".to_owned()] };
        let other = stage(&harness, "y", |record| record.command = command).await;
        match place {
            0 => put(&harness, &other.pack(0), &address).await,
            1 => put(&harness, &other.outputs(OriginalIndex(0)), &address).await,
            2 => put(&harness, &other.result(), &address).await,
            _ => {}
        }
        let report = gc(&harness, &options()).await;
        assert_eq!((removed(&report), report.removed[0].named.objects), (vec!["x"], 1), "{place}");
        let left = keys(&harness);
        assert!(left.contains(&file(1)) && !left.contains(&file(0)) && !left.contains(&file(2)), "{place}: {left:?}");
    }
}

/// Wherever a removal breaks off, nothing that looks alive is left, and the next run finishes it.
#[tokio::test(start_paused = true)]
async fn a_removal_that_is_broken_off_leaves_nothing_half_alive() {
    for skip in 0..5 {
        let harness = old_success().await;
        // Young again by its files' dates: what was begun is finished whatever its age.
        harness.store.fail("delete_many", "", Fault::Unreachable, skip, 1);
        let broken = gc::run(&harness.store(), "", &options()).await;
        harness.store.heal();
        let left = keys(&harness);
        if broken.is_ok() {
            assert!(left.is_empty(), "{skip}: {left:?}");
            continue;
        }
        let store = harness.store();
        match launch::read(&store, &harness.root).await {
            // Nothing was deleted yet.
            Ok(known) => assert!(known.execution.finished().is_some(), "{skip}"),
            Err(LaunchError::Unknown { .. }) => {
                assert!(!left.contains(&harness.root.task()));
            }
            Err(error) => panic!("{skip}: {error}"),
        }
        let report = gc(&harness, &Options { older_than: 30 * DAY, ..options() }).await;
        assert_eq!(removed(&report), ["x"], "{skip}");
        assert_eq!(keys(&harness), BTreeSet::new(), "{skip}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_journal_without_a_record_is_a_removal_to_be_finished_at_any_age() {
    let harness = Harness::new(task(4)).await;
    harness.run().await;
    harness.store.memory.remove(&harness.root.task());
    let report = gc(&harness, &options()).await;
    assert_eq!((removed(&report), report.removed[0].state), (vec!["x"], None));
    assert_eq!(keys(&harness), BTreeSet::new());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_stays() {
    let harness = old_success().await;
    let record = TaskRecord { version: 99, ..harness.record.clone() };
    harness.store.memory.put(&harness.root.task(), record.encode_to_vec().into()).await.unwrap();
    harness.store.memory.pass(31 * DAY);
    let report = gc(&harness, &options()).await;
    assert!(matches!(why(&report, "x"), Why::Unreadable(problem) if problem.contains("99")), "{report:?}");
}

/// A record, or a journal, that makes no sense: by its age, when that is asked for.
#[tokio::test(start_paused = true)]
async fn what_is_damaged_goes_when_it_is_old_and_one_asks_for_it() {
    let damage = [|root: &Root| root.task(), |root: &Root| root.journal_record(2)];
    for place in damage {
        let harness = Harness::new(task(4)).await;
        assert_eq!(harness.run().await.0, Decision::Succeeded);
        put(&harness, &place(&harness.root), "\u{1}garbage").await;
        let damaged = Options { damaged: true, ..options() };
        assert_eq!(why(&gc(&harness, &damaged).await, "x"), &Why::Young);
        harness.store.memory.pass(31 * DAY);
        assert!(matches!(why(&gc(&harness, &options()).await, "x"), Why::Unreadable(_)));
        let report = gc(&harness, &damaged).await;
        assert_eq!((removed(&report), report.removed[0].state), (vec!["x"], Some(State::Damaged)));
        assert_eq!(keys(&harness), BTreeSet::new());
    }
}

/// More than a page of everything, and many small outputs that cannot name a file.
#[tokio::test(start_paused = true)]
async fn thousands_of_objects_go_page_by_page() {
    let harness = old_success().await;
    for index in 0..2500 {
        put(&harness, &format!("{}o0", harness.root.raw_attempt(OriginalIndex(index), "000001-01", "")), "f").await;
    }
    let other = stage(&harness, "y", |_| {}).await;
    for index in 0..2500 {
        let raw = harness.root.raw_attempt(OriginalIndex(index), "000001-01", "");
        let body = if index % 500 == 7 { format!("s3://bucket/{raw}o0") } else { "12345".to_owned() };
        put(&harness, &other.outputs(OriginalIndex(index)), &body).await;
    }
    let report = gc(&harness, &options()).await;
    assert_eq!((removed(&report), report.removed[0].named.objects), (vec!["x"], 5));
    let left = keys(&harness);
    let files: Vec<&String> = left.iter().filter(|key| key.starts_with("raw/")).collect();
    assert_eq!(files.len(), 5, "{files:?}");
    assert_eq!(left.len(), 5 + 2501);
}

#[tokio::test(start_paused = true)]
async fn leases_go_when_they_are_old_unless_their_holder_goes_on() {
    let harness = Harness::new(task(4)).await;
    (0..4).for_each(|index| harness.batch.takes(index, 100 * DAY));
    let mut driver = harness.begin().await.unwrap();
    let _ = tokio::time::timeout(DAY, finish(&mut driver)).await;
    let lease = |key: u8, number: u64| harness.root.lease(&Key([key; 32]), number);
    for (key, numbers, holder) in [(1, 1, "gone 0"), (2, 3, "gone 0"), (3, 2, "x 0"), (4, 1, "garbage")] {
        for number in 1..=numbers {
            put(&harness, &lease(key, number), holder).await;
        }
    }
    harness.store.memory.pass(31 * DAY);
    put(&harness, &lease(5, 1), "gone 0").await;
    put(&harness, &lease(2, 4), "gone 0").await;
    let dry = gc(&harness, &Options { dry_run: true, ..options() }).await;
    let report = gc(&harness, &options()).await;
    assert_eq!((report.leases.objects, &report), (2, &dry), "those of 1 and 4");
    let left: Vec<String> = keys(&harness).into_iter().filter(|key| key.starts_with("leases/")).collect();
    let expected = [(2, 1), (2, 2), (2, 3), (2, 4), (3, 1), (3, 2), (5, 1)].map(|(key, number)| lease(key, number));
    assert_eq!(left, expected);
}

/// Its next record can be created, for nothing is there any more: that must not be taken for the right to go on.
#[tokio::test(start_paused = true)]
async fn a_driver_that_slept_through_the_removal_stops_and_leaves_nothing() {
    let harness = Harness::new(task(4)).await;
    let mut sleeper = harness.begin().await.unwrap();
    let mut other = harness.take_over().await;
    assert_eq!(finish(&mut other).await.unwrap(), Decision::Succeeded);
    let submitted = harness.batch.submits();
    harness.store.memory.pass(31 * DAY);
    tokio::time::advance(31 * DAY).await;
    assert_eq!(removed(&gc(&harness, &options()).await), ["x"]);
    let stopped = finish(&mut sleeper).await;
    assert!(matches!(stopped, Err(DriveError::Journal(JournalError::Removed { .. }))), "{stopped:?}");
    assert_eq!((harness.batch.submits(), keys(&harness)), (submitted, BTreeSet::new()));
}

/// A bucket that holds more than one prefix: each is its own.
#[tokio::test(start_paused = true)]
async fn other_prefixes_are_left_alone() {
    let harness = old_success().await;
    let before = keys(&harness);
    let store: Arc<dyn Store> = harness.store();
    assert_eq!(gc::run(&store, "team", &options()).await.unwrap(), Report::default());
    assert_eq!(keys(&harness), before);
}
