//! Raw containers: inputs and outputs as files, by the conventions of Flyte's copilot.
//!
//! ```text
//! INPUTS/x               the text of a value, the file of a file, the folder of a folder
//! INPUTS/xs/0, INPUTS/m/k    elements of a list and of a dictionary, each as above
//! INPUTS/inputs.{json,yaml,pb}   all of them, with paths in the place of addresses
//! OUTPUTS/y              read as y's type; a file or a folder is uploaded
//! OUTPUTS/_ERROR         what went wrong, whatever the exit code
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::try_join_all;
use prost::Message;
use serde_json::Value as Json;

use super::Connect;
use super::failure::Failure;
use super::present::store_of;
use super::workspace::{Workspace, file_in};
use crate::aws::store::{Store, StoreError};
use crate::idl::core::literal::Value;
use crate::idl::core::{Blob, Literal, LiteralMap, scalar};
use crate::idl::json::literal_to_json;
use crate::idl::make;
use crate::idl::text::{literal_to_bytes, literal_to_text};
use crate::idl::types::is_directory;

/// The file that a command says its failure in.
pub(super) const ERROR_FILE: &str = "_ERROR";
/// Bytes of it that become the message.
const MESSAGE: usize = 16 << 10;
/// Objects of one folder at most.
const MAX_FILES: usize = 100_000;

/// What is to be fetched before the command starts.
#[derive(Default)]
struct Wanted {
    /// The input, the address, and where its file goes.
    files: Vec<(String, Blob, PathBuf)>,
}

/// Writes all inputs and returns each one's text: of a file, the path where it has been put.
pub(super) async fn write_inputs<C: Connect>(
    inputs: &BTreeMap<String, Literal>,
    workspace: &Workspace,
    store: &Arc<dyn Store>,
    connect: &C,
) -> Result<BTreeMap<String, String>, Failure> {
    let (mut wanted, mut texts, mut local) = (Wanted::default(), BTreeMap::new(), BTreeMap::new());
    for (name, literal) in inputs {
        let path = file_in(&workspace.inputs, name)?;
        let own = wanted.write(name, literal, &path)?;
        texts.insert(name.clone(), literal_to_text(&own));
        local.insert(name.clone(), own);
    }
    let fetched = wanted.files.iter().map(|(name, blob, path)| fetch(name, blob, path, store, connect));
    try_join_all(fetched).await?;
    let object: Json = local.iter().map(|(name, literal)| (name.clone(), literal_to_json(literal))).collect();
    let text = object.to_string().into_bytes();
    // JSON is YAML.
    for (name, bytes) in [
        ("inputs.json", text.clone()),
        ("inputs.yaml", text),
        ("inputs.pb", LiteralMap { literals: local }.encode_to_vec()),
    ] {
        // One that is called so is the caller's.
        if !inputs.contains_key(name) {
            put(&workspace.inputs.join(name), &bytes)?;
        }
    }
    Ok(texts)
}

impl Wanted {
    /// Writes a value at `path`, notes what has to be fetched, and returns it with paths in the place of addresses.
    fn write(&mut self, name: &str, literal: &Literal, path: &Path) -> Result<Literal, Failure> {
        match &literal.value {
            Some(Value::Collection(list)) => {
                folder(path)?;
                let element = |(at, literal): (usize, &Literal)| self.write(name, literal, &path.join(at.to_string()));
                Ok(make::collection(list.literals.iter().enumerate().map(element).collect::<Result<_, _>>()?))
            }
            Some(Value::Map(map)) => {
                folder(path)?;
                let entry = |(key, literal): (&String, &Literal)| {
                    let own = file_in(path, key)
                        .map_err(|_| Failure::input(format!("input {name}: its key {key:?} cannot name a file")))?;
                    Ok((key.clone(), self.write(name, literal, &own)?))
                };
                Ok(make::dictionary(map.literals.iter().map(entry).collect::<Result<Vec<_>, Failure>>()?))
            }
            _ => match make::as_blob(literal) {
                Some(blob) => {
                    self.files.push((name.to_owned(), blob.clone(), path.to_owned()));
                    let uri = path.to_string_lossy().into_owned();
                    Ok(make::scalar(scalar::Value::Blob(Blob { uri, ..blob.clone() })))
                }
                None => {
                    let none = matches!(make::as_scalar(literal), Some(scalar::Value::NoneType(_)));
                    put(path, &if none { b"null".to_vec() } else { literal_to_bytes(literal) })?;
                    Ok(literal.clone())
                }
            },
        }
    }
}

/// Fetches a file, or all that lies in a folder.
async fn fetch<C: Connect>(
    name: &str,
    blob: &Blob,
    path: &Path,
    store: &Arc<dyn Store>,
    connect: &C,
) -> Result<(), Failure> {
    let (store, key) = store_of(name, &blob.uri, store, connect).await?;
    let missing = |error: StoreError| match error {
        StoreError::NotFound { .. } => Failure::input(format!("input {name}: {error}")),
        other => other.into(),
    };
    if !blob.metadata.as_ref().and_then(|metadata| metadata.r#type.as_ref()).is_some_and(is_directory) {
        return store.download(&key, path).await.map_err(missing);
    }
    folder(path)?;
    let prefix = format!("{}/", key.trim_end_matches('/'));
    let (mut after, mut files) = (None, 0);
    loop {
        let page = store.list(&prefix, after.as_deref()).await.map_err(missing)?;
        files += page.objects.len();
        if files > MAX_FILES {
            return Err(Failure::input(format!("input {name}: the folder holds more than {MAX_FILES} files")));
        }
        for object in &page.objects {
            let rest = object.key.strip_prefix(&prefix).unwrap_or_default();
            let own = rest.split('/').try_fold(path.to_owned(), |path, part| file_in(&path, part));
            // Marks of folders end in a slash, and hold nothing.
            let Ok(own) = own else { continue };
            if let Some(parent) = own.parent() {
                folder(parent)?;
            }
            store.download(&object.key, &own).await.map_err(missing)?;
        }
        after = page.objects.last().map(|object| object.key.clone());
        if !page.more {
            return Ok(());
        }
    }
}

fn folder(path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path).map_err(|error| Failure::system(format!("cannot make {}: {error}", path.display())))
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    fs::write(path, bytes).map_err(|error| Failure::system(format!("cannot write {}: {error}", path.display())))
}

/// What a command says of its failure; `exit` is its own code.
pub(super) fn error(outputs: &Path, exit: i32) -> Option<Failure> {
    let bytes = fs::read(outputs.join(ERROR_FILE)).ok()?;
    let shown = &bytes[..bytes.len().min(MESSAGE)];
    let message = String::from_utf8_lossy(shown).trim().to_owned();
    let message = if message.is_empty() { format!("it left an empty {ERROR_FILE}") } else { message };
    Some(Failure::command(message, exit.max(1)))
}
