//! Tags of resources that exist.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// TagResource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TagResource {
    /// From the request's path.
    pub resource_arn: String,
    /// Added; the same name replaces.
    pub tags: BTreeMap<String, String>,
}

/// UntagResource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UntagResource {
    /// From the request's path.
    pub resource_arn: String,
    /// 1 to 50; one that is not there is no error.
    pub tag_keys: Vec<String>,
}
