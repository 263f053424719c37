//! What nodes are given and leave: bound, stored and read back.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;

use crate::aws::store::{Store, StoreError};
use crate::idl::core::{Binding, LiteralMap, WorkflowExecutionIdentifier};
use crate::idl::record::FlowRecord;
use crate::map::layout::flyte::FlowRoot;
use crate::map::policy::Origin;
use crate::map::workflow::{FlowEvent, Graph, NodeEnd, NodeError, Scope, decide, references, resolve};

/// The values of one execution.
pub struct Values {
    store: Arc<dyn Store>,
    root: FlowRoot,
    record: Arc<FlowRecord>,
}

impl Values {
    /// The values under `root`.
    pub fn new(store: Arc<dyn Store>, root: FlowRoot, record: Arc<FlowRecord>) -> Self {
        Values { store, root, record }
    }

    /// The inputs that a node was given.
    ///
    /// # Errors
    /// When S3 fails; [`StoreError::NotFound`] where it has none.
    pub async fn inputs(&self, node: &str) -> Result<LiteralMap, StoreError> {
        self.read(&self.root.inputs(node)).await
    }

    /// The outputs that a node has left; the workflow's own where `node` is empty.
    ///
    /// # Errors
    /// As [`Values::inputs`].
    pub async fn outputs(&self, node: &str) -> Result<LiteralMap, StoreError> {
        self.read(&self.root.outputs(node)).await
    }

    /// The same as [`Values::inputs`] or [`Values::outputs`], as it is stored.
    ///
    /// # Errors
    /// As [`Values::inputs`].
    pub async fn stored(&self, node: &str, inputs: bool) -> Result<Bytes, StoreError> {
        self.store.get(&self.key(node, inputs)).await
    }

    /// How many bytes that is; nothing where there is none.
    ///
    /// # Errors
    /// When S3 fails.
    pub async fn size(&self, node: &str, inputs: bool) -> Result<Option<u64>, StoreError> {
        let key = self.key(node, inputs);
        // The first key that begins so is the object itself, if it is there.
        let page = self.store.list(&key, None).await?;
        Ok(page.objects.first().filter(|object| object.key == key).map(|object| object.size))
    }

    /// Where that is.
    pub fn key(&self, node: &str, inputs: bool) -> String {
        if inputs { self.root.inputs(node) } else { self.root.outputs(node) }
    }

    /// Literals that were stored.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when they are damaged.
    pub fn decode(&self, key: &str, body: Bytes) -> Result<LiteralMap, StoreError> {
        LiteralMap::decode(body).map_err(|error| StoreError::Refused {
            operation: "GetObject",
            bucket: self.store.bucket().to_owned(),
            key: key.to_owned(),
            code: "Damaged".to_owned(),
            message: error.to_string(),
        })
    }

    /// Stores a node's outputs.
    pub(super) async fn keep(&self, node: &str, outputs: &LiteralMap) -> Result<(), StoreError> {
        self.store.put(&self.root.outputs(node), Bytes::from(outputs.encode_to_vec())).await
    }

    async fn read(&self, key: &str) -> Result<LiteralMap, StoreError> {
        self.decode(key, self.store.get(key).await?)
    }

    /// Binds a node's inputs and stores them; `execution` is the id of the map execution that is to run it. Where `old`
    /// has the node's outputs, they are taken.
    pub(super) async fn start(
        &self,
        graph: &Graph,
        name: &str,
        attempt: u32,
        execution: String,
        old: Option<FlowRoot>,
    ) -> Result<FlowEvent, StoreError> {
        let node = name.to_owned();
        let Some(known) = graph.node(name) else {
            let end = NodeEnd::Failed(unknown(name));
            return Ok(FlowEvent::NodeEnded { node, attempt, end });
        };
        let inputs = match self.bind(graph, graph.scope_around(known), known.bindings()).await? {
            Ok(inputs) => inputs,
            Err(error) => return Ok(FlowEvent::NodeEnded { node, attempt, end: NodeEnd::Failed(error) }),
        };
        self.store.put(&self.root.inputs(name), Bytes::from(inputs.encode_to_vec())).await?;
        if let Some(old) = old.filter(|_| !known.is_parent())
            && self.same_inputs(&old, name, &inputs).await?
            && let Some(outputs) = self.left_by(&old, name).await?
        {
            self.store.put(&self.root.outputs(name), outputs).await?;
            // `gc` takes the record away first, and looks for the values of others then: one of the two sees the other.
            if let Some(id) = &self.record.recovers
                && is_there(self.store.as_ref(), &old, id).await?
            {
                return Ok(FlowEvent::NodeReused { node, source: id.name.clone() });
            }
        }
        if let Some(block) = known.branch() {
            return Ok(match decide(block, &inputs) {
                // The node in it that is called so; what a branch chooses from is known to be there.
                Ok(taken) => FlowEvent::BranchTaken { taken: format!("{name}-0-{}", taken.id), node },
                Err(error) => FlowEvent::NodeEnded { node, attempt, end: NodeEnd::Failed(error) },
            });
        }
        Ok(FlowEvent::NodeStarted { node, attempt, execution: Some(execution).filter(|_| !known.is_parent()) })
    }

    /// Whether a node was given the same in an earlier execution: what it left is worth something only then.
    pub(super) async fn same_inputs(
        &self,
        old: &FlowRoot,
        node: &str,
        inputs: &LiteralMap,
    ) -> Result<bool, StoreError> {
        match self.store.get(&old.inputs(node)).await {
            Ok(body) => Ok(body == inputs.encode_to_vec()),
            Err(StoreError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The outputs that a node has left in an earlier execution.
    async fn left_by(&self, old: &FlowRoot, node: &str) -> Result<Option<Bytes>, StoreError> {
        match self.store.get(&old.outputs(node)).await {
            Ok(body) => Ok(Some(body)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Binds the outputs of a sub-workflow, or of the workflow, and stores them; those of a branch are those of the node
    /// `taken`.
    pub(super) async fn bind_outputs(
        &self,
        graph: &Graph,
        node: Option<&str>,
        taken: Option<&str>,
    ) -> Result<FlowEvent, StoreError> {
        let name = node.map(str::to_owned);
        let Some(scope) = graph.scope_of(node) else {
            let error = Some(unknown(node.unwrap_or_default()));
            return Ok(FlowEvent::OutputsBound { node: name, error });
        };
        let bound = match taken {
            Some(taken) => Ok(self.outputs(taken).await?),
            None => self.bind(graph, scope, scope.outputs()).await?,
        };
        let error = match bound {
            Ok(outputs) => {
                self.keep(node.unwrap_or_default(), &outputs).await?;
                None
            }
            Err(error) => Some(error),
        };
        Ok(FlowEvent::OutputsBound { node: name, error })
    }

    /// The literals that bindings within `scope` stand for.
    async fn bind(
        &self,
        graph: &Graph,
        scope: &Scope,
        bindings: &[Binding],
    ) -> Result<Result<LiteralMap, NodeError>, StoreError> {
        let mut known: BTreeMap<String, LiteralMap> = BTreeMap::new();
        for (node, _) in references(bindings) {
            let literals = match (graph.source_id(scope, &node), graph.speaker_id(scope)) {
                (Some(id), _) => self.outputs(&id).await?,
                (None, Some(speaker)) => self.inputs(speaker).await?,
                (None, None) => self.record.inputs.clone().unwrap_or_default(),
            };
            known.insert(node, literals);
        }
        let bound = resolve(bindings, |node, var| known.get(node)?.literals.get(var));
        Ok(bound.map_err(|error| error.node_error()))
    }
}

/// Whether an execution is still there.
async fn is_there(store: &dyn Store, root: &FlowRoot, id: &WorkflowExecutionIdentifier) -> Result<bool, StoreError> {
    match super::view::read_record(store, root, id).await {
        Ok(_) => Ok(true),
        Err(super::ViewError::Store(error)) => Err(error),
        Err(_) => Ok(false),
    }
}

fn unknown(node: &str) -> NodeError {
    NodeError {
        code: "Unknown".to_owned(),
        message: format!("the workflow has no node {node:?}"),
        origin: Origin::System,
        recoverable: false,
    }
}
