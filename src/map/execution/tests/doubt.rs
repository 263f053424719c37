//! Submissions of unknown outcome, drivers that die, and arrays that vanish.

use insta::assert_snapshot;

use super::script::{Script, lost, terms};
use crate::map::event::Event;
use crate::map::execution::{Look, Seen, Terms};

#[test]
fn an_unknown_submission_that_arrived_is_adopted() {
    let mut script = Script::new(terms(5), 5);
    script.feed(Event::SubmitUnknown { array: 0 });
    assert_snapshot!(script.lines(), @r"
    plan 0: [0-4] x3
    submit 0
    look up 0
    ");
    script.submitted(0).all_succeeded(0);
    assert_snapshot!(script.lines(), @r"
    decide succeeded
    finished
    finish succeeded
    ");
}

#[test]
fn an_unknown_submission_that_never_arrived_is_made_again() {
    let mut script = Script::new(terms(5), 5);
    for _ in 0..2 {
        script.feed(Event::SubmitUnknown { array: 0 }).feed(Event::NotSubmitted { array: 0 });
    }
    script.submitted(0).all_succeeded(0);
    assert_snapshot!(script.lines(), @r"
    plan 0: [0-4] x3
    submit 0
    look up 0
    submit 0
    look up 0
    submit 0
    decide succeeded
    finished
    finish succeeded
    ");
    assert_eq!(script.machine.arrays().len(), 1);
}

/// Whoever has seen a refusal, or has never asked, leaves no doubt to the next driver; and each call has its intent.
#[test]
fn what_was_withheld_is_submitted_by_the_next_driver_without_a_look() {
    let mut script = Script::new(terms(20_000), 20_000);
    script.machine.handle(&Event::Withheld { arrays: vec![0, 1] }).unwrap();
    script.journal.push(Event::Withheld { arrays: vec![0, 1] });
    script.crash();
    assert_snapshot!(script.lines(), @r"
    plan 0: [0-9999] x3
    plan 1: [10000-19999] x3
    submit 0
    submit 1
    -- another driver --
    intend [0, 1]
    submit 0
    submit 1
    ");
    // From here on it is in doubt again.
    script.crash();
    assert_snapshot!(script.lines(), @r"
    -- another driver --
    look up 0
    look up 1
    ");
}

#[test]
fn what_was_withheld_is_over_when_the_outcome_is_decided() {
    let mut script = Script::new(terms(5), 5);
    script.machine.handle(&Event::Withheld { arrays: vec![0] }).unwrap();
    script.feed(Event::Refused { message: "no such queue".to_owned() });
    assert_snapshot!(script.lines(), @r"
    plan 0: [0-4] x3
    submit 0
    decide refused: no such queue
    finished
    finish refused: no such queue
    ");
    assert!(!script.machine.was_unsure(), "nobody need wait for what may come late");
}

#[test]
fn an_action_that_could_not_be_carried_out_comes_again() {
    let mut script = Script::new(terms(5), 5);
    script.lines();
    script.drain();
    assert_snapshot!(script.lines(), @"");
    script.machine.ask_again(0);
    script.drain();
    assert_snapshot!(script.lines(), @"submit 0");
}

#[test]
fn the_next_driver_doubts_what_was_about_to_be_submitted() {
    let mut script = Script::new(Terms { concurrency: 3, ..terms(7) }, 7);
    script.crash();
    assert_snapshot!(script.lines(), @r"
    plan 0: [0-2] x3
    submit 0
    -- another driver --
    look up 0
    ");
    script.feed(Event::NotSubmitted { array: 0 });
    assert_snapshot!(script.lines(), @"submit 0");
    script.submitted(0).crash().all_succeeded(0).crash();
    assert_snapshot!(script.lines(), @r"
    -- another driver --
    plan 1: [3-5] x3
    submit 1
    -- another driver --
    look up 1
    ");
}

#[test]
fn the_next_driver_terminates_again_what_a_decision_left() {
    let mut script = Script::new(terms(2), 2);
    script.submitted(0).feed(Event::AbortRequested { reason: "enough".to_owned() });
    script.crash();
    assert_snapshot!(script.lines(), @r"
    plan 0: [0-1] x3
    submit 0
    decide aborted: enough
    terminate 0 (job-0)
    -- another driver --
    terminate 0 (job-0)
    ");
}

#[test]
fn an_array_that_batch_forgot_is_judged_by_what_it_left() {
    let mut script = Script::new(terms(3), 3);
    script.submitted(0);
    script.lines();
    assert_eq!(script.machine.observe(0, &Seen::default()), Look::AtAll);
    script.ended(0, &[0, 2], lost(&[1]));
    assert_snapshot!(script.lines(), @r"
    plan 1: [1] x2
    submit 1
    ");
}
