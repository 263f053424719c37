//! Faults of requests.

use aws_sdk_batch::error::{ProvideErrorMetadata, SdkError};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::drill::{Drill, SEED, endless, instant};

/// The status and code that a client sees.
fn seen<E: ProvideErrorMetadata>(error: &SdkError<E>) -> (u16, Option<&str>) {
    let status = error.raw_response().map_or(0, |response| response.status().as_u16());
    (status, error.as_service_error().and_then(|error| error.code()))
}

async fn refusals(drill: &Drill) -> [(u16, Option<String>); 4] {
    let owned = |(status, code): (u16, Option<&str>)| (status, code.map(str::to_owned));
    let submit = drill.submission(1).send().await.unwrap_err();
    let logs = drill.logs.get_log_events().log_group_name("/aws/batch/job").log_stream_name("s").send().await;
    let get = drill.s3.get_object().bucket("batchmap").key("k").send().await.unwrap_err();
    let head = drill.s3.head_object().bucket("batchmap").key("k").send().await.unwrap_err();
    [owned(seen(&submit)), owned(seen(&logs.unwrap_err())), owned(seen(&get)), owned(seen(&head))]
}

#[tokio::test(flavor = "multi_thread")]
async fn throttling_is_told_in_each_services_own_way() {
    let folder = TempDir::new().unwrap();
    let drill = Drill::start(folder.path(), json!({}), instant()).await;
    drill.set(json!({"throttle": 1})).await;
    let of = |status, code: &str| (status, Some(code.to_owned()));
    let [submit, logs, get, head] = refusals(&drill).await;
    assert_eq!(submit, of(429, "TooManyRequestsException"));
    assert_eq!(logs, of(400, "ThrottlingException"));
    assert_eq!(get, of(503, "SlowDown"));
    assert_eq!(head.0, 503, "a HEAD has no body to say more in");
    // Of some operations alone.
    drill.set(json!({"throttle": {"share": 1, "operations": ["SubmitJob", "s3"]}})).await;
    assert_eq!(seen(&drill.submission(1).send().await.unwrap_err()).0, 429);
    assert!(drill.put("k").await.is_err());
    assert!(drill.listed().await.is_empty(), "nothing was submitted, and ListJobs is not throttled");
    drill.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_is_held_for_each_operation() {
    let folder = TempDir::new().unwrap();
    let drill = Drill::start(folder.path(), json!({}), instant()).await;
    // Slow enough that no second one is due while this runs.
    drill.set(json!({"throttle": {"rate": 0.0001}})).await;
    drill.submit(1).await;
    assert_eq!(seen(&drill.submission(1).send().await.unwrap_err()).0, 429);
    drill.put("k").await.unwrap();
    assert!(drill.put("l").await.is_err());
    assert_eq!(drill.listed().await.len(), 1);
    let (_, told) = drill.admin("GET", "", "").await;
    assert_eq!(told["struck"]["throttle"], 2);
    drill.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_seed_decides_who_is_refused() {
    let mut patterns = Vec::new();
    for seed in [SEED, SEED, SEED + 1] {
        let folder = TempDir::new().unwrap();
        let drill = Drill::seeded(folder.path(), json!({}), seed, endless()).await;
        drill.set(json!({"throttle": 0.5})).await;
        let mut pattern = Vec::new();
        for number in 0..40 {
            pattern.push(drill.put(&format!("k{number}")).await.is_ok());
            // Requests between them to other operations move nothing.
            if seed == SEED && patterns.is_empty() {
                let _ = drill.batch.describe_jobs().jobs("x").send().await;
            }
        }
        patterns.push(pattern);
        drill.stop().await;
    }
    assert_eq!(patterns[0], patterns[1]);
    assert_ne!(patterns[0], patterns[2]);
    let passed = patterns[0].iter().filter(|passed| **passed).count();
    assert!((10..=30).contains(&passed), "{passed} of 40 passed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_servers_error_leaves_nothing_behind() {
    let folder = TempDir::new().unwrap();
    let drill = Drill::start(folder.path(), json!({}), instant()).await;
    drill.set(json!({"error": 1})).await;
    let of = |status, code: &str| (status, Some(code.to_owned()));
    let [submit, logs, get, head] = refusals(&drill).await;
    assert_eq!(submit, of(500, "ServerException"));
    assert_eq!(logs, of(500, "ServiceUnavailableException"));
    assert_eq!(get, of(500, "InternalError"));
    assert_eq!(head.0, 500);
    assert!(drill.put("k").await.is_err());
    drill.set(json!({})).await;
    assert!(!drill.has("k").await && drill.listed().await.is_empty());
    drill.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_is_taken_before_it_is_refused() {
    let folder = TempDir::new().unwrap();
    let drill =
        Drill::start(folder.path(), json!({"throttle": {"share": 1, "operations": ["PutObject"]}}), instant()).await;
    let body = aws_sdk_s3::primitives::ByteStream::from(vec![7; 16 << 20]);
    let put = drill.s3.put_object().bucket("batchmap").key("k").body(body).send().await.unwrap_err();
    assert_eq!(seen(&put), (503, Some("SlowDown")));
    drill.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn latency_strikes_and_all_is_answered() {
    let folder = TempDir::new().unwrap();
    let latency = json!({"latency": {"time": "1ms..20ms", "operations": ["PutObject", "SubmitJob"]}});
    let drill = Drill::start(folder.path(), latency, instant()).await;
    drill.put("k").await.unwrap();
    drill.submit(1).await;
    assert!(drill.has("k").await);
    let (_, told) = drill.admin("GET", "", "").await;
    assert_eq!(told["struck"], json!({"latency": 2}));
    drill.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_comes_after_the_effect() {
    let folder = TempDir::new().unwrap();
    let drill = Drill::start(folder.path(), json!({}), instant()).await;
    drill.set(json!({"lost_reply": {"share": 1, "operations": ["SubmitJob", "PutObject"]}})).await;
    let error = drill.submission(2).send().await.unwrap_err();
    assert!(error.raw_response().is_none() && error.as_service_error().is_none(), "{error:?}");
    let listed = drill.listed().await;
    assert_eq!(listed.len(), 1, "it was submitted all the same");
    assert_eq!(drill.ended(&listed[0]).await.status.unwrap().as_str(), "SUCCEEDED");
    assert!(drill.put("k").await.is_err());
    assert!(drill.has("k").await);
    let (_, told) = drill.admin("GET", "", "").await;
    assert_eq!(told["struck"], json!({"lost_reply": 2}) as Value);
    drill.stop().await;
}
