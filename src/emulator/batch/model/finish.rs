//! How attempts go: started, ended, timed out, lost; and what becomes of their job.

use super::effect::{ContainerEnd, Effect, End, Stop};
use super::job::{AttemptKey, Part, Status};
use super::retry::{self, Ending};
use super::{Deadline, Model};

/// How long after SIGTERM the SIGKILL comes, as on AWS.
pub(super) const GRACE_MS: u64 = 30_000;

const EXITED: &str = "Essential container in task exited";
const START_FAILED: &str = "Task failed to start";
const TIMED_OUT: &str = "Job attempt duration exceeded timeout";
/// Every instance here is this one: the machine itself.
const HOST_LOST: &str = "Host EC2 (instance i-0000000000000000) terminated.";

/// What a report that names no container of the task tells of it.
const NEVER_RAN: ContainerEnd = ContainerEnd { ran: false, exit_code: None, reason: None };

impl Model {
    /// Whether `attempt` is the one under way of its child.
    pub(super) fn is_live(&self, attempt: AttemptKey) -> bool {
        self.jobs
            .get(&attempt.job)
            .and_then(|job| job.child(attempt.child))
            .is_some_and(|child| u32::from(child.attempt) == attempt.attempt && child.status.is_live())
    }

    /// The runner has the attempt's command running.
    pub(super) fn started(&mut self, attempt: AttemptKey) {
        let now = self.now;
        if !self.is_live(attempt) {
            return;
        }
        let Some(job) = self.jobs.get_mut(&attempt.job) else { return };
        let record = &mut job.children[attempt.child as usize];
        if record.status != Status::Starting {
            return;
        }
        record.last.started_at = now;
        if job.started_at == 0 {
            job.started_at = now;
        }
        if let Some(timeout) = job.timeout_ms {
            self.deadlines.insert((now.saturating_add(timeout), attempt, Deadline::Timeout));
        }
        job.set_status(attempt.child, Status::Running, now);
        self.drills.moved(attempt.job);
    }

    /// The attempt is over: its child succeeds, fails or waits to start again.
    pub(super) fn ended(&mut self, attempt: AttemptKey, end: &End) {
        if !self.is_live(attempt) {
            return;
        }
        self.give_room_back(attempt.job, attempt.child);
        let now = self.now;
        let Some(job) = self.jobs.get_mut(&attempt.job) else { return };
        let record = &mut job.children[attempt.child as usize];
        if let Some(timeout) = job.timeout_ms {
            let due = record.last.started_at.saturating_add(timeout);
            self.deadlines.remove(&(due, attempt, Deadline::Timeout));
        }
        let (status_reason, exit_code, reason) = match end {
            End::Exited { exit_code, reason } => (EXITED, Some(*exit_code), reason.as_deref()),
            End::StartFailed { reason } => (START_FAILED, None, Some(reason.as_str())),
            End::Task { by, containers } => {
                let decisive = containers.get(*by).unwrap_or(&NEVER_RAN);
                let status_reason = if decisive.ran { EXITED } else { START_FAILED };
                (status_reason, decisive.exit_code, decisive.reason.as_deref())
            }
            End::HostLost => (HOST_LOST, None, None),
            End::Lost { status_reason } => (status_reason.as_str(), None, None),
        };
        let reason = reason.unwrap_or_default();
        let status_reason = if record.timed_out { TIMED_OUT } else { status_reason };
        record.last.stopped_at = now;
        record.last.exit_code = exit_code;
        record.last.reason = self.texts.intern(reason);
        record.last.status_reason = self.texts.intern(status_reason);
        if let End::Task { containers, .. } = end {
            let parts = containers.iter().map(|part| Part {
                ran: part.ran,
                exit_code: part.exit_code,
                reason: self.texts.intern(part.reason.as_deref().unwrap_or_default()),
            });
            let parts = parts.collect();
            job.parts.entry(attempt.child).or_default().insert(attempt.attempt, parts);
        }

        let stopped = record.terminated || record.timed_out || job.cancelled || job.terminated;
        let ending = Ending { status_reason, reason, exit_code };
        let status = if !record.terminated && !record.timed_out && exit_code == Some(0) {
            Status::Succeeded
        } else if !stopped && retry::again(&job.retry, attempt.attempt, &ending) {
            Status::Runnable
        } else {
            Status::Failed
        };
        if status == Status::Runnable {
            job.set_status(attempt.child, status, now);
            self.drills.moved(attempt.job);
            self.line_up_again(attempt.job, attempt.child);
            return;
        }
        if !record.terminated {
            record.reason = record.last.status_reason;
        }
        self.settle(attempt.job, attempt.child, status);
    }

    /// Every attempt under way ends with its host, in order of job and index.
    pub(super) fn host_lost(&mut self) {
        let mut lost = Vec::new();
        for (key, job) in &self.jobs {
            if job.count(Status::Starting) + job.count(Status::Running) == 0 {
                continue;
            }
            for (child, record) in (0..).zip(&job.children) {
                if record.status.is_live() {
                    lost.push(AttemptKey { job: *key, child, attempt: u32::from(record.attempt) });
                }
            }
        }
        for attempt in lost {
            self.ended(attempt, &End::HostLost);
        }
    }

    /// Carries out what is due.
    pub(super) fn tick(&mut self, effects: &mut Vec<Effect>) {
        self.forget();
        self.enforce_limits();
        let (mut term, mut kill) = (Vec::new(), Vec::new());
        while let Some((at, attempt, deadline)) = self.deadlines.first().copied() {
            if at > self.now {
                break;
            }
            self.deadlines.pop_first();
            if !self.is_live(attempt) {
                continue;
            }
            match deadline {
                Deadline::Kill => kill.push(attempt),
                Deadline::Timeout => {
                    let job = self.jobs.get_mut(&attempt.job);
                    let Some(record) = job.and_then(|job| job.children.get_mut(attempt.child as usize)) else {
                        continue;
                    };
                    // A terminated one has had its SIGTERM, and its SIGKILL is under way.
                    if !record.terminated {
                        record.timed_out = true;
                        self.deadlines.insert((self.now + GRACE_MS, attempt, Deadline::Kill));
                        term.push(attempt);
                    }
                }
            }
        }
        for (attempts, stop) in [(term, Stop::Term), (kill, Stop::Kill)] {
            if !attempts.is_empty() {
                effects.push(Effect::Signal(attempts, stop));
            }
        }
    }
}
