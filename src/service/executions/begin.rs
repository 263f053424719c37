//! Beginning executions, anew or from earlier ones, and ending them.

use std::time::SystemTime;

use tonic::{Code, Status};

use super::repeat::{Asked, asked};
use super::{Executions, named, not_begun, unseen};
use crate::idl::admin::execution_metadata::ExecutionMode;
use crate::idl::admin::{
    ExecutionCreateRequest, ExecutionCreateResponse, ExecutionMetadata, ExecutionRecoverRequest,
    ExecutionRelaunchRequest, ExecutionTerminateRequest, ExecutionTerminateResponse, LaunchPlanSpec,
};
use crate::idl::core::{
    Binding, BindingData, CompiledTask, CompiledWorkflow, CompiledWorkflowClosure, Identifier, LiteralMap, Node,
    NodeMetadata, OutputReference, ParameterMap, ResourceType, TaskNode, TaskTemplate, TypedInterface,
    WorkflowExecutionIdentifier, WorkflowMetadata, WorkflowMetadataDefaults, WorkflowTemplate, binding_data, node,
    task_node,
};
use crate::idl::record::FlowRecord;
use crate::idl::record::registered::Spec;
use crate::map::flyte::{check_execution, expected, inherit};
use crate::map::layout::flyte::{FLYTE_VERSION, Kind};
use crate::map::workflow::inputs;
use crate::run::flow::CreateError;
use crate::service::registry::{fits_a_key, identified};
use crate::service::status;

/// Characters of an execution's name.
const LONGEST_NAME: usize = 63;

/// What a launch plan or a task is run as.
struct Launch {
    workflow: CompiledWorkflowClosure,
    expected: ParameterMap,
    fixed: LiteralMap,
    /// What the launch plan says of every execution, where there is one.
    plan: LaunchPlanSpec,
}

impl Executions {
    /// CreateExecution. It is written in one piece as the last step, so a call that fails has left nothing and may be
    /// made again. `caller` is who asks for it, where that is known.
    ///
    /// # Errors
    /// INVALID_ARGUMENT with everything that is wrong with the inputs; NOT_FOUND for what is not registered;
    /// ALREADY_EXISTS for a name that is taken.
    pub async fn create_execution(
        &self,
        request: ExecutionCreateRequest,
        caller: Option<String>,
    ) -> Result<ExecutionCreateResponse, Status> {
        let repeated = request.name.is_empty().then(|| asked(caller.as_deref(), "create", &request));
        let mut spec = request.spec.ok_or_else(|| status::invalid("spec is missing: name what is to be run"))?;
        let id = new_id(request.project, request.domain, request.name)?;
        check_execution(&spec).map_err(|faults| status::faults(&faults))?;
        let launch = self.launch(spec.launch_plan.as_mut()).await?;
        let given = request.inputs.or_else(|| spec.inputs.take()).unwrap_or_default();
        let inputs = inputs(&given, &launch.expected, &launch.fixed).map_err(|faults| status::faults(&faults))?;
        inherit(&mut spec, &launch.plan);
        if spec.max_parallelism == 0 {
            spec.max_parallelism = self.flows.host().max_parallelism;
        }
        let mut metadata = spec.metadata.take().unwrap_or_default();
        metadata.set_mode(ExecutionMode::Manual);
        // What a client says of itself counts only where nobody signs in.
        metadata.principal = caller.unwrap_or(metadata.principal);
        spec.metadata = Some(metadata);
        let record = FlowRecord {
            version: FLYTE_VERSION,
            id: Some(id),
            spec: Some(spec),
            inputs: Some(inputs),
            workflow: Some(launch.workflow),
            created_at: Some(SystemTime::now().into()),
            recovers: None,
        };
        self.begin(record, repeated).await
    }

    /// RelaunchExecution: the same once more.
    ///
    /// # Errors
    /// As [`Executions::create_execution`].
    pub async fn relaunch_execution(
        &self,
        request: ExecutionRelaunchRequest,
        caller: Option<String>,
    ) -> Result<ExecutionCreateResponse, Status> {
        let repeated = request.name.is_empty().then(|| asked(caller.as_deref(), "relaunch", &request));
        let mut record = self.again(request.id.as_ref(), request.name, ExecutionMode::Relaunch, caller).await?;
        if let Some(spec) = record.spec.as_mut() {
            spec.overwrite_cache |= request.overwrite_cache;
        }
        self.begin(record, repeated).await
    }

    /// RecoverExecution: the same once more, taking over what has succeeded.
    ///
    /// # Errors
    /// As [`Executions::create_execution`]; FAILED_PRECONDITION when the earlier one is not over.
    pub async fn recover_execution(
        &self,
        request: ExecutionRecoverRequest,
        caller: Option<String>,
    ) -> Result<ExecutionCreateResponse, Status> {
        let repeated = request.name.is_empty().then(|| asked(caller.as_deref(), "recover", &request));
        let earlier = self.view(request.id.as_ref()).await?;
        if earlier.flow.finished().is_none() {
            let name = request.id.map(|id| id.name).unwrap_or_default();
            let message = format!("execution {name} is not over: terminate it first, or wait for its end");
            return Err(status::status(Code::FailedPrecondition, message));
        }
        let mut record = self.again(request.id.as_ref(), request.name, ExecutionMode::Recovered, caller).await?;
        record.recovers = request.id;
        self.begin(record, repeated).await
    }

    /// TerminateExecution. Its end is asked for when this returns; one that is over stays as it is.
    ///
    /// # Errors
    /// NOT_FOUND when there is none.
    pub async fn terminate_execution(
        &self,
        request: ExecutionTerminateRequest,
        caller: Option<String>,
    ) -> Result<ExecutionTerminateResponse, Status> {
        let id = named(request.id.as_ref())?;
        self.flows.abort(id, &request.cause, caller.as_deref().unwrap_or_default()).await.map_err(unseen)?;
        Ok(ExecutionTerminateResponse {})
    }

    /// Begins an execution; `repeated` tells what was asked for where the client gave it no name.
    async fn begin(&self, mut record: FlowRecord, repeated: Option<Asked>) -> Result<ExecutionCreateResponse, Status> {
        let mut id = record.id.take().unwrap_or_default();
        let turn = repeated.map(|asked| self.repeats.begin(asked, id.name.clone()));
        if let Some(turn) = &turn {
            id.name = turn.name().to_owned();
        }
        record.id = Some(id.clone());
        match (self.flows.create(record).await, turn) {
            (Ok(()), turn) => drop(turn.map(|turn| turn.settle())),
            // It was made by the call before, of which nobody heard.
            (Err(CreateError::Exists(_)), Some(turn)) if turn.again => turn.settle(),
            (Err(error), _) => return Err(not_begun(error)),
        }
        Ok(ExecutionCreateResponse { id: Some(id) })
    }

    /// The record of an earlier execution, for a new one.
    async fn again(
        &self,
        id: Option<&WorkflowExecutionIdentifier>,
        name: String,
        mode: ExecutionMode,
        caller: Option<String>,
    ) -> Result<FlowRecord, Status> {
        let earlier = self.view(id).await?;
        let old = earlier.record.id.clone().unwrap_or_default();
        let mut spec = earlier.record.spec.clone().unwrap_or_default();
        let principal = caller.unwrap_or_else(|| spec.metadata.take().unwrap_or_default().principal);
        let mut metadata =
            ExecutionMetadata { principal, reference_execution: Some(old.clone()), ..Default::default() };
        metadata.set_mode(mode);
        spec.metadata = Some(metadata);
        Ok(FlowRecord {
            id: Some(new_id(old.project, old.domain, name)?),
            spec: Some(spec),
            created_at: Some(SystemTime::now().into()),
            recovers: None,
            ..(*earlier.record).clone()
        })
    }

    /// What is to be run, with all it refers to.
    async fn launch(&self, id: Option<&mut Identifier>) -> Result<Launch, Status> {
        let id = id.ok_or_else(|| status::invalid("spec.launch_plan is missing: name a launch plan or a task"))?;
        let registry = self.entities.registry();
        if id.resource_type() == ResourceType::Task {
            let entity = registry.get(Kind::Task, &identified(Kind::Task, Some(id.clone()))?).await?;
            let Some(Spec::Task(task)) = &entity.spec else { return Err(not_that(id)) };
            let template = task.template.clone().unwrap_or_default();
            let interface = template.interface.clone().unwrap_or_default();
            let (expected, plan) = (expected(&LaunchPlanSpec::default(), &interface), LaunchPlanSpec::default());
            return Ok(Launch {
                workflow: wrapped(id, template, interface),
                expected,
                fixed: LiteralMap::default(),
                plan,
            });
        }
        *id = identified(Kind::LaunchPlan, Some(id.clone()))?;
        let entity = registry.get(Kind::LaunchPlan, id).await?;
        let Some(Spec::LaunchPlan(plan)) = &entity.spec else { return Err(not_that(id)) };
        let workflow = identified(Kind::Workflow, plan.workflow_id.clone())?;
        let workflow = registry.get(Kind::Workflow, &workflow).await?;
        let closure = workflow.compiled.clone().ok_or_else(|| not_that(id))?;
        let template = closure.primary.as_ref().and_then(|primary| primary.template.as_ref());
        let interface = template.and_then(|template| template.interface.clone()).unwrap_or_default();
        let (expected, fixed) = (expected(plan, &interface), plan.fixed_inputs.clone().unwrap_or_default());
        Ok(Launch { workflow: closure, expected, fixed, plan: plan.clone() })
    }
}

fn not_that(id: &Identifier) -> Status {
    status::damaged(&format!("the record of {}", id.name), "it holds an entity of another kind")
}

/// The name of a new execution: the one that is given, or one of our own.
fn new_id(project: String, domain: String, name: String) -> Result<WorkflowExecutionIdentifier, Status> {
    for (part, value) in [("project", &project), ("domain", &domain)] {
        if value.is_empty() {
            return Err(status::invalid(format!("{part} is empty: name the one that the execution is in")));
        }
    }
    let name = if name.is_empty() { own_name() } else { name };
    let fits = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.len() <= LONGEST_NAME
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !fits {
        return Err(status::invalid(format!(
            "name is {name:?}: begin with a small letter, go on with small letters, digits and -, {LONGEST_NAME} \
             characters at most"
        )));
    }
    fits_a_key("the execution's id", &[&project, &domain, &name])?;
    Ok(WorkflowExecutionIdentifier { project, domain, name, ..Default::default() })
}

/// A name that no other execution has: a letter and 19 of the 36 letters and digits.
fn own_name() -> String {
    const DIGITS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let digits = |mut random: u64| {
        std::iter::repeat_with(move || {
            let digit = DIGITS[(random % 36) as usize];
            random /= 36;
            char::from(digit)
        })
    };
    let (one, other) = (digits(crate::run::random()).take(10), digits(crate::run::random()).take(9));
    std::iter::once('a').chain(one).chain(other).collect()
}

/// A workflow of one node for a task that is run by itself.
fn wrapped(id: &Identifier, template: TaskTemplate, interface: TypedInterface) -> CompiledWorkflowClosure {
    let bindings = interface.inputs.iter().flat_map(|inputs| inputs.variables.keys()).map(|var| bound(var, "", var));
    let letters: Vec<char> = id.name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let node_id: String = letters[letters.len().saturating_sub(LONGEST_NAME)..].iter().collect();
    let node_id = if node_id.is_empty() { "n0".to_owned() } else { node_id };
    let outputs = interface.outputs.iter().flat_map(|outputs| outputs.variables.keys());
    let outputs = outputs.map(|var| bound(var, &node_id, var)).collect();
    let target = TaskNode { reference: Some(task_node::Reference::ReferenceId(id.clone())), overrides: None };
    let node = Node {
        id: node_id.clone(),
        metadata: Some(NodeMetadata { name: id.name.clone(), ..Default::default() }),
        inputs: bindings.collect(),
        target: Some(node::Target::TaskNode(target)),
        ..Default::default()
    };
    let workflow = Identifier {
        resource_type: ResourceType::Workflow.into(),
        name: format!(".flytegen.{}", id.name),
        ..id.clone()
    };
    let primary = WorkflowTemplate {
        id: Some(workflow),
        metadata: Some(WorkflowMetadata::default()),
        metadata_defaults: Some(WorkflowMetadataDefaults::default()),
        interface: Some(interface),
        nodes: vec![node],
        outputs,
        failure_node: None,
    };
    CompiledWorkflowClosure {
        primary: Some(CompiledWorkflow { template: Some(primary), connections: None }),
        tasks: vec![CompiledTask { template: Some(template) }],
        ..Default::default()
    }
}

fn bound(var: &str, node_id: &str, source: &str) -> Binding {
    let (node_id, source) = (node_id.to_owned(), source.to_owned());
    let promise = OutputReference { node_id, var: source, attr_path: Vec::new() };
    let binding = BindingData { union: None, value: Some(binding_data::Value::Promise(promise)) };
    Binding { var: var.to_owned(), binding: Some(binding) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let name = |name: &str| new_id("p".to_owned(), "d".to_owned(), name.to_owned()).map(|id| id.name);
        let own = name("").unwrap();
        assert!(own.len() == 20 && own.starts_with('a') && name(&own).is_ok(), "{own}");
        assert_ne!(own, name("").unwrap());
        assert!(name("my-run-1").is_ok() && name(&"a".repeat(63)).is_ok());
        for wrong in ["1x", "-x", "Upper", "a_b", "a/b", "\u{e9}", &"a".repeat(64)] {
            assert_eq!(name(wrong).unwrap_err().code(), Code::InvalidArgument, "{wrong}");
        }
        assert!(new_id(String::new(), "d".to_owned(), String::new()).is_err());
    }
}
