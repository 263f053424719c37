//! The end of what nobody needs any more, seen to its end: TerminateJob only asks, so it is asked again until Batch shows
//! that every child has ended.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::{DriveError, Driver};
use crate::aws::batch::{JobDetail, JobStatus};
use crate::run::observe;

/// How long an array may go on after TerminateJob before it is asked for again: a container has 30 seconds from SIGTERM
/// to SIGKILL, and its end takes some more to be told.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// How long Batch may take to say what is left, when somebody does not want to wait any longer.
const LAST_LOOK: Duration = Duration::from_secs(10);

/// An array that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unended {
    /// Its number.
    pub array: u32,
    /// Batch's id of it; absent when it is not known whether Batch has it.
    pub job: Option<String>,
    /// Children that are not known to have ended.
    pub children: u64,
    /// Those by state, as far as Batch tells.
    pub states: BTreeMap<JobStatus, u32>,
    /// Whether Batch has taken the request to end it.
    pub told: bool,
}

impl Driver {
    /// Has an array that goes on after the decision terminated once more, when the last request is some time ago.
    pub(super) fn insist(&mut self, number: u32) {
        if self.execution.decision().is_none() {
            return;
        }
        // The first request went out with the decision, just before the first poll that comes here.
        let asked = self.ending.entry(number).or_insert_with(Instant::now);
        if asked.elapsed() >= ASK_AGAIN_AFTER {
            *asked = Instant::now();
            tracing::debug!(array = number, "it goes on: terminating it once more");
            self.execution.ask_again(number);
        }
    }

    /// Whether every child of an array whose parent has ended has ended too. The parent's counts lag: where they show
    /// children that go on, those are listed. After the lag the parent's word is taken: Batch ends it last.
    pub(super) async fn is_over(
        &mut self,
        number: u32,
        job: &str,
        detail: Option<&JobDetail>,
    ) -> Result<bool, DriveError> {
        let counted = detail.map(|detail| &detail.summary).into_iter().flatten();
        let open: Vec<JobStatus> =
            counted.filter(|(status, count)| !status.is_terminal() && **count > 0).map(|(status, _)| *status).collect();
        for status in open {
            let page = self.ports.batch.list_children(job, status, None).await?;
            if page.jobs.is_empty() {
                continue;
            }
            if self.may_lag(number) {
                return Ok(false);
            }
            tracing::warn!(array = number, job, ?status, "it is over, though AWS Batch still lists such children");
        }
        self.behind.remove(&number);
        self.ending.remove(&number);
        Ok(true)
    }

    /// What has not ended, by a last look at Batch, if it answers soon.
    pub async fn unended(&self) -> Vec<Unended> {
        let open: Vec<(u32, Option<String>, u64)> = self
            .execution
            .open()
            .map(|(number, array)| (number, array.job_id().map(str::to_owned), u64::from(array.held().0)))
            .collect();
        let jobs: Vec<String> = open.iter().filter_map(|(_, job, _)| job.clone()).collect();
        let asked = tokio::time::timeout(LAST_LOOK, observe::poll(self.ports.batch.as_ref(), &jobs)).await;
        let answers = asked.ok().and_then(Result::ok).unwrap_or_default();
        let unended = open.into_iter().map(|(array, job, held)| {
            let states = job.as_ref().and_then(|job| answers.get(job)).map(unended_states);
            // Counts of ends that came since are newer than what the machine has.
            let children = states.as_ref().map_or(held, |states| states.values().map(|count| u64::from(*count)).sum());
            Unended { array, job, children, states: states.unwrap_or_default(), told: self.told.contains(&array) }
        });
        unended.collect()
    }
}

/// The children of a job that have not ended, by state.
fn unended_states(detail: &JobDetail) -> BTreeMap<JobStatus, u32> {
    let own = [(detail.status, 1)];
    let counted = detail.summary.iter().map(|(status, count)| (*status, *count));
    let all: BTreeMap<JobStatus, u32> =
        if detail.summary.is_empty() { own.into_iter().collect() } else { counted.collect() };
    all.into_iter().filter(|(status, count)| !status.is_terminal() && *count > 0).collect()
}
