//! vCPUs, memory and GPUs: what a platform allows, and what a child takes of its compute environment.

use serde_json::Value;

use super::Refusal;
use super::api::{RegisterJobDefinition, ResourceRequirement};
use super::check::check_most;
use super::container::{self, Container};
use super::places::Amount;
use crate::map::resources::is_fargate_size;

/// Whether a definition of these `platformCapabilities` runs on Fargate.
pub(super) fn is_fargate(platforms: &[String]) -> bool {
    platforms.iter().any(|platform| platform == "FARGATE")
}

/// What a child with these containers takes.
pub(super) fn amount(containers: &[Container]) -> Amount {
    let mut sum = Amount::default();
    for requirement in containers.iter().flat_map(Container::requirements) {
        sum += one(&requirement);
    }
    sum
}

fn one(requirement: &ResourceRequirement) -> Amount {
    let value = requirement.value.parse::<f64>().ok().filter(|value| value.is_finite() && *value > 0.0).unwrap_or(0.0);
    match requirement.kind.as_str() {
        "VCPU" => Amount { milli_vcpus: (value * 1000.0).round() as u64, ..Amount::default() },
        "MEMORY" => Amount { memory_mib: value.ceil() as u64, ..Amount::default() },
        _ => Amount { gpus: value.ceil() as u64, ..Amount::default() },
    }
}

/// Checks a definition's `containerProperties` or `ecsProperties` against its platform: what RegisterJobDefinition must refuse.
///
/// # Errors
/// The first thing that the platform does not allow, or needs and does not find.
pub(super) fn check_definition(definition: &RegisterJobDefinition) -> Result<(), Refusal> {
    let containers = container::of_definition(definition);
    if containers.is_empty() {
        return Ok(());
    }
    check_amounts(&definition.platform_capabilities, &containers)?;
    let sum = amount(&containers);
    if let Some((absent, _)) =
        [("VCPU", sum.milli_vcpus), ("MEMORY", sum.memory_mib)].iter().find(|(_, amount)| *amount == 0)
    {
        return Err(Refusal(format!("resourceRequirements must hold VCPU and MEMORY, but {absent} is absent")));
    }
    let none = Value::Null;
    let task = definition.ecs_properties.as_ref().map(|properties| &properties["taskProperties"][0]);
    let whole = task.or(definition.container_properties.as_ref()).unwrap_or(&none);
    let each =
        task.and_then(|task| task["containers"].as_array()).map_or_else(|| vec![whole], |all| all.iter().collect());
    if !is_fargate(&definition.platform_capabilities) {
        return match ["networkConfiguration", "fargatePlatformConfiguration"].iter().find(|it| given(&whole[**it])) {
            Some(field) => {
                Err(Refusal(format!("{field} is for jobs on Fargate; platformCapabilities does not hold it")))
            }
            None => Ok(()),
        };
    }
    if whole["executionRoleArn"].as_str().unwrap_or_default().is_empty() {
        return Err(Refusal("executionRoleArn must be given for jobs on Fargate".to_owned()));
    }
    match &whole["ephemeralStorage"]["sizeInGiB"] {
        Value::Null => {}
        size if size.as_i64().is_some_and(|size| (21..=200).contains(&size)) => {}
        size => return Err(Refusal(format!("ephemeralStorage.sizeInGiB must be between 21 and 200, but was {size}"))),
    }
    each.into_iter().try_for_each(check_fargate_container)
}

fn check_fargate_container(container: &Value) -> Result<(), Refusal> {
    let linux = &container["linuxParameters"];
    let refused = [
        ("privileged", container["privileged"] == true),
        ("ulimits", given(&container["ulimits"])),
        ("instanceType", given(&container["instanceType"])),
        ("linuxParameters.devices", given(&linux["devices"])),
        ("linuxParameters.sharedMemorySize", given(&linux["sharedMemorySize"])),
        ("linuxParameters.tmpfs", given(&linux["tmpfs"])),
        ("linuxParameters.maxSwap", given(&linux["maxSwap"])),
        ("linuxParameters.swappiness", given(&linux["swappiness"])),
    ];
    if let Some((field, _)) = refused.iter().find(|(_, refused)| *refused) {
        return Err(Refusal(format!("{field} is not supported on Fargate")));
    }
    match container["logConfiguration"]["logDriver"].as_str() {
        None | Some("awslogs" | "splunk" | "awsfirelens") => Ok(()),
        Some(driver) => Err(Refusal(format!(
            "logConfiguration.logDriver '{driver}' is not supported on Fargate; use awslogs or splunk"
        ))),
    }
}

/// Whether a member says anything.
fn given(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(entries) => !entries.is_empty(),
        _ => true,
    }
}

/// Checks what containers ask for against their platform: of a definition, or of a job with its overrides applied.
///
/// EC2 takes whole vCPUs, at least 4 MiB and whole GPUs. Fargate takes certain pairs of vCPUs and memory, which must be there.
/// No amount is above AWS's Integer, whatever the form it was given in: only then may they be summed up.
///
/// # Errors
/// The first requirement that the platform does not allow.
pub(super) fn check_amounts(platforms: &[String], containers: &[Container]) -> Result<(), Refusal> {
    containers.iter().flat_map(Container::requirements).try_for_each(|one| check_most("resourceRequirements", &one))?;
    if is_fargate(platforms) {
        return check_fargate(containers);
    }
    for requirement in containers.iter().flat_map(Container::requirements) {
        let ResourceRequirement { kind, value } = &requirement;
        let least = if kind == "MEMORY" { 4 } else { 1 };
        if !value.parse::<u64>().is_ok_and(|amount| amount >= least) {
            return Err(Refusal(format!(
                "resourceRequirements {kind} must be a whole number of at least {least} on EC2, but was '{value}'"
            )));
        }
    }
    Ok(())
}

fn check_fargate(containers: &[Container]) -> Result<(), Refusal> {
    for container in containers {
        if container.vcpus.is_some() || container.memory.is_some() {
            return Err(Refusal("vcpus and memory are not supported on Fargate; use resourceRequirements".to_owned()));
        }
    }
    let sum = amount(containers);
    if sum.gpus > 0 {
        return Err(Refusal("resourceRequirements GPU is not supported on Fargate".to_owned()));
    }
    if offers(sum.milli_vcpus, sum.memory_mib) {
        return Ok(());
    }
    Err(Refusal(format!(
        "Fargate has no {} vCPU with {} MiB of memory: resourceRequirements must hold a VCPU of 0.25, 0.5, 1, 2, 4, 8, 16 or \
         32 and a MEMORY that goes with it",
        sum.milli_vcpus as f64 / 1000.0,
        sum.memory_mib
    )))
}

fn offers(milli_vcpus: u64, memory: u64) -> bool {
    let both = u32::try_from(milli_vcpus).ok().zip(u32::try_from(memory).ok());
    both.is_some_and(|(milli, mib)| is_fargate_size(milli, mib))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(vcpu: &str, memory: &str) -> Container {
        let resource = |kind: &str, value: &str| ResourceRequirement { kind: kind.to_owned(), value: value.to_owned() };
        Container { resources: vec![resource("VCPU", vcpu), resource("MEMORY", memory)], ..Container::default() }
    }

    #[test]
    fn fargate_has_certain_sizes() {
        let platforms = ["FARGATE".to_owned()];
        for (vcpu, memory, fits) in [
            ("0.25", "512", true),
            ("0.25", "1536", false),
            ("0.25", "2048", true),
            (".5", "4096", true),
            ("0.5", "5120", false),
            ("1", "2048", true),
            ("1.0", "8192", true),
            ("1", "1024", false),
            ("2", "16384", true),
            ("4", "30720", true),
            ("8", "20480", true),
            ("8", "17408", false),
            ("16", "40960", true),
            ("16", "122880", true),
            ("32", "61440", true),
            ("32", "65536", false),
            ("32", "249856", true),
            ("3", "8192", false),
        ] {
            assert_eq!(check_amounts(&platforms, &[container(vcpu, memory)]).is_ok(), fits, "{vcpu} with {memory}");
        }
        let old = Container { vcpus: Some(1), ..container("1", "2048") };
        assert!(check_amounts(&platforms, &[old]).unwrap_err().0.contains("resourceRequirements"));
        assert!(check_amounts(&platforms, &[Container::default()]).is_err(), "they must be there");
        check_amounts(&platforms, &[container("0.25", "512"), container("0.25", "512")]).unwrap();
    }

    #[test]
    fn ec2_has_whole_ones() {
        for (vcpu, memory, fits) in [("1", "4", true), ("0.5", "512", false), ("1", "3", false), ("0", "4", false)] {
            assert_eq!(check_amounts(&[], &[container(vcpu, memory)]).is_ok(), fits, "{vcpu} with {memory}");
        }
        let gpu = ResourceRequirement { kind: "GPU".to_owned(), value: "2".to_owned() };
        let mut with_gpu = container("2", "512");
        with_gpu.resources.push(gpu);
        let sum = amount(&[with_gpu, container("0.25", "100")]);
        assert_eq!(sum, Amount { milli_vcpus: 2250, memory_mib: 612, gpus: 2 });
    }
}
