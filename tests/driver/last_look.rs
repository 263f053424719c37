//! The last look before an execution is given up: what has ended well by then counts.

use std::time::Duration;

use batchmap::aws::store::Store;
use batchmap::map::event::{Decision, Event};
use batchmap::map::index::OriginalIndex;
use batchmap::run::driver::Ended;
use batchmap::run::{journal, launch};

use super::batch::{Call, Ending, Fault, outputs};
use super::harness::{Harness, abort_after, aborted, finish, task, with_policy};

const HOUR: Duration = Duration::from_secs(3600);

/// Four subtasks, three of which end within a second, under a deadline.
async fn three_of_four(min_successes: u64) -> Harness {
    let record = with_policy(4, |policy| (policy.deadline_ms, policy.min_successes) = (3_600_000, min_successes));
    let harness = Harness::new(record).await;
    harness.batch.takes(3, 10 * HOUR);
    harness
}

async fn events(harness: &Harness) -> Vec<Event> {
    let records = journal::read_from(&harness.store(), &harness.root, 1).await.unwrap();
    records.into_iter().flat_map(|record| record.events).collect()
}

#[tokio::test(start_paused = true)]
async fn what_ended_before_the_deadline_is_in_the_list() {
    let harness = three_of_four(4).await;
    let mut driver = harness.begin().await.unwrap();
    assert!(matches!(finish(&mut driver).await.unwrap(), Decision::Failed { .. }));
    let summary = driver.execution().summary();
    assert_eq!((summary.succeeded, summary.failed, summary.waiting, summary.dropped), (3, 0, 0, 1));
    // Replay equals live, and what was found was journalled before the decision.
    let known = launch::read(&harness.store(), &harness.root).await.unwrap();
    assert_eq!(known.execution.summary(), summary);
    assert_eq!(known.execution.outcomes(), driver.execution().outcomes());
    let events = events(&harness).await;
    let at = |is: fn(&Event) -> bool| events.iter().position(is);
    let expired = at(|event| matches!(event, Event::Expired { .. }));
    let settled = at(|event| matches!(event, Event::Settled { .. }));
    let decided = at(|event| matches!(event, Event::Decided { .. }));
    assert!(expired < settled && settled < decided, "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn enough_of_them_are_a_success() {
    let harness = three_of_four(3).await;
    let (decision, outcomes) = harness.run().await;
    assert_eq!((decision, outcomes.succeeded(), harness.batch.alive()), (Decision::Succeeded, 3, 0));
}

#[tokio::test(start_paused = true)]
async fn an_abort_keeps_what_has_ended_and_stops_the_rest() {
    let harness = Harness::new(task(9)).await;
    (3..9).for_each(|index| harness.batch.takes(index, 10 * HOUR));
    harness.batch.ends(0, 0, Ending::Error { recoverable: false });
    // One failure does not decide here.
    let mut driver = harness.begin().await.unwrap();
    driver.abort_first("too early to have anything").unwrap();
    finish(&mut driver).await.unwrap();
    assert_eq!(harness.batch.submits(), 0, "there was nothing to look at");

    let harness = Harness::new(with_policy(9, |policy| policy.min_successes = 8)).await;
    (3..9).for_each(|index| harness.batch.takes(index, 10 * HOUR));
    harness.batch.ends(0, 0, Ending::Error { recoverable: false });
    let mut driver = harness.begin().await.unwrap();
    assert_eq!(abort_after(&mut driver, Duration::from_secs(20)).await.unwrap(), aborted());
    let summary = driver.execution().summary();
    assert_eq!((summary.succeeded, summary.failed, summary.dropped), (2, 1, 6));
    assert_eq!(summary.failures[0].message, "it broke");
    assert_eq!(harness.batch.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_abort_of_what_has_succeeded_to_the_last_is_a_success() {
    let harness = Harness::new(task(5)).await;
    harness.batch.takes(0, Duration::from_secs(10));
    let mut driver = harness.begin().await.unwrap();
    // The next poll would show it.
    let ended = abort_after(&mut driver, Duration::from_millis(10_100)).await.unwrap();
    assert_eq!(ended, Ended::Finished(Decision::Succeeded));
}

/// One failure too many: what had succeeded until then is in the report.
#[tokio::test(start_paused = true)]
async fn a_failure_that_decides_loses_no_success() {
    let harness = Harness::new(task(12)).await;
    (6..12).for_each(|index| harness.batch.takes(index, 10 * HOUR));
    harness.batch.ends(5, 0, Ending::Exit(3));
    let mut driver = harness.begin().await.unwrap();
    assert!(matches!(finish(&mut driver).await.unwrap(), Decision::Failed { .. }));
    let summary = driver.execution().summary();
    assert_eq!((summary.succeeded, summary.failed, summary.dropped), (5, 1, 6));
}

/// A look that AWS does not answer, or refuses, holds nothing up.
#[tokio::test(start_paused = true)]
async fn a_look_in_vain_changes_nothing() {
    for fault in [Fault::Lost, Fault::Throttled, Fault::Denied] {
        let harness = Harness::new(task(9)).await;
        (3..9).for_each(|index| harness.batch.takes(index, 10 * HOUR));
        let mut driver = harness.begin().await.unwrap();
        let blind = async {
            tokio::time::sleep(Duration::from_millis(19_900)).await;
            harness.batch.fail("ListJobs", [fault]);
            std::future::pending::<()>().await
        };
        tokio::select! {
            ended = abort_after(&mut driver, Duration::from_secs(20)) => assert_eq!(ended.unwrap(), aborted()),
            () = blind => unreachable!("it never ends"),
        }
        assert_eq!((driver.execution().outcomes().succeeded(), harness.batch.alive()), (0, 0), "{fault:?}");
    }
}

/// An answer that does not come does not keep the children running.
#[tokio::test(start_paused = true)]
async fn the_look_of_an_abort_takes_seconds_at_most() {
    let harness = Harness::new(task(9)).await;
    (3..9).for_each(|index| harness.batch.takes(index, 10 * HOUR));
    let mut driver = harness.begin().await.unwrap();
    let begun = tokio::time::Instant::now();
    let slow = async {
        tokio::time::sleep(Duration::from_millis(19_900)).await;
        harness.batch.answers_after(HOUR);
        tokio::time::sleep(Duration::from_secs(6)).await;
        harness.batch.answers_after(Duration::ZERO);
        std::future::pending::<()>().await
    };
    tokio::select! {
        ended = abort_after(&mut driver, Duration::from_secs(20)) => assert_eq!(ended.unwrap(), aborted()),
        () = slow => unreachable!("it never ends"),
    }
    assert_eq!(harness.batch.alive(), 0);
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}

/// Batch has forgotten the job: what it left is all that is believed, and what it did not leave is no failure.
#[tokio::test(start_paused = true)]
async fn of_a_forgotten_job_the_outputs_count() {
    let harness = three_of_four(4).await;
    let mut driver = harness.begin().await.unwrap();
    tokio::select! {
        ended = finish(&mut driver) => panic!("it is over: {ended:?}"),
        () = tokio::time::sleep(HOUR / 2) => drop(driver),
    }
    harness.batch.forget();
    for index in [0, 1].map(OriginalIndex) {
        harness.store.memory.put(&harness.root.outputs(index), outputs(index)).await.unwrap();
    }
    let mut next = harness.take_over().await;
    next.abort_first("enough").unwrap();
    assert!(matches!(finish(&mut next).await.unwrap(), Decision::Aborted { .. }));
    let summary = next.execution().summary();
    assert!(summary.succeeded >= 2 && summary.failed == 0, "{summary:?}");
    assert_eq!(summary.succeeded + summary.dropped, 4);
    assert_eq!(harness.batch.count(|call| matches!(call, Call::Submit { .. })), 1);
}
