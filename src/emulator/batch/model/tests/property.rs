//! Whatever happens, in whatever order.

use proptest::prelude::*;

use super::*;

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
