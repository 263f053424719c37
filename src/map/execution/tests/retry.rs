//! What is run again, how often and where.

use insta::assert_snapshot;

use super::script::{Script, fatal, lost, recoverable, started, terms};
use crate::map::execution::{Look, Terms};
use crate::map::status::JobStatus::{Failed, Running, Succeeded};
use crate::map::task::ConcurrencyMode;

#[test]
fn only_the_failed_ones_run_again_compacted() {
    let mut script = Script::new(Terms { retries: 2, ..terms(10) }, 10);
    script.submitted(0);
    script.ended(0, &[0, 1, 3, 4, 5, 6, 8, 9], recoverable(&[2, 7]));
    assert_snapshot!(script.lines(), @r"
    plan 0: [0-9] x3
    submit 0
    plan 1: [2],[7] x3
    submit 1
    ");
    script.submitted(1).ended(1, &[7], recoverable(&[2]));
    assert_snapshot!(script.lines(), @r"
    plan 2: [2] x3
    submit 2
    ");
    script.submitted(2).all_succeeded(2);
    assert_snapshot!(script.lines(), @r"
    decide succeeded
    finished
    finish succeeded
    ");
    assert_eq!(script.machine.summary().retried, 2);
}

#[test]
fn a_spent_budget_is_a_failure() {
    let mut script = Script::new(Terms { retries: 1, ..terms(1) }, 2);
    script.submitted(0).ended(0, &[0], recoverable(&[1]));
    script.submitted(1).ended(1, &[], recoverable(&[1]));
    assert_snapshot!(script.lines(), @r"
    plan 0: [0-1] x3
    submit 0
    plan 1: [1] x3
    submit 1
    decide succeeded
    finished
    finish succeeded
    ");
    assert_eq!(script.machine.outcomes().failed(), 1);
}

#[test]
fn a_final_failure_is_not_run_again() {
    let mut script = Script::new(Terms { retries: 5, ..terms(1) }, 2);
    script.submitted(0).ended(0, &[0], fatal(&[1]));
    assert_snapshot!(script.lines(), @r"
    plan 0: [0-1] x3
    submit 0
    decide succeeded
    finished
    finish succeeded
    ");
}

#[test]
fn retries_go_ahead_of_new_work() {
    let mut script = Script::new(Terms { retries: 1, concurrency: 4, ..terms(12) }, 12);
    script.submitted(0);
    assert_eq!(script.poll(0, &[(Failed, 1), (Running, 3)]), Look::AtFailures);
    script.submitted(1);
    script.settled(0, &[], recoverable(&[2]));
    script.lines();
    script.poll(0, &[(Failed, 1), (Succeeded, 2), (Running, 1)]);
    assert_snapshot!(script.lines(), @r"
    plan 2: [2] x3
    plan 3: [5] x3
    submit 2
    submit 3
    ");
}

#[test]
fn under_batches_nobody_looks_for_retries_before_the_end() {
    let batches = Terms { retries: 1, concurrency: 4, mode: ConcurrencyMode::Batches, ..terms(6) };
    let mut script = Script::new(batches, 8);
    script.submitted(0);
    assert_eq!(script.poll(0, &[(Failed, 1), (Running, 3)]), Look::Away);
    script.ended(0, &[0, 1, 3], recoverable(&[2]));
    assert_snapshot!(script.lines(), @r"
    plan 0: [0-3] x3
    submit 0
    plan 1: [2] x3
    plan 2: [4-6] x3
    submit 1
    submit 2
    ");
}

#[test]
fn what_batch_has_started_as_often_as_it_may_is_not_started_again() {
    let mut script = Script::new(terms(1), 2);
    script.submitted(0).ended(0, &[0], started(3, lost(&[1])));
    assert_snapshot!(script.lines(), @r"
    plan 0: [0-1] x3
    submit 0
    decide succeeded
    finished
    finish succeeded
    ");
    assert_eq!(script.machine.outcomes().failed(), 1);
}

/// The worker lost S3, say: Batch has not repeated that, and so there are starts left.
#[test]
fn a_lost_child_goes_on_with_the_starts_it_has_left() {
    let mut script = Script::new(terms(2), 2);
    script.submitted(0).ended(0, &[0], lost(&[1]));
    script.submitted(1).ended(1, &[], lost(&[1]));
    script.submitted(2).ended(2, &[], lost(&[1]));
    assert_snapshot!(script.lines(), @r"
    plan 0: [0-1] x3
    submit 0
    plan 1: [1] x2
    submit 1
    plan 2: [1] x1
    submit 2
    decide failed: 1 of 2 subtasks failed, and 2 must succeed
    finished
    finish failed: 1 of 2 subtasks failed, and 2 must succeed
    ");
}

#[test]
fn losses_before_a_failure_of_its_own_count_too() {
    let mut script = Script::new(Terms { retries: 9, ..terms(1) }, 1);
    script.submitted(0).ended(0, &[], started(2, recoverable(&[0])));
    script.submitted(1).ended(1, &[], started(2, recoverable(&[0])));
    script.submitted(2).ended(2, &[], recoverable(&[0]));
    script.submitted(3).ended(3, &[], lost(&[0]));
    assert_snapshot!(script.lines(), @r"
    plan 0: [0] x3
    submit 0
    plan 1: [0] x2
    submit 1
    plan 2: [0] x1
    submit 2
    plan 3: [0] x1
    submit 3
    decide failed: 1 of 1 subtasks failed, and 1 must succeed
    finished
    finish failed: 1 of 1 subtasks failed, and 1 must succeed
    ");
}

/// In one array the attempts are everybody's: nobody gets more than it has left, and who gets less has it later.
#[test]
fn an_array_has_the_fewest_starts_that_any_of_its_members_has_left() {
    let mut script = Script::new(Terms { retries: 1, ..terms(3) }, 3);
    script.submitted(0);
    script.lines();
    let failures = [recoverable(&[0]), started(2, lost(&[1]))].concat();
    script.ended(0, &[2], failures);
    script.submitted(1).ended(1, &[1], lost(&[0]));
    assert_snapshot!(script.lines(), @r"
    plan 1: [0-1] x1
    submit 1
    plan 2: [0] x2
    submit 2
    ");
}

/// A journal that says more than can be is believed as far as it can be.
#[test]
fn more_starts_than_the_array_allows_are_its_attempts() {
    let mut script = Script::new(Terms { retries: 2, ..terms(2) }, 2);
    script.submitted(0).ended(0, &[0], started(u32::MAX, recoverable(&[1])));
    assert_snapshot!(script.lines(), @r"
    plan 0: [0-1] x3
    submit 0
    plan 1: [1] x1
    submit 1
    ");
}

#[test]
fn losses_do_not_use_up_the_users_budget() {
    let mut script = Script::new(Terms { retries: 1, ..terms(1) }, 1);
    script.submitted(0).ended(0, &[], lost(&[0]));
    script.submitted(1).ended(1, &[], recoverable(&[0]));
    script.submitted(2).all_succeeded(2);
    assert_snapshot!(script.lines(), @r"
    plan 0: [0] x3
    submit 0
    plan 1: [0] x2
    submit 1
    plan 2: [0] x2
    submit 2
    decide succeeded
    finished
    finish succeeded
    ");
}

#[test]
fn the_last_attempt_of_an_interruptible_subtask_is_on_demand() {
    let mut script = Script::new(Terms { retries: 2, interruptible: true, ..terms(4) }, 4);
    script.submitted(0).ended(0, &[0, 1], recoverable(&[2, 3]));
    script.submitted(1).ended(1, &[2], recoverable(&[3]));
    script.submitted(2).all_succeeded(2);
    assert_snapshot!(script.lines(), @r"
    plan 0: [0-3] spot x2
    submit 0
    plan 1: [2-3] spot x2
    submit 1
    plan 2: [3] x3
    submit 2
    decide succeeded
    finished
    finish succeeded
    ");
}

#[test]
fn what_spot_has_lost_twice_gets_exactly_one_start_on_demand() {
    let mut script = Script::new(Terms { retries: 2, interruptible: true, ..terms(3) }, 3);
    script.submitted(0);
    let failures = [recoverable(&[0]), started(2, lost(&[1]))].concat();
    script.ended(0, &[2], failures);
    script.submitted(1).ended(1, &[], lost(&[1]));
    assert_snapshot!(script.lines(), @r"
    plan 0: [0-2] spot x2
    submit 0
    plan 1: [1] x1
    plan 2: [0] spot x2
    submit 1
    submit 2
    decide failed: 1 of 3 subtasks failed, and 3 must succeed
    look up 2
    ");
}

#[test]
fn a_loss_that_batch_does_not_repeat_stays_on_spot_while_it_is_not_the_last() {
    let mut script = Script::new(Terms { interruptible: true, ..terms(1) }, 1);
    script.submitted(0).ended(0, &[], lost(&[0]));
    script.submitted(1).ended(1, &[], lost(&[0]));
    script.submitted(2).ended(2, &[], lost(&[0]));
    assert_snapshot!(script.lines(), @r"
    plan 0: [0] spot x2
    submit 0
    plan 1: [0] spot x1
    submit 1
    plan 2: [0] x1
    submit 2
    decide failed: 1 of 1 subtasks failed, and 1 must succeed
    finished
    finish failed: 1 of 1 subtasks failed, and 1 must succeed
    ");
}

#[test]
fn what_was_judged_early_is_not_judged_again_at_the_end() {
    let mut script = Script::new(Terms { retries: 3, ..terms(3) }, 3);
    script.submitted(0).settled(0, &[], recoverable(&[1]));
    script.submitted(1);
    // The array's end names the early one once more: one attempt was used, not two.
    script.ended(0, &[0, 2], recoverable(&[1]));
    script.ended(1, &[], recoverable(&[1]));
    assert_snapshot!(script.lines(), @r"
    plan 0: [0-2] x3
    submit 0
    plan 1: [1] x3
    submit 1
    plan 2: [1] x3
    submit 2
    ");
    assert_eq!(script.machine.outcomes().succeeded(), 2);
}

#[test]
fn an_earlier_attempt_that_has_succeeded_after_all_counts() {
    // Waiting to be run again: it is not.
    let batches = Terms { retries: 1, concurrency: 2, mode: ConcurrencyMode::Batches, ..terms(3) };
    let mut script = Script::new(batches, 3);
    script.submitted(0).settled(0, &[], recoverable(&[0]));
    assert_eq!(script.machine.waiting_again(), 1);
    script.lines();
    script.ended(0, &[0, 1], vec![]);
    assert_snapshot!(script.lines(), @r"
    plan 1: [2] x3
    submit 1
    ");
    assert_eq!(script.machine.outcomes().succeeded(), 2);

    // Running again: its second attempt changes nothing any more.
    let mut script = Script::new(Terms { retries: 1, ..terms(2) }, 2);
    script.submitted(0).settled(0, &[], recoverable(&[0]));
    script.submitted(1).ended(0, &[0, 1], vec![]);
    assert_snapshot!(script.lines(), @r"
    plan 0: [0-1] x3
    submit 0
    plan 1: [0] x3
    submit 1
    decide succeeded
    terminate 1 (job-1)
    ");
    assert_eq!(script.machine.outcomes().succeeded(), 2);
}

#[test]
fn a_failed_child_with_outputs_is_not_asked_about_for_ever() {
    let mut script = Script::new(Terms { retries: 1, ..terms(3) }, 3);
    script.submitted(0);
    assert_eq!(script.poll(0, &[(Failed, 1)]), Look::AtFailures);
    // Batch lost the host after the outputs were written: the child counts as a success.
    script.settled(0, &[1], vec![]);
    script.machine.listed(0, 1);
    assert_eq!(script.poll(0, &[(Failed, 1)]), Look::Away);
    assert_eq!(script.poll(0, &[(Failed, 2)]), Look::AtFailures);
}
