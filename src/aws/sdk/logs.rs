//! CloudWatch Logs on the AWS SDK.

use async_trait::async_trait;

use super::counts::Counts;
use super::fault::{Fault, hint};
use crate::aws::logs::{LogEvent, LogPage, Logs, LogsError};

/// The [`Logs`] port on aws-sdk-cloudwatchlogs.
pub(super) struct SdkLogs {
    client: aws_sdk_cloudwatchlogs::Client,
    counts: Counts,
}

impl SdkLogs {
    pub(super) fn new(config: aws_sdk_cloudwatchlogs::Config, counts: Counts) -> Self {
        SdkLogs { client: aws_sdk_cloudwatchlogs::Client::from_conf(config), counts }
    }
}

#[async_trait]
impl Logs for SdkLogs {
    async fn page(&self, group: &str, stream: &str, token: Option<&str>) -> Result<LogPage, LogsError> {
        let call = self.counts.call("GetLogEvents");
        let request = self.client.get_log_events().log_group_name(group).log_stream_name(stream).start_from_head(true);
        let sent = request.set_next_token(token.map(str::to_owned)).customize().interceptor(call.clone()).send().await;
        let page = sent.map_err(|error| told(Fault::read(&error, &call), group, stream))?;
        let events = page.events.unwrap_or_default().into_iter().map(|event| LogEvent {
            timestamp_ms: event.timestamp.unwrap_or_default(),
            message: event.message.unwrap_or_default(),
        });
        Ok(LogPage { events: events.collect(), next: page.next_forward_token })
    }
}

fn told(fault: Fault, group: &str, stream: &str) -> LogsError {
    let (group, stream) = (group.to_owned(), stream.to_owned());
    match fault {
        Fault::Answer { code, .. } if code == "ResourceNotFoundException" => LogsError::NotFound { group, stream },
        Fault::Answer { code, message, .. } => {
            let hint = hint(&code, &message, "logs:GetLogEvents");
            LogsError::Failed { group, stream, message: format!("{code}: {message}{hint}") }
        }
        Fault::NotSent(message) | Fault::NoAnswer(message) => LogsError::Failed { group, stream, message },
    }
}
