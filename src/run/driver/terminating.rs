//! The driver's end of arrays that nobody needs any more.

use super::{DriveError, Driver};
use crate::aws::batch::BatchError;
use crate::map::event::Decision;
use crate::run::observe;
use crate::run::settle::OUR_REASON;

/// The longest reason that TerminateJob takes is 1024 characters.
const MAX_REASON: usize = 1000;

/// What a request to end a job has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Batch has taken it, or the job is over already.
    Taken,
    /// Batch knows no such job: it has forgotten it, or has not heard of it everywhere yet.
    Missing,
}

impl Driver {
    pub(super) async fn terminate(&mut self, array: u32, job: &str) -> Result<(), DriveError> {
        self.flush().await?;
        let reason = match self.execution.decision() {
            Some(Decision::Succeeded) => "enough subtasks have succeeded".to_owned(),
            Some(Decision::Failed { reason } | Decision::Aborted { reason } | Decision::Refused { reason }) => {
                reason.clone()
            }
            None => "not needed any more".to_owned(),
        };
        let stop = self.end_job(job, &reason).await?;
        tracing::debug!(array, job, ?stop, "terminated");
        if stop == Stop::Taken {
            self.told.insert(array);
        }
        // One that is too new to be known everywhere would start when nobody looks any more.
        if stop == Stop::Missing && self.may_lag(array) {
            self.not_found.push(array);
        }
        self.cadence.hurry();
        Ok(())
    }

    /// Has Batch end a job. A refusal of what is over is none: there is nothing left to end.
    ///
    /// # Errors
    /// A refusal of a job that goes on, in AWS's words with the missing action; or when AWS does not answer.
    pub(super) async fn end_job(&self, job: &str, reason: &str) -> Result<Stop, DriveError> {
        let reason: String = format!("{OUR_REASON}{reason}").chars().take(MAX_REASON).collect();
        let batch = self.ports.batch.as_ref();
        let Err(error) = batch.terminate(job, &reason).await else { return Ok(Stop::Taken) };
        if !matches!(error, BatchError::Refused { .. }) {
            return Err(error.into());
        }
        match observe::poll(batch, &[job.to_owned()]).await?.get(job) {
            None => Ok(Stop::Missing),
            Some(detail) if detail.status.is_terminal() => Ok(Stop::Taken),
            Some(_) => Err(error.into()),
        }
    }
}
