//! What a look at an execution costs.

use batchmap::map::workflow::FlowOutcome;

use super::world::{PATIENT, World, ended, eventually, id, record, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_over_is_read_once() {
    let world = World::new();
    let (first, line) = world.open("first", PATIENT);
    first.create(record("e")).await.unwrap();
    assert_eq!(ended(&first, "e").await, FlowOutcome::Succeeded);
    eventually("its driver to be gone", async || first.driven() == 0).await;
    let calls = || (line.count("get", "executions/p/d/e/"), line.count("list", "executions/p/d/e/"));
    let before = calls();
    for _ in 0..5 {
        first.view(&id("e")).await.unwrap();
    }
    assert_eq!(calls(), before, "who has driven it knows its end");
    first.stop().await;

    let (second, line) = world.open("second", PATIENT);
    let view = second.view(&id("e")).await.unwrap();
    assert_eq!(view.flow.finished(), Some(&FlowOutcome::Succeeded));
    let calls = || (line.count("get", "executions/p/d/e/"), line.count("list", "executions/p/d/e/"));
    let before = calls();
    assert!(before.0 > 2 && before.1 == 1, "{before:?}");
    for _ in 0..5 {
        second.view(&id("e")).await.unwrap();
    }
    assert_eq!(calls(), before);
    assert!(second.view(&id("none")).await.is_err());
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_what_another_host_drives_only_the_news_are_read() {
    let world = World::endless();
    let (first, _) = world.open("first", PATIENT);
    first.create(record("e")).await.unwrap();
    eventually("a job", async || world.batch.submits() == 1).await;
    // One that looks before the first sign of life takes the other for dead.
    eventually("a sign of life", async || !world.keys("servers/").is_empty()).await;
    let (second, line) = world.open("second", PATIENT);
    let running = |view: &batchmap::run::flow::FlowView| view.flow.node("n0").unwrap().execution.is_some();
    until(&second, "e", running).await;
    // By then its warden knows who drives it, and reads nothing any more.
    line.calls("list", "servers/", 3).await;
    let part = "executions/p/d/e/";
    let (gets, lists) = (line.count("get", part), line.count("list", part));
    for _ in 0..5 {
        second.view(&id("e")).await.unwrap();
    }
    assert_eq!((line.count("get", part), line.count("list", part)), (gets + 5, lists), "a look for one record each");
    first.abort(&id("e"), "enough", "").await.unwrap();
    // What has been told by one host is seen by the other at once.
    assert!(second.view(&id("e")).await.unwrap().flow.abort().is_some());
    assert!(matches!(ended(&second, "e").await, FlowOutcome::Aborted { .. }));
    first.stop().await;
    second.stop().await;
}
