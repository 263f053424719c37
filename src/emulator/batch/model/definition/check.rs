//! What RegisterJobDefinition refuses.

use serde_json::Value;

use super::super::api::{ConsumableProperties, JobTimeout, RegisterJobDefinition};
use super::super::check::check_name;
use super::super::places::page::check_range;
use super::super::places::tags;
use super::super::requirements::{check_definition, is_fargate};
use super::super::{Refusal, Settings, retry};
use super::shape::{Container, read};
use super::{other, task};

/// AWS's limit on a definition's size.
const MAX_BYTES: usize = 24 * 1024;
const MAX_CONSUMABLES: usize = 5;

pub(super) fn check(request: &RegisterJobDefinition) -> Result<(), Refusal> {
    check_name("jobDefinitionName", &request.job_definition_name)?;
    check_kind(request)?;
    check_platforms(request)?;
    if let Some(properties) = &request.container_properties {
        let field = "containerProperties";
        read::<Container>(field, properties)?.check(field, &[])?;
        read::<Settings>(field, properties)?;
    }
    if let Some(properties) = &request.ecs_properties {
        task::check("ecsProperties", properties)?;
    }
    if let Some(properties) = &request.eks_properties {
        other::check_eks("eksProperties", properties)?;
    }
    if let Some(properties) = &request.node_properties {
        other::check_nodes(properties)?;
    }
    check_definition(request)?;
    if let Some(properties) = &request.consumable_resource_properties {
        check_consumables("consumableResourceProperties", properties)?;
    }
    check_range("schedulingPriority", request.scheduling_priority, 0, 9999)?;
    request.retry_strategy.as_ref().map_or(Ok(()), retry::check)?;
    request.timeout.as_ref().map_or(Ok(()), check_timeout)?;
    tags::check(&request.tags)?;
    let bytes = serde_json::to_vec(request).map_or(0, |body| body.len());
    if bytes > MAX_BYTES {
        return Err(Refusal(format!("a job definition may have at most {MAX_BYTES} bytes, but has {bytes}")));
    }
    Ok(())
}

/// Each type of definition has its own properties, and only one kind of them.
fn check_kind(request: &RegisterJobDefinition) -> Result<(), Refusal> {
    let given = [
        ("containerProperties", request.container_properties.is_some()),
        ("ecsProperties", request.ecs_properties.is_some()),
        ("eksProperties", request.eks_properties.is_some()),
        ("nodeProperties", request.node_properties.is_some()),
    ];
    let allowed: &[&str] = match request.kind.as_str() {
        "container" => &["containerProperties", "ecsProperties", "eksProperties"],
        "multinode" => &["nodeProperties"],
        other => return Err(Refusal(format!("type must be container or multinode, but was '{other}'"))),
    };
    let given: Vec<&str> = given.iter().filter(|(_, given)| *given).map(|(field, _)| *field).collect();
    match given.as_slice() {
        [] if request.kind == "container" => Err(Refusal(
            "Container properties should not be empty: give containerProperties, ecsProperties or eksProperties"
                .to_owned(),
        )),
        [] => Err(Refusal("nodeProperties must be given for the type multinode".to_owned())),
        [one] if allowed.contains(one) => Ok(()),
        [one] => {
            Err(Refusal(format!("{one} must not be given for the type {}; use {}", request.kind, allowed.join(" or "))))
        }
        more => Err(Refusal(format!("{} must not be given together; give one of them", more.join(" and ")))),
    }
}

fn check_platforms(request: &RegisterJobDefinition) -> Result<(), Refusal> {
    let platforms = &request.platform_capabilities;
    for platform in platforms {
        if !matches!(platform.as_str(), "EC2" | "FARGATE" | "MANAGED_INSTANCES") {
            return Err(Refusal(format!(
                "platformCapabilities may hold EC2, FARGATE or MANAGED_INSTANCES, but holds '{platform}'"
            )));
        }
    }
    if platforms.iter().any(|platform| platform == "MANAGED_INSTANCES") && request.ecs_properties.is_none() {
        return Err(Refusal("platformCapabilities MANAGED_INSTANCES needs ecsProperties".to_owned()));
    }
    if is_fargate(platforms) && request.kind == "multinode" {
        return Err(Refusal("platformCapabilities FARGATE does not go with the type multinode; use EC2".to_owned()));
    }
    if !platforms.is_empty() && request.eks_properties.is_some() {
        return Err(Refusal("platformCapabilities must be left out with eksProperties".to_owned()));
    }
    Ok(())
}

pub(super) fn check_consumables(field: &str, properties: &Value) -> Result<(), Refusal> {
    let list = read::<ConsumableProperties>(field, properties)?.consumable_resource_list;
    if list.len() > MAX_CONSUMABLES {
        return Err(Refusal(format!(
            "{field}.consumableResourceList may hold at most {MAX_CONSUMABLES} entries, but has {}",
            list.len()
        )));
    }
    for requirement in &list {
        if requirement.consumable_resource.is_empty() {
            return Err(Refusal(format!("{field}.consumableResourceList.consumableResource must not be empty")));
        }
        check_range(&format!("{field}.consumableResourceList.quantity"), requirement.quantity, 0, i64::MAX)?;
    }
    Ok(())
}

pub(in super::super) fn check_timeout(timeout: &JobTimeout) -> Result<(), Refusal> {
    match timeout.attempt_duration_seconds {
        Some(seconds) if seconds < 60 => {
            Err(Refusal(format!("timeout.attemptDurationSeconds must be at least 60, but was {seconds}")))
        }
        seconds => check_range("timeout.attemptDurationSeconds", seconds, 60, i64::from(i32::MAX)),
    }
}
