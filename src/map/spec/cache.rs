//! The spec's words about the cache.

use std::collections::BTreeSet;

use serde_json::Value;

use super::fault::{Fault, Faults, suggest};
use super::reader::{Fields, no};
use crate::map::task::Cache;

/// Characters of a version: it is a word, not a text.
const MAX_VERSION: usize = 256;

/// What makes no sense without `cache`.
const DEPENDENT: [&str; 3] = ["cache_ignore_inputs", "cache_overwrite", "cache_serialize"];

/// Reads `policy.cache` and what belongs to it. `inputs` are the names there are; a task that is not `named` is told
/// from others by its command.
pub(super) fn cache(policy: &Fields, inputs: &BTreeSet<&str>, named: bool, faults: &mut Faults) -> Option<Cache> {
    let before = faults.0.len();
    let wanted = policy.boolean("cache", faults).unwrap_or_default();
    let cache_is_wrong = faults.0.len() > before;
    let version = policy.read("cache_version", faults, version);
    let ignored = policy.read("cache_ignore_inputs", faults, names).unwrap_or_default();
    for name in ignored.iter().filter(|name| !inputs.contains(name.as_str())) {
        let fix = suggest(name, inputs.iter().copied());
        faults.0.push(Fault::text("policy.cache_ignore_inputs", &format!("{name:?}"), "names no input", fix));
    }
    let overwrite = policy.boolean("cache_overwrite", faults).unwrap_or_default();
    let serialize = policy.boolean("cache_serialize", faults).unwrap_or_default();
    if serialize && overwrite {
        let problem = "cache_overwrite runs everything, so there is nothing to wait for";
        faults.0.push(Fault::text("policy.cache_serialize", "true", problem, "leave one of the two out"));
    }
    if !wanted {
        let asked = |key: &&&str| policy.get(key).is_some_and(|value| *value != Value::Bool(false));
        for key in DEPENDENT.iter().filter(asked).filter(|_| !cache_is_wrong) {
            let problem = "there is no cache";
            faults.0.push(Fault::missing(policy.path(key), problem, "give policy.cache: true, or leave it out"));
        }
        // One that is switched off keeps its version for the next time.
        if policy.get("cache").is_none() && policy.get("cache_version").is_some() {
            let fix = "give policy.cache: true, or leave it out";
            faults.0.push(Fault::missing(policy.path("cache_version"), "there is no cache", fix));
        }
        return None;
    }
    if policy.get("cache_version").is_none() {
        let fix = "name what the task does now, like \"1\", and change it whenever that changes";
        faults.0.push(Fault::missing("policy.cache_version", "is missing, and policy.cache needs one", fix));
    }
    Some(Cache { version: version?, ignored, overwrite, serialize, by_command: !named })
}

fn version(value: &Value) -> Result<String, (String, String)> {
    let fix = "give a short text in quotes, like \"1\"";
    match value.as_str() {
        Some("") => Err(("is empty".to_owned(), fix.to_owned())),
        Some(text) if text.chars().count() > MAX_VERSION => Err(("is too long".to_owned(), fix.to_owned())),
        Some(text) => Ok(text.to_owned()),
        None => Err(no("a string", fix)),
    }
}

fn names(value: &Value) -> Result<BTreeSet<String>, (String, String)> {
    let wrong = || no("a list of names", "write [\"NAME\", ...]");
    let list = value.as_array().ok_or_else(wrong)?;
    list.iter().map(|name| name.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
}
