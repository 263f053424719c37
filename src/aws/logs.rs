//! CloudWatch Logs as batchmap needs it: reading one stream.

use async_trait::async_trait;

/// One line of a child's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEvent {
    /// Milliseconds since 1970, as the service received it.
    pub timestamp_ms: i64,
    /// The line, without its line break.
    pub message: String,
}

/// A page of a stream, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogPage {
    /// The lines.
    pub events: Vec<LogEvent>,
    /// Where to go on; equal to the token given when the end is reached.
    pub next: Option<String>,
}

/// Why a stream could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// The group or stream does not exist (yet): a child that never started has none.
    #[error("log stream {group}/{stream} does not exist")]
    NotFound {
        /// The log group.
        group: String,
        /// The stream.
        stream: String,
    },
    /// AWS refused, or could not be reached.
    #[error("cannot read log stream {group}/{stream}: {message}")]
    Failed {
        /// The log group.
        group: String,
        /// The stream.
        stream: String,
        /// AWS's code and message, or the transport's.
        message: String,
    },
}

/// CloudWatch Logs.
#[async_trait]
pub trait Logs: Send + Sync {
    /// Reads the page of `stream` after `token`, from the beginning without one.
    async fn page(&self, group: &str, stream: &str, token: Option<&str>) -> Result<LogPage, LogsError>;
}
