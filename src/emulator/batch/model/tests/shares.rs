//! Queues with a scheduling policy.

use super::*;
use crate::emulator::batch::model::api::FairsharePolicy;
use crate::emulator::batch::model::places::ConsumableKind;

/// A model with a queue `fair` of these rules.
fn fair(slots: u32, rules: Value) -> Bench {
    let mut bench = Bench::new(slots);
    let policy = Policy { fairshare: Some(of::<FairsharePolicy>(rules)) };
    bench.model.policies.insert("p".to_owned(), policy);
    let queue = Queue { policy: Some("p".to_owned()), ..bench.model.queues[MAIN].clone() };
    bench.model.queues.insert("fair".to_owned(), queue);
    bench
}

impl Bench {
    fn submit_share(&mut self, share: &str, size: u32) -> String {
        self.submit(json!({"jobQueue": "fair", "shareIdentifier": share, "arrayProperties": {"size": size}}))
    }

    /// The share of each start.
    fn shares(&self) -> String {
        self.started.iter().map(|start| self.model.jobs[&start.attempt.job].share.as_str()).collect()
    }
}

#[test]
fn share_identifiers_belong_to_scheduling_policies() {
    let mut bench = fair(1, json!({}));
    for share in [json!(""), json!("a-b"), json!("*"), json!("a*b"), json!("x".repeat(256)), Value::Null] {
        refused(bench.try_submit(json!({"jobQueue": "fair", "shareIdentifier": share})), "shareIdentifier");
    }
    for priority in [-1, 10_000] {
        let more = json!({"jobQueue": "fair", "shareIdentifier": "a", "schedulingPriorityOverride": priority});
        refused(bench.try_submit(more), "between 0 and 9999");
    }
    refused(bench.try_submit(json!({"shareIdentifier": "a"})), "scheduling policy");
    refused(bench.try_submit(json!({"schedulingPriorityOverride": 10_000})), "between 0 and 9999");
    let id = bench.submit(json!({"jobQueue": "fair", "shareIdentifier": "a1*", "schedulingPriorityOverride": 9999}));
    let detail = bench.detail(&id);
    assert_eq!((detail.share_identifier.as_deref(), detail.scheduling_priority), (Some("a1*"), Some(9999)));
    let listed = |more: Value| {
        let mut body = json!({"jobQueue": "fair", "filters": [{"name": "SHARE_IDENTIFIER", "values": ["a1*"]}]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        bench.list(body).job_summary_list
    };
    assert_eq!(listed(json!({}))[0].share_identifier.as_deref(), Some("a1*"));
    assert_eq!(
        (listed(json!({"jobStatus": "STARTING"})).len(), listed(json!({"jobStatus": "RUNNABLE"})).len()),
        (1, 0)
    );
}

#[test]
fn a_priority_is_of_no_effect_without_a_policy() {
    let mut bench = Bench::new(0);
    let first = bench.submit(json!({"schedulingPriorityOverride": 1}));
    let second = bench.submit(json!({"schedulingPriorityOverride": 9}));
    bench.input(Input::Slots(2)).unwrap();
    let ids: Vec<&str> = bench.started.iter().map(|start| start.job_id.as_str()).collect();
    assert_eq!(ids, [&first, &second]);
}

#[test]
fn shares_take_turns() {
    let mut bench = fair(4, json!({}));
    bench.submit(json!({"jobName": "gate"}));
    bench.input(Input::Slots(0)).unwrap();
    bench.submit_share("a", 20);
    bench.submit_share("b", 20);
    bench.started.clear();
    bench.input(Input::Slots(9)).unwrap();
    assert_eq!(bench.shares(), "abababab", "whoever came first");
    // A share that comes later is behind what the others have had, and catches up.
    bench.now += 60_000;
    bench.submit_share("c", 20);
    for _ in 0..3 {
        bench.finish_next(0);
    }
    assert!(bench.shares().ends_with("ccc"), "{}", bench.shares());
}

#[test]
fn half_the_weight_gets_twice_the_resources() {
    let rules =
        json!({"shareDistribution": [{"shareIdentifier": "a", "weightFactor": 0.5}, {"shareIdentifier": "b*"}]});
    let mut bench = fair(0, rules);
    bench.submit_share("a", 50);
    bench.submit_share("b7", 50);
    bench.input(Input::Slots(30)).unwrap();
    let of_a = bench.shares().matches('a').count();
    assert_eq!((of_a, bench.started.len()), (20, 30));
}

#[test]
fn the_past_counts_and_fades() {
    let mut bench = fair(1, json!({"shareDecaySeconds": 100}));
    bench.submit_share("a", 9);
    bench.now += 100_000;
    bench.submit_share("b", 9);
    let told: Vec<String> = {
        let snapshot = bench.model.get_job_queue_snapshot(&of(json!({"jobQueue": "fair"}))).unwrap();
        assert_eq!(snapshot.queue_utilization.fairshare_utilization.unwrap().active_share_count, 1);
        snapshot.front_of_queue.jobs.into_iter().map(|job| job.job_arn).collect()
    };
    bench.finish_next(0);
    assert_eq!(bench.shares(), "b", "a has had its part");
    assert!(told[0].ends_with(&bench.started[0].job_id), "as the snapshot said");
    bench.now += 50_000;
    bench.finish_next(0);
    assert_eq!(bench.shares(), "a", "b has had 50 s just now, of a's 100 s less than half is left");
}

#[test]
fn the_higher_priority_goes_first_within_its_share() {
    let mut bench = fair(0, json!({}));
    let mut submit = |share: &str, priority: i64| {
        bench.submit(json!({"jobQueue": "fair", "shareIdentifier": share, "schedulingPriorityOverride": priority}))
    };
    let (low, high, other) = (submit("a", 1), submit("a", 5), submit("b", 0));
    bench.input(Input::Slots(3)).unwrap();
    let ids: Vec<&str> = bench.started.iter().map(|start| start.job_id.as_str()).collect();
    assert_eq!(ids, [&high, &other, &low]);
}

#[test]
fn a_share_that_cannot_start_lets_others_pass() {
    let mut bench = fair(9, json!({}));
    bench.model.consumables.insert("r".to_owned(), Consumable::new(ConsumableKind::Replenishable, 0));
    let uses = json!({"consumableResourceList": [{"consumableResource": "r", "quantity": 1}]});
    bench.submit(json!({"jobQueue": "fair", "shareIdentifier": "a", "consumableResourcePropertiesOverride": uses}));
    bench.submit_share("b", 2);
    assert_eq!(bench.shares(), "bb");
}

#[test]
fn a_part_is_kept_for_shares_to_come() {
    let mut bench = fair(8, json!({"computeReservation": 50}));
    bench.submit_share("a", 20);
    assert_eq!(bench.started.len(), 4, "half is kept while one share is active");
    bench.submit_share("b", 20);
    assert_eq!(bench.shares(), "aaaabb", "a quarter while two are");
    // A place of one vCPU has nothing to keep back.
    let mut bench = fair(1, json!({"computeReservation": 99}));
    bench.submit_share("a", 2);
    assert_eq!(bench.started.len(), 1);
}

#[test]
fn a_queue_has_five_hundred_active_shares() {
    let mut bench = fair(0, json!({}));
    for n in 0..500 {
        bench.submit(json!({"jobQueue": "fair", "shareIdentifier": format!("s{n}")}));
    }
    let more = json!({"jobQueue": "fair", "shareIdentifier": "s500"});
    refused(bench.try_submit(more.clone()), "one too many");
    bench.submit(json!({"jobQueue": "fair", "shareIdentifier": "s499"}));
    bench.input(Input::Slots(1)).unwrap();
    bench.finish_next(0);
    bench.submit(more);
}
