//! The JSON 1.1 face.

mod events;
mod groups;

use std::io;

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::store::LogStore;

/// The account and region in every ARN.
const PLACE: &str = "us-east-1:000000000000";

/// Answers one request: `target` is the header `X-Amz-Target`, such as `Logs_20140328.GetLogEvents`. Reads files: call it
/// where that may take its time.
pub fn answer(store: &LogStore, target: &str, body: &[u8]) -> Response {
    let result = match target.strip_prefix("Logs_20140328.") {
        Some("GetLogEvents") => parse(body).and_then(|request| events::get(store, &request)),
        Some("FilterLogEvents") => parse(body).and_then(|request| events::filter(store, &request)),
        Some("DescribeLogGroups") => parse(body).and_then(|request| groups::describe(store, &request)),
        Some("DescribeLogStreams") => parse(body).and_then(|request| groups::describe_streams(store, &request)),
        Some("CreateLogGroup") => parse(body).and_then(|request| groups::create(store, request)),
        Some("DeleteLogGroup") => parse(body).and_then(|request| groups::delete(store, &request)),
        Some("PutRetentionPolicy") => parse(body).and_then(|request| groups::retain(store, &request)),
        Some("DeleteRetentionPolicy") => parse(body).and_then(|request| groups::forget_retention(store, &request)),
        Some("ListTagsForResource") => parse(body).and_then(|request| groups::tags(store, &request)),
        Some("ListTagsLogGroup") => parse(body).and_then(|request| groups::tags(store, &request)),
        Some("TagResource") => parse(body).and_then(|request| groups::tag(store, request)),
        Some("UntagResource") => parse(body).and_then(|request| groups::untag(store, &request)),
        Some(other) => {
            Err(Fault::unknown(format!("{other} is not an operation of CloudWatch Logs that this endpoint has")))
        }
        None => Err(Fault::unknown(format!("'{target}' is not an operation of CloudWatch Logs"))),
    };
    let (status, value) = match result {
        Ok(value) => (StatusCode::OK, value),
        Err(fault) => (fault.status, json!({"__type": fault.code, "message": fault.message})),
    };
    (status, [(header::CONTENT_TYPE, "application/x-amz-json-1.1")], Json(value)).into_response()
}

#[derive(Debug)]
struct Fault {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Fault {
    fn of(code: &'static str, message: impl Into<String>) -> Fault {
        Fault { status: StatusCode::BAD_REQUEST, code, message: message.into() }
    }

    fn invalid(message: impl Into<String>) -> Fault {
        Fault::of("InvalidParameterException", message)
    }

    fn unknown(message: String) -> Fault {
        Fault::of("UnknownOperationException", message)
    }

    fn no_group() -> Fault {
        Fault::of("ResourceNotFoundException", "The specified log group does not exist.")
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Fault {
        if error.kind() == io::ErrorKind::NotFound {
            return Fault::of("ResourceNotFoundException", "The specified log stream does not exist.");
        }
        let code = "ServiceUnavailableException";
        Fault { status: StatusCode::INTERNAL_SERVER_ERROR, code, message: error.to_string() }
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| Fault::of("SerializationException", error.to_string()))
}

/// The group by name, or by its ARN.
fn group(store: &LogStore, name: Option<&String>, identifier: Option<&String>) -> Result<String, Fault> {
    let given = match (name, identifier) {
        (Some(name), None) => name,
        (None, Some(identifier)) => of_arn(identifier),
        (None, None) => return Err(Fault::invalid("logGroupName or logGroupIdentifier must be given")),
        (Some(_), Some(_)) => {
            return Err(Fault::invalid("logGroupName and logGroupIdentifier are both given; expected one"));
        }
    };
    check_name(given)?;
    if store.has(given) { Ok(given.to_owned()) } else { Err(Fault::no_group()) }
}

/// The name in `arn:aws:logs:<region>:<account>:log-group:<name>[:*]`; a name as it is.
fn of_arn(given: &str) -> &str {
    match given.starts_with("arn:") {
        true => given.splitn(7, ':').nth(6).unwrap_or(given).trim_end_matches(":*"),
        false => given,
    }
}

fn check_name(name: &str) -> Result<(), Fault> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_/#".contains(&byte);
    match (1..=512).contains(&name.len()) && name.bytes().all(plain) {
        true => Ok(()),
        false => Err(Fault::invalid(format!(
            "Value '{name}' at 'logGroupName' failed to satisfy constraint: 1 to 512 of a-z A-Z 0-9 . - _ / #"
        ))),
    }
}

/// A limit within its bounds; the upper one when absent.
fn limit(given: Option<i64>, most: usize) -> Result<usize, Fault> {
    let Some(given) = given else { return Ok(most) };
    match usize::try_from(given) {
        Ok(limit) if (1..=most).contains(&limit) => Ok(limit),
        _ => Err(Fault::invalid(format!("limit must be between 1 and {most}, but was {given}"))),
    }
}

fn bad_token() -> Fault {
    Fault::invalid("The specified nextToken is invalid.")
}
