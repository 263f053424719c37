//! Groups and streams: listing them, and as much of making them as terraform does.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::group::{Settings, ms};
use super::super::store::LogStore;
use super::{Fault, PLACE, bad_token, check_name, group, limit, of_arn};

/// Entries of a page.
const MOST: usize = 50;

/// The times that AWS keeps logs for, in days.
const RETENTION: [i64; 24] = [
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653, 4383, 5479,
];

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct DescribeLogGroups {
    log_group_name_prefix: Option<String>,
    log_group_name_pattern: Option<String>,
    log_group_identifiers: Option<Vec<String>>,
    log_group_class: Option<String>,
    next_token: Option<String>,
    limit: Option<i64>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct DescribeLogStreams {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
    log_stream_name_prefix: Option<String>,
    order_by: Option<String>,
    descending: bool,
    next_token: Option<String>,
    limit: Option<i64>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct CreateLogGroup {
    log_group_name: String,
    kms_key_id: Option<String>,
    tags: BTreeMap<String, String>,
    log_group_class: Option<String>,
    deletion_protection_enabled: Option<bool>,
}

/// A group, named one way or the other, and what some calls say of it.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct OfGroup {
    log_group_name: Option<String>,
    resource_arn: Option<String>,
    retention_in_days: Option<i64>,
    tags: BTreeMap<String, String>,
    tag_keys: Vec<String>,
}

fn arn(group: &str) -> String {
    format!("arn:aws:logs:{PLACE}:log-group:{group}")
}

pub(super) fn describe(store: &LogStore, request: &DescribeLogGroups) -> Result<Value, Fault> {
    let limit = limit(request.limit, MOST)?;
    if request.log_group_name_prefix.is_some() && request.log_group_name_pattern.is_some() {
        return Err(Fault::invalid("logGroupNamePrefix and logGroupNamePattern are mutually exclusive"));
    }
    let named = request.log_group_identifiers.as_ref();
    let class = |settings: &Settings| settings.log_group_class.clone().unwrap_or_else(|| "STANDARD".to_owned());
    let wanted = |name: &str| {
        request.log_group_name_prefix.as_deref().is_none_or(|prefix| name.starts_with(prefix))
            && request.log_group_name_pattern.as_deref().is_none_or(|pattern| name.contains(pattern))
            && named.is_none_or(|all| all.iter().any(|one| of_arn(one) == name))
            && request.next_token.as_deref().is_none_or(|last| name > last)
    };
    let (mut groups, mut next) = (Vec::new(), None);
    for name in store.groups()?.into_iter().filter(|name| wanted(name)) {
        let Some(settings) = store.settings(&name)? else { continue };
        if request.log_group_class.as_ref().is_some_and(|wanted| *wanted != class(&settings)) {
            continue;
        }
        if groups.len() == limit {
            // The last name of this page: the next begins behind it.
            next = groups.last().map(|last: &Value| last["logGroupName"].clone());
            break;
        }
        groups.push(described(store, &name, &settings, class(&settings))?);
    }
    let mut answer = json!({"logGroups": groups});
    if let Some(next) = next {
        answer["nextToken"] = next;
    }
    Ok(answer)
}

fn described(store: &LogStore, name: &str, settings: &Settings, class: String) -> Result<Value, Fault> {
    let mut group = json!({
        "logGroupName": name,
        "creationTime": settings.creation_time,
        "metricFilterCount": 0,
        "arn": format!("{}:*", arn(name)),
        "logGroupArn": arn(name),
        "storedBytes": store.bytes(name)?,
        "logGroupClass": class,
        "deletionProtectionEnabled": settings.deletion_protection_enabled.unwrap_or(false),
    });
    if let Some(days) = settings.retention_in_days {
        group["retentionInDays"] = days.into();
    }
    if let Some(key) = &settings.kms_key_id {
        group["kmsKeyId"] = key.clone().into();
    }
    Ok(group)
}

pub(super) fn describe_streams(store: &LogStore, request: &DescribeLogStreams) -> Result<Value, Fault> {
    let group = group(store, request.log_group_name.as_ref(), request.log_group_identifier.as_ref())?;
    let limit = limit(request.limit, MOST)?;
    let prefix = request.log_stream_name_prefix.as_deref();
    let by_time = match request.order_by.as_deref() {
        None | Some("LogStreamName") => false,
        Some("LastEventTime") => true,
        Some(other) => {
            return Err(Fault::invalid(format!("orderBy is '{other}'; expected LogStreamName or LastEventTime")));
        }
    };
    if by_time && prefix.is_some() {
        return Err(Fault::invalid("Cannot order by LastEventTime with a logStreamNamePrefix."));
    }
    let names = store.streams(&group, prefix.unwrap_or_default())?;
    let mut keyed = Vec::with_capacity(names.len());
    for name in names {
        let time = if by_time { store.open(&group, &name)?.last()?.unwrap_or(0) } else { 0 };
        keyed.push((time, name));
    }
    keyed.sort();
    if request.descending {
        keyed.reverse();
    }
    // A token is the last line of the page before; what was there stays where it was unless it is written to.
    let after = request.next_token.as_deref().map(|token| {
        let (time, name) = token.split_once('/').ok_or_else(bad_token)?;
        Ok::<_, Fault>((time.parse::<u64>().map_err(|_| bad_token())?, name.to_owned()))
    });
    let after = after.transpose()?;
    let behind = |key: &&(u64, String)| {
        after.as_ref().is_none_or(|after| if request.descending { *key < after } else { *key > after })
    };
    let mut rest = keyed.iter().filter(behind);
    let page: Vec<_> = rest.by_ref().take(limit).collect();
    let streams = page.iter().map(|(_, name)| stream(store, &group, name)).collect::<Result<Vec<_>, _>>()?;
    let mut answer = json!({"logStreams": streams});
    if let (Some(_), Some((time, name))) = (rest.next(), page.last()) {
        answer["nextToken"] = format!("{time}/{name}").into();
    }
    Ok(answer)
}

fn stream(store: &LogStore, group: &str, name: &str) -> Result<Value, Fault> {
    let opened = store.open(group, name)?;
    let (first, last) = (opened.first()?, opened.last()?);
    let mut stream = json!({
        "logStreamName": name,
        "creationTime": first.unwrap_or_else(|| ms(opened.made())),
        "arn": format!("{}:log-stream:{name}", arn(group)),
        "storedBytes": 0,
    });
    if let (Some(first), Some(last)) = (first, last) {
        stream["firstEventTimestamp"] = first.into();
        stream["lastEventTimestamp"] = last.into();
        stream["lastIngestionTime"] = last.into();
        stream["uploadSequenceToken"] = opened.length.to_string().into();
    }
    Ok(stream)
}

pub(super) fn create(store: &LogStore, request: CreateLogGroup) -> Result<Value, Fault> {
    let name = request.log_group_name;
    check_name(&name)?;
    if store.has(&name) {
        return Err(Fault::of("ResourceAlreadyExistsException", "The specified log group already exists"));
    }
    let settings = Settings {
        creation_time: ms(std::time::SystemTime::now()),
        retention_in_days: None,
        log_group_class: request.log_group_class,
        kms_key_id: request.kms_key_id,
        deletion_protection_enabled: request.deletion_protection_enabled,
        tags: request.tags,
    };
    store.set(&name, &settings)?;
    Ok(json!({}))
}

/// The group of a request and its settings.
fn named(store: &LogStore, request: &OfGroup) -> Result<(String, Settings), Fault> {
    let name = group(store, request.log_group_name.as_ref(), request.resource_arn.as_ref())?;
    let settings = store.settings(&name)?.ok_or_else(Fault::no_group)?;
    Ok((name, settings))
}

pub(super) fn delete(store: &LogStore, request: &OfGroup) -> Result<Value, Fault> {
    let (name, settings) = named(store, request)?;
    if settings.deletion_protection_enabled == Some(true) {
        return Err(Fault::of("ValidationException", "The log group is protected from deletion"));
    }
    store.remove(&name)?;
    Ok(json!({}))
}

pub(super) fn retain(store: &LogStore, request: &OfGroup) -> Result<Value, Fault> {
    let (name, mut settings) = named(store, request)?;
    match request.retention_in_days {
        Some(days) if RETENTION.contains(&days) => settings.retention_in_days = Some(days),
        other => {
            return Err(Fault::invalid(format!("retentionInDays is {other:?}; expected one of {RETENTION:?}")));
        }
    }
    store.set(&name, &settings)?;
    Ok(json!({}))
}

pub(super) fn forget_retention(store: &LogStore, request: &OfGroup) -> Result<Value, Fault> {
    let (name, settings) = named(store, request)?;
    store.set(&name, &Settings { retention_in_days: None, ..settings })?;
    Ok(json!({}))
}

pub(super) fn tags(store: &LogStore, request: &OfGroup) -> Result<Value, Fault> {
    named(store, request).map(|(_, settings)| json!({"tags": settings.tags}))
}

pub(super) fn tag(store: &LogStore, mut request: OfGroup) -> Result<Value, Fault> {
    let (name, mut settings) = named(store, &request)?;
    settings.tags.append(&mut request.tags);
    if settings.tags.len() > MOST {
        return Err(Fault::of("TooManyTagsException", format!("a log group has at most {MOST} tags")));
    }
    store.set(&name, &settings)?;
    Ok(json!({}))
}

pub(super) fn untag(store: &LogStore, request: &OfGroup) -> Result<Value, Fault> {
    let (name, mut settings) = named(store, request)?;
    settings.tags.retain(|key, _| !request.tag_keys.contains(key));
    store.set(&name, &settings)?;
    Ok(json!({}))
}
