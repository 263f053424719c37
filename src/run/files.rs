//! Local files among the inputs: their paths become the addresses that they are uploaded to.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

use crate::aws::store::{LOCAL_FILE, Store, StoreError};
use crate::idl::core::literal_type::Type;
use crate::idl::core::{Literal, LiteralType};
use crate::idl::json::literal_from_json;
use crate::map::cache::{ContentHash, stamp};
use crate::map::layout::Root;

/// Files uploaded at once: each holds a part or two of its file in memory.
const UPLOADS: usize = 8;
/// Files hashed at once: each takes a core.
const HASHES: usize = 4;
/// S3's largest object.
const MAX_BYTES: u64 = 5 << 40;

/// A file to upload.
#[derive(Debug)]
pub(super) struct Upload {
    path: PathBuf,
    key: String,
    /// Its size when it was looked at.
    pub(super) bytes: u64,
}

/// Where an execution's input files go: below `raw/<id>/inputs/`, apart from its children's files.
pub(super) struct Files {
    store: Arc<dyn Store>,
    prefix: String,
}

impl Files {
    pub(super) fn new(store: &Arc<dyn Store>, root: &Root) -> Self {
        Files { store: store.clone(), prefix: format!("{}inputs/", root.raw()) }
    }

    /// Puts in place of every local path in `value`, where `literal_type` has a file, the address that the file will
    /// have; `place` (`x/` or `x/0000000017/`) tells its key from others. A value of another type is left for the
    /// conversion to refuse.
    ///
    /// # Errors
    /// A file that is not there, not readable, no file or too large; addresses other than `s3://`.
    pub(super) fn address(
        &self,
        value: &mut Value,
        literal_type: &LiteralType,
        place: &str,
        uploads: &mut Vec<Upload>,
    ) -> Result<(), String> {
        match (&literal_type.r#type, value) {
            (Some(Type::Blob(_)), Value::String(path)) => {
                if let Some(upload) = self.upload_of(path, place)? {
                    *path = self.uri(&upload);
                    uploads.push(upload);
                }
                Ok(())
            }
            (Some(Type::CollectionType(inner)), Value::Array(list)) => {
                let mut elements = list.iter_mut().enumerate();
                elements.try_for_each(|(i, value)| self.address(value, inner, &format!("{place}{i}/"), uploads))
            }
            (Some(Type::MapValueType(inner)), Value::Object(object)) => {
                let mut values = object.values_mut().enumerate();
                values.try_for_each(|(i, value)| self.address(value, inner, &format!("{place}{i}/"), uploads))
            }
            (Some(Type::UnionType(union)), value) => {
                // The variant that the conversion will take.
                match union.variants.iter().find(|variant| literal_from_json(value, variant).is_ok()) {
                    Some(variant) => self.address(value, variant, place, uploads),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    fn upload_of(&self, path: &str, place: &str) -> Result<Option<Upload>, String> {
        if let Some(rest) = path.strip_prefix("s3://") {
            return match rest.split_once('/') {
                Some((bucket, key)) if !bucket.is_empty() && !key.is_empty() => Ok(None),
                _ => Err("names no object; write s3://BUCKET/KEY".to_owned()),
            };
        }
        if path.is_empty() {
            return Ok(None);
        }
        if path.contains("://") {
            return Err("is neither a local path nor an s3:// address; download it, or copy it to S3, first".to_owned());
        }
        let found = PathBuf::from(path);
        // Looked at first, for opening a FIFO waits for its writer; then opened, for a file that is there may still not be
        // readable.
        let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
        let metadata = std::fs::metadata(&found).map_err(unreadable)?;
        if metadata.is_file() {
            File::open(&found).map_err(unreadable)?;
        } else {
            return Err("is no regular file; name each file, or pack a directory into one".to_owned());
        }
        if metadata.len() > MAX_BYTES {
            return Err("is larger than the 5 TiB of an S3 object; split it".to_owned());
        }
        let name = found.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Some(Upload { path: found, key: format!("{}{place}{name}", self.prefix), bytes: metadata.len() }))
    }

    /// Uploads `uploads`, a few at once.
    ///
    /// # Errors
    /// The first that fails.
    pub(super) async fn upload(&self, uploads: Vec<Upload>) -> Result<(), StoreError> {
        let one = |upload: Upload| async move { self.store.upload(&upload.key, &upload.path).await };
        stream::iter(uploads).map(one).buffer_unordered(UPLOADS).try_collect().await
    }

    /// The address that a file will have.
    fn uri(&self, upload: &Upload) -> String {
        format!("s3://{}/{}", self.store.bucket(), upload.key)
    }

    /// Gives every file of `uploads` in `literal` the hash of its content: by that it is the same in every execution,
    /// wherever it is uploaded to.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(super) async fn stamp(&self, literal: &mut Literal, uploads: &[Upload]) -> Result<(), StoreError> {
        if uploads.is_empty() {
            return Ok(());
        }
        let hashes = uploads.iter().map(|upload| async move {
            let path = upload.path.clone();
            // A file may be large: reading it must not hold up whatever else runs.
            let hashed = tokio::task::spawn_blocking(move || content_hash(&path)).await;
            let hashed = hashed.unwrap_or_else(|error| Err(std::io::Error::other(error)));
            hashed.map(|hash| (self.uri(upload), hash)).map_err(|error| self.unreadable(upload, &error))
        });
        let hashes: BTreeMap<String, String> = stream::iter(hashes).buffered(HASHES).try_collect().await?;
        stamp(literal, &|uri| hashes.get(uri).cloned());
        Ok(())
    }

    fn unreadable(&self, upload: &Upload, error: &std::io::Error) -> StoreError {
        let (bucket, key, code) = (self.store.bucket().to_owned(), upload.key.clone(), LOCAL_FILE.to_owned());
        let message = format!("{}: {error}", upload.path.display());
        StoreError::Refused { operation: "PutObject", bucket, key, code, message }
    }
}

/// The hash of a file's content.
fn content_hash(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = ContentHash::default();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finish()),
            read => hash.update(&buffer[..read]),
        }
    }
}
