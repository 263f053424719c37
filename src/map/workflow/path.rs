//! A promise's attribute path: from a node's output to what lies within it.
//!
//! Lists and dictionaries of literals are followed element by element. A dataclass or a pydantic model is one scalar: in
//! MessagePack (flytekit of today), whose parts stay MessagePack, for every type of flytekit's reads that too; or as a
//! protobuf struct (before 1.14), whose parts become literals of their own.

use prost_types::value::Kind;
use prost_types::{Struct, Value};

use super::msgpack::{self, Key};
use crate::idl::core::promise_attribute::Value as Attribute;
use crate::idl::core::{Literal, PromiseAttribute, literal, scalar};
use crate::idl::make;

/// The tag of binaries in MessagePack.
pub(super) const MSGPACK: &str = "msgpack";

/// What `path` leads to from `literal`.
///
/// # Errors
/// When it leads nowhere; the message names the step.
pub(super) fn follow(literal: &Literal, path: &[PromiseAttribute]) -> Result<Literal, String> {
    let mut current = literal;
    for (taken, step) in path.iter().enumerate() {
        let key = key(step).ok_or_else(|| place(path, taken, "the step is neither a name nor a number"))?;
        let next = match unwrap(current).value.as_ref() {
            Some(literal::Value::Map(map)) => element(&map.literals, key),
            Some(literal::Value::Collection(list)) => match key {
                Key::Number(index) => msgpack::place(index, list.literals.len()).map(|at| &list.literals[at]),
                Key::Name(_) => Err("it is a list, and a list has places, no names".to_owned()),
            },
            Some(literal::Value::Scalar(scalar)) => {
                let rest = within(scalar.value.as_ref(), &path[taken..]);
                return rest.map_err(|(at, problem)| place(path, taken + at, &problem));
            }
            Some(literal::Value::OffloadedMetadata(_)) => Err(OFFLOADED.to_owned()),
            None => Err("it has no value".to_owned()),
        };
        current = next.map_err(|problem| place(path, taken, &problem))?;
    }
    Ok(current.clone())
}

/// The elements of a list, also of one in MessagePack: an attribute of a dataclass is one. Nothing where it is no list.
pub fn elements(literal: &Literal) -> Option<Vec<Literal>> {
    match unwrap(literal).value.as_ref()? {
        literal::Value::Collection(list) => Some(list.literals.clone()),
        literal::Value::Scalar(scalar) => match scalar.value.as_ref()? {
            scalar::Value::Binary(binary) if binary.tag == MSGPACK => {
                let elements = msgpack::elements(&binary.value)?;
                Some(elements.into_iter().map(|bytes| make::binary(bytes.to_vec(), MSGPACK)).collect())
            }
            _ => None,
        },
        literal::Value::Map(_) | literal::Value::OffloadedMetadata(_) => None,
    }
}

/// What to say of a value that lies elsewhere.
pub(super) const OFFLOADED: &str = "the value is offloaded, and batchmap keeps values whole: unset \
                                    _F_L_MIN_SIZE_MB in the task's environment";

fn element<'a>(map: &'a std::collections::BTreeMap<String, Literal>, key: Key<'_>) -> Result<&'a Literal, String> {
    let name = match key {
        Key::Name(name) => name.to_owned(),
        // flytekit writes every key of a typed dictionary as a string.
        Key::Number(number) => number.to_string(),
    };
    map.get(&name).ok_or_else(|| "it has no such key".to_owned())
}

/// The value itself, where it is wrapped as one variant of a union.
pub(super) fn unwrap(mut literal: &Literal) -> &Literal {
    while let Some(literal::Value::Scalar(scalar)) = &literal.value
        && let Some(scalar::Value::Union(union)) = &scalar.value
        && let Some(value) = &union.value
    {
        literal = value;
    }
    literal
}

/// Follows the rest of the path within one scalar; an error comes with the number of steps that went well.
fn within(scalar: Option<&scalar::Value>, path: &[PromiseAttribute]) -> Result<Literal, (usize, String)> {
    match scalar {
        Some(scalar::Value::Binary(binary)) if binary.tag == MSGPACK => {
            let mut bytes = binary.value.as_slice();
            for (taken, step) in path.iter().enumerate() {
                let key = key(step).ok_or_else(|| (taken, "the step is neither a name nor a number".to_owned()))?;
                bytes = msgpack::get(bytes, key).map_err(|problem| (taken, problem))?;
            }
            Ok(make::binary(bytes.to_vec(), MSGPACK))
        }
        Some(scalar::Value::Binary(binary)) => {
            Err((0, format!("it is a binary of format {:?}, and only msgpack has attributes", binary.tag)))
        }
        Some(scalar::Value::Generic(fields)) => within_struct(fields, path),
        _ => Err((0, "it is a plain value and has no attributes".to_owned())),
    }
}

fn within_struct(fields: &Struct, path: &[PromiseAttribute]) -> Result<Literal, (usize, String)> {
    let whole = Value { kind: Some(Kind::StructValue(fields.clone())) };
    let mut current = &whole;
    for (taken, step) in path.iter().enumerate() {
        let next = match (&current.kind, &step.value) {
            (Some(Kind::StructValue(fields)), Some(Attribute::StringValue(name))) => {
                fields.fields.get(name).ok_or_else(|| "it has no such key".to_owned())
            }
            (Some(Kind::ListValue(list)), Some(Attribute::IntValue(index))) => {
                msgpack::place(i64::from(*index), list.values.len()).map(|at| &list.values[at])
            }
            _ => Err("it has no attribute of this kind".to_owned()),
        };
        current = next.map_err(|problem| (taken, problem))?;
    }
    Ok(literal_of(current))
}

/// A part of a struct as a literal of its own. A struct's numbers are all floats, and flytekit takes one for an integer.
fn literal_of(value: &Value) -> Literal {
    match &value.kind {
        Some(Kind::BoolValue(value)) => make::boolean(*value),
        Some(Kind::NumberValue(value)) => make::float(*value),
        Some(Kind::StringValue(value)) => make::string(value),
        Some(Kind::StructValue(fields)) => make::scalar(scalar::Value::Generic(fields.clone())),
        Some(Kind::ListValue(list)) => make::collection(list.values.iter().map(literal_of).collect()),
        Some(Kind::NullValue(_)) | None => make::none(),
    }
}

fn key(step: &PromiseAttribute) -> Option<Key<'_>> {
    match step.value.as_ref()? {
        Attribute::StringValue(name) => Some(Key::Name(name)),
        Attribute::IntValue(number) => Some(Key::Number(i64::from(*number))),
    }
}

/// `problem` with the step it was met at.
fn place(path: &[PromiseAttribute], taken: usize, problem: &str) -> String {
    format!("{}: {problem}", text(&path[..=taken]))
}

/// A path as Python writes it: `["a"][0]`.
pub(super) fn text(path: &[PromiseAttribute]) -> String {
    let step = |step: &PromiseAttribute| match &step.value {
        Some(Attribute::StringValue(name)) => format!("[{name:?}]"),
        Some(Attribute::IntValue(number)) => format!("[{number}]"),
        None => "[?]".to_owned(),
    };
    path.iter().map(step).collect()
}
