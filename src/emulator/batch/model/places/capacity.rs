//! What a compute environment can hold at once. AWS buys instances; here a few rules of thumb say what they would have had.
//!
//! | instance family | GiB for each vCPU | vCPUs for each GPU |
//! | --- | --- | --- |
//! | `c…` | 2 | |
//! | `r…`, `x…`, `z…`, `u…`, `i…`, `d…`, `h…` | 8 | |
//! | `g…` | 4 | 4 |
//! | `p…` | 8 | 8 |
//! | others, `optimal`, `default_…` | 4 | |
//!
//! Of several families the most counts, for a child can run on an instance of any of them. Fargate gives what is asked for: at
//! most 8 GiB for each vCPU.

use super::super::api::ComputeResources;
use super::Amount;
use super::resources::Kind;

const FARGATE_GIB: u64 = 8;
/// Of ECS_MANAGED_INSTANCES, whose requirements are not read.
const MANAGED_GIB: u64 = 4;

/// What `maxvCpus` of these resources come to.
pub(super) fn capacity(kind: Kind, resources: &ComputeResources) -> Amount {
    let vcpus = resources.max_vcpus.unwrap_or(0).max(0).unsigned_abs();
    let (gib, gpu_vcpus) = match kind {
        Kind::Fargate => (FARGATE_GIB, None),
        Kind::Managed => (MANAGED_GIB, None),
        Kind::Ec2 => {
            let ratios: Vec<_> = resources.instance_types.iter().flatten().map(|name| ratios(name)).collect();
            let gib = ratios.iter().map(|(gib, _)| *gib).max().unwrap_or(4);
            (gib, ratios.iter().filter_map(|(_, gpu)| *gpu).min())
        }
    };
    Amount {
        milli_vcpus: vcpus * 1000,
        memory_mib: vcpus * gib * 1024,
        gpus: gpu_vcpus.map_or(0, |each: u64| vcpus / each),
    }
}

/// GiB for each vCPU, and vCPUs for each GPU.
fn ratios(instance_type: &str) -> (u64, Option<u64>) {
    match series(instance_type) {
        "c" => (2, None),
        "r" | "x" | "z" | "u" | "u-" | "i" | "im" | "is" | "d" | "h" => (8, None),
        "g" => (4, Some(4)),
        "p" => (8, Some(8)),
        _ => (4, None),
    }
}

/// The letters a family begins with: `c` of `c5.xlarge`.
fn series(instance_type: &str) -> &str {
    let end = instance_type.find(|c: char| c.is_ascii_digit()).unwrap_or(instance_type.len());
    &instance_type[..end]
}

/// Whether the instances have ARM processors; unknown for an empty list.
pub(super) fn is_arm(instance_types: &[String]) -> Option<bool> {
    instance_types.first().map(|name| is_arm_type(name))
}

pub(super) fn is_arm_type(instance_type: &str) -> bool {
    if instance_type == "default_arm64" {
        return true;
    }
    let family = instance_type.split('.').next().unwrap_or_default();
    // m6g, c7gn, r6gd, g5g: a `g` after the generation; a1 is the one without.
    let after =
        family.trim_start_matches(|c: char| c.is_ascii_alphabetic()).trim_start_matches(|c: char| c.is_ascii_digit());
    family == "a1" || (family.len() > after.len() && after.starts_with('g'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: Kind, types: &[&str]) -> (u64, u64, u64) {
        let types = types.iter().map(|name| (*name).to_owned()).collect();
        let resources =
            ComputeResources { max_vcpus: Some(16), instance_types: Some(types), ..ComputeResources::default() };
        let amount = capacity(kind, &resources);
        (amount.milli_vcpus, amount.memory_mib / 1024, amount.gpus)
    }

    #[test]
    fn memory_and_gpus_follow_the_families() {
        for (types, gib, gpus) in [
            (&["optimal"][..], 64, 0),
            (&["c5"], 32, 0),
            (&["c5.8xlarge", "m5"], 64, 0),
            (&["c5", "r6i.large"], 128, 0),
            (&["x2idn"], 128, 0),
            (&["g4dn.xlarge"], 64, 4),
            (&["p3", "c5"], 128, 2),
            (&["weird"], 64, 0),
            (&[], 64, 0),
        ] {
            assert_eq!(of(Kind::Ec2, types), (16_000, gib, gpus), "{types:?}");
        }
        assert_eq!(of(Kind::Fargate, &[]), (16_000, 128, 0));
    }

    #[test]
    fn processors_are_told_by_name() {
        for (name, arm) in [
            ("m6g.large", true),
            ("c7gn", true),
            ("default_arm64", true),
            ("a1", true),
            ("g5g.xlarge", true),
            ("g4dn.xlarge", false),
            ("m6i", false),
            ("optimal", false),
            ("c5.large", false),
        ] {
            assert_eq!(is_arm_type(name), arm, "{name}");
        }
    }
}
