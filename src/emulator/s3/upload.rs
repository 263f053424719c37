//! Multipart uploads under way: `uploads/<id>/upload.json` and one object file a part.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use super::bucket::{Bucket, Condition, Refusal, now_ms};
use super::digest::{self, Algorithm};
use super::intake::Stored;
use super::object::{Draft, Meta, Object};

/// The least size of a part that is not the last: S3's own.
const LEAST_PART: u64 = 5 * 1024 * 1024;

/// What an upload was begun with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Begun {
    pub(super) key: String,
    pub(super) initiated_ms: u64,
    pub(super) algorithm: Option<Algorithm>,
    /// What the object will be, but for what its bytes decide.
    pub(super) meta: Meta,
}

/// Why an upload could not be completed.
#[derive(Debug)]
pub(super) enum Incomplete {
    /// There is no such upload (any more).
    NoUpload,
    /// A part was not sent, or has another ETag.
    Part(i32),
    /// Parts are not in ascending order.
    Order,
    /// A part that is not the last has less than 5 MiB.
    TooSmall(i32),
    /// The object could not be written.
    Refused(Refusal),
}

impl From<io::Error> for Incomplete {
    fn from(cause: io::Error) -> Self {
        match cause.kind() {
            io::ErrorKind::NotFound => Incomplete::NoUpload,
            _ => Incomplete::Refused(Refusal::Io(cause)),
        }
    }
}

/// Begins an upload; returns its id.
pub(super) fn begin(bucket: &Bucket, begun: &Begun) -> io::Result<String> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let seed = format!("{}/{}/{number}/{}", std::process::id(), begun.initiated_ms, begun.key);
    let id = blake3::hash(seed.as_bytes()).to_hex()[..32].to_owned();
    let (aside, directory) = (bucket.draft_path(), bucket.uploads().join(&id));
    std::fs::write(&aside, serde_json::to_vec(begun)?)?;
    std::fs::create_dir(&directory)?;
    // The upload is there from this moment, and whole.
    std::fs::rename(aside, directory.join("upload.json"))?;
    Ok(id)
}

/// The directory of upload `id`; `None` when that cannot be an id. (Ids come from clients: they must not lead outside.)
fn directory(bucket: &Bucket, id: &str) -> Option<PathBuf> {
    let well_formed = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    well_formed.then(|| bucket.uploads().join(id))
}

/// An upload to `key`.
pub(super) fn find(bucket: &Bucket, key: &str, id: &str) -> io::Result<Option<Begun>> {
    let Some(directory) = directory(bucket, id) else { return Ok(None) };
    match std::fs::read(directory.join("upload.json")) {
        Ok(json) => Ok(Some(serde_json::from_slice::<Begun>(&json)?).filter(|begun| begun.key == key)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(cause),
    }
}

/// Uploads under way, by key and id.
pub(super) fn all(bucket: &Bucket) -> io::Result<BTreeMap<(String, String), Begun>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(bucket.uploads())? {
        let id = entry?.file_name().to_string_lossy().into_owned();
        let path = bucket.uploads().join(&id).join("upload.json");
        // One that ends while it is looked at is left out.
        if let Ok(json) = std::fs::read(path) {
            let begun: Begun = serde_json::from_slice(&json)?;
            all.insert((begun.key.clone(), id), begun);
        }
    }
    Ok(all)
}

/// Keeps a part; a later one of the same number replaces it.
pub(super) fn keep_part(bucket: &Bucket, id: &str, number: i32, stored: Stored) -> Result<Meta, Incomplete> {
    bucket.writable().map_err(Incomplete::Refused)?;
    let path = directory(bucket, id).ok_or(Incomplete::NoUpload)?.join(part_name(number));
    let etag = digest::hex(&stored.md5);
    let mut meta = Meta { modified_ms: now_ms(), etag, checksum: stored.checksum, ..Meta::default() };
    stored.closed.seal(&mut meta, bucket.durable())?.publish(&path)?;
    Ok(meta)
}

fn part_name(number: i32) -> String {
    format!("part-{number:05}")
}

/// Parts kept so far, by number.
pub(super) fn parts(bucket: &Bucket, id: &str) -> Result<BTreeMap<i32, Meta>, Incomplete> {
    let directory = directory(bucket, id).ok_or(Incomplete::NoUpload)?;
    let mut parts = BTreeMap::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("part-")?.parse().ok());
        let Some(number) = number else { continue };
        if let Some(part) = Object::open(&entry.path())? {
            parts.insert(number, part.meta);
        }
    }
    Ok(parts)
}

/// Puts the parts together under the upload's key. The object's checksum is that of the whole, of the upload's algorithm.
pub(super) fn complete(
    bucket: &Bucket,
    begun: Begun,
    id: &str,
    wanted: &[(i32, Option<String>)],
    conditions: &[Condition],
) -> Result<Meta, Incomplete> {
    let directory = directory(bucket, id).ok_or(Incomplete::NoUpload)?;
    if !wanted.is_sorted_by(|(one, _), (next, _)| one < next) {
        return Err(Incomplete::Order);
    }
    let mut opened = Vec::with_capacity(wanted.len());
    for (at, (number, etag)) in wanted.iter().enumerate() {
        let part = Object::open(&directory.join(part_name(*number)))?.ok_or(Incomplete::Part(*number))?;
        if etag.as_ref().is_some_and(|etag| *etag != part.meta.etag) {
            return Err(Incomplete::Part(*number));
        }
        if part.meta.size < LEAST_PART && at + 1 < wanted.len() {
            return Err(Incomplete::TooSmall(*number));
        }
        opened.push(part);
    }
    let mut draft = Draft::new(bucket.draft_path(), begun.algorithm);
    let mut sums = Vec::with_capacity(opened.len() * 16);
    for part in &opened {
        sums.extend(unhex(&part.meta.etag));
        copy(part, 0..part.meta.size, &mut draft)?;
    }
    let (_, checksum, closed) = draft.close();
    // As S3 does it: the digest of the parts' digests, and how many there were.
    let etag = format!("{}-{}", digest::hex(&digest::md5(&sums)), opened.len());
    let mut meta = Meta { etag, checksum, ..begun.meta };
    bucket.commit(&begun.key, closed, &mut meta, conditions).map_err(Incomplete::Refused)?;
    // The object is there; parts that cannot be removed harm nobody.
    if let Err(cause) = std::fs::remove_dir_all(&directory) {
        tracing::warn!(%cause, directory = %directory.display(), "cannot remove the parts of a completed upload");
    }
    Ok(meta)
}

/// Copies bytes of an object to a draft.
pub(super) fn copy(object: &Object, range: std::ops::Range<u64>, draft: &mut Draft) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    if let Some(small) = &object.small {
        return draft.add(small.get(range.start as usize..range.end as usize).unwrap_or_default());
    }
    let mut piece = vec![0; 1024 * 1024];
    let mut at = range.start;
    while at < range.end {
        let here = usize::try_from(range.end - at).unwrap_or(usize::MAX).min(piece.len());
        object.file.read_exact_at(&mut piece[..here], at)?;
        draft.add(&piece[..here])?;
        at += here as u64;
    }
    Ok(())
}

fn unhex(text: &str) -> impl Iterator<Item = u8> {
    text.as_bytes().chunks(2).filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
}

/// Ends an upload without an object; whether there was one.
pub(super) fn abort(bucket: &Bucket, id: &str) -> io::Result<bool> {
    let Some(directory) = directory(bucket, id) else { return Ok(false) };
    match std::fs::remove_dir_all(directory) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
        done => done.map(|()| true),
    }
}
