//! Drills under virtual time.

use serde_json::{Value, json};

use super::super::api::{DescribeJobs, ListJobs, StopJob};
use super::super::reply::JobDetail;
use super::super::{Input, Reply};
use super::*;
use crate::emulator::faults::Faults;

/// A model with a definition `d`, and what its effects have asked for.
struct Bench {
    model: Model,
    now: u64,
    started: Vec<AttemptKey>,
    killed: Vec<AttemptKey>,
}

fn of<T: serde::de::DeserializeOwned>(body: Value) -> T {
    serde_json::from_value(body).unwrap()
}

impl Bench {
    fn new(faults: Value) -> Bench {
        let model = Model::new("seed", 20_000);
        let mut bench = Bench { model, now: 1000, started: vec![], killed: vec![] };
        let container = json!({"image": "i", "command": ["run"], "vcpus": 1, "memory": 4});
        let definition = json!({"jobDefinitionName": "d", "type": "container", "containerProperties": container});
        bench.input(Input::Register(of(definition)));
        bench.set(faults);
        bench
    }

    fn set(&mut self, faults: Value) {
        self.input(Input::Drill(Box::new(Faults::from_value(faults).unwrap().drill(7))));
    }

    fn input(&mut self, input: Input) -> Reply {
        let output = self.model.apply(self.now, input).unwrap();
        for effect in output.effects {
            match effect {
                Effect::Start(start) => self.started.push(start.attempt),
                Effect::Signal(attempts, Stop::Kill) => self.killed.extend(attempts),
                Effect::Signal(..) => {}
            }
        }
        output.reply
    }

    fn submit(&mut self, queue: &str, size: u32, attempts: u32) -> String {
        let mut body = json!({"jobName": "j", "jobQueue": queue, "jobDefinition": "d",
            "retryStrategy": {"attempts": attempts}});
        if size > 1 {
            body["arrayProperties"] = json!({"size": size});
        }
        match self.input(Input::Submit(of(body))) {
            Reply::Submitted(submitted) => submitted.job_id,
            other => panic!("{other:?}"),
        }
    }

    /// Everything that was started runs.
    fn run_all(&mut self) -> Vec<AttemptKey> {
        let started = std::mem::take(&mut self.started);
        started.iter().for_each(|attempt| drop(self.input(Input::Started(*attempt))));
        started
    }

    fn end(&mut self, attempt: AttemptKey) {
        self.input(Input::Ended(attempt, End::exited(0)));
    }

    /// Lets time pass as the endpoint does: it wakes whenever something is due.
    fn wait(&mut self, ms: u64) {
        let until = self.now + ms;
        while let Some(at) = self.model.wake_at().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.input(Input::Tick);
        }
        self.now = until;
    }

    fn detail(&self, id: &str) -> JobDetail {
        self.model.describe_jobs(&DescribeJobs { jobs: vec![id.to_owned()] }).unwrap().jobs.remove(0)
    }

    fn listed(&self, body: Value) -> Vec<String> {
        let list = self.model.list_jobs(&of::<ListJobs>(body)).unwrap();
        list.job_summary_list.into_iter().map(|job| job.job_id).collect()
    }
}

#[test]
fn hosts_go_at_a_drawn_time_and_what_ran_there_is_killed() {
    let mut bench = Bench::new(json!({"spot_loss": {"share": 1, "after": "1s..10s"}}));
    let id = bench.submit("batchmap", 3, 2);
    let first = bench.run_all();
    bench.wait(900);
    assert!(bench.killed.is_empty());
    bench.wait(9100);
    let mut killed = bench.killed.clone();
    killed.sort();
    assert_eq!(killed, first);
    let reasons: BTreeSet<String> = (0..3)
        .map(|child| {
            let child = bench.detail(&format!("{id}:{child}"));
            assert_eq!((child.status, child.attempts.len()), (Status::Starting, 1));
            assert_eq!(child.attempts[0].container.exit_code, None);
            child.attempts[0].status_reason.clone().unwrap()
        })
        .collect();
    assert_eq!(reasons.len(), 3, "each lost a host of its own");
    assert!(
        reasons.iter().all(|reason| reason.starts_with("Host EC2 (instance i-") && reason.ends_with(") terminated."))
    );
    // The runner's own word about them comes late and says nothing new.
    bench.end(first[0]);
    bench.run_all();
    bench.wait(10_000);
    assert_eq!(bench.detail(&id).status, Status::Failed);
    assert_eq!(bench.model.live(), 0);
}

#[test]
fn the_share_that_is_lost_is_drawn_and_may_be_of_spot_alone() {
    let mut bench = Bench::new(json!({"spot_loss": {"share": 0.1, "after": "1s", "spot_only": true}}));
    let spot = bench.submit("batchmap-interruptible", 10_000, 1);
    bench.submit("batchmap", 5_000, 1);
    bench.run_all();
    bench.wait(1000);
    assert!((920..1080).contains(&bench.killed.len()), "{}", bench.killed.len());
    assert!(bench.killed.iter().all(|attempt| attempt.job == 0));
    let lost = bench.detail(&spot).array_properties.unwrap().status_summary[&Status::Failed];
    assert_eq!(lost as usize, bench.killed.len());
    // The same seed and submissions, the same losses.
    let mut again = Bench::new(json!({"spot_loss": {"share": 0.1, "after": "1s", "spot_only": true}}));
    again.submit("batchmap-interruptible", 10_000, 1);
    again.run_all();
    again.wait(1000);
    assert_eq!(again.killed, bench.killed);
}

#[test]
fn hosts_are_taken_away_on_demand() {
    let mut bench = Bench::new(json!({}));
    let (one, two) = (bench.submit("batchmap", 2, 1), bench.submit("batchmap", 2, 1));
    bench.run_all();
    let lost = |reply| match reply {
        Reply::HostsLost(lost) => lost.lost,
        other => panic!("{other:?}"),
    };
    assert_eq!(lost(bench.input(Input::LoseHosts(vec![format!("{one}:1")]))), 1);
    assert_eq!(bench.detail(&format!("{one}:1")).status, Status::Failed);
    assert!(bench.model.apply(0, Input::LoseHosts(vec!["nope".to_owned()])).is_err());
    assert_eq!(lost(bench.input(Input::LoseHosts(vec![]))), 3);
    assert_eq!((bench.detail(&two).status, bench.killed.len(), bench.model.live()), (Status::Failed, 4, 0));
}

#[test]
fn without_capacity_the_head_is_told_and_nothing_starts() {
    let mut bench = Bench::new(json!({"shortage": {"queues": ["batchmap"]}}));
    let (head, next) = (bench.submit("batchmap", 2, 1), bench.submit("batchmap", 1, 1));
    bench.submit("batchmap-interruptible", 1, 1);
    assert_eq!(bench.started.len(), 1, "the other queue has capacity");
    let reason = |bench: &Bench, id: &str| bench.detail(id).status_reason.unwrap_or_default();
    for id in [head.clone(), format!("{head}:0")] {
        assert!(
            reason(&bench, &id).starts_with("CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - "),
            "{}",
            reason(&bench, &id)
        );
    }
    assert_eq!((reason(&bench, &format!("{head}:1")), reason(&bench, &next)), (String::new(), String::new()));
    bench.set(json!({"shortage": "misconfiguration"}));
    assert!(reason(&bench, &head).starts_with("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - "));
    bench.input(Input::Terminate(StopJob { job_id: head.clone(), reason: "why".to_owned() }));
    assert!(reason(&bench, &next).starts_with("MISCONFIGURATION:"), "the next is at the head");
    bench.set(json!({}));
    assert_eq!(bench.started.len(), 2);
    assert_eq!((bench.detail(&next).status, reason(&bench, &next)), (Status::Starting, String::new()));
}

#[test]
fn an_image_that_cannot_be_pulled_fails_the_start() {
    let mut bench = Bench::new(json!({"image_pull": {"share": 1, "reason": "no such host"}}));
    let id = bench.submit("batchmap", 1, 3);
    let job = bench.detail(&id);
    assert_eq!((job.status, job.attempts.len(), bench.started.len()), (Status::Failed, 3, 0));
    assert_eq!(job.status_reason.as_deref(), Some("Task failed to start"));
    let container = &job.attempts[0].container;
    assert_eq!(container.reason.as_deref(), Some("CannotPullContainerError: no such host"));
    assert_eq!((container.exit_code, &container.log_stream_name), (None, &None));
    bench.set(json!({"image_pull": 0.25}));
    bench.submit("batchmap", 10_000, 1);
    assert!((7350..7650).contains(&bench.started.len()), "{}", bench.started.len());
    assert_eq!(bench.model.live() as usize, bench.started.len());
}

#[test]
fn a_slow_start_is_starting_and_can_be_stopped() {
    let mut bench = Bench::new(json!({"slow_start": {"time": "5s", "queues": ["batchmap"]}}));
    let (stopped, lost, id) =
        (bench.submit("batchmap", 1, 1), bench.submit("batchmap", 1, 1), bench.submit("batchmap", 1, 1));
    bench.wait(4000);
    assert_eq!((bench.detail(&id).status, bench.started.len()), (Status::Starting, 0));
    bench.input(Input::Terminate(StopJob { job_id: stopped.clone(), reason: "enough".to_owned() }));
    let job = bench.detail(&stopped);
    assert_eq!((job.status, job.status_reason.as_deref()), (Status::Failed, Some("enough")));
    bench.input(Input::LoseHosts(vec![lost.clone()]));
    assert_eq!(bench.detail(&lost).status, Status::Failed);
    assert!(bench.killed.is_empty(), "the runner never had them");
    bench.wait(1000);
    assert_eq!(bench.started.iter().map(|attempt| attempt.job).collect::<Vec<_>>(), [2]);
    assert_eq!(bench.model.live(), 1);
}

#[test]
fn a_summary_is_told_late_and_says_as_of_when() {
    let mut bench = Bench::new(json!({"summary_lag": "5s"}));
    let id = bench.submit("batchmap", 3, 1);
    let told = |bench: &Bench| {
        let job = bench.detail(&id);
        let array = job.array_properties.unwrap();
        (job.status, array.status_summary[&Status::Succeeded], array.status_summary_last_updated_at)
    };
    assert_eq!(told(&bench), (Status::Submitted, 0, Some(1000)));
    bench.wait(1000);
    let attempts = bench.run_all();
    attempts[..2].iter().for_each(|attempt| bench.end(*attempt));
    assert_eq!(bench.detail(&format!("{id}:0")).status, Status::Succeeded, "a child is told at once");
    assert_eq!(told(&bench), (Status::Submitted, 0, Some(1000)));
    bench.wait(4000);
    assert_eq!(told(&bench), (Status::Pending, 2, Some(6000)));
    bench.end(attempts[2]);
    bench.wait(4999);
    assert_eq!(told(&bench), (Status::Pending, 2, Some(6000)));
    assert_eq!(bench.detail(&id).stopped_at, None);
    bench.wait(1);
    assert_eq!((told(&bench).0, told(&bench).1), (Status::Succeeded, 3));
    assert_eq!(bench.detail(&id).stopped_at, Some(6000));
    assert_eq!(bench.model.drills.wake_at(), None);
}

#[test]
fn a_listing_is_late_for_new_jobs_and_for_childrens_states() {
    let mut bench = Bench::new(json!({"listing_lag": "3s"}));
    let id = bench.submit("batchmap", 2, 1);
    let by_name = json!({"jobQueue": "batchmap", "filters": [{"name": "JOB_NAME", "values": ["j"]}]});
    let children = |status: &str| json!({"arrayJobId": id, "jobStatus": status});
    assert!(bench.listed(by_name.clone()).is_empty());
    assert!(bench.listed(children("STARTING")).is_empty(), "the array is not known yet");
    assert_eq!(bench.detail(&id).status, Status::Pending, "DescribeJobs knows it");
    bench.wait(3000);
    assert_eq!(bench.listed(by_name.clone()).len(), 1);
    assert_eq!(bench.listed(children("STARTING")).len(), 2);
    let attempts = bench.run_all();
    attempts.iter().for_each(|attempt| bench.end(*attempt));
    assert_eq!(bench.listed(children("STARTING")).len(), 2);
    assert!(bench.listed(children("SUCCEEDED")).is_empty());
    assert!(bench.listed(json!({"jobQueue": "batchmap", "jobStatus": "SUCCEEDED"})).is_empty());
    bench.wait(3000);
    assert_eq!(bench.listed(children("SUCCEEDED")).len(), 2);
    assert_eq!(bench.listed(json!({"jobQueue": "batchmap", "jobStatus": "SUCCEEDED"})), [id]);
    // Taking the fault away tells everything at once.
    bench.submit("batchmap", 1, 1);
    bench.set(json!({}));
    assert_eq!(bench.listed(by_name).len(), 2);
}

#[test]
fn a_fault_that_is_set_as_it_was_goes_on() {
    let lags = json!({"listing_lag": "1h", "summary_lag": "1h", "spot_loss": {"share": 1, "after": "10s"}});
    let mut bench = Bench::new(lags.clone());
    let id = bench.submit("batchmap", 2, 1);
    let started = bench.run_all();
    let by_name = json!({"jobQueue": "batchmap", "filters": [{"name": "JOB_NAME", "values": ["j"]}]});
    let with = |name: &str, value: Value| {
        let mut faults = lags.clone();
        faults[name] = value;
        faults
    };
    bench.set(with("image_pull", json!(0)));
    assert!(bench.listed(by_name.clone()).is_empty(), "it is as late as it was");
    assert_eq!(bench.detail(&id).status, Status::Submitted);
    // Each of the lags by itself.
    bench.set(with("summary_lag", json!("2h")));
    assert!(bench.listed(by_name.clone()).is_empty());
    assert_eq!(bench.detail(&id).status, Status::Pending);
    bench.set(with("listing_lag", json!("2h")));
    assert_eq!(bench.listed(by_name), [id]);
    bench.wait(10_000);
    assert_eq!(bench.killed, started, "the losses that were drawn come");
    bench.set(json!({"spot_loss": {"share": 1, "after": "10s"}}));
    bench.submit("batchmap", 1, 1);
    bench.run_all();
    bench.set(json!({}));
    bench.wait(10_000);
    assert_eq!(bench.killed, started, "those of a fault that is taken away do not");
}

/// Nothing changes unseen: what is not due is told as it is, and all that is due is in the order that it is told in.
fn check_lag(model: &Model) {
    for late in [&model.drills.lag.summaries, &model.drills.lag.listings] {
        let due: BTreeSet<(u64, u32)> = late.told.iter().filter_map(|(key, told)| Some((told.due?, *key))).collect();
        assert_eq!(late.due, due);
        for (key, told) in late.told.iter().filter(|(_, told)| told.due.is_none()) {
            assert_eq!(told.moves, model.jobs.get(key).map(|job| job.moves), "job {key}");
        }
    }
}

#[test]
fn every_change_becomes_due() {
    let lags =
        json!({"listing_lag": "1s..4s", "summary_lag": "1s..4s", "spot_loss": {"share": 0.2, "after": "1s..3s"}});
    let mut bench = Bench::new(lags);
    for n in 0..60 {
        let before = bench.submit("batchmap", 1 + n % 3, 2);
        let mut waiting = json!({"jobName": "w", "jobQueue": "batchmap", "jobDefinition": "d",
            "dependsOn": [{"jobId": before}]});
        if n % 2 == 0 {
            waiting["arrayProperties"] = json!({"size": 2});
            waiting["dependsOn"] = json!([{"jobId": before}, {"type": "SEQUENTIAL"}]);
        }
        bench.input(Input::Submit(of(waiting)));
        if n % 7 == 0 {
            bench.input(Input::Terminate(StopJob { job_id: before, reason: "why".to_owned() }));
        }
        check_lag(&bench.model);
        let attempts = bench.run_all();
        check_lag(&bench.model);
        attempts.iter().skip(1).for_each(|attempt| bench.end(*attempt));
        check_lag(&bench.model);
        bench.wait(700);
        check_lag(&bench.model);
    }
    while bench.model.unfinished() > 0 {
        bench.run_all().iter().for_each(|attempt| bench.end(*attempt));
        bench.input(Input::LoseHosts(vec![]));
        check_lag(&bench.model);
        bench.wait(4000);
    }
    assert_eq!(bench.model.drills.wake_at(), None);
    assert!(bench.model.drills.lag.listings.told.is_empty(), "all is told");
}

/// It took minutes when each input looked at all jobs.
#[test]
fn many_jobs_are_told_late() {
    let mut bench = Bench::new(json!({"listing_lag": "1s..10s"}));
    (0..30_000).for_each(|_| drop(bench.submit("batchmap", 1, 1)));
    assert!(bench.listed(json!({"jobQueue": "batchmap", "jobStatus": "STARTING"})).is_empty());
    bench.model.tell_what_is_due();
    assert_eq!(bench.model.drills.lag.listings.due.len(), 30_000);
    bench.wait(5000);
    let left = bench.model.drills.lag.listings.due.len();
    assert!((14_000..20_000).contains(&left), "{left}");
    bench.wait(5000);
    check_lag(&bench.model);
    assert_eq!(bench.model.drills.wake_at(), None);
}

#[test]
fn hosts_have_no_more_names_than_there_are_hosts() {
    let mut bench = Bench::new(json!({}));
    bench.submit("batchmap", 10_000, 1);
    bench.input(Input::LoseHosts(vec![]));
    let job = &bench.model.jobs[&0];
    let reason = |child: &super::super::job::Child| bench.model.texts.get(child.last.status_reason).unwrap().to_owned();
    let reasons: BTreeSet<String> = job.children.iter().map(reason).collect();
    assert!((3000..=4096).contains(&reasons.len()), "{}", reasons.len());
}

#[test]
fn a_drill_survives_a_snapshot() {
    let faults = json!({"spot_loss": {"share": 0.5, "after": "1s..9s"}, "slow_start": "2s", "summary_lag": "1s..4s",
        "listing_lag": "2s", "image_pull": 0.2});
    let mut bench = Bench::new(faults);
    bench.submit("batchmap", 50, 3);
    bench.wait(2500);
    bench.run_all();
    let snapshot = serde_json::to_string(&bench.model).unwrap();
    let model = serde_json::from_str(&snapshot).unwrap();
    let mut other = Bench { model, now: bench.now, started: vec![], killed: vec![] };
    for bench in [&mut bench, &mut other] {
        bench.killed.clear();
        bench.wait(20_000);
    }
    assert!(!bench.killed.is_empty());
    assert_eq!((&bench.killed, &bench.started), (&other.killed, &other.started));
    assert_eq!(serde_json::to_string(&bench.model).unwrap(), serde_json::to_string(&other.model).unwrap());
}
