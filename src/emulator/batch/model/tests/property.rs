//! Whatever happens, in whatever order.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::emulator::batch::model::places::{Amount, ConsumableKind, TimeLimit};

/// What a submission waits for.
#[derive(Clone, Debug)]
enum After {
    Nothing,
    /// The n-th job.
    Job(usize),
    /// A child of it, if it has that many.
    Child(usize, u32),
    /// Each child its own, if the sizes agree.
    Each(usize),
    OneByOne,
    /// One by one, and behind the n-th job.
    Both(usize),
}

#[derive(Clone, Debug)]
struct Submission {
    size: u32,
    attempts: u32,
    queue: usize,
    after: After,
    vcpus: u32,
    units: u32,
}

/// A step of the property test.
#[derive(Clone, Debug)]
enum Step {
    Submit(Submission),
    /// Ends the n-th live attempt with a code, or before it began.
    End(usize, i32, bool),
    Begin(usize),
    Stop(usize, Option<u32>, bool),
    StopMany(Vec<usize>, bool),
    Pass(u64),
    Slots(u32),
    HostLost,
    Hold,
    Release(usize),
    /// The consumable resource is deleted and made anew.
    Renew,
}

const QUEUES: [&str; 4] = [MAIN, INTERRUPTIBLE, "small", "fair"];

fn submission() -> impl Strategy<Value = Submission> {
    let after = prop_oneof![
        3 => Just(After::Nothing),
        2 => any::<usize>().prop_map(After::Job),
        1 => (any::<usize>(), 0u32..5).prop_map(|(n, child)| After::Child(n, child)),
        2 => any::<usize>().prop_map(After::Each),
        1 => Just(After::OneByOne),
        1 => any::<usize>().prop_map(After::Both),
    ];
    (1u32..5, 1u32..4, 0usize..4, after, 1u32..3, 0u32..3).prop_map(|(size, attempts, queue, after, vcpus, units)| {
        Submission { size, attempts, queue, after, vcpus, units }
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => submission().prop_map(Step::Submit),
        6 => (any::<usize>(), 0..3, any::<bool>()).prop_map(|(n, code, ran)| Step::End(n, code, ran)),
        6 => any::<usize>().prop_map(Step::Begin),
        2 => (any::<usize>(), proptest::option::of(0u32..6), any::<bool>()).prop_map(|(n, c, t)| Step::Stop(n, c, t)),
        1 => (proptest::collection::vec(any::<usize>(), 1..4), any::<bool>()).prop_map(|(n, t)| Step::StopMany(n, t)),
        2 => (0u64..100_000).prop_map(Step::Pass),
        1 => (0u32..6).prop_map(Step::Slots),
        1 => Just(Step::HostLost),
        1 => Just(Step::Hold),
        2 => any::<usize>().prop_map(Step::Release),
        1 => Just(Step::Renew),
    ];
    proptest::collection::vec(step, 1..60)
}

/// A model with a narrow place, a queue with shares, and a consumable resource.
fn furnished(slots: u32) -> Model {
    let mut model = Model::new("seed", slots);
    let capacity = Some(Amount { milli_vcpus: 3000, memory_mib: 4096, gpus: 0 });
    let narrow = Environment { capacity, ..model.environments[MAIN].clone() };
    model.environments.insert("narrow".to_owned(), narrow);
    let small = Queue {
        environments: vec!["narrow".to_owned()],
        time_limits: vec![TimeLimit { reason: "ACTION_REQUIRED".to_owned(), seconds: 600 }],
        priority: 3,
        ..model.queues[MAIN].clone()
    };
    let fair = Queue {
        environments: vec!["narrow".to_owned(), MAIN.to_owned()],
        policy: Some("p".to_owned()),
        ..model.queues[MAIN].clone()
    };
    model.policies.insert("p".to_owned(), Policy::default());
    model.queues.insert("small".to_owned(), small);
    model.queues.insert("fair".to_owned(), fair);
    let units = Consumable::new(ConsumableKind::Replenishable, 3);
    model.consumables.insert("units".to_owned(), units);
    model.apply(1000, Input::Register(of(definition(json!({}))))).unwrap();
    model
}

impl Submission {
    fn body(&self, ids: &[(String, u32)]) -> Value {
        let resources = json!([{"type": "VCPU", "value": self.vcpus.to_string()}, {"type": "MEMORY", "value": "512"}]);
        let mut body = json!({"jobQueue": QUEUES[self.queue], "retryStrategy": {"attempts": self.attempts},
            "containerOverrides": {"resourceRequirements": resources}});
        if self.size > 1 {
            body["arrayProperties"] = json!({"size": self.size});
            body["timeout"] = json!({"attemptDurationSeconds": 60});
        }
        if QUEUES[self.queue] == "fair" {
            body["shareIdentifier"] = json!(format!("s{}", self.vcpus));
            body["schedulingPriorityOverride"] = json!(self.units);
        }
        if self.units > 0 {
            let list = json!([{"consumableResource": "units", "quantity": self.units}]);
            body["consumableResourcePropertiesOverride"] = json!({"consumableResourceList": list});
        }
        let job = |n: usize| (!ids.is_empty()).then(|| &ids[n % ids.len()]);
        let depends_on = match self.after {
            After::Nothing => json!([]),
            After::Job(n) => job(n).map_or(json!([]), |(id, _)| json!([{"jobId": id}])),
            After::Child(n, child) => match job(n) {
                Some((id, size)) if child < *size && *size > 1 => json!([{"jobId": format!("{id}:{child}")}]),
                _ => json!([]),
            },
            After::Each(n) => match job(n) {
                Some((id, size)) if *size == self.size && *size > 1 => json!([{"jobId": id, "type": "N_TO_N"}]),
                _ => json!([]),
            },
            After::OneByOne | After::Both(_) if self.size == 1 => json!([]),
            After::OneByOne => json!([{"type": "SEQUENTIAL"}]),
            After::Both(n) => match job(n) {
                Some((id, _)) => json!([{"type": "SEQUENTIAL"}, {"jobId": id}]),
                None => json!([{"type": "SEQUENTIAL"}]),
            },
        };
        body["dependsOn"] = depends_on;
        body
    }
}

/// What has been decided so far, to see that it stays.
#[derive(Default)]
struct Seen {
    ended: BTreeMap<(u32, u32), (Status, u8)>,
    terminated: BTreeSet<(u32, u32)>,
    started: BTreeSet<AttemptKey>,
}

fn check_invariants(model: &Model, seen: &mut Seen) {
    let (mut live, mut units) = (0, 0);
    let none = BTreeSet::new();
    let holders = model.consumables.get("units").map_or(&none, |resource| &resource.holders);
    let mut used: BTreeMap<String, Amount> = BTreeMap::new();
    let mut shares: BTreeMap<(String, String), u64> = BTreeMap::new();
    for (key, job) in &model.jobs {
        let mut counts = [0; 7];
        for (index, child) in (0u32..).zip(&job.children) {
            counts[child.status as usize] += 1;
            if child.status.is_live() {
                live += 1;
                *used.entry(model.texts.owned(child.environment).unwrap()).or_default() += job.need;
                *shares.entry((job.queue.clone(), job.share.clone())).or_default() += job.vcpus();
                if holders.contains(&(*key, index)) {
                    units += job.consumables.iter().map(|(_, quantity)| quantity).sum::<u64>();
                }
            }
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
        let ended = counts[Status::Succeeded as usize] + counts[Status::Failed as usize];
        assert_eq!(job.status().is_terminal(), ended == job.size());
        assert_eq!(job.followed, ended, "every end has been told");
        if job.is_array {
            assert!(!matches!(job.status(), Status::Runnable | Status::Starting | Status::Running));
        }
        let waiting = counts[Status::Pending as usize] > 0;
        assert!(!waiting || job.waits > 0 || job.sequential || !job.each.is_empty(), "nobody waits for nothing");
    }
    assert_eq!(model.live, live);
    for (name, environment) in &model.environments {
        assert_eq!(environment.used, used.get(name).copied().unwrap_or_default(), "{name}");
        assert!(environment.capacity.is_none_or(|capacity| Amount::default().fits(environment.used, capacity)));
    }
    let unfinished = |key: &u32| model.jobs.get(key).is_some_and(|job| !job.status().is_terminal());
    assert!(model.held.keys().all(unfinished), "only what goes on is held");
    for (name, queue) in &model.queues {
        for (share, record) in &queue.line.shares {
            let fresh = record.fresh.iter().map(|(_, job)| job);
            let ready = record.ready.iter().map(|(_, job, _)| job);
            let retries = record.retries.iter().map(|(job, _)| job);
            assert!(fresh.chain(ready).chain(retries).all(unfinished), "only what goes on is in line");
            assert_eq!(record.used, shares.get(&(name.clone(), share.clone())).copied().unwrap_or_default());
        }
    }
    assert_eq!(model.consumables.get("units").map_or(0, |resource| resource.in_use), units);
    assert!(units <= 3);
    let is_live = |(job, child): &(u32, u32)| model.jobs[job].children[*child as usize].status.is_live();
    assert!(holders.iter().all(is_live), "only those that run hold units");
    assert!(model.settled.is_empty());
}

/// A bench that remembers its inputs.
struct Recorder {
    bench: Bench,
    inputs: Vec<(u64, Input)>,
    seen: Seen,
}

impl Recorder {
    fn input(&mut self, input: Input) -> Result<Reply, Refusal> {
        self.inputs.push((self.bench.now, input.clone()));
        let before = self.bench.started.len();
        let reply = self.bench.input(input);
        for start in &self.bench.started[before..] {
            let place = (start.attempt.job, start.attempt.child);
            assert!(self.seen.started.insert(start.attempt), "{start:?} started twice");
            assert!(!self.seen.terminated.contains(&place), "started after terminate");
            assert!(!self.seen.ended.contains_key(&place), "started after its end");
            let child = &self.bench.model.jobs[&place.0].children[place.1 as usize];
            assert!(
                child.status == Status::Starting
                    || child.attempt > start.attempt.attempt as u8
                    || child.status.is_terminal()
            );
        }
        check_invariants(&self.bench.model, &mut self.seen);
        reply
    }

    /// Deletes the consumable resource and makes it anew: who runs with units of the old one has none of the new one.
    fn renew(&mut self) {
        let delete = of(json!({"consumableResource": "units"}));
        let create = of(json!({"consumableResourceName": "units", "totalQuantity": 3}));
        for change in [PlaceChange::DeleteConsumableResource(delete), PlaceChange::CreateConsumableResource(create)] {
            self.input(Input::Place(Box::new(change))).unwrap();
        }
    }

    fn live(&self) -> Vec<AttemptKey> {
        let all = self.bench.started.iter().map(|start| start.attempt);
        all.filter(|attempt| self.bench.model.is_live(*attempt)).collect()
    }

    fn step(&mut self, step: Step, ids: &mut Vec<(String, u32)>) {
        let live = self.live();
        let pick = |n: usize| (!live.is_empty()).then(|| live[n % live.len()]);
        let job = |n: usize| (!ids.is_empty()).then(|| ids[n % ids.len()].0.clone());
        let input = match step {
            Step::Submit(submission) => {
                let mut body = json!({"jobName": "j", "jobDefinition": "d"});
                body.as_object_mut().unwrap().extend(submission.body(ids).as_object().unwrap().clone());
                match self.input(Input::Submit(of(body))) {
                    Ok(Reply::Submitted(submitted)) => ids.push((submitted.job_id, submission.size)),
                    other => panic!("{other:?}"),
                }
                return;
            }
            Step::Begin(n) => pick(n).map(Input::Started),
            Step::End(n, code, true) => pick(n).map(|attempt| Input::Ended(attempt, End::exited(code))),
            Step::End(n, _, false) => pick(n).map(|attempt| {
                Input::Ended(attempt, End::StartFailed { reason: "CannotStartContainerError: x".into() })
            }),
            Step::Stop(n, child, terminate) => job(n).map(|id| {
                let job_id = child.map_or(id.clone(), |child| format!("{id}:{child}"));
                let request = StopJob { job_id, reason: "why".to_owned() };
                if terminate { Input::Terminate(request) } else { Input::Cancel(request) }
            }),
            Step::StopMany(picks, terminate) => {
                let jobs: Vec<String> = picks.into_iter().filter_map(job).collect();
                let request = StopJobs { jobs, reason: "why".to_owned() };
                (!ids.is_empty()).then_some(match terminate {
                    true => Input::TerminateMany(request),
                    false => Input::CancelMany(request),
                })
            }
            Step::Pass(ms) => {
                self.bench.now += ms;
                Some(Input::Tick)
            }
            Step::Slots(slots) => Some(Input::Slots(slots)),
            Step::HostLost => Some(Input::HostLost),
            Step::Hold => Some(Input::Hold),
            Step::Release(n) => job(n).map(|id| Input::Release(vec![id])),
            Step::Renew => {
                self.renew();
                None
            }
        };
        if let Some(input) = input {
            self.input(input).unwrap();
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_counts_agree(steps in steps(), slots in 1u32..5) {
        let bench = Bench { model: furnished(slots), now: 1000, started: vec![], signalled: vec![] };
        let mut recorder = Recorder { bench, inputs: Vec::new(), seen: Seen::default() };
        let mut ids: Vec<(String, u32)> = Vec::new();
        let mut allowed = slots;
        for step in steps {
            if let Step::Slots(slots) = step {
                allowed = slots;
            }
            let starts = recorder.bench.started.len();
            recorder.step(step, &mut ids);
            // Fewer slots let what runs go on; nothing starts above them.
            prop_assert!(recorder.bench.started.len() == starts || recorder.bench.model.live <= allowed);
        }
        // A snapshot is the model, and so is a replay.
        let text = serde_json::to_string(&recorder.bench.model).unwrap();
        let again: Model = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(serde_json::to_string(&again).unwrap(), text.clone());
        let mut replayed = furnished(slots);
        for (now, input) in &recorder.inputs {
            let _ = replayed.apply(*now, input.clone());
        }
        prop_assert_eq!(serde_json::to_string(&replayed).unwrap(), text);
        // Let everything go on: every job comes to an end.
        recorder.input(Input::Slots(4)).unwrap();
        recorder.input(Input::Release(ids.iter().map(|(id, _)| id.clone()).collect())).unwrap();
        while let Some(attempt) = recorder.live().first() {
            recorder.input(Input::Ended(*attempt, End::exited(1))).unwrap();
        }
        prop_assert_eq!(recorder.bench.model.unfinished(), 0);
        prop_assert!(recorder.bench.model.dependents.is_empty() && recorder.bench.model.held.is_empty());
        recorder.bench.now += 8 * 24 * 60 * 60 * 1000;
        recorder.input(Input::Tick).unwrap();
        prop_assert!(recorder.bench.model.jobs.is_empty() && recorder.bench.model.wake_at().is_none());
    }
}
