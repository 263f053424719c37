//! An endpoint with faults, and clients that try only once.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_batch::config::retry::RetryConfig;
use aws_sdk_batch::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_batch::types::{
    ArrayProperties, ContainerProperties, JobDefinitionType, JobDetail, JobStatus, ResourceRequirement, ResourceType,
};
use batchmap::emulator::batch::model::api::DescribeJobs;
use batchmap::emulator::batch::model::{End, Status};
use batchmap::emulator::faults::Faults;
use batchmap::emulator::local::{self, Local, Settings};
use batchmap::emulator::runner::Runner;
use batchmap::emulator::runner::guardian::GuardianCommand;
use batchmap::emulator::runner::process::{ProcessConfig, ProcessRunner};
use batchmap::emulator::runner::simulated::{SimulatedEnd, SimulatedRunner};
use batchmap::emulator::server::Endpoint;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The seed of every drill that does not say otherwise.
pub const SEED: u64 = 7;

pub struct Drill {
    pub local: Local,
    pub batch: aws_sdk_batch::Client,
    pub s3: aws_sdk_s3::Client,
    pub logs: aws_sdk_cloudwatchlogs::Client,
}

/// Children that end at once, with exit code 0.
pub fn instant() -> Arc<dyn Runner> {
    Arc::new(SimulatedRunner::with(|_| SimulatedEnd { after_ms: 0, end: End::exited(0) }))
}

/// Children that never end by themselves.
pub fn endless() -> Arc<dyn Runner> {
    Arc::new(SimulatedRunner::with(|_| SimulatedEnd { after_ms: u64::from(u32::MAX), end: End::exited(0) }))
}

/// Real processes.
pub fn processes(cwd: &Path) -> Arc<dyn Runner> {
    let guardian = GuardianCommand::of(PathBuf::from(env!("CARGO_BIN_EXE_batchmap")));
    Arc::new(ProcessRunner::new(ProcessConfig { guardian, cwd: cwd.to_owned(), environment: Vec::new() }))
}

impl Drill {
    pub async fn start(data: &Path, faults: Value, runner: Arc<dyn Runner>) -> Drill {
        Drill::seeded(data, faults, SEED, runner).await
    }

    pub async fn seeded(data: &Path, faults: Value, seed: u64, runner: Arc<dyn Runner>) -> Drill {
        let bound = Endpoint::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let faults = Faults::from_value(faults).unwrap();
        let settings = Settings { hold: false, faults, seed, ..Settings::driving(data.to_owned(), Some(4)) };
        let local = local::start_with(bound, settings, runner).await.unwrap();
        let url = local.url();
        let credentials = Credentials::new("key", "secret", None, None, "test");
        let (version, region, once) = (BehaviorVersion::latest(), Region::new("us-east-1"), RetryConfig::disabled());
        let batch = aws_sdk_batch::Config::builder()
            .behavior_version(version)
            .region(region.clone())
            .credentials_provider(credentials.clone())
            .retry_config(once.clone())
            .endpoint_url(&url);
        let logs = aws_sdk_cloudwatchlogs::Config::builder()
            .behavior_version(version)
            .region(region.clone())
            .credentials_provider(credentials.clone())
            .retry_config(once.clone())
            .endpoint_url(&url);
        let s3 = aws_sdk_s3::Config::builder()
            .behavior_version(version)
            .region(region)
            .credentials_provider(credentials)
            .retry_config(once)
            .force_path_style(true)
            .endpoint_url(&url);
        let drill = Drill {
            batch: aws_sdk_batch::Client::from_conf(batch.build()),
            s3: aws_sdk_s3::Client::from_conf(s3.build()),
            logs: aws_sdk_cloudwatchlogs::Client::from_conf(logs.build()),
            local,
        };
        drill.define(&["true"]).await;
        drill
    }

    pub async fn define(&self, command: &[&str]) {
        let command = command.iter().map(|part| (*part).to_owned()).collect();
        let resource = |kind, value| ResourceRequirement::builder().r#type(kind).value(value).build();
        let container = ContainerProperties::builder()
            .image("none")
            .set_command(Some(command))
            .resource_requirements(resource(ResourceType::Vcpu, "1"))
            .resource_requirements(resource(ResourceType::Memory, "4"))
            .build();
        let call = self.batch.register_job_definition().job_definition_name("d").r#type(JobDefinitionType::Container);
        call.container_properties(container).send().await.unwrap();
    }

    /// A submission, to be sent.
    pub fn submission(&self, size: i32) -> aws_sdk_batch::operation::submit_job::builders::SubmitJobFluentBuilder {
        let call = self.batch.submit_job().job_name("j").job_queue("batchmap").job_definition("d");
        match size {
            1 => call,
            size => call.array_properties(ArrayProperties::builder().size(size).build()),
        }
    }

    pub async fn submit(&self, size: i32) -> String {
        self.submission(size).send().await.unwrap().job_id.unwrap()
    }

    pub async fn describe(&self, id: &str) -> JobDetail {
        self.batch.describe_jobs().jobs(id).send().await.unwrap().jobs.unwrap().remove(0)
    }

    /// The state of a job as the model has it, when `wanted` says it is the one waited for.
    pub async fn reaches(&self, id: &str, wanted: impl Fn(Status) -> bool) -> Status {
        let request = DescribeJobs { jobs: vec![id.to_owned()] };
        within(self.local.batch().until(|model| {
            let status = model.describe_jobs(&request).unwrap().jobs[0].status;
            wanted(status).then_some(status)
        }))
        .await
    }

    /// Waits for a job's end and describes it.
    pub async fn ended(&self, id: &str) -> JobDetail {
        self.reaches(id, Status::is_terminal).await;
        self.describe(id).await
    }

    /// The ids of all jobs that ListJobs tells by name.
    pub async fn listed(&self) -> Vec<String> {
        let filter = aws_sdk_batch::types::KeyValuesPair::builder().name("JOB_NAME").values("j").build();
        let list = self.batch.list_jobs().job_queue("batchmap").filters(filter).send().await.unwrap();
        list.job_summary_list.unwrap().into_iter().map(|job| job.job_id.unwrap()).collect()
    }

    pub async fn children(&self, id: &str, status: JobStatus) -> usize {
        let list = self.batch.list_jobs().array_job_id(id).job_status(status).send().await.unwrap();
        list.job_summary_list.unwrap().len()
    }

    pub async fn put(&self, key: &str) -> Result<(), aws_sdk_s3::Error> {
        let body = aws_sdk_s3::primitives::ByteStream::from_static(b"body");
        let put = self.s3.put_object().bucket("batchmap").key(key).body(body).send().await;
        put.map(drop).map_err(Into::into)
    }

    pub async fn has(&self, key: &str) -> bool {
        self.s3.head_object().bucket("batchmap").key(key).send().await.is_ok()
    }

    /// One request to the admin path, with headers to add; its status and its JSON.
    pub async fn admin_with(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, Value) {
        let url = self.local.url();
        let mut stream = tokio::net::TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
        let head = format!(
            "{method} /.batchmap/faults{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}")))
    }

    pub async fn admin(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        self.admin_with(method, path, "", body).await
    }

    /// Sets these faults and no others.
    pub async fn set(&self, faults: Value) {
        let (status, answer) = self.admin("PUT", "", &faults.to_string()).await;
        assert_eq!(status, 200, "{answer}");
    }

    pub async fn stop(self) {
        within(self.local.stop()).await;
    }
}

/// A test that would hang fails instead.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(120), future).await.expect("it should have happened by now")
}
