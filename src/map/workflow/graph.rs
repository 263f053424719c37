//! A workflow as it runs: its nodes with those of its sub-workflows, and which of them wait for which.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::super::spec::Faults;
use super::compile;
use crate::idl::core::node::Target;
use crate::idl::core::{
    ArrayNode, Binding, CompiledWorkflowClosure, Identifier, IfElseBlock, LaunchPlanTemplate, Node, TaskNodeOverrides,
    TaskTemplate, TypedInterface, WorkflowTemplate,
};

/// The most nodes that a workflow may have, those of its sub-workflows counted every time they are run.
pub const MAX_NODES: usize = 20_000;

/// How deep sub-workflows may lie in one another.
pub const MAX_DEPTH: usize = 16;

/// The id of the node that a workflow's inputs come from. It does not run and is no node of a [`Graph`].
pub const START_NODE: &str = "start-node";

/// The id of the node that a workflow's outputs go to. It does not run and is no node of a [`Graph`].
pub const END_NODE: &str = "end-node";

/// A workflow with its sub-workflows laid out: a DAG of nodes in scopes. Scope 0 is the workflow; each node that runs a
/// sub-workflow opens a scope of its own. Nodes and scopes go by their numbers here, and by unique ids outside.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    pub(super) nodes: Vec<GraphNode>,
    pub(super) scopes: Vec<Scope>,
    pub(super) ids: BTreeMap<String, usize>,
}

/// One node.
#[derive(Clone, Debug, PartialEq)]
pub struct GraphNode {
    pub(super) id: String,
    pub(super) scope: usize,
    pub(super) parent_id: Option<String>,
    pub(super) source: Arc<Node>,
    pub(super) interface: Arc<TypedInterface>,
    pub(super) kind: NodeKind,
    pub(super) retries: u32,
    /// Nodes of the same scope that wait for this one, by number, ascending.
    pub(super) downstream: Vec<usize>,
    /// Nodes of the same scope that this one waits for, by number, ascending.
    pub(super) upstream: Vec<usize>,
}

/// What a node runs.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeKind {
    /// A task, once.
    Task(Arc<TaskTemplate>),
    /// A task for each element of its lists.
    Array(Arc<TaskTemplate>),
    /// A sub-workflow, by the number of its scope.
    Workflow(usize),
    /// One of several nodes, by a condition: those nodes are a scope, by its number.
    Branch(usize),
    /// An execution of its own, of this launch plan.
    Plan(Arc<LaunchPlanTemplate>),
}

/// The nodes of the workflow, or of one run of a sub-workflow, or those that a branch chooses from.
#[derive(Clone, Debug, PartialEq)]
pub struct Scope {
    pub(super) owner: Option<usize>,
    pub(super) template: Arc<WorkflowTemplate>,
    pub(super) nodes: Range<usize>,
    /// Of the nodes of a branch: the scope that their bindings speak of.
    pub(super) around: Option<usize>,
}

impl Graph {
    /// The graph of a registered workflow.
    ///
    /// # Errors
    /// Everything about the workflow that cannot run, each with the node, what is wrong and what to do instead.
    pub fn compile(closure: &CompiledWorkflowClosure) -> Result<Graph, Faults> {
        compile::compile(closure)
    }

    /// Every node, parents before their children; nodes of one scope in the workflow's own order, side by side.
    pub fn nodes(&self) -> &[GraphNode] {
        &self.nodes
    }

    /// Every scope; the first is the workflow's.
    pub fn scopes(&self) -> &[Scope] {
        &self.scopes
    }

    /// The workflow's own scope.
    pub fn root(&self) -> &Scope {
        &self.scopes[0]
    }

    /// The node of this unique id.
    pub fn node(&self, id: &str) -> Option<&GraphNode> {
        self.ids.get(id).map(|&number| &self.nodes[number])
    }

    /// The scope whose outputs [`super::FlowAction::BindOutputs`] asks for: that of the node, or the workflow's.
    pub fn scope_of(&self, node: Option<&str>) -> Option<&Scope> {
        match node {
            None => Some(self.root()),
            Some(id) => self.scopes.get(self.node(id)?.scope_within()?),
        }
    }

    /// The unique id of the node that a binding inside `scope` calls `node`; `None` for the scope's own inputs, which are
    /// those of [`Graph::speaker_id`]'s node, or of the execution.
    pub fn source_id(&self, scope: &Scope, node: &str) -> Option<String> {
        let own = node.is_empty() || node == START_NODE;
        (!own).then(|| unique_id(self.speaker_id(scope), node))
    }

    /// The unique id of the node whose sub-workflow the bindings inside `scope` are written in: around the branches, for
    /// the nodes of branches. `None` for the workflow's own.
    pub fn speaker_id(&self, scope: &Scope) -> Option<&str> {
        self.owner_id(scope.around.map_or(scope, |around| &self.scopes[around]))
    }

    /// The unique id of the node that runs `scope`; `None` for the workflow's own.
    pub fn owner_id(&self, scope: &Scope) -> Option<&str> {
        scope.owner.map(|number| self.nodes[number].id.as_str())
    }

    /// The scope that `node` lies in.
    pub fn scope_around(&self, node: &GraphNode) -> &Scope {
        &self.scopes[node.scope]
    }
}

impl GraphNode {
    /// Unique within the execution: `n0`, or `n1-0-n0` for the node `n0` of the sub-workflow that `n1` runs.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its id within its own workflow: `n0`.
    pub fn spec_id(&self) -> &str {
        &self.source.id
    }

    /// What its author calls it: the function's name, as a rule.
    pub fn name(&self) -> &str {
        let name = self.source.metadata.as_ref().map_or("", |metadata| &metadata.name);
        if name.is_empty() { self.spec_id() } else { name }
    }

    /// The unique id of the node that runs the sub-workflow it lies in.
    pub fn parent(&self) -> Option<&str> {
        self.parent_id.as_deref()
    }

    /// What it runs.
    pub fn kind(&self) -> &NodeKind {
        &self.kind
    }

    /// Whether other nodes run within it.
    pub fn is_parent(&self) -> bool {
        self.scope_within().is_some()
    }

    /// The number of the scope of those nodes.
    pub(super) fn scope_within(&self) -> Option<usize> {
        match self.kind {
            NodeKind::Workflow(scope) | NodeKind::Branch(scope) => Some(scope),
            NodeKind::Task(_) | NodeKind::Array(_) | NodeKind::Plan(_) => None,
        }
    }

    /// The task it runs, once or for each element; `None` where it runs something else.
    pub fn task(&self) -> Option<&Arc<TaskTemplate>> {
        match &self.kind {
            NodeKind::Task(task) | NodeKind::Array(task) => Some(task),
            NodeKind::Workflow(_) | NodeKind::Branch(_) | NodeKind::Plan(_) => None,
        }
    }

    /// The launch plan that it makes an execution of.
    pub fn plan(&self) -> Option<&Arc<LaunchPlanTemplate>> {
        match &self.kind {
            NodeKind::Plan(plan) => Some(plan),
            _ => None,
        }
    }

    /// What it chooses by, where it is a branch.
    pub fn branch(&self) -> Option<&IfElseBlock> {
        match &self.source.target {
            Some(Target::BranchNode(branch)) => branch.if_else.as_deref(),
            _ => None,
        }
    }

    /// The node as it was registered: its metadata, bindings and target.
    pub fn source(&self) -> &Arc<Node> {
        &self.source
    }

    /// The array's terms, where it is one.
    pub fn array(&self) -> Option<&ArrayNode> {
        match &self.source.target {
            Some(Target::ArrayNode(array)) => Some(array),
            _ => None,
        }
    }

    /// What overrides the task's own settings: the node's, or for an array those of the node in it.
    pub fn overrides(&self) -> Option<&TaskNodeOverrides> {
        let holder = match self.array() {
            Some(array) => array.node.as_deref()?,
            None => &*self.source,
        };
        match &holder.target {
            Some(Target::TaskNode(task)) => task.overrides.as_ref(),
            _ => None,
        }
    }

    /// Where its inputs come from.
    pub fn bindings(&self) -> &[Binding] {
        &self.source.inputs
    }

    /// The types of its inputs and outputs; those of an array are lists.
    pub fn interface(&self) -> &TypedInterface {
        &self.interface
    }

    /// The nodes it waits for, by number in [`Graph::nodes`], ascending. All lie in its own scope.
    pub fn upstream(&self) -> &[usize] {
        &self.upstream
    }

    /// The nodes that wait for it, by number in [`Graph::nodes`], ascending. All lie in its own scope.
    pub fn downstream(&self) -> &[usize] {
        &self.downstream
    }

    /// How often the node itself is run again after a recoverable failure. The retries of its task are not these: they
    /// are the business of the map execution that runs it.
    pub fn retries(&self) -> u32 {
        self.retries
    }
}

impl Scope {
    /// The workflow's or sub-workflow's name and version.
    pub fn workflow(&self) -> Option<&Identifier> {
        self.template.id.as_ref()
    }

    /// The types of its inputs and outputs.
    pub fn interface(&self) -> Option<&TypedInterface> {
        self.template.interface.as_ref()
    }

    /// Whether it holds what a branch chooses from: its outputs are those of the node that was taken.
    pub fn is_branch(&self) -> bool {
        self.around.is_some()
    }

    /// Where its outputs come from; those of the workflow around, for the nodes of a branch.
    pub fn outputs(&self) -> &[Binding] {
        &self.template.outputs
    }

    /// The workflow as it was registered.
    pub fn template(&self) -> &Arc<WorkflowTemplate> {
        &self.template
    }

    /// Its nodes, as a range of [`Graph::nodes`].
    pub fn nodes(&self) -> Range<usize> {
        self.nodes.clone()
    }
}

/// The unique id of the node `spec_id` that runs within the node `parent`. The zero is the parent's attempt: a node that
/// runs a sub-workflow has but one.
pub(super) fn unique_id(parent: Option<&str>, spec_id: &str) -> String {
    match parent {
        Some(parent) => format!("{parent}-0-{spec_id}"),
        None => spec_id.to_owned(),
    }
}
