//! Jobs that wait for their driver.

use super::*;

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

#[test]
fn who_has_ended_leaves_the_line() {
    let mut bench = Bench::new(0);
    let head = bench.submit(json!({}));
    let fresh = bench.array(3);
    let ready = bench.submit(json!({"arrayProperties": {"size": 3}, "dependsOn": [{"type": "SEQUENTIAL"}]}));
    let waiting = |bench: &Bench| {
        let share = &bench.model.queues[MAIN].line.shares[""];
        (share.fresh.len(), share.ready.len(), share.retries.len())
    };
    assert_eq!(waiting(&bench), (2, 1, 0));
    bench.stop(&fresh, false);
    bench.stop(&ready, true);
    assert_eq!(waiting(&bench), (1, 0, 0), "only the head is left, which cannot start");
    bench.input(Input::Hold).unwrap();
    bench.tick_at(1000 + 8 * 24 * 3600 * 1000);
    bench.input(Input::Hold).unwrap();
    assert_eq!((bench.model.jobs.len(), bench.model.held.len()), (1, 1), "what is forgotten is not held");
    bench.input(Input::Release(vec![head])).unwrap();
    bench.input(Input::Slots(1)).unwrap();
    bench.finish_next(0);
    assert!(bench.model.held.is_empty());
}

#[test]
fn retries_that_are_stopped_leave_the_line() {
    let mut bench = Bench::new(2);
    let retried = json!({"retryStrategy": {"attempts": 3}});
    let (first, second) = (bench.submit(retried.clone()), bench.submit(retried));
    for input in [Input::Slots(0), Input::HostLost] {
        bench.input(input).unwrap();
    }
    bench.stop(&second, false);
    assert_eq!(bench.model.queues[MAIN].line.shares[""].retries.len(), 1);
    bench.input(Input::Hold).unwrap();
    bench.stop(&first, false);
    assert!(bench.model.held.is_empty() && bench.model.queues[MAIN].line.is_empty());
}
