//! A node's inputs: which are mapped, and whether they fit the interface.

use std::collections::{BTreeMap, BTreeSet};

use super::left::offloaded;
use super::{INVALID_LENGTH, Refused, command};
use crate::idl::core::literal_type::Type;
use crate::idl::core::{ArrayNode, Literal, LiteralMap, LiteralType, TaskTemplate, VariableMap};
use crate::idl::json::literal_to_json;
use crate::idl::types::type_name;
use crate::map::spec::{Fault, Faults};
use crate::map::task::{BoundSource, Input, MapTask, MappedSource, Source};
use crate::map::workflow::{check, elements};

/// Which inputs are mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mapping {
    /// None: a single task.
    None,
    /// The lists but for those bound.
    Lists {
        /// Names of the inputs that are the same for all, lists or not.
        bound: BTreeSet<String>,
        /// Whether the interface is the one of a single element.
        original: bool,
    },
}

impl Mapping {
    pub(super) fn of_array(array: &ArrayNode) -> Self {
        let original = array.is_original_sub_node_interface == Some(true);
        Mapping::Lists { bound: array.bound_inputs.iter().cloned().collect(), original }
    }

    pub(super) fn of_command(words: &[String]) -> Self {
        Mapping::Lists { bound: command::bound(words), original: false }
    }

    /// The type of one element of an input that is mapped.
    fn element<'a>(&self, name: &str, literal_type: &'a LiteralType) -> Option<&'a LiteralType> {
        match self {
            Mapping::None => None,
            Mapping::Lists { bound, .. } if bound.contains(name) => None,
            Mapping::Lists { original: true, .. } => Some(literal_type),
            Mapping::Lists { original: false, .. } => element(literal_type),
        }
    }
}

/// The type of a list's elements.
fn element(literal_type: &LiteralType) -> Option<&LiteralType> {
    match &literal_type.r#type {
        Some(Type::CollectionType(element)) => Some(element),
        _ => None,
    }
}

fn variables(map: Option<&VariableMap>) -> impl Iterator<Item = (&String, LiteralType)> {
    let variables = map.into_iter().flat_map(|map| &map.variables);
    variables.map(|(name, variable)| (name, variable.r#type.clone().unwrap_or_default()))
}

/// The inputs by name; what does not fit the interface goes to `faults`.
pub(super) fn inputs(
    template: &TaskTemplate,
    mapping: &Mapping,
    given: &LiteralMap,
    faults: &mut Faults,
) -> BTreeMap<String, Input> {
    let declared = template.interface.as_ref().and_then(|interface| interface.inputs.as_ref());
    let mut inputs = BTreeMap::new();
    for (name, literal_type) in variables(declared) {
        let field = format!("inputs.{name}");
        let Some(literal) = given.literals.get(name) else {
            let problem = format!("has no value; it is {}", type_name(&literal_type));
            faults.0.push(Fault::missing(field, problem, "bind it, or give it a default"));
            continue;
        };
        if offloaded(literal) {
            let fix = "give it inline, or as a file";
            faults.0.push(Fault::missing(field, "its value is offloaded, which batchmap does not read", fix));
            continue;
        }
        let read = match mapping.element(name, &literal_type) {
            Some(element) => mapped(&field, literal, element, faults),
            None => bound(&field, literal, &literal_type, faults),
        };
        inputs.extend(read.map(|input| (name.clone(), input)));
    }
    let known: BTreeSet<&String> = variables(declared).map(|(name, _)| name).collect();
    for name in given.literals.keys().filter(|name| !known.contains(name)) {
        faults.0.push(Fault::missing(format!("inputs.{name}"), "is no input of the task", "leave it out"));
    }
    inputs
}

fn mapped(field: &str, literal: &Literal, element: &LiteralType, faults: &mut Faults) -> Option<Input> {
    let Some(list) = elements(literal) else {
        let problem = "is no list, and it is mapped";
        faults.0.push(Fault::of(field, &literal_to_json(literal), problem, "give a list, or name it in bound_inputs"));
        return None;
    };
    let wrong = list.iter().enumerate().find_map(|(at, literal)| Some((at, literal, check(literal, element).err()?)));
    if let Some((at, literal, problem)) = wrong {
        let field = format!("{field}[{at}]");
        faults.0.push(Fault::of(&field, &literal_to_json(literal), &problem, "correct the list"));
        return None;
    }
    let source = Source::Mapped(MappedSource::Literals(list.into()));
    Some(Input { literal_type: Some(element.clone()), source })
}

fn bound(field: &str, literal: &Literal, literal_type: &LiteralType, faults: &mut Faults) -> Option<Input> {
    if let Err(problem) = check(literal, literal_type) {
        faults.0.push(Fault::of(field, &literal_to_json(literal), &problem, "correct the value"));
        return None;
    }
    Some(Input {
        literal_type: Some(literal_type.clone()),
        source: Source::Bound(BoundSource::Literal(Box::new(literal.clone()))),
    })
}

/// The types of a subtask's outputs: of an element where the interface says lists. A list of optional elements may have
/// been made of a type that is not optional: then a subtask leaves the bare value, which fits the optional too.
pub(super) fn outputs(template: &TaskTemplate, mapping: &Mapping) -> BTreeMap<String, LiteralType> {
    let declared = template.interface.as_ref().and_then(|interface| interface.outputs.as_ref());
    let own = |literal_type: LiteralType| match mapping {
        Mapping::Lists { original: false, .. } => element(&literal_type).cloned().unwrap_or(literal_type),
        Mapping::Lists { original: true, .. } | Mapping::None => literal_type,
    };
    variables(declared).map(|(name, literal_type)| (name.clone(), own(literal_type))).collect()
}

/// Checks that all mapped lists have one length.
pub(super) fn same_length(task: &MapTask) -> Result<(), Refused> {
    let lengths: Vec<(&String, usize)> = task
        .inputs
        .iter()
        .filter_map(|(name, input)| match &input.source {
            Source::Mapped(MappedSource::Literals(list)) => Some((name, list.len())),
            _ => None,
        })
        .collect();
    if lengths.windows(2).all(|pair| pair[0].1 == pair[1].1) {
        return Ok(());
    }
    let all: Vec<String> = lengths.iter().map(|(name, length)| format!("{name} has {length}")).collect();
    let problem = format!("lists mapped together must have the same length: {}", all.join(", "));
    let fault = Fault::missing("inputs", problem, "correct the lists, or bind what is one value");
    Err(Refused { code: INVALID_LENGTH, faults: fault.into() })
}
