//! GetLogEvents and FilterLogEvents.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::merge::{Merged, Place};
use super::super::pattern::Pattern;
use super::super::store::{LogEvent, LogStore, Window};
use super::{Fault, bad_token, group, limit};

/// Events of a page.
const MOST: usize = 10_000;
/// Bytes of messages on a page.
const PAGE: usize = 1024 * 1024;
/// Bytes of messages looked at for a page: one that finds nothing in them ends all the same, and the next goes on.
const SEARCH: usize = 64 * 1024 * 1024;
/// Streams that may be named.
const NAMED: usize = 100;

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct GetLogEvents {
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
pub(super) struct FilterLogEvents {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
    log_stream_names: Option<Vec<String>>,
    log_stream_name_prefix: Option<String>,
    start_time: Option<u64>,
    end_time: Option<u64>,
    filter_pattern: Option<String>,
    next_token: Option<String>,
    limit: Option<i64>,
}

fn check_times(start: Option<u64>, end: Option<u64>) -> Result<(), Fault> {
    match (start, end) {
        (Some(start), Some(end)) if start > end => {
            Err(Fault::invalid(format!("startTime {start} is after endTime {end}")))
        }
        _ => Ok(()),
    }
}

/// A token is a direction and a place in the stream; at either end it is the one that was given.
pub(super) fn get(store: &LogStore, request: &GetLogEvents) -> Result<Value, Fault> {
    let group = group(store, request.log_group_name.as_ref(), request.log_group_identifier.as_ref())?;
    check_times(request.start_time, request.end_time)?;
    let (start_ms, end_ms) = (request.start_time.unwrap_or(0), request.end_time.unwrap_or(u64::MAX));
    let window = Window { limit: limit(request.limit, MOST)?, start_ms, end_ms };
    let stream = &request.log_stream_name;
    let offset = |text: &str| text.parse::<u64>().map_err(|_| bad_token());
    let page = match request.next_token.as_deref().map(|token| token.split_once('/').ok_or_else(bad_token)) {
        Some(Ok(("f", at))) => store.forward(&group, stream, offset(at)?, window)?,
        Some(Ok(("b", at))) => store.backward(&group, stream, Some(offset(at)?), window)?,
        Some(_) => return Err(bad_token()),
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

/// The streams that are to be searched.
fn streams(store: &LogStore, group: &str, request: &FilterLogEvents) -> Result<Vec<String>, Fault> {
    let names = request.log_stream_names.as_deref().unwrap_or_default();
    match (names, request.log_stream_name_prefix.as_deref()) {
        ([], prefix) => Ok(store.streams(group, prefix.unwrap_or_default())?),
        (_, Some(_)) => Err(Fault::invalid("logStreamNames and logStreamNamePrefix are both given; expected one")),
        (names, None) if names.len() > NAMED => {
            Err(Fault::invalid(format!("logStreamNames has {} names; at most {NAMED} are taken", names.len())))
        }
        (names, None) => {
            let mut names = names.to_vec();
            names.sort();
            names.dedup();
            Ok(names)
        }
    }
}

/// All streams by time. A token is the place of the last event that was looked at: `<time>/<offset>/<stream>`.
pub(super) fn filter(store: &LogStore, request: &FilterLogEvents) -> Result<Value, Fault> {
    let group = group(store, request.log_group_name.as_ref(), request.log_group_identifier.as_ref())?;
    check_times(request.start_time, request.end_time)?;
    let limit = limit(request.limit, MOST)?;
    let pattern = Pattern::parse(request.filter_pattern.as_deref().unwrap_or_default()).map_err(Fault::invalid)?;
    let streams = streams(store, &group, request)?;
    let after = request.next_token.as_deref().map(|token| place(token).ok_or_else(bad_token)).transpose()?;
    // Unlike GetLogEvents, this one takes what happened at the very end in.
    let end_ms = request.end_time.map_or(u64::MAX, |end| end.saturating_add(1));
    let mut merged = Merged::new(store, &group, &streams, request.start_time.unwrap_or(0), end_ms, after)?;
    let (mut events, mut size, mut searched) = (Vec::new(), 0, 0);
    let mut last: Option<Place> = None;
    while let Some((stream, event)) = merged.next()? {
        let fits = pattern.fits(&event.message);
        if fits && size + event.message.len() > PAGE && !events.is_empty() {
            return Ok(filtered(events, last));
        }
        searched += event.message.len();
        last = Some((event.timestamp_ms, stream.clone(), event.offset));
        if fits {
            size += event.message.len();
            events.push(found(&stream, &event));
        }
        if events.len() == limit || searched > SEARCH {
            // Whether anything follows is for the next page to say, but for the last page of all.
            let more = merged.next()?.is_some();
            return Ok(filtered(events, last.filter(|_| more)));
        }
    }
    Ok(filtered(events, None))
}

fn filtered(events: Vec<Value>, next: Option<Place>) -> Value {
    let mut answer = json!({"events": events, "searchedLogStreams": []});
    if let Some((time, stream, offset)) = next {
        answer["nextToken"] = format!("{time}/{offset}/{stream}").into();
    }
    answer
}

fn place(token: &str) -> Option<Place> {
    let mut parts = token.splitn(3, '/');
    let (time, offset) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    Some((time, parts.next()?.to_owned(), offset))
}

fn found(stream: &str, event: &LogEvent) -> Value {
    // Unlike any other event's: two streams may hold the same at the same time.
    let stream_id = &blake3::hash(stream.as_bytes()).to_hex()[..16];
    json!({
        "logStreamName": stream,
        "timestamp": event.timestamp_ms,
        "message": event.message,
        "ingestionTime": event.timestamp_ms,
        "eventId": format!("{:020}{:020}{stream_id}", event.timestamp_ms, event.offset),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(dir: &std::path::Path) -> LogStore {
        let store = LogStore::new(dir.to_owned());
        for (at, stream) in ["d/default/a", "d/default/b", "e/default/c"].into_iter().enumerate() {
            let mut writer = store.writer("/g", stream).unwrap();
            for n in 0..100 {
                writer.push(10 * n + at as u64, format!("line {n} of {stream}\n").as_bytes()).unwrap();
            }
        }
        store
    }

    fn ask(body: Value) -> FilterLogEvents {
        serde_json::from_value(body).unwrap()
    }

    fn all(store: &LogStore, mut body: Value) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            let answer = filter(store, &ask(body.clone())).unwrap();
            seen.extend(answer["events"].as_array().unwrap().iter().map(|e| e["message"].as_str().unwrap().to_owned()));
            match answer["nextToken"].as_str() {
                Some(token) => body["nextToken"] = token.into(),
                None => return seen,
            }
        }
    }

    #[test]
    fn filtering_reads_streams_by_time_in_pages_of_any_size() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let expected: Vec<String> =
            (0..100).flat_map(|n| ["a", "b"].map(|s| format!("line {n} of d/default/{s}"))).collect();
        for limit in [1, 3, 64, 200, 1000] {
            let body = json!({"logGroupName": "/g", "logStreamNamePrefix": "d/", "limit": limit});
            assert_eq!(all(&store, body), expected, "{limit}");
        }
        let within = json!({"logGroupName": "/g", "startTime": 11, "endTime": 20, "limit": 1});
        assert_eq!(all(&store, within), ["line 1 of d/default/b", "line 1 of e/default/c", "line 2 of d/default/a"]);
        let words = json!({"logGroupName": "/g", "filterPattern": "\"line 3\" -default/c -\"3 of d\""});
        assert!(filter(&store, &ask(words)).is_err(), "a slash wants quotes");
        let words = json!({"logGroupName": "/g", "filterPattern": "\"line 3 \" -\"default/c\"", "limit": 1});
        assert_eq!(all(&store, words), ["line 3 of d/default/a", "line 3 of d/default/b"]);
    }

    #[test]
    fn events_of_the_same_time_are_neither_lost_nor_repeated() {
        let dir = tempfile::tempdir().unwrap();
        let store = LogStore::new(dir.path().to_owned());
        for stream in ["a", "b", "c"] {
            let mut writer = store.writer("/g", stream).unwrap();
            (0..150).for_each(|n| writer.push(7, format!("{stream}{n}\n").as_bytes()).unwrap());
        }
        for limit in [1, 7, 150, 151] {
            let seen = all(&store, json!({"logGroupName": "/g", "limit": limit}));
            let unique: std::collections::BTreeSet<_> = seen.iter().collect();
            assert_eq!((seen.len(), unique.len()), (450, 450), "{limit}");
        }
    }

    #[test]
    fn contradictions_and_unknown_names_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let code = |body: Value| filter(&store, &ask(body)).map_err(|fault| fault.code);
        assert_eq!(code(json!({"logGroupName": "/none"})), Err("ResourceNotFoundException"));
        assert_eq!(code(json!({"logGroupName": "/g", "logStreamNames": ["none"]})), Err("ResourceNotFoundException"));
        let both = json!({"logGroupName": "/g", "logStreamNames": ["a"], "logStreamNamePrefix": "a"});
        for bad in [json!({}), both, json!({"logGroupName": "/g", "startTime": 2, "endTime": 1})] {
            assert_eq!(code(bad), Err("InvalidParameterException"));
        }
        for bad in [json!({"logGroupName": "/g", "limit": 0}), json!({"logGroupName": "/g", "nextToken": "x"})] {
            assert_eq!(code(bad), Err("InvalidParameterException"));
        }
    }
}
