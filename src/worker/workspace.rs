//! The directories of one attempt.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use super::copilot::ERROR_FILE;
use super::failure::Failure;
use crate::idl::record::TaskRecord;
use crate::map::exit::RECOVERABLE_FILE;

/// Where input files are given and output files are expected. Temporary directories go with it.
#[derive(Debug)]
pub(super) struct Workspace {
    /// One file for each input.
    pub inputs: PathBuf,
    /// Where the command may leave a file for each output.
    pub outputs: PathBuf,
    /// Where the command is started; where the worker was when absent.
    pub work: Option<PathBuf>,
    temporary: Option<Temporary>,
}

impl Workspace {
    /// Makes the directories that the record names, and temporary ones in `parent` for those that it does not. What an
    /// earlier attempt may have left in a named directory under an output's name is removed.
    pub(super) fn make(record: &TaskRecord, parent: &Path) -> Result<Self, Failure> {
        let mut workspace = Workspace { inputs: PathBuf::new(), outputs: PathBuf::new(), work: None, temporary: None };
        if record.input_dir.is_empty() || record.output_dir.is_empty() {
            workspace.temporary = Some(Temporary::make(parent)?);
        }
        workspace.inputs = workspace.directory(&record.input_dir, "inputs")?;
        workspace.outputs = workspace.directory(&record.output_dir, "outputs")?;
        let declared = record.interface.iter().flat_map(|interface| &interface.outputs).flat_map(|map| &map.variables);
        for name in declared.map(|(name, _)| name.as_str()).chain([RECOVERABLE_FILE, ERROR_FILE]) {
            let stale = file_in(&workspace.outputs, name)?;
            let removed = if stale.is_dir() { fs::remove_dir_all(&stale) } else { fs::remove_file(&stale) };
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(cannot_make(&stale, &error)),
                _ => {}
            }
        }
        Ok(workspace)
    }

    /// Makes all directories apart from what other commands on this machine have, also those that the record names, and
    /// one for the command to start in. Returned beside it is one for its temporary files.
    pub(super) fn apart(record: &TaskRecord, parent: &Path) -> Result<(Self, PathBuf), Failure> {
        let unnamed = TaskRecord { input_dir: String::new(), output_dir: String::new(), ..record.clone() };
        let mut workspace = Workspace::make(&unnamed, parent)?;
        workspace.work = Some(workspace.directory("", "work")?);
        let temporary = workspace.directory("", "tmp")?;
        Ok((workspace, temporary))
    }

    fn directory(&self, named: &str, otherwise: &str) -> Result<PathBuf, Failure> {
        let path = match &self.temporary {
            Some(temporary) if named.is_empty() => temporary.path().join(otherwise),
            _ => PathBuf::from(named),
        };
        fs::create_dir_all(&path).map_err(|error| cannot_make(&path, &error))?;
        Ok(path)
    }
}

/// Where temporary directories are made: in `TMPDIR`, or else in the first of `places` that this user may write to. Of any
/// but the first of those, which every program knows, the command is told as well.
pub(super) fn temporary_parent(environment: &mut BTreeMap<OsString, OsString>, places: [&Path; 2]) -> PathBuf {
    const TMPDIR: &str = "TMPDIR";
    if let Some(given) = environment.get(OsStr::new(TMPDIR)).filter(|path| !path.is_empty()) {
        return PathBuf::from(given);
    }
    let [usual, other] = places;
    let writable = |path: &Path| access(path, AccessFlags::W_OK | AccessFlags::X_OK).is_ok();
    if !writable(usual) && writable(other) {
        environment.insert(TMPDIR.into(), other.into());
        return other.to_owned();
    }
    usual.to_owned()
}

/// A directory that goes with this.
#[derive(Debug)]
pub(super) struct Temporary(PathBuf);

impl Temporary {
    /// A new one in `parent`.
    pub(super) fn make(parent: &Path) -> Result<Self, Failure> {
        make_temporary(parent).map(Temporary).map_err(|error| cannot_make(parent, &error))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Removes whatever is in it.
    pub(super) fn clear(&self) -> Result<(), Failure> {
        let cleared = fs::remove_dir_all(&self.0).and_then(|()| DirBuilder::new().mode(0o700).create(&self.0));
        cleared.map_err(|error| cannot_make(&self.0, &error))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!("cannot remove {}: {error}", self.0.display());
        }
    }
}

/// A new directory that only this user may enter.
fn make_temporary(parent: &Path) -> io::Result<PathBuf> {
    let mut number = 0_u32;
    loop {
        let path = parent.join(format!("batchmap-{}-{number}", std::process::id()));
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            made => return made.map(|()| path),
        }
    }
}

/// The file called `name` in `directory`, and nowhere else.
pub(super) fn file_in(directory: &Path, name: &str) -> Result<PathBuf, Failure> {
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
        return Err(Failure::system(format!("{name:?} cannot name a file, and so neither an input nor an output")));
    }
    Ok(directory.join(name))
}

fn cannot_make(path: &Path, error: &io::Error) -> Failure {
    Failure::system(format!("cannot prepare {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_directories_go_with_the_workspace() {
        let parent = tempfile::tempdir().unwrap();
        let record = TaskRecord::default();
        let (one, two) =
            (Workspace::make(&record, parent.path()).unwrap(), Workspace::make(&record, parent.path()).unwrap());
        assert_ne!(one.inputs, two.inputs);
        assert!(one.inputs.is_dir() && one.outputs.is_dir());
        drop((one, two));
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn named_directories_stay_but_stale_outputs_go() {
        let parent = tempfile::tempdir().unwrap();
        let output_dir = parent.path().join("a/b");
        fs::create_dir_all(&output_dir).unwrap();
        fs::write(output_dir.join(RECOVERABLE_FILE), "old").unwrap();
        fs::write(output_dir.join("other"), "kept").unwrap();
        let record = TaskRecord { output_dir: output_dir.to_string_lossy().into_owned(), ..TaskRecord::default() };
        drop(Workspace::make(&record, parent.path()).unwrap());
        assert!(output_dir.join("other").exists() && !output_dir.join(RECOVERABLE_FILE).exists());
    }

    #[test]
    fn an_image_without_a_tmp_uses_the_injected_one() {
        let place = tempfile::tempdir().unwrap();
        let (there, absent) = (place.path(), place.path().join("absent"));
        let parent = |given: &str, places| {
            let mut environment = BTreeMap::from([("TMPDIR".into(), given.into())]);
            let parent = temporary_parent(&mut environment, places);
            (parent, environment.remove(OsStr::new("TMPDIR")).unwrap())
        };
        assert_eq!(parent("/given", [there, there]), (PathBuf::from("/given"), "/given".into()));
        assert_eq!(parent("", [there, Path::new("/")]), (there.to_owned(), "".into()));
        assert_eq!(parent("", [&absent, there]), (there.to_owned(), there.into()));
        assert_eq!(parent("", [&absent, &absent]), (absent.clone(), "".into()), "and making it there says why not");
    }

    #[test]
    fn no_name_leads_out_of_the_directory() {
        for name in ["", ".", "..", "../x", "/x", "a/b", "a\0"] {
            assert!(file_in(Path::new("/d"), name).is_err(), "{name:?}");
        }
        assert_eq!(file_in(Path::new("/d"), "..x"), Ok(PathBuf::from("/d/..x")));
    }
}
