//! The endpoints that the checks run on.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::BehaviorVersion;
use batchmap::aws::sdk::{Target, connect};
use batchmap::emulator::batch::model::api::{DeregisterJobDefinition, StopJob};
use batchmap::emulator::batch::model::{End, Input};
use batchmap::emulator::batch::port::InProcess;
use batchmap::emulator::batch::{Clock, Service, ServiceConfig};
use batchmap::emulator::runner::Runner;
use batchmap::emulator::runner::guardian::GuardianCommand;
use batchmap::emulator::runner::process::{ProcessConfig, ProcessRunner};
use batchmap::emulator::runner::simulated::{SimulatedEnd, SimulatedRunner};

use crate::place::{Beyond, Place};

/// What a variable of the suite says, if it says anything.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(format!("BATCHMAP_TEST_{name}")).ok().filter(|value| !value.is_empty())
}

/// The service alone, with processes for children.
pub struct Direct {
    service: Arc<Service>,
    _directory: tempfile::TempDir,
}

impl Direct {
    pub fn start() -> Direct {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let guardian = GuardianCommand::of(PathBuf::from(env!("CARGO_BIN_EXE_batchmap")));
        let cwd = directory.path().to_owned();
        let runner = ProcessRunner::new(ProcessConfig { guardian, cwd, environment: Vec::new() });
        Direct::open(directory, Clock::Wall, runner)
    }

    /// Inside a runtime whose time is paused: children that say how long they take in `sleep`.
    pub fn simulated() -> Direct {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let runner = SimulatedRunner::with(|start| {
            let seconds = start.command.last().and_then(|script| script.strip_prefix("sleep ")?.parse::<u64>().ok());
            SimulatedEnd { after_ms: seconds.unwrap_or_default() * 1000, end: End::exited(0) }
        });
        Direct::open(directory, Clock::simulated(1_000_000), runner)
    }

    fn open(directory: tempfile::TempDir, clock: Clock, runner: impl Runner + 'static) -> Direct {
        let config = ServiceConfig { clock, ..ServiceConfig::new(directory.path().join("data"), 4) };
        let service = Service::open(config, Arc::new(runner)).expect("the service opens");
        Direct { service, _directory: directory }
    }

    pub fn place(&self) -> Place {
        let port = Arc::new(InProcess::new(Arc::clone(&self.service)));
        let beyond = Arc::new(Near(Arc::clone(&self.service)));
        Place::new(port.clone(), port, beyond, crate::NAME)
    }

    pub async fn stop(self) {
        self.service.shutdown().await;
    }
}

struct Near(Arc<Service>);

#[async_trait]
impl Beyond for Near {
    async fn cancel(&self, id: &str, reason: &str) {
        let request = StopJob { job_id: id.to_owned(), reason: reason.to_owned() };
        self.0.change(Input::Cancel(request)).expect("cancelled");
    }

    async fn deregister(&self, definition: &str) {
        let request = DeregisterJobDefinition { job_definition: definition.to_owned() };
        self.0.change(Input::Deregister(request)).expect("deregistered");
    }
}

/// What the SDK finds at `endpoint`, or where the standard chain leads.
pub async fn over_sdk(endpoint: Option<&str>, queue: &str) -> Place {
    let target = Target { endpoint: endpoint.map(str::to_owned), ..Target::default() };
    let clients = connect(&target).await;
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    if let Some(endpoint) = endpoint {
        let keys = aws_sdk_batch::config::Credentials::new("any", "thing", None, None, "test");
        loader = loader.endpoint_url(endpoint).credentials_provider(keys);
        loader = loader.region(aws_sdk_batch::config::Region::new("us-east-1"));
    }
    let far = Far(aws_sdk_batch::Client::new(&loader.load().await));
    Place::new(clients.batch, clients.logs, Arc::new(far), queue)
}

/// The same with AWS's slowness and prices, and an image that is there.
pub fn on_aws(mut place: Place) -> Place {
    (place.cheap, place.patient) = (false, true);
    (place.pause, place.deadline) = (Duration::from_secs(5), Duration::from_secs(30 * 60));
    place.definition.execution_role = variable("AWS_EXECUTION_ROLE");
    if let Some(platform) = variable("AWS_PLATFORM") {
        place.definition.memory_mib = if platform == "FARGATE" { 2048 } else { place.definition.memory_mib };
        place.definition.assign_public_ip = platform == "FARGATE";
        place.definition.platform = platform;
    }
    if let Some(image) = variable("AWS_IMAGE") {
        place.definition.image = image;
    }
    place
}

struct Far(aws_sdk_batch::Client);

#[async_trait]
impl Beyond for Far {
    async fn cancel(&self, id: &str, reason: &str) {
        self.0.cancel_job().job_id(id).reason(reason).send().await.expect("cancelled");
    }

    async fn deregister(&self, definition: &str) {
        self.0.deregister_job_definition().job_definition(definition).send().await.expect("deregistered");
    }
}
