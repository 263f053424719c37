//! Outputs that are there before anything runs, and the deadline.

use insta::assert_snapshot;
use proptest::prelude::*;

use super::script::{Script, fatal, terms};
use crate::map::event::{Event, Source};
use crate::map::execution::Terms;
use crate::map::ranges::Ranges;

#[test]
fn a_map_whose_outputs_are_all_there_submits_nothing() {
    let mut script = Script::reusing(terms(3), 3, &[0, 1, 2]);
    assert_snapshot!(script.lines(), @r"
    decide succeeded
    finished
    finish succeeded
    ");
    assert_eq!(script.machine.summary().reused, 3);
}

#[test]
fn only_the_others_run_in_one_compacted_array() {
    let mut script = Script::reusing(terms(8), 8, &[0, 2, 3, 6]);
    script.submitted(0).all_succeeded(0);
    assert_snapshot!(script.lines(), @r"
    plan 0: [1],[4-5],[7] x3
    submit 0
    decide succeeded
    finished
    finish succeeded
    ");
}

#[test]
fn a_stretch_of_others_stays_a_range() {
    let mut script = Script::reusing(terms(8), 8, &[0, 1, 6, 7]);
    assert_snapshot!(script.lines(), @r"
    plan 0: [2-5] x3
    submit 0
    ");
}

#[test]
fn reused_subtasks_take_no_places() {
    let mut script = Script::reusing(Terms { concurrency: 2, ..terms(6) }, 6, &[1, 3]);
    script.submitted(0).all_succeeded(0).submitted(1).all_succeeded(1);
    assert_snapshot!(script.lines(), @r"
    plan 0: [0],[2] x3
    submit 0
    plan 1: [4-5] x3
    submit 1
    decide succeeded
    finished
    finish succeeded
    ");
}

#[test]
fn they_count_towards_the_successes_needed() {
    let mut script = Script::reusing(terms(2), 3, &[0, 1]);
    assert_eq!(script.machine.summary().succeeded, 2);
    script.submitted(0).ended(0, &[], fatal(&[2]));
    assert!(script.lines().ends_with("finish succeeded"));
}

#[test]
fn reuse_comes_before_all_work_and_once() {
    let reused = |indices: &[u64]| Event::Reused {
        indices: indices.iter().map(|&index| crate::map::index::OriginalIndex(index)).collect::<Ranges>(),
        source: Source::Execution("old".to_owned()),
    };
    let mut script = Script::reusing(terms(3), 3, &[0]);
    assert_snapshot!(script.refused(reused(&[1])), @"it has begun to run");
    let mut fresh = crate::map::execution::Execution::new(terms(3), super::script::packs(3));
    fresh.handle(&reused(&[0])).expect("it is new");
    assert!(fresh.handle(&reused(&[0, 1])).is_err(), "the first has settled");
    assert!(fresh.handle(&reused(&[3])).is_err(), "there is no fourth");
}

#[test]
fn a_deadline_ends_what_runs() {
    let mut script = Script::new(terms(2), 2);
    script.submitted(0).feed(Event::Expired { reason: "it ran for longer than policy.deadline, 2h".to_owned() });
    script.ended(0, &[], Vec::new());
    assert_snapshot!(script.lines(), @r"
    plan 0: [0-1] x3
    submit 0
    decide failed: it ran for longer than policy.deadline, 2h
    terminate 0 (job-0)
    finished
    finish failed: it ran for longer than policy.deadline, 2h
    ");
}

proptest! {
    /// Whatever is reused, everything else runs once, whatever the concurrency.
    #[test]
    fn the_others_run_once(reused in prop::collection::vec(any::<bool>(), 1..60), concurrency in 0_u32..9) {
        let size = reused.len() as u64;
        let there: Vec<u64> = (0..size).filter(|&index| reused[index as usize]).collect();
        prop_assume!(!there.is_empty());
        let mut script = Script::reusing(Terms { concurrency, ..terms(size) }, size, &there);
        let mut runs = vec![0; reused.len()];
        while script.machine.finished().is_none() {
            let (number, members) =
                script.machine.open().next().map(|(number, array)| (number, array.members.ranges())).expect("there is work");
            members.iter().for_each(|index| runs[index.0 as usize] += 1);
            script.submitted(number).all_succeeded(number);
        }
        let expected: Vec<i32> = reused.iter().map(|&there| i32::from(!there)).collect();
        prop_assert_eq!(runs, expected);
    }
}
