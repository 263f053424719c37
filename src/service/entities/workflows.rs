//! Workflows: compiled when they are registered, so that what they refer to is there and fits.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::Arc;

use futures::{FutureExt, StreamExt, TryStreamExt};
use tonic::{Code, Status};

use super::{Entities, misplaced, short_description};
use crate::idl::admin::{
    ObjectGetRequest, ResourceListRequest, Workflow, WorkflowClosure, WorkflowCreateRequest, WorkflowCreateResponse,
    WorkflowList, WorkflowSpec,
};
use crate::idl::core::{
    CompiledLaunchPlan, CompiledTask, CompiledWorkflow, CompiledWorkflowClosure, Identifier, LaunchPlanTemplate, Node,
    Parameter, TypedInterface, Variable, VariableMap, WorkflowTemplate, if_else_block, node, parameter, task_node,
    workflow_node,
};
use crate::idl::record::Registered;
use crate::idl::record::registered::Spec;
use crate::idl::types::optional;
use crate::map::flyte::{self, Outline, expected};
use crate::map::layout::flyte::Kind;
use crate::map::spec::Faults;
use crate::map::task::Runner;
use crate::map::workflow::graph::Graph;
use crate::service::registry::{identified, shown};
use crate::service::status;

/// Tasks fetched at once.
const AT_ONCE: usize = 16;

/// Nodes of one workflow, those of its sub-workflows included: far more than anybody writes by hand.
const MOST_NODES: usize = 100_000;

/// Faults of nodes that an answer lists at most.
const MOST_FAULTS: usize = 25;

impl Entities {
    /// CreateWorkflow.
    ///
    /// # Errors
    /// INVALID_ARGUMENT with every node that cannot be run, and everything it refers to that is not there.
    pub async fn create_workflow(&self, request: WorkflowCreateRequest) -> Result<WorkflowCreateResponse, Status> {
        let id = identified(Kind::Workflow, request.id)?;
        let mut spec = request.spec.ok_or_else(|| status::invalid("spec is missing: give the workflow"))?;
        let template = spec.template.as_mut();
        let template = template.ok_or_else(|| status::invalid("spec.template is missing: give the workflow"))?;
        template.id = Some(id.clone());
        let compiled = self.compile(&spec).await?;
        let entity = Registered {
            id: Some(id),
            spec: Some(Spec::Workflow(spec)),
            compiled: Some(compiled),
            ..Default::default()
        };
        self.registry.put(Kind::Workflow, entity).await?;
        Ok(WorkflowCreateResponse {})
    }

    /// GetWorkflow.
    ///
    /// # Errors
    /// NOT_FOUND when it is not registered.
    pub async fn get_workflow(&self, request: ObjectGetRequest) -> Result<Workflow, Status> {
        let id = identified(Kind::Workflow, request.id)?;
        let entity = self.registry.get(Kind::Workflow, &id).await?;
        Ok(Workflow {
            closure: Some(WorkflowClosure {
                compiled_workflow: entity.compiled.clone(),
                created_at: entity.created_at,
            }),
            ..summary(&entity)?
        })
    }

    /// ListWorkflows. The closures are left out but for the interface: they may be large, and clients ask for one.
    ///
    /// # Errors
    /// INVALID_ARGUMENT when the request cannot be understood.
    pub async fn list_workflows(&self, request: ResourceListRequest) -> Result<WorkflowList, Status> {
        let told = |entity: Arc<Registered>| ready(summary(&entity).map(Some));
        let (workflows, token) = self.registry.list(Kind::Workflow, &request, told).await?;
        Ok(WorkflowList { workflows, token })
    }

    /// The workflow with all it refers to, checked.
    async fn compile(&self, spec: &WorkflowSpec) -> Result<CompiledWorkflowClosure, Status> {
        let compiled =
            |template: &WorkflowTemplate| CompiledWorkflow { template: Some(template.clone()), connections: None };
        let templates = || spec.template.iter().chain(&spec.sub_workflows);
        let mut wanted: BTreeMap<String, (Identifier, String)> = BTreeMap::new();
        let mut plans: BTreeMap<String, (Identifier, String)> = BTreeMap::new();
        let mut nodes = 0;
        for template in templates() {
            nodes += template.nodes.len();
            if nodes > MOST_NODES {
                return Err(status::invalid(format!("the workflow has more than {MOST_NODES} nodes: split it")));
            }
            let mut open: Vec<&Node> = template.nodes.iter().collect();
            while let Some(node) = open.pop() {
                open.extend(within(node));
                if let Some(id) = task_of(node) {
                    let key = self.registry.root().entity(Kind::Task, id);
                    wanted.entry(key).or_insert_with(|| (id.clone(), node.id.clone()));
                }
                if let Some(id) = plan_of(node) {
                    let key = self.registry.root().entity(Kind::LaunchPlan, id);
                    plans.entry(key).or_insert_with(|| (id.clone(), node.id.clone()));
                }
            }
        }
        let reads: Vec<_> = wanted.into_values().map(|(id, node)| self.task_for(id, node).boxed()).collect();
        let tasks: Vec<CompiledTask> = futures::stream::iter(reads).buffered(AT_ONCE).try_collect().await?;
        let reads: Vec<_> = plans.into_values().map(|(id, node)| self.plan_for(id, node).boxed()).collect();
        let plans = futures::stream::iter(reads).buffered(AT_ONCE).try_collect().await?;
        let closure = CompiledWorkflowClosure {
            primary: spec.template.as_ref().map(compiled),
            sub_workflows: spec.sub_workflows.iter().map(compiled).collect(),
            tasks,
            launch_plans: plans,
        };
        // Not on a thread that answers others: a large workflow takes a while.
        let runner = self.runner;
        let checked =
            tokio::task::spawn_blocking(move || checked(&closure, runner).map(|outlines| (closure, outlines)));
        let checked = checked.await.map_err(|error| {
            status::status(
                Code::Internal,
                format!("the workflow could not be looked at, by a fault of batchmap: {error}"),
            )
        })?;
        let (closure, outlines) = checked.map_err(|faults| status::faults(&faults))?;
        outlines.iter().try_for_each(|(id, outline)| self.check_definition(&format!("node {id}: "), outline))?;
        Ok(closure)
    }

    /// A launch plan as a node sees it: without what is fixed, and with an input that has a default as one that may be
    /// left out.
    async fn plan_for(&self, id: Identifier, node: String) -> Result<CompiledLaunchPlan, Status> {
        let entity = self.registry.get(Kind::LaunchPlan, &id).await.map_err(|error| match error.code() {
            tonic::Code::NotFound => status::invalid(format!(
                "node {node} runs launch plan {}, which is not registered: register it first",
                shown(&id)
            )),
            _ => error,
        })?;
        let Some(Spec::LaunchPlan(spec)) = &entity.spec else { return Err(misplaced(&entity)) };
        let interface = self.interface(spec).await?;
        let variable = |(name, parameter): (String, Parameter)| {
            let variable = parameter.var.unwrap_or_default();
            let left_out = !matches!(parameter.behavior, Some(parameter::Behavior::Required(true)) | None);
            let kind = variable.r#type.clone().map(|kind| if left_out { optional(kind) } else { kind });
            (name, Variable { r#type: kind, ..variable })
        };
        let inputs = expected(spec, &interface).parameters.into_iter().map(variable).collect();
        let interface = TypedInterface { inputs: Some(VariableMap { variables: inputs }), ..interface };
        let template =
            LaunchPlanTemplate { id: Some(id), interface: Some(interface), fixed_inputs: spec.fixed_inputs.clone() };
        Ok(CompiledLaunchPlan { template: Some(template) })
    }

    async fn task_for(&self, id: Identifier, node: String) -> Result<CompiledTask, Status> {
        let entity = self.registry.get(Kind::Task, &id).await.map_err(|error| match error.code() {
            tonic::Code::NotFound => status::invalid(format!(
                "node {node} runs task {}, which is not registered: register it first",
                shown(&id)
            )),
            _ => error,
        })?;
        match &entity.spec {
            Some(Spec::Task(spec)) => Ok(CompiledTask { template: spec.template.clone() }),
            _ => Err(misplaced(&entity)),
        }
    }
}

/// What the nodes of a workflow ask for, by their ids; or what is wrong with it.
fn checked(closure: &CompiledWorkflowClosure, runner: Runner) -> Result<Vec<(String, Outline)>, Faults> {
    let graph = Graph::compile(closure)?;
    let mut faults = Faults::default();
    let mut outlines = Vec::new();
    for node in graph.nodes() {
        let Some(template) = node.task() else { continue };
        match flyte::check_node(template, node.source()) {
            Ok(outline) => outlines.push((node.id().to_owned(), outline)),
            Err(found) => faults.0.extend(found.0),
        }
        let found = flyte::check_runner(template, Some(node.source()), runner).err();
        faults.0.extend(found.into_iter().flat_map(|found| found.0));
        if faults.0.len() >= MOST_FAULTS {
            break;
        }
    }
    faults.or(outlines)
}

/// The nodes that a branch chooses from.
fn within(node: &Node) -> impl Iterator<Item = &Node> {
    let block = match &node.target {
        Some(node::Target::BranchNode(branch)) => branch.if_else.as_deref(),
        _ => None,
    };
    let cases = block.into_iter().flat_map(|block| block.case.as_deref().into_iter().chain(&block.other));
    let otherwise = block.and_then(|block| match &block.default {
        Some(if_else_block::Default::ElseNode(node)) => Some(&**node),
        _ => None,
    });
    cases.filter_map(|case| case.then_node.as_deref()).chain(otherwise)
}

/// The launch plan that a node makes an execution of.
fn plan_of(node: &Node) -> Option<&Identifier> {
    match node.target.as_ref()? {
        node::Target::WorkflowNode(workflow) => match workflow.reference.as_ref()? {
            workflow_node::Reference::LaunchplanRef(id) => Some(id),
            workflow_node::Reference::SubWorkflowRef(_) => None,
        },
        _ => None,
    }
}

/// The task that a node runs, itself or for each element of a list.
fn task_of(node: &Node) -> Option<&Identifier> {
    match node.target.as_ref()? {
        node::Target::TaskNode(task) => match task.reference.as_ref()? {
            task_node::Reference::ReferenceId(id) => Some(id),
        },
        // An array within an array is refused when the graph is made.
        node::Target::ArrayNode(array) => match array.node.as_deref()?.target.as_ref()? {
            node::Target::TaskNode(task) => match task.reference.as_ref()? {
                task_node::Reference::ReferenceId(id) => Some(id),
            },
            _ => None,
        },
        _ => None,
    }
}

fn summary(entity: &Registered) -> Result<Workflow, Status> {
    let Some(Spec::Workflow(spec)) = &entity.spec else { return Err(misplaced(entity)) };
    let template = spec.template.as_ref().map(|template| WorkflowTemplate {
        id: template.id.clone(),
        interface: template.interface.clone(),
        ..Default::default()
    });
    let primary = CompiledWorkflow { template, connections: None };
    let closure = CompiledWorkflowClosure { primary: Some(primary), ..Default::default() };
    Ok(Workflow {
        id: entity.id.clone(),
        closure: Some(WorkflowClosure { compiled_workflow: Some(closure), created_at: entity.created_at }),
        short_description: short_description(spec.description.as_ref()),
    })
}
