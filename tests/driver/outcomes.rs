//! Success, failure, retries: what the driver makes of what children do.

use std::time::Duration;

use batchmap::idl::record::policy::{Completion, ConcurrencyMode};
use batchmap::map::event::Decision;

use super::batch::{Call, Ending};
use super::harness::{Harness, abort_after, aborted, finish, task, with_policy};

#[tokio::test(start_paused = true)]
async fn a_thousand_children_are_one_submission_and_no_listing() {
    let mut record = task(1000);
    record.interface = None;
    let harness = Harness::new(record).await;
    let (decision, outcomes) = harness.run().await;
    assert_eq!(decision, Decision::Succeeded);
    assert_eq!(outcomes.succeeded(), 1000);
    assert_eq!(harness.batch.submits(), 1);
    assert_eq!(harness.batch.count(|call| matches!(call, Call::ListChildren | Call::ListNamed)), 0);
    assert!(harness.batch.count(|call| matches!(call, Call::Describe { jobs: 1 })) >= 1);
    assert_eq!(harness.batch.count(|call| matches!(call, Call::Describe { jobs } if *jobs != 1)), 0);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_ends_are_one_record_and_so_are_ten() {
    let mut written = Vec::new();
    for size in [10, 10_000] {
        let harness = Harness::new(task(size)).await;
        assert_eq!(harness.run().await.0, Decision::Succeeded);
        let objects = harness.store.memory.objects();
        let journal = objects.iter().filter(|(key, _)| key.starts_with(&harness.root.journal()));
        let (records, bytes) = journal.fold((0, 0), |(records, bytes), (_, body)| (records + 1, bytes + body.len()));
        written.push(records);
        assert!(bytes < 2_000, "{size} children took {bytes} bytes of journal");
    }
    assert_eq!(written[0], written[1], "what is written goes by what changes");
}

#[tokio::test(start_paused = true)]
async fn successes_are_believed_when_their_outputs_are_seen() {
    let harness = Harness::new(task(30)).await;
    let (decision, outcomes) = harness.run().await;
    assert_eq!((decision, outcomes.succeeded()), (Decision::Succeeded, 30));
    assert_eq!(harness.batch.count(|call| matches!(call, Call::ListChildren)), 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_calls_nothing() {
    let harness = Harness::new(task(0)).await;
    assert_eq!(harness.run().await.0, Decision::Succeeded);
    assert_eq!(harness.batch.calls(), []);
}

#[tokio::test(start_paused = true)]
async fn one_is_a_plain_job_and_judged_as_such() {
    let harness = Harness::new(with_policy(1, |policy| policy.retries = 1)).await;
    harness.batch.ends(0, 0, Ending::Exit(75));
    let (decision, outcomes) = harness.run().await;
    assert_eq!((decision, outcomes.succeeded()), (Decision::Succeeded, 1));
    assert_eq!(harness.batch.runs()[&0], 2);
    assert_eq!(harness.batch.count(|call| matches!(call, Call::ListChildren)), 0);
}

#[tokio::test(start_paused = true)]
async fn two_failures_of_ten_leave_two_holes() {
    let harness = Harness::new(with_policy(10, |policy| policy.min_successes = 8)).await;
    harness.batch.ends(3, 0, Ending::Error { recoverable: false });
    harness.batch.ends(7, 0, Ending::Exit(1));
    let mut driver = harness.begin().await.unwrap();
    assert_eq!(finish(&mut driver).await.unwrap(), Decision::Succeeded);
    let summary = driver.execution().summary();
    assert_eq!((summary.succeeded, summary.failed), (8, 2));
    let words: Vec<(&str, &str)> =
        summary.failures.iter().map(|fold| (fold.indices.as_str(), fold.code.as_str())).collect();
    assert_eq!(words, [("[3]", "ValueError"), ("[7]", "ExitCode")]);
}

#[tokio::test(start_paused = true)]
async fn no_child_starts_once_failure_has_terminated_the_rest() {
    let record = with_policy(20, |policy| {
        policy.min_successes = 18;
        policy.concurrency = 6;
    });
    let harness = Harness::new(record).await;
    for index in 0..20 {
        harness.batch.takes(index, Duration::from_secs(5 + index * 7 % 11));
    }
    for index in [1, 4, 9] {
        harness.batch.ends(index, 0, Ending::Error { recoverable: false });
    }
    let (decision, outcomes) = harness.run().await;
    assert!(matches!(decision, Decision::Failed { .. }), "{decision:?}");
    assert!(outcomes.failed() == 3);
    let calls = harness.batch.calls();
    let first = calls.iter().position(|call| matches!(call, Call::Terminate { .. })).expect("something ran");
    assert!(calls[first..].iter().all(|call| !matches!(call, Call::Submit { .. })), "{calls:?}");
    assert!(harness.batch.runs().len() < 20, "the rest never ran");
    assert_eq!(harness.batch.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn only_what_failed_recoverably_runs_again() {
    let harness = Harness::new(with_policy(10, |policy| policy.retries = 2)).await;
    for run in 0..2 {
        harness.batch.ends(2, run, Ending::Error { recoverable: true });
    }
    harness.batch.ends(7, 0, Ending::Exit(75));
    harness.batch.takes(0, Duration::from_secs(100));
    let (decision, outcomes) = harness.run().await;
    assert_eq!((decision, outcomes.succeeded()), (Decision::Succeeded, 10));
    let runs = harness.batch.runs();
    assert_eq!((runs[&2], runs[&7]), (3, 2));
    assert_eq!(runs.values().sum::<u32>(), 13);
    let sizes: Vec<u32> = harness.batch.calls().iter().filter_map(size).collect();
    assert_eq!(sizes, [10, 2, 1], "a compacted array, and not at the end of the first");
}

fn size(call: &Call) -> Option<u32> {
    match call {
        Call::Submit { size, .. } => Some(*size),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn lost_hosts_are_batchs_own_affair_until_the_budget_is_used_up() {
    let harness = Harness::new(with_policy(4, |policy| policy.min_successes = 3)).await;
    (0..2).for_each(|run| harness.batch.ends(1, run, Ending::HostLost));
    (0..9).for_each(|run| harness.batch.ends(2, run, Ending::HostLost));
    let (decision, outcomes) = harness.run().await;
    assert_eq!((decision, outcomes.failed()), (Decision::Succeeded, 1));
    assert_eq!((harness.batch.runs()[&1], harness.batch.runs()[&2], harness.batch.submits()), (3, 3, 1));
}

#[tokio::test(start_paused = true)]
async fn a_loss_that_batch_does_not_repeat_costs_one_more_array() {
    let harness = Harness::new(task(4)).await;
    (0..2).for_each(|run| harness.batch.ends(1, run, Ending::Exit(76)));
    assert_eq!(harness.run().await.0, Decision::Succeeded);
    assert_eq!((harness.batch.runs()[&1], harness.batch.submits()), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn a_host_lost_after_the_outputs_is_a_success_and_looked_at_once() {
    let harness = Harness::new(with_policy(4, |policy| policy.retries = 1)).await;
    harness.batch.takes(0, Duration::from_secs(3600));
    harness.batch.ends(1, 0, Ending::HostLostLate);
    let (decision, _) = harness.run().await;
    assert_eq!(decision, Decision::Succeeded);
    assert_eq!(harness.batch.runs().values().sum::<u32>(), 4);
    assert_eq!(harness.batch.count(|call| matches!(call, Call::ListChildren)), 2, "once early, once at the end");
}

#[tokio::test(start_paused = true)]
async fn batches_and_rolling_hold_the_concurrency() {
    for mode in [ConcurrencyMode::Rolling, ConcurrencyMode::Batches] {
        let record = with_policy(40, |policy| {
            policy.concurrency = 7;
            policy.set_concurrency_mode(mode);
        });
        let harness = Harness::new(record).await;
        for index in 0..40 {
            harness.batch.takes(index, Duration::from_secs(1 + index * 13 % 17));
        }
        let mut driver = harness.begin().await.unwrap();
        let watch = async {
            loop {
                assert!(harness.batch.alive() <= 7);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::select! {
            ended = finish(&mut driver) => assert_eq!(ended.unwrap(), Decision::Succeeded),
            () = watch => unreachable!("it watches for ever"),
        }
        assert_eq!(harness.batch.runs().len(), 40);
    }
}

#[tokio::test(start_paused = true)]
async fn satisfied_stops_a_straggler() {
    let record = with_policy(10, |policy| {
        policy.min_successes = 9;
        policy.set_completion(Completion::Satisfied);
    });
    let harness = Harness::new(record).await;
    harness.batch.takes(4, Duration::from_secs(100_000));
    let (decision, outcomes) = harness.run().await;
    assert_eq!((decision, outcomes.succeeded()), (Decision::Succeeded, 9));
    assert_eq!(harness.batch.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_abort_ends_every_child_before_it_is_over() {
    let harness = Harness::new(with_policy(9, |policy| policy.concurrency = 4)).await;
    for index in 0..9 {
        harness.batch.takes(index, Duration::from_secs(10 + index * 1000));
    }
    let mut driver = harness.begin().await.unwrap();
    assert_eq!(abort_after(&mut driver, Duration::from_secs(20)).await.unwrap(), aborted());
    assert_eq!(harness.batch.alive(), 0);
    assert_eq!(harness.batch.runs().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_listing_behind_the_counts_makes_nobody_a_success() {
    let mut record = with_policy(5, |policy| policy.min_successes = 4);
    record.interface = None;
    let harness = Harness::new(record).await;
    harness.batch.ends(2, 0, Ending::Exit(1));
    harness.batch.hide_failures(3);
    let (decision, outcomes) = harness.run().await;
    assert_eq!((decision, outcomes.succeeded(), outcomes.failed()), (Decision::Succeeded, 4, 1));
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_stays_behind_makes_nobody_a_success_either() {
    let mut record = with_policy(5, |policy| policy.min_successes = 4);
    record.interface = None;
    let harness = Harness::new(record).await;
    harness.batch.ends(2, 0, Ending::Exit(1));
    harness.batch.hide_failures(u32::MAX);
    let (decision, outcomes) = harness.run().await;
    assert_eq!((decision, outcomes.succeeded(), outcomes.failed()), (Decision::Succeeded, 4, 1));
    assert_eq!(harness.batch.runs()[&2], 1);
}

#[tokio::test(start_paused = true)]
async fn many_different_failures_make_no_large_record() {
    let size = 3_000;
    let harness = Harness::new(with_policy(size, |policy| policy.min_successes = 0)).await;
    (0..size).for_each(|index| harness.batch.ends(index, 0, Ending::Exit(1 + (index % 250) as i32)));
    let (decision, outcomes) = harness.run().await;
    // Some codes ask to be run again.
    assert!(decision == Decision::Succeeded && outcomes.failed() > 2_900);
    let objects = harness.store.memory.objects();
    let journal = objects.iter().filter(|(key, _)| key.starts_with(&harness.root.journal()));
    let bytes: usize = journal.map(|(_, body)| body.len()).sum();
    assert!(bytes < 200_000, "{bytes} bytes");
}

#[tokio::test(start_paused = true)]
async fn jobs_that_batch_has_forgotten_are_judged_by_their_outputs() {
    let harness = Harness::new(task(3)).await;
    harness.batch.takes(1, Duration::from_secs(1_000_000));
    let mut driver = harness.begin().await.unwrap();
    let ran = tokio::time::timeout(Duration::from_secs(30), finish(&mut driver)).await;
    assert!(ran.is_err(), "one of the three takes its time");
    // Nobody drives for a month, and the third child was never heard of.
    harness.batch.takes(1, Duration::from_secs(1));
    harness.batch.forget();
    let mut driver = harness.take_over().await;
    assert_eq!(finish(&mut driver).await.unwrap(), Decision::Succeeded);
    let runs = harness.batch.runs();
    assert_eq!((runs[&0], runs[&1], runs[&2]), (1, 2, 1));
}
