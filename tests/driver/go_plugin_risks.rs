//! Where Flyte's Go plugin for AWS Batch arrays hangs, crashes or loses something, and the test that shows that we do not.
//!
//! | its risk | test |
//! | --- | --- |
//! | a child that timed out, was terminated or never started stays retryable: the array hangs | `a_child_that_batch_does_not_retry_never_hangs_the_array` |
//! | SUCCEEDED with `error.pb` and no outputs stays retryable: it hangs (#2979) | `succeeded_with_an_error_document_and_no_outputs_is_judged` |
//! | an unknown status is nobody's case | `a_child_that_batch_does_not_retry_never_hangs_the_array`; `map::policy`: `every_ending_finds_its_row` |
//! | a throttled page after the parent's end leaves children unread for ever | `a_throttled_page_is_asked_for_again_after_the_arrays_end` |
//! | a throttle ends the sync, or the run | `throttling_of_any_call_ends_no_run`; `submission`: `a_throttled_submission_is_made_once_in_the_end` |
//! | size 0 submits a stray job, or hangs (#2184) | `outcomes`: `nothing_calls_nothing`; `cli`: `an_empty_list_succeeds_at_once_and_sends_nothing` |
//! | size 1 asks for a child that does not exist | `outcomes`: `one_is_a_plain_job_and_judged_as_such` |
//! | more than `maxArrayJobSize` panics (#3709, #2739) or is refused (#4514) | `more_than_one_array_takes_is_split` |
//! | `metadata.retries` absent is a nil dereference at the first failure | `no_policy_at_all_crashes_nothing` |
//! | retries 0 are 2 attempts; 10 and more are refused by AWS; 0, 1, 3, 7 overflow a bit field; budgets multiply | `retries_are_as_many_as_asked_for_and_never_batchs` |
//! | the document's kind is never consulted | `outcomes`: `only_what_failed_recoverably_runs_again` |
//! | one failure re-runs the whole array (#1276) | `outcomes`: `only_what_failed_recoverably_runs_again` |
//! | losses of hosts use up the user's retries | `map::execution`: `losses_do_not_use_up_the_users_budget` |
//! | a crash between SubmitJob and the state orphans the array | `crash`: `a_submission_that_a_dead_driver_made_is_adopted`; `sweep`: `a_takeover_ends_what_the_journal_does_not_know_and_nothing_else`; `tests/kills.rs` |
//! | a restart loses what was seen | `crash`: `a_death_at_any_record_loses_nothing_and_counts_nothing_twice` |
//! | 0.8 of 10 is 9 | `map::ratio`: `the_ratios_that_floating_point_gets_wrong`; `cli`: `two_failures_of_ten_are_allowed_by_a_ratio_of_four_fifths` |
//! | success is declared while a child is failing, or never before all have ended (#4331) | `outcomes`: `satisfied_stops_a_straggler`, `two_failures_of_ten_leave_two_holes` |
//! | siblings run on when too few can succeed | `outcomes`: `no_child_starts_once_failure_has_terminated_the_rest` |
//! | nobody sees whether an abort took effect (#2574) | `outcomes`: `an_abort_ends_every_child_before_it_is_over` |
//! | every end terminates once more | `a_success_terminates_nothing` |
//! | a task without outputs loses its errors | `a_task_without_outputs_keeps_its_errors` |
//! | outputs that cannot be read are dropped: the list is shorter and shifted (#6860) | `outputs_that_cannot_be_read_shift_no_other` |
//! | failed elements change the list's length (#3794, #4779) | `outputs_that_cannot_be_read_shift_no_other` |
//! | an error stale from an earlier attempt | `an_error_of_an_earlier_attempt_does_not_outrank_the_outputs` |
//! | concurrency is ignored (#2121) | `outcomes`: `batches_and_rolling_hold_the_concurrency` |
//! | a poll asks about every child; state grows past what can be stored (#4569) | `ten_thousand_children_are_one_call_a_poll_and_a_short_journal` |
//! | the definition is registered again and again | `cli`: `the_job_definition_is_registered_once` |
//! | a timeout below AWS's 60 s fails the submission | `cli`: `a_timeout_below_batchs_minimum_is_held`; `run::submit`: `a_short_timeout_is_left_to_the_worker` |
//! | lists of unequal length, or none, are a system error that is retried | `tests/stage.rs`: `unequal_lists_are_told_with_all_lengths`; `tests/spec.rs` |
//! | a bound list is split, or taken for a mapped one (#3887) | `tests/spec.rs`: `a_very_bad_spec_is_told_all_its_faults_at_once` |
//! | a partly cached map runs the wrong elements | `cli`: `only_what_is_new_runs`; `a_partly_reused_map_runs_the_right_elements`; `tests/worker.rs`: `a_child_of_a_compacted_array_gets_its_element` |
//! | the cache is read by another key than it is written by | `cli`: `an_ignored_input_does_not_matter`, `what_makes_a_task_another_one` |
//! | a cache that cannot be written loses the result | `cache`: `a_cache_that_cannot_be_written_fails_nothing` |
//! | all cached, and it starts all the same | `cache`: `a_second_run_calls_nothing_of_batch` |
//! | recovering computes everything again (#3925) | `recover`: `what_failed_runs_again_and_nothing_else` |
//! | an attempt begins from nothing (#2325) | `tests/checkpoint.rs`: `batchs_own_next_attempt_and_then_a_compacted_array_go_on_where_the_one_before_stopped` |
//! | a map larger than the cache's index fails, or looks up for ever (#2739) | `a_partly_reused_map_runs_the_right_elements` |

use std::time::Duration;

use batchmap::aws::store::Store;
use batchmap::idl::core::LiteralMap;
use batchmap::idl::json::literal_from_json;
use batchmap::idl::types::infer;
use batchmap::map::event::{Decision, Event, Source};
use batchmap::map::execution::SYSTEM_ATTEMPTS;
use batchmap::map::index::OriginalIndex;
use batchmap::map::ranges::Ranges;
use batchmap::run::journal::Journal;
use batchmap::run::result::{self, ResultError};
use prost::Message;
use serde_json::json;

use super::batch::{Call, Ending, Fault};
use super::harness::{Harness, finish, task, with_policy};

/// Sizes of the arrays that were submitted.
fn sizes(harness: &Harness) -> Vec<u32> {
    let size = |call: &Call| if let Call::Submit { size, .. } = call { Some(*size) } else { None };
    harness.batch.calls().iter().filter_map(size).collect()
}

/// No child that Batch leaves FAILED is waited for: each is judged, also a plain job's and one of many.
#[tokio::test(start_paused = true)]
async fn a_child_that_batch_does_not_retry_never_hangs_the_array() {
    let endings = [
        (Ending::Failed("Job attempt duration exceeded timeout"), 1, "Timeout"),
        (Ending::Stopped, 1, "TerminatedByOthers"),
        (Ending::Failed("Task failed to start"), SYSTEM_ATTEMPTS, "StartFailed"),
        (Ending::Failed("Dependent Job failed"), 1, "DependencyFailed"),
        (Ending::Failed("Container Overrides length must be at most 8192"), 1, "OverridesTooLong"),
        (Ending::Failed("the moon is in the wrong phase"), 1, "Unknown"),
        (Ending::Failed(""), 1, "Unknown"),
    ];
    for (ending, starts, row) in endings {
        for size in [1, 6] {
            let harness = Harness::new(with_policy(size, |policy| policy.retries = 3)).await;
            for run in 0..20 {
                harness.batch.ends(0, run, ending);
            }
            let mut driver = harness.begin().await.unwrap();
            let decision = finish(&mut driver).await.unwrap();
            assert!(matches!(decision, Decision::Failed { .. }), "{ending:?}: {decision:?}");
            let codes: Vec<_> = driver.execution().summary().failures.iter().map(|fold| fold.code.clone()).collect();
            assert_eq!(codes, [row], "{ending:?} of {size}");
            let runs = harness.batch.runs()[&0];
            assert!(runs >= 1 && runs <= starts, "{ending:?} of {size} ran {runs} times");
            assert_eq!(harness.batch.alive(), 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn succeeded_with_an_error_document_and_no_outputs_is_judged() {
    for (document, runs) in [(None, 1), (Some(false), 1), (Some(true), 3)] {
        for size in [1, 6] {
            let harness = Harness::new(with_policy(size, |policy| policy.retries = 2)).await;
            for run in 0..10 {
                harness.batch.ends(0, run, Ending::Hollow { document });
            }
            let (decision, outcomes) = harness.run().await;
            assert!(matches!(decision, Decision::Failed { .. }), "{document:?}: {decision:?}");
            assert_eq!((harness.batch.runs()[&0], outcomes.failed()), (runs, 1), "{document:?} of {size}");
        }
    }
}

/// The failures of an array come in pages; the second is throttled when the array has ended already.
#[tokio::test(start_paused = true)]
async fn a_throttled_page_is_asked_for_again_after_the_arrays_end() {
    for fault in [Fault::Throttled, Fault::Lost] {
        let harness = Harness::new(with_policy(30, |policy| policy.min_successes = 19)).await;
        for index in 10..21 {
            harness.batch.ends(index, 0, Ending::Error { recoverable: false });
        }
        harness.batch.fail("ListJobs", [Fault::Pass, fault, Fault::Pass, Fault::Pass, fault, fault]);
        let (decision, outcomes) = harness.run().await;
        assert_eq!((decision, outcomes.succeeded(), outcomes.failed()), (Decision::Succeeded, 19, 11));
    }
}

#[tokio::test(start_paused = true)]
async fn throttling_of_any_call_ends_no_run() {
    for operation in ["SubmitJob", "DescribeJobs", "ListJobs", "TerminateJob"] {
        let record = with_policy(12, |policy| {
            policy.min_successes = 10;
            policy.concurrency = 6;
            policy.retries = 1;
            policy.set_completion(batchmap::idl::record::policy::Completion::Satisfied);
        });
        let harness = Harness::new(record).await;
        harness.batch.takes(11, Duration::from_secs(1_000_000));
        harness.batch.ends(3, 0, Ending::Exit(75));
        harness.batch.fail(operation, [Fault::Throttled; 60]);
        let (decision, outcomes) = harness.run().await;
        assert_eq!(decision, Decision::Succeeded, "{operation}");
        assert!(outcomes.succeeded() >= 10, "{operation}");
        assert_eq!(harness.batch.alive(), 0, "{operation}");
    }
}

#[tokio::test(start_paused = true)]
async fn more_than_one_array_takes_is_split() {
    for (size, arrays) in [(9_999, vec![9_999]), (10_001, vec![10_000, 1]), (25_000, vec![10_000, 10_000, 5_000])] {
        let harness = Harness::new(task(size)).await;
        let (decision, outcomes) = harness.run().await;
        assert_eq!((decision, outcomes.succeeded()), (Decision::Succeeded, size));
        assert_eq!(sizes(&harness), arrays);
    }
}

#[tokio::test(start_paused = true)]
async fn no_policy_at_all_crashes_nothing() {
    let mut record = task(4);
    record.policy = None;
    let harness = Harness::new(record).await;
    harness.batch.ends(1, 0, Ending::Error { recoverable: true });
    harness.batch.ends(2, 0, Ending::Exit(1));
    let (decision, outcomes) = harness.run().await;
    assert_eq!((decision, outcomes.succeeded(), outcomes.failed()), (Decision::Succeeded, 2, 2));
    assert_eq!(harness.batch.runs().values().sum::<u32>(), 4);
}

#[tokio::test(start_paused = true)]
async fn retries_are_as_many_as_asked_for_and_never_batchs() {
    for retries in [0, 1, 3, 7, 10, 100] {
        let harness = Harness::new(with_policy(3, |policy| policy.retries = retries)).await;
        for run in 0..200 {
            harness.batch.ends(1, run, Ending::Error { recoverable: true });
        }
        let (decision, _) = harness.run().await;
        assert!(matches!(decision, Decision::Failed { .. }), "{decision:?}");
        assert_eq!(harness.batch.runs()[&1], retries + 1);
        assert!(harness.batch.attempts().iter().all(|attempts| (1..=SYSTEM_ATTEMPTS).contains(attempts)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_success_terminates_nothing() {
    let harness = Harness::new(task(50)).await;
    assert_eq!(harness.run().await.0, Decision::Succeeded);
    assert_eq!(harness.batch.count(|call| matches!(call, Call::Terminate { .. })), 0);
}

#[tokio::test(start_paused = true)]
async fn a_task_without_outputs_keeps_its_errors() {
    let mut record = task(5);
    record.interface = None;
    let harness = Harness::new(record).await;
    harness.batch.ends(1, 0, Ending::Error { recoverable: false });
    harness.batch.ends(3, 0, Ending::Error { recoverable: false });
    let mut driver = harness.begin().await.unwrap();
    assert!(matches!(finish(&mut driver).await.unwrap(), Decision::Failed { .. }));
    let failures = driver.execution().summary().failures;
    assert_eq!((failures[0].code.as_str(), failures[0].message.as_str()), ("ValueError", "it broke"));
}

#[tokio::test(start_paused = true)]
async fn an_error_of_an_earlier_attempt_does_not_outrank_the_outputs() {
    let harness = Harness::new(with_policy(2, |policy| policy.retries = 1)).await;
    harness.batch.ends(0, 0, Ending::Error { recoverable: true });
    let (decision, outcomes) = harness.run().await;
    assert_eq!((decision, outcomes.succeeded()), (Decision::Succeeded, 2));
    let root = &harness.root;
    let objects = harness.store.memory.objects();
    assert!(objects.contains_key(&root.error(OriginalIndex(0), "000000-01")), "it is still there");
    assert!(objects.contains_key(&root.outputs(OriginalIndex(0))));
}

/// Ten thousand children settle in one record, and each poll is one call.
#[tokio::test(start_paused = true)]
async fn ten_thousand_children_are_one_call_a_poll_and_a_short_journal() {
    let harness = Harness::new(task(10_000)).await;
    let mut driver = harness.begin().await.unwrap();
    assert_eq!(finish(&mut driver).await.unwrap(), Decision::Succeeded);
    let describes = harness.batch.count(|call| matches!(call, Call::Describe { jobs: 1 })) as u64;
    assert_eq!(describes, driver.polls());
    assert_eq!(harness.batch.count(|call| matches!(call, Call::ListChildren)), 0);
    let prefix = harness.root.journal();
    let objects = harness.store.memory.objects();
    let bytes: usize = objects.iter().filter(|(key, _)| key.starts_with(&prefix)).map(|(_, body)| body.len()).sum();
    assert!(harness.records() < 10 && bytes < 4096, "{} records of {bytes} bytes", harness.records());
}

/// Outputs that were there before, scattered through more elements than one array takes: the children that run are those
/// of the others, found as the worker finds them.
#[tokio::test(start_paused = true)]
async fn a_partly_reused_map_runs_the_right_elements() {
    let size = 25_000;
    let harness = Harness::new(task(size)).await;
    let there = |index: &u64| !index.is_multiple_of(3) && *index != 24_999;
    let indices: Ranges = (0..size).filter(there).map(OriginalIndex).collect();
    let mut journal = Journal::open(harness.store.clone(), harness.root.clone(), "cache".to_owned()).await.unwrap().0;
    let (definition, queue) = ("d:1".to_owned(), "q".to_owned());
    let started = Event::Started { definition, queue, interruptible_queue: None };
    journal.append(1, vec![started, Event::Reused { indices, source: Source::Cache }]).await.unwrap();
    let mut driver = harness.take_over().await;
    assert_eq!(finish(&mut driver).await.unwrap(), Decision::Succeeded);
    assert_eq!(driver.execution().outcomes().succeeded(), size);
    let ran: Vec<u64> = harness.batch.runs().into_keys().collect();
    assert_eq!(ran, (0..size).filter(|index| !there(index)).collect::<Vec<_>>());
    assert!(harness.batch.runs().values().all(|runs| *runs == 1));
}

#[tokio::test(start_paused = true)]
async fn outputs_that_cannot_be_read_shift_no_other() {
    let harness = Harness::new(with_policy(4, |policy| policy.min_successes = 3)).await;
    harness.batch.ends(2, 0, Ending::Exit(1));
    let mut driver = harness.begin().await.unwrap();
    assert_eq!(finish(&mut driver).await.unwrap(), Decision::Succeeded);
    let (store, root, record) = (&harness.store.memory, &harness.root, &harness.record);
    for index in [0_u64, 1, 3] {
        let value = json!(index * 10);
        let literals = [("o0".to_owned(), literal_from_json(&value, &infer(&value)).unwrap())].into();
        store.put(&root.outputs(OriginalIndex(index)), LiteralMap { literals }.encode_to_vec().into()).await.unwrap();
    }
    // One that has failed keeps its place.
    let spool = result::collect(store, root, record, driver.execution()).await.unwrap();
    let mut printed = Vec::new();
    result::print(&spool, result::Format::Json, &mut printed).unwrap();
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&printed).unwrap(), json!([0, 10, null, 30]));
    // One that cannot be read is an error that names it, and no shorter list.
    store.put(&root.outputs(OriginalIndex(1)), "\u{7f}damaged".into()).await.unwrap();
    let damaged = result::collect(store, root, record, driver.execution()).await;
    assert!(matches!(damaged, Err(ResultError::Damaged { index: OriginalIndex(1), .. })));
    store.remove(&root.outputs(OriginalIndex(1)));
    let gone = result::collect(store, root, record, driver.execution()).await;
    assert!(matches!(gone, Err(ResultError::Store(_))));
}

/// The table above is worth what it names.
#[test]
fn every_test_that_the_table_names_is_there() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = String::new();
    let mut folders = vec![root.join("src"), root.join("tests")];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            match path.extension() {
                _ if path.is_dir() => folders.push(path),
                Some(extension) if extension == "rs" => sources.push_str(&std::fs::read_to_string(path).unwrap()),
                _ => {}
            }
        }
    }
    let table = include_str!("go_plugin_risks.rs").lines().filter(|line| line.starts_with("//! |"));
    let quoted = table.flat_map(|line| line.split('`').skip(1).step_by(2)).filter(|name| name.matches('_').count() > 2);
    let named: Vec<&str> = quoted.collect();
    assert!(named.len() > 30, "{named:?}");
    for name in named {
        assert!(sources.contains(&format!("fn {name}()")), "no test is called {name}");
    }
}
