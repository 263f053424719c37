//! Faults of jobs.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use aws_sdk_batch::types::{JobStatus, RetryStrategy};
use batchmap::emulator::batch::model::Status;
use nix::sys::stat::Mode;
use serde_json::json;
use tempfile::TempDir;

use super::drill::{Drill, endless, instant, processes, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_host_takes_its_process_along() {
    let folder = TempDir::new().unwrap();
    // Its end says that all who hold it open for writing are gone.
    let pipe = folder.path().join("held");
    nix::unistd::mkfifo(&pipe, Mode::S_IRWXU).unwrap();
    let drill = Drill::start(folder.path(), json!({}), processes(folder.path())).await;
    drill.define(&["sh", "-c", "exec 3>held; echo up >&3; trap '' TERM; sleep 1000 & wait; wait"]).await;
    let id = drill.submit(2).await;
    let reader = tokio::task::spawn_blocking(move || {
        let mut reader = BufReader::new(File::open(pipe).unwrap());
        let mut lines = String::new();
        (0..2).for_each(|_| assert!(reader.read_line(&mut lines).unwrap() > 0));
        reader
    });
    let mut reader = within(reader).await.unwrap();
    drill.reaches(&format!("{id}:0"), |status| status == Status::Running).await;
    drill.reaches(&format!("{id}:1"), |status| status == Status::Running).await;
    let (status, answer) = drill.admin("POST", "/lose-hosts", "").await;
    assert_eq!((status, answer), (200, json!({"lost": 2})));
    let rest = tokio::task::spawn_blocking(move || reader.read_to_end(&mut Vec::new()).unwrap());
    within(rest).await.unwrap();
    let mut reasons = Vec::new();
    for child in 0..2 {
        let child = drill.ended(&format!("{id}:{child}")).await;
        assert_eq!(child.status, Some(JobStatus::Failed));
        reasons.push(child.status_reason.unwrap());
        assert_eq!(child.container.unwrap().exit_code, None);
    }
    assert!(reasons.iter().all(|reason| reason.starts_with("Host EC2 (instance i-")), "{reasons:?}");
    assert_ne!(reasons[0], reasons[1]);
    drill.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spot_losses_are_retried_as_the_job_says() {
    let folder = TempDir::new().unwrap();
    let faults = json!({"spot_loss": {"share": 1, "after": 0, "spot_only": true}});
    let drill = Drill::start(folder.path(), faults, endless()).await;
    let retry = RetryStrategy::builder().attempts(3).build();
    let call = drill.submission(1).job_queue("batchmap-interruptible").retry_strategy(retry);
    let id = call.send().await.unwrap().job_id.unwrap();
    let job = drill.ended(&id).await;
    let attempts = job.attempts.unwrap();
    assert_eq!((job.status, attempts.len()), (Some(JobStatus::Failed), 3));
    assert!(attempts.iter().all(|attempt| attempt.status_reason.as_deref().unwrap().starts_with("Host EC2 (instance")));
    let (_, told) = drill.admin("GET", "", "").await;
    assert_eq!(told["struck"], json!({"spot_loss": 3}));
    // What runs on demand is safe.
    let id = drill.submit(1).await;
    drill.reaches(&id, |status| status == Status::Running).await;
    drill.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_of_one_job_are_taken_away() {
    let folder = TempDir::new().unwrap();
    let drill = Drill::start(folder.path(), json!({}), endless()).await;
    let (one, two) = (drill.submit(2).await, drill.submit(2).await);
    for child in [&one, &two].iter().flat_map(|id| [format!("{id}:0"), format!("{id}:1")]) {
        drill.reaches(&child, |status| status == Status::Running).await;
    }
    let (_, answer) = drill.admin("POST", "/lose-hosts", &json!({"jobs": [one, format!("{two}:1")]}).to_string()).await;
    assert_eq!(answer, json!({"lost": 3}));
    drill.reaches(&one, Status::is_terminal).await;
    assert_eq!(drill.children(&two, JobStatus::Running).await, 1);
    let (status, answer) = drill.admin("POST", "/lose-hosts", r#"{"jobs": ["nope"]}"#).await;
    assert_eq!((status, answer["message"].as_str()), (400, Some("Job nope does not exist")));
    drill.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_summary_that_lags() {
    let folder = TempDir::new().unwrap();
    let drill = Drill::start(folder.path(), json!({"summary_lag": "1h"}), instant()).await;
    let id = drill.submit(3).await;
    for child in 0..3 {
        let child = drill.ended(&format!("{id}:{child}")).await;
        assert_eq!(child.status, Some(JobStatus::Succeeded));
    }
    let parent = drill.describe(&id).await;
    let array = parent.array_properties.unwrap();
    assert_eq!(parent.status, Some(JobStatus::Submitted));
    assert_eq!(array.status_summary.unwrap()["SUCCEEDED"], 0);
    assert_eq!(array.status_summary_last_updated_at, parent.created_at, "it says as of when");
    assert_eq!(drill.children(&id, JobStatus::Succeeded).await, 3, "ListJobs does not lag");
    drill.set(json!({})).await;
    let parent = drill.describe(&id).await;
    assert_eq!(parent.status, Some(JobStatus::Succeeded));
    assert_eq!(parent.array_properties.unwrap().status_summary.unwrap()["SUCCEEDED"], 3);
    drill.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_lags() {
    let folder = TempDir::new().unwrap();
    let drill = Drill::start(folder.path(), json!({}), instant()).await;
    let old = drill.submit(2).await;
    drill.ended(&old).await;
    drill.set(json!({"listing_lag": "1h"})).await;
    let id = drill.submit(2).await;
    assert_eq!(drill.ended(&id).await.status, Some(JobStatus::Succeeded), "DescribeJobs does not lag");
    assert_eq!(drill.listed().await, [old]);
    assert_eq!(drill.children(&id, JobStatus::Succeeded).await, 0);
    drill.set(json!({})).await;
    assert_eq!(drill.listed().await.len(), 2);
    assert_eq!(drill.children(&id, JobStatus::Succeeded).await, 2);
    drill.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_capacity_until_there_is_some() {
    let folder = TempDir::new().unwrap();
    let drill = Drill::start(folder.path(), json!({"shortage": {"queues": "batchmap"}}), instant()).await;
    let id = drill.submit(2).await;
    for told in [id.clone(), format!("{id}:0")] {
        let reason = drill.describe(&told).await.status_reason.unwrap();
        assert!(reason.starts_with("CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - "), "{told}: {reason}");
    }
    assert_eq!(drill.children(&id, JobStatus::Runnable).await, 2);
    let other = drill.submission(1).job_queue("batchmap-interruptible").send().await.unwrap().job_id.unwrap();
    assert_eq!(drill.ended(&other).await.status, Some(JobStatus::Succeeded), "the other queue goes on");
    drill.set(json!({"shortage": "MISCONFIGURATION:SERVICE_ROLE_PERMISSIONS - no role"})).await;
    let reason = drill.describe(&id).await.status_reason.unwrap();
    assert_eq!(reason, "MISCONFIGURATION:SERVICE_ROLE_PERMISSIONS - no role");
    drill.set(json!({})).await;
    assert_eq!(drill.ended(&id).await.status, Some(JobStatus::Succeeded));
    drill.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_cannot_be_pulled() {
    let folder = TempDir::new().unwrap();
    let drill = Drill::start(folder.path(), json!({"image_pull": 1}), instant()).await;
    let job = drill.ended(&drill.submit(1).await).await;
    assert_eq!(job.status_reason.as_deref(), Some("Task failed to start"));
    let container = job.container.unwrap();
    assert!(container.reason.unwrap().starts_with("CannotPullContainerError: "));
    assert_eq!((container.exit_code, container.log_stream_name), (None, None));
    drill.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_takes_long_can_be_given_up() {
    let folder = TempDir::new().unwrap();
    let drill = Drill::start(folder.path(), json!({"slow_start": "1h"}), instant()).await;
    let id = drill.submit(1).await;
    assert_eq!(drill.describe(&id).await.status, Some(JobStatus::Starting));
    drill.batch.terminate_job().job_id(&id).reason("too slow").send().await.unwrap();
    let job = drill.ended(&id).await;
    assert_eq!((job.status, job.status_reason.as_deref()), (Some(JobStatus::Failed), Some("too slow")));
    drill.set(json!({"slow_start": {"time": "1ms..5ms"}})).await;
    assert_eq!(drill.ended(&drill.submit(2).await).await.status, Some(JobStatus::Succeeded));
    drill.stop().await;
}
