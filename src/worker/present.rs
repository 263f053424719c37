//! Gives the inputs to the command, by Flyte's conventions for container tasks: in its arguments, as files and in its
//! environment.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use futures::future::try_join_all;

use super::Connect;
use super::checkpoint::Found;
use super::failure::Failure;
use super::fetch::Fetched;
use super::setting::Setting;
use super::workspace::{Workspace, file_in};
use crate::aws::store::{Store, StoreError};
use crate::idl::core::Literal;
use crate::idl::make::as_blob;
use crate::idl::text::{literal_to_bytes, literal_to_text};
use crate::map::exit::EXIT_NOT_EXECUTABLE;
use crate::map::layout::ENV_CHECKPOINT_DIR;
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
    /// Where it is started; where the worker was when absent.
    pub directory: Option<PathBuf>,
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
    let (store, key) = store_of(name, uri, store, connect).await?;
    store.download(&key, &path).await.map_err(|error| match error {
        StoreError::NotFound { .. } => Failure::input(format!("input {name}: {error}")),
        other => other.into(),
    })
}

/// The bucket of an input's address, and the key in it.
pub(super) async fn store_of<C: Connect>(
    name: &str,
    uri: &str,
    store: &Arc<dyn Store>,
    connect: &C,
) -> Result<(Arc<dyn Store>, String), Failure> {
    let location = uri.strip_prefix("s3://").and_then(|rest| rest.split_once('/'));
    let Some((bucket, key)) = location.filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty()) else {
        return Err(Failure::input(format!("input {name} is the file {uri:?}; only s3://BUCKET/KEY can be fetched")));
    };
    let store = if bucket == store.bucket() {
        Arc::clone(store)
    } else {
        connect(bucket).await.map_err(|error| Failure::system(format!("input {name}: {error}")))?
    };
    Ok((store, key.to_owned()))
}

/// What a command is told.
pub(super) struct Told<'a> {
    /// The record and the child's index.
    pub fetched: &'a Fetched,
    /// Every input's text, from [`write_inputs`].
    pub texts: &'a BTreeMap<String, String>,
    /// The attempt's directories.
    pub workspace: &'a Workspace,
    /// What earlier attempts left.
    pub checkpoint: &'a Found,
    /// The child's place.
    pub setting: &'a Setting,
}

impl Told<'_> {
    /// Renders the command and sets up its environment: what the worker itself has, the task's own variables, and what
    /// tells the command about its inputs and itself.
    pub(super) fn invocation(
        &self,
        command: &[String],
        inherited: BTreeMap<OsString, OsString>,
    ) -> Result<Invocation, Failure> {
        let argv = command.iter().map(|argument| self.render(argument)).collect::<Result<_, _>>()?;
        Ok(Invocation { argv, environment: self.environment(inherited), directory: self.workspace.work.clone() })
    }

    /// What the worker itself has, the task's own variables, and what tells of the inputs and the child.
    pub(super) fn environment(&self, inherited: BTreeMap<OsString, OsString>) -> BTreeMap<OsString, OsString> {
        let mut environment = inherited;
        let record = &self.fetched.record;
        environment.extend(record.environment.iter().map(|(name, value)| (name.into(), value.into())));
        for (name, text) in self.texts {
            if text.len() < ENVIRONMENT_LIMIT && !text.contains('\0') && !name.contains('=') {
                environment.insert(format!("BATCHMAP_INPUT_{name}").into(), text.into());
            }
        }
        // After the inputs: one called DIR must not hide the directory.
        environment.extend([
            ("BATCHMAP_INPUT_DIR".into(), self.workspace.inputs.clone().into_os_string()),
            ("BATCHMAP_OUTPUT_DIR".into(), self.workspace.outputs.clone().into_os_string()),
            ("BATCHMAP_INDEX".into(), self.fetched.index.to_string().into()),
            ("BATCHMAP_SIZE".into(), record.size.to_string().into()),
            ("BATCHMAP_ATTEMPT".into(), self.setting.attempt.clone().into()),
        ]);
        if let Some(saver) = &self.checkpoint.saver {
            environment.insert(ENV_CHECKPOINT_DIR.into(), saver.path().into());
        }
        environment
    }

    fn render(&self, argument: &str) -> Result<String, Failure> {
        let pieces = template::parse(argument).map_err(|error| wrong(format!("command: {error}")))?;
        let Setting { bucket, root, attempt, worker, .. } = self.setting;
        let address = |key: String| format!("s3://{bucket}/{}", key.trim_end_matches('/'));
        template::render(&pieces, |piece| {
            Ok(match piece {
                Piece::Text(text) => text.clone(),
                Piece::Input(name) => self.input(name)?.to_owned(),
                Piece::InputDir => self.workspace.inputs.to_string_lossy().into_owned(),
                Piece::OutputDir => self.workspace.outputs.to_string_lossy().into_owned(),
                Piece::OutputPrefix => address(root.subtask(self.fetched.index)),
                Piece::RawOutputPrefix => address(root.raw_attempt(self.fetched.index, attempt, worker)),
                Piece::CheckpointPrefix => address(root.checkpoint(self.fetched.index, attempt)),
                Piece::PreviousCheckpoint => match &self.checkpoint.previous {
                    Some(previous) => address(root.checkpoint(self.fetched.index, previous)),
                    // As Flyte writes an empty argument, which AWS Batch would not take.
                    None => "\"\"".to_owned(),
                },
                Piece::CheckpointDir => {
                    let path = self.checkpoint.saver.as_ref().map(|saver| saver.path().to_string_lossy().into_owned());
                    path.ok_or_else(|| Failure::system("there is no checkpoint directory"))?
                }
            })
        })
    }

    fn input(&self, name: &str) -> Result<&str, Failure> {
        match self.texts.get(name) {
            Some(text) if text.contains('\0') => Err(wrong(format!(
                "input {name} holds a zero byte, which no argument can; read the file {{{{.inputDir}}}}/{name}"
            ))),
            Some(text) => Ok(text),
            None => {
                let known: Vec<&str> = self.texts.keys().map(String::as_str).collect();
                let known = known.join(", ");
                Err(wrong(format!("command: {{{{.inputs.{name}}}}} names no input (inputs: {known})")))
            }
        }
    }
}

pub(super) fn wrong(message: String) -> Failure {
    Failure::start(message, EXIT_NOT_EXECUTABLE)
}
