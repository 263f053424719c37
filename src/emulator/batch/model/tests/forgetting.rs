//! What is left of jobs that are forgotten.

use super::*;

const DAY: u64 = 24 * 3600 * 1000;
const CHILDREN: u32 = 5000;

fn told(bench: &Bench, ids: &[String]) -> Vec<Value> {
    ids.iter().map(|id| serde_json::to_value(bench.detail(id)).unwrap()).collect()
}

/// A large job with a reason for each child, and some days later small ones of all kinds. Returns the ids of the latter.
fn busy() -> (Bench, String, Vec<String>) {
    let mut bench = Bench::new(CHILDREN);
    let large = bench.array(CHILDREN);
    for (n, start) in std::mem::take(&mut bench.started).into_iter().enumerate() {
        bench.end(start.attempt, End::StartFailed { reason: format!("CannotStart: {n}") });
    }
    bench.now += 3 * DAY;
    let retried = bench.submit(json!({"retryStrategy": {"attempts": 3}}));
    for n in 0..2 {
        let start = bench.started.remove(0);
        bench.run(start.attempt);
        bench.end(start.attempt, End::Exited { exit_code: 1, reason: Some(format!("OutOfMemory {n}")) });
    }
    let terminated = bench.array(2);
    bench.stop(&terminated, true);
    bench.input(Input::Slots(0)).unwrap();
    let cancelled = bench.submit(json!({}));
    bench.stop(&cancelled, false);
    let blocked = bench.submit(json!({}));
    bench.model.environments.get_mut(MAIN).unwrap().enabled = false;
    bench.input(Input::Tick).unwrap();
    let child = format!("{terminated}:1");
    (bench, large, vec![retried, terminated, child, cancelled, blocked])
}

#[test]
fn a_renewal_of_texts_keeps_what_is_told() {
    let (mut bench, large, mut ids) = busy();
    ids.extend((0..CHILDREN).step_by(100).map(|n| format!("{large}:{n}")));
    let before = told(&bench, &ids);
    assert!(before[4]["statusReason"].as_str().unwrap().starts_with("ACTION_REQUIRED"));
    bench.model.renew_texts();
    assert_eq!(told(&bench, &ids), before);
}

#[test]
fn texts_of_forgotten_jobs_go_and_a_replay_agrees() {
    let after = || {
        let (mut bench, large, ids) = busy();
        let before = told(&bench, &ids);
        let size = serde_json::to_string(&bench.model).unwrap().len();
        bench.tick_at(1000 + 7 * DAY);
        assert!(bench.model.find(&large).is_none());
        assert_eq!(told(&bench, &ids), before);
        let text = serde_json::to_string(&bench.model).unwrap();
        assert!(!text.contains("CannotStart") && text.len() < size / 10, "{} of {size} bytes are left", text.len());
        text
    };
    assert_eq!(after(), after());
}
