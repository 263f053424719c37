//! What a driver leaves to the next one: how sure it is of what Batch holds.
//!
//! An array that is planned and whose outcome no record tells is in doubt for whoever takes over: it is looked for by its
//! name, as long as AWS's listings lag. A driver that stops in order knows better: what it has never asked for, or was
//! refused, is not there. It writes that down.

use std::time::Duration;

use super::{DriveError, Driver, Ended};
use crate::map::event::Event;
use crate::map::execution::ArrayState;
use crate::run::journal::JournalError;

/// How long the last record may take: S3 may be the reason for stopping.
const LAST_RECORD: Duration = Duration::from_secs(10);

impl Driver {
    /// Writes down what this driver knows for sure, if it stops before the end and its journal is still its own. Answers
    /// with how it has ended: one that was not asked to stop and was overtaken says so.
    pub(super) async fn leave(&mut self, ended: Result<Ended, DriveError>) -> Result<Ended, DriveError> {
        if !matches!(ended, Ok(Ended::Detached) | Err(DriveError::Batch(_) | DriveError::Store(_))) {
            return ended;
        }
        let written = async {
            self.withhold()?;
            self.flush().await
        };
        match tokio::time::timeout(LAST_RECORD, written).await {
            Ok(Ok(())) => ended,
            Ok(Err(error @ DriveError::Journal(JournalError::Overtaken { .. } | JournalError::Removed { .. }))) => {
                Err(error)
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "the last record is not written: the next driver looks for what may be there");
                ended
            }
            Err(_) => ended,
        }
    }

    /// Takes in which of the planned arrays are known not to be with Batch.
    pub(super) fn withhold(&mut self) -> Result<(), DriveError> {
        let never_sent = |array: &u32| !self.issued.contains(array);
        let planned =
            self.execution.open().filter(|(_, state)| state.state == ArrayState::Planned && !state.is_in_doubt());
        let arrays: Vec<u32> = planned.map(|(array, _)| array).filter(never_sent).collect();
        if arrays.is_empty() { Ok(()) } else { self.take_in(Event::Withheld { arrays }) }
    }

    /// Whether Batch holds anything of the execution, or may hold it.
    pub fn may_hold(&self) -> bool {
        let withheld = |state: &ArrayState| *state == ArrayState::Withheld;
        self.execution.open().any(|(_, array)| !withheld(&array.state))
    }

    /// What AWS is being asked again and again meanwhile, in words; nothing when nothing waits for it.
    pub(super) fn looking(&self) -> Option<String> {
        let lag = self.patience.lag.as_secs();
        let doubtful = |array: &u32| self.execution.array(*array).is_some_and(|state| state.is_in_doubt());
        let sought: Vec<u32> = self.behind.keys().copied().filter(doubtful).collect();
        match sought.as_slice() {
            [] => self
                .sweep
                .is_late()
                .then(|| format!("all has ended; waiting up to {lag} s for submissions that AWS may show late")),
            [array] => Some(format!("looking for array {array} by its name, up to {lag} s")),
            arrays => Some(format!("looking for {} arrays by their names, up to {lag} s", arrays.len())),
        }
    }
}
