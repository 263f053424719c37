//! Children that wait and do not start: what is told of it.

use std::time::Duration;

use batchmap::aws::batch::{EnvironmentDetail, QueueDetail};
use batchmap::map::event::Decision;
use batchmap::map::stuck::Stuck;
use batchmap::run::driver::Driver;

use super::batch::{Call, Fault};
use super::harness::{Harness, finish, task};

fn places(state: &str) -> (QueueDetail, Vec<EnvironmentDetail>) {
    let text = str::to_owned;
    let queue = QueueDetail {
        name: text("q"),
        state: text("ENABLED"),
        status: text("VALID"),
        environments: vec![text("e")],
        ..QueueDetail::default()
    };
    let environment = EnvironmentDetail {
        name: text("e"),
        arn: text("e"),
        state: text(state),
        status: text("VALID"),
        max_vcpus: Some(256),
        ..EnvironmentDetail::default()
    };
    (queue, vec![environment])
}

/// Drives for so long, and answers with what is shown of the waiting then.
async fn shown_after(driver: &mut Driver, time: Duration) -> Option<Stuck> {
    let progress = driver.progress();
    tokio::select! {
        ended = finish(driver) => panic!("it is over: {ended:?}"),
        () = tokio::time::sleep(time) => {}
    }
    progress.borrow().stuck.clone()
}

fn questions(harness: &Harness) -> usize {
    harness.batch.count(|call| *call == Call::Queues)
}

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn what_batch_says_is_shown_at_once_and_asks_nothing_more() {
    let harness = Harness::new(task(8)).await;
    harness.batch.stall(Some("CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - none left"));
    (0..8).for_each(|index| harness.batch.takes(index, 60 * MINUTE));
    let mut driver = harness.begin().await.unwrap();
    let shown = shown_after(&mut driver, MINUTE).await.unwrap();
    assert_eq!(shown.code, "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY");
    assert_eq!(questions(&harness), 0);
    // It passes when they start.
    harness.batch.go_on();
    assert_eq!(shown_after(&mut driver, MINUTE).await, None);
    assert_eq!(finish(&mut driver).await.unwrap(), Decision::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_says_nothing_is_looked_at_after_a_while_and_seldom() {
    let harness = Harness::new(task(8)).await;
    let (queue, environments) = places("DISABLED");
    harness.batch.places(queue, environments);
    harness.batch.stall(None);
    (0..8).for_each(|index| harness.batch.takes(index, 600 * MINUTE));
    let mut driver = harness.begin().await.unwrap();
    assert_eq!((shown_after(&mut driver, 4 * MINUTE).await, questions(&harness)), (None, 0));
    let shown = shown_after(&mut driver, 3 * MINUTE).await.unwrap();
    assert_eq!((shown.code.as_str(), questions(&harness)), ("EnvironmentDisabled", 1));
    shown_after(&mut driver, 240 * MINUTE).await.unwrap();
    assert!((3..8).contains(&questions(&harness)), "{}", questions(&harness));
}

#[tokio::test(start_paused = true)]
async fn a_queue_in_order_is_told_apart_from_one_that_is_not() {
    let harness = Harness::new(task(8)).await;
    let (queue, environments) = places("ENABLED");
    harness.batch.places(queue, environments);
    harness.batch.stall(None);
    (0..8).for_each(|index| harness.batch.takes(index, 60 * MINUTE));
    let mut driver = harness.begin().await.unwrap();
    assert_eq!(shown_after(&mut driver, 7 * MINUTE).await.unwrap().code, "NothingStarts");
}

#[tokio::test(start_paused = true)]
async fn who_may_not_look_is_told_what_permission_it_takes() {
    let harness = Harness::new(task(8)).await;
    harness.batch.stall(None);
    harness.batch.fail("DescribeJobQueues", [Fault::Refused]);
    (0..8).for_each(|index| harness.batch.takes(index, 20 * MINUTE));
    let mut driver = harness.begin().await.unwrap();
    let shown = shown_after(&mut driver, 7 * MINUTE).await.unwrap();
    assert_eq!(shown.code, "NotAllowedToLook");
    assert!(shown.fix.contains("batch:DescribeJobQueues"), "{shown}");
    // And it goes on.
    harness.batch.go_on();
    assert_eq!(finish(&mut driver).await.unwrap(), Decision::Succeeded);
}

/// An ordinary queue: some run, the others wait for their places.
#[tokio::test(start_paused = true)]
async fn children_that_wait_behind_others_of_ours_are_not_stuck() {
    let harness = Harness::new(task(8)).await;
    (0..8).for_each(|index| harness.batch.takes(index, 60 * MINUTE));
    let mut driver = harness.begin().await.unwrap();
    assert_eq!((shown_after(&mut driver, 50 * MINUTE).await, questions(&harness)), (None, 0));
}
