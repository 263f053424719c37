//! An abort, or a refusal, in every state an array can be in.

use insta::assert_snapshot;

use super::script::{Script, packs, terms};
use crate::map::event::{Decision, Event};
use crate::map::execution::{Action, Execution, Terms, ended_unjudged};
use crate::map::index::OriginalIndex;
use crate::map::status::Phase;

fn abort() -> Event {
    Event::AbortRequested { reason: "enough".to_owned() }
}

#[test]
fn before_anything_is_planned() {
    let mut machine = Execution::new(terms(5), packs(5));
    machine.handle(&abort()).unwrap();
    let decision = Decision::Aborted { reason: "enough".to_owned() };
    for event in [Event::Decided { decision: decision.clone() }, Event::Finished] {
        assert_eq!(machine.next_action(), Some(Action::Record(event.clone())));
        machine.handle(&event).unwrap();
    }
    assert_eq!(machine.next_action(), Some(Action::Finish(decision)));
}

#[test]
fn while_an_array_is_about_to_be_submitted() {
    let mut script = Script::new(terms(5), 5);
    script.lines();
    script.feed(abort());
    assert_snapshot!(script.lines(), @r"
    decide aborted: enough
    look up 0
    ");
    script.feed(Event::NotSubmitted { array: 0 });
    assert_snapshot!(script.lines(), @r"
    finished
    finish aborted: enough
    ");
}

#[test]
fn while_a_submission_is_under_way_that_succeeds() {
    let mut script = Script::new(terms(5), 5);
    script.lines();
    script.feed(abort()).submitted(0);
    assert_snapshot!(script.lines(), @r"
    decide aborted: enough
    look up 0
    terminate 0 (job-0)
    ");
    script.feed(ended_unjudged(0));
    assert_snapshot!(script.lines(), @r"
    finished
    finish aborted: enough
    ");
}

#[test]
fn while_a_submission_is_unknown() {
    let mut script = Script::new(terms(5), 5);
    script.feed(Event::SubmitUnknown { array: 0 });
    script.lines();
    script.feed(abort());
    // It is being looked for already.
    assert_snapshot!(script.lines(), @"decide aborted: enough");
    script.submitted(0).feed(ended_unjudged(0));
    assert_snapshot!(script.lines(), @r"
    terminate 0 (job-0)
    finished
    finish aborted: enough
    ");
}

#[test]
fn while_arrays_run() {
    let mut script = Script::new(Terms { concurrency: 4, ..terms(5) }, 5);
    script.submitted(0);
    script.lines();
    script.feed(abort()).feed(abort()).feed(ended_unjudged(0));
    assert_snapshot!(script.lines(), @r"
    decide aborted: enough
    terminate 0 (job-0)
    finished
    finish aborted: enough
    ");
}

#[test]
fn after_the_decision_it_changes_nothing() {
    let mut script = Script::new(terms(5), 5);
    script.submitted(0).settled(0, &[], super::script::fatal(&[0]));
    script.lines();
    script.feed(abort()).feed(ended_unjudged(0));
    assert_snapshot!(script.lines(), @r"
    finished
    finish failed: 1 of 5 subtasks failed, and 5 must succeed
    ");
}

#[test]
fn a_refused_submission_ends_the_execution() {
    let mut script = Script::new(terms(25_000), 25_000);
    script.lines();
    script.submitted(0).feed(Event::Refused { message: "no such queue".to_owned() });
    assert_snapshot!(script.lines(), @r"
    decide refused: no such queue
    terminate 0 (job-0)
    look up 1
    look up 2
    ");
    script.feed(Event::NotSubmitted { array: 1 }).feed(Event::NotSubmitted { array: 2 });
    script.feed(ended_unjudged(0));
    assert_snapshot!(script.lines(), @r"
    finished
    finish refused: no such queue
    ");
}

#[test]
fn what_is_found_to_have_succeeded_before_the_decision_wins() {
    // All of them: there is nothing left to abort.
    let mut script = Script::new(terms(3), 3);
    script.submitted(0);
    script.lines();
    script.machine.handle(&abort()).unwrap();
    script.ended(0, &[0, 1, 2], Vec::new());
    assert_snapshot!(script.lines(), @r"
    decide succeeded
    finished
    finish succeeded
    ");
    // As many as must succeed: a deadline ends the waiting for the others, an abort is an abort.
    for (event, decision) in [
        (Event::Expired { reason: "late".to_owned() }, Decision::Succeeded),
        (abort(), Decision::Aborted { reason: "enough".to_owned() }),
    ] {
        let mut script = Script::new(Terms { min_successes: 2, ..terms(3) }, 3);
        script.submitted(0);
        script.lines();
        script.machine.handle(&event).unwrap();
        let found = [0, 2].map(OriginalIndex).into_iter().collect();
        let found = Event::Settled { array: 0, succeeded: found, failures: Vec::new(), ended: false };
        script.machine.handle(&found).unwrap();
        assert_eq!(script.machine.next_action(), Some(Action::Record(Event::Decided { decision })));
    }
}

#[test]
fn nothing_waits_once_the_outcome_is_decided() {
    let mut script = Script::new(Terms { concurrency: 4, ..terms(9) }, 9);
    script.submitted(0);
    assert_eq!((script.machine.summary().waiting, script.machine.summary().dropped), (5, 0));
    script.lines();
    script.feed(abort());
    script.lines();
    let summary = script.machine.summary();
    assert_eq!((summary.phase, summary.queued, summary.waiting, summary.dropped), (Phase::Aborting, 4, 0, 5));
    script.feed(ended_unjudged(0));
    script.lines();
    let summary = script.machine.summary();
    assert_eq!((summary.phase, summary.queued, summary.waiting, summary.dropped), (Phase::Aborted, 0, 0, 9));
}
