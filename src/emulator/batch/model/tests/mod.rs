//! The rules of the model, under virtual time.

mod places;

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::api::{DescribeJobDefinitions, DescribeJobs, ListJobs};
use super::reply::{JobDetail, JobList};
use super::*;

/// A model with a definition `d`, and what its effects have asked for so far.
struct Bench {
    model: Model,
    now: u64,
    started: Vec<Start>,
    signalled: Vec<(AttemptKey, Stop)>,
}

fn of<T: serde::de::DeserializeOwned>(body: Value) -> T {
    serde_json::from_value(body).unwrap()
}

fn definition(container: Value) -> Value {
    let mut properties = json!({"image": "i", "command": ["run", "Ref::what"]});
    properties.as_object_mut().unwrap().extend(container.as_object().unwrap().clone());
    json!({"jobDefinitionName": "d", "type": "container", "containerProperties": properties})
}

impl Bench {
    fn new(slots: u32) -> Bench {
        let mut bench = Bench { model: Model::new("seed", slots), now: 1000, started: vec![], signalled: vec![] };
        bench.input(Input::Register(of(definition(json!({}))))).unwrap();
        bench
    }

    fn input(&mut self, input: Input) -> Result<Reply, Refusal> {
        let output = self.model.apply(self.now, input)?;
        for effect in output.effects {
            match effect {
                Effect::Start(start) => self.started.push(*start),
                Effect::Signal(attempts, stop) => self.signalled.extend(attempts.into_iter().map(|a| (a, stop))),
            }
        }
        Ok(output.reply)
    }

    fn submit(&mut self, more: Value) -> String {
        match self.try_submit(more) {
            Ok(Reply::Submitted(submitted)) => submitted.job_id,
            other => panic!("{other:?}"),
        }
    }

    fn try_submit(&mut self, more: Value) -> Result<Reply, Refusal> {
        let mut body = json!({"jobName": "j", "jobQueue": "batchmap", "jobDefinition": "d"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.input(Input::Submit(of(body)))
    }

    fn array(&mut self, size: u32) -> String {
        self.submit(json!({"arrayProperties": {"size": size}}))
    }

    fn run(&mut self, attempt: AttemptKey) {
        self.input(Input::Started(attempt)).unwrap();
    }

    fn end(&mut self, attempt: AttemptKey, end: End) {
        self.input(Input::Ended(attempt, end)).unwrap();
    }

    /// Takes the oldest start, runs it and ends it with the code.
    fn finish_next(&mut self, exit_code: i32) -> Start {
        let start = self.started.remove(0);
        self.run(start.attempt);
        self.end(start.attempt, End::exited(exit_code));
        start
    }

    fn detail(&self, id: &str) -> JobDetail {
        let request = DescribeJobs { jobs: vec![id.to_owned()] };
        self.model.describe_jobs(&request).unwrap().jobs.remove(0)
    }

    fn status(&self, id: &str) -> Status {
        self.detail(id).status
    }

    fn summary(&self, id: &str) -> BTreeMap<Status, u32> {
        self.detail(id).array_properties.unwrap().status_summary
    }

    fn list(&self, body: Value) -> JobList {
        self.model.list_jobs(&of::<ListJobs>(body)).unwrap()
    }

    fn stop(&mut self, id: &str, terminate: bool) {
        let request = StopJob { job_id: id.to_owned(), reason: "why".to_owned() };
        self.input(if terminate { Input::Terminate(request) } else { Input::Cancel(request) }).unwrap();
    }

    fn tick_at(&mut self, now: u64) {
        self.now = now;
        self.input(Input::Tick).unwrap();
    }
}

fn refused(result: Result<Reply, Refusal>, part: &str) {
    let message = result.expect_err("should be refused").0;
    assert!(message.contains(part), "'{message}' should say '{part}'");
}

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
        (json!({"tags": many}), "at most 50"),
        (json!({"dependsOn": [{"jobId": "x"}]}), "dependsOn is not yet implemented"),
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
fn terminate_reaches_every_child() {
    let mut bench = Bench::new(2);
    let id = bench.submit(json!({"arrayProperties": {"size": 5}, "retryStrategy": {"attempts": 3}}));
    bench.finish_next(0);
    let [running, starting] = [bench.started[0].attempt, bench.started[1].attempt];
    bench.run(running);
    bench.stop(&id, true);
    assert_eq!(bench.signalled, [(running, Stop::Term), (starting, Stop::Term)]);
    let started = bench.started.len();
    let summary = bench.summary(&id);
    assert_eq!((summary[&Status::Failed], summary[&Status::Running], summary[&Status::Starting]), (2, 1, 1));
    assert_eq!(bench.status(&id), Status::Pending);
    let waiting = bench.detail(&format!("{id}:4"));
    assert_eq!(
        (waiting.status_reason.as_deref(), waiting.is_terminated, waiting.attempts.len()),
        (Some("why"), true, 0)
    );
    assert_eq!(waiting.stopped_at, Some(1000));
    bench.stop(&id, true);
    assert_eq!(bench.signalled.len(), 2, "once is enough");
    bench.tick_at(31_000);
    assert_eq!(bench.signalled[2..], [(running, Stop::Kill), (starting, Stop::Kill)]);
    bench.end(running, End::exited(0));
    bench.end(starting, End::exited(137));
    assert_eq!(bench.started.len(), started, "no child of it starts any more");
    for (child, code) in [(1, 0), (2, 137)] {
        let child = bench.detail(&format!("{id}:{child}"));
        assert_eq!((child.status, child.status_reason.as_deref()), (Status::Failed, Some("why")));
        assert_eq!((child.container.last.exit_code, child.is_terminated), (Some(code), true));
    }
    let parent = bench.detail(&id);
    assert_eq!(
        (parent.status, parent.status_reason.as_deref(), parent.is_terminated),
        (Status::Failed, Some("why"), true)
    );
    assert_eq!(bench.status(&format!("{id}:0")), Status::Succeeded, "what has ended stays");
}

#[test]
fn cancel_leaves_what_runs() {
    let mut bench = Bench::new(1);
    let id = bench.submit(json!({"arrayProperties": {"size": 3}, "retryStrategy": {"attempts": 3}}));
    let plain = bench.submit(json!({}));
    let running = bench.started[0].attempt;
    bench.run(running);
    bench.stop(&id, false);
    assert_eq!((bench.summary(&id)[&Status::Failed], bench.signalled.len()), (2, 0));
    let child = bench.detail(&format!("{id}:1"));
    assert_eq!((child.is_cancelled, child.is_terminated, child.status_reason.as_deref()), (true, false, Some("why")));
    bench.end(running, End::exited(1));
    assert_eq!(bench.status(&id), Status::Failed, "a cancelled job is not retried");
    assert_eq!(bench.detail(&format!("{id}:0")).status_reason.as_deref(), Some("Essential container in task exited"));
    assert_eq!(bench.status(&plain), Status::Starting);
    bench.stop(&plain, false);
    assert_eq!(bench.status(&plain), Status::Starting, "STARTING is not cancelled");
}

#[test]
fn single_children_are_stopped_alone() {
    let mut bench = Bench::new(1);
    let id = bench.array(3);
    bench.stop(&format!("{id}:1"), false);
    bench.stop(&format!("{id}:2"), true);
    assert_eq!(bench.summary(&id)[&Status::Failed], 2);
    assert!(!bench.detail(&id).is_terminated);
    bench.finish_next(0);
    assert_eq!(bench.detail(&id).status_reason.as_deref(), Some("Array Child Job failed"));
    // Unknown and ended ones are no error; a reason is due.
    for unknown in ["nope", "nope:1", &format!("{id}:3"), &format!("{id}:0")] {
        bench.stop(unknown, true);
    }
    assert_eq!(bench.status(&format!("{id}:0")), Status::Succeeded);
    for (reason, part) in [(String::new(), "reason must not be empty"), ("x".repeat(1025), "1024")] {
        refused(bench.input(Input::Terminate(StopJob { job_id: id.clone(), reason })), part);
    }
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

#[test]
fn listing_keeps_to_the_rules() {
    let mut bench = Bench::new(2);
    let id = bench.array(2500);
    let other = bench.submit(json!({"jobName": "Other-1"}));
    bench.finish_next(0);
    bench.finish_next(3);
    bench.run(bench.started[0].attempt);
    let children = |status: Option<&str>| {
        let mut body = json!({"arrayJobId": id});
        if let Some(status) = status {
            body["jobStatus"] = json!(status);
        }
        bench.list(body)
    };
    let running = children(None);
    assert_eq!(running.job_summary_list.len(), 1, "RUNNING by default");
    assert_eq!(running.job_summary_list[0].job_id, format!("{id}:2"));
    assert_eq!(running.job_summary_list[0].array_properties.as_ref().unwrap().index, Some(2));
    let failed = children(Some("FAILED")).job_summary_list.remove(0);
    assert_eq!((failed.job_id.as_str(), failed.container.unwrap().exit_code), (format!("{id}:1").as_str(), Some(3)));
    let mut sizes = Vec::new();
    let mut seen = Vec::new();
    let mut token = None;
    loop {
        let page = bench.list(json!({"arrayJobId": id, "jobStatus": "RUNNABLE", "nextToken": token}));
        sizes.push(page.job_summary_list.len());
        seen.extend(page.job_summary_list.into_iter().map(|job| job.array_properties.unwrap().index.unwrap()));
        token = page.next_token;
        if token.is_none() {
            break;
        }
    }
    assert_eq!((sizes, seen), (vec![1000, 1000, 496], (4..2500).collect()));
    let ids =
        |body: Value| -> Vec<String> { bench.list(body).job_summary_list.into_iter().map(|j| j.job_id).collect() };
    assert_eq!(ids(json!({"jobQueue": "batchmap", "jobStatus": "PENDING"})), [id.as_str()], "parents, not children");
    assert_eq!(ids(json!({"jobQueue": "batchmap"})), [""; 0]);
    let name = |value: &str| json!({"jobQueue": "batchmap", "filters": [{"name": "JOB_NAME", "values": [value]}]});
    assert_eq!(ids(name("oTHER-1")), [other.as_str()]);
    assert_eq!(ids(name("oth*")), [other.as_str()]);
    assert_eq!(ids(name("*")), [other.as_str(), id.as_str()], "the newest first, in any state");
    assert_eq!(ids(name("oth")), [""; 0]);
    let filter =
        |name: &str, value: &str| json!({"jobQueue": "batchmap", "filters": [{"name": name, "values": [value]}]});
    assert_eq!(ids(filter("JOB_DEFINITION", "d")).len(), 2);
    assert_eq!(ids(filter("JOB_DEFINITION", "arn:aws:batch:us-east-1:000000000000:job-definition/d:2")).len(), 0);
    assert_eq!(ids(filter("AFTER_CREATED_AT", "1000")).len(), 0);
    assert_eq!(ids(filter("BEFORE_CREATED_AT", "1001")).len(), 2);
    assert_eq!(ids(json!({"arrayJobId": "nope", "jobStatus": "FAILED"})), [""; 0]);
}

#[test]
fn pages_of_a_queue_go_back_in_time() {
    let mut bench = Bench::new(1);
    let mut all: Vec<String> = (0..250).map(|_| bench.submit(json!({}))).collect();
    all.reverse();
    let mut seen: Vec<String> = Vec::new();
    let mut body =
        json!({"jobQueue": "batchmap", "maxResults": 1000, "filters": [{"name": "JOB_NAME", "values": ["J*"]}]});
    loop {
        let page = bench.list(body.clone());
        assert!(page.job_summary_list.len() <= 100);
        seen.extend(page.job_summary_list.into_iter().map(|job| job.job_id));
        let Some(token) = page.next_token else { break };
        body["nextToken"] = json!(token);
    }
    assert!(seen == all);
}

#[test]
fn bad_questions_are_refused() {
    let bench = Bench::new(1);
    let queue = |more: Value| {
        let mut body = json!({"jobQueue": "batchmap"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for (body, part) in [
        (json!({}), "exactly one"),
        (queue(json!({"arrayJobId": "x"})), "exactly one"),
        (json!({"jobQueue": "nope"}), "does not exist"),
        (queue(json!({"jobStatus": "DONE"})), "jobStatus"),
        (queue(json!({"maxResults": 0})), "at least 1"),
        (queue(json!({"nextToken": "x"})), "nextToken"),
        (queue(json!({"filters": [{"name": "X", "values": ["a"]}]})), "filter name"),
        (queue(json!({"filters": [{"name": "JOB_NAME", "values": []}]})), "needs a value"),
        (queue(json!({"filters": [{"name": "AFTER_CREATED_AT", "values": ["noon"]}]})), "milliseconds"),
        (
            queue(json!({"filters": [{"name": "JOB_NAME", "values": ["a"]}, {"name": "JOB_NAME", "values": ["b"]}]})),
            "one filter",
        ),
    ] {
        let message = bench.model.list_jobs(&of(body)).unwrap_err().0;
        assert!(message.contains(part), "'{message}' should say '{part}'");
    }
    for ids in [0, 101] {
        bench.model.describe_jobs(&DescribeJobs { jobs: vec!["x".into(); ids] }).unwrap_err();
    }
    let unknown = DescribeJobs { jobs: vec!["x".into(), "x:1".into()] };
    assert_eq!(bench.model.describe_jobs(&unknown).unwrap().jobs, []);
}

#[test]
fn definitions_have_revisions() {
    let mut bench = Bench::new(1);
    for revision in 2..=3 {
        let reply = bench.input(Input::Register(of(definition(json!({}))))).unwrap();
        assert!(
            matches!(reply, Reply::Registered(registered) if registered.revision == revision),
            "even of the same content"
        );
    }
    let deregister = |name: &str| Input::Deregister(DeregisterJobDefinition { job_definition: name.to_owned() });
    bench.input(deregister("d:3")).unwrap();
    refused(bench.input(deregister("d")), "does not exist");
    refused(bench.input(deregister("d:9")), "does not exist");
    refused(bench.try_submit(json!({"jobDefinition": "d:3"})), "INACTIVE");
    let id = bench.submit(json!({}));
    assert!(bench.detail(&id).job_definition.ends_with("job-definition/d:2"), "the newest active one");
    let describe = |body: Value| {
        let list = bench.model.describe_job_definitions(&of::<DescribeJobDefinitions>(body)).unwrap();
        let revisions: Vec<u64> = list.job_definitions.iter().map(|d| d["revision"].as_u64().unwrap()).collect();
        (revisions, list.next_token)
    };
    assert_eq!(describe(json!({"jobDefinitionName": "d"})), (vec![3, 2, 1], None));
    assert_eq!(
        describe(json!({"jobDefinitionName": "d", "status": "ACTIVE", "maxResults": 1})),
        (vec![2], Some("1".into()))
    );
    assert_eq!(describe(json!({"status": "ACTIVE", "nextToken": "1"})), (vec![1], None));
    assert_eq!(describe(json!({"status": "INACTIVE"})), (vec![3], None));
    let arn = "arn:aws:batch:us-east-1:000000000000:job-definition/d:1";
    assert_eq!(describe(json!({"jobDefinitions": ["d:3", arn, "e:1", "d"]})), (vec![3, 1], None));
    let full =
        &bench.model.describe_job_definitions(&of(json!({"jobDefinitions": ["d:1"]}))).unwrap().job_definitions[0];
    assert_eq!((&full["jobDefinitionArn"], &full["status"]), (&json!(arn), &json!("ACTIVE")));
    assert_eq!(full["containerProperties"]["command"], json!(["run", "Ref::what"]));
}

#[test]
fn definitions_are_checked() {
    let mut bench = Bench::new(1);
    let with = |field: &str, value: Value| {
        let mut body = definition(json!({}));
        body[field] = value;
        body
    };
    for (body, part) in [
        (with("jobDefinitionName", json!("a:b")), "jobDefinitionName"),
        (with("type", json!("multinode")), "type"),
        (with("containerProperties", Value::Null), "should not be empty"),
        (with("containerProperties", json!({"command": ["x"]})), "image"),
        (with("containerProperties", json!({"image": 1})), "containerProperties is not valid"),
        (with("containerProperties", json!({"image": "x".repeat(25_000)})), "24576 bytes"),
        (with("ecsProperties", json!({})), "ecsProperties is not yet implemented"),
        (with("platformCapabilities", json!(["MOON"])), "platformCapabilities"),
        (with("timeout", json!({"attemptDurationSeconds": 1})), "at least 60"),
        (with("retryStrategy", json!({"attempts": 0})), "attempts"),
        (definition(json!({"environment": [{"name": "AWS_BATCH_JOB_ID", "value": "x"}]})), "reserved"),
    ] {
        refused(bench.input(Input::Register(of(body))), part);
    }
}

#[test]
fn the_places_are_there() {
    let bench = Bench::new(6);
    let queues = bench.model.describe_job_queues(&of(json!({}))).unwrap();
    assert_eq!(queues["jobQueues"].as_array().unwrap().len(), 2);
    let one = bench.model.describe_job_queues(&of(json!({"jobQueues": ["batchmap", "nope"]}))).unwrap();
    let queue = &one["jobQueues"].as_array().unwrap()[..];
    assert_eq!((queue.len(), &queue[0]["state"], &queue[0]["status"]), (1, &json!("ENABLED"), &json!("VALID")));
    let arn = &queue[0]["computeEnvironmentOrder"][0]["computeEnvironment"];
    let environments = bench.model.describe_compute_environments(&of(json!({"computeEnvironments": [arn]}))).unwrap();
    assert_eq!(environments["computeEnvironments"][0]["computeEnvironmentName"], json!("batchmap"));
    assert_eq!(environments["computeEnvironments"][0]["computeResources"]["maxvCpus"], json!(6));
}

/// A step of the property test.
#[derive(Clone, Debug)]
enum Step {
    Submit(u32, u32),
    /// Ends the n-th live attempt with a code, or before it began.
    End(usize, i32, bool),
    Begin(usize),
    Stop(usize, Option<u32>, bool),
    Pass(u64),
    Slots(u32),
    HostLost,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (1u32..6, 1u32..4).prop_map(|(size, attempts)| Step::Submit(size, attempts)),
        6 => (any::<usize>(), 0..3, any::<bool>()).prop_map(|(n, code, ran)| Step::End(n, code, ran)),
        6 => any::<usize>().prop_map(Step::Begin),
        2 => (any::<usize>(), proptest::option::of(0u32..6), any::<bool>()).prop_map(|(n, c, t)| Step::Stop(n, c, t)),
        2 => (0u64..100_000).prop_map(Step::Pass),
        1 => (0u32..6).prop_map(Step::Slots),
        1 => Just(Step::HostLost),
    ];
    proptest::collection::vec(step, 1..60)
}

/// What has been decided so far, to see that it stays.
#[derive(Default)]
struct Seen {
    ended: BTreeMap<(u32, u32), (Status, u8)>,
    terminated: std::collections::BTreeSet<(u32, u32)>,
}

fn check_invariants(model: &Model, seen: &mut Seen) {
    let mut live = 0;
    for (key, job) in &model.jobs {
        let mut counts = [0; 7];
        for (index, child) in (0u32..).zip(&job.children) {
            counts[child.status as usize] += 1;
            live += u32::from(child.status.is_live());
            assert!(i64::from(child.attempt) <= job.retry.attempts.unwrap_or(1), "attempts are limited");
            let place = (*key, index);
            let now = (child.status, child.attempt);
            if let Some(before) = seen.ended.get(&place) {
                assert_eq!(*before, now, "a terminal state absorbs");
            }
            if child.status.is_terminal() {
                seen.ended.insert(place, now);
            }
            if child.terminated {
                seen.terminated.insert(place);
            }
        }
        assert_eq!(job.counts, counts, "the summary is the children's");
        let ended = counts[Status::Succeeded as usize] + counts[Status::Failed as usize] == job.size();
        assert_eq!(job.status().is_terminal(), ended);
        if job.is_array {
            assert!(!matches!(job.status(), Status::Runnable | Status::Starting | Status::Running));
        }
    }
    assert_eq!(model.live, live);
}

proptest! {
    #[test]
    fn whatever_happens_the_counts_agree(steps in steps(), slots in 1u32..5) {
        let mut bench = Bench::new(slots);
        let mut allowed = slots;
        let mut seen = Seen::default();
        let mut ids: Vec<String> = Vec::new();
        for step in steps {
            let live: Vec<AttemptKey> =
                bench.started.iter().map(|start| start.attempt).filter(|attempt| bench.model.is_live(*attempt)).collect();
            let pick = |n: usize| (!live.is_empty()).then(|| live[n % live.len()]);
            let starts = bench.started.len();
            match step {
                Step::Submit(1, attempts) => ids.push(bench.submit(json!({"retryStrategy": {"attempts": attempts}}))),
                Step::Submit(size, attempts) => ids.push(bench.submit(
                    json!({"arrayProperties": {"size": size}, "retryStrategy": {"attempts": attempts},
                        "timeout": {"attemptDurationSeconds": 60}}))),
                Step::Begin(n) => if let Some(attempt) = pick(n) { bench.run(attempt) },
                Step::End(n, code, true) => if let Some(attempt) = pick(n) { bench.end(attempt, End::exited(code)) },
                Step::End(n, _, false) => if let Some(attempt) = pick(n) {
                    bench.end(attempt, End::StartFailed { reason: "CannotStartContainerError: x".into() })
                },
                Step::Stop(n, child, terminate) => if !ids.is_empty() {
                    let id = &ids[n % ids.len()];
                    let id = child.map_or(id.clone(), |child| format!("{id}:{child}"));
                    bench.stop(&id, terminate);
                },
                Step::Pass(ms) => { let now = bench.now + ms; bench.tick_at(now) }
                Step::Slots(n) => { allowed = n; bench.input(Input::Slots(n)).unwrap(); }
                Step::HostLost => { bench.input(Input::HostLost).unwrap(); }
            }
            // Fewer slots let what runs go on; nothing starts above them.
            prop_assert!(bench.started.len() == starts || bench.model.live <= allowed);
            for start in &bench.started[starts..] {
                prop_assert!(!seen.terminated.contains(&(start.attempt.job, start.attempt.child)), "started after terminate");
            }
            check_invariants(&bench.model, &mut seen);
        }
        // A snapshot is the model.
        let text = serde_json::to_string(&bench.model).unwrap();
        let again: Model = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(serde_json::to_string(&again).unwrap(), text);
    }
}

#[test]
fn a_held_job_starts_nothing_until_it_is_described() {
    let mut bench = Bench::new(2);
    let id = bench.submit(json!({"arrayProperties": {"size": 4}, "retryStrategy": {"attempts": 2}}));
    assert_eq!(bench.started.len(), 2);
    for input in [Input::Slots(0), Input::HostLost, Input::Hold, Input::Slots(2)] {
        bench.input(input).unwrap();
    }
    assert_eq!(bench.started.len(), 2, "neither the lost children nor the fresh ones start");
    assert!(bench.model.holds(std::slice::from_ref(&id)));
    bench.submit(json!({}));
    assert_eq!(bench.started.len(), 3, "another job is not held");
    bench.input(Input::Release(vec![id.clone()])).unwrap();
    assert_eq!(bench.started.len(), 4, "the second slot is free");
    assert!(!bench.model.holds(&[id]));
}

#[test]
fn a_held_job_can_be_terminated() {
    let mut bench = Bench::new(1);
    let id = bench.submit(json!({"arrayProperties": {"size": 3}}));
    for input in [Input::Slots(0), Input::HostLost, Input::Hold, Input::Slots(1)] {
        bench.input(input).unwrap();
    }
    bench.input(Input::Terminate(of(json!({"jobId": id, "reason": "enough"})))).unwrap();
    bench.input(Input::Release(vec![id])).unwrap();
    assert_eq!(bench.started.len(), 1);
    assert_eq!(bench.model.unfinished(), 0);
}
