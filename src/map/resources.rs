//! What a subtask asks for, as Batch takes it on each platform.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::task::Resources;

/// Where Batch runs containers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Platform {
    /// EC2 instances, on demand or spot.
    #[default]
    Ec2,
    /// Fargate, on demand or spot.
    Fargate,
}

impl fmt::Display for Platform {
    /// As Batch's `platformCapabilities` name it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Platform::Ec2 => "EC2",
            Platform::Fargate => "FARGATE",
        })
    }
}

impl FromStr for Platform {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_uppercase().as_str() {
            "EC2" => Ok(Platform::Ec2),
            "FARGATE" => Ok(Platform::Fargate),
            _ => Err(format!("{text:?} is neither EC2 nor FARGATE")),
        }
    }
}

/// The values of Batch's `resourceRequirements`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirements {
    /// `VCPU`: whole on EC2, one of Fargate's sizes there (`0.25`).
    pub vcpus: String,
    /// `MEMORY`, MiB.
    pub memory_mib: u32,
    /// `GPU`; 0 is none and then left out.
    pub gpus: u32,
    /// What the caller should know about how the request was met.
    pub note: Option<String>,
}

/// A request that the platform cannot meet, with the nearest that it can.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResourcesError {
    /// Fargate has no GPUs.
    #[error("resources.gpu is {0}: Fargate has no GPUs; use platform EC2, or leave gpu out")]
    GpuOnFargate(u32),
    /// Not one of Fargate's sizes.
    #[error(
        "resources cpu {cpu} with mem {memory_mib}Mi is no size of Fargate; the nearest is cpu {nearest_cpu} with mem \
         {nearest_mib}Mi (cpu {cpu_sizes}; with cpu {nearest_cpu}, mem {memory_sizes})",
        cpu = vcpus(*cpu_milli),
        nearest_cpu = vcpus(*nearest_milli),
        cpu_sizes = fargate_cpus(),
        memory_sizes = fargate_memory(*nearest_milli)
    )]
    NoFargateSize {
        /// Asked for, thousandths of a vCPU.
        cpu_milli: u32,
        /// Asked for, MiB.
        memory_mib: u32,
        /// The nearest size's thousandths of a vCPU.
        nearest_milli: u32,
        /// The nearest size's MiB.
        nearest_mib: u32,
    },
}

/// One row of Fargate's sizes: thousandths of a vCPU, and the MiB that may go with it.
struct FargateCpu {
    milli: u32,
    memory: Memory,
}

enum Memory {
    OneOf(&'static [u32]),
    Steps(RangeInclusive<u32>, u32),
}

const FARGATE: [FargateCpu; 8] = [
    FargateCpu { milli: 250, memory: Memory::OneOf(&[512, 1024, 2048]) },
    FargateCpu { milli: 500, memory: Memory::Steps(1024..=4096, 1024) },
    FargateCpu { milli: 1000, memory: Memory::Steps(2048..=8192, 1024) },
    FargateCpu { milli: 2000, memory: Memory::Steps(4096..=16_384, 1024) },
    FargateCpu { milli: 4000, memory: Memory::Steps(8192..=30_720, 1024) },
    FargateCpu { milli: 8000, memory: Memory::Steps(16_384..=61_440, 4096) },
    FargateCpu { milli: 16_000, memory: Memory::Steps(32_768..=122_880, 8192) },
    FargateCpu { milli: 32_000, memory: Memory::OneOf(&[61_440, 122_880, 249_856]) },
];

impl Memory {
    /// The smallest that is at least `mib`.
    fn at_least(&self, mib: u32) -> Option<u32> {
        match self {
            Memory::OneOf(sizes) => sizes.iter().copied().find(|size| *size >= mib),
            Memory::Steps(range, step) => {
                let size = (*range.start()).max(mib.div_ceil(*step) * step);
                range.contains(&size).then_some(size)
            }
        }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Memory::OneOf(sizes) => {
                let sizes: Vec<String> = sizes.iter().map(|size| format!("{size}Mi")).collect();
                f.write_str(&sizes.join(", "))
            }
            Memory::Steps(range, step) => write!(f, "{}Mi to {}Mi in steps of {step}Mi", range.start(), range.end()),
        }
    }
}

/// What Batch is asked for on `platform` so that a child gets `resources`.
///
/// EC2 takes whole vCPUs, so a fraction is rounded up, with a note: the child gets no less than it asked for, only fewer
/// fit an instance, and one spec serves both platforms. Fargate bills by size, so there nothing is rounded: a request
/// between the sizes is refused.
///
/// # Errors
/// A request that Fargate cannot meet as it is.
pub fn requirements(resources: &Resources, platform: Platform) -> Result<Requirements, ResourcesError> {
    let Resources { cpu_milli, memory_mib, gpus } = *resources;
    match platform {
        Platform::Ec2 => {
            let whole = cpu_milli.div_ceil(1000).max(1);
            let note = (whole * 1000 != cpu_milli)
                .then(|| format!("AWS Batch on EC2 gives whole vCPUs: cpu {} becomes {whole}", vcpus(cpu_milli)));
            Ok(Requirements { vcpus: whole.to_string(), memory_mib, gpus, note })
        }
        Platform::Fargate if gpus > 0 => Err(ResourcesError::GpuOnFargate(gpus)),
        Platform::Fargate => {
            if !is_fargate_size(cpu_milli, memory_mib) {
                let (nearest_milli, nearest_mib) = fargate_size(cpu_milli, memory_mib);
                return Err(ResourcesError::NoFargateSize { cpu_milli, memory_mib, nearest_milli, nearest_mib });
            }
            Ok(Requirements { vcpus: vcpus(cpu_milli), memory_mib, gpus: 0, note: None })
        }
    }
}

/// Whether Fargate has exactly this size: thousandths of a vCPU, and MiB.
pub fn is_fargate_size(cpu_milli: u32, memory_mib: u32) -> bool {
    fargate_size(cpu_milli, memory_mib) == (cpu_milli, memory_mib)
}

/// The smallest size with at least that much; the largest where none has.
fn fargate_size(cpu_milli: u32, memory_mib: u32) -> (u32, u32) {
    let enough = FARGATE.iter().filter(|row| row.milli >= cpu_milli);
    let mut sizes = enough.filter_map(|row| Some((row.milli, row.memory.at_least(memory_mib)?)));
    sizes.next().unwrap_or((32_000, 249_856))
}

/// Thousandths of a vCPU as Batch writes vCPUs: `1`, `0.25`.
fn vcpus(milli: u32) -> String {
    (f64::from(milli) / 1000.0).to_string()
}

fn fargate_cpus() -> String {
    FARGATE.iter().map(|row| vcpus(row.milli)).collect::<Vec<_>>().join(", ")
}

fn fargate_memory(milli: u32) -> String {
    FARGATE.iter().find(|row| row.milli == milli).map(|row| row.memory.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(cpu_milli: u32, memory_mib: u32, gpus: u32) -> Resources {
        Resources { cpu_milli, memory_mib, gpus }
    }

    #[test]
    fn the_default_fits_both_platforms() {
        for platform in [Platform::Ec2, Platform::Fargate] {
            let given = requirements(&Resources::default(), platform).unwrap();
            assert_eq!(given, Requirements { vcpus: "1".into(), memory_mib: 2048, gpus: 0, note: None });
        }
    }

    #[test]
    fn ec2_rounds_a_fraction_up_and_says_so() {
        let given = requirements(&ask(2500, 300, 2), Platform::Ec2).unwrap();
        assert_eq!((given.vcpus.as_str(), given.memory_mib, given.gpus), ("3", 300, 2));
        assert_eq!(given.note.unwrap(), "AWS Batch on EC2 gives whole vCPUs: cpu 2.5 becomes 3");
        assert_eq!(requirements(&ask(1, 4, 0), Platform::Ec2).unwrap().vcpus, "1");
        assert_eq!(requirements(&ask(192_000, 4, 0), Platform::Ec2).unwrap().note, None);
    }

    #[test]
    fn every_size_of_fargate_is_taken_as_it_is() {
        let mut sizes = 0;
        for row in &FARGATE {
            let mut mib = 0;
            while let Some(size) = row.memory.at_least(mib + 1) {
                let given = requirements(&ask(row.milli, size, 0), Platform::Fargate).unwrap();
                assert_eq!((given.vcpus, given.memory_mib), (vcpus(row.milli), size));
                (mib, sizes) = (size, sizes + 1);
            }
        }
        // 3 + 4 + 7 + 13 + 23 + 12 + 12 + 3, counted from the table in Batch's API reference.
        assert_eq!(sizes, 77);
    }

    #[test]
    fn another_size_is_refused_with_the_nearest() {
        for (cpu, mib, near_cpu, near_mib) in [
            (250, 4096, 500, 4096),
            (300, 512, 500, 1024),
            (1000, 512, 1000, 2048),
            (1000, 2500, 1000, 3072),
            (3000, 1024, 4000, 8192),
            (8000, 17_000, 8000, 20_480),
            (100, 200_000, 32_000, 249_856),
            (64_000, 1024, 32_000, 249_856),
        ] {
            let error = requirements(&ask(cpu, mib, 0), Platform::Fargate).unwrap_err();
            let (nearest_milli, nearest_mib) = (near_cpu, near_mib);
            let expected =
                ResourcesError::NoFargateSize { cpu_milli: cpu, memory_mib: mib, nearest_milli, nearest_mib };
            assert_eq!(error, expected);
        }
        assert_eq!(
            requirements(&ask(250, 4096, 0), Platform::Fargate).unwrap_err().to_string(),
            "resources cpu 0.25 with mem 4096Mi is no size of Fargate; the nearest is cpu 0.5 with mem 4096Mi (cpu 0.25, \
             0.5, 1, 2, 4, 8, 16, 32; with cpu 0.5, mem 1024Mi to 4096Mi in steps of 1024Mi)"
        );
    }

    #[test]
    fn fargate_has_no_gpus() {
        let error = requirements(&ask(1000, 2048, 1), Platform::Fargate).unwrap_err();
        assert_eq!(error, ResourcesError::GpuOnFargate(1));
    }

    #[test]
    fn platforms_survive_their_names() {
        for platform in [Platform::Ec2, Platform::Fargate] {
            assert_eq!(platform.to_string().parse(), Ok(platform));
        }
        assert_eq!("fargate".parse(), Ok(Platform::Fargate));
        assert!("EKS".parse::<Platform>().is_err());
    }
}
