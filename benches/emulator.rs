//! What the endpoint costs: its answers over HTTP and in the model, a million simulated children, processes a second;
//! and what moto costs for the same calls in the same run, when `BATCHMAP_TEST_PYTHON` names a Python that has it.

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use batchmap::emulator::batch::model::api::{
    ArrayProperties, DescribeJobs, ListJobs, RegisterJobDefinition, SubmitJob,
};
use batchmap::emulator::batch::model::{Input, Model, Reply};
use batchmap::emulator::batch::{Service, ServiceConfig};
use batchmap::emulator::local::{self, Settings};
use batchmap::emulator::runner::Runner;
use batchmap::emulator::runner::guardian::GuardianCommand;
use batchmap::emulator::runner::process::{ProcessConfig, ProcessRunner};
use batchmap::emulator::runner::simulated::{Script, SimulatedDuration, SimulatedRunner};
use batchmap::emulator::server::Endpoint;
use serde_json::{Value, json};

/// The most children of one array.
const CHILDREN: u32 = 10_000;
const ROUNDS: usize = 20;
/// moto takes seconds for what the others take milliseconds for.
const MOTO_ROUNDS: usize = 2;
const PROCESSES: u32 = 5_000;
const MILLION: u32 = 1_000_000;
/// Says to a process of this benchmark that it is to run the million and nothing else: its memory is to be its own.
const ALONE: &str = "BATCHMAP_BENCH_MILLION";

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    if std::env::var_os(ALONE).is_some() {
        return runtime.block_on(million());
    }
    in_the_model();
    let ours = runtime.block_on(over_http());
    match Moto::start() {
        Ok(moto) => beside(ours, moto.measure()),
        Err(why) => println!("skipped: moto's figures: {why}"),
    }
    runtime.block_on(processes());
    let itself = std::env::current_exe().expect("this benchmark");
    assert!(Command::new(itself).env(ALONE, "1").status().expect("a process").success());
}

/// Medians of the three calls.
#[derive(Clone, Copy)]
struct Calls {
    submit: Duration,
    describe: Duration,
    list: Duration,
}

const BUDGETS: Calls =
    Calls { submit: Duration::from_millis(10), describe: Duration::from_millis(1), list: Duration::from_millis(5) };

fn report(what: &str, calls: Calls) {
    println!("{what}:");
    for (call, took, budget) in [
        ("SubmitJob of 10,000 children", calls.submit, BUDGETS.submit),
        ("DescribeJobs of their parent", calls.describe, BUDGETS.describe),
        ("ListJobs, a page of 1000", calls.list, BUDGETS.list),
    ] {
        let held = if took <= budget { "held" } else { "MISSED" };
        println!("  {call}: {:.3} ms (budget {} ms: {held})", ms(took), budget.as_millis());
    }
}

fn definition() -> RegisterJobDefinition {
    let container = json!({
        "image": "bench", "command": ["true"],
        "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "4"}],
    });
    RegisterJobDefinition {
        job_definition_name: "bench".to_owned(),
        kind: "container".to_owned(),
        container_properties: Some(container),
        ..RegisterJobDefinition::default()
    }
}

fn submission(size: u32) -> SubmitJob {
    SubmitJob {
        job_name: "bench".to_owned(),
        job_queue: local::NAME.to_owned(),
        job_definition: "bench".to_owned(),
        array_properties: Some(ArrayProperties { size: Some(i64::from(size)) }),
        ..SubmitJob::default()
    }
}

/// The state machine alone: no lock, no journal, no HTTP.
fn in_the_model() {
    let mut model = Model::new("bench", 2);
    model.apply(1, Input::Register(Box::new(definition()))).expect("a definition");
    let mut last = String::new();
    let submit = median(ROUNDS, || {
        let input = Input::Submit(Box::new(submission(CHILDREN)));
        match model.apply(2, input).expect("a submission").reply {
            Reply::Submitted(submitted) => last = submitted.job_id,
            other => panic!("{other:?}"),
        }
    });
    let request = DescribeJobs { jobs: vec![last.clone()] };
    let describe = median(ROUNDS, || drop(black_box(model.describe_jobs(&request).expect("a description"))));
    let page = ListJobs { array_job_id: Some(last), job_status: Some("RUNNABLE".to_owned()), ..ListJobs::default() };
    let list = median(ROUNDS, || {
        assert_eq!(model.list_jobs(&page).expect("a page").job_summary_list.len(), 1000);
    });
    report("in the model", Calls { submit, describe, list });
}

async fn over_http() -> Calls {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bound = Endpoint::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.expect("a free port");
    let addr = bound.addr();
    let mut settings = Settings::driving(folder.path().to_owned(), Some(2));
    settings.listen = addr;
    // Nothing ends while the calls are measured.
    let runner = Arc::new(simulated(3_600_000));
    let served = local::start_with(bound, settings, runner).await.expect("an endpoint");
    let measured = tokio::task::spawn_blocking(move || {
        let body = serde_json::to_value(definition()).expect("JSON");
        post(addr, "/v1/registerjobdefinition", &body);
        measure(addr, local::NAME, ROUNDS)
    });
    let calls = measured.await.expect("no panic");
    report("over HTTP, a connection a call", calls);
    served.stop().await;
    calls
}

/// The three calls, each over a connection of its own: what the client costs is the same for every endpoint.
fn measure(addr: SocketAddr, queue: &str, rounds: usize) -> Calls {
    let body = json!({
        "jobName": "bench", "jobQueue": queue, "jobDefinition": "bench", "arrayProperties": {"size": CHILDREN},
    });
    // An answer is read whole while the clock runs, and parsed when it has stopped.
    let mut answer = String::new();
    let submit = median(rounds, || answer = ask(addr, "/v1/submitjob", &body));
    let last = parsed(&answer)["jobId"].clone();
    let body = json!({ "jobs": [last] });
    let describe = median(rounds, || answer = ask(addr, "/v1/describejobs", &body));
    assert_eq!(parsed(&answer)["jobs"][0]["arrayProperties"]["size"], CHILDREN);
    // Ours wait; moto's have succeeded by then, and are all in one page.
    let status = post(addr, "/v1/describejobs", &json!({"jobs": [format!("{}:9999", last.as_str().expect("an id"))]}));
    let body = json!({"arrayJobId": last, "jobStatus": status["jobs"][0]["status"], "maxResults": 1000});
    let list = median(rounds, || answer = ask(addr, "/v1/listjobs", &body));
    assert!(parsed(&answer)["jobSummaryList"].as_array().is_some_and(|jobs| jobs.len() >= 1000), "{answer}");
    Calls { submit, describe, list }
}

fn beside(ours: Calls, moto: Calls) {
    println!("moto, the same calls:");
    for (call, ours, moto) in [
        ("SubmitJob of 10,000 children", ours.submit, moto.submit),
        ("DescribeJobs of their parent", ours.describe, moto.describe),
        ("ListJobs (moto has no pages: all 10,000)", ours.list, moto.list),
    ] {
        println!("  {call}: {:.1} ms, {:.0} times ours", ms(moto), moto.as_secs_f64() / ours.as_secs_f64());
    }
}

/// A moto server on a free loopback port.
struct Moto {
    process: Child,
    addr: SocketAddr,
}

/// moto wants a role and subnets before it takes a queue; jobs succeed at their submission when it uses no Docker.
const MOTO_QUEUE: &str = r#"
import json, sys, boto3
make = lambda service: boto3.client(service, endpoint_url=sys.argv[1], region_name="us-east-1",
                                    aws_access_key_id="any", aws_secret_access_key="any")
role = make("iam").create_role(RoleName="bench", AssumeRolePolicyDocument=json.dumps({}))["Role"]["Arn"]
batch = make("batch")
batch.create_compute_environment(computeEnvironmentName="bench", type="UNMANAGED", state="ENABLED", serviceRole=role)
batch.create_job_queue(jobQueueName="bench", state="ENABLED", priority=1,
                       computeEnvironmentOrder=[{"order": 1, "computeEnvironment": "bench"}])
batch.register_job_definition(jobDefinitionName="bench", type="container",
                              containerProperties={"image": "bench", "command": ["true"], "vcpus": 1, "memory": 4})
"#;

impl Moto {
    fn start() -> Result<Moto, String> {
        let python = std::env::var_os("BATCHMAP_TEST_PYTHON").ok_or("BATCHMAP_TEST_PYTHON is not set")?;
        let quiet = |command: &mut Command| {
            let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
            status.is_ok_and(|status| status.success())
        };
        if !quiet(Command::new(&python).args(["-c", "import moto.server, boto3"])) {
            return Err(format!("{} has no moto[server]", Path::new(&python).display()));
        }
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let addr = free.map_err(|error| error.to_string())?;
        let mut command = Command::new(&python);
        command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &addr.port().to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let moto = Moto { process: command.spawn().map_err(|error| error.to_string())?, addr };
        let begun = Instant::now();
        while TcpStream::connect(addr).is_err() {
            if begun.elapsed() > Duration::from_secs(60) {
                return Err("it does not listen after a minute".to_owned());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        post(addr, "/moto-api/config", &json!({"batch": {"use_docker": false}}));
        if !quiet(Command::new(&python).args(["-c", MOTO_QUEUE, &format!("http://{addr}")])) {
            return Err("it has no queue".to_owned());
        }
        Ok(moto)
    }

    fn measure(&self) -> Calls {
        measure(self.addr, "bench", MOTO_ROUNDS)
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Real processes, as many at once as the machine has cores.
async fn processes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let guardian = GuardianCommand::of(PathBuf::from(env!("CARGO_BIN_EXE_batchmap")));
    let config = ProcessConfig { guardian, cwd: folder.path().to_owned(), environment: Vec::new() };
    let slots = local::cores();
    let service = open(folder.path(), slots, Arc::new(ProcessRunner::new(config)));
    let took = finish(&service, &[PROCESSES]).await;
    let rate = f64::from(PROCESSES) / took.as_secs_f64();
    service.shutdown().await;
    let bare = tokio::task::spawn_blocking(move || bare_processes(slots)).await.expect("it does not panic");
    println!(
        "processes, {PROCESSES} times `true` on {slots} slots: {rate:.0} a second (budget 500); the machine's own pace, started \
         and waited for by a thread a slot: {bare:.0} a second, {:.1} times ours",
        bare / rate
    );
}

/// The same without sessions, guardian, logs and model: what the machine can do at most.
fn bare_processes(threads: usize) -> f64 {
    let each = PROCESSES as usize / threads;
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..each {
                    let status = Command::new("true").stdout(Stdio::null()).status();
                    assert!(status.expect("a process").success());
                }
            });
        }
    });
    (each * threads) as f64 / begun.elapsed().as_secs_f64()
}

/// From their submission to their end, journal included.
async fn million() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let service = open(folder.path(), 1000, Arc::new(simulated(0)));
    let before = peak_mib();
    let took = finish(&service, &vec![CHILDREN; (MILLION / CHILDREN) as usize]).await;
    let peak = peak_mib();
    println!(
        "a million simulated children, submitted to ended: {:.1} s, {:.0} a second; peak {peak:.0} MiB (budget 300), \
         {before:.0} MiB before the first",
        took.as_secs_f64(),
        f64::from(MILLION) / took.as_secs_f64(),
    );
    service.shutdown().await;
}

fn open(folder: &Path, slots: usize, runner: Arc<dyn Runner>) -> Arc<Service> {
    let config = ServiceConfig::new(folder.to_owned(), slots);
    let service = Service::open(config, runner).expect("a service");
    service.change(Input::Register(Box::new(definition()))).expect("a definition");
    service
}

/// Submits arrays of these sizes and waits until all have ended.
async fn finish(service: &Arc<Service>, sizes: &[u32]) -> Duration {
    let begun = Instant::now();
    for size in sizes {
        service.change(Input::Submit(Box::new(submission(*size)))).expect("a submission");
    }
    service.until(|model| (model.unfinished() == 0).then_some(())).await;
    begun.elapsed()
}

/// Children that take so long and succeed.
fn simulated(after_ms: u64) -> SimulatedRunner {
    SimulatedRunner::script(Script { duration: SimulatedDuration::Fixed(after_ms), ..Script::default() })
}

/// The largest resident set of this process so far.
fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    kib.map_or(f64::NAN, |kib| kib / 1024.0)
}

fn post(addr: SocketAddr, path: &str, body: &Value) -> Value {
    parsed(&ask(addr, path, body))
}

fn parsed(answer: &str) -> Value {
    serde_json::from_str(answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

/// The body that one request is answered with; signed for Batch as far as telling services apart needs it.
fn ask(addr: SocketAddr, path: &str, body: &Value) -> String {
    let body = body.to_string();
    let mut stream = TcpStream::connect(addr).expect("a connection");
    let scope =
        "AWS4-HMAC-SHA256 Credential=any/20260101/us-east-1/batch/aws4_request, SignedHeaders=host, Signature=0";
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         authorization: {scope}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 2"), "{path}: {answer}");
    answer.split_off(answer.find("\r\n\r\n").expect("a head") + 4)
}

fn median(rounds: usize, mut work: impl FnMut()) -> Duration {
    let mut took: Vec<Duration> = (0..rounds)
        .map(|_| {
            let begun = Instant::now();
            work();
            begun.elapsed()
        })
        .collect();
    took.sort();
    took[rounds / 2]
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
