//! Refusals as each service writes them.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use serde_json::json;

use super::gate::Fate;
use super::operation::{Operation, Service};

/// The answer to a request that is throttled or denied, or fails for the server's own reasons.
pub(super) fn refusal(operation: Operation, fate: Fate) -> Response<Body> {
    let what = match fate {
        Fate::Throttled => "refused for its rate",
        Fate::Denied => "denied",
        Fate::Failed | Fate::Lost | Fate::Pass => "failed",
    };
    let message = format!("{} was {what}: a fault that was ordered", operation.name);
    let (status, code) = match (operation.service, fate) {
        (Service::Batch, Fate::Throttled) => (StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException"),
        (Service::Batch, Fate::Denied) => (StatusCode::FORBIDDEN, "AccessDeniedException"),
        (Service::Batch, _) => (StatusCode::INTERNAL_SERVER_ERROR, "ServerException"),
        (Service::Logs, Fate::Throttled) => (StatusCode::BAD_REQUEST, "ThrottlingException"),
        (Service::Logs, Fate::Denied) => (StatusCode::BAD_REQUEST, "AccessDeniedException"),
        (Service::Logs, _) => (StatusCode::INTERNAL_SERVER_ERROR, "ServiceUnavailableException"),
        (Service::S3, Fate::Throttled) => (StatusCode::SERVICE_UNAVAILABLE, "SlowDown"),
        (Service::S3, Fate::Denied) => (StatusCode::FORBIDDEN, "AccessDenied"),
        (Service::S3, _) => (StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
    };
    let (kind, body) = match operation.service {
        Service::Batch => ("application/json", json!({"message": message}).to_string()),
        Service::Logs => ("application/x-amz-json-1.1", json!({"__type": code, "message": message}).to_string()),
        // A HEAD's answer has no body, and the server leaves it out.
        Service::S3 => ("application/xml", xml(code, &message)),
    };
    let mut response = (status, [(header::CONTENT_TYPE, kind)], body).into_response();
    if operation.service == Service::Batch {
        response.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(code));
    }
    response
}

/// Neither text needs escaping: both are ours.
fn xml(code: &str, message: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    )
}
