//! Who drives an execution: signs of life, hand-overs, and hosts that meet.

use std::time::Duration;

use batchmap::aws::store::Store;
use batchmap::map::layout::flyte::FlowRoot;
use batchmap::run::flow::{Flows, Lease, ViewError};

use super::batch::Call;
use super::world::{BEAT, HOUR, IMPATIENT, PATIENT, World, assert_done, eventually, id, record, until};

/// A host that gives one sign of life.
const SILENT: Lease = Lease { beat: Duration::from_secs(100_000), lapse: HOUR.saturating_mul(12) };

fn flow(world: &World, name: &str) -> FlowRoot {
    world.root.flow(&id(name))
}

async fn submitted(world: &World, jobs: usize) {
    eventually("a job", async || world.batch.submits() == jobs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_host_is_replaced_after_the_lapse_and_not_before() {
    let world = World::endless();
    let (first, cut) = world.open("first", SILENT);
    first.create(record("e")).await.unwrap();
    submitted(&world, 1).await;
    cut.cut(true);
    world.store.memory.pass(HOUR * 11);
    let (second, line) = world.open("second", PATIENT);
    line.calls("list", "servers/", 3).await;
    assert_eq!(second.driven(), 0, "11 hours are not 12");
    world.store.memory.pass(HOUR * 2);
    eventually("the take-over", async || second.driven() == 1).await;
    let view = until(&second, "e", |view| view.flow.server() == Some("second")).await;
    assert!(view.flow.finished().is_none());
    assert_eq!(world.batch.submits(), 1);
    second.stop().await;
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_stopped_hands_over_at_once() {
    let world = World::endless();
    let (first, _) = world.open("first", PATIENT);
    first.create(record("e")).await.unwrap();
    submitted(&world, 1).await;
    first.stop().await;
    assert_eq!(world.keys("servers/"), [""; 0]);
    let (second, _) = world.open("second", PATIENT);
    until(&second, "e", |view| view.flow.server() == Some("second")).await;
    assert_eq!(world.batch.submits(), 1);
    assert_eq!(world.batch.count(|call| matches!(call, Call::Terminate { .. })), 0, "what runs is not touched");
    assert!(matches!(first.create(record("f")).await, Err(batchmap::run::flow::CreateError::Stopping)));
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_hosts_the_loser_stops() {
    let world = World::endless();
    let (first, _) = world.open("first", PATIENT);
    first.create(record("e")).await.unwrap();
    submitted(&world, 1).await;
    // It takes the first one for dead, though it is not.
    let (second, _) = world.open("second", IMPATIENT);
    eventually("one of them to stop", async || first.driven() == 0 && second.driven() == 1).await;
    assert_eq!(world.batch.submits(), 1);
    second.stop().await;
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_drive_costs_no_look_at_its_journal() {
    let world = World::endless();
    let (first, _) = world.open("first", PATIENT);
    first.create(record("e")).await.unwrap();
    submitted(&world, 1).await;
    let (second, line) = world.open("second", PATIENT);
    let journal = flow(&world, "e").journal();
    eventually("a look at the journal", async || line.count("list", &journal) > 0).await;
    line.calls("list", "servers/", 5).await;
    assert_eq!(line.count("list", &journal), 1, "once, to learn whose it is");
    second.stop().await;
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mark_that_could_not_be_taken_away_goes_later() {
    let world = World::new();
    world.store.fail("delete_many", "running/", super::store::Fault::Unreachable, 0, 1);
    let (flows, _) = world.open("only", PATIENT);
    flows.create(record("e")).await.unwrap();
    assert_done(&world, &flows, "e").await;
    eventually("the mark to go", async || world.keys("running/").is_empty()).await;
    flows.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_of_a_newer_version_is_left_alone() {
    let world = World::new();
    let (first, line) = world.open("first", PATIENT);
    eventually("a sign of life", async || !world.keys("servers/").is_empty()).await;
    // The record and its marks are written, and no journal.
    line.dies_after(3);
    assert!(first.create(record("e")).await.is_ok());
    eventually("the driver to end", async || first.driven() == 0).await;
    let newer = br#"{"version":99,"sequence":1,"writer":"w","now_ms":1,"events":[]}"#;
    world.store.memory.put(&flow(&world, "e").record(1), newer.as_slice().into()).await.unwrap();
    let (second, line) = world.open("second", IMPATIENT);
    line.calls("list", "running/", 3).await;
    let error = second.view(&id("e")).await.err().unwrap();
    assert!(matches!(error, ViewError::Log(_)), "{error:?}");
    assert!(error.to_string().contains("its format is 99"), "{error}");
    assert_eq!((second.driven(), world.batch.submits()), (0, 0));
    assert_eq!(world.keys("running/").len(), 1, "a newer server takes it up");
    second.stop().await;
    first.stop().await;
}

/// While it is made its mark is there and its record is not: no look of the same host may sweep that away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_being_made_here_is_not_swept_away() {
    let world = World::endless();
    let (flows, line) = world.open("only", IMPATIENT);
    line.hold("put_new", "spec.pb");
    let making = line.calls("put_new", "spec.pb", 1);
    let create = async {
        flows.create(record("e")).await.unwrap();
    };
    let looks = async {
        making.await;
        line.calls("list", "running/", 3).await;
        assert_eq!(world.keys("running/").len(), 1);
        line.release();
    };
    tokio::join!(create, looks);
    submitted(&world, 1).await;
    assert_eq!(world.keys("running/").len(), 1);
    tokio::time::timeout(BEAT * 3000, flows.stop()).await.expect("it stops");
}

/// One server takes away what looks like it was never made while another makes it: it stays marked and listed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_made_while_another_host_sweeps_it_away_stays() {
    let world = World::endless();
    let entry = world.root.index_entry(&id("e"), 1);
    world.store.memory.put(&world.root.running(&id("e")), entry.clone().into()).await.unwrap();
    world.store.memory.put(&entry, Default::default()).await.unwrap();
    let line = world.line();
    line.hold("delete_many", "index/");
    let sweeping = line.calls("delete_many", "index/", 1);
    let sweeper = Flows::open(world.host("sweeper", line.clone(), IMPATIENT));
    sweeping.await;
    let (maker, _) = world.open("maker", PATIENT);
    maker.create(record("e")).await.unwrap();
    // Counted from before: the call may come at once.
    let marked_again = line.calls("put", "index/", 1);
    line.release();
    marked_again.await;
    eventually("its marks", async || world.keys("running/").len() == 1 && world.keys("index/").len() == 1).await;
    sweeper.stop().await;
    maker.stop().await;
    assert_eq!((world.keys("running/").len(), world.keys("index/").len()), (1, 1));
}
