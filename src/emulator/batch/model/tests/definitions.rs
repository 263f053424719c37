//! Job definitions, queues and environments.

use super::*;

#[test]
fn definitions_have_revisions() {
    let mut bench = Bench::new(1);
    for revision in 2..=3 {
        let reply = bench.input(Input::Register(of(definition(json!({}))))).unwrap();
        assert!(
            matches!(reply, Reply::Registered(registered) if registered.revision == revision),
            "even of the same content"
        );
    }
    let deregister = |name: &str| Input::Deregister(DeregisterJobDefinition { job_definition: name.to_owned() });
    bench.input(deregister("d:3")).unwrap();
    refused(bench.input(deregister("d")), "does not exist");
    refused(bench.input(deregister("d:9")), "does not exist");
    refused(bench.try_submit(json!({"jobDefinition": "d:3"})), "INACTIVE");
    let id = bench.submit(json!({}));
    assert!(bench.detail(&id).job_definition.ends_with("job-definition/d:2"), "the newest active one");
    let describe = |body: Value| {
        let list = bench.model.describe_job_definitions(&of::<DescribeJobDefinitions>(body)).unwrap();
        let revisions: Vec<u64> = list.job_definitions.iter().map(|d| d["revision"].as_u64().unwrap()).collect();
        (revisions, list.next_token)
    };
    assert_eq!(describe(json!({"jobDefinitionName": "d"})), (vec![3, 2, 1], None));
    let (first, token) = describe(json!({"jobDefinitionName": "d", "status": "ACTIVE", "maxResults": 1}));
    assert_eq!((first, token.is_some()), (vec![2], true));
    assert_eq!(describe(json!({"status": "ACTIVE", "nextToken": token})), (vec![1], None));
    assert_eq!(describe(json!({"status": "INACTIVE"})), (vec![3], None));
    let arn = "arn:aws:batch:us-east-1:000000000000:job-definition/d:1";
    assert_eq!(describe(json!({"jobDefinitions": ["d:3", arn, "e:1", "d"]})), (vec![3, 1], None));
    let full =
        &bench.model.describe_job_definitions(&of(json!({"jobDefinitions": ["d:1"]}))).unwrap().job_definitions[0];
    assert_eq!((&full["jobDefinitionArn"], &full["status"]), (&json!(arn), &json!("ACTIVE")));
    assert_eq!(full["containerProperties"]["command"], json!(["run", "Ref::what"]));
}

/// A registration of `d` with one member replaced.
fn with(field: &str, value: Value) -> Value {
    let mut body = definition(json!({}));
    body[field] = value;
    body
}

/// A registration of a task's containers.
fn task(containers: Value) -> Value {
    let properties = json!({"taskProperties": [{"containers": containers}]});
    json!({"jobDefinitionName": "t", "type": "container", "ecsProperties": properties})
}

#[test]
fn definitions_are_checked() {
    let mut bench = Bench::new(1);
    let both = with("ecsProperties", json!({"taskProperties": []}));
    let container = |fields: Value| definition(fields);
    for (body, part) in [
        (with("jobDefinitionName", json!("a:b")), "jobDefinitionName"),
        (with("type", json!("other")), "type must be container or multinode"),
        (with("type", json!("multinode")), "containerProperties must not be given for the type multinode"),
        (with("containerProperties", Value::Null), "should not be empty"),
        (with("containerProperties", json!({"command": ["x"]})), "containerProperties.image"),
        (with("containerProperties", json!({"image": 1})), "containerProperties.image is not valid"),
        (container(json!({"image": "x".repeat(25_000)})), "24576 bytes"),
        (both, "containerProperties and ecsProperties must not be given together"),
        (with("platformCapabilities", json!(["MOON"])), "platformCapabilities"),
        (with("platformCapabilities", json!(["MANAGED_INSTANCES"])), "needs ecsProperties"),
        (with("platformCapabilities", json!(["FARGATE"])), "Fargate has no 1 vCPU with 128 MiB"),
        (with("timeout", json!({"attemptDurationSeconds": 1})), "at least 60"),
        (with("retryStrategy", json!({"attempts": 0})), "attempts"),
        (with("schedulingPriority", json!(10_000)), "schedulingPriority"),
        (with("tags", json!({"aws:a": "b"})), "aws:a"),
        (
            with("consumableResourceProperties", json!({"consumableResourceList": [{"quantity": 1}]})),
            "consumableResource must not be empty",
        ),
        (container(json!({"environment": [{"name": "AWS_BATCH_JOB_ID", "value": "x"}]})), "reserved"),
        (container(json!({"environment": [{"name": "A", "value": 1}]})), "containerProperties.environment[0].value"),
        (container(json!({"mountPoints": [{"sourceVolume": "v"}]})), "'v' is not one of the volumes"),
        (container(json!({"ulimits": [{"name": "n", "softLimit": 2, "hardLimit": 1}]})), "softLimit of 2"),
        (with("timeout", json!({"attemptDurationSeconds": 1_i64 << 40})), "attemptDurationSeconds must be between"),
        (with("retryStrategy", json!({"attempts": 1_i64 << 40})), "attempts"),
        (container(json!({"ulimits": [{"name": "n", "softLimit": 1, "hardLimit": 1_i64 << 40}]})), "ulimits.hardLimit"),
        (container(json!({"linuxParameters": {"maxSwap": 1_i64 << 40}})), "linuxParameters.maxSwap"),
        (container(json!({"linuxParameters": {"sharedMemorySize": 1_i64 << 40}})), "sharedMemorySize"),
        (container(json!({"linuxParameters": {"tmpfs": [{"size": 1_i64 << 40}]}})), "tmpfs.size"),
        (container(json!({"volumes": "x"})), "containerProperties.volumes is not valid"),
        (container(json!({"secrets": [{"name": "S"}]})), "valueFrom"),
        (container(json!({"memory": 3})), "containerProperties.memory"),
        (container(json!({"logConfiguration": {"logDriver": "paper"}})), "'paper'"),
        (container(json!({"ephemeralStorage": {"sizeInGiB": 20}})), "sizeInGiB"),
        (container(json!({"networkConfiguration": {}})), "networkConfiguration"),
        (container(json!({"resourceRequirements": [{"type": "VCPU", "value": "0.5"}]})), "VCPU must be a whole number"),
    ] {
        refused(bench.input(Input::Register(of(body))), part);
    }
}

#[test]
fn fargate_has_a_default_version() {
    let mut bench = Bench::new(1);
    let mut body = definition(json!({
        "executionRoleArn": "arn:aws:iam::0:role/r",
        "networkConfiguration": {"assignPublicIp": "ENABLED"},
        "resourceRequirements": [{"type": "VCPU", "value": "0.25"}, {"type": "MEMORY", "value": "512"}],
    }));
    body["platformCapabilities"] = json!(["FARGATE"]);
    bench.input(Input::Register(of(body))).unwrap();
    let told = described(&bench, "d:2");
    assert_eq!(told["containerProperties"]["fargatePlatformConfiguration"], json!({"platformVersion": "LATEST"}));
    assert_eq!(told["platformCapabilities"], json!(["FARGATE"]));
}

fn described(bench: &Bench, name: &str) -> Value {
    let list = bench.model.describe_job_definitions(&of(json!({"jobDefinitions": [name]}))).unwrap();
    list.job_definitions.first().cloned().unwrap_or_default()
}

#[test]
fn tasks_are_checked_and_echoed() {
    let mut bench = Bench::new(1);
    let one = |name: &str, more: Value| {
        let resources = json!([{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "4"}]);
        let mut container = json!({"image": "i", "name": name, "resourceRequirements": resources});
        container.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        container
    };
    let needs = |name: &str, condition: &str| json!({"dependsOn": [{"containerName": name, "condition": condition}]});
    let plain = |name: &str| one(name, json!({}));
    for (containers, part) in [
        (json!([]), "1 to 10 containers"),
        (json!((0..11).map(|n| plain(&n.to_string())).collect::<Vec<_>>()), "holds 11"),
        (json!([{"name": "a"}]), "image must not be empty"),
        (json!([{"image": "i"}, plain("a")]), "name must be given"),
        (json!([plain("a"), plain("a")]), "given twice"),
        (json!([plain("a b")]), "name 'a b'"),
        (json!([one("a", json!({"essential": false}))]), "an essential container"),
        (json!([one("a", needs("x", "START"))]), "'x', which does not exist"),
        (json!([one("a", needs("b", "HEALTHY")), plain("b")]), "START, COMPLETE or SUCCESS"),
        (json!([one("a", needs("b", "SUCCESS")), plain("b")]), "which is essential"),
        (json!([one("a", needs("b", "START")), one("b", needs("a", "START"))]), "in a circle among a, b"),
        (json!([one("a", json!({"command": "x"}))]), "containers[0].command is not valid"),
    ] {
        refused(bench.input(Input::Register(of(task(containers)))), part);
    }
    let mut two = task(json!([]));
    two["ecsProperties"]["taskProperties"] = json!([{"containers": [plain("a")]}, {"containers": [plain("b")]}]);
    refused(bench.input(Input::Register(of(two))), "must hold one task");
    let init = one("init", json!({"essential": false}));
    bench.input(Input::Register(of(task(json!([one("a", needs("init", "SUCCESS")), init]))))).unwrap();
    let told = described(&bench, "t:1");
    let container = &told["ecsProperties"]["taskProperties"][0]["containers"][0];
    assert_eq!((&container["image"], &container["environment"]), (&json!("i"), &json!([])));
}

#[test]
fn definitions_are_named_or_searched() {
    let bench = Bench::new(1);
    for (field, value) in [
        ("jobDefinitionName", json!("d")),
        ("status", json!("ACTIVE")),
        ("maxResults", json!(1)),
        ("nextToken", json!("00")),
    ] {
        let mut body = json!({"jobDefinitions": ["d:1"]});
        body[field] = value;
        let error = bench.model.describe_job_definitions(&of(body)).unwrap_err();
        assert!(error.0.contains(&format!("cannot be combined with {field}")), "{error}");
    }
}

#[test]
fn what_does_not_run_here_is_kept() {
    let mut bench = Bench::new(1);
    let nodes = |ranges: Value| {
        json!({"jobDefinitionName": "n", "type": "multinode", "nodeProperties":
            {"numNodes": 3, "mainNode": 0, "nodeRangeProperties": ranges}})
    };
    let range = |nodes: &str| json!({"targetNodes": nodes, "container": {"image": "i"}});
    let pod =
        |pod: Value| json!({"jobDefinitionName": "e", "type": "container", "eksProperties": {"podProperties": pod}});
    for (body, part) in [
        (nodes(json!([range("0:1")])), "no range for node 2"),
        (nodes(json!([range("0:3")])), "targetNodes '0:3'"),
        (nodes(json!([{"targetNodes": "0:"}])), "one of container"),
        (pod(json!({"containers": []})), "1 to 10 containers"),
        (pod(json!({"containers": [{"image": "i"}, {"image": "i"}]})), "'Default' is given twice"),
        (pod(json!({"containers": [{"image": "i", "env": [{"name": "AWS_BATCH_X"}]}]})), "reserved"),
    ] {
        refused(bench.input(Input::Register(of(body))), part);
    }
    bench.input(Input::Register(of(nodes(json!([range(":1"), range("2")]))))).unwrap();
    bench.input(Input::Register(of(pod(json!({"containers": [{"image": "i"}]}))))).unwrap();
    assert_eq!(described(&bench, "n:1")["nodeProperties"]["numNodes"], 3);
    assert_eq!(described(&bench, "e:1")["containerOrchestrationType"], "EKS");
    refused(bench.try_submit(json!({"jobDefinition": "e"})), "does not run");
}

#[test]
fn deregistered_definitions_go_after_180_days() {
    let mut bench = Bench::new(1);
    let request = DeregisterJobDefinition { job_definition: "d:1".to_owned() };
    bench.input(Input::Deregister(request.clone())).unwrap();
    assert_eq!(described(&bench, "d:1")["status"], "INACTIVE");
    bench.tick_at(1000 + 180 * 24 * 3600 * 1000);
    assert_eq!(described(&bench, "d:1"), Value::Null);
    refused(bench.input(Input::Deregister(request)), "does not exist");
    let reply = bench.input(Input::Register(of(definition(json!({}))))).unwrap();
    assert!(matches!(reply, Reply::Registered(registered) if registered.revision == 2), "a number is given once");
}

#[test]
fn definitions_are_echoed_as_aws_does() {
    let mut bench = Bench::new(1);
    let mut body = definition(json!({
        "linuxParameters": {"initProcessEnabled": true}, "logConfiguration": {"logDriver": "awslogs"}, "user": "nobody",
        "resourceRequirements": [], "vcpus": 1, "memory": 4,
    }));
    for (field, value) in [
        ("parameters", json!({"what": "x"})),
        ("retryStrategy", json!({"attempts": 2, "evaluateOnExit": [{"onReason": "*", "action": "EXIT"}]})),
        ("timeout", json!({"attemptDurationSeconds": 60})),
        ("propagateTags", json!(true)),
        ("schedulingPriority", json!(3)),
        ("tags", json!({"a": "b"})),
        (
            "consumableResourceProperties",
            json!({"consumableResourceList": [{"consumableResource": "c", "quantity": 1}]}),
        ),
    ] {
        body[field] = value;
    }
    bench.input(Input::Register(of(body.clone()))).unwrap();
    let told = described(&bench, "d:2");
    for (field, value) in body.as_object().unwrap().iter().filter(|(field, _)| *field != "containerProperties") {
        assert_eq!(&told[field], value, "{field}");
    }
    let container = &told["containerProperties"];
    for list in ["volumes", "environment", "mountPoints", "ulimits", "secrets", "resourceRequirements"] {
        assert_eq!(container[list], json!([]), "{list}");
    }
    assert_eq!(container["logConfiguration"], json!({"logDriver": "awslogs", "secretOptions": [], "options": {}}));
    assert_eq!(container["linuxParameters"], json!({"initProcessEnabled": true, "devices": [], "tmpfs": []}));
    assert_eq!((&container["user"], told.get("platformCapabilities")), (&json!("nobody"), None));
}

#[test]
fn the_places_are_there() {
    let bench = Bench::new(6);
    let queues = bench.model.describe_job_queues(&of(json!({}))).unwrap();
    assert_eq!(queues["jobQueues"].as_array().unwrap().len(), 2);
    let one = bench.model.describe_job_queues(&of(json!({"jobQueues": ["batchmap", "nope"]}))).unwrap();
    let queue = &one["jobQueues"].as_array().unwrap()[..];
    assert_eq!((queue.len(), &queue[0]["state"], &queue[0]["status"]), (1, &json!("ENABLED"), &json!("VALID")));
    let arn = &queue[0]["computeEnvironmentOrder"][0]["computeEnvironment"];
    let environments = bench.model.describe_compute_environments(&of(json!({"computeEnvironments": [arn]}))).unwrap();
    assert_eq!(environments["computeEnvironments"][0]["computeEnvironmentName"], json!("batchmap"));
    assert_eq!(environments["computeEnvironments"][0]["computeResources"]["maxvCpus"], json!(6));
}
