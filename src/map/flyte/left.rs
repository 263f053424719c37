//! What a command of flytekit leaves behind: which files, and what counts of them.

use std::collections::BTreeMap;

use prost::Message;

use crate::idl::core::literal::Value;
use crate::idl::core::{Literal, LiteralMap, LiteralType};

/// The values that a task has put out.
pub const OUTPUTS: &str = "outputs.pb";
/// Why it has failed.
pub const ERROR: &str = "error.pb";
/// What a dynamic task asks to be run in its place.
pub const FUTURES: &str = "futures.pb";
/// The page that it has made of itself.
pub const DECK: &str = "deck.html";

/// Bytes of [`OUTPUTS`] at most: more belongs in files.
pub const MAX_OUTPUTS: u64 = 64 << 20;

/// What is said of a task that has left [`FUTURES`].
pub const IS_DYNAMIC: &str = "it is a @dynamic task, which batchmap does not run; write a @workflow, or map a task";

/// What is said of outputs of so many bytes.
pub fn too_large(size: u64) -> String {
    format!("its outputs take {size} bytes, and at most {MAX_OUTPUTS} are taken; return files")
}

/// Whether a file of this name is an error document: [`ERROR`] or, of a task in several processes, `error-*.pb`.
pub fn is_error(name: &str) -> bool {
    name == ERROR || (name.starts_with("error-") && name.ends_with(".pb"))
}

/// The declared ones among the outputs in `bytes`.
///
/// # Errors
/// When they are no map of literals, or one that is declared is missing or lies elsewhere; in a sentence.
pub fn outputs(bytes: &[u8], declared: &BTreeMap<String, LiteralType>) -> Result<LiteralMap, String> {
    let outputs = LiteralMap::decode(bytes).map_err(|error| format!("its {OUTPUTS} is no LiteralMap: {error}"))?;
    let missing: Vec<&str> =
        declared.keys().filter(|name| !outputs.literals.contains_key(*name)).map(String::as_str).collect();
    if !missing.is_empty() {
        return Err(format!("its {OUTPUTS} lacks {}", missing.join(", ")));
    }
    if let Some((name, _)) = outputs.literals.iter().find(|(_, literal)| offloaded(literal)) {
        return Err(format!("output {name} is offloaded, which batchmap does not read; unset _F_L_MIN_SIZE_MB"));
    }
    Ok(LiteralMap { literals: outputs.literals.into_iter().filter(|(name, _)| declared.contains_key(name)).collect() })
}

/// Whether a value, or one in it, is elsewhere.
pub fn offloaded(literal: &Literal) -> bool {
    match &literal.value {
        Some(Value::OffloadedMetadata(_)) => true,
        Some(Value::Collection(list)) => list.literals.iter().any(offloaded),
        Some(Value::Map(map)) => map.literals.values().any(offloaded),
        Some(Value::Scalar(_)) | None => false,
    }
}
