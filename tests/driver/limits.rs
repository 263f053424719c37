//! The deadline of a whole execution, and ends that take more than one request.

use std::time::Duration;

use batchmap::map::event::{Decision, Event};
use batchmap::map::execution::ArrayState;
use batchmap::run::driver::{DriveError, Ended};
use batchmap::run::journal::{self, Journal};
use batchmap::run::now_ms;

use super::batch::{Call, Ending, Fault};
use super::harness::{Harness, abort_after, aborted, finish, task, with_policy};
use super::store;

const HOUR: Duration = Duration::from_secs(3600);

fn terminated(harness: &Harness) -> usize {
    harness.batch.count(|call| matches!(call, Call::Terminate { .. }))
}

/// Whether the decision is that of a deadline.
fn expired(decision: &Decision, deadline: &str) -> bool {
    let words = format!("its deadline has passed: policy.deadline is {deadline} after it began at ");
    matches!(decision, Decision::Failed { reason } if reason.starts_with(&words))
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_everything() {
    let harness = Harness::new(with_policy(8, |policy| policy.deadline_ms = 3_600_000)).await;
    (4..8).for_each(|index| harness.batch.takes(index, 10 * HOUR));
    let begun = tokio::time::Instant::now();
    let (decision, outcomes) = harness.run().await;
    assert!(expired(&decision, "1h"), "{decision:?}");
    assert_eq!((outcomes.succeeded(), harness.batch.alive(), terminated(&harness)), (4, 0, 1));
    let took = begun.elapsed();
    assert!(took >= HOUR && took < HOUR + Duration::from_secs(60), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_execution_within_its_deadline_hears_nothing_of_it() {
    let harness = Harness::new(with_policy(8, |policy| policy.deadline_ms = 3_600_000)).await;
    harness.batch.takes(7, HOUR / 2);
    assert_eq!(harness.run().await.0, Decision::Succeeded);
    assert_eq!(terminated(&harness), 0);
}

/// The time that nobody drove counts too: it is the journal's.
#[tokio::test(start_paused = true)]
async fn a_deadline_that_passed_while_nobody_drove_submits_nothing_more() {
    let harness =
        Harness::new(with_policy(8, |policy| (policy.concurrency, policy.deadline_ms) = (4, 3_600_000))).await;
    // Begun two hours ago.
    let (mut journal, _) = Journal::open(harness.store(), harness.root.clone(), "w".to_owned()).await.unwrap();
    let started = Event::Started { definition: "d:1".to_owned(), queue: "q".to_owned(), interruptible_queue: None };
    journal.append(now_ms() - 7_200_000, vec![started]).await.unwrap();
    let mut driver = harness.take_over().await;
    let decision = finish(&mut driver).await.unwrap();
    assert!(expired(&decision, "1h"), "{decision:?}");
    assert_eq!(harness.batch.submits(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_passes_also_while_aws_is_out_of_reach() {
    let harness = Harness::new(with_policy(8, |policy| policy.deadline_ms = 3_600_000)).await;
    harness.batch.takes(0, 10 * HOUR);
    let mut driver = harness.begin().await.unwrap();
    assert_eq!(until(&mut driver, HOUR - Duration::from_secs(300)).await, None);
    // Ten minutes without Batch or journal, the deadline in their midst.
    harness.batch.fail("DescribeJobs", [Fault::Lost; 10]);
    harness.store.fail("put_new", "/journal/", store::Fault::Unreachable, 0, 5);
    let decision = finish(&mut driver).await.unwrap();
    assert!(expired(&decision, "1h"), "{decision:?}");
    assert_eq!(harness.batch.alive(), 0);
    let written = journal::read_from(&harness.store(), &harness.root, 1).await.unwrap();
    let events: Vec<&Event> = written.iter().flat_map(|record| &record.events).collect();
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Expired { .. })).count(), 1);
    // It counts for whoever reads it later.
    let mut next = harness.take_over().await;
    assert_eq!(finish(&mut next).await.unwrap(), decision);
}

/// Drives for so long, and answers with the decision if there is one.
async fn until(driver: &mut batchmap::run::driver::Driver, time: Duration) -> Option<Decision> {
    tokio::select! {
        ended = finish(driver) => Some(ended.unwrap()),
        () = tokio::time::sleep(time) => None,
    }
}

/// TerminateJob only asks.
#[tokio::test(start_paused = true)]
async fn what_goes_on_after_its_end_was_asked_for_is_asked_again() {
    let harness = Harness::new(task(8)).await;
    (0..8).for_each(|index| harness.batch.takes(index, 10 * HOUR));
    harness.batch.fail("TerminateJob", [Fault::Ignored, Fault::Ignored]);
    let mut driver = harness.begin().await.unwrap();
    assert_eq!(abort_after(&mut driver, Duration::from_secs(20)).await.unwrap(), aborted());
    assert_eq!((terminated(&harness), harness.batch.alive()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn an_abort_that_is_given_up_says_what_goes_on_and_can_be_repeated() {
    let harness = Harness::new(with_policy(9, |policy| policy.concurrency = 6)).await;
    (0..9).for_each(|index| harness.batch.takes(index, 10 * HOUR));
    harness.batch.fail("TerminateJob", [Fault::Ignored; 100]);
    let mut driver = harness.begin().await.unwrap();
    let given_up = tokio::time::timeout(HOUR / 2, abort_after(&mut driver, Duration::from_secs(20))).await;
    assert!(given_up.is_err());
    let unended = driver.unended().await;
    let running = |array: &batchmap::run::driver::Unended| array.states.values().sum::<u32>();
    assert_eq!(unended.iter().map(running).sum::<u32>(), 6, "{unended:?}");
    assert_eq!(unended.iter().map(|array| array.children).sum::<u64>(), 6);
    assert!(unended.iter().all(|array| array.job.is_some()), "{unended:?}");
    drop(driver);
    harness.batch.fail("TerminateJob", []);
    let mut next = harness.take_over().await;
    next.abort_first("once more").unwrap();
    // The ignored requests run out.
    assert_eq!(finish(&mut next).await.unwrap(), Decision::Aborted { reason: "enough".to_owned() });
    assert_eq!(harness.batch.alive(), 0);
    assert!(next.unended().await.is_empty());
}

/// An abort that comes while a submission's outcome is unknown looks for it first, and ends it.
#[tokio::test(start_paused = true)]
async fn a_submission_in_doubt_is_found_and_ended() {
    let harness = Harness::new(task(8)).await;
    (0..8).for_each(|index| harness.batch.takes(index, 10 * HOUR));
    harness.batch.fail("SubmitJob", [Fault::ReplyLost]);
    harness.batch.listings_lag(Duration::from_secs(30));
    let mut driver = harness.begin().await.unwrap();
    let waited = tokio::time::timeout(Duration::from_secs(5), abort_after(&mut driver, Duration::from_secs(1))).await;
    assert!(waited.is_err());
    let states: Vec<&ArrayState> = driver.execution().open().map(|(_, array)| &array.state).collect();
    assert_eq!(states, [&ArrayState::Unknown]);
    assert_eq!(driver.unended().await[0].job, None);
    let mut next = harness.take_over().await;
    next.abort_first("enough").unwrap();
    finish(&mut next).await.unwrap();
    assert_eq!((terminated(&harness), harness.batch.alive()), (1, 0));
}

/// What Batch counts lags behind what it lists.
#[tokio::test(start_paused = true)]
async fn a_parent_is_over_when_its_children_are() {
    let harness = Harness::new(task(8)).await;
    (0..8).for_each(|index| harness.batch.takes(index, 10 * HOUR));
    harness.batch.early_end(true);
    let mut driver = harness.begin().await.unwrap();
    let ended = abort_after(&mut driver, Duration::from_secs(20)).await;
    assert!(matches!(ended, Ok(Ended::Finished(_)) | Err(DriveError::Illegal(_))), "{ended:?}");
    assert_eq!(ended.unwrap(), aborted());
    assert_eq!(harness.batch.alive(), 0);
    assert!(harness.batch.count(|call| matches!(call, Call::ListChildren)) > 0, "the children are asked about");
}

/// A failure that the queue's time limit has brought about explains what the queue lacked.
#[tokio::test(start_paused = true)]
async fn a_job_that_its_queue_gave_up_says_what_the_queue_lacks() {
    let harness = Harness::new(task(4)).await;
    harness.batch.ends(2, 0, Ending::GivenUp);
    let mut driver = harness.begin().await.unwrap();
    assert!(matches!(finish(&mut driver).await.unwrap(), Decision::Failed { .. }));
    let failures = driver.execution().summary().failures;
    assert_eq!(failures.len(), 1, "{failures:?}");
    let message = &failures[0].message;
    assert!(message.contains("job state time limit") && message.contains("allow more instance types"), "{message}");
}
