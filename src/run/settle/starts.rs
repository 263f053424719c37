//! How often children were started in their array: what their budget for losses is charged with.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt};

use super::report::{self, Report};
use super::{Case, Found, SettleError};
use crate::map::index::OriginalIndex;
use crate::map::layout;
use crate::map::policy::{self, Verdict};
use crate::run::Ports;
use crate::run::observe::DESCRIBE_LIMIT;

/// DescribeJobs calls under way at once.
const CALLS_AT_ONCE: usize = 4;

impl Case<'_> {
    /// The starts of the children that may be run again; of the others they do not matter. ListJobs does not tell them, so
    /// they are taken, in this order, from:
    /// 1. the end itself: where Batch would have started the child again, it has done so as often as it may;
    /// 2. the description of a plain job;
    /// 3. the name of the error document, which holds the attempt that left it;
    /// 4. DescribeJobs of the children that nothing else is known of: few, for what fails leaves a document;
    /// 5. when Batch has forgotten the job, nothing: then all attempts but one are taken to be used, so that the child is
    ///    started once more, and perhaps once more than its budget has it.
    pub(super) async fn starts(
        &self,
        ports: &Ports,
        found: &Found,
    ) -> Result<BTreeMap<OriginalIndex, u32>, SettleError> {
        let mut starts = BTreeMap::new();
        let mut unsure = Vec::new();
        for (&index, report) in &found.reports {
            let (row, evidence) = self.row(found, index, report);
            if !matches!(row.verdict, Verdict::Retry(_)) {
                continue;
            }
            let repeated = policy::batch_repeats(evidence.status_reason, evidence.reason);
            match self.known_starts(report, repeated, found.traces.errors.get(&index).map(String::as_str)) {
                Some(known) => drop(starts.insert(index, known)),
                None => unsure.push(index),
            }
        }
        starts.extend(self.described_starts(ports, &unsure).await?);
        Ok(starts)
    }

    fn known_starts(&self, report: &Report, repeated: bool, document: Option<&str>) -> Option<u32> {
        if repeated {
            return Some(self.array.attempts);
        }
        if report.status.is_none() {
            return Some(self.array.attempts.saturating_sub(1).max(1));
        }
        report.starts.or_else(|| layout::batch_attempt(document?))
    }

    async fn described_starts(
        &self,
        ports: &Ports,
        unsure: &[OriginalIndex],
    ) -> Result<Vec<(OriginalIndex, u32)>, SettleError> {
        let children: Vec<(String, OriginalIndex)> = unsure
            .iter()
            .filter_map(|&index| Some((format!("{}:{}", self.job, self.array.members.child(index)?.0), index)))
            .collect();
        let calls = children.chunks(DESCRIBE_LIMIT).map(|some| async move {
            let ids: Vec<String> = some.iter().map(|(id, _)| id.clone()).collect();
            let details = ports.batch.describe(&ids).await?;
            let started: BTreeMap<&str, u32> =
                details.iter().filter_map(|detail| Some((detail.id.as_str(), report::starts(detail)?))).collect();
            let known = some.iter().filter_map(|(id, index)| Some((*index, *started.get(id.as_str())?)));
            Ok::<Vec<_>, SettleError>(known.collect())
        });
        let known: Vec<Vec<_>> = futures::stream::iter(calls).buffered(CALLS_AT_ONCE).try_collect().await?;
        Ok(known.concat())
    }
}
