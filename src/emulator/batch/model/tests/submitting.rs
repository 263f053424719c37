//! What is taken, what is refused, what a child is started with.

use super::*;

#[test]
fn a_start_carries_the_job() {
    let mut bench = Bench::new(4);
    let container = json!({
        "environment": [{"name": "A", "value": "1"}, {"name": "B", "value": "1"}],
        "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "512"}],
    });
    bench.input(Input::Register(of(definition(container)))).unwrap();
    let overrides = json!({
        "environment": [{"name": "B", "value": "2"}],
        "resourceRequirements": [{"type": "MEMORY", "value": "1024"}],
    });
    let parameters = json!({"what": "it"});
    let id = bench
        .submit(json!({"arrayProperties": {"size": 2}, "containerOverrides": overrides, "parameters": parameters}));
    let plain = bench.submit(json!({"containerOverrides": {"command": ["x", "Ref::none", "aRef::what"]}}));
    let start = &bench.started[1];
    let env: BTreeMap<&str, &str> = start.environment.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let child = format!("{id}:1");
    let expected = [
        ("A", "1"),
        ("B", "2"),
        ("AWS_BATCH_JOB_ID", child.as_str()),
        ("AWS_BATCH_JOB_ATTEMPT", "1"),
        ("AWS_BATCH_JOB_ARRAY_INDEX", "1"),
        ("AWS_BATCH_CE_NAME", "batchmap"),
        ("AWS_BATCH_JQ_NAME", "batchmap"),
    ];
    assert_eq!(env, BTreeMap::from(expected));
    assert_eq!(start.command, ["run", "it"]);
    assert_eq!(start.resources.iter().map(|r| r.value.as_str()).collect::<Vec<_>>(), ["1", "1024"]);
    assert!(start.log_stream.starts_with("d/default/"));
    assert_ne!(start.log_stream, bench.started[0].log_stream);
    let start = &bench.started[2];
    assert_eq!(
        (start.job_id.as_str(), start.command.clone()),
        (plain.as_str(), vec!["x".into(), "Ref::none".into(), "aRef::what".into()])
    );
    assert!(start.environment.iter().all(|(name, _)| name != "AWS_BATCH_JOB_ARRAY_INDEX"));
    assert!(bench.detail(&plain).array_properties.is_none());
}

#[test]
fn submissions_are_checked_at_once() {
    let mut bench = Bench::new(1);
    let long = "x".repeat(31 * 1024);
    let many: BTreeMap<String, String> = (0..51).map(|n| (n.to_string(), String::new())).collect();
    let rule = json!({"onReason": "*", "action": "EXIT"});
    for (more, part) in [
        (json!({"jobName": ""}), "jobName"),
        (json!({"jobName": "-a"}), "jobName"),
        (json!({"jobName": "a b"}), "jobName"),
        (json!({"jobName": "a".repeat(129)}), "jobName"),
        (json!({"jobQueue": "nope"}), "Job queue nope does not exist"),
        (json!({"jobQueue": ""}), "jobQueue"),
        (json!({"jobDefinition": "nope"}), "Job definition nope does not exist"),
        (json!({"jobDefinition": "d:2"}), "does not exist"),
        (json!({"arrayProperties": {"size": 1}}), "between 2 and 10000, but was 1"),
        (json!({"arrayProperties": {"size": 0}}), "between 2 and 10000"),
        (json!({"arrayProperties": {"size": -1}}), "between 2 and 10000"),
        (json!({"arrayProperties": {"size": 10001}}), "between 2 and 10000"),
        (json!({"containerOverrides": {"command": ["a", ""]}}), "empty string"),
        (json!({"containerOverrides": {"environment": [{"name": "AWS_BATCH_X", "value": ""}]}}), "AWS_BATCH"),
        (json!({"containerOverrides": {"resourceRequirements": [{"type": "DISK", "value": "1"}]}}), "VCPU"),
        (json!({"containerOverrides": {"resourceRequirements": [{"type": "VCPU", "value": "x"}]}}), "positive"),
        (json!({"containerOverrides": {"command": [long]}}), "30720 bytes"),
        (json!({"retryStrategy": {"attempts": 11}}), "between 1 and 10"),
        (json!({"retryStrategy": {"evaluateOnExit": [rule]}}), "RetryAttempts must be provided"),
        (json!({"timeout": {"attemptDurationSeconds": 59}}), "at least 60"),
        (json!({"timeout": {"attemptDurationSeconds": 1_i64 << 40}}), "attemptDurationSeconds must be between"),
        (json!({"retryStrategy": {"attempts": 1_i64 << 40}}), "between 1 and 10"),
        (json!({"tags": many}), "at most 50"),
        (json!({"tags": {"aws:a": "b"}}), "aws:"),
        (json!({"tags": {"k".repeat(129): "b"}}), "1 to 128 characters"),
        (json!({"tags": {"": "b"}}), "1 to 128 characters"),
        (json!({"tags": {"k": "v".repeat(257)}}), "at most 256 characters"),
        (json!({"dependsOn": [{"jobId": "x"}]}), "dependsOn job x does not exist"),
        (json!({"shareIdentifier": "x"}), "scheduling policy"),
    ] {
        refused(bench.try_submit(more), part);
    }
    bench.model.queues.get_mut(MAIN).unwrap().enabled = false;
    refused(bench.try_submit(json!({})), "DISABLED");
    assert_eq!(bench.model.unfinished(), 0);
    for size in [2, 10_000] {
        let queue = "arn:aws:batch:us-east-1:000000000000:job-queue/batchmap-interruptible";
        bench.submit(json!({"jobQueue": queue, "arrayProperties": {"size": size}, "dependsOn": []}));
    }
}

#[test]
fn too_long_overrides_fail_at_dispatch() {
    let mut bench = Bench::new(1);
    let fits = |length: usize| json!({"command": ["x".repeat(length - r#"{"command":[""]}"#.len())]});
    let id = bench.submit(json!({"arrayProperties": {"size": 3}, "containerOverrides": fits(8193),
        "retryStrategy": {"attempts": 5}}));
    assert_eq!(bench.started, []);
    let parent = bench.detail(&id);
    assert_eq!((parent.status, bench.summary(&id)[&Status::Failed]), (Status::Failed, 3));
    let child = bench.detail(&format!("{id}:2"));
    assert_eq!(child.status_reason.as_deref(), Some("Container Overrides length must be at most 8192"));
    assert_eq!(child.attempts, []);
    bench.submit(json!({"containerOverrides": fits(8192)}));
    assert_eq!(bench.started.len(), 1);
    // Behind a child that has the only slot, nothing is dispatched yet.
    let waiting = bench.submit(json!({"containerOverrides": fits(8193)}));
    assert_eq!(bench.status(&waiting), Status::Runnable);
    bench.finish_next(0);
    assert_eq!(bench.status(&waiting), Status::Failed);
}
