//! What DescribeJobDefinitions tells: what was registered, with what AWS adds to it. Clients that compare the two, such as
//! terraform, know these additions.

use serde_json::{Map, Value, json};

use super::super::requirements::is_fargate;
use super::{Definition, arn};

/// Lists that AWS tells although they are empty.
const CONTAINER_LISTS: [&str; 7] =
    ["command", "volumes", "environment", "mountPoints", "ulimits", "secrets", "resourceRequirements"];
const TASK_CONTAINER_LISTS: [&str; 7] =
    ["command", "dependsOn", "environment", "mountPoints", "ulimits", "secrets", "resourceRequirements"];

impl Definition {
    /// The revision as AWS tells it.
    pub(super) fn describe(&self, name: &str, revision: u32) -> Value {
        let mut fields = match serde_json::to_value(&self.request) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        let orchestration = if self.request.eks_properties.is_some() { "EKS" } else { "ECS" };
        for (field, value) in [
            ("jobDefinitionArn", json!(arn(name, revision))),
            ("revision", json!(revision)),
            ("status", json!(if self.is_active() { "ACTIVE" } else { "INACTIVE" })),
            ("containerOrchestrationType", json!(orchestration)),
        ] {
            fields.insert(field.to_owned(), value);
        }
        for empty in ["parameters", "tags"] {
            fields.entry(empty).or_insert_with(|| json!({}));
        }
        let fargate = is_fargate(&self.request.platform_capabilities);
        if let Some(container) = fields.get_mut("containerProperties") {
            complete_container(container, fargate);
        }
        if let Some(properties) = fields.get_mut("ecsProperties") {
            complete_tasks(properties);
        }
        let ranges = fields.get_mut("nodeProperties").and_then(|nodes| nodes.get_mut("nodeRangeProperties"));
        for range in ranges.and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(container) = range.get_mut("container") {
                complete_container(container, false);
            }
            if let Some(properties) = range.get_mut("ecsProperties") {
                complete_tasks(properties);
            }
        }
        Value::Object(fields)
    }
}

fn complete_container(container: &mut Value, fargate: bool) {
    add_lists(container, &CONTAINER_LISTS);
    if fargate && let Some(fields) = container.as_object_mut() {
        fields.entry("fargatePlatformConfiguration").or_insert_with(|| json!({ "platformVersion": "LATEST" }));
    }
    complete_parts(container);
}

fn complete_tasks(properties: &mut Value) {
    let tasks = properties.get_mut("taskProperties").and_then(Value::as_array_mut);
    for task in tasks.into_iter().flatten() {
        add_lists(task, &["volumes"]);
        for container in task.get_mut("containers").and_then(Value::as_array_mut).into_iter().flatten() {
            add_lists(container, &TASK_CONTAINER_LISTS);
            complete_parts(container);
        }
    }
}

fn complete_parts(container: &mut Value) {
    if let Some(parameters) = container.get_mut("linuxParameters") {
        add_lists(parameters, &["devices", "tmpfs"]);
    }
    if let Some(log) = container.get_mut("logConfiguration") {
        add_lists(log, &["secretOptions"]);
        if let Some(fields) = log.as_object_mut() {
            fields.entry("options").or_insert_with(|| json!({}));
        }
    }
}

fn add_lists(value: &mut Value, names: &[&str]) {
    let Some(fields) = value.as_object_mut() else { return };
    for name in names {
        fields.entry(*name).or_insert_with(|| json!([]));
    }
}
