//! What anybody would write by hand: submit every array, then ask about all of them until they have ended.

use std::time::{Duration, Instant};

use aws_sdk_batch::Client;
use aws_sdk_batch::config::{BehaviorVersion, Config, Credentials, Region};
use aws_sdk_batch::types::{
    ArrayProperties, ContainerProperties, JobDefinitionType, JobStatus, ResourceRequirement, ResourceType,
};
use futures::{StreamExt, stream};

use super::Size;

/// The queue of the emulator.
const QUEUE: &str = "batchmap";

/// As often as the driver asks at first.
const POLL: Duration = Duration::from_secs(2);

/// Jobs that one DescribeJobs takes.
const MOST: usize = 100;

pub struct Bare {
    pub took: Duration,
    pub describes: usize,
}

pub async fn run(url: &str, size: &Size) -> Bare {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(url)
        .credentials_provider(Credentials::new("batchmap", "batchmap", None, None, "bench"))
        .build();
    let batch = Client::from_conf(config);
    define(&batch).await;
    let began = Instant::now();
    let submits = (0..size.executions).map(|number| submit(&batch, number, size.children));
    let mut open: Vec<String> = stream::iter(submits).buffer_unordered(20).collect().await;
    let mut describes = 0;
    while !open.is_empty() {
        tokio::time::sleep(POLL).await;
        let mut left = Vec::new();
        for some in open.chunks(MOST) {
            describes += 1;
            let told = batch.describe_jobs().set_jobs(Some(some.to_vec())).send().await.expect("a description");
            let ended = |status: Option<&JobStatus>| status == Some(&JobStatus::Succeeded);
            left.extend(told.jobs().iter().filter(|job| !ended(job.status())).filter_map(|job| job.job_id.clone()));
        }
        open = left;
    }
    Bare { took: began.elapsed(), describes }
}

async fn define(batch: &Client) {
    let amount = |of: ResourceType, value: &str| ResourceRequirement::builder().r#type(of).value(value).build();
    let container = ContainerProperties::builder()
        .image("bench")
        .resource_requirements(amount(ResourceType::Vcpu, "1"))
        .resource_requirements(amount(ResourceType::Memory, "512"))
        .build();
    let request = batch.register_job_definition().job_definition_name("bare").r#type(JobDefinitionType::Container);
    request.container_properties(container).send().await.expect("a definition");
}

async fn submit(batch: &Client, number: usize, children: usize) -> String {
    let array = ArrayProperties::builder().size(i32::try_from(children).expect("an array's size")).build();
    let request = batch.submit_job().job_name(format!("bare-{number}")).job_queue(QUEUE).job_definition("bare");
    let sent = request.array_properties(array).send().await.expect("a submission");
    sent.job_id.expect("an id")
}
