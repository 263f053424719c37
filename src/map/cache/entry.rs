//! An entry of the cache: the outputs of one subtask, as `outputs.pb` has them. It is checked before it is used, for
//! it may be damaged, or written by somebody else.

use std::collections::BTreeMap;

use prost::Message;

use crate::idl::core::literal_type::Type;
use crate::idl::core::{Blob, Literal, LiteralMap, LiteralType, SimpleType};
use crate::idl::core::{literal, primitive, scalar};
use crate::idl::types::type_name;

/// The outputs in `entry`, which must be those that `declared` names and types.
///
/// # Errors
/// What is wrong with it.
pub fn check(entry: &[u8], declared: &BTreeMap<String, LiteralType>) -> Result<LiteralMap, String> {
    let outputs = LiteralMap::decode(entry).map_err(|error| format!("it is no LiteralMap: {error}"))?;
    if !outputs.literals.keys().eq(declared.keys()) {
        let names = |names: Vec<&String>| names.into_iter().cloned().collect::<Vec<_>>().join(", ");
        let (found, due) = (names(outputs.literals.keys().collect()), names(declared.keys().collect()));
        return Err(format!("it holds outputs [{found}], and [{due}] are due"));
    }
    match outputs.literals.iter().zip(declared.values()).find(|((_, literal), due)| !fits(literal, due)) {
        Some(((name, _), due)) => Err(format!("its output {name} is not of type {}", type_name(due))),
        None => Ok(outputs),
    }
}

/// Whether a literal is of a type. What a type says nothing about is let pass.
pub fn fits(literal: &Literal, due: &LiteralType) -> bool {
    let scalar = match &literal.value {
        Some(literal::Value::Scalar(scalar)) => scalar.value.as_ref(),
        _ => None,
    };
    match &due.r#type {
        None => true,
        Some(Type::CollectionType(element)) => match &literal.value {
            Some(literal::Value::Collection(list)) => list.literals.iter().all(|literal| fits(literal, element)),
            Some(literal::Value::OffloadedMetadata(_)) => true,
            _ => false,
        },
        Some(Type::MapValueType(value)) => match &literal.value {
            Some(literal::Value::Map(map)) => map.literals.values().all(|literal| fits(literal, value)),
            Some(literal::Value::OffloadedMetadata(_)) => true,
            _ => false,
        },
        Some(Type::Blob(_)) => matches!(scalar, Some(scalar::Value::Blob(_))),
        Some(Type::Schema(_)) => matches!(scalar, Some(scalar::Value::Schema(_) | scalar::Value::StructuredDataset(_))),
        Some(Type::StructuredDatasetType(_)) => matches!(scalar, Some(scalar::Value::StructuredDataset(_))),
        Some(Type::EnumType(choices)) => match scalar {
            Some(scalar::Value::Primitive(primitive)) => {
                matches!(&primitive.value, Some(primitive::Value::StringValue(text)) if choices.values.contains(text))
            }
            _ => false,
        },
        Some(Type::UnionType(union)) => match scalar {
            Some(scalar::Value::Union(found)) => {
                let inner = found.value.as_deref();
                inner.is_some_and(|inner| union.variants.iter().any(|variant| fits(inner, variant)))
            }
            _ => union.variants.iter().any(|variant| fits(literal, variant)),
        },
        Some(Type::Simple(simple)) => SimpleType::try_from(*simple).is_ok_and(|simple| is_simple(scalar, simple)),
    }
}

fn is_simple(scalar: Option<&scalar::Value>, due: SimpleType) -> bool {
    let primitive = match scalar {
        Some(scalar::Value::Primitive(primitive)) => primitive.value.as_ref(),
        _ => None,
    };
    match due {
        SimpleType::None => matches!(scalar, Some(scalar::Value::NoneType(_))),
        SimpleType::Integer => matches!(primitive, Some(primitive::Value::Integer(_))),
        SimpleType::Float => matches!(primitive, Some(primitive::Value::FloatValue(_))),
        SimpleType::String => matches!(primitive, Some(primitive::Value::StringValue(_))),
        SimpleType::Boolean => matches!(primitive, Some(primitive::Value::Boolean(_))),
        SimpleType::Datetime => matches!(primitive, Some(primitive::Value::Datetime(_))),
        SimpleType::Duration => matches!(primitive, Some(primitive::Value::Duration(_))),
        // A dataclass is a struct in one flytekit and MessagePack in another.
        SimpleType::Struct | SimpleType::Binary | SimpleType::Error => scalar.is_some(),
    }
}

/// Every file that the literals name, wherever in them it is.
pub fn blobs(literals: &LiteralMap) -> Vec<&Blob> {
    let mut found = Vec::new();
    literals.literals.values().for_each(|literal| gather(literal, &mut found));
    found
}

fn gather<'a>(literal: &'a Literal, found: &mut Vec<&'a Blob>) {
    match &literal.value {
        Some(literal::Value::Scalar(scalar)) => match &scalar.value {
            Some(scalar::Value::Blob(blob)) => found.push(blob),
            Some(scalar::Value::Union(union)) => {
                union.value.iter().for_each(|literal| gather(literal, found));
            }
            _ => {}
        },
        Some(literal::Value::Collection(list)) => list.literals.iter().for_each(|literal| gather(literal, found)),
        Some(literal::Value::Map(map)) => map.literals.values().for_each(|literal| gather(literal, found)),
        Some(literal::Value::OffloadedMetadata(_)) | None => {}
    }
}

/// Gives every file in `literal` that `hash` knows by its address that hash.
pub fn stamp(literal: &mut Literal, hash: &impl Fn(&str) -> Option<String>) {
    match &mut literal.value {
        Some(literal::Value::Scalar(scalar)) => match &mut scalar.value {
            Some(scalar::Value::Blob(blob)) => {
                if let Some(hash) = hash(&blob.uri) {
                    literal.hash = hash;
                }
            }
            Some(scalar::Value::Union(union)) => {
                union.value.iter_mut().for_each(|literal| stamp(literal, hash));
            }
            _ => {}
        },
        Some(literal::Value::Collection(list)) => list.literals.iter_mut().for_each(|literal| stamp(literal, hash)),
        Some(literal::Value::Map(map)) => map.literals.values_mut().for_each(|literal| stamp(literal, hash)),
        Some(literal::Value::OffloadedMetadata(_)) | None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::idl::json::literal_from_json;
    use crate::idl::types::parse_type;
    use serde_json::{Value, json};

    fn declared(types: &[(&str, &str)]) -> BTreeMap<String, LiteralType> {
        types.iter().map(|(name, text)| ((*name).to_owned(), parse_type(text).unwrap())).collect()
    }

    fn entry(outputs: &[(&str, &str, Value)]) -> LiteralMap {
        let literal = |text: &str, value| literal_from_json(value, &parse_type(text).unwrap()).unwrap();
        LiteralMap {
            literals: outputs.iter().map(|(name, text, value)| ((*name).to_owned(), literal(text, value))).collect(),
        }
    }

    #[test]
    fn an_entry_of_every_type_fits_its_own_and_no_other() {
        let values = [
            ("integer", json!(1)),
            ("float", json!(1.5)),
            ("string", json!("s")),
            ("boolean", json!(true)),
            ("datetime", json!("2026-11-23T00:00:00Z")),
            ("duration", json!("5m")),
            ("none", json!(null)),
            ("file", json!("s3://b/k")),
            ("[integer]", json!([1, 2])),
            ("map[integer]", json!({"a": 1})),
            ("enum[red,green]", json!("red")),
        ];
        for (text, value) in &values {
            let encoded = entry(&[("o", text, value.clone())]).encode_to_vec();
            for (other, _) in &values {
                let fits = check(&encoded, &declared(&[("o", other)])).is_ok();
                let both = (*text, *other) == ("enum[red,green]", "string");
                assert_eq!(fits, text == other || both, "{text} as {other}");
            }
        }
        for (text, value) in [("struct", json!({"a": [1]})), ("integer?", json!(null)), ("integer|string", json!("s"))]
        {
            assert!(check(&entry(&[("o", text, value)]).encode_to_vec(), &declared(&[("o", text)])).is_ok(), "{text}");
        }
    }

    #[test]
    fn damage_is_told() {
        let due = declared(&[("o", "integer")]);
        let wrong = |entry: &[u8]| check(entry, &due).unwrap_err();
        assert!(wrong(b"\xff\xff").starts_with("it is no LiteralMap"));
        assert_eq!(wrong(b""), "it holds outputs [], and [o] are due");
        let other = entry(&[("o", "string", json!("1"))]).encode_to_vec();
        assert_eq!(wrong(&other), "its output o is not of type integer");
        assert!(check(b"", &BTreeMap::new()).is_ok(), "a task without outputs has an empty entry");
    }

    #[test]
    fn files_are_found_at_any_depth() {
        let outputs = entry(&[
            ("a", "file", json!("s3://b/1")),
            ("b", "[map[file?]]", json!([{"x": "s3://b/2", "y": null}, {"z": "s3://b/3"}])),
            ("c", "string", json!("s3://b/4")),
        ]);
        let found: Vec<&str> = blobs(&outputs).into_iter().map(|blob| blob.uri.as_str()).collect();
        assert_eq!(found, ["s3://b/1", "s3://b/2", "s3://b/3"]);
    }
}
