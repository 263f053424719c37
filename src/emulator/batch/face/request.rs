//! A request's body, read as AWS reads it: what is unknown is ignored, `null` counts as absent, and a fault is told with its
//! place.

use std::borrow::Cow;

use axum::http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::Error;
use super::strict::Strict;

/// Each operation's required members.
const REQUIRED: [(&str, &[&str]); 24] = [
    ("CancelJob", &["jobId", "reason"]),
    ("CancelJobs", &["jobs", "reason"]),
    ("CreateComputeEnvironment", &["computeEnvironmentName", "type"]),
    ("CreateConsumableResource", &["consumableResourceName"]),
    ("CreateJobQueue", &["jobQueueName", "priority"]),
    ("CreateSchedulingPolicy", &["name"]),
    ("DeleteComputeEnvironment", &["computeEnvironment"]),
    ("DeleteConsumableResource", &["consumableResource"]),
    ("DeleteJobQueue", &["jobQueue"]),
    ("DeleteSchedulingPolicy", &["arn"]),
    ("DeregisterJobDefinition", &["jobDefinition"]),
    ("DescribeConsumableResource", &["consumableResource"]),
    ("DescribeJobs", &["jobs"]),
    ("DescribeSchedulingPolicies", &["arns"]),
    ("GetJobQueueSnapshot", &["jobQueue"]),
    ("ListJobsByConsumableResource", &["consumableResource"]),
    ("RegisterJobDefinition", &["jobDefinitionName", "type"]),
    ("SubmitJob", &["jobName", "jobQueue", "jobDefinition"]),
    ("TerminateJob", &["jobId", "reason"]),
    ("TerminateJobs", &["jobs", "reason"]),
    ("UpdateComputeEnvironment", &["computeEnvironment"]),
    ("UpdateConsumableResource", &["consumableResource"]),
    ("UpdateJobQueue", &["jobQueue"]),
    ("UpdateSchedulingPolicy", &["arn"]),
];

/// The body as the operations read it: a JSON object without `null`, with all that is required.
pub(super) fn prepare<'a>(operation: &str, body: &'a [u8]) -> Result<Cow<'a, [u8]>, Error> {
    let body = if body.iter().all(u8::is_ascii_whitespace) { b"{}" } else { body };
    let mut value: Value = serde_json::from_slice(body).map_err(|error| unreadable(&error.to_string()))?;
    if !value.is_object() {
        return Err(unreadable("it must be a JSON object"));
    }
    let stripped = strip_nulls(&mut value);
    let required = REQUIRED.iter().find(|(known, _)| known.eq_ignore_ascii_case(operation));
    if let Some((name, members)) = required
        && let Some(member) = members.iter().find(|member| value.get(**member).is_none())
    {
        return Err(Error::client(format!("{member} must be given: {name} requires it")));
    }
    match stripped {
        true => serde_json::to_vec(&value).map(Cow::Owned).map_err(|error| unreadable(&error.to_string())),
        false => Ok(Cow::Borrowed(body)),
    }
}

/// Removes members that are `null`; whether there were any.
fn strip_nulls(value: &mut Value) -> bool {
    match value {
        Value::Object(fields) => {
            let before = fields.len();
            fields.retain(|_, value| !value.is_null());
            let removed = fields.len() < before;
            fields.values_mut().fold(removed, |removed, value| strip_nulls(value) | removed)
        }
        Value::Array(entries) => entries.iter_mut().fold(false, |removed, entry| strip_nulls(entry) | removed),
        _ => false,
    }
}

/// A request.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    let body = if body.is_empty() { b"{}" } else { body };
    let given: Value = serde_json::from_slice(body).map_err(|error| unreadable(&error.to_string()))?;
    serde_path_to_error::deserialize(Strict(given)).map_err(|error| {
        let (path, error) = (error.path().to_string(), error.into_inner().to_string());
        let at = if path == "." { String::new() } else { format!("{path}: ") };
        match error.contains("missing field") {
            true => Error::client(format!("{at}{error}; it is required")),
            false => unreadable(&format!("{at}{error}")),
        }
    })
}

fn unreadable(why: &str) -> Error {
    Error {
        status: StatusCode::BAD_REQUEST,
        kind: "SerializationException",
        message: format!("the request's body cannot be read: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::model::api::{CreateJobQueue, SubmitJob};
    use super::*;

    fn fault<T: DeserializeOwned>(operation: &str, body: &str) -> (&'static str, String) {
        let parsed = prepare(operation, body.as_bytes()).and_then(|body| parse::<T>(&body));
        let error = parsed.err().expect("should be refused");
        assert_eq!(error.status, StatusCode::BAD_REQUEST);
        (error.kind, error.message)
    }

    #[test]
    fn faults_are_told_with_their_place() {
        for (body, kind, part) in [
            ("{", "SerializationException", "EOF"),
            ("[]", "SerializationException", "JSON object"),
            ("{} {}", "SerializationException", "trailing"),
            (r#"{"jobName":"j"}"#, "ClientException", "jobQueue must be given: SubmitJob requires it"),
            (r#"{"jobName":"j","jobQueue":null,"jobDefinition":"d"}"#, "ClientException", "jobQueue"),
            (
                r#"{"jobName":"j","jobQueue":"q","jobDefinition":"d","arrayProperties":[]}"#,
                "SerializationException",
                "arrayProperties: invalid type",
            ),
            (r#"{"jobName":1,"jobQueue":"q","jobDefinition":"d"}"#, "SerializationException", "jobName: invalid type"),
            (
                r#"{"jobName":"j","jobQueue":"q","jobDefinition":"d","containerOverrides":{"environment":[{"name":"a"},{"name":2}]}}"#,
                "SerializationException",
                "containerOverrides.environment[1].name: invalid type",
            ),
        ] {
            let (found, message) = fault::<SubmitJob>("submitjob", body);
            assert_eq!(found, kind, "{message}");
            assert!(message.contains(part), "{message}");
        }
        let body = r#"{"jobQueueName":"q","priority":1,"computeEnvironmentOrder":[{"computeEnvironment":"c"}]}"#;
        let (kind, message) = fault::<CreateJobQueue>("CreateJobQueue", body);
        assert_eq!(kind, "ClientException");
        assert!(message.contains("computeEnvironmentOrder[0]") && message.contains("`order`"), "{message}");
    }

    #[test]
    fn what_is_unknown_or_null_is_ignored() {
        let body = br#"{"jobName":"j","jobQueue":"q","jobDefinition":"d","timeout":null,"new":{"x":[null]}}"#;
        let request: SubmitJob = parse(&prepare("submitjob", body).unwrap_or_default()).unwrap_or_default();
        assert_eq!((request.job_name.as_str(), request.timeout), ("j", None));
        assert!(prepare("listjobs", b" ").is_ok_and(|body| &*body == b"{}"), "an absent body is an empty one");
    }
}
