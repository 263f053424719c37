//! Following arrays by their parents: one DescribeJobs serves a hundred of them.

use std::collections::BTreeMap;

use crate::aws::batch::{Batch, BatchError, JobDetail};
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
