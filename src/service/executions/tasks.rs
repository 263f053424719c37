//! Attempts of nodes as clients see them: task executions.

use tonic::Status;

use super::nodes::node_of;
use super::show::{duration, execution_error, timestamp};
use super::{Executions, children};
use crate::idl::admin::task_execution_closure::OutputResult;
use crate::idl::admin::{
    Reason, TaskExecution, TaskExecutionClosure, TaskExecutionGetRequest, TaskExecutionList, TaskExecutionListRequest,
};
use crate::idl::core::task_execution::Phase;
use crate::idl::core::{NodeExecutionIdentifier, TaskExecutionIdentifier, TaskLog};
use crate::idl::event::{ExternalResourceInfo, TaskExecutionMetadata};
use crate::map::layout::Root;
use crate::map::summary::Summary;
use crate::map::workflow::NodePhase;
use crate::map::workflow::flow::NodeView;
use crate::run::flow::FlowView;
use crate::service::registry::page::Page;
use crate::service::status;

/// One attempt of a node.
struct Attempt<'v> {
    number: u32,
    execution: Option<&'v str>,
    phase: Phase,
    started_ms: Option<u64>,
    ended_ms: Option<u64>,
    error: Option<&'v crate::map::workflow::NodeError>,
    counts: Option<Summary>,
    /// What keeps it from going on.
    trouble: Option<String>,
}

impl Executions {
    /// GetTaskExecution.
    ///
    /// # Errors
    /// NOT_FOUND when there is none.
    pub async fn get_task_execution(&self, request: TaskExecutionGetRequest) -> Result<TaskExecution, Status> {
        let id =
            request.id.ok_or_else(|| status::invalid("id is missing: name the node, its execution and the attempt"))?;
        let (node_id, view) = self.node_view(id.node_execution_id).await?;
        let node = node_of(&view, &node_id.node_id)?;
        let attempt = attempts(&view, &node).into_iter().find(|attempt| attempt.number == id.retry_attempt);
        let attempt = attempt.ok_or_else(|| {
            status::not_found(format!("node {} has no attempt {}", node_id.node_id, id.retry_attempt))
        })?;
        Ok(self.task_execution(&view, &node, &attempt).await)
    }

    /// ListTaskExecutions: the attempts of a node, in order.
    ///
    /// # Errors
    /// NOT_FOUND when there is no such node.
    pub async fn list_task_executions(&self, request: TaskExecutionListRequest) -> Result<TaskExecutionList, Status> {
        let (node_id, view) = self.node_view(request.node_execution_id).await?;
        let node = node_of(&view, &node_id.node_id)?;
        let page = Page::asked(request.limit, &request.token)?;
        let mut told = Vec::new();
        for attempt in attempts(&view, &node) {
            told.push(self.task_execution(&view, &node, &attempt).await);
        }
        let (task_executions, token) = page.of(told);
        Ok(TaskExecutionList { task_executions, token })
    }

    async fn task_execution(&self, view: &FlowView, node: &NodeView<'_>, attempt: &Attempt<'_>) -> TaskExecution {
        let execution_id = view.record.id.clone();
        let host = self.flows.host();
        let (bucket, root) = (host.ports.store.bucket(), host.root.flow(&execution_id.clone().unwrap_or_default()));
        let template = node.node.task();
        let output_result = match (attempt.phase, attempt.error) {
            (Phase::Succeeded, _) => {
                Some(OutputResult::OutputUri(format!("s3://{bucket}/{}", root.outputs(node.node.id()))))
            }
            (_, Some(error)) => Some(OutputResult::Error(execution_error(error))),
            _ => None,
        };
        let external_resources = self.external_resources(view, node, attempt).await;
        let updated_ms = attempt.ended_ms.or(attempt.started_ms).unwrap_or_else(|| view.updated_ms());
        let reason = attempt.trouble.clone().or_else(|| attempt.counts.as_ref().map(words));
        let closure = TaskExecutionClosure {
            output_result,
            phase: attempt.phase.into(),
            logs: host.log_link.as_deref().map(log_link).into_iter().collect(),
            created_at: node.created_ms.map(timestamp),
            started_at: attempt.started_ms.map(timestamp),
            updated_at: Some(timestamp(updated_ms)),
            duration: attempt.started_ms.zip(attempt.ended_ms).map(|(from, to)| duration(from, to)),
            reasons: reason.iter().map(|words| said(words, updated_ms)).collect(),
            reason: reason.unwrap_or_default(),
            task_type: template.map(|template| template.r#type.clone()).unwrap_or_default(),
            metadata: Some(TaskExecutionMetadata {
                generated_name: attempt.execution.unwrap_or_default().to_owned(),
                plugin_identifier: "aws-batch".to_owned(),
                external_resources,
                ..Default::default()
            }),
            ..Default::default()
        };
        let node_execution_id =
            NodeExecutionIdentifier { node_id: node.node.id().to_owned(), execution_id: execution_id.clone() };
        TaskExecution {
            id: Some(TaskExecutionIdentifier {
                task_id: template.and_then(|template| template.id.clone()),
                node_execution_id: Some(node_execution_id),
                retry_attempt: attempt.number,
            }),
            input_uri: format!("s3://{bucket}/{}", root.inputs(node.node.id())),
            closure: Some(closure),
            is_parent: false,
        }
    }
}

impl Executions {
    /// What AWS Batch holds, or held, of an attempt.
    async fn external_resources(
        &self,
        view: &FlowView,
        node: &NodeView<'_>,
        attempt: &Attempt<'_>,
    ) -> Vec<ExternalResourceInfo> {
        let Some(execution) = attempt.execution else { return Vec::new() };
        let host = self.flows.host();
        let mut resources = match view.execution(node.node.id(), execution) {
            Some(execution) => children::resources(&execution),
            None => {
                let root = Root::new(&host.prefix, execution);
                Vec::clone(&*self.children.of(&host.ports.store, &root, attempt.ended_ms.is_some()).await)
            }
        };
        // The journal tells what AWS Batch holds, and the driver how much of it waits there for room.
        let waiting = attempt.counts.as_ref().is_none_or(|counts| counts.running == 0 || counts.queued > 0);
        let held = if waiting { Phase::Queued } else { Phase::Running };
        for told in resources.iter_mut().filter(|told| told.phase() == Phase::Undefined) {
            told.set_phase(held);
        }
        resources
    }
}

fn log_link(uri: &str) -> TaskLog {
    TaskLog { uri: uri.to_owned(), name: "CloudWatch Logs".to_owned(), ..Default::default() }
}

fn said(words: &str, at_ms: u64) -> Reason {
    Reason { occurred_at: Some(timestamp(at_ms)), message: words.to_owned() }
}

/// How a map goes, in one line.
fn words(counts: &Summary) -> String {
    let Summary { size, succeeded, failed, running, queued, waiting, dropped, held, .. } = counts;
    let mut line = format!(
        "{succeeded} of {size} succeeded, {failed} failed, {running} running, {queued} queued in AWS Batch, {waiting} waiting"
    );
    for (count, what) in
        [(held, "waiting for what another execution puts into the cache"), (dropped, "without a result")]
    {
        if *count > 0 {
            line.push_str(&format!(", {count} {what}"));
        }
    }
    if let Some(stuck) = &counts.stuck {
        line.push_str(&format!("; {stuck}"));
    }
    line
}

/// The attempts of a node that runs a task and has begun; the last one is the present one.
fn attempts<'v>(view: &'v FlowView, node: &NodeView<'v>) -> Vec<Attempt<'v>> {
    if node.node.task().is_none() {
        return Vec::new();
    }
    let earlier = node.earlier.iter().zip(0..).map(|(attempt, number)| Attempt {
        number,
        execution: attempt.execution.as_deref(),
        phase: Phase::Failed,
        started_ms: attempt.started_ms,
        ended_ms: Some(attempt.ended_ms),
        error: Some(&attempt.error),
        counts: None,
        trouble: None,
    });
    let counts = view.counts(node.node.id());
    let phase = match node.phase {
        NodePhase::Waiting | NodePhase::Queued | NodePhase::Skipped => None,
        NodePhase::Running
            if counts.as_ref().is_some_and(|counts| counts.running + counts.settling + counts.succeeded > 0) =>
        {
            Some(Phase::Running)
        }
        NodePhase::Running => Some(Phase::Queued),
        NodePhase::Succeeded => Some(Phase::Succeeded),
        NodePhase::Failed => Some(Phase::Failed),
        NodePhase::Aborted => Some(Phase::Aborted),
    };
    // What was kept from starting, or taken over, has run nowhere.
    let last = phase.filter(|_| node.started_ms.is_some()).map(|phase| Attempt {
        number: node.attempt,
        execution: node.execution,
        phase,
        started_ms: node.started_ms,
        ended_ms: node.ended_ms,
        error: node.error,
        counts,
        trouble: view.trouble(node.node.id()),
    });
    earlier.chain(last).collect()
}
