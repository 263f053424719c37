//! What a job's containers are, and how they are told.

use super::*;

/// Registers a definition of name `t` with these `ecsProperties`.
fn task(bench: &mut Bench, containers: Value) {
    let body = json!({"jobDefinitionName": "t", "type": "container",
        "ecsProperties": {"taskProperties": [{"taskRoleArn": "arn:role", "containers": containers}]}});
    bench.input(Input::Register(of(body))).unwrap();
}

fn resources(vcpu: &str, memory: &str) -> Value {
    json!([{"type": "VCPU", "value": vcpu}, {"type": "MEMORY", "value": memory}])
}

fn variables(environment: &[(String, String)]) -> BTreeMap<&str, &str> {
    environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[test]
fn a_description_echoes_the_definition_and_its_changes() {
    let mut bench = Bench::new(1);
    let properties = json!({
        "jobRoleArn": "arn:job", "executionRoleArn": "arn:execution", "user": "nobody", "readonlyRootFilesystem": true,
        "volumes": [{"name": "v", "host": {"sourcePath": "/x"}}],
        "mountPoints": [{"sourceVolume": "v", "containerPath": "/y", "readOnly": true}],
        "ulimits": [{"name": "nofile", "softLimit": 1, "hardLimit": 2}],
        "secrets": [{"name": "S", "valueFrom": "arn:secret"}],
        "logConfiguration": {"logDriver": "awslogs", "options": {"a": "b"}},
        "linuxParameters": {"initProcessEnabled": true},
        "environment": [{"name": "A", "value": "1"}],
        "vcpus": 1, "memory": 512, "resourceRequirements": [],
    });
    bench.input(Input::Register(of(definition(properties.clone())))).unwrap();
    let overrides = json!({"vcpus": 2, "environment": [{"name": "B", "value": "2"}], "command": ["x"]});
    let id = bench.submit(json!({"containerOverrides": overrides, "parameters": {"what": "it"}}));
    let told = serde_json::to_value(bench.detail(&id)).unwrap();
    let container = &told["container"];
    for (field, value) in properties.as_object().unwrap() {
        if !["environment", "vcpus"].contains(&field.as_str()) {
            assert_eq!(&container[field], value, "{field}");
        }
    }
    assert_eq!((&container["vcpus"], &container["memory"]), (&json!(2), &json!(512)));
    assert_eq!(container["resourceRequirements"], json!([]), "the old form is told in the old form");
    assert_eq!(container["environment"], json!([{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]));
    assert_eq!((&container["image"], &container["command"]), (&json!("i"), &json!(["x"])));
    assert_eq!(container["networkInterfaces"], json!([]));
    assert!(container["taskArn"].is_string() && container.get("logStreamName").is_none(), "it is STARTING");
    let start = &bench.started[0];
    let asked: Vec<(&str, &str)> = start.resources.iter().map(|r| (r.kind.as_str(), r.value.as_str())).collect();
    assert_eq!((asked, start.containers.len()), (vec![("VCPU", "2"), ("MEMORY", "512")], 0));
    assert!(told.get("ecsProperties").is_none() && told.get("shareIdentifier").is_none());
    bench.run(bench.started[0].attempt);
    assert!(bench.detail(&id).container.last.log_stream_name.unwrap().starts_with("d/default/"));
}

#[test]
fn no_amount_is_above_an_integer() {
    let mut bench = Bench::new(1);
    let most = i32::MAX.to_string();
    let new_form = |kind: &str, value: &str| json!([{"type": kind, "value": value}]);
    for value in ["18446744073709551615", "2147483648", "1e300"] {
        for kind in ["VCPU", "MEMORY", "GPU"] {
            let container = json!({"resourceRequirements": new_form(kind, value)});
            refused(bench.input(Input::Register(of(definition(container.clone())))), "at most 2147483647");
            let mut fargate = definition(container.clone());
            fargate["platformCapabilities"] = json!(["FARGATE"]);
            refused(bench.input(Input::Register(of(fargate))), "at most 2147483647");
            refused(bench.try_submit(json!({"containerOverrides": container})), "at most 2147483647");
        }
    }
    for field in ["vcpus", "memory"] {
        for value in [i64::from(i32::MAX) + 1, i64::MAX, -1] {
            let mut old_form = json!({"resourceRequirements": []});
            old_form[field] = json!(value);
            refused(bench.input(Input::Register(of(definition(old_form)))), field);
            // Even where the definition's new form would win.
            let mut overrides = json!({});
            overrides[field] = json!(value);
            refused(bench.try_submit(json!({"containerOverrides": overrides})), field);
        }
    }
    let all: Vec<Value> = (0..10)
        .map(|n| json!({"name": format!("c{n}"), "image": "i", "resourceRequirements": resources(&most, &most)}))
        .collect();
    task(&mut bench, json!(all));
    bench.submit(json!({"jobDefinition": "t"}));
    bench.submit(json!({"jobDefinition": "t"}));
    bench.finish_next(0);
    assert_eq!(bench.started.len(), 1, "their sums are large and no more");
    let mut wrong = all.clone();
    wrong[9]["resourceRequirements"] = resources("18446744073709551615", &most);
    let body = json!({"jobDefinitionName": "t", "type": "container", "ecsProperties": {"taskProperties": [{"containers": wrong}]}});
    refused(bench.input(Input::Register(of(body))), "at most 2147483647");
    let name = json!({"name": "c3", "resourceRequirements": new_form("MEMORY", "18446744073709551615")});
    let overrides = json!({"taskProperties": [{"containers": [name]}]});
    refused(bench.try_submit(json!({"jobDefinition": "t", "ecsPropertiesOverride": overrides})), "at most 2147483647");
}

#[test]
fn the_old_form_does_not_override_the_new_one() {
    let mut bench = Bench::new(1);
    bench.input(Input::Register(of(definition(json!({"resourceRequirements": resources("4", "1024")}))))).unwrap();
    bench.submit(json!({"containerOverrides": {"vcpus": 9, "memory": 9}}));
    let asked: Vec<&str> = bench.started[0].resources.iter().map(|r| r.value.as_str()).collect();
    assert_eq!(asked, ["4", "1024"]);
}

#[test]
fn a_task_of_one_container_runs_as_any_job() {
    let mut bench = Bench::new(2);
    task(
        &mut bench,
        json!([{"name": "main", "image": "i", "command": ["run", "Ref::what"], "secrets": [{"name": "S", "valueFrom": "x"}],
        "environment": [{"name": "A", "value": "1"}], "resourceRequirements": resources("1", "512")}]),
    );
    let change = json!({"command": ["go", "Ref::what"], "environment": [{"name": "A", "value": "2"}],
        "resourceRequirements": [{"type": "MEMORY", "value": "1024"}]});
    let id = bench.submit(json!({"jobDefinition": "t", "parameters": {"what": "it"}, "arrayProperties": {"size": 2},
        "retryStrategy": {"attempts": 2}, "ecsPropertiesOverride": {"taskProperties": [{"containers": [change]}]}}));
    let start = bench.started[0].clone();
    assert_eq!((start.command, start.containers.len()), (vec!["go".to_owned(), "it".to_owned()], 0));
    let env = variables(&start.environment);
    assert_eq!((env["A"], env["AWS_BATCH_JOB_ARRAY_INDEX"]), ("2", "0"));
    assert_eq!(start.resources.iter().map(|r| r.value.as_str()).collect::<Vec<_>>(), ["1", "1024"]);
    assert!(start.log_stream.starts_with("t/main/"));
    bench.finish_next(3);
    let again = bench.started.len() - 1;
    bench.run(bench.started[again].attempt);
    bench.end(bench.started[again].attempt, End::exited(0));
    let told = serde_json::to_value(bench.detail(&format!("{id}:0"))).unwrap();
    assert_eq!(told["container"], json!({}), "it is told in ecsProperties");
    let task = &told["ecsProperties"]["taskProperties"][0];
    assert_eq!(task["taskRoleArn"], "arn:role");
    let container = &task["containers"][0];
    assert_eq!((&container["exitCode"], &container["command"]), (&json!(0), &json!(["go", "it"])));
    assert_eq!(container["secrets"], json!([{"name": "S", "valueFrom": "x"}]));
    let first = &told["attempts"][0];
    assert_eq!(first["container"], json!({}));
    let left = &first["taskProperties"][0]["containers"][0];
    assert_eq!((&left["exitCode"], &left["name"]), (&json!(3), &json!("main")));
    assert_eq!(left["logStreamName"], json!(start.log_stream));
    assert_ne!(first["taskProperties"][0]["taskArn"], task["taskArn"]);
}

#[test]
fn a_task_of_several_containers_is_handed_on_whole() {
    let mut bench = Bench::new(2);
    let setup = json!({"name": "setup", "image": "s", "command": ["prepare"], "essential": false,
        "resourceRequirements": resources("1", "256")});
    let main = json!({"name": "main", "image": "i", "command": ["run"],
        "dependsOn": [{"containerName": "setup", "condition": "SUCCESS"}], "resourceRequirements": resources("2", "512")});
    task(&mut bench, json!([setup, main]));
    let id = bench.submit(json!({"jobDefinition": "t", "ecsPropertiesOverride":
        {"taskProperties": [{"containers": [{"name": "main", "command": ["other"]}]}]}}));
    let start = &bench.started[0];
    let names: Vec<(&str, bool)> = start.containers.iter().map(|c| (c.name.as_str(), c.essential)).collect();
    assert_eq!(names, [("setup", false), ("main", true)]);
    assert_eq!((start.containers[1].command[0].as_str(), start.command[0].as_str()), ("other", "prepare"));
    assert_eq!(start.containers[1].depends_on, [("setup".to_owned(), "SUCCESS".to_owned())]);
    assert_eq!(variables(&start.containers[1].environment)["AWS_BATCH_JOB_ID"], id);
    assert_ne!(start.containers[0].log_stream, start.containers[1].log_stream);
    let job = bench.model.jobs.values().next().unwrap();
    assert_eq!((job.need.milli_vcpus, job.need.memory_mib), (3000, 768));
    let told = serde_json::to_value(bench.detail(&id)).unwrap();
    assert_eq!(told["ecsProperties"]["taskProperties"][0]["containers"].as_array().unwrap().len(), 2);
}

#[test]
fn each_container_of_a_task_has_an_end_of_its_own() {
    let mut bench = Bench::new(1);
    let one = |name: &str, essential: bool| {
        json!({"name": name, "image": "i", "essential": essential,
        "user": "7", "mountPoints": [{"sourceVolume": "v", "containerPath": "/v"}], "resourceRequirements": resources("1", "4")})
    };
    let properties = json!({"taskProperties": [{"containers": [one("init", false), one("main", true)], "volumes": [{"name": "v"}]}]});
    let body = json!({"jobDefinitionName": "t", "type": "container", "ecsProperties": properties});
    bench.input(Input::Register(of(body))).unwrap();
    let id = bench.submit(json!({"jobDefinition": "t", "retryStrategy": {"attempts": 2}}));
    let start = bench.started[0].clone();
    assert_eq!(start.settings, start.containers[0].settings);
    let settings = &start.containers[1].settings;
    assert_eq!((settings.user.as_deref(), settings.volumes[0].name.as_str()), (Some("7"), "v"), "its task's volumes");
    let ended = |ran: bool, exit_code: Option<i32>, reason: Option<&str>| ContainerEnd {
        ran,
        exit_code,
        reason: reason.map(str::to_owned),
    };
    let (bad, never) = (ended(true, Some(5), None), ended(false, None, Some("CannotStartContainerError: x")));
    bench.run(start.attempt);
    bench.end(start.attempt, End::Task { by: 1, containers: vec![bad, never] });
    let again = bench.started[1].attempt;
    bench.run(again);
    let fine = [ended(true, Some(0), None), ended(true, Some(0), Some("OutOfMemoryError: y"))];
    bench.end(again, End::Task { by: 1, containers: fine.to_vec() });
    // As a journal's snapshot holds it.
    bench.model = serde_json::from_str(&serde_json::to_string(&bench.model).unwrap()).unwrap();
    bench.model.renew_texts();
    let told = serde_json::to_value(bench.detail(&id)).unwrap();
    assert_eq!(
        (&told["status"], &told["statusReason"]),
        (&json!("SUCCEEDED"), &json!("Essential container in task exited"))
    );
    let first = &told["attempts"][0];
    assert_eq!(first["statusReason"], "Task failed to start");
    let left = &first["taskProperties"][0]["containers"];
    assert_eq!((&left[0]["exitCode"], left[0].get("reason")), (&json!(5), None));
    assert!(left[0]["logStreamName"].as_str().unwrap().starts_with("t/init/"));
    assert_eq!((left[1].get("exitCode"), left[1].get("logStreamName")), (None, None), "it never ran");
    assert_eq!(left[1]["reason"], "CannotStartContainerError: x");
    let now = &told["ecsProperties"]["taskProperties"][0]["containers"][1];
    assert_eq!((&now["exitCode"], &now["reason"]), (&json!(0), &json!("OutOfMemoryError: y")));
}

#[test]
fn settings_of_another_shape_are_refused() {
    let mut bench = Bench::new(1);
    refused(bench.input(Input::Register(of(definition(json!({"user": 7}))))), "containerProperties.user");
    refused(
        bench.input(Input::Register(of(definition(json!({"volumes": [{"name": "v", "host": "/x"}]}))))),
        "containerProperties.volumes[0].host",
    );
}

#[test]
fn a_task_is_told_when_its_revision_is_gone() {
    let mut bench = Bench::new(1);
    let one = |name: &str| json!({"name": name, "image": "i", "resourceRequirements": resources("1", "4")});
    task(&mut bench, json!([one("a"), one("b")]));
    let ids = [bench.submit(json!({"jobDefinition": "t"})), bench.submit(json!({}))];
    bench.run(bench.started[0].attempt);
    for name in ["t:1", "d:1"] {
        bench.input(Input::Deregister(of(json!({"jobDefinition": name})))).unwrap();
    }
    bench.tick_at(1000 + 181 * 24 * 3600 * 1000);
    let told = serde_json::to_value(bench.detail(&ids[0])).unwrap();
    let containers = told["ecsProperties"]["taskProperties"][0]["containers"].as_array().unwrap();
    let names: Vec<&Value> = containers.iter().map(|container| &container["name"]).collect();
    assert_eq!((names, &containers[1]["image"]), (vec![&json!("a"), &json!("b")], &json!("i")));
    assert_eq!(bench.detail(&ids[1]).container.image.as_deref(), Some("i"));
}

#[test]
fn overrides_fit_their_definition() {
    let mut bench = Bench::new(1);
    let sized = |name: &str| json!({"name": name, "image": "i", "resourceRequirements": resources("1", "4")});
    task(&mut bench, json!([sized("a"), sized("b")]));
    let old_form = json!({"resourceRequirements": [], "vcpus": 1, "memory": 4});
    bench.input(Input::Register(of(definition(old_form)))).unwrap();
    let of_task = |containers: Value| json!({"jobDefinition": "t", "ecsPropertiesOverride": {"taskProperties": [{"containers": containers}]}});
    for (more, part) in [
        (json!({"jobDefinition": "t", "containerOverrides": {"command": ["x"]}}), "use ecsPropertiesOverride"),
        (json!({"ecsPropertiesOverride": {"taskProperties": []}}), "use containerOverrides"),
        (
            json!({"jobDefinition": "t", "ecsPropertiesOverride": {"taskProperties": [{}, {}]}}),
            "at most 1 entry, but has 2",
        ),
        (of_task(json!([{"name": "c", "command": ["x"]}])), "names the container 'c'"),
        (of_task(json!([{"command": ["x"]}])), "names the container ''"),
        (of_task(json!([{"name": "a", "command": [""]}])), "empty string"),
        (of_task(json!([{"name": "a", "environment": [{"name": "AWS_BATCH_X", "value": ""}]}])), "reserved"),
        (of_task(json!([{"name": "a", "resourceRequirements": [{"type": "VCPU", "value": "0.5"}]}])), "whole number"),
        (json!({"nodeOverrides": {"numNodes": 1}}), "multi-node"),
        (json!({"eksPropertiesOverride": {}}), "Amazon EKS"),
        (json!({"containerOverrides": {"memory": 3}}), "at least 4"),
        (
            json!({"containerOverrides": {"resourceRequirements": resources("1.5", "512")}}),
            "whole number of at least 1",
        ),
    ] {
        refused(bench.try_submit(more), part);
    }
    let nodes = json!({"numNodes": 1, "mainNode": 0, "nodeRangeProperties": [{"targetNodes": "0", "container": {"image": "i"}}]});
    let pod = json!({"podProperties": {"containers": [{"image": "i"}]}});
    for (kind, field, properties, part) in
        [("multinode", "nodeProperties", nodes, "multi-node"), ("container", "eksProperties", pod, "Amazon EKS")]
    {
        let mut body = json!({"jobDefinitionName": "n", "type": kind});
        body[field] = properties;
        bench.input(Input::Register(of(body))).unwrap();
        refused(bench.try_submit(json!({"jobDefinition": "n"})), part);
    }
}

#[test]
fn fargate_has_rules_of_its_own() {
    let mut bench = Bench::new(1);
    let fargate = |more: Value| {
        let mut properties = json!({"executionRoleArn": "arn:r", "resourceRequirements": resources("0.25", "512")});
        properties.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let mut body = definition(properties);
        body["platformCapabilities"] = json!(["FARGATE"]);
        body
    };
    for (more, part) in [
        (json!({"executionRoleArn": ""}), "executionRoleArn"),
        (json!({"privileged": true}), "privileged is not supported"),
        (json!({"ulimits": [{"name": "nofile", "softLimit": 1, "hardLimit": 2}]}), "ulimits"),
        (json!({"linuxParameters": {"maxSwap": 1}}), "linuxParameters.maxSwap"),
        (json!({"logConfiguration": {"logDriver": "syslog"}}), "syslog"),
        (json!({"ephemeralStorage": {"sizeInGiB": 20}}), "between 21 and 200"),
        (json!({"resourceRequirements": resources("1", "512")}), "Fargate has no 1 vCPU with 512 MiB"),
        (json!({"vcpus": 1}), "use resourceRequirements"),
    ] {
        refused(bench.input(Input::Register(of(fargate(more)))), part);
    }
    for one in [json!({"type": "VCPU", "value": "1"}), json!({"type": "MEMORY", "value": "64"})] {
        let one = json!({"resourceRequirements": [one]});
        refused(bench.input(Input::Register(of(definition(one)))), "VCPU and MEMORY, but");
    }
    let on_ec2 = definition(json!({"networkConfiguration": {"assignPublicIp": "ENABLED"}}));
    refused(bench.input(Input::Register(of(on_ec2))), "networkConfiguration");
    let fine = json!({"privileged": false, "ulimits": [], "networkConfiguration": {"assignPublicIp": "ENABLED"},
        "logConfiguration": {"logDriver": "awslogs"}, "ephemeralStorage": {"sizeInGiB": 21}});
    bench.input(Input::Register(of(fargate(fine)))).unwrap();
    let memory =
        |value: &str| json!({"containerOverrides": {"resourceRequirements": [{"type": "MEMORY", "value": value}]}});
    refused(bench.try_submit(memory("4096")), "Fargate has no 0.25 vCPU with 4096 MiB");
    bench.submit(memory("1024"));
    assert_eq!(bench.started[0].resources[0].value, "0.25");
}

#[test]
fn a_job_goes_on_without_its_definition() {
    let mut bench = Bench::new(1);
    bench.submit(json!({}));
    let waiting = bench.submit(json!({}));
    bench.input(Input::Deregister(DeregisterJobDefinition { job_definition: "d:1".to_owned() })).unwrap();
    refused(bench.try_submit(json!({})), "does not exist");
    bench.finish_next(0);
    bench.finish_next(0);
    let detail = bench.detail(&waiting);
    assert_eq!((detail.status, detail.container.image.as_deref()), (Status::Succeeded, Some("i")));
}
