//! A registered workflow to a [`Graph`]: every workflow that it uses is read once, then all are laid out.

mod bindings;
mod branches;
mod nodes;
mod order;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::super::spec::{Fault, Faults};
use super::graph::{Graph, GraphNode, MAX_DEPTH, MAX_NODES, NodeKind, Scope, unique_id};
use crate::idl::core::{
    CompiledWorkflow, CompiledWorkflowClosure, Identifier, LaunchPlanTemplate, Node, TaskTemplate, TypedInterface,
    WorkflowTemplate,
};

/// The most faults that a refusal lists: it must fit into the headers of an answer.
const MAX_FAULTS: usize = 25;

/// Characters of each part of a fault.
const MAX_TEXT: usize = 300;

/// The most edges between nodes, those of sub-workflows counted every time they are run.
const MAX_EDGES: usize = 1_000_000;

/// The longest unique id: it is part of keys in S3, which end at 1024 bytes.
const MAX_ID: usize = 200;

/// What a task or workflow goes by: project, domain, name, version.
type Key<'a> = (&'a str, &'a str, &'a str, &'a str);

fn key(id: &Identifier) -> Key<'_> {
    (&id.project, &id.domain, &id.name, &id.version)
}

/// A workflow that was read: its nodes, checked, with their edges.
struct Read<'a> {
    template: &'a WorkflowTemplate,
    nodes: Vec<ReadNode<'a>>,
    /// Nodes and edges of it and of all that it runs, and how deep that goes.
    size: Size,
}

/// A node that was read.
struct ReadNode<'a> {
    source: &'a Node,
    runs: Runs<'a>,
    interface: Arc<TypedInterface>,
    upstream: Vec<usize>,
    downstream: Vec<usize>,
    /// Of a branch: what it chooses from.
    within: Vec<ReadNode<'a>>,
}

/// What a node refers to.
#[derive(Clone, Copy)]
enum Runs<'a> {
    Task(&'a TaskTemplate),
    Array(&'a TaskTemplate),
    Workflow(Key<'a>),
    Branch,
    Plan(&'a LaunchPlanTemplate),
}

#[derive(Clone, Copy, Default)]
struct Size {
    nodes: usize,
    edges: usize,
    depth: usize,
    /// Bytes of the longest unique id.
    id: usize,
}

impl Size {
    /// Takes in what lies beside it.
    fn add(&mut self, other: Size) {
        self.nodes = self.nodes.saturating_add(other.nodes);
        self.edges = self.edges.saturating_add(other.edges);
        self.depth = self.depth.max(other.depth);
        self.id = self.id.max(other.id);
    }
}

/// Everything that a closure holds, and what has been found out about it.
struct Reader<'a> {
    workflows: BTreeMap<Key<'a>, &'a WorkflowTemplate>,
    tasks: BTreeMap<Key<'a>, &'a TaskTemplate>,
    plans: BTreeMap<Key<'a>, &'a LaunchPlanTemplate>,
    read: BTreeMap<Key<'a>, Read<'a>>,
    /// Workflows that are being read: one that refers to them would run for ever.
    within: BTreeSet<Key<'a>>,
    /// The interface of each task and sub-workflow, once for all nodes that run it; by its address in the closure.
    interfaces: BTreeMap<usize, Arc<TypedInterface>>,
    /// Variables of the interfaces that were made for single nodes.
    made: usize,
    /// The first [`MAX_FAULTS`].
    faults: Faults,
    /// How many there are besides.
    more: usize,
}

/// See [`Graph::compile`].
pub(super) fn compile(closure: &CompiledWorkflowClosure) -> Result<Graph, Faults> {
    let template = |workflow: &'_ CompiledWorkflow| workflow.template.is_some();
    let Some(primary) = closure.primary.as_ref().filter(|primary| template(primary)) else {
        return Err(Fault::missing("workflow", "it has no template", "register it with pyflyte").into());
    };
    let Some(primary) = &primary.template else { return Err(Faults::default()) };
    let sub_workflows = closure.sub_workflows.iter().filter_map(|workflow| workflow.template.as_ref());
    let tasks = closure.tasks.iter().filter_map(|task| task.template.as_ref());
    let plans = closure.launch_plans.iter().filter_map(|plan| plan.template.as_ref());
    let mut reader = Reader {
        plans: plans.filter_map(|plan| Some((key(plan.id.as_ref()?), plan))).collect(),
        workflows: sub_workflows.filter_map(|workflow| Some((key(workflow.id.as_ref()?), workflow))).collect(),
        tasks: tasks.filter_map(|task| Some((key(task.id.as_ref()?), task))).collect(),
        read: BTreeMap::new(),
        within: BTreeSet::new(),
        interfaces: BTreeMap::new(),
        made: 0,
        faults: Faults::default(),
        more: 0,
    };
    let none = Identifier::default();
    let primary_id = primary.id.as_ref().unwrap_or(&none);
    reader.read(key(primary_id), primary, 0);
    if reader.faults.0.is_empty() {
        reader.check_size(key(primary_id));
    }
    if !reader.faults.0.is_empty() {
        return Err(shortened(reader.faults, reader.more));
    }
    lay_out(&reader, key(primary_id)).map_err(Faults::from)
}

/// The faults that an answer has room for.
fn shortened(mut faults: Faults, more: usize) -> Faults {
    let more = more + faults.0.len().saturating_sub(MAX_FAULTS);
    if more > 0 {
        faults.0.truncate(MAX_FAULTS);
        faults.0.push(Fault::missing(format!("... and {more} more"), "", ""));
    }
    for fault in &mut faults.0 {
        for text in [&mut fault.field, &mut fault.problem, &mut fault.fix] {
            cut(text);
        }
    }
    faults
}

/// Cuts a text to what one part of a fault may take: names are as long as who registers them likes.
fn cut(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(MAX_TEXT) {
        text.truncate(end);
        text.push_str("...");
    }
}

impl<'a> Reader<'a> {
    /// Reads a workflow and all that it runs, each once.
    fn read(&mut self, id: Key<'a>, template: &'a WorkflowTemplate, depth: usize) {
        self.within.insert(id);
        let mut nodes = self.nodes(template);
        self.order(template, &mut nodes);
        let mut size = Size::default();
        for node in &nodes {
            size.add(self.measure(template, node, depth));
        }
        size.depth += 1;
        self.within.remove(&id);
        self.read.insert(id, Read { template, nodes, size });
    }

    /// The size of a node with all that runs in it; sub-workflows are read on the way.
    fn measure(&mut self, template: &WorkflowTemplate, node: &ReadNode<'a>, depth: usize) -> Size {
        let own = node.source.id.len();
        let mut size = Size { nodes: 1, edges: node.upstream.len(), depth: 0, id: own };
        let mut within = Size::default();
        if let Runs::Workflow(inner) = node.runs {
            self.enter(template, node.source, inner, depth + 1);
            within.add(self.read.get(&inner).map(|read| read.size).unwrap_or_default());
        }
        for inner in &node.within {
            within.add(self.measure(template, inner, depth + 1));
            within.depth = within.depth.max(1);
        }
        if !node.within.is_empty() {
            within.depth += 1;
        }
        if within.id > 0 {
            within.id += own + "-0-".len();
        }
        size.add(within);
        size
    }

    /// Reads the sub-workflow that a node runs, unless that has been done.
    fn enter(&mut self, template: &WorkflowTemplate, node: &Node, inner: Key<'a>, depth: usize) {
        if self.within.contains(&inner) {
            let problem = format!("it runs the workflow {}, which runs this one", inner.2);
            self.fault(
                template,
                node,
                problem,
                "a workflow cannot contain itself: make the recursion a loop in a task",
            );
            return;
        }
        if depth >= MAX_DEPTH {
            let problem = format!("sub-workflows lie more than {MAX_DEPTH} deep in one another");
            self.fault(template, node, problem, "call some of the inner ones from the outer workflow");
            return;
        }
        if self.read.contains_key(&inner) {
            return;
        }
        if let Some(template) = self.workflows.get(&inner).copied() {
            self.read(inner, template, depth);
        }
    }

    /// What only shows when everything is laid out.
    fn check_size(&mut self, primary: Key<'_>) {
        let size = self.read.get(&primary).map(|read| read.size).unwrap_or_default();
        let field = format!("workflow {}", primary.2);
        let limits = [
            ("nodes", size.nodes, MAX_NODES, "split it into several workflows, or use a map task"),
            ("dependencies between nodes", size.edges, MAX_EDGES, "let a node in between collect them"),
            ("levels of sub-workflows", size.depth, MAX_DEPTH, "call some of the inner ones from the outer workflow"),
            ("bytes in the longest node id", size.id, MAX_ID, "give the nodes shorter names"),
        ];
        for (what, found, limit, fix) in limits {
            if found > limit {
                let problem = format!("it has {found} {what}, and {limit} are possible");
                self.faults.0.push(Fault::missing(field.clone(), problem, fix));
            }
        }
    }

    /// A fault of a node.
    fn fault(&mut self, template: &WorkflowTemplate, node: &Node, problem: impl Into<String>, fix: impl Into<String>) {
        if self.faults.0.len() >= MAX_FAULTS {
            self.more += 1;
            return;
        }
        self.faults.0.push(Fault::missing(place(template, node), problem, fix));
    }
}

/// How a node is named to its author.
fn place(template: &WorkflowTemplate, node: &Node) -> String {
    let workflow = template.id.as_ref().map_or("", |id| &id.name);
    let name = node.metadata.as_ref().map_or("", |metadata| &metadata.name);
    let name = if name.is_empty() || *name == node.id { String::new() } else { format!(" ({name})") };
    format!("node {}{name} of workflow {workflow}", node.id)
}

/// A scope that is to be laid out.
struct Opened<'r, 'a> {
    template: &'a WorkflowTemplate,
    nodes: &'r [ReadNode<'a>],
    /// The node that runs it.
    owner: Option<usize>,
    /// Of a branch's: the scope that its bindings speak of.
    around: Option<usize>,
}

/// Lays out a workflow that was read without a fault, scope by scope, so that the nodes of each lie side by side.
fn lay_out<'a>(reader: &Reader<'a>, primary: Key<'a>) -> Result<Graph, Fault> {
    let mut shared = Shared::default();
    let mut graph = Graph { nodes: Vec::new(), scopes: Vec::new(), ids: BTreeMap::new() };
    let of_workflow = |id: Key<'a>, owner| {
        let read = reader.read.get(&id)?;
        Some(Opened { template: read.template, nodes: &read.nodes, owner, around: None })
    };
    let mut waiting: VecDeque<Opened<'_, 'a>> = of_workflow(primary, None).into_iter().collect();
    while let Some(Opened { template, nodes, owner, around }) = waiting.pop_front() {
        let (scope, first) = (graph.scopes.len(), graph.nodes.len());
        let parent_id = owner.map(|number: usize| graph.nodes[number].id.clone());
        for node in nodes {
            let number = graph.nodes.len();
            // The scopes that wait come next, in their order.
            let next = scope + 1 + waiting.len();
            let kind = match node.runs {
                Runs::Task(task) => NodeKind::Task(shared.task(task)),
                Runs::Array(task) => NodeKind::Array(shared.task(task)),
                Runs::Plan(plan) => NodeKind::Plan(shared.plan(plan)),
                Runs::Workflow(inner) => {
                    waiting.extend(of_workflow(inner, Some(number)));
                    NodeKind::Workflow(next)
                }
                Runs::Branch => {
                    let around = Some(around.unwrap_or(scope));
                    waiting.push_back(Opened { template, nodes: &node.within, owner: Some(number), around });
                    NodeKind::Branch(next)
                }
            };
            let unique = unique_id(parent_id.as_deref(), &node.source.id);
            if graph.ids.insert(unique.clone(), number).is_some() {
                let problem = format!("two nodes would be {unique}, one of them within a sub-workflow");
                return Err(Fault::missing(place(template, node.source), problem, "give it another node_name"));
            }
            graph.nodes.push(GraphNode {
                id: unique,
                scope,
                parent_id: parent_id.clone(),
                source: shared.node(node.source),
                interface: Arc::clone(&node.interface),
                retries: nodes::retries(node),
                kind,
                downstream: node.downstream.iter().map(|at| first + at).collect(),
                upstream: node.upstream.iter().map(|at| first + at).collect(),
            });
        }
        let template = shared.workflow(template);
        graph.scopes.push(Scope { owner, template, nodes: first..graph.nodes.len(), around });
    }
    Ok(graph)
}

/// One copy of each template, however many nodes use it; by its address in the closure.
#[derive(Default)]
struct Shared {
    tasks: BTreeMap<usize, Arc<TaskTemplate>>,
    nodes: BTreeMap<usize, Arc<Node>>,
    workflows: BTreeMap<usize, Arc<WorkflowTemplate>>,
    plans: BTreeMap<usize, Arc<LaunchPlanTemplate>>,
}

impl Shared {
    fn plan(&mut self, plan: &LaunchPlanTemplate) -> Arc<LaunchPlanTemplate> {
        one(&mut self.plans, plan)
    }

    fn task(&mut self, task: &TaskTemplate) -> Arc<TaskTemplate> {
        one(&mut self.tasks, task)
    }

    fn node(&mut self, node: &Node) -> Arc<Node> {
        one(&mut self.nodes, node)
    }

    fn workflow(&mut self, workflow: &WorkflowTemplate) -> Arc<WorkflowTemplate> {
        one(&mut self.workflows, workflow)
    }
}

fn one<T: Clone>(copies: &mut BTreeMap<usize, Arc<T>>, original: &T) -> Arc<T> {
    let address = std::ptr::from_ref(original) as usize;
    Arc::clone(copies.entry(address).or_insert_with(|| Arc::new(original.clone())))
}
