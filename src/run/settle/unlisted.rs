//! What a listing that lags leaves out, and documents that are not of this array's children.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt};

use super::report::Report;
use super::{Case, SettleError};
use crate::aws::batch::JobStatus;
use crate::idl::core::ContainerError;
use crate::map::index::OriginalIndex;
use crate::run::Ports;
use crate::run::observe::DESCRIBE_LIMIT;

/// DescribeJobs calls under way at once.
const CALLS_AT_ONCE: usize = 4;

impl Case<'_> {
    /// Asks Batch for each child that was taken for a success because no listing shows it as failed. One that Batch does
    /// not show, or shows as going on though its parent has ended, is judged by what it left.
    pub(super) async fn describe_unlisted(
        &self,
        ports: &Ports,
        reports: &mut BTreeMap<OriginalIndex, Report>,
    ) -> Result<(), SettleError> {
        let believed = reports.iter().filter(|(_, report)| report.status == Some(JobStatus::Succeeded));
        let children: Vec<(String, OriginalIndex)> = believed
            .filter_map(|(&index, _)| Some((format!("{}:{}", self.job, self.array.members.child(index)?.0), index)))
            .collect();
        tracing::warn!(
            array = self.number,
            children = children.len(),
            "the listing stays behind: asking for each child"
        );
        let calls = children.chunks(DESCRIBE_LIMIT).map(|some| async move {
            let ids: Vec<String> = some.iter().map(|(id, _)| id.clone()).collect();
            let details = ports.batch.describe(&ids).await?;
            let mut told: BTreeMap<String, Report> = details
                .iter()
                .filter(|detail| detail.status.is_terminal())
                .map(|detail| (detail.id.clone(), Report::of_job(detail)))
                .collect();
            let each = some.iter().map(|(id, index)| (*index, told.remove(id).unwrap_or_default()));
            Ok::<Vec<_>, SettleError>(each.collect())
        });
        let told: Vec<Vec<_>> = futures::stream::iter(calls).buffered(CALLS_AT_ONCE).try_collect().await?;
        reports.extend(told.into_iter().flatten());
        Ok(())
    }

    /// Whether a document is of a child of this job. Two jobs of one array, one of them a stray, write under the same keys;
    /// our worker signs with its child's id. Another one's signature is no job's id, and says nothing.
    pub(super) fn wrote(&self, document: &ContainerError) -> bool {
        let parent = document.worker.split(':').next().unwrap_or_default();
        parent == self.job || !looks_like_a_job(parent)
    }
}

/// Whether a text has the shape of Batch's ids: 8-4-4-4-12 hexadecimal digits.
fn looks_like_a_job(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let hexadecimal = |group: &&str| group.bytes().all(|byte| byte.is_ascii_hexdigit());
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12]) && groups.iter().all(hexadecimal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jobs_id_is_told_from_other_signatures() {
        assert!(looks_like_a_job("3f2c1b7a-0d5e-4c7a-9f61-8f0d6e5a4b3c"));
        for text in ["", "job-7", "ip-10-0-0-1", "3f2c1b7a-0d5e-4c7a-9f61-8f0d6e5a4b3", "a-b-c-d-e"] {
            assert!(!looks_like_a_job(text), "{text}");
        }
    }
}
