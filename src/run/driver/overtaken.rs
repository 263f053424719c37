//! The last duty of a driver that another one has overtaken: to end the jobs that only it knows of.
//!
//! No fence in S3 reaches SubmitJob. A driver may be paused between its look at the journal and its call, and wake when
//! its successor has swept, or has finished: what it then submits is looked for by nobody. It finds out at its next
//! record at the latest, and it alone knows what it has submitted.
//!
//! What is whose is told by the journal that won. A job that it has adopted stays. An array that is open there without a
//! job is the successor's: it looks for the array by its name, and sweeps before its end. Every other job of ours goes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::terminating::Stop;
use super::{Control, DriveError, Driver};
use crate::aws::batch::BatchError;
use crate::map::execution::Execution;
use crate::map::layout;
use crate::run::journal::JournalError;
use crate::run::launch::{self, LaunchError};

/// How long it may take beyond the lag of AWS's listings.
const GRACE: Duration = Duration::from_secs(60);

/// The first pause between two rounds; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause between two rounds.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What such a job is told.
const REASON: &str = "its driver had been overtaken when it submitted this";

/// Submissions of this driver that the journal does not show yet.
#[derive(Debug, Default)]
pub(super) struct Own {
    /// Job ids with their arrays, since when they are known.
    jobs: BTreeMap<String, (u32, Instant)>,
    /// Arrays of which it is not known whether Batch has taken them, since when.
    unclear: BTreeMap<u32, Instant>,
    /// Jobs that could not be ended, and AWS's words.
    refused: BTreeMap<String, String>,
    /// Jobs that Batch has been told to end: listings show them for some time.
    told: BTreeSet<String>,
}

impl Own {
    /// Batch has taken an array.
    pub(super) fn taken(&mut self, array: u32, job: &str) {
        self.jobs.insert(job.to_owned(), (array, Instant::now()));
    }

    /// A submission got no clear answer.
    pub(super) fn unanswered(&mut self, array: u32) {
        self.unclear.insert(array, Instant::now());
    }

    /// Everything that `execution` has taken in is in the journal: of the rest any other driver knows as much.
    pub(super) fn written(&mut self, execution: &Execution) {
        self.jobs.clear();
        self.unclear.retain(|array, _| execution.array(*array).is_some_and(|state| state.is_in_doubt()));
    }

    fn is_done(&self) -> bool {
        self.jobs.is_empty() && self.unclear.is_empty()
    }
}

/// Whose a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// The winner has adopted it, or is about to find out about its array.
    Winners,
    Nobodys,
}

impl Driver {
    /// Ends what only this driver knows of, in bounded time, and answers with the error to stop with: `overtaken` itself or,
    /// where something is left, what that is. Whoever detaches it does not want to wait.
    pub(super) async fn end_own(
        &mut self,
        overtaken: JournalError,
        control: &mut mpsc::Receiver<Control>,
    ) -> DriveError {
        let (removed, limit) = (matches!(overtaken, JournalError::Removed { .. }), self.patience.lag + GRACE);
        tokio::select! {
            biased;
            () = detached(control), if !self.own.is_done() => {}
            _ = tokio::time::timeout(limit, self.end_rounds(removed)) => {}
        }
        let own = std::mem::take(&mut self.own);
        let unclear = own
            .unclear
            .keys()
            .map(|array| format!("{} (perhaps; no answer came)", layout::job_name(self.template.root.id(), *array)));
        let refused = own.refused.iter().map(|(job, words)| format!("{job} ({words})"));
        let untold = own.jobs.keys().map(|job| format!("{job} (AWS did not answer in time)"));
        let jobs: Vec<String> = refused.chain(untold).chain(unclear).collect();
        if jobs.is_empty() { overtaken.into() } else { DriveError::Left { jobs, overtaken: Box::new(overtaken) } }
    }

    async fn end_rounds(&mut self, removed: bool) {
        let mut pause = FIRST_PAUSE;
        while !self.own.is_done() {
            if let Err(error) = self.end_round(removed).await {
                tracing::warn!(%error, "overtaken, and jobs of its own may be left: trying again");
            }
            if !self.own.is_done() {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }

    /// One round: looks for what is unclear, reads the journal that won, and ends what is nobody's. What fails for one holds
    /// up no other.
    async fn end_round(&mut self, removed: bool) -> Result<(), DriveError> {
        let (asked, lag) = (Instant::now(), self.patience.lag);
        let searched = self.search_unclear().await;
        // After the listings: what they show and the successor had adopted by then is seen to be adopted.
        let winner = if removed { None } else { self.winner().await? };
        let whose = |array: u32, job: Option<&str>| {
            let state = winner.as_ref().and_then(|winner| winner.arrays().get(array));
            match state.map(|state| (state.job_id(), state.open().is_some())) {
                Some((None, true)) => Whose::Winners,
                Some((Some(adopted), _)) if Some(adopted.as_ref()) == job => Whose::Winners,
                _ => Whose::Nobodys,
            }
        };
        let mut ended = Ok(());
        for (job, (array, since)) in self.own.jobs.clone() {
            let done = match whose(array, Some(&job)) {
                Whose::Winners => Ok(true),
                Whose::Nobodys => self.end_nobodys(&job, since).await,
            };
            match done {
                Ok(true) => drop(self.own.jobs.remove(&job)),
                Ok(false) => {}
                Err(error) => ended = Err(error),
            }
        }
        searched?;
        // Listings of before the lag was over have not shown everything.
        let late = |since: &Instant| asked.duration_since(*since) < lag;
        self.own.unclear.retain(|array, since| whose(*array, None) == Whose::Nobodys && late(since));
        ended
    }

    /// Has Batch end a job that nobody else knows; whether that is done with.
    async fn end_nobodys(&mut self, job: &str, since: Instant) -> Result<bool, DriveError> {
        match self.end_job(job, REASON).await {
            // It may be too new to be known everywhere.
            Ok(Stop::Missing) if since.elapsed() < self.patience.lag => return Ok(false),
            Ok(stop) => {
                tracing::warn!(job, ?stop, "overtaken: a job that only this driver knew of was ended");
                self.own.told.insert(job.to_owned());
            }
            Err(DriveError::Batch(error @ BatchError::Refused { .. })) => {
                self.own.refused.insert(job.to_owned(), error.to_string());
            }
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    /// Takes in the jobs of this driver's that no answer has told of.
    async fn search_unclear(&mut self) -> Result<(), DriveError> {
        let arrays: Vec<u32> = self.own.unclear.keys().copied().collect();
        for array in arrays {
            for job in self.jobs_named(array).await? {
                if !self.own.told.contains(&job) && !self.own.refused.contains_key(&job) {
                    self.own.jobs.entry(job).or_insert((array, Instant::now()));
                }
            }
        }
        Ok(())
    }

    /// The execution as the journal that won has it; nothing when it was removed.
    async fn winner(&self) -> Result<Option<Execution>, DriveError> {
        match launch::read(&self.ports.store, &self.template.root).await {
            Ok(known) => Ok(Some(known.execution)),
            Err(LaunchError::Unknown { .. }) => Ok(None),
            Err(LaunchError::Journal(error)) => Err(error.into()),
            Err(LaunchError::Store(error)) => Err(error.into()),
            Err(LaunchError::Illegal(error)) => Err(error.into()),
            Err(error @ (LaunchError::Unreadable { .. } | LaunchError::NeverBegun { .. })) => {
                let (key, problem) = (self.template.root.task(), error.to_string());
                Err(JournalError::Unreadable { key, problem }.into())
            }
        }
    }

    /// The jobs under an array's name that have not ended.
    async fn jobs_named(&self, array: u32) -> Result<Vec<String>, DriveError> {
        let Some(state) = self.execution.arrays().get(array) else { return Ok(Vec::new()) };
        let (queue, name) = (self.template.queue(state.queue()), layout::job_name(self.template.root.id(), array));
        let (mut jobs, mut token) = (Vec::new(), None);
        loop {
            let page = self.ports.batch.list_named(queue, &name, token.as_deref()).await?;
            jobs.extend(page.jobs.into_iter().filter(|job| !job.status.is_terminal()).map(|job| job.id));
            token = page.next;
            if token.is_none() {
                return Ok(jobs);
            }
        }
    }
}

/// Comes back when somebody does not want to wait any longer.
async fn detached(control: &mut mpsc::Receiver<Control>) {
    loop {
        match control.recv().await {
            Some(Control::Detach) => return,
            Some(Control::Abort { .. }) => {}
            None => std::future::pending().await,
        }
    }
}
