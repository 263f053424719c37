//! The inputs of a spec: types, lists to map over and values to bind.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::Value;

use super::fault::{Fault, Faults, suggest};
use super::names;
use super::reader::Fields;
use crate::idl::core::{LiteralType, SimpleType};
use crate::idl::json::literal_from_json;
use crate::idl::types::{as_simple, file, parse_type, type_name};
use crate::map::task::{BoundSource, Input, MappedSource, Source};

/// What stands before the path of a bound file.
const FILE: &str = "file:";

/// The types of `inputs` or `outputs` by name; `None` for a name whose type has a fault.
pub(super) fn types<'a>(fields: &Fields<'a>, key: &str, faults: &mut Faults) -> BTreeMap<&'a str, Option<LiteralType>> {
    let entries: Vec<_> = fields.entries(key, faults).collect();
    let mut types = BTreeMap::new();
    for (name, value) in entries {
        let field = fields.path(&format!("{key}.{name}"));
        names::identifier(&field, name, faults);
        let read = match value.as_str().map(parse_type) {
            Some(Ok(read)) => Some(read),
            Some(Err(problem)) => {
                faults.0.push(Fault::of(field, value, problem, ""));
                None
            }
            None => {
                faults.0.push(Fault::of(field, value, "is not a type", "write its name in quotes, like \"integer\""));
                None
            }
        };
        types.insert(name, read);
    }
    types
}

/// The inputs by name.
pub(super) fn inputs(fields: &Fields, faults: &mut Faults) -> BTreeMap<String, Input> {
    let types = types(fields, "inputs", faults);
    let mapped: BTreeMap<_, _> = fields.entries("map", faults).collect();
    let bound: BTreeMap<_, _> = fields.entries("bind", faults).collect();
    sources_agree(fields, &types, &mapped, &bound, faults);

    let mut inputs = BTreeMap::new();
    for (name, value) in &mapped {
        let literal_type = types.get(name).cloned().flatten();
        if let Some(source) = map_one(name, value, literal_type.as_ref(), faults) {
            inputs.insert((*name).to_owned(), Input { literal_type, source: Source::Mapped(source) });
        }
    }
    for (name, value) in &bound {
        let literal_type = types.get(name).cloned().flatten();
        if let Some(input) = bind_one(name, value, literal_type, faults) {
            inputs.insert((*name).to_owned(), input);
        }
    }
    one_standard_input(&inputs, faults);
    inputs
}

/// Every input has exactly one source, and one at least is mapped.
fn sources_agree(
    fields: &Fields,
    types: &BTreeMap<&str, Option<LiteralType>>,
    mapped: &BTreeMap<&str, &Value>,
    bound: &BTreeMap<&str, &Value>,
    faults: &mut Faults,
) {
    for (key, entries) in [("map", mapped), ("bind", bound)] {
        for name in entries.keys().filter(|name| !types.contains_key(*name)) {
            names::identifier(&format!("{key}.{name}"), name, faults);
        }
    }
    for (name, value) in bound.iter().filter(|(name, _)| mapped.contains_key(*name)) {
        let problem = format!("{name} is mapped too");
        faults.0.push(Fault::of(format!("bind.{name}"), value, problem, "keep it under map or under bind"));
    }
    for name in types.keys().filter(|name| !mapped.contains_key(*name) && !bound.contains_key(*name)) {
        let problem = "has a type but no values";
        faults.0.push(Fault::missing(format!("inputs.{name}"), problem, "map it, bind it, or leave it out"));
    }
    if mapped.is_empty() && fields.get("map").is_none_or(Value::is_object) {
        let fix = "name the list to run over: \"map\": {\"x\": \"@points.json\"}, or --map x=@points.json";
        faults.0.push(Fault::missing("map", "nothing is mapped", fix));
    }
}

fn map_one(name: &str, value: &Value, literal_type: Option<&LiteralType>, faults: &mut Faults) -> Option<MappedSource> {
    let field = format!("map.{name}");
    if literal_type.and_then(as_simple) == Some(SimpleType::None) {
        let fix = "leave the type out to have it inferred";
        faults.0.push(Fault::text(format!("inputs.{name}"), "none", "a list of nothing cannot be mapped", fix));
    }
    let fix = "give a list, \"@FILE\", \"-\" for standard input, or \"s3://BUCKET/KEY\"";
    let source = match value {
        Value::Array(list) => Ok(MappedSource::Inline(list.clone())),
        Value::String(text) => source_text(text),
        _ => Err("is not a list".to_owned()),
    };
    source.map_err(|problem| faults.0.push(Fault::of(field, value, problem, fix))).ok()
}

fn source_text(text: &str) -> Result<MappedSource, String> {
    if text == "-" || text == "@-" {
        return Ok(MappedSource::Stdin);
    }
    if let Some(path) = text.strip_prefix('@') {
        return if path.is_empty() || path.contains('\0') {
            Err("names no file".to_owned())
        } else {
            Ok(MappedSource::File(PathBuf::from(path)))
        };
    }
    match text.strip_prefix("s3://").map(|rest| rest.split_once('/')) {
        Some(Some((bucket, key))) if !bucket.is_empty() && !key.is_empty() => {
            Ok(MappedSource::S3 { bucket: bucket.to_owned(), key: key.to_owned() })
        }
        Some(_) => Err("names no object".to_owned()),
        None => Err("is a string, not a list".to_owned()),
    }
}

fn bind_one(name: &str, value: &Value, literal_type: Option<LiteralType>, faults: &mut Faults) -> Option<Input> {
    let field = format!("bind.{name}");
    let is_file = literal_type.as_ref().is_some_and(holds_file);
    let mut literal_type = literal_type;
    let source = match value {
        Value::Array(_) => {
            let problem = "a list cannot be bound: every subtask shares a bound value whole";
            let fix = "map it, or wrap it in an object or a file";
            faults.0.push(Fault::of(field, value, problem, fix));
            return None;
        }
        Value::String(text) if text.starts_with("@@") => BoundSource::Value(text[1..].into()),
        Value::String(text) if text.starts_with('@') => execution(&field, &text[1..], faults)?,
        Value::String(text) if text.starts_with(FILE) && (is_file || literal_type.is_none()) => {
            literal_type.get_or_insert_with(|| file(""));
            BoundSource::Value(text[FILE.len()..].into())
        }
        other => BoundSource::Value(other.clone()),
    };
    // A file's value is a path: what is there is for staging to see.
    if let (BoundSource::Value(value), Some(wanted), false) = (&source, &literal_type, is_file)
        && !holds_file(wanted)
        && let Err(problem) = literal_from_json(value, wanted)
    {
        let fix = format!("give a value of type {}, or change inputs.{name}", type_name(wanted));
        faults.0.push(Fault::of(field, value, problem, fix));
    }
    Some(Input { literal_type, source: Source::Bound(source) })
}

/// `ID` or `ID/OUTPUT`, the output of an earlier execution.
fn execution(field: &str, text: &str, faults: &mut Faults) -> Option<BoundSource> {
    let (id, output) = match text.split_once('/') {
        Some((id, output)) => (id, Some(output)),
        None => (text, None),
    };
    let is_id = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if is_id && output.is_none_or(names::is_identifier) {
        return Some(BoundSource::Execution { id: id.to_owned(), output: output.map(str::to_owned) });
    }
    let fix = "write \"@EXECUTION\" or \"@EXECUTION/OUTPUT\"; a file is \"file:PATH\", a string that begins with @ is \"@@...\"";
    faults.0.push(Fault::text(field, &format!("\"@{text}\""), "names no earlier execution", fix));
    None
}

/// Whether values of the type are, or contain, files.
pub(crate) fn holds_file(literal_type: &LiteralType) -> bool {
    use crate::idl::core::literal_type::Type;
    match &literal_type.r#type {
        Some(Type::Blob(_)) => true,
        Some(Type::CollectionType(inner) | Type::MapValueType(inner)) => holds_file(inner),
        Some(Type::UnionType(union)) => union.variants.iter().any(holds_file),
        _ => false,
    }
}

fn one_standard_input(inputs: &BTreeMap<String, Input>, faults: &mut Faults) {
    let reading = inputs.iter().filter(|(_, input)| input.source == Source::Mapped(MappedSource::Stdin));
    for (name, _) in reading.skip(1) {
        let problem = "standard input is already read by another input";
        faults.0.push(Fault::text(format!("map.{name}"), "\"-\"", problem, "give this one a file"));
    }
}

/// Every variable in the command is an input; `names` are the inputs', with or without faults of their own.
pub(super) fn variables_known(command: &[String], names: &BTreeSet<&str>, faults: &mut Faults) {
    match crate::map::template::input_names(command) {
        Err(problem) => faults.0.push(Fault::missing("command", problem, "")),
        Ok(used) => {
            for name in used.iter().filter(|name| !names.contains(name.as_str())) {
                let value = format!("{{{{.inputs.{name}}}}}");
                let fix = format!("{} Otherwise map or bind {name}", suggest(name, names.iter().copied()));
                faults.0.push(Fault::text("command", &value, "names no input", fix));
            }
        }
    }
}
