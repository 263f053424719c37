//! Executions that are ended before their end.

use batchmap::map::workflow::FlowOutcome;

use super::batch::Call;
use super::world::{PATIENT, World, ended, eventually, id, record};

fn aborted() -> FlowOutcome {
    FlowOutcome::Aborted { cause: "enough".to_owned(), principal: "me".to_owned() }
}

fn terminations(world: &World) -> usize {
    world.batch.count(|call| matches!(call, Call::Terminate { .. }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_node_runs() {
    let world = World::endless();
    let (flows, _) = world.open("only", PATIENT);
    flows.create(record("e")).await.unwrap();
    eventually("a job", async || world.batch.submits() == 1).await;
    flows.abort(&id("e"), "enough", "me").await.unwrap();
    // It is in the journal when the call returns.
    let journal = world.store.memory.objects();
    let asked = journal
        .iter()
        .any(|(key, body)| key.contains("/journal/") && String::from_utf8_lossy(body).contains("abort_requested"));
    assert!(asked);
    assert_eq!(ended(&flows, "e").await, aborted());
    assert_eq!((world.batch.alive(), terminations(&world)), (0, 1));
    // Once more is no error, and changes nothing.
    flows.abort(&id("e"), "again", "you").await.unwrap();
    assert_eq!(ended(&flows, "e").await, aborted());
    flows.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_another_server() {
    let world = World::endless();
    let (first, _) = world.open("first", PATIENT);
    first.create(record("e")).await.unwrap();
    eventually("a job", async || world.batch.submits() == 1).await;
    let (second, _) = world.open("second", PATIENT);
    second.abort(&id("e"), "enough", "me").await.unwrap();
    assert_eq!(ended(&second, "e").await, aborted());
    assert_eq!(ended(&first, "e").await, aborted());
    eventually("the first one to stop", async || first.driven() == 0).await;
    assert_eq!((world.batch.submits(), world.batch.alive()), (1, 0));
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_node_is_staged() {
    let world = World::endless();
    let (flows, line) = world.open("only", PATIENT);
    line.hold("put_new", "/task.pb");
    let staging = line.calls("put_new", "/task.pb", 1);
    flows.create(record("e")).await.unwrap();
    staging.await;
    flows.abort(&id("e"), "enough", "me").await.unwrap();
    line.release();
    assert_eq!(ended(&flows, "e").await, aborted());
    assert_eq!(world.batch.alive(), 0);
    assert_eq!(world.batch.submits(), 0, "nothing is submitted to be ended");
    flows.stop().await;
}

/// Two servers: one is about to begin what the other one ends. Nothing of it may be begun after that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_another_server_while_a_node_is_staged() {
    let world = World::endless();
    let (first, line) = world.open("first", PATIENT);
    line.hold("put_new", "/task.pb");
    let staging = line.calls("put_new", "/task.pb", 1);
    first.create(record("e")).await.unwrap();
    staging.await;
    let (second, _) = world.open("second", PATIENT);
    second.abort(&id("e"), "enough", "me").await.unwrap();
    assert_eq!(ended(&second, "e").await, aborted());
    line.release();
    eventually("the first one to stop", async || first.driven() == 0).await;
    // Its nodes are outlasted by the time it has stopped.
    first.stop().await;
    assert_eq!(world.batch.submits(), 0, "{:?}", world.batch.calls());
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_an_execution_that_there_is_not() {
    let world = World::new();
    let (flows, _) = world.open("only", PATIENT);
    let error = flows.abort(&id("none"), "enough", "me").await.unwrap_err();
    assert!(error.to_string().contains("there is no execution none"), "{error}");
    flows.stop().await;
}
