//! The driver's look at Batch: one DescribeJobs for every hundred arrays, and a closer look where it is worth it.

use tokio::time::Instant;

use super::{DriveError, Driver};
use crate::aws::batch::JobDetail;
use crate::map::execution::{Look, ended_unjudged};
use crate::map::inject;
use crate::run::settle::{Case, Judged, SettleError, Stock};
use crate::run::{cache, observe};

impl Driver {
    /// One poll: asks about every array that Batch holds and judges what has ended.
    pub(super) async fn poll(&mut self) -> Result<(), DriveError> {
        self.polled = Instant::now();
        let running: Vec<(u32, String)> =
            self.execution.running().map(|(number, _, job)| (number, job.to_owned())).collect();
        if running.is_empty() {
            return Ok(());
        }
        self.polls += 1;
        let jobs: Vec<String> = running.iter().map(|(_, job)| job.clone()).collect();
        let answers = observe::poll(self.ports.batch.as_ref(), &jobs).await?;
        let before = self.execution.counts();
        self.watch_waiting(&running, &answers).await;
        for (number, job) in running {
            self.insist(number);
            let detail = answers.get(&job);
            if detail.is_none() && self.may_lag(number) {
                continue;
            }
            let seen = detail.map(observe::seen).unwrap_or_default();
            let look = self.execution.observe(number, &seen);
            if look == Look::Away {
                self.behind.remove(&number);
            } else {
                self.look_closely(number, &job, detail, look).await?;
            }
        }
        self.cadence.polled(self.execution.counts() != before);
        self.cadence.took(self.polled.elapsed());
        Ok(())
    }

    /// Whether the next poll should not wait any longer for what is being done.
    pub(super) fn poll_is_due(&self) -> bool {
        self.polled.elapsed() >= self.cadence.interval()
    }

    async fn look_closely(
        &mut self,
        number: u32,
        job: &str,
        detail: Option<&JobDetail>,
        look: Look,
    ) -> Result<(), DriveError> {
        // Once the outcome is decided, no result changes it: that the array is over is all there is to know.
        if self.execution.decision().is_some() {
            if !self.is_over(number, job, detail).await? {
                return Ok(());
            }
            return self.take_in(ended_unjudged(number));
        }
        let Some(Judged { event, listed_failed }) = self.judge(number, job, detail, look).await? else {
            self.may_lag(number);
            return Ok(());
        };
        self.behind.remove(&number);
        // A look that has found nothing new is no news for the journal either.
        if event.settles_something() {
            // Before the journal knows: whoever takes over after a death in between judges, and keeps, once more.
            let (store, packs) = (self.ports.store.as_ref(), self.execution.packs());
            cache::keep(store, &self.template.root, &self.record, packs, &event).await;
            self.take_in(event)?;
        }
        self.execution.listed(number, listed_failed);
        Ok(())
    }

    /// Judges the children of an array that `look` asks for; nothing when the listing is behind, and while it may be.
    pub(super) async fn judge(
        &self,
        number: u32,
        job: &str,
        detail: Option<&JobDetail>,
        look: Look,
    ) -> Result<Option<Judged>, SettleError> {
        let Some(array) = self.execution.array(number) else { return Ok(None) };
        let patient = self.behind.get(&number).is_none_or(|since| since.elapsed() < self.patience.lag);
        let interface = self.record.interface.as_ref().and_then(|interface| interface.outputs.as_ref());
        let case = Case {
            root: &self.template.root,
            number,
            array,
            job,
            detail,
            outputs_due: interface.is_some_and(|outputs| !outputs.variables.is_empty()),
            retry_timeouts: self.record.policy.is_some_and(|policy| policy.retry_timeouts),
            stock: Stock::of(&self.record, self.execution.packs(), &array.members),
            task: inject::of_record(&self.record).is_some(),
            patient,
        };
        case.judge(&self.ports, look).await
    }

    /// Whether a job that Batch does not show, or not whole, may merely be too new.
    pub(super) fn may_lag(&mut self, number: u32) -> bool {
        let since = *self.behind.entry(number).or_insert_with(Instant::now);
        since.elapsed() < self.patience.lag
    }
}
