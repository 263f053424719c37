//! The last look before an execution is given up.
//!
//! While an array goes on, its ends are listed only when they may decide something. So a deadline, an abort or the failure
//! that is one too many may find children that have long ended well and that nobody has listed: their work is paid for,
//! and their outputs are there. They are looked at once more before the decision is taken in, and count.
//!
//! The look comes before TerminateJob, also at an abort. After it, every child that was running is listed as FAILED with
//! those that had ended, and what ends by itself meanwhile cannot be told from what was ended; and nothing is terminated
//! before the journal says why. What it costs is a moment of the children's running, so the moment is bounded: what it
//! does not find in time is left out of the list. `recover` still takes it.

use std::cmp::Reverse;
use std::time::Duration;

use super::{DriveError, Driver};
use crate::map::event::{Decision, Event};
use crate::map::execution::Look;
use crate::run::settle::Judged;
use crate::run::{cache, observe};

/// How long the look may take: about as long as the pause between two polls.
const LOOK: Duration = Duration::from_secs(20);

/// The same at an abort: somebody waits for the children to stop.
const LOOK_AT_ABORT: Duration = Duration::from_secs(5);

/// Arrays that are looked at: ten DescribeJobs. For each of them come, in pages of a thousand, listings of the children
/// that have ended and of what they left: some 40 calls where 10,000 have.
const ARRAYS: usize = 1000;

impl Driver {
    /// Whether ended children are to be looked at before this decision is taken in.
    pub(super) fn looks_again(&self, decision: &Decision) -> bool {
        !self.looked && *decision != Decision::Succeeded && self.execution.running().next().is_some()
    }

    /// Looks once at what has ended. Whatever it finds is taken in like the finds of any poll; that it finds nothing, or is
    /// not allowed to look, changes nothing.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub(super) async fn last_look(&mut self, decision: &Decision) -> Result<(), DriveError> {
        // Why it ends must not be lost if this driver dies meanwhile.
        self.flush().await?;
        self.looked = true;
        let time = if matches!(decision, Decision::Aborted { .. }) { LOOK_AT_ABORT } else { LOOK };
        match tokio::time::timeout(time, self.look_at_ends()).await {
            Err(_) => tracing::debug!(?time, "the last look has taken too long: the rest stays out of the list"),
            Ok(Err(error @ DriveError::Illegal(_))) => return Err(error),
            Ok(Err(error)) => tracing::debug!(%error, "the last look came to nothing"),
            Ok(Ok(())) => {}
        }
        Ok(())
    }

    /// Judges what has ended, those arrays first of which most has. May be given up at any moment: what was taken in stays.
    async fn look_at_ends(&mut self) -> Result<(), DriveError> {
        let running: Vec<(u32, String)> =
            self.execution.running().map(|(number, _, job)| (number, job.to_owned())).take(ARRAYS).collect();
        let jobs: Vec<String> = running.iter().map(|(_, job)| job.clone()).collect();
        let answers = observe::poll(self.ports.batch.as_ref(), &jobs).await?;
        let mut looks = Vec::new();
        for (number, job) in running {
            let detail = answers.get(&job);
            let look = self.execution.observe(number, &detail.map(observe::seen).unwrap_or_default());
            let Some(array) = self.execution.array(number) else { continue };
            let look = match look {
                Look::AtAll => look,
                // A plain job that goes on has no children to list.
                _ if array.members.len() == 1 => continue,
                _ => Look::AtEnds,
            };
            looks.push((Reverse(array.unjudged_ends()), number, job, look));
        }
        looks.sort_unstable_by_key(|(ends, number, ..)| (*ends, *number));
        for (_, number, job, look) in looks {
            let detail = answers.get(&job);
            let mut judged = self.judge(number, &job, detail, look).await?;
            if judged.is_none() && look == Look::AtAll {
                // Not everything is listed yet: what is has ended all the same.
                judged = self.judge(number, &job, detail, Look::AtEnds).await?;
            }
            let Some(judged) = judged else { continue };
            self.take_in_ends(number, judged, detail.is_some()).await?;
        }
        Ok(())
    }

    async fn take_in_ends(&mut self, number: u32, judged: Judged, is_known: bool) -> Result<(), DriveError> {
        let Judged { mut event, listed_failed } = judged;
        // Of a job that Batch does not show, perhaps because it is too new, outputs are all that is believed.
        if let Event::Settled { failures, ended, .. } = &mut event
            && !is_known
        {
            failures.clear();
            *ended = false;
        }
        if !event.settles_something() {
            return Ok(());
        }
        // Taken in first: there may be no time left for the cache, and a success is not to be lost over that.
        self.take_in(event.clone())?;
        self.execution.listed(number, listed_failed);
        let (store, packs) = (self.ports.store.as_ref(), self.execution.packs());
        cache::keep(store, &self.template.root, &self.record, packs, &event).await;
        Ok(())
    }
}
