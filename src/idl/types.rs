//! Flyte's types in the short text that users write: `integer`, `[float]`, `file[csv]`, `string?`.
//!
//! ```text
//! integer|int  float  string|str  boolean|bool  datetime  duration  struct  binary  none
//! file|blob    file[csv]          a file, with its format
//! [T]          list[T]            a list of T
//! map[T]       dict[T]            a dictionary from string to T
//! enum[a,b]                       one of the given strings
//! A|B                             a union: the first variant that takes a value is used
//! T?                              T|none
//! ```
//! The name of each type comes first in its line above; [`type_name`] writes that one.

use serde_json::Value;

use super::core::literal_type::Type;
use super::core::{BlobType, EnumType, LiteralType, SimpleType, UnionType};

/// The plain types and the names they go by, the preferred one first.
const SIMPLE: [(SimpleType, &[&str]); 9] = [
    (SimpleType::Integer, &["integer", "int"]),
    (SimpleType::Float, &["float"]),
    (SimpleType::String, &["string", "str"]),
    (SimpleType::Boolean, &["boolean", "bool"]),
    (SimpleType::Datetime, &["datetime"]),
    (SimpleType::Duration, &["duration"]),
    (SimpleType::Struct, &["struct"]),
    (SimpleType::Binary, &["binary"]),
    (SimpleType::None, &["none"]),
];

/// The names that take an argument in square brackets.
const BRACKETED: [&str; 6] = ["file", "blob", "list", "map", "dict", "enum"];

/// Levels a type may nest: a message of protobuf may nest 100 deep, and each level of a value costs two or three.
const MAX_NESTING: usize = 16;

/// The plain type `simple`.
pub fn simple(simple: SimpleType) -> LiteralType {
    of(Type::Simple(simple.into()))
}

/// A list of `element`.
pub fn collection(element: LiteralType) -> LiteralType {
    of(Type::CollectionType(Box::new(element)))
}

/// A dictionary from strings to `value`.
pub fn dictionary(value: LiteralType) -> LiteralType {
    of(Type::MapValueType(Box::new(value)))
}

/// One file; `format` may be empty.
pub fn file(format: &str) -> LiteralType {
    of(Type::Blob(BlobType { format: format.to_owned(), ..BlobType::default() }))
}

/// Any of `variants`.
pub fn union(variants: Vec<LiteralType>) -> LiteralType {
    of(Type::UnionType(UnionType { variants }))
}

fn of(kind: Type) -> LiteralType {
    LiteralType { r#type: Some(kind), ..LiteralType::default() }
}

/// The plain type that `literal_type` is, if it is one.
pub fn as_simple(literal_type: &LiteralType) -> Option<SimpleType> {
    match literal_type.r#type {
        Some(Type::Simple(number)) => SimpleType::try_from(number).ok(),
        _ => None,
    }
}

/// Whether `none` is a value of the type.
pub fn admits_none(literal_type: &LiteralType) -> bool {
    match &literal_type.r#type {
        Some(Type::UnionType(union)) => union.variants.iter().any(admits_none),
        _ => as_simple(literal_type) == Some(SimpleType::None),
    }
}

/// The file type that a value of `literal_type` is, optional or not.
pub fn as_file(literal_type: &LiteralType) -> Option<&BlobType> {
    match &literal_type.r#type {
        Some(Type::Blob(blob)) => Some(blob),
        Some(Type::UnionType(union)) => {
            let mut values = union.variants.iter().filter(|variant| as_simple(variant) != Some(SimpleType::None));
            let first = values.next().and_then(as_file);
            if values.next().is_none() { first } else { None }
        }
        _ => None,
    }
}

/// Reads a type.
///
/// # Errors
/// When the text names no type; the message lists the names and the nearest one.
pub fn parse_type(text: &str) -> Result<LiteralType, String> {
    parse(text, MAX_NESTING)
}

fn parse(text: &str, levels: usize) -> Result<LiteralType, String> {
    let text = text.trim();
    let Some(levels) = levels.checked_sub(1) else {
        return Err(format!("the type nests more than {MAX_NESTING} levels; use struct for the inner ones"));
    };
    let variants = split(text, '|');
    if variants.len() > 1 {
        return variants.into_iter().map(|variant| parse(variant, levels)).collect::<Result<_, _>>().map(union);
    }
    if let Some(inner) = text.strip_suffix('?') {
        return Ok(optional(parse(inner, levels)?));
    }
    if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return parse(inner, levels).map(collection);
    }
    let (name, argument) = match text.split_once('[') {
        Some((name, rest)) => (name, Some(rest.strip_suffix(']').ok_or_else(|| unknown(text))?.trim())),
        None => (text, None),
    };
    match (name.trim().to_ascii_lowercase().as_str(), argument) {
        ("file" | "blob", format) => Ok(file(format.unwrap_or_default())),
        ("list", Some(element)) => parse(element, levels).map(collection),
        ("map" | "dict", Some(value)) => parse(value, levels).map(dictionary),
        ("enum", Some(values)) => enumeration(values),
        (plain, None) => {
            let found = SIMPLE.iter().find(|(_, names)| names.contains(&plain));
            found.map(|(kind, _)| simple(*kind)).ok_or_else(|| unknown(text))
        }
        _ => Err(unknown(text)),
    }
}

fn enumeration(values: &str) -> Result<LiteralType, String> {
    let values: Vec<String> = values.split(',').map(|value| value.trim().to_owned()).collect();
    if values.iter().any(String::is_empty) {
        return Err("an enum needs values, none of them empty: enum[red,green]".to_owned());
    }
    Ok(of(Type::EnumType(EnumType { values })))
}

/// Splits at `separator` outside square brackets.
fn split(text: &str, separator: char) -> Vec<&str> {
    let mut depth = 0_i32;
    text.split(|c| {
        depth += i32::from(c == '[') - i32::from(c == ']');
        c == separator && depth == 0
    })
    .collect()
}

/// Bytes of a name that may be one of ours with a typing error.
const LONGEST_TYPO: usize = 32;

fn unknown(text: &str) -> String {
    let plain = SIMPLE.iter().flat_map(|(_, names)| names.iter().copied());
    let names: Vec<&str> = plain.chain(BRACKETED).collect();
    let head = text.split('[').next().unwrap_or(text).trim().to_ascii_lowercase();
    // A long text is near to none of them, and would take long to compare.
    let short = names.iter().filter(|_| head.len() <= LONGEST_TYPO);
    let nearest = short.map(|name| (strsim::damerau_levenshtein(&head, name), *name)).min();
    let hint = match nearest {
        Some((distance, name)) if distance <= 2 && !head.is_empty() && name != head => {
            format!("; did you mean {name}?")
        }
        _ => String::new(),
    };
    let simple: Vec<&str> = SIMPLE.iter().map(|(_, names)| names[0]).collect();
    format!(
        "{text:?} is no type{hint} (types: {}, file, file[FORMAT], [T], map[T], enum[A,B], A|B, T?)",
        simple.join(", ")
    )
}

/// The text of a type, as [`parse_type`] reads it. A type that only other programs make (a directory, flyteidl's
/// `error`, one without a kind) gets a name that says what it is.
pub fn type_name(literal_type: &LiteralType) -> String {
    match &literal_type.r#type {
        Some(Type::Simple(_)) => simple_name(literal_type).to_owned(),
        Some(Type::CollectionType(element)) => format!("[{}]", type_name(element)),
        Some(Type::MapValueType(value)) => format!("map[{}]", type_name(value)),
        Some(Type::Blob(blob)) => {
            let kind = if is_directory(blob) { "directory" } else { "file" };
            if blob.format.is_empty() { kind.to_owned() } else { format!("{kind}[{}]", blob.format) }
        }
        Some(Type::EnumType(kind)) => format!("enum[{}]", kind.values.join(",")),
        Some(Type::UnionType(union)) => match union.variants.as_slice() {
            [value, none] if as_simple(none) == Some(SimpleType::None) && !is_union(value) => {
                format!("{}?", type_name(value))
            }
            variants => variants.iter().map(type_name).collect::<Vec<_>>().join("|"),
        },
        Some(Type::Schema(_)) => "schema".to_owned(),
        Some(Type::StructuredDatasetType(_)) => "dataset".to_owned(),
        None => "none".to_owned(),
    }
}

/// Whether the blob is many files under one prefix.
pub fn is_directory(blob: &BlobType) -> bool {
    blob.dimensionality() == super::core::blob_type::BlobDimensionality::Multipart
}

fn simple_name(literal_type: &LiteralType) -> &'static str {
    let kind = as_simple(literal_type);
    SIMPLE.iter().find(|(known, _)| Some(*known) == kind).map_or("error", |(_, names)| names[0])
}

fn is_union(literal_type: &LiteralType) -> bool {
    matches!(literal_type.r#type, Some(Type::UnionType(_)))
}

/// `T?` of `T`; a type that admits none already stays as it is.
pub fn optional(literal_type: LiteralType) -> LiteralType {
    if admits_none(&literal_type) {
        return literal_type;
    }
    let none = simple(SimpleType::None);
    match literal_type.r#type {
        Some(Type::UnionType(UnionType { mut variants })) => {
            variants.push(none);
            union(variants)
        }
        _ => union(vec![literal_type, none]),
    }
}

/// The narrowest type that takes the values of both, if there is one without guessing: equal types, integer within
/// float, a type with `none` as an optional, and lists or dictionaries of such. A string and a number have none: such a
/// list is more likely a mistake than a union, which can be asked for by name.
pub fn join(a: &LiteralType, b: &LiteralType) -> Option<LiteralType> {
    use SimpleType::{Float, Integer, None as Nothing};
    match (&a.r#type, &b.r#type) {
        _ if a == b => Some(a.clone()),
        // The element type of an empty list: nothing is known of it.
        (None, _) => Some(b.clone()),
        (_, None) => Some(a.clone()),
        (Some(Type::CollectionType(a)), Some(Type::CollectionType(b))) => join(a, b).map(collection),
        (Some(Type::MapValueType(a)), Some(Type::MapValueType(b))) => join(a, b).map(dictionary),
        _ => match (as_simple(a), as_simple(b)) {
            (Some(Integer), Some(Float)) | (Some(Float), Some(Integer)) => Some(simple(Float)),
            (Some(Nothing), _) => Some(optional(b.clone())),
            (_, Some(Nothing)) => Some(optional(a.clone())),
            _ => join_optional(a, b),
        },
    }
}

/// Joins where at least one is an optional of a single type.
fn join_optional(a: &LiteralType, b: &LiteralType) -> Option<LiteralType> {
    match (without_none(a), without_none(b)) {
        (None, None) => None,
        (inner_a, inner_b) => join(inner_a.unwrap_or(a), inner_b.unwrap_or(b)).map(optional),
    }
}

fn without_none(literal_type: &LiteralType) -> Option<&LiteralType> {
    match &literal_type.r#type {
        Some(Type::UnionType(UnionType { variants })) => match variants.as_slice() {
            [value, none] | [none, value] if as_simple(none) == Some(SimpleType::None) => Some(value),
            _ => None,
        },
        _ => None,
    }
}

/// The type of a JSON value: whole numbers are integers, objects are structs, and a list whose elements have no
/// [`join`] is a list of their union. The element type of an empty list is left open.
pub fn infer(value: &Value) -> LiteralType {
    match value {
        Value::Null => simple(SimpleType::None),
        Value::Bool(_) => simple(SimpleType::Boolean),
        // A whole number beyond 64 bits would lose digits as a float: as an integer it is refused with the reason.
        Value::Number(number) if number.is_f64() => simple(SimpleType::Float),
        Value::Number(_) => simple(SimpleType::Integer),
        Value::String(_) => simple(SimpleType::String),
        Value::Object(_) => simple(SimpleType::Struct),
        Value::Array(elements) => collection(elements.iter().map(infer).fold(LiteralType::default(), join_or_union)),
    }
}

fn join_or_union(a: LiteralType, b: LiteralType) -> LiteralType {
    if let Some(joined) = join(&a, &b) {
        return joined;
    }
    let mut variants = Vec::new();
    for side in [a, b] {
        match side.r#type {
            Some(Type::UnionType(union)) => variants.extend(union.variants),
            _ => variants.push(side),
        }
    }
    let mut distinct: Vec<LiteralType> = Vec::new();
    for variant in variants {
        if !distinct.contains(&variant) {
            distinct.push(variant);
        }
    }
    union(distinct)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn names_and_their_synonyms() {
        for (text, name) in [
            ("int", "integer"),
            (" Integer ", "integer"),
            ("str", "string"),
            ("bool", "boolean"),
            ("blob", "file"),
            ("blob[csv]", "file[csv]"),
            ("list[int]", "[integer]"),
            ("[[float]]", "[[float]]"),
            ("dict[str]", "map[string]"),
            ("int?", "integer?"),
            ("int | none", "integer?"),
            ("int|str|none", "integer|string|none"),
            ("[int|str]", "[integer|string]"),
            ("map[[int?]]", "map[[integer?]]"),
            ("enum[a, b]", "enum[a,b]"),
        ] {
            assert_eq!(parse_type(text).map(|found| type_name(&found)), Ok(name.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_no_type_is_told_with_the_nearest() {
        let message = parse_type("intger").unwrap_err();
        assert!(message.contains("did you mean integer?"), "{message}");
        assert!(message.contains("datetime"), "{message}");
        for text in ["", "[", "[]", "[int", "list", "map", "int]", "enum[]", "enum[a,,b]", "int|", "list[intt]", "?"] {
            assert!(parse_type(text).is_err(), "{text}");
        }
        assert!(parse_type(&"[".repeat(100_000)).is_err());
        let deep = format!("{}int{}", "[".repeat(50), "]".repeat(50));
        assert!(parse_type(&deep).unwrap_err().contains("levels"));
    }

    #[test]
    fn joins() {
        for (a, b, joined) in [
            ("integer", "integer", Some("integer")),
            ("integer", "float", Some("float")),
            ("integer", "none", Some("integer?")),
            ("integer?", "float", Some("float?")),
            ("integer?", "none", Some("integer?")),
            ("[integer]", "[float]", Some("[float]")),
            ("[integer]", "[integer?]", Some("[integer?]")),
            ("integer", "string", None),
            ("[integer]", "[string]", None),
            ("[integer]", "integer", None),
            ("struct", "string?", None),
        ] {
            let (left, right) = (parse_type(a).unwrap(), parse_type(b).unwrap());
            assert_eq!(join(&left, &right).map(|t| type_name(&t)).as_deref(), joined, "{a} and {b}");
            assert_eq!(join(&right, &left).map(|t| type_name(&t)).as_deref(), joined, "{b} and {a}");
        }
    }

    #[test]
    fn types_of_json() {
        for (value, name) in [
            (json!(1), "integer"),
            (json!(1.0), "float"),
            (json!(1e30), "float"),
            (json!(u64::MAX), "integer"),
            (json!("x"), "string"),
            (json!(null), "none"),
            (json!({"a": 1}), "struct"),
            (json!([1, 2.5]), "[float]"),
            (json!([1, null]), "[integer?]"),
            (json!([[], [1]]), "[[integer]]"),
            (json!([1, "a", 2]), "[integer|string]"),
        ] {
            assert_eq!(type_name(&infer(&value)), name, "{value}");
        }
    }

    #[test]
    fn a_file_may_be_optional() {
        assert_eq!(as_file(&parse_type("file[csv]?").unwrap()).unwrap().format, "csv");
        assert!(as_file(&parse_type("file|string").unwrap()).is_none());
        assert!(as_file(&parse_type("[file]").unwrap()).is_none());
    }

    fn any_type() -> impl Strategy<Value = LiteralType> {
        let plain = (0..SIMPLE.len()).prop_map(|at| simple(SIMPLE[at].0));
        let leaf = prop_oneof![4 => plain, 1 => "[a-z0-9.]{0,4}".prop_map(|format| file(&format))];
        leaf.prop_recursive(4, 16, 3, |inner| {
            prop_oneof![
                inner.clone().prop_map(collection),
                inner.clone().prop_map(dictionary),
                inner.prop_map(optional)
            ]
        })
    }

    proptest! {
        #[test]
        fn every_type_survives_its_name(literal_type in any_type()) {
            prop_assert_eq!(parse_type(&type_name(&literal_type)), Ok(literal_type));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[a-z\\[\\]|?, ]{0,24}") {
            if let Ok(read) = parse_type(&text) {
                let name = type_name(&read);
                prop_assert_eq!(parse_type(&name).map(|again| type_name(&again)), Ok(name));
            }
        }

        #[test]
        fn joining_takes_both_and_is_symmetric(a in any_type(), b in any_type()) {
            prop_assert_eq!(join(&a, &a), Some(a.clone()));
            prop_assert_eq!(join(&a, &b).is_some(), join(&b, &a).is_some());
        }
    }
}
