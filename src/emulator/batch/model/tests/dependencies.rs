//! `dependsOn`.

use super::*;
use crate::emulator::batch::model::api::JobDependency;

const FAILED: Option<&str> = Some("Dependent Job failed");

fn on(id: &str) -> Value {
    json!({"dependsOn": [{"jobId": id}]})
}

fn each(id: &str, size: u32) -> Value {
    json!({"arrayProperties": {"size": size}, "dependsOn": [{"jobId": id, "type": "N_TO_N"}]})
}

fn statuses(bench: &Bench, id: &str) -> Vec<Status> {
    let size = bench.detail(id).array_properties.unwrap().size.unwrap();
    (0..size).map(|child| bench.status(&format!("{id}:{child}"))).collect()
}

impl Bench {
    /// Ends one child's attempt under way.
    fn finish(&mut self, id: &str, exit_code: i32) {
        let place = self.started.iter().position(|start| start.job_id == id).expect("it was started");
        let attempt = self.started.remove(place).attempt;
        self.run(attempt);
        self.end(attempt, End::exited(exit_code));
    }
}

#[test]
fn a_job_waits_for_the_whole_of_another() {
    let mut bench = Bench::new(10);
    let first = bench.array(2);
    let plain = bench.submit(on(&first));
    let array = bench.submit(
        json!({"arrayProperties": {"size": 3}, "dependsOn": [{"jobId": first}, {"jobId": plain}, {"jobId": plain}]}),
    );
    assert_eq!((bench.status(&plain), bench.status(&array)), (Status::Pending, Status::Pending));
    assert_eq!(bench.summary(&array)[&Status::Pending], 3);
    assert_eq!(bench.detail(&plain).depends_on[0].job_id.as_deref(), Some(first.as_str()));
    bench.finish(&format!("{first}:0"), 0);
    assert_eq!(bench.started.len(), 1);
    bench.finish(&format!("{first}:1"), 0);
    assert_eq!((bench.status(&plain), bench.status(&array)), (Status::Starting, Status::Pending));
    bench.finish(&plain, 0);
    assert_eq!(statuses(&bench, &array), [Status::Starting; 3]);
    // What has succeeded is waited for no more.
    let late = bench.submit(on(&plain));
    assert_eq!(bench.status(&late), Status::Starting);
    assert!(bench.model.dependents.is_empty());
}

#[test]
fn one_child_can_be_waited_for() {
    let mut bench = Bench::new(10);
    let first = bench.array(2);
    let waiting = bench.submit(on(&format!("{first}:1")));
    bench.finish(&format!("{first}:0"), 3);
    assert_eq!(bench.status(&waiting), Status::Pending);
    bench.finish(&format!("{first}:1"), 0);
    assert_eq!(bench.status(&waiting), Status::Starting, "its sibling's failure does not matter");
    let other = bench.submit(on(&first));
    assert_eq!((bench.status(&other), bench.detail(&other).status_reason.as_deref()), (Status::Failed, FAILED));
}

#[test]
fn a_failed_dependency_fails_those_that_wait() {
    let mut bench = Bench::new(10);
    let first = bench.submit(json!({"retryStrategy": {"attempts": 2}}));
    let second = bench.submit(json!({"arrayProperties": {"size": 2}, "dependsOn": [{"jobId": first}],
        "retryStrategy": {"attempts": 5}}));
    let third = bench.submit(on(&second));
    bench.finish(&first, 1);
    assert_eq!(bench.status(&second), Status::Pending, "the first starts again");
    bench.finish(&first, 1);
    for id in [&second, &format!("{second}:1"), &third] {
        let detail = bench.detail(id);
        assert_eq!((detail.status, detail.status_reason.as_deref()), (Status::Failed, FAILED), "{id}");
        assert_eq!((detail.attempts.len(), detail.stopped_at), (0, Some(1000)));
        assert!(!detail.is_cancelled && !detail.is_terminated);
    }
    assert_eq!((bench.started.len(), bench.model.unfinished()), (0, 0));
}

#[test]
fn each_child_waits_for_its_own() {
    let mut bench = Bench::new(10);
    let (a, b) = (bench.array(3), bench.array(3));
    let c = bench.submit(json!({"arrayProperties": {"size": 3},
        "dependsOn": [{"jobId": a, "type": "N_TO_N"}, {"jobId": b, "type": "N_TO_N"}]}));
    let d = bench.submit(each(&c, 3));
    bench.finish(&format!("{a}:1"), 0);
    assert_eq!(statuses(&bench, &c), [Status::Pending; 3]);
    bench.finish(&format!("{b}:1"), 0);
    assert_eq!(statuses(&bench, &c), [Status::Pending, Status::Starting, Status::Pending]);
    bench.finish(&format!("{a}:2"), 7);
    assert_eq!(bench.detail(&format!("{c}:2")).status_reason.as_deref(), FAILED);
    assert_eq!(bench.status(&format!("{d}:2")), Status::Failed, "and so on");
    bench.finish(&format!("{c}:1"), 0);
    assert_eq!(bench.status(&format!("{d}:1")), Status::Starting);
    for id in
        [format!("{a}:0"), format!("{b}:0"), format!("{b}:2"), format!("{c}:0"), format!("{d}:0"), format!("{d}:1")]
    {
        bench.finish(&id, 0);
    }
    let parent = bench.detail(&d);
    assert_eq!((parent.status, parent.status_reason.as_deref()), (Status::Failed, Some("Array Child Job failed")));
    assert_eq!((bench.model.unfinished(), bench.model.dependents.len()), (0, 0));
}

#[test]
fn each_child_waits_for_its_own_of_an_array_half_done() {
    let mut bench = Bench::new(10);
    let a = bench.array(4);
    bench.finish(&format!("{a}:0"), 0);
    bench.finish(&format!("{a}:1"), 1);
    let b = bench.submit(each(&a, 4));
    assert_eq!(statuses(&bench, &b), [Status::Starting, Status::Failed, Status::Pending, Status::Pending]);
    bench.stop(&a, true);
    bench.finish(&format!("{a}:2"), 143);
    assert_eq!(bench.status(&format!("{b}:2")), Status::Failed, "a terminated child fails the one that waits");
    bench.finish(&format!("{a}:3"), 143);
    let c = bench.submit(each(&a, 4));
    assert_eq!(statuses(&bench, &c), [Status::Starting, Status::Failed, Status::Failed, Status::Failed]);
}

#[test]
fn children_go_one_by_one() {
    let mut bench = Bench::new(10);
    let id = bench.submit(json!({"arrayProperties": {"size": 5}, "dependsOn": [{"type": "SEQUENTIAL"}],
        "retryStrategy": {"attempts": 2}}));
    for child in 0..2 {
        assert_eq!(bench.started.len(), 1);
        bench.finish(&format!("{id}:{child}"), 0);
    }
    bench.finish(&format!("{id}:2"), 1);
    assert_eq!((bench.started.len(), bench.status(&format!("{id}:3"))), (1, Status::Pending), "the third starts again");
    bench.finish(&format!("{id}:2"), 1);
    assert_eq!(statuses(&bench, &id)[2..], [Status::Failed; 3]);
    assert_eq!(bench.detail(&format!("{id}:4")).status_reason.as_deref(), FAILED);
    assert_eq!(bench.detail(&format!("{id}:2")).status_reason.as_deref(), Some("Essential container in task exited"));
    assert_eq!(bench.status(&id), Status::Failed);
}

#[test]
fn kinds_of_dependencies_go_together() {
    let mut bench = Bench::new(10);
    let (gate, a) = (bench.submit(json!({})), bench.array(3));
    let b = bench.submit(json!({"arrayProperties": {"size": 3}, "dependsOn":
        [{"type": "SEQUENTIAL"}, {"jobId": a, "type": "N_TO_N"}, {"jobId": gate}]}));
    for child in [1, 0] {
        bench.finish(&format!("{a}:{child}"), 0);
    }
    assert_eq!(statuses(&bench, &b), [Status::Pending; 3]);
    bench.finish(&gate, 0);
    assert_eq!(statuses(&bench, &b), [Status::Starting, Status::Pending, Status::Pending]);
    bench.finish(&format!("{b}:0"), 0);
    bench.finish(&format!("{b}:1"), 0);
    assert_eq!(statuses(&bench, &b)[2], Status::Pending, "its own is not done");
    bench.finish(&format!("{a}:2"), 0);
    bench.finish(&format!("{b}:2"), 0);
    assert_eq!(bench.status(&b), Status::Succeeded);
}

#[test]
fn those_who_wait_can_be_stopped() {
    for terminate in [false, true] {
        let mut bench = Bench::new(10);
        let first = bench.submit(json!({}));
        let (plain, array) = (
            bench.submit(on(&first)),
            bench.submit(json!({"arrayProperties": {"size": 2},
            "dependsOn": [{"jobId": first}]})),
        );
        let last = bench.submit(on(&plain));
        bench.stop(&plain, terminate);
        bench.stop(&format!("{array}:0"), terminate);
        let detail = bench.detail(&plain);
        assert_eq!((detail.status, detail.status_reason.as_deref()), (Status::Failed, Some("why")));
        assert_eq!((detail.is_cancelled, detail.is_terminated), (!terminate, terminate));
        assert_eq!(bench.detail(&last).status_reason.as_deref(), FAILED);
        bench.finish(&first, 0);
        assert_eq!(statuses(&bench, &array), [Status::Failed, Status::Starting]);
        assert_eq!(bench.started.len(), 1);
    }
}

#[test]
fn dependencies_are_checked() {
    let mut bench = Bench::new(10);
    let (array, plain) = (bench.array(3), bench.submit(json!({})));
    let many: Vec<Value> = (0..21).map(|_| json!({"jobId": plain})).collect();
    let sized = |depends_on: Value| json!({"arrayProperties": {"size": 2}, "dependsOn": depends_on});
    for (more, part) in [
        (json!({"dependsOn": many}), "at most 20 jobs, but has 21"),
        (on("nope"), "job nope does not exist"),
        (on(&format!("{array}:3")), "does not exist"),
        (on(&format!("{plain}:0")), "does not exist"),
        (json!({"dependsOn": [{}]}), "need a jobId"),
        (json!({"dependsOn": [{"jobId": plain, "type": "LATER"}]}), "N_TO_N or SEQUENTIAL, but was 'LATER'"),
        (json!({"dependsOn": [{"type": "SEQUENTIAL"}]}), "array jobs"),
        (sized(json!([{"type": "SEQUENTIAL", "jobId": plain}])), "takes no jobId"),
        (sized(json!([{"type": "N_TO_N"}])), "need a jobId"),
        (json!({"dependsOn": [{"jobId": array, "type": "N_TO_N"}]}), "array jobs"),
        (sized(json!([{"jobId": plain, "type": "N_TO_N"}])), "is none"),
        (sized(json!([{"jobId": format!("{array}:0"), "type": "N_TO_N"}])), "is none"),
        (sized(json!([{"jobId": array, "type": "N_TO_N"}])), "has 3 children and this job 2"),
    ] {
        refused(bench.try_submit(more), part);
    }
    let before = bench.model.jobs.len();
    assert_eq!((before, bench.model.dependents.len()), (2, 0));
}

// Long enough that a call a job would overflow the stack of a test.
#[test]
fn a_long_chain_fails_without_recursion() {
    let mut bench = Bench::new(1);
    let first = bench.submit(json!({}));
    let mut last = first.clone();
    let mut request: SubmitJob = of(json!({"jobName": "j", "jobQueue": "batchmap", "jobDefinition": "d"}));
    for _ in 0..30_000 {
        request.depends_on = vec![JobDependency { job_id: Some(last), kind: None }];
        let Reply::Submitted(submitted) = bench.input(Input::Submit(Box::new(request.clone()))).unwrap() else {
            panic!()
        };
        last = submitted.job_id;
    }
    bench.finish(&first, 1);
    assert_eq!((bench.model.unfinished(), bench.detail(&last).status_reason.as_deref()), (0, FAILED));
}

#[test]
fn large_arrays_wait_child_by_child() {
    let mut bench = Bench::new(10_000);
    let a = bench.array(10_000);
    let b = bench.submit(each(&a, 10_000));
    for child in (0..10_000).rev() {
        bench.finish_place(child);
        assert_eq!(bench.started.pop().unwrap().attempt.child, u32::try_from(child).unwrap());
    }
    assert_eq!(bench.status(&a), Status::Succeeded);
    assert_eq!(bench.summary(&b)[&Status::Starting], 10_000);
}

impl Bench {
    /// Ends the attempt that was started as the `place`-th.
    fn finish_place(&mut self, place: usize) {
        let attempt = self.started.remove(place).attempt;
        self.end(attempt, End::exited(0));
    }
}

#[test]
fn a_job_is_forgotten_after_a_week() {
    const WEEK: u64 = 7 * 24 * 60 * 60 * 1000;
    let mut bench = Bench::new(10);
    let (a, other) = (bench.array(2), bench.array(2));
    let b = bench.submit(json!({"arrayProperties": {"size": 2},
        "dependsOn": [{"jobId": a, "type": "N_TO_N"}, {"jobId": other, "type": "N_TO_N"}]}));
    bench.now = 5000;
    bench.finish(&format!("{a}:0"), 0);
    bench.finish(&format!("{a}:1"), 0);
    assert_eq!(bench.model.wake_at(), Some(5000 + WEEK));
    bench.tick_at(5000 + WEEK - 1);
    assert_eq!(bench.status(&a), Status::Succeeded);
    bench.tick_at(5000 + WEEK);
    let gone = DescribeJobs { jobs: vec![a.clone(), format!("{a}:0")] };
    assert_eq!(bench.model.describe_jobs(&gone).unwrap().jobs, []);
    assert_eq!(bench.list(json!({"arrayJobId": a, "jobStatus": "SUCCEEDED"})).job_summary_list, []);
    refused(bench.try_submit(on(&a)), "does not exist");
    // Who waited for it goes on with what is left.
    bench.finish(&format!("{other}:1"), 0);
    assert_eq!(statuses(&bench, &b), [Status::Pending, Status::Starting]);
    bench.finish(&format!("{other}:0"), 0);
    bench.finish(&format!("{b}:0"), 0);
    bench.finish(&format!("{b}:1"), 0);
    assert_eq!(bench.status(&b), Status::Succeeded);
    bench.tick_at(5000 + 3 * WEEK);
    assert_eq!((bench.model.jobs.len(), bench.model.by_id.len(), bench.model.wake_at()), (0, 0, None));
}

#[test]
fn one_that_was_cancelled_does_not_stand_in_line_when_what_it_waited_for_ends() {
    let mut bench = Bench::new(1);
    let first = bench.submit(json!({}));
    let waiting = bench.submit(on(&first));
    bench.stop(&waiting, false);
    bench.finish(&first, 0);
    assert_eq!(bench.status(&waiting), Status::Failed);
    let lines = bench.model.queues.values().flat_map(|queue| queue.line.shares.values());
    assert!(lines.into_iter().all(|share| share.is_empty()), "nobody is left to start");
}
