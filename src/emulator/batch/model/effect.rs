//! What the model asks of the world, and what the world reports.

use serde::{Deserialize, Serialize};

use super::api::ResourceRequirement;
use super::job::AttemptKey;
pub use super::settings::Settings;

/// Something to carry out.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Start an attempt. Its slot is taken until its end is reported.
    Start(Box<Start>),
    /// Signal attempts; one that has not begun yet must then never begin. Their ends are reported as always.
    Signal(Vec<AttemptKey>, Stop),
}

/// An attempt to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// What reports about it are keyed by.
    pub attempt: AttemptKey,
    /// The job's id, a child's with its index.
    pub job_id: String,
    /// The job's name.
    pub job_name: String,
    /// The definition's image.
    pub image: Option<String>,
    /// The command with overrides and parameters applied; empty means the image's own.
    pub command: Vec<String>,
    /// The job's variables, then Batch's own; a later one of the same name wins.
    pub environment: Vec<(String, String)>,
    /// The variables whose values are secrets: whoever starts the attempt has them, or they are absent.
    pub secrets: Vec<String>,
    /// With overrides applied.
    pub resources: Vec<ResourceRequirement>,
    /// The stream its output goes to, in the group `/aws/batch/job`.
    pub log_stream: String,
    /// What only a container can be given.
    pub settings: Settings,
    /// All containers of a task with several; the fields above then tell of the first. Empty for a task with one.
    pub containers: Vec<TaskContainer>,
}

impl Start {
    /// Its containers, in their definition's order: those of a task with several, or the only one.
    pub fn into_containers(self) -> Vec<TaskContainer> {
        if !self.containers.is_empty() {
            return self.containers;
        }
        vec![TaskContainer {
            name: String::new(),
            image: self.image,
            command: self.command,
            environment: self.environment,
            secrets: self.secrets,
            resources: self.resources,
            log_stream: self.log_stream,
            settings: self.settings,
            essential: true,
            depends_on: Vec::new(),
        }]
    }
}

/// A container of a task with several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskContainer {
    /// Its name in the task.
    pub name: String,
    /// The definition's image.
    pub image: Option<String>,
    /// The command with overrides and parameters applied; empty means the image's own.
    pub command: Vec<String>,
    /// The job's variables, then Batch's own; a later one of the same name wins.
    pub environment: Vec<(String, String)>,
    /// The variables whose values are secrets, as of [`Start`].
    pub secrets: Vec<String>,
    /// With overrides applied.
    pub resources: Vec<ResourceRequirement>,
    /// The stream its output goes to.
    pub log_stream: String,
    /// What only a container can be given; the task's volumes among it.
    pub settings: Settings,
    /// Whether its end is the end of the task.
    pub essential: bool,
    /// The containers it waits for, each with `START`, `COMPLETE` or `SUCCESS`.
    pub depends_on: Vec<(String, String)>,
}

/// How to stop an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// SIGTERM.
    Term,
    /// SIGKILL.
    Kill,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// Its main process did, with this code (128 + the signal for a signal).
    Exited {
        /// 0 is success.
        exit_code: i32,
        /// The container's trouble, such as `OutOfMemoryError: ...`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// It is a task of several containers, and they did.
    Task {
        /// The place of the container whose end was the task's: an essential one.
        by: usize,
        /// How each ended, in the definition's order.
        containers: Vec<ContainerEnd>,
    },
    /// It never ran.
    StartFailed {
        /// Such as `CannotStartContainerError: ...`.
        reason: String,
    },
    /// Its host went away.
    HostLost,
    /// It was lost in a way that Batch tells like this.
    Lost {
        /// Such as `Host EC2 (instance i-...) terminated.`
        status_reason: String,
    },
}

/// How a container of a task with several ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerEnd {
    /// Whether its command ever ran.
    pub ran: bool,
    /// Absent when it never ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Its trouble, such as `OutOfMemoryError: ...` or `CannotStartContainerError: ...`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl End {
    /// An exit with nothing to remark.
    pub const fn exited(exit_code: i32) -> End {
        End::Exited { exit_code, reason: None }
    }
}
