//! From what the command left behind to `outputs.pb`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use futures::future::try_join_all;
use serde_json::Value;

use super::failure::Failure;
use super::pass::Kept;
use super::workspace::file_in;
use crate::aws::store::Store;
use crate::idl::core::{Literal, LiteralMap, LiteralType, TypedInterface};
use crate::idl::json::literal_from_json;
use crate::idl::make;
use crate::idl::text::literal_from_bytes;
use crate::idl::types::{admits_none, as_file, is_directory, type_name};

/// Bytes of one output at most, from standard output or a file that is no file output: larger ones belong in files.
pub(super) const MAX_OUTPUT: usize = 8 << 20;

/// The declared outputs by name; one without a type takes only none.
pub(super) fn declared(interface: Option<&TypedInterface>) -> BTreeMap<String, LiteralType> {
    let variables = interface.and_then(|interface| interface.outputs.as_ref()).map(|outputs| &outputs.variables);
    let typed = variables.into_iter().flatten();
    typed.map(|(name, variable)| (name.clone(), variable.r#type.clone().unwrap_or_default())).collect()
}

/// Whether standard output may be an output: the only one, and no file.
pub(super) fn from_stdout(outputs: &BTreeMap<String, LiteralType>) -> bool {
    outputs.len() == 1 && outputs.values().all(|literal_type| as_file(literal_type).is_none())
}

/// An output.
struct Found {
    literal: Literal,
    /// Files to be uploaded, and the keys where they go.
    uploads: Vec<(PathBuf, String)>,
}

impl From<Literal> for Found {
    fn from(literal: Literal) -> Self {
        Found { literal, uploads: Vec::new() }
    }
}

/// Collects every output: the file of its name in `directory`, else standard output where that was kept. Files are
/// uploaded under `prefix`, which ends in a slash.
pub(super) async fn collect(
    outputs: &BTreeMap<String, LiteralType>,
    directory: &Path,
    stdout: Option<&Kept>,
    store: &dyn Store,
    prefix: &str,
) -> Result<LiteralMap, Failure> {
    let (mut literals, mut uploads, mut faults) = (BTreeMap::new(), Vec::new(), Vec::new());
    for (name, literal_type) in outputs {
        let path = file_in(directory, name)?;
        let found = match find(name, literal_type, &path, store.bucket(), prefix) {
            Ok(None) => otherwise(literal_type, stdout).map(Found::from),
            Ok(Some(found)) => Ok(found),
            Err(fault) => Err(fault),
        };
        match found {
            Ok(Found { literal, uploads: own }) => {
                literals.insert(name.clone(), literal);
                uploads.extend(own);
            }
            Err(fault) => faults.push(format!("output {name} ({}): {fault}", type_name(literal_type))),
        }
    }
    if !faults.is_empty() {
        return Err(Failure::output(faults.join("\n")));
    }
    try_join_all(uploads.iter().map(|(file, key)| store.upload(key, file))).await?;
    Ok(LiteralMap { literals })
}

/// Looks at the file of the output's name.
fn find(
    name: &str,
    literal_type: &LiteralType,
    path: &Path,
    bucket: &str,
    prefix: &str,
) -> Result<Option<Found>, String> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot look at {}: {error}", path.display())),
    };
    let kind = as_file(literal_type);
    let directory = kind.is_some_and(is_directory);
    if directory != metadata.is_dir() || !(directory || metadata.is_file()) {
        let due = if directory { "directory" } else { "plain file" };
        return Err(format!("{} is no {due}, which the type of the output asks for", path.display()));
    }
    if let Some(kind) = kind {
        let key = format!("{prefix}{name}");
        let address = format!("s3://{bucket}/{key}");
        let mut uploads = Vec::new();
        let literal = match directory {
            true => {
                files_in(path, &key, &mut uploads)?;
                make::blob(kind, address)
            }
            false => {
                uploads.push((path.to_owned(), key));
                literal_from_json(&Value::from(address), literal_type)?
            }
        };
        return Ok(Some(Found { literal, uploads }));
    }
    if metadata.len() > MAX_OUTPUT as u64 {
        return Err(too_large(&format!("{} has {} bytes", path.display(), metadata.len())));
    }
    let bytes = fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let literal = literal_from_bytes(&bytes, literal_type).map_err(|fault| format!("{fault} in its file"))?;
    Ok(Some(literal.into()))
}

/// Every plain file in a directory and those below it, each with its key under `key`.
fn files_in(directory: &Path, key: &str, files: &mut Vec<(PathBuf, String)>) -> Result<(), String> {
    let wrong = |error: io::Error| format!("cannot look into {}: {error}", directory.display());
    for entry in fs::read_dir(directory).map_err(wrong)? {
        let entry = entry.map_err(wrong)?;
        let name = entry.file_name();
        let name = name.to_str().ok_or_else(|| format!("{:?} is no name that a key can hold", entry.path()))?;
        let (path, key) = (entry.path(), format!("{key}/{name}"));
        // Not through links: one may lead around in a circle.
        match entry.file_type().map_err(wrong)? {
            kind if kind.is_dir() => files_in(&path, &key, files)?,
            kind if kind.is_file() => files.push((path, key)),
            _ => return Err(format!("{} is neither a plain file nor a directory", path.display())),
        }
    }
    Ok(())
}

/// The output where there is no file of its name.
fn otherwise(literal_type: &LiteralType, stdout: Option<&Kept>) -> Result<Literal, String> {
    match stdout {
        Some(stdout) if stdout.more => Err(too_large("standard output is longer")),
        Some(stdout) => literal_from_bytes(&stdout.bytes, literal_type)
            .map_err(|fault| format!("{fault} on standard output, and there is no file of its name")),
        None if admits_none(literal_type) => literal_from_json(&Value::Null, literal_type),
        None => Err("missing; write it to the file of its name in $BATCHMAP_OUTPUT_DIR ({{.outputDir}})".to_owned()),
    }
}

fn too_large(what: &str) -> String {
    format!("{what}, at most {MAX_OUTPUT} bytes are taken; declare the output as a file")
}
