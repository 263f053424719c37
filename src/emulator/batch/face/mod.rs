//! The REST-JSON face of Batch, and the way to CloudWatch Logs.

mod error;
mod jobs;
mod places;
mod request;
mod strict;
mod tags;

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{Method, Request, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};
use serde::Serialize;

use self::error::{Error, absent, unknown};
use self::request::{parse, prepare};
use super::model::Input;
use super::service::Service;
use crate::emulator::logs;

/// Well above the largest valid request (30 KiB): what is larger than a limit is told so, not cut off.
const MAX_BODY: usize = 1024 * 1024;

/// The operations of the Batch API for what this endpoint has none of.
const ABSENT: [&str; 15] = [
    "CreateQuotaShare",
    "CreateServiceEnvironment",
    "DeleteQuotaShare",
    "DeleteServiceEnvironment",
    "DescribeQuotaShare",
    "DescribeServiceEnvironments",
    "DescribeServiceJob",
    "ListQuotaShares",
    "ListServiceJobs",
    "SubmitServiceJob",
    "TerminateServiceJob",
    "TerminateServiceJobs",
    "UpdateQuotaShare",
    "UpdateServiceEnvironment",
    "UpdateServiceJob",
];

pub(super) fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/", post(read_logs))
        .route("/v1/tags/{*arn}", any(tags::tags))
        .route("/v1/{operation}", any(batch))
        .fallback(|uri: Uri| async move { unknown(uri.path()).into_response() })
        .with_state(service)
}

async fn read_logs(State(service): State<Arc<Service>>, request: Request<Body>) -> Response {
    let target = request.headers().get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let target = target.to_owned();
    match to_bytes(request.into_body(), MAX_BODY).await {
        // It reads files, of which there may be thousands: not on a thread that serves.
        Ok(body) => match tokio::task::spawn_blocking(move || logs::answer(service.logs(), &target, &body)).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::error!(%error, "reading logs broke");
                axum::http::StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        },
        Err(error) => Error::too_large(&error).into_response(),
    }
}

async fn batch(
    State(service): State<Arc<Service>>,
    path: Result<Path<String>, PathRejection>,
    request: Request<Body>,
) -> Response {
    let operation = match path {
        Ok(Path(operation)) => operation,
        Err(rejection) => return Error::unreadable(request.uri(), &rejection.body_text()).into_response(),
    };
    if request.method() != Method::POST {
        return unknown(&format!("{} /v1/{operation}", request.method())).into_response();
    }
    let body = match to_bytes(request.into_body(), MAX_BODY).await {
        Ok(body) => body,
        Err(error) => return Error::too_large(&error).into_response(),
    };
    durably(&service, || answer(&service, &operation, &body)).await
}

/// Answers once what the answer tells is on the disk.
async fn durably(service: &Service, answer: impl FnOnce() -> Result<Response, Error>) -> Response {
    let answered = answer();
    // Also what a reader is told of others' doing must not be taken back.
    service.durable().await.map_err(Error::from).and(answered).unwrap_or_else(IntoResponse::into_response)
}

fn answer(service: &Arc<Service>, operation: &str, body: &[u8]) -> Result<Response, Error> {
    if let Some(known) = ABSENT.iter().find(|known| known.eq_ignore_ascii_case(operation)) {
        return Err(absent(known));
    }
    let body = prepare(operation, body)?;
    for group in [jobs::answer, places::answer] {
        if let Some(response) = group(service, operation, &body)? {
            return Ok(response);
        }
    }
    Err(unknown(operation))
}

fn change(service: &Arc<Service>, input: Input) -> Result<Response, Error> {
    ok(service.change(input)?)
}

fn ok(answer: impl Serialize) -> Result<Response, Error> {
    Ok(Json(answer).into_response())
}
