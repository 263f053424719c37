//! The driver's way to Batch: submitting arrays, and finding out about those of unknown outcome.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};

use super::{DriveError, Driver};
use crate::aws::batch::{Batch, BatchError, JobStatus, SubmitRequest};
use crate::map::event::Event;
use crate::map::execution::ArrayState;
use crate::map::layout;
use crate::map::plan::Members;
use crate::run::journal::Journal;

/// SubmitJob calls under way at once. AWS takes 50 a second for an account; eight at about 100 ms each stay below.
const SUBMITS_AT_ONCE: usize = 8;

/// How long a throttled SubmitJob waits before each further try; after the last it is left for the next turn.
const THROTTLE_WAITS: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];

impl Driver {
    /// Submits arrays; every call has returned when this does, so that nothing is submitted after a later decision.
    pub(super) async fn submit(&mut self) -> Result<(), DriveError> {
        // What an outage has held up may not be wanted any more: the machine has doubted it since.
        let wanted = |array: &u32| self.execution.array(*array).is_some_and(|array| array.state == ArrayState::Planned);
        self.to_submit.retain(wanted);
        // The journal comes first, also before the lists: a driver that was overtaken must not touch its successor's.
        self.flush().await?;
        let lists = self.to_submit.iter().map(|&array| self.write_members(array));
        futures::stream::iter(lists).buffer_unordered(SUBMITS_AT_ONCE).try_collect::<Vec<()>>().await?;
        let arrays = std::mem::take(&mut self.to_submit);
        self.issued.extend(&arrays);
        let answers: Vec<(u32, Result<String, DriveError>)> = {
            let calls = arrays.into_iter().filter_map(|array| {
                let state = self.execution.array(array)?;
                let request = self.template.request(array, state, &self.record, self.execution.packs());
                let (batch, journal) = (self.ports.batch.as_ref(), &self.journal);
                Some(async move { (array, submit_patiently(batch, journal, &request).await) })
            });
            futures::stream::iter(calls).buffered(SUBMITS_AT_ONCE).collect().await
        };
        self.cadence.hurry();
        let mut not_now = None;
        for (array, answer) in answers {
            match answer {
                Ok(job) => {
                    self.issued.remove(&array);
                    self.take_in(Event::Submitted { array, job })?;
                }
                // Nothing has happened: it is asked for again, after whoever wants to stop this had a chance to say so.
                Err(
                    error @ (DriveError::Batch(BatchError::Throttled { .. } | BatchError::Unauthenticated { .. })
                    | DriveError::Journal(_)
                    | DriveError::Store(_)
                    | DriveError::Illegal(_)),
                ) => {
                    self.issued.remove(&array);
                    self.execution.ask_again(array);
                    not_now = Some(error);
                }
                Err(DriveError::Batch(BatchError::Unknown { message, .. })) => {
                    self.sweep.unanswered();
                    tracing::warn!(array, message, "no clear answer to SubmitJob: looking the array up by its name");
                    self.take_in(Event::SubmitUnknown { array })?;
                }
                // Refused means that nothing happened: the array does not exist, and no other would be taken either.
                Err(DriveError::Batch(error @ BatchError::Refused { .. })) => {
                    self.issued.remove(&array);
                    self.take_in(Event::Refused { message: error.to_string() })?;
                }
            }
        }
        not_now.map_or(Ok(()), Err)
    }

    /// Stores the list of a compacted array, which its children look themselves up in.
    async fn write_members(&self, array: u32) -> Result<(), DriveError> {
        let Some(state) = self.execution.array(array) else { return Ok(()) };
        if let Members::List(indices) = &state.members {
            let entries = self.execution.packs().list_entries(indices);
            self.ports.store.put(&self.template.root.array_indices(array), entries.into()).await?;
        }
        Ok(())
    }

    /// Finds out by its name whether an array was submitted. One that is not there may be late: it is looked for again
    /// after the next poll, until the lag is over.
    pub(super) async fn look_up(&mut self, array: u32) -> Result<(), DriveError> {
        self.flush().await?;
        if array >= self.inherited && !self.issued.contains(&array) {
            return self.take_in(Event::NotSubmitted { array });
        }
        let name = layout::job_name(self.template.root.id(), array);
        let Some(state) = self.execution.array(array) else { return Ok(()) };
        let queue = self.template.queue(state.queue).to_owned();
        if let Some(job) = self.find(&queue, &name).await? {
            self.behind.remove(&array);
            return self.take_in(Event::Submitted { array, job });
        }
        if self.may_lag(array) {
            self.not_found.push(array);
            return Ok(());
        }
        self.behind.remove(&array);
        self.sweep.given_up();
        self.take_in(Event::NotSubmitted { array })
    }

    /// The id of the job of this name. Of several, one that has not failed: another one's work may count.
    async fn find(&self, queue: &str, name: &str) -> Result<Option<String>, DriveError> {
        let (mut failed, mut token) = (None, None);
        loop {
            let page = self.ports.batch.list_named(queue, name, token.as_deref()).await?;
            for job in page.jobs.into_iter().filter(|job| job.name == name) {
                if job.status != JobStatus::Failed {
                    return Ok(Some(job.id));
                }
                failed.get_or_insert(job.id);
            }
            token = page.next;
            if token.is_none() {
                return Ok(failed);
            }
        }
    }
}

/// Submits, waiting a little while AWS throttles: a throttled request has not been carried out. Whoever was overtaken
/// meanwhile, by however little, must not submit: so the journal is made sure of before each call.
async fn submit_patiently(batch: &dyn Batch, journal: &Journal, request: &SubmitRequest) -> Result<String, DriveError> {
    for wait in THROTTLE_WAITS {
        journal.make_sure().await?;
        match batch.submit(request).await {
            Err(BatchError::Throttled { message, .. }) => {
                tracing::debug!(message, "throttled");
                tokio::time::sleep(wait).await;
            }
            answer => return Ok(answer?),
        }
    }
    journal.make_sure().await?;
    Ok(batch.submit(request).await?)
}
