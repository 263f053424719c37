//! Protobuf structs, which Flyte carries JSON in, as JSON.

use prost_types::value::Kind;
use prost_types::{Struct, Value as Field};
use serde_json::{Map, Value};

/// A struct as a JSON object. A number that JSON cannot write becomes null.
pub(super) fn object(from: &Struct) -> Map<String, Value> {
    from.fields.iter().map(|(name, field)| (name.clone(), value(field))).collect()
}

fn value(field: &Field) -> Value {
    match &field.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::NumberValue(number)) => whole(*number),
        Some(Kind::StringValue(text)) => Value::from(text.as_str()),
        Some(Kind::BoolValue(flag)) => Value::from(*flag),
        Some(Kind::StructValue(inner)) => Value::Object(object(inner)),
        Some(Kind::ListValue(list)) => list.values.iter().map(value).collect(),
    }
}

/// A struct knows only floating-point numbers; one that is whole was meant as such.
fn whole(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 9e15 { Value::from(number as i64) } else { Value::from(number) }
}
