//! Which files under `raw/`, and which uploads, an object names, found in its bytes: a literal holds addresses as they
//! are, wherever in it they stand, and so do commands, strings and structs.

use std::collections::{BTreeMap, BTreeSet};

use crate::aws::store::{Listed, Store, StoreError};
use crate::map::layout::flyte::{FlyteRoot, unescape};
use crate::map::layout::raw_prefix;

/// Bytes of an object that are looked at together.
const WINDOW: u64 = 8 << 20;

/// What two windows have in common: an address is at most this long, and is whole in one of them.
const OVERLAP: u64 = 2048;

/// Files that are named, of those executions and uploads that are to go: nobody asks about others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    runs: BTreeMap<String, Folders>,
    /// Folders of uploads as addresses may have them, and whether one has.
    uploads: BTreeMap<String, bool>,
    /// Their lengths.
    lengths: BTreeSet<usize>,
}

/// The folders of one execution's files that are named. A subtask's name is a number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Folders {
    subtasks: BTreeSet<u64>,
    /// Any others, `inputs` among them. An empty one means all there are.
    others: BTreeSet<String>,
}

/// Finds the names in objects of one bucket.
pub(super) struct Finder {
    /// What stands before the id in every address of a file under `raw/`.
    before: Vec<u8>,
    /// What stands before the folder in every address of an upload.
    before_upload: Vec<u8>,
}

/// What `layout` makes of a subtask's index.
fn subtask(folder: &str) -> Option<u64> {
    let index = folder.parse().ok().filter(|_| folder.len() == 10)?;
    folder.bytes().all(|byte| byte.is_ascii_digit()).then_some(index)
}

impl Names {
    /// Nothing named yet of `ids`, and of uploads in `folders`.
    pub(super) fn of(ids: &BTreeSet<String>, folders: &BTreeSet<String>) -> Self {
        let runs = ids.iter().map(|id| (id.clone(), Folders::default())).collect();
        let forms = folders.iter().flat_map(|folder| [folder.clone(), unescaped(folder)]);
        let uploads: BTreeMap<String, bool> = forms.map(|form| (form, false)).collect();
        let lengths = uploads.keys().map(String::len).collect();
        Names { runs, uploads, lengths }
    }

    /// Whether an upload in this folder is named.
    pub(super) fn has_upload(&self, folder: &str) -> bool {
        let named = |form: &str| self.uploads.get(form).is_some_and(|named| *named);
        named(folder) || named(&unescaped(folder))
    }

    /// Whether a file of execution `id`, at `rest` below `raw/<id>/`, is named or lies beside one that is.
    pub(super) fn has(&self, id: &str, rest: &str) -> bool {
        let Some(folders) = self.runs.get(id) else { return false };
        let folder = rest.split('/').next().unwrap_or_default();
        let named =
            subtask(folder).map_or_else(|| folders.others.contains(folder), |it| folders.subtasks.contains(&it));
        named || folders.others.contains("")
    }

    /// Takes in what another one has.
    pub(super) fn extend(&mut self, other: Names) {
        for (id, folders) in other.runs {
            let all = self.runs.entry(id).or_default();
            all.subtasks.extend(folders.subtasks);
            all.others.extend(folders.others);
        }
        for (form, named) in other.uploads {
            *self.uploads.entry(form).or_default() |= named;
        }
    }

    fn insert(&mut self, id: &str, folder: &str) {
        let folders = self.runs.entry(id.to_owned()).or_default();
        match subtask(folder) {
            Some(index) => drop(folders.subtasks.insert(index)),
            None => drop(folders.others.insert(folder.to_owned())),
        }
    }
}

impl Finder {
    /// For objects that name files under `prefix` of `bucket`.
    pub(super) fn new(bucket: &str, prefix: &str) -> Self {
        let uploads = FlyteRoot::new(prefix).all_uploads();
        Finder {
            before: format!("{bucket}/{}", raw_prefix(prefix)).into_bytes(),
            before_upload: format!("{bucket}/{uploads}").into_bytes(),
        }
    }

    /// Whether an object is large enough to hold an address.
    pub(super) fn may_be_in(&self, object: &Listed) -> bool {
        object.size > self.before.len().min(self.before_upload.len()) as u64
    }

    /// The names in a piece of an object, of the executions that `wanted` asks about.
    pub(super) fn find(&self, bytes: &[u8], wanted: &Names) -> Names {
        let mut names = Names::default();
        let mut rest = bytes;
        while let Some(at) = position(rest, &self.before) {
            rest = &rest[at + self.before.len()..];
            let id = word(rest);
            let Some(id) = std::str::from_utf8(id).ok().filter(|id| wanted.runs.contains_key(*id)) else { continue };
            let folder = match rest[id.len()..].strip_prefix(b"/") {
                Some(below) => word(below),
                None => b"",
            };
            names.insert(id, &String::from_utf8_lossy(folder));
        }
        if !wanted.uploads.is_empty() {
            self.find_uploads(bytes, wanted, &mut names);
        }
        names
    }

    /// A folder may be named by itself, with anything after it: so whatever an address begins with is named.
    fn find_uploads(&self, bytes: &[u8], wanted: &Names, names: &mut Names) {
        let mut rest = bytes;
        while let Some(at) = position(rest, &self.before_upload) {
            rest = &rest[at + self.before_upload.len()..];
            let beginnings = wanted.lengths.iter().filter_map(|length| std::str::from_utf8(rest.get(..*length)?).ok());
            for form in beginnings.filter(|form| wanted.uploads.contains_key(*form)) {
                names.uploads.insert(form.to_owned(), true);
            }
        }
    }

    /// The names in an object, however large. One that is gone names nothing.
    ///
    /// # Errors
    /// When S3 fails.
    pub(super) async fn find_in(
        &self,
        store: &dyn Store,
        object: &Listed,
        wanted: &Names,
    ) -> Result<Names, StoreError> {
        let mut names = Names::default();
        let mut start = 0;
        while start < object.size {
            let end = object.size.min(start + WINDOW);
            match store.get_range(&object.key, start..end).await {
                Ok(bytes) => names.extend(self.find(&bytes, wanted)),
                Err(StoreError::NotFound { .. }) => break,
                Err(error) => return Err(error),
            }
            start = if end == object.size { end } else { end - OVERLAP };
        }
        Ok(names)
    }
}

/// A folder of uploads as its address is after somebody has undone the escapes: flytekit does.
fn unescaped(folder: &str) -> String {
    let parts: Vec<String> = folder.split('/').map(|part| unescape(part).unwrap_or_else(|| part.to_owned())).collect();
    parts.join("/")
}

/// The letters, digits and signs that ids and folders are made of.
fn word(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| !byte.is_ascii_alphanumeric() && !matches!(byte, b'-' | b'_' | b'.'));
    &bytes[..end.unwrap_or(bytes.len())]
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = *wanted.first()?;
    let mut from = 0;
    loop {
        let at = from + bytes[from..].iter().position(|byte| *byte == first)?;
        if bytes[at..].starts_with(wanted) {
            return Some(at);
        }
        from = at + 1;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::aws::memory::MemoryStore;

    fn of(ids: &[&str]) -> Names {
        Names::of(&ids.iter().map(|id| (*id).to_owned()).collect(), &BTreeSet::new())
    }

    #[test]
    fn addresses_are_found_wherever_they_stand() {
        let finder = Finder::new("bucket", "team");
        let names = finder.find(
            b"\x0a\x05s3://bucket/team/raw/20260101t000000-ab/0000000003/000000-01/o0\x12{\"x\": \
              \"s3://bucket/team/raw/id-2/inputs/x/file.txt\"} s3://bucket/team/raw/id-3 \
              s3://bucket/team/raw/not-asked-about/0000000001/x",
            &of(&["20260101t000000-ab", "id-2", "id-3", "id"]),
        );
        assert!(!names.has("not-asked-about", "0000000001/x"));
        for (id, rest) in
            [("20260101t000000-ab", "0000000003/000001-01/o1"), ("id-2", "inputs/y"), ("id-3", "any/thing")]
        {
            assert!(names.has(id, rest), "{id} {rest}");
        }
        for (id, rest) in [("20260101t000000-ab", "0000000004/x"), ("id-2", "0000000000/x"), ("id", "inputs/x")] {
            assert!(!names.has(id, rest), "{id} {rest}");
        }
    }

    #[test]
    fn other_buckets_and_prefixes_are_not_ours() {
        let finder = Finder::new("bucket", "");
        for bytes in [&b"s3://other/raw/id/x"[..], b"s3://bucket/team/raw/id/x", b"s3://bucket/raw/", b"bucket/ra", b""]
        {
            assert_eq!(finder.find(bytes, &of(&["id"])), Names::default());
        }
        assert!(finder.find(b"s3://bucket/raw/id/x/y", &of(&["id"])).has("id", "x/z"));
    }

    #[test]
    fn uploads_are_found_as_they_are_written_and_without_their_escapes() {
        let folders = ["p/d/abc", "p/d/abcd", "p%2fq/d/x", "p/d/none"].map(str::to_owned);
        let wanted = Names::of(&BTreeSet::new(), &folders.clone().into());
        let finder = Finder::new("bucket", "team");
        let mut names = wanted.clone();
        names.extend(finder.find(b"\x05s3://bucket/team/flyte/uploads/p/d/abcd/fast.tar.gz\x12 more", &wanted));
        names.extend(
            finder.find(b"s3://bucket/flyte/uploads/p/d/none/f s3://other/team/flyte/uploads/p/d/none", &wanted),
        );
        // The first is named too: its address may be all of what is there.
        assert_eq!(folders.each_ref().map(|folder| names.has_upload(folder)), [true, true, false, false]);
        names.extend(finder.find(b"s3://bucket/team/flyte/uploads/p/q/d/x/f", &wanted));
        assert!(names.has_upload("p%2fq/d/x"));
    }

    /// An address may lie across the end of a window.
    #[tokio::test]
    async fn large_objects_are_read_in_windows() {
        let store = MemoryStore::new("bucket");
        let address = b"s3://bucket/raw/id/0000000001/o0";
        for shift in [0, 10, 20, address.len()] {
            let mut body = vec![b' '; WINDOW as usize - shift];
            body.extend_from_slice(address);
            body.extend_from_slice(&[b' '; 100]);
            store.put("k", Bytes::from(body)).await.unwrap();
            let object = store.list("k", None).await.unwrap().objects.remove(0);
            let names = Finder::new("bucket", "").find_in(&store, &object, &of(&["id"])).await.unwrap();
            assert!(names.has("id", "0000000001/o0"), "{shift}");
        }
    }
}
