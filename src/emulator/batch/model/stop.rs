//! CancelJob ends what has not started; TerminateJob ends everything. CancelJobs and TerminateJobs do so for up to 50 jobs.

use super::api::{StopJob, StopJobs};
use super::effect::{Effect, Stop};
use super::finish::GRACE_MS;
use super::job::{AttemptKey, Job, Status};
use super::reply::{NotStopped, Stopped};
use super::texts::Text;
use super::{Deadline, Model, Refusal};

/// AWS's limit on CancelJobs and TerminateJobs.
const MAX_JOBS: usize = 50;

impl Model {
    /// CancelJob: an unknown or ended job is no error, and what the runner has goes on.
    pub(super) fn cancel(&mut self, request: &StopJob) -> Result<(), Refusal> {
        check_one(request)?;
        self.stop(&request.job_id, &request.reason, false);
        Ok(())
    }

    /// TerminateJob: an unknown or ended job is no error. When this returns, no child of it starts any more; those under way
    /// are sent SIGTERM, then SIGKILL, and are FAILED once they are gone.
    pub(super) fn terminate(&mut self, request: &StopJob, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        check_one(request)?;
        let signalled = self.stop(&request.job_id, &request.reason, true);
        self.signal(signalled, effects);
        Ok(())
    }

    /// CancelJobs or TerminateJobs: each job as if alone. One that is unknown or has ended counts as stopped.
    pub(super) fn stop_jobs(
        &mut self,
        request: &StopJobs,
        terminate: bool,
        effects: &mut Vec<Effect>,
    ) -> Result<Stopped, Refusal> {
        if request.jobs.is_empty() || request.jobs.len() > MAX_JOBS {
            return Err(Refusal(format!("jobs must hold 1 to {MAX_JOBS} job IDs, but holds {}", request.jobs.len())));
        }
        check_reason(&request.reason)?;
        let mut stopped = Stopped::default();
        let mut signalled = Vec::new();
        for id in &request.jobs {
            if is_job_id(id) {
                signalled.extend(self.stop(id, &request.reason, terminate));
                stopped.successful.push(id.clone());
            } else {
                let message = format!("'{id}' is not a job ID: letters, digits and hyphens, then :index for a child");
                stopped.errors.push(NotStopped { job: id.clone(), code: "ValidationException", message });
            }
        }
        self.signal(signalled, effects);
        Ok(stopped)
    }

    fn signal(&mut self, attempts: Vec<AttemptKey>, effects: &mut Vec<Effect>) {
        for attempt in &attempts {
            self.deadlines.insert((self.now + GRACE_MS, *attempt, Deadline::Kill));
        }
        if !attempts.is_empty() {
            effects.push(Effect::Signal(attempts, Stop::Term));
        }
    }

    /// Marks and fails what a request reaches; returns the attempts under way that must be signalled.
    fn stop(&mut self, id: &str, reason: &str, terminate: bool) -> Vec<AttemptKey> {
        let Some((key, child)) = self.find(id) else { return Vec::new() };
        let reason = self.texts.intern(reason);
        let Some(job) = self.jobs.get_mut(&key) else { return Vec::new() };
        if let Some(queue) = self.queues.get_mut(&job.queue) {
            queue.line.moved_at = self.now;
        }
        let reached = match child {
            Some(index) => index..index + 1,
            None => {
                mark_whole(job, reason, terminate);
                0..job.size()
            }
        };
        reached.filter_map(|index| self.stop_child(key, index, reason, terminate)).collect()
    }

    fn stop_child(&mut self, key: u32, index: u32, reason: Text, terminate: bool) -> Option<AttemptKey> {
        let record = self.jobs.get_mut(&key)?.child_mut(index)?;
        match record.status {
            Status::Succeeded | Status::Failed => None,
            Status::Starting | Status::Running => {
                if !terminate || record.terminated {
                    return None;
                }
                record.terminated = true;
                record.reason = reason;
                Some(AttemptKey { job: key, child: index, attempt: u32::from(record.attempt) })
            }
            Status::Submitted | Status::Pending | Status::Runnable => {
                record.terminated |= terminate;
                record.cancelled |= !terminate;
                record.reason = reason;
                self.settle(key, index, Status::Failed);
                None
            }
        }
    }
}

/// An array that is stopped as a whole starts no child again; a plain job is its one child, and marked like one.
fn mark_whole(job: &mut Job, reason: Text, terminate: bool) {
    if job.is_array && !job.status().is_terminal() {
        job.cancelled |= !terminate;
        job.terminated |= terminate;
        job.reason = reason;
    }
}

fn check_one(request: &StopJob) -> Result<(), Refusal> {
    if request.job_id.is_empty() {
        return Err(Refusal("jobId must not be empty".to_owned()));
    }
    check_reason(&request.reason)
}

fn check_reason(reason: &str) -> Result<(), Refusal> {
    match reason.chars().count() {
        0 => Err(Refusal("reason must not be empty".to_owned())),
        1..=1024 => Ok(()),
        length => Err(Refusal(format!("reason may have at most 1024 characters, but has {length}"))),
    }
}

/// Whether a text may be a job's id, known or not.
fn is_job_id(text: &str) -> bool {
    let (id, index) = text.split_once(':').unwrap_or((text, "0"));
    let word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    !id.is_empty() && id.len() <= 128 && id.chars().all(word) && index.parse::<u32>().is_ok()
}
