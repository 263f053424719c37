//! Whose request it is: one port serves clients that know of many.

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, Method};

use super::IDENTITY_PATH;

/// Whose request it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::emulator) enum Service {
    /// Who serves here.
    Identity,
    S3,
    /// AWS Batch and CloudWatch Logs.
    Router,
    /// AWS STS: whose credentials these are.
    Identities,
    /// A service that is not here, as the client calls it.
    Unserved(String),
}

/// Tells the services apart: by the service that the signature is for (in the header or in the URL), then by the header
/// that only JSON services send; of an unsigned request, by what it looks like.
pub(in crate::emulator) fn service(method: &Method, path: &str, query: Option<&str>, headers: &HeaderMap) -> Service {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if path == IDENTITY_PATH {
        return Service::Identity;
    }
    let signed = text(AUTHORIZATION.as_str()).and_then(in_header).or_else(|| query.and_then(in_url));
    if let Some(service) = signed {
        return named(&service);
    }
    if let Some(target) = text("x-amz-target") {
        // `Logs_20140328.GetLogEvents`: the API and its version, the operation.
        let api = target.split(['.', '_']).next().unwrap_or_default();
        return if api == "Logs" { Service::Router } else { Service::Unserved(target.to_owned()) };
    }
    let is_form = text(CONTENT_TYPE.as_str()).is_some_and(|mime| mime.starts_with("application/x-www-form-urlencoded"));
    if method == Method::POST && path == "/" && is_form {
        return Service::Identities;
    }
    let operation = path.strip_prefix("/v1/").filter(|op| !op.is_empty() && op.bytes().all(|b| b.is_ascii_lowercase()));
    match (method, operation, query) {
        (&Method::POST, Some(_), None) => Service::Router,
        _ => Service::S3,
    }
}

fn named(service: &str) -> Service {
    match service {
        "s3" => Service::S3,
        "batch" | "logs" => Service::Router,
        "sts" => Service::Identities,
        other => Service::Unserved(other.to_owned()),
    }
}

/// The service of `Credential=<key>/<date>/<region>/<service>/aws4_request`; a signature of version 4A names no region.
fn in_header(authorization: &str) -> Option<String> {
    let (_, scope) = authorization.split_once("Credential=")?;
    of_scope(scope.split([',', ' ']).next()?)
}

/// The same of a presigned URL's `X-Amz-Credential`, whose slashes may be escaped.
fn in_url(query: &str) -> Option<String> {
    let value = query.split('&').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.eq_ignore_ascii_case("x-amz-credential").then_some(value)
    })?;
    of_scope(&value.replace("%2F", "/").replace("%2f", "/"))
}

fn of_scope(scope: &str) -> Option<String> {
    let mut parts = scope.rsplit('/');
    match (parts.next(), parts.next()) {
        (Some("aws4_request"), Some(service)) if !service.is_empty() => Some(service.to_ascii_lowercase()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn told(method: Method, uri: &str, headers: &[(&'static str, &str)]) -> Service {
        let pair = |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), value.parse().unwrap());
        let headers = headers.iter().map(pair).collect();
        let uri: axum::http::Uri = uri.parse().unwrap();
        service(&method, uri.path(), uri.query(), &headers)
    }

    fn signed(service: &str) -> String {
        format!(
            "AWS4-HMAC-SHA256 Credential=AKIA/20261122/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
        )
    }

    #[test]
    fn requests_find_their_service() {
        assert_eq!(told(Method::POST, "/v1/submitjob", &[("authorization", &signed("batch"))]), Service::Router);
        assert_eq!(told(Method::GET, "/v1/tags/arn%3Ax", &[("authorization", &signed("batch"))]), Service::Router);
        assert_eq!(told(Method::POST, "/", &[("x-amz-target", "Logs_20140328.GetLogEvents")]), Service::Router);
        assert_eq!(told(Method::POST, "/v1/describejobs", &[]), Service::Router);
        // A bucket may be called v1.
        assert_eq!(told(Method::PUT, "/v1/object", &[("authorization", &signed("s3"))]), Service::S3);
        assert_eq!(told(Method::POST, "/v1/object?uploads", &[]), Service::S3);
        assert_eq!(told(Method::GET, "/bucket/key?X-Amz-Signature=0", &[]), Service::S3);
        assert_eq!(told(Method::GET, "/bucket/key", &[("authorization", "AWS AKIA:signature")]), Service::S3);
        assert_eq!(told(Method::GET, IDENTITY_PATH, &[]), Service::Identity);
    }

    #[test]
    fn any_way_to_sign_names_the_service() {
        let asymmetric =
            "AWS4-ECDSA-P256-SHA256 Credential=AKIA/20261122/s3/aws4_request, SignedHeaders=host, Signature=0";
        assert_eq!(told(Method::POST, "/v1/object", &[("authorization", asymmetric)]), Service::S3);
        let presigned =
            |service: &str| format!("/v1/x?X-Amz-Credential=AKIA%2F20261122%2Feu-west-1%2F{service}%2Faws4_request");
        assert_eq!(told(Method::POST, &presigned("s3"), &[]), Service::S3);
        assert_eq!(told(Method::POST, &presigned("batch"), &[]), Service::Router);
        // An access key may hold a slash, and a token follows no rule at all.
        let odd = "AWS4-HMAC-SHA256 Credential=a/b/20261122/us-east-1/batch/aws4_request, Signature=0";
        assert_eq!(told(Method::POST, "/v1/submitjob", &[("authorization", odd)]), Service::Router);
    }

    #[test]
    fn a_service_that_is_not_here_is_named() {
        let form = ("content-type", "application/x-www-form-urlencoded; charset=utf-8");
        assert_eq!(
            told(Method::POST, "/", &[("authorization", &signed("ec2")), form]),
            Service::Unserved("ec2".into())
        );
        let target = ("x-amz-target", "DynamoDB_20120810.GetItem");
        assert_eq!(told(Method::POST, "/", &[target]), Service::Unserved("DynamoDB_20120810.GetItem".into()));
        assert_eq!(told(Method::POST, "/", &[("authorization", &signed("sts")), form]), Service::Identities);
        assert_eq!(told(Method::POST, "/", &[form]), Service::Identities);
    }
}
