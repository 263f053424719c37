//! Errors as AWS's clients read them.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::super::model::Refusal;
use super::super::service::Fault;
use super::MAX_BODY;

/// An error as AWS's clients read it.
pub(super) struct Error {
    pub(super) status: StatusCode,
    pub(super) kind: &'static str,
    pub(super) message: String,
}

impl Error {
    pub(super) fn client(message: String) -> Error {
        Error { status: StatusCode::BAD_REQUEST, kind: "ClientException", message }
    }

    /// A path or query that is no text.
    pub(super) fn unreadable(uri: &Uri, why: &str) -> Error {
        Error::client(format!("the URL '{uri}' cannot be read: {why}; its escapes must be those of UTF-8"))
    }

    pub(super) fn too_large(error: &axum::Error) -> Error {
        Error::client(format!("the request's body cannot be taken (at most {MAX_BODY} bytes): {error}"))
    }
}

/// An operation of AWS Batch for service jobs and the like, of which this endpoint has none.
pub(super) fn absent(operation: &str) -> Error {
    Error::client(format!(
        "{operation} is not available: this endpoint runs container jobs, and has no service jobs, service environments or \
         quota shares"
    ))
}

pub(super) fn unknown(what: &str) -> Error {
    Error {
        status: StatusCode::NOT_FOUND,
        kind: "UnknownOperationException",
        message: format!("'{what}' is not an operation of AWS Batch; operations are POST /v1/<name in lower case>"),
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        Error::client(refusal.0)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Error {
        match fault {
            Fault::Refused(refusal) => refusal.into(),
            Fault::Server(message) => {
                Error { status: StatusCode::INTERNAL_SERVER_ERROR, kind: "ServerException", message }
            }
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let kind = HeaderValue::from_static(self.kind);
        (self.status, [("x-amzn-errortype", kind)], Json(json!({"message": self.message}))).into_response()
    }
}
