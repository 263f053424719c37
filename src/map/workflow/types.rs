//! Whether a value may go where a type is expected: as Flyte has it, and as lenient as flytekit is where Flyte is not.

use super::path::{MSGPACK, OFFLOADED};
use crate::idl::core::literal_type::Type;
use crate::idl::core::primitive::Value as Primitive;
use crate::idl::core::{BlobType, Literal, LiteralType, SimpleType, literal, scalar};
use crate::idl::types::{admits_none, as_simple, is_directory, type_name};

/// Whether values of type `from` may go where `to` is expected. A type that says nothing fits everywhere.
pub(super) fn fits(from: &LiteralType, to: &LiteralType) -> bool {
    let (Some(given), Some(wanted)) = (&from.r#type, &to.r#type) else { return true };
    match (given, wanted) {
        // Whatever the value turns out to be must have a place.
        (Type::UnionType(given), _) => given.variants.iter().all(|variant| fits(variant, to)),
        (_, Type::UnionType(wanted)) => wanted.variants.iter().any(|variant| fits(from, variant)),
        (Type::CollectionType(given), Type::CollectionType(wanted))
        | (Type::MapValueType(given), Type::MapValueType(wanted)) => is_none(given) || fits(given, wanted),
        (Type::Blob(given), Type::Blob(wanted)) => blob_fits(given, wanted),
        (Type::EnumType(given), Type::EnumType(wanted)) => {
            given.values.iter().all(|value| wanted.values.contains(value))
        }
        // An enum is a string; whether a string is one of it shows when it is there.
        (Type::EnumType(_), Type::Simple(_)) => as_simple(to) == Some(SimpleType::String),
        (Type::Simple(_), Type::EnumType(_)) => as_simple(from) == Some(SimpleType::String),
        // Two names for a table; how its columns fit shows when it is read.
        (Type::Schema(_) | Type::StructuredDatasetType(_), Type::Schema(_) | Type::StructuredDatasetType(_)) => true,
        (Type::Simple(_), Type::StructuredDatasetType(_)) => is_none(from),
        (Type::Simple(given), Type::Simple(wanted)) => given == wanted || is_widening(from, to),
        _ => false,
    }
}

/// flytekit takes an integer for a float.
pub(super) fn is_widening(from: &LiteralType, to: &LiteralType) -> bool {
    as_simple(from) == Some(SimpleType::Integer) && as_simple(to) == Some(SimpleType::Float)
}

fn is_none(literal_type: &LiteralType) -> bool {
    as_simple(literal_type) == Some(SimpleType::None)
}

/// A format is a hint: it counts only where both name one.
fn blob_fits(given: &BlobType, wanted: &BlobType) -> bool {
    let open = given.format.is_empty() || wanted.format.is_empty();
    is_directory(given) == is_directory(wanted) && (open || given.format == wanted.format)
}

/// Whether `literal` may go where `to` is expected.
///
/// # Errors
/// What is wrong, and where inside a list or dictionary.
pub fn check(literal: &Literal, to: &LiteralType) -> Result<(), String> {
    let wanted = match &to.r#type {
        None => return Ok(()),
        Some(wanted) => wanted,
    };
    match (literal.value.as_ref(), wanted) {
        (Some(literal::Value::OffloadedMetadata(_)), _) => Err(OFFLOADED.to_owned()),
        (None, _) => Err(format!("it has no value; expected {}", type_name(to))),
        (Some(literal::Value::Scalar(scalar)), _) => match &scalar.value {
            Some(scalar::Value::Union(union)) => match &union.value {
                Some(value) => check(value, to),
                None => Err(format!("it is a union of no value; expected {}", type_name(to))),
            },
            value => check_scalar(value.as_ref(), to),
        },
        (Some(_), Type::UnionType(union)) => {
            let fits = union.variants.iter().any(|variant| check(literal, variant).is_ok());
            if fits { Ok(()) } else { mismatch(literal, to) }
        }
        (Some(literal::Value::Collection(list)), Type::CollectionType(element)) => {
            let mut elements = list.literals.iter().enumerate();
            elements
                .try_for_each(|(at, literal)| check(literal, element).map_err(|problem| format!("[{at}]: {problem}")))
        }
        (Some(literal::Value::Map(map)), Type::MapValueType(value)) => {
            let mut entries = map.literals.iter();
            entries
                .try_for_each(|(key, literal)| check(literal, value).map_err(|problem| format!("[{key:?}]: {problem}")))
        }
        _ => mismatch(literal, to),
    }
}

fn mismatch(literal: &Literal, to: &LiteralType) -> Result<(), String> {
    let found = match &literal.value {
        Some(literal::Value::Collection(_)) => "a list",
        Some(literal::Value::Map(_)) => "a dictionary",
        _ => "a value of another kind",
    };
    Err(format!("it is {found}; expected {}", type_name(to)))
}

fn check_scalar(value: Option<&scalar::Value>, to: &LiteralType) -> Result<(), String> {
    let Some(value) = value else { return Err(format!("it has no value; expected {}", type_name(to))) };
    if let Some(Type::UnionType(union)) = &to.r#type {
        // The words of the one variant that can be meant are the better ones.
        let mut meant = union.variants.iter().filter(|variant| !is_none(variant));
        let only = meant.next().filter(|_| meant.next().is_none());
        return match only {
            _ if union.variants.iter().any(|variant| check_scalar(Some(value), variant).is_ok()) => Ok(()),
            Some(variant) if admits_none(to) => check_scalar(Some(value), variant),
            _ => Err(format!("it is {}; expected {}", name(value), type_name(to))),
        };
    }
    if scalar_fits(value, to) {
        return Ok(());
    }
    match (&to.r#type, value) {
        (Some(Type::EnumType(kind)), scalar::Value::Primitive(primitive)) => match &primitive.value {
            Some(Primitive::StringValue(text)) => Err(format!("{text:?} is none of {}", kind.values.join(", "))),
            _ => Err(format!("it is {}; expected {}", name(value), type_name(to))),
        },
        _ => Err(format!("it is {}; expected {}", name(value), type_name(to))),
    }
}

fn scalar_fits(value: &scalar::Value, to: &LiteralType) -> bool {
    use SimpleType as S;
    let simple = as_simple(to);
    match (value, to.r#type.as_ref()) {
        (scalar::Value::Primitive(primitive), Some(Type::EnumType(kind))) => match &primitive.value {
            Some(Primitive::StringValue(text)) => kind.values.contains(text),
            _ => false,
        },
        (scalar::Value::Primitive(primitive), _) => match &primitive.value {
            Some(Primitive::Integer(_)) => matches!(simple, Some(S::Integer | S::Float)),
            // Consoles send whole numbers as floats, and flytekit takes them.
            Some(Primitive::FloatValue(value)) => {
                simple == Some(S::Float) || (simple == Some(S::Integer) && value.fract() == 0.0)
            }
            Some(Primitive::StringValue(_)) => simple == Some(S::String),
            Some(Primitive::Boolean(_)) => simple == Some(S::Boolean),
            Some(Primitive::Datetime(_)) => simple == Some(S::Datetime),
            Some(Primitive::Duration(_)) => simple == Some(S::Duration),
            None => false,
        },
        (scalar::Value::Blob(blob), Some(Type::Blob(wanted))) => {
            let given = blob.metadata.as_ref().and_then(|metadata| metadata.r#type.as_ref());
            given.is_none_or(|given| blob_fits(given, wanted))
        }
        (scalar::Value::Binary(_), Some(Type::Simple(_))) if simple == Some(S::Binary) => true,
        // Every type of flytekit's but files and tables reads itself from MessagePack.
        (scalar::Value::Binary(binary), Some(wanted)) => {
            let elsewhere = matches!(wanted, Type::Blob(_) | Type::Schema(_) | Type::StructuredDatasetType(_));
            binary.tag == MSGPACK && !elsewhere
        }
        (scalar::Value::Generic(_), _) => simple == Some(S::Struct),
        (scalar::Value::NoneType(_), _) => simple == Some(S::None),
        (scalar::Value::Error(_), _) => simple == Some(S::Error),
        (
            scalar::Value::Schema(_) | scalar::Value::StructuredDataset(_),
            Some(Type::Schema(_) | Type::StructuredDatasetType(_)),
        ) => true,
        _ => false,
    }
}

/// What a scalar is, for an error.
fn name(value: &scalar::Value) -> &'static str {
    match value {
        scalar::Value::Primitive(primitive) => match &primitive.value {
            Some(Primitive::Integer(_)) => "an integer",
            Some(Primitive::FloatValue(_)) => "a float",
            Some(Primitive::StringValue(_)) => "a string",
            Some(Primitive::Boolean(_)) => "a boolean",
            Some(Primitive::Datetime(_)) => "a datetime",
            Some(Primitive::Duration(_)) => "a duration",
            None => "nothing",
        },
        scalar::Value::Blob(blob) => {
            let kind = blob.metadata.as_ref().and_then(|metadata| metadata.r#type.as_ref());
            if kind.is_some_and(is_directory) { "a directory" } else { "a file" }
        }
        scalar::Value::Binary(_) => "a binary",
        scalar::Value::Schema(_) | scalar::Value::StructuredDataset(_) => "a table",
        scalar::Value::NoneType(_) => "none",
        scalar::Value::Error(_) => "an error",
        scalar::Value::Generic(_) => "a struct",
        scalar::Value::Union(_) => "a union",
    }
}
