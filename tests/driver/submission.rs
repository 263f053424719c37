//! Submissions that are throttled, refused, or of unknown outcome.

use std::time::Duration;

use batchmap::map::event::Decision;
use batchmap::run::driver::{Control, Ended};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::batch::{Call, Ending, Fault};
use super::harness::{Harness, abort_after, aborted, finish, task, with_policy};
use super::store;

fn looked_up(call: &Call) -> bool {
    matches!(call, Call::ListNamed)
}

#[tokio::test(start_paused = true)]
async fn a_throttled_submission_is_made_once_in_the_end() {
    let harness = Harness::new(task(5)).await;
    harness.batch.fail("SubmitJob", [Fault::Throttled; 30]);
    assert_eq!(harness.run().await.0, Decision::Succeeded);
    assert_eq!(harness.batch.submits(), 31);
    assert_eq!(harness.batch.runs().values().sum::<u32>(), 5);
    assert_eq!(harness.batch.count(looked_up), 0, "a throttled call has not been carried out");
}

#[tokio::test(start_paused = true)]
async fn an_abort_gets_through_while_aws_throttles() {
    let harness = Harness::new(task(5)).await;
    harness.batch.fail("SubmitJob", vec![Fault::Throttled; 10_000]);
    let mut driver = harness.begin().await.unwrap();
    assert_eq!(abort_after(&mut driver, Duration::from_secs(60)).await.unwrap(), aborted());
    assert!(harness.batch.submits() < 100);
    assert_eq!(harness.batch.count(looked_up), 0);
}

#[tokio::test(start_paused = true)]
async fn a_submission_whose_reply_was_lost_is_adopted_by_its_name() {
    let harness = Harness::new(task(5)).await;
    harness.batch.fail("SubmitJob", [Fault::ReplyLost]);
    harness.batch.listings_lag(Duration::from_secs(20));
    assert_eq!(harness.run().await.0, Decision::Succeeded);
    assert_eq!(harness.batch.submits(), 1);
    assert!(harness.batch.count(looked_up) > 1, "the listing lagged");
}

#[tokio::test(start_paused = true)]
async fn a_submission_that_never_arrived_is_made_again() {
    let harness = Harness::new(task(5)).await;
    harness.batch.fail("SubmitJob", [Fault::Lost, Fault::Lost]);
    assert_eq!(harness.run().await.0, Decision::Succeeded);
    assert_eq!(harness.batch.submits(), 3);
    assert_eq!(harness.batch.runs().values().sum::<u32>(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_driver_goes_on_while_it_looks_for_an_array() {
    let harness = Harness::new(with_policy(8, |policy| policy.concurrency = 4)).await;
    for index in 1..4 {
        harness.batch.takes(index, Duration::from_secs(500));
    }
    // The first array is there; the second, of one, is not.
    let mut driver = harness.begin().await.unwrap();
    harness.batch.fail("ListJobs", [Fault::Lost; 3]);
    let run = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        harness.batch.fail("SubmitJob", [Fault::Lost]);
        std::future::pending::<()>().await
    };
    tokio::select! {
        ended = abort_after(&mut driver, Duration::from_secs(30)) => assert_eq!(ended.unwrap(), aborted()),
        () = run => unreachable!("it never ends"),
    }
    assert_eq!(harness.batch.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_abort_finds_a_submission_of_unknown_outcome_and_ends_it() {
    let harness = Harness::new(task(5)).await;
    (0..5).for_each(|index| harness.batch.takes(index, Duration::from_secs(10_000)));
    harness.batch.fail("SubmitJob", [Fault::ReplyLost]);
    harness.batch.listings_lag(Duration::from_secs(30));
    let mut driver = harness.begin().await.unwrap();
    assert_eq!(abort_after(&mut driver, Duration::from_secs(5)).await.unwrap(), aborted());
    assert_eq!(harness.batch.count(|call| matches!(call, Call::Terminate { .. })), 1);
    assert_eq!(harness.batch.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_ends_the_execution_with_its_words() {
    let harness = Harness::new(with_policy(20, |policy| policy.concurrency = 10)).await;
    harness.batch.takes(3, Duration::from_secs(10_000));
    let mut driver = harness.begin().await.unwrap();
    let refuse = async {
        tokio::time::sleep(Duration::from_millis(900)).await;
        harness.batch.fail("SubmitJob", [Fault::Refused; 20]);
        std::future::pending::<()>().await
    };
    let decision = tokio::select! {
        ended = finish(&mut driver) => ended.unwrap(),
        () = refuse => unreachable!("it never ends"),
    };
    assert!(matches!(&decision, Decision::Refused { reason } if reason.contains("ClientException")), "{decision:?}");
    assert_eq!(harness.batch.alive(), 0);
    assert_eq!(harness.batch.count(looked_up), 0, "what was refused is known not to be there");
}

#[tokio::test(start_paused = true)]
async fn a_denial_leaves_the_execution_to_whoever_has_the_permission() {
    for operation in ["SubmitJob", "DescribeJobs"] {
        let harness = Harness::new(with_policy(20, |policy| policy.concurrency = 10)).await;
        let mut driver = harness.begin().await.unwrap();
        let deny = async {
            tokio::time::sleep(Duration::from_millis(900)).await;
            harness.batch.fail(operation, [Fault::Denied]);
            std::future::pending::<()>().await
        };
        let error = tokio::select! {
            ended = finish(&mut driver) => ended.unwrap_err(),
            () = deny => unreachable!("it never ends"),
        };
        assert!(error.to_string().contains("AccessDeniedException"), "{error}");
        assert_eq!(driver.execution().decision(), None, "{operation}");
        drop(driver);
        let mut driver = harness.take_over().await;
        assert_eq!(finish(&mut driver).await.unwrap(), Decision::Succeeded);
        assert_eq!(harness.batch.count(|call| matches!(call, Call::Terminate { .. })), 0);
        assert_eq!(harness.batch.runs().values().sum::<u32>(), 20);
    }
}

/// What was refused, and what was never asked for, is known not to be there: nobody looks for it by its name.
#[tokio::test(start_paused = true)]
async fn whoever_takes_over_after_a_denial_submits_at_once() {
    let mut record = task(40);
    record.pack_starts = (0..40).collect();
    let harness = Harness::new(record).await;
    harness.batch.fail("SubmitJob", [Fault::Pass, Fault::Denied]);
    let mut driver = harness.begin().await.unwrap();
    finish(&mut driver).await.expect_err("it was denied");
    let held = harness.batch.runs().len();
    assert!((1..39).contains(&held), "{held} of 40 were submitted");
    let began = Instant::now();
    assert_eq!(finish(&mut harness.take_over().await).await.unwrap(), Decision::Succeeded);
    assert!(began.elapsed() < harness.patience.lag, "{:?}", began.elapsed());
    assert!(harness.batch.runs().values().all(|runs| *runs == 1));
    let looks = harness.batch.count(looked_up);
    assert!(looks < 30, "the sweeps alone list, and not {looks} times");
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_is_denied_everything_leaves_nothing_with_batch() {
    let harness = Harness::new(task(5)).await;
    harness.batch.fail("SubmitJob", [Fault::Denied]);
    let mut driver = harness.begin().await.unwrap();
    finish(&mut driver).await.expect_err("it was denied");
    assert!(!driver.may_hold());
    // Each driver that tries says so first: one that dies at its call leaves a doubt.
    harness.batch.fail("SubmitJob", [Fault::ReplyLost]);
    harness.store.fail("put_new", "/journal/", store::Fault::DiesBefore, 1, 1);
    finish(&mut harness.take_over().await).await.expect_err("it dies");
    harness.store.heal();
    let mut driver = harness.take_over().await;
    assert!(driver.may_hold());
    assert_eq!(finish(&mut driver).await.unwrap(), Decision::Succeeded);
    assert_eq!((harness.batch.submits(), harness.batch.alive()), (2, 0), "it was adopted");
}

/// A driver that is told to stop while AWS throttles leaves no doubt either.
#[tokio::test(start_paused = true)]
async fn whoever_takes_over_from_a_detached_driver_submits_what_was_throttled() {
    let harness = Harness::new(task(5)).await;
    harness.batch.fail("SubmitJob", vec![Fault::Throttled; 10_000]);
    let mut driver = harness.begin().await.unwrap();
    let (sender, mut control) = mpsc::channel(1);
    let detach = async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        sender.send(Control::Detach).await.unwrap();
    };
    let (ended, ()) = tokio::join!(driver.run(&mut control), detach);
    assert_eq!(ended.unwrap(), Ended::Detached);
    harness.batch.heal();
    let began = Instant::now();
    assert_eq!(finish(&mut harness.take_over().await).await.unwrap(), Decision::Succeeded);
    assert!(began.elapsed() < harness.patience.lag, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn whoever_follows_is_told_what_is_looked_for() {
    let harness = Harness::new(task(5)).await;
    harness.batch.fail("SubmitJob", [Fault::Lost]);
    let mut driver = harness.begin().await.unwrap();
    let mut progress = driver.progress();
    let told = async {
        let mut told = Vec::new();
        while progress.changed().await.is_ok() {
            told.extend(progress.borrow_and_update().looking.clone());
            if told.len() > 100 {
                break;
            }
        }
        told
    };
    let run = async {
        let decision = finish(&mut driver).await.unwrap();
        drop(driver);
        decision
    };
    let (told, decision) = tokio::join!(told, run);
    assert_eq!(decision, Decision::Succeeded);
    assert_eq!(told.first().map(String::as_str), Some("looking for array 0 by its name, up to 60 s"));
    let last = "all has ended; waiting up to 60 s for submissions that AWS may show late";
    assert_eq!(told.last().map(String::as_str), Some(last));
}

/// Four hundred jobs at twenty a second, and at less when AWS throttles: meanwhile the driver polls, and hears an abort.
#[tokio::test(start_paused = true)]
async fn polls_and_aborts_get_through_between_submissions() {
    for throttled in [0, 60] {
        let mut record = with_policy(400, |policy| policy.min_successes = 400);
        record.pack_starts = (0..400).collect();
        let mut harness = Harness::new(record).await;
        harness.paced = true;
        harness.batch.fail("SubmitJob", vec![Fault::Throttled; throttled]);
        let mut driver = harness.begin().await.unwrap();
        assert_eq!(finish(&mut driver).await.unwrap(), Decision::Succeeded);
        let calls = harness.batch.calls();
        let last = calls.iter().rposition(|call| matches!(call, Call::Submit { .. })).unwrap();
        let between = calls[..last].iter().filter(|call| matches!(call, Call::Describe { .. })).count();
        assert!(between >= 4, "{between} polls between {last} submissions");
        assert_eq!((harness.batch.submits(), harness.batch.runs().len()), (400 + throttled, 400));
        assert_eq!(harness.batch.count(looked_up), 0);

        let mut harness = Harness::new(harness.record.clone()).await;
        harness.paced = true;
        harness.batch.fail("SubmitJob", vec![Fault::Throttled; 10_000]);
        let mut driver = harness.begin().await.unwrap();
        let begun = tokio::time::Instant::now();
        assert_eq!(abort_after(&mut driver, Duration::from_secs(60)).await.unwrap(), aborted());
        assert!(begun.elapsed() < Duration::from_secs(120), "{:?}", begun.elapsed());
    }
}

/// The list of a compacted array cannot be written while S3 is away, and by the time it could be, nobody wants it.
#[tokio::test(start_paused = true)]
async fn what_an_outage_held_up_is_not_submitted_after_an_abort() {
    let harness = Harness::new(with_policy(6, |policy| policy.retries = 1)).await;
    harness.batch.takes(0, Duration::from_secs(10_000));
    for index in [1, 3] {
        harness.batch.ends(index, 0, Ending::Exit(75));
    }
    harness.store.fail("put", "/arrays/", store::Fault::Unreachable, 0, u32::MAX);
    let mut driver = harness.begin().await.unwrap();
    let (sender, mut control) = mpsc::channel(1);
    let asker = async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        harness.store.heal();
        sender.send(Control::Abort { reason: "enough".to_owned() }).await.unwrap();
        std::future::pending::<()>().await
    };
    tokio::select! {
        ended = driver.run(&mut control) => assert_eq!(ended.unwrap(), aborted()),
        () = asker => unreachable!("it never ends"),
    }
    assert_eq!(harness.batch.submits(), 1);
    assert_eq!(harness.batch.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_abort_amid_many_submissions_waits_for_a_late_one_and_does_not_spin() {
    let mut record = task(800);
    record.pack_starts = (0..800).step_by(10).collect();
    let mut harness = Harness::new(record).await;
    harness.paced = true;
    harness.batch.fail("SubmitJob", [Fault::Lost]);
    let mut driver = harness.begin().await.unwrap();
    // Time stands still while a driver turns round and round: then this never ends.
    assert_eq!(abort_after(&mut driver, Duration::from_secs(3)).await.unwrap(), aborted());
    assert!(harness.batch.submits() < 80, "some were left when the abort came");
}
