//! Object storage on the AWS SDK.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types;
use bytes::Bytes;

use super::counts::{Call, Counts};
use super::date::{Date, millis};
use super::fault::{Fault, chain, hint, is_credentials, is_passing, is_throttle};
use crate::aws::store::{Listed, Page, Presigned, Store, StoreError};
use crate::idl::base64;

/// Objects in a page of a listing: the API's most.
const PAGE: i32 = 1000;

/// Keys of one DeleteObjects: the API's most.
const DELETED_AT_ONCE: usize = 1000;

/// Tries of a read whose body breaks off, which the SDK does not repeat: it has handed the answer over by then.
pub(super) const BODY_TRIES: u32 = 4;

/// Tries of a conditional write that S3 answers with 409: another write to the key was under way, so the condition
/// could not be judged. It can be a moment later.
const CONFLICT_TRIES: u32 = 6;

/// The pause before the second try of a conditional write; doubled each time.
const CONFLICT_PAUSE: Duration = Duration::from_millis(50);

/// The [`Store`] port on aws-sdk-s3.
pub(super) struct SdkStore {
    pub(super) client: Client,
    pub(super) bucket: String,
    pub(super) counts: Counts,
}

impl SdkStore {
    pub(super) fn new(config: aws_sdk_s3::Config, bucket: &str, counts: Counts) -> Self {
        SdkStore { client: Client::from_conf(config), bucket: bucket.to_owned(), counts }
    }

    /// Reads a failed call.
    pub(super) fn told<E>(&self, operation: &'static str, key: &str, error: &SdkError<E>, call: &Call) -> StoreError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let (bucket, key) = (self.bucket.clone(), key.to_owned());
        match Fault::read(error, call) {
            // A missing bucket is also a 404, but no statement about the key. A reply without a body has no code.
            Fault::Answer { status: 404, code, .. }
                if code == "NoSuchKey" || code == "NotFound" || code == "HTTP 404" =>
            {
                StoreError::NotFound { bucket, key }
            }
            // With other credentials the same request would do: whoever waits for them need not give up.
            Fault::Answer { code, message, .. } if is_credentials(&code) => {
                let message = format!("{code}: {message}; renew the credentials");
                StoreError::Unreachable { operation, bucket, key, message }
            }
            // These are told as the caller's fault and are none: the same request may do a moment later.
            Fault::Answer { code, message, .. } if is_passing(&code) => {
                StoreError::Unreachable { operation, bucket, key, message: format!("{code}: {message}") }
            }
            // S3 reports some of its own faults in the body of a 200: they are not refusals.
            Fault::Answer { status: status @ 400..500, code, message }
                if !is_passing(&code) && !is_throttle(status, &code) =>
            {
                let hint = hint(&code, &message, &format!("s3:{}", action(operation)));
                let message = message + &hint;
                StoreError::Refused { operation, bucket, key, code, message }
            }
            Fault::Answer { code, message, .. } => {
                StoreError::Unreachable { operation, bucket, key, message: format!("{code}: {message}") }
            }
            Fault::NotSent(message) | Fault::NoAnswer(message) => {
                StoreError::Unreachable { operation, bucket, key, message }
            }
        }
    }

    /// A fault that is not the SDK's: of a body, or of a local file.
    pub(super) fn broken(&self, operation: &'static str, key: &str, cause: &dyn std::error::Error) -> StoreError {
        let message = chain(cause);
        StoreError::Unreachable { operation, bucket: self.bucket.clone(), key: key.to_owned(), message }
    }

    /// Begins a read of an object, or of the bytes that `range` (an HTTP Range header) names.
    pub(super) async fn open(&self, key: &str, range: Option<String>) -> Result<GetObjectOutput, StoreError> {
        let call = self.counts.call("GetObject");
        let request = self.client.get_object().bucket(&self.bucket).key(key).set_range(range);
        let sent = request.customize().interceptor(call.clone()).send().await;
        sent.map_err(|error| self.told("GetObject", key, &error, &call))
    }

    /// Deletes up to 1,000 objects. S3 answers 200 also when it has left some: the first of those is the error.
    async fn delete(&self, keys: &[String]) -> Result<(), StoreError> {
        const OPERATION: &str = "DeleteObjects";
        let call = self.counts.call(OPERATION);
        let named = keys.first().map_or("", String::as_str);
        let broken = |error: &dyn std::error::Error| self.broken(OPERATION, named, error);
        let objects: Result<Vec<_>, _> =
            keys.iter().map(|key| types::ObjectIdentifier::builder().key(key).build()).collect();
        let objects = objects.map_err(|error| broken(&error))?;
        let delete = types::Delete::builder().set_objects(Some(objects)).quiet(true).build();
        let delete = delete.map_err(|error| broken(&error))?;
        let request = self.client.delete_objects().bucket(&self.bucket).delete(delete);
        let sent = request.customize().interceptor(call.clone()).send().await;
        let answer = sent.map_err(|error| self.told(OPERATION, named, &error, &call))?;
        let Some(left) = answer.errors.unwrap_or_default().into_iter().next() else { return Ok(()) };
        let (bucket, key) = (self.bucket.clone(), left.key.unwrap_or_default());
        let (code, message) = (left.code.unwrap_or_default(), left.message.unwrap_or_default());
        Err(match code.as_str() {
            "InternalError" | "SlowDown" | "ServiceUnavailable" => {
                StoreError::Unreachable { operation: OPERATION, bucket, key, message: format!("{code}: {message}") }
            }
            _ => {
                let hint = hint(&code, &message, &format!("s3:{}", action(OPERATION)));
                let message = message + &hint;
                StoreError::Refused { operation: OPERATION, bucket, key, code, message }
            }
        })
    }

    async fn read(&self, key: &str, range: Option<String>) -> Result<Bytes, StoreError> {
        let mut tried = 0;
        loop {
            let answer = self.open(key, range.clone()).await?;
            tried += 1;
            match answer.body.collect().await {
                Ok(body) => return Ok(body.into_bytes()),
                Err(cause) if tried == BODY_TRIES => return Err(self.broken("GetObject", key, &cause)),
                Err(_) => {}
            }
        }
    }

    /// One page of keys; with `delimiter`, of the names up to it as well.
    async fn page(
        &self,
        prefix: &str,
        delimiter: Option<&str>,
        after: Option<&str>,
        token: Option<String>,
    ) -> Result<aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output, StoreError> {
        let call = self.counts.call("ListObjectsV2");
        let request = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(prefix)
            .set_delimiter(delimiter.map(str::to_owned))
            .set_start_after(after.map(str::to_owned))
            .set_continuation_token(token)
            .max_keys(PAGE);
        let sent = request.customize().interceptor(call.clone()).send().await;
        sent.map_err(|error| self.told("ListObjectsV2", prefix, &error, &call))
    }
}

/// The IAM action that an operation needs, where it is not of the same name.
fn action(operation: &str) -> &str {
    match operation {
        "ListObjectsV2" => "ListBucket",
        "DeleteObjects" => "DeleteObject",
        "CreateMultipartUpload" | "UploadPart" | "CompleteMultipartUpload" => "PutObject",
        "HeadObject" => "GetObject",
        "CopyObject" => "GetObject on the source and s3:PutObject on the target",
        // For a key that does not exist S3 answers 403 to who may not list the bucket.
        "GetObject" => "GetObject and, for a key that does not exist, s3:ListBucket",
        other => other,
    }
}

#[async_trait]
impl Store for SdkStore {
    fn bucket(&self) -> &str {
        &self.bucket
    }

    async fn put(&self, key: &str, body: Bytes) -> Result<(), StoreError> {
        let call = self.counts.call("PutObject");
        let request = self.client.put_object().bucket(&self.bucket).key(key).body(ByteStream::from(body));
        let sent = request.customize().interceptor(call.clone()).send().await;
        sent.map(drop).map_err(|error| self.told("PutObject", key, &error, &call))
    }

    async fn put_new(&self, key: &str, body: Bytes) -> Result<(), StoreError> {
        let mut pause = CONFLICT_PAUSE;
        for tried in 1.. {
            let call = self.counts.call("PutObject");
            let body = ByteStream::from(body.clone());
            let request = self.client.put_object().bucket(&self.bucket).key(key).body(body).if_none_match("*");
            let Err(error) = request.customize().interceptor(call.clone()).send().await else { return Ok(()) };
            match Fault::read(&error, &call).code() {
                Some("PreconditionFailed") => {
                    return Err(StoreError::AlreadyExists { bucket: self.bucket.clone(), key: key.to_owned() });
                }
                Some("ConditionalRequestConflict" | "OperationAborted") if tried < CONFLICT_TRIES => {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                _ => return Err(self.told("PutObject", key, &error, &call)),
            }
        }
        unreachable!("the loop ends by its returns")
    }

    async fn get(&self, key: &str) -> Result<Bytes, StoreError> {
        self.read(key, None).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        self.read(key, Some(format!("bytes={}-{}", range.start, range.end - 1))).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, StoreError> {
        let page = self.page(prefix, None, after, None).await?;
        let objects = page.contents.unwrap_or_default().into_iter().filter_map(|object| {
            Some(Listed {
                key: object.key?,
                size: object.size.and_then(|n| u64::try_from(n).ok()).unwrap_or_default(),
                // What has no date must not be taken for old.
                modified_ms: object.last_modified.map_or(u64::MAX, |at| millis(&at)),
            })
        });
        Ok(Page { objects: objects.collect(), more: page.is_truncated.unwrap_or_default() })
    }

    async fn list_directories(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let mut names = Vec::new();
        let mut token = None;
        loop {
            let page = self.page(prefix, Some("/"), None, token).await?;
            let found = page.common_prefixes.unwrap_or_default().into_iter().filter_map(|common| common.prefix);
            names.extend(found.filter_map(|full| Some(full.strip_prefix(prefix)?.strip_suffix('/')?.to_owned())));
            token = page.next_continuation_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(names);
            }
        }
    }

    async fn delete_many(&self, keys: &[String]) -> Result<(), StoreError> {
        for some in keys.chunks(DELETED_AT_ONCE) {
            self.delete(some).await?;
        }
        Ok(())
    }

    async fn now(&self) -> Result<u64, StoreError> {
        const OPERATION: &str = "ListObjectsV2";
        let (call, date) = (self.counts.call(OPERATION), Date::default());
        let request = self.client.list_objects_v2().bucket(&self.bucket).max_keys(1).customize();
        let sent = request.interceptor(call.clone()).interceptor(date.clone()).send().await;
        sent.map_err(|error| self.told(OPERATION, "", &error, &call))?;
        date.read().ok_or_else(|| {
            let message = "the answer has no Date header that could be read".to_owned();
            StoreError::Unreachable { operation: OPERATION, bucket: self.bucket.clone(), key: String::new(), message }
        })
    }

    async fn presign_put(
        &self,
        key: &str,
        md5: &[u8],
        metadata: &[(&str, String)],
        life: Duration,
    ) -> Result<Option<Presigned>, StoreError> {
        const OPERATION: &str = "PutObject";
        let terms = PresigningConfig::expires_in(life).map_err(|error| self.broken(OPERATION, key, &error))?;
        let mut request = self.client.put_object().bucket(&self.bucket).key(key);
        if !md5.is_empty() {
            request = request.content_md5(base64::encode(md5));
        }
        for (name, value) in metadata {
            request = request.metadata(*name, value);
        }
        let signed = request.presigned(terms).await.map_err(|error| self.broken(OPERATION, key, &error))?;
        let headers = signed.headers().map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok(Some(Presigned { url: signed.uri().to_owned(), headers: headers.collect() }))
    }

    async fn upload(&self, key: &str, file: &Path) -> Result<(), StoreError> {
        self.upload_file(key, file).await
    }

    async fn download(&self, key: &str, file: &Path) -> Result<(), StoreError> {
        self.download_file(key, file).await
    }
}
