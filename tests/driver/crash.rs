//! Drivers that die, and drivers that are overtaken.

use std::collections::BTreeMap;
use std::time::Duration;

use batchmap::idl::record::TaskRecord;
use batchmap::map::event::{Decision, Event};
use batchmap::run::driver::{Control, DriveError, Ended};
use batchmap::run::journal::{Journal, JournalError, read_from};
use tokio::sync::mpsc;

use super::batch::{Ending, Fault};
use super::harness::{Harness, finish, task, with_policy};
use super::store;

/// An execution with a bit of everything: rolling arrays, failures, retries, a lost host.
async fn eventful(record: &TaskRecord) -> Harness {
    let harness = Harness::new(record.clone()).await;
    for index in 0..record.size {
        harness.batch.takes(index, Duration::from_secs(1 + index * 7 % 13));
    }
    harness.batch.ends(1, 0, Ending::Exit(75));
    harness.batch.ends(4, 0, Ending::Error { recoverable: true });
    harness.batch.ends(4, 1, Ending::Error { recoverable: true });
    harness.batch.ends(6, 0, Ending::HostLost);
    harness.batch.ends(6, 1, Ending::Exit(76));
    harness.batch.ends(9, 0, Ending::Error { recoverable: false });
    harness.batch.ends(11, 0, Ending::Exit(1));
    harness
}

/// How it ends when nobody dies.
async fn undisturbed(record: &TaskRecord) -> (Decision, u64, BTreeMap<u64, u32>, usize) {
    let harness = eventful(record).await;
    let (decision, outcomes) = harness.run().await;
    (decision, outcomes.succeeded(), harness.batch.runs(), harness.records())
}

#[tokio::test(start_paused = true)]
async fn a_death_at_any_record_loses_nothing_and_counts_nothing_twice() {
    let record = with_policy(14, |policy| {
        policy.min_successes = 12;
        policy.retries = 2;
        policy.concurrency = 5;
    });
    let (decision, succeeded, runs, records) = undisturbed(&record).await;
    assert_eq!((&decision, succeeded), (&Decision::Succeeded, 12));
    assert!(records > 10);
    for fault in [store::Fault::DiesBefore, store::Fault::DiesAfter] {
        for skip in 1..records as u32 {
            let harness = eventful(&record).await;
            harness.store.fail("put_new", "/journal/", fault, skip, 1);
            let mut driver = harness.begin().await.unwrap();
            finish(&mut driver).await.expect_err("it dies");
            drop(driver);
            harness.store.heal();
            let mut next = harness.take_over().await;
            assert_eq!(finish(&mut next).await.unwrap(), decision, "{fault:?} {skip}");
            assert_eq!(next.execution().outcomes().succeeded(), succeeded, "{fault:?} {skip}");
            assert_eq!(harness.batch.runs(), runs, "{fault:?} {skip}");
            assert_eq!(harness.batch.alive(), 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn drivers_that_die_at_every_second_record_get_there_too() {
    let record = with_policy(14, |policy| {
        policy.min_successes = 12;
        policy.retries = 2;
        policy.concurrency = 5;
    });
    let (decision, succeeded, runs, _) = undisturbed(&record).await;
    let harness = eventful(&record).await;
    drop(harness.begin().await.unwrap());
    for deaths in 0.. {
        assert!(deaths < 100, "it gets no further");
        harness.store.heal();
        // At every single one they would not: each would die before the SubmitJob that it has just announced.
        harness.store.fail("put_new", "/journal/", store::Fault::DiesAfter, 1, 1);
        let mut driver = harness.take_over().await;
        if let Ok(end) = finish(&mut driver).await {
            assert_eq!((end, driver.execution().outcomes().succeeded()), (decision, succeeded));
            break;
        }
    }
    assert_eq!(harness.batch.runs(), runs);
}

#[tokio::test(start_paused = true)]
async fn a_failing_execution_fails_through_any_death() {
    let record = with_policy(14, |policy| {
        policy.min_successes = 13;
        policy.concurrency = 5;
        policy.retries = 2;
    });
    let (decision, _, _, records) = undisturbed(&record).await;
    assert!(matches!(decision, Decision::Failed { .. }));
    for skip in 1..records as u32 {
        let harness = eventful(&record).await;
        harness.store.fail("put_new", "/journal/", store::Fault::DiesAfter, skip, 1);
        let mut driver = harness.begin().await.unwrap();
        finish(&mut driver).await.expect_err("it dies");
        harness.store.heal();
        let end = finish(&mut harness.take_over().await).await.unwrap();
        assert!(matches!(end, Decision::Failed { .. }), "{skip}: {end:?}");
        assert_eq!(harness.batch.alive(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_detached_execution_is_taken_up_where_it_is() {
    let harness = Harness::new(task(6)).await;
    harness.batch.takes(2, Duration::from_secs(600));
    let mut driver = harness.begin().await.unwrap();
    let (sender, mut control) = mpsc::channel(1);
    sender.send(Control::Detach).await.unwrap();
    assert_eq!(driver.run(&mut control).await.unwrap(), Ended::Detached);
    assert_eq!(harness.batch.alive(), 6, "what Batch holds goes on");
    assert_eq!(finish(&mut harness.take_over().await).await.unwrap(), Decision::Succeeded);
    assert_eq!(harness.batch.submits(), 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_finds_its_record_taken_stops_and_touches_nothing() {
    let harness = Harness::new(with_policy(6, |policy| policy.retries = 1)).await;
    harness.batch.takes(0, Duration::from_secs(600));
    for index in [1, 3] {
        harness.batch.ends(index, 0, Ending::Exit(75));
    }
    let mut old = harness.begin().await.unwrap();
    // Another one takes over before the first failure is seen, and writes something of its own.
    let usurper = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let store = harness.store.clone();
        let (mut journal, _) = Journal::open(store, harness.root.clone(), "usurper".to_owned()).await.unwrap();
        journal.append(0, vec![Event::AbortRequested { reason: "mine now".to_owned() }]).await.unwrap();
        std::future::pending::<()>().await
    };
    let error = tokio::select! {
        ended = finish(&mut old) => ended.unwrap_err(),
        () = usurper => unreachable!("it never ends"),
    };
    let overtaken = |error: &DriveError| matches!(error, DriveError::Journal(JournalError::Overtaken { writer, .. }) if writer == "usurper");
    assert!(overtaken(&error), "{error}");
    assert_eq!(harness.batch.submits(), 1, "the retries are the other one's affair");
    let lists = harness.store.memory.objects().keys().filter(|key| key.contains("/arrays/")).count();
    assert_eq!(lists, 0, "so is the list of who runs again");
    // The new one ends it.
    let end = finish(&mut harness.take_over().await).await.unwrap();
    assert_eq!(end, Decision::Aborted { reason: "mine now".to_owned() });
    assert_eq!(harness.batch.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_submission_that_a_dead_driver_made_is_adopted() {
    let harness = Harness::new(task(5)).await;
    harness.batch.fail("SubmitJob", [Fault::ReplyLost]);
    // It dies before it can say that it does not know.
    harness.store.fail("put_new", "/journal/", store::Fault::DiesBefore, 2, 1);
    let mut driver = harness.begin().await.unwrap();
    finish(&mut driver).await.expect_err("it dies");
    harness.store.heal();
    assert_eq!(finish(&mut harness.take_over().await).await.unwrap(), Decision::Succeeded);
    assert_eq!(harness.batch.submits(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_look_without_news_is_not_journalled() {
    let harness = Harness::new(with_policy(6, |policy| policy.retries = 1)).await;
    harness.batch.takes(0, Duration::from_secs(3600));
    harness.batch.ends(1, 0, Ending::Exit(75));
    harness.batch.hide_failures(20);
    harness.run().await;
    let store: std::sync::Arc<dyn batchmap::aws::store::Store> = harness.store.clone();
    for record in read_from(&store, &harness.root, 1).await.unwrap() {
        assert!(!record.events.is_empty());
        assert!(record.events.iter().all(Event::settles_something), "{record:?}");
    }
    assert!(harness.records() < 10);
}
