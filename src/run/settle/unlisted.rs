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
        let told = described(ports, &children).await?;
        reports.extend(told.into_iter().map(|(index, report)| (index, report.unwrap_or_default())));
        Ok(())
    }

    /// Asks Batch for each child that has failed and of which the listing tells neither code nor reason: it does so of jobs
    /// with one container alone. Those that were terminated have ended by that.
    pub(super) async fn describe_untold(
        &self,
        ports: &Ports,
        reports: &mut BTreeMap<OriginalIndex, Report>,
    ) -> Result<(), SettleError> {
        let untold = |report: &Report| {
            let failed = report.status == Some(JobStatus::Failed) && !report.terminated;
            failed && report.exit_code.is_none() && report.reason.is_empty() && report.starts.is_none()
        };
        let children: Vec<(String, OriginalIndex)> = reports
            .iter()
            .filter(|(_, report)| untold(report))
            .filter_map(|(&index, _)| Some((format!("{}:{}", self.job, self.array.members.child(index)?.0), index)))
            .collect();
        let told = described(ports, &children).await?;
        reports.extend(told.into_iter().filter_map(|(index, report)| Some((index, report?))));
        Ok(())
    }

    /// Whether a document is of a child of this job. Two jobs of one array, one of them a stray, write under the same keys;
    /// our worker signs with its child's id. Another one's signature is no job's id, and says nothing.
    pub(super) fn wrote(&self, document: &ContainerError) -> bool {
        let parent = document.worker.split(':').next().unwrap_or_default();
        parent == self.job || !looks_like_a_job(parent)
    }
}

/// What Batch tells of children by DescribeJobs; nothing of those that it does not show, or shows as going on.
async fn described(
    ports: &Ports,
    children: &[(String, OriginalIndex)],
) -> Result<Vec<(OriginalIndex, Option<Report>)>, SettleError> {
    let calls = children.chunks(DESCRIBE_LIMIT).map(|some| async move {
        let ids: Vec<String> = some.iter().map(|(id, _)| id.clone()).collect();
        let details = ports.batch.describe(&ids).await?;
        let mut told: BTreeMap<String, Report> = details
            .iter()
            .filter(|detail| detail.status.is_terminal())
            .map(|detail| (detail.id.clone(), Report::of_job(detail)))
            .collect();
        let each = some.iter().map(|(id, index)| (*index, told.remove(id)));
        Ok::<Vec<_>, SettleError>(each.collect())
    });
    let told: Vec<Vec<_>> = futures::stream::iter(calls).buffered(CALLS_AT_ONCE).try_collect().await?;
    Ok(told.into_iter().flatten().collect())
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
