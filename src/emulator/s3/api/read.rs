//! Reading objects.

use std::sync::Arc;

use axum::http::header::{CONTENT_RANGE, ETAG, EXPIRES, LAST_MODIFIED};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use s3s::dto::*;
use s3s::{Body, S3Error, S3Request, S3Response, S3Result, s3_error};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::super::bucket::{self, Bucket as Objects, Refusal};
use super::super::digest::Checksum as Sum;
use super::super::intake::blocking;
use super::super::object::{Meta, Object as Stored};
use super::Api;
use super::convert::{
    checked, checksum_type, coded, conditions, disk, etag, no_key, page_size, refused, seconds, sums, time,
};

/// What AWS calls an object of unknown type.
const UNTYPED: &str = "binary/octet-stream";

/// Bytes read from disk at a time for an answer.
const READ: usize = 256 * 1024;

/// Opens an object.
pub(super) async fn open(bucket: Arc<Objects>, key: String) -> S3Result<Stored> {
    blocking(move || bucket.read(&key).map_err(disk)?.ok_or_else(no_key)).await
}

/// The conditions of a read, in the order that HTTP gives them.
pub(super) struct Wanted<'a> {
    pub(super) if_match: Option<&'a ETagCondition>,
    pub(super) if_none_match: Option<&'a ETagCondition>,
    pub(super) if_modified_since: Option<&'a Timestamp>,
    pub(super) if_unmodified_since: Option<&'a Timestamp>,
}

impl Wanted<'_> {
    pub(super) fn check(&self, meta: &Meta) -> S3Result<()> {
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
            return Err(not_modified(meta));
        }
        Ok(())
    }
}

/// Says that what the client has is what there is.
fn not_modified(meta: &Meta) -> S3Error {
    let mut error = s3_error!(NotModified, "Not Modified");
    let mut headers = HeaderMap::new();
    put(&mut headers, ETAG, &format!("\"{}\"", meta.etag));
    let mut date = Vec::new();
    if time(meta.modified_ms).format(TimestampFormat::HttpDate, &mut date).is_ok() {
        put(&mut headers, LAST_MODIFIED, &String::from_utf8_lossy(&date));
    }
    error.set_headers(headers);
    error
}

/// Adds a header whose value a client once sent, unless it cannot be one.
fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
        headers.insert(name, value);
    }
}

/// What a read covers: its bytes, its Content-Range when that is not all, and the number of the part asked for.
struct Cover {
    bytes: std::ops::Range<u64>,
    range: Option<String>,
}

impl Cover {
    fn of(range: Option<Range>, part: Option<i32>, meta: &Meta) -> S3Result<Self> {
        let size = meta.size;
        let bytes = match (range, part) {
            (None, None) => return Ok(Cover { bytes: 0..size, range: None }),
            (Some(_), Some(_)) => {
                return Err(s3_error!(
                    InvalidRequest,
                    "Cannot specify both Range header and partNumber query parameter"
                ));
            }
            (Some(range), None) => range.check(size).ok().filter(|bytes| !bytes.is_empty()),
            (None, Some(number)) => Some(part_bytes(number, meta)?),
        };
        let Some(bytes) = bytes else {
            let mut error = s3_error!(InvalidRange, "The requested range is not satisfiable");
            let mut headers = HeaderMap::new();
            put(&mut headers, CONTENT_RANGE, &format!("bytes */{size}"));
            error.set_headers(headers);
            return Err(error);
        };
        let range = (!bytes.is_empty()).then(|| format!("bytes {}-{}/{size}", bytes.start, bytes.end - 1));
        Ok(Cover { bytes, range })
    }

    fn length(&self) -> u64 {
        self.bytes.end - self.bytes.start
    }
}

/// Where part `number` of an object is. One that was not put together from parts is one.
fn part_bytes(number: i32, meta: &Meta) -> S3Result<std::ops::Range<u64>> {
    let none =
        || coded("InvalidPartNumber", StatusCode::RANGE_NOT_SATISFIABLE, "The requested partnumber is not satisfiable");
    let at = usize::try_from(number).ok().and_then(|number| number.checked_sub(1)).ok_or_else(none)?;
    if meta.parts.is_empty() {
        return if at == 0 { Ok(0..meta.size) } else { Err(none()) };
    }
    let part = meta.parts.get(at).ok_or_else(none)?;
    let start = meta.parts[..at].iter().map(|part| part.size).sum();
    Ok(start..start + part.size)
}

/// An object's checksum, when the client asked for it and reads the whole, or that of the part it reads.
fn asked(mode: Option<&ChecksumMode>, range: Option<Range>, part: Option<i32>, meta: &Meta) -> Option<Sum> {
    let enabled = mode.is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED);
    let whole = meta.checksum.as_ref().filter(|_| enabled && range.is_none())?;
    match part.and_then(|number| meta.parts.get(usize::try_from(number).ok()?.checked_sub(1)?)) {
        Some(part) => part.checksum.clone().map(|value| (whole.0, value)),
        None => Some(whole.clone()),
    }
}

/// Headers that the API's shapes cannot say, or not as the client said them.
fn headers(meta: &Meta) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(expires) = &meta.expires {
        put(&mut headers, EXPIRES, expires);
    }
    if !meta.tags.is_empty() {
        put(&mut headers, HeaderName::from_static("x-amz-tagging-count"), &meta.tags.len().to_string());
    }
    headers
}

/// The output of a read but for its body, which HeadObject's has not.
macro_rules! described {
    ($output:ident, $input:expr, $meta:expr, $cover:expr) => {{
        let checksum = asked($input.checksum_mode.as_ref(), $input.range, $input.part_number, $meta);
        let parts = i32::try_from($meta.parts.len()).ok().filter(|count| *count > 0 && $input.part_number.is_some());
        checked!(
            $output {
                content_length: i64::try_from($cover.length()).ok(),
                accept_ranges: Some("bytes".to_owned()),
                e_tag: Some(etag(&$meta.etag)),
                last_modified: Some(time($meta.modified_ms)),
                content_type: Some($meta.content_type.clone().unwrap_or_else(|| UNTYPED.to_owned())),
                metadata: user($meta),
                content_encoding: $meta.content_encoding.clone(),
                content_disposition: $meta.content_disposition.clone(),
                content_language: $meta.content_language.clone(),
                cache_control: $meta.cache_control.clone(),
                website_redirect_location: $meta.redirect.clone(),
                storage_class: $meta.class.clone().map(StorageClass::from),
                checksum_type: checksum_type(checksum.as_ref(), $meta.composite),
                content_range: $cover.range.clone(),
                parts_count: parts,
            },
            checksum.as_ref()
        )
    }};
}

fn user(meta: &Meta) -> Option<Metadata> {
    (!meta.user.is_empty()).then(|| meta.user.clone().into_iter().collect())
}

pub(super) async fn get_object(api: &Api, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
    let input = request.input;
    let object = open(api.bucket(&input.bucket)?, input.key).await?;
    let meta = &object.meta;
    let wanted = Wanted {
        if_match: input.if_match.as_ref(),
        if_none_match: input.if_none_match.as_ref(),
        if_modified_since: input.if_modified_since.as_ref(),
        if_unmodified_since: input.if_unmodified_since.as_ref(),
    };
    wanted.check(meta)?;
    let cover = Cover::of(input.range, input.part_number, meta)?;
    let mut output = described!(GetObjectOutput, input, meta, cover);
    let mut headers = headers(meta);
    if input.response_expires.is_some() {
        headers.remove(EXPIRES);
    }
    // The bytes of a small object are all here, so its length fits.
    let Cover { bytes, .. } = cover;
    output.body = Some(match object.small {
        Some(small) => StreamingBlob::from(Body::from(small.slice(bytes.start as usize..bytes.end as usize))),
        None => {
            let mut file = tokio::fs::File::from_std(object.file);
            file.seek(std::io::SeekFrom::Start(bytes.start)).await.map_err(disk)?;
            let rest = file.take(bytes.end - bytes.start);
            StreamingBlob::wrap(tokio_util::io::ReaderStream::with_capacity(rest, READ))
        }
    });
    Ok(S3Response::with_headers(output, headers))
}

pub(super) async fn head_object(
    api: &Api,
    request: S3Request<HeadObjectInput>,
) -> S3Result<S3Response<HeadObjectOutput>> {
    let input = request.input;
    let meta = open(api.bucket(&input.bucket)?, input.key).await?.meta;
    let meta = &meta;
    let wanted = Wanted {
        if_match: input.if_match.as_ref(),
        if_none_match: input.if_none_match.as_ref(),
        if_modified_since: input.if_modified_since.as_ref(),
        if_unmodified_since: input.if_unmodified_since.as_ref(),
    };
    wanted.check(meta)?;
    let cover = Cover::of(input.range, input.part_number, meta)?;
    let output = described!(HeadObjectOutput, input, meta, cover);
    Ok(S3Response::with_headers(output, headers(meta)))
}

pub(super) async fn get_object_attributes(
    api: &Api,
    request: S3Request<GetObjectAttributesInput>,
) -> S3Result<GetObjectAttributesOutput> {
    let input = request.input;
    let meta = open(api.bucket(&input.bucket)?, input.key).await?.meta;
    // The names come one a header, or with commas between them.
    let names: Vec<&str> =
        input.object_attributes.iter().flat_map(|one| one.as_str().split(',')).map(str::trim).collect();
    let wants = |name: &str| names.contains(&name);
    if names.iter().all(|name| name.is_empty()) {
        return Err(s3_error!(InvalidArgument, "x-amz-object-attributes names nothing"));
    }
    let checksum = meta.checksum.as_ref().filter(|_| wants("Checksum")).map(|checksum| Checksum {
        checksum_type: checksum_type(Some(checksum), meta.composite),
        ..sums(Some(checksum))
    });
    let parts = match wants("ObjectParts") && !meta.parts.is_empty() {
        true => Some(parts(&meta, input.max_parts, input.part_number_marker)?),
        false => None,
    };
    let class = || StorageClass::from(meta.class.clone().unwrap_or_else(|| StorageClass::STANDARD.to_owned()));
    Ok(GetObjectAttributesOutput {
        // S3 writes this one without quotes, the shape with them; clients take either.
        e_tag: wants("ETag").then(|| etag(&meta.etag)),
        checksum,
        object_parts: parts,
        object_size: wants("ObjectSize").then(|| i64::try_from(meta.size).unwrap_or(i64::MAX)),
        storage_class: wants("StorageClass").then(class),
        last_modified: Some(time(meta.modified_ms)),
        ..GetObjectAttributesOutput::default()
    })
}

/// A page of an object's parts. S3 lists them only when they have checksums of the object's kind.
fn parts(meta: &Meta, most: Option<i32>, marker: Option<i32>) -> S3Result<GetObjectAttributesParts> {
    let (most, marker) = (page_size(most)?, marker.unwrap_or(0));
    let numbered = || meta.parts.iter().zip(1..).filter(|(_, number)| *number > marker);
    let page: Vec<ObjectPart> = numbered()
        .take(most)
        .map(|(part, number)| {
            let checksum = meta.checksum.as_ref().zip(part.checksum.clone()).map(|((of, _), value)| (*of, value));
            let size = i64::try_from(part.size).ok();
            checked!(ObjectPart { part_number: Some(number), size }, checksum.as_ref())
        })
        .collect();
    let more = numbered().count() > page.len();
    Ok(GetObjectAttributesParts {
        is_truncated: Some(more),
        max_parts: i32::try_from(most).ok(),
        next_part_number_marker: page.last().and_then(|part| part.part_number),
        part_number_marker: Some(marker),
        total_parts_count: i32::try_from(meta.parts.len()).ok(),
        parts: meta.composite.then_some(page),
    })
}
