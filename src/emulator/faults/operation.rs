//! Which operation a request is: what faults are limited to.

use axum::http::{HeaderMap, Method, Uri, header};

/// One of the services of the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Service {
    Batch,
    Logs,
    S3,
}

impl Service {
    /// As settings name it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Service::Batch => "batch",
            Service::Logs => "logs",
            Service::S3 => "s3",
        }
    }
}

/// A request's operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Operation {
    pub(super) service: Service,
    /// As AWS spells it; `Unknown` for what is none.
    pub(super) name: &'static str,
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
const S3: [&str; 24] = [
    "AbortMultipartUpload",
    "CompleteMultipartUpload",
    "CopyObject",
    "CreateBucket",
    "CreateMultipartUpload",
    "DeleteBucket",
    "DeleteObject",
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

fn s3(method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<&'static str> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(name, _)| name);
    // `<bucket>.localhost` and `<bucket>.s3.localhost` name the bucket.
    let in_host = host.strip_suffix(".localhost").is_some_and(|bucket| bucket != "s3");
    let path = uri.path().trim_start_matches('/');
    let (bucket, key) = match in_host {
        true => (true, !path.is_empty()),
        false => (!path.is_empty(), path.split_once('/').is_some_and(|(_, key)| !key.is_empty())),
    };
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
