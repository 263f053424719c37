//! Which arrays are submitted when.

use insta::assert_snapshot;

use super::script::{Script, packs, terms};
use crate::map::event::Decision;
use crate::map::execution::{Execution, Look, Terms};
use crate::map::plan::{Members, rolling_group};
use crate::map::status::JobStatus::{Failed, Running, Succeeded};
use crate::map::task::ConcurrencyMode;

#[test]
fn an_empty_list_succeeds_at_once() {
    let mut script = Script::new(terms(0), 0);
    assert_snapshot!(script.lines(), @r"
    decide succeeded
    finished
    finish succeeded
    ");
    assert_eq!(script.machine.decision(), Some(&Decision::Succeeded));
}

#[test]
fn one_subtask_is_one_child() {
    let mut script = Script::new(terms(1), 1);
    script.submitted(0).all_succeeded(0);
    assert_snapshot!(script.lines(), @r"
    plan 0: [0] x3
    submit 0
    decide succeeded
    finished
    finish succeeded
    ");
    assert_eq!(script.machine.arrays().get(0).unwrap().size(), 1);
}

#[test]
fn arrays_follow_the_packs() {
    let mut script = Script::new(terms(25_000), 25_000);
    script.submitted(0).submitted(1).submitted(2).all_succeeded(1).all_succeeded(0).all_succeeded(2);
    assert_snapshot!(script.lines(), @r"
    plan 0: [0-9999] x3
    plan 1: [10000-19999] x3
    plan 2: [20000-24999] x3
    submit 0
    submit 1
    submit 2
    decide succeeded
    finished
    finish succeeded
    ");
}

fn seven(mode: ConcurrencyMode) -> Terms {
    Terms { concurrency: 7, mode, ..terms(20) }
}

#[test]
fn rolling_fills_places_as_they_come_free() {
    let mut script = Script::new(seven(ConcurrencyMode::Rolling), 20);
    script.submitted(0);
    assert_snapshot!(script.lines(), @r"
    plan 0: [0-6] x3
    submit 0
    ");
    // Two ends are counted; nothing is judged for it.
    assert_eq!(script.poll(0, &[(Succeeded, 2), (Running, 5)]), Look::Away);
    assert_snapshot!(script.lines(), @r"
    plan 1: [7-8] x3
    submit 1
    ");
    script.submitted(1);
    // Counts that step back free nothing twice.
    script.poll(0, &[(Succeeded, 1), (Running, 6)]);
    assert_snapshot!(script.lines(), @"");
    script.poll(0, &[(Succeeded, 6), (Running, 1)]);
    script.submitted(2).all_succeeded(0);
    assert_snapshot!(script.lines(), @r"
    plan 2: [9-12] x3
    submit 2
    plan 3: [13] x3
    submit 3
    ");
    assert_eq!(script.machine.outcomes().succeeded(), 7);
}

#[test]
fn batches_wait_for_the_last_of_them() {
    let mut script = Script::new(seven(ConcurrencyMode::Batches), 20);
    script.submitted(0);
    script.poll(0, &[(Succeeded, 6), (Running, 1)]);
    assert_snapshot!(script.lines(), @r"
    plan 0: [0-6] x3
    submit 0
    ");
    script.all_succeeded(0);
    assert_snapshot!(script.lines(), @r"
    plan 1: [7-13] x3
    submit 1
    ");
    script.submitted(1).all_succeeded(1).submitted(2).all_succeeded(2);
    assert_snapshot!(script.lines(), @r"
    plan 2: [14-19] x3
    submit 2
    decide succeeded
    finished
    finish succeeded
    ");
}

#[test]
fn a_batch_over_two_packs_is_two_arrays_at_once() {
    let terms = Terms { concurrency: 12_000, mode: ConcurrencyMode::Batches, ..terms(25_000) };
    let mut script = Script::new(terms, 25_000);
    assert_snapshot!(script.lines(), @r"
    plan 0: [0-9999] x3
    plan 1: [10000-11999] x3
    submit 0
    submit 1
    ");
    script.submitted(0).submitted(1).all_succeeded(1);
    assert_snapshot!(script.lines(), @"");
    script.all_succeeded(0);
    assert_snapshot!(script.lines(), @r"
    plan 2: [12000-19999] x3
    plan 3: [20000-23999] x3
    submit 2
    submit 3
    ");
}

#[test]
fn rolling_waits_for_a_group_of_places() {
    let mut script = Script::new(Terms { concurrency: 100, ..terms(1000) }, 1000);
    script.submitted(0);
    script.lines();
    script.poll(0, &[(Succeeded, rolling_group(100) - 1)]);
    assert_snapshot!(script.lines(), @"");
    script.poll(0, &[(Succeeded, 5), (Failed, 2)]);
    assert_snapshot!(script.lines(), @r"
    plan 1: [100-106] x3
    submit 1
    ");
}

#[test]
fn the_last_few_need_no_group() {
    let mut script = Script::new(Terms { concurrency: 100, ..terms(101) }, 101);
    script.submitted(0);
    script.lines();
    script.poll(0, &[(Succeeded, 1)]);
    assert_snapshot!(script.lines(), @r"
    plan 1: [100] x3
    submit 1
    ");
}

#[test]
fn a_submission_of_unknown_outcome_keeps_its_places() {
    let mut script = Script::new(seven(ConcurrencyMode::Rolling), 20);
    script.feed(crate::map::event::Event::SubmitUnknown { array: 0 });
    assert_eq!(script.machine.summary().queued, 7);
    assert_snapshot!(script.lines(), @r"
    plan 0: [0-6] x3
    submit 0
    look up 0
    ");
}

/// A million subtasks at a concurrency of 16: what has ended costs nothing any more.
#[test]
fn ended_arrays_are_not_gone_through_again() {
    let mut script = Script::new(Terms { concurrency: 16, ..terms(20_000) }, 20_000);
    for array in 0.. {
        script.submitted(array).all_succeeded(array);
        assert!(script.machine.open().count() <= 16);
        if script.machine.decision().is_some() {
            break;
        }
    }
    assert_eq!(script.machine.decision(), Some(&Decision::Succeeded));
}

#[test]
fn a_new_machine_is_queued() {
    let machine = Execution::new(terms(5), packs(5));
    assert_eq!(machine.summary().waiting, 5);
    assert_eq!(machine.arrays().len(), 0);
    assert_eq!(Members::Range { first: crate::map::index::OriginalIndex(0), count: 5 }.len(), 5);
}
