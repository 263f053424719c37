//! Children as containers: real images under podman, by the emulator as a user runs it.

#[path = "support/emulator.rs"]
mod emulator;
#[path = "support/podman.rs"]
mod podman;
#[path = "support/skip.rs"]
mod skip;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use emulator::{Emulator, Setting};
use nix::sys::signal::Signal;
use podman::{BUSYBOX, Podman};
use serde_json::{Value, json};

/// An emulator whose children are containers.
struct Bed {
    emulator: Emulator,
    podman: Arc<Podman>,
    data: tempfile::TempDir,
}

/// What a container needs less than which the kernel cannot start it.
const MEMORY: &str = "64";

impl Bed {
    fn new() -> Option<Bed> {
        let podman = Podman::shared().map_err(|why| skip::skipped(&why)).ok()?;
        let data = tempfile::tempdir().unwrap();
        let emulator = Bed::start(&podman, data.path());
        Some(Bed { emulator, podman, data })
    }

    fn start(podman: &Podman, data: &Path) -> Emulator {
        let setting = Setting::default().args(["--runner", "podman", "--slots", "8"]).data(&data.join("data"));
        let setting = setting.env("TEST_SECRET", "s3cr3t");
        podman.env().iter().fold(setting, |setting, (name, value)| setting.env(name, value)).start()
    }

    /// One request to the endpoint.
    fn ask(&self, path: &str, target: Option<&str>, body: &Value) -> Value {
        let body = body.to_string();
        let mut stream = TcpStream::connect(self.emulator.addr()).unwrap();
        let target = target.map(|target| format!("x-amz-target: {target}\r\n")).unwrap_or_default();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\n{target}content-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        serde_json::from_str(body).unwrap()
    }

    /// Submits a job of its own definition, by `containerProperties`.
    fn job(&self, name: &str, properties: Value, more: Value) -> String {
        let mut container = json!({"image": BUSYBOX, "resourceRequirements":
            [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": MEMORY}]});
        extend(&mut container, properties);
        self.submit(name, json!({"containerProperties": container}), more)
    }

    /// Submits a job of several containers.
    fn task(&self, name: &str, task: Value, more: Value) -> String {
        self.submit(name, json!({"ecsProperties": {"taskProperties": [task]}}), more)
    }

    fn submit(&self, name: &str, properties: Value, more: Value) -> String {
        let mut definition = json!({"jobDefinitionName": name, "type": "container"});
        extend(&mut definition, properties);
        self.ask("/v1/registerjobdefinition", None, &definition);
        let mut job = json!({"jobName": name, "jobQueue": "batchmap", "jobDefinition": name});
        extend(&mut job, more);
        self.ask("/v1/submitjob", None, &job)["jobId"].as_str().unwrap().to_owned()
    }

    fn describe(&self, id: &str) -> Value {
        self.ask("/v1/describejobs", None, &json!({"jobs": [id]}))["jobs"][0].take()
    }

    /// Waits until a job is what it should be: the emulator is another process, and has no other way to tell.
    fn until(&self, id: &str, done: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let told = self.describe(id);
            if done(&told) {
                return told;
            }
            assert!(Instant::now() < deadline, "{told:#}\n{}", self.emulator.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn ended(&self, id: &str) -> Value {
        self.until(id, |job| ["SUCCEEDED", "FAILED"].contains(&text(&job["status"])))
    }

    /// The lines of a log stream.
    fn lines(&self, stream: &Value) -> Vec<String> {
        let body = json!({"logGroupName": "/aws/batch/job", "logStreamName": stream, "startFromHead": true});
        let page = self.ask("/", Some("Logs_20140328.GetLogEvents"), &body);
        page["events"].as_array().unwrap().iter().map(|event| text(&event["message"]).to_owned()).collect()
    }

    /// How a job of one container ended: its status, exit code, reason, and what it printed.
    fn outcome(&self, id: &str) -> (String, Option<i64>, String, Vec<String>) {
        let job = self.ended(id);
        let container = &job["container"];
        let lines = match &container["logStreamName"] {
            Value::Null => Vec::new(),
            stream => self.lines(stream),
        };
        let reason = container["reason"].as_str().unwrap_or_default().to_owned();
        (text(&job["status"]).to_owned(), container["exitCode"].as_i64(), reason, lines)
    }

    /// The containers and volumes of this bed that there are.
    fn left(&self) -> Vec<String> {
        left(&self.podman, self.data.path())
    }
}

/// The containers and volumes of emulators over a directory.
fn left(podman: &Podman, data: &Path) -> Vec<String> {
    let folder = data.canonicalize().unwrap().join("data/tmp");
    let home = blake3::hash(folder.as_os_str().as_encoded_bytes()).to_hex();
    podman.left(&format!("batchmap.home={}", &home[..16]))
}

fn extend(object: &mut Value, more: Value) {
    let Value::Object(more) = more else { panic!("{more} is no object") };
    object.as_object_mut().unwrap().extend(more);
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A command line of a shell.
fn sh(script: &str) -> Value {
    json!(["sh", "-c", script])
}

/// A container of a task.
fn part(name: &str, script: &str, more: Value) -> Value {
    let mut container = json!({"name": name, "image": BUSYBOX, "command": sh(script), "resourceRequirements":
        [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": MEMORY}]});
    extend(&mut container, more);
    container
}

#[test]
fn containers_run_as_their_definition_says() {
    let Some(bed) = Bed::new() else { return };
    let host = bed.data.path().join("host");
    std::fs::create_dir(&host).unwrap();
    std::fs::write(host.join("given"), "from the host").unwrap();
    let memory = |mib: &str| json!([{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": mib}]);
    // All are submitted at once: they run beside one another.
    let fine = bed.job("fine", json!({"command": sh("echo out; echo err >&2")}), json!({}));
    let code = bed.job("code", json!({"command": sh("exit 7")}), json!({}));
    let own = bed.job("own", json!({"command": sh("exit 127")}), json!({}));
    let index = bed.job(
        "index",
        json!({"command": sh("echo $AWS_BATCH_JOB_ARRAY_INDEX $AWS_BATCH_JOB_ATTEMPT $A \"$AWS_ENDPOINT_URL\" $TEST_SECRET"),
            "environment": [{"name": "A", "value": "a b"}], "secrets": [{"name": "TEST_SECRET", "valueFrom": "x"}]}),
        json!({"arrayProperties": {"size": 3}}),
    );
    let unknown = bed.job("unknown", json!({"image": "localhost/batchmap-test:none"}), json!({}));
    let absent = bed.job("absent", json!({"command": ["/no/such/program"]}), json!({}));
    let user = bed.job("user", json!({"command": sh("id -u; id -g"), "user": "1234:7"}), json!({}));
    let frozen = bed.job(
        "frozen",
        json!({"command": sh("touch /x || echo refused; touch /tmp/x || echo refused; touch /t/x && echo written"),
            "readonlyRootFilesystem": true, "linuxParameters": {"tmpfs": [{"containerPath": "/t", "size": 1}]}}),
        json!({}),
    );
    let hungry = bed.job(
        "hungry",
        json!({"command": sh("exec tail /dev/zero"), "resourceRequirements": memory("32")}),
        json!({}),
    );
    let parent = bed.job(
        "parent",
        json!({"command": sh("tail /dev/zero; sleep 0.3; exit 3"), "resourceRequirements": memory("32")}),
        json!({}),
    );
    let mounted = bed.job(
        "mounted",
        json!({"command": sh("cat /h/given; echo; touch /h/x || echo refused; touch /v/x && echo kept"),
            "volumes": [{"name": "h", "host": {"sourcePath": host}}, {"name": "v"}],
            "mountPoints": [{"sourceVolume": "h", "containerPath": "/h", "readOnly": true},
                {"sourceVolume": "v", "containerPath": "/v"}]}),
        json!({}),
    );
    let gpu = json!([{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}, {"type": "GPU", "value": "1"}]);
    let gpu = bed.job("gpu", json!({"command": ["true"], "resourceRequirements": gpu}), json!({}));

    let outcome = |id: &str| bed.outcome(id);
    let ok = |lines: &[&str]| {
        (
            "SUCCEEDED".to_owned(),
            Some(0),
            String::new(),
            lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>(),
        )
    };
    let (status, exit_code, _, mut lines) = outcome(&fine);
    lines.sort();
    assert_eq!((status.as_str(), exit_code, lines), ("SUCCEEDED", Some(0), vec!["err".to_owned(), "out".to_owned()]));
    assert_eq!(outcome(&user), ok(&["1234", "7"]));
    let failed = |id: &str, exit_code: Option<i64>, reason: &str| {
        let (status, code, told, lines) = outcome(id);
        assert_eq!((status.as_str(), code), ("FAILED", exit_code), "{told}");
        assert!(told.contains(reason) && told.is_empty() == reason.is_empty(), "{told}");
        lines
    };
    failed(&code, Some(7), "");
    failed(&own, Some(127), "");
    bed.ended(&index);
    for child in 0..3 {
        let line = format!("{child} 1 a b {} s3cr3t", bed.emulator.url());
        assert_eq!(outcome(&format!("{index}:{child}")), ok(&[&line]));
    }
    let lines = failed(&unknown, None, "CannotPullContainerError: localhost/batchmap-test:none not found");
    assert!(lines.is_empty(), "what never ran has no log: {lines:?}");
    assert_eq!(text(&bed.describe(&unknown)["statusReason"]), "Task failed to start");
    failed(&absent, None, "CannotStartContainerError: ");
    failed(&gpu, None, "CannotStartContainerError: the job asks for 1 GPU");
    let said = |lines: Vec<String>| lines.into_iter().filter(|line| !line.starts_with("touch")).collect::<Vec<_>>();
    let (status, _, _, lines) = outcome(&frozen);
    assert_eq!((status.as_str(), said(lines).join(" ").as_str()), ("SUCCEEDED", "refused refused written"));
    failed(&hungry, Some(137), "OutOfMemoryError: Container killed due to memory usage");
    if std::path::Path::new("/sys/fs/cgroup/memory").is_dir()
        || std::path::Path::new("/sys/fs/cgroup/memory.stat").exists()
    {
        failed(&parent, Some(3), "OutOfMemoryError: Container killed due to memory usage");
    }
    let (status, _, _, lines) = outcome(&mounted);
    assert_eq!((status.as_str(), said(lines).join(", ").as_str()), ("SUCCEEDED", "from the host, refused, kept"));
    assert_eq!(bed.left(), [""; 0], "nothing is left of what has ended");
}

/// What an attempt left of the containers of its task, by name.
fn parts(job: &Value) -> Value {
    let attempt = &job["attempts"].as_array().unwrap().last().unwrap()["taskProperties"][0]["containers"];
    let now = &job["ecsProperties"]["taskProperties"][0]["containers"];
    let mut parts = json!({});
    for (left, detail) in attempt.as_array().unwrap().iter().zip(now.as_array().unwrap()) {
        for field in ["exitCode", "reason", "logStreamName"] {
            assert_eq!(left[field], detail[field], "the attempt and the job tell the same of its last");
        }
        parts[text(&left["name"])] = left.clone();
    }
    parts
}

#[test]
fn containers_of_a_task_wait_for_one_another() {
    let Some(bed) = Bed::new() else { return };
    let shared = |path: &str| json!([{"sourceVolume": "shared", "containerPath": path}]);
    let after = |name: &str, condition: &str| json!([{"containerName": name, "condition": condition}]);
    let init = part(
        "init",
        "echo made > /out/file; echo init-log",
        json!({"essential": false, "mountPoints": shared("/out")}),
    );
    let main = part(
        "main",
        "cat /in/file; echo $WHO",
        json!({"mountPoints": shared("/in"), "dependsOn": after("init", "SUCCESS"), "user": "1234"}),
    );
    let volumes = json!([{"name": "shared", "host": {}}]);
    let task = json!({"containers": [main, init], "volumes": volumes});
    let change = json!([{"name": "main", "environment": [{"name": "WHO", "value": "me"}]}]);
    let change = json!({"ecsPropertiesOverride": {"taskProperties": [{"containers": change}]}});
    let mut array = change.clone();
    array["arrayProperties"] = json!({"size": 2});
    let injected = bed.task("injected", task, array);

    let bad = part("init", "echo no >&2; exit 5", json!({"essential": false}));
    let main = |condition: &str| part("main", "exit 4", json!({"dependsOn": after("init", condition)}));
    let never = bed.task("never", json!({"containers": [bad, main("SUCCESS")]}), json!({}));
    let anyway = bed.task("anyway", json!({"containers": [bad, main("COMPLETE")]}), json!({}));

    // The side car is stopped when the essential one ends; the other way round it may end by itself.
    let side = part(
        "side",
        "trap 'echo stopped; exit 9' TERM; touch /s/up; while :; do sleep 0.1; done",
        json!({"essential": false, "mountPoints": shared("/s")}),
    );
    let short = part("short", "exit 1", json!({"essential": false}));
    let main = part(
        "main",
        "while ! [ -e /s/up ]; do sleep 0.1; done",
        json!({"mountPoints": shared("/s"), "dependsOn": after("side", "START")}),
    );
    let stopped = bed.task("stopped", json!({"containers": [side, short, main], "volumes": volumes}), json!({}));
    let gone = part("gone", "true", json!({"essential": false, "image": "localhost/batchmap-test:none"}));
    let main = part("main", "true", json!({"dependsOn": after("gone", "START")}));
    let unpulled = bed.task("unpulled", json!({"containers": [gone, main]}), json!({}));

    bed.ended(&injected);
    for child in 0..2 {
        let job = bed.ended(&format!("{injected}:{child}"));
        let parts = parts(&job);
        assert_eq!(text(&job["status"]), "SUCCEEDED", "{job:#}");
        assert_eq!(bed.lines(&parts["main"]["logStreamName"]), ["made", "me"]);
        assert_eq!(bed.lines(&parts["init"]["logStreamName"]), ["init-log"]);
        assert!(text(&parts["init"]["logStreamName"]).starts_with("injected/init/"));
    }
    let job = bed.ended(&never);
    let left = parts(&job);
    assert_eq!((text(&job["status"]), text(&job["statusReason"])), ("FAILED", "Task failed to start"));
    assert_eq!((&left["init"]["exitCode"], &left["main"]["exitCode"]), (&json!(5), &Value::Null));
    let reason = "CannotStartContainerError: the container init that it waits for exited with code 5";
    assert_eq!((text(&left["main"]["reason"]), &left["main"]["logStreamName"]), (reason, &Value::Null));
    assert_eq!(bed.lines(&left["init"]["logStreamName"]), ["no"]);
    let left = parts(&bed.ended(&anyway));
    assert_eq!((&left["init"]["exitCode"], &left["main"]["exitCode"]), (&json!(5), &json!(4)));
    let job = bed.ended(&stopped);
    let left = parts(&job);
    assert_eq!(text(&job["status"]), "SUCCEEDED", "{job:#}");
    let codes = ["side", "short", "main"].map(|name| left[name]["exitCode"].as_i64());
    assert_eq!(codes, [Some(9), Some(1), Some(0)]);
    assert_eq!(bed.lines(&left["side"]["logStreamName"]), ["stopped"]);
    let left = parts(&bed.ended(&unpulled));
    assert!(text(&left["gone"]["reason"]).starts_with("CannotPullContainerError: "), "{left}");
    assert!(text(&left["main"]["reason"]).contains("the container gone that it waits for did not start: CannotPull"));
    assert_eq!(bed.left(), [""; 0]);
}

#[test]
fn what_is_terminated_ends() {
    let Some(bed) = Bed::new() else { return };
    let loops = "while :; do sleep 0.1; done";
    let polite = bed.job(
        "polite",
        json!({"command": sh(&format!("trap 'echo bye; exit 3' TERM; echo up; {loops}"))}),
        json!({}),
    );
    let lost = bed.job("lost", json!({"command": sh(&format!("echo up; {loops}"))}), json!({}));
    let side = part("side", loops, json!({"essential": false, "stopTimeout": 1}));
    let main = part("main", &format!("trap 'exit 143' TERM; {loops}"), json!({}));
    let task = bed.task("both", json!({"containers": [side, main]}), json!({}));
    for id in [&polite, &lost, &task] {
        bed.until(id, |job| text(&job["status"]) == "RUNNING");
    }
    for id in [&polite, &task] {
        bed.ask("/v1/terminatejob", None, &json!({"jobId": id, "reason": "enough"}));
    }
    bed.ask("/.batchmap/faults/lose-hosts", None, &json!({"jobs": [lost]}));
    let job = bed.ended(&polite);
    assert_eq!(
        (text(&job["status"]), text(&job["statusReason"]), job["isTerminated"].as_bool()),
        ("FAILED", "enough", Some(true))
    );
    assert_eq!(job["container"]["reason"], Value::Null, "it was no want of memory");
    assert_eq!(bed.outcome(&polite).3, ["up", "bye"]);
    let job = bed.ended(&lost);
    assert!(text(&job["statusReason"]).starts_with("Host EC2 (instance i-"), "{job:#}");
    let left = parts(&bed.ended(&task));
    // The side car does not hear its SIGTERM: a second later it is killed.
    assert_eq!((&left["main"]["exitCode"], &left["side"]["exitCode"]), (&json!(143), &json!(137)));
    let deadline = Instant::now() + Duration::from_secs(60);
    while !bed.left().is_empty() {
        assert!(Instant::now() < deadline, "{:?}", bed.left());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn nothing_outlives_the_emulator() {
    let Some(bed) = Bed::new() else { return };
    let Bed { mut emulator, podman, mut data } = bed;
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let bed = Bed { emulator, podman: Arc::clone(&podman), data };
        let body = json!({"command": sh("while :; do sleep 0.1; done"),
            "volumes": [{"name": "v"}], "mountPoints": [{"sourceVolume": "v", "containerPath": "/v"}]});
        let id = bed.job("endless", body, json!({"arrayProperties": {"size": 3}}));
        bed.until(&format!("{id}:2"), |job| text(&job["status"]) == "RUNNING");
        assert_eq!(bed.left().len(), 6, "three containers, and their volumes");
        bed.emulator.end(signal);
        data = bed.data;
        // The guardian needs a moment; a SIGTERM waits for it.
        let deadline = Instant::now() + Duration::from_secs(60);
        while !left(&podman, data.path()).is_empty() {
            assert!(signal == Signal::SIGKILL && Instant::now() < deadline, "some are left");
            std::thread::sleep(Duration::from_millis(50));
        }
        emulator = Bed::start(&podman, data.path());
    }
    drop(emulator);
}

#[test]
fn a_machine_without_the_engine_is_told_so() {
    let data = tempfile::tempdir().unwrap();
    let setting = Setting::default().args(["--runner", "podman"]).env("PATH", "/nowhere");
    let output = setting.command(&data.path().join("data")).output().unwrap();
    let log = std::fs::read_to_string(data.path().join("emulator.log")).unwrap();
    assert_eq!(output.status.code(), Some(2), "{log}");
    assert!(log.contains("cannot run podman") && log.contains("another --runner"), "{log}");
}
