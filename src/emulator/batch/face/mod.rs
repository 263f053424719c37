//! The REST-JSON face of Batch, and the way to CloudWatch Logs.

mod error;
mod jobs;
mod places;

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::error::{Error, later};
use super::model::Input;
use super::service::Service;
use crate::emulator::logs;

/// Well above the largest valid request (30 KiB): what is larger than a limit is told so, not cut off.
const MAX_BODY: usize = 1024 * 1024;

const LOGS_TARGET: &str = "Logs_20140328.";

/// The operations of the Batch API that this endpoint does not have yet.
const LATER: [&str; 38] = [
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
    "DescribeConsumableResource",
    "DescribeQuotaShare",
    "DescribeSchedulingPolicies",
    "DescribeServiceEnvironments",
    "DescribeServiceJob",
    "GetJobQueueSnapshot",
    "ListConsumableResources",
    "ListJobsByConsumableResource",
    "ListQuotaShares",
    "ListSchedulingPolicies",
    "ListServiceJobs",
    "ListTagsForResource",
    "SubmitServiceJob",
    "TagResource",
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

/// Whether a request on a shared port is Batch's or the logs', and not S3's: by the service its signature names, else by its
/// target or path.
pub fn is_ours(method: &Method, path: &str, headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if let Some(scope) = text("authorization").split("Credential=").nth(1) {
        // key/date/region/service/aws4_request
        let service = scope.split(',').next().and_then(|scope| scope.trim().rsplit('/').nth(1));
        if let Some(service) = service {
            return matches!(service, "batch" | "logs");
        }
    }
    text("x-amz-target").starts_with(LOGS_TARGET) || (method == Method::POST && path.starts_with("/v1/"))
}

pub(super) fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/", post(read_logs))
        .route("/v1/tags/{*arn}", any(tags))
        .route("/v1/{operation}", post(batch))
        .with_state(service)
}

async fn read_logs(State(service): State<Arc<Service>>, request: Request<Body>) -> Response {
    let target = request.headers().get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let target = target.to_owned();
    match to_bytes(request.into_body(), MAX_BODY).await {
        Ok(body) => logs::answer(service.logs(), &target, &body),
        Err(error) => Error::too_large(&error).into_response(),
    }
}

async fn tags(method: Method) -> Response {
    let operation = match method {
        Method::POST => "TagResource",
        Method::DELETE => "UntagResource",
        _ => "ListTagsForResource",
    };
    later(operation).into_response()
}

async fn batch(State(service): State<Arc<Service>>, Path(operation): Path<String>, request: Request<Body>) -> Response {
    let body = match to_bytes(request.into_body(), MAX_BODY).await {
        Ok(body) => body,
        Err(error) => return Error::too_large(&error).into_response(),
    };
    let before = service.position();
    let answered = answer(&service, &operation, &body);
    // What is answered must survive; a reader need not wait for others' changes.
    let durable = if service.position() == before { Ok(()) } else { service.durable().await };
    durable.map_err(Error::from).and(answered).unwrap_or_else(IntoResponse::into_response)
}

fn answer(service: &Arc<Service>, operation: &str, body: &[u8]) -> Result<Response, Error> {
    for group in [jobs::answer, places::answer] {
        if let Some(response) = group(service, operation, body)? {
            return Ok(response);
        }
    }
    match LATER.iter().find(|known| known.eq_ignore_ascii_case(operation)) {
        Some(known) => Err(later(known)),
        None => Err(Error {
            status: StatusCode::NOT_FOUND,
            kind: "UnknownOperationException",
            message: format!("'{operation}' is not an operation of AWS Batch"),
        }),
    }
}

fn change(service: &Arc<Service>, input: Input) -> Result<Response, Error> {
    ok(service.change(input)?)
}

fn ok(answer: impl Serialize) -> Result<Response, Error> {
    Ok(Json(answer).into_response())
}

/// A request's body; an absent one is an empty object.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| Error {
        status: StatusCode::BAD_REQUEST,
        kind: "SerializationException",
        message: format!("the request's body cannot be read: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart_by_their_signature() {
        let signed = |service: &str| {
            let value =
                format!("AWS4-HMAC-SHA256 Credential=x/20261122/us-east-1/{service}/aws4_request, SignedHeaders=host");
            HeaderMap::from_iter([("authorization".parse().unwrap(), value.parse().unwrap())])
        };
        let target =
            HeaderMap::from_iter([("x-amz-target".parse().unwrap(), "Logs_20140328.GetLogEvents".parse().unwrap())]);
        for (method, path, headers, ours) in [
            (Method::POST, "/v1/submitjob", signed("batch"), true),
            (Method::GET, "/v1/tags/x", signed("batch"), true),
            (Method::POST, "/", signed("logs"), true),
            (Method::POST, "/v1/object?uploads", signed("s3"), false),
            (Method::POST, "/", target, true),
            (Method::POST, "/v1/submitjob", HeaderMap::new(), true),
            (Method::GET, "/v1/object", HeaderMap::new(), false),
        ] {
            assert_eq!(is_ours(&method, path, &headers), ours, "{method} {path} {headers:?}");
        }
    }
}
