//! Faults set while the endpoint runs, and the life of those set at its start.

use aws_sdk_batch::types::JobStatus;
use serde_json::json;
use tempfile::TempDir;

use super::drill::{Drill, SEED, endless, instant};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_is_told() {
    let folder = TempDir::new().unwrap();
    let drill = Drill::start(folder.path(), json!({"latency": "1ms"}), instant()).await;
    let (status, told) = drill.admin("GET", "", "").await;
    assert_eq!((status, &told["seed"]), (200, &json!(SEED)));
    assert_eq!(told["faults"], json!({"latency": {"time": "1ms", "operations": []}}));
    let (status, told) = drill.admin("PATCH", "", r#"{"throttle": {"rate": 5}, "spot_loss": 0.5}"#).await;
    assert_eq!(status, 200);
    assert_eq!(told["faults"]["throttle"], json!({"share": 0.0, "rate": 5.0, "operations": []}));
    assert_eq!(told["faults"].as_object().unwrap().len(), 3);
    // What was told can be set again.
    let again = told["faults"].clone();
    let (status, told) = drill.admin("PUT", "", &again.to_string()).await;
    assert_eq!((status, &told["faults"]), (200, &again));
    let (_, told) = drill.admin("PATCH", "", r#"{"latency": null}"#).await;
    assert_eq!(told["faults"].as_object().unwrap().len(), 2);
    let (status, told) = drill.admin("DELETE", "", "").await;
    assert_eq!((status, &told["faults"]), (200, &json!({})));
    drill.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_refused_and_changes_nothing() {
    let folder = TempDir::new().unwrap();
    // Faults of requests are not for this path: it is the way out of them.
    let drill = Drill::start(folder.path(), json!({"error": {"share": 1, "operations": ["s3"]}}), instant()).await;
    for (method, path, body, status, words) in [
        ("PUT", "", r#"{"throtle": 1}"#, 400, "did you mean"),
        ("PUT", "", r#"{"throttle": 2}"#, 400, "throttle.share is 2"),
        ("PATCH", "", r#"{"latency": "soon"}"#, 400, "latency.time is \"soon\""),
        ("PUT", "", "throttle = 1", 400, "not JSON"),
        ("PUT", "", "7", 400, "not a table"),
        ("POST", "", "{}", 405, "none of GET, PUT"),
        ("GET", "/lose-hosts", "", 405, "none of GET, PUT"),
        ("POST", "/lose-hosts", r#"{"job": "x"}"#, 400, "did you mean \"jobs\"?"),
        ("GET", "/else", "", 404, "there is no"),
    ] {
        let (answered, told) = drill.admin(method, path, body).await;
        let message = told["message"].as_str().unwrap_or_default();
        assert!(answered == status && message.contains(words), "{method} {path} {body}: {answered} {told}");
    }
    let (status, told) = drill.admin_with("DELETE", "", "origin: http://example.com\r\n", "").await;
    assert_eq!(status, 403, "{told}");
    let (_, told) = drill.admin("GET", "", "").await;
    assert_eq!(told["faults"].as_object().unwrap().len(), 1);
    assert_eq!(told["struck"], json!({}));
    drill.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_on_the_same_directory_has_its_own_faults() {
    let folder = TempDir::new().unwrap();
    let faults = json!({"shortage": "capacity", "summary_lag": "1h", "listing_lag": "1h", "slow_start": "1h"});
    let drill = Drill::start(folder.path(), faults, endless()).await;
    let waiting = drill.submit(2).await;
    drill.set(json!({"slow_start": "1h", "summary_lag": "1h", "listing_lag": "1h"})).await;
    assert_eq!(drill.describe(&format!("{waiting}:0")).await.status, Some(JobStatus::Starting));
    drill.stop().await;

    let drill = Drill::start(folder.path(), json!({}), instant()).await;
    // Those that were about to start lost their host with the process.
    let parent = drill.describe(&waiting).await;
    assert_eq!(parent.status, Some(JobStatus::Failed));
    assert_eq!(drill.listed().await, [waiting]);
    assert_eq!(drill.ended(&drill.submit(2).await).await.status, Some(JobStatus::Succeeded));
    drill.stop().await;
}
