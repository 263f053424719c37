//! One bucket on disk.
//!
//! ```text
//! <bucket>/objects/...    one file an object, at the path of its key (see `name`)
//! <bucket>/uploads/<id>/  one directory a multipart upload under way
//! <bucket>/tmp/           what is being written
//! ```
//!
//! Every change is one rename or removal under one lock, which also guards the keys held in memory for listing: of
//! racing conditional writes exactly one finds its condition true. Reads take no lock: they open the file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use super::listing::{self, After, Keys, Line, Lines, Query};
use super::name::{self, Entry};
use super::object::{Closed, Meta, Object, Sealed, Stat};
use super::upload;

/// Begins the name of a bucket's directory that is being removed. No bucket is called so.
pub(super) const REMOVED: &str = ".removed-";

/// How a store is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Care {
    /// Wait for the disk at every write.
    pub(super) durable: bool,
    /// Refuse every write.
    pub(super) read_only: bool,
}

/// A condition on what is under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// `If-Match`: an object with this ETag (any, for `None`).
    Match(Option<String>),
    /// `If-None-Match`: no object with this ETag (none at all, for `None`).
    NoneMatch(Option<String>),
}

/// Why a change was not made.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The condition is false.
    Precondition,
    /// The condition wants an object, and there is none.
    Missing,
    /// The store is open for reading only.
    ReadOnly,
    /// The bucket has been deleted meanwhile.
    Gone,
    /// The disk.
    Io(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(cause: io::Error) -> Self {
        Refusal::Io(cause)
    }
}

/// A bucket.
#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) name: String,
    root: PathBuf,
    care: Care,
    /// The objects; a stat is absent until the file has been looked at.
    keys: Mutex<Keys<Option<Stat>>>,
    /// Whether it has been deleted. Changed under the lock of the keys.
    gone: AtomicBool,
    drafts: AtomicU64,
}

impl Bucket {
    /// Opens the bucket whose directory is `root`; unless read-only, makes what is missing and removes what was being
    /// written when its last owner ended.
    pub(super) fn open(root: PathBuf, care: Care) -> io::Result<Bucket> {
        let name = root.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if !care.read_only {
            match std::fs::remove_dir_all(root.join("tmp")) {
                Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
                _ => {}
            }
            ["objects", "uploads", "tmp"].iter().try_for_each(|part| std::fs::create_dir_all(root.join(part)))?;
            upload::sweep(&root.join("uploads"))?;
            if care.durable {
                for directory in [Some(root.as_path()), root.parent()].into_iter().flatten() {
                    std::fs::File::open(directory)?.sync_all()?;
                }
            }
        }
        let keys = Mutex::new(walk(&root.join("objects"))?);
        Ok(Bucket { name, root, care, keys, gone: AtomicBool::new(false), drafts: AtomicU64::new(0) })
    }

    fn keys(&self) -> MutexGuard<'_, Keys<Option<Stat>>> {
        // No code that holds the lock leaves the map half changed.
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn objects(&self) -> PathBuf {
        self.root.join("objects")
    }

    /// The directory of uploads under way.
    pub(super) fn uploads(&self) -> PathBuf {
        self.root.join("uploads")
    }

    /// When the bucket was made.
    pub(super) fn created(&self) -> SystemTime {
        let meta = std::fs::metadata(&self.root);
        meta.and_then(|meta| meta.created().or_else(|_| meta.modified())).unwrap_or(UNIX_EPOCH)
    }

    /// Whether writes wait for the disk.
    pub(super) fn durable(&self) -> bool {
        self.care.durable
    }

    /// Fails when the bucket may not be written.
    pub(super) fn writable(&self) -> Result<(), Refusal> {
        if self.care.read_only { Err(Refusal::ReadOnly) } else { Ok(()) }
    }

    /// A fresh place to write at.
    pub(super) fn draft_path(&self) -> PathBuf {
        self.root.join("tmp").join(self.drafts.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// Opens the object under `key`.
    pub(super) fn read(&self, key: &str) -> io::Result<Option<Object>> {
        Object::open(&name::path_of(&self.objects(), key))
    }

    /// Writes the metadata and puts the object in its place, if the conditions hold at that moment. An object whose
    /// metadata says when it was written keeps that time.
    pub(super) fn commit(
        &self,
        key: &str,
        closed: Closed,
        meta: &mut Meta,
        conditions: &[Condition],
    ) -> Result<(), Refusal> {
        self.writable()?;
        // Not worth a file when it is lost already; decided for good below.
        self.check(&self.keys(), key, conditions)?;
        if meta.modified_ms == 0 {
            meta.modified_ms = now_ms();
        }
        let mut sealed = closed.seal(meta, self.care.durable)?;
        let path = name::path_of(&self.objects(), key);
        {
            let mut keys = self.keys();
            self.check(&keys, key, conditions)?;
            self.place(&mut sealed, &path)?;
            keys.insert(key.into(), Some(Stat::from(&*meta)));
        }
        // A rename is on the disk when its directory is.
        if self.care.durable { Ok(self.sync_nearest(&path)?) } else { Ok(()) }
    }

    /// Renames a file to `path`; makes its directory when there is none.
    fn place(&self, sealed: &mut Sealed, path: &Path) -> io::Result<()> {
        match sealed.publish(path) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
                let parent = path.parent().unwrap_or(path);
                std::fs::create_dir_all(parent)?;
                if self.care.durable {
                    // Before any object is in them: whoever finds a directory there may take it for lasting.
                    let all = path.ancestors().skip(1).take_while(|dir| *dir != self.root);
                    all.into_iter().try_for_each(|directory| std::fs::File::open(directory)?.sync_all())?;
                }
                sealed.publish(path)
            }
            done => done,
        }
    }

    /// Removes an object; whether there was one.
    pub(super) fn delete(&self, key: &str, conditions: &[Condition]) -> Result<bool, Refusal> {
        self.writable()?;
        let path = name::path_of(&self.objects(), key);
        let mut keys = self.keys();
        self.check(&keys, key, conditions)?;
        match std::fs::remove_file(&path) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(false),
            done => done?,
        }
        keys.remove(key);
        let stop = self.objects();
        for directory in path.ancestors().skip(1).take_while(|dir| *dir != stop) {
            // Fails for the first that is not empty. Nothing can be made in it meanwhile: that takes the lock.
            if std::fs::remove_dir(directory).is_err() {
                break;
            }
        }
        drop(keys);
        if self.care.durable {
            self.sync_nearest(&path)?;
        }
        Ok(true)
    }

    /// Makes a change at `path` last: syncs the nearest directory that is still there.
    fn sync_nearest(&self, path: &Path) -> io::Result<()> {
        for directory in path.ancestors().skip(1).take_while(|dir| dir.starts_with(&self.root)) {
            match std::fs::File::open(directory) {
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
                Err(cause) => return Err(cause),
                Ok(directory) => return directory.sync_all(),
            }
        }
        Ok(())
    }

    /// A page of the objects. One that is deleted while the page is made may be missing from it.
    pub(super) fn list(&self, query: &Query) -> io::Result<(Vec<Line<Stat>>, Option<After>)> {
        let Lines { lines, next } = listing::take(&self.keys(), query);
        let mut known = Vec::with_capacity(lines.len());
        for line in lines {
            match line {
                Line::Prefix(prefix) => known.push(Line::Prefix(prefix)),
                Line::Object(key, Some(stat)) => known.push(Line::Object(key, stat)),
                Line::Object(key, None) => {
                    let Some(stat) = self.look(&key)? else { continue };
                    if let Some(unknown @ None) = self.keys().get_mut(&key) {
                        *unknown = Some(stat.clone());
                    }
                    known.push(Line::Object(key, stat));
                }
            }
        }
        Ok((known, next))
    }

    fn look(&self, key: &str) -> io::Result<Option<Stat>> {
        Ok(self.read(key)?.map(|object| Stat::from(&object.meta)))
    }

    /// Removes the bucket if it holds no object; whether it did not. What is being written then is refused.
    pub(super) fn destroy(&self) -> io::Result<bool> {
        let keys = self.keys();
        if !keys.is_empty() {
            return Ok(false);
        }
        // By one step, so that no crash leaves half a bucket.
        let aside = self.root.with_file_name(format!("{REMOVED}{}-{}", self.name, now_ms()));
        std::fs::rename(&self.root, &aside)?;
        self.gone.store(true, Ordering::Relaxed);
        drop(keys);
        if self.care.durable
            && let Some(parent) = aside.parent()
        {
            std::fs::File::open(parent)?.sync_all()?;
        }
        std::fs::remove_dir_all(&aside).map(|()| true)
    }

    fn check(&self, keys: &Keys<Option<Stat>>, key: &str, conditions: &[Condition]) -> Result<(), Refusal> {
        if self.gone.load(Ordering::Relaxed) {
            return Err(Refusal::Gone);
        }
        if conditions.is_empty() {
            return Ok(());
        }
        let there = match keys.get(key) {
            None => None,
            Some(Some(stat)) => Some(stat.etag.to_string()),
            Some(None) => self.look(key)?.map(|stat| stat.etag.into()),
        };
        conditions.iter().try_for_each(|condition| judge(condition, there.as_deref()))
    }
}

/// Judges a condition against the ETag of the object that is there.
pub(super) fn judge(condition: &Condition, there: Option<&str>) -> Result<(), Refusal> {
    let same = |etag: &Option<String>, there: &str| etag.as_deref().is_none_or(|etag| etag == there);
    match (condition, there) {
        (Condition::Match(_), None) => Err(Refusal::Missing),
        (Condition::Match(etag), Some(there)) if !same(etag, there) => Err(Refusal::Precondition),
        (Condition::NoneMatch(etag), Some(there)) if same(etag, there) => Err(Refusal::Precondition),
        _ => Ok(()),
    }
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The keys of all objects below `root`: names only, no file is opened.
fn walk(root: &Path) -> io::Result<Keys<Option<Stat>>> {
    let mut keys = Keys::new();
    let mut open = vec![(root.to_path_buf(), Vec::new())];
    while let Some((directory, spelt)) = open.pop() {
        let entries = match std::fs::read_dir(&directory) {
            Ok(entries) => entries,
            // Read-only beside a live owner, which deletes as it goes.
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => continue,
            Err(cause) => return Err(cause),
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let add = |more: Vec<u8>| spelt.iter().copied().chain(more).collect::<Vec<u8>>();
            match name.to_str().and_then(name::read_name) {
                Some(Entry::Directory(more)) => open.push((entry.path(), add(more))),
                Some(Entry::Object(more)) => match String::from_utf8(add(more)) {
                    Ok(key) => drop(keys.insert(key.into_boxed_str(), None)),
                    Err(_) => tracing::warn!(file = %entry.path().display(), "not the name of an object: left alone"),
                },
                None => tracing::warn!(file = %entry.path().display(), "not the name of an object: left alone"),
            }
        }
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::super::object::Draft;
    use super::*;

    const CARE: Care = Care { durable: false, read_only: false };

    fn put(bucket: &Bucket, key: &str, data: &[u8], conditions: &[Condition]) -> Result<(), Refusal> {
        let mut draft = Draft::new(bucket.draft_path(), None);
        draft.add(data)?;
        let (md5, _, closed) = draft.close();
        let mut meta = Meta { etag: super::super::digest::hex(&md5), ..Meta::default() };
        bucket.commit(key, closed, &mut meta, conditions)
    }

    fn all(bucket: &Bucket) -> Vec<(String, u64)> {
        let (lines, next) = bucket.list(&Query { max: 1000, ..Query::default() }).unwrap();
        assert_eq!(next, None);
        let line = |line: Line<Stat>| match line {
            Line::Object(key, stat) => (String::from(key), stat.size),
            Line::Prefix(_) => unreachable!("no delimiter was given"),
        };
        lines.into_iter().map(line).collect()
    }

    #[test]
    fn a_bucket_opened_again_lists_and_reads_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let keys = ["a", "a/", "a/b", "a//b", "../x", "é", "Z", &"long".repeat(256), &format!("d/{}", "é".repeat(500))];
        let bucket = Bucket::open(dir.path().join("b"), CARE).unwrap();
        keys.iter().for_each(|key| put(&bucket, key, key.as_bytes(), &[]).unwrap());
        let before = all(&bucket);
        let mut sorted = keys.map(str::to_owned);
        sorted.sort();
        assert_eq!(before.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>(), sorted);
        for care in [Care { read_only: true, ..CARE }, Care { durable: true, ..CARE }] {
            let again = Bucket::open(dir.path().join("b"), care).unwrap();
            assert_eq!(all(&again), before);
            for key in keys {
                assert_eq!(again.read(key).unwrap().unwrap().small.unwrap(), key.as_bytes());
            }
        }
    }

    #[test]
    fn deleting_leaves_no_empty_directories_and_reading_none_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let bucket = Bucket::open(dir.path().join("b"), Care { durable: true, read_only: false }).unwrap();
        put(&bucket, "a/b/c/d", b"x", &[]).unwrap();
        put(&bucket, "a/e", b"x", &[]).unwrap();
        assert!(bucket.delete("a/b/c/d", &[]).unwrap());
        assert!(!bucket.delete("a/b/c/d", &[]).unwrap());
        assert!(bucket.read("a/b/c/d").unwrap().is_none());
        assert!(!dir.path().join("b/objects/a/b").exists());
        assert_eq!(all(&bucket), [("a/e".to_owned(), 1)]);
    }

    #[test]
    fn of_racing_creations_exactly_one_wins_and_its_bytes_stay() {
        let dir = tempfile::tempdir().unwrap();
        let bucket = Bucket::open(dir.path().join("b"), CARE).unwrap();
        for round in 0..20 {
            let key = format!("race/{round}");
            let won: Vec<usize> = std::thread::scope(|scope| {
                let racer = |i: usize| {
                    let (bucket, key) = (&bucket, &key);
                    scope
                        .spawn(move || put(bucket, key, &[i as u8], &[Condition::NoneMatch(None)]).is_ok().then_some(i))
                };
                let racers: Vec<_> = (0..32).map(racer).collect();
                racers.into_iter().filter_map(|racer| racer.join().unwrap()).collect()
            });
            assert_eq!(won.len(), 1);
            assert_eq!(*bucket.read(&key).unwrap().unwrap().small.unwrap(), [won[0] as u8]);
        }
        assert_eq!(std::fs::read_dir(dir.path().join("b/tmp")).unwrap().count(), 0);
    }

    #[test]
    fn a_condition_on_the_etag_holds_after_opening_again() {
        let dir = tempfile::tempdir().unwrap();
        put(&Bucket::open(dir.path().join("b"), CARE).unwrap(), "k", b"one", &[]).unwrap();
        let bucket = Bucket::open(dir.path().join("b"), CARE).unwrap();
        let etag = super::super::digest::hex(&super::super::digest::md5(b"one"));
        let stale = Condition::Match(Some("0".repeat(32)));
        assert!(matches!(put(&bucket, "k", b"two", &[stale]), Err(Refusal::Precondition)));
        assert!(matches!(put(&bucket, "none", b"x", &[Condition::Match(None)]), Err(Refusal::Missing)));
        put(&bucket, "k", b"two", &[Condition::Match(Some(etag))]).unwrap();
        assert_eq!(&*bucket.read("k").unwrap().unwrap().small.unwrap(), b"two");
    }

    #[test]
    fn a_reader_writes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        drop(Bucket::open(dir.path().join("b"), CARE).unwrap());
        std::fs::write(dir.path().join("b/tmp/7"), b"half").unwrap();
        let reader = Bucket::open(dir.path().join("b"), Care { read_only: true, ..CARE }).unwrap();
        assert!(matches!(put(&reader, "k", b"x", &[]), Err(Refusal::ReadOnly)));
        assert!(matches!(reader.delete("k", &[]), Err(Refusal::ReadOnly)));
        assert!(dir.path().join("b/tmp/7").exists(), "an owner may be writing it");
        drop(Bucket::open(dir.path().join("b"), CARE).unwrap());
        assert!(!dir.path().join("b/tmp/7").exists());
    }
}
