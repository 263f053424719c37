//! When an execution has succeeded or failed, and what happens then.

use insta::assert_snapshot;

use super::script::{Script, fatal, recoverable, terms};
use crate::map::event::{Decision, Event};
use crate::map::execution::{Look, Terms, ended_unjudged};
use crate::map::status::JobStatus::{Failed, Running, Succeeded};
use crate::map::status::Phase;
use crate::map::task::Completion;

/// Eight of ten must succeed, three at a time, so that several arrays are at work.
fn eight_of_ten() -> Script {
    let mut script = Script::new(Terms { concurrency: 6, ..terms(8) }, 10);
    script.submitted(0);
    script.poll(0, &[(Succeeded, 3), (Running, 3)]);
    script.submitted(1);
    script
}

#[test]
fn the_third_failure_of_ten_is_one_too_many() {
    let mut script = eight_of_ten();
    assert_snapshot!(script.lines(), @r"
    plan 0: [0-5] x3
    submit 0
    plan 1: [6-8] x3
    submit 1
    ");
    script.settled(0, &[], fatal(&[0, 1]));
    assert_eq!(script.machine.decision(), None);
    assert_snapshot!(script.lines(), @"");
    script.settled(1, &[], fatal(&[6]));
    assert_snapshot!(script.lines(), @r"
    decide failed: 3 of 10 subtasks failed, and 8 must succeed
    terminate 0 (job-0)
    terminate 1 (job-1)
    ");
    assert_eq!(script.machine.summary().phase, Phase::Failing);
    script.feed(ended_unjudged(1));
    assert_snapshot!(script.lines(), @"");
    script.feed(ended_unjudged(0));
    assert_snapshot!(script.lines(), @r"
    finished
    finish failed: 3 of 10 subtasks failed, and 8 must succeed
    ");
}

#[test]
fn two_failures_of_ten_are_allowed() {
    let mut script = Script::new(terms(8), 10);
    script.submitted(0);
    script.ended(0, &[0, 1, 3, 4, 5, 6, 8, 9], fatal(&[2, 7]));
    assert_snapshot!(script.lines(), @r"
    plan 0: [0-9] x3
    submit 0
    decide succeeded
    finished
    finish succeeded
    ");
    let summary = script.machine.summary();
    assert_eq!((summary.succeeded, summary.failed), (8, 2));
    assert_eq!(summary.failures[0].indices, "[2],[7]");
}

#[test]
fn failures_are_looked_at_early_only_when_they_may_decide() {
    let mut script = Script::new(terms(8), 10);
    script.submitted(0);
    assert_eq!(script.poll(0, &[(Failed, 2)]), Look::Away);
    assert_eq!(script.poll(0, &[(Failed, 3)]), Look::AtFailures);
    script.settled(0, &[], fatal(&[0, 1]));
    script.machine.listed(0, 2);
    // The listing lagged behind the count: the third is asked for again.
    assert_eq!(script.poll(0, &[(Failed, 3)]), Look::AtFailures);
}

#[test]
fn satisfied_ends_as_soon_as_enough_have_succeeded() {
    let mut script = Script::new(Terms { completion: Completion::Satisfied, ..terms(3) }, 10);
    script.submitted(0);
    script.lines();
    assert_eq!(script.poll(0, &[(Succeeded, 2)]), Look::Away);
    assert_eq!(script.poll(0, &[(Succeeded, 3)]), Look::AtEnds);
    // AWS was out of reach during that look: the same counts ask for it again.
    assert_eq!(script.poll(0, &[(Succeeded, 3)]), Look::AtEnds);
    script.settled(0, &[4, 5, 9], vec![]);
    assert_snapshot!(script.lines(), @r"
    decide succeeded
    terminate 0 (job-0)
    ");
    script.feed(ended_unjudged(0));
    assert_snapshot!(script.lines(), @r"
    finished
    finish succeeded
    ");
    assert_eq!(script.machine.outcomes().succeeded(), 3);
}

#[test]
fn successes_judged_early_are_not_counted_twice_towards_a_look() {
    let mut script = Script::new(Terms { completion: Completion::Satisfied, ..terms(8) }, 10);
    script.submitted(0);
    assert_eq!(script.poll(0, &[(Succeeded, 8)]), Look::AtEnds);
    // Four of the eight had no outputs to show yet.
    script.settled(0, &[0, 1, 2, 3], vec![]);
    script.poll(0, &[(Succeeded, 8)]);
    script.settled(0, &[4], vec![]);
    assert_eq!(script.poll(0, &[(Succeeded, 5)]), Look::AtEnds, "three are counted and not judged");
    script.settled(0, &[5, 6], fatal(&[7]));
    // Seven have succeeded; eight are judged and eight were counted.
    assert_eq!(script.poll(0, &[(Succeeded, 8)]), Look::Away);
    assert_eq!(script.poll(0, &[(Succeeded, 9)]), Look::AtEnds);
}

#[test]
fn satisfied_waits_for_all_when_too_few_succeed() {
    let mut script = Script::new(Terms { completion: Completion::Satisfied, run_all: true, ..terms(3) }, 4);
    script.submitted(0);
    script.settled(0, &[], fatal(&[0, 1]));
    assert_eq!(script.machine.decision(), None);
    script.ended(0, &[2, 3], vec![]);
    assert_snapshot!(script.lines(), @r"
    plan 0: [0-3] x3
    submit 0
    decide failed: 2 of 4 subtasks failed, and 3 must succeed
    finished
    finish failed: 2 of 4 subtasks failed, and 3 must succeed
    ");
}

#[test]
fn run_all_sub_nodes_goes_on_though_nothing_can_be_won() {
    let mut script = Script::new(Terms { run_all: true, concurrency: 2, ..terms(4) }, 4);
    script.submitted(0).ended(0, &[], fatal(&[0, 1]));
    assert_snapshot!(script.lines(), @r"
    plan 0: [0-1] x3
    submit 0
    plan 1: [2-3] x3
    submit 1
    ");
    assert_eq!(script.machine.decision(), None);
    script.submitted(1).ended(1, &[2, 3], vec![]);
    assert_snapshot!(script.lines(), @r"
    decide failed: 2 of 4 subtasks failed, and 4 must succeed
    finished
    finish failed: 2 of 4 subtasks failed, and 4 must succeed
    ");
}

#[test]
fn a_failure_with_budget_left_decides_nothing() {
    let mut script = Script::new(Terms { retries: 1, ..terms(2) }, 2);
    script.submitted(0).ended(0, &[0], recoverable(&[1]));
    assert_eq!(script.machine.decision(), None);
    script.submitted(1).ended(1, &[], recoverable(&[1]));
    assert_snapshot!(script.lines(), @r"
    plan 0: [0-1] x3
    submit 0
    plan 1: [1] x3
    submit 1
    decide failed: 1 of 2 subtasks failed, and 2 must succeed
    finished
    finish failed: 1 of 2 subtasks failed, and 2 must succeed
    ");
}

#[test]
fn a_result_that_comes_after_the_decision_stays_out() {
    let mut script = Script::new(terms(3), 3);
    script.submitted(0).settled(0, &[], fatal(&[1]));
    let decided = Decision::Failed { reason: "1 of 3 subtasks failed, and 3 must succeed".to_owned() };
    assert_eq!(script.machine.decision(), Some(&decided));
    script.feed(Event::Settled {
        array: 0,
        succeeded: super::script::ranges(&[0, 2]),
        failures: Vec::new(),
        ended: true,
    });
    assert_eq!(script.machine.outcomes().succeeded(), 0);
    assert_eq!(script.machine.decision(), Some(&decided));
    assert_snapshot!(script.lines(), @r"
    plan 0: [0-2] x3
    submit 0
    decide failed: 1 of 3 subtasks failed, and 3 must succeed
    terminate 0 (job-0)
    finished
    finish failed: 1 of 3 subtasks failed, and 3 must succeed
    ");
}

#[test]
fn no_success_needed_still_runs_everything() {
    let mut script = Script::new(terms(0), 2);
    script.submitted(0).ended(0, &[], fatal(&[0, 1]));
    assert_snapshot!(script.lines(), @r"
    plan 0: [0-1] x3
    submit 0
    decide succeeded
    finished
    finish succeeded
    ");
}
