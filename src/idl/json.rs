//! Literals from and to JSON.
//!
//! Reading is strict: a value is taken only if it is of the type and nothing of it is lost. Writing is total.
//!
//! | type | JSON |
//! | --- | --- |
//! | integer | a whole number of 64 bits |
//! | float | a number, or `"NaN"`, `"Infinity"`, `"-Infinity"` |
//! | datetime | an RFC 3339 string |
//! | duration | `"300s"`, `"5m"`, `"1h 30m"`, or a number of seconds; written as `"300s"` |
//! | struct | an object; its numbers are 64-bit floats, so whole numbers beyond 2^53 are refused |
//! | binary | `{"binary": base64, "tag": string}` |
//! | file | its address as a string |
//! | none | `null` |
//! | union | what its first variant that takes the value makes of it |

use prost_types::value::Kind;
use prost_types::{ListValue, Struct};
use serde_json::{Map, Number, Value, json};

use super::core::literal_type::Type;
use super::core::{Binary, Literal, LiteralType, SimpleType};
use super::core::{literal, primitive, scalar};
use super::types::{as_simple, is_directory, type_name};
use super::{base64, make, times};

/// Levels of messages within one literal: parsers of protobuf stop at 100, and a literal is carried inside others.
const MAX_DEPTH: usize = 90;
/// The largest whole number up to which a 64-bit float holds all.
const MAX_EXACT: u64 = 1 << 53;
/// How much of a wrong value an error shows.
const SHOWN: usize = 60;

/// The literal of type `literal_type` that `value` says.
///
/// # Errors
/// When the value is not of the type; the message says what was expected, what was found, and where inside a list,
/// dictionary or struct.
pub fn literal_from_json(value: &Value, literal_type: &LiteralType) -> Result<Literal, String> {
    read(value, literal_type, 1)
}

fn read(value: &Value, literal_type: &LiteralType, depth: usize) -> Result<Literal, String> {
    let wrong = || expected(literal_type, value);
    match &literal_type.r#type {
        Some(Type::Simple(_)) => simple(value, literal_type, depth),
        Some(Type::CollectionType(element)) => {
            let elements = value.as_array().ok_or_else(wrong)?;
            let depth = deeper(depth, 2)?;
            let read_one = |(at, value)| read(value, element, depth).map_err(|error| format!("element {at}: {error}"));
            elements.iter().enumerate().map(read_one).collect::<Result<_, _>>().map(make::collection)
        }
        Some(Type::MapValueType(of)) => {
            let entries = value.as_object().ok_or_else(wrong)?;
            let depth = deeper(depth, 3)?;
            let read_one = |(key, value): (&String, &Value)| match read(value, of, depth) {
                Ok(literal) => Ok((key.clone(), literal)),
                Err(error) => Err(format!("key {key:?}: {error}")),
            };
            entries.iter().map(read_one).collect::<Result<Vec<_>, _>>().map(make::dictionary)
        }
        Some(Type::Blob(blob)) if is_directory(blob) => Err("directories are not supported; name each file".to_owned()),
        Some(Type::Blob(blob)) => match value.as_str() {
            Some("") | None => Err(wrong()),
            Some(uri) => Ok(make::blob(blob, uri)),
        },
        Some(Type::EnumType(kind)) => match value.as_str() {
            Some(text) if kind.values.iter().any(|known| known == text) => Ok(make::string(text)),
            _ => Err(wrong()),
        },
        Some(Type::UnionType(union)) => {
            let depth = deeper(depth, 3)?;
            let mut readings = union.variants.iter().map(|variant| (variant, read(value, variant, depth)));
            let first = readings.find_map(|(variant, literal)| Some((variant, literal.ok()?)));
            first.map(|(variant, literal)| make::union(literal, variant.clone())).ok_or_else(wrong)
        }
        None if value.is_null() => Ok(make::none()),
        // Only tasks make tables.
        Some(Type::Schema(_) | Type::StructuredDatasetType(_)) | None => Err(wrong()),
    }
}

fn simple(value: &Value, literal_type: &LiteralType, depth: usize) -> Result<Literal, String> {
    let wrong = || expected(literal_type, value);
    match as_simple(literal_type).unwrap_or(SimpleType::Error) {
        SimpleType::None if value.is_null() => Ok(make::none()),
        SimpleType::Integer => integer(value).map(make::integer).ok_or_else(wrong),
        SimpleType::Float => float(value).map(make::float).ok_or_else(wrong),
        SimpleType::String => value.as_str().map(make::string).ok_or_else(wrong),
        SimpleType::Boolean => value.as_bool().map(make::boolean).ok_or_else(wrong),
        SimpleType::Datetime => {
            let text = value.as_str().ok_or_else(wrong)?;
            Ok(make::primitive(primitive::Value::Datetime(times::parse_datetime(text)?)))
        }
        SimpleType::Duration => {
            let duration = match value {
                Value::String(text) => times::parse_duration(text),
                Value::Number(seconds) => times::duration_of_seconds(seconds.as_f64().unwrap_or(f64::NAN)),
                _ => Err(wrong()),
            };
            Ok(make::primitive(primitive::Value::Duration(duration?)))
        }
        SimpleType::Struct => {
            let fields = value.as_object().ok_or_else(wrong)?;
            Ok(make::scalar(scalar::Value::Generic(object(fields, deeper(depth, 2)?)?)))
        }
        SimpleType::Binary => binary(value).ok_or_else(wrong),
        SimpleType::None | SimpleType::Error => Err(wrong()),
    }
}

/// Whole numbers only; one written as `3.0` is whole too, as protobuf's JSON form has it.
fn integer(value: &Value) -> Option<i64> {
    let number = value.as_number()?;
    number.as_i64().or_else(|| {
        let float = number.as_f64().filter(|_| number.is_f64())?;
        (float.fract() == 0.0 && float.abs() <= MAX_EXACT as f64).then_some(float as i64)
    })
}

fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

fn binary(value: &Value) -> Option<Literal> {
    let fields = value.as_object()?;
    let bytes = base64::decode(fields.get("binary")?.as_str()?)?;
    let tag = fields.get("tag").map_or(Some(""), Value::as_str)?;
    let known = 1 + usize::from(fields.contains_key("tag"));
    (fields.len() == known).then(|| make::binary(bytes, tag))
}

fn object(fields: &Map<String, Value>, depth: usize) -> Result<Struct, String> {
    let depth = deeper(depth, 2)?;
    let read_one = |(key, value): (&String, &Value)| match generic(value, depth) {
        Ok(value) => Ok((key.clone(), value)),
        Err(error) => Err(format!("field {key:?}: {error}")),
    };
    Ok(Struct { fields: fields.iter().map(read_one).collect::<Result<_, _>>()? })
}

fn generic(value: &Value, depth: usize) -> Result<prost_types::Value, String> {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(value) => Kind::BoolValue(*value),
        Value::String(value) => Kind::StringValue(value.clone()),
        Value::Number(number) => Kind::NumberValue(exact(number)?),
        Value::Object(fields) => Kind::StructValue(object(fields, deeper(depth, 1)?)?),
        Value::Array(elements) => {
            let depth = deeper(depth, 2)?;
            let read_one = |(at, value)| generic(value, depth).map_err(|error| format!("element {at}: {error}"));
            let values = elements.iter().enumerate().map(read_one).collect::<Result<_, _>>()?;
            Kind::ListValue(ListValue { values })
        }
    };
    Ok(prost_types::Value { kind: Some(kind) })
}

fn exact(number: &Number) -> Result<f64, String> {
    let whole = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
    match number.as_f64() {
        Some(value) if whole.is_none_or(|whole| whole <= MAX_EXACT) => Ok(value),
        _ => Err(format!(
            "{number} is beyond 2^53, and numbers of a struct are 64-bit floats: it would lose digits; \
             pass it as a string"
        )),
    }
}

fn deeper(depth: usize, by: usize) -> Result<usize, String> {
    let depth = depth + by;
    if depth <= MAX_DEPTH { Ok(depth) } else { Err("nested too deeply for protobuf; pass it as a file".to_owned()) }
}

fn expected(literal_type: &LiteralType, value: &Value) -> String {
    let found = value.to_string();
    let found = match found.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &found[..end]),
        None => found,
    };
    let hint = match as_simple(literal_type) {
        Some(SimpleType::Integer) if value.as_u64().is_some() => " (beyond 64 bits; pass it as a string)",
        _ => "",
    };
    format!("expected {}, found {found}{hint}", type_name(literal_type))
}

/// The JSON of a literal; one without a value is `null`.
pub fn literal_to_json(literal: &Literal) -> Value {
    match &literal.value {
        Some(literal::Value::Scalar(scalar)) => scalar.value.as_ref().map_or(Value::Null, scalar_to_json),
        Some(literal::Value::Collection(list)) => list.literals.iter().map(literal_to_json).collect(),
        Some(literal::Value::Map(map)) => {
            Value::Object(map.literals.iter().map(|(key, value)| (key.clone(), literal_to_json(value))).collect())
        }
        Some(literal::Value::OffloadedMetadata(away)) => json!({"offloaded": away.uri, "size": away.size_bytes}),
        None => Value::Null,
    }
}

fn scalar_to_json(scalar: &scalar::Value) -> Value {
    match scalar {
        scalar::Value::Primitive(primitive) => primitive.value.as_ref().map_or(Value::Null, primitive_to_json),
        scalar::Value::Blob(blob) => Value::String(blob.uri.clone()),
        scalar::Value::Binary(Binary { value, tag }) => json!({"binary": base64::encode(value), "tag": tag}),
        scalar::Value::NoneType(_) => Value::Null,
        scalar::Value::Generic(fields) => struct_to_json(fields),
        scalar::Value::Union(union) => union.value.as_deref().map_or(Value::Null, literal_to_json),
        scalar::Value::Schema(schema) => Value::String(schema.uri.clone()),
        scalar::Value::StructuredDataset(table) => Value::String(table.uri.clone()),
        scalar::Value::Error(error) => json!({"error": error.message, "node": error.failed_node_id}),
    }
}

fn primitive_to_json(primitive: &primitive::Value) -> Value {
    match primitive {
        primitive::Value::Integer(value) => json!(value),
        primitive::Value::FloatValue(value) => float_to_json(*value),
        primitive::Value::StringValue(value) => json!(value),
        primitive::Value::Boolean(value) => json!(value),
        // Only a foreign message can be outside RFC 3339's years; its numbers are shown rather than nothing.
        primitive::Value::Datetime(at) => {
            times::format_datetime(at).map_or_else(|| json!({"seconds": at.seconds, "nanos": at.nanos}), Value::String)
        }
        primitive::Value::Duration(value) => Value::String(times::format_duration(value)),
    }
}

fn float_to_json(value: f64) -> Value {
    match Number::from_f64(value) {
        Some(number) => Value::Number(number),
        None if value.is_nan() => json!("NaN"),
        None => json!(if value > 0.0 { "Infinity" } else { "-Infinity" }),
    }
}

fn struct_to_json(fields: &Struct) -> Value {
    Value::Object(fields.fields.iter().map(|(key, value)| (key.clone(), generic_to_json(value))).collect())
}

fn generic_to_json(value: &prost_types::Value) -> Value {
    match &value.kind {
        Some(Kind::BoolValue(value)) => json!(value),
        Some(Kind::StringValue(value)) => json!(value),
        // A struct has only floats: a whole one was most likely written as an integer. Minus zero would lose its sign.
        Some(Kind::NumberValue(value))
            if value.fract() == 0.0
                && value.abs() <= MAX_EXACT as f64
                && (*value != 0.0 || value.is_sign_positive()) =>
        {
            json!(*value as i64)
        }
        Some(Kind::NumberValue(value)) => float_to_json(*value),
        Some(Kind::ListValue(list)) => list.values.iter().map(generic_to_json).collect(),
        Some(Kind::StructValue(fields)) => struct_to_json(fields),
        Some(Kind::NullValue(_)) | None => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::*;
    use crate::idl::core::LiteralMap;
    use crate::idl::types::{infer, parse_type};

    fn there_and_back(value: Value, name: &str) -> Result<Value, String> {
        literal_from_json(&value, &parse_type(name).unwrap()).map(|literal| literal_to_json(&literal))
    }

    #[test]
    fn values_of_every_type() {
        for (value, name) in [
            (json!(i64::MIN), "integer"),
            (json!(i64::MAX), "integer"),
            (json!(1.5), "float"),
            (json!("NaN"), "float"),
            (json!("-Infinity"), "float"),
            (json!("a\u{0}\u{1f600}"), "string"),
            (json!(true), "boolean"),
            (json!("2026-01-31T12:00:00.5Z"), "datetime"),
            (json!("300s"), "duration"),
            (json!({"a": [1, 2.5, null, {"b": "c"}], "z": -0.0, "y": 9_007_199_254_740_992_u64}), "struct"),
            (json!({"binary": "AAEC", "tag": "msgpack"}), "binary"),
            (json!(null), "none"),
            (json!("s3://b/k"), "file[csv]"),
            (json!([1, 2]), "[integer]"),
            (json!([[], ["a"]]), "[[string]]"),
            (json!({"k": 1}), "map[integer]"),
            (json!("red"), "enum[red,green]"),
            (json!([1, "a", null]), "[integer|string|none]"),
        ] {
            assert_eq!(there_and_back(value.clone(), name), Ok(value), "{name}");
        }
    }

    #[test]
    fn values_written_otherwise() {
        for (value, name, again) in [
            (json!(3.0), "integer", json!(3)),
            (json!(3), "float", json!(3.0)),
            (json!(90), "duration", json!("90s")),
            (json!(0.5), "duration", json!("0.5s")),
            (json!("1h 30m"), "duration", json!("5400s")),
            (json!({"binary": ""}), "binary", json!({"binary": "", "tag": ""})),
            (json!({"a": 1.0}), "struct", json!({"a": 1})),
        ] {
            assert_eq!(there_and_back(value, name), Ok(again), "{name}");
        }
    }

    #[test]
    fn what_is_not_of_the_type_is_refused() {
        for (value, name) in [
            (json!(1.5), "integer"),
            (json!(u64::MAX), "integer"),
            (json!(1e18), "integer"),
            (json!("1"), "integer"),
            (json!(true), "integer"),
            (json!("1.5"), "float"),
            (json!("inf"), "float"),
            (json!(1), "string"),
            (json!(null), "string"),
            (json!(1), "boolean"),
            (json!("2026-01-31"), "datetime"),
            (json!(0), "datetime"),
            (json!("soon"), "duration"),
            (json!([]), "struct"),
            (json!(0), "none"),
            (json!(""), "file"),
            (json!({"binary": "A"}), "binary"),
            (json!({"binary": "", "more": 1}), "binary"),
            (json!({}), "[integer]"),
            (json!("blue"), "enum[red,green]"),
            (json!(1.5), "integer|string"),
        ] {
            let message = there_and_back(value.clone(), name).expect_err(name);
            assert!(!message.is_empty(), "{value} as {name}");
        }
    }

    #[test]
    fn errors_say_where_and_what() {
        assert_eq!(
            there_and_back(json!([1, "a"]), "[integer]"),
            Err("element 1: expected integer, found \"a\"".into())
        );
        let message = there_and_back(json!({"a": {"b": [9_007_199_254_740_993_u64]}}), "struct").unwrap_err();
        assert!(
            message.starts_with("field \"a\": field \"b\": element 0: 9007199254740993 is beyond 2^53"),
            "{message}"
        );
        let big = there_and_back(json!(u64::MAX), "integer").unwrap_err();
        assert!(big.contains("beyond 64 bits"), "{big}");
        let long = there_and_back(json!("\u{e9}".repeat(500)), "integer").unwrap_err();
        assert!(long.len() < 200, "{long}");
    }

    /// The deepest value that is taken can be read back by a parser that stops at 100 levels, where it is carried
    /// deepest: inside a pack's list.
    #[test]
    fn the_deepest_value_is_still_readable() {
        let nest = |levels: usize, object: bool| {
            (0..levels).fold(json!(1), |inner, _| if object { json!({ "a": inner }) } else { json!([inner]) })
        };
        for object in [true, false] {
            let wrap = |levels| if object { nest(levels, true) } else { json!({"a": nest(levels, false)}) };
            let taken = |levels: &usize| literal_from_json(&wrap(*levels), &infer(&json!({}))).ok();
            let deepest = (1..100).take_while(|levels| taken(levels).is_some()).last().unwrap();
            assert!(deepest > 25, "{deepest}");
            let literal = taken(&deepest).unwrap();
            let map = LiteralMap { literals: [("x".to_owned(), make::collection(vec![literal]))].into() };
            assert_eq!(LiteralMap::decode(map.encode_to_vec().as_slice()), Ok(map));
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e6..1e6).prop_map(Value::from),
            "\\PC{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z]{1,3}", inner, 0..4).prop_map(|map| json!(map)),
            ]
        })
    }

    fn has_big(value: &Value) -> bool {
        match value {
            Value::Object(fields) => fields.values().any(has_big),
            Value::Array(elements) => elements.iter().any(has_big),
            Value::Number(number) => number.as_i64().is_some_and(|value| value.unsigned_abs() > MAX_EXACT),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn any_json_survives_as_its_inferred_type(value in any_json()) {
            match literal_from_json(&value, &infer(&value)) {
                // Numbers that were joined to floats, and whole floats in a struct, are equal as numbers only.
                Ok(literal) => prop_assert!(equal(&literal_to_json(&literal), &value), "{value}"),
                Err(error) => prop_assert!(has_big(&value), "{value}: {error}"),
            }
        }

        #[test]
        fn a_literal_survives_the_wire(value in any_json()) {
            if let Ok(literal) = literal_from_json(&value, &infer(&value)) {
                prop_assert_eq!(Literal::decode(literal.encode_to_vec().as_slice()), Ok(literal));
            }
        }
    }

    fn equal(a: &Value, b: &Value) -> bool {
        match (a, b) {
            (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
            (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
            (Value::Object(a), Value::Object(b)) => {
                a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
            }
            _ => a == b,
        }
    }
}
