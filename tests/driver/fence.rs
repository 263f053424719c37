//! Drivers that were paused between a record and what they do because of it.

use std::time::Duration;

use batchmap::map::event::{Decision, Event};
use batchmap::run::driver::DriveError;
use batchmap::run::journal::{Journal, JournalError};

use super::batch::Fault;
use super::harness::{Harness, finish, task};
use super::store;

/// Another driver takes over meanwhile, and writes something of its own.
async fn usurp(harness: &Harness, after: Duration) {
    tokio::time::sleep(after).await;
    let store = harness.store.clone();
    let (mut journal, _) = Journal::open(store, harness.root.clone(), "usurper".to_owned()).await.unwrap();
    journal.append(0, vec![Event::AbortRequested { reason: "mine now".to_owned() }]).await.unwrap();
    std::future::pending::<()>().await
}

fn is_overtaken(error: &DriveError) -> bool {
    matches!(error, DriveError::Journal(JournalError::Overtaken { sequence: 3, writer }) if writer == "usurper")
}

#[tokio::test(start_paused = true)]
async fn whoever_was_paused_before_submitjob_and_overtaken_does_not_submit() {
    let harness = Harness::new(task(5)).await;
    // The second record is the plan of the array.
    harness.store.fail("put_new", "/journal/", store::Fault::Paused, 1, 1);
    let mut driver = harness.begin().await.unwrap();
    let error = tokio::select! {
        ended = finish(&mut driver) => ended.unwrap_err(),
        () = usurp(&harness, Duration::from_secs(20)) => unreachable!("it never ends"),
    };
    assert!(is_overtaken(&error), "{error}");
    assert_eq!(harness.batch.submits(), 0);
}

#[tokio::test(start_paused = true)]
async fn whoever_was_paused_and_not_overtaken_goes_on() {
    let harness = Harness::new(task(5)).await;
    harness.store.fail("put_new", "/journal/", store::Fault::Paused, 1, 1);
    assert_eq!(harness.run().await.0, Decision::Succeeded);
    assert_eq!(harness.batch.submits(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_look_that_fails_is_made_again_before_anything_is_submitted() {
    let harness = Harness::new(task(5)).await;
    harness.store.fail("put_new", "/journal/", store::Fault::Paused, 1, 1);
    harness.store.fail("list", "/journal/", store::Fault::Unreachable, 1, 3);
    assert_eq!(harness.run().await.0, Decision::Succeeded);
    assert_eq!(harness.batch.submits(), 1);
    assert_eq!(harness.batch.runs().values().sum::<u32>(), 5);
}

/// A throttled submission is tried again and again, long after its record: each time the journal is made sure of.
#[tokio::test(start_paused = true)]
async fn whoever_is_overtaken_while_aws_throttles_does_not_submit() {
    let harness = Harness::new(task(5)).await;
    harness.batch.fail("SubmitJob", vec![Fault::Throttled; 40]);
    let mut driver = harness.begin().await.unwrap();
    let error = tokio::select! {
        ended = finish(&mut driver) => ended.unwrap_err(),
        () = usurp(&harness, Duration::from_secs(30)) => unreachable!("it never ends"),
    };
    assert!(is_overtaken(&error), "{error}");
    assert!(harness.batch.submits() < 40);
    assert_eq!(harness.batch.alive(), 0);
}
