//! What `batchmap doctor` asks of an account beyond what executions need: who calls, and what is there.

use async_trait::async_trait;

/// Whose requests these are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The ARN of the user or of the session of a role.
    pub arn: String,
    /// The account's number.
    pub account: String,
}

/// The credentials in use. The keys themselves are nobody's business.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// Milliseconds since 1970 at which they expire; never when absent.
    pub expire_ms: Option<u64>,
}

/// A bucket, as HeadBucket tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BucketDetail {
    /// The region it is in, where that is told.
    pub region: Option<String>,
}

/// A log group, as DescribeLogGroups tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogGroup {
    /// Days that events are kept; for ever when absent.
    pub retention_days: Option<u32>,
}

/// Why something cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// There are no credentials, or none that are valid now.
    #[error("{0}")]
    Credentials(String),
    /// There is no such thing.
    #[error("{0}")]
    Missing(String),
    /// The bucket is in another region.
    #[error("it is in region {0}")]
    Elsewhere(String),
    /// AWS refused.
    #[error("{code}: {message}")]
    Refused {
        /// AWS's error code.
        code: String,
        /// AWS's message, with the IAM action that is lacking where that is the reason.
        message: String,
    },
    /// No answer that means anything.
    #[error("{0}")]
    Unreachable(String),
}

/// The account.
#[async_trait]
pub trait Account: Send + Sync {
    /// The credentials that requests are signed with.
    async fn keys(&self) -> Result<Keys, AccountError>;

    /// Whose they are.
    async fn caller(&self) -> Result<Caller, AccountError>;

    /// A bucket.
    async fn bucket(&self, name: &str) -> Result<BucketDetail, AccountError>;

    /// The log group of this very name; nothing when there is none.
    async fn log_group(&self, name: &str) -> Result<Option<LogGroup>, AccountError>;
}
