//! What a driver cannot get past.

use crate::aws::batch::BatchError;
use crate::aws::store::StoreError;
use crate::map::execution::IllegalEvent;
use crate::run::journal::JournalError;
use crate::run::settle::SettleError;

/// Why a driver could not go on. The execution is not over: another driver can take it up from the journal.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// AWS Batch.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// S3.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A damaged journal, or a bug.
    #[error(transparent)]
    Illegal(#[from] IllegalEvent),
    /// Another driver has taken over, and jobs that only this one knows of could not be ended.
    #[error(
        "{overtaken}; it has submitted these jobs, which nobody adopts, and could not end them: {}; end them with \
         `aws batch terminate-job`",
        .jobs.join(", ")
    )]
    Left {
        /// Job ids, or names where only these are known, each with the reason in brackets.
        jobs: Vec<String>,
        /// How it has found out.
        overtaken: Box<JournalError>,
    },
}

impl DriveError {
    /// Whether waiting may help.
    pub(in crate::run) fn is_transient(&self) -> bool {
        matches!(
            self,
            DriveError::Batch(
                BatchError::Throttled { .. } | BatchError::Unauthenticated { .. } | BatchError::Unknown { .. }
            )
                | DriveError::Store(StoreError::Unreachable { .. })
                // The journal keeps the record, and finds out whether it was written after all.
                | DriveError::Journal(JournalError::Store(StoreError::Unreachable { .. }))
        )
    }

    /// Whether AWS has answered, and only asks for patience.
    pub(super) fn is_throttle(&self) -> bool {
        matches!(self, DriveError::Batch(BatchError::Throttled { .. }))
    }
}

impl From<SettleError> for DriveError {
    fn from(error: SettleError) -> Self {
        match error {
            SettleError::Batch(error) => DriveError::Batch(error),
            SettleError::Store(error) => DriveError::Store(error),
        }
    }
}
