//! How the model survives: a snapshot, and journals of the inputs since.
//!
//! `snapshot.json` is a header line with the format's version and a generation, then the model. `journal-<generation>.jsonl`
//! holds one line `[now, input]` each. Replaying gives the same model, for the model is deterministic.
//!
//! ```text
//!  snapshot of 4 ─► journal-4 ─► journal-5 ─► ...        rotate: the next journal begins, then its snapshot is written
//!                        snapshot of 5 ─► journal-5      by rename; then the journals before it go
//! ```
//! A crash between any two of these steps leaves a snapshot and all journals since. What is appended is handed to the kernel
//! before it is answered: it survives the process. That it survives a loss of power, too, is for the caller to wait for:
//! see [`Journal::unsynced`].

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::model::{Input, Model};

/// Another version's files are refused, not guessed at.
const VERSION: u32 = 2;
const SNAPSHOT: &str = "snapshot.json";

#[derive(Serialize, Deserialize)]
struct Header {
    version: u32,
    generation: u64,
}

/// What a directory holds.
pub(super) struct Loaded {
    pub(super) model: Model,
    /// The newest there is a file of.
    pub(super) generation: u64,
}

/// Reads what `dir` holds, without writing; nothing when it was never used.
pub(super) fn load(dir: &Path) -> io::Result<Option<Loaded>> {
    loop {
        let Some((first, mut model)) = load_snapshot(dir)? else { return unused(dir) };
        let present = generations(dir)?;
        let newest = present.last().copied().unwrap_or(first).max(first);
        let replayed = replay_all(dir, first, &present, &mut model);
        // A writer may have begun another generation while we read, or removed one: then there may be a gap.
        if read_header(dir)?.is_some_and(|header| header.generation == first) && generations(dir)? == present {
            return replayed.map(|()| Some(Loaded { model, generation: newest }));
        }
    }
}

/// Without a snapshot nothing was ever answered, so there can be no line in a journal either: the snapshot was taken away.
fn unused(dir: &Path) -> io::Result<Option<Loaded>> {
    if !dir.exists() {
        return Ok(None);
    }
    for generation in generations(dir)? {
        let path = journal_path(dir, generation);
        // One that goes while we look is an old one of a directory in use, whose snapshot is there by now.
        let length = fs::metadata(&path).map_or(0, |file| file.len());
        if length > 0 && !dir.join(SNAPSHOT).exists() {
            return Err(corrupt(&path, &format!("{SNAPSHOT} is missing beside it")));
        }
    }
    Ok(None)
}

/// Replays the journals from `first` on: each begins where the one before it ends, so none may be missing.
fn replay_all(dir: &Path, first: u64, present: &[u64], model: &mut Model) -> io::Result<()> {
    for (expected, generation) in (first..).zip(present.iter().copied().skip_while(|generation| *generation < first)) {
        if generation != expected {
            let path = journal_path(dir, expected);
            return Err(corrupt(&path, &format!("it is missing, and journal-{generation} is there")));
        }
        replay(&journal_path(dir, generation), model)?;
    }
    Ok(())
}

/// The generations whose journals are there, in order.
fn generations(dir: &Path) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(|error| at(dir, &error))? {
        let name = entry.map_err(|error| at(dir, &error))?.file_name();
        let generation = name.to_str().and_then(|name| name.strip_prefix("journal-")?.strip_suffix(".jsonl"));
        found.extend(generation.and_then(|generation| generation.parse::<u64>().ok()));
    }
    found.sort_unstable();
    Ok(found)
}

fn read_header(dir: &Path) -> io::Result<Option<Header>> {
    Ok(open_snapshot(dir)?.map(|(header, _)| header))
}

fn open_snapshot(dir: &Path) -> io::Result<Option<(Header, BufReader<File>)>> {
    let path = dir.join(SNAPSHOT);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(&path, &error)),
    };
    let mut reader = BufReader::new(file);
    let mut line = String::new();
    reader.read_line(&mut line).map_err(|error| at(&path, &error))?;
    let header: Header = serde_json::from_str(&line).map_err(|error| corrupt(&path, &error.to_string()))?;
    if header.version != VERSION {
        let found = format!("it has format version {}, and this program reads {VERSION}", header.version);
        return Err(corrupt(&path, &found));
    }
    Ok(Some((header, reader)))
}

fn load_snapshot(dir: &Path) -> io::Result<Option<(u64, Model)>> {
    let Some((header, reader)) = open_snapshot(dir)? else { return Ok(None) };
    let model = serde_json::from_reader(reader).map_err(|error| corrupt(&dir.join(SNAPSHOT), &error.to_string()))?;
    Ok(Some((header.generation, model)))
}

/// Applies a journal's inputs. A last line that is torn was never answered: it did not happen.
fn replay(path: &Path, model: &mut Model) -> io::Result<()> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(at(path, &error)),
    };
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        reader.read_until(b'\n', &mut line).map_err(|error| at(path, &error))?;
        if line.pop() != Some(b'\n') {
            break;
        }
        let (now, input): (u64, Input) =
            serde_json::from_slice(&line).map_err(|error| corrupt(path, &format!("line {number}: {error}")))?;
        // A request that was refused then is refused again; its effects belong to the past. What could not be taken in then,
        // by a fault of this program, must not end every start without a word.
        let taken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| model.apply(now, input)));
        if taken.is_err() {
            return Err(corrupt(
                path,
                &format!("line {number} is more than this program can take in, which is its fault"),
            ));
        }
    }
    Ok(())
}

/// The newest journal, open for appending.
#[derive(Debug)]
pub(super) struct Journal {
    dir: PathBuf,
    generation: u64,
    path: PathBuf,
    file: Arc<File>,
    /// Bytes that are whole lines.
    length: u64,
    /// Bytes appended to this journal and to those before it.
    position: u64,
    /// Its last line is torn and could not be mended: nothing may follow it.
    torn: bool,
}

impl Journal {
    /// Begins `generation` with `model`, and forgets the ones before.
    pub(super) fn begin(dir: &Path, generation: u64, model: &Model) -> io::Result<Journal> {
        fs::create_dir_all(dir).map_err(|error| at(dir, &error))?;
        let (path, file) = create(dir, generation)?;
        settle(dir, generation, model)?;
        Ok(Journal { dir: dir.to_owned(), generation, path, file, length: 0, position: 0, torn: false })
    }

    /// Begins the next generation: what is appended from now on belongs to it. The caller then has [`settle`] write its
    /// snapshot, from the model as it is now.
    pub(super) fn rotate(&mut self) -> io::Result<u64> {
        // So that one file's sync covers everything. A torn one is only kept until the next snapshot is there.
        if !self.torn {
            self.sync()?;
        }
        let generation = self.generation + 1;
        let (path, file) = create(&self.dir, generation)?;
        let (dir, position) = (std::mem::take(&mut self.dir), self.position);
        *self = Journal { dir, generation, path, file, length: 0, position, torn: false };
        Ok(generation)
    }

    /// Bytes in the newest journal.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// The file to sync, and how far everything appended is on the disk once that is done.
    pub(super) fn unsynced(&self) -> (Arc<File>, u64) {
        (Arc::clone(&self.file), self.position)
    }

    /// How far it has been appended to: see [`Journal::unsynced`].
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Appends inputs, all or none.
    pub(super) fn append(&mut self, inputs: &[(u64, &Input)]) -> io::Result<()> {
        if self.torn {
            return Err(at(&self.path, &io::Error::other("its last line is torn")));
        }
        let mut lines = Vec::new();
        for input in inputs {
            serde_json::to_writer(&mut lines, input)?;
            lines.push(b'\n');
        }
        if let Err(error) = (&*self.file).write_all(&lines) {
            // Half a line would swallow the next one.
            let whole = self
                .file
                .set_len(self.length)
                .and_then(|()| io::Seek::seek(&mut &*self.file, io::SeekFrom::Start(self.length)).map(drop));
            if let Err(error) = whole {
                tracing::error!(%error, file = %self.path.display(), "the journal cannot be mended");
                self.torn = true;
            }
            return Err(at(&self.path, &error));
        }
        self.length += lines.len() as u64;
        self.position += lines.len() as u64;
        Ok(())
    }

    /// From now on nothing can be written, as on a full disk.
    #[cfg(test)]
    pub(super) fn fill_disk(&mut self) {
        self.file = Arc::new(OpenOptions::new().write(true).open("/dev/full").unwrap());
    }

    /// Waits until all is on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all().map_err(|error| at(&self.path, &error))
    }
}

/// Writes `generation`'s snapshot, and forgets what came before it. Returns the snapshot's bytes.
pub(super) fn settle(dir: &Path, generation: u64, model: &Model) -> io::Result<u64> {
    let bytes = write_snapshot(dir, generation, model).map_err(|error| at(&dir.join(SNAPSHOT), &error))?;
    for old in generations(dir)?.into_iter().filter(|old| *old < generation) {
        let path = journal_path(dir, old);
        if let Err(error) = fs::remove_file(&path) {
            tracing::warn!(%error, file = %path.display(), "an old journal stays");
        }
    }
    Ok(bytes)
}

fn create(dir: &Path, generation: u64) -> io::Result<(PathBuf, Arc<File>)> {
    let path = journal_path(dir, generation);
    let file = OpenOptions::new().create(true).write(true).truncate(true).open(&path);
    let file = file.map_err(|error| at(&path, &error))?;
    // What will be in it is of no use under no name.
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| at(dir, &error))?;
    Ok((path, Arc::new(file)))
}

fn write_snapshot(dir: &Path, generation: u64, model: &Model) -> io::Result<u64> {
    let temporary = dir.join("snapshot.tmp");
    let mut writer = BufWriter::new(File::create(&temporary)?);
    serde_json::to_writer(&mut writer, &Header { version: VERSION, generation })?;
    writer.write_all(b"\n")?;
    serde_json::to_writer(&mut writer, model)?;
    let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    let bytes = file.metadata()?.len();
    fs::rename(&temporary, dir.join(SNAPSHOT))?;
    File::open(dir)?.sync_all()?;
    Ok(bytes)
}

fn journal_path(dir: &Path, generation: u64) -> PathBuf {
    dir.join(format!("journal-{generation}.jsonl"))
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn corrupt(path: &Path, what: &str) -> io::Error {
    let dir = path.parent().unwrap_or(path);
    let fix = format!("move the whole directory {} away to begin anew", dir.display());
    io::Error::new(io::ErrorKind::InvalidData, format!("{} cannot be read: {what}; {fix}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::super::model::End;
    use super::super::model::api::{RegisterJobDefinition, SubmitJob};
    use super::*;

    fn register() -> Input {
        let body = r#"{"jobDefinitionName":"d","type":"container",
                "containerProperties":{"image":"i","command":["true"],"vcpus":1,"memory":128}}"#;
        Input::Register(Box::new(serde_json::from_str::<RegisterJobDefinition>(body).unwrap()))
    }

    fn submit(name: &str) -> Input {
        let body = format!(
            r#"{{"jobName":"{name}","jobQueue":"batchmap","jobDefinition":"d","arrayProperties":{{"size":3}}}}"#
        );
        Input::Submit(Box::new(serde_json::from_str::<SubmitJob>(&body).unwrap()))
    }

    fn whole(model: &Model) -> String {
        serde_json::to_string(model).unwrap()
    }

    /// A model and journal that took the same inputs.
    fn busy(dir: &Path) -> (Model, Journal) {
        let mut model = Model::new("seed", 2);
        let mut journal = Journal::begin(dir, 1, &model).unwrap();
        let key = |child| super::super::model::AttemptKey { job: 0, child, attempt: 1 };
        let inputs = [
            (10, register()),
            (20, submit("bad name")),
            (30, submit("a")),
            (40, Input::Started(key(0))),
            (50, Input::Ended(key(0), End::exited(3))),
            (60, Input::Started(key(2))),
        ];
        for (now, input) in inputs {
            journal.append(&[(now, &input)]).unwrap();
            let _ = model.apply(now, input);
        }
        (model, journal)
    }

    #[test]
    fn what_was_appended_is_replayed() {
        let dir = tempfile::tempdir().unwrap();
        assert!(load(dir.path()).unwrap().is_none());
        let (model, journal) = busy(dir.path());
        drop(journal);
        let loaded = load(dir.path()).unwrap().unwrap();
        assert_eq!(whole(&loaded.model), whole(&model));
        // The next generation is the snapshot alone.
        Journal::begin(dir.path(), loaded.generation + 1, &loaded.model).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        let again = load(dir.path()).unwrap().unwrap();
        assert_eq!((whole(&again.model), again.generation), (whole(&model), 2));
    }

    /// Whatever step a crash comes after, nothing that was appended is lost.
    #[test]
    fn a_rotation_may_stop_anywhere() {
        let dir = tempfile::tempdir().unwrap();
        let (mut model, mut journal) = busy(dir.path());
        let more = |journal: &mut Journal, model: &mut Model, now, name| {
            let input = submit(name);
            journal.append(&[(now, &input)]).unwrap();
            let _ = model.apply(now, input);
            assert_eq!(whole(&load(dir.path()).unwrap().unwrap().model), whole(model), "after {name}");
        };
        let generation = journal.rotate().unwrap();
        let at_rotation = model.clone();
        more(&mut journal, &mut model, 70, "b");
        // A second one before the first has its snapshot.
        assert_eq!(journal.rotate().unwrap(), generation + 1);
        more(&mut journal, &mut model, 80, "c");
        settle(dir.path(), generation, &at_rotation).unwrap();
        more(&mut journal, &mut model, 90, "d");
        let loaded = load(dir.path()).unwrap().unwrap();
        assert_eq!(loaded.generation, generation + 1);
        assert_eq!(generations(dir.path()).unwrap(), [generation, generation + 1]);
        fs::remove_file(journal_path(dir.path(), generation)).unwrap();
        let error = load(dir.path()).err().unwrap().to_string();
        assert!(error.contains("journal-2.jsonl") && error.contains("missing"), "{error}");
    }

    #[test]
    fn a_torn_last_line_did_not_happen() {
        let dir = tempfile::tempdir().unwrap();
        let (model, _journal) = busy(dir.path());
        let path = journal_path(dir.path(), 1);
        let before = fs::read(&path).unwrap();
        for torn in [&b"[70,{\"Ended\":[{\"job\""[..], b"[", b"[70,\"Tick\"]"] {
            fs::write(&path, [&before, torn].concat()).unwrap();
            assert_eq!(whole(&load(dir.path()).unwrap().unwrap().model), whole(&model));
        }
    }

    #[test]
    fn a_spoilt_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let _kept = busy(dir.path());
        let path = journal_path(dir.path(), 1);
        fs::write(&path, b"[10,\"Tick\"]\nrubbish\n[20,\"Tick\"]\n").unwrap();
        let error = load(dir.path()).err().unwrap().to_string();
        assert!(error.contains("journal-1.jsonl") && error.contains("line 2"), "{error}");
        fs::remove_file(dir.path().join(SNAPSHOT)).unwrap();
        let error = load(dir.path()).err().unwrap().to_string();
        let advice = format!("move the whole directory {} away", dir.path().display());
        assert!(error.contains("snapshot.json is missing") && error.contains(&advice), "{error}");
        fs::write(dir.path().join(SNAPSHOT), b"{\"version\":9,\"generation\":1}\n{}").unwrap();
        let error = load(dir.path()).err().unwrap().to_string();
        assert!(error.contains("version 9"), "{error}");
    }
}
