//! Children as containers: real images under podman, by the emulator as a user runs it.

#[path = "support/emulator.rs"]
mod emulator;
#[path = "support/podman.rs"]
mod podman;
#[path = "support/skip.rs"]
mod skip;

use std::io::{Read, Write};
use std::net::TcpStream;
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

    fn start(podman: &Podman, data: &std::path::Path) -> Emulator {
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

    /// The containers of this bed that there are.
    fn left(&self) -> Vec<String> {
        self.podman.containers().into_iter().filter(|name| name.starts_with("batchmap-")).collect()
    }
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
    let lines = failed(&unknown, None, "CannotPullContainerError: ");
    assert!(lines.is_empty(), "what never ran has no log: {lines:?}");
    assert_eq!(text(&bed.describe(&unknown)["statusReason"]), "Task failed to start");
    failed(&absent, None, "CannotStartContainerError: ");
    failed(&gpu, None, "CannotStartContainerError: the job asks for 1 GPU");
    let (status, _, _, lines) = outcome(&frozen);
    let said: Vec<&String> = lines.iter().filter(|line| !line.starts_with("touch")).collect();
    assert_eq!(
        (status.as_str(), said),
        (
            "SUCCEEDED",
            vec!["refused", "refused", "written"].iter().map(|s| s.to_string()).collect::<Vec<_>>().iter().collect()
        )
    );
    failed(&hungry, Some(137), "OutOfMemoryError: Container killed due to memory usage");
    if std::path::Path::new("/sys/fs/cgroup/memory").is_dir()
        || std::path::Path::new("/sys/fs/cgroup/memory.stat").exists()
    {
        failed(&parent, Some(3), "OutOfMemoryError: Container killed due to memory usage");
    }
    let (status, _, _, lines) = outcome(&mounted);
    let said: Vec<&str> = lines.iter().map(String::as_str).filter(|line| !line.starts_with("touch")).collect();
    assert_eq!((status.as_str(), said), ("SUCCEEDED", vec!["from the host", "refused", "kept"]));
    assert_eq!(bed.left(), [""; 0], "nothing is left of what has ended");
    assert!(bed.podman.volumes().is_empty());
}
