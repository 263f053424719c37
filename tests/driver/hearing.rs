//! Whoever wants something of a driver is heard in bounded time, whatever it does meanwhile.

use std::time::Duration;

use batchmap::aws::batch::Batch;
use batchmap::map::event::Decision;
use batchmap::run::driver::{Control, Ended};
use batchmap::run::settle::OUR_REASON;
use batchmap::run::{Clock, launch, now_ms};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::batch::{Call, Fault};
use super::harness::{Harness, abort_after, aborted, finish, task, with_policy};
use super::store;

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn an_abort_is_heard_in_the_midst_of_a_poll() {
    let harness = Harness::new(task(5)).await;
    (0..5).for_each(|index| harness.batch.takes(index, HOUR));
    harness.batch.fail("DescribeJobs", [Fault::Paused(HOUR)]);
    let mut driver = harness.begin().await.unwrap();
    let began = Instant::now();
    assert_eq!(abort_after(&mut driver, Duration::from_secs(60)).await.unwrap(), aborted());
    assert!(began.elapsed() < Duration::from_secs(120), "{:?}", began.elapsed());
    assert_eq!(harness.batch.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_is_heard_in_the_midst_of_a_poll() {
    let harness = Harness::new(with_policy(5, |policy| policy.deadline_ms = 60_000)).await;
    (0..5).for_each(|index| harness.batch.takes(index, HOUR));
    harness.batch.fail("DescribeJobs", [Fault::Paused(HOUR)]);
    let began = Instant::now();
    assert!(matches!(harness.run().await.0, Decision::Failed { .. }));
    assert!(began.elapsed() < Duration::from_secs(120), "{:?}", began.elapsed());
}

/// A thousand look-ups take two minutes at AWS's pace.
#[tokio::test(start_paused = true)]
async fn whoever_stops_a_driver_need_not_wait_for_its_look_ups() {
    let mut record = task(1000);
    record.pack_starts = (0..1000).collect();
    let mut harness = Harness::new(record).await;
    harness.store.fail("put_new", "/journal/", store::Fault::DiesAfter, 1, 1);
    finish(&mut harness.begin().await.unwrap()).await.expect_err("it dies with everything planned");
    harness.store.heal();
    harness.paced = true;
    let mut driver = harness.take_over().await;
    let (sender, mut control) = mpsc::channel(1);
    let began = Instant::now();
    let detach = async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        sender.send(Control::Detach).await.unwrap();
    };
    let (ended, ()) = tokio::join!(driver.run(&mut control), detach);
    assert_eq!(ended.unwrap(), Ended::Detached);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    // Meanwhile none was looked for twice before the others had their turn.
    assert_eq!(finish(&mut harness.take_over().await).await.unwrap(), Decision::Succeeded);
    assert!(harness.batch.runs().values().all(|runs| *runs == 1));
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_forward_ends_nothing() {
    let harness = Harness::new(with_policy(5, |policy| policy.deadline_ms = 3_600_000)).await;
    harness.batch.takes(3, HOUR / 2);
    let (mut ports, begun) = (harness.ports(), Instant::now());
    let day = |at: Instant| if at.elapsed() > Duration::from_secs(60) { 86_400_000 } else { 0 };
    ports.clock = Clock::of(move || now_ms() + day(begun));
    let names = launch::Names { definition: "d:1".to_owned(), queue: "q".to_owned(), interruptible_queue: None };
    let driver = launch::begin(&ports, &harness.root, harness.record.clone(), names, harness.patience).await;
    assert_eq!(finish(&mut driver.unwrap()).await.unwrap(), Decision::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_takeover_outlives_a_moment_without_the_bucket() {
    let harness = Harness::new(task(5)).await;
    (0..5).for_each(|index| harness.batch.takes(index, Duration::from_secs(100)));
    let ran = tokio::time::timeout(Duration::from_secs(1), finish(&mut harness.begin().await.unwrap())).await;
    assert!(ran.is_err(), "it is not over");
    harness.store.fail("get", "task.pb", store::Fault::Unreachable, 0, 2);
    harness.store.fail("list", "/journal/", store::Fault::Unreachable, 0, 2);
    assert_eq!(finish(&mut harness.take_over().await).await.unwrap(), Decision::Succeeded);
    // Not for ever.
    harness.store.heal();
    harness.store.fail("get", "task.pb", store::Fault::Unreachable, 0, 1000);
    let began = Instant::now();
    assert!(launch::take_over(&harness.ports(), &harness.root, harness.patience).await.is_err());
    assert!(began.elapsed() <= Duration::from_secs(60), "{:?}", began.elapsed());
}

/// A driver that took a job for nobody's may end it just before another one adopts it.
#[tokio::test(start_paused = true)]
async fn what_was_ended_in_our_name_before_any_decision_is_run_again() {
    let harness = Harness::new(task(5)).await;
    (0..5).for_each(|index| harness.batch.takes(index, Duration::from_secs(100)));
    let mut driver = harness.begin().await.unwrap();
    let stop = async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        harness.batch.terminate("job-0", &format!("{OUR_REASON}it was taken for nobody's")).await.unwrap();
    };
    let (end, ()) = tokio::join!(finish(&mut driver), stop);
    assert_eq!(end.unwrap(), Decision::Succeeded);
    assert_eq!(harness.batch.submits(), 2);
}

/// A page's token that is refused begins the sweep anew, but not for ever.
#[tokio::test(start_paused = true)]
async fn a_sweep_whose_pages_are_refused_begins_anew_a_few_times() {
    for (times, fine) in [(3, true), (100, false)] {
        let harness = Harness::new(task(5)).await;
        (0..5).for_each(|index| harness.batch.takes(index, Duration::from_secs(100)));
        let ran = tokio::time::timeout(Duration::from_secs(1), finish(&mut harness.begin().await.unwrap())).await;
        assert!(ran.is_err(), "it is not over");
        (0..9).for_each(|number| drop(harness.batch.submitted_elsewhere(&format!("x-{number:06}"), 2, 1000 * HOUR)));
        harness.batch.fail("ListJobs", (0..times).flat_map(|_| [Fault::Pass, Fault::Refused]));
        let ended = finish(&mut harness.take_over().await).await;
        assert_eq!(ended.is_ok(), fine, "{ended:?}");
        let looks = harness.batch.count(|call| matches!(call, Call::ListNamed));
        assert!(fine || looks < 20, "{looks} pages");
    }
}
