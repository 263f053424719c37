//! Between the API's shapes and the disk's.

use std::time::{Duration, UNIX_EPOCH};

use axum::http::StatusCode;
use s3s::dto::{self, ETag, ETagCondition, Timestamp};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};

use super::super::bucket::{Condition, Refusal};
use super::super::digest::{Algorithm, Checksum};
use super::super::upload::Incomplete;

/// An output with its checksum fields: `checked!(Type { other fields }, checksum)`.
macro_rules! checked {
    ($output:ident { $($field:ident $(: $value:expr)?),* $(,)? }, $checksum:expr) => {{
        let sums = super::convert::sums($checksum);
        // Some outputs hold nothing beside these fields.
        #[allow(clippy::needless_update)]
        let output = $output {
            checksum_crc32: sums.checksum_crc32,
            checksum_crc32c: sums.checksum_crc32c,
            checksum_crc64nvme: sums.checksum_crc64nvme,
            checksum_sha1: sums.checksum_sha1,
            checksum_sha256: sums.checksum_sha256,
            $($field $(: $value)?,)*
            ..$output::default()
        };
        output
    }};
}
pub(super) use checked;

/// A checksum in its field.
pub(super) fn sums(checksum: Option<&Checksum>) -> dto::Checksum {
    let mut sums = dto::Checksum::default();
    if let Some((algorithm, value)) = checksum {
        let value = Some(value.clone());
        match algorithm {
            Algorithm::Crc32 => sums.checksum_crc32 = value,
            Algorithm::Crc32c => sums.checksum_crc32c = value,
            Algorithm::Crc64nvme => sums.checksum_crc64nvme = value,
            Algorithm::Sha1 => sums.checksum_sha1 = value,
            Algorithm::Sha256 => sums.checksum_sha256 = value,
        }
    }
    sums
}

/// How an object's checksum was made: of its bytes, or of its parts' checksums.
pub(super) fn checksum_type<T>(checksum: Option<&T>, composite: bool) -> Option<dto::ChecksumType> {
    use dto::ChecksumType as Type;
    checksum.map(|_| Type::from_static(if composite { Type::COMPOSITE } else { Type::FULL_OBJECT }))
}

/// The checksum in those of an input's fields that hold one.
macro_rules! claimed {
    ($input:expr) => {{
        use super::super::digest::Algorithm::*;
        let fields = [
            (Crc32, $input.checksum_crc32.take()),
            (Crc32c, $input.checksum_crc32c.take()),
            (Crc64nvme, $input.checksum_crc64nvme.take()),
            (Sha1, $input.checksum_sha1.take()),
            (Sha256, $input.checksum_sha256.take()),
        ];
        fields.into_iter().find_map(|(algorithm, value)| Some((algorithm, value?)))
    }};
}
pub(super) use claimed;

/// Milliseconds since 1970 as the API's time.
pub(super) fn time(ms: u64) -> Timestamp {
    Timestamp::from(UNIX_EPOCH + Duration::from_millis(ms))
}

/// Whole seconds since 1970: what an HTTP date can say.
pub(super) fn seconds(time: &Timestamp) -> i64 {
    time::OffsetDateTime::from(time.clone()).unix_timestamp()
}

/// An ETag.
pub(super) fn etag(value: &str) -> ETag {
    ETag::Strong(value.to_owned())
}

fn etag_of(condition: &ETagCondition) -> Option<String> {
    condition.as_etag().map(|etag| etag.value().to_owned())
}

/// `If-Match` and `If-None-Match`.
pub(super) fn conditions(if_match: Option<&ETagCondition>, if_none_match: Option<&ETagCondition>) -> Vec<Condition> {
    let one = if_match.map(|condition| Condition::Match(etag_of(condition)));
    let other = if_none_match.map(|condition| Condition::NoneMatch(etag_of(condition)));
    one.into_iter().chain(other).collect()
}

/// The conditions of a write, of whose `If-None-Match` S3 knows `*` only: to let another through would overwrite what the
/// client meant to keep.
///
/// # Errors
/// An ETag in `If-None-Match`.
pub(super) fn write_conditions(
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
) -> S3Result<Vec<Condition>> {
    if matches!(if_none_match, Some(ETagCondition::ETag(_))) {
        return Err(s3_error!(NotImplemented, "If-None-Match of a write takes * only, as on AWS"));
    }
    Ok(conditions(if_match, if_none_match))
}

/// A change that was not made.
pub(super) fn refused(refusal: Refusal) -> S3Error {
    match refusal {
        Refusal::Precondition => {
            s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold")
        }
        Refusal::Missing => s3_error!(NoSuchKey, "The specified key does not exist."),
        Refusal::ReadOnly => s3_error!(AccessDenied, "this endpoint is open for reading only"),
        Refusal::Gone => s3_error!(NoSuchBucket, "The bucket has been deleted meanwhile"),
        Refusal::Io(cause) => disk(cause),
    }
}

/// An error whose code the crate does not know.
pub(in super::super) fn coded(code: &'static str, status: StatusCode, message: impl Into<String>) -> S3Error {
    // Never fails: every code has its place.
    let code = code.parse().unwrap_or(S3ErrorCode::InvalidRequest);
    let mut error = S3Error::with_message(code, message.into());
    error.set_status_code(status);
    error
}

/// A fault of the disk.
pub(in super::super) fn disk(cause: std::io::Error) -> S3Error {
    tracing::error!(%cause, "the object store's disk");
    S3Error::with_message(s3s::S3ErrorCode::InternalError, cause.to_string())
}

/// An upload that could not be completed.
pub(super) fn incomplete(why: Incomplete) -> S3Error {
    match why {
        Incomplete::NoUpload => no_upload(),
        Incomplete::Part(number) => s3_error!(InvalidPart, "part {number} was not sent, or has another ETag"),
        Incomplete::Order => s3_error!(InvalidPartOrder, "the parts are not in ascending order"),
        Incomplete::TooSmall(number) => {
            s3_error!(EntityTooSmall, "part {number} has less than 5 MiB and is not the last")
        }
        Incomplete::Digest(why) => s3_error!(BadDigest, "{why}"),
        Incomplete::Refused(refusal) => refused(refusal),
    }
}

pub(super) fn no_upload() -> S3Error {
    s3_error!(NoSuchUpload, "The specified multipart upload does not exist: never begun, completed or aborted")
}

pub(super) fn no_key() -> S3Error {
    s3_error!(NoSuchKey, "The specified key does not exist.")
}

/// The most entries of a page: what is asked, at most 1,000.
pub(super) fn page_size(asked: Option<i32>) -> S3Result<usize> {
    const MOST: usize = 1000;
    match asked.map(usize::try_from) {
        None => Ok(MOST),
        Some(Ok(count)) => Ok(count.min(MOST)),
        Some(Err(_)) => Err(s3_error!(InvalidArgument, "the page size may not be negative")),
    }
}

/// Text in a URL: every byte but unreserved ones and slashes as `%XX`.
pub(super) fn url_encode(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::with_capacity(text.len()), |mut url, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => url.push(char::from(byte)),
            // Writing to a string cannot fail.
            _ => drop(write!(url, "%{byte:02X}")),
        }
        url
    })
}
