//! AWS out of reach, for a while and for long.

use std::time::Duration;

use batchmap::map::event::Decision;
use batchmap::run::driver::DriveError;

use super::batch::{Call, Ending, Fault};
use super::harness::{Harness, abort_after, aborted, finish, task, with_policy};
use super::store;

#[tokio::test(start_paused = true)]
async fn an_outage_during_polling_is_waited_for() {
    let harness = Harness::new(with_policy(8, |policy| policy.min_successes = 7)).await;
    harness.batch.ends(5, 0, Ending::Exit(3));
    harness.batch.fail("DescribeJobs", [Fault::Lost, Fault::Throttled, Fault::Lost]);
    harness.batch.fail("ListJobs", [Fault::Lost, Fault::Throttled]);
    harness.store.fail("list", "/subtasks/", store::Fault::Unreachable, 0, 2);
    let (decision, outcomes) = harness.run().await;
    assert_eq!((decision, outcomes.succeeded()), (Decision::Succeeded, 7));
}

#[tokio::test(start_paused = true)]
async fn an_outage_during_termination_is_waited_for() {
    let harness = Harness::new(with_policy(9, |policy| policy.concurrency = 4)).await;
    (0..9).for_each(|index| harness.batch.takes(index, Duration::from_secs(10 + 5000 * index)));
    harness.batch.fail("TerminateJob", [Fault::Lost, Fault::Throttled, Fault::Lost]);
    let mut driver = harness.begin().await.unwrap();
    assert_eq!(abort_after(&mut driver, Duration::from_secs(20)).await.unwrap(), aborted());
    assert_eq!(harness.batch.alive(), 0);
    assert_eq!(harness.batch.count(|call| matches!(call, Call::Terminate { .. })), 2);
}

#[tokio::test(start_paused = true)]
async fn an_outage_that_does_not_end_is_given_up_and_nothing_is_lost() {
    let harness = Harness::new(task(8)).await;
    harness.batch.takes(0, Duration::from_secs(7200));
    harness.batch.fail("DescribeJobs", [Fault::Lost; 40]);
    let mut driver = harness.begin().await.unwrap();
    let error = finish(&mut driver).await.unwrap_err();
    assert!(matches!(error, DriveError::Batch(_)), "{error:?}");
    let mut driver = harness.take_over().await;
    assert_eq!(finish(&mut driver).await.unwrap(), Decision::Succeeded);
    assert_eq!(harness.batch.runs().values().sum::<u32>(), 8);
}

/// With nothing to poll, a poll succeeds whatever AWS does.
#[tokio::test(start_paused = true)]
async fn an_outage_is_given_up_also_when_there_is_nothing_to_poll() {
    let harness = Harness::new(task(8)).await;
    let mut driver = harness.begin().await.unwrap();
    harness.batch.fail("SubmitJob", [Fault::Lost]);
    harness.batch.fail("ListJobs", vec![Fault::Lost; 100_000]);
    assert!(matches!(finish(&mut driver).await, Err(DriveError::Batch(_))));
}

#[tokio::test(start_paused = true)]
async fn the_journal_survives_an_outage() {
    for fault in [store::Fault::Unreachable, store::Fault::ReplyLost, store::Fault::Repeated] {
        // The first record is written by whoever begins; a new driver may be begun then.
        for skip in 1..4 {
            let harness = Harness::new(with_policy(6, |policy| policy.retries = 1)).await;
            harness.batch.ends(2, 0, Ending::Exit(75));
            harness.store.fail("put_new", "/journal/", fault, skip, 2);
            let (decision, outcomes) = harness.run().await;
            assert_eq!((decision, outcomes.succeeded()), (Decision::Succeeded, 6), "{fault:?} {skip}");
            assert_eq!(harness.batch.runs().values().sum::<u32>(), 7, "{fault:?} {skip}");
            // What is written is whole: a reader finds the same end.
            let mut next = harness.take_over().await;
            assert_eq!(finish(&mut next).await.unwrap(), Decision::Succeeded);
            assert_eq!(next.execution().outcomes().succeeded(), 6);
        }
    }
}
