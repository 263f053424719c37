//! A request as it comes, made into one that `s3s` takes without asking who sent it.

use axum::body::Body;
use axum::http::header::{self, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH};
use axum::http::{HeaderMap, HeaderValue, Request, Uri};
use futures::{StreamExt, TryStreamExt, stream};
use s3s::dto::{Range, Timestamp, TimestampFormat};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

use super::chunked::{Decoder, Trailers};

/// Query parameters of presigned URLs, in small letters.
const SIGNING: [&str; 10] = [
    "awsaccesskeyid",
    "expires",
    "signature",
    "x-amz-algorithm",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-security-token",
    "x-amz-signature",
    "x-amz-signedheaders",
];

/// Where `Expires` waits for the operation that keeps it: it may be any text, and `s3s` takes only dates.
pub(super) const EXPIRES: &str = "x-batchmap-expires";

/// Takes off the signature, and the `aws-chunked` encoding of the body.
///
/// # Errors
/// A presigned URL that is past its time, or says it in a form that S3 does not take.
pub(super) fn prepare(request: Request<Body>, now: OffsetDateTime) -> S3Result<Request<s3s::Body>> {
    let (mut head, body) = request.into_parts();
    check_expiry(head.uri.query().unwrap_or_default(), now)?;
    head.headers.remove(AUTHORIZATION);
    head.headers.remove(EXPIRES);
    if let Some(expires) = head.headers.remove(header::EXPIRES) {
        head.headers.insert(EXPIRES, expires);
    }
    ignore_as_s3_does(&mut head.headers);
    if let Some(uri) = unsigned(&head.uri) {
        head.uri = uri;
    }
    let body = if is_chunked(&head.headers) {
        let trailers = Trailers::default();
        head.extensions.insert(trailers.clone());
        plain_headers(&mut head.headers);
        decode(body, trailers)
    } else {
        body
    };
    Ok(Request::from_parts(head, s3s::Body::http_body_unsync(body)))
}

/// Removes what S3 takes no notice of: ranges that are none or several, dates that are none.
fn ignore_as_s3_does(headers: &mut HeaderMap) {
    if headers.get(header::RANGE).is_some_and(|range| range.to_str().map_or(true, |range| Range::parse(range).is_err()))
    {
        headers.remove(header::RANGE);
    }
    for name in [header::IF_MODIFIED_SINCE, header::IF_UNMODIFIED_SINCE] {
        let is_date = |value: &HeaderValue| {
            value.to_str().is_ok_and(|text| Timestamp::parse(TimestampFormat::HttpDate, text).is_ok())
        };
        if headers.get(&name).is_some_and(|value| !is_date(value)) {
            headers.remove(name);
        }
    }
}

/// Refuses a presigned URL whose time is over: it is all of a signature that is looked at.
fn check_expiry(query: &str, now: OffsetDateTime) -> S3Result<()> {
    let value = |name: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    };
    let malformed = |why: &str| {
        let code = S3ErrorCode::AuthorizationQueryParametersError;
        Err(S3Error::with_message(code, why.to_owned()))
    };
    let until = if let Some(seconds) = value("X-Amz-Expires") {
        let seconds = match seconds.parse::<i64>() {
            Ok(seconds @ 0..=604_800) => seconds,
            _ => return malformed("X-Amz-Expires must be between 0 and 604800 seconds"),
        };
        let format = format_description!("[year][month][day]T[hour][minute][second]Z");
        let Some(Ok(begun)) = value("X-Amz-Date").map(|date| PrimitiveDateTime::parse(date, format)) else {
            return malformed("X-Amz-Date must be in the form yyyyMMddTHHmmssZ");
        };
        begun.assume_utc().checked_add(time::Duration::seconds(seconds))
    } else if let (Some(_), Some(expires)) = (value("Signature"), value("Expires")) {
        expires.parse().ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
    } else {
        return Ok(());
    };
    match until {
        Some(until) if now <= until => Ok(()),
        _ => Err(s3_error!(AccessDenied, "Request has expired")),
    }
}

/// The URI without its signature, when it has one.
fn unsigned(uri: &Uri) -> Option<Uri> {
    let query = uri.query()?;
    let name = |pair: &str| pair.split('=').next().unwrap_or_default().to_ascii_lowercase();
    let signs = |pair: &&str| SIGNING.contains(&name(pair).as_str());
    if !query.split('&').any(|pair| signs(&pair)) {
        return None;
    }
    let rest: Vec<&str> = query.split('&').filter(|pair| !signs(pair)).collect();
    let path = if rest.is_empty() { uri.path().to_owned() } else { format!("{}?{}", uri.path(), rest.join("&")) };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path.parse().ok()?);
    Uri::from_parts(parts).ok()
}

fn is_chunked(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text("x-amz-content-sha256").starts_with("STREAMING-")
        || text(CONTENT_ENCODING.as_str()).split(',').any(|coding| coding.trim().eq_ignore_ascii_case("aws-chunked"))
}

/// Makes the headers those of the decoded body.
fn plain_headers(headers: &mut HeaderMap) {
    match headers.get("x-amz-decoded-content-length").cloned() {
        Some(length) => drop(headers.insert(CONTENT_LENGTH, length)),
        None => drop(headers.remove(CONTENT_LENGTH)),
    }
    let Some(codings) = headers.remove(CONTENT_ENCODING) else { return };
    let codings = codings.to_str().unwrap_or_default();
    let others = codings.split(',').map(str::trim).filter(|c| !c.is_empty() && !c.eq_ignore_ascii_case("aws-chunked"));
    let others = others.collect::<Vec<_>>().join(",");
    if let (false, Ok(value)) = (others.is_empty(), HeaderValue::from_str(&others)) {
        headers.insert(CONTENT_ENCODING, value);
    }
}

fn decode(body: Body, trailers: Trailers) -> Body {
    let pieces = body.into_data_stream().map_err(std::io::Error::other).map(Some).chain(stream::once(async { None }));
    let decoder = Decoder::new(trailers);
    let data = pieces.scan(decoder, |decoder, piece| {
        // The end of the stream is a piece of its own, so that a body that is cut is an error.
        let data = match piece {
            Some(Ok(piece)) => decoder.feed(&piece).map_err(std::io::Error::other),
            Some(Err(cause)) => Err(cause),
            None => decoder.finish().map(|()| bytes::Bytes::new()).map_err(std::io::Error::other),
        };
        std::future::ready(Some(data))
    });
    Body::from_stream(data.try_filter(|data| std::future::ready(!data.is_empty())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_signature_is_taken_off_a_url() {
        let presigned = "/b/k?x-id=GetObject&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=ab&partNumber=1";
        assert_eq!(unsigned(&Uri::from_static(presigned)).unwrap(), "/b/k?x-id=GetObject&partNumber=1");
        assert_eq!(unsigned(&Uri::from_static("/b/k?X-Amz-Signature=ab")).unwrap(), "/b/k");
        assert_eq!(unsigned(&Uri::from_static("/b?list-type=2")), None);
    }

    #[test]
    fn a_presigned_url_has_its_time() {
        let at = |query: &str, second: i64| {
            let now = OffsetDateTime::from_unix_timestamp(1_795_348_800 + second).unwrap();
            check_expiry(query, now).map_err(|error| error.code().as_str().to_owned())
        };
        let v4 = "X-Amz-Date=20261122T120000Z&X-Amz-Expires=60&X-Amz-Signature=0";
        assert_eq!((at(v4, 0), at(v4, 60)), (Ok(()), Ok(())));
        assert_eq!(at(v4, 61), Err("AccessDenied".to_owned()));
        let v2 = "AWSAccessKeyId=a&Signature=b&Expires=1795348800";
        assert_eq!((at(v2, 0), at(v2, 1)), (Ok(()), Err("AccessDenied".to_owned())));
        let malformed = Err("AuthorizationQueryParametersError".to_owned());
        assert_eq!(at("X-Amz-Date=20261122T120000Z&X-Amz-Expires=604801", 0), malformed);
        assert_eq!(at("X-Amz-Date=today&X-Amz-Expires=60", 0), malformed);
        assert_eq!(at("list-type=2", 0), Ok(()));
    }

    #[test]
    fn the_headers_of_a_chunked_body_become_those_of_its_data() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("aws-chunked, gzip"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("70"));
        headers.insert("x-amz-decoded-content-length", HeaderValue::from_static("5"));
        assert!(is_chunked(&headers));
        plain_headers(&mut headers);
        assert_eq!(
            (&headers[CONTENT_ENCODING], &headers[CONTENT_LENGTH]),
            (&"gzip".parse().unwrap(), &"5".parse().unwrap())
        );
    }
}
