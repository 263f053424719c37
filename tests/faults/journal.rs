//! The journal's conditional writes through everything that S3 and the network may answer to one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use batchmap::aws::sdk::{Clients, Target, connect};
use batchmap::aws::store::StoreError;
use batchmap::map::event::Event;
use batchmap::map::layout::Root;
use batchmap::run::journal::{Journal, JournalError, read_from};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::drill::{Drill, instant};

async fn clients(url: &str) -> Clients {
    connect(&Target { endpoint: Some(url.to_owned()), bucket: "batchmap".to_owned(), ..Target::default() }).await
}

fn root() -> Root {
    Root::new("", "x")
}

fn event(text: &str) -> Vec<Event> {
    vec![Event::AbortRequested { reason: text.to_owned() }]
}

async fn open(clients: &Clients, writer: &str) -> Journal {
    Journal::open(clients.store.clone(), root(), writer.to_owned()).await.unwrap().0
}

/// Appends twenty records whatever is in the way, and reads what is there when nothing is in the way any more.
async fn survives(faults: Value) {
    let folder = TempDir::new().unwrap();
    let drill = Drill::start(folder.path(), json!({}), instant()).await;
    let clients = clients(&drill.local.url()).await;
    let mut journal = open(&clients, "one").await;
    drill.set(faults.clone()).await;
    for number in 0..20 {
        let mut answer = journal.append(number, event(&number.to_string())).await;
        while let Err(error) = answer {
            assert!(matches!(error, JournalError::Store(StoreError::Unreachable { .. })), "{faults}: {error}");
            answer = journal.flush().await;
        }
    }
    drill.set(json!({})).await;
    let records = read_from(&clients.store, &root(), 1).await.unwrap();
    let told: Vec<(u64, Vec<Event>)> = records.into_iter().map(|record| (record.sequence, record.events)).collect();
    assert_eq!(told, (0..20).map(|n| (n + 1, event(&n.to_string()))).collect::<Vec<_>>(), "{faults}");
    drill.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_whose_answer_is_lost_is_written_once_and_known_as_ours() {
    survives(json!({"lost_reply": {"share": 0.5, "operations": ["PutObject"]}})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_s3_is_too_busy_for_is_tried_again() {
    survives(json!({"throttle": {"share": 0.5, "operations": ["PutObject"]}})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_s3_fails_on_is_tried_again() {
    survives(json!({"error": {"share": 0.5, "operations": ["PutObject", "GetObject"]}})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_another_driver_is_told_from_ours() {
    let folder = TempDir::new().unwrap();
    let drill = Drill::start(folder.path(), json!({}), instant()).await;
    let clients = clients(&drill.local.url()).await;
    let (mut one, mut two) = (open(&clients, "one").await, open(&clients, "two").await);
    two.append(1, event("the same words")).await.unwrap();
    drill.set(json!({"lost_reply": {"share": 0.5, "operations": ["PutObject"]}})).await;
    let error = loop {
        // The same events at the same time: only the writer's name differs.
        match one.append(1, event("the same words")).await {
            Err(JournalError::Store(StoreError::Unreachable { .. })) => {}
            answer => break answer.unwrap_err(),
        }
    };
    assert!(matches!(&error, JournalError::Overtaken { sequence: 1, writer } if writer == "two"), "{error}");
    drill.stop().await;
}

/// An S3 that answers PUTs with these statuses, one after the other, and with 200 from then on. The answers given are
/// counted.
async fn canned(answers: &[(u16, &'static str)]) -> (String, Arc<Mutex<usize>>, JoinSet<()>) {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let left: Mutex<VecDeque<_>> = Mutex::new(answers.iter().copied().collect());
    let (left, count) = (Arc::new(left), Arc::new(Mutex::new(0)));
    let counted = Arc::clone(&count);
    let answer = move || async move {
        *counted.lock().unwrap() += 1;
        match left.lock().unwrap().pop_front() {
            None => StatusCode::OK.into_response(),
            Some((status, code)) => {
                let body = format!("<Error><Code>{code}</Code><Message>why</Message></Error>");
                (StatusCode::from_u16(status).unwrap(), body).into_response()
            }
        }
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await.unwrap() });
    (url, count, tasks)
}

const CONFLICT: (u16, &str) = (409, "ConditionalRequestConflict");

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_with_another_write_under_way_is_tried_again() {
    let (url, count, _server) = canned(&[CONFLICT, CONFLICT, (503, "SlowDown"), CONFLICT]).await;
    let clients = clients(&url).await;
    clients.store.put_new("k", "x".into()).await.unwrap();
    assert_eq!(*count.lock().unwrap(), 5);
}

/// It is no refusal: whoever waits may still write, and a driver waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_that_lasts_is_waited_for_and_not_taken_for_a_refusal() {
    for answer in [CONFLICT, (503, "SlowDown"), (400, "RequestTimeout"), (500, "InternalError")] {
        let (url, _count, _server) = canned(&[answer; 100]).await;
        let clients = clients(&url).await;
        let error = clients.store.put_new("k", "x".into()).await.unwrap_err();
        assert!(matches!(&error, StoreError::Unreachable { message, .. } if message.contains(answer.1)), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_is_a_refusal_and_names_what_is_missing() {
    let (url, count, _server) = canned(&[(403, "AccessDenied"); 100]).await;
    let clients = clients(&url).await;
    let error = clients.store.put_new("k", "x".into()).await.unwrap_err();
    assert!(matches!(error, StoreError::Refused { .. }) && error.to_string().contains("s3:PutObject"), "{error}");
    assert_eq!(*count.lock().unwrap(), 1);
}
