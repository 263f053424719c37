//! Following arrays by their parents: one DescribeJobs serves a hundred of them.

use std::collections::BTreeMap;

use crate::aws::batch::{Batch, BatchError, JobDetail, JobStatus};
use crate::map::execution::Seen;

/// Jobs that one DescribeJobs takes.
pub(super) const DESCRIBE_LIMIT: usize = 100;

/// What one poll says of the jobs asked about, by job id; a job that Batch does not know is left out.
///
/// # Errors
/// When AWS does not answer.
pub async fn poll(batch: &dyn Batch, jobs: &[String]) -> Result<BTreeMap<String, JobDetail>, BatchError> {
    let mut seen = BTreeMap::new();
    for some in jobs.chunks(DESCRIBE_LIMIT) {
        for detail in batch.describe(some).await? {
            seen.insert(detail.id.clone(), detail);
        }
    }
    Ok(seen)
}

/// A description in the machine's terms.
pub fn seen(detail: &JobDetail) -> Seen {
    Seen { status: Some(detail.status), children: detail.summary.clone() }
}

/// Why a job waits for a place for ever, when Batch says so: only the job at the head of a blocked queue gets such a
/// reason.
pub fn stuck(detail: &JobDetail) -> Option<&str> {
    let waiting = matches!(detail.status, JobStatus::Submitted | JobStatus::Pending | JobStatus::Runnable);
    let reason = detail.status_reason.as_deref().filter(|_| waiting)?;
    let known = ["MISCONFIGURATION:", "CAPACITY:", "ACTION_REQUIRED", "UNDETERMINED"];
    known.iter().any(|prefix| reason.starts_with(prefix)).then_some(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detail(status: JobStatus, reason: &str) -> JobDetail {
        JobDetail {
            id: "j".to_owned(),
            name: "n".to_owned(),
            status,
            status_reason: Some(reason.to_owned()),
            summary: BTreeMap::new(),
            attempts: Vec::new(),
            log_stream: None,
            cancelled: false,
            terminated: false,
        }
    }

    #[test]
    fn a_blocked_queue_is_told_from_an_ordinary_wait() {
        let reason = "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - no instance is large enough";
        assert_eq!(stuck(&detail(JobStatus::Runnable, reason)), Some(reason));
        assert_eq!(stuck(&detail(JobStatus::Failed, reason)), None);
        assert_eq!(stuck(&detail(JobStatus::Runnable, "waiting")), None);
    }
}
