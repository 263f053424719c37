//! Nodes of executions as clients see them.

use tonic::Status;

use super::Executions;
use super::show::{duration, execution_error, timestamp};
use crate::idl::admin::node_execution_closure::{OutputResult, TargetMetadata};
use crate::idl::admin::{
    NodeExecution, NodeExecutionClosure, NodeExecutionGetRequest, NodeExecutionList, NodeExecutionListRequest,
    NodeExecutionMetaData, TaskNodeMetadata, WorkflowNodeMetadata,
};
use crate::idl::core::node_execution::Phase;
use crate::idl::core::{CatalogCacheStatus, NodeExecutionIdentifier, WorkflowExecutionIdentifier};
use crate::map::workflow::event::Cached;
use crate::map::workflow::flow::NodeView;
use crate::map::workflow::{NodeKind, NodePhase};
use crate::run::flow::FlowView;
use crate::service::registry::filter::{self, Filter, Key};
use crate::service::registry::page::Page;
use crate::service::status;

impl Executions {
    /// GetNodeExecution.
    ///
    /// # Errors
    /// NOT_FOUND when there is none, or it waits for other nodes.
    pub async fn get_node_execution(&self, request: NodeExecutionGetRequest) -> Result<NodeExecution, Status> {
        let (id, view) = self.node_view(request.id).await?;
        let node = node_of(&view, &id.node_id)?;
        Ok(self.node_execution(&view, &node).await)
    }

    /// ListNodeExecutions: those of the workflow itself, or of the sub-workflow that `unique_parent_id` runs.
    ///
    /// # Errors
    /// NOT_FOUND when there is no such execution.
    pub async fn list_node_executions(&self, request: NodeExecutionListRequest) -> Result<NodeExecutionList, Status> {
        let view = self.view(request.workflow_execution_id.as_ref()).await?;
        let filter = Filter::parse(&request.filters, &["node_id", "phase"])?;
        let (key, descending) = filter::order(request.sort_by.as_ref())?;
        let page = Page::asked(request.limit, &request.token)?;
        let parent = Some(request.unique_parent_id.as_str()).filter(|parent| !parent.is_empty());
        let mut nodes: Vec<NodeView<'_>> = view.flow.children(parent).filter(exists).collect();
        nodes.retain(|node| {
            filter.admits(|field| match field {
                "node_id" => Some(node.node.id()),
                _ => Some(phase(node).as_str_name()),
            })
        });
        // Of one time, the workflow's own order decides.
        match key {
            Key::Created => nodes.sort_by_key(|node| node.created_ms),
            Key::Name => nodes.sort_by(|a, b| a.node.id().cmp(b.node.id())),
        }
        if descending {
            nodes.reverse();
        }
        let (server, told) = (self, view.as_ref());
        let read = |node| async move { Ok(Some(server.node_execution(told, &node).await)) };
        let (node_executions, token) = page.read(nodes, read).await?;
        Ok(NodeExecutionList { node_executions, token })
    }

    /// The execution that a node's id names, as it stands.
    pub(super) async fn node_view(
        &self,
        id: Option<NodeExecutionIdentifier>,
    ) -> Result<(NodeExecutionIdentifier, std::sync::Arc<FlowView>), Status> {
        let id = id.ok_or_else(|| status::invalid("id is missing: name the node and its execution"))?;
        let view = self.view(id.execution_id.as_ref()).await?;
        Ok((id, view))
    }

    async fn node_execution(&self, view: &FlowView, node: &NodeView<'_>) -> NodeExecution {
        let id = view.record.id.clone().unwrap_or_default();
        let host = self.flows.host();
        let (bucket, root) = (host.ports.store.bucket(), host.root.flow(&id));
        let uri = |key: String| format!("s3://{bucket}/{key}");
        let name = node.node.id();
        let output_result = match (node.phase, node.error) {
            (NodePhase::Succeeded, _) => Some(OutputResult::OutputUri(uri(root.outputs(name)))),
            (_, Some(error)) => Some(OutputResult::Error(execution_error(error))),
            _ => None,
        };
        let cache_status = match node.cached {
            Cached::Off => CatalogCacheStatus::CacheDisabled,
            Cached::Populated => CatalogCacheStatus::CachePopulated,
            Cached::Hit => CatalogCacheStatus::CacheHit,
        };
        let task = TaskNodeMetadata { cache_status: cache_status.into(), ..Default::default() };
        let target_metadata = match node.node.kind() {
            NodeKind::Task(_) | NodeKind::Array(_) => Some(TargetMetadata::TaskNodeMetadata(task)),
            NodeKind::Plan(_) => self.launched(&id, node).await.map(TargetMetadata::WorkflowNodeMetadata),
            NodeKind::Workflow(_) | NodeKind::Branch(_) => None,
        };
        let updated_ms = node.ended_ms.or(node.started_ms).or(node.created_ms);
        let closure = NodeExecutionClosure {
            output_result,
            phase: phase(node).into(),
            created_at: node.created_ms.map(timestamp),
            started_at: node.started_ms.map(timestamp),
            updated_at: updated_ms.map(timestamp),
            duration: node.started_ms.zip(node.ended_ms).map(|(from, to)| duration(from, to)),
            target_metadata,
            deck_uri: self.deck_uri(node).unwrap_or_default(),
            ..Default::default()
        };
        let metadata = NodeExecutionMetaData {
            is_parent_node: node.node.is_parent(),
            // Clients that are told otherwise look for a plain task in an array node.
            is_array: matches!(node.node.kind(), NodeKind::Array(_)),
            spec_node_id: node.node.spec_id().to_owned(),
            ..Default::default()
        };
        NodeExecution {
            id: Some(NodeExecutionIdentifier { node_id: name.to_owned(), execution_id: Some(id) }),
            input_uri: uri(root.inputs(name)),
            closure: Some(closure),
            metadata: Some(metadata),
        }
    }
}

impl Executions {
    /// The execution that a launch plan's node has made. Clients that are told of one look at it, so it must be there.
    async fn launched(&self, of: &WorkflowExecutionIdentifier, node: &NodeView<'_>) -> Option<WorkflowNodeMetadata> {
        let id = WorkflowExecutionIdentifier { name: node.execution?.to_owned(), ..of.clone() };
        self.flows.exists(&id).await.then_some(WorkflowNodeMetadata { execution_id: Some(id) })
    }
}

/// The node of an execution, if it exists for clients.
pub(super) fn node_of<'v>(view: &'v FlowView, node: &str) -> Result<NodeView<'v>, Status> {
    view.flow.node(node).filter(exists).ok_or_else(|| {
        let name = view.record.id.as_ref().map_or("", |id| id.name.as_str());
        status::not_found(format!("execution {name} has no node {node:?}, or it waits for others"))
    })
}

fn exists(node: &NodeView<'_>) -> bool {
    node.phase != NodePhase::Waiting
}

fn phase(node: &NodeView<'_>) -> Phase {
    match node.phase {
        NodePhase::Waiting => Phase::Undefined,
        NodePhase::Queued => Phase::Queued,
        NodePhase::Running if node.failing => Phase::Failing,
        NodePhase::Running => Phase::Running,
        // Also where it was taken over from an earlier execution: clients do not read the outputs of RECOVERED nodes.
        NodePhase::Succeeded => Phase::Succeeded,
        NodePhase::Failed => Phase::Failed,
        NodePhase::Aborted => Phase::Aborted,
        NodePhase::Skipped => Phase::Skipped,
    }
}
