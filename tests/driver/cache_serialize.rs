//! Executions that would compute the same: one does, the others wait, whoever fails, dies or comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use batchmap::aws::store::Store;
use batchmap::idl::record::{Cache, TaskRecord};
use batchmap::map::event::{Decision, Source};
use batchmap::map::layout::Root;
use batchmap::map::ranges::Ranges;
use batchmap::run::cache::{self, Beat, Pulse};
use batchmap::run::driver::Driver;
use batchmap::run::{launch, recover};
use prost::Message;

use super::batch::Ending;
use super::cache::{key, names};
use super::harness::{Harness, abort_after, aborted, finish, task};
use super::store::Fault;

/// Longer than a heartbeat lasts.
const LONG: Duration = Duration::from_secs(3600);

fn shared(size: u64) -> TaskRecord {
    let cache = Cache { version: "1".to_owned(), serialize: true, ..Cache::default() };
    TaskRecord { cache: Some(cache), ..task(size) }
}

/// A bucket with nothing in it but the first execution's record.
async fn bucket(size: u64) -> Harness {
    Harness::new(shared(size)).await
}

/// An execution whose subtasks have these keys, its record staged.
async fn stage(harness: &Harness, id: &str, keys: &[u64], change: impl FnOnce(&mut TaskRecord)) -> (Root, TaskRecord) {
    let (root, mut record) = (harness.root.sibling(id), shared(keys.len() as u64));
    change(&mut record);
    let staged: Vec<u8> = keys.iter().flat_map(|at| key(*at).0).collect();
    harness.store.memory.put(&root.pack_keys(0), staged.into()).await.unwrap();
    harness.store.memory.put(&root.task(), record.encode_to_vec().into()).await.unwrap();
    (root, record)
}

/// Asks the cache and begins, as `run` does.
async fn begin(harness: &Harness, (root, record): &(Root, TaskRecord)) -> Driver {
    let pace = harness.patience.pace;
    let claimed = cache::consult(&harness.store(), root, record, &Ranges::default(), pace).await.unwrap();
    let mut reused = recover::events(BTreeMap::from([(Source::Cache, claimed.hits.clone())]));
    reused.extend(claimed.held());
    let ports = harness.ports();
    let begun = launch::begin_reusing(&ports, root, record.clone(), names(), harness.patience, reused).await;
    begun.unwrap().waiting_for(claimed.waits)
}

async fn of(harness: &Harness, id: &str, keys: &[u64]) -> Driver {
    begin(harness, &stage(harness, id, keys, |_| {}).await).await
}

async fn resume(harness: &Harness, id: &str) -> Driver {
    launch::take_over(&harness.ports(), &harness.root.sibling(id), harness.patience).await.unwrap()
}

fn runs(harness: &Harness) -> u32 {
    harness.batch.runs().values().sum()
}

fn cached(driver: &Driver) -> u64 {
    driver.execution().summary().cached
}

#[tokio::test(start_paused = true)]
async fn one_computes_and_the_others_take_what_it_has_left() {
    let harness = bucket(4).await;
    harness.batch.takes(2, LONG);
    let mut first = of(&harness, "a", &[0, 1, 2, 3]).await;
    let mut second = of(&harness, "b", &[3, 2, 1, 0]).await;
    let mut third = of(&harness, "c", &[2, 9]).await;
    let waiting = second.execution().summary();
    assert_eq!((waiting.held, waiting.waiting, waiting.queued), (4, 0, 0));
    assert_eq!(second.execution().held().keys().collect::<Vec<_>>(), ["a"]);
    let (one, two, three) = tokio::join!(finish(&mut first), finish(&mut second), finish(&mut third));
    assert_eq!([one.unwrap(), two.unwrap(), three.unwrap()], [const { Decision::Succeeded }; 3]);
    assert_eq!((runs(&harness), cached(&first), cached(&second), cached(&third)), (5, 0, 4, 1));
    assert_eq!(harness.batch.submits(), 2, "who waits submits nothing");
    // Whoever reads the journals sees the same.
    for (id, driver) in [("a", &first), ("b", &second), ("c", &third)] {
        let known = launch::read(&harness.store(), &harness.root.sibling(id)).await.unwrap();
        assert_eq!(known.execution.summary(), driver.execution().summary(), "{id}");
    }
}

/// What waits takes no places, and is taken from the cache as it comes, not at the end.
#[tokio::test(start_paused = true)]
async fn what_waits_is_not_in_the_way_of_the_rest() {
    let harness = bucket(4).await;
    // One array each, so that each is judged when it has ended.
    let single = |record: &mut TaskRecord| record.policy.as_mut().unwrap().concurrency = 1;
    harness.batch.takes(7, LONG);
    let mut first = begin(&harness, &stage(&harness, "a", &[0, 30, 31, 32, 33, 34, 35, 1], single).await).await;
    let record = stage(&harness, "b", &[1, 10, 0, 11, 12], single);
    let mut second = begin(&harness, &record.await).await;
    let mut progress = second.progress();
    let watch = async {
        progress.wait_for(|summary| (summary.succeeded, summary.held) == (4, 1)).await.expect("it comes to that");
    };
    let (one, two, ()) = tokio::join!(finish(&mut first), finish(&mut second), watch);
    assert_eq!([one.unwrap(), two.unwrap()], [const { Decision::Succeeded }; 2]);
    assert_eq!((runs(&harness), cached(&second)), (11, 2));
}

/// Each holds what the other one waits for.
#[tokio::test(start_paused = true)]
async fn two_that_wait_for_one_another_both_go_on() {
    let harness = bucket(2).await;
    let (a, b) = (stage(&harness, "a", &[0, 1], |_| {}).await, stage(&harness, "b", &[1, 0], |_| {}).await);
    let _beats = Pulse::start(harness.store(), &b.0, Beat::of(harness.patience.pace)).await.unwrap();
    harness.store.memory.put(&b.0.lease(&key(1), 1), "b 0".into()).await.unwrap();
    let (mut first, mut second) = (begin(&harness, &a).await, begin(&harness, &b).await);
    assert_eq!((first.execution().summary().held, second.execution().summary().held), (1, 1));
    let (one, two) = tokio::join!(finish(&mut first), finish(&mut second));
    assert_eq!([one.unwrap(), two.unwrap()], [const { Decision::Succeeded }; 2]);
    assert_eq!((runs(&harness), cached(&first), cached(&second)), (2, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn equal_subtasks_of_one_execution_are_computed_once() {
    let harness = bucket(6).await;
    let mut driver = of(&harness, "a", &[5, 6, 5, 5, 6, 7]).await;
    assert_eq!(driver.execution().summary().held, 3);
    assert_eq!(finish(&mut driver).await.unwrap(), Decision::Succeeded);
    assert_eq!((runs(&harness), cached(&driver)), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn what_the_holder_fails_is_computed_by_the_next() {
    let harness = bucket(4).await;
    for index in [1, 2] {
        harness.batch.ends(index, 0, Ending::Error { recoverable: false });
    }
    let lenient = |record: &mut TaskRecord| {
        let policy = record.policy.as_mut().unwrap();
        (policy.min_successes, policy.concurrency) = (1, 3);
    };
    let mut first = begin(&harness, &stage(&harness, "a", &[0, 1, 2, 3], lenient).await).await;
    harness.batch.takes(3, LONG);
    let mut second = of(&harness, "b", &[0, 1, 2]).await;
    // It does not wait for the holder's end.
    tokio::select! {
        two = finish(&mut second) => assert_eq!(two.unwrap(), Decision::Succeeded),
        _ = finish(&mut first) => unreachable!("it takes an hour"),
    }
    assert_eq!((runs(&harness), cached(&second)), (6, 1));
    let mut first = resume(&harness, "a").await;
    assert_eq!(finish(&mut first).await.unwrap(), Decision::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_failure_frees_an_equal_subtask_of_the_same_execution() {
    let harness = bucket(2).await;
    let lenient = |record: &mut TaskRecord| record.policy.as_mut().unwrap().min_successes = 1;
    for failing in [0, 1] {
        harness.batch.ends(failing, 0, Ending::Exit(1));
    }
    let mut driver = begin(&harness, &stage(&harness, "a", &[4, 4], lenient).await).await;
    let ended = finish(&mut driver).await.unwrap();
    assert!(matches!(ended, Decision::Failed { .. }), "{ended:?}");
    assert_eq!(runs(&harness), 2);
}

#[tokio::test(start_paused = true)]
async fn an_aborted_holder_frees_everything_and_a_waiting_one_hears_an_abort() {
    let harness = bucket(4).await;
    (0..4).for_each(|index| harness.batch.takes(index, LONG));
    let mut first = of(&harness, "a", &[0, 1]).await;
    let mut second = of(&harness, "b", &[0, 1]).await;
    let mut third = of(&harness, "c", &[0, 1]).await;
    let (one, two, three) = tokio::join!(
        abort_after(&mut first, Duration::from_secs(90)),
        finish(&mut second),
        abort_after(&mut third, Duration::from_secs(30)),
    );
    assert_eq!((one.unwrap(), two.unwrap(), three.unwrap()), (aborted(), Decision::Succeeded, aborted()));
    assert_eq!((runs(&harness), cached(&second)), (4, 0));
    assert_eq!(harness.batch.submits(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_execution_hears_its_deadline() {
    let harness = bucket(2).await;
    harness.batch.takes(0, LONG);
    let mut first = of(&harness, "a", &[0]).await;
    let soon = |record: &mut TaskRecord| record.policy.as_mut().unwrap().deadline_ms = 60_000;
    let mut second = begin(&harness, &stage(&harness, "b", &[0], soon).await).await;
    let began = tokio::time::Instant::now();
    tokio::select! {
        two = finish(&mut second) => assert!(matches!(two.unwrap(), Decision::Failed { .. })),
        _ = finish(&mut first) => unreachable!("it takes an hour"),
    }
    assert!(began.elapsed() < Duration::from_secs(62));
}

/// The holder's driver dies. What its children leave nobody looks at, so it is computed again; and when the holder is
/// taken up after all, it waits for what the other one has taken over.
#[tokio::test(start_paused = true)]
async fn a_dead_holders_leases_are_taken_over_by_the_stores_dates() {
    let harness = bucket(4).await;
    (0..3).for_each(|index| harness.batch.takes(index, LONG));
    let slow = stage(&harness, "a", &[0, 1, 2], |record| record.policy.as_mut().unwrap().concurrency = 1).await;
    let mut first = begin(&harness, &slow).await;
    let _ = tokio::time::timeout(Duration::from_secs(60), finish(&mut first)).await;
    drop(first);
    assert_eq!(runs(&harness), 1);
    let mut second = of(&harness, "b", &[2, 1, 0]).await;
    assert_eq!(second.execution().summary().held, 3, "it has just been driven");
    let _ = tokio::time::timeout(Duration::from_secs(600), finish(&mut second)).await;
    assert_eq!(runs(&harness), 1, "its last sign of life is not old");
    harness.store.memory.pass(Beat::of(harness.patience.pace).lasts + Duration::from_secs(2));
    drop(second);
    let mut second = resume(&harness, "b").await;
    let _ = tokio::time::timeout(Duration::from_secs(60), finish(&mut second)).await;
    assert_eq!(runs(&harness), 4);
    let mut first = resume(&harness, "a").await;
    let (one, two) = tokio::join!(finish(&mut first), finish(&mut second));
    assert_eq!([one.unwrap(), two.unwrap()], [const { Decision::Succeeded }; 2]);
    assert_eq!((runs(&harness), cached(&first), cached(&second)), (4, 2, 0));
}

/// Whatever call the process dies at, nothing is computed twice while the others think it alive, and all end well.
#[tokio::test(start_paused = true)]
async fn a_death_anywhere_computes_nothing_twice() {
    for fault in [Fault::DiesBefore, Fault::DiesAfter] {
        for skip in 0..40 {
            let harness = bucket(4).await;
            let (a, b) = (stage(&harness, "a", &[0, 1, 1], |_| {}).await, stage(&harness, "b", &[1, 2], |_| {}).await);
            let (mut first, mut second) = (begin(&harness, &a).await, begin(&harness, &b).await);
            harness.store.fail("put_new", "", fault, skip, 1);
            let deaths = AtomicU32::new(0);
            let drive = async |id: &str, driver: &mut Driver| {
                if finish(driver).await.is_err() {
                    deaths.fetch_add(1, Ordering::Relaxed);
                    *driver = resume(&harness, id).await;
                    assert_eq!(finish(driver).await.unwrap(), Decision::Succeeded, "{fault:?} {skip}");
                }
            };
            tokio::join!(drive("a", &mut first), drive("b", &mut second));
            assert_eq!(runs(&harness), 3, "{fault:?} {skip}");
            if deaths.into_inner() == 0 {
                break;
            }
            assert!(skip < 39, "it comes to an end");
        }
    }
}

/// Before it has begun, too: a run that was never begun is nobody, once its sign of life is old.
#[tokio::test(start_paused = true)]
async fn a_death_while_asking_leaves_leases_that_run_out() {
    for (operation, skip) in [("put_new", 0), ("put_new", 1), ("get", 3)] {
        let harness = bucket(2).await;
        let (root, record) = stage(&harness, "a", &[0, 1, 2], |_| {}).await;
        harness.store.fail(operation, "", Fault::DiesAfter, skip, 1);
        let pace = harness.patience.pace;
        cache::consult(&harness.store(), &root, &record, &Ranges::default(), pace).await.unwrap_err();
        harness.store.heal();
        harness.store.memory.pass(LONG);
        let mut second = of(&harness, "b", &[2, 1, 0]).await;
        assert_eq!(second.execution().summary().held, 0, "{operation} {skip}");
        assert_eq!(finish(&mut second).await.unwrap(), Decision::Succeeded);
    }
}

/// Trouble with S3 while waiting is endured.
#[tokio::test(start_paused = true)]
async fn outages_while_waiting_pass() {
    let harness = bucket(3).await;
    harness.batch.takes(0, LONG);
    let mut first = of(&harness, "a", &[0, 1, 2]).await;
    let mut second = of(&harness, "b", &[0, 1, 2]).await;
    for (operation, part) in [("list", "a/heartbeat"), ("get", "a/journal"), ("get", "cache/"), ("put_new", "leases/")]
    {
        harness.store.fail(operation, part, Fault::Unreachable, 1, 3);
    }
    let (one, two) = tokio::join!(finish(&mut first), finish(&mut second));
    assert_eq!([one.unwrap(), two.unwrap()], [const { Decision::Succeeded }; 2]);
    assert_eq!((runs(&harness), cached(&second)), (3, 3));
}

/// A success that could not enter the cache is settled all the same: whoever waits for it does not wait for ever.
#[tokio::test(start_paused = true)]
async fn outputs_that_did_not_enter_the_cache_are_computed_by_who_waits() {
    let harness = bucket(3).await;
    let mut first = of(&harness, "a", &[0, 1]).await;
    let mut second = of(&harness, "b", &[0, 1]).await;
    harness.store.fail("put_new", "cache/", Fault::Unreachable, 0, 2);
    let (one, two) = tokio::join!(finish(&mut first), finish(&mut second));
    assert_eq!([one.unwrap(), two.unwrap()], [const { Decision::Succeeded }; 2]);
    assert_eq!(runs(&harness), 4);
}

/// Any executions over any keys, beginning at any time: each key is computed once.
#[tokio::test(start_paused = true)]
async fn no_key_is_computed_twice() {
    let mut seed = 1_u64;
    let mut dice = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for round in 0..30 {
        let harness = bucket(1).await;
        (0..12).for_each(|index| harness.batch.takes(index, Duration::from_secs(1 + dice(900))));
        let mut all = BTreeSet::new();
        let mut executions = Vec::new();
        for id in ["a", "b", "c", "d"] {
            let keys: Vec<u64> = (0..1 + dice(12)).map(|_| dice(10)).collect();
            all.extend(keys.iter().copied());
            let concurrency = dice(4) as u32;
            let staged = stage(&harness, id, &keys, |record| record.policy.as_mut().unwrap().concurrency = concurrency);
            executions.push((staged.await, Duration::from_secs(dice(600)), dice(3) == 0));
        }
        let drives = executions.iter().map(|(staged, delay, dies)| {
            let harness = &harness;
            async move {
                tokio::time::sleep(*delay).await;
                let mut driver = begin(harness, staged).await;
                if *dies {
                    // Another driver takes over at once: the execution is never without one for long.
                    let _ = tokio::time::timeout(*delay, finish(&mut driver)).await;
                    drop(driver);
                    driver = resume(harness, staged.0.id()).await;
                }
                finish(&mut driver).await.map(|decision| (decision, driver.execution().summary()))
            }
        });
        for ended in futures::future::join_all(drives).await {
            let (decision, summary) = ended.unwrap();
            assert_eq!((decision, summary.succeeded, summary.held), (Decision::Succeeded, summary.size, 0), "{round}");
        }
        assert_eq!(u64::from(runs(&harness)), all.len() as u64, "round {round}");
    }
}

/// Leases cost one heartbeat an execution, and a bounded number of calls for each key.
#[tokio::test(start_paused = true)]
async fn waiting_costs_no_calls_for_keys_that_do_not_move() {
    let harness = bucket(1).await;
    let keys: Vec<u64> = (0..100).collect();
    (0..100).for_each(|index| harness.batch.takes(index, LONG));
    let mut first = of(&harness, "a", &keys).await;
    let mut second = of(&harness, "b", &keys).await;
    // Whoever asks about an entry or a lease now is told that S3 is out of reach, and would give up after a while.
    for part in ["cache/", "leases/"] {
        harness.store.fail("get", part, Fault::Unreachable, 0, u32::MAX);
        harness.store.fail("list", part, Fault::Unreachable, 0, u32::MAX);
    }
    let waited = tokio::time::timeout(Duration::from_secs(3000), async {
        tokio::join!(finish(&mut first), finish(&mut second))
    });
    assert!(waited.await.is_err(), "both go on");
    assert_eq!(second.execution().summary().held, 100);
}
