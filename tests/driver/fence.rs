//! Drivers that were paused between a record and what they do because of it.

use std::time::Duration;

use batchmap::aws::store::Store;
use batchmap::map::event::{Decision, Event};
use batchmap::run::driver::DriveError;
use batchmap::run::journal::{Journal, JournalError, Record};
use tokio::time::Instant;

use super::batch::{Call, Fault};
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

const HOUR: Duration = Duration::from_secs(3600);

/// A driver is paused at its first SubmitJob by `fault`; another one takes over and finishes meanwhile. How the first ends.
async fn wakes_after_the_end(harness: &Harness, fault: Fault) -> DriveError {
    harness.batch.fail("SubmitJob", [fault]);
    let mut driver = harness.begin().await.unwrap();
    let successor = async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(finish(&mut harness.take_over().await).await.unwrap(), Decision::Succeeded);
        assert_eq!(harness.batch.alive(), 0);
    };
    let (ended, ()) = tokio::join!(finish(&mut driver), successor);
    ended.expect_err("it was overtaken")
}

#[tokio::test(start_paused = true)]
async fn whoever_wakes_after_its_successors_end_ends_what_it_submits() {
    for fault in [Fault::Paused(HOUR), Fault::PausedAndLost(HOUR)] {
        let harness = Harness::new(task(5)).await;
        (0..5).for_each(|index| harness.batch.takes(index, Duration::from_secs(200)));
        harness.batch.listings_lag(Duration::from_secs(20));
        let error = wakes_after_the_end(&harness, fault).await;
        assert!(matches!(error, DriveError::Journal(JournalError::Overtaken { .. })), "{error}");
        assert_eq!((harness.batch.submits(), harness.batch.alive()), (2, 0), "{fault:?}");
        assert_eq!(harness.batch.count(|call| matches!(call, Call::Terminate { .. })), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_it_may_not_end_is_named_and_nobody_waits_for_ever() {
    let tries = [(vec![Fault::Denied], "AccessDeniedException"), (vec![Fault::Lost; 1000], "did not answer in time")];
    for (faults, words) in tries {
        let harness = Harness::new(task(5)).await;
        (0..5).for_each(|index| harness.batch.takes(index, Duration::from_secs(200)));
        harness.batch.fail("TerminateJob", faults);
        let began = Instant::now();
        let error = wakes_after_the_end(&harness, Fault::Paused(HOUR)).await;
        let told = error.to_string();
        assert!(matches!(error, DriveError::Left { .. }) && told.contains("job-1") && told.contains(words), "{told}");
        assert!(began.elapsed() < HOUR + Duration::from_secs(130), "{:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_successor_has_adopted_or_looks_for_stays() {
    let adopts = Event::Submitted { array: 0, job: "job-0".to_owned() };
    let looks = Event::AbortRequested { reason: "mine now".to_owned() };
    for (event, fault) in [adopts, looks].into_iter().flat_map(|event| {
        let faults = [Fault::PausedAfter(Duration::from_secs(60)), Fault::ReplyLost];
        faults.map(|fault| (event.clone(), fault))
    }) {
        let harness = Harness::new(task(5)).await;
        (0..5).for_each(|index| harness.batch.takes(index, HOUR));
        harness.batch.fail("SubmitJob", [fault]);
        // Nothing is written of it before the other one has.
        harness.store.fail("put_new", "/journal/00000003", store::Fault::Unreachable, 0, 3);
        let mut driver = harness.begin().await.unwrap();
        let usurp = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let place = harness.root.journal_record(3);
            let record =
                Record { version: 1, sequence: 3, writer: "usurper".to_owned(), now_ms: 0, events: vec![event] };
            harness.store.memory.put_new(&place, serde_json::to_vec(&record).unwrap().into()).await.unwrap();
        };
        let (ended, ()) = tokio::join!(finish(&mut driver), usurp);
        let error = ended.expect_err("it was overtaken");
        assert!(is_overtaken(&error), "{error}");
        assert!(harness.batch.is_alive("job-0"), "{fault:?}");
    }
}

/// An execution that was removed has no journal to ask: nobody knows its jobs.
#[tokio::test(start_paused = true)]
async fn whoever_wakes_when_the_execution_is_gone_ends_what_it_submits() {
    let harness = Harness::new(task(5)).await;
    (0..5).for_each(|index| harness.batch.takes(index, HOUR));
    harness.batch.fail("SubmitJob", [Fault::Paused(HOUR)]);
    let mut driver = harness.begin().await.unwrap();
    let removal = async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        let keys: Vec<String> = harness.store.memory.objects().into_keys().collect();
        harness.store.memory.delete_many(&keys).await.unwrap();
    };
    let (ended, ()) = tokio::join!(finish(&mut driver), removal);
    let error = ended.expect_err("it was removed");
    assert!(matches!(error, DriveError::Journal(JournalError::Removed { .. })), "{error}");
    assert_eq!((harness.batch.submits(), harness.batch.alive()), (1, 0));
}

/// A throttled try is repeated below the driver, in its lane: the journal is made sure of before each one.
#[tokio::test(start_paused = true)]
async fn whoever_is_overtaken_between_two_tries_of_a_lane_does_not_submit() {
    let mut harness = Harness::new(task(5)).await;
    harness.paced = true;
    harness.batch.fail("SubmitJob", [Fault::PausedThrottled(HOUR)]);
    let mut driver = harness.begin().await.unwrap();
    let error = tokio::select! {
        ended = finish(&mut driver) => ended.unwrap_err(),
        () = usurp(&harness, Duration::from_secs(30)) => unreachable!("it never ends"),
    };
    assert!(is_overtaken(&error), "{error}");
    assert_eq!((harness.batch.submits(), harness.batch.alive()), (1, 0));
}
