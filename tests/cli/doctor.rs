//! `batchmap doctor`: against an endpoint that is well, and with each thing wrong that it is to find.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::elsewhere::Emulator;
use super::place::{Place, Ran};

/// Sends a request of Batch that no command of ours sends.
fn batch(emulator: &Emulator, operation: &str, body: &Value) -> String {
    let address = emulator.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).unwrap();
    let body = body.to_string();
    let head = format!("POST /v1/{operation} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    write!(stream, "{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{operation}: {answer}");
    answer
}

fn doctor(place: &Place, emulator: &Emulator, more: &[&str]) -> Ran {
    place.run(["doctor", "--endpoint", &emulator.url].iter().chain(more))
}

/// The findings by step and status.
fn findings(ran: &Ran) -> Vec<(String, String)> {
    let told = ran.json();
    let findings = told["findings"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    findings.map(|finding| (text(&finding["step"]), text(&finding["status"]))).collect()
}

/// The one that has failed: its step, and its sentence with its fix.
#[track_caller]
fn failed(ran: &Ran) -> (String, String) {
    let told = ran.json();
    assert_eq!(told["healthy"], json!(false));
    let found = told["findings"].as_array().unwrap().iter().find(|finding| finding["status"] == "failed");
    let found = found.unwrap_or_else(|| panic!("nothing has failed: {told:#}"));
    assert!(found["fix"].as_str().is_some_and(|fix| !fix.is_empty()), "no fix: {found}");
    (found["step"].as_str().unwrap().to_owned(), format!("{} | {}", found["what"], found["fix"]))
}

#[track_caller]
fn fails(ran: Ran, exit: i32, step: &str, words: &[&str]) {
    let ran = ran.exits(exit);
    let (found, text) = failed(&ran);
    assert_eq!(found, step, "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in {text}");
    }
}

const JSON: [&str; 2] = ["--format", "json"];
const LOOK: [&str; 3] = ["--format", "json", "--no-job"];

#[test]
fn an_endpoint_that_is_well() {
    let place = Place::new();
    let emulator = Emulator::with(&place, &[]);
    let ran = doctor(&place, &emulator, &JSON).exits(0);
    let told = findings(&ran);
    assert_eq!(ran.json()["healthy"], json!(true));
    assert!(told.iter().all(|(_, status)| status != "failed"), "{told:?}");
    for step in [
        "configuration",
        "credentials",
        "identity",
        "bucket",
        "objects",
        "clock",
        "queue",
        "compute",
        "log group",
        "job definition",
        "job",
        "log",
        "removal",
    ] {
        let found: Vec<&str> =
            told.iter().filter(|(name, _)| name == step).map(|(_, status)| status.as_str()).collect();
        assert!(!found.is_empty() && found.iter().all(|status| *status == "ok"), "{step}: {told:?}");
    }
    assert!(told.contains(&("permissions".to_owned(), "not_seen".to_owned())), "{told:?}");
    let list = place.run(["list", "--endpoint", &emulator.url]).exits(0);
    assert_eq!(list.out, "", "it leaves no execution");
    let text = doctor(&place, &emulator, &["--no-job"]).exits(0);
    assert!(text.out.contains("ok        queue: queue batchmap is VALID and ENABLED"), "{}", text.out);
    assert!(text.out.contains("not seen  job: none was run: --no-job is given"), "{}", text.out);
}

#[test]
fn with_nothing_configured_it_is_this_machine() {
    let place = Place::new();
    let ran = place.run(["doctor"]).exits(0);
    assert!(ran.out.contains("nothing is set: executions run on this machine"), "{}", ran.out);
    assert!(ran.out.contains("gave back its element and its bound value"), "{}", ran.out);
}

#[test]
fn names_that_are_not_there() {
    let place = Place::new();
    let emulator = Emulator::with(&place, &[]);
    let look = |more: &[&str]| doctor(&place, &emulator, &[&LOOK[..], more].concat());
    fails(look(&["--bucket", "no-such-bucket"]), 2, "bucket", &["no bucket no-such-bucket", "correct `bucket`"]);
    fails(look(&["--queue", "nowhere"]), 2, "queue", &["queue is", "nowhere", "correct `queue`"]);
    fails(look(&["--log-group", "/none"]), 2, "log group", &["no log group /none", "correct `log_group`"]);
    fails(look(&["--platform", "EKS"]), 2, "configuration", &["platform", "EC2 or FARGATE"]);
    let lost = look(&["--bucket", "no-such-bucket"]);
    let told = findings(&lost);
    assert!(told.contains(&("queue".to_owned(), "ok".to_owned())), "one fault does not hide the rest: {told:?}");
}

#[test]
fn a_queue_that_takes_nothing() {
    let place = Place::new();
    let emulator = Emulator::with(&place, &[]);
    batch(&emulator, "updatejobqueue", &json!({"jobQueue": "batchmap", "state": "DISABLED"}));
    fails(doctor(&place, &emulator, &JSON), 2, "queue", &["DISABLED", "enable it"]);
    batch(&emulator, "updatejobqueue", &json!({"jobQueue": "batchmap", "state": "ENABLED"}));
    batch(&emulator, "updatecomputeenvironment", &json!({"computeEnvironment": "batchmap", "state": "DISABLED"}));
    fails(doctor(&place, &emulator, &JSON), 2, "compute", &["batchmap is DISABLED", "enable it"]);
}

#[test]
fn a_queue_of_another_platform_and_a_child_that_does_not_fit() {
    let place = Place::new();
    let emulator = Emulator::with(&place, &[]);
    let fargate = json!({
        "computeEnvironmentName": "far", "type": "MANAGED",
        "computeResources": {"type": "FARGATE", "maxvCpus": 4, "subnets": ["subnet-1"], "securityGroupIds": ["sg-1"]},
    });
    batch(&emulator, "createcomputeenvironment", &fargate);
    let order = json!([{"order": 1, "computeEnvironment": "far"}]);
    batch(
        &emulator,
        "createjobqueue",
        &json!({"jobQueueName": "far", "priority": 1, "computeEnvironmentOrder": order}),
    );
    let look = |more: &[&str]| doctor(&place, &emulator, &[&LOOK[..], more].concat());
    fails(look(&["--queue", "far"]), 2, "compute", &["runs on FARGATE", "set platform to FARGATE"]);
    let role = "arn:aws:iam::000000000000:role/r";
    let there = ["--queue", "far", "--platform", "FARGATE", "--job-role", role, "--execution-role", role];
    look(&there).exits(0);
    let large = [&there[..], &["--cpu", "8", "--mem", "16Gi"]].concat();
    fails(look(&large), 2, "compute", &["maxvCpus 4", "raise its limits"]);
    fails(look(&[&there[..], &["--gpu", "1"]].concat()), 2, "compute", &["Fargate"]);
}

#[test]
fn a_permission_that_is_lacking() {
    let place = Place::new();
    let denied = |operation: &str, words: &[&str], step: &str| {
        let flag = format!("denied.operations={operation}");
        let served = Place::new();
        let emulator = Emulator::with(&served, &["--fault", "denied=1", "--fault", &flag]);
        fails(doctor(&place, &emulator, &JSON), 4, step, words);
    };
    denied("PutObject", &["s3:PutObject"], "objects");
    denied("DeleteObjects", &["s3:DeleteObject"], "objects");
    denied("RegisterJobDefinition", &["batch:RegisterJobDefinition", "iam:PassRole"], "job definition");
    denied("SubmitJob", &["batch:SubmitJob"], "job");
    // To look is not to run: without these permissions executions run all the same.
    let flag = "denied.operations=DescribeJobQueues,DescribeLogGroups,GetLogEvents";
    let emulator = Emulator::with(&place, &["--fault", "denied=1", "--fault", flag]);
    let told = findings(&doctor(&place, &emulator, &JSON).exits(0));
    for found in [("queue", "warning"), ("log group", "not_seen"), ("log", "warning"), ("job", "ok")] {
        assert!(told.contains(&(found.0.to_owned(), found.1.to_owned())), "{found:?}: {told:?}");
    }
}

#[test]
fn no_credentials_and_no_answer() {
    let place = Place::new();
    let emulator = Emulator::with(&place, &[]);
    let mut command = place.command(["doctor", "--format", "json", "--bucket", "batchmap", "--queue", "batchmap"]);
    command.env("AWS_ENDPOINT_URL", &emulator.url).env("AWS_REGION", "us-east-1").env("HOME", place.path("home"));
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    fails(Ran::of(command.output().unwrap()), 4, "credentials", &["there are none", "AWS_PROFILE"]);
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    let nobody = place.run(["doctor", "--format", "json", "--no-job", "--endpoint", &url]);
    fails(nobody, 4, "bucket", &["no answer", "see that the address"]);
}

#[test]
fn a_secret_is_never_printed() {
    let place = Place::new();
    let emulator = Emulator::with(&place, &[]);
    let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLE";
    let token = "FwoGZXIvYXdzEBYaDKmadeUp0123456789";
    let endpoint = format!("http://user:{secret}@127.0.0.1:1");
    let broken = format!("secret = \"{secret}\"\n");
    place.write("broken.toml", &broken);
    for flags in [
        vec!["--endpoint", emulator.url.as_str()],
        vec!["--endpoint", endpoint.as_str()],
        vec!["--bucket", "batchmap", "--queue", "batchmap"],
        vec!["--bucket", secret, "--queue", token],
        vec!["--config", "broken.toml"],
    ] {
        for form in ["text", "json"] {
            let mut command = place.command(["doctor", "--no-job", "--format", form].iter().chain(&flags));
            command.env("AWS_ENDPOINT_URL", &emulator.url).env("AWS_REGION", "us-east-1");
            command.env("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE").env("AWS_SECRET_ACCESS_KEY", secret);
            command.env("AWS_SESSION_TOKEN", token);
            let ran = Ran::of(command.output().unwrap());
            for hidden in [secret, token] {
                assert!(!ran.out.contains(hidden) && !ran.err.contains(hidden), "{flags:?}: {}\n{}", ran.out, ran.err);
            }
        }
    }
}
