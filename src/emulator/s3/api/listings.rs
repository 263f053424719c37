//! ListObjects, old and new.

use s3s::dto::*;
use s3s::{S3Request, S3Result, s3_error};

use super::super::bucket::Bucket as Objects;
use super::super::digest::hex;
use super::super::intake::blocking;
use super::super::listing::{After, Line, Query};
use super::super::object::Stat;
use super::Api;
use super::convert::{checksum_type, disk, etag, page_size, time, url_encode};

/// Writes keys plain, or percent-encoded when the client asked for `encoding-type=url`.
#[derive(Clone, Copy)]
pub(super) struct Writer {
    url: bool,
}

impl Writer {
    pub(super) fn new(encoding: Option<&EncodingType>) -> S3Result<Self> {
        match encoding.map(EncodingType::as_str) {
            None => Ok(Writer { url: false }),
            Some(EncodingType::URL) => Ok(Writer { url: true }),
            Some(other) => Err(s3_error!(InvalidArgument, "encoding-type is {other:?}; expected \"url\"")),
        }
    }

    pub(super) fn text(self, text: &str) -> String {
        if self.url { url_encode(text) } else { text.to_owned() }
    }

    fn split(self, lines: Vec<Line<Stat>>) -> (Vec<Object>, Vec<CommonPrefix>) {
        let (mut objects, mut prefixes) = (Vec::new(), Vec::new());
        for line in lines {
            match line {
                Line::Object(key, stat) => objects.push(Object {
                    key: Some(self.text(&key)),
                    size: i64::try_from(stat.size).ok(),
                    e_tag: Some(etag(&stat.etag)),
                    last_modified: Some(time(stat.modified_ms)),
                    storage_class: Some(ObjectStorageClass::from(
                        stat.class.as_deref().unwrap_or(ObjectStorageClass::STANDARD).to_owned(),
                    )),
                    checksum_algorithm: stat.algorithm.map(|a| vec![ChecksumAlgorithm::from_static(a.name())]),
                    checksum_type: checksum_type(stat.algorithm.as_ref(), stat.composite),
                    ..Object::default()
                }),
                Line::Prefix(prefix) => prefixes.push(CommonPrefix { prefix: Some(self.text(&prefix)) }),
            }
        }
        (objects, prefixes)
    }
}

async fn page(bucket: std::sync::Arc<Objects>, query: Query) -> S3Result<(Vec<Line<Stat>>, Option<After>)> {
    blocking(move || bucket.list(&query).map_err(disk)).await
}

/// A continuation token: opaque to clients, and plain to read in a log.
fn token(after: &After) -> String {
    match after {
        After::Key(key) => format!("k{}", hex(key.as_bytes())),
        After::Prefix(prefix) => format!("p{}", hex(prefix.as_bytes())),
    }
}

fn read_token(token: &str) -> S3Result<After> {
    let bad = || s3_error!(InvalidArgument, "The continuation token provided is incorrect");
    let digits = token.get(1..).ok_or_else(bad)?.as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(bad)?;
    match token.as_bytes()[0] {
        b'k' => Ok(After::Key(text)),
        b'p' => Ok(After::Prefix(text)),
        _ => Err(bad()),
    }
}

pub(super) async fn list_objects_v2(
    api: &Api,
    request: S3Request<ListObjectsV2Input>,
) -> S3Result<ListObjectsV2Output> {
    let input = request.input;
    let bucket = api.bucket(&input.bucket)?;
    let writer = Writer::new(input.encoding_type.as_ref())?;
    let after = match &input.continuation_token {
        Some(token) => Some(read_token(token)?),
        None => input.start_after.clone().map(After::Key),
    };
    let max = page_size(input.max_keys)?;
    let query =
        Query { prefix: input.prefix.clone().unwrap_or_default(), delimiter: input.delimiter.clone(), after, max };
    let (lines, next) = page(bucket, query).await?;
    let count = lines.len();
    let (objects, prefixes) = writer.split(lines);
    Ok(ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: Some(writer.text(&input.prefix.unwrap_or_default())),
        delimiter: input.delimiter.map(|text| writer.text(&text)),
        start_after: input.start_after.map(|text| writer.text(&text)),
        encoding_type: input.encoding_type,
        continuation_token: input.continuation_token,
        max_keys: i32::try_from(max).ok(),
        key_count: i32::try_from(count).ok(),
        is_truncated: Some(next.is_some()),
        next_continuation_token: next.as_ref().map(token),
        contents: Some(objects),
        common_prefixes: Some(prefixes),
        ..ListObjectsV2Output::default()
    })
}

pub(super) async fn list_objects(api: &Api, request: S3Request<ListObjectsInput>) -> S3Result<ListObjectsOutput> {
    let input = request.input;
    let bucket = api.bucket(&input.bucket)?;
    let writer = Writer::new(input.encoding_type.as_ref())?;
    let prefix = input.prefix.clone().unwrap_or_default();
    // A marker that is itself a common prefix is the last line of the page before: go on behind all of it.
    let is_prefix = |marker: &str| {
        let cut = input.delimiter.as_deref().filter(|d| !d.is_empty());
        cut.zip(marker.strip_prefix(prefix.as_str()))
            .is_some_and(|(d, rest)| rest.find(d) == rest.len().checked_sub(d.len()))
    };
    let after = input.marker.clone().filter(|marker| !marker.is_empty()).map(|marker| match is_prefix(&marker) {
        true => After::Prefix(marker),
        false => After::Key(marker),
    });
    let max = page_size(input.max_keys)?;
    let query = Query { prefix: prefix.clone(), delimiter: input.delimiter.clone(), after, max };
    let (lines, next) = page(bucket, query).await?;
    let (objects, prefixes) = writer.split(lines);
    let marker = next.as_ref().map(|next| match next {
        After::Key(text) | After::Prefix(text) => writer.text(text),
    });
    Ok(ListObjectsOutput {
        name: Some(input.bucket),
        prefix: Some(writer.text(&prefix)),
        marker: Some(writer.text(&input.marker.unwrap_or_default())),
        // S3 names the next marker only where there is a delimiter; naming it always is what clients can use.
        next_marker: marker,
        delimiter: input.delimiter.map(|text| writer.text(&text)),
        encoding_type: input.encoding_type,
        max_keys: i32::try_from(max).ok(),
        is_truncated: Some(next.is_some()),
        contents: Some(objects),
        common_prefixes: Some(prefixes),
        ..ListObjectsOutput::default()
    })
}
