//! Request bodies on their way to disk, checked against what the client said of them.

use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;

use axum::http::{Extensions, HeaderMap, Request, StatusCode};
use bytes::Bytes;
use futures::StreamExt;
use s3s::dto::StreamingBlob;
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};

use super::chunked::Trailers;
use super::digest::{Algorithm, Checksum, Digester, base64, unbase64};
use super::object::{Closed, Draft};

/// Bytes gathered before they are digested and written, off the threads that serve.
const GATHER: usize = 1024 * 1024;

/// The largest body: S3's own limit on one PUT.
const LARGEST: u64 = 5 * 1024 * 1024 * 1024;

/// What a request says of its body.
#[derive(Default)]
struct Claims {
    length: Option<u64>,
    md5: Option<String>,
    /// The SHA-256 that was signed, in hexadecimal digits.
    payload: Option<String>,
    algorithm: Option<Algorithm>,
    checksum: Option<String>,
    trailers: Option<Trailers>,
}

impl Claims {
    /// What the headers say. Without a checksum in them, one of `algorithm` is computed.
    fn read(headers: &HeaderMap, extensions: &Extensions, algorithm: Option<Algorithm>) -> S3Result<Self> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let mut given = Algorithm::ALL.into_iter().filter_map(|a| Some((a, text(a.header())?.to_owned())));
        let in_header = given.next();
        if given.next().is_some() {
            return Err(s3_error!(InvalidRequest, "more than one x-amz-checksum- header: an object has one checksum"));
        }
        let named = named(headers)?;
        let (found, checksum) = match in_header {
            Some((found, value)) => (Some(found), Some(value)),
            None => (named, None),
        };
        if let (Some(found), Some(value)) = (found, &checksum) {
            check_form(found, value)?;
            if named.is_some_and(|named| named != found) {
                return Err(s3_error!(InvalidRequest, "the checksum given is not of the algorithm that is named"));
            }
        }
        let md5 = text("content-md5").map(str::to_owned);
        if md5.as_deref().is_some_and(|md5| unbase64(md5).is_none_or(|md5| md5.len() != 16)) {
            return Err(s3_error!(InvalidDigest, "Content-MD5 is not the base64 of 16 bytes"));
        }
        let is_digest = |text: &&str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let length = text("content-length").and_then(|length| length.parse().ok());
        if length.is_some_and(|length| length > LARGEST) {
            return Err(too_large());
        }
        let payload = text("x-amz-content-sha256").filter(is_digest).map(str::to_ascii_lowercase);
        let trailers = extensions.get::<Trailers>().cloned();
        Ok(Claims { length, md5, payload, algorithm: found.or(algorithm), checksum, trailers })
    }

    fn check(&self, size: u64, payload: Option<&str>, md5: &[u8], checksum: Option<&Checksum>) -> S3Result<()> {
        if self.length.is_some_and(|length| length != size) {
            return Err(s3_error!(IncompleteBody, "Content-Length and the body differ"));
        }
        if self.payload.as_deref().zip(payload).is_some_and(|(claimed, payload)| claimed != payload) {
            let message = "x-amz-content-sha256 is not that of the body";
            return Err(super::api::coded("XAmzContentSHA256Mismatch", StatusCode::BAD_REQUEST, message));
        }
        if self.md5.as_deref().is_some_and(|claimed| claimed != base64(md5)) {
            return Err(s3_error!(BadDigest, "Content-MD5 is not that of the body"));
        }
        let Some((algorithm, value)) = checksum else { return Ok(()) };
        let trailer = || self.trailers.as_ref()?.get(algorithm.header());
        match self.checksum.clone().or_else(trailer) {
            Some(claimed) if claimed != *value => {
                check_form(*algorithm, &claimed)?;
                Err(s3_error!(BadDigest, "the {} given is not that of the body", algorithm.name()))
            }
            _ => Ok(()),
        }
    }
}

/// The algorithm whose checksum a request announces, in a trailer or by name.
fn named(headers: &HeaderMap) -> S3Result<Option<Algorithm>> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let trailer = text("x-amz-trailer").and_then(|named| {
        named
            .split(',')
            .find_map(|one| Algorithm::ALL.into_iter().find(|a| one.trim().eq_ignore_ascii_case(a.header())))
    });
    if trailer.is_some() {
        return Ok(trailer);
    }
    let Some(name) = text("x-amz-sdk-checksum-algorithm") else { return Ok(None) };
    let unknown = || s3_error!(InvalidRequest, "x-amz-sdk-checksum-algorithm is {name:?}, which is not an algorithm");
    Algorithm::named(name).map(Some).ok_or_else(unknown)
}

/// Whether text could be a checksum at all.
fn check_form(algorithm: Algorithm, value: &str) -> S3Result<()> {
    match unbase64(value) {
        Some(bytes) if bytes.len() == algorithm.length() => Ok(()),
        _ => Err(s3_error!(InvalidRequest, "Value for {} header is invalid.", algorithm.header())),
    }
}

fn too_large() -> S3Error {
    s3_error!(EntityTooLarge, "a body may have at most {LARGEST} bytes: upload more in parts")
}

/// A body that has arrived; what is left to do takes the disk.
pub(super) struct Intake {
    draft: Draft,
    gathered: Vec<Bytes>,
    claims: Claims,
}

/// A body that has been written and checked.
pub(super) struct Stored {
    pub(super) md5: Vec<u8>,
    pub(super) checksum: Option<Checksum>,
    pub(super) closed: Closed,
}

impl Intake {
    /// Takes a body in. Of one longer than a mebibyte all but the end is at `path` then.
    pub(super) async fn receive(
        body: Option<StreamingBlob>,
        headers: &HeaderMap,
        extensions: &Extensions,
        path: PathBuf,
        algorithm: Option<Algorithm>,
    ) -> S3Result<Intake> {
        let claims = Claims::read(headers, extensions, algorithm)?;
        let mut draft = Draft::new(path, claims.algorithm);
        if claims.payload.is_some() {
            draft = draft.with_payload();
        }
        let mut gathered = Vec::new();
        let mut size = 0;
        let Some(mut body) = body else { return Ok(Intake { draft, gathered, claims }) };
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(broken)?;
            size += piece.len();
            gathered.push(piece);
            if size >= GATHER {
                let pieces = std::mem::take(&mut gathered);
                draft = blocking(move || add(draft, pieces)).await?;
                size = 0;
            }
            if draft.size() > LARGEST {
                return Err(too_large());
            }
        }
        Ok(Intake { draft, gathered, claims })
    }

    /// The algorithm of the checksum that is computed.
    pub(super) fn algorithm(&self) -> Option<Algorithm> {
        self.claims.algorithm
    }

    /// Writes and checks the rest. Blocks.
    pub(super) fn store(self) -> S3Result<Stored> {
        let mut draft = add(self.draft, self.gathered)?;
        let (size, payload) = (draft.size(), draft.payload());
        let (md5, checksum, closed) = draft.close();
        self.claims.check(size, payload.as_deref(), &md5, checksum.as_ref())?;
        Ok(Stored { md5, checksum, closed })
    }
}

/// The largest body that is taken as a whole: 1,000 keys of 1,024 characters, all escaped, are 6 MB.
const WHOLE: usize = 20 * 1024 * 1024;

/// Checks a body that `s3s` reads itself, of a request that names objects to delete.
///
/// # Errors
/// The body is not whole, or not the one that the headers speak of.
pub(super) async fn check_whole(request: &mut Request<s3s::Body>) -> S3Result<()> {
    let claims = Claims::read(request.headers(), request.extensions(), None)?;
    let body = request.body_mut().store_all_limited(WHOLE).await.map_err(broken)?;
    let mut digester = Digester::new(claims.algorithm);
    if claims.payload.is_some() {
        digester = digester.with_payload();
    }
    digester.update(&body);
    let payload = digester.payload();
    let (md5, checksum) = digester.finish();
    claims.check(body.len() as u64, payload.as_deref(), &md5, checksum.as_ref())
}

/// A body that ended before it was whole, or of which nothing came for too long.
fn broken(cause: Box<dyn StdError + Send + Sync>) -> S3Error {
    if timed_out(cause.as_ref()) {
        return s3_error!(RequestTimeout, "nothing of the request's body came for too long");
    }
    let message = format!("the request's body is not whole: {cause}");
    let mut error = S3Error::with_source(S3ErrorCode::IncompleteBody, cause);
    error.set_message(message);
    error
}

fn timed_out(cause: &(dyn StdError + 'static)) -> bool {
    match cause.downcast_ref::<io::Error>() {
        Some(io) if io.kind() == io::ErrorKind::TimedOut => true,
        Some(io) => io.get_ref().is_some_and(|inner| timed_out(inner)),
        None => cause.source().is_some_and(timed_out),
    }
}

fn add(mut draft: Draft, pieces: Vec<Bytes>) -> S3Result<Draft> {
    pieces.iter().try_for_each(|piece| draft.add(piece)).map_err(super::api::disk)?;
    Ok(draft)
}

/// Does what takes the disk on a thread that may wait.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> S3Result<T> + Send + 'static) -> S3Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(S3Error::internal_error)?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(headers: &[(&'static str, &str)]) -> Result<(Option<Algorithm>, Option<String>), String> {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let read = Claims::read(&headers, &Extensions::new(), Some(Algorithm::Crc64nvme));
        read.map(|claims| (claims.algorithm, claims.checksum)).map_err(|error| error.code().as_str().to_owned())
    }

    #[test]
    fn one_checksum_of_one_algorithm_is_claimed() {
        let crc32 = ("x-amz-checksum-crc32", "NhCmhg==");
        assert_eq!(claims(&[]), Ok((Some(Algorithm::Crc64nvme), None)));
        assert_eq!(claims(&[crc32]), Ok((Some(Algorithm::Crc32), Some("NhCmhg==".into()))));
        assert_eq!(claims(&[("x-amz-trailer", "x-amz-checksum-sha1")]), Ok((Some(Algorithm::Sha1), None)));
        let refused = Err("InvalidRequest".to_owned());
        assert_eq!(claims(&[crc32, ("x-amz-checksum-crc32c", "NhCmhg==")]), refused);
        assert_eq!(claims(&[crc32, ("x-amz-sdk-checksum-algorithm", "SHA1")]), refused);
        assert_eq!(claims(&[("x-amz-sdk-checksum-algorithm", "MD6")]), refused);
        assert_eq!(claims(&[("x-amz-checksum-crc32", "NhCm")]), refused);
        assert_eq!(claims(&[("content-md5", "short")]), Err("InvalidDigest".to_owned()));
    }
}
