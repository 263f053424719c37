//! Bindings against interfaces: everything is bound, once, to something that is there and fits.

use std::collections::{BTreeMap, BTreeSet};

use super::super::bind::source;
use super::super::{path, types};
use super::ReadNode;
use super::nodes::suggest_variable;
use crate::idl::core::binding_data::Value;
use crate::idl::core::literal_type::Type;
use crate::idl::core::{
    Binding, BindingData, LiteralType, OutputReference, PromiseAttribute, TypedInterface, VariableMap,
    promise_attribute,
};
use crate::idl::make;
use crate::idl::types::{admits_none, type_name};

/// Problems of one node at most: an answer has room for no more.
const MAX_PROBLEMS: usize = 25;

/// What is wrong with a binding, and what to do about it.
pub(super) type Problem = (String, String);

/// What bindings of one workflow may name.
pub(super) struct Known<'r, 'a> {
    pub(super) inputs: Option<&'r VariableMap>,
    pub(super) nodes: &'r [ReadNode<'a>],
    pub(super) numbers: &'r BTreeMap<&'a str, usize>,
    /// Ids of nodes that the workflow has, refused ones included.
    pub(super) declared: &'r BTreeSet<&'a str>,
}

impl<'r, 'a> Known<'r, 'a> {
    /// What is wrong with `bindings`, which are to fill `wanted`; `what` is the name for one of those. The nodes that they
    /// come from are added to `upstream`.
    pub(super) fn check(
        &self,
        bindings: &[Binding],
        wanted: Option<&VariableMap>,
        what: &str,
        upstream: &mut BTreeSet<usize>,
    ) -> Vec<Problem> {
        let mut problems = Vec::new();
        let none = VariableMap::default();
        let variables = &wanted.unwrap_or(&none).variables;
        let mut bound = BTreeSet::new();
        for Binding { var, binding } in bindings {
            if problems.len() >= MAX_PROBLEMS {
                return problems;
            }
            if !bound.insert(var) {
                problems.push((format!("{what} {var} is bound more than once"), "bind it once".to_owned()));
                continue;
            }
            let Some(variable) = variables.get(var) else {
                problems.push((format!("it has no {what} {var}"), suggest_variable(var, wanted)));
                continue;
            };
            let any = LiteralType::default();
            let to = variable.r#type.as_ref().unwrap_or(&any);
            let checked = match binding {
                Some(data) => self.data(data, to, upstream),
                None => Err(("it is bound to nothing".to_owned(), "give it a value".to_owned())),
            };
            if let Err((problem, fix)) = checked {
                problems.push((format!("{what} {var}: {problem}"), fix));
            }
        }
        for (name, variable) in variables {
            if problems.len() >= MAX_PROBLEMS {
                return problems;
            }
            let optional = what == "input" && variable.r#type.as_ref().is_some_and(admits_none);
            if !bound.contains(name) && !optional {
                problems.push((format!("{what} {name} is bound to nothing"), "give it a value".to_owned()));
            }
        }
        problems
    }

    fn data(&self, data: &BindingData, to: &LiteralType, upstream: &mut BTreeSet<usize>) -> Result<(), Problem> {
        match (&data.value, &to.r#type) {
            (Some(Value::Promise(promise)), _) => self.promise(promise, to, upstream),
            (Some(Value::Scalar(scalar)), _) => {
                let Some(scalar) = &scalar.value else {
                    return Err(("it is bound to a value that holds nothing".to_owned(), "give it a value".to_owned()));
                };
                types::check(&make::scalar(scalar.clone()), to).map_err(|problem| (problem, expected(to)))
            }
            (Some(Value::Collection(_) | Value::Map(_)), Some(Type::UnionType(union))) => {
                self.variant(data, &union.variants, to, upstream)
            }
            (Some(Value::Collection(list)), wanted) => {
                let any = LiteralType::default();
                let element = match wanted {
                    Some(Type::CollectionType(element)) => element,
                    None => &any,
                    _ => return Err(("it is a list".to_owned(), expected(to))),
                };
                list.bindings.iter().try_for_each(|data| self.data(data, element, upstream))
            }
            (Some(Value::Map(map)), wanted) => {
                let any = LiteralType::default();
                let value = match wanted {
                    Some(Type::MapValueType(value)) => value,
                    None => &any,
                    _ => return Err(("it is a dictionary".to_owned(), expected(to))),
                };
                map.bindings.values().try_for_each(|data| self.data(data, value, upstream))
            }
            (Some(Value::OffloadedMetadata(_)), _) => Err((path::OFFLOADED.to_owned(), "register it again".to_owned())),
            (None, _) => Err(("it is bound to nothing".to_owned(), "give it a value".to_owned())),
        }
    }

    /// A list or dictionary where a union is expected: one variant must take it.
    fn variant(
        &self,
        data: &BindingData,
        variants: &[LiteralType],
        to: &LiteralType,
        upstream: &mut BTreeSet<usize>,
    ) -> Result<(), Problem> {
        let mut first = None;
        for variant in variants {
            let mut found = BTreeSet::new();
            match self.data(data, variant, &mut found) {
                Ok(()) => {
                    upstream.extend(found);
                    return Ok(());
                }
                Err(problem) => first = first.or(Some(problem)),
            }
        }
        Err(match (variants.len(), first) {
            (1, Some(problem)) => problem,
            _ => ("no variant of the type takes it".to_owned(), expected(to)),
        })
    }

    fn promise(
        &self,
        promise: &OutputReference,
        to: &LiteralType,
        upstream: &mut BTreeSet<usize>,
    ) -> Result<(), Problem> {
        let node = source(promise);
        let (name, variables) = if node.is_empty() {
            (format!("the workflow's input {}", promise.var), self.inputs)
        } else if let Some(&number) = self.numbers.get(node) {
            upstream.insert(number);
            let interface: &TypedInterface = &self.nodes[number].interface;
            (format!("output {} of node {node}", promise.var), interface.outputs.as_ref())
        } else if self.declared.contains(node) {
            return Ok(());
        } else {
            let fix = "register it again with pyflyte".to_owned();
            return Err((format!("it comes from node {node:?}, which the workflow does not have"), fix));
        };
        let Some(variable) = variables.and_then(|variables| variables.variables.get(&promise.var)) else {
            return Err((format!("{name} does not exist"), suggest_variable(&promise.var, variables)));
        };
        let any = LiteralType::default();
        let declared = variable.r#type.as_ref().unwrap_or(&any);
        let from = part(declared, &promise.attr_path)
            .map_err(|problem| (format!("{name}{problem}"), format!("it is of type {}", type_name(declared))))?;
        let Some(from) = from else { return Ok(()) };
        let steps = path::text(&promise.attr_path);
        // flytekit takes an integer for a float, but not one that it has to unpack from a dataclass.
        let packed = crosses_struct(declared, &promise.attr_path);
        if types::fits(from, to) && !(packed && types::is_widening(from, to)) {
            return Ok(());
        }
        Err((format!("{name}{steps} is of type {}", type_name(from)), expected(to)))
    }
}

fn expected(to: &LiteralType) -> String {
    format!("give it a value of type {}", type_name(to))
}

/// The type of what `path` leads to; `None` where the type around it does not say.
fn part<'t>(from: &'t LiteralType, path: &[PromiseAttribute]) -> Result<Option<&'t LiteralType>, String> {
    let mut current = from;
    for (taken, step) in path.iter().enumerate() {
        let number = matches!(step.value, Some(promise_attribute::Value::IntValue(_)));
        let fields = current.structure.as_ref().map(|structure| &structure.dataclass_type);
        let next = match (&current.r#type, fields, &step.value) {
            (Some(Type::CollectionType(element)), _, _) if number => Ok(&**element),
            (Some(Type::CollectionType(_)), _, _) => Err("it is a list, and a list has places, no names"),
            (Some(Type::MapValueType(value)), _, _) => Ok(&**value),
            (_, Some(fields), Some(promise_attribute::Value::StringValue(name))) if !fields.is_empty() => {
                fields.get(name).ok_or("it has no such field")
            }
            // A struct of unknown fields, one variant of a union or another, or no type at all: seen when it is there.
            (Some(Type::Simple(_)), _, _) if is_structured(current) => return Ok(None),
            (Some(Type::UnionType(_)) | None, _, _) => return Ok(None),
            _ => Err("it is a plain value and has no attributes"),
        };
        current = next.map_err(|problem| format!("{}: {problem}", path::text(&path[..=taken])))?;
    }
    Ok(Some(current))
}

/// Whether `path` leads into a dataclass.
fn crosses_struct(from: &LiteralType, path: &[PromiseAttribute]) -> bool {
    (0..path.len()).any(|taken| part(from, &path[..taken]).is_ok_and(|within| within.is_none_or(is_structured)))
}

fn is_structured(literal_type: &LiteralType) -> bool {
    use crate::idl::core::SimpleType::{Binary, Struct};
    matches!(crate::idl::types::as_simple(literal_type), Some(Struct | Binary))
}
