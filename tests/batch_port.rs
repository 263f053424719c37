//! What the Batch and Logs ports say to AWS, and what they make of its answers: a few canned ones behind a real socket.

#[path = "support/lossy.rs"]
mod lossy;
mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use batchmap::aws::batch::{Batch, BatchError, Definition, Fence, Injection, JobStatus, RetryRule, SubmitRequest};
use batchmap::aws::logs::LogsError;
use batchmap::aws::pooled::Pooled;
use batchmap::aws::sdk::{Answered, Target, connect};
use batchmap::emulator::batch::ask;
use batchmap::emulator::batch::model::Input;
use batchmap::emulator::server::Endpoint;
use batchmap::run::definition::ensure;
use serde_json::{Value, json};
use support::{clients, config};

/// An endpoint that answers `path` so, and keeps what it was asked.
struct Canned {
    endpoint: Endpoint,
    asked: Arc<Mutex<Vec<Value>>>,
    _directory: tempfile::TempDir,
}

impl Canned {
    async fn start(path: &str, status: u16, answer: Value) -> Canned {
        Canned::answering([(path, status, answer)]).await
    }

    async fn answering<'p>(answers: impl IntoIterator<Item = (&'p str, u16, Value)>) -> Canned {
        let asked: Arc<Mutex<Vec<Value>>> = Arc::default();
        let mut router = Router::new();
        for (path, status, answer) in answers {
            let kept = Arc::clone(&asked);
            let handler = move |body: String| async move {
                kept.lock().expect("no panic").push(serde_json::from_str(&body).expect("JSON"));
                (StatusCode::from_u16(status).expect("a status"), answer.to_string())
            };
            router = router.route(path, post(handler));
        }
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut config = config(directory.path(), false);
        config.batch = Some(router);
        let endpoint = Endpoint::start(config).await.expect("the endpoint starts");
        Canned { endpoint, asked, _directory: directory }
    }

    fn asked(&self) -> Vec<Value> {
        self.asked.lock().expect("no panic").clone()
    }
}

fn request(size: u32) -> SubmitRequest {
    let rule = |on_exit_code: Option<&str>, on_reason: Option<&str>, retry| RetryRule {
        on_exit_code: on_exit_code.map(str::to_owned),
        on_reason: on_reason.map(str::to_owned),
        on_status_reason: None,
        retry,
    };
    SubmitRequest {
        name: "run-000001".into(),
        queue: "queue".into(),
        definition: "definition:3".into(),
        size,
        command: vec!["python3".into(), "x.py".into()],
        environment: BTreeMap::from([("A".into(), "1".into())]),
        container: None,
        attempts: 2,
        retry_rules: vec![rule(Some("75"), None, true), rule(None, Some("*"), false)],
        timeout_seconds: Some(90),
        tags: BTreeMap::from([("run".into(), "x".into())]),
        propagate_tags: false,
        scheduling_priority: None,
    }
}

#[tokio::test]
async fn an_array_is_submitted_with_its_size_and_one_child_without() {
    let canned = Canned::start("/v1/submitjob", 200, json!({"jobId": "id", "jobName": "run-000001"})).await;
    let batch = clients(&canned.endpoint.url()).await.batch;
    assert_eq!(batch.submit(&request(1000)).await.as_deref(), Ok("id"));
    assert_eq!(batch.submit(&request(1)).await.as_deref(), Ok("id"));
    let mut expected = json!({
        "jobName": "run-000001", "jobQueue": "queue", "jobDefinition": "definition:3",
        "arrayProperties": {"size": 1000},
        "containerOverrides": {"command": ["python3", "x.py"], "environment": [{"name": "A", "value": "1"}]},
        "retryStrategy": {"attempts": 2, "evaluateOnExit": [
            {"onExitCode": "75", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"},
        ]},
        "timeout": {"attemptDurationSeconds": 90},
        "tags": {"run": "x"},
    });
    let asked = canned.asked();
    assert_eq!(asked[0], expected);
    expected.as_object_mut().expect("an object").remove("arrayProperties");
    assert_eq!(asked[1], expected);
    let marked = SubmitRequest { propagate_tags: true, scheduling_priority: Some(7), ..request(1) };
    assert_eq!(batch.submit(&marked).await.as_deref(), Ok("id"));
    (expected["propagateTags"], expected["schedulingPriorityOverride"]) = (json!(true), json!(7));
    assert_eq!(canned.asked()[2], expected);
    canned.endpoint.stop().await;
}

#[tokio::test]
async fn whose_share_of_the_queue_is_said_with_every_submission() {
    let canned = Canned::start("/v1/submitjob", 200, json!({"jobId": "id", "jobName": "n"})).await;
    let (endpoint, share_identifier) = (Some(canned.endpoint.url()), Some("teamA".to_owned()));
    let target = Target { endpoint, share_identifier, bucket: support::BUCKET.to_owned(), ..Target::default() };
    let batch = connect(&target).await.batch;
    assert_eq!(batch.submit(&request(2)).await.as_deref(), Ok("id"));
    assert_eq!(canned.asked()[0]["shareIdentifier"], json!("teamA"));
    canned.endpoint.stop().await;
}

#[tokio::test]
async fn a_termination_that_is_denied_names_the_missing_action_and_the_job() {
    let denial = json!({"__type": "AccessDeniedException", "message": "not authorized"});
    let canned = Canned::start("/v1/terminatejob", 403, denial).await;
    let error = clients(&canned.endpoint.url()).await.batch.terminate("job-7", "enough").await.expect_err("denied");
    let text = error.to_string();
    assert!(matches!(error, BatchError::Refused { operation: "TerminateJob", .. }), "{text}");
    assert!(text.contains("batch:TerminateJob") && text.contains("job-7"), "{text}");
    assert_eq!(canned.asked().len(), 1);
    canned.endpoint.stop().await;
}

#[tokio::test]
async fn a_submission_is_sent_once_unless_aws_says_that_it_has_not_happened() {
    for (status, code) in
        [(500, "ServerException"), (503, "X"), (429, "TooManyRequestsException"), (429, "X"), (400, "ClientException")]
    {
        let canned = Canned::start("/v1/submitjob", status, json!({"__type": code, "message": "why"})).await;
        let clients = clients(&canned.endpoint.url()).await;
        let error = clients.batch.submit(&request(2)).await.expect_err("an error");
        match status {
            429 => assert!(matches!(error, BatchError::Throttled { .. }), "{error:?}"),
            400 => {
                assert!(matches!(&error, BatchError::Refused { code, .. } if code == "ClientException"), "{error:?}")
            }
            _ => assert!(matches!(error, BatchError::Unknown { .. }), "{error:?}"),
        }
        assert!(error.to_string().contains("why") && error.to_string().contains("run-000001"), "{error}");
        // A throttled one is, until patience is at its end.
        let (asked, counted) = (canned.asked().len(), clients.counts.of("SubmitJob"));
        assert_eq!((asked as u64, asked > 1), (counted, status == 429), "{status} {code}");
        canned.endpoint.stop().await;
    }
}

#[tokio::test]
async fn a_lost_answer_to_a_submission_is_unknown_and_nothing_is_sent_again() {
    let canned = Canned::start("/v1/submitjob", 200, json!({"jobId": "id"})).await;
    let (url, _network) = lossy::lose_answer(canned.endpoint.addr(), "POST /v1/submitjob").await;
    let error = clients(&url).await.batch.submit(&request(2)).await.expect_err("no answer");
    assert!(matches!(error, BatchError::Unknown { operation: "SubmitJob", .. }), "{error:?}");
    assert_eq!(canned.asked().len(), 1);
    canned.endpoint.stop().await;
}

#[tokio::test]
async fn other_calls_are_tried_again() {
    let canned = Canned::start("/v1/describejobs", 200, json!({"jobs": []})).await;
    let (url, _network) = lossy::lose_answer(canned.endpoint.addr(), "POST /v1/describejobs").await;
    let clients = clients(&url).await;
    assert_eq!(clients.batch.describe(&["id".to_owned()]).await, Ok(vec![]));
    assert_eq!((canned.asked().len(), clients.counts.of("DescribeJobs")), (2, 2));
    assert_eq!(clients.batch.describe(&[]).await, Ok(vec![]));
    assert_eq!(canned.asked().len(), 2, "for no ids nothing is asked");
    canned.endpoint.stop().await;
}

#[tokio::test]
async fn throttling_is_waited_out_whatever_its_code() {
    let times = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let counted = Arc::clone(&times);
    let handler = move || async move {
        match counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 => (StatusCode::TOO_MANY_REQUESTS, json!({"__type": "NeverHeardOf", "message": "why"}).to_string()),
            _ => (StatusCode::OK, json!({"jobs": []}).to_string()),
        }
    };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut config = config(directory.path(), false);
    config.batch = Some(Router::new().route("/v1/describejobs", post(handler)));
    let endpoint = Endpoint::start(config).await.expect("the endpoint starts");
    assert_eq!(clients(&endpoint.url()).await.batch.describe(&["id".to_owned()]).await, Ok(vec![]));
    assert_eq!(times.load(std::sync::atomic::Ordering::Relaxed), 2);
    endpoint.stop().await;
}

#[tokio::test]
async fn jobs_are_read_in_both_shapes() {
    let attempt = |code: i32, stream: &str| json!({"exitCode": code, "reason": "r", "logStreamName": stream});
    let canned = Canned::start(
        "/v1/describejobs",
        200,
        json!({"jobs": [
            {"jobId": "p", "jobName": "n", "jobQueue": "q", "jobDefinition": "d", "startedAt": 0, "status": "PENDING",
             "arrayProperties": {"size": 3, "statusSummary": {"RUNNING": 1, "SUCCEEDED": 2, "NEW_STATE": 0}}},
            {"jobId": "p:0", "jobName": "n", "jobQueue": "q", "jobDefinition": "d", "startedAt": 0, "status": "FAILED",
             "statusReason": "s", "isTerminated": true,
             "attempts": [{"container": attempt(1, "one"), "statusReason": "a"}, {"container": attempt(2, "two")}]},
            {"jobId": "e", "jobName": "n", "jobQueue": "q", "jobDefinition": "d", "startedAt": 0, "status": "RUNNING",
             "attempts": [{"statusReason": "a", "taskProperties": [{"containers": [
                 {"name": "init", "exitCode": 0, "logStreamName": "init"}, {"name": "main", "exitCode": 3, "logStreamName": "main"},
             ]}]}],
             "ecsProperties": {"taskProperties": [{"containers": [
                 {"name": "init", "image": "i", "essential": false, "logStreamName": "init-now"},
                 {"name": "main", "image": "i", "essential": true, "logStreamName": "main-now"},
             ]}]}},
        ]}),
    )
    .await;
    let ids = ["p", "p:0", "e"].map(str::to_owned);
    let jobs = clients(&canned.endpoint.url()).await.batch.describe(&ids).await.expect("jobs");
    assert_eq!(jobs[0].summary, BTreeMap::from([(JobStatus::Running, 1), (JobStatus::Succeeded, 2)]));
    assert_eq!((jobs[1].status, jobs[1].terminated, jobs[1].cancelled), (JobStatus::Failed, true, false));
    let codes: Vec<_> = jobs[1].attempts.iter().map(|attempt| attempt.exit_code).collect();
    assert_eq!((codes, jobs[1].log_stream.as_deref()), (vec![Some(1), Some(2)], Some("two")));
    assert_eq!((jobs[2].attempts[0].exit_code, jobs[2].attempts[0].status_reason.as_deref()), (Some(3), Some("a")));
    assert_eq!(jobs[2].log_stream.as_deref(), Some("main-now"));
    canned.endpoint.stop().await;
}

#[tokio::test]
async fn lists_ask_for_the_largest_page_and_keep_only_what_was_named() {
    let job =
        |id: &str, name: &str| json!({"jobId": id, "jobName": name, "status": "FAILED", "container": {"exitCode": 9}});
    let answer = json!({"jobSummaryList": [job("1", "run-000001"), job("2", "RUN-000001"), job("3", "run-000001x")], "nextToken": "t"});
    let canned = Canned::start("/v1/listjobs", 200, answer).await;
    let batch = clients(&canned.endpoint.url()).await.batch;
    let page = batch.list_children("p", JobStatus::Failed, Some("s")).await.expect("a page");
    assert_eq!((page.jobs.len(), page.jobs[0].exit_code, page.next.as_deref()), (3, Some(9), Some("t")));
    let ids = |page: batchmap::aws::batch::JobPage| page.jobs.into_iter().map(|job| job.id).collect::<Vec<_>>();
    assert_eq!(ids(batch.list_named("q", "run-000001", None).await.expect("a page")), ["1"]);
    assert_eq!(ids(batch.list_named("q", "run-*", None).await.expect("a page")), ["1", "3"]);
    let asked = canned.asked();
    assert_eq!(asked[0], json!({"arrayJobId": "p", "jobStatus": "FAILED", "maxResults": 1000, "nextToken": "s"}));
    let filter =
        json!({"jobQueue": "q", "maxResults": 100, "filters": [{"name": "JOB_NAME", "values": ["run-000001"]}]});
    assert_eq!(asked[1], filter);
    canned.endpoint.stop().await;
}

#[tokio::test]
async fn a_definition_is_registered_for_its_platform() {
    let canned = Canned::start(
        "/v1/registerjobdefinition",
        200,
        json!({"jobDefinitionArn": "arn", "revision": 1, "jobDefinitionName": "n"}),
    )
    .await;
    let batch = clients(&canned.endpoint.url()).await.batch;
    let ec2 = Definition { shared_memory_mib: 256, ..definition() };
    let secrets = BTreeMap::new();
    let fargate = Definition {
        platform: "FARGATE".into(),
        vcpus: "0.25".into(),
        gpus: 0,
        secrets,
        shared_memory_mib: 0,
        arm64: true,
        ..ec2.clone()
    };
    assert_eq!(batch.register(&ec2).await.as_deref(), Ok("arn"));
    assert_eq!(batch.register(&fargate).await.as_deref(), Ok("arn"));
    let asked = canned.asked();
    let properties = &asked[0]["containerProperties"];
    assert_eq!((&asked[0]["type"], &asked[0]["platformCapabilities"]), (&json!("container"), &json!(["EC2"])));
    let requirements = |vcpus: &str| json!([{"type": "VCPU", "value": vcpus}, {"type": "MEMORY", "value": "2048"}]);
    assert_eq!(properties["resourceRequirements"].as_array().map(Vec::len), Some(3));
    assert_eq!(properties["resourceRequirements"][2], json!({"type": "GPU", "value": "1"}));
    assert_eq!(properties["networkConfiguration"], Value::Null, "EC2 takes none");
    assert_eq!(properties["logConfiguration"], json!({"logDriver": "awslogs", "options": {"awslogs-group": "group"}}));
    assert_eq!(properties["secrets"], json!([{"name": "TOKEN", "valueFrom": "arn:secret"}]));
    assert_eq!(properties["linuxParameters"], json!({"sharedMemorySize": 256}));
    assert_eq!(properties["runtimePlatform"], Value::Null);
    let properties = &asked[1]["containerProperties"];
    assert_eq!((&properties["secrets"], &properties["linuxParameters"]), (&Value::Null, &Value::Null));
    assert_eq!(properties["runtimePlatform"], json!({"operatingSystemFamily": "LINUX", "cpuArchitecture": "ARM64"}));
    assert_eq!(properties["resourceRequirements"], requirements("0.25"));
    assert_eq!(properties["networkConfiguration"], json!({"assignPublicIp": "ENABLED"}));
    canned.endpoint.stop().await;
}

#[tokio::test]
async fn where_the_worker_is_injected_a_container_that_ends_first_brings_it() {
    let canned = Canned::answering([
        ("/v1/registerjobdefinition", 200, json!({"jobDefinitionArn": "arn"})),
        ("/v1/submitjob", 200, json!({"jobId": "id"})),
    ])
    .await;
    let batch = clients(&canned.endpoint.url()).await.batch;
    let injection = |readonly_root| Some(Injection { image: "w:1".into(), readonly_root });
    let ec2 = Definition { injection: injection(false), ..definition() };
    let fargate = Definition { platform: "FARGATE".into(), injection: injection(true), arm64: true, ..definition() };
    assert_eq!(batch.register(&ec2).await.as_deref(), Ok("arn"));
    assert_eq!(batch.register(&fargate).await.as_deref(), Ok("arn"));
    let overriding = SubmitRequest { container: Some("main".into()), ..request(1) };
    assert_eq!(batch.submit(&overriding).await.as_deref(), Ok("id"));
    let asked = canned.asked();
    assert_eq!(asked[0]["containerProperties"], Value::Null);
    let log = json!({"logDriver": "awslogs", "options": {"awslogs-group": "group"}});
    let mount =
        |volume: &str, path: &str, read: bool| json!({"sourceVolume": volume, "containerPath": path, "readOnly": read});
    let task = json!({
        "containers": [
            {
                "name": "batchmap-init", "image": "w:1", "essential": false, "user": "0", "readonlyRootFilesystem": true,
                "command": ["worker", "--install", "/opt/batchmap/bin", "--scratch", "/opt/batchmap/tmp"],
                "mountPoints": [mount("batchmap-bin", "/opt/batchmap/bin", false), mount("batchmap-tmp", "/opt/batchmap/tmp", false)],
                "resourceRequirements": [{"type": "MEMORY", "value": "64"}], "logConfiguration": log,
            },
            {
                "name": "main", "image": "image", "essential": true, "command": ["true"],
                "dependsOn": [{"containerName": "batchmap-init", "condition": "SUCCESS"}],
                "mountPoints": [mount("batchmap-bin", "/opt/batchmap/bin", true), mount("batchmap-tmp", "/opt/batchmap/tmp", false)],
                "resourceRequirements": [
                    {"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "2048"}, {"type": "GPU", "value": "1"},
                ],
                "secrets": [{"name": "TOKEN", "valueFrom": "arn:secret"}], "logConfiguration": log,
            },
        ],
        "volumes": [{"name": "batchmap-bin", "host": {}}, {"name": "batchmap-tmp", "host": {}}],
        "taskRoleArn": "role",
    });
    assert_eq!(asked[0]["ecsProperties"], json!({ "taskProperties": [task] }));
    let task = &asked[1]["ecsProperties"]["taskProperties"][0];
    let (init, main) = (&task["containers"][0], &task["containers"][1]);
    assert_eq!(init["resourceRequirements"], Value::Null, "the task's size is the other one's");
    assert_eq!(main["readonlyRootFilesystem"], json!(true));
    assert_eq!(main["mountPoints"][1], mount("batchmap-tmp", "/tmp", false));
    assert_eq!(task["networkConfiguration"], json!({"assignPublicIp": "ENABLED"}));
    assert_eq!(task["runtimePlatform"]["cpuArchitecture"], json!("ARM64"));
    assert_eq!(asked[2]["containerOverrides"], Value::Null);
    let own = json!({"name": "main", "command": ["python3", "x.py"], "environment": [{"name": "A", "value": "1"}]});
    assert_eq!(asked[2]["ecsPropertiesOverride"], json!({"taskProperties": [{"containers": [own]}]}));
    // The endpoint's own port asks its model for the same.
    for (definition, asked) in [(&ec2, &asked[0]), (&fargate, &asked[1])] {
        let Input::Register(request) = ask::register(definition) else { panic!("a registration") };
        assert_eq!(&serde_json::to_value(request).expect("JSON"), asked);
    }
    let Input::Submit(request) = ask::submit(&overriding) else { panic!("a submission") };
    assert_eq!(
        serde_json::to_value(request).expect("JSON")["ecsPropertiesOverride"],
        asked[2]["ecsPropertiesOverride"]
    );
    canned.endpoint.stop().await;
}

#[tokio::test]
async fn where_the_first_container_fails_it_tells_why_the_second_never_ran() {
    let attempt =
        |init: Value| json!({"statusReason": "s", "taskProperties": [{"containers": [init, {"name": "main"}]}]});
    let job = |id: &str, init: Value| {
        let containers =
            json!([{"name": "batchmap-init", "image": "w", "essential": false}, {"name": "main", "image": "i"}]);
        json!({"jobId": id, "jobName": "n", "jobQueue": "q", "jobDefinition": "d", "startedAt": 0, "status": "FAILED",
               "container": {}, "attempts": [attempt(init)], "ecsProperties": {"taskProperties": [{"containers": containers}]}})
    };
    let name = "batchmap-init";
    let jobs = json!({"jobs": [
        job("a", json!({"name": name, "exitCode": 76, "logStreamName": "first"})),
        job("b", json!({"name": name, "reason": "CannotPullContainerError: manifest unknown"})),
        job("c", json!({"name": name, "exitCode": 0})),
    ]});
    let canned = Canned::start("/v1/describejobs", 200, jobs).await;
    let jobs = clients(&canned.endpoint.url()).await.batch.describe(&["a".to_owned()]).await.expect("jobs");
    let told: Vec<_> = jobs.iter().map(|job| job.attempts[0].reason.as_deref()).collect();
    let first = "CannotStartContainerError: container batchmap-init, which comes first: ";
    assert_eq!(told[0], Some(&*format!("{first}ended with exit code 76")));
    assert_eq!(told[1], Some(&*format!("{first}CannotPullContainerError: manifest unknown")));
    assert_eq!(told[2], None);
    assert!(jobs.iter().all(|job| job.attempts[0].exit_code.is_none()));
    assert_eq!(jobs[0].log_stream.as_deref(), Some("first"));
    canned.endpoint.stop().await;
}

#[tokio::test]
async fn the_newest_definition_is_found() {
    let found = |revision: i32| json!({"jobDefinitionName": "n", "jobDefinitionArn": format!("arn:{revision}"), "revision": revision, "type": "container"});
    let answer = json!({"jobDefinitions": [found(2), found(10), found(9)]});
    let canned = Canned::start("/v1/describejobdefinitions", 200, answer).await;
    let clients = clients(&canned.endpoint.url()).await;
    assert_eq!(clients.batch.find_definition("n").await, Ok(Some("arn:10".to_owned())));
    assert_eq!(canned.asked()[0], json!({"jobDefinitionName": "n", "status": "ACTIVE"}));
    canned.endpoint.stop().await;
}

#[tokio::test]
async fn a_log_stream_is_read_from_its_beginning_and_a_missing_one_is_told_apart() {
    let canned =
        Canned::start("/", 200, json!({"events": [{"timestamp": 5, "message": "line"}], "nextForwardToken": "f"}))
            .await;
    let page = clients(&canned.endpoint.url()).await.logs.page("g", "s", None).await.expect("a page");
    assert_eq!(
        (page.events[0].message.as_str(), page.events[0].timestamp_ms, page.next.as_deref()),
        ("line", 5, Some("f"))
    );
    assert_eq!(canned.asked()[0]["startFromHead"], json!(true));
    canned.endpoint.stop().await;
    let canned = Canned::start("/", 400, json!({"__type": "ResourceNotFoundException", "message": "no"})).await;
    let error = clients(&canned.endpoint.url()).await.logs.page("g", "s", None).await.expect_err("none");
    assert!(matches!(error, LogsError::NotFound { .. }), "{error}");
    canned.endpoint.stop().await;
}

fn definition() -> Definition {
    Definition {
        name: "n".into(),
        image: "image".into(),
        platform: "EC2".into(),
        vcpus: "1".into(),
        memory_mib: 2048,
        gpus: 1,
        job_role: Some("role".into()),
        execution_role: None,
        log_group: Some("group".into()),
        assign_public_ip: true,
        secrets: BTreeMap::from([("TOKEN".into(), "arn:secret".into())]),
        shared_memory_mib: 0,
        arm64: false,
        injection: None,
    }
}

/// Counts how often it is asked.
struct Counting(AtomicU64);

#[async_trait::async_trait]
impl Fence for Counting {
    async fn holds(&self) -> bool {
        self.0.fetch_add(1, Ordering::SeqCst);
        true
    }
}

#[tokio::test]
async fn the_fence_of_a_pooled_submission_is_asked_before_each_try() {
    let answer = json!({"__type": "TooManyRequestsException", "message": "why"});
    let canned = Canned::start("/v1/submitjob", 429, answer).await;
    let pooled = Pooled::new(clients(&canned.endpoint.url()).await.batch);
    let fence = Counting(AtomicU64::new(0));
    let error = pooled.submit_fenced(&request(2), &fence).await.expect_err("throttled");
    assert!(matches!(error, BatchError::Throttled { .. }), "{error:?}");
    let asked = canned.asked().len();
    assert!(asked > 1);
    assert_eq!(fence.0.into_inner(), asked as u64);
    canned.endpoint.stop().await;
}

#[tokio::test]
async fn many_who_need_a_definition_register_it_once() {
    let refused = json!({"__type": "ClientException", "message": "no such definition"});
    let canned = Canned::answering([
        ("/v1/describejobdefinitions", 200, json!({"jobDefinitions": []})),
        ("/v1/registerjobdefinition", 200, json!({"jobDefinitionArn": "arn:1"})),
        ("/v1/submitjob", 400, refused),
    ])
    .await;
    let clients = clients(&canned.endpoint.url()).await;
    let pooled = Pooled::new(clients.batch.clone());
    let ensure = || ensure(&pooled, definition());
    let arns = futures::future::join_all((0..20).map(|_| ensure())).await;
    assert!(arns.iter().all(|arn| arn.as_deref() == Ok("arn:1")), "{arns:?}");
    assert_eq!(clients.counts.of("RegisterJobDefinition"), 1);
    let looks = clients.counts.of("DescribeJobDefinitions");
    assert_eq!(ensure().await.as_deref(), Ok("arn:1"));
    assert_eq!(clients.counts.of("DescribeJobDefinitions"), looks, "it is known");
    // A refused submission may mean that somebody has taken it away.
    pooled.submit(&request(2)).await.expect_err("refused");
    assert_eq!(ensure().await.as_deref(), Ok("arn:1"));
    assert_eq!(clients.counts.of("RegisterJobDefinition"), 2);
    // Each is counted by what came of it.
    let answered = clients.counts.answered();
    let of = |operation, status| answered.get(&Answered { service: "batch", operation, status }).copied();
    assert_eq!((of("RegisterJobDefinition", Some(200)), of("SubmitJob", Some(400))), (Some(2), Some(1)));
    canned.endpoint.stop().await;
    ensure_other(&pooled).await.expect_err("nobody listens");
    let answered = clients.counts.answered();
    let key = Answered { service: "batch", operation: "DescribeJobDefinitions", status: None };
    assert!(answered.get(&key).is_some_and(|count| *count > 0), "{answered:?}");
}

async fn ensure_other(pooled: &Pooled) -> Result<String, BatchError> {
    ensure(pooled, Definition { memory_mib: 1024, ..definition() }).await
}
