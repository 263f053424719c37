//! The shape of a container in a definition, read to find faults: the definition itself keeps what was given.

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use super::super::Refusal;
use super::super::api::{KeyValue, ResourceRequirement};
use super::super::check::{check_environment, check_resources};
use super::super::places::page::check_range;

/// A container of `containerProperties`, `ecsProperties` or a range of nodes.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Container {
    pub(super) name: Option<String>,
    pub(super) image: String,
    pub(super) essential: Option<bool>,
    pub(super) depends_on: Vec<Dependency>,
    #[serde(rename = "command")]
    _command: Vec<String>,
    environment: Vec<KeyValue>,
    resource_requirements: Vec<ResourceRequirement>,
    vcpus: Option<i64>,
    memory: Option<i64>,
    volumes: Vec<Volume>,
    mount_points: Vec<MountPoint>,
    ulimits: Vec<Ulimit>,
    secrets: Vec<Secret>,
    #[serde(rename = "privileged")]
    _privileged: Option<bool>,
    #[serde(rename = "readonlyRootFilesystem")]
    _readonly: Option<bool>,
    linux_parameters: Option<LinuxParameters>,
    log_configuration: Option<LogConfiguration>,
    ephemeral_storage: Option<EphemeralStorage>,
    start_timeout: Option<i64>,
    stop_timeout: Option<i64>,
}

/// What a container waits for before it starts.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Dependency {
    pub(super) container_name: String,
    pub(super) condition: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Volume {
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct MountPoint {
    source_volume: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ulimit {
    name: String,
    hard_limit: i64,
    soft_limit: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Secret {
    name: String,
    #[serde(rename = "valueFrom")]
    _value_from: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct LinuxParameters {
    #[serde(rename = "devices")]
    _devices: Vec<IgnoredAny>,
    tmpfs: Vec<Tmpfs>,
    shared_memory_size: Option<i64>,
    max_swap: Option<i64>,
    swappiness: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Tmpfs {
    size: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogConfiguration {
    log_driver: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct EphemeralStorage {
    #[serde(rename = "sizeInGiB")]
    size: i64,
}

const LOG_DRIVERS: [&str; 9] =
    ["json-file", "syslog", "journald", "gelf", "fluentd", "awslogs", "splunk", "awsfirelens", "logentries"];

/// Reads a part of a definition.
pub(super) fn read<T: DeserializeOwned>(field: &str, value: &Value) -> Result<T, Refusal> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let (path, error) = (error.path().to_string(), error.into_inner());
        let path = if path == "." { String::new() } else { format!(".{path}") };
        Refusal(format!("{field}{path} is not valid: {error}"))
    })
}

impl Container {
    /// Checks what does not depend on other containers; `volumes` are the task's.
    pub(super) fn check(&self, field: &str, volumes: &[Volume]) -> Result<(), Refusal> {
        if self.image.is_empty() {
            return Err(Refusal(format!("{field}.image must not be empty")));
        }
        // A name begins with a letter or a digit; what begins so would be taken for a flag by those who run it.
        if self.image.starts_with('-') {
            return Err(Refusal(format!("{field}.image '{}' is not the name of an image", self.image)));
        }
        check_environment(&format!("{field}.environment"), &self.environment)?;
        check_resources(&format!("{field}.resourceRequirements"), &self.resource_requirements)?;
        check_range(&format!("{field}.vcpus"), self.vcpus, 1, i64::from(i32::MAX))?;
        check_range(&format!("{field}.memory"), self.memory, 4, i64::from(i32::MAX))?;
        let volumes: Vec<&str> = self.volumes.iter().chain(volumes).map(|volume| volume.name.as_str()).collect();
        for mount in &self.mount_points {
            if !volumes.contains(&mount.source_volume.as_str()) {
                return Err(Refusal(format!(
                    "{field}.mountPoints.sourceVolume '{}' is not one of the volumes; add it to them",
                    mount.source_volume
                )));
            }
        }
        for limit in &self.ulimits {
            if limit.soft_limit > limit.hard_limit {
                return Err(Refusal(format!(
                    "{field}.ulimits {} has a softLimit of {}, above its hardLimit of {}",
                    limit.name, limit.soft_limit, limit.hard_limit
                )));
            }
        }
        if let Some(secret) = self.secrets.iter().find(|secret| secret.name.starts_with("AWS_BATCH")) {
            return Err(Refusal(format!(
                "{field}.secrets name '{}' is not valid: names that begin with AWS_BATCH are reserved",
                secret.name
            )));
        }
        self.check_parts(field)
    }

    fn check_parts(&self, field: &str) -> Result<(), Refusal> {
        if let Some(log) = &self.log_configuration
            && !LOG_DRIVERS.contains(&log.log_driver.as_str())
        {
            return Err(Refusal(format!(
                "{field}.logConfiguration.logDriver must be one of {}, but was '{}'",
                LOG_DRIVERS.join(", "),
                log.log_driver
            )));
        }
        for limit in &self.ulimits {
            check_integer(&format!("{field}.ulimits.softLimit"), Some(limit.soft_limit))?;
            check_integer(&format!("{field}.ulimits.hardLimit"), Some(limit.hard_limit))?;
        }
        check_integer(&format!("{field}.startTimeout"), self.start_timeout)?;
        check_integer(&format!("{field}.stopTimeout"), self.stop_timeout)?;
        if let Some(linux) = &self.linux_parameters {
            check_integer(&format!("{field}.linuxParameters.sharedMemorySize"), linux.shared_memory_size)?;
            check_integer(&format!("{field}.linuxParameters.maxSwap"), linux.max_swap)?;
            for tmpfs in &linux.tmpfs {
                check_integer(&format!("{field}.linuxParameters.tmpfs.size"), tmpfs.size)?;
            }
            check_range(&format!("{field}.linuxParameters.swappiness"), linux.swappiness, 0, 100)?;
        }
        self.ephemeral_storage.as_ref().map_or(Ok(()), |storage| storage.check(field))
    }
}

/// Refuses what AWS's Integer does not hold.
fn check_integer(field: &str, value: Option<i64>) -> Result<(), Refusal> {
    check_range(field, value, i64::from(i32::MIN), i64::from(i32::MAX))
}

impl EphemeralStorage {
    pub(super) fn check(&self, field: &str) -> Result<(), Refusal> {
        check_range(&format!("{field}.ephemeralStorage.sizeInGiB"), Some(self.size), 21, 200)
    }
}
