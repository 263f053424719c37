//! Compute environments, job queues, scheduling policies, consumable resources and tags.

use super::super::api::PlaceChange;
use super::super::places::Amount;
use super::*;

const EC2: &str = "arn:aws:batch:us-east-1:000000000000:compute-environment/ec2";

/// Makes the change that is named, and returns its answer.
fn place(bench: &mut Bench, operation: &str, body: Value) -> Result<Value, Refusal> {
    let change: PlaceChange = of(json!({ operation: body }));
    match bench.input(Input::Place(Box::new(change)))? {
        Reply::Placed(answer) => Ok(answer),
        other => panic!("{other:?}"),
    }
}

fn made(bench: &mut Bench, operation: &str, body: Value) -> Value {
    place(bench, operation, body).unwrap()
}

/// A refusal that says all of `parts`, and has changed nothing.
fn refused(bench: &mut Bench, operation: &str, body: Value, parts: &[&str]) {
    let before = serde_json::to_string(&bench.model).unwrap();
    let message = place(bench, operation, body.clone()).expect_err(&format!("{operation} {body}")).0;
    for part in parts {
        assert!(message.contains(part), "'{message}' should say '{part}'");
    }
    assert_eq!(serde_json::to_string(&bench.model).unwrap(), before, "{operation} {body} has changed something");
}

fn ec2(name: &str) -> Value {
    json!({
        "computeEnvironmentName": name, "type": "MANAGED",
        "computeResources": {
            "type": "EC2", "allocationStrategy": "BEST_FIT_PROGRESSIVE", "minvCpus": 0, "maxvCpus": 8,
            "instanceTypes": ["c5"], "subnets": ["subnet-1"], "securityGroupIds": ["sg-1"], "instanceRole": "role",
        },
    })
}

fn fargate(name: &str) -> Value {
    json!({
        "computeEnvironmentName": name, "type": "MANAGED",
        "computeResources": {"type": "FARGATE", "maxvCpus": 4, "subnets": ["subnet-1"], "securityGroupIds": ["sg-1"]},
    })
}

/// `body` with one member of `computeResources` replaced, or removed when null.
fn with(mut body: Value, field: &str, value: Value) -> Value {
    let resources = body["computeResources"].as_object_mut().unwrap();
    match value {
        Value::Null => drop(resources.remove(field)),
        value => drop(resources.insert(field.to_owned(), value)),
    }
    body
}

fn queue(name: &str, environments: &[&str]) -> Value {
    let order: Vec<Value> =
        (1..).zip(environments).map(|(order, name)| json!({"order": order, "computeEnvironment": name})).collect();
    json!({"jobQueueName": name, "priority": 1, "computeEnvironmentOrder": order})
}

fn environment(bench: &Bench, name: &str) -> Option<Value> {
    let body = json!({"computeEnvironments": [name]});
    let answer = bench.model.describe_compute_environments(&of(body)).unwrap();
    answer["computeEnvironments"].as_array().unwrap().first().cloned()
}

fn queue_of(bench: &Bench, name: &str) -> Option<Value> {
    let answer = bench.model.describe_job_queues(&of(json!({"jobQueues": [name]}))).unwrap();
    answer["jobQueues"].as_array().unwrap().first().cloned()
}

#[test]
fn an_environment_lives_and_dies() {
    let mut bench = Bench::new(4);
    let mut body = ec2("ec2");
    body["tags"] = json!({"team": "a"});
    let answer = made(&mut bench, "CreateComputeEnvironment", body);
    assert_eq!(answer, json!({"computeEnvironmentName": "ec2", "computeEnvironmentArn": EC2}));
    let told = environment(&bench, EC2).unwrap();
    assert_eq!(told["tags"], json!({"team": "a"}));
    assert_eq!(
        (&told["status"], &told["state"], &told["type"]),
        (&json!("VALID"), &json!("ENABLED"), &json!("MANAGED"))
    );
    let resources = &told["computeResources"];
    assert_eq!((&resources["desiredvCpus"], &resources["maxvCpus"]), (&json!(0), &json!(8)));
    assert_eq!(resources["ec2Configuration"], json!([{"imageType": "ECS_AL2023"}]));
    assert_eq!(bench.model.environments["ec2"].capacity, Some(amount(8000, 16 * 1024)));

    let update = json!({"computeEnvironment": "ec2", "state": "DISABLED", "computeResources": {"maxvCpus": 4}});
    made(&mut bench, "UpdateComputeEnvironment", update);
    let told = environment(&bench, "ec2").unwrap();
    assert_eq!((&told["state"], &told["computeResources"]["maxvCpus"]), (&json!("DISABLED"), &json!(4)));
    assert_eq!(bench.model.environments["ec2"].capacity, Some(amount(4000, 8 * 1024)));

    bench.model.environments.get_mut("ec2").unwrap().used = amount(1000, 0);
    made(&mut bench, "DeleteComputeEnvironment", json!({"computeEnvironment": EC2}));
    assert_eq!(environment(&bench, "ec2").unwrap()["status"], "DELETING", "its child still runs");
    refused(&mut bench, "CreateJobQueue", queue("q", &["ec2"]), &["ec2", "does not exist"]);
    refused(&mut bench, "UpdateComputeEnvironment", json!({"computeEnvironment": "ec2"}), &["does not exist"]);
    bench.model.environments.get_mut("ec2").unwrap().used = Amount::default();
    bench.input(Input::Tick).unwrap();
    assert_eq!(environment(&bench, "ec2"), None);
    refused(&mut bench, "DeleteComputeEnvironment", json!({"computeEnvironment": "ec2"}), &["ec2 does not exist"]);
    made(&mut bench, "CreateComputeEnvironment", ec2("ec2"));
    assert_eq!(environment(&bench, "ec2").unwrap()["tags"], json!({}), "tags die with their resource");
}

fn amount(milli_vcpus: u64, memory_mib: u64) -> Amount {
    Amount { milli_vcpus, memory_mib, gpus: 0 }
}

#[test]
fn environments_are_checked_by_their_kind() {
    let mut bench = Bench::new(4);
    made(&mut bench, "CreateComputeEnvironment", fargate("f"));
    for (body, parts) in [
        (fargate("f"), &["Object already exists", "f"][..]),
        (fargate("bad name"), &["computeEnvironmentName 'bad name'"]),
        (json!({"computeEnvironmentName": "x", "type": "OTHER"}), &["type", "OTHER"]),
        (json!({"computeEnvironmentName": "x", "type": "MANAGED"}), &["computeResources"]),
        (json!({"computeEnvironmentName": "x", "type": "UNMANAGED"}), &["serviceRole"]),
        (with(ec2("x"), "type", json!("LAMBDA")), &["computeResources.type", "LAMBDA"]),
        (with(ec2("x"), "maxvCpus", Value::Null), &["maxvCpus"]),
        (with(ec2("x"), "maxvCpus", json!(-1)), &["maxvCpus", "-1"]),
        (with(ec2("x"), "minvCpus", json!(9)), &["minvCpus", "9"]),
        (with(ec2("x"), "desiredvCpus", json!(9)), &["desiredvCpus", "9"]),
        (with(ec2("x"), "subnets", json!([])), &["subnets"]),
        (with(ec2("x"), "instanceRole", Value::Null), &["instanceRole"]),
        (with(ec2("x"), "instanceTypes", Value::Null), &["instanceTypes"]),
        (with(ec2("x"), "instanceTypes", json!(["m6g", "m5"])), &["instanceTypes", "ARM"]),
        (with(ec2("x"), "securityGroupIds", Value::Null), &["securityGroupIds", "launchTemplate"]),
        (with(ec2("x"), "allocationStrategy", json!("SPOT_CAPACITY_OPTIMIZED")), &["allocationStrategy", "EC2"]),
        (with(ec2("x"), "launchTemplate", json!({"version": "1"})), &["launchTemplateId"]),
        (with(ec2("x"), "managedInstancesProvider", json!({})), &["managedInstancesProvider"]),
        (
            with(with(ec2("x"), "type", json!("SPOT")), "allocationStrategy", Value::Null),
            &["spotIamFleetRole", "BEST_FIT"],
        ),
        (with(with(ec2("x"), "type", json!("SPOT")), "bidPercentage", json!(101)), &["bidPercentage", "101"]),
        (with(fargate("x"), "instanceTypes", json!(["c5"])), &["instanceTypes", "FARGATE"]),
        (with(fargate("x"), "minvCpus", json!(0)), &["minvCpus"]),
        (with(fargate("x"), "securityGroupIds", json!([])), &["securityGroupIds"]),
        (with(fargate("x"), "type", json!("ECS_MANAGED_INSTANCES")), &["managedInstancesProvider"]),
    ] {
        refused(&mut bench, "CreateComputeEnvironment", body, parts);
    }
    let mut eks = ec2("eks");
    eks["eksConfiguration"] = json!({"eksClusterArn": "arn:aws:eks:us-east-1:0:cluster/c"});
    refused(&mut bench, "CreateComputeEnvironment", eks.clone(), &["kubernetesNamespace"]);
    eks["eksConfiguration"]["kubernetesNamespace"] = json!("n");
    made(&mut bench, "CreateComputeEnvironment", eks.clone());
    let told = environment(&bench, "eks").unwrap();
    assert_eq!(
        (&told["eksConfiguration"], &told["containerOrchestrationType"]),
        (&eks["eksConfiguration"], &json!("EKS"))
    );
    assert_eq!(bench.model.environments["eks"].capacity, Some(Amount::default()), "it takes no jobs");
}

#[test]
fn there_are_at_most_fifty_of_each() {
    let mut bench = Bench::new(1);
    for n in 2..50 {
        made(&mut bench, "CreateComputeEnvironment", fargate(&format!("f{n}")));
        made(&mut bench, "CreateJobQueue", queue(&format!("q{n}"), &["f2"]));
    }
    refused(&mut bench, "CreateComputeEnvironment", fargate("more"), &["50"]);
    refused(&mut bench, "CreateJobQueue", queue("more", &["f2"]), &["50"]);
    let page = bench.model.describe_job_queues(&of(json!({"maxResults": 30}))).unwrap();
    let next = bench.model.describe_job_queues(&of(json!({"maxResults": 30, "nextToken": page["nextToken"]}))).unwrap();
    let count = |page: &Value| page["jobQueues"].as_array().unwrap().len();
    assert_eq!((count(&page), count(&next), next.get("nextToken")), (30, 20, None));
}

#[test]
fn what_an_update_may_change() {
    let mut bench = Bench::new(4);
    made(&mut bench, "CreateComputeEnvironment", with(ec2("best"), "allocationStrategy", Value::Null));
    made(&mut bench, "CreateComputeEnvironment", with(ec2("ec2"), "imageId", json!("ami-1")));
    made(&mut bench, "CreateComputeEnvironment", fargate("f"));
    let update = |name: &str, resources: Value| json!({"computeEnvironment": name, "computeResources": resources});
    for (body, parts) in [
        (update("best", json!({"instanceTypes": ["m5"]})), &["instanceTypes", "BEST_FIT"][..]),
        (update("ec2", json!({"type": "FARGATE"})), &["type", "EC2", "FARGATE"]),
        (update("ec2", json!({"allocationStrategy": "BEST_FIT"})), &["BEST_FIT"]),
        (update("ec2", json!({"minvCpus": 9})), &["minvCpus"]),
        (update("f", json!({"instanceTypes": ["m5"]})), &["instanceTypes"]),
        (json!({"computeEnvironment": "ec2", "unmanagedvCpus": 1}), &["UNMANAGED"]),
        (json!({"computeEnvironment": "ec2", "state": "ON"}), &["state", "ON"]),
        (json!({"computeEnvironment": "ec2", "updatePolicy": {"jobExecutionTimeoutMinutes": 0}}), &["Minutes"]),
    ] {
        refused(&mut bench, "UpdateComputeEnvironment", body, parts);
    }
    made(&mut bench, "UpdateComputeEnvironment", update("best", json!({"maxvCpus": 2, "instanceTypes": ["c5"]})));
    made(
        &mut bench,
        "UpdateComputeEnvironment",
        update("ec2", json!({"type": "SPOT", "imageId": "", "subnets": ["b"]})),
    );
    let told = environment(&bench, "ec2").unwrap();
    assert_eq!(told["computeResources"]["type"], "SPOT");
    assert_eq!((told["computeResources"].get("imageId"), &told["computeResources"]["subnets"]), (None, &json!(["b"])));
    made(&mut bench, "UpdateComputeEnvironment", update("ec2", json!({"desiredvCpus": 4})));
    for (bounds, desired) in [(json!({"maxvCpus": 2}), 2), (json!({"minvCpus": 3, "maxvCpus": 8}), 3)] {
        made(&mut bench, "UpdateComputeEnvironment", update("ec2", bounds));
        assert_eq!(environment(&bench, "ec2").unwrap()["computeResources"]["desiredvCpus"], desired);
    }
    made(&mut bench, "UpdateComputeEnvironment", update("f", json!({"subnets": [], "maxvCpus": 1})));
    assert_eq!(environment(&bench, "f").unwrap()["computeResources"]["subnets"], json!(["subnet-1"]));
    made(&mut bench, "UpdateComputeEnvironment", update(MAIN, json!({"maxvCpus": 3})));
    assert_eq!(bench.model.environments[MAIN].capacity, Some(amount(3000, 12 * 1024)));
}

#[test]
fn queues_are_checked_and_echoed() {
    let mut bench = Bench::new(4);
    made(&mut bench, "CreateComputeEnvironment", ec2("ec2"));
    made(&mut bench, "CreateComputeEnvironment", with(ec2("arm"), "instanceTypes", json!(["m6g"])));
    made(&mut bench, "CreateComputeEnvironment", fargate("f"));
    let limit = |field: &str, value: Value| {
        let mut action = json!({"reason": "r", "state": "RUNNABLE", "maxTimeSeconds": 600, "action": "CANCEL"});
        action[field] = value;
        let mut body = queue("q", &["f"]);
        body["jobStateTimeLimitActions"] = json!([action]);
        body
    };
    let mut services = queue("q", &["f"]);
    services["serviceEnvironmentOrder"] = json!([{"order": 1, "serviceEnvironment": "s"}]);
    let mut kind = queue("q", &["f"]);
    kind["jobQueueType"] = json!("ECS");
    let mut policy = queue("q", &["f"]);
    policy["schedulingPolicyArn"] = json!("arn:aws:batch:us-east-1:000000000000:scheduling-policy/p");
    for (body, parts) in [
        (queue(MAIN, &["f"]), &["Object already exists"][..]),
        (queue("-q", &["f"]), &["jobQueueName '-q'"]),
        (queue("q", &[]), &["1 to 3", "holds 0"]),
        (queue("q", &["f", "f"]), &["twice"]),
        (queue("q", &["f", "ec2"]), &["mixed", "FARGATE", "EC2"]),
        (queue("q", &["ec2", "arm"]), &["ARM"]),
        (queue("q", &["nope"]), &["nope", "does not exist"]),
        (services, &["serviceEnvironmentOrder"]),
        (kind, &["jobQueueType", "ECS_FARGATE"]),
        (policy.clone(), &["schedulingPolicyArn", "does not exist"]),
        (limit("maxTimeSeconds", json!(599)), &["maxTimeSeconds", "599"]),
        (limit("state", json!("RUNNING")), &["state", "RUNNING"]),
        (limit("action", json!("TERMINATE")), &["action", "TERMINATE"]),
        (limit("reason", json!("")), &["reason"]),
    ] {
        refused(&mut bench, "CreateJobQueue", body, parts);
    }
    let mut body = limit("reason", json!("CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY"));
    body["computeEnvironmentOrder"][0]["order"] = json!(7);
    body["tags"] = json!({"a": "b"});
    made(&mut bench, "CreateJobQueue", body.clone());
    let told = queue_of(&bench, "q").unwrap();
    for field in ["jobStateTimeLimitActions", "tags", "priority"] {
        assert_eq!(told[field], body[field]);
    }
    assert_eq!(
        (&told["computeEnvironmentOrder"][0]["order"], &told["jobQueueType"]),
        (&json!(7), &json!("ECS_FARGATE"))
    );
    refused(&mut bench, "DeleteComputeEnvironment", json!({"computeEnvironment": "f"}), &["ENABLED"]);
    made(&mut bench, "UpdateComputeEnvironment", json!({"computeEnvironment": "f", "state": "DISABLED"}));
    let parts = ["Cannot delete, found existing JobQueue relationship", "q"];
    refused(&mut bench, "DeleteComputeEnvironment", json!({"computeEnvironment": "f"}), &parts);

    let update = json!({
        "jobQueue": "q", "priority": 9, "state": "DISABLED", "jobStateTimeLimitActions": [],
        "computeEnvironmentOrder": [{"order": 2, "computeEnvironment": "ec2"}, {"order": 1, "computeEnvironment": MAIN}],
    });
    made(&mut bench, "UpdateJobQueue", update);
    assert_eq!(bench.model.queues["q"].environments, [MAIN, "ec2"]);
    let told = queue_of(&bench, "q").unwrap();
    assert_eq!((&told["priority"], &told["state"]), (&json!(9), &json!("DISABLED")));
    assert_eq!(told["jobStateTimeLimitActions"], json!([]));
    refused(&mut bench, "UpdateJobQueue", json!({"jobQueue": "nope"}), &["nope does not exist"]);
    refused(&mut bench, "DeleteJobQueue", json!({"jobQueue": MAIN}), &["ENABLED", "DISABLED"]);
    made(&mut bench, "DeleteJobQueue", json!({"jobQueue": "q"}));
    assert_eq!(queue_of(&bench, "q"), None);
    refused(&mut bench, "DeleteJobQueue", json!({"jobQueue": "q"}), &["q does not exist"]);
}

#[test]
fn a_deleted_queue_ends_its_jobs() {
    let mut bench = Bench::new(1);
    let (first, second) = (bench.array(2), bench.submit(json!({"jobQueue": INTERRUPTIBLE})));
    let running = bench.started.remove(0).attempt;
    bench.run(running);
    made(&mut bench, "UpdateJobQueue", json!({"jobQueue": MAIN, "state": "DISABLED"}));
    made(&mut bench, "DeleteJobQueue", json!({"jobQueue": MAIN}));
    assert_eq!(bench.signalled, [(running, Stop::Term)]);
    bench.end(running, End::exited(143));
    let parent = bench.detail(&first);
    assert_eq!((parent.status, parent.status_reason.as_deref()), (Status::Failed, Some("The job's queue was deleted")));
    assert_eq!(bench.status(&second), Status::Starting, "other queues go on");
    super::refused(bench.try_submit(json!({})), "does not exist");
}

#[test]
fn policies_are_kept_while_they_are_used() {
    let mut bench = Bench::new(1);
    let policy = json!({
        "shareDecaySeconds": 60, "computeReservation": 5,
        "shareDistribution": [{"shareIdentifier": "a*", "weightFactor": 0.5}, {"shareIdentifier": "b"}],
    });
    let body = json!({"name": "p", "fairsharePolicy": policy, "tags": {"a": "b"}});
    let arn = made(&mut bench, "CreateSchedulingPolicy", body.clone())["arn"].clone();
    assert_eq!(arn, "arn:aws:batch:us-east-1:000000000000:scheduling-policy/p");
    refused(&mut bench, "CreateSchedulingPolicy", body, &["already exists"]);
    let quota = json!({"name": "x", "quotaSharePolicy": {"idleResourceAssignmentStrategy": "FIFO"}});
    refused(&mut bench, "CreateSchedulingPolicy", quota, &["quotaSharePolicy"]);
    let bad = json!({"name": "x", "fairsharePolicy": {"computeReservation": 100}});
    refused(&mut bench, "CreateSchedulingPolicy", bad, &["computeReservation", "100"]);
    let told = |bench: &Bench| {
        let body = json!({"arns": [arn, "arn:aws:batch:us-east-1:000000000000:scheduling-policy/none"]});
        bench.model.describe_scheduling_policies(&of(body)).unwrap()["schedulingPolicies"].clone()
    };
    assert_eq!(told(&bench), json!([{"name": "p", "arn": arn, "tags": {"a": "b"}, "fairsharePolicy": policy}]));

    let mut fair = queue("fair", &[MAIN]);
    fair["schedulingPolicyArn"] = arn.clone();
    made(&mut bench, "CreateJobQueue", fair);
    assert_eq!(queue_of(&bench, "fair").unwrap()["schedulingPolicyArn"], arn);
    refused(&mut bench, "DeleteSchedulingPolicy", json!({"arn": arn}), &["Cannot delete", "fair"]);
    for (name, policy, part) in [("fair", json!(""), "not removed"), (MAIN, arn.clone(), "created without one")] {
        refused(&mut bench, "UpdateJobQueue", json!({"jobQueue": name, "schedulingPolicyArn": policy}), &[part]);
    }
    made(&mut bench, "CreateSchedulingPolicy", json!({"name": "other"}));
    let other = "arn:aws:batch:us-east-1:000000000000:scheduling-policy/other";
    made(&mut bench, "UpdateJobQueue", json!({"jobQueue": "fair", "schedulingPolicyArn": other}));
    made(&mut bench, "UpdateSchedulingPolicy", json!({"arn": arn, "fairsharePolicy": {"computeReservation": 1}}));
    assert_eq!(told(&bench)[0]["fairsharePolicy"], json!({"computeReservation": 1}));
    let listed = bench.model.list_scheduling_policies(&of(json!({"maxResults": 1}))).unwrap();
    assert_eq!(listed["schedulingPolicies"], json!([{"arn": other}]));
    made(&mut bench, "DeleteSchedulingPolicy", json!({"arn": arn}));
    assert_eq!(told(&bench), json!([]));
    refused(&mut bench, "DeleteSchedulingPolicy", json!({"arn": arn}), &["does not exist"]);
}

#[test]
fn consumable_resources_are_counted() {
    let mut bench = Bench::new(1);
    made(&mut bench, "CreateConsumableResource", json!({"consumableResourceName": "lic", "totalQuantity": 5}));
    let more = json!({"consumableResourceName": "Tokens", "resourceType": "NON_REPLENISHABLE", "tags": {"a": "b"}});
    made(&mut bench, "CreateConsumableResource", more);
    for (body, part) in [
        (json!({"consumableResourceName": "lic"}), "already exists"),
        (json!({"consumableResourceName": "x", "totalQuantity": -1}), "totalQuantity"),
        (json!({"consumableResourceName": "x", "resourceType": "SOME"}), "resourceType"),
    ] {
        refused(&mut bench, "CreateConsumableResource", body, &[part]);
    }
    let told = |bench: &Bench, name: &str| {
        bench.model.describe_consumable_resource(&of(json!({"consumableResource": name}))).unwrap()
    };
    let tokens = told(&bench, "Tokens");
    assert_eq!((&tokens["resourceType"], &tokens["totalQuantity"]), (&json!("NON_REPLENISHABLE"), &json!(0)));
    assert_eq!((&tokens["tags"], &tokens["createdAt"]), (&json!({"a": "b"}), &json!(1000)));
    let update = |operation: &str, quantity: i64, token: Option<&str>| {
        let mut body = json!({"consumableResource": "lic", "operation": operation, "quantity": quantity});
        if let Some(token) = token {
            body["clientToken"] = json!(token);
        }
        body
    };
    for (body, total) in [
        (update("ADD", 3, Some("t")), 8),
        (update("ADD", 3, Some("t")), 8),
        (update("ADD", 3, None), 11),
        (update("REMOVE", 1, None), 10),
        (update("SET", 2, None), 2),
    ] {
        assert_eq!(made(&mut bench, "UpdateConsumableResource", body)["totalQuantity"], total);
    }
    refused(&mut bench, "UpdateConsumableResource", update("REMOVE", 3, None), &["quantity 3", "2"]);
    refused(&mut bench, "UpdateConsumableResource", update("ADD", i64::MAX, None), &["too much"]);
    refused(&mut bench, "UpdateConsumableResource", update("PUT", 3, None), &["operation", "PUT"]);
    refused(&mut bench, "UpdateConsumableResource", update("SET", 1, Some("t")), &["clientToken 't'"]);
    bench.now += 8 * 60 * 60 * 1000;
    assert_eq!(
        made(&mut bench, "UpdateConsumableResource", update("ADD", 3, Some("t")))["totalQuantity"],
        5,
        "too old"
    );
    let list = |body: Value| bench.model.list_consumable_resources(&of(body)).unwrap()["consumableResources"].clone();
    let filter = |value: &str| json!({"filters": [{"name": "CONSUMABLE_RESOURCE_NAME", "values": [value]}]});
    assert_eq!(list(filter("TOK*"))[0]["consumableResourceName"], "Tokens");
    assert_eq!(list(filter("tok")), json!([]));
    assert_eq!(list(json!({})).as_array().unwrap().len(), 2);
    made(&mut bench, "DeleteConsumableResource", json!({"consumableResource": "lic"}));
    refused(&mut bench, "DeleteConsumableResource", json!({"consumableResource": "lic"}), &["does not exist"]);
}

#[test]
fn everything_that_has_an_arn_has_tags() {
    let mut bench = Bench::new(1);
    let job = bench.array(2);
    made(&mut bench, "CreateSchedulingPolicy", json!({"name": "p"}));
    made(&mut bench, "CreateConsumableResource", json!({"consumableResourceName": "c"}));
    let arn = |resource: &str| format!("arn:aws:batch:us-east-1:000000000000:{resource}");
    let resources = [&format!("job/{job}"), "job-definition/d:1", "job-queue/batchmap", "compute-environment/batchmap"];
    for resource in resources.into_iter().chain(["scheduling-policy/p", "consumable-resource/c"]) {
        let arn = arn(resource);
        made(&mut bench, "TagResource", json!({"resourceArn": arn, "tags": {"a": "1", "b": "2"}}));
        made(&mut bench, "TagResource", json!({"resourceArn": arn, "tags": {"b": "3", "c": "4"}}));
        made(&mut bench, "UntagResource", json!({"resourceArn": arn, "tagKeys": ["a", "none"]}));
        assert_eq!(bench.model.list_tags(&arn).unwrap(), json!({"tags": {"b": "3", "c": "4"}}), "{arn}");
    }
    assert_eq!(environment(&bench, MAIN).unwrap()["tags"], json!({"b": "3", "c": "4"}));
    assert_eq!(bench.detail(&job).tags.len(), 2);
    let many: BTreeMap<String, &str> = (0..49).map(|n| (format!("k{n}"), "v")).collect();
    let queue = arn("job-queue/batchmap");
    for (body, part) in [
        (json!({"resourceArn": queue, "tags": {"aws:x": "1"}}), "aws:x"),
        (json!({"resourceArn": queue, "tags": {"": "1"}}), "1 to 128"),
        (json!({"resourceArn": queue, "tags": {"k": "v".repeat(257)}}), "256"),
        (json!({"resourceArn": queue, "tags": many}), "50"),
        (json!({"resourceArn": arn("job-queue/none"), "tags": {"a": "b"}}), "does not exist"),
        (json!({"resourceArn": arn(&format!("job/{job}:0")), "tags": {"a": "b"}}), "not to children"),
        (json!({"resourceArn": "batchmap", "tags": {"a": "b"}}), "resourceArn 'batchmap'"),
    ] {
        refused(&mut bench, "TagResource", body, &[part]);
    }
    refused(&mut bench, "UntagResource", json!({"resourceArn": queue, "tagKeys": []}), &["tagKeys"]);
}
