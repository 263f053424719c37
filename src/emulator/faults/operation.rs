//! Which operation a request is: what faults are limited to.

use axum::http::{HeaderMap, Method, Uri, header};

use crate::emulator::server;

/// One of the services of the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::emulator) enum Service {
    Batch,
    Logs,
    S3,
}

impl Service {
    /// As settings name it.
    pub(in crate::emulator) const fn name(self) -> &'static str {
        match self {
            Service::Batch => "batch",
            Service::Logs => "logs",
            Service::S3 => "s3",
        }
    }
}

/// A request's operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::emulator) struct Operation {
    pub(in crate::emulator) service: Service,
    /// As AWS spells it; `Unknown` for what is none.
    pub(in crate::emulator) name: &'static str,
}

const BATCH: [&str; 48] = [
    "CancelJob",
    "CancelJobs",
    "CreateComputeEnvironment",
    "CreateConsumableResource",
    "CreateJobQueue",
    "CreateQuotaShare",
    "CreateSchedulingPolicy",
    "CreateServiceEnvironment",
    "DeleteComputeEnvironment",
    "DeleteConsumableResource",
    "DeleteJobQueue",
    "DeleteQuotaShare",
    "DeleteSchedulingPolicy",
    "DeleteServiceEnvironment",
    "DeregisterJobDefinition",
    "DescribeComputeEnvironments",
    "DescribeConsumableResource",
    "DescribeJobDefinitions",
    "DescribeJobQueues",
    "DescribeJobs",
    "DescribeQuotaShare",
    "DescribeSchedulingPolicies",
    "DescribeServiceEnvironments",
    "DescribeServiceJob",
    "GetJobQueueSnapshot",
    "ListConsumableResources",
    "ListJobs",
    "ListJobsByConsumableResource",
    "ListQuotaShares",
    "ListSchedulingPolicies",
    "ListServiceJobs",
    "ListTagsForResource",
    "RegisterJobDefinition",
    "SubmitJob",
    "SubmitServiceJob",
    "TagResource",
    "TerminateJob",
    "TerminateJobs",
    "TerminateServiceJob",
    "TerminateServiceJobs",
    "UntagResource",
    "UpdateComputeEnvironment",
    "UpdateConsumableResource",
    "UpdateJobQueue",
    "UpdateQuotaShare",
    "UpdateSchedulingPolicy",
    "UpdateServiceEnvironment",
    "UpdateServiceJob",
];
const LOGS: [&str; 4] = ["DescribeLogGroups", "DescribeLogStreams", "FilterLogEvents", "GetLogEvents"];
const S3: [&str; 25] = [
    "AbortMultipartUpload",
    "CompleteMultipartUpload",
    "CopyObject",
    "CreateBucket",
    "CreateMultipartUpload",
    "DeleteBucket",
    "DeleteObject",
    "DeleteObjectTagging",
    "DeleteObjects",
    "GetBucketLocation",
    "GetObject",
    "GetObjectAttributes",
    "GetObjectTagging",
    "HeadBucket",
    "HeadObject",
    "ListBuckets",
    "ListMultipartUploads",
    "ListObjectVersions",
    "ListObjects",
    "ListObjectsV2",
    "ListParts",
    "PutObject",
    "PutObjectTagging",
    "UploadPart",
    "UploadPartCopy",
];

/// Every name that settings may use: operations, and services as a whole.
pub(super) fn known() -> impl Iterator<Item = &'static str> + Clone {
    ["batch", "s3", "logs"].into_iter().chain(BATCH).chain(LOGS).chain(S3)
}

/// Whose request it is, and what it asks for; nothing when it is for none of the three services.
pub(in crate::emulator) fn of_request(method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Operation> {
    let service = match server::service(method, uri.path(), uri.query(), headers) {
        server::Service::S3 => Service::S3,
        server::Service::Router if headers.contains_key("x-amz-target") => Service::Logs,
        server::Service::Router => Service::Batch,
        _ => return None,
    };
    Some(of(service, method, uri, headers))
}

/// What a request asks for, of a service that is known.
pub(super) fn of(service: Service, method: &Method, uri: &Uri, headers: &HeaderMap) -> Operation {
    let name = match service {
        Service::Batch => batch(method, uri.path()),
        Service::Logs => logs(headers),
        Service::S3 => s3(method, uri, headers),
    };
    Operation { service, name: name.unwrap_or("Unknown") }
}

fn batch(method: &Method, path: &str) -> Option<&'static str> {
    let operation = path.strip_prefix("/v1/")?;
    if operation.starts_with("tags/") {
        return match *method {
            Method::POST => Some("TagResource"),
            Method::DELETE => Some("UntagResource"),
            _ => Some("ListTagsForResource"),
        };
    }
    BATCH.into_iter().find(|known| known.eq_ignore_ascii_case(operation))
}

fn logs(headers: &HeaderMap) -> Option<&'static str> {
    let (_, operation) = headers.get("x-amz-target")?.to_str().ok()?.split_once('.')?;
    LOGS.into_iter().find(|known| *known == operation)
}

/// The bucket and the key of a request to S3, as they are written in its URL; empty when there is none.
pub(in crate::emulator) fn object<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> (&'a str, &'a str) {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let path = uri.path().strip_prefix('/').unwrap_or(uri.path());
    // `<bucket>.localhost` and `<bucket>.s3.localhost` name the bucket.
    let in_host = host.strip_suffix(".localhost").filter(|bucket| *bucket != "s3");
    match in_host.map(|bucket| bucket.strip_suffix(".s3").unwrap_or(bucket)) {
        Some(bucket) => (bucket, path),
        None => path.split_once('/').unwrap_or((path, "")),
    }
}

fn s3(method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<&'static str> {
    let (bucket, key) = object(uri, headers);
    let (bucket, key) = (!bucket.is_empty(), !key.is_empty());
    let query = uri.query().unwrap_or_default();
    let asks = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
    let copies = headers.contains_key("x-amz-copy-source");
    match (method.as_str(), bucket, key) {
        ("GET", false, _) => Some("ListBuckets"),
        ("GET", _, false) if asks("location") => Some("GetBucketLocation"),
        ("GET", _, false) if asks("uploads") => Some("ListMultipartUploads"),
        ("GET", _, false) if asks("versions") => Some("ListObjectVersions"),
        ("GET", _, false) if asks("list-type") => Some("ListObjectsV2"),
        ("GET", _, false) => Some("ListObjects"),
        ("HEAD", true, false) => Some("HeadBucket"),
        ("PUT", true, false) => Some("CreateBucket"),
        ("DELETE", true, false) => Some("DeleteBucket"),
        ("POST", true, false) if asks("delete") => Some("DeleteObjects"),
        ("GET", _, true) if asks("uploadId") => Some("ListParts"),
        ("GET", _, true) if asks("tagging") => Some("GetObjectTagging"),
        ("GET", _, true) if asks("attributes") => Some("GetObjectAttributes"),
        ("GET", _, true) => Some("GetObject"),
        ("HEAD", _, true) => Some("HeadObject"),
        ("PUT", _, true) if asks("partNumber") => Some(if copies { "UploadPartCopy" } else { "UploadPart" }),
        ("PUT", _, true) if asks("tagging") => Some("PutObjectTagging"),
        ("PUT", _, true) => Some(if copies { "CopyObject" } else { "PutObject" }),
        ("DELETE", _, true) if asks("uploadId") => Some("AbortMultipartUpload"),
        ("DELETE", _, true) if asks("tagging") => Some("DeleteObjectTagging"),
        ("DELETE", _, true) => Some("DeleteObject"),
        ("POST", _, true) if asks("uploads") => Some("CreateMultipartUpload"),
        ("POST", _, true) if asks("uploadId") => Some("CompleteMultipartUpload"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_named() {
        let name = |service, method: &str, uri: &str, headers: &[(&'static str, &'static str)]| {
            let headers = headers
                .iter()
                .map(|(name, value)| (axum::http::HeaderName::from_static(name), value.parse().unwrap()))
                .collect();
            of(service, &method.parse().unwrap(), &uri.parse().unwrap(), &headers).name
        };
        let s3 = |method, uri| name(Service::S3, method, uri, &[]);
        assert_eq!(name(Service::Batch, "POST", "/v1/submitjob", &[]), "SubmitJob");
        assert_eq!(name(Service::Batch, "DELETE", "/v1/tags/arn%3Aaws", &[]), "UntagResource");
        assert_eq!(name(Service::Batch, "POST", "/v1/nonsense", &[]), "Unknown");
        let target = [("x-amz-target", "Logs_20140328.GetLogEvents")];
        assert_eq!(name(Service::Logs, "POST", "/", &target), "GetLogEvents");
        assert_eq!(s3("GET", "/"), "ListBuckets");
        assert_eq!(s3("GET", "/b?list-type=2&prefix=list"), "ListObjectsV2");
        assert_eq!(s3("GET", "/b/?prefix=uploads"), "ListObjects");
        assert_eq!(s3("HEAD", "/b"), "HeadBucket");
        assert_eq!(s3("PUT", "/b/k/l"), "PutObject");
        assert_eq!(s3("PUT", "/b/k?partNumber=1&uploadId=x"), "UploadPart");
        assert_eq!(s3("POST", "/b?delete"), "DeleteObjects");
        assert_eq!(s3("POST", "/b/k?uploads"), "CreateMultipartUpload");
        assert_eq!(name(Service::S3, "PUT", "/b/k", &[("x-amz-copy-source", "b/l")]), "CopyObject");
        assert_eq!(name(Service::S3, "GET", "/k", &[("host", "b.localhost:4566")]), "GetObject");
        assert_eq!(name(Service::S3, "GET", "/?list-type=2", &[("host", "b.s3.localhost")]), "ListObjectsV2");
    }
}
