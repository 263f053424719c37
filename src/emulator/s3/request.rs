//! A request as it comes, made into one that `s3s` takes without asking who sent it.

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH};
use axum::http::{HeaderMap, HeaderValue, Request, Uri};
use futures::{StreamExt, TryStreamExt, stream};

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

/// Takes off the signature, and the `aws-chunked` encoding of the body.
pub(super) fn prepare(request: Request<Body>) -> Request<s3s::Body> {
    let (mut head, body) = request.into_parts();
    head.headers.remove(AUTHORIZATION);
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
    Request::from_parts(head, s3s::Body::http_body_unsync(body))
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
