//! Multipart uploads.

use std::sync::Arc;

use s3s::dto::*;
use s3s::{S3Request, S3Result, s3_error};

use super::super::bucket::{Bucket as Objects, now_ms};
use super::super::digest::Algorithm;
use super::super::intake::{Intake, Stored, blocking};
use super::super::object::{Draft, Meta};
use super::super::upload::{self, Begun};
use super::Api;
use super::convert::{self, checked, conditions, disk, etag, incomplete, no_key, no_upload, page_size, refused, time};
use super::objects::{said, source};

/// The highest number of a part.
const PARTS: i32 = 10_000;

pub(super) async fn create_multipart_upload(
    api: &Api,
    request: S3Request<CreateMultipartUploadInput>,
) -> S3Result<CreateMultipartUploadOutput> {
    let input = request.input;
    let bucket = api.bucket(&input.bucket)?;
    bucket.writable().map_err(refused)?;
    let (name, key, checksum_algorithm) = (input.bucket, input.key, input.checksum_algorithm);
    let algorithm = checksum_algorithm.as_ref().and_then(|given| Algorithm::named(given.as_str()));
    let begun = Begun { key: key.clone(), initiated_ms: now_ms(), algorithm, meta: said!(input) };
    let upload_id = Some(blocking(move || upload::begin(&bucket, &begun).map_err(disk)).await?);
    let (bucket, key) = (Some(name), Some(key));
    Ok(CreateMultipartUploadOutput { bucket, key, upload_id, checksum_algorithm, ..Default::default() })
}

/// The upload to a key, if it is under way.
async fn under_way(bucket: &Arc<Objects>, key: &str, id: &str) -> S3Result<Begun> {
    let (bucket, key, id) = (Arc::clone(bucket), key.to_owned(), id.to_owned());
    blocking(move || upload::find(&bucket, &key, &id).map_err(disk)?.ok_or_else(no_upload)).await
}

fn check_number(number: i32) -> S3Result<()> {
    match number {
        1..=PARTS => Ok(()),
        _ => Err(s3_error!(InvalidArgument, "the part number is {number}; expected 1 to {PARTS}")),
    }
}

pub(super) async fn upload_part(api: &Api, request: S3Request<UploadPartInput>) -> S3Result<UploadPartOutput> {
    let input = request.input;
    let bucket = api.bucket(&input.bucket)?;
    check_number(input.part_number)?;
    under_way(&bucket, &input.key, &input.upload_id).await?;
    let intake = Intake::receive(input.body, &request.headers, &request.extensions, bucket.draft_path()).await?;
    let meta = blocking(move || {
        upload::keep_part(&bucket, &input.upload_id, input.part_number, intake.store()?).map_err(incomplete)
    });
    let meta = meta.await?;
    Ok(checked!(UploadPartOutput { e_tag: Some(etag(&meta.etag)) }, meta.checksum.as_ref()))
}

pub(super) async fn upload_part_copy(
    api: &Api,
    request: S3Request<UploadPartCopyInput>,
) -> S3Result<UploadPartCopyOutput> {
    let input = request.input;
    let (from, from_key) = source(&input.copy_source)?;
    let (from, to) = (api.bucket(&from)?, api.bucket(&input.bucket)?);
    check_number(input.part_number)?;
    let begun = under_way(&to, &input.key, &input.upload_id).await?;
    let bad =
        |range: &str| s3_error!(InvalidArgument, "x-amz-copy-source-range is {range:?}; expected bytes=first-last");
    let range = input.copy_source_range.as_deref().map(|text| Range::parse(text).map_err(|_| bad(text))).transpose()?;
    let meta = blocking(move || {
        let object = from.read(&from_key).map_err(disk)?.ok_or_else(no_key)?;
        let size = object.meta.size;
        let covered = range.map_or(Ok(0..size), |range| range.check(size))?;
        let mut draft = Draft::new(to.draft_path(), begun.algorithm);
        upload::copy(&object, covered, &mut draft).map_err(disk)?;
        let (md5, checksum, closed) = draft.close();
        upload::keep_part(&to, &input.upload_id, input.part_number, Stored { md5, checksum, closed })
            .map_err(incomplete)
    })
    .await?;
    let result = checked!(
        CopyPartResult { e_tag: Some(etag(&meta.etag)), last_modified: Some(time(meta.modified_ms)) },
        meta.checksum.as_ref()
    );
    Ok(UploadPartCopyOutput { copy_part_result: Some(result), ..UploadPartCopyOutput::default() })
}

pub(super) async fn complete_multipart_upload(
    api: &Api,
    request: S3Request<CompleteMultipartUploadInput>,
) -> S3Result<CompleteMultipartUploadOutput> {
    let input = request.input;
    let bucket = api.bucket(&input.bucket)?;
    let begun = under_way(&bucket, &input.key, &input.upload_id).await?;
    let wanted = conditions(input.if_match.as_ref(), input.if_none_match.as_ref());
    let named = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
    let no_number = || s3_error!(MalformedXML, "a part has no number");
    let parts = named
        .into_iter()
        .map(|part| Ok((part.part_number.ok_or_else(no_number)?, part.e_tag.map(|etag| etag.value().to_owned()))));
    let parts = parts.collect::<S3Result<Vec<_>>>()?;
    if parts.is_empty() {
        return Err(s3_error!(MalformedXML, "an upload needs at least one part"));
    }
    let id = input.upload_id;
    let meta = blocking(move || upload::complete(&bucket, begun, &id, &parts, &wanted).map_err(incomplete)).await?;
    let output = checked!(
        CompleteMultipartUploadOutput {
            location: Some(format!("/{}/{}", input.bucket, convert::url_encode(&input.key))),
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(etag(&meta.etag)),
            checksum_type: convert::checksum_type(meta.checksum.as_ref()),
        },
        meta.checksum.as_ref()
    );
    Ok(output)
}

pub(super) async fn abort_multipart_upload(
    api: &Api,
    request: S3Request<AbortMultipartUploadInput>,
) -> S3Result<AbortMultipartUploadOutput> {
    let input = request.input;
    let bucket = api.bucket(&input.bucket)?;
    bucket.writable().map_err(refused)?;
    under_way(&bucket, &input.key, &input.upload_id).await?;
    let found = blocking(move || upload::abort(&bucket, &input.upload_id).map_err(disk)).await?;
    if found { Ok(AbortMultipartUploadOutput::default()) } else { Err(no_upload()) }
}

pub(super) async fn list_parts(api: &Api, request: S3Request<ListPartsInput>) -> S3Result<ListPartsOutput> {
    let input = request.input;
    let bucket = api.bucket(&input.bucket)?;
    under_way(&bucket, &input.key, &input.upload_id).await?;
    let (max, after) = (page_size(input.max_parts)?, input.part_number_marker.unwrap_or(0));
    let id = input.upload_id.clone();
    let all = blocking(move || upload::parts(&bucket, &id).map_err(incomplete)).await?;
    let mut rest = all.range(after.saturating_add(1)..);
    let parts: Vec<Part> = rest.by_ref().take(max).map(|(number, meta)| part(*number, meta)).collect();
    let more = rest.next().is_some();
    Ok(ListPartsOutput {
        next_part_number_marker: parts.last().and_then(|part| part.part_number).filter(|_| more),
        is_truncated: Some(more),
        parts: Some(parts),
        max_parts: i32::try_from(max).ok(),
        part_number_marker: input.part_number_marker,
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(input.upload_id),
        ..ListPartsOutput::default()
    })
}

fn part(number: i32, meta: &Meta) -> Part {
    checked!(
        Part {
            part_number: Some(number),
            size: i64::try_from(meta.size).ok(),
            e_tag: Some(etag(&meta.etag)),
            last_modified: Some(time(meta.modified_ms)),
        },
        meta.checksum.as_ref()
    )
}

/// All uploads of a bucket in one page: there are never many.
pub(super) async fn list_multipart_uploads(
    api: &Api,
    request: S3Request<ListMultipartUploadsInput>,
) -> S3Result<ListMultipartUploadsOutput> {
    let input = request.input;
    let bucket = api.bucket(&input.bucket)?;
    let prefix = input.prefix.clone().unwrap_or_default();
    let all = blocking(move || upload::all(&bucket).map_err(disk)).await?;
    let uploads = all.into_iter().filter(|((key, _), _)| key.starts_with(&prefix)).map(|((key, id), begun)| {
        let initiated = Some(time(begun.initiated_ms));
        MultipartUpload { key: Some(key), upload_id: Some(id), initiated, ..MultipartUpload::default() }
    });
    let uploads = Some(uploads.collect());
    let (bucket, prefix) = (Some(input.bucket), input.prefix);
    Ok(ListMultipartUploadsOutput { bucket, prefix, uploads, is_truncated: Some(false), ..Default::default() })
}
