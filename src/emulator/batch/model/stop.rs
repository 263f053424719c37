//! CancelJob ends what has not started; TerminateJob ends everything.

use super::api::StopJob;
use super::effect::{Effect, Stop};
use super::finish::GRACE_MS;
use super::job::{AttemptKey, Status};
use super::{Deadline, Model, Refusal};

impl Model {
    /// CancelJob: an unknown or ended job is no error, and what the runner has goes on.
    pub(super) fn cancel(&mut self, request: &StopJob) -> Result<(), Refusal> {
        self.stop(request, false).map(drop)
    }

    /// TerminateJob: an unknown or ended job is no error. When this returns, no child of it starts any more; those under way
    /// are sent SIGTERM, then SIGKILL, and are FAILED once they are gone.
    pub(super) fn terminate(&mut self, request: &StopJob, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        let signalled = self.stop(request, true)?;
        for attempt in &signalled {
            self.deadlines.insert((self.now + GRACE_MS, *attempt, Deadline::Kill));
        }
        if !signalled.is_empty() {
            effects.push(Effect::Signal(signalled, Stop::Term));
        }
        Ok(())
    }

    /// Marks and fails what a request reaches; returns the attempts under way that must be signalled.
    fn stop(&mut self, request: &StopJob, terminate: bool) -> Result<Vec<AttemptKey>, Refusal> {
        check(request)?;
        let Some((key, child)) = self.find(&request.job_id) else { return Ok(Vec::new()) };
        let now = self.now;
        let reason = self.texts.intern(&request.reason);
        let Some(job) = self.jobs.get_mut(&key) else { return Ok(Vec::new()) };
        let reached = match child {
            Some(index) => index..index + 1,
            None => {
                if !job.status().is_terminal() {
                    job.cancelled |= !terminate;
                    job.terminated |= terminate;
                    job.reason = reason;
                }
                0..job.size()
            }
        };
        let mut signalled = Vec::new();
        for index in reached {
            let record = &mut job.children[index as usize];
            match record.status {
                Status::Succeeded | Status::Failed => {}
                Status::Starting | Status::Running => {
                    if terminate && !record.terminated {
                        record.terminated = true;
                        record.reason = reason;
                        signalled.push(AttemptKey { job: key, child: index, attempt: u32::from(record.attempt) });
                    }
                }
                Status::Submitted | Status::Pending | Status::Runnable => {
                    record.terminated |= terminate;
                    record.cancelled |= !terminate;
                    record.reason = reason;
                    if record.attempt == 0 {
                        record.last.stopped_at = now;
                    }
                    job.set_status(index, Status::Failed, now);
                }
            }
        }
        Ok(signalled)
    }
}

fn check(request: &StopJob) -> Result<(), Refusal> {
    if request.job_id.is_empty() {
        return Err(Refusal("jobId must not be empty".to_owned()));
    }
    match request.reason.chars().count() {
        0 => Err(Refusal("reason must not be empty".to_owned())),
        1..=1024 => Ok(()),
        length => Err(Refusal(format!("reason may have at most 1024 characters, but has {length}"))),
    }
}
