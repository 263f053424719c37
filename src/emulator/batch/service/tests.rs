//! The service over a simulated runner.

use serde_json::{Value, json};

use super::super::model::api::DescribeJobs;
use super::super::model::{End, Status};
use super::*;
use crate::emulator::runner::simulated::{SimulatedEnd, SimulatedRunner};

fn of<T: serde::de::DeserializeOwned>(body: Value) -> T {
    serde_json::from_value(body).unwrap()
}

fn open(data: &std::path::Path, journal_bytes: u64, read_only: bool) -> Arc<Service> {
    let runner = SimulatedRunner::with(|_| SimulatedEnd { after_ms: 0, end: End::exited(0) });
    let config = ServiceConfig { read_only, journal_bytes, ..ServiceConfig::new(data.to_owned(), 4) };
    Service::open(config, Arc::new(runner)).unwrap()
}

fn define(service: &Arc<Service>) {
    let container = json!({"image": "i", "command": ["true"], "vcpus": 1, "memory": 128});
    let body = json!({"jobDefinitionName": "d", "type": "container", "containerProperties": container});
    service.change(Input::Register(Box::new(of(body)))).unwrap();
}

fn submit(service: &Arc<Service>, size: u32) -> String {
    let body = json!({"jobName": "j", "jobQueue": "batchmap", "jobDefinition": "d", "arrayProperties": {"size": size}});
    match service.change(Input::Submit(Box::new(of(body)))).unwrap() {
        Reply::Submitted(submitted) => submitted.job_id,
        other => panic!("{other:?}"),
    }
}

fn status(model: &Model, id: &str) -> Status {
    model.describe_jobs(&DescribeJobs { jobs: vec![id.to_owned()] }).unwrap().jobs[0].status
}

/// Waits for the folding that is under way, if any.
async fn folded(service: &Arc<Service>) {
    while service.state().fold_at.is_none() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_journal_is_folded_while_work_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(dir.path(), 500, false);
    define(&service);
    let mut ids = Vec::new();
    for _ in 0..20 {
        let id = submit(&service, 10);
        service.until(|model| status(model, &id).is_terminal().then_some(())).await;
        service.durable().await.unwrap();
        ids.push(id);
        // Whoever reads beside us sees a whole state at any moment.
        let reader = open(dir.path(), 500, true);
        assert_eq!(reader.read(|model| status(model, &ids[0])), Status::Succeeded);
    }
    folded(&service).await;
    let generation = service.state().journal.as_ref().map(|journal| format!("{journal:?}")).unwrap();
    assert!(!generation.contains("generation: 1,"), "nothing was folded: {generation}");
    let journals = std::fs::read_dir(dir.path().join("batch")).unwrap().count() - 1;
    assert_eq!(journals, 1, "the folded ones are gone");
    let before = service.read(|model| serde_json::to_string(model).unwrap());
    service.shutdown().await;
    drop(service);
    let again = open(dir.path(), 500, true);
    assert_eq!(again.read(|model| serde_json::to_string(model).unwrap()), before);
}

/// A report that no disk took is not told either, for it could be taken back; nor is anything written after the hole.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_loses_nothing_that_was_told() {
    let dir = tempfile::tempdir().unwrap();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let open = |gate: &Arc<tokio::sync::Semaphore>| {
        let gate = Arc::clone(gate);
        let runner = SimulatedRunner::with_async(move |_| {
            let gate = Arc::clone(&gate);
            Box::pin(async move {
                gate.acquire().await.unwrap().forget();
                SimulatedEnd { after_ms: 0, end: End::exited(0) }
            })
        });
        Service::open(ServiceConfig::new(dir.path().to_owned(), 4), Arc::new(runner)).unwrap()
    };
    let service = open(&gate);
    define(&service);
    let first = submit(&service, 4);
    service.durable().await.unwrap();
    let running = |model: &Model| model.describe_jobs(&DescribeJobs { jobs: vec![format!("{first}:3")] }).unwrap();
    service.until(|model| (running(model).jobs[0].status == Status::Running).then_some(())).await;

    // Neither the journal nor a snapshot can be written.
    let blocker = dir.path().join("batch/snapshot.tmp");
    std::fs::create_dir(&blocker).unwrap();
    service.state().journal.as_mut().unwrap().fill_disk();
    gate.add_permits(4);
    service.until(|model| status(model, &first).is_terminal().then_some(())).await;
    let error = service.durable().await.unwrap_err().to_string();
    assert!(error.contains("cannot write its state"), "{error}");
    let body = json!({"jobName": "j", "jobQueue": "batchmap", "jobDefinition": "d"});
    assert!(matches!(service.change(Input::Submit(Box::new(of(body)))), Err(Fault::Server(_))));

    // There is room again; no second need pass for a test.
    std::fs::remove_dir(&blocker).unwrap();
    service.state().behind.as_mut().unwrap().retry_at = 0;
    service.durable().await.unwrap();
    let second = submit(&service, 2);
    gate.add_permits(2);
    service.until(|model| status(model, &second).is_terminal().then_some(())).await;
    // As if it were killed: what is on the disk now is all there is.
    let read = super::journal::load(&dir.path().join("batch")).unwrap().unwrap().model;
    assert_eq!((status(&read, &first), status(&read, &second)), (Status::Succeeded, Status::Succeeded));
    service.shutdown().await;
}
