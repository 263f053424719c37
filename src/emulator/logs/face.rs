//! The JSON 1.1 face: GetLogEvents and FilterLogEvents.

use std::io;

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::store::{LogEvent, LogStore, Window};

const MAX_LIMIT: i64 = 10_000;

/// Answers one request: `target` is the header `X-Amz-Target`, such as `Logs_20140328.GetLogEvents`.
pub fn answer(store: &LogStore, target: &str, body: &[u8]) -> Response {
    let operation = target.strip_prefix("Logs_20140328.");
    let result = match operation {
        Some("GetLogEvents") => parse(body).and_then(|request| get(store, &request)),
        Some("FilterLogEvents") => parse(body).and_then(|request| filter(store, &request)),
        Some(other) => Err(Fault::unknown(format!("{other} is not yet implemented by this endpoint"))),
        None => Err(Fault::unknown(format!("'{target}' is not an operation of CloudWatch Logs"))),
    };
    let (status, value) = match result {
        Ok(value) => (StatusCode::OK, value),
        Err(fault) => (fault.status, json!({"__type": fault.code, "message": fault.message})),
    };
    (status, [(header::CONTENT_TYPE, "application/x-amz-json-1.1")], Json(value)).into_response()
}

struct Fault {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Fault {
    fn invalid(message: impl Into<String>) -> Fault {
        Fault { status: StatusCode::BAD_REQUEST, code: "InvalidParameterException", message: message.into() }
    }

    fn unknown(message: String) -> Fault {
        Fault { status: StatusCode::BAD_REQUEST, code: "UnknownOperationException", message }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Fault {
        if error.kind() == io::ErrorKind::NotFound {
            let message = "The specified log stream does not exist.".to_owned();
            return Fault { status: StatusCode::BAD_REQUEST, code: "ResourceNotFoundException", message };
        }
        let code = "ServiceUnavailableException";
        Fault { status: StatusCode::INTERNAL_SERVER_ERROR, code, message: error.to_string() }
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(body).map_err(|error| Fault {
        status: StatusCode::BAD_REQUEST,
        code: "SerializationException",
        message: error.to_string(),
    })
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct GetLogEvents {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
    log_stream_name: String,
    start_time: Option<u64>,
    end_time: Option<u64>,
    next_token: Option<String>,
    limit: Option<i64>,
    start_from_head: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct FilterLogEvents {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
    log_stream_names: Vec<String>,
    log_stream_name_prefix: Option<String>,
    start_time: Option<u64>,
    end_time: Option<u64>,
    filter_pattern: Option<String>,
    next_token: Option<String>,
    limit: Option<i64>,
}

/// The group by name, or by the end of its ARN.
fn group(name: Option<&String>, identifier: Option<&String>) -> Result<String, Fault> {
    let given = name.or(identifier).ok_or_else(|| Fault::invalid("logGroupName must be given"))?;
    let name = match given.starts_with("arn:") {
        true => given.splitn(7, ':').nth(6).unwrap_or(given).trim_end_matches(":*"),
        false => given,
    };
    Ok(name.to_owned())
}

fn window(limit: Option<i64>, start: Option<u64>, end: Option<u64>) -> Result<Window, Fault> {
    let limit = limit.unwrap_or(MAX_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Fault::invalid(format!("limit must be between 1 and {MAX_LIMIT}, but was {limit}")));
    }
    Ok(Window { limit: limit as usize, start_ms: start.unwrap_or(0), end_ms: end.unwrap_or(u64::MAX) })
}

fn get(store: &LogStore, request: &GetLogEvents) -> Result<Value, Fault> {
    let group = group(request.log_group_name.as_ref(), request.log_group_identifier.as_ref())?;
    let window = window(request.limit, request.start_time, request.end_time)?;
    let stream = &request.log_stream_name;
    let bad = || Fault::invalid("The specified nextToken is invalid.");
    let offset = |text: &str| text.parse::<u64>().map_err(|_| bad());
    let page = match request.next_token.as_deref().map(|token| token.split_once('/').ok_or_else(bad)) {
        Some(Ok(("f", at))) => store.forward(&group, stream, offset(at)?, window)?,
        Some(Ok(("b", at))) => store.backward(&group, stream, Some(offset(at)?), window)?,
        Some(_) => return Err(bad()),
        None if request.start_from_head => store.forward(&group, stream, 0, window)?,
        None => store.backward(&group, stream, None, window)?,
    };
    let events: Vec<Value> = page
        .events
        .iter()
        .map(|e| json!({"timestamp": e.timestamp_ms, "message": e.message, "ingestionTime": e.timestamp_ms}))
        .collect();
    Ok(json!({
        "events": events,
        "nextForwardToken": format!("f/{}", page.end),
        "nextBackwardToken": format!("b/{}", page.begin),
    }))
}

/// Stream after stream in order of name; a token is `<offset>/<stream>`.
fn filter(store: &LogStore, request: &FilterLogEvents) -> Result<Value, Fault> {
    let group = group(request.log_group_name.as_ref(), request.log_group_identifier.as_ref())?;
    let window = window(request.limit, request.start_time, request.end_time)?;
    let terms = terms(request.filter_pattern.as_deref().unwrap_or_default())?;
    let mut streams = request.log_stream_names.clone();
    if streams.is_empty() {
        streams = store.streams(&group, request.log_stream_name_prefix.as_deref().unwrap_or_default())?;
    }
    streams.sort();
    let (mut offset, first) = match request.next_token.as_deref() {
        None => (0, String::new()),
        Some(token) => token
            .split_once('/')
            .and_then(|(offset, stream)| Some((offset.parse::<u64>().ok()?, stream.to_owned())))
            .ok_or_else(|| Fault::invalid("The specified nextToken is invalid."))?,
    };
    let mut events = Vec::new();
    for stream in streams.iter().filter(|stream| **stream >= first) {
        loop {
            let rest = Window { limit: window.limit - events.len(), ..window };
            let page = store.forward(&group, stream, offset, rest)?;
            let found = page.events.iter().filter(|event| terms.iter().all(|term| event.message.contains(term)));
            events.extend(found.map(|event| filtered(stream, event)));
            if events.len() >= window.limit {
                return Ok(json!({"events": events, "nextToken": format!("{}/{stream}", page.end)}));
            }
            if page.end == offset {
                break;
            }
            offset = page.end;
        }
        offset = 0;
    }
    Ok(json!({"events": events, "searchedLogStreams": []}))
}

fn filtered(stream: &str, event: &LogEvent) -> Value {
    json!({
        "logStreamName": stream,
        "timestamp": event.timestamp_ms,
        "message": event.message,
        "ingestionTime": event.timestamp_ms,
        "eventId": format!("{:020}{:036}", event.timestamp_ms, event.offset),
    })
}

/// A pattern of plain or quoted terms, all of which must occur.
fn terms(pattern: &str) -> Result<Vec<String>, Fault> {
    let mut found = Vec::new();
    let mut rest = pattern.trim();
    while !rest.is_empty() {
        let end = match rest.strip_prefix('"') {
            Some(quoted) => quoted.find('"').map(|at| at + 2),
            None => Some(rest.find(char::is_whitespace).unwrap_or(rest.len())),
        };
        let end = end.ok_or_else(|| Fault::invalid("filterPattern has a quote without its end"))?;
        let term = &rest[..end];
        if term.starts_with(['{', '[', '?', '-', '%']) {
            return Err(Fault::invalid(format!(
                "filterPattern '{term}' is not yet implemented by this endpoint: use plain or quoted terms"
            )));
        }
        found.push(term.trim_matches('"').to_owned());
        rest = rest[end..].trim_start();
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_terms_that_must_all_occur() {
        let parsed = |pattern| terms(pattern).map_err(|fault| fault.message);
        assert_eq!(parsed("  ERROR \"out of memory\" x"), Ok(vec!["ERROR".into(), "out of memory".into(), "x".into()]));
        assert_eq!(parsed(""), Ok(vec![]));
        assert!(parsed("{ $.a = 1 }").is_err());
        assert!(parsed("\"open").is_err());
    }

    #[test]
    fn filtering_reads_stream_after_stream_in_pages() {
        let dir = tempfile::tempdir().unwrap();
        let store = LogStore::new(dir.path().to_owned());
        for stream in ["d/default/a", "d/default/b", "e/default/c"] {
            let mut writer = store.writer("/g", stream).unwrap();
            for n in 0..5 {
                writer.push(n + 1, format!("line {n} of {stream}\n").as_bytes()).unwrap();
            }
        }
        let ask = |body: Value| -> FilterLogEvents { serde_json::from_value(body).unwrap() };
        let mut request = ask(json!({"logGroupName": "/g", "logStreamNamePrefix": "d/", "limit": 3}));
        let mut seen = Vec::new();
        loop {
            let Ok(answer) = filter(&store, &request) else { panic!("refused") };
            seen.extend(answer["events"].as_array().unwrap().iter().map(|e| e["message"].as_str().unwrap().to_owned()));
            match answer["nextToken"].as_str() {
                Some(token) => request.next_token = Some(token.to_owned()),
                None => break,
            }
        }
        assert_eq!(seen.len(), 10);
        assert_eq!((seen[0].as_str(), seen[9].as_str()), ("line 0 of d/default/a", "line 4 of d/default/b"));
        let Ok(answer) = filter(&store, &ask(json!({"logGroupName": "/g", "filterPattern": "\"line 3\""}))) else {
            panic!("refused")
        };
        assert_eq!(answer["events"].as_array().unwrap().len(), 3);
    }
}
