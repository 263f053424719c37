//! Judging children: what Batch says of them against what S3 holds of them.
//!
//! A SUCCEEDED array of a task without outputs is believed without a look at S3: whatever left an error document there is
//! the worker, and it then ends with a code that is not 0 (a test of it holds this), so that Batch calls the child FAILED.

mod report;
mod starts;
mod stock;
mod unlisted;

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt};

use super::Ports;
use crate::aws::batch::{BatchError, JobDetail, JobStatus};
use crate::aws::store::StoreError;
use crate::idl::core::ContainerError;
use crate::map::event::{Event, Failure};
use crate::map::execution::{Array, Look};
use crate::map::index::{ChildIndex, OriginalIndex};
use crate::map::layout::{self, Root};
use crate::map::policy::{self, Evidence, Origin, Outputs, Row, Verdict};
use crate::map::ranges::Ranges;
use crate::map::summary::{MAX_FOLDS, OTHERS};
use report::{Report, kind, read_document, shorten};
pub use stock::Stock;

/// Every reason that this project gives to TerminateJob begins with this, so that children we ended are known as such.
pub const OUR_REASON: &str = "batchmap: ";

/// Error documents fetched at once.
const DOCUMENTS_AT_ONCE: usize = 32;

/// Stretches of subtasks listed at once.
const LISTS_AT_ONCE: usize = 16;

/// Subtasks this near to one another are listed together: half a page of keys costs less than a further call.
const NEAR: u64 = 500;

/// Why children could not be judged.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// Batch did not answer.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// S3 did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An array to be judged.
pub struct Case<'a> {
    /// The execution's keys.
    pub root: &'a Root,
    /// The array's number.
    pub number: u32,
    /// The array.
    pub array: &'a Array,
    /// Batch's id of it.
    pub job: &'a str,
    /// The newest description; absent when Batch does not know the job any more.
    pub detail: Option<&'a JobDetail>,
    /// Whether the task declares outputs.
    pub outputs_due: bool,
    /// Whether an attempt that ran into its timeout may be made again.
    pub retry_timeouts: bool,
    /// What is particular where the children have no worker.
    pub stock: Option<Stock>,
    /// Whether the children are tasks of several containers: listings tell nothing of those.
    pub task: bool,
    /// Whether to wait for a listing that shows fewer failures than Batch counts: what it leaves out would be taken for
    /// successes.
    pub patient: bool,
}

/// What a closer look at an array has brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The children judged.
    pub event: Event,
    /// FAILED children that the listing showed, those judged before included: see [`Execution::listed`].
    ///
    /// [`Execution::listed`]: crate::map::execution::Execution::listed
    pub listed_failed: u32,
}

/// What S3 holds of an array's subtasks.
#[derive(Default)]
struct Traces {
    outputs: BTreeSet<OriginalIndex>,
    /// The last attempt of this array that left an error document.
    errors: BTreeMap<OriginalIndex, String>,
    /// Where it lies, of children without a worker.
    left: BTreeMap<OriginalIndex, stock::Left>,
}

/// All that is known of the children to judge.
struct Found {
    reports: BTreeMap<OriginalIndex, Report>,
    traces: Traces,
    documents: BTreeMap<OriginalIndex, ContainerError>,
}

impl Case<'_> {
    /// Judges the children that `look` asks for; nothing when the listing is behind and the case is a patient one.
    ///
    /// # Errors
    /// When Batch or S3 does not answer; nothing has been changed then.
    pub async fn judge(&self, ports: &Ports, look: Look) -> Result<Option<Judged>, SettleError> {
        let ended = look == Look::AtAll;
        let parent = self.detail.map(|detail| detail.status);
        // Without a worker, what has left futures in place of outputs ends with 0 as well.
        if ended && parent == Some(JobStatus::Succeeded) && !self.outputs_due && self.stock.is_none() {
            // Each is judged once: those seen to succeed before are in the journal already.
            let members = self.array.members.ranges();
            let succeeded = members.iter().filter(|index| !self.array.judged_early(*index)).collect();
            let event = Event::Settled { array: self.number, succeeded, failures: Vec::new(), ended };
            return Ok(Some(Judged { event, listed_failed: 0 }));
        }
        let mut reports = self.reports(ports, look).await?;
        let listed_failed = reports.values().filter(|report| report.status == Some(JobStatus::Failed)).count() as u32;
        let complete = !ended || self.tells_all(listed_failed);
        if !complete && self.patient {
            tracing::debug!(array = self.number, listed_failed, "the listing or the counts are behind");
            return Ok(None);
        }
        reports.retain(|index, _| !self.array.judged_early(*index));
        if !complete {
            self.describe_unlisted(ports, &mut reports).await?;
        }
        if self.task {
            self.describe_untold(ports, &mut reports).await?;
        }
        let traces = match &self.stock {
            Some(stock) => self.left(ports, stock, &reports).await?,
            None => self.traces(ports, &reports).await?,
        };
        let documents = self.documents(ports, &reports, &traces).await?;
        let mut found = Found { reports, traces, documents };
        if let Some(stock) = &self.stock {
            self.adopt(ports, stock, &mut found).await?;
        }
        let starts = self.starts(ports, &found).await?;
        Ok(Some(Judged { event: self.verdicts(&found, &starts, ended), listed_failed }))
    }

    /// Whether a listing of so many FAILED children shows them all, so that the others have succeeded: the parent's counts
    /// must add up, for both lag. A FAILED array has at least one.
    fn tells_all(&self, listed_failed: u32) -> bool {
        let Some(detail) = self.detail else { return true };
        if detail.status != JobStatus::Failed || self.array.members.len() == 1 {
            return true;
        }
        let count = |status| detail.summary.get(&status).copied().unwrap_or(0);
        let failed = count(JobStatus::Failed);
        let adds_up = detail.summary.is_empty() || failed + count(JobStatus::Succeeded) >= self.array.members.len();
        adds_up && listed_failed >= failed.max(1)
    }

    /// The children to judge, in the caller's order, with what Batch says of each.
    async fn reports(&self, ports: &Ports, look: Look) -> Result<BTreeMap<OriginalIndex, Report>, SettleError> {
        let mut reports = BTreeMap::new();
        match (look, self.detail) {
            (Look::Away, _) => {}
            (Look::AtAll, None) => {
                reports.extend(self.array.members.ranges().iter().map(|index| (index, Report::default())));
            }
            (Look::AtAll, Some(detail)) if self.array.members.len() == 1 => {
                reports.extend(self.array.members.ranges().iter().map(|index| (index, Report::of_job(detail))));
            }
            (Look::AtAll, Some(detail)) => {
                let ok = Report { status: Some(JobStatus::Succeeded), exit_code: Some(0), ..Report::default() };
                reports.extend(self.array.members.ranges().iter().map(|index| (index, ok.clone())));
                if detail.status == JobStatus::Failed {
                    reports.extend(self.children(ports, JobStatus::Failed).await?);
                }
            }
            (Look::AtFailures, _) => reports.extend(self.children(ports, JobStatus::Failed).await?),
            (Look::AtEnds, _) => {
                reports.extend(self.children(ports, JobStatus::Succeeded).await?);
                reports.extend(self.children(ports, JobStatus::Failed).await?);
            }
        }
        Ok(reports)
    }

    async fn children(&self, ports: &Ports, status: JobStatus) -> Result<Vec<(OriginalIndex, Report)>, SettleError> {
        let mut found = Vec::new();
        let mut token = None;
        loop {
            let page = ports.batch.list_children(self.job, status, token.as_deref()).await?;
            for job in &page.jobs {
                match self.subtask(&job.id) {
                    Some(index) => found.push((index, Report::of_child(job))),
                    None => tracing::warn!(job = job.id, "a child of {} has no subtask and is ignored", self.job),
                }
            }
            match page.next {
                Some(next) => token = Some(next),
                None => return Ok(found),
            }
        }
    }

    /// The subtask of the child with this job id: `<parent>:<index>`.
    fn subtask(&self, id: &str) -> Option<OriginalIndex> {
        let child = id.strip_prefix(self.job)?.strip_prefix(':')?.parse().ok()?;
        self.array.members.original(ChildIndex(child))
    }

    /// What the subtasks in question have left. Near ones are listed together and far ones apart, so that neither many
    /// calls nor many foreign keys are spent on a few that lie scattered.
    async fn traces(&self, ports: &Ports, reports: &BTreeMap<OriginalIndex, Report>) -> Result<Traces, SettleError> {
        let mut clusters: Vec<(OriginalIndex, OriginalIndex)> = Vec::new();
        for &index in reports.keys() {
            match clusters.last_mut() {
                Some((_, last)) if index.0 - last.0 <= NEAR => *last = index,
                _ => clusters.push((index, index)),
            }
        }
        let lists = clusters.into_iter().map(|(first, last)| self.list(ports, first, last, reports));
        let mut lists = futures::stream::iter(lists).buffered(LISTS_AT_ONCE);
        let mut traces = Traces::default();
        while let Some(found) = lists.try_next().await? {
            traces.outputs.extend(found.outputs);
            traces.errors.extend(found.errors);
        }
        Ok(traces)
    }

    /// What those of the subtasks `first` to `last` that are in question have left.
    async fn list(
        &self,
        ports: &Ports,
        first: OriginalIndex,
        last: OriginalIndex,
        reports: &BTreeMap<OriginalIndex, Report>,
    ) -> Result<Traces, StoreError> {
        let prefix = if first == last { self.root.subtask(first) } else { self.root.subtasks() };
        let end = self.root.subtask(OriginalIndex(last.0 + 1));
        let mut after = Some(self.root.subtask(first));
        let mut traces = Traces::default();
        loop {
            let page = ports.store.list(&prefix, after.as_deref()).await?;
            let within = page.objects.iter().take_while(|object| object.key < end);
            within.for_each(|object| self.note(&mut traces, &object.key, reports));
            let beyond = page.objects.last().is_none_or(|object| object.key >= end);
            if beyond || !page.more {
                return Ok(traces);
            }
            after = page.objects.into_iter().last().map(|object| object.key);
        }
    }

    /// Takes in one key of a subtask.
    fn note(&self, traces: &mut Traces, key: &str, reports: &BTreeMap<OriginalIndex, Report>) {
        let Some((index, rest)) = key.strip_prefix(&self.root.subtasks()).and_then(|rest| rest.split_once('/')) else {
            return;
        };
        let Some(index) = index.parse().ok().map(OriginalIndex).filter(|index| reports.contains_key(index)) else {
            return;
        };
        if rest == "outputs.pb" {
            traces.outputs.insert(index);
        } else if let Some(attempt) = rest.strip_suffix("/error.pb")
            && attempt.starts_with(&layout::attempt_prefix(self.number))
        {
            // Keys come in order, so the last one is the newest attempt.
            traces.errors.insert(index, attempt.to_owned());
        }
    }

    /// The error documents of the children that need one to be judged.
    async fn documents(
        &self,
        ports: &Ports,
        reports: &BTreeMap<OriginalIndex, Report>,
        traces: &Traces,
    ) -> Result<BTreeMap<OriginalIndex, ContainerError>, SettleError> {
        let wanted = traces
            .errors
            .iter()
            .filter(|(index, _)| reports.contains_key(index) && (!traces.outputs.contains(index) || !self.outputs_due));
        let fetches = wanted.map(|(&index, attempt)| async move {
            let left = traces.left.get(&index).and_then(|left| left.error.as_ref());
            let key = left.map_or_else(|| self.root.error(index, attempt), |(_, key)| key.clone());
            match ports.store.get(&key).await {
                Ok(body) => Ok((index, read_document(&body, &key).filter(|document| self.wrote(document)))),
                // Listed and gone: somebody cleans up. The other evidence has to do.
                Err(StoreError::NotFound { .. }) => Ok((index, None)),
                Err(error) => Err(error),
            }
        });
        let found: Vec<(OriginalIndex, Option<ContainerError>)> =
            futures::stream::iter(fetches).buffered(DOCUMENTS_AT_ONCE).try_collect().await?;
        Ok(found.into_iter().filter_map(|(index, document)| Some((index, document?))).collect())
    }

    /// The row that applies to a child, and what it rests on.
    fn row<'f>(&self, found: &'f Found, index: OriginalIndex, report: &'f Report) -> (&'static Row, Evidence<'f>) {
        // An outputs.pb that is listed is a whole one, for it is written last and in one conditional PUT.
        let outputs = match (self.outputs_due, found.traces.outputs.contains(&index)) {
            (false, _) => Outputs::NotDue,
            (true, true) => Outputs::Present,
            (true, false) => Outputs::Absent,
        };
        let evidence = report.evidence(outputs, found.documents.get(&index).map(kind), self.retry_timeouts);
        (policy::judge(&evidence), evidence)
    }

    fn verdicts(&self, found: &Found, starts: &BTreeMap<OriginalIndex, u32>, ended: bool) -> Event {
        let mut succeeded = Ranges::default();
        let mut failures: BTreeMap<(Origin, bool, u32, String, String), Ranges> = BTreeMap::new();
        for (&index, report) in &found.reports {
            let (row, evidence) = self.row(found, index, report);
            let (origin, recoverable) = match row.verdict {
                Verdict::Succeeded => {
                    succeeded.push(index);
                    continue;
                }
                Verdict::Retry(origin) => (origin, true),
                Verdict::Failed(origin) => (origin, false),
                // Terminated in this execution's name though nothing is decided: by a driver that took it for nobody's and
                // was overtaken, or overtook. The subtask is not to blame, and is still wanted.
                Verdict::Aborted => (Origin::System, true),
            };
            let (code, message) = match found.documents.get(&index).filter(|_| row.by_document()) {
                Some(document) => (document.code.clone(), shorten(&document.message)),
                None => (row.name.to_owned(), shorten(&policy::describe(row, &evidence))),
            };
            let starts = starts.get(&index).copied().unwrap_or(1);
            let mut key = (origin, recoverable, starts, code, message);
            // Ten thousand different messages would make a record of megabytes, and each is in its document.
            if failures.len() >= MAX_FOLDS && !failures.contains_key(&key) {
                (key.3, key.4) = (OTHERS.0.to_owned(), OTHERS.1.to_owned());
            }
            failures.entry(key).or_default().push(index);
        }
        let failures = failures.into_iter().map(|((origin, recoverable, starts, code, message), indices)| Failure {
            indices,
            origin,
            recoverable,
            starts,
            code,
            message,
        });
        Event::Settled { array: self.number, succeeded, failures: failures.collect(), ended }
    }
}
