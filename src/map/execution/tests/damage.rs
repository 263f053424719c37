//! Events that cannot be: refused, and the machine unchanged.

use proptest::prelude::*;

use super::script::{Script, fatal, packs, ranges, terms};
use crate::map::event::{Decision, Event, Queue, Source};
use crate::map::execution::{Execution, Terms, ended_unjudged};
use crate::map::index::OriginalIndex;
use crate::map::plan::Members;
use crate::map::ranges::Ranges;

fn planned(array: u32, members: Members) -> Event {
    Event::Planned { array, members, queue: Queue::Default, attempts: 3 }
}

fn range(first: u64, count: u32) -> Members {
    Members::Range { first: OriginalIndex(first), count }
}

/// Four of 15,000 are with Batch.
fn four_out() -> Script {
    let mut script = Script::new(Terms { concurrency: 4, ..terms(15_000) }, 15_000);
    script.submitted(0);
    script
}

#[test]
fn an_array_takes_only_what_waits() {
    let mut script = four_out();
    let mut problem = |event| script.refused(event);
    assert_eq!(problem(planned(3, range(4, 2))), "array 1 comes next");
    assert_eq!(problem(planned(1, range(3, 2))), "its members do not wait to be run");
    assert_eq!(problem(planned(1, range(5, 2))), "its members do not wait to be run");
    assert_eq!(problem(planned(1, Members::List(ranges(&[2])))), "its members do not wait to be run");
    assert_eq!(problem(planned(1, range(4, 0))), "its members are no subtasks");
    assert_eq!(problem(planned(1, range(14_999, 2))), "its members are no subtasks");
    assert_eq!(problem(planned(1, range(u64::MAX, 2))), "its members are no subtasks");
    assert_eq!(problem(planned(1, range(4, 10_000))), "its range crosses packs");
    assert_eq!(problem(planned(1, range(4, 12_000))), "it has more than 10000 members");
    script.feed(planned(1, range(4, 2)));
}

#[test]
fn an_array_goes_from_planned_to_its_end() {
    let mut script = four_out();
    let submitted = |array| Event::Submitted { array, job: "j".to_owned() };
    assert_eq!(script.refused(submitted(0)), "array 0 is already with Batch");
    assert_eq!(script.refused(submitted(1)), "array 1 is not planned");
    assert_eq!(script.refused(Event::NotSubmitted { array: 0 }), "array 0 is already with Batch");
    script.all_succeeded(0);
    assert_eq!(script.refused(ended_unjudged(0)), "array 0 is not with Batch");
    assert_eq!(script.refused(ended_unjudged(1)), "array 1 is not with Batch");
    assert_eq!(script.refused(Event::SubmitUnknown { array: 0 }), "array 0 is already with Batch");
}

#[test]
fn children_are_judged_within_their_array_and_to_the_last() {
    let mut script = four_out();
    let settled =
        |succeeded: &[u64], failures, ended| Event::Settled { array: 0, succeeded: ranges(succeeded), failures, ended };
    assert_eq!(script.refused(settled(&[4], vec![], false)), "it names subtasks that are not in array 0");
    assert_eq!(script.refused(settled(&[], fatal(&[9]), false)), "it names subtasks that are not in array 0");
    assert_eq!(script.refused(settled(&[15_000], vec![], false)), "it names subtasks that do not exist");
    let disordered: Ranges = serde_json::from_str("[[2,3],[0,1]]").unwrap();
    let event = Event::Settled { array: 0, succeeded: disordered, failures: Vec::new(), ended: false };
    assert_eq!(script.refused(event), "it names subtasks that do not exist");
    let incomplete = "array 0 has ended with children that nobody has judged";
    assert_eq!(script.refused(settled(&[0, 1, 2], vec![], true)), incomplete);
    // With the first judged early, the other three are the rest.
    script.settled(0, &[0], vec![]).ended(0, &[1, 2, 3], vec![]);
}

#[test]
fn the_end_comes_last_and_once() {
    let mut script = Script::new(terms(2), 2);
    script.submitted(0);
    assert_eq!(script.refused(Event::Finished), "nothing is decided");
    let started = Event::Started { definition: "d".to_owned(), queue: "q".to_owned(), interruptible_queue: None };
    assert_eq!(script.refused(started), "it has started");
    script.feed(Event::AbortRequested { reason: "enough".to_owned() });
    assert_eq!(script.refused(Event::Finished), "array 0 has not ended");
    assert_eq!(script.refused(Event::Decided { decision: Decision::Succeeded }), "the outcome is decided");
    assert_eq!(script.refused(planned(1, range(0, 2))), "the outcome is decided");
    script.feed(ended_unjudged(0));
    assert_eq!(script.refused(ended_unjudged(0)), "it has finished");
}

/// Bounds that matter: near the subtasks, at the edge of a pack and of the list, and far outside.
fn any_index() -> impl Strategy<Value = u64> {
    prop_oneof![0_u64..8, 9_998_u64..10_002, 11_998_u64..12_003, Just(u64::MAX), any::<u64>()]
}

/// What a store may hold where ranges are expected.
fn any_ranges() -> impl Strategy<Value = Ranges> {
    let spans = prop::collection::vec((any_index(), any_index()), 0..3);
    spans.prop_map(|spans| serde_json::from_value(serde_json::json!(spans)).expect("pairs are ranges"))
}

fn any_event() -> impl Strategy<Value = Event> {
    let members = prop_oneof![
        (any_index(), 0_u32..20_000).prop_map(|(first, count)| range(first, count)),
        any_ranges().prop_map(Members::List),
    ];
    let settled = (0_u32..3, any_ranges(), any_ranges(), any::<bool>(), any::<bool>());
    prop_oneof![
        4 => (0_u32..3, members).prop_map(|(array, members)| planned(array, members)),
        4 => (0_u32..3).prop_map(|array| Event::Submitted { array, job: "j".to_owned() }),
        1 => (0_u32..3).prop_map(|array| Event::SubmitUnknown { array }),
        1 => (0_u32..3).prop_map(|array| Event::NotSubmitted { array }),
        1 => (0_u32..3).prop_map(|array| Event::Withheld { arrays: vec![array] }),
        1 => (0_u32..3).prop_map(|array| Event::Intended { arrays: vec![array] }),
        6 => settled.prop_map(|(array, succeeded, failed, recoverable, ended)| {
            let mut failures = fatal(&[]);
            failures[0].indices = failed;
            failures[0].recoverable = recoverable;
            Event::Settled { array, succeeded, failures, ended }
        }),
        1 => Just(Event::AbortRequested { reason: "enough".to_owned() }),
        1 => Just(Event::Decided { decision: Decision::Succeeded }),
        1 => any_ranges().prop_map(|indices| Event::Reused { indices, source: Source::Cache }),
        1 => (any_ranges(), "[xy]").prop_map(|(indices, by)| Event::Held { indices, by }),
        1 => any_ranges().prop_map(|indices| Event::Freed { indices }),
        1 => Just(Event::Finished),
    ]
}

proptest! {
    /// Whatever a journal holds, it is taken in or refused, and the machine stays in one piece.
    #[test]
    fn no_journal_breaks_the_machine(events in prop::collection::vec(any_event(), 0..40)) {
        let mut machine = Execution::new(Terms { retries: 1, ..terms(12_000) }, packs(12_000));
        for event in events {
            let before = machine.clone();
            if machine.handle(&event).is_err() {
                prop_assert_eq!(&machine, &before);
            }
            let summary = machine.summary();
            let ended = summary.waiting + summary.dropped + summary.held;
            let counted = summary.running + summary.settling + summary.queued + ended;
            prop_assert!(counted + summary.succeeded + summary.failed >= summary.size);
            machine.next_action();
        }
    }
}
