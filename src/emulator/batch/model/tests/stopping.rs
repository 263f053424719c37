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

/// How a job or child comes to each state it may be stopped in.
fn bring(bench: &mut Bench, state: Status, array: bool) -> String {
    let gate = bench.submit(json!({"jobQueue": INTERRUPTIBLE}));
    let mut body = json!({"retryStrategy": {"attempts": 2}});
    if array {
        body["arrayProperties"] = json!({"size": 2});
    }
    if state == Status::Pending {
        body["dependsOn"] = json!([{"jobId": gate}]);
    }
    bench.input(Input::Slots(if state <= Status::Runnable { 1 } else { 9 })).unwrap();
    let id = bench.submit(body);
    let attempts: Vec<AttemptKey> = bench.started.iter().skip(1).map(|start| start.attempt).collect();
    for attempt in attempts {
        if state >= Status::Running {
            bench.run(attempt);
        }
        match state {
            Status::Succeeded => bench.end(attempt, End::exited(0)),
            Status::Failed => {
                bench.end(attempt, End::exited(1));
                bench.end(AttemptKey { attempt: 2, ..attempt }, End::exited(1));
            }
            _ => {}
        }
    }
    id
}

#[test]
fn each_state_each_kind_each_operation() {
    use Status::{Failed, Pending, Runnable, Running, Starting, Succeeded};
    // The state before; after CancelJob and after TerminateJob; whether terminating signals.
    let table = [
        (Pending, Failed, Failed, false),
        (Runnable, Failed, Failed, false),
        (Starting, Starting, Starting, true),
        (Running, Running, Running, true),
        (Succeeded, Succeeded, Succeeded, false),
        (Failed, Failed, Failed, false),
    ];
    for (before, cancelled, terminated, signals) in table {
        for (kind, terminate) in ["plain", "parent", "child"].into_iter().flat_map(|k| [(k, false), (k, true)]) {
            let case = format!("{} {kind}, terminate {terminate}", before.name());
            let mut bench = Bench::new(1);
            let whole = bring(&mut bench, before, kind != "plain");
            let (id, own, sibling) = match kind {
                "plain" => (whole.clone(), whole.clone(), None),
                "parent" => (whole.clone(), format!("{whole}:0"), None),
                _ => (format!("{whole}:0"), format!("{whole}:0"), Some(format!("{whole}:1"))),
            };
            assert_eq!(bench.status(&own), before, "{case}");
            let reason = bench.detail(&own).status_reason;
            bench.stop(&id, terminate);
            assert_eq!(bench.status(&own), if terminate { terminated } else { cancelled }, "{case}");
            if let Some(sibling) = sibling {
                assert_eq!(bench.status(&sibling), before, "{case}: siblings stay");
            }
            let signalled = if !(signals && terminate) {
                0
            } else if kind == "parent" {
                2
            } else {
                1
            };
            assert_eq!(bench.signalled.len(), signalled, "{case}");
            let told = bench.detail(&id);
            let over = before.is_terminal();
            let marked = !over && (kind == "parent" || terminate || before < Starting);
            assert_eq!((told.is_cancelled, told.is_terminated), (marked && !terminate, marked && terminate), "{case}");
            if over {
                assert_eq!(bench.detail(&own).status_reason, reason, "{case}: what has ended stays as it was");
            } else if bench.status(&own) == Failed || (terminate && signals) {
                assert_eq!(bench.detail(&own).status_reason.as_deref(), Some("why"), "{case}");
            }
            // What still runs ends, and is not started again.
            let starts = bench.started.len();
            for attempt in bench.started.iter().map(|start| start.attempt).collect::<Vec<_>>() {
                bench.end(attempt, End::exited(1));
            }
            let again = bench.started.len() - starts;
            let retried = match (kind, over || !signals || terminate) {
                ("parent", _) | (_, true) => 0,
                _ => 1,
            };
            let of_others = usize::from(kind == "child" && signals);
            assert!(again >= retried && again <= retried + of_others + 1, "{case}: {again} started again");
            if marked && before != Runnable && before != Pending {
                assert_eq!(bench.status(&own), Failed, "{case}");
            }
        }
    }
}
