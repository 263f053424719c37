//! What the ports make of each class of fault: throttled answers, servers' errors, denials.

use std::collections::BTreeMap;

use batchmap::aws::batch::{BatchError, SubmitRequest};
use batchmap::aws::sdk::{self, Clients};
use batchmap::aws::store::StoreError;
use serde_json::json;
use tempfile::TempDir;

use super::drill::{Drill, endless, within};

async fn clients(drill: &Drill) -> Clients {
    let endpoint = Some(drill.local.url());
    within(sdk::connect(&sdk::Target { endpoint, bucket: "batchmap".to_owned(), ..sdk::Target::default() })).await
}

fn submission(number: u32) -> SubmitRequest {
    SubmitRequest {
        name: format!("storm-{number}"),
        queue: "batchmap".to_owned(),
        definition: "d".to_owned(),
        size: 1,
        command: vec!["true".to_owned()],
        environment: BTreeMap::new(),
        container: None,
        attempts: 1,
        retry_rules: Vec::new(),
        timeout_seconds: None,
        tags: BTreeMap::new(),
        propagate_tags: false,
        scheduling_priority: None,
    }
}

async fn named(clients: &Clients) -> usize {
    clients.batch.list_named("batchmap", "storm-*", None).await.unwrap().jobs.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_on_submissions_leaves_the_polls_alone_and_submits_nothing_twice() {
    let folder = TempDir::new().unwrap();
    let drill = Drill::start(folder.path(), json!({}), endless()).await;
    let (clients, job) = (clients(&drill).await, drill.submit(2).await);
    drill.set(json!({"throttle": {"share": 1, "operations": ["SubmitJob"]}})).await;
    let storm: Vec<_> = (0..16)
        .map(|number| {
            let batch = clients.batch.clone();
            tokio::spawn(async move { batch.submit(&submission(number)).await })
        })
        .collect();
    for _ in 0..50 {
        let told = within(clients.batch.describe(std::slice::from_ref(&job))).await.unwrap();
        assert_eq!(told.len(), 1);
    }
    assert_eq!(clients.counts.of("DescribeJobs"), 50, "none of them was made twice");
    for call in storm {
        let answer = within(call).await.unwrap();
        assert!(matches!(answer, Err(BatchError::Throttled { operation: "SubmitJob", .. })), "{answer:?}");
    }
    assert_eq!(named(&clients).await, 0, "what was throttled has not happened");
    drill.set(json!({})).await;
    for number in 0..16 {
        within(clients.batch.submit(&submission(number))).await.unwrap();
    }
    assert_eq!(named(&clients).await, 16);
    drill.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_errors_are_tried_again_for_all_but_submissions() {
    let folder = TempDir::new().unwrap();
    let drill = Drill::start(folder.path(), json!({}), endless()).await;
    let (clients, job) = (clients(&drill).await, drill.submit(2).await);
    drill.set(json!({"error": {"share": 1, "operations": ["SubmitJob"]}})).await;
    let answer = clients.batch.submit(&submission(0)).await;
    assert!(matches!(answer, Err(BatchError::Unknown { operation: "SubmitJob", .. })), "{answer:?}");
    assert_eq!(clients.counts.of("SubmitJob"), 1);
    drill.set(json!({"error": {"share": 0.3, "operations": ["batch"]}})).await;
    for _ in 0..20 {
        assert_eq!(within(clients.batch.describe(std::slice::from_ref(&job))).await.unwrap().len(), 1);
    }
    assert!(clients.counts.of("DescribeJobs") > 20);
    drill.set(json!({"error": 1})).await;
    let answer = within(clients.batch.terminate(&job, "enough")).await;
    assert!(matches!(answer, Err(BatchError::Unknown { .. })), "patience has an end: {answer:?}");
    drill.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn denials_are_told_at_once_with_the_action_and_the_resource() {
    let folder = TempDir::new().unwrap();
    let drill = Drill::start(folder.path(), json!({}), endless()).await;
    let (clients, job) = (clients(&drill).await, drill.submit(2).await);
    drill.set(json!({"denied": 1})).await;
    let ids = [job.clone()];
    let of_batch = [
        (
            clients.batch.submit(&submission(0)).await.err(),
            "SubmitJob",
            "job storm-0 on queue batchmap with definition d",
        ),
        (clients.batch.describe(&ids).await.err(), "DescribeJobs", job.as_str()),
        (clients.batch.list_named("batchmap", "n", None).await.err(), "ListJobs", "jobs named n on queue batchmap"),
        (clients.batch.terminate(&job, "enough").await.err(), "TerminateJob", job.as_str()),
        (clients.batch.find_definition("d").await.err(), "DescribeJobDefinitions", "definition d"),
    ];
    for (error, operation, resource) in of_batch {
        let error = error.expect(operation);
        let text = error.to_string();
        assert!(error.is_denied() && text.contains(resource), "{text}");
        assert!(text.contains(&format!("must allow batch:{operation})")), "{text}");
        assert_eq!(clients.counts.of(operation), 1, "{operation}");
    }
    let of_s3 = [
        (clients.store.put("k", "body".into()).await.err(), "PutObject", "s3:PutObject)", "s3://batchmap/k"),
        (clients.store.get("k").await.err(), "GetObject", "s3:GetObject", "s3://batchmap/k"),
        (clients.store.list("p/", None).await.err(), "ListObjectsV2", "s3:ListBucket)", "s3://batchmap/p/"),
    ];
    for (error, operation, action, resource) in of_s3 {
        let error = error.expect(operation);
        let text = error.to_string();
        assert!(matches!(error, StoreError::Refused { .. }), "{text}");
        assert!(text.contains(action) && text.contains(resource), "{text}");
        assert_eq!(clients.counts.of(operation), 1, "{operation}");
    }
    drill.stop().await;
}
