//! The ports on the AWS SDK.
//!
//! Everything that names an SDK type lives here and under `emulator/`. [`connect`] makes the three adapters over one
//! [`Target`]; they share one [`Counts`], which says how many requests of each API operation were sent.

mod account;
mod batch;
mod counts;
mod date;
mod fault;
mod jobs;
mod logs;
mod pace;
mod patience;
mod places;
mod reach;
pub mod roots;
mod store;
mod task;
mod transfer;

use std::sync::Arc;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion};
use aws_sdk_s3::config::retry::{RetryPartition, TokenBucket};
use aws_sdk_s3::config::{Credentials, Region, SharedCredentialsProvider};

pub use counts::{Answered, Counts};

use super::account::Account;
use super::batch::Batch;
use super::logs::Logs;
use super::pacing::Paced;
use super::store::Store;
use super::target::is_endpoint;

/// Tries of a request to S3 or Logs that may be repeated, the first included, unless `AWS_MAX_ATTEMPTS` says otherwise.
/// The SDK's own 3 give up within some three seconds, which a throttled account outlasts; 8 hold out for about a minute.
/// Calls to Batch are retried by [`crate::aws::pacing`] alone, as often unless said otherwise.
const ATTEMPTS: u32 = 8;

/// First pause between tries on an endpoint of our own machine: it is either up or it is not.
const LOCAL_BACKOFF: Duration = Duration::from_millis(50);

/// How long a request to Batch or Logs may take for one try. They answer in well under a second.
const CONTROL_ATTEMPT: Duration = Duration::from_secs(30);

/// How long S3 may take to begin its answer. A body that stalls later is noticed by the SDK's stall protection.
const STORE_READ: Duration = Duration::from_secs(120);

/// Retries that may be under way at once over all requests, in the SDK's tokens of 5 a retry. Its own 500 allow just a
/// hundred, after which every throttled request fails: too few for a driver that has a thousand in flight.
const RETRY_TOKENS: usize = 20_000;

/// The name by which requests say whose they are, in their user agent: `app/batchmap`.
pub const APP_NAME: &str = "batchmap";

/// The region of an endpoint given by its URL when none is named: the endpoint does not care, the signature needs one.
const DEFAULT_REGION: &str = "us-east-1";

/// Which AWS, or what stands for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// The region; by the standard chain when absent.
    pub region: Option<String>,
    /// The URL of an endpoint that serves all three services. When absent, AWS itself, or what `AWS_ENDPOINT_URL` and
    /// `AWS_ENDPOINT_URL_<SERVICE>` name.
    pub endpoint: Option<String>,
    /// Access key and secret key; by the standard chain when absent. With `endpoint` the chain is never asked: without
    /// keys, made-up ones sign the requests.
    pub credentials: Option<(String, String)>,
    /// The bucket of the [`Store`].
    pub bucket: String,
    /// Whose share of a fair-share queue submissions take.
    pub share_identifier: Option<String>,
}

/// The three ports on one target.
#[derive(Clone)]
pub struct Clients {
    /// Object storage, on the target's bucket.
    pub store: Arc<dyn Store>,
    /// AWS Batch.
    pub batch: Arc<dyn Batch>,
    /// CloudWatch Logs.
    pub logs: Arc<dyn Logs>,
    /// Who calls, and what is there.
    pub account: Arc<dyn Account>,
    /// The configuration of further stores.
    s3: aws_sdk_s3::Config,
    /// Requests sent by all three.
    pub counts: Counts,
    /// The region in use. Without one every call to AWS is refused: worth saying before the first.
    pub region: Option<String>,
}

impl Clients {
    /// Object storage on another bucket of the same target.
    pub fn store_of(&self, bucket: &str) -> Arc<dyn Store> {
        Arc::new(store::SdkStore::new(self.s3.clone(), bucket, self.counts.for_service("s3")))
    }
}

/// Makes the three ports. Sends nothing to the target; with no `endpoint` it may read the AWS configuration files and,
/// when nothing else names a region, ask the instance it runs on.
pub async fn connect(target: &Target) -> Clients {
    let shared = shared(target).await;
    let counts = Counts::default();
    let region = shared.region().map(|region| region.as_ref().to_owned());
    let control = TimeoutConfig::builder().operation_attempt_timeout(CONTROL_ATTEMPT).build();
    let store = s3(&shared);
    // The SDK's retries are off: they would keep throttled answers from the pacer.
    let pacer = pace::pacer(&shared);
    let batch = aws_sdk_batch::config::Builder::from(&shared)
        .retry_config(RetryConfig::disabled())
        .timeout_config(control.clone())
        .build();
    let batch = batch::SdkBatch::new(batch, counts.for_service("batch"), target.share_identifier.clone());
    let logs = aws_sdk_cloudwatchlogs::config::Builder::from(&shared)
        .retry_classifier(patience::Status429)
        .timeout_config(control)
        .build();
    Clients {
        store: Arc::new(store::SdkStore::new(store.clone(), &target.bucket, counts.for_service("s3"))),
        account: Arc::new(account::SdkAccount::new(&shared, &store, &logs, &counts)),
        s3: store,
        batch: Arc::new(Paced::new(Arc::new(batch), pacer)),
        logs: Arc::new(logs::SdkLogs::new(logs, counts.for_service("logs"))),
        counts,
        region,
    }
}

/// The first of them alone: all that a worker needs. Its program then holds no other.
pub async fn connect_store(target: &Target) -> Arc<dyn Store> {
    let store = s3(&shared(target).await);
    Arc::new(store::SdkStore::new(store, &target.bucket, Counts::default().for_service("s3")))
}

/// What the three have in common.
async fn shared(target: &Target) -> aws_config::SdkConfig {
    without_tls(match &target.endpoint {
        Some(endpoint) => explicit(target, endpoint),
        None => standard(target).await,
    })
}

fn s3(shared: &aws_config::SdkConfig) -> aws_sdk_s3::Config {
    // A bucket's own host name cannot be resolved on an endpoint that is no AWS; the path always can.
    let path_style = shared.endpoint_url().is_some() || endpoint_in_environment();
    aws_sdk_s3::config::Builder::from(shared)
        .force_path_style(path_style)
        .timeout_config(TimeoutConfig::builder().read_timeout(STORE_READ).build())
        .retry_partition(partition("batchmap-s3"))
        .build()
}

/// A configuration that reads neither files nor the network: all it needs is given.
fn explicit(target: &Target, endpoint: &str) -> aws_config::SdkConfig {
    let (access, secret) = target.credentials.clone().unwrap_or_else(|| ("batchmap".to_owned(), "batchmap".to_owned()));
    let region = target.region.clone().unwrap_or_else(|| DEFAULT_REGION.to_owned());
    aws_config::SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .app_name(app_name())
        .region(Region::new(region))
        .endpoint_url(endpoint)
        .credentials_provider(SharedCredentialsProvider::new(static_keys(access, secret)))
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS).with_initial_backoff(LOCAL_BACKOFF))
        .build()
}

/// The standard chain: environment, configuration files, the container's or instance's role.
async fn standard(target: &Target) -> aws_config::SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).app_name(app_name());
    if let Some(region) = &target.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some((access, secret)) = &target.credentials {
        loader = loader.credentials_provider(static_keys(access.clone(), secret.clone()));
    }
    if let Some(client) = roots::client() {
        loader = loader.http_client(client);
    }
    if plain_and_keyed() {
        // A child on the embedded endpoint: nothing that it asks for needs TLS, and the chain would read the system's
        // certificates before it looked whether it has to.
        loader = loader
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .credentials_provider(aws_config::environment::EnvironmentVariableCredentialsProvider::new());
    }
    if std::env::var_os("AWS_MAX_ATTEMPTS").is_none() {
        loader = loader.retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS));
    }
    loader.load().await
}

/// Whether the environment names an endpoint of plain HTTP and the keys to use there.
fn plain_and_keyed() -> bool {
    let keyed = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
    std::env::var("AWS_ENDPOINT_URL").is_ok_and(|url| url.starts_with("http://"))
        && keyed.iter().all(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// For an endpoint of plain HTTP, a client that does not read the system's certificates first: that is most of a
/// worker's start. Only the services' own requests use it; the credentials chain has its own.
fn without_tls(shared: aws_config::SdkConfig) -> aws_config::SdkConfig {
    if shared.endpoint_url().is_none_or(|url| !url.starts_with("http://")) {
        return shared;
    }
    shared.into_builder().http_client(aws_smithy_http_client::Builder::new().build_http()).build()
}

/// AWS shows it in its own logs as well.
fn app_name() -> AppName {
    AppName::new(APP_NAME).expect("letters only")
}

fn static_keys(access: String, secret: String) -> Credentials {
    Credentials::new(access, secret, None, None, "batchmap")
}

fn partition(name: &'static str) -> RetryPartition {
    RetryPartition::custom(name).token_bucket(TokenBucket::new(RETRY_TOKENS)).build()
}

/// The standard variables that name an endpoint of a service we use.
const ENDPOINTS: [&str; 4] =
    ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_BATCH", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS"];

/// Whether a standard variable names an endpoint in AWS's place.
pub fn endpoint_in_environment() -> bool {
    // Logs alone make no other place.
    ENDPOINTS[..3].iter().any(|name| std::env::var_os(name).is_some_and(|v| !v.is_empty()))
}

/// The standard variables whose value is no address of an endpoint, with the value: the SDK would say so with every call,
/// and in its own words.
pub fn wrong_endpoints() -> Vec<(&'static str, String)> {
    let given =
        ENDPOINTS.iter().filter_map(|name| Some((*name, std::env::var_os(name)?.to_string_lossy().into_owned())));
    given.filter(|(_, value)| !value.is_empty() && !is_endpoint(value)).collect()
}
