//! Queues that stand still: the reason is told on the job at their head, and their time limits cancel it.

use std::borrow::Cow;

use super::Model;
use super::job::Status;
use super::line::Blocked;
use super::places::{Queue, TimeLimit};
use super::texts::Texts;

/// A head that cannot start.
pub(super) struct Standstill {
    pub(super) job: u32,
    pub(super) child: u32,
    /// Absent when it only waits for others to end.
    pub(super) reason: Option<Cow<'static, str>>,
}

impl Model {
    /// Notes what the head of a queue waits for, and since when it has been there for that.
    pub(super) fn note_standstill(&mut self, queue: &str, standstill: Option<Standstill>) {
        let Some(queue) = self.queues.get_mut(queue) else { return };
        queue.line.blocked = standstill.and_then(|Standstill { job, child, reason }| {
            let reason = self.texts.intern(&reason?);
            let before = queue.line.blocked.filter(|it| (it.job, it.child, it.reason) == (job, child, reason));
            Some(before.unwrap_or(Blocked { job, child, reason, since: self.now }))
        });
    }

    /// Why a job is held up at the head of its queue: a child, or for a parent any of its children.
    pub(super) fn standstill(&self, key: u32, child: Option<u32>) -> Option<&str> {
        let queue = self.queues.get(&self.jobs.get(&key)?.queue)?;
        let blocked = queue.line.blocked.filter(|it| it.job == key && child.is_none_or(|child| it.child == child))?;
        self.texts.get(blocked.reason)
    }

    /// When the next job has been at the head of its queue for too long.
    pub(super) fn next_limit(&self) -> Option<u64> {
        self.queues.values().filter_map(|queue| Some(limit(queue, &self.texts)?.0)).min()
    }

    /// Cancels those that have been at the head of their queue for too long.
    pub(super) fn enforce_limits(&mut self) {
        let (now, mut overdue) = (self.now, Vec::new());
        for queue in self.queues.values_mut() {
            let Some((at, blocked, reason)) = limit(queue, &self.texts) else { continue };
            if at > now {
                continue;
            }
            let text = format!("Canceled by JobStateTimeLimit action due to reason: {}", reason.reason);
            queue.line.blocked = None;
            queue.line.moved_at = now;
            let Some(job) = self.jobs.get_mut(&blocked.job) else { continue };
            let record = &mut job.children[blocked.child as usize];
            if record.status != Status::Runnable {
                continue;
            }
            record.reason = self.texts.intern(&text);
            record.cancelled = true;
            overdue.push((blocked.job, blocked.child));
        }
        for (job, child) in overdue {
            self.settle(job, child, Status::Failed);
        }
    }
}

/// The first time limit that meets a queue's standstill, and when.
fn limit<'a>(queue: &'a Queue, texts: &Texts) -> Option<(u64, Blocked, &'a TimeLimit)> {
    let blocked = queue.line.blocked?;
    let reason = texts.get(blocked.reason)?;
    // A reason is a code, and a sentence after " - ".
    let code = reason.split(" - ").next().unwrap_or(reason);
    let meeting = queue.time_limits.iter().filter(|limit| limit.reason == code);
    let soonest = meeting.min_by_key(|limit| limit.seconds)?;
    Some((blocked.since.saturating_add(u64::from(soonest.seconds) * 1000), blocked, soonest))
}
