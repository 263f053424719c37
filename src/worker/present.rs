//! Gives the inputs to the command, by Flyte's conventions for container tasks: in its arguments, as files and in its
//! environment.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use futures::future::try_join_all;

use super::Connect;
use super::failure::Failure;
use super::fetch::Fetched;
use super::setting::Setting;
use super::workspace::{Workspace, file_in};
use crate::aws::store::{Store, StoreError};
use crate::idl::core::Literal;
use crate::idl::make::as_blob;
use crate::idl::text::{literal_to_bytes, literal_to_text};
use crate::map::exit::EXIT_NOT_EXECUTABLE;
use crate::map::template::{self, Piece};

/// Values from this size on are given in files and arguments only: an environment has little room.
const ENVIRONMENT_LIMIT: usize = 32 << 10;

/// The command as it is started.
#[derive(Debug)]
pub(super) struct Invocation {
    /// The program and its arguments, rendered; never empty.
    pub argv: Vec<String>,
    /// The whole environment.
    pub environment: BTreeMap<OsString, OsString>,
}

/// Writes the input files and returns every input's text: of a file, the path where it has been put.
pub(super) async fn write_inputs<C: Connect>(
    inputs: &BTreeMap<String, Literal>,
    workspace: &Workspace,
    store: &Arc<dyn Store>,
    connect: &C,
) -> Result<BTreeMap<String, String>, Failure> {
    let mut texts = BTreeMap::new();
    let mut downloads = Vec::new();
    for (name, literal) in inputs {
        let path = file_in(&workspace.inputs, name)?;
        if let Some(blob) = as_blob(literal) {
            texts.insert(name.clone(), path.to_string_lossy().into_owned());
            downloads.push(download(name, &blob.uri, path, store, connect));
        } else {
            let written = tokio::fs::write(&path, literal_to_bytes(literal)).await;
            written.map_err(|error| Failure::system(format!("cannot write {}: {error}", path.display())))?;
            texts.insert(name.clone(), literal_to_text(literal));
        }
    }
    try_join_all(downloads).await?;
    Ok(texts)
}

async fn download<C: Connect>(
    name: &str,
    uri: &str,
    path: PathBuf,
    store: &Arc<dyn Store>,
    connect: &C,
) -> Result<(), Failure> {
    let location = uri.strip_prefix("s3://").and_then(|rest| rest.split_once('/'));
    let Some((bucket, key)) = location.filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty()) else {
        return Err(Failure::input(format!("input {name} is the file {uri:?}; only s3://BUCKET/KEY can be fetched")));
    };
    let store = if bucket == store.bucket() {
        Arc::clone(store)
    } else {
        connect(bucket).await.map_err(|error| Failure::system(format!("input {name}: {error}")))?
    };
    store.download(key, &path).await.map_err(|error| match error {
        StoreError::NotFound { .. } => Failure::input(format!("input {name}: {error}")),
        other => other.into(),
    })
}

/// Renders the command and sets up its environment: what the worker itself has, the task's own variables, and what
/// tells the command about its inputs and itself.
pub(super) fn invocation(
    command: &[String],
    inherited: BTreeMap<OsString, OsString>,
    fetched: &Fetched,
    texts: &BTreeMap<String, String>,
    workspace: &Workspace,
    setting: &Setting,
) -> Result<Invocation, Failure> {
    let render = |argument| render(argument, fetched, texts, workspace, setting);
    let argv: Vec<String> = command.iter().map(render).collect::<Result<_, _>>()?;
    let mut environment = inherited;
    let record = &fetched.record;
    environment.extend(record.environment.iter().map(|(name, value)| (name.into(), value.into())));
    for (name, text) in texts {
        if text.len() < ENVIRONMENT_LIMIT && !text.contains('\0') && !name.contains('=') {
            environment.insert(format!("BATCHMAP_INPUT_{name}").into(), text.into());
        }
    }
    // After the inputs: one called DIR must not hide the directory.
    environment.extend([
        ("BATCHMAP_INPUT_DIR".into(), workspace.inputs.clone().into_os_string()),
        ("BATCHMAP_OUTPUT_DIR".into(), workspace.outputs.clone().into_os_string()),
        ("BATCHMAP_INDEX".into(), fetched.index.to_string().into()),
        ("BATCHMAP_SIZE".into(), record.size.to_string().into()),
        ("BATCHMAP_ATTEMPT".into(), setting.attempt.clone().into()),
    ]);
    Ok(Invocation { argv, environment })
}

fn render(
    argument: &String,
    fetched: &Fetched,
    texts: &BTreeMap<String, String>,
    workspace: &Workspace,
    setting: &Setting,
) -> Result<String, Failure> {
    let wrong = |message| Failure::start(message, EXIT_NOT_EXECUTABLE);
    let pieces = template::parse(argument).map_err(|error| wrong(format!("command: {error}")))?;
    let address = |key: String| format!("s3://{}/{}", setting.bucket, key.trim_end_matches('/'));
    template::render(&pieces, |piece| {
        Ok(match piece {
            Piece::Text(text) => text.clone(),
            Piece::Input(name) => match texts.get(name) {
                Some(text) if !text.contains('\0') => text.clone(),
                Some(_) => {
                    return Err(wrong(format!(
                        "input {name} holds a zero byte, which no argument can; read the file {{{{.inputDir}}}}/{name}"
                    )));
                }
                None => {
                    let known: Vec<&str> = texts.keys().map(String::as_str).collect();
                    let known = known.join(", ");
                    return Err(wrong(format!("command: {{{{.inputs.{name}}}}} names no input (inputs: {known})")));
                }
            },
            Piece::InputDir => workspace.inputs.to_string_lossy().into_owned(),
            Piece::OutputDir => workspace.outputs.to_string_lossy().into_owned(),
            Piece::OutputPrefix => address(setting.root.subtask(fetched.index)),
            Piece::RawOutputPrefix => address(setting.root.raw_attempt(fetched.index, &setting.attempt)),
        })
    })
}
