//! The driver's way to Batch: submitting arrays, and finding out about those of unknown outcome.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt};

use super::{DriveError, Driver};
use crate::aws::batch::{Batch, BatchError, Fence, JobStatus, SubmitRequest};
use crate::map::event::Event;
use crate::map::execution::ArrayState;
use crate::map::plan::Members;
use crate::map::{flyte, layout};
use crate::run::journal::{Journal, JournalError};
use crate::run::stock;

/// SubmitJob calls under way at once. AWS takes 50 a second for an account; eight at about 100 ms each stay below.
const SUBMITS_AT_ONCE: usize = 8;

/// Arrays submitted before the driver looks whether it is time for a poll, or whether it is to stop.
const HANDFUL: usize = 32;

impl Driver {
    /// Submits a handful of arrays; every call has returned when this does, so that nothing is submitted after a later
    /// decision. The calls are paced and, where AWS throttles, repeated by the port (see [`crate::aws::pacing`]).
    pub(super) async fn submit(&mut self) -> Result<(), DriveError> {
        // What an outage has held up may not be wanted any more: the machine has doubted it since.
        let wanted = |array: &u32| self.execution.array(*array).is_some_and(|array| array.state == ArrayState::Planned);
        let arrays: Vec<u32> = self.to_submit.iter().copied().filter(wanted).take(HANDFUL).collect();
        // The journal comes first, also before the lists: a driver that was overtaken must not touch its successor's.
        self.flush().await?;
        let lists = arrays.iter().map(|&array| self.write_members(array));
        let previous: Vec<Option<u32>> =
            futures::stream::iter(lists).buffer_unordered(SUBMITS_AT_ONCE).try_collect().await?;
        let previous: BTreeSet<u32> = previous.into_iter().flatten().collect();
        // Up to the last of them nothing is left that is wanted.
        self.to_submit = arrays.last().map_or_else(BTreeSet::new, |last| self.to_submit.split_off(&(last + 1)));
        self.issued.extend(&arrays);
        let answers = self.send(arrays, &previous).await;
        let (mut not_now, mut refusal) = (None, None);
        for (array, answer) in answers {
            match answer {
                Some(Ok(job)) => {
                    self.cadence.hurry();
                    self.issued.remove(&array);
                    self.own.taken(array, &job);
                    self.take_in(Event::Submitted { array, job })?;
                }
                Some(Err(DriveError::Batch(BatchError::Unknown { message, .. }))) => {
                    self.sweep.unanswered();
                    self.own.unanswered(array);
                    tracing::warn!(array, message, "no clear answer to SubmitJob: looking the array up by its name");
                    self.take_in(Event::SubmitUnknown { array })?;
                }
                // Refused means that nothing happened: the array does not exist, and no other would be taken either.
                Some(Err(error)) if !stops_the_rest(&error) => {
                    self.issued.remove(&array);
                    refusal.get_or_insert(error.to_string());
                }
                // Nothing has happened: it is asked for again, after whoever wants to stop this had a chance to say so.
                held_up => {
                    self.issued.remove(&array);
                    self.execution.ask_again(array);
                    not_now = held_up.and_then(Result::err).or(not_now);
                }
            }
        }
        if let Some(message) = refusal {
            self.withhold()?;
            self.take_in(Event::Refused { message })?;
        }
        not_now.map_or(Ok(()), Err)
    }

    /// Makes the calls. After an answer that the others would get too, those that have not begun are left out. Whoever was
    /// overtaken meanwhile, by however little, must not submit: so the journal is made sure of before each try of each call.
    async fn send(&self, arrays: Vec<u32>, previous: &BTreeSet<u32>) -> Vec<(u32, Option<Result<String, DriveError>>)> {
        let held_up = &AtomicBool::new(false);
        let calls = arrays.into_iter().filter_map(|array| {
            let state = self.execution.array(array)?;
            let packs = self.execution.packs();
            let request = self.template.request(array, state, &self.record, packs, previous.contains(&array));
            let (batch, journal) = (self.ports.batch.as_ref(), &self.journal);
            Some(async move {
                if held_up.load(Ordering::Relaxed) {
                    return (array, None);
                }
                let answer = Ours::new(journal).submit(batch, &request).await;
                if answer.as_ref().is_err_and(stops_the_rest) {
                    held_up.store(true, Ordering::Relaxed);
                }
                (array, Some(answer))
            })
        });
        futures::stream::iter(calls).buffered(SUBMITS_AT_ONCE).collect().await
    }

    /// Stores the list of a compacted array, which its children look themselves up in, or what children without a worker
    /// need in its place. Its number comes back where children have checkpoints to go on from.
    async fn write_members(&self, array: u32) -> Result<Option<u32>, DriveError> {
        let Some(state) = self.execution.array(array) else { return Ok(None) };
        let (store, root) = (self.ports.store.as_ref(), &self.template.root);
        if let Some(runner) = flyte::stock::runner(&self.record) {
            let task = stock::Task { store, root, record: &self.record, runner };
            return Ok(task.prepare(&self.execution, array).await?.then_some(array));
        }
        if let Members::List(indices) = &state.members {
            let entries = self.execution.packs().list_entries(indices);
            store.put(&root.array_indices(array), entries.into()).await?;
        }
        Ok(None)
    }

    /// Finds out by its name whether an array was submitted. One that is not there may be late: it is looked for again
    /// after the next poll, until the lag is over.
    pub(super) async fn look_up(&mut self, array: u32) -> Result<(), DriveError> {
        self.flush().await?;
        if array >= self.inherited && !self.issued.contains(&array) {
            return self.take_in(Event::Withheld { arrays: vec![array] });
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

/// The fence of a submission: the journal is still ours.
struct Ours<'a> {
    journal: &'a Journal,
    /// Why it is not, or why that cannot be told.
    because: Mutex<Option<JournalError>>,
}

impl<'a> Ours<'a> {
    fn new(journal: &'a Journal) -> Self {
        Ours { journal, because: Mutex::default() }
    }

    async fn submit(self, batch: &dyn Batch, request: &SubmitRequest) -> Result<String, DriveError> {
        let answer = batch.submit_fenced(request, &self).await;
        match self.because.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(because) => Err(because.into()),
            None => Ok(answer?),
        }
    }
}

#[async_trait]
impl Fence for Ours<'_> {
    async fn holds(&self) -> bool {
        let because = self.journal.make_sure().await.err();
        let holds = because.is_none();
        *self.because.lock().unwrap_or_else(PoisonError::into_inner) = because;
        holds
    }
}

/// Whether every other submission would be answered so now, and none of them is to be given up for it.
fn stops_the_rest(error: &DriveError) -> bool {
    match error {
        DriveError::Batch(error) => {
            matches!(error, BatchError::Throttled { .. } | BatchError::Unauthenticated { .. }) || error.is_denied()
        }
        DriveError::Journal(_) | DriveError::Store(_) | DriveError::Illegal(_) | DriveError::Left { .. } => true,
    }
}
