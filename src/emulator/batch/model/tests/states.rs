//! How attempts go, and what that makes of their job.

use super::*;

#[test]
fn an_array_walks_through_its_states() {
    let mut bench = Bench::new(2);
    let id = bench.array(3);
    assert_eq!(bench.status(&id), Status::Pending);
    let summary = bench.summary(&id);
    assert_eq!(summary.len(), 7);
    assert_eq!((summary[&Status::Starting], summary[&Status::Runnable]), (2, 1));
    let first = bench.started[0].attempt;
    bench.now = 2000;
    bench.run(first);
    assert_eq!(bench.status(&format!("{id}:0")), Status::Running);
    bench.now = 3000;
    bench.end(first, End::exited(0));
    bench.started.remove(0);
    assert_eq!(bench.started.len(), 2, "the third has the free slot");
    bench.finish_next(0);
    bench.finish_next(0);
    let parent = bench.detail(&id);
    assert_eq!((parent.status, parent.status_reason, parent.stopped_at), (Status::Succeeded, None, Some(3000)));
    let array = parent.array_properties.unwrap();
    assert_eq!((array.size, array.index, array.status_summary_last_updated_at), (Some(3), None, Some(3000)));
    assert_eq!(array.status_summary[&Status::Succeeded], 3);
    let child = bench.detail(&format!("{id}:0"));
    assert_eq!(child.array_properties.unwrap().index, Some(0));
    assert_eq!((child.created_at, child.started_at, child.stopped_at), (1000, Some(2000), Some(3000)));
    assert_eq!(child.attempts.len(), 1);
    assert_eq!(child.container.last.exit_code, Some(0));
    assert_eq!(child.container.last.log_stream_name, child.attempts[0].container.log_stream_name);
    assert_eq!((bench.model.unfinished(), bench.model.live()), (0, 0));
}

#[test]
fn a_parent_fails_only_when_all_have_ended() {
    let mut bench = Bench::new(2);
    let id = bench.array(2);
    bench.finish_next(3);
    assert_eq!(bench.status(&id), Status::Pending);
    bench.finish_next(0);
    let parent = bench.detail(&id);
    assert_eq!((parent.status, parent.status_reason.as_deref()), (Status::Failed, Some("Array Child Job failed")));
    let child = bench.detail(&format!("{id}:0"));
    assert_eq!(child.status_reason.as_deref(), Some("Essential container in task exited"));
    assert_eq!(child.container.last.exit_code, Some(3));
    assert!(!child.is_terminated && !child.is_cancelled);
}

#[test]
fn retries_go_to_the_front_and_keep_their_attempts() {
    let mut bench = Bench::new(1);
    let rules = json!([{"onExitCode": "75", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}]);
    let retry = json!({"attempts": 3, "evaluateOnExit": rules});
    let id = bench.submit(json!({"arrayProperties": {"size": 3}, "retryStrategy": retry}));
    let first = bench.finish_next(75);
    assert_eq!(bench.status(&id), Status::Pending);
    let second = bench.finish_next(75);
    assert_eq!((second.attempt.child, second.attempt.attempt), (0, 2), "ahead of the other two");
    assert!(second.environment.contains(&("AWS_BATCH_JOB_ATTEMPT".into(), "2".into())));
    assert_ne!(first.log_stream, second.log_stream);
    bench.finish_next(75);
    let child = bench.detail(&format!("{id}:0"));
    assert_eq!((child.status, child.attempts.len()), (Status::Failed, 3));
    let streams: Vec<_> = child.attempts.iter().map(|a| a.container.log_stream_name.clone().unwrap()).collect();
    assert_eq!(streams[..2], [first.log_stream, second.log_stream]);
    // Exit code 1 meets the last rule.
    bench.finish_next(1);
    assert_eq!(bench.detail(&format!("{id}:1")).attempts.len(), 1);
    bench.finish_next(0);
    assert_eq!(bench.status(&id), Status::Failed);
    // The definition's strategy stands in, and no match retries.
    let mut body = definition(json!({}));
    body["retryStrategy"] = json!({"attempts": 2});
    bench.input(Input::Register(of(body))).unwrap();
    let plain = bench.submit(json!({}));
    bench.finish_next(1);
    assert_eq!(bench.status(&plain), Status::Starting);
    assert_eq!(bench.detail(&plain).attempts.len(), 1);
    bench.finish_next(0);
    assert_eq!(bench.status(&plain), Status::Succeeded);
}

#[test]
fn starts_that_fail_and_hosts_that_go_are_told_apart() {
    let mut bench = Bench::new(2);
    let rules = json!([{"onStatusReason": "Host EC2*", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}]);
    let id = bench
        .submit(json!({"arrayProperties": {"size": 2}, "retryStrategy": {"attempts": 2, "evaluateOnExit": rules}}));
    let attempts = [bench.started[0].attempt, bench.started[1].attempt];
    bench.end(attempts[0], End::StartFailed { reason: "CannotStartContainerError: no".into() });
    let failed = bench.detail(&format!("{id}:0"));
    assert_eq!((failed.status, failed.status_reason.as_deref()), (Status::Failed, Some("Task failed to start")));
    assert_eq!(failed.container.last.reason.as_deref(), Some("CannotStartContainerError: no"));
    assert_eq!((failed.container.last.exit_code, &failed.container.last.log_stream_name), (None, &None));
    bench.run(attempts[1]);
    bench.input(Input::HostLost).unwrap();
    let lost = bench.detail(&format!("{id}:1"));
    assert_eq!(lost.status, Status::Starting, "it starts again");
    let reason = "Host EC2 (instance i-0000000000000000) terminated.";
    assert_eq!(lost.attempts[0].status_reason.as_deref(), Some(reason));
    assert_eq!(lost.attempts[0].container.exit_code, None);
    bench.input(Input::HostLost).unwrap();
    assert_eq!(bench.detail(&format!("{id}:1")).status_reason.as_deref(), Some(reason), "two attempts were all");
    assert_eq!(bench.status(&id), Status::Failed);
}

#[test]
fn late_reports_say_nothing() {
    let mut bench = Bench::new(1);
    let id = bench.submit(json!({"retryStrategy": {"attempts": 2}}));
    let first = bench.started[0].attempt;
    bench.end(first, End::exited(1));
    for input in [Input::Ended(first, End::exited(0)), Input::Started(first)] {
        bench.input(input).unwrap();
        assert_eq!((bench.status(&id), bench.model.live()), (Status::Starting, 1));
    }
    let unknown = AttemptKey { job: 9, child: 9, attempt: 1 };
    bench.end(unknown, End::exited(0));
    bench.started.remove(0);
    bench.finish_next(0);
    let again = AttemptKey { attempt: 2, ..first };
    bench.end(again, End::exited(1));
    assert_eq!((bench.status(&id), bench.model.live()), (Status::Succeeded, 0));
}

#[test]
fn a_timeout_is_per_attempt_and_final() {
    let mut bench = Bench::new(2);
    let id = bench.submit(json!({"arrayProperties": {"size": 2}, "timeout": {"attemptDurationSeconds": 60},
        "retryStrategy": {"attempts": 3}}));
    let [a, b] = [bench.started[0].attempt, bench.started[1].attempt];
    assert_eq!(bench.model.wake_at(), None, "the time begins with the container");
    bench.now = 10_000;
    bench.run(a);
    bench.now = 20_000;
    bench.run(b);
    assert_eq!(bench.model.wake_at(), Some(70_000));
    bench.tick_at(69_999);
    assert_eq!(bench.signalled, []);
    bench.tick_at(70_000);
    assert_eq!(bench.signalled, [(a, Stop::Term)]);
    bench.end(b, End::exited(1));
    assert_eq!(bench.model.wake_at(), Some(100_000), "only the SIGKILL is left");
    bench.tick_at(100_000);
    assert_eq!(bench.signalled[1..], [(a, Stop::Kill)]);
    bench.end(a, End::exited(137));
    let child = bench.detail(&format!("{id}:0"));
    let reason = Some("Job attempt duration exceeded timeout");
    assert_eq!((child.status, child.status_reason.as_deref()), (Status::Failed, reason));
    assert_eq!((child.attempts.len(), child.attempts[0].status_reason.as_deref()), (1, reason));
    // The other's second attempt has a time of its own.
    let second = bench.started[2].attempt;
    bench.run(second);
    assert_eq!(bench.model.wake_at(), Some(160_000));
    bench.tick_at(160_000);
    bench.end(second, End::exited(0));
    assert_eq!(
        bench.status(&format!("{id}:1")),
        Status::Failed,
        "an exit 0 after the SIGTERM is a timeout all the same"
    );
}

#[test]
fn slots_are_filled_in_order_over_both_queues() {
    let mut bench = Bench::new(1);
    bench.array(2);
    bench.submit(json!({"jobQueue": INTERRUPTIBLE, "jobName": "spot"}));
    bench.submit(json!({"jobName": "last"}));
    let order: Vec<(u32, u32)> = (0..4).map(|_| bench.finish_next(0).attempt).map(|a| (a.job, a.child)).collect();
    assert_eq!(order, [(0, 0), (0, 1), (1, 0), (2, 0)]);
    bench.array(5);
    assert_eq!(bench.started.len(), 1);
    bench.input(Input::Slots(4)).unwrap();
    assert_eq!((bench.started.len(), bench.model.live()), (4, 4));
}
