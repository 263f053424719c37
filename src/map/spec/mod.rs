//! The spec: a JSON document that says a map task, and its reading into a [`MapTask`], every fault at once.
//!
//! ```json
//! {
//!   "command": ["python3", "detect.py", "{{.inputs.data_point}}", "{{.inputs.threshold}}"],
//!   "inputs":  {"data_point": "float"},
//!   "outputs": {"o0": "boolean"},
//!   "map":     {"data_point": "@points.json"},
//!   "bind":    {"threshold": 11},
//!   "policy":  {"concurrency": 4, "min_success_ratio": 0.75, "timeout": "5m"},
//!   "resources": {"cpu": 1, "mem": "2Gi"}
//! }
//! ```
//!
//! A mapped input is a list, `"@FILE"`, `"-"` (standard input) or `"s3://BUCKET/KEY"`. A bound input is a value; as a
//! string it may be `"@EXECUTION"` or `"@EXECUTION/OUTPUT"` (the output of an earlier execution) or, unless its type
//! is given as another, `"file:PATH"` (a file). A string that begins with `@` is written with `@@`. Paths are relative
//! to the folder that batchmap runs in, wherever the spec lies.
//!
//! Flags make a document of the same shape, laid over the file's by [`overlay`].

use serde_json::{Map, Value};

mod cache;
mod document;
mod fault;
mod inputs;
mod names;
mod parse;
pub(in crate::map) mod quantity;
mod read;
mod reader;

use super::task::MapTask;
pub use document::{Document, Mapped, Policy, Quantity, Resources, Timeout, json_schema};
pub use fault::{Fault, Faults, nearest, shorten, suggest};
pub(crate) use inputs::holds_file;
pub use parse::parse;
pub use read::read;

/// The task that the text of a spec (if any) and the flags over it say. `flags` is a document; its faults so far are
/// given along, so that all come out at once.
///
/// # Errors
/// Everything that is wrong with the text, with the flags, and with what they say together.
pub fn task(text: Option<&str>, flags: Value, mut faults: Faults) -> Result<MapTask, Faults> {
    let mut document = Value::Object(Map::new());
    if let Some(text) = text {
        match parse(text) {
            Ok((parsed, duplicates)) => {
                document = parsed;
                faults.0.extend(duplicates.0);
            }
            Err(fault) => {
                // Without the file nothing more can be told: most of what would seem missing is in it.
                faults.0.push(fault);
                return Err(faults);
            }
        }
    }
    overlay(&mut document, flags);
    match read(&document) {
        Ok(task) => faults.or(task),
        Err(found) => {
            faults.0.extend(found.0);
            Err(faults)
        }
    }
}

/// Lays `flags` over `document`: objects are merged key by key, everything else is replaced. What excludes each other
/// gives way too: an input that flags map is no longer bound by the file (and the other way round), and the same goes
/// for `min_successes` and `min_success_ratio`.
pub fn overlay(document: &mut Value, flags: Value) {
    for (key, rival) in [("map", "bind"), ("bind", "map")] {
        for name in flags[key].as_object().into_iter().flat_map(Map::keys) {
            // An input that the flags themselves give twice is a fault, found when reading.
            if let Some(Value::Object(file)) = document.get_mut(rival) {
                file.shift_remove(name);
            }
        }
    }
    for (key, rival) in [("min_successes", "min_success_ratio"), ("min_success_ratio", "min_successes")] {
        if flags["policy"].get(key).is_some()
            && let Some(Value::Object(file)) = document.get_mut("policy")
        {
            file.shift_remove(rival);
        }
    }
    merge(document, flags, 0);
}

/// Depth of the objects that are merged: `policy.concurrency` is a field, what is inside `bind.x` is a value.
const MERGED_LEVELS: u32 = 2;

fn merge(below: &mut Value, above: Value, level: u32) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) if level < MERGED_LEVELS => {
            for (key, value) in above {
                merge(below.entry(key).or_insert(Value::Null), value, level + 1);
            }
        }
        // A document that is no object is a fault for the reader; without flags it stays as it is.
        (Value::Array(_) | Value::String(_) | Value::Number(_) | Value::Bool(_), Value::Object(_)) if level == 0 => {}
        (below, above) => *below = above,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    #[test]
    fn flags_override_the_file_key_by_key() {
        let mut document = json!({
            "command": ["a", "b"],
            "map": {"x": [1], "y": "@y.json"},
            "bind": {"z": {"deep": {"a": 1}}, "w": 1},
            "policy": {"concurrency": 1, "min_success_ratio": 0.5},
        });
        overlay(
            &mut document,
            json!({
                "command": ["c"],
                "map": {"x": "-", "w": [1]},
                "bind": {"y": 2, "z": {"deep": {"b": 1}}},
                "policy": {"retries": 1, "min_successes": 3},
                "resources": {"cpu": 2},
            }),
        );
        assert_eq!(
            document,
            json!({
                "command": ["c"],
                "map": {"x": "-", "w": [1]},
                "bind": {"z": {"deep": {"b": 1}}, "y": 2},
                "policy": {"concurrency": 1, "retries": 1, "min_successes": 3},
                "resources": {"cpu": 2},
            })
        );
    }

    #[test]
    fn a_document_that_is_no_object_stays_a_fault_under_flags() {
        for text in ["[]", "\"x\"", "1"] {
            let faults = task(Some(text), json!({"command": ["a"], "map": {"x": [1]}}), Faults::default()).unwrap_err();
            assert!(faults.to_string().contains("the spec is"), "{faults}");
        }
    }

    fn keys(schema: &Value) -> BTreeSet<&str> {
        schema["properties"].as_object().unwrap().keys().map(String::as_str).collect()
    }

    #[test]
    fn the_schema_knows_the_keys_that_the_reader_knows() {
        let schema = json_schema();
        for (properties, known) in [
            (keys(&schema), read::KEYS),
            (keys(&schema["$defs"]["Policy"]), read::POLICY_KEYS),
            (keys(&schema["$defs"]["Resources"]), read::RESOURCES_KEYS),
        ] {
            assert_eq!(properties, known.iter().copied().collect());
        }
        for object in [&schema, &schema["$defs"]["Policy"], &schema["$defs"]["Resources"]] {
            assert_eq!(object["additionalProperties"], json!(false));
        }
        assert_eq!(schema["required"], json!(["command", "map"]));
    }
}
