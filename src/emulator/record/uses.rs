//! From a request to what IAM is asked about it: AWS's own table of operations, actions and resources, as far as
//! batchmap uses it.

use std::collections::BTreeMap;

use axum::http::HeaderMap;
use axum::http::request::Parts;
use serde_json::Value;

use super::{Asked, place};
use crate::emulator::faults::operation::{self, Operation, Service};

/// Stands for the operation of what S3 asks of who reads an object that is not there.
pub(super) const ABSENCE: &str = "absence";

/// Where an ARN of Batch begins.
const BATCH: &str = "arn:aws:batch:{region}:{account}";

type Context = BTreeMap<String, Vec<String>>;

/// Whether what a request asks for can be told by its body only.
pub(super) fn is_in_body(operation: Operation) -> bool {
    operation.service == Service::Batch || operation.name == "DeleteObjects"
}

/// What IAM is asked about a request.
pub(super) fn of(operation: Operation, head: &Parts, body: &[u8]) -> Vec<Asked> {
    match operation.service {
        Service::S3 => s3(operation.name, head, body),
        Service::Batch => batch(operation.name, head, &serde_json::from_slice(body).unwrap_or_default()),
        Service::Logs => logs(operation.name),
    }
}

/// What else is asked when the object of a request is not there: who may not list is told 403.
pub(super) fn of_absence(operation: Operation, head: &Parts) -> Option<Asked> {
    let reads = operation.service == Service::S3 && matches!(operation.name, "GetObject" | "HeadObject");
    let (bucket, key) = operation::object(&head.uri, &head.headers);
    let key = unescaped(key);
    reads.then(|| ("s3:ListBucket", place::bucket(bucket, Some(&key)), Context::new()))
}

fn asked(action: &'static str, resource: impl Into<String>) -> Asked {
    (action, resource.into(), Context::new())
}

fn s3(name: &str, head: &Parts, body: &[u8]) -> Vec<Asked> {
    let (bucket, key) = operation::object(&head.uri, &head.headers);
    let key = unescaped(key);
    let here = || place::object(bucket, &key);
    let whole = |action| vec![asked(action, place::bucket(bucket, None))];
    match name {
        "GetObject" | "HeadObject" => vec![asked("s3:GetObject", here())],
        "GetObjectAttributes" => vec![asked("s3:GetObject", here()), asked("s3:GetObjectAttributes", here())],
        "PutObject" | "CreateMultipartUpload" => put(&head.headers, &here()),
        "UploadPart" | "CompleteMultipartUpload" => vec![asked("s3:PutObject", here())],
        "CopyObject" | "UploadPartCopy" => {
            copied(&head.headers).into_iter().chain(put(&head.headers, &here())).collect()
        }
        "AbortMultipartUpload" => vec![asked("s3:AbortMultipartUpload", here())],
        "ListParts" => vec![asked("s3:ListMultipartUploadParts", here())],
        "DeleteObject" => vec![asked("s3:DeleteObject", here())],
        "DeleteObjects" => keys(body).map(|key| asked("s3:DeleteObject", place::object(bucket, &key))).collect(),
        "GetObjectTagging" => vec![asked("s3:GetObjectTagging", here())],
        "PutObjectTagging" => vec![asked("s3:PutObjectTagging", here())],
        "DeleteObjectTagging" => vec![asked("s3:DeleteObjectTagging", here())],
        "ListObjects" | "ListObjectsV2" => vec![list(bucket, head.uri.query().unwrap_or_default())],
        "ListObjectVersions" => whole("s3:ListBucketVersions"),
        "ListMultipartUploads" => whole("s3:ListBucketMultipartUploads"),
        "HeadBucket" => whole("s3:ListBucket"),
        "GetBucketLocation" => whole("s3:GetBucketLocation"),
        "CreateBucket" => whole("s3:CreateBucket"),
        "DeleteBucket" => whole("s3:DeleteBucket"),
        "ListBuckets" => vec![asked("s3:ListAllMyBuckets", "*")],
        _ => Vec::new(),
    }
}

/// A write: what its headers add asks for more.
fn put(headers: &HeaderMap, here: &str) -> Vec<Asked> {
    let mut uses = vec![asked("s3:PutObject", here)];
    if headers.contains_key("x-amz-tagging") {
        uses.push(asked("s3:PutObjectTagging", here));
    }
    // What is there is looked at for its ETag. That there is nothing (If-None-Match) may be asked by anybody who writes.
    if headers.contains_key("if-match") {
        uses.push(asked("s3:GetObject", here));
    }
    uses
}

/// Where a copy is made from: `bucket/key`, escaped, with a slash before it or not.
fn copied(headers: &HeaderMap) -> Option<Asked> {
    let source = headers.get("x-amz-copy-source")?.to_str().ok()?;
    let source = source.split("?versionId=").next().unwrap_or_default();
    let source = unescaped(source.trim_start_matches('/'));
    let (bucket, key) = source.split_once('/')?;
    Some(asked("s3:GetObject", place::object(bucket, key)))
}

fn list(bucket: &str, query: &str) -> Asked {
    let value = |name: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(given, _)| *given == name).map(|(_, value)| unescaped(value))
    };
    let prefix = value("prefix");
    let mut context = Context::new();
    if let Some(prefix) = &prefix {
        context.insert("s3:prefix".to_owned(), vec![place::listed(prefix)]);
    }
    if let Some(delimiter) = value("delimiter") {
        context.insert("s3:delimiter".to_owned(), vec![delimiter]);
    }
    ("s3:ListBucket", place::bucket(bucket, prefix.as_deref()), context)
}

/// The keys in the body of DeleteObjects.
fn keys(body: &[u8]) -> impl Iterator<Item = String> {
    let body = String::from_utf8_lossy(body).into_owned();
    let keys: Vec<String> = body
        .split("<Key>")
        .skip(1)
        .filter_map(|rest| rest.split_once("</Key>"))
        .map(|(key, _)| key.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&"))
        .collect();
    keys.into_iter()
}

fn batch(name: &'static str, head: &Parts, body: &Value) -> Vec<Asked> {
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let job = || format!("{BATCH}:job/id");
    let definition = |given: &str| format!("{BATCH}:job-definition/{}", definition(given));
    match name {
        "SubmitJob" => {
            let tags = tags(body);
            let mut context = tags.clone();
            if !text("/shareIdentifier").is_empty() {
                context.insert("batch:ShareIdentifier".to_owned(), vec!["{share_identifier}".to_owned()]);
            }
            let mut uses: Vec<Asked> = [queue(text("/jobQueue")), definition(text("/jobDefinition")), job()]
                .map(|resource| ("batch:SubmitJob", resource, context.clone()))
                .into();
            if !tags.is_empty() {
                uses.push(("batch:TagResource", job(), tags));
            }
            uses
        }
        "RegisterJobDefinition" => {
            let resource = definition(text("/jobDefinitionName"));
            let context = tags(body);
            let mut uses = vec![("batch:RegisterJobDefinition", resource.clone(), registered(body, context.clone()))];
            if !context.is_empty() {
                uses.push(("batch:TagResource", resource, context));
            }
            uses.extend(passed(body));
            uses
        }
        "DeregisterJobDefinition" => vec![asked("batch:DeregisterJobDefinition", definition(text("/jobDefinition")))],
        "TerminateJob" => vec![asked("batch:TerminateJob", job())],
        "CancelJob" => vec![asked("batch:CancelJob", job())],
        "GetJobQueueSnapshot" => vec![asked("batch:GetJobQueueSnapshot", queue(text("/jobQueue")))],
        "TagResource" => vec![asked("batch:TagResource", tagged(head.uri.path()))],
        "UntagResource" => vec![asked("batch:UntagResource", tagged(head.uri.path()))],
        "ListTagsForResource" => vec![asked("batch:ListTagsForResource", tagged(head.uri.path()))],
        "Unknown" => Vec::new(),
        other => vec![asked(of_batch(other), "*")],
    }
}

/// The action of an operation that is asked about no resource, or that batchmap has no business with.
fn of_batch(name: &'static str) -> &'static str {
    match name {
        "DescribeJobs" => "batch:DescribeJobs",
        "ListJobs" => "batch:ListJobs",
        "DescribeJobDefinitions" => "batch:DescribeJobDefinitions",
        "DescribeJobQueues" => "batch:DescribeJobQueues",
        "DescribeComputeEnvironments" => "batch:DescribeComputeEnvironments",
        "DescribeSchedulingPolicies" => "batch:DescribeSchedulingPolicies",
        // In no policy of ours, so that the proof tells of it; its line names the operation.
        _ => "batch:AnythingElse",
    }
}

/// The tags that a request gives what it makes; the execution's is another each time.
fn tags(body: &Value) -> Context {
    let tags = body.pointer("/tags").and_then(Value::as_object);
    let mut keys: Vec<String> = tags.into_iter().flatten().map(|(key, _)| key.clone()).collect();
    keys.sort();
    let mut context: Context =
        keys.iter().map(|key| (format!("aws:RequestTag/{key}"), vec!["value".to_owned()])).collect();
    if !keys.is_empty() {
        context.insert("aws:TagKeys".to_owned(), keys);
    }
    context
}

/// What a definition is asked about besides its name.
fn registered(body: &Value, mut context: Context) -> Context {
    let log = body.pointer("/containerProperties/logConfiguration");
    let group = log.and_then(|log| log.pointer("/options/awslogs-group")).and_then(Value::as_str);
    if group.is_some() {
        context.insert("batch:AWSLogsGroup".to_owned(), vec!["{log_group}".to_owned()]);
    }
    let privileged = body.pointer("/containerProperties/privileged").and_then(Value::as_bool);
    if let Some(privileged) = privileged {
        context.insert("batch:Privileged".to_owned(), vec![privileged.to_string()]);
    }
    context
}

/// The roles that a definition gives its containers: whoever registers it passes them on.
fn passed(body: &Value) -> Vec<Asked> {
    let roles = [
        ("/containerProperties/jobRoleArn", "{job_role}"),
        ("/containerProperties/executionRoleArn", "{execution_role}"),
        ("/ecsProperties/taskProperties/0/taskRoleArn", "{job_role}"),
        ("/ecsProperties/taskProperties/0/executionRoleArn", "{execution_role}"),
    ];
    let given = roles.into_iter().filter(|(pointer, _)| body.pointer(pointer).is_some_and(Value::is_string));
    // AWS does not say whether it asks for the service that takes the roles or for the one that they are handed to.
    let both = ["ecs-tasks.amazonaws.com", "batch.amazonaws.com"];
    let to = |service: &str| Context::from([("iam:PassedToService".to_owned(), vec![service.to_owned()])]);
    let asked = |role: &str| both.map(|service| ("iam:PassRole", role.to_owned(), to(service)));
    given.flat_map(|(_, role)| asked(role)).collect()
}

/// A queue by its name or ARN: the one or the other of the two that are configured.
fn queue(given: &str) -> String {
    let name = given.rsplit('/').next().unwrap_or_default();
    let which = if name.contains("interruptible") { "{interruptible_queue}" } else { "{queue}" };
    format!("{BATCH}:job-queue/{which}")
}

/// A definition by its name, with or without a revision, or its ARN. The names of our own hold the hash of their content.
fn definition(given: &str) -> String {
    let name = given.rsplit_once(":job-definition/").map_or(given, |(_, name)| name);
    let (name, revision) = name.split_once(':').map_or((name, ""), |(name, _)| (name, ":1"));
    let hash = |rest: &str| rest.len() == 20 && rest.bytes().all(|byte| byte.is_ascii_hexdigit());
    let ours = name.strip_prefix("batchmap-").is_some_and(hash);
    format!("{}{revision}", if ours { "batchmap-0123456789abcdef0123" } else { name })
}

/// The ARN in the path `/v1/tags/<arn>`, with the name of what it is left out.
fn tagged(path: &str) -> String {
    let arn = unescaped(path.strip_prefix("/v1/tags/").unwrap_or_default());
    let kind = arn.rsplit_once(':').map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
    format!("{BATCH}:{kind}/id")
}

fn logs(name: &'static str) -> Vec<Asked> {
    const GROUP: &str = "arn:aws:logs:{region}:{account}:log-group:{log_group}";
    match name {
        "GetLogEvents" => vec![asked("logs:GetLogEvents", format!("{GROUP}:log-stream:stream"))],
        "FilterLogEvents" => vec![asked("logs:FilterLogEvents", GROUP)],
        "DescribeLogStreams" => vec![asked("logs:DescribeLogStreams", GROUP)],
        // AWS has no resource for it.
        "DescribeLogGroups" => vec![asked("logs:DescribeLogGroups", "*")],
        _ => Vec::new(),
    }
}

/// Undoes the escapes of a URL.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = |at: usize| after.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        rest = match (byte, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
                &after[2..]
            }
            (byte, ..) => {
                bytes.push(byte);
                after
            }
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use serde_json::json;

    use super::*;

    fn told(method: &str, uri: &str, headers: &[(&str, &str)], body: &str) -> Vec<String> {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let head = request.body(()).unwrap().into_parts().0;
        let operation = operation::of_request(&head.method, &head.uri, &head.headers).unwrap();
        let uses = of(operation, &head, body.as_bytes());
        let line = |(action, resource, context): Asked| {
            let context: Vec<String> =
                context.iter().map(|(key, values)| format!(" {key}={}", values.join(","))).collect();
            format!("{action} {}{}", resource.replace("arn:aws:", ""), context.concat())
        };
        uses.into_iter().map(line).collect()
    }

    #[test]
    fn operations_of_s3_ask_for_their_actions() {
        let s3 = |method, uri| told(method, uri, &[], "");
        assert_eq!(
            s3("HEAD", "/b/p/executions/a/task.pb"),
            ["s3:GetObject s3:::{bucket}/{prefix}executions/id/task.pb"]
        );
        assert_eq!(s3("PUT", "/b/cache/aa"), ["s3:PutObject s3:::{bucket}/{prefix}cache/x"]);
        assert_eq!(s3("PUT", "/b/raw/1/f?partNumber=1&uploadId=u"), ["s3:PutObject s3:::{bucket}/{prefix}raw/id/x"]);
        assert_eq!(s3("DELETE", "/b/raw/1/f?uploadId=u"), ["s3:AbortMultipartUpload s3:::{bucket}/{prefix}raw/id/x"]);
        assert_eq!(
            s3("GET", "/b?list-type=2&prefix=p%2Fexecutions%2F7%2Fjournal%2F&delimiter=%2F"),
            ["s3:ListBucket s3:::{bucket} s3:delimiter=/ s3:prefix={prefix}executions/id/journal/"]
        );
        assert_eq!(s3("HEAD", "/batchmap"), ["s3:ListBucket s3:::{bucket}"]);
        let copy = told("PUT", "/b/raw/1/f", &[("x-amz-copy-source", "other/data%2Ff"), ("x-amz-tagging", "a=b")], "");
        assert_eq!(
            copy,
            [
                "s3:GetObject s3:::other/data/x",
                "s3:PutObject s3:::{bucket}/{prefix}raw/id/x",
                "s3:PutObjectTagging s3:::{bucket}/{prefix}raw/id/x"
            ]
        );
        let fenced = told("PUT", "/b/leases/k/1", &[("if-match", "\"e\"")], "");
        assert_eq!(fenced.len(), 2, "{fenced:?}");
        let body = "<Delete><Object><Key>cache/a</Key></Object><Object><Key>raw/1/&amp;</Key></Object></Delete>";
        assert_eq!(told("POST", "/b?delete", &[], body).len(), 2);
    }

    #[test]
    fn operations_of_batch_ask_for_every_resource() {
        let signed = [("authorization", "AWS4-HMAC-SHA256 Credential=a/20261123/r/batch/aws4_request, Signature=0")];
        let submit = json!({"jobName": "n", "jobQueue": "batchmap-interruptible", "tags": {"batchmap": "1"},
            "jobDefinition": "arn:aws:batch:us-east-1:000000000000:job-definition/batchmap-00112233445566778899:3"});
        assert_eq!(
            told("POST", "/v1/submitjob", &signed, &submit.to_string()),
            [
                "batch:SubmitJob batch:{region}:{account}:job-queue/{interruptible_queue} aws:RequestTag/batchmap=value aws:TagKeys=batchmap",
                "batch:SubmitJob batch:{region}:{account}:job-definition/batchmap-0123456789abcdef0123:1 aws:RequestTag/batchmap=value aws:TagKeys=batchmap",
                "batch:SubmitJob batch:{region}:{account}:job/id aws:RequestTag/batchmap=value aws:TagKeys=batchmap",
                "batch:TagResource batch:{region}:{account}:job/id aws:RequestTag/batchmap=value aws:TagKeys=batchmap",
            ]
        );
        let register = json!({"jobDefinitionName": "batchmap-00112233445566778899", "containerProperties": {
            "jobRoleArn": "arn:aws:iam::000000000000:role/j", "logConfiguration": {"options": {"awslogs-group": "g"}}}});
        assert_eq!(
            told("POST", "/v1/registerjobdefinition", &signed, &register.to_string()),
            [
                "batch:RegisterJobDefinition batch:{region}:{account}:job-definition/batchmap-0123456789abcdef0123 \
                 batch:AWSLogsGroup={log_group}",
                "iam:PassRole {job_role} iam:PassedToService=ecs-tasks.amazonaws.com",
                "iam:PassRole {job_role} iam:PassedToService=batch.amazonaws.com",
            ]
        );
        assert_eq!(told("POST", "/v1/describejobs", &signed, "{}"), ["batch:DescribeJobs *"]);
        assert_eq!(told("POST", "/v1/createjobqueue", &signed, "{}"), ["batch:AnythingElse *"]);
        let logs = [("x-amz-target", "Logs_20140328.GetLogEvents")];
        assert_eq!(
            told("POST", "/", &logs, "{}"),
            ["logs:GetLogEvents logs:{region}:{account}:log-group:{log_group}:log-stream:stream"]
        );
    }
}
