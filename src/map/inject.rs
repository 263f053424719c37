//! The worker beside an image that does not hold it: a container that ends before the task's own begins puts the binary
//! into a volume that both share.
//!
//! ```text
//! worker image: batchmap worker --install /opt/batchmap/bin --scratch /opt/batchmap/tmp      as root, ends with 0
//!                       │ volume, 0755                       │ volume, 1777
//! the task's image: /opt/batchmap/bin/batchmap worker ...   /opt/batchmap/tmp, or /tmp
//! ```
//! Who owns a new volume, and with what mode, differs between EC2 and Fargate; the first container runs as root and sets
//! both, so that any user of the task's image can read the one and write the other.

use crate::idl::record::TaskRecord;

/// The container that brings the worker.
pub const INIT: &str = "batchmap-init";
/// The task's own container.
pub const MAIN: &str = "main";

/// Where the worker's binary lies, in both containers. The task's own may only read it.
pub const BIN_DIR: &str = "/opt/batchmap/bin";
/// A directory that any user may write to: of the container that brings the worker, and of the task's own where the root
/// file system may be written, for its image may have no `/tmp`.
pub const SCRATCH_DIR: &str = "/opt/batchmap/tmp";
/// The same directory in the task's own container where the root file system is read-only.
pub const TMP_DIR: &str = "/tmp";

/// The volume of the binary.
pub const BIN_VOLUME: &str = "batchmap-bin";
/// The volume of the scratch directory.
pub const SCRATCH_VOLUME: &str = "batchmap-tmp";

/// The binary's name.
pub const BINARY: &str = "batchmap";

/// Beside it, the certificates of authorities: the task's image may have none, and S3 is reached over TLS.
pub const ROOTS: &str = "ca-certificates.crt";

/// MiB of the container that brings the worker, on EC2, where every container must have a limit.
pub const INIT_MEMORY_MIB: u32 = 64;

/// How the worker is injected.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Injection {
    /// The image that holds the static binary, `batchmap` being its entry point.
    pub image: String,
    /// Whether the task's own container may write to its volumes alone.
    pub readonly_root: bool,
}

impl Injection {
    /// What the container that brings the worker runs: arguments of `batchmap`.
    pub fn install() -> [&'static str; 5] {
        ["worker", "--install", BIN_DIR, "--scratch", SCRATCH_DIR]
    }

    /// Where the scratch directory is in the task's own container.
    pub fn scratch(&self) -> &'static str {
        if self.readonly_root { TMP_DIR } else { SCRATCH_DIR }
    }
}

/// The program that a task's own container starts.
pub fn program(injected: bool) -> String {
    if injected { format!("{BIN_DIR}/{BINARY}") } else { BINARY.to_owned() }
}

/// How the worker is injected into the jobs of a record; absent where the image holds it, or none is used.
pub fn of_record(record: &TaskRecord) -> Option<Injection> {
    let stored = record.batch.as_ref()?.injection.as_ref()?;
    Some(Injection { image: stored.image.clone(), readonly_root: stored.readonly_root })
}
