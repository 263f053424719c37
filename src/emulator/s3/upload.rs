//! Multipart uploads under way: `uploads/<id>/upload.json` and one object file a part.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use super::bucket::{Bucket, Condition, Refusal, now_ms};
use super::digest::{self, Algorithm, Checksum};
use super::intake::Stored;
use super::object::{Draft, Meta, Object, PartMeta};

/// The least size of a part that is not the last: S3's own.
const LEAST_PART: u64 = 5 * 1024 * 1024;

/// What an upload was begun with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Begun {
    pub(super) key: String,
    pub(super) initiated_ms: u64,
    pub(super) algorithm: Option<Algorithm>,
    /// Whether the object's checksum will be made of those of the parts.
    #[serde(default)]
    pub(super) composite: bool,
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
    /// The checksum or the size that the client gives is not the object's.
    Digest(&'static str),
    /// The object could not be written.
    Refused(Refusal),
}

/// A part as the client names it.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    pub(super) number: i32,
    pub(super) etag: Option<String>,
    pub(super) checksum: Option<Checksum>,
}

/// How an upload is to be completed.
#[derive(Clone, Debug, Default)]
pub(super) struct Completion {
    pub(super) parts: Vec<Wanted>,
    /// What the client takes for the object's checksum.
    pub(super) checksum: Option<Checksum>,
    /// What the client takes for the object's size, in bytes.
    pub(super) size: Option<u64>,
    pub(super) conditions: Vec<Condition>,
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
    let mut file = std::fs::File::create(&aside)?;
    io::Write::write_all(&mut file, &serde_json::to_vec(begun)?)?;
    if bucket.durable() {
        file.sync_all()?;
    }
    std::fs::create_dir(&directory)?;
    // The upload is there from this moment, and whole.
    std::fs::rename(aside, directory.join("upload.json"))?;
    sync(bucket, &[&directory, &bucket.uploads()])?;
    Ok(id)
}

/// Makes new names in directories last.
fn sync(bucket: &Bucket, directories: &[&Path]) -> io::Result<()> {
    match bucket.durable() {
        true => directories.iter().try_for_each(|directory| std::fs::File::open(directory)?.sync_all()),
        false => Ok(()),
    }
}

/// Removes what an owner that ended in the middle of beginning an upload, or of ending one, left behind.
pub(super) fn sweep(uploads: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(uploads)? {
        let path = entry?.path();
        if !path.join("upload.json").exists() {
            std::fs::remove_dir_all(path)?;
        }
    }
    Ok(())
}

/// Ends an upload: its name goes first, so that no half of it is ever found.
fn remove(bucket: &Bucket, directory: &Path) -> io::Result<()> {
    let aside = bucket.draft_path();
    std::fs::rename(directory, &aside)?;
    sync(bucket, &[&bucket.uploads()])?;
    if let Err(cause) = std::fs::remove_dir_all(&aside) {
        // They harm nobody, and are removed when the store is opened again.
        tracing::warn!(%cause, directory = %aside.display(), "cannot remove the parts of an upload that has ended");
    }
    Ok(())
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
    sync(bucket, path.parent().as_slice())?;
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

/// Puts the parts together under the upload's key.
pub(super) fn complete(bucket: &Bucket, begun: Begun, id: &str, wanted: &Completion) -> Result<Meta, Incomplete> {
    let directory = directory(bucket, id).ok_or(Incomplete::NoUpload)?;
    let opened = open(&directory, &wanted.parts)?;
    // Without an algorithm of the client's, S3 takes this one.
    let algorithm = begun.algorithm.unwrap_or(Algorithm::Crc64nvme);
    let mut draft = Draft::new(bucket.draft_path(), (!begun.composite).then_some(algorithm));
    let (mut digests, mut sums) = (Vec::with_capacity(opened.len() * 16), Vec::new());
    let mut parts = Vec::with_capacity(opened.len());
    for (part, wanted) in opened.iter().zip(&wanted.parts) {
        digests.extend(unhex(&part.meta.etag));
        copy(part, 0..part.meta.size, &mut draft)?;
        let checksum = part.meta.checksum.as_ref().filter(|(of, _)| *of == algorithm).map(|(_, value)| value.clone());
        sums.extend(checksum.as_deref().and_then(digest::unbase64).unwrap_or_default());
        parts.push(PartMeta { size: part.meta.size, checksum, number: wanted.number });
    }
    if wanted.size.is_some_and(|size| size != draft.size()) {
        return Err(Incomplete::Digest("x-amz-mp-object-size is not the sum of the parts"));
    }
    let (_, whole, closed) = draft.close();
    let composite = || (algorithm, format!("{}-{}", digest::checksum(algorithm, &sums), opened.len()));
    let checksum = whole.unwrap_or_else(composite);
    if wanted.checksum.as_ref().is_some_and(|claimed| !agrees(claimed, &checksum)) {
        return Err(Incomplete::Digest("the checksum given is not that of the object"));
    }
    // As S3 does it: the digest of the parts' digests, and how many there were.
    let etag = format!("{}-{}", digest::hex(&digest::md5(&digests)), opened.len());
    let mut meta = Meta { etag, checksum: Some(checksum), composite: begun.composite, parts, ..begun.meta };
    bucket.commit(&begun.key, closed, &mut meta, &wanted.conditions).map_err(Incomplete::Refused)?;
    // The object is there, whatever becomes of the parts.
    if let Err(cause) = remove(bucket, &directory) {
        tracing::warn!(%cause, directory = %directory.display(), "cannot end a completed upload");
    }
    Ok(meta)
}

/// Opens the parts that are named, if they are as they are said to be.
fn open(directory: &Path, wanted: &[Wanted]) -> Result<Vec<Object>, Incomplete> {
    if !wanted.is_sorted_by(|one, next| one.number < next.number) {
        return Err(Incomplete::Order);
    }
    let mut opened = Vec::with_capacity(wanted.len());
    for (at, Wanted { number, etag, checksum }) in wanted.iter().enumerate() {
        let part = Object::open(&directory.join(part_name(*number)))?.ok_or(Incomplete::Part(*number))?;
        let other = checksum.is_some() && *checksum != part.meta.checksum;
        if other || etag.as_ref().is_some_and(|etag| *etag != part.meta.etag) {
            return Err(Incomplete::Part(*number));
        }
        if part.meta.size < LEAST_PART && at + 1 < wanted.len() {
            return Err(Incomplete::TooSmall(*number));
        }
        opened.push(part);
    }
    Ok(opened)
}

/// Whether a checksum is the one claimed, which may leave out the number of parts.
fn agrees(claimed: &Checksum, found: &Checksum) -> bool {
    let bare = |value: &str| value.split('-').next().unwrap_or_default().to_owned();
    claimed == found || (claimed.0 == found.0 && claimed.1 == bare(&found.1))
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
    match remove(bucket, &directory) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
        done => done.map(|()| true),
    }
}
