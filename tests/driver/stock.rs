//! Children without a worker: they read packs whole, write below their array's own places, and the driver takes it from
//! there.

use std::collections::BTreeMap;
use std::time::Duration;

use batchmap::aws::store::Store;
use batchmap::idl::make;
use batchmap::idl::record::flyte::{Kind, Runner};
use batchmap::idl::record::policy::ConcurrencyMode;
use batchmap::idl::record::{Flyte, Policy, TaskRecord};
use batchmap::map::event::Decision;
use batchmap::map::index::OriginalIndex;
use batchmap::map::pack::{PackBuilder, Pushed};

use super::batch::{Ending, outputs};
use super::harness::{Harness, finish, with_policy};
use super::stock_children::place;
use super::store;

/// Elements of a pack: few, so that arrays meet its end.
const PACK: u64 = 8;

fn task(size: u64, change: impl FnOnce(&mut Policy)) -> TaskRecord {
    let command = "pyflyte-map-execute --inputs {{.input}} --output-prefix {{.outputPrefix}} --prev-checkpoint \
                   {{.prevCheckpointPrefix}}";
    TaskRecord {
        command: command.split(' ').map(str::to_owned).collect(),
        flyte: Some(Flyte { kind: Kind::Map.into(), runner: Runner::Stock.into(), ..Flyte::default() }),
        pack_starts: (0..size).step_by(PACK as usize).collect(),
        ..with_policy(size, change)
    }
}

/// An execution whose packs are staged.
async fn harness(record: &TaskRecord) -> Harness {
    let harness = Harness::new(record.clone()).await;
    let bound = BTreeMap::from([("bound".to_owned(), make::string("b"))]);
    let mut builder = PackBuilder::new(&bound, &record.mapped).unwrap();
    for (number, start) in (0..).zip(&record.pack_starts) {
        let end = record.pack_starts.get(number as usize + 1).copied().unwrap_or(record.size);
        for index in *start..end {
            assert_eq!(builder.try_push(&[make::integer(index.cast_signed())]), Ok(Pushed::Added));
        }
        let pack = builder.finish().unwrap();
        harness.store.memory.put(&harness.root.pack(number), pack.body).await.unwrap();
        harness.store.memory.put(&harness.root.pack_index(number), pack.index).await.unwrap();
    }
    harness
}

/// What is where subtasks' outputs belong.
fn adopted(harness: &Harness) -> Vec<u64> {
    let objects = harness.store.memory.objects();
    (0..harness.record.size)
        .filter(|index| match objects.get(&harness.root.outputs(OriginalIndex(*index))) {
            Some(body) => *body == outputs(OriginalIndex(*index)),
            None => false,
        })
        .collect()
}

fn eventful(harness: &Harness) {
    for index in 0..harness.record.size {
        harness.batch.takes(index, Duration::from_secs(1 + index * 7 % 13));
    }
    for index in [1, 3, 6, 12] {
        harness.batch.ends(index, 0, Ending::Error { recoverable: true });
    }
    harness.batch.ends(3, 1, Ending::HostLost);
    harness.batch.ends(5, 0, Ending::HostLostLate);
    harness.batch.ends(9, 0, Ending::Error { recoverable: false });
    harness.batch.ends(15, 0, Ending::Leaves("outputs.pb", b"\xff"));
}

fn record() -> TaskRecord {
    task(18, |policy| {
        policy.min_successes = 16;
        policy.retries = 2;
        // What fails is gathered, and runs again together.
        policy.concurrency = 9;
        policy.concurrency_mode = ConcurrencyMode::Batches.into();
    })
}

#[tokio::test(start_paused = true)]
async fn outputs_are_adopted_and_errors_decide_where_they_lie() {
    let harness = harness(&record()).await;
    eventful(&harness);
    let mut driver = harness.begin().await.unwrap();
    assert_eq!(finish(&mut driver).await.unwrap(), Decision::Succeeded);
    let expected: Vec<u64> = (0..18).filter(|index| ![9, 15].contains(index)).collect();
    assert_eq!(adopted(&harness), expected);
    let told = format!("{:?}", driver.execution().summary().failures);
    assert!(told.contains("it broke") && told.contains("its outputs.pb is no LiteralMap"), "{told}");
    let runs = harness.batch.runs();
    assert_eq!((runs[&1], runs[&5], runs[&9], runs[&15]), (2, 1, 1, 1));
    // Compacted arrays have packs of their own, and none goes beyond one pack.
    let objects = harness.store.memory.objects();
    assert!(objects.keys().any(|key| key.contains("/arrays/") && key.ends_with("/inputs.pb")));
    assert!(!objects.keys().any(|key| key.ends_with("/indices")));
    for array in driver.execution().arrays().iter() {
        let spans = array.members().ranges();
        let packs: Vec<u64> = spans.iter().map(|index| index.0 / PACK).collect();
        assert!(packs.iter().all(|pack| *pack == packs[0]), "{spans:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_death_at_any_record_or_adoption_loses_nothing_and_runs_nothing_twice() {
    let undisturbed = harness(&record()).await;
    eventful(&undisturbed);
    undisturbed.run().await;
    let (runs, records) = (undisturbed.batch.runs(), undisturbed.records() as u32);
    for (part, first, count) in [("/journal/", 1, records), ("/subtasks/", 0, 16)] {
        for fault in [store::Fault::DiesBefore, store::Fault::DiesAfter] {
            for skip in first..count {
                let harness = harness(&record()).await;
                eventful(&harness);
                harness.store.fail("put_new", part, fault, skip, 1);
                let mut driver = harness.begin().await.unwrap();
                finish(&mut driver).await.expect_err("it dies");
                drop(driver);
                harness.store.heal();
                let mut next = harness.take_over().await;
                assert_eq!(finish(&mut next).await.unwrap(), Decision::Succeeded, "{part} {fault:?} {skip}");
                assert_eq!(next.execution().outcomes().succeeded(), 16, "{part} {fault:?} {skip}");
                assert_eq!(adopted(&harness), adopted(&undisturbed), "{part} {fault:?} {skip}");
                assert_eq!(harness.batch.runs(), runs, "{part} {fault:?} {skip}");
                assert_eq!(harness.batch.alive(), 0);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_asks_for_more_tasks_has_failed_even_where_no_outputs_are_due() {
    for due in [true, false] {
        let mut record = task(3, |policy| policy.min_successes = 3);
        if !due {
            record.interface = None;
        }
        let harness = harness(&record).await;
        harness.batch.ends(1, 0, Ending::Leaves("futures.pb", b""));
        let mut driver = harness.begin().await.unwrap();
        let ended = finish(&mut driver).await.unwrap();
        assert!(matches!(ended, Decision::Failed { .. }), "{due}: {ended:?}");
        let told = format!("{:?}", driver.execution().summary().failures);
        assert!(told.contains("@dynamic task"), "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_alone_and_its_deck() {
    let harness = harness(&task(1, |policy| policy.min_successes = 1)).await;
    let deck = format!("{}deck.html", place(&harness.root, 0, "job-0", 0));
    harness.store.memory.put(&deck, "<p>".into()).await.unwrap();
    assert_eq!(harness.run().await.0, Decision::Succeeded);
    assert_eq!(adopted(&harness), [0]);
    assert_eq!(harness.store.memory.get(&harness.root.deck(OriginalIndex(0))).await.unwrap(), "<p>");
}

#[tokio::test(start_paused = true)]
async fn of_several_attempts_the_first_with_outputs_counts() {
    let harness = harness(&task(2, |policy| policy.min_successes = 2)).await;
    let (mine, other) = (outputs(OriginalIndex(0)), outputs(OriginalIndex(7)));
    let base = harness.root.children_outputs(0);
    // Of a second job that was made of the same submission nothing is taken.
    for (at, body) in [("job-0/0/10", &other), ("job-0/0/2", &other), ("job-0/0/1", &mine), ("job-9/1/1", &other)] {
        harness.store.memory.put(&format!("{base}{at}/outputs.pb"), body.clone()).await.unwrap();
    }
    assert_eq!(harness.run().await.0, Decision::Succeeded);
    assert_eq!(adopted(&harness), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_adoptions_are_one_record() {
    let size = 10_000;
    let harness = harness(&TaskRecord { pack_starts: vec![0], ..task(size, |_| {}) }).await;
    assert_eq!(harness.run().await.0, Decision::Succeeded);
    assert_eq!(adopted(&harness).len() as u64, size);
    assert_eq!(harness.batch.submits(), 1);
    assert!(harness.records() < 6, "{}", harness.records());
}
