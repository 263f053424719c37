//! Cancelling and terminating.

use super::*;

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
