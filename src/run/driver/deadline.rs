//! The deadline of the whole execution, counted from its first record.
//!
//! While a driver lives its time is the runtime's, which does not jump: a wall clock that is set forward ends nothing. What
//! went by before it is told by the journal, which has the drivers' wall clocks: nothing else goes on when nobody drives.
//! So a machine that sleeps holds the deadline up until the next driver takes over.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::{DriveError, Driver};
use crate::map::event::Event;

/// When an execution must be over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    /// How long it may take.
    allowed: Duration,
    /// When its first record was written, in milliseconds since 1970.
    first_ms: u64,
    /// When it is up, by the runtime's clock.
    at: Instant,
}

impl Deadline {
    /// The deadline, `allowed` after `first_ms`, of an execution that is taken up at `now_ms`.
    fn new(allowed: Duration, first_ms: u64, now_ms: u64) -> Option<Self> {
        let gone = Duration::from_millis(now_ms.saturating_sub(first_ms));
        // Further away than the clock reaches is never.
        let at = Instant::now().checked_add(allowed.saturating_sub(gone))?;
        Some(Deadline { allowed, first_ms, at })
    }

    fn has_passed(&self) -> bool {
        Instant::now() >= self.at
    }

    fn words(&self) -> String {
        let began = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(self.first_ms));
        let began = began.map_or_else(String::new, |at| format!(" after it began at {}", rfc3339(at)));
        format!("its deadline has passed: policy.deadline is {}{began}", humantime::format_duration(self.allowed))
    }
}

fn rfc3339(at: SystemTime) -> humantime::Rfc3339Timestamp {
    humantime::format_rfc3339_seconds(at)
}

impl Driver {
    /// The same driver, for an execution whose first record was written at `first_ms` and which is taken up at `now_ms`,
    /// in milliseconds since 1970: with the deadline that its policy sets.
    pub fn begun_at(mut self, first_ms: u64, now_ms: u64) -> Self {
        let allowed = self.record.policy.as_ref().map_or(0, |policy| policy.deadline_ms);
        self.deadline =
            (allowed > 0).then(|| Deadline::new(Duration::from_millis(allowed), first_ms, now_ms)).flatten();
        self
    }

    /// Takes in that the deadline has passed, if it has and anything is still open to decide.
    pub(super) fn expire(&mut self) -> Result<(), DriveError> {
        match &self.deadline {
            Some(deadline) if self.execution.decision().is_none() && deadline.has_passed() => {
                let reason = deadline.words();
                // Once is enough, whatever keeps the decision from being written.
                self.deadline = None;
                self.take_in(Event::Expired { reason })
            }
            _ => Ok(()),
        }
    }

    /// When to wake for the deadline; far away when there is none, or nothing left to decide.
    pub(super) fn expires_at(&self) -> Instant {
        const FAR: Duration = Duration::from_secs(86_400 * 365);
        match &self.deadline {
            Some(deadline) if self.execution.decision().is_none() => deadline.at,
            _ => Instant::now() + FAR,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test(start_paused = true)]
    async fn what_has_gone_by_before_counts() {
        let now = 1_700_000_000_000;
        let half_gone = Deadline::new(HOUR, now - 1_800_000, now).unwrap();
        assert_eq!(half_gone.at - Instant::now(), HOUR / 2);
        assert!(!half_gone.has_passed());
        tokio::time::advance(HOUR / 2).await;
        assert!(half_gone.has_passed());
    }

    #[tokio::test(start_paused = true)]
    async fn it_may_have_passed_while_nobody_drove() {
        let now = 1_700_000_000_000;
        assert!(Deadline::new(HOUR, now - 7_200_000, now).unwrap().has_passed());
        // A clock that went back has let no time pass.
        assert!(!Deadline::new(HOUR, now + 7_200_000, now).unwrap().has_passed());
    }

    #[tokio::test(start_paused = true)]
    async fn it_says_which_deadline_it_was() {
        let deadline = Deadline::new(HOUR * 2, 1_700_000_000_000, 1_700_000_000_000).unwrap();
        assert_eq!(
            deadline.words(),
            "its deadline has passed: policy.deadline is 2h after it began at 2023-11-14T22:13:20Z"
        );
    }
}
