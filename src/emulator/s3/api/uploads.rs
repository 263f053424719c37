//! Multipart uploads.

use std::sync::Arc;

use s3s::dto::*;
use s3s::{S3Request, S3Result, s3_error};

use super::super::bucket::{Bucket as Objects, now_ms};
use super::super::digest::Algorithm;
use super::super::intake::{Intake, Stored, blocking};
use super::super::listing::{self, After, Keys, Line, Query};
use super::super::object::{Draft, Meta};
use super::super::upload::{self, Begun, Completion, Wanted};
use super::Api;
use super::convert::{
    self, checked, checksum_type, claimed, disk, etag, incomplete, no_key, no_upload, page_size, refused, time,
    write_conditions,
};
use super::listings::Writer;
use super::objects::{check_source, said, source};

/// The highest number of a part.
const PARTS: i32 = 10_000;

/// Whether the object's checksum is to be made of those of the parts.
fn is_composite(algorithm: Option<Algorithm>, kind: Option<&ChecksumType>) -> S3Result<bool> {
    let kind = kind.map(ChecksumType::as_str);
    let refuse = |why: &str| Err(s3_error!(InvalidRequest, "{why}"));
    match (algorithm, kind) {
        (None, None) => Ok(false),
        (None, Some(_)) => refuse("x-amz-checksum-type needs x-amz-checksum-algorithm"),
        (Some(algorithm), None) => Ok(algorithm.is_composite_by_default()),
        (Some(Algorithm::Crc64nvme), Some(ChecksumType::COMPOSITE)) => {
            refuse("The COMPOSITE checksum type cannot be used with the crc64nvme checksum algorithm.")
        }
        (Some(Algorithm::Sha1 | Algorithm::Sha256), Some(ChecksumType::FULL_OBJECT)) => {
            refuse("The FULL_OBJECT checksum type cannot be used with the sha1 and sha256 checksum algorithms.")
        }
        (Some(_), Some(ChecksumType::COMPOSITE)) => Ok(true),
        (Some(_), Some(ChecksumType::FULL_OBJECT)) => Ok(false),
        (Some(_), Some(_)) => refuse("x-amz-checksum-type is neither COMPOSITE nor FULL_OBJECT"),
    }
}

pub(super) async fn create_multipart_upload(
    api: &Api,
    request: S3Request<CreateMultipartUploadInput>,
) -> S3Result<CreateMultipartUploadOutput> {
    let mut input = request.input;
    let bucket = api.bucket(&input.bucket)?;
    bucket.writable().map_err(refused)?;
    let meta = said!(input, &request.headers);
    let (name, key, checksum_algorithm) = (input.bucket, input.key, input.checksum_algorithm);
    let unknown = |name: &str| s3_error!(InvalidRequest, "x-amz-checksum-algorithm is {name:?}, which is none");
    let named = |given: &ChecksumAlgorithm| Algorithm::named(given.as_str()).ok_or_else(|| unknown(given.as_str()));
    let algorithm = checksum_algorithm.as_ref().map(named).transpose()?;
    let composite = is_composite(algorithm, input.checksum_type.as_ref())?;
    let begun = Begun { key: key.clone(), initiated_ms: now_ms(), algorithm, composite, meta };
    let upload_id = Some(blocking(move || upload::begin(&bucket, &begun).map_err(disk)).await?);
    Ok(CreateMultipartUploadOutput {
        bucket: Some(name),
        key: Some(key),
        upload_id,
        checksum_type: checksum_type(algorithm.as_ref(), composite),
        checksum_algorithm,
        ..Default::default()
    })
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
    bucket.writable().map_err(refused)?;
    let begun = under_way(&bucket, &input.key, &input.upload_id).await?;
    let (body, draft) = (input.body, bucket.draft_path());
    let intake = Intake::receive(body, &request.headers, &request.extensions, draft, begun.algorithm).await?;
    if let (Some(begun), Some(given)) = (begun.algorithm, intake.algorithm().filter(|a| begun.algorithm != Some(*a))) {
        let (begun, given) = (begun.name().to_lowercase(), given.name().to_lowercase());
        let why = format!("expected checksum Type: {begun}, actual checksum Type: {given}");
        return Err(s3_error!(InvalidRequest, "Checksum Type mismatch occurred, {why}"));
    }
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
        check_source!(input, &object.meta)?;
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

/// The parts that a completion names.
fn named(upload: Option<CompletedMultipartUpload>) -> S3Result<Vec<Wanted>> {
    let no_number = || s3_error!(MalformedXML, "a part has no number");
    let parts = upload.and_then(|upload| upload.parts).unwrap_or_default();
    if parts.is_empty() {
        return Err(s3_error!(MalformedXML, "an upload needs at least one part"));
    }
    let wanted = parts.into_iter().map(|mut part| {
        let number = part.part_number.ok_or_else(no_number)?;
        check_number(number)?;
        let etag = part.e_tag.take().map(|etag| etag.value().to_owned());
        Ok(Wanted { number, etag, checksum: claimed!(part) })
    });
    wanted.collect()
}

pub(super) async fn complete_multipart_upload(
    api: &Api,
    request: S3Request<CompleteMultipartUploadInput>,
) -> S3Result<CompleteMultipartUploadOutput> {
    let mut input = request.input;
    let bucket = api.bucket(&input.bucket)?;
    bucket.writable().map_err(refused)?;
    let begun = under_way(&bucket, &input.key, &input.upload_id).await?;
    let parts = named(input.multipart_upload.take())?;
    if input.checksum_type.is_some() && input.checksum_type != checksum_type(begun.algorithm.as_ref(), begun.composite)
    {
        return Err(s3_error!(InvalidRequest, "x-amz-checksum-type is not what the upload was begun with"));
    }
    let completion = Completion {
        parts,
        checksum: claimed!(input),
        size: input.mpu_object_size.and_then(|size| u64::try_from(size).ok()),
        conditions: write_conditions(input.if_match.as_ref(), input.if_none_match.as_ref())?,
    };
    let id = input.upload_id;
    let meta = blocking(move || upload::complete(&bucket, begun, &id, &completion).map_err(incomplete)).await?;
    let output = checked!(
        CompleteMultipartUploadOutput {
            location: Some(format!("/{}/{}", input.bucket, convert::url_encode(&input.key))),
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(etag(&meta.etag)),
            checksum_type: checksum_type(meta.checksum.as_ref(), meta.composite),
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
    let begun = under_way(&bucket, &input.key, &input.upload_id).await?;
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
        checksum_algorithm: begun.algorithm.map(|a| ChecksumAlgorithm::from_static(a.name())),
        checksum_type: checksum_type(begun.algorithm.as_ref(), begun.composite),
        storage_class: Some(StorageClass::from(begun.meta.class.unwrap_or_else(|| StorageClass::STANDARD.to_owned()))),
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

/// An upload as a key of its own, so that the pages of a listing serve here too: its key and, behind a character that
/// sorts below all others, its id in characters that are no delimiter.
fn row(key: &str, id: &str) -> String {
    let digits = id.chars().filter_map(|digit| digit.to_digit(16)).filter_map(|digit| char::from_u32(digit + 1));
    key.chars().chain(['\0']).chain(digits).collect()
}

/// A page of the uploads under way.
pub(super) async fn list_multipart_uploads(
    api: &Api,
    request: S3Request<ListMultipartUploadsInput>,
) -> S3Result<ListMultipartUploadsOutput> {
    let input = request.input;
    let bucket = api.bucket(&input.bucket)?;
    let writer = Writer::new(input.encoding_type.as_ref())?;
    let all = blocking(move || upload::all(&bucket).map_err(disk)).await?;
    let keys: Keys<_> = all.into_iter().map(|((key, id), begun)| (row(&key, &id).into(), (id, begun))).collect();
    let max = page_size(input.max_uploads)?;
    let after = match (input.key_marker.as_deref().filter(|key| !key.is_empty()), input.upload_id_marker.as_deref()) {
        (None, _) => None,
        (Some(key), Some(id)) if !id.is_empty() => Some(After::Key(row(key, id))),
        // Without an id, behind all uploads to the key; a key that is a common prefix hides what it begins.
        (Some(key), _) => Some(match input.delimiter.as_deref().is_some_and(|d| !d.is_empty() && key.ends_with(d)) {
            true => After::Prefix(key.to_owned()),
            false => After::Prefix(row(key, "")),
        }),
    };
    let prefix = input.prefix.clone().unwrap_or_default();
    let query = Query { prefix, delimiter: input.delimiter.clone(), after, max };
    let page = listing::take(&keys, &query);
    let (mut uploads, mut prefixes) = (Vec::new(), Vec::new());
    for line in page.lines {
        match line {
            Line::Prefix(prefix) => prefixes.push(CommonPrefix { prefix: Some(writer.text(&prefix)) }),
            Line::Object(_, (id, begun)) => uploads.push(upload_line(writer, id, begun)),
        }
    }
    let (next_key, next_id) = match page.next {
        None => (None, None),
        Some(After::Prefix(prefix)) => (Some(writer.text(&prefix)), None),
        Some(After::Key(_)) => {
            uploads.last().map(|last| (last.key.clone(), last.upload_id.clone())).unwrap_or_default()
        }
    };
    Ok(ListMultipartUploadsOutput {
        bucket: Some(input.bucket),
        prefix: input.prefix.map(|text| writer.text(&text)),
        delimiter: input.delimiter.map(|text| writer.text(&text)),
        key_marker: input.key_marker.map(|text| writer.text(&text)),
        upload_id_marker: input.upload_id_marker,
        encoding_type: input.encoding_type,
        max_uploads: i32::try_from(max).ok(),
        is_truncated: Some(next_key.is_some()),
        next_key_marker: next_key,
        next_upload_id_marker: next_id,
        uploads: Some(uploads),
        common_prefixes: Some(prefixes),
        ..Default::default()
    })
}

fn upload_line(writer: Writer, id: String, begun: Begun) -> MultipartUpload {
    MultipartUpload {
        key: Some(writer.text(&begun.key)),
        upload_id: Some(id),
        initiated: Some(time(begun.initiated_ms)),
        checksum_algorithm: begun.algorithm.map(|a| ChecksumAlgorithm::from_static(a.name())),
        checksum_type: checksum_type(begun.algorithm.as_ref(), begun.composite),
        storage_class: Some(StorageClass::from(begun.meta.class.unwrap_or_else(|| StorageClass::STANDARD.to_owned()))),
        ..MultipartUpload::default()
    }
}
