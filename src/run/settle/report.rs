//! What is known of a finished child: Batch's report of it, and the error document it left.

use prost::Message;

use crate::aws::batch::{JobDetail, JobStatus, JobSummary};
use crate::idl::core::container_error::Kind;
use crate::idl::core::execution_error::ErrorKind as OriginKind;
use crate::idl::core::{ContainerError, ErrorDocument};
use crate::map::policy::{ErrorKind, Evidence, Origin, Outputs};

use super::OUR_REASON;

/// About how many characters of a message go into the journal: enough to know the error, and 10,000 different ones stay small.
const MESSAGE_LIMIT: usize = 600;

/// What Batch says of a child.
#[derive(Clone, Default)]
pub(super) struct Report {
    pub(super) status: Option<JobStatus>,
    pub(super) exit_code: Option<i32>,
    pub(super) status_reason: String,
    pub(super) reason: String,
    pub(super) terminated: bool,
    /// How often it was started in its array: only DescribeJobs tells.
    pub(super) starts: Option<u32>,
}

impl Report {
    pub(super) fn of_child(job: &JobSummary) -> Self {
        Report {
            status: Some(job.status),
            exit_code: job.exit_code,
            status_reason: job.status_reason.clone().unwrap_or_default(),
            reason: job.reason.clone().unwrap_or_default(),
            terminated: job.terminated || job.cancelled,
            starts: None,
        }
    }

    pub(super) fn of_job(detail: &JobDetail) -> Self {
        let last = detail.attempts.last();
        let attempt_reason = last.and_then(|attempt| attempt.status_reason.clone());
        Report {
            status: Some(detail.status),
            exit_code: last.and_then(|attempt| attempt.exit_code),
            status_reason: detail.status_reason.clone().or(attempt_reason).unwrap_or_default(),
            reason: last.and_then(|attempt| attempt.reason.clone()).unwrap_or_default(),
            terminated: detail.terminated || detail.cancelled,
            starts: starts(detail),
        }
    }

    pub(super) fn evidence(&self, outputs: Outputs, error: Option<ErrorKind>, retry_timeouts: bool) -> Evidence<'_> {
        Evidence {
            status: self.status,
            exit_code: self.exit_code,
            status_reason: &self.status_reason,
            reason: &self.reason,
            terminated: self.terminated,
            by_us: self.status_reason.starts_with(OUR_REASON),
            outputs,
            error,
            retry_timeouts,
        }
    }
}

/// How often a job was started; an endpoint that keeps no attempts does not say.
pub(super) fn starts(detail: &JobDetail) -> Option<u32> {
    u32::try_from(detail.attempts.len()).ok().filter(|starts| *starts > 0)
}

pub(super) fn kind(document: &ContainerError) -> ErrorKind {
    let origin = if document.origin() == OriginKind::System { Origin::System } else { Origin::User };
    ErrorKind { origin, recoverable: document.kind() == Kind::Recoverable }
}

pub(super) fn read_document(body: &[u8], key: &str) -> Option<ContainerError> {
    match ErrorDocument::decode(body) {
        Ok(document) => document.error,
        Err(error) => {
            tracing::warn!(key, %error, "an error document cannot be read and is ignored");
            None
        }
    }
}

/// A message of at most about [`MESSAGE_LIMIT`] characters: its first line, which says what happened, and its end, for
/// the last that a command wrote is most often why.
pub(super) fn shorten(message: &str) -> String {
    let message = message.trim_end();
    if message.chars().count() <= MESSAGE_LIMIT {
        return message.to_owned();
    }
    let first: String = message.lines().next().unwrap_or_default().chars().take(MESSAGE_LIMIT / 2).collect();
    let left = MESSAGE_LIMIT - first.chars().count();
    let end = message.char_indices().rev().nth(left - 1).map_or(message, |(at, _)| &message[at..]);
    // From a whole line on, where there is one.
    let end = end.split_once('\n').map_or(end, |(_, lines)| lines);
    format!("{first}\n…\n{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_keeps_its_first_line_and_its_end() {
        let lines: Vec<String> = (0..500).map(|line| format!("line {line}")).collect();
        let cut = shorten(&lines.join("\n"));
        assert!(cut.starts_with("line 0\n…\nline 4"), "{cut}");
        assert!(cut.ends_with("\nline 499"), "{cut}");
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        assert_eq!(shorten("short\n"), "short");
        let cut = shorten(&"ä".repeat(2 * MESSAGE_LIMIT));
        assert!(cut.chars().count() <= MESSAGE_LIMIT + 3);
    }
}
