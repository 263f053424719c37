//! Bindings to literals: what a node is given, and what a workflow gives back.

use std::collections::{BTreeMap, BTreeSet};

use super::super::policy::Origin;
use super::event::NodeError;
use super::graph::START_NODE;
use super::path;
use crate::idl::core::binding_data::Value;
use crate::idl::core::{Binding, BindingData, Literal, LiteralMap, OutputReference};
use crate::idl::make;

/// Levels that a binding may nest: a parser of protobuf stops there too.
const MAX_LEVELS: usize = 100;

/// Outputs that bindings name: by node (the empty name for the inputs of the workflow around), the variables.
pub type References = BTreeMap<String, BTreeSet<String>>;

/// A binding that leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{var}: {problem}")]
pub struct BindError {
    /// The input or output that was to be bound.
    pub var: String,
    /// What is wrong.
    pub problem: String,
}

impl BindError {
    /// The same as a node's failure. Binding again would end the same way.
    pub fn node_error(&self) -> NodeError {
        NodeError {
            code: "BindingFailed".to_owned(),
            message: self.to_string(),
            origin: Origin::User,
            recoverable: false,
        }
    }
}

/// The literals that `bindings` stand for. `lookup` gives the output `var` of a node, both as the binding names them: the
/// node by its id within the workflow, or by the empty name for the workflow's own input `var`.
///
/// # Errors
/// When an output is not there, an attribute path leads nowhere, or a value is offloaded.
pub fn resolve<'a>(
    bindings: &[Binding],
    lookup: impl Fn(&str, &str) -> Option<&'a Literal>,
) -> Result<LiteralMap, BindError> {
    let mut literals = BTreeMap::new();
    for Binding { var, binding } in bindings {
        let literal = match binding {
            Some(data) => value(data, &lookup, MAX_LEVELS),
            None => Err("it is bound to nothing".to_owned()),
        };
        let literal = literal.map_err(|problem| BindError { var: var.clone(), problem })?;
        literals.insert(var.clone(), literal);
    }
    Ok(LiteralMap { literals })
}

/// Which outputs `bindings` need.
pub fn references(bindings: &[Binding]) -> References {
    let mut references = References::new();
    for data in bindings.iter().filter_map(|binding| binding.binding.as_ref()) {
        each_promise(data, MAX_LEVELS, &mut |promise| {
            references.entry(source(promise).to_owned()).or_default().insert(promise.var.clone());
        });
    }
    references
}

/// The node of a promise; the start node is another name for the workflow's inputs.
pub(super) fn source(promise: &OutputReference) -> &str {
    if promise.node_id == START_NODE { "" } else { &promise.node_id }
}

/// Calls `visit` for every promise in `data`.
fn each_promise(data: &BindingData, levels: usize, visit: &mut dyn FnMut(&OutputReference)) {
    let Some(levels) = levels.checked_sub(1) else { return };
    match &data.value {
        Some(Value::Promise(promise)) => visit(promise),
        Some(Value::Collection(list)) => list.bindings.iter().for_each(|data| each_promise(data, levels, visit)),
        Some(Value::Map(map)) => map.bindings.values().for_each(|data| each_promise(data, levels, visit)),
        _ => {}
    }
}

fn value<'a>(
    data: &BindingData,
    lookup: &impl Fn(&str, &str) -> Option<&'a Literal>,
    levels: usize,
) -> Result<Literal, String> {
    let levels = levels.checked_sub(1).ok_or("it nests too deep")?;
    match &data.value {
        Some(Value::Scalar(scalar)) => {
            let scalar = scalar.value.clone().ok_or("it is bound to a value that holds nothing")?;
            Ok(make::scalar(scalar))
        }
        Some(Value::Collection(list)) => {
            let elements = list.bindings.iter().map(|data| value(data, lookup, levels));
            elements.collect::<Result<_, _>>().map(make::collection)
        }
        Some(Value::Map(map)) => {
            let entry = |(key, data): (&String, &BindingData)| Ok((key.clone(), value(data, lookup, levels)?));
            map.bindings.iter().map(entry).collect::<Result<Vec<_>, String>>().map(make::dictionary)
        }
        Some(Value::Promise(promise)) => {
            let node = source(promise);
            let name = if node.is_empty() {
                format!("the workflow's input {}", promise.var)
            } else {
                format!("output {} of node {node}", promise.var)
            };
            let literal = lookup(node, &promise.var).ok_or_else(|| format!("{name} is not there"))?;
            path::follow(literal, &promise.attr_path).map_err(|problem| format!("{name}{problem}"))
        }
        Some(Value::OffloadedMetadata(_)) => Err(path::OFFLOADED.to_owned()),
        None => Err("it is bound to nothing".to_owned()),
    }
}
