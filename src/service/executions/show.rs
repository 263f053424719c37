//! Executions as clients see them.

use std::time::{Duration, UNIX_EPOCH};

use tonic::Status;

use super::Executions;
use crate::idl::admin::execution_closure::OutputResult;
use crate::idl::admin::{
    AbortMetadata, Execution, ExecutionClosure, ExecutionSpec, LiteralMapBlob, WorkflowExecutionGetRequest,
    literal_map_blob,
};
use crate::idl::core::execution_error::ErrorKind;
use crate::idl::core::workflow_execution::Phase;
use crate::idl::core::{ExecutionError, Identifier};
use crate::map::policy::Origin;
use crate::map::workflow::flow::FlowPhase;
use crate::map::workflow::{FlowOutcome, NodeError};
use crate::run::flow::{FlowView, created_ms};

impl Executions {
    /// GetExecution.
    ///
    /// # Errors
    /// NOT_FOUND when there is none.
    pub async fn get_execution(&self, request: WorkflowExecutionGetRequest) -> Result<Execution, Status> {
        let view = self.view(request.id.as_ref()).await?;
        Ok(self.execution(&view))
    }

    /// An execution as clients see it.
    pub(super) fn execution(&self, view: &FlowView) -> Execution {
        let record = &view.record;
        let id = record.id.clone().unwrap_or_default();
        // The inputs may be large, and GetExecutionData has them.
        let spec = ExecutionSpec { inputs: None, ..record.spec.clone().unwrap_or_default() };
        let started_ms = view.flow.started_ms();
        let over = view.flow.finished().is_some();
        let closure = ExecutionClosure {
            output_result: self.result(view, &id),
            phase: phase(view.flow.phase()).into(),
            created_at: record.created_at,
            started_at: started_ms.map(timestamp),
            updated_at: Some(timestamp(view.updated_ms().max(created_ms(record)))),
            duration: started_ms.filter(|_| over).map(|started| duration(started, view.updated_ms())),
            workflow_id: workflow(view),
            ..Default::default()
        };
        Execution { id: Some(id), spec: Some(spec), closure: Some(closure) }
    }

    fn result(&self, view: &FlowView, id: &crate::idl::core::WorkflowExecutionIdentifier) -> Option<OutputResult> {
        match view.flow.finished()? {
            FlowOutcome::Succeeded => {
                let host = self.flows.host();
                let uri = format!("s3://{}/{}", host.ports.store.bucket(), host.root.flow(id).outputs(""));
                // The address alone: clients stumble over values here.
                Some(OutputResult::Outputs(LiteralMapBlob { data: Some(literal_map_blob::Data::Uri(uri)) }))
            }
            FlowOutcome::Failed { node, error } => Some(OutputResult::Error(failure(node.as_deref(), error))),
            FlowOutcome::Aborted { cause, principal } => {
                let (cause, principal) = (cause.clone(), principal.clone());
                Some(OutputResult::AbortMetadata(AbortMetadata { cause, principal }))
            }
        }
    }
}

/// The workflow that an execution runs.
pub(super) fn workflow(view: &FlowView) -> Option<Identifier> {
    let primary = view.record.workflow.as_ref()?.primary.as_ref()?;
    primary.template.as_ref()?.id.clone()
}

/// An error with the node that it comes from.
fn failure(node: Option<&str>, error: &NodeError) -> ExecutionError {
    let place = node.map(|node| format!("node {node}: ")).unwrap_or_default();
    ExecutionError { message: format!("{place}{}", error.message), ..execution_error(error) }
}

/// An error as clients see it.
pub(super) fn execution_error(error: &NodeError) -> ExecutionError {
    let kind = if error.origin == Origin::User { ErrorKind::User } else { ErrorKind::System };
    ExecutionError { code: error.code.clone(), message: error.message.clone(), kind: kind.into(), ..Default::default() }
}

fn phase(phase: FlowPhase) -> Phase {
    match phase {
        FlowPhase::Queued => Phase::Queued,
        FlowPhase::Running => Phase::Running,
        FlowPhase::Succeeding => Phase::Succeeding,
        FlowPhase::Failing => Phase::Failing,
        FlowPhase::Aborting => Phase::Aborting,
        FlowPhase::Succeeded => Phase::Succeeded,
        FlowPhase::Failed => Phase::Failed,
        FlowPhase::Aborted => Phase::Aborted,
    }
}

/// Milliseconds since 1970 as protobuf has them.
pub(super) fn timestamp(ms: u64) -> prost_types::Timestamp {
    (UNIX_EPOCH + Duration::from_millis(ms)).into()
}

/// The time between two of them.
pub(super) fn duration(from_ms: u64, to_ms: u64) -> prost_types::Duration {
    let ms = to_ms.saturating_sub(from_ms);
    // Less than 64 bits of seconds by far.
    prost_types::Duration { seconds: (ms / 1000).cast_signed(), nanos: (ms % 1000) as i32 * 1_000_000 }
}
