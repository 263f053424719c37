//! Small wrong turns, each told early and in words.

use aws_sdk_batch::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_batch::types::JqState;
use batchmap::aws::sdk::{Target, connect};
use batchmap::map::layout::Root;
use serde_json::Value;

use super::elsewhere::Emulator;
use super::interrupts::until_said;
use super::place::{Place, Ran};

#[test]
fn a_standard_variable_that_is_no_address_is_named() {
    let place = Place::new();
    for wrong in ["ftp://127.0.0.1:1", "nonsense", "http://127.0.0.1:port", "http://"] {
        let commands: [&[&str]; 3] =
            [&["run", "--map", "x=[1]", "--", "true"], &["list"], &["list", "--bucket", "bbb", "--region", "r"]];
        for args in commands {
            let ran = Ran::of(place.command(args).env("AWS_ENDPOINT_URL", wrong).output().unwrap()).exits(2);
            let ran = ran.says(&[&format!("AWS_ENDPOINT_URL is \"{wrong}\""), "http://HOST:PORT"]);
            assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
        }
    }
    let ran = place.command(["list"]).env("AWS_ENDPOINT_URL_S3", "s3.local").env("AWS_ENDPOINT_URL", "").output();
    Ran::of(ran.unwrap()).exits(2).says(&["AWS_ENDPOINT_URL_S3 is \"s3.local\""]);
}

#[test]
fn a_length_of_time_without_a_unit_is_refused_with_the_ways_to_write_it() {
    let place = Place::new();
    let commands: [&[&str]; 4] = [
        &["gc", "--older-than", "30"],
        &["gc", "--older-than", "1d", "--cache-older-than", "30"],
        &["wait", "--timeout", "30"],
        &["abort", "x", "--timeout", "30"],
    ];
    for args in commands {
        place.run(args).exits(2).says(&["it has no unit", "30s", "30d"]);
    }
}

#[test]
fn a_version_of_no_cache_is_refused() {
    let place = Place::new();
    let flags = ["run", "--map", "x=[1]", "--cache-version", "1"];
    place
        .run(flags.iter().chain(&["--", "true"]))
        .exits(2)
        .says(&["policy.cache_version: there is no cache", "policy.cache: true"]);
    // Switched off for once, it keeps its version.
    place.run(flags.iter().chain(&["--cache=false", "--", "true"])).exits(0);
}

/// What Batch's own client makes of the queue.
fn disable_queue(url: &str) {
    let config = aws_sdk_batch::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(url)
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("any", "thing", None, None, "test"));
    let client = aws_sdk_batch::Client::from_conf(config.build());
    let disabled = client.update_job_queue().job_queue("batchmap").state(JqState::Disabled);
    runtime().block_on(disabled.send()).unwrap();
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn requests(ran: &Ran, operation: &str) -> Option<u64> {
    ran.stats()["requests"].get(operation).and_then(Value::as_u64)
}

#[test]
fn a_queue_that_takes_no_jobs_is_found_before_anything_is_staged() {
    let place = Place::new();
    let emulator = Emulator::with(&place, &[]);
    let run = |more: &[&str]| {
        let flags = ["run", "--stats", "--endpoint", &emulator.url, "--map", "x=[1]"];
        place.run(flags.iter().chain(more).chain(&["--", "true"]))
    };
    let ran = run(&["--queue", "absent"]).exits(2).says(&["queue is \"absent\": there is no such job queue"]);
    assert_eq!((requests(&ran, "DescribeJobQueues"), requests(&ran, "PutObject")), (Some(1), None));
    run(&["--interruptible", "--interruptible-queue", "gone"]).exits(2).says(&["interruptible_queue is \"gone\""]);
    disable_queue(&emulator.url);
    let ran = run(&[]).exits(2).says(&["queue is \"batchmap\": it is DISABLED", "enable it"]);
    assert_eq!(requests(&ran, "PutObject"), None);
}

#[test]
fn who_may_not_look_at_queues_can_use_them_all_the_same() {
    let place = Place::new();
    let emulator = Emulator::with(&place, &["--fault", "denied=1", "--fault", "denied.operations=DescribeJobQueues"]);
    let run = ["run", "--endpoint", &emulator.url, "--map", "x=[1]", "--", "echo", "{{.inputs.x}}"];
    assert_eq!(place.run(run).exits(0).out, "[\"1\"]\n");
}

#[test]
fn to_look_at_a_bucket_takes_no_queue_and_to_run_takes_one() {
    let place = Place::new();
    let emulator = Emulator::with(&place, &[]);
    let at = |args: &[&str]| {
        let mut command = place.command(args.iter().chain(&["--bucket", "batchmap", "--region", "r"]));
        command.env("AWS_ENDPOINT_URL", &emulator.url).env("AWS_ACCESS_KEY_ID", "a").env("AWS_SECRET_ACCESS_KEY", "b");
        Ran::of(command.output().unwrap())
    };
    let run = ["run", "--endpoint", &emulator.url, "--map", "x=[1]", "--", "false"];
    place.run(run).exits(1);
    assert_eq!(at(&["list"]).exits(0).out.lines().count(), 1);
    assert!(at(&["status"]).exits(0).out.contains("failed"));
    at(&["outputs"]).exits(1);
    at(&["gc", "--older-than", "1d"]).exits(0);
    at(&["recover"]).exits(2).says(&["queue: is not set", "--queue"]);
}

#[test]
fn status_without_the_permission_to_ask_batch_is_the_journals() {
    let place = Place::new();
    let emulator = Emulator::with(&place, &["--fault", "denied=1", "--fault", "denied.operations=DescribeJobs"]);
    let at = ["--endpoint", &emulator.url];
    let run = ["run", "--map", "x=[1,2]"].iter().chain(&at).chain(&["--", "sleep", "1000"]);
    place.run(run).exits(4).says(&["DescribeJobs"]);
    let status = |more: &[&str]| place.run(["status"].iter().chain(&at).chain(more)).exits(0);
    let told = status(&[]).out;
    assert!(told.contains("running") && told.contains("from the journal alone"), "{told}");
    assert!(told.contains("batch:DescribeJobs"), "{told}");
    assert!(status(&["--format", "json"]).json()["unasked"].is_string());
}

#[test]
fn a_damaged_execution_is_named_by_whoever_reads_it() {
    let place = Place::new();
    let emulator = Emulator::with(&place, &[]);
    let at = ["--endpoint", &emulator.url];
    let run = ["run", "--map", "x=[1]"].iter().chain(&at).chain(&["--", "true"]);
    place.run(run).exits(0);
    let listed = place.run(["list", "--format", "json"].iter().chain(&at)).exits(0).json();
    let id = listed["id"].as_str().unwrap();
    let root = Root::new("", id);
    let target = Target { endpoint: Some(emulator.url.clone()), bucket: "batchmap".to_owned(), ..Target::default() };
    runtime().block_on(async {
        let store = connect(&target).await.store;
        store.put(&root.journal_record(1), b"{}".to_vec().into()).await.unwrap();
    });
    for command in ["status", "outputs", "wait", "resume", "abort"] {
        let ran = place.run([command, id].iter().chain(&at)).exits(5);
        ran.says(&[&format!("execution {id} is damaged"), "00000001", &root.subtasks()]);
    }
    assert!(place.run(["list"].iter().chain(&at)).exits(0).out.contains("cannot be read"));
}

/// A child that does not hear SIGTERM: the endpoint kills it half a minute later.
const DEAF: &str = "trap '' TERM; echo here > there.$1; until [ -e go ]; do sleep 0.1; done";

#[test]
fn while_children_still_end_it_is_aborting_and_who_waits_is_told_for_what() {
    let place = Place::new();
    let emulator = Emulator::with(&place, &[]);
    let at = ["--endpoint", &emulator.url];
    let run = ["run", "--map", "x=[1,2]"].iter().chain(&at).chain(&["--", "sh", "-c", DEAF, "sh", "{{.inputs.x}}"]);
    let mut driver = place.spawn(run);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
    while place.read("there.1").is_empty() || place.read("there.2").is_empty() {
        assert!(std::time::Instant::now() < deadline, "the children do not begin");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let listed = place.run(["list", "--format", "json"].iter().chain(&at)).exits(0).json();
    let id = listed["id"].as_str().unwrap();
    let mut wait = place.spawn(["wait", id].iter().chain(&at));
    let mut abort = place.spawn(["abort", id].iter().chain(&at));
    let said = until_said(&mut wait, &format!("waiting: {id} is aborting: aborted on request"));
    assert!(said.contains(&format!("waiting for {id}: 0/2 succeeded")) && said.contains("2 children to end"), "{said}");
    let status = place.run(["status", id].iter().chain(&at)).exits(0).out;
    assert!(status.contains("aborting"), "{status}");
    assert!(place.run(["list"].iter().chain(&at)).exits(0).out.contains("aborting"));
    place.write("go", "");
    let codes = [&mut abort, &mut wait, &mut driver].map(|process| process.wait().unwrap().code());
    assert_eq!(codes, [Some(0), Some(3), Some(3)]);
    assert!(place.run(["list"].iter().chain(&at)).exits(0).out.contains("aborted"));
}
