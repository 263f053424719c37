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
    assert_eq!(
        describe(json!({"jobDefinitionName": "d", "status": "ACTIVE", "maxResults": 1})),
        (vec![2], Some("1".into()))
    );
    assert_eq!(describe(json!({"status": "ACTIVE", "nextToken": "1"})), (vec![1], None));
    assert_eq!(describe(json!({"status": "INACTIVE"})), (vec![3], None));
    let arn = "arn:aws:batch:us-east-1:000000000000:job-definition/d:1";
    assert_eq!(describe(json!({"jobDefinitions": ["d:3", arn, "e:1", "d"]})), (vec![3, 1], None));
    let full =
        &bench.model.describe_job_definitions(&of(json!({"jobDefinitions": ["d:1"]}))).unwrap().job_definitions[0];
    assert_eq!((&full["jobDefinitionArn"], &full["status"]), (&json!(arn), &json!("ACTIVE")));
    assert_eq!(full["containerProperties"]["command"], json!(["run", "Ref::what"]));
}

#[test]
fn definitions_are_checked() {
    let mut bench = Bench::new(1);
    let with = |field: &str, value: Value| {
        let mut body = definition(json!({}));
        body[field] = value;
        body
    };
    for (body, part) in [
        (with("jobDefinitionName", json!("a:b")), "jobDefinitionName"),
        (with("type", json!("multinode")), "type"),
        (with("containerProperties", Value::Null), "should not be empty"),
        (with("containerProperties", json!({"command": ["x"]})), "image"),
        (with("containerProperties", json!({"image": 1})), "containerProperties is not valid"),
        (with("containerProperties", json!({"image": "x".repeat(25_000)})), "24576 bytes"),
        (with("ecsProperties", json!({})), "ecsProperties is not yet implemented"),
        (with("platformCapabilities", json!(["MOON"])), "platformCapabilities"),
        (with("timeout", json!({"attemptDurationSeconds": 1})), "at least 60"),
        (with("retryStrategy", json!({"attempts": 0})), "attempts"),
        (definition(json!({"environment": [{"name": "AWS_BATCH_JOB_ID", "value": "x"}]})), "reserved"),
    ] {
        refused(bench.input(Input::Register(of(body))), part);
    }
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
