//! What a definition says of a container that only a container can be given: a local process has no use for it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A container's settings as its definition has them, in AWS's words. What is absent is left to the image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Settings {
    /// A name or number, `user:group` too.
    pub user: Option<String>,
    /// Whether nothing but its volumes can be written.
    pub readonly_root_filesystem: Option<bool>,
    /// Whether it has all rights on its host.
    pub privileged: Option<bool>,
    /// Limits of its processes.
    pub ulimits: Vec<Ulimit>,
    /// Where it sees volumes.
    pub mount_points: Vec<MountPoint>,
    /// The volumes there are; a task's containers share those of the same name.
    pub volumes: Vec<Volume>,
    /// Devices, swap and such.
    pub linux_parameters: Option<LinuxParameters>,
    /// Seconds between its SIGTERM and its SIGKILL when its task stops.
    pub stop_timeout: Option<i64>,
}

/// A limit of processes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Ulimit {
    /// Such as `nofile`.
    pub name: String,
    /// The most.
    pub hard_limit: i64,
    /// What it begins with.
    pub soft_limit: i64,
}

/// Where a container sees a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MountPoint {
    /// An absolute path in the container.
    pub container_path: Option<String>,
    /// Whether it cannot be written.
    pub read_only: Option<bool>,
    /// The volume's name.
    pub source_volume: Option<String>,
}

/// A volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Volume {
    /// What mount points call it.
    pub name: String,
    /// A directory of the host; one that lives as long as the task without it.
    pub host: Option<HostPath>,
    /// A file system of AWS's, when it is on one.
    pub efs_volume_configuration: Option<Value>,
}

/// A directory of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HostPath {
    /// Its absolute path; absent or empty for one that lives as long as the task.
    pub source_path: Option<String>,
}

/// What is the kernel's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LinuxParameters {
    /// Devices of the host.
    pub devices: Vec<Device>,
    /// Whether a process 1 that reaps others is added.
    pub init_process_enabled: Option<bool>,
    /// MiB of `/dev/shm`.
    pub shared_memory_size: Option<i64>,
    /// File systems in memory.
    pub tmpfs: Vec<Tmpfs>,
    /// MiB of swap beyond the memory; none when absent.
    pub max_swap: Option<i64>,
    /// 0 to 100.
    pub swappiness: Option<i64>,
}

/// A device of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Device {
    /// Its path on the host.
    pub host_path: String,
    /// Its path in the container; the host's when absent.
    pub container_path: Option<String>,
    /// `READ`, `WRITE` and `MKNOD`; all when empty.
    pub permissions: Vec<String>,
}

/// A file system in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tmpfs {
    /// An absolute path in the container.
    pub container_path: String,
    /// MiB.
    pub size: i64,
    /// Such as `noexec`.
    pub mount_options: Vec<String>,
}

impl Settings {
    /// Those of a container of a definition; a task's volumes are all of its containers'.
    pub(super) fn of(container: &Value, task_volumes: &Value) -> Settings {
        // A definition whose shape is wrong was refused when it was registered.
        let mut settings = Settings::deserialize(container).unwrap_or_default();
        settings.volumes.extend(Vec::<Volume>::deserialize(task_volumes).unwrap_or_default());
        settings
    }
}
