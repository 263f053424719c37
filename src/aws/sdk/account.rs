//! The account on the AWS SDK: STS, a bucket's head and the list of log groups.

use async_trait::async_trait;
use aws_config::retry::RetryConfig;
use aws_sdk_s3::config::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_s3::error::SdkError;

use super::counts::{Call, Counts};
use super::fault::{Fault, chain, hint, is_credentials};
use crate::aws::account::{Account, AccountError, BucketDetail, Caller, Keys, LogGroup};

/// Tries of a question: somebody waits for the answer, and may ask again.
const ATTEMPTS: u32 = 3;

/// The header in which S3 tells where a bucket is, also to who asks in the wrong region.
const REGION: &str = "x-amz-bucket-region";

/// The [`Account`] port on the SDK.
pub(super) struct SdkAccount {
    credentials: Option<SharedCredentialsProvider>,
    sts: aws_sdk_sts::Client,
    s3: aws_sdk_s3::Client,
    logs: aws_sdk_cloudwatchlogs::Client,
    counts: Counts,
}

impl SdkAccount {
    pub(super) fn new(
        shared: &aws_config::SdkConfig,
        s3: &aws_sdk_s3::Config,
        logs: &aws_sdk_cloudwatchlogs::Config,
        counts: &Counts,
    ) -> Self {
        let retries = RetryConfig::standard().with_max_attempts(ATTEMPTS);
        let sts = aws_sdk_sts::config::Builder::from(shared).retry_config(retries.clone()).build();
        let s3 = s3.to_builder().retry_config(retries.clone()).build();
        let logs = logs.to_builder().retry_config(retries).build();
        SdkAccount {
            credentials: shared.credentials_provider(),
            sts: aws_sdk_sts::Client::from_conf(sts),
            s3: aws_sdk_s3::Client::from_conf(s3),
            logs: aws_sdk_cloudwatchlogs::Client::from_conf(logs),
            counts: counts.for_service("account"),
        }
    }
}

/// Reads a failed call; `action` is what an IAM policy must allow for it.
fn told<E>(error: &SdkError<E>, call: &Call, action: &str) -> AccountError
where
    E: aws_sdk_s3::error::ProvideErrorMetadata + std::error::Error + 'static,
{
    match Fault::read(error, call) {
        Fault::Answer { code, message, .. } if is_credentials(&code) => {
            AccountError::Credentials(format!("{code}: {message}"))
        }
        Fault::Answer { status: 404, code, message } => AccountError::Missing(format!("{code}: {message}")),
        Fault::Answer { status: 400..500, code, message } => {
            let message = format!("{message}{}", hint(&code, &message, action));
            AccountError::Refused { code, message }
        }
        Fault::Answer { code, message, .. } => AccountError::Unreachable(format!("{code}: {message}")),
        Fault::NotSent(message) => AccountError::Credentials(message),
        Fault::NoAnswer(message) => AccountError::Unreachable(message),
    }
}

#[async_trait]
impl Account for SdkAccount {
    async fn keys(&self) -> Result<Keys, AccountError> {
        let Some(provider) = &self.credentials else {
            return Err(AccountError::Credentials("nothing provides any".to_owned()));
        };
        let keys = provider.provide_credentials().await.map_err(|error| AccountError::Credentials(chain(&error)))?;
        let since = keys.expiry().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        Ok(Keys { expire_ms: since.and_then(|since| u64::try_from(since.as_millis()).ok()) })
    }

    async fn caller(&self) -> Result<Caller, AccountError> {
        let call = self.counts.call("GetCallerIdentity");
        let sent = self.sts.get_caller_identity().customize().interceptor(call.clone()).send().await;
        let told = sent.map_err(|error| told(&error, &call, "sts:GetCallerIdentity"))?;
        Ok(Caller { arn: told.arn.unwrap_or_default(), account: told.account.unwrap_or_default() })
    }

    async fn bucket(&self, name: &str) -> Result<BucketDetail, AccountError> {
        let call = self.counts.call("HeadBucket");
        let sent = self.s3.head_bucket().bucket(name).customize().interceptor(call.clone()).send().await;
        sent.map(|head| BucketDetail { region: head.bucket_region }).map_err(|error| {
            let answer = error.raw_response();
            let elsewhere = answer.filter(|answer| [301, 400].contains(&answer.status().as_u16()));
            match elsewhere.and_then(|answer| answer.headers().get(REGION)) {
                Some(region) => AccountError::Elsewhere(region.to_owned()),
                None => told(&error, &call, "s3:ListBucket"),
            }
        })
    }

    async fn log_group(&self, name: &str) -> Result<Option<LogGroup>, AccountError> {
        let call = self.counts.call("DescribeLogGroups");
        let request = self.logs.describe_log_groups().log_group_name_prefix(name);
        let sent = request.customize().interceptor(call.clone()).send().await;
        let page = sent.map_err(|error| told(&error, &call, "logs:DescribeLogGroups"))?;
        // A name sorts before all that begin with it, so it is on the first page.
        let groups = page.log_groups.unwrap_or_default();
        let found = groups.into_iter().find(|group| group.log_group_name.as_deref() == Some(name));
        let days = |days: i32| u32::try_from(days).ok();
        Ok(found.map(|group| LogGroup { retention_days: group.retention_in_days.and_then(days) }))
    }
}
