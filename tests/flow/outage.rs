//! A bucket that is out of reach, and objects that are gone.

use std::time::Duration;

use batchmap::map::workflow::FlowOutcome;

use super::store::Fault;
use super::world::{IMPATIENT, PATIENT, World, assert_done, ended, eventually, id, record, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_waited_for() {
    let world = World::new();
    let (flows, _) = world.open("only", PATIENT);
    // The records of nodes that begin and end, and the values between them.
    world.store.fail("put_new", "p/d/e/journal/00000002", Fault::Unreachable, 0, 1);
    world.store.fail("put_new", "p/d/e/journal/00000003", Fault::ReplyLost, 0, 1);
    world.store.fail("put", "nodes/n1/inputs.pb", Fault::Unreachable, 0, 1);
    world.store.fail("get", "nodes/n0/outputs.pb", Fault::Unreachable, 0, 1);
    flows.create(record("e")).await.unwrap();
    assert_done(&world, &flows, "e").await;
    assert_eq!(world.batch.submits(), 2);
    flows.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_stops_though_it_is_out_of_reach() {
    let world = World::endless();
    let (flows, line) = world.open("only", PATIENT);
    flows.create(record("e")).await.unwrap();
    eventually("a job", async || world.batch.submits() == 1).await;
    line.cut(true);
    tokio::time::timeout(Duration::from_secs(50), flows.stop()).await.expect("it stops");
    let (next, _) = world.open("next", IMPATIENT);
    eventually("the take-over", async || next.driven() == 1).await;
    assert_eq!(world.batch.submits(), 1);
    next.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outputs_that_are_gone_fail_who_needs_them() {
    let world = World::new();
    let (flows, line) = world.open("only", PATIENT);
    line.hold("get", "nodes/n0/outputs.pb");
    let wanted = line.calls("get", "nodes/n0/outputs.pb", 1);
    flows.create(record("e")).await.unwrap();
    wanted.await;
    assert!(world.store.memory.remove(&world.root.flow(&id("e")).outputs("n0")).is_some());
    line.release();
    match ended(&flows, "e").await {
        FlowOutcome::Failed { node: Some(node), error } => {
            assert_eq!((node.as_str(), error.code.as_str()), ("n1", "Storage"));
            assert!(error.message.contains("outputs.pb does not exist"), "{}", error.message);
        }
        outcome => panic!("{outcome:?}"),
    }
    flows.stop().await;
}

/// A call that fails may be made again, under the same name, until it does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn creating_is_repeated_until_it_is_done() {
    let calls = [("get", "spec.pb", 1), ("put", "running/", 1), ("put", "index/", 1), ("put_new", "spec.pb", 5)];
    for (operation, part, times) in calls {
        let world = World::new();
        let (flows, _) = world.open("only", PATIENT);
        world.store.fail(operation, part, Fault::Unreachable, 0, times);
        let error = flows.create(record("e")).await.unwrap_err();
        assert!(error.to_string().contains("cannot reach S3"), "{error}");
        assert_eq!(world.keys("spec.pb"), [""; 0]);
        eventually("the next try", async || flows.create(record("e")).await.is_ok()).await;
        assert_done(&world, &flows, "e").await;
        assert_eq!(world.keys("index/").len(), 1);
        flows.stop().await;
    }
}

/// S3 takes the record and never says so: its maker is told that there is none, so there must be none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_not_be_made_for_certain_does_not_run() {
    let world = World::new();
    let (flows, _) = world.open("only", PATIENT);
    world.store.fail("put_new", "spec.pb", Fault::ReplyLost, 0, 1);
    world.store.fail("put_new", "spec.pb", Fault::Unreachable, 0, 4);
    flows.create(record("e")).await.unwrap_err();
    eventually("its traces to go", async || {
        ["spec.pb", "running/", "index/"].iter().all(|part| world.keys(part).is_empty())
    })
    .await;
    let (second, line) = world.open("second", IMPATIENT);
    line.calls("list", "running/", 3).await;
    assert_eq!((flows.driven(), second.driven(), world.batch.submits()), (0, 0, 0));
    second.stop().await;
    flows.stop().await;
}

/// What a node waits for is there for whoever asks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_waits_for_s3_says_so() {
    let world = World::new();
    let (flows, _) = world.open("only", PATIENT);
    world.store.fail("put_new", "/task.pb", Fault::Unreachable, 0, 100);
    flows.create(record("e")).await.unwrap();
    let view = until(&flows, "e", |view| view.trouble("n0").is_some()).await;
    assert!(view.trouble("n0").unwrap().contains("cannot reach S3"), "{:?}", view.trouble("n0"));
    flows.stop().await;
}

/// A record that has landed though its writer heard nothing is its writer's, and is not made twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_execution_whose_making_was_not_answered_runs_once() {
    let world = World::new();
    let (flows, _) = world.open("only", PATIENT);
    world.store.fail("put_new", "spec.pb", Fault::Repeated, 0, 1);
    flows.create(record("e")).await.unwrap();
    assert_done(&world, &flows, "e").await;
    let error = flows.create(record("e")).await.unwrap_err();
    assert!(error.to_string().contains("exists already"), "{error}");
    assert_eq!((world.batch.submits(), world.keys("index/").len()), (2, 1));
    flows.stop().await;
}
