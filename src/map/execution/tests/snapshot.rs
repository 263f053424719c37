//! A snapshot and the records after it are as good as all records.

use proptest::prelude::*;

use super::properties::any_execution;
use super::script::{Script, fatal, packs, recoverable, replay, terms};
use super::world::Sim;
use crate::map::event::{Event, Queue, Source};
use crate::map::execution::{Execution, Snapshot, Terms};
use crate::map::index::OriginalIndex;
use crate::map::plan::Members;
use crate::map::ranges::Ranges;

/// A snapshot as it comes back from a store.
fn stored(machine: &Execution) -> Snapshot {
    let text = serde_json::to_string(&machine.snapshot()).expect("it is plain data");
    serde_json::from_str(&text).expect("it was just written")
}

fn restored(machine: &Execution) -> Execution {
    Execution::restore(machine.terms().clone(), machine.packs().clone(), stored(machine)).expect("it is whole")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_snapshot_and_the_rest_are_as_good_as_all((terms, packs) in any_execution(40), seed: u64, crashes in 0_u64..8) {
        let mut sim = Sim::new(terms.clone(), packs.clone(), seed, crashes);
        sim.run();
        let mut whole = Execution::new(terms, packs);
        // Machines that were restored at every event so far, and have lived on since: at most a few of them.
        let mut others: Vec<Execution> = Vec::new();
        for (at, event) in sim.journal.iter().enumerate() {
            let again = restored(&whole);
            prop_assert_eq!(&again, &whole, "after {} events", at);
            others.push(again);
            if others.len() > 12 {
                others.remove(at % 12);
            }
            whole.handle(event).expect("it fitted once");
            for other in &mut others {
                other.handle(event).expect("it fits here too");
                prop_assert_eq!(&*other, &whole);
            }
        }
        prop_assert_eq!(restored(&whole), whole);
    }

    #[test]
    fn a_damaged_snapshot_is_refused_or_makes_a_machine_in_one_piece(seed: u64, cut in any::<prop::sample::Index>(), to: u8) {
        let mut sim = Sim::new(Terms { retries: 2, concurrency: 3, ..terms(12) }, packs(20), seed, 0);
        let _over = (0..6).any(|_| sim.step());
        let mut text = serde_json::to_vec(&sim.machine.snapshot()).unwrap();
        let at = cut.index(text.len());
        text[at] = to;
        let Ok(snapshot) = serde_json::from_slice::<Snapshot>(&text) else { return Ok(()) };
        if let Ok(mut machine) = Execution::restore(sim.machine.terms().clone(), packs(20), snapshot) {
            machine.summary();
            machine.resume();
            (0..50).for_each(|_| drop(machine.next_action()));
            machine.arrays().iter().for_each(|array| drop((array.members(), array.job_id())));
        }
    }
}

#[test]
fn everything_that_a_journal_tells_survives() {
    let mut script =
        Script::reusing(Terms { concurrency: 3, retries: 2, interruptible: true, ..terms(12) }, 12, &[0, 5]);
    script.feed(Event::Submitted { array: 0, job: "0f5d7e64-9a3b-4c1d-8e2f-00112233aaff".to_owned() });
    script.settled(0, &[1], recoverable(&[2])).ended(0, &[], fatal(&[3]));
    script.feed(Event::SubmitUnknown { array: 1 }).feed(Event::Expired { reason: "late".to_owned() });
    let again = restored(&script.machine);
    assert_eq!(again.snapshot(), script.machine.snapshot());
    assert_eq!(again.summary(), script.machine.summary());
    assert_eq!(again.failures(), script.machine.failures());
    assert!(again.was_unsure());
    let array = again.arrays().get(0).unwrap();
    assert_eq!(array.job_id().as_deref(), Some("0f5d7e64-9a3b-4c1d-8e2f-00112233aaff"));
    assert_eq!((array.size(), array.queue()), (3, Queue::Interruptible));
}

/// What a driver doubts is its own affair: the journal's next reader finds the same, whoever has read it before.
#[test]
fn the_doubt_of_a_new_driver_is_not_in_it() {
    let mut script = Script::new(Terms { concurrency: 3, ..terms(7) }, 7);
    let before = script.machine.snapshot();
    script.crash();
    assert_eq!(script.machine.snapshot(), before);
    assert_eq!(replay(script.machine.terms(), script.machine.packs(), &script.journal), restored(&script.machine));
}

#[test]
fn a_snapshot_of_another_task_is_refused() {
    let of = |size: u64| Script::new(Terms { concurrency: 3, ..terms(size) }, size).machine;
    let refused = Execution::restore(terms(64), packs(64), of(65).snapshot());
    assert!(refused.is_err(), "{refused:?}");
}

/// Each child a job of its own, as under a small concurrency: an array, its end and its snapshot are a few bytes each.
#[test]
fn a_hundred_thousand_ended_arrays_are_a_few_bytes_each() {
    const ARRAYS: u32 = 100_000;
    let size = u64::from(ARRAYS);
    let mut machine = Execution::new(Terms { concurrency: 16, ..terms(size) }, packs(size));
    for number in 0..ARRAYS {
        let first = OriginalIndex(u64::from(number));
        let members = Members::Range { first, count: 1 };
        let job = format!("{number:08x}-9a3b-4c1d-8e2f-00112233aaff");
        let settled =
            Event::Settled { array: number, succeeded: Ranges::span(first, 1), failures: Vec::new(), ended: true };
        let planned = Event::Planned { array: number, members, queue: Queue::Default, attempts: 3 };
        for event in [planned, Event::Submitted { array: number, job }, settled] {
            machine.handle(&event).expect("one after the other");
        }
    }
    let (memory, snapshot) = (machine.arrays().bytes(), serde_json::to_vec(&machine.snapshot()).unwrap().len());
    assert!(memory < ARRAYS as usize * 64, "{memory}");
    assert!(snapshot < ARRAYS as usize * 24, "{snapshot}");
    assert_eq!(restored(&machine), machine);
    let (array, child) = machine.arrays().holding(OriginalIndex(77_777)).last().expect("it ran");
    assert_eq!((array.number(), child.0), (77_777, 0));
    assert_eq!(array.job_id().as_deref(), Some("00012fd1-9a3b-4c1d-8e2f-00112233aaff"));
    assert_eq!(machine.reused().get(&Source::Cache), None);
}
