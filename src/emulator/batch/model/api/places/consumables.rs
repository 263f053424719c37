//! Consumable resources.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::Filter;

/// CreateConsumableResource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CreateConsumableResource {
    /// Unique.
    pub consumable_resource_name: String,
    /// Not negative; 0 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_quantity: Option<i64>,
    /// `REPLENISHABLE` (when absent) or `NON_REPLENISHABLE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<String>,
    /// At most 50.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// UpdateConsumableResource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpdateConsumableResource {
    /// Name or ARN.
    pub consumable_resource: String,
    /// `SET`, `ADD` or `REMOVE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// Not negative.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantity: Option<i64>,
    /// The same update with the same token within 8 hours happens once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_token: Option<String>,
}

/// DeleteConsumableResource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeleteConsumableResource {
    /// Name or ARN.
    pub consumable_resource: String,
}

/// DescribeConsumableResource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DescribeConsumableResource {
    /// Name or ARN.
    pub consumable_resource: String,
}

/// ListConsumableResources.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListConsumableResources {
    /// `CONSUMABLE_RESOURCE_NAME`, in any case, a `*` at the end for a prefix.
    pub filters: Vec<Filter>,
    /// 1..=100.
    pub max_results: Option<i64>,
    /// Where to go on.
    pub next_token: Option<String>,
}
