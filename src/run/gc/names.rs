//! Which files under `raw/` an object names, found in its bytes: a literal holds addresses as they are, wherever in it
//! they stand, and so do commands, strings and structs.

use std::collections::BTreeSet;

use crate::aws::store::{Listed, Store, StoreError};
use crate::map::layout::raw_prefix;

/// Bytes of an object that are looked at together.
const WINDOW: u64 = 8 << 20;

/// What two windows have in common: an address is at most this long, and is whole in one of them.
const OVERLAP: u64 = 2048;

/// Folders of files that are named: the execution's id, and the folder below it (`inputs`, or a subtask's). An empty
/// folder means all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names(BTreeSet<(String, String)>);

/// Finds the names in objects of one bucket.
pub(super) struct Finder {
    /// What stands before the id in every address.
    before: Vec<u8>,
}

impl Names {
    /// Whether a file of execution `id`, at `rest` below `raw/<id>/`, is named or lies beside one that is.
    pub(super) fn has(&self, id: &str, rest: &str) -> bool {
        let folder = rest.split('/').next().unwrap_or_default();
        [folder, ""].iter().any(|folder| self.0.contains(&(id.to_owned(), (*folder).to_owned())))
    }

    /// Takes in what another one has.
    pub(super) fn extend(&mut self, other: Names) {
        self.0.extend(other.0);
    }
}

impl Finder {
    /// For objects that name files under `prefix` of `bucket`.
    pub(super) fn new(bucket: &str, prefix: &str) -> Self {
        Finder { before: format!("{bucket}/{}", raw_prefix(prefix)).into_bytes() }
    }

    /// The names in a piece of an object.
    pub(super) fn find(&self, bytes: &[u8]) -> Names {
        let mut names = Names::default();
        let mut rest = bytes;
        while let Some(at) = position(rest, &self.before) {
            rest = &rest[at + self.before.len()..];
            let id = word(rest);
            if id.is_empty() {
                continue;
            }
            let folder = match rest[id.len()..].strip_prefix(b"/") {
                Some(below) => word(below),
                None => b"",
            };
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            names.0.insert((text(id), text(folder)));
        }
        names
    }

    /// The names in an object, however large. One that is gone names nothing.
    ///
    /// # Errors
    /// When S3 fails.
    pub(super) async fn find_in(&self, store: &dyn Store, object: &Listed) -> Result<Names, StoreError> {
        let mut names = Names::default();
        let mut start = 0;
        while start < object.size {
            let end = object.size.min(start + WINDOW);
            match store.get_range(&object.key, start..end).await {
                Ok(bytes) => names.extend(self.find(&bytes)),
                Err(StoreError::NotFound { .. }) => break,
                Err(error) => return Err(error),
            }
            start = if end == object.size { end } else { end - OVERLAP };
        }
        Ok(names)
    }
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

    #[test]
    fn addresses_are_found_wherever_they_stand() {
        let finder = Finder::new("bucket", "team");
        let names = finder.find(
            b"\x0a\x05s3://bucket/team/raw/20260101t000000-ab/0000000003/000000-01/o0\x12{\"x\": \
              \"s3://bucket/team/raw/id-2/inputs/x/file.txt\"} s3://bucket/team/raw/id-3",
        );
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
            assert_eq!(finder.find(bytes), Names::default());
        }
        assert!(finder.find(b"s3://bucket/raw/id/x/y").has("id", "x/z"));
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
            let names = Finder::new("bucket", "").find_in(&store, &object).await.unwrap();
            assert!(names.has("id", "0000000001/o0"), "{shift}");
        }
    }
}
