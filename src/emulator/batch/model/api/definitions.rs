//! Job definitions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{JobTimeout, KeyValue, ResourceRequirement, RetryStrategy};

/// RegisterJobDefinition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RegisterJobDefinition {
    /// As a job's name.
    pub job_definition_name: String,
    /// `container`, or `multinode`, which is stored and does not run here.
    #[serde(rename = "type")]
    pub kind: String,
    /// Defaults of `Ref::name`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// Kept whole, echoed by describe; the fields the model uses are read by [`ContainerProperties`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_properties: Option<Value>,
    /// For submissions that bring none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_strategy: Option<RetryStrategy>,
    /// For submissions that bring none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<JobTimeout>,
    /// At most 50.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Echoed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub propagate_tags: Option<bool>,
    /// `EC2`, `FARGATE` or `MANAGED_INSTANCES`; EC2 when empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub platform_capabilities: Vec<String>,
    /// Echoed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduling_priority: Option<i64>,
    /// Of `multinode`: stored and described.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_properties: Option<Value>,
    /// Stored and described; it does not run here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eks_properties: Option<Value>,
    /// A task of one or more containers, instead of `containerProperties`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ecs_properties: Option<Value>,
    /// What each child holds of consumable resources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumable_resource_properties: Option<Value>,
}

/// What the model itself reads of a definition's container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerProperties {
    /// Required by AWS; a process runner ignores it.
    pub image: Option<String>,
    /// The command, with `Ref::name` placeholders.
    pub command: Vec<String>,
    /// The environment.
    pub environment: Vec<KeyValue>,
    /// Variables whose values are kept elsewhere.
    pub secrets: Vec<SecretName>,
    /// VCPU, MEMORY, GPU.
    pub resource_requirements: Vec<ResourceRequirement>,
    /// The old form of VCPU.
    pub vcpus: Option<i64>,
    /// The old form of MEMORY, MiB.
    pub memory: Option<i64>,
}

/// A secret of a container, as far as the model reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SecretName {
    /// The variable that it comes in.
    pub name: String,
}

/// DeregisterJobDefinition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeregisterJobDefinition {
    /// `name:revision` or ARN.
    pub job_definition: String,
}

/// DescribeJobDefinitions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DescribeJobDefinitions {
    /// `name:revision` or ARNs, at most 100; with nothing else.
    pub job_definitions: Vec<String>,
    /// All revisions of this name.
    pub job_definition_name: Option<String>,
    /// `ACTIVE` or `INACTIVE`; both when absent.
    pub status: Option<String>,
    /// 1..=100.
    pub max_results: Option<i64>,
    /// Where to go on.
    pub next_token: Option<String>,
}
