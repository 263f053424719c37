//! Inputs and outputs of executions, nodes and attempts.

use bytes::Bytes;
use prost::Message;
use tonic::Status;

use super::nodes::node_of;
use super::{Executions, named, unseen};
use crate::aws::store::StoreError;
use crate::idl::admin::{
    FlyteUrLs, NodeExecutionGetDataRequest, NodeExecutionGetDataResponse, TaskExecutionGetDataRequest,
    TaskExecutionGetDataResponse, UrlBlob, WorkflowExecutionGetDataRequest, WorkflowExecutionGetDataResponse,
};
use crate::idl::core::{LiteralMap, NodeExecutionIdentifier, WorkflowExecutionIdentifier};
use crate::idl::service::{GetDataRequest, GetDataResponse, get_data_response};
use crate::map::workflow::flow::NodeView;
use crate::map::workflow::{FlowOutcome, NodePhase};
use crate::run::flow::{FlowView, Values};
use crate::service::data::Data;
use crate::service::status;

/// Bytes of literals that are sent as they are: clients take 20 MiB in all, and there are two maps in an answer.
const INLINE: usize = 8 << 20;

/// Literals as an answer has them: whole, or the address to fetch them from.
type Sent = (Option<LiteralMap>, Option<UrlBlob>);

impl Executions {
    /// GetExecutionData.
    ///
    /// # Errors
    /// NOT_FOUND when there is no such execution.
    pub async fn get_execution_data(
        &self,
        request: WorkflowExecutionGetDataRequest,
        server: &str,
    ) -> Result<WorkflowExecutionGetDataResponse, Status> {
        let view = self.view(request.id.as_ref()).await?;
        let given = view.record.inputs.clone().unwrap_or_default();
        let (full_inputs, inputs) = self.send(&view, "", true, given, server).await?;
        let (full_outputs, outputs) = match view.flow.finished() {
            Some(FlowOutcome::Succeeded) => {
                let left = self.flows.values(&view.record).outputs("").await.map_err(status::store)?;
                self.send(&view, "", false, left, server).await?
            }
            _ => (Some(LiteralMap::default()), None),
        };
        Ok(WorkflowExecutionGetDataResponse { outputs, inputs, full_inputs, full_outputs })
    }

    /// GetNodeExecutionData.
    ///
    /// # Errors
    /// NOT_FOUND when there is no such node.
    pub async fn get_node_execution_data(
        &self,
        request: NodeExecutionGetDataRequest,
        server: &str,
    ) -> Result<NodeExecutionGetDataResponse, Status> {
        let (id, view) = self.node_view(request.id).await?;
        let ((full_inputs, inputs), (full_outputs, outputs)) = self.node_data(&view, &id.node_id, server).await?;
        let flyte_urls = Some(self.urls(&view, &node_of(&view, &id.node_id)?));
        Ok(NodeExecutionGetDataResponse { inputs, outputs, full_inputs, full_outputs, flyte_urls })
    }

    /// GetTaskExecutionData: the same as its node's.
    ///
    /// # Errors
    /// NOT_FOUND when there is no such node.
    pub async fn get_task_execution_data(
        &self,
        request: TaskExecutionGetDataRequest,
        server: &str,
    ) -> Result<TaskExecutionGetDataResponse, Status> {
        let id =
            request.id.ok_or_else(|| status::invalid("id is missing: name the node, its execution and the attempt"))?;
        let (id, view) = self.node_view(id.node_execution_id).await?;
        let ((full_inputs, inputs), (full_outputs, outputs)) = self.node_data(&view, &id.node_id, server).await?;
        Ok(TaskExecutionGetDataResponse { inputs, outputs, full_inputs, full_outputs, ..Default::default() })
    }

    /// GetData: what an address `flyte://v1/PROJECT/DOMAIN/EXECUTION/NODE[/ATTEMPT]/i|o|d[/NAME]` stands for.
    ///
    /// # Errors
    /// INVALID_ARGUMENT when it is no such address; NOT_FOUND when there is nothing.
    pub async fn get_data(&self, request: GetDataRequest, server: &str) -> Result<GetDataResponse, Status> {
        let Address { id, node, kind, name } = address(&request.flyte_url)?;
        if kind == What::Deck {
            let id = NodeExecutionIdentifier { node_id: node, execution_id: Some(id) };
            let urls = self.deck(id, server, Data::soon()).await?;
            return Ok(GetDataResponse { data: Some(get_data_response::Data::PreSignedUrls(urls)) });
        }
        let view = self.flows.view(named(Some(&id))?).await.map_err(unseen)?;
        node_of(&view, &node)?;
        let values = self.flows.values(&view.record);
        let literals = if kind == What::Outputs { values.outputs(&node).await } else { values.inputs(&node).await };
        let mut literals = literals.map_err(|error| match error {
            StoreError::NotFound { .. } => status::not_found(format!("node {node} has none (yet)")),
            error => status::store(error),
        })?;
        let data = match name {
            None => get_data_response::Data::LiteralMap(literals),
            Some(name) => {
                let known = literals.literals.keys().cloned().collect::<Vec<_>>().join(", ");
                let literal = literals.literals.remove(&name);
                let missing = || status::not_found(format!("node {node} has no {name:?} there; there are {known}"));
                get_data_response::Data::Literal(literal.ok_or_else(missing)?)
            }
        };
        Ok(GetDataResponse { data: Some(data) })
    }

    /// The addresses that GetData takes for what a node has.
    fn urls(&self, view: &FlowView, node: &NodeView<'_>) -> FlyteUrLs {
        let WorkflowExecutionIdentifier { project, domain, name, .. } = view.record.id.clone().unwrap_or_default();
        let of = |kind: &str| format!("flyte://v1/{project}/{domain}/{name}/{}/{kind}", node.node.id());
        let deck = self.deck_uri(node).map(|_| of("d")).unwrap_or_default();
        FlyteUrLs { inputs: of("i"), outputs: of("o"), deck }
    }

    async fn node_data(&self, view: &FlowView, node: &str, server: &str) -> Result<(Sent, Sent), Status> {
        let known = node_of(view, node)?;
        let values = self.flows.values(&view.record);
        let inputs = self.send(view, node, true, there(values.inputs(node).await)?, server).await?;
        let outputs = match known.phase {
            NodePhase::Succeeded => self.send(view, node, false, outputs(&values, node).await?, server).await?,
            _ => (Some(LiteralMap::default()), None),
        };
        Ok((inputs, outputs))
    }

    /// Literals as they are or, when they are too large for an answer, where to fetch them.
    async fn send(
        &self,
        view: &FlowView,
        node: &str,
        input: bool,
        literals: LiteralMap,
        server: &str,
    ) -> Result<Sent, Status> {
        let bytes = literals.encoded_len();
        if bytes <= INLINE {
            return Ok((Some(literals), None));
        }
        let host = self.flows.host();
        let root = host.root.flow(&view.record.id.clone().unwrap_or_default());
        let key = if input { root.inputs(node) } else { root.outputs(node) };
        if input && node.is_empty() {
            // They stand in the execution's record, which holds more.
            host.ports.store.put(&key, Bytes::from(literals.encode_to_vec())).await.map_err(status::store)?;
        }
        let url = self.data.address(&key, Data::soon(), server);
        Ok((None, Some(UrlBlob { url, bytes: bytes as i64 })))
    }
}

async fn outputs(values: &Values, node: &str) -> Result<LiteralMap, Status> {
    there(values.outputs(node).await)
}

/// What is not there yet is empty.
fn there(read: Result<LiteralMap, StoreError>) -> Result<LiteralMap, Status> {
    match read {
        Ok(literals) => Ok(literals),
        Err(StoreError::NotFound { .. }) => Ok(LiteralMap::default()),
        Err(error) => Err(status::store(error)),
    }
}

/// What an address stands for.
#[derive(Debug, PartialEq)]
struct Address {
    id: WorkflowExecutionIdentifier,
    node: String,
    kind: What,
    name: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    Inputs,
    Outputs,
    Deck,
}

fn address(url: &str) -> Result<Address, Status> {
    let bad = || {
        status::invalid(format!(
            "flyte_url is {url:?}; expected flyte://v1/PROJECT/DOMAIN/EXECUTION/NODE[/ATTEMPT]/i, /o or /d, and /NAME for one"
        ))
    };
    let parts: Vec<&str> = url.strip_prefix("flyte://v1/").ok_or_else(bad)?.split('/').collect();
    let (place, rest) = parts.split_at_checked(4).ok_or_else(bad)?;
    let rest = match rest {
        [attempt, rest @ ..] if attempt.parse::<u32>().is_ok() && !rest.is_empty() => rest,
        rest => rest,
    };
    let (kind, name) = match rest {
        [kind] => (*kind, None),
        [kind, name] if !name.is_empty() => (*kind, Some((*name).to_owned())),
        _ => return Err(bad()),
    };
    let kind = match (kind, &name) {
        ("i", _) => What::Inputs,
        ("o", _) => What::Outputs,
        ("d", None) => What::Deck,
        _ => return Err(bad()),
    };
    let [project, domain, execution, node] = [0, 1, 2, 3].map(|at| place[at].to_owned());
    let id = WorkflowExecutionIdentifier { project, domain, name: execution, ..Default::default() };
    Ok(Address { id, node, kind, name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let read = |rest: &str| address(&format!("flyte://v1/p/d/e/{rest}")).map(|it| (it.node, it.kind, it.name));
        assert_eq!(read("n0/o").unwrap(), ("n0".to_owned(), What::Outputs, None));
        assert_eq!(read("n0/3/i").unwrap(), ("n0".to_owned(), What::Inputs, None));
        assert_eq!(read("n0/o/o0").unwrap(), ("n0".to_owned(), What::Outputs, Some("o0".to_owned())));
        assert_eq!(read("n0/0/o/o0").unwrap(), ("n0".to_owned(), What::Outputs, Some("o0".to_owned())));
        for wrong in ["n0", "n0/x", "n0/o/", "n0/o/a/b", "", "n0/3", "n0/d/x"] {
            assert_eq!(read(wrong).unwrap_err().code(), tonic::Code::InvalidArgument, "{wrong}");
        }
        assert_eq!(read("n0/0/d").unwrap(), ("n0".to_owned(), What::Deck, None));
        assert!(address("s3://b/k").is_err());
    }
}
