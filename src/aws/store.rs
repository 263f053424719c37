//! Object storage as batchmap needs it: ten calls on one bucket.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

/// The code of [`StoreError::Refused`] when it is a local file that could not be used.
pub const LOCAL_FILE: &str = "LocalFile";

/// Why a call to the store did not do what it was asked. The variants are what a caller can decide on.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No object has that key.
    #[error("s3://{bucket}/{key} does not exist")]
    NotFound {
        /// The bucket asked.
        bucket: String,
        /// The key asked for.
        key: String,
    },
    /// `put_new` found the key taken.
    #[error("s3://{bucket}/{key} exists already")]
    AlreadyExists {
        /// The bucket asked.
        bucket: String,
        /// The key asked for.
        key: String,
    },
    /// AWS refused the request: retrying does not help.
    #[error("S3 refused {operation} on s3://{bucket}/{key}: {code}: {message}")]
    Refused {
        /// The S3 action, for example `PutObject`: what an IAM policy must allow.
        operation: &'static str,
        /// The bucket asked.
        bucket: String,
        /// The key or prefix asked for.
        key: String,
        /// AWS's error code.
        code: String,
        /// AWS's message.
        message: String,
    },
    /// The endpoint could not be reached, or failed on every try.
    #[error("cannot reach S3 for {operation} on s3://{bucket}/{key}: {message}")]
    Unreachable {
        /// The S3 action.
        operation: &'static str,
        /// The bucket asked.
        bucket: String,
        /// The key or prefix asked for.
        key: String,
        /// The last cause.
        message: String,
    },
}

/// One object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The object's key.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was written, in milliseconds since 1970 by the store's own clock: compare it with [`Store::now`], never
    /// with a clock of this machine. S3 tells whole seconds.
    pub modified_ms: u64,
}

/// One page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Objects in the byte order of their keys; at most 1,000.
    pub objects: Vec<Listed>,
    /// Whether further objects follow the last one.
    pub more: bool,
}

/// A signed address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presigned {
    /// The address; it holds the signature.
    pub url: String,
    /// The headers that a request must have, apart from `Host`.
    pub headers: BTreeMap<String, String>,
}

/// One bucket. Cheap to clone behind an `Arc`; every call may run at once with any other.
#[async_trait]
pub trait Store: Send + Sync {
    /// The bucket's name.
    fn bucket(&self) -> &str;

    /// Writes an object, replacing what was there.
    async fn put(&self, key: &str, body: Bytes) -> Result<(), StoreError>;

    /// Writes an object only where none exists: of racing calls exactly one succeeds, the others get
    /// [`StoreError::AlreadyExists`]. That answer may be about our own write: when the reply to a write that landed is
    /// lost, its repetition finds the key taken. Who must know reads the object back and looks for a mark of its own.
    async fn put_new(&self, key: &str, body: Bytes) -> Result<(), StoreError>;

    /// Reads an object whole.
    async fn get(&self, key: &str) -> Result<Bytes, StoreError>;

    /// Reads bytes `range` of an object; an empty range reads nothing and calls nothing.
    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError>;

    /// Lists objects whose keys begin with `prefix` and sort after `after`, up to 1,000.
    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, StoreError>;

    /// The names directly under `prefix` (which ends in `/`), each without the prefix and without its trailing slash.
    async fn list_directories(&self, prefix: &str) -> Result<Vec<String>, StoreError>;

    /// Deletes objects, however many; a key that does not exist counts as deleted. After an error some may be gone and
    /// others not: the call can be repeated as it is.
    async fn delete_many(&self, keys: &[String]) -> Result<(), StoreError>;

    /// The time by the store's own clock, in milliseconds since 1970, to the second.
    async fn now(&self) -> Result<u64, StoreError>;

    /// An address that whoever has it may write the object `key` to for `life`, by PUT and with these headers: the body's
    /// MD5 digest (16 bytes) and the object's `metadata` are signed. None where there is no address but our own server's.
    ///
    /// # Errors
    /// When it cannot be signed, for want of credentials.
    async fn presign_put(
        &self,
        _key: &str,
        _md5: &[u8],
        _metadata: &[(&str, String)],
        _life: Duration,
    ) -> Result<Option<Presigned>, StoreError> {
        Ok(None)
    }

    /// Uploads a local file, in parts when it is large.
    async fn upload(&self, key: &str, file: &std::path::Path) -> Result<(), StoreError>;

    /// Downloads an object to a local file, replacing it.
    async fn download(&self, key: &str, file: &std::path::Path) -> Result<(), StoreError>;
}
