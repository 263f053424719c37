//! Operations on objects.

use std::sync::Arc;

use futures::TryFutureExt;
use s3s::dto::*;
use s3s::{Body, S3Request, S3Result, s3_error};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::super::bucket::{self, Bucket as Objects, Refusal};
use super::super::digest::{Checksum, hex};
use super::super::intake::{Intake, blocking};
use super::super::object::{Draft, Meta, Object as Stored};
use super::super::upload::copy;
use super::Api;
use super::convert::{self, checked, conditions, disk, etag, no_key, refused, seconds, time};

/// What AWS calls an object of unknown type.
const UNTYPED: &str = "binary/octet-stream";

/// Bytes read from disk at a time for an answer.
const READ: usize = 256 * 1024;

/// The part of an object's metadata that the client says, from any of the inputs that hold it.
macro_rules! said {
    ($input:expr) => {
        Meta {
            content_type: $input.content_type.map(|mime| mime.to_string()),
            content_encoding: $input.content_encoding,
            content_disposition: $input.content_disposition,
            content_language: $input.content_language,
            cache_control: $input.cache_control,
            user: $input.metadata.unwrap_or_default().into_iter().collect(),
            ..Meta::default()
        }
    };
}
pub(super) use said;

pub(super) async fn put_object(api: &Api, request: S3Request<PutObjectInput>) -> S3Result<PutObjectOutput> {
    let input = request.input;
    let bucket = api.bucket(&input.bucket)?;
    bucket.writable().map_err(refused)?;
    let intake = Intake::receive(input.body, &request.headers, &request.extensions, bucket.draft_path()).await?;
    let wanted = conditions(input.if_match.as_ref(), input.if_none_match.as_ref());
    let (key, said) = (input.key, said!(input));
    let meta = blocking(move || {
        let stored = intake.store()?;
        let mut meta = Meta { etag: hex(&stored.md5), checksum: stored.checksum, ..said };
        bucket.commit(&key, stored.closed, &mut meta, &wanted).map_err(refused)?;
        Ok(meta)
    })
    .await?;
    let kind = convert::checksum_type(meta.checksum.as_ref());
    let output =
        checked!(PutObjectOutput { e_tag: Some(etag(&meta.etag)), checksum_type: kind }, meta.checksum.as_ref());
    Ok(output)
}

/// Opens an object.
async fn open(bucket: Arc<Objects>, key: String) -> S3Result<Stored> {
    blocking(move || bucket.read(&key).map_err(disk)?.ok_or_else(no_key)).await
}

/// The conditions of a read, in the order that HTTP gives them.
struct Wanted<'a> {
    if_match: Option<&'a ETagCondition>,
    if_none_match: Option<&'a ETagCondition>,
    if_modified_since: Option<&'a Timestamp>,
    if_unmodified_since: Option<&'a Timestamp>,
}

impl Wanted<'_> {
    fn check(&self, meta: &Meta) -> S3Result<()> {
        let modified = seconds(&time(meta.modified_ms));
        let holds = |wanted: Vec<bucket::Condition>| {
            wanted.iter().all(|condition| bucket::judge(condition, Some(&meta.etag)).is_ok())
        };
        if !holds(conditions(self.if_match, None)) {
            return Err(refused(Refusal::Precondition));
        }
        if self.if_match.is_none() && self.if_unmodified_since.is_some_and(|since| modified > seconds(since)) {
            return Err(refused(Refusal::Precondition));
        }
        let unmodified = self.if_none_match.is_none() && self.if_modified_since.is_some_and(|s| modified <= seconds(s));
        if unmodified || !holds(conditions(None, self.if_none_match)) {
            return Err(s3_error!(NotModified, "Not Modified"));
        }
        Ok(())
    }
}

/// The bytes that a read covers, and its Content-Range when it asked for a part.
fn cover(range: Option<Range>, size: u64) -> S3Result<(std::ops::Range<u64>, Option<String>)> {
    let Some(range) = range else { return Ok((0..size, None)) };
    let covered = range.check(size).ok().filter(|covered| !covered.is_empty());
    let covered = covered.ok_or_else(|| s3_error!(InvalidRange, "The requested range is not satisfiable"))?;
    let header = format!("bytes {}-{}/{size}", covered.start, covered.end - 1);
    Ok((covered, Some(header)))
}

/// An object's checksum, when the client asked for it and reads the whole.
fn asked<'a>(mode: Option<&ChecksumMode>, part: Option<&String>, meta: &'a Meta) -> Option<&'a Checksum> {
    let enabled = mode.is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED);
    meta.checksum.as_ref().filter(|_| enabled && part.is_none())
}

fn mime(meta: &Meta) -> Option<ContentType> {
    meta.content_type.as_deref().unwrap_or(UNTYPED).parse().ok()
}

fn user(meta: &Meta) -> Option<Metadata> {
    (!meta.user.is_empty()).then(|| meta.user.clone().into_iter().collect())
}

pub(super) async fn get_object(api: &Api, request: S3Request<GetObjectInput>) -> S3Result<GetObjectOutput> {
    let input = request.input;
    let object = open(api.bucket(&input.bucket)?, input.key).await?;
    let meta = object.meta;
    let wanted = Wanted {
        if_match: input.if_match.as_ref(),
        if_none_match: input.if_none_match.as_ref(),
        if_modified_since: input.if_modified_since.as_ref(),
        if_unmodified_since: input.if_unmodified_since.as_ref(),
    };
    wanted.check(&meta)?;
    let (covered, content_range) = cover(input.range, meta.size)?;
    let length = covered.end - covered.start;
    let body = match object.small {
        // A small object's bytes are all here, so its length fits.
        Some(small) => StreamingBlob::from(Body::from(small.slice(covered.start as usize..covered.end as usize))),
        None => {
            let mut file = tokio::fs::File::from_std(object.file);
            file.seek(std::io::SeekFrom::Start(covered.start)).await.map_err(disk)?;
            StreamingBlob::wrap(tokio_util::io::ReaderStream::with_capacity(file.take(length), READ))
        }
    };
    let checksum = asked(input.checksum_mode.as_ref(), content_range.as_ref(), &meta);
    let output = checked!(
        GetObjectOutput {
            body: Some(body),
            content_length: i64::try_from(length).ok(),
            accept_ranges: Some("bytes".to_owned()),
            e_tag: Some(etag(&meta.etag)),
            last_modified: Some(time(meta.modified_ms)),
            content_type: mime(&meta),
            metadata: user(&meta),
            content_encoding: meta.content_encoding.clone(),
            content_disposition: meta.content_disposition.clone(),
            content_language: meta.content_language.clone(),
            cache_control: meta.cache_control.clone(),
            checksum_type: convert::checksum_type(checksum),
            content_range,
        },
        checksum
    );
    Ok(output)
}

pub(super) async fn head_object(api: &Api, request: S3Request<HeadObjectInput>) -> S3Result<HeadObjectOutput> {
    let input = request.input;
    let meta = open(api.bucket(&input.bucket)?, input.key).await?.meta;
    let wanted = Wanted {
        if_match: input.if_match.as_ref(),
        if_none_match: input.if_none_match.as_ref(),
        if_modified_since: input.if_modified_since.as_ref(),
        if_unmodified_since: input.if_unmodified_since.as_ref(),
    };
    wanted.check(&meta)?;
    let (covered, content_range) = cover(input.range, meta.size)?;
    let checksum = asked(input.checksum_mode.as_ref(), content_range.as_ref(), &meta);
    let output = checked!(
        HeadObjectOutput {
            content_length: i64::try_from(covered.end - covered.start).ok(),
            accept_ranges: Some("bytes".to_owned()),
            e_tag: Some(etag(&meta.etag)),
            last_modified: Some(time(meta.modified_ms)),
            content_type: mime(&meta),
            metadata: user(&meta),
            content_encoding: meta.content_encoding.clone(),
            content_disposition: meta.content_disposition.clone(),
            content_language: meta.content_language.clone(),
            cache_control: meta.cache_control.clone(),
            checksum_type: convert::checksum_type(checksum),
            content_range,
        },
        checksum
    );
    Ok(output)
}

pub(super) async fn delete_object(api: &Api, request: S3Request<DeleteObjectInput>) -> S3Result<DeleteObjectOutput> {
    let input = request.input;
    let bucket = api.bucket(&input.bucket)?;
    let wanted = conditions(input.if_match.as_ref(), None);
    blocking(move || bucket.delete(&input.key, &wanted).map_err(refused)).await?;
    Ok(DeleteObjectOutput::default())
}

pub(super) async fn delete_objects(api: &Api, request: S3Request<DeleteObjectsInput>) -> S3Result<DeleteObjectsOutput> {
    let (bucket, delete) = (api.bucket(&request.input.bucket)?, request.input.delete);
    if delete.objects.len() > 1000 {
        return Err(s3_error!(MalformedXML, "a request may delete at most 1000 keys"));
    }
    blocking(move || {
        let (mut deleted, mut errors) = (Vec::new(), Vec::new());
        for ObjectIdentifier { key, .. } in delete.objects {
            match bucket.delete(&key, &[]).map_err(refused) {
                Ok(_) => deleted.push(DeletedObject { key: Some(key), ..DeletedObject::default() }),
                Err(error) => errors.push(Error {
                    key: Some(key),
                    code: Some(error.code().as_str().to_owned()),
                    message: error.message().map(str::to_owned),
                    version_id: None,
                }),
            }
        }
        let deleted = (delete.quiet != Some(true)).then_some(deleted);
        Ok(DeleteObjectsOutput { deleted, errors: Some(errors), ..DeleteObjectsOutput::default() })
    })
    .await
}

/// The bucket and key that a copy reads.
pub(super) fn source(source: &CopySource) -> S3Result<(String, String)> {
    match source {
        CopySource::Bucket { bucket, key, .. } => Ok((bucket.to_string(), key.to_string())),
        _ => Err(s3_error!(NotImplemented, "copies are made from buckets only")),
    }
}

pub(super) async fn copy_object(api: &Api, request: S3Request<CopyObjectInput>) -> S3Result<CopyObjectOutput> {
    let input = request.input;
    let (from, from_key) = source(&input.copy_source)?;
    let (from, to) = (api.bucket(&from)?, api.bucket(&input.bucket)?);
    let object = open(from, from_key).and_then(|object| async {
        let wanted = Wanted {
            if_match: input.copy_source_if_match.as_ref(),
            if_none_match: input.copy_source_if_none_match.as_ref(),
            if_modified_since: input.copy_source_if_modified_since.as_ref(),
            if_unmodified_since: input.copy_source_if_unmodified_since.as_ref(),
        };
        // Of a copy, whatever does not hold is a failed precondition.
        wanted.check(&object.meta).map_err(|_| refused(Refusal::Precondition)).map(|()| object)
    });
    let object = object.await?;
    let replace = input.metadata_directive.as_ref().is_some_and(|d| d.as_str() == MetadataDirective::REPLACE);
    let (key, mut meta) = (input.key, if replace { said!(input) } else { object.meta.clone() });
    let algorithm = object.meta.checksum.as_ref().map(|(algorithm, _)| *algorithm);
    let meta = blocking(move || {
        let mut draft = Draft::new(to.draft_path(), algorithm);
        copy(&object, 0..object.meta.size, &mut draft).map_err(disk)?;
        let (md5, checksum, closed) = draft.close();
        (meta.etag, meta.checksum) = (hex(&md5), checksum);
        to.commit(&key, closed, &mut meta, &[]).map_err(refused)?;
        Ok(meta)
    })
    .await?;
    let result = checked!(
        CopyObjectResult { e_tag: Some(etag(&meta.etag)), last_modified: Some(time(meta.modified_ms)) },
        meta.checksum.as_ref()
    );
    Ok(CopyObjectOutput { copy_object_result: Some(result), ..CopyObjectOutput::default() })
}
