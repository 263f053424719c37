//! Subtasks that wait for outputs which somebody else computes.

use insta::assert_snapshot;
use proptest::prelude::*;

use super::script::{Script, packs, ranges, replay, terms};
use crate::map::event::{Event, Source};
use crate::map::execution::{Execution, Terms};

fn held(indices: &[u64], by: &str) -> Event {
    Event::Held { indices: ranges(indices), by: by.to_owned() }
}

fn freed(indices: &[u64]) -> Event {
    Event::Freed { indices: ranges(indices) }
}

fn reused(indices: &[u64]) -> Event {
    Event::Reused { indices: ranges(indices), source: Source::Cache }
}

#[test]
fn what_waits_is_not_submitted_until_it_is_freed() {
    let mut script = Script::beginning(Terms { concurrency: 2, ..terms(6) }, 6, [held(&[0, 3], "other")]);
    let summary = script.machine.summary();
    assert_eq!((summary.held, summary.waiting, summary.queued), (2, 2, 2));
    script.submitted(0).feed(reused(&[3])).feed(freed(&[0])).all_succeeded(0);
    script.submitted(1).all_succeeded(1).submitted(2).all_succeeded(2);
    assert_snapshot!(script.lines(), @r"
    plan 0: [1-2] x3
    submit 0
    plan 1: [0] x3
    plan 2: [4] x3
    submit 1
    submit 2
    plan 3: [5] x3
    submit 3
    ");
    script.submitted(3).all_succeeded(3);
    assert!(script.lines().ends_with("finish succeeded"));
    assert_eq!(script.machine.summary().cached, 1);
}

#[test]
fn a_map_that_waits_for_everything_submits_nothing_and_is_not_over() {
    let mut script = Script::beginning(terms(3), 3, [held(&[0, 1], "a"), held(&[2], "b")]);
    assert_snapshot!(script.lines(), @"");
    script.feed(held(&[1], "b"));
    assert_eq!(script.machine.held()["b"], ranges(&[1, 2]));
    script.feed(reused(&[0, 1, 2]));
    assert!(script.lines().ends_with("finish succeeded"));
}

#[test]
fn an_abort_does_not_wait() {
    let mut script = Script::beginning(terms(3), 3, [held(&[0, 1, 2], "a")]);
    script.feed(Event::AbortRequested { reason: "enough".to_owned() });
    assert_snapshot!(script.lines(), @r"
    decide aborted: enough
    finished
    finish aborted: enough
    ");
}

#[test]
fn only_what_is_in_no_array_may_wait_and_only_what_waits_is_freed() {
    let mut script = Script::beginning(Terms { concurrency: 2, ..terms(4) }, 4, [held(&[3], "a")]);
    assert_snapshot!(script.refused(held(&[0], "a")), @"subtask 0 has settled or is being run");
    assert_snapshot!(script.refused(freed(&[2])), @"it frees what is not held");
    assert_snapshot!(script.refused(reused(&[2])), @"it has begun to run");
    assert_snapshot!(script.refused(held(&[4], "a")), @"it names no subtasks");
    script.feed(held(&[2], "x"));
    assert_eq!(script.machine.unsubmitted(), ranges(&[2, 3]));
}

proptest! {
    /// Whoever waits, is freed or is served, and whenever: each of the others runs once, a replay and a snapshot of any
    /// moment are the machine, and nothing is left.
    #[test]
    fn each_runs_once_or_is_served(
        size in 1_u64..40,
        waits in prop::collection::vec((any::<bool>(), any::<bool>(), 0_usize..6), 40),
        concurrency in 0_u32..5,
    ) {
        let waiting: Vec<u64> = (0..size).filter(|&index| waits[index as usize].0).collect();
        let events = (!waiting.is_empty()).then(|| held(&waiting, "other"));
        let terms = Terms { concurrency, ..terms(size) };
        let mut script = Script::beginning(terms.clone(), size, events);
        let mut runs = vec![0; size as usize];
        for turn in 0.. {
            for &index in waiting.iter().filter(|&&index| waits[index as usize].2 == turn) {
                script.feed(if waits[index as usize].1 { reused(&[index]) } else { freed(&[index]) });
            }
            let replayed = replay(&terms, &packs(size), &script.journal);
            let snapshot = script.machine.snapshot();
            let restored = Execution::restore(terms.clone(), packs(size), snapshot.clone()).expect("it is whole");
            prop_assert_eq!(restored.snapshot(), snapshot);
            prop_assert_eq!(replayed.snapshot(), restored.snapshot());
            prop_assert_eq!(restored.held(), script.machine.held());
            prop_assert_eq!(restored.unsubmitted(), script.machine.unsubmitted());
            if script.machine.finished().is_some() {
                break;
            }
            prop_assert!(turn < 200, "it comes to an end");
            let next = script.machine.open().next().map(|(number, array)| (number, array.members.ranges()));
            if let Some((number, members)) = next {
                members.iter().for_each(|index| runs[index.0 as usize] += 1);
                script.submitted(number).all_succeeded(number);
            }
        }
        for index in 0..size {
            let (waited, served, _) = waits[index as usize];
            prop_assert_eq!(runs[index as usize], i32::from(!(waited && served)), "subtask {}", index);
        }
    }
}
