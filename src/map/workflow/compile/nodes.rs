//! The nodes of one workflow: which there are, what each runs, and what cannot run here.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::super::spec::{Fault, suggest};
use super::super::graph::{END_NODE, MAX_NODES, START_NODE};
use super::{ReadNode, Reader, Runs, key};
use crate::idl::core::array_node::SuccessCriteria;
use crate::idl::core::node::Target;
use crate::idl::core::node_metadata::CacheableValue;
use crate::idl::core::workflow_node::Reference;
use crate::idl::core::{
    ArrayNode, Identifier, Node, TaskNode, TaskTemplate, TypedInterface, Variable, VariableMap, WorkflowTemplate,
    task_node,
};
use crate::idl::types::{collection, optional};
use crate::map::flyte::{limits, quality_of_service};

/// The longest id of a node within its workflow.
const MAX_SPEC_ID: usize = 100;

/// Inputs and outputs of all arrays that have an interface of their own.
const MAX_MADE: usize = 1_000_000;

/// What a node cannot be, and what to write instead.
struct Refusal {
    problem: String,
    fix: String,
}

fn refusal<T>(problem: impl Into<String>, fix: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { problem: problem.into(), fix: fix.into() })
}

impl<'a> Reader<'a> {
    /// The nodes of a workflow, without their edges. Those that cannot run are left out, and told.
    pub(super) fn nodes(&mut self, template: &'a WorkflowTemplate) -> Vec<ReadNode<'a>> {
        let mut seen = BTreeSet::new();
        let mut nodes = Vec::new();
        let name = template.id.as_ref().map_or("", |id| &id.name);
        limits::interface(&format!("workflow {name}: "), template.interface.as_ref(), &mut self.faults);
        // Start and end may be among them.
        if template.nodes.len() > MAX_NODES + 2 {
            let problem = format!("it has {} nodes, and {MAX_NODES} are possible", template.nodes.len());
            let fix = "split it into several workflows, or use a map task";
            self.faults.0.push(Fault::missing(format!("workflow {name}"), problem, fix));
            return nodes;
        }
        for node in template.nodes.iter().filter(|node| node.id != START_NODE && node.id != END_NODE) {
            if !seen.insert(&node.id) {
                self.fault(template, node, "another node has the same id", "give each its own node_name");
                continue;
            }
            nodes.extend(self.node(template, node));
        }
        let quality = template.metadata.as_ref().and_then(|metadata| metadata.quality_of_service.as_ref());
        if let Some(quality) = quality {
            quality_of_service(&format!("metadata.quality_of_service of workflow {name}"), quality, &mut self.faults);
        }
        if let Some(handler) = &template.failure_node {
            let fix = "take on_failure from the workflow; clean up in a task that can fail, or watch the execution from outside";
            self.fault(template, handler, "batchmap runs no failure handlers", fix);
        }
        nodes
    }

    /// A node; nothing where it cannot run, which is told.
    pub(super) fn node(&mut self, template: &'a WorkflowTemplate, node: &'a Node) -> Option<ReadNode<'a>> {
        let fault = |reader: &mut Self, Refusal { problem, fix }| reader.fault(template, node, problem, fix);
        if let Some(Target::BranchNode(branch)) = &node.target {
            if let Err(refusal) = plain(node).and_then(|()| whole(node, "branch")) {
                fault(self, refusal);
                return None;
            }
            return self.branch(template, node, branch);
        }
        match self.runs(node) {
            Ok((runs, interface)) => {
                let (upstream, downstream, within) = (Vec::new(), Vec::new(), Vec::new());
                Some(ReadNode { source: node, runs, interface, upstream, downstream, within })
            }
            Err(refusal) => {
                fault(self, refusal);
                None
            }
        }
    }

    /// What a node runs, and the types that go in and out.
    fn runs(&mut self, node: &'a Node) -> Result<(Runs<'a>, Arc<TypedInterface>), Refusal> {
        plain(node)?;
        match &node.target {
            Some(Target::TaskNode(task)) => {
                let task = self.task(task)?;
                Ok((Runs::Task(task), self.shared(task.interface.as_ref())))
            }
            Some(Target::ArrayNode(array)) => self.array(array),
            Some(Target::WorkflowNode(workflow)) => match &workflow.reference {
                Some(Reference::SubWorkflowRef(id)) => self.sub_workflow(node, id),
                Some(Reference::LaunchplanRef(id)) => self.plan(node, id),
                None => refusal("it refers to no workflow", "register it again with pyflyte"),
            },
            // Looked at before: it holds nodes of its own.
            Some(Target::BranchNode(_)) => refusal("it is a branch", "register it again with pyflyte"),
            Some(Target::GateNode(_)) => refusal(
                "it is a gate (approve, wait_for_input, sleep), and batchmap waits for nobody",
                "split the workflow there, and start the second part by hand",
            ),
            None => refusal("it runs nothing", "register it again with pyflyte"),
        }
    }

    fn task(&self, node: &TaskNode) -> Result<&'a TaskTemplate, Refusal> {
        let Some(task_node::Reference::ReferenceId(id)) = &node.reference else {
            return refusal("it refers to no task", "register it again with pyflyte");
        };
        let Some(task) = self.tasks.get(&key(id)).copied() else {
            let problem = format!("the task {} of version {} is not there", id.name, id.version);
            return refusal(problem, "register the task first: pyflyte register does so");
        };
        if task.metadata.as_ref().is_some_and(|metadata| metadata.is_eager) {
            return refusal(
                "it is eager: it would start executions from inside its container",
                "make it a @workflow, or start the executions from outside",
            );
        }
        Ok(task)
    }

    /// An interface of the closure, copied once.
    fn shared(&mut self, interface: Option<&'a TypedInterface>) -> Arc<TypedInterface> {
        let address = interface.map_or(0, |interface| std::ptr::from_ref(interface) as usize);
        let copy = || Arc::new(interface.cloned().unwrap_or_default());
        Arc::clone(self.interfaces.entry(address).or_insert_with(copy))
    }

    fn array(&mut self, array: &'a ArrayNode) -> Result<(Runs<'a>, Arc<TypedInterface>), Refusal> {
        let inner = array.node.as_deref().and_then(|node| node.target.as_ref());
        match inner {
            Some(Target::TaskNode(task)) => {
                let task = self.task(task)?;
                // flytekit's map_task registers the task with its lists; only other arrays have those of one element.
                if array.is_original_sub_node_interface != Some(true) {
                    return Ok((Runs::Array(task), self.shared(task.interface.as_ref())));
                }
                let own = task.interface.clone().unwrap_or_default();
                let count = |map: &Option<VariableMap>| map.as_ref().map_or(0, |map| map.variables.len());
                self.made += count(&own.inputs) + count(&own.outputs);
                if self.made > MAX_MADE {
                    let problem = format!("the arrays of the workflow have more than {MAX_MADE} inputs and outputs");
                    return refusal(problem, "split it into several workflows");
                }
                Ok((Runs::Array(task), Arc::new(listed(own, array))))
            }
            Some(Target::WorkflowNode(workflow)) => {
                let what = match &workflow.reference {
                    Some(Reference::LaunchplanRef(_)) => "a launch plan",
                    _ => "a sub-workflow",
                };
                let problem = format!("it maps over {what}, and batchmap maps over tasks");
                refusal(problem, "map over a task; what the workflow does for one element can be one task")
            }
            Some(_) => refusal("it maps over a node that is no task", "map over a task"),
            None => refusal("it maps over nothing", "register it again with pyflyte"),
        }
    }

    fn sub_workflow(&mut self, node: &Node, id: &'a Identifier) -> Result<(Runs<'a>, Arc<TypedInterface>), Refusal> {
        let Some(template) = self.workflows.get(&key(id)).copied() else {
            let problem = format!("the sub-workflow {} of version {} is not there", id.name, id.version);
            return refusal(problem, "register it together with this one: pyflyte register does so");
        };
        whole(node, "sub-workflow")?;
        Ok((Runs::Workflow(key(id)), self.shared(template.interface.as_ref())))
    }

    fn plan(&mut self, node: &Node, id: &Identifier) -> Result<(Runs<'a>, Arc<TypedInterface>), Refusal> {
        let Some(plan) = self.plans.get(&key(id)).copied() else {
            let problem = format!("the launch plan {} of version {} is not there", id.name, id.version);
            return refusal(problem, "register it first: pyflyte register does so");
        };
        whole(node, "launch plan")?;
        Ok((Runs::Plan(plan), self.shared(plan.interface.as_ref())))
    }

    /// A fault of a workflow's outputs.
    pub(super) fn outputs_fault(&mut self, template: &WorkflowTemplate, problem: String, fix: String) {
        let name = template.id.as_ref().map_or("", |id| &id.name);
        self.faults.0.push(Fault::missing(format!("outputs of workflow {name}"), problem, fix));
    }
}

/// What no node may have.
fn plain(node: &Node) -> Result<(), Refusal> {
    check_id(&node.id)?;
    if !node.output_aliases.is_empty() {
        return refusal("it renames its outputs (aliases)", "use the outputs under their own names");
    }
    if let Some((key, value)) = node.metadata.iter().flat_map(|metadata| &metadata.config).next() {
        return refusal(format!("its metadata.config.{key} is {value:?}, and nothing reads it"), "leave it out");
    }
    Ok(())
}

/// What only a node that runs a task may have. `what` is what this one runs instead.
fn whole(node: &Node, what: &str) -> Result<(), Refusal> {
    let metadata = node.metadata.clone().unwrap_or_default();
    if own_retries(node) > 0 {
        let fix = "put the retries on the tasks in it";
        return refusal(format!("it has retries, and a {what} is not run again as a whole"), fix);
    }
    if metadata.timeout.is_some_and(|timeout| timeout.seconds != 0 || timeout.nanos != 0) {
        let fix = "put the timeouts on the tasks in it";
        return refusal(format!("it has a timeout, and a {what} is not stopped as a whole"), fix);
    }
    if metadata.cacheable_value == Some(CacheableValue::Cacheable(true)) {
        let fix = "cache the tasks in it";
        return refusal(format!("it is to be cached, and a {what} is not cached as a whole"), fix);
    }
    Ok(())
}

fn check_id(id: &str) -> Result<(), Refusal> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if id.is_empty() || id.len() > MAX_SPEC_ID || !id.chars().all(plain) {
        let problem = "its id must be letters, digits, '-', '_' and '.'";
        return refusal(problem, format!("give it a node_name of 1 to {MAX_SPEC_ID} of them"));
    }
    Ok(())
}

/// The interface of an array over a task of one element: lists of what is not bound, and lists of what comes out.
fn listed(interface: TypedInterface, array: &ArrayNode) -> TypedInterface {
    let all_count = match array.success_criteria {
        Some(SuccessCriteria::MinSuccessRatio(ratio)) => ratio >= 1.0,
        Some(SuccessCriteria::MinSuccesses(_)) => false,
        None => true,
    };
    let list = |variable: Variable, may_fail: bool| {
        let element = variable.r#type.unwrap_or_default();
        let element = if may_fail { optional(element) } else { element };
        Variable { r#type: Some(collection(element)), ..variable }
    };
    let input = |(name, variable): (String, Variable)| {
        let bound = array.bound_inputs.contains(&name);
        (name, if bound { variable } else { list(variable, false) })
    };
    let inputs = interface.inputs.unwrap_or_default().variables.into_iter().map(input).collect();
    let outputs = interface.outputs.unwrap_or_default().variables.into_iter();
    let outputs = outputs.map(|(name, variable)| (name, list(variable, !all_count))).collect();
    TypedInterface {
        inputs: Some(VariableMap { variables: inputs }),
        outputs: Some(VariableMap { variables: outputs }),
    }
}

fn own_retries(node: &Node) -> u32 {
    let retries = node.metadata.as_ref().and_then(|metadata| metadata.retries.as_ref());
    retries.map_or(0, |retries| retries.retries)
}

/// How often the node itself is run again. A task's retries are made by its map execution, child by child; an array's
/// outer node has none of its own unless somebody has set them.
pub(super) fn retries(node: &ReadNode<'_>) -> u32 {
    match node.runs {
        Runs::Array(_) => own_retries(node.source),
        Runs::Task(_) | Runs::Workflow(_) | Runs::Branch | Runs::Plan(_) => 0,
    }
}

/// What to do about an output or input that a binding names and that is not there.
pub(super) fn suggest_variable(name: &str, known: Option<&VariableMap>) -> String {
    let none = VariableMap::default();
    suggest(name, known.unwrap_or(&none).variables.keys().map(String::as_str))
}
