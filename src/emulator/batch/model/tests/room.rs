//! Compute environments, consumable resources, and queues that stand still.

use super::*;
use crate::emulator::batch::model::places::{Amount, ConsumableKind, TimeLimit};

impl Bench {
    /// A model whose definition asks for one vCPU and 512 MiB.
    fn sized(slots: u32) -> Bench {
        let mut bench = Bench::new(slots);
        let resources =
            json!({"resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "512"}]});
        bench.input(Input::Register(of(definition(resources)))).unwrap();
        bench
    }

    fn environment(&mut self, name: &str, vcpus: u64, memory_mib: u64) {
        let capacity = Some(Amount { milli_vcpus: vcpus * 1000, memory_mib, gpus: 0 });
        let environment = Environment { capacity, ..self.model.environments[MAIN].clone() };
        self.model.environments.insert(name.to_owned(), environment);
    }

    fn queue(&mut self, name: &str, priority: i64, environments: &[&str]) {
        let environments = environments.iter().map(|name| (*name).to_owned()).collect();
        let queue = Queue { priority, environments, ..self.model.queues[MAIN].clone() };
        self.model.queues.insert(name.to_owned(), queue);
    }

    fn consumable(&mut self, name: &str, kind: ConsumableKind, total: u64) {
        self.model.consumables.insert(name.to_owned(), Consumable::new(kind, total));
    }

    fn environment_of(&self, start: usize) -> String {
        let found = self.started[start].environment.iter().find(|(name, _)| name == "AWS_BATCH_CE_NAME");
        found.unwrap().1.clone()
    }

    fn reason(&self, id: &str) -> Option<String> {
        self.detail(id).status_reason
    }
}

fn needs(vcpus: &str, memory: &str) -> Value {
    json!({"resourceRequirements": [{"type": "VCPU", "value": vcpus}, {"type": "MEMORY", "value": memory}]})
}

#[test]
fn children_go_to_the_first_environment_with_room() {
    let mut bench = Bench::sized(10);
    bench.environment("small", 2, 2048);
    bench.environment("large", 3, 8192);
    bench.queue("q", 1, &["small", "large"]);
    bench.submit(json!({"jobQueue": "q", "arrayProperties": {"size": 8}}));
    let places: Vec<String> = (0..bench.started.len()).map(|start| bench.environment_of(start)).collect();
    assert_eq!(places, ["small", "small", "large", "large", "large"]);
    bench.finish_next(0);
    assert_eq!((bench.started.len(), bench.environment_of(4)), (5, "small".to_owned()));
    assert_eq!(bench.model.environments["large"].used, Amount { milli_vcpus: 3000, memory_mib: 1536, gpus: 0 });
    while !bench.started.is_empty() {
        bench.finish_next(0);
    }
    for name in ["small", "large"] {
        assert_eq!(bench.model.environments[name].used, Amount::default());
    }
}

#[test]
fn slots_bound_what_environments_would_take() {
    let mut bench = Bench::sized(2);
    bench.environment("e", 8, 8192);
    bench.queue("q", 1, &["e"]);
    bench.submit(json!({"jobQueue": "q", "arrayProperties": {"size": 4}}));
    assert_eq!(bench.started.len(), 2);
    bench.input(Input::Slots(3)).unwrap();
    assert_eq!(bench.started.len(), 3);
}

#[test]
fn a_head_that_does_not_fit_holds_its_own_queue_only() {
    let mut bench = Bench::sized(10);
    bench.environment("e", 4, 8192);
    bench.queue("high", 5, &["e"]);
    bench.queue("low", 1, &["e"]);
    let large = json!({"jobQueue": "high", "containerOverrides": needs("3", "512")});
    bench.submit(large.clone());
    let waiting = bench.submit(large);
    let behind = bench.submit(json!({"jobQueue": "high"}));
    let low = bench.submit(json!({"jobQueue": "low"}));
    assert_eq!((bench.status(&waiting), bench.status(&behind)), (Status::Runnable, Status::Runnable));
    assert_eq!(bench.status(&low), Status::Starting);
    assert_eq!(bench.reason(&waiting), None, "it only waits for room");
    // The higher queue has the room first when it comes.
    bench.submit(json!({"jobQueue": "low"}));
    bench.finish_next(0);
    assert_eq!(bench.status(&waiting), Status::Starting);
    bench.finish_next(0);
    assert_eq!(bench.status(&behind), Status::Starting);
}

#[test]
fn a_head_that_never_fits_is_told_why() {
    let mut bench = Bench::sized(10);
    bench.environment("e", 4, 2048);
    bench.queue("q", 1, &["e"]);
    for (asked, code) in [
        (needs("5", "512"), "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE - "),
        (needs("1", "4096"), "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - "),
    ] {
        let head = bench.submit(json!({"jobQueue": "q", "arrayProperties": {"size": 2}, "containerOverrides": asked}));
        let behind = bench.submit(json!({"jobQueue": "q"}));
        let child = bench.detail(&format!("{head}:0"));
        assert_eq!(child.status, Status::Runnable);
        assert!(child.status_reason.unwrap().starts_with(code));
        assert!(bench.reason(&head).unwrap().starts_with(code), "its parent tells it too");
        assert_eq!((bench.reason(&format!("{head}:1")), bench.reason(&behind)), (None, None));
        bench.stop(&head, false);
        assert_eq!(bench.reason(&head).as_deref(), Some("why"));
        assert_eq!(bench.status(&behind), Status::Starting);
        bench.finish_next(0);
    }
    let id = bench.submit(json!({"jobQueue": "q"}));
    bench.finish_next(0);
    bench.model.environments.get_mut("e").unwrap().enabled = false;
    let head = bench.submit(json!({"jobQueue": "q"}));
    assert!(bench.reason(&head).unwrap().starts_with("ACTION_REQUIRED - "));
    bench.model.environments.get_mut("e").unwrap().enabled = true;
    bench.tick_at(2000);
    assert_eq!((bench.status(&head), bench.reason(&head)), (Status::Starting, None));
    assert_eq!(bench.status(&id), Status::Succeeded);
}

#[test]
fn a_queue_can_limit_how_long_its_head_stays() {
    let mut bench = Bench::sized(10);
    bench.environment("e", 4, 2048);
    bench.queue("q", 1, &["e"]);
    let code = "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT";
    bench.model.queues.get_mut("q").unwrap().time_limits = vec![
        TimeLimit { reason: "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY".to_owned(), seconds: 600 },
        TimeLimit { reason: code.to_owned(), seconds: 700 },
    ];
    bench.now = 5000;
    let head = bench.submit(json!({"jobQueue": "q", "containerOverrides": needs("1", "4096")}));
    let second = bench.submit(json!({"jobQueue": "q", "containerOverrides": needs("1", "4096")}));
    let third = bench.submit(json!({"jobQueue": "q"}));
    assert_eq!(bench.model.wake_at(), Some(705_000));
    bench.tick_at(704_999);
    assert_eq!(bench.status(&head), Status::Runnable);
    bench.tick_at(705_000);
    let detail = bench.detail(&head);
    let reason = format!("Canceled by JobStateTimeLimit action due to reason: {code}");
    assert_eq!((detail.status, detail.status_reason, detail.is_cancelled), (Status::Failed, Some(reason), true));
    assert!(bench.reason(&second).unwrap().starts_with(code), "now it is the head");
    assert_eq!(bench.model.wake_at(), Some(1_405_000));
    bench.tick_at(1_405_000);
    assert_eq!((bench.status(&second), bench.status(&third)), (Status::Failed, Status::Starting));
}

#[test]
fn consumable_resources_bound_who_runs() {
    let mut bench = Bench::sized(10);
    bench.consumable("licence", ConsumableKind::Replenishable, 3);
    let uses = |name: &str, quantity: i64| json!({"consumableResourceList": [{"consumableResource": name, "quantity": quantity}]});
    let mut body = definition(json!({}));
    body["jobDefinitionName"] = json!("licensed");
    bench.input(Input::Register(of(body))).unwrap();
    bench.model.revision_mut("licensed:1").unwrap().request.consumable_resource_properties = Some(uses("licence", 1));
    let retry = json!({"attempts": 2});
    let id = bench.submit(json!({"jobDefinition": "licensed", "arrayProperties": {"size": 5}, "retryStrategy": retry}));
    let arn = "arn:aws:batch:us-east-1:000000000000:consumable-resource/licence";
    let two = bench.submit(json!({"jobDefinition": "licensed", "consumableResourcePropertiesOverride": uses(arn, 2)}));
    let none = bench.submit(json!({"jobQueue": INTERRUPTIBLE}));
    assert_eq!((bench.started.len(), bench.model.consumables["licence"].in_use), (4, 3));
    assert_eq!(bench.status(&none), Status::Starting, "another queue goes on");
    let listed = bench.detail(&two).consumable_resource_properties.unwrap().consumable_resource_list;
    assert_eq!((listed[0].consumable_resource.as_str(), listed[0].quantity), (arn, Some(2)));
    bench.finish_next(1);
    assert_eq!(bench.model.consumables["licence"].in_use, 3, "given back and taken again");
    for _ in 0..6 {
        bench.finish_next(0);
    }
    assert_eq!((bench.status(&id), bench.status(&two)), (Status::Succeeded, Status::Starting));
    assert_eq!(bench.model.consumables["licence"].in_use, 2);
    bench.finish_next(0);
    let licence = &bench.model.consumables["licence"];
    assert_eq!((licence.total, licence.in_use), (3, 0));
}

#[test]
fn what_does_not_come_back_is_used_up() {
    let mut bench = Bench::sized(10);
    bench.consumable("tokens", ConsumableKind::NonReplenishable, 2);
    let uses = json!({"consumableResourceList": [{"consumableResource": "tokens", "quantity": 1}]});
    let id = bench.submit(json!({"arrayProperties": {"size": 3}, "consumableResourcePropertiesOverride": uses}));
    bench.finish_next(0);
    bench.finish_next(1);
    assert_eq!((bench.started.len(), bench.status(&format!("{id}:2"))), (0, Status::Runnable));
    let tokens = &bench.model.consumables["tokens"];
    assert_eq!((tokens.total, tokens.in_use, tokens.available()), (0, 0, 0));
    bench.model.consumables.get_mut("tokens").unwrap().total = 1;
    bench.tick_at(2000);
    assert_eq!(bench.started.len(), 1);
}

#[test]
fn what_was_taken_from_a_deleted_resource_is_not_given_to_a_new_one() {
    for kind in ["REPLENISHABLE", "NON_REPLENISHABLE"] {
        let mut bench = Bench::new(9);
        let make = || {
            PlaceChange::CreateConsumableResource(of(
                json!({"consumableResourceName": "lic", "totalQuantity": 2, "resourceType": kind}),
            ))
        };
        let delete = || PlaceChange::DeleteConsumableResource(of(json!({"consumableResource": "lic"})));
        let uses = json!({"consumableResourceList": [{"consumableResource": "lic", "quantity": 1}]});
        let body = json!({"arrayProperties": {"size": 2}, "consumableResourcePropertiesOverride": uses});
        bench.input(Input::Place(Box::new(make()))).unwrap();
        bench.submit(body.clone());
        bench.input(Input::Place(Box::new(delete()))).unwrap();
        bench.input(Input::Place(Box::new(make()))).unwrap();
        bench.submit(body.clone());
        assert_eq!(bench.started.len(), 4, "the new one is all there");
        bench.submit(body);
        bench.finish_next(0);
        bench.finish_next(0);
        let now = &bench.model.consumables["lic"];
        assert_eq!((now.total, now.in_use, bench.started.len()), (2, 2, 2), "{kind}: nobody may take what others have");
        bench.finish_next(0);
        let left = if kind == "REPLENISHABLE" { (2, 2) } else { (1, 1) };
        let now = &bench.model.consumables["lic"];
        assert_eq!((now.total, now.in_use), left, "{kind}: what was taken from it comes back or is used up");
    }
}

#[test]
fn consumable_requirements_are_checked() {
    let mut bench = Bench::sized(10);
    for n in 0..6 {
        bench.consumable(&format!("r{n}"), ConsumableKind::Replenishable, 1);
    }
    let of_names = |names: Vec<String>| {
        let list: Vec<Value> = names.iter().map(|name| json!({"consumableResource": name, "quantity": 1})).collect();
        json!({"consumableResourcePropertiesOverride": {"consumableResourceList": list}})
    };
    refused(bench.try_submit(of_names(vec!["nope".into()])), "Consumable resource nope does not exist");
    refused(bench.try_submit(of_names((0..6).map(|n| format!("r{n}")).collect())), "at most 5 consumable resources");
    for quantity in [json!(-1), Value::Null] {
        let list = json!([{"consumableResource": "r0", "quantity": quantity}]);
        let more = json!({"consumableResourcePropertiesOverride": {"consumableResourceList": list}});
        refused(bench.try_submit(more), "at least 0");
    }
    bench.submit(of_names((0..5).map(|n| format!("r{n}")).collect()));
}

#[test]
fn a_queue_takes_what_its_environments_are_for() {
    let mut bench = Bench::new(4);
    bench.environment("ec2", 4, 4096);
    bench.environment("fargate", 4, 16_384);
    bench.model.environments.get_mut("fargate").unwrap().kind = "FARGATE".to_owned();
    bench.queue("on-ec2", 1, &["ec2"]);
    bench.queue("on-fargate", 1, &["fargate"]);
    let mut body = definition(json!({"executionRoleArn": "arn:aws:iam::000000000000:role/x",
        "resourceRequirements": [{"type": "VCPU", "value": "0.25"}, {"type": "MEMORY", "value": "512"}]}));
    (body["platformCapabilities"], body["jobDefinitionName"]) = (json!(["FARGATE"]), json!("f"));
    bench.input(Input::Register(of(body))).unwrap();
    refused(bench.try_submit(json!({"jobQueue": "on-fargate"})), "does not hold FARGATE");
    refused(bench.try_submit(json!({"jobQueue": "on-ec2", "jobDefinition": "f"})), "of type EC2");
    bench.submit(json!({"jobQueue": "on-fargate", "jobDefinition": "f"}));
    bench.submit(json!({"jobQueue": "on-ec2"}));
    // The built-in places reserve nothing.
    bench.submit(json!({"jobDefinition": "f"}));
    assert_eq!(bench.started.len(), 3);
}

#[test]
fn a_job_that_will_never_get_its_units_says_so() {
    let mut bench = Bench::new(4);
    bench.consumable("licence", ConsumableKind::Replenishable, 1);
    let needs = |quantity: u64| {
        let list = json!({"consumableResourceList": [{"consumableResource": "licence", "quantity": quantity}]});
        json!({"consumableResourcePropertiesOverride": list})
    };
    let two = bench.submit(needs(2));
    let behind = bench.submit(json!({}));
    assert!(bench.reason(&two).unwrap().contains("needs 2 of the consumable resource licence, which has 1 in all"));
    bench.model.consumables.clear();
    bench.input(Input::Tick).unwrap();
    assert!(bench.reason(&two).unwrap().contains("licence, which the job needs, does not exist"));
    assert_eq!(bench.status(&behind), Status::Runnable);
    bench.stop(&two, true);
    assert_eq!(bench.status(&behind), Status::Starting);
    // One that only waits for another to end has nothing to say.
    bench.consumable("licence", ConsumableKind::Replenishable, 1);
    let (_first, second) = (bench.submit(needs(1)), bench.submit(needs(1)));
    assert_eq!((bench.status(&second), bench.reason(&second)), (Status::Runnable, None));
}
