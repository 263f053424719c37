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

/// Where people look at a log group: its page of AWS's console.
pub fn console_group(region: &str, group: &str) -> String {
    let host = match region.split('-').next() {
        Some("cn") => "console.amazonaws.cn".to_owned(),
        _ if region.starts_with("us-gov-") => "console.amazonaws-us-gov.com".to_owned(),
        _ => format!("{region}.console.aws.amazon.com"),
    };
    // The console escapes names twice, and then the percent signs as $.
    let escaped = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' => char::from(byte).to_string(),
        byte => format!("$25{byte:02X}"),
    };
    let group: String = group.bytes().map(escaped).collect();
    format!("https://{host}/cloudwatch/home?region={region}#logsV2:log-groups/log-group/{group}")
}

/// CloudWatch Logs.
#[async_trait]
pub trait Logs: Send + Sync {
    /// Reads the page of `stream` after `token`, from the beginning without one.
    async fn page(&self, group: &str, stream: &str, token: Option<&str>) -> Result<LogPage, LogsError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_has_its_own_way_of_escaping() {
        assert_eq!(
            console_group("eu-central-1", "/aws/batch/job"),
            "https://eu-central-1.console.aws.amazon.com/cloudwatch/home?region=eu-central-1#logsV2:log-groups/log-group/\
             $252Faws$252Fbatch$252Fjob"
        );
        assert!(console_group("cn-north-1", "g").starts_with("https://console.amazonaws.cn/"));
        assert!(console_group("us-gov-west-1", "g").starts_with("https://console.amazonaws-us-gov.com/"));
    }
}
