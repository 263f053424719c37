//! Snapshots of the journal: written beside it, read instead of it, and never needed.

use std::sync::Arc;
use std::time::Duration;

use batchmap::aws::store::Store;
use batchmap::idl::record::TaskRecord;
use batchmap::map::event::Decision;
use batchmap::run::launch::{self, Known};
use tokio::time::Instant;

use super::batch::Ending;
use super::harness::{Harness, finish, with_policy};
use super::store;

/// Many small arrays, one after the other.
fn long() -> TaskRecord {
    with_policy(300, |policy| {
        policy.concurrency = 2;
        policy.retries = 1;
        policy.min_successes = 290;
    })
}

async fn eventful(record: TaskRecord) -> Harness {
    let harness = Harness::new(record).await;
    for index in [3, 40, 77] {
        harness.batch.ends(index, 0, Ending::Exit(75));
    }
    for index in [5, 50, 51] {
        harness.batch.ends(index, 0, Ending::Error { recoverable: false });
    }
    harness
}

fn snapshots(harness: &Harness) -> Vec<String> {
    let prefix = harness.root.snapshots();
    harness.store.memory.objects().into_keys().filter(|key| key.starts_with(&prefix)).collect()
}

async fn read(harness: &Harness) -> Known {
    let store: Arc<dyn Store> = harness.store.clone();
    launch::read(&store, &harness.root).await.unwrap()
}

/// What is read without any snapshot.
async fn read_whole(harness: &Harness) -> Known {
    let kept: Vec<_> =
        snapshots(harness).into_iter().map(|key| (key.clone(), harness.store.memory.remove(&key).unwrap())).collect();
    let known = read(harness).await;
    for (key, body) in kept {
        harness.store.memory.put(&key, body).await.unwrap();
    }
    known
}

#[track_caller]
fn assert_same(one: &Known, other: &Known) {
    assert_eq!(one.execution, other.execution);
    assert_eq!((&one.names, one.times, one.records), (&other.names, other.times, other.records));
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_is_read_instead_of_the_records_before_it() {
    let harness = eventful(long()).await;
    assert_eq!(harness.run().await.0, Decision::Succeeded);
    let written = snapshots(&harness);
    assert!(written.len() >= 2 && written.len() as u64 * 64 <= harness.records() as u64, "{written:?}");
    let whole = read_whole(&harness).await;
    assert_same(&read(&harness).await, &whole);
    assert_eq!(whole.records, harness.records() as u64);
    assert!(whole.names.is_some());
    // The records before the newest are not even looked at. (Nothing deletes them: their keys are the fence.)
    let newest: u64 = written.last().unwrap().rsplit('/').next().unwrap().parse().unwrap();
    for n in 1..newest {
        harness.store.memory.remove(&harness.root.journal_record(n)).unwrap();
    }
    assert_same(&read(&harness).await, &whole);
    // But a snapshot of another journal is noticed.
    harness.store.memory.remove(&harness.root.journal_record(newest)).unwrap();
    let store: Arc<dyn Store> = harness.store.clone();
    assert!(launch::read(&store, &harness.root).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn drivers_that_die_go_on_from_snapshots() {
    let harness = eventful(long()).await;
    let mut driver = harness.begin().await.unwrap();
    let mut lives = 0;
    let decision = loop {
        lives += 1;
        match tokio::time::timeout(Duration::from_secs(37), finish(&mut driver)).await {
            Ok(end) => break end.unwrap(),
            Err(_) => driver = harness.take_over().await,
        }
        assert_same(&read(&harness).await, &read_whole(&harness).await);
    };
    assert_eq!(decision, Decision::Succeeded);
    assert!(lives > 3 && snapshots(&harness).len() >= 2);
    assert_eq!(driver.execution().outcomes().succeeded(), 297);
    assert_eq!(harness.batch.runs().values().sum::<u32>(), 303);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_of_no_use_is_passed_over() {
    let harness = eventful(long()).await;
    harness.run().await;
    let whole = read_whole(&harness).await;
    let written = snapshots(&harness);
    for (at, key) in written.iter().rev().enumerate() {
        let body = harness.store.memory.get(key).await.unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        let useless = match at % 3 {
            0 => text[..text.len() / 2].to_owned(),
            1 => text.replacen("\"version\":1", "\"version\":99", 1),
            _ => String::new(),
        };
        harness.store.memory.put(key, useless.into()).await.unwrap();
        assert_same(&read(&harness).await, &whole);
    }
    harness.store.memory.put(&format!("{}README", harness.root.snapshots()), "?".into()).await.unwrap();
    assert_same(&read(&harness).await, &whole);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_cannot_be_written_stops_nobody() {
    for fault in [store::Fault::Unreachable, store::Fault::Paused] {
        let harness = eventful(long()).await;
        harness.store.fail("put", "/snapshots/", fault, 0, u32::MAX);
        let began = Instant::now();
        assert_eq!(harness.run().await.0, Decision::Succeeded, "{fault:?}");
        let took = began.elapsed();
        let undisturbed = eventful(long()).await;
        let began = Instant::now();
        undisturbed.run().await;
        assert!(took <= began.elapsed() + Duration::from_secs(11), "{fault:?}: {took:?}");
        assert_same(&read(&harness).await, &read_whole(&harness).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_short_journal_has_no_snapshot() {
    let harness = Harness::new(with_policy(20, |policy| policy.concurrency = 10)).await;
    harness.run().await;
    assert_eq!(snapshots(&harness), Vec::<String>::new());
}
