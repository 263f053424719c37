//! One object as one file: its bytes, then what else is known of it, so that a rename publishes both at once.
//!
//! ```text
//! data | metadata as JSON | length of the JSON, u32 little-endian | "bmapobj1"
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::digest::{Algorithm, Checksum, Digester};

const MAGIC: &[u8; 8] = b"bmapobj1";

/// Length of the JSON, and the magic.
const FOOT: u64 = 12;

/// Files up to this size are read by one call, and held in memory until written by one call.
const SMALL: u64 = 64 * 1024;

/// Everything about an object but its key and its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Meta {
    /// Bytes.
    pub(super) size: u64,
    /// When it was written, in milliseconds since 1970.
    pub(super) modified_ms: u64,
    /// The ETag, without quotes.
    pub(super) etag: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) checksum: Option<Checksum>,
    /// Whether the checksum is made of those of the parts, not of the bytes.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) composite: bool,
    /// Of an object put together from parts: each, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) parts: Vec<PartMeta>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) content_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) content_encoding: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) content_disposition: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) content_language: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cache_control: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expires: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) redirect: Option<String>,
    /// The storage class, when it is not STANDARD. It is a name only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) class: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) tags: BTreeMap<String, String>,
    /// `x-amz-meta-*`, without that prefix.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) user: BTreeMap<String, String>,
}

/// A part of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PartMeta {
    /// Bytes.
    pub(super) size: u64,
    /// Its checksum, of the object's algorithm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) checksum: Option<String>,
    /// Its number in the upload.
    pub(super) number: i32,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// What a listing shows of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) size: u64,
    pub(super) modified_ms: u64,
    pub(super) etag: Box<str>,
    pub(super) algorithm: Option<Algorithm>,
    pub(super) composite: bool,
    /// The storage class, when it is not STANDARD.
    pub(super) class: Option<Box<str>>,
}

impl From<&Meta> for Stat {
    fn from(meta: &Meta) -> Self {
        Stat {
            size: meta.size,
            modified_ms: meta.modified_ms,
            etag: meta.etag.as_str().into(),
            algorithm: meta.checksum.as_ref().map(|(algorithm, _)| *algorithm),
            composite: meta.composite,
            class: meta.class.as_deref().map(Box::from),
        }
    }
}

/// An object opened for reading. It stays what it was, whatever is written under its key meanwhile.
pub(super) struct Object {
    pub(super) meta: Meta,
    /// The file, positioned nowhere in particular.
    pub(super) file: File,
    /// The bytes, when there are few.
    pub(super) small: Option<Bytes>,
}

impl Object {
    /// Opens the file at `path`; `None` when there is none.
    pub(super) fn open(path: &Path) -> io::Result<Option<Object>> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(cause),
        };
        let length = file.metadata()?.len();
        if length <= SMALL {
            let mut all = Vec::with_capacity(length as usize);
            file.read_to_end(&mut all)?;
            let foot = foot(all.get(all.len().saturating_sub(FOOT as usize)..).unwrap_or_default(), length, path)?;
            let data = all.len() - FOOT as usize - foot;
            let meta = meta(&all[data..data + foot], data as u64, path)?;
            all.truncate(data);
            return Ok(Some(Object { meta, file, small: Some(all.into()) }));
        }
        let mut tail = [0; FOOT as usize];
        file.read_exact_at(&mut tail, length - FOOT)?;
        let foot = foot(&tail, length, path)?;
        let data = length - FOOT - foot as u64;
        let mut json = vec![0; foot];
        file.read_exact_at(&mut json, data)?;
        Ok(Some(Object { meta: meta(&json, data, path)?, file, small: None }))
    }
}

/// Checks a file's end and returns the length of its JSON.
fn foot(tail: &[u8], length: u64, path: &Path) -> io::Result<usize> {
    let json = match tail.split_first_chunk::<4>() {
        Some((json, magic)) if magic == MAGIC => u32::from_le_bytes(*json),
        _ => return Err(damaged(path, "it does not end as an object does")),
    };
    if u64::from(json) + FOOT > length {
        return Err(damaged(path, "its metadata would begin before its first byte"));
    }
    Ok(json as usize)
}

fn meta(json: &[u8], size: u64, path: &Path) -> io::Result<Meta> {
    let meta: Meta = serde_json::from_slice(json).map_err(|cause| damaged(path, &cause.to_string()))?;
    if meta.size == size { Ok(meta) } else { Err(damaged(path, "its size is not what its metadata says")) }
}

fn damaged(path: &Path, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("object file {} is damaged: {why}", path.display()))
}

/// An object being written, under a name of its own; removed when dropped before it was published.
pub(super) struct Draft {
    path: PathBuf,
    held: Vec<u8>,
    file: Option<File>,
    size: u64,
    digester: Digester,
}

impl Draft {
    /// A draft to be written at `path`, with `checksum` computed on the way.
    pub(super) fn new(path: PathBuf, checksum: Option<Algorithm>) -> Self {
        Draft { path, held: Vec::new(), file: None, size: 0, digester: Digester::new(checksum) }
    }

    /// Computes the SHA-256 that a signature covers, too.
    pub(super) fn with_payload(mut self) -> Self {
        self.digester = std::mem::replace(&mut self.digester, Digester::new(None)).with_payload();
        self
    }

    /// See [`Digester::payload`].
    pub(super) fn payload(&mut self) -> Option<String> {
        self.digester.payload()
    }

    /// Adds bytes. May write to disk.
    pub(super) fn add(&mut self, data: &[u8]) -> io::Result<()> {
        self.size += data.len() as u64;
        self.digester.update(data);
        if self.file.is_none() && (self.held.len() + data.len()) as u64 <= SMALL {
            self.held.extend_from_slice(data);
            return Ok(());
        }
        self.spill()?.write_all(data)
    }

    /// The file, with everything held written to it.
    fn spill(&mut self) -> io::Result<&mut File> {
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                let mut file = File::create(&self.path)?;
                file.write_all(&self.held)?;
                self.held = Vec::new();
                file
            }
        };
        Ok(self.file.insert(file))
    }

    /// Bytes added.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Ends the data: the MD5, the checksum asked for, and what is left to do.
    pub(super) fn close(mut self) -> (Vec<u8>, Option<Checksum>, Closed) {
        let digester = std::mem::replace(&mut self.digester, Digester::new(None));
        let (md5, checksum) = digester.finish();
        (md5, checksum, Closed(self))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.file.is_some() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// A draft whose data is complete.
pub(super) struct Closed(Draft);

impl Closed {
    /// Writes the metadata (whose `size` is set here); with `durable`, waits until all of it is on the disk.
    pub(super) fn seal(mut self, meta: &mut Meta, durable: bool) -> io::Result<Sealed> {
        let draft = &mut self.0;
        meta.size = draft.size;
        let json = serde_json::to_vec(meta)?;
        let length = u32::try_from(json.len()).map_err(|_| io::Error::other("the metadata is too long"))?;
        let mut end = std::mem::take(&mut draft.held);
        let file = match &mut draft.file {
            Some(file) => file,
            none => none.insert(File::create(&draft.path)?),
        };
        end.extend_from_slice(&json);
        end.extend_from_slice(&length.to_le_bytes());
        end.extend_from_slice(MAGIC);
        file.write_all(&end)?;
        if durable {
            file.sync_all()?;
        }
        Ok(Sealed(self.0))
    }
}

/// A file that is complete and needs only its place.
pub(super) struct Sealed(Draft);

impl Sealed {
    /// Moves the file to its place, replacing what is there.
    pub(super) fn publish(&mut self, to: &Path) -> io::Result<()> {
        std::fs::rename(&self.0.path, to)?;
        // From here on there is nothing to clean up.
        self.0.file = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(dir: &Path, data: &[u8]) -> PathBuf {
        let mut draft = Draft::new(dir.join("draft"), Some(Algorithm::Crc32));
        data.chunks(10_000).for_each(|piece| draft.add(piece).unwrap());
        let (_, checksum, closed) = draft.close();
        let mut meta = Meta { etag: "e".into(), checksum, ..Meta::default() };
        let path = dir.join("object");
        closed.seal(&mut meta, true).unwrap().publish(&path).unwrap();
        path
    }

    #[test]
    fn small_and_large_objects_come_back_whole() {
        let dir = tempfile::tempdir().unwrap();
        for size in [0, 1, 60_000, 70_000, 300_000] {
            let data: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            let object = Object::open(&written(dir.path(), &data)).unwrap().unwrap();
            assert_eq!((object.meta.size, object.meta.etag.as_str()), (size, "e"));
            let mut read = vec![0; data.len()];
            object.file.read_exact_at(&mut read, 0).unwrap();
            assert_eq!(object.small.as_deref().unwrap_or(&read), data);
        }
    }

    #[test]
    fn a_cut_file_is_damaged_not_shorter() {
        let dir = tempfile::tempdir().unwrap();
        for size in [20, 200_000] {
            let path = written(dir.path(), &vec![7; size]);
            let whole = std::fs::read(&path).unwrap();
            for keep in [0, 5, whole.len() - 1] {
                std::fs::write(&path, &whole[..keep]).unwrap();
                assert_eq!(Object::open(&path).err().map(|e| e.kind()), Some(io::ErrorKind::InvalidData));
            }
        }
    }

    #[test]
    fn a_draft_that_is_given_up_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut draft = Draft::new(dir.path().join("draft"), None);
        draft.add(&vec![1; 200_000]).unwrap();
        drop(draft);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
