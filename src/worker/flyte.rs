//! Commands of Flyte's: what they are given and what they leave, by the contract between Flyte and its containers.
//!
//! ```text
//! inputs.pb (own values; a list of one for each mapped input) ─► command ─► outputs.pb | error.pb | futures.pb
//!      {{.input}}                                                              {{.outputPrefix}}
//! ```
//! Both are local files here: the worker reads and writes S3, as for any command. Where children are processes of one
//! machine, each works in a directory of its own, which code that comes with the task is unpacked into.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use prost::Message;

use super::checkpoint::Found;
use super::command::Ended;
use super::failure::Failure;
use super::fetch::Fetched;
use super::present::{Invocation, Told, wrong};
use super::with_tail;
use super::workspace::Workspace;
use crate::idl::core::{ErrorDocument, Literal, LiteralMap, LiteralType};
use crate::idl::make;
use crate::idl::record::TaskRecord;
use crate::idl::record::flyte::{Kind, Runner};
use crate::map::flyte::left;
use crate::map::flyte::stock::unpack_here;
use crate::map::flyte::template::{self, Piece};
use crate::map::layout::{ENV_ELEMENT, ENV_PROCESS, raw_name};

/// Bytes of `error.pb` at most: more is no message.
const MAX_ERROR: u64 = 1 << 20;

/// How Flyte's command of this record is run; `None` where it is none of Flyte's.
///
/// # Errors
/// Where it is to be run without a worker.
pub(super) fn kind(record: &TaskRecord) -> Result<Option<Kind>, Failure> {
    let Some(flyte) = &record.flyte else { return Ok(None) };
    match (Kind::try_from(flyte.kind), Runner::try_from(flyte.runner)) {
        (Ok(kind), Ok(Runner::Worker)) => Ok(Some(kind)),
        (Ok(_), Ok(_)) => Err(Failure::system("the task is to be run without a worker")),
        _ => Err(Failure::system("task.pb holds a kind of command that this worker does not know")),
    }
}

/// Whether the command reads and leaves protobuf files.
pub(super) fn by_protobuf(kind: Option<Kind>) -> bool {
    matches!(kind, Some(Kind::Single | Kind::Map))
}

/// Writes the file of the inputs: of a map, a list of this one element for each mapped input.
pub(super) fn write_inputs(kind: Kind, fetched: &Fetched, workspace: &Workspace) -> Result<(), Failure> {
    let mapped = |name: &String| kind == Kind::Map && fetched.record.mapped.contains(name);
    let given = |(name, literal): (&String, &Literal)| {
        let literal = literal.clone();
        (name.clone(), if mapped(name) { make::collection(vec![literal]) } else { literal })
    };
    let inputs = LiteralMap { literals: fetched.inputs.iter().map(given).collect() };
    let path = input(workspace);
    let unwritten = |error| Failure::system(format!("cannot write {}: {error}", path.display()));
    fs::write(&path, inputs.encode_to_vec()).map_err(unwritten)
}

fn input(workspace: &Workspace) -> PathBuf {
    workspace.inputs.join("inputs.pb")
}

impl Told<'_> {
    /// Renders a command of Flyte's and sets up its environment.
    pub(super) fn flyte(
        &self,
        kind: Kind,
        command: &[String],
        inherited: BTreeMap<OsString, OsString>,
    ) -> Result<Invocation, Failure> {
        let render = |argument: &String| {
            let argument = self.relocated(argument);
            template::render(&argument, |piece| self.flyte_piece(kind, piece))
        };
        let mut argv = command.iter().map(render).collect::<Result<Vec<_>, _>>()?;
        let mut environment = self.environment(inherited);
        if kind == Kind::Map {
            environment.insert("BATCH_JOB_ARRAY_INDEX_VAR_NAME".into(), ENV_ELEMENT.into());
            environment.insert(ENV_ELEMENT.into(), "0".into());
            environment.remove(OsStr::new("BATCH_JOB_ARRAY_INDEX_OFFSET"));
        }
        if let Some(work) = &self.workspace.work {
            unpack_here(&mut argv);
            // Before what the machine has: the task's own code counts.
            let inherited = environment.remove(OsStr::new("PYTHONPATH")).filter(|path| !path.is_empty());
            let mut path = work.clone().into_os_string();
            path.extend(inherited.into_iter().flat_map(|inherited| [OsString::from(":"), inherited]));
            environment.insert("PYTHONPATH".into(), path);
        }
        Ok(Invocation { argv, environment, directory: self.workspace.work.clone() })
    }

    /// An argument with the directories that the task names as those that a process of this machine has in their place.
    fn relocated(&self, argument: &str) -> String {
        let mut argument = argument.to_owned();
        if self.workspace.work.is_some() {
            let record = &self.fetched.record;
            for (named, own) in
                [(&record.input_dir, &self.workspace.inputs), (&record.output_dir, &self.workspace.outputs)]
            {
                argument = replaced(&argument, named.trim_end_matches('/'), &own.to_string_lossy());
            }
        }
        argument
    }

    fn flyte_piece(&self, kind: Kind, piece: &Piece) -> Result<String, Failure> {
        let shown = |path: &Path| path.to_string_lossy().into_owned();
        let (root, index, attempt) = (&self.setting.root, self.fetched.index, &self.setting.attempt);
        let job = &self.setting.worker;
        let address = |key: String| format!("s3://{}/{}", self.setting.bucket, key.trim_end_matches('/'));
        Ok(match piece {
            Piece::Text(text) => text.clone(),
            Piece::Input => shown(&input(self.workspace)),
            Piece::InputPrefix => shown(&self.workspace.inputs),
            Piece::OutputPrefix if kind == Kind::Container => address(root.subtask(index)),
            Piece::OutputPrefix => shown(&self.workspace.outputs),
            Piece::RawOutputPrefix => match self.fetched.record.flyte.as_ref().map(|flyte| &flyte.raw_output_prefix) {
                Some(prefix) if !prefix.is_empty() => {
                    format!("{prefix}/{}/{:010}/{}", root.id(), index.0, raw_name(attempt, job))
                }
                _ => address(root.raw_attempt(index, attempt, job)),
            },
            Piece::CheckpointPrefix => address(root.checkpoint(index, attempt)),
            Piece::PreviousCheckpoint => previous(self.checkpoint).map_or_else(
                // What flytekit takes for none.
                || "\"\"".to_owned(),
                |previous| address(root.checkpoint(index, previous)),
            ),
            Piece::Unknown(name) => return Err(wrong(format!("command: {{{{.{name}}}}} is nothing that a job has"))),
            Piece::UniqueKey => format!("{}-{}-{attempt}", root.id(), index.0),
            Piece::Value(name) => match self.texts.get(name) {
                Some(text) if text.contains('\0') => {
                    return Err(wrong(format!("input {name} holds a zero byte, which no argument can")));
                }
                Some(text) => text.clone(),
                None => return Err(wrong(format!("command: {{{{.inputs.{name}}}}} names no input"))),
            },
        })
    }
}

fn previous(checkpoint: &Found) -> Option<&String> {
    checkpoint.previous.as_ref()
}

/// `text` with the path `from` as `to`, wherever it is not the beginning of another name.
fn replaced(text: &str, from: &str, to: &str) -> String {
    if from.is_empty() {
        return text.to_owned();
    }
    let (mut replaced, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(from) {
        let after = &rest[at + from.len()..];
        let goes_on = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
        replaced.push_str(&rest[..at]);
        replaced.push_str(if after.starts_with(goes_on) { from } else { to });
        rest = after;
    }
    replaced + rest
}

/// Whether children are processes of this machine.
pub(super) fn is_process(environment: &BTreeMap<OsString, OsString>) -> bool {
    environment.contains_key(OsStr::new(ENV_PROCESS))
}

/// Where the command has left what it leaves: a map task of the old kind appends the index itself.
pub(super) fn left_in(directory: &Path) -> PathBuf {
    let below = directory.join("0");
    if below.is_dir() { below } else { directory.to_owned() }
}

/// What a command that failed says of itself, if it does.
pub(super) fn error(directory: &Path) -> Option<Failure> {
    let path = error_file(directory)?;
    let unread = |problem: String| Failure::output(format!("{} cannot be read: {problem}", path.display()));
    let read = || {
        let bytes = read_small(&path, MAX_ERROR)?;
        ErrorDocument::decode(bytes.as_slice()).map_err(|error| error.to_string())
    };
    Some(match read() {
        Ok(document) => Failure::told(document.error.unwrap_or_default()),
        Err(problem) => unread(problem),
    })
}

/// `error.pb` or, of a task in several processes, the first `error-*.pb`.
fn error_file(directory: &Path) -> Option<PathBuf> {
    let plain = directory.join("error.pb");
    if plain.exists() {
        return Some(plain);
    }
    let names = fs::read_dir(directory).ok()?.flatten().map(|entry| entry.file_name());
    let errors = names.filter(|name| left::is_error(&name.to_string_lossy()));
    errors.min().map(|name| directory.join(name))
}

fn read_small(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    let size = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > limit {
        return Err(format!("it has {size} bytes, and at most {limit} are taken"));
    }
    fs::read(path).map_err(|error| error.to_string())
}

/// The outputs that a command which ended with 0 has left.
pub(super) fn outputs(
    directory: &Path,
    declared: &BTreeMap<String, LiteralType>,
    ended: &Ended,
) -> Result<LiteralMap, Failure> {
    let path = directory.join("outputs.pb");
    match fs::metadata(&path) {
        Ok(metadata) if metadata.len() > left::MAX_OUTPUTS => {
            return Err(Failure::output(left::too_large(metadata.len())));
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(nothing_left(directory, ended)),
        Err(error) => return Err(Failure::system(format!("cannot look at {}: {error}", path.display()))),
    }
    let bytes = fs::read(&path).map_err(|error| Failure::system(format!("cannot read {}: {error}", path.display())))?;
    left::outputs(&bytes, declared).map_err(Failure::output)
}

fn nothing_left(directory: &Path, ended: &Ended) -> Failure {
    if directory.join("futures.pb").exists() {
        return Failure::output(left::IS_DYNAMIC.to_owned());
    }
    Failure::output(with_tail("it ended with exit code 0 but left neither outputs nor an error".to_owned(), ended))
}

/// The page that the command has made of itself, if it did.
pub(super) fn deck(directory: &Path) -> Option<PathBuf> {
    Some(directory.join("deck.html")).filter(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_paths_are_replaced() {
        for (text, expected) in [
            ("echo > /var/outputs/y", "echo > /own/y"),
            ("/var/outputs", "/own"),
            ("/var/outputs2 /var/outputs.d \"/var/outputs\"", "/var/outputs2 /var/outputs.d \"/own\""),
        ] {
            assert_eq!(replaced(text, "/var/outputs", "/own"), expected);
        }
        assert_eq!(replaced("x", "", "/own"), "x");
    }
}
