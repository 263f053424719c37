//! Literals from and to plain text: what a program prints, writes to a file or takes as an argument.
//!
//! Scalars are plain (`3`, `true`, `2026-01-31T12:00:00Z`), strings are themselves, lists, dictionaries and structs are
//! compact JSON, none is empty. One trailing line break is not part of a value, since most programs print one.

use serde_json::Value;

use super::core::literal_type::Type;
use super::core::{Literal, LiteralType, SimpleType};
use super::core::{primitive, scalar};
use super::json::{literal_from_json, literal_to_json};
use super::types::{as_simple, type_name};
use super::{make, times};

/// How much of a wrong text an error shows.
const SHOWN: usize = 60;

/// The literal of type `literal_type` that a program's output says. Bytes that are no UTF-8 are a value of type binary
/// only, which takes them all as they are.
///
/// # Errors
/// When the bytes do not say a value of the type; the message says what was expected and what was found.
pub fn literal_from_bytes(bytes: &[u8], literal_type: &LiteralType) -> Result<Literal, String> {
    if as_simple(literal_type) == Some(SimpleType::Binary) {
        return Ok(make::binary(bytes.to_vec(), ""));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        format!("expected {}, found bytes that are no UTF-8 (at byte {})", type_name(literal_type), error.valid_up_to())
    })?;
    literal_from_text(text, literal_type)
}

/// The literal of type `literal_type` that `text` says. One trailing line break is dropped; of any type but string,
/// all white space around the value.
///
/// # Errors
/// As [`literal_from_bytes`].
pub fn literal_from_text(text: &str, literal_type: &LiteralType) -> Result<Literal, String> {
    let whole = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
    read(whole, literal_type).map_err(|reason| {
        let reason = if reason.is_empty() { reason } else { format!(" ({reason})") };
        format!("expected {}, found {}{reason}", type_name(literal_type), shown(whole))
    })
}

/// Reads; the error is a reason beyond the mismatch itself, or empty.
fn read(whole: &str, literal_type: &LiteralType) -> Result<Literal, String> {
    let text = whole.trim();
    match &literal_type.r#type {
        Some(Type::Simple(_)) => simple(whole, literal_type),
        Some(Type::CollectionType(_) | Type::MapValueType(_)) => json(text, literal_type),
        Some(Type::Blob(_) | Type::EnumType(_)) => literal_from_json(&Value::from(text), literal_type),
        Some(Type::UnionType(union)) => {
            let mut readings = union.variants.iter().map(|variant| (variant, read(whole, variant)));
            let first = readings.find_map(|(variant, literal)| Some((variant, literal.ok()?)));
            first.map(|(variant, literal)| make::union(literal, variant.clone())).ok_or_else(String::new)
        }
        None if text.is_empty() => Ok(make::none()),
        Some(Type::Schema(_) | Type::StructuredDatasetType(_)) | None => Err(String::new()),
    }
}

fn simple(whole: &str, literal_type: &LiteralType) -> Result<Literal, String> {
    let text = whole.trim();
    match as_simple(literal_type).unwrap_or(SimpleType::Error) {
        SimpleType::String => Ok(make::string(whole)),
        SimpleType::Integer => match text.parse() {
            Ok(value) => Ok(make::integer(value)),
            Err(error) => Err(error.to_string()),
        },
        SimpleType::Float => {
            let value: f64 = text.parse().map_err(|_| String::new())?;
            // A number too large to hold is read as infinity, which nobody wrote.
            let lost = value.is_infinite() && text.bytes().any(|byte| byte.is_ascii_digit());
            if lost { Err("too large for 64 bits".to_owned()) } else { Ok(make::float(value)) }
        }
        SimpleType::Boolean => match text.to_ascii_lowercase().as_str() {
            "true" | "1" => Ok(make::boolean(true)),
            "false" | "0" => Ok(make::boolean(false)),
            _ => Err("write true or false".to_owned()),
        },
        SimpleType::Datetime => times::parse_datetime(text).map(primitive::Value::Datetime).map(make::primitive),
        SimpleType::Duration => times::parse_duration(text).map(primitive::Value::Duration).map(make::primitive),
        SimpleType::None if text.is_empty() || text == "null" => Ok(make::none()),
        SimpleType::Struct | SimpleType::Binary => json(text, literal_type),
        SimpleType::None | SimpleType::Error => Err(String::new()),
    }
}

fn json(text: &str, literal_type: &LiteralType) -> Result<Literal, String> {
    let value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    literal_from_json(&value, literal_type)
}

fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        _ if text.is_empty() => "nothing".to_owned(),
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// The text of a literal: for a template, an input file or an environment variable. A file is its address, bytes are
/// base64 inside JSON; see [`literal_to_bytes`] for a file's content.
pub fn literal_to_text(literal: &Literal) -> String {
    match make::as_scalar(literal) {
        Some(scalar::Value::Primitive(primitive)) => primitive.value.as_ref().map_or_else(String::new, primitive_text),
        Some(scalar::Value::NoneType(_)) => String::new(),
        Some(scalar::Value::Blob(blob)) => blob.uri.clone(),
        _ if literal.value.is_none() => String::new(),
        _ => literal_to_json(literal).to_string(),
    }
}

/// The content of an input file: the bytes of a binary as they are, the text of anything else.
pub fn literal_to_bytes(literal: &Literal) -> Vec<u8> {
    match make::as_scalar(literal) {
        Some(scalar::Value::Binary(binary)) => binary.value.clone(),
        _ => literal_to_text(literal).into_bytes(),
    }
}

fn primitive_text(primitive: &primitive::Value) -> String {
    match primitive {
        primitive::Value::Integer(value) => value.to_string(),
        // Shortest that reads back the same, with a point or an exponent: `6.0`, `1e300`.
        primitive::Value::FloatValue(value) if value.is_finite() => format!("{value:?}"),
        primitive::Value::StringValue(value) => value.clone(),
        primitive::Value::Boolean(value) => value.to_string(),
        primitive::Value::FloatValue(_) | primitive::Value::Datetime(_) | primitive::Value::Duration(_) => {
            match literal_to_json(&make::primitive(primitive.clone())) {
                Value::String(text) => text,
                other => other.to_string(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::idl::types::parse_type;

    fn read_as(text: &str, name: &str) -> Result<Value, String> {
        literal_from_text(text, &parse_type(name).unwrap()).map(|literal| literal_to_json(&literal))
    }

    #[test]
    fn texts_of_every_type() {
        for (text, name, value) in [
            ("42\n", "integer", json!(42)),
            (" -7 \r\n", "integer", json!(-7)),
            ("6\n", "float", json!(6.0)),
            ("1e3", "float", json!(1000.0)),
            ("nan", "float", json!("NaN")),
            ("-inf", "float", json!("-Infinity")),
            ("True\n", "boolean", json!(true)),
            ("0", "boolean", json!(false)),
            ("  two words \n", "string", json!("  two words ")),
            ("a\n\n", "string", json!("a\n")),
            ("a\r\n", "string", json!("a")),
            ("", "string", json!("")),
            ("2026-01-31T12:00:00Z\n", "datetime", json!("2026-01-31T12:00:00Z")),
            ("1h 30m", "duration", json!("5400s")),
            ("2.5\n", "duration", json!("2.5s")),
            ("{\"a\": 1}\n", "struct", json!({"a": 1})),
            ("[1, 2]\n", "[integer]", json!([1, 2])),
            ("{\"a\": null}", "map[integer?]", json!({"a": null})),
            ("\n", "none", json!(null)),
            ("\n", "integer?", json!(null)),
            ("5", "integer?", json!(5)),
            ("x", "integer|string", json!("x")),
            ("s3://b/k\n", "file", json!("s3://b/k")),
            ("red\n", "enum[red,green]", json!("red")),
        ] {
            assert_eq!(read_as(text, name), Ok(value), "{text:?} as {name}");
        }
    }

    #[test]
    fn what_is_not_of_the_type_is_refused() {
        for (text, name) in [
            ("", "integer"),
            ("1.0", "integer"),
            ("9223372036854775808", "integer"),
            ("1 2", "integer"),
            ("1e999", "float"),
            ("", "float"),
            ("yes", "boolean"),
            ("2", "boolean"),
            ("today", "datetime"),
            ("x", "none"),
            ("[1", "[integer]"),
            ("[1.5]", "[integer]"),
            ("x", "integer?"),
        ] {
            let message = read_as(text, name).expect_err(text);
            assert!(message.starts_with(&format!("expected {name}, found ")), "{message}");
        }
        assert!(read_as("", "integer").unwrap_err().contains("found nothing"));
    }

    #[test]
    fn bytes_that_are_no_text() {
        let binary = literal_from_bytes(b"\xff\n", &parse_type("binary").unwrap()).unwrap();
        assert_eq!(literal_to_bytes(&binary), b"\xff\n");
        let message = literal_from_bytes(b"ab\xff", &parse_type("string").unwrap()).unwrap_err();
        assert!(message.contains("no UTF-8 (at byte 2)"), "{message}");
    }

    #[test]
    fn texts_for_programs() {
        for (value, name, text) in [
            (json!(6), "float", "6.0"),
            (json!("NaN"), "float", "NaN"),
            (json!(1e300), "float", "1e300"),
            (json!(true), "boolean", "true"),
            (json!(null), "none", ""),
            (json!(null), "integer?", ""),
            (json!("a\nb"), "string", "a\nb"),
            (json!({"a": [1, "b"]}), "struct", "{\"a\":[1,\"b\"]}"),
            (json!([1, 2]), "[integer]", "[1,2]"),
            (json!("5m"), "duration", "300s"),
            (json!("s3://b/k"), "file", "s3://b/k"),
        ] {
            let literal = literal_from_json(&value, &parse_type(name).unwrap()).unwrap();
            assert_eq!(literal_to_text(&literal), text, "{name}");
        }
        assert_eq!(literal_to_text(&Literal::default()), "");
    }

    proptest! {
        #[test]
        fn numbers_survive_their_text(integer: i64, float: f64) {
            let again = literal_from_text(&literal_to_text(&make::integer(integer)), &parse_type("integer").unwrap());
            prop_assert_eq!(again, Ok(make::integer(integer)));
            let again = literal_from_text(&literal_to_text(&make::float(float)), &parse_type("float").unwrap());
            prop_assert_eq!(literal_to_json(&again.unwrap()), literal_to_json(&make::float(float)));
        }
    }
}
