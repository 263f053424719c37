//! The driver's end of arrays that nobody needs any more.

use super::{DriveError, Driver};
use crate::map::event::Decision;
use crate::run::settle::OUR_REASON;

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
        let reason: String = format!("{OUR_REASON}{reason}").chars().take(1000).collect();
        self.ports.batch.terminate(job, &reason).await?;
        tracing::debug!(array, job, "terminated");
        self.cadence.hurry();
        Ok(())
    }
}
