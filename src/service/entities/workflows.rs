//! Workflows: compiled when they are registered, so that what they refer to is there and fits.

use std::collections::BTreeMap;

use futures::{FutureExt, StreamExt, TryStreamExt};
use tonic::Status;

use super::{Entities, misplaced, short_description};
use crate::idl::admin::{
    ObjectGetRequest, ResourceListRequest, Workflow, WorkflowClosure, WorkflowCreateRequest, WorkflowCreateResponse,
    WorkflowList, WorkflowSpec,
};
use crate::idl::core::{
    CompiledTask, CompiledWorkflow, CompiledWorkflowClosure, Identifier, Node, WorkflowTemplate, node, task_node,
};
use crate::idl::record::Registered;
use crate::idl::record::registered::Spec;
use crate::map::flyte;
use crate::map::layout::flyte::Kind;
use crate::map::spec::Faults;
use crate::map::workflow::graph::Graph;
use crate::service::registry::{identified, shown};
use crate::service::status;

/// Tasks fetched at once.
const AT_ONCE: usize = 16;

/// Nodes of one workflow, those of its sub-workflows included: far more than anybody writes by hand.
const MOST_NODES: usize = 100_000;

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
        let (page, token) = self.registry.list(Kind::Workflow, &request).await?;
        Ok(WorkflowList { workflows: page.iter().map(|entity| summary(entity)).collect::<Result<_, _>>()?, token })
    }

    /// The workflow with all it refers to, checked.
    async fn compile(&self, spec: &WorkflowSpec) -> Result<CompiledWorkflowClosure, Status> {
        let compiled =
            |template: &WorkflowTemplate| CompiledWorkflow { template: Some(template.clone()), connections: None };
        let templates = || spec.template.iter().chain(&spec.sub_workflows);
        let mut wanted: BTreeMap<String, (Identifier, String)> = BTreeMap::new();
        let mut nodes = 0;
        for template in templates() {
            nodes += template.nodes.len();
            if nodes > MOST_NODES {
                return Err(status::invalid(format!("the workflow has more than {MOST_NODES} nodes: split it")));
            }
            for node in &template.nodes {
                if let Some(id) = task_of(node) {
                    let key = self.registry.root().entity(Kind::Task, id);
                    wanted.entry(key).or_insert_with(|| (id.clone(), node.id.clone()));
                }
            }
        }
        let reads: Vec<_> = wanted.into_values().map(|(id, node)| self.task_for(id, node).boxed()).collect();
        let tasks: Vec<CompiledTask> = futures::stream::iter(reads).buffered(AT_ONCE).try_collect().await?;
        let closure = CompiledWorkflowClosure {
            primary: spec.template.as_ref().map(compiled),
            sub_workflows: spec.sub_workflows.iter().map(compiled).collect(),
            tasks,
            launch_plans: Vec::new(),
        };
        let graph = Graph::compile(&closure).map_err(|faults| status::faults(&faults))?;
        let mut faults = Faults::default();
        let mut outlines = Vec::new();
        for node in graph.nodes() {
            let Some(template) = node.task() else { continue };
            match flyte::check_node(template, node.source()) {
                Ok(outline) => outlines.push((node.id(), outline)),
                Err(found) => faults.0.extend(found.0),
            }
            let found = flyte::check_runner(template, Some(node.source()), self.runner).err();
            faults.0.extend(found.into_iter().flat_map(|found| found.0));
        }
        faults.or(()).map_err(|faults| status::faults(&faults))?;
        outlines.iter().try_for_each(|(id, outline)| self.check_definition(&format!("node {id}: "), outline))?;
        Ok(closure)
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
