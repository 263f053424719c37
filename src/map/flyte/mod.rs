//! A Flyte task as a [`MapTask`]: what flytekit registers, and what a workflow's node says of it, in batchmap's words.
//!
//! | in Flyte | here |
//! | --- | --- |
//! | a task node | a task without mapped inputs: one plain job |
//! | an ArrayNode; a task of type `container_array` | a map over the lists among its inputs |
//! | `pyflyte-execute`, `pyflyte-map-execute` | [`FlyteKind::Single`](super::task::FlyteKind), `FlyteKind::Map` |
//! | a raw container | `FlyteKind::Container`: the copilot's convention |
//! | retries, timeout, interruptible, cache | [`Policy`](super::task::Policy): the node's word before the task's |
//! | requests and limits | the larger of both: Batch gives a container one amount |
//!
//! What Batch has no words for is refused with the name of the field, at registration by [`check_task`] and
//! [`check_node`], so that nothing is left out in silence.

use std::collections::BTreeMap;

use super::spec::{Fault, Faults};
use super::task::{BatchOptions, MapTask, Resources, Runner};
use crate::idl::core::literal::Value;
use crate::idl::core::node::Target;
use crate::idl::core::{ArrayNode, Identifier, Literal, LiteralMap, Node, TaskTemplate};
use crate::map::inject::Injection;

mod batch;
mod command;
mod container;
mod environment;
mod inputs;
pub mod left;
pub(in crate::map) mod limits;
mod policy;
mod quantity;
mod refuse;
mod resources;
pub mod stock;
mod structs;
pub mod template;
mod terms;

use self::container::Source;
use self::inputs::Mapping;
pub(in crate::map) use self::terms::quality_of_service;
pub use self::terms::{check_activation, check_execution, check_launch_plan, expected, inherit};

/// The type of a map task as flytekit had it before the ArrayNode.
pub const CONTAINER_ARRAY: &str = "container_array";

/// What an execution says of all its tasks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// The execution's project.
    pub project: String,
    /// The execution's domain.
    pub domain: String,
    /// The execution's name.
    pub execution: String,
    /// The workflow that is run.
    pub workflow: Option<Identifier>,
    /// The launch plan that it is run by.
    pub launch_plan: Option<Identifier>,
    /// Added to the environment of every task, over the task's own.
    pub envs: BTreeMap<String, String>,
    /// Whether tasks run on the interruptible queue, whatever they say themselves.
    pub interruptible: Option<bool>,
    /// The same of tasks that say nothing: the workflow's default.
    pub interruptible_default: bool,
    /// Run everything, and put the new outputs in the place of cached ones.
    pub overwrite_cache: bool,
    /// Children at once of a map that says nothing itself; 0 is unbounded.
    pub max_parallelism: u32,
    /// Where files go, as `s3://BUCKET/PREFIX`; each task's own place when absent.
    pub raw_output_prefix: Option<String>,
    /// Labels of the execution: tags of its jobs.
    pub labels: BTreeMap<String, String>,
    /// Who runs commands inside the containers: what the images hold.
    pub runner: Runner,
    /// How the worker gets beside images that hold none.
    pub injection: Option<Injection>,
}

/// Why a task cannot be run with these inputs: always the user's to correct.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{faults}")]
pub struct Refused {
    /// Flyte's code: [`INVALID_LENGTH`] or [`BAD_TASK`].
    pub code: &'static str,
    /// Everything that is wrong.
    pub faults: Faults,
}

/// The code of lists of different lengths.
pub const INVALID_LENGTH: &str = "InvalidArrayLength";
/// The code of everything else that cannot be run.
pub const BAD_TASK: &str = "BadTaskSpecification";

impl From<Faults> for Refused {
    fn from(faults: Faults) -> Self {
        Refused { code: BAD_TASK, faults }
    }
}

/// What becomes of the outputs of the subtasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// There is one subtask: its outputs are the node's ([`unlisted`]).
    Single,
    /// Each output of the node is the list of the subtasks'.
    List,
}

/// What becomes of the outputs of `node`, which runs `template`.
pub fn shape(template: &TaskTemplate, node: &Node) -> Shape {
    match &node.target {
        Some(Target::ArrayNode(_)) => Shape::List,
        _ if template.r#type == CONTAINER_ARRAY => Shape::List,
        _ => Shape::Single,
    }
}

/// The outputs of a node of [`Shape::Single`] from the lists that a map with one subtask gives.
pub fn unlisted(outputs: LiteralMap) -> LiteralMap {
    let first = |literal: Literal| match literal.value {
        Some(Value::Collection(mut list)) if list.literals.len() == 1 => list.literals.remove(0),
        value => Literal { value, ..literal },
    };
    LiteralMap { literals: outputs.literals.into_iter().map(|(name, literal)| (name, first(literal))).collect() }
}

/// `node`, a task node or an ArrayNode, as a task to launch: it runs `template` on `inputs`, which are the node's own.
///
/// # Errors
/// Everything that Batch has no words for, and inputs that do not fit the interface or each other.
pub fn map_task(
    template: &TaskTemplate,
    node: &Node,
    inputs: &LiteralMap,
    options: &Options,
) -> Result<MapTask, Refused> {
    match &node.target {
        Some(Target::ArrayNode(array)) => self::array(template, node, array, inputs, options),
        _ if template.r#type == CONTAINER_ARRAY => legacy(template, node, inputs, options),
        _ => single(template, node, inputs, options),
    }
}

/// A task node: every input is bound.
///
/// # Errors
/// As [`map_task`].
pub fn single(
    template: &TaskTemplate,
    node: &Node,
    inputs: &LiteralMap,
    options: &Options,
) -> Result<MapTask, Refused> {
    build(Source::new(template, vec![node], None), &Mapping::None, inputs, options)
}

/// An ArrayNode: the lists among its inputs are mapped, but for those that it names as bound.
///
/// # Errors
/// As [`map_task`]; lists of different lengths with [`INVALID_LENGTH`].
pub fn array(
    template: &TaskTemplate,
    node: &Node,
    array: &ArrayNode,
    inputs: &LiteralMap,
    options: &Options,
) -> Result<MapTask, Refused> {
    // What is said of the elements stands before what is said of the whole.
    let nodes = array.node.as_deref().into_iter().chain([node]).collect();
    let mapping = Mapping::of_array(array);
    build(Source::new(template, nodes, Some(array)), &mapping, inputs, options)
}

/// A task of type [`CONTAINER_ARRAY`]: the lists among its inputs are mapped, but for those that its command binds.
///
/// # Errors
/// As [`array()`].
pub fn legacy(
    template: &TaskTemplate,
    node: &Node,
    inputs: &LiteralMap,
    options: &Options,
) -> Result<MapTask, Refused> {
    let source = Source::new(template, vec![node], None);
    let mapping = Mapping::of_command(&source.words());
    build(source, &mapping, inputs, options)
}

/// What a job definition follows from.
#[derive(Clone, Debug, PartialEq)]
pub struct Outline {
    /// The container image.
    pub image: Option<String>,
    /// What the container gets.
    pub resources: Resources,
    /// Platform and secrets are the definition's.
    pub batch: BatchOptions,
}

fn outline(source: &Source, faults: &mut Faults) -> Outline {
    let target = source.target(faults);
    policy::policy(source, &Options::default(), faults);
    let batch = batch::options(source, &Options::default(), target.resources.memory_mib, faults);
    Outline { image: Some(target.image).filter(|image| !image.is_empty()), resources: target.resources, batch }
}

/// Checks a task when it is registered: everything that can be told without inputs. Nodes may still lay other resources
/// and another image over it.
///
/// # Errors
/// Every field that Batch has no words for.
pub fn check_task(template: &TaskTemplate) -> Result<Outline, Faults> {
    let mut faults = Faults::default();
    refuse::task(template, &mut faults);
    let source = Source::new(template, Vec::new(), None);
    let outline = outline(&source, &mut faults);
    faults.or(outline)
}

/// Checks a task node or an ArrayNode when its workflow is registered.
///
/// # Errors
/// Every field that Batch has no words for, after the node's id.
pub fn check_node(template: &TaskTemplate, node: &Node) -> Result<Outline, Faults> {
    let mut faults = Faults::default();
    refuse::node(node, &mut faults);
    let (nodes, array) = match &node.target {
        Some(Target::ArrayNode(array)) => (array.node.as_deref().into_iter().chain([node]).collect(), Some(&**array)),
        _ => (vec![node], None),
    };
    let source = Source::new(template, nodes, array);
    let outline = outline(&source, &mut faults);
    let of_node = |fault: Fault| Fault { field: format!("node {}: {}", node.id, fault.field), ..fault };
    Faults(faults.0.into_iter().map(of_node).collect()).or(outline)
}

/// Checks that a task, as it is used by `node` where one is given, can be run by this runner: what needs batchmap's worker
/// has none in a stock image.
///
/// # Errors
/// Every field that asks for more, after the node's id.
pub fn check_runner(template: &TaskTemplate, node: Option<&Node>, runner: Runner) -> Result<(), Faults> {
    // What else is wrong is found by the other checks.
    let mut ignored = Faults::default();
    let (nodes, array) = match node.and_then(|node| node.target.as_ref()) {
        Some(Target::ArrayNode(array)) => (array.node.as_deref().into_iter().chain(node).collect(), Some(&**array)),
        _ => (node.into_iter().collect(), None),
    };
    let source = Source::new(template, nodes, array);
    let mapping = match array {
        Some(array) => Mapping::of_array(array),
        None if template.r#type == CONTAINER_ARRAY => Mapping::of_command(&source.words()),
        None => Mapping::None,
    };
    let target = source.target(&mut ignored);
    let policy = policy::policy(&source, &Options::default(), &mut ignored);
    let environment = environment::environment(&source, &target, &Options::default(), &mut ignored);
    let mut faults = Faults::default();
    let (command, kind) = stock::command(target.command, target.kind.0, &mapping, runner, &mut faults);
    stock::check(&command, kind, &policy, &environment, runner, &mut faults);
    let place = node.map(|node| format!("node {}: ", node.id)).unwrap_or_default();
    let of_node = |fault: Fault| Fault { field: format!("{place}{}", fault.field), ..fault };
    Faults(faults.0.into_iter().map(of_node).collect()).or(())
}

fn build(source: Source, mapping: &Mapping, inputs: &LiteralMap, options: &Options) -> Result<MapTask, Refused> {
    let mut faults = Faults::default();
    refuse::task(source.template, &mut faults);
    if let Some(node) = source.nodes.last() {
        refuse::node(node, &mut faults);
    }
    let target = source.target(&mut faults);
    let policy = policy::policy(&source, options, &mut faults);
    let batch = batch::options(&source, options, target.resources.memory_mib, &mut faults);
    let environment = environment::environment(&source, &target, options, &mut faults);
    let (command, kind) = stock::command(target.command, target.kind.0, mapping, options.runner, &mut faults);
    stock::check(&command, kind, &policy, &environment, options.runner, &mut faults);
    let converted = inputs::inputs(source.template, mapping, inputs, &mut faults);
    let outputs = inputs::outputs(source.template, mapping);
    let raw_output_prefix = environment::raw_output_prefix(options, &mut faults);
    let task = MapTask {
        name: policy::name(source.template),
        image: Some(target.image).filter(|image| !image.is_empty()),
        command,
        inputs: converted,
        outputs,
        policy,
        resources: target.resources,
        environment,
        input_dir: target.input_dir,
        output_dir: target.output_dir,
        entrypoint: command::entrypoint(kind, options.runner, raw_output_prefix),
        batch,
    };
    let task = faults.or(task)?;
    inputs::same_length(&task)?;
    Ok(task)
}
