//! What the driver costs, against a bare SDK loop that does the same submit and the same GETs on the same endpoint in
//! the same run; and what the worker costs beyond its three round trips to S3.
//!
//! The children are simulated: each one's outputs are written by the endpoint's own process at once, in both runs.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_batch::types::{ArrayProperties, JobStatus};
use batchmap::aws::sdk::{self, Clients};
use batchmap::aws::store::Store;
use batchmap::emulator::batch::model::{End, Start};
use batchmap::emulator::local::{self, Local, Settings};
use batchmap::emulator::runner::simulated::{SimulatedEnd, SimulatedRunner};
use batchmap::emulator::server::Endpoint;
use batchmap::idl::core::{LiteralMap, TypedInterface, Variable, VariableMap};
use batchmap::idl::record::{Policy, TaskRecord};
use batchmap::idl::{make, types};
use batchmap::map::cadence::Pace;
use batchmap::map::index::OriginalIndex;
use batchmap::map::layout::{self, RECORD_VERSION, Root};
use batchmap::map::pack::PackBuilder;
use batchmap::run::driver::{Ended, Patience};
use batchmap::run::{Clock, Ports, launch, result};
use futures::StreamExt;
use prost::Message;
use tokio::sync::mpsc;

const CHILDREN: u32 = 5_000;
const ROUNDS: usize = 5;
const WORKERS: usize = 40;

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (served, clients) = serve(folder.path()).await;
    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        // In turn, so that both meet the machine in the same mood.
        let (bare, bare_cpu) = measured(bare_loop(&served, &clients, round)).await;
        let (driven, driven_cpu) = measured(driver(&clients, round)).await;
        let own = driven_cpu.saturating_sub(bare_cpu).as_secs_f64() * 1e3 / f64::from(CHILDREN);
        println!(
            "driver, {CHILDREN} children: {:.2} s, bare SDK loop {:.2} s, ratio {:.2}; CPU {:.2} s against {:.2} s, {own:.3} ms more a child",
            driven.as_secs_f64(),
            bare.as_secs_f64(),
            driven.as_secs_f64() / bare.as_secs_f64(),
            driven_cpu.as_secs_f64(),
            bare_cpu.as_secs_f64(),
        );
        ratios.push(driven.as_secs_f64() / bare.as_secs_f64());
    }
    println!("median ratio: {:.2} (budget 1.5)", median(&mut ratios));
    worker_start(&served, &clients).await;
    served.stop().await;
}

async fn serve(folder: &std::path::Path) -> (Local, Clients) {
    let bound = Endpoint::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.expect("a free port");
    let clients = sdk::connect(&sdk::Target {
        endpoint: Some(bound.url()),
        bucket: local::NAME.to_owned(),
        ..sdk::Target::default()
    })
    .await;
    let store = clients.store.clone();
    let runner = SimulatedRunner::with_async(move |start| {
        let store = store.clone();
        Box::pin(async move {
            write_outputs(store.as_ref(), &start).await;
            SimulatedEnd { after_ms: 0, end: End::exited(0) }
        })
    });
    let mut settings = Settings::driving(folder.to_owned(), Some(32));
    settings.listen = bound.addr();
    let served = local::start_with(bound, settings, Arc::new(runner)).await.expect("an endpoint");
    (served, clients)
}

/// What the worker would leave.
async fn write_outputs(store: &dyn Store, start: &Start) {
    let of = |name: &str| start.environment.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str());
    let (Some(execution), Some(child)) = (of(layout::ENV_EXECUTION), of("AWS_BATCH_JOB_ARRAY_INDEX")) else { return };
    let (_, root) = Root::parse(execution).expect("set by this benchmark");
    let index = OriginalIndex(child.parse().expect("a number"));
    let outputs = LiteralMap { literals: [("o0".to_owned(), make::integer(index.0 as i64))].into() };
    store.put_new(&root.outputs(index), outputs.encode_to_vec().into()).await.expect("a PUT");
}

/// Submit, poll the parent, GET every output: what anybody would write by hand.
async fn bare_loop(served: &Local, clients: &Clients, round: usize) {
    let config = aws_sdk_batch::config::Builder::new()
        .behavior_version(aws_sdk_batch::config::BehaviorVersion::latest())
        .region(aws_sdk_batch::config::Region::new("us-east-1"))
        .endpoint_url(served.url())
        .credentials_provider(aws_sdk_batch::config::Credentials::new("batchmap", "batchmap", None, None, "bench"))
        .build();
    let batch = aws_sdk_batch::Client::from_conf(config);
    let root = Root::new("", &format!("bare-{round}"));
    let definition = definition(clients).await;
    let overrides = aws_sdk_batch::types::ContainerOverrides::builder().environment(
        aws_sdk_batch::types::KeyValuePair::builder().name(layout::ENV_EXECUTION).value(root.url(local::NAME)).build(),
    );
    let job = batch
        .submit_job()
        .job_name(format!("bare-{round}"))
        .job_queue(local::NAME)
        .job_definition(definition)
        .array_properties(ArrayProperties::builder().size(CHILDREN as i32).build())
        .container_overrides(overrides.build())
        .send()
        .await
        .expect("a submission");
    let id = job.job_id().expect("an id").to_owned();
    loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let jobs = batch.describe_jobs().jobs(&id).send().await.expect("a description");
        if jobs.jobs()[0].status() == Some(&JobStatus::Succeeded) {
            break;
        }
    }
    let gets = (0..u64::from(CHILDREN)).map(|index| {
        let (store, key) = (clients.store.clone(), root.outputs(OriginalIndex(index)));
        async move { store.get(&key).await.expect("outputs").len() }
    });
    let sizes: Vec<usize> = futures::stream::iter(gets).buffered(64).collect().await;
    assert_eq!(sizes.len(), CHILDREN as usize);
}

/// The same by the driver: journal, observation, settling, collecting and the stored result included.
async fn driver(clients: &Clients, round: usize) {
    let Clients { store, batch, logs, .. } = clients.clone();
    let ports = Ports { batch, store, logs, clock: Clock::wall() };
    let root = Root::new("", &format!("driven-{round}"));
    let names = launch::Names {
        definition: definition(clients).await,
        queue: local::NAME.to_owned(),
        interruptible_queue: None,
    };
    let pace = Pace { shortest: Duration::from_millis(20), longest: Duration::from_millis(20) };
    let patience = Patience { pace, lag: Duration::ZERO, outage: Duration::from_secs(1) };
    let mut driver = launch::begin(&ports, &root, record(), names, patience).await.expect("a driver");
    let (_control, mut requests) = mpsc::channel(1);
    let ended = driver.run(&mut requests).await.expect("a run");
    assert!(matches!(ended, Ended::Finished(_)));
    let execution = driver.execution();
    let spool = result::collect(ports.store.as_ref(), &root, driver.record(), execution).await.expect("outputs");
    result::write(ports.store.as_ref(), &root, &spool, result::PART_LIMIT).await.expect("a result");
    assert_eq!(spool.rows(), u64::from(CHILDREN));
}

fn record() -> TaskRecord {
    let outputs = [(
        "o0".to_owned(),
        Variable { r#type: Some(types::simple(batchmap::idl::core::SimpleType::Integer)), ..Variable::default() },
    )];
    TaskRecord {
        version: RECORD_VERSION,
        name: "bench".to_owned(),
        command: vec!["true".to_owned()],
        interface: Some(TypedInterface { inputs: None, outputs: Some(VariableMap { variables: outputs.into() }) }),
        mapped: vec!["x".to_owned()],
        size: u64::from(CHILDREN),
        pack_starts: vec![0],
        policy: Some(Policy { min_successes: u64::from(CHILDREN), ..Policy::default() }),
        ..TaskRecord::default()
    }
}

async fn definition(clients: &Clients) -> String {
    let definition = batchmap::aws::batch::Definition {
        name: String::new(),
        image: "bench".to_owned(),
        platform: "EC2".to_owned(),
        vcpus: "1".to_owned(),
        memory_mib: 512,
        gpus: 0,
        job_role: None,
        execution_role: None,
        log_group: None,
        assign_public_ip: false,
        secrets: Default::default(),
        shared_memory_mib: 0,
        arm64: false,
        injection: None,
    };
    batchmap::run::definition::ensure(clients.batch.as_ref(), definition).await.expect("a definition")
}

/// Starts workers one after the other and compares with three GETs over a connection that is already there.
async fn worker_start(served: &Local, clients: &Clients) {
    let root = Root::new("", "worker");
    let mut pack = PackBuilder::new(&Default::default(), &["x".to_owned()]).expect("an empty head");
    pack.try_push(&[make::integer(7)]).expect("a small element");
    let pack = pack.finish().expect("one element");
    let record = TaskRecord { size: 1, ..record() };
    let store = clients.store.as_ref();
    store.put(&root.pack(0), pack.body).await.expect("a PUT");
    store.put(&root.pack_index(0), pack.index).await.expect("a PUT");
    store.put(&root.task(), record.encode_to_vec().into()).await.expect("a PUT");
    let mut trips = Vec::new();
    let mut workers = Vec::new();
    let mut floors = Vec::new();
    for _ in 0..WORKERS {
        let start = Instant::now();
        for _ in 0..3 {
            store.get(&root.task()).await.expect("a GET");
        }
        trips.push(ms(start.elapsed()));
        workers.push(run_worker(served, &root).await);
        floors.push(run_command(Command::new("true")).await);
    }
    let (trips, worker, floor) = (median(&mut trips), median(&mut workers), median(&mut floors));
    println!(
        "worker, start to end of `true`: {worker:.1} ms; three round trips {trips:.1} ms, `true` alone {floor:.1} ms; the worker's own: {:.1} ms (budget 15)",
        worker - trips - floor
    );
}

async fn run_worker(served: &Local, root: &Root) -> f64 {
    let mut command = Command::new(env!("CARGO_BIN_EXE_batchmap"));
    command.args(["worker", "--", "echo", "7"]);
    command.env("AWS_ENDPOINT_URL", served.url()).env("AWS_REGION", "us-east-1");
    command.env("AWS_ACCESS_KEY_ID", "batchmap").env("AWS_SECRET_ACCESS_KEY", "batchmap");
    command.env(layout::ENV_EXECUTION, root.url(local::NAME)).env(layout::ENV_ARRAY, "0");
    command.env(layout::ENV_PLACE, "range:0:0:0").env(layout::ENV_WIDTH, layout::index_width(1).to_string());
    run_command(command).await
}

async fn run_command(mut command: Command) -> f64 {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    tokio::task::spawn_blocking(move || {
        let start = Instant::now();
        let status = command.status().expect("a process");
        assert!(status.success(), "{command:?}");
        ms(start.elapsed())
    })
    .await
    .expect("a process")
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Wall time and CPU of the whole process.
async fn measured(work: impl Future<Output = ()>) -> (Duration, Duration) {
    let (start, cpu) = (Instant::now(), process_cpu());
    work.await;
    (start.elapsed(), process_cpu() - cpu)
}

fn process_cpu() -> Duration {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("a clock");
    Duration::new(time.tv_sec() as u64, time.tv_nsec() as u32)
}
