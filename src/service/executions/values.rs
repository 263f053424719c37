//! Inputs and outputs of executions, nodes and attempts.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use prost::Message;
use tonic::{Code, Status};

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
use crate::run::recent::Recent;
use crate::service::data::Data;
use crate::service::status;

/// Bytes of literals that are sent as they are: clients take 20 MiB in all, and there are two maps in an answer.
const INLINE: usize = 8 << 20;

/// Literals as an answer has them: whole, or the address to fetch them from.
type Sent = (Option<LiteralMap>, Option<UrlBlob>);

/// Bytes of values that GetData sends: it has no address to send in their place.
const LARGEST_ANSWER: u64 = 16 << 20;

/// Bytes of stored values that are remembered: clients ask for the same ones again and again.
const ROOM: usize = 64 << 20;

/// Executions whose large inputs are known to stand where they can be fetched.
const WRITTEN: usize = 10_000;

/// Values that never change any more, as they are stored.
#[derive(Clone)]
enum Kept {
    Small(Bytes),
    /// Too large for an answer: so many bytes.
    Large(u64),
}

/// What is remembered of values, by their keys.
pub(super) struct Remembered {
    kept: Mutex<Recent<String, Kept>>,
    written: Mutex<Recent<String, ()>>,
}

impl Remembered {
    pub(super) fn new() -> Self {
        Remembered { kept: Mutex::new(Recent::new(ROOM)), written: Mutex::new(Recent::new(WRITTEN)) }
    }

    fn kept(&self) -> MutexGuard<'_, Recent<String, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn written(&self) -> MutexGuard<'_, Recent<String, ()>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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
        let values = self.flows.values(&view.record);
        let (full_inputs, inputs) = self.given(&view, &values, server).await?;
        let (full_outputs, outputs) = match view.flow.finished() {
            Some(FlowOutcome::Succeeded) => self.stored(&values, "", false, true, server).await?,
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
        let inputs = kind != What::Outputs;
        let bytes = values.size(&node, inputs).await.map_err(status::store)?.unwrap_or_default();
        if bytes > LARGEST_ANSWER {
            let (bucket, key) = (self.flows.host().ports.store.bucket(), values.key(&node, inputs));
            let message =
                format!("they have {bytes} bytes, which no client takes in one answer: read s3://{bucket}/{key}");
            return Err(status::status(Code::FailedPrecondition, message));
        }
        let literals = if inputs { values.inputs(&node).await } else { values.outputs(&node).await };
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
        let bound = !matches!(known.phase, NodePhase::Waiting | NodePhase::Queued);
        let inputs = self.stored(&values, node, true, bound, server).await?;
        let outputs = match known.phase {
            NodePhase::Succeeded => self.stored(&values, node, false, true, server).await?,
            _ => (Some(LiteralMap::default()), None),
        };
        Ok((inputs, outputs))
    }

    /// The inputs of an execution: they stand in its record, which holds more. Large ones are put where they can be fetched
    /// when somebody asks for them first.
    async fn given(&self, view: &FlowView, values: &Values, server: &str) -> Result<Sent, Status> {
        let Some(given) = &view.record.inputs else { return Ok((Some(LiteralMap::default()), None)) };
        let bytes = given.encoded_len();
        if bytes <= INLINE {
            return Ok((Some(given.clone()), None));
        }
        let key = values.key("", true);
        let known = self.remembered.written().get(&key).is_some();
        if !known {
            match self.flows.host().ports.store.put_new(&key, Bytes::from(given.encode_to_vec())).await {
                // It never changes.
                Ok(()) | Err(StoreError::AlreadyExists { .. }) => {}
                Err(error) => return Err(status::store(error)),
            }
            self.remembered.written().put(key.clone(), (), 1);
        }
        Ok(self.elsewhere(&key, bytes as u64, server))
    }

    /// What is stored of a node: as it is or, when it is too large for an answer, where to fetch it. What is `lasting` is
    /// read once; what is not there yet is empty.
    async fn stored(
        &self,
        values: &Values,
        node: &str,
        inputs: bool,
        lasting: bool,
        server: &str,
    ) -> Result<Sent, Status> {
        let key = values.key(node, inputs);
        let known = self.remembered.kept().get(&key);
        let kept = match known {
            Some(kept) => kept,
            None => {
                // Large ones are never read here: they may be much larger than what a server has room for.
                let kept = match values.size(node, inputs).await.map_err(status::store)? {
                    None => return Ok((Some(LiteralMap::default()), None)),
                    Some(bytes) if bytes > INLINE as u64 => Kept::Large(bytes),
                    Some(_) => Kept::Small(values.stored(node, inputs).await.map_err(status::store)?),
                };
                if lasting {
                    self.remembered.kept().put(key.clone(), kept.clone(), kept.weight(&key));
                }
                kept
            }
        };
        match kept {
            Kept::Small(body) => Ok((Some(values.decode(&key, body).map_err(status::store)?), None)),
            Kept::Large(bytes) => Ok(self.elsewhere(&key, bytes, server)),
        }
    }

    fn elsewhere(&self, key: &str, bytes: u64, server: &str) -> Sent {
        let url = self.data.address(key, Data::soon(), server);
        (None, Some(UrlBlob { url, bytes: bytes.cast_signed() }))
    }
}

impl Kept {
    /// Bytes that it takes here.
    fn weight(&self, key: &str) -> usize {
        let body = if let Kept::Small(body) = self { body.len() } else { 0 };
        body + 2 * key.len() + 200
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
