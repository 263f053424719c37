//! Local files to and from S3, never whole in memory.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_s3::primitives::{ByteStream, Length};
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::io::AsyncWriteExt;

use super::store::{BODY_TRIES, SdkStore};
use crate::aws::store::{LOCAL_FILE, StoreError};

/// Files above this go up in parts of this size (or larger, when the file needs more than [`PARTS`] of them): a part
/// that fails is repeated alone.
const PART: u64 = 16 * 1024 * 1024;

/// The most parts an upload may have.
const PARTS: u64 = 10_000;

/// Parts under way at once.
const PARALLEL: usize = 4;

/// The user metadata by which an upload in parts knows its object again.
const MARK: &str = "batchmap-upload";

/// A mark that no other upload has.
fn mark() -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("{:x}-{:x}-{number:x}", now.as_nanos(), std::process::id())
}

impl SdkStore {
    pub(super) async fn upload_file(&self, key: &str, file: &Path) -> Result<(), StoreError> {
        let meta = tokio::fs::metadata(file).await.map_err(|cause| self.local("PutObject", key, file, &cause))?;
        if meta.len() > PART {
            return self.upload_parts(key, file, meta.len()).await;
        }
        let body = ByteStream::from_path(file).await.map_err(|cause| self.broken("PutObject", key, &cause))?;
        let call = self.counts.call("PutObject");
        let request = self.client.put_object().bucket(&self.bucket).key(key).body(body);
        let sent = request.customize().interceptor(call.clone()).send().await;
        sent.map(drop).map_err(|error| self.told("PutObject", key, &error, &call))
    }

    /// Uploads in parts; when one fails for good, the parts sent so far are removed, for S3 charges for them.
    async fn upload_parts(&self, key: &str, file: &Path, size: u64) -> Result<(), StoreError> {
        let call = self.counts.call("CreateMultipartUpload");
        let request = self.client.create_multipart_upload().bucket(&self.bucket).key(key);
        // Said aloud, because the SDK sends it with every part, and S3 refuses parts with one it was not told of.
        let mark = mark();
        let request = request.checksum_algorithm(ChecksumAlgorithm::Crc32).metadata(MARK, &mark);
        let sent = request.customize().interceptor(call.clone()).send().await;
        let begun = sent.map_err(|error| self.told("CreateMultipartUpload", key, &error, &call))?;
        let id = begun.upload_id.unwrap_or_default();
        let done = match self.send_parts(key, file, size, &id).await {
            Ok(parts) => self.complete(key, &id, parts).await,
            Err(error) => Err(error),
        };
        // When the answer to a completion is lost, its repetition finds no upload any more: ask the object itself.
        if done.is_err() && self.has_mark(key, &mark).await {
            return Ok(());
        }
        if done.is_err() {
            let call = self.counts.call("AbortMultipartUpload");
            let request = self.client.abort_multipart_upload().bucket(&self.bucket).key(key).upload_id(&id);
            if let Err(error) = request.customize().interceptor(call.clone()).send().await {
                let cause = self.told("AbortMultipartUpload", key, &error, &call);
                tracing::warn!(%cause, "the parts of a failed upload stay in the bucket until a lifecycle rule removes them");
            }
        }
        done
    }

    async fn send_parts(&self, key: &str, file: &Path, size: u64, id: &str) -> Result<Vec<CompletedPart>, StoreError> {
        let part = PART.max(size.div_ceil(PARTS));
        let count = i32::try_from(size.div_ceil(part)).unwrap_or(i32::MAX);
        let parts = stream::iter(1..=count).map(|number| async move {
            let offset = (number as u64 - 1) * part;
            let length = Length::Exact(part.min(size - offset));
            let read = ByteStream::read_from().path(file).offset(offset).length(length).build().await;
            let body = read.map_err(|cause| self.broken("UploadPart", key, &cause))?;
            let call = self.counts.call("UploadPart");
            let request = self.client.upload_part().bucket(&self.bucket).key(key).upload_id(id);
            let request = request.checksum_algorithm(ChecksumAlgorithm::Crc32).part_number(number).body(body);
            let request = request.customize().interceptor(call.clone());
            let sent = request.send().await.map_err(|error| self.told("UploadPart", key, &error, &call))?;
            let done = CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag);
            // What S3 computed for the part it wants to hear again.
            Ok(done.set_checksum_crc32(sent.checksum_crc32).build())
        });
        parts.buffered(PARALLEL).try_collect().await
    }

    async fn complete(&self, key: &str, id: &str, parts: Vec<CompletedPart>) -> Result<(), StoreError> {
        let all = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let call = self.counts.call("CompleteMultipartUpload");
        let request = self.client.complete_multipart_upload().bucket(&self.bucket).key(key).upload_id(id);
        let sent = request.multipart_upload(all).customize().interceptor(call.clone()).send().await;
        sent.map(drop).map_err(|error| self.told("CompleteMultipartUpload", key, &error, &call))
    }

    /// Whether the object under `key` is the one of the upload that was marked so.
    async fn has_mark(&self, key: &str, mark: &str) -> bool {
        let call = self.counts.call("HeadObject");
        let request = self.client.head_object().bucket(&self.bucket).key(key);
        let sent = request.customize().interceptor(call).send().await;
        sent.is_ok_and(|found| found.metadata().and_then(|all| all.get(MARK)).is_some_and(|there| there == mark))
    }

    /// Downloads beside `file` and renames, so that `file` is never seen half.
    pub(super) async fn download_file(&self, key: &str, file: &Path) -> Result<(), StoreError> {
        let aside = Aside::new(file);
        let mut tried = 0;
        loop {
            let answer = self.open(key, None).await?;
            tried += 1;
            let mut local =
                tokio::fs::File::create(&aside.0).await.map_err(|e| self.local("GetObject", key, &aside.0, &e))?;
            match copy(answer.body, &mut local).await {
                Ok(()) => break,
                Err(Broken::Local(cause)) => return Err(self.local("GetObject", key, &aside.0, &cause)),
                Err(Broken::Body(cause)) if tried == BODY_TRIES => return Err(self.broken("GetObject", key, &cause)),
                Err(Broken::Body(_)) => {}
            }
        }
        tokio::fs::rename(&aside.0, file).await.map_err(|cause| self.local("GetObject", key, file, &cause))
    }

    fn local(&self, operation: &'static str, key: &str, file: &Path, cause: &std::io::Error) -> StoreError {
        StoreError::Refused {
            operation,
            bucket: self.bucket.clone(),
            key: key.to_owned(),
            code: LOCAL_FILE.to_owned(),
            message: format!("{}: {cause}", file.display()),
        }
    }
}

/// A file beside the one it is to become; removed when dropped (after the rename there is nothing to remove).
struct Aside(PathBuf);

impl Aside {
    fn new(file: &Path) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mut name = std::ffi::OsString::from(".");
        name.push(file.file_name().unwrap_or_default());
        name.push(format!(".{}-{number}.part", std::process::id()));
        Aside(file.with_file_name(name))
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Which side of a copy failed: the one that a second try may cure, or the one that it will not.
enum Broken {
    Body(aws_sdk_s3::primitives::ByteStreamError),
    Local(std::io::Error),
}

async fn copy(mut body: ByteStream, local: &mut tokio::fs::File) -> Result<(), Broken> {
    while let Some(piece) = body.try_next().await.map_err(Broken::Body)? {
        local.write_all(&piece).await.map_err(Broken::Local)?;
    }
    local.flush().await.map_err(Broken::Local)
}
