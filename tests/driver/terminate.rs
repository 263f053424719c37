//! TerminateJob refused: for want of permission, or because there is nothing to end.

use std::time::Duration;

use batchmap::aws::batch::BatchError;
use batchmap::map::event::Decision;
use batchmap::run::driver::DriveError;

use super::batch::{Call, Fault};
use super::harness::{Harness, abort_after, aborted, finish, task, with_policy};

fn ended(harness: &Harness) -> usize {
    harness.batch.count(|call| matches!(call, Call::Terminate { .. }))
}

#[tokio::test(start_paused = true)]
async fn a_denial_is_told_after_everything_else_was_ended_and_can_be_mended() {
    let harness = Harness::new(with_policy(9, |policy| policy.concurrency = 4)).await;
    (0..9).for_each(|index| harness.batch.takes(index, Duration::from_secs(10 + 5000 * index)));
    harness.batch.fail("TerminateJob", [Fault::Refused]);
    let mut driver = harness.begin().await.unwrap();
    let error = abort_after(&mut driver, Duration::from_secs(20)).await.unwrap_err();
    let denied = |operation: &str| operation == "TerminateJob";
    assert!(matches!(&error, DriveError::Batch(BatchError::Refused { operation, .. }) if denied(operation)), "{error}");
    let submits = harness.batch.submits();
    assert_eq!((submits, ended(&harness)), (2, 1), "one of two arrays is ended");
    assert!(harness.batch.alive() > 0);
    // With the permission given, whoever resumes it ends the rest, and nothing is submitted.
    let end = finish(&mut harness.take_over().await).await.unwrap();
    assert_eq!(end, Decision::Aborted { reason: "enough".to_owned() });
    assert_eq!((harness.batch.submits(), harness.batch.alive()), (submits, 0));
}

#[tokio::test(start_paused = true)]
async fn a_denial_is_not_lost_in_an_outage() {
    let harness = Harness::new(with_policy(9, |policy| policy.concurrency = 4)).await;
    (0..9).for_each(|index| harness.batch.takes(index, Duration::from_secs(10 + 5000 * index)));
    harness.batch.fail("TerminateJob", [Fault::Refused, Fault::Lost]);
    let mut driver = harness.begin().await.unwrap();
    let error = abort_after(&mut driver, Duration::from_secs(20)).await.unwrap_err();
    assert!(matches!(error, DriveError::Batch(BatchError::Refused { .. })), "{error}");
    assert!(finish(&mut harness.take_over().await).await.is_ok());
    assert_eq!(harness.batch.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_batch_has_forgotten_needs_no_end() {
    let harness = Harness::new(task(5)).await;
    (0..5).for_each(|index| harness.batch.takes(index, Duration::from_secs(100_000)));
    harness.batch.fail("TerminateJob", vec![Fault::Refused; 100]);
    let mut driver = harness.begin().await.unwrap();
    let forget = async {
        tokio::time::sleep(Duration::from_secs(9)).await;
        harness.batch.forget();
        std::future::pending::<()>().await
    };
    tokio::select! {
        end = abort_after(&mut driver, Duration::from_secs(10)) => assert_eq!(end.unwrap(), aborted()),
        () = forget => unreachable!("it never ends"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_has_ended_by_itself_needs_no_end() {
    let harness = Harness::new(task(5)).await;
    harness.batch.takes(0, Duration::from_secs(10));
    harness.batch.fail("TerminateJob", vec![Fault::Refused; 100]);
    let mut driver = harness.begin().await.unwrap();
    // The next poll would show that it is over; the abort comes before, and its look is in vain.
    let blind = async {
        tokio::time::sleep(Duration::from_millis(10_050)).await;
        harness.batch.fail("DescribeJobs", [Fault::Lost]);
        std::future::pending::<()>().await
    };
    tokio::select! {
        end = abort_after(&mut driver, Duration::from_millis(10_100)) => assert_eq!(end.unwrap(), aborted()),
        () = blind => unreachable!("it never ends"),
    }
    assert_eq!(ended(&harness), 0);
}
