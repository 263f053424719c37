//! `computeResources`: what each kind of environment must have and must not.

use serde_json::{Map, Value};

use super::super::Refusal;
use super::super::api::ComputeResources;
use super::capacity::is_arm_type;
use super::page::check_range;

/// Kinds whose environments may stand together in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// EC2 and SPOT.
    Ec2,
    /// FARGATE and FARGATE_SPOT.
    Fargate,
    /// ECS_MANAGED_INSTANCES.
    Managed,
}

impl Kind {
    /// The kind of an environment's type.
    pub(super) fn of(name: &str) -> Option<Kind> {
        match name {
            "EC2" | "SPOT" => Some(Kind::Ec2),
            "FARGATE" | "FARGATE_SPOT" => Some(Kind::Fargate),
            "ECS_MANAGED_INSTANCES" => Some(Kind::Managed),
            _ => None,
        }
    }
}

/// Checks resources as a whole, and tells their kind.
pub(super) fn check(resources: &ComputeResources, eks: bool) -> Result<Kind, Refusal> {
    let name = resources.kind.as_deref().unwrap_or_default();
    let kind = Kind::of(name).ok_or_else(|| {
        Refusal(format!(
            "computeResources.type must be EC2, SPOT, FARGATE, FARGATE_SPOT or ECS_MANAGED_INSTANCES, but was '{name}'"
        ))
    })?;
    check_vcpus(resources, name)?;
    match kind {
        Kind::Ec2 => check_ec2(resources, name, eks)?,
        Kind::Fargate => check_fargate(resources, name)?,
        Kind::Managed => check_managed(resources)?,
    }
    if kind != Kind::Managed {
        refuse_present(
            name,
            &[
                ("managedInstancesProvider", resources.managed_instances_provider.is_some()),
                ("capacityTags", resources.capacity_tags.is_some()),
            ],
        )?;
    }
    if eks && kind != Kind::Ec2 {
        return Err(Refusal(format!(
            "computeResources.type must be EC2 or SPOT with eksConfiguration, but was '{name}'"
        )));
    }
    Ok(kind)
}

fn check_vcpus(resources: &ComputeResources, name: &str) -> Result<(), Refusal> {
    let most = i64::from(i32::MAX);
    let Some(max) = resources.max_vcpus else {
        return Err(Refusal(format!(
            "computeResources.maxvCpus must be given for {name}: the vCPUs its jobs may have at once"
        )));
    };
    check_range("computeResources.maxvCpus", Some(max), 0, most)?;
    check_range("computeResources.minvCpus", resources.min_vcpus, 0, max)?;
    check_range("computeResources.desiredvCpus", resources.desired_vcpus, resources.min_vcpus.unwrap_or(0), max)
}

fn check_ec2(resources: &ComputeResources, name: &str, eks: bool) -> Result<(), Refusal> {
    require(name, "subnets", has(&resources.subnets))?;
    require(name, "instanceRole", resources.instance_role.as_ref().is_some_and(|role| !role.is_empty()))?;
    require(name, "instanceTypes", has(&resources.instance_types))?;
    if !has(&resources.security_group_ids) && resources.launch_template.is_none() {
        return Err(Refusal(format!(
            "computeResources.securityGroupIds must hold a security group for {name}, unless launchTemplate brings one"
        )));
    }
    let types = resources.instance_types.iter().flatten();
    let arm = types.clone().filter(|name| is_arm_type(name)).count();
    if arm > 0 && arm < types.count() {
        return Err(Refusal(
            "computeResources.instanceTypes mixes x86 and ARM; name types of one architecture".to_owned(),
        ));
    }
    check_strategy(resources, name, eks)?;
    check_range("computeResources.bidPercentage", resources.bid_percentage, 1, 100)?;
    if let Some(template) = &resources.launch_template {
        let given = ["launchTemplateId", "launchTemplateName"].iter().filter(|field| template.get(**field).is_some());
        if given.count() != 1 {
            return Err(Refusal(
                "computeResources.launchTemplate must have either launchTemplateId or launchTemplateName".to_owned(),
            ));
        }
    }
    let images = resources.ec2_configuration.as_deref().unwrap_or_default();
    if images.len() > 2 {
        return Err(Refusal(format!(
            "computeResources.ec2Configuration may hold at most 2 entries, but has {}",
            images.len()
        )));
    }
    Ok(())
}

fn check_strategy(resources: &ComputeResources, name: &str, eks: bool) -> Result<(), Refusal> {
    let strategy = resources.allocation_strategy.as_deref();
    let known = match strategy {
        None | Some("BEST_FIT") => !eks,
        Some("BEST_FIT_PROGRESSIVE" | "BEST_FIT_PROGRESSIVE_ORDERED") => true,
        Some("SPOT_CAPACITY_OPTIMIZED" | "SPOT_PRICE_CAPACITY_OPTIMIZED" | "SPOT_CAPACITY_OPTIMIZED_PRIORITIZED") => {
            name == "SPOT"
        }
        Some(_) => false,
    };
    let shown = strategy.unwrap_or("absent");
    if !known {
        return Err(Refusal(format!(
            "computeResources.allocationStrategy of {name} must be BEST_FIT (not with eksConfiguration), \
             BEST_FIT_PROGRESSIVE, BEST_FIT_PROGRESSIVE_ORDERED, or for SPOT SPOT_CAPACITY_OPTIMIZED, \
             SPOT_PRICE_CAPACITY_OPTIMIZED or SPOT_CAPACITY_OPTIMIZED_PRIORITIZED, but was {shown}"
        )));
    }
    if name == "SPOT" && matches!(shown, "absent" | "BEST_FIT") && resources.spot_iam_fleet_role.is_none() {
        return Err(Refusal(
            "computeResources.spotIamFleetRole must be given for SPOT with allocationStrategy BEST_FIT, which is the \
             default; give the role or another strategy"
                .to_owned(),
        ));
    }
    Ok(())
}

fn check_fargate(resources: &ComputeResources, name: &str) -> Result<(), Refusal> {
    refuse_present(
        name,
        &[
            ("allocationStrategy", resources.allocation_strategy.is_some()),
            ("minvCpus", resources.min_vcpus.is_some()),
            ("desiredvCpus", resources.desired_vcpus.is_some()),
            ("instanceTypes", has(&resources.instance_types)),
            ("imageId", resources.image_id.is_some()),
            ("ec2KeyPair", resources.ec2_key_pair.is_some()),
            ("instanceRole", resources.instance_role.is_some()),
            ("tags", resources.tags.as_ref().is_some_and(|tags| !tags.is_empty())),
            ("placementGroup", resources.placement_group.is_some()),
            ("bidPercentage", resources.bid_percentage.is_some()),
            ("spotIamFleetRole", resources.spot_iam_fleet_role.is_some()),
            ("launchTemplate", resources.launch_template.is_some()),
            ("ec2Configuration", has(&resources.ec2_configuration)),
            ("scalingPolicy", resources.scaling_policy.is_some()),
        ],
    )?;
    for (field, list, most) in
        [("subnets", &resources.subnets, 16), ("securityGroupIds", &resources.security_group_ids, 5)]
    {
        let count = list.as_ref().map_or(0, Vec::len);
        if !(1..=most).contains(&count) {
            return Err(Refusal(format!(
                "computeResources.{field} must hold 1 to {most} entries for {name}, but has {count}"
            )));
        }
    }
    Ok(())
}

fn check_managed(resources: &ComputeResources) -> Result<(), Refusal> {
    let name = "ECS_MANAGED_INSTANCES";
    require(name, "managedInstancesProvider", resources.managed_instances_provider.is_some())?;
    for field in ["infrastructureRoleArn", "instanceLaunchTemplate"] {
        let given = resources.managed_instances_provider.as_ref().is_some_and(|provider| provider.get(field).is_some());
        require(name, &format!("managedInstancesProvider.{field}"), given)?;
    }
    Ok(())
}

fn has<T>(list: &Option<Vec<T>>) -> bool {
    list.as_ref().is_some_and(|list| !list.is_empty())
}

fn require(kind: &str, field: &str, given: bool) -> Result<(), Refusal> {
    if given {
        return Ok(());
    }
    Err(Refusal(format!("computeResources.{field} must be given for {kind}")))
}

fn refuse_present(kind: &str, fields: &[(&str, bool)]) -> Result<(), Refusal> {
    match fields.iter().find(|(_, given)| *given) {
        Some((field, _)) => Err(Refusal(format!("computeResources.{field} is not applicable to {kind}; leave it out"))),
        None => Ok(()),
    }
}

/// Fields whose empty text means that there is to be none.
const CLEARED: [&str; 3] = ["imageId", "ec2KeyPair", "placementGroup"];

/// `old` with what an update names. Not everything may change: see [`check_update`].
pub(super) fn merge(old: &ComputeResources, update: &ComputeResources) -> Result<ComputeResources, Refusal> {
    let mut fields = object(old);
    for (name, value) in object(update) {
        let fargate = old.kind.as_deref().and_then(Kind::of) == Some(Kind::Fargate);
        if fargate && value.as_array().is_some_and(Vec::is_empty) {
            // On Fargate an empty list changes nothing.
            continue;
        }
        let template_gone = name == "launchTemplate"
            && ["launchTemplateId", "launchTemplateName"]
                .iter()
                .all(|field| value.get(field).and_then(Value::as_str).unwrap_or_default().is_empty());
        if (CLEARED.contains(&name.as_str()) && value == "") || template_gone {
            fields.shift_remove(&name);
        } else {
            fields.insert(name, value);
        }
    }
    let mut merged: ComputeResources = serde_json::from_value(Value::Object(fields))
        .map_err(|error| Refusal(format!("computeResources is not valid: {error}")))?;
    if update.desired_vcpus.is_none()
        && let Some(desired) = &mut merged.desired_vcpus
    {
        // Batch itself keeps it between the two bounds.
        *desired = (*desired).max(merged.min_vcpus.unwrap_or(0)).min(merged.max_vcpus.unwrap_or(i64::MAX));
    }
    check_update(old, &merged)?;
    Ok(merged)
}

fn object(resources: &ComputeResources) -> Map<String, Value> {
    match serde_json::to_value(resources) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

/// What AWS changes without new instances; with BEST_FIT nothing else can change.
const WITHOUT_INSTANCES: [&str; 3] = ["minvCpus", "maxvCpus", "desiredvCpus"];

fn check_update(old: &ComputeResources, new: &ComputeResources) -> Result<(), Refusal> {
    let kind = |resources: &ComputeResources| resources.kind.as_deref().and_then(Kind::of);
    if kind(old) != kind(new) {
        let name = |resources: &ComputeResources| resources.kind.clone().unwrap_or_default();
        return Err(Refusal(format!(
            "computeResources.type cannot change from {} to {}; create another compute environment",
            name(old),
            name(new)
        )));
    }
    let best_fit = |resources: &ComputeResources| {
        kind(resources) == Some(Kind::Ec2)
            && matches!(resources.allocation_strategy.as_deref(), None | Some("BEST_FIT"))
    };
    let (before, after) = (object(old), object(new));
    let names = before.keys().chain(after.keys());
    let mut changed = names.filter(|name| before.get(*name) != after.get(*name));
    if best_fit(old)
        && let Some(field) = changed.find(|name| !WITHOUT_INSTANCES.contains(&name.as_str()))
    {
        return Err(Refusal(format!(
            "computeResources.{field} cannot change while allocationStrategy is BEST_FIT; create another compute environment"
        )));
    }
    if best_fit(new) && !best_fit(old) {
        return Err(Refusal("computeResources.allocationStrategy cannot become BEST_FIT by an update".to_owned()));
    }
    Ok(())
}
