//! Whether the journal is still ours: asked before a driver acts on something it wrote a while ago.
//!
//! A record that is created proves at that moment that nobody else has gone on. A driver that is paused afterwards
//! (stopped, swapped out, on a laptop that sleeps) may wake up overtaken, with its next SubmitJob ready to be sent. So
//! before each one it makes sure that its last sign from the journal is fresh. Between that look and the call there is
//! still a moment, and no fence in S3 can close it: what slips through is found by the sweep for unadopted arrays.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{Journal, JournalError, read};

/// How old the last sign from the journal may be. Whoever takes over reads the whole journal first and then waits for
/// AWS's listings (a minute), so seconds are safe; and an ordinary round of submissions follows its record at once and
/// costs no look.
const FRESH: Duration = Duration::from_secs(5);

/// The same by the wall clock, which goes on while a machine sleeps; the other one stands still then. Longer, because
/// clocks are set now and then; a look too many costs one request.
const FRESH_WALL_MS: u64 = 30_000;

/// When the journal was last known to be ours.
#[derive(Debug)]
pub(super) struct Sign(Mutex<(Instant, u64)>);

impl Sign {
    /// It is ours at `at`.
    pub(super) fn of(at: (Instant, u64)) -> Self {
        Sign(Mutex::new(at))
    }

    pub(super) fn renew(&self, at: (Instant, u64)) {
        // Two plain numbers: whatever a panic has left there is a time.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    pub(super) fn is_fresh(&self, now_ms: u64) -> bool {
        let (at, wall_ms) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        is_fresh(at.elapsed(), now_ms.abs_diff(wall_ms))
    }
}

/// Whether a sign of this age by the runtime's clock and this one by the wall's, in milliseconds, will do.
fn is_fresh(age: Duration, wall_ms: u64) -> bool {
    age <= FRESH && wall_ms <= FRESH_WALL_MS
}

impl Journal {
    /// Makes sure that the record before `sequence`, which was just written, is still there: where a whole journal was
    /// removed, any record can be created again, and says nothing. Ours is taken back then.
    ///
    /// # Errors
    /// [`JournalError::Removed`] when it is gone; otherwise when S3 fails.
    pub(super) async fn not_removed(&self, sequence: u64) -> Result<(), JournalError> {
        let Some(before) = sequence.checked_sub(1).filter(|before| *before > 0) else { return Ok(()) };
        let (wanted, written) = (self.root.journal_record(before), self.root.journal_record(sequence));
        let page = self.store.list(&wanted, None).await?;
        if page.objects.iter().any(|object| object.key == wanted) {
            return Ok(());
        }
        self.store.delete_many(&[written]).await?;
        Err(JournalError::Removed { sequence: before })
    }

    /// Makes sure that nobody else has gone on from here; asks S3 only when the last sign is some seconds old. To be
    /// called when everything is written, before each call that must not be made by who was overtaken.
    ///
    /// # Errors
    /// [`JournalError::Overtaken`] when another driver has written the next record; otherwise when S3 fails.
    pub async fn make_sure(&self) -> Result<(), JournalError> {
        if self.sign.is_fresh(self.clock.now_ms()) { Ok(()) } else { self.look().await }
    }

    /// The same, asking S3 however fresh the last sign is. Who has seen something in Batch and then finds nothing here
    /// knows that no later driver has made it: that one would have written first.
    ///
    /// # Errors
    /// As [`Journal::make_sure`].
    pub async fn look(&self) -> Result<(), JournalError> {
        let asked = (Instant::now(), self.clock.now_ms());
        // Our own last record comes first: one that is gone was removed with the rest of the execution.
        let (own, before) = (self.root.journal_record(self.len()), self.len().saturating_sub(1));
        let after = (before > 0).then(|| self.root.journal_record(before));
        let page = self.store.list(&self.root.journal(), after.as_deref()).await?;
        let mut objects = page.objects.iter();
        if !self.is_empty() && objects.next().is_none_or(|first| first.key != own) {
            return Err(JournalError::Removed { sequence: self.len() });
        }
        let Some(next) = objects.next() else {
            self.sign.renew(asked);
            return Ok(());
        };
        let (there, _) = read(&self.store, &next.key).await?;
        Err(JournalError::Overtaken { sequence: there.sequence, writer: there.writer })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_noticed_and_so_is_a_machine_that_slept() {
        assert!(is_fresh(Duration::from_millis(300), 300));
        assert!(!is_fresh(Duration::from_secs(6), 6_000));
        // Its clock stood still meanwhile.
        assert!(!is_fresh(Duration::from_millis(300), 3_600_000));
    }
}
