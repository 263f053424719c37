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
