//! Jobs under the execution's name that its journal does not know.

use std::time::Duration;

use batchmap::map::event::{Decision, Event};
use batchmap::run::driver::DriveError;
use batchmap::run::journal::{Journal, JournalError};
use tokio::time::Instant;

use super::batch::{Call, Fault};
use super::harness::{Harness, finish, task, with_policy};
use super::store;

const LONG: Duration = Duration::from_secs(1_000_000);

fn ended(harness: &Harness) -> usize {
    harness.batch.count(|call| matches!(call, Call::Terminate { .. }))
}

/// A driver that has submitted everything, and is gone.
async fn left_behind(harness: &Harness) {
    let mut driver = harness.begin().await.unwrap();
    let ran = tokio::time::timeout(Duration::from_secs(1), finish(&mut driver)).await;
    assert!(ran.is_err(), "it is not over");
}

#[tokio::test(start_paused = true)]
async fn a_takeover_ends_what_the_journal_does_not_know_and_nothing_else() {
    let harness = Harness::new(with_policy(12, |policy| policy.concurrency = 6)).await;
    (0..12).for_each(|index| harness.batch.takes(index, Duration::from_secs(300)));
    left_behind(&harness).await;
    let elsewhere = |name: &str, children| harness.batch.submitted_elsewhere(name, children, LONG);
    // Of an array that is known under another id, and of one that was never planned. More than a page of them.
    let strays =
        ["x-000000", "x-000000", "x-000001", "x-000007", "x-1000000", "x-000000"].map(|name| elsewhere(name, 3));
    let others = ["X-000000", "x-y-000000", "xy-000000", "x-00000", "x-000000-1", "x-", "x-0000000", "x"];
    let others = others.map(|name| elsewhere(name, 1));
    let mut driver = harness.take_over().await;
    let alone = async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert!(strays.iter().all(|job| !harness.batch.is_alive(job)), "they are ended at once, not in the end");
        std::future::pending::<()>().await
    };
    tokio::select! {
        end = finish(&mut driver) => assert_eq!(end.unwrap(), Decision::Succeeded),
        () = alone => unreachable!("it never ends"),
    }
    assert!(others.iter().all(|job| harness.batch.is_alive(job)), "other executions' jobs are not ours to end");
    assert_eq!(ended(&harness), strays.len());
    assert_eq!(harness.batch.runs().values().sum::<u32>(), 12, "what the journal knows stays");
}

#[tokio::test(start_paused = true)]
async fn an_array_in_doubt_is_adopted_and_its_double_ended() {
    let harness = Harness::new(task(5)).await;
    (0..5).for_each(|index| harness.batch.takes(index, Duration::from_secs(100)));
    harness.batch.fail("SubmitJob", [Fault::ReplyLost]);
    harness.store.fail("put_new", "/journal/", store::Fault::DiesBefore, 2, 1);
    finish(&mut harness.begin().await.unwrap()).await.expect_err("it dies");
    harness.store.heal();
    // The listing shows the newest first: the driver's own job is adopted by whoever finds it second only if it must be.
    let doubles: Vec<String> = (0..2).map(|_| harness.batch.submitted_elsewhere("x-000000", 5, LONG)).collect();
    let mut driver = harness.take_over().await;
    let run = tokio::time::timeout(Duration::from_secs(60), finish(&mut driver)).await;
    assert!(run.is_err(), "the newest was adopted, and it takes its time");
    let alive = |job: &String| harness.batch.is_alive(job);
    assert_eq!(doubles.iter().filter(|job| alive(job)).count() + usize::from(alive(&"job-0".to_owned())), 1);
    assert_eq!(ended(&harness), 2);
}

#[tokio::test(start_paused = true)]
async fn what_shows_late_is_ended_before_the_execution_is_called_finished() {
    let harness = Harness::new(task(5)).await;
    // The first submission never arrives, or so it seems.
    harness.batch.fail("SubmitJob", [Fault::Lost]);
    harness.batch.listings_lag(Duration::from_secs(50));
    (0..5).for_each(|index| harness.batch.takes(index, Duration::from_secs(200)));
    let mut driver = harness.begin().await.unwrap();
    let late = async {
        // A moment before the end: by then nothing shows it.
        tokio::time::sleep(Duration::from_secs(255)).await;
        harness.batch.submitted_elsewhere("x-000000", 5, LONG);
        std::future::pending::<()>().await
    };
    let began = Instant::now();
    tokio::select! {
        end = finish(&mut driver) => assert_eq!(end.unwrap(), Decision::Succeeded),
        () = late => unreachable!("it never ends"),
    }
    assert_eq!((ended(&harness), harness.batch.alive()), (1, 0));
    assert!(began.elapsed() < Duration::from_secs(500), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn without_lag_nobody_waits_for_it() {
    let mut harness = Harness::new(task(5)).await;
    harness.patience.lag = Duration::ZERO;
    harness.batch.fail("SubmitJob", [Fault::Lost]);
    let began = Instant::now();
    assert_eq!(harness.run().await.0, Decision::Succeeded);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_takeover_without_doubt_does_not_wait_at_the_end() {
    let harness = Harness::new(task(5)).await;
    (0..5).for_each(|index| harness.batch.takes(index, Duration::from_secs(100)));
    left_behind(&harness).await;
    let began = Instant::now();
    assert_eq!(finish(&mut harness.take_over().await).await.unwrap(), Decision::Succeeded);
    assert!(began.elapsed() < Duration::from_secs(150), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_sweep_outlives_an_outage_and_a_death() {
    let harness = Harness::new(task(5)).await;
    (0..5).for_each(|index| harness.batch.takes(index, Duration::from_secs(100)));
    left_behind(&harness).await;
    (0..9).for_each(|number| drop(harness.batch.submitted_elsewhere(&format!("x-{number:06}"), 2, LONG)));
    harness.batch.fail("ListJobs", [Fault::Lost, Fault::Throttled]);
    harness.batch.fail("TerminateJob", [Fault::Lost, Fault::Throttled, Fault::Lost]);
    let mut driver = harness.take_over().await;
    tokio::time::timeout(Duration::from_secs(5), finish(&mut driver)).await.expect_err("it dies");
    assert_eq!(finish(&mut harness.take_over().await).await.unwrap(), Decision::Succeeded);
    assert_eq!((ended(&harness), harness.batch.alive()), (9, 0));
}

/// To who was overtaken, its successor's jobs look like nobody's.
#[tokio::test(start_paused = true)]
async fn whoever_was_overtaken_ends_nothing_of_its_successors() {
    let harness = Harness::new(task(5)).await;
    (0..5).for_each(|index| harness.batch.takes(index, Duration::from_secs(100)));
    left_behind(&harness).await;
    let mut old = harness.take_over().await;
    let (mut journal, _) =
        Journal::open(harness.store.clone(), harness.root.clone(), "successor".to_owned()).await.unwrap();
    journal.append(0, vec![Event::AbortRequested { reason: "mine now".to_owned() }]).await.unwrap();
    let job = harness.batch.submitted_elsewhere("x-000001", 5, LONG);
    let error = finish(&mut old).await.expect_err("it was overtaken");
    assert!(matches!(error, DriveError::Journal(JournalError::Overtaken { .. })), "{error}");
    assert!(harness.batch.is_alive(&job));
    assert_eq!(ended(&harness), 0);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_may_not_be_ended_stops_the_driver_with_its_name() {
    let harness = Harness::new(task(5)).await;
    (0..5).for_each(|index| harness.batch.takes(index, Duration::from_secs(100)));
    left_behind(&harness).await;
    let stray = harness.batch.submitted_elsewhere("x-000000", 5, LONG);
    harness.batch.fail("TerminateJob", [Fault::Refused]);
    let error = finish(&mut harness.take_over().await).await.expect_err("it was refused");
    assert!(error.to_string().contains("TerminateJob"), "{error}");
    assert!(harness.batch.is_alive(&stray));
    assert_eq!(finish(&mut harness.take_over().await).await.unwrap(), Decision::Succeeded);
    assert!(!harness.batch.is_alive(&stray));
}
