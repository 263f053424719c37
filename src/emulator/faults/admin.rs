//! Faults set while the endpoint runs: `/.batchmap/faults`.
//!
//! | request | does |
//! | --- | --- |
//! | `GET` | tells the seed, the settings, and how often each fault has struck |
//! | `PUT` | sets these and no others |
//! | `PATCH` | sets these beside the others; null takes one away |
//! | `DELETE` | takes all away |
//! | `POST .../lose-hosts` | all attempts under way lose their hosts; with `{"jobs": [...]}` those of these jobs |
//!
//! Every answer is JSON; a refusal is 400 with a `message`. Web pages are refused here as everywhere.

use std::time::Duration;

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, Response, StatusCode};
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::{Faults, Fields, Gate};
use crate::emulator::batch;
use crate::map::spec;

const PATH: &str = "/.batchmap/faults";
const LOSE_HOSTS: &str = "/.batchmap/faults/lose-hosts";
const MAX_BODY: usize = 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether a path is one of these; no bucket can have such a name.
pub(super) fn is_for(path: &str) -> bool {
    path == PATH || path.strip_prefix(PATH).is_some_and(|rest| rest.starts_with('/'))
}

/// Why a request was refused.
struct Refused(StatusCode, String);

impl From<spec::Fault> for Refused {
    fn from(fault: spec::Fault) -> Self {
        Refused(StatusCode::BAD_REQUEST, fault.to_string())
    }
}

impl From<batch::Fault> for Refused {
    fn from(fault: batch::Fault) -> Self {
        let status = match fault {
            batch::Fault::Refused(_) => StatusCode::BAD_REQUEST,
            batch::Fault::Server(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Refused(status, fault.to_string())
    }
}

/// Answers one request.
pub(super) async fn answer(gate: &Gate, request: Request<Body>) -> Response<Body> {
    match carry_out(gate, request).await {
        Ok(answer) => Json(answer).into_response(),
        Err(Refused(status, message)) => (status, Json(json!({"message": message}))).into_response(),
    }
}

async fn carry_out(gate: &Gate, request: Request<Body>) -> Result<Value, Refused> {
    let (parts, body) = request.into_parts();
    let body = tokio::time::timeout(PATIENCE, to_bytes(body, MAX_BODY)).await;
    let body = body.map_err(|_| Refused(StatusCode::REQUEST_TIMEOUT, "the body did not come".to_owned()))?;
    let body =
        body.map_err(|error| Refused(StatusCode::PAYLOAD_TOO_LARGE, format!("the body cannot be taken: {error}")))?;
    match (parts.uri.path(), parts.method) {
        (PATH, Method::GET) => {}
        (PATH, Method::PUT) => drop(gate.change(|_| Ok::<_, Refused>(Faults::from_value(parse(&body)?)?))?),
        (PATH, Method::PATCH) => drop(gate.change(|set| Ok::<_, Refused>(set.patched(parse(&body)?)?))?),
        (PATH, Method::DELETE) => drop(gate.change(|_| Ok::<_, Refused>(Faults::default()))?),
        (LOSE_HOSTS, Method::POST) => {
            let given = if body.is_empty() { json!({}) } else { parse(&body)? };
            let mut fields = Fields::of("", given, "jobs");
            let jobs = fields.names("jobs")?;
            fields.end()?;
            return Ok(json!(gate.lose_hosts(jobs)?));
        }
        (PATH | LOSE_HOSTS, method) => {
            let message = format!("{method} is none of GET, PUT, PATCH, DELETE {PATH} and POST {LOSE_HOSTS}");
            return Err(Refused(StatusCode::METHOD_NOT_ALLOWED, message));
        }
        (path, _) => return Err(Refused(StatusCode::NOT_FOUND, format!("there is no {path}; use {PATH}"))),
    }
    Ok(json!({"seed": gate.seed(), "faults": *gate.faults(), "struck": gate.struck()}))
}

fn parse(body: &[u8]) -> Result<Value, Refused> {
    let why = |error| {
        Refused(StatusCode::BAD_REQUEST, format!("the body is not JSON: {error}; give such as {{\"throttle\": 0.1}}"))
    };
    serde_json::from_slice(body).map_err(why)
}
