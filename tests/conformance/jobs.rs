//! Jobs from their submission to their end.

use std::collections::BTreeMap;

use batchmap::aws::batch::{JobDetail, JobStatus, RetryRule};

use crate::place::{Place, on_code, on_status};

/// Why an attempt ended that ran its command.
const EXITED: &str = "Essential container in task exited";

fn codes(job: &JobDetail) -> Vec<Option<i32>> {
    job.attempts.iter().map(|attempt| attempt.exit_code).collect()
}

pub async fn one_child_is_a_plain_job(place: &Place) {
    let job = place.run("plain", 1, "test -z \"$AWS_BATCH_JOB_ARRAY_INDEX\"").await;
    assert_eq!((job.status, codes(&job)), (JobStatus::Succeeded, vec![Some(0)]), "{job:?}");
    assert!(job.summary.is_empty() && !job.id.contains(':'), "{job:?}");
    assert!(!job.cancelled && !job.terminated && job.log_stream.is_some(), "{job:?}");
    let attempt = &job.attempts[0];
    assert_eq!((attempt.status_reason.as_deref(), attempt.reason.as_deref()), (Some(EXITED), None));
    assert_eq!(attempt.log_stream, job.log_stream);
}

pub async fn an_array_with_one_failing_child(place: &Place) {
    let parent = place.run("array", 5, "[ $AWS_BATCH_JOB_ARRAY_INDEX != 3 ] || exit 9").await;
    assert_eq!((parent.status, parent.status_reason.as_deref()), (JobStatus::Failed, Some("Array Child Job failed")));
    assert_eq!((parent.summary[&JobStatus::Succeeded], parent.summary[&JobStatus::Failed]), (4, 1));
    assert_eq!(parent.summary.len(), 7, "all states are told: {parent:?}");
    assert!(parent.attempts.is_empty(), "{parent:?}");
    let id = |index: u32| format!("{}:{index}", parent.id);
    let mut succeeded: Vec<_> = place.children(&parent.id, JobStatus::Succeeded).await;
    succeeded.sort_by(|a, b| a.id.cmp(&b.id));
    let ids: Vec<_> = succeeded.iter().map(|child| child.id.clone()).collect();
    assert_eq!(ids, [0, 1, 2, 4].map(id));
    assert!(succeeded.iter().all(|child| child.name == parent.name && child.exit_code == Some(0)), "{succeeded:?}");
    let failed = place.children(&parent.id, JobStatus::Failed).await;
    assert_eq!((failed.len(), failed[0].id.clone(), failed[0].exit_code), (1, id(3), Some(9)));
    assert_eq!(place.children(&parent.id, JobStatus::Running).await, []);
    let child = place.describe(&id(3)).await;
    assert_eq!((child.status, codes(&child)), (JobStatus::Failed, vec![Some(9)]));
    assert!(child.summary.is_empty() && child.name == parent.name, "{child:?}");
}

pub async fn a_child_knows_who_it_is(place: &Place) {
    let script = "echo \"$AWS_BATCH_JOB_ID $AWS_BATCH_JOB_ARRAY_INDEX $AWS_BATCH_JOB_ATTEMPT $AWS_BATCH_JQ_NAME $GIVEN\"; \
                  test -n \"$AWS_BATCH_CE_NAME\" && echo last";
    let mut request = place.request("environment", 2, script).await;
    request.environment = BTreeMap::from([("GIVEN".to_owned(), "a = 'b' $c".to_owned())]);
    let parent = place.ended(&place.submit(&request).await).await;
    assert_eq!(parent.status, JobStatus::Succeeded, "{parent:?}");
    let queue = place.queue.rsplit('/').next().unwrap_or_default();
    for index in 0..2 {
        let child = place.describe(&format!("{}:{index}", parent.id)).await;
        let lines = place.lines(child.log_stream.as_deref().expect("a stream"), "last").await;
        assert_eq!(lines[0], format!("{} {index} 1 {queue} a = 'b' $c", child.id));
    }
}

/// What is tried, the script, attempts allowed and rules; how it ends, and the exit codes of the attempts made.
type Retried = (&'static str, &'static str, u32, Vec<RetryRule>, JobStatus, &'static [i32]);

pub async fn retries(place: &Place) {
    let cases: [Retried; 9] = [
        ("none", "exit 7", 1, vec![], JobStatus::Failed, &[7]),
        ("plain", "exit 7", 2, vec![], JobStatus::Failed, &[7, 7]),
        (
            "until it works",
            "exit $((AWS_BATCH_JOB_ATTEMPT < 3 ? 75 : 0))",
            4,
            vec![],
            JobStatus::Succeeded,
            &[75, 75, 0],
        ),
        (
            "the first that matches",
            "exit 75",
            3,
            vec![on_code("7*", false), on_code("75", true)],
            JobStatus::Failed,
            &[75],
        ),
        ("a glob", "exit 75", 2, vec![on_code("7*", true), on_code("*", false)], JobStatus::Failed, &[75, 75]),
        ("no glob", "exit 75", 2, vec![on_code("7", true), on_code("*", false)], JobStatus::Failed, &[75]),
        ("no match retries", "exit 3", 2, vec![on_code("1", false)], JobStatus::Failed, &[3, 3]),
        (
            "by status",
            "exit 3",
            2,
            vec![on_status("Essential*", true), on_code("*", false)],
            JobStatus::Failed,
            &[3, 3],
        ),
        ("a success is not asked", "exit 0", 2, vec![on_code("0", true)], JobStatus::Succeeded, &[0]),
    ];
    let mut jobs = Vec::new();
    for (_, script, attempts, rules, ..) in &cases {
        let mut request = place.request("retries", 1, script).await;
        (request.attempts, request.retry_rules) = (*attempts, rules.clone());
        jobs.push(place.submit(&request).await);
    }
    for ((what, .., status, exits), id) in cases.iter().zip(jobs) {
        let job = place.ended(&id).await;
        let exits: Vec<_> = exits.iter().copied().map(Some).collect();
        assert_eq!((job.status, codes(&job)), (*status, exits), "{what}: {job:?}");
        let mut streams: Vec<_> = job.attempts.iter().map(|attempt| attempt.log_stream.clone()).collect();
        streams.dedup();
        assert_eq!(streams.len(), job.attempts.len(), "{what}: a stream an attempt: {job:?}");
    }
}

/// All conditions of a rule must hold: this one asks for a reason that no container gives.
pub async fn half_a_match_is_none(place: &Place) {
    let half = RetryRule { on_reason: Some("OutOfMemory*".into()), ..on_code("5", false) };
    let mut request = place.request("half", 1, "exit 5").await;
    (request.attempts, request.retry_rules) = (2, vec![half, on_code("6", false)]);
    let job = place.ended(&place.submit(&request).await).await;
    assert_eq!(codes(&job), [Some(5), Some(5)]);
}

pub async fn children_retry_each_for_itself(place: &Place) {
    let script = "exit $((AWS_BATCH_JOB_ARRAY_INDEX + 1 > AWS_BATCH_JOB_ATTEMPT ? 75 : 0))";
    let mut request = place.request("each", 4, script).await;
    request.attempts = 3;
    let parent = place.ended(&place.submit(&request).await).await;
    assert_eq!((parent.summary[&JobStatus::Succeeded], parent.summary[&JobStatus::Failed]), (3, 1));
    for (index, attempts) in [1, 2, 3, 3].into_iter().enumerate() {
        let child = place.describe(&format!("{}:{index}", parent.id)).await;
        assert_eq!(child.attempts.len(), attempts, "{child:?}");
    }
}

pub async fn what_cannot_start_has_no_exit_code(place: &Place) {
    let mut request = place.request("start", 1, "").await;
    request.command = vec!["/no/such/program".to_owned()];
    let job = place.ended(&place.submit(&request).await).await;
    assert_eq!((job.status, job.status_reason.as_deref()), (JobStatus::Failed, Some("Task failed to start")));
    assert_eq!(codes(&job), [None], "{job:?}");
    assert!(job.attempts[0].reason.as_deref().unwrap_or_default().starts_with("CannotStartContainerError"), "{job:?}");
}

/// The submission is taken; ECS refuses the task.
pub async fn long_overrides_fail_at_their_start(place: &Place) {
    let job = place.run("long", 1, &format!(": {}", "x".repeat(8192))).await;
    let reason = "Container Overrides length must be at most 8192";
    assert_eq!((job.status, job.status_reason.as_deref()), (JobStatus::Failed, Some(reason)));
}

pub async fn an_attempt_has_its_time(place: &Place) {
    if !place.patient {
        return crate::skipped("a timeout of 60 seconds, the shortest there is: BATCHMAP_TEST_SLOW is not set");
    }
    let mut request = place.request("timeout", 1, "sleep 300").await;
    (request.attempts, request.timeout_seconds) = (3, Some(60));
    let job = place.ended(&place.submit(&request).await).await;
    let reason = "Job attempt duration exceeded timeout";
    assert_eq!((job.status, job.status_reason.as_deref()), (JobStatus::Failed, Some(reason)));
    assert_eq!(job.attempts.len(), 1, "never again: {job:?}");
}
