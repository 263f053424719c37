//! What the caller asked for: a task, mapped inputs, bound inputs and a policy.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::inject::Injection;
use super::ratio::Ratio;
use super::resources::Platform;
use crate::idl::core::{Literal, LiteralType};

/// A task to run once per element of its mapped inputs, or once where it has none. Built by [`super::spec`] or
/// [`super::flyte`], which check it.
#[derive(Clone, Debug, PartialEq)]
pub struct MapTask {
    /// The task's name: letters, digits, `-`, `_` and `.`; of a Flyte task `PROJECT/DOMAIN/NAME`.
    pub name: String,
    /// The container image; the process runner of the embedded endpoint needs none.
    pub image: Option<String>,
    /// The command, its templates unrendered; never empty.
    pub command: Vec<String>,
    /// Every input by name. A task without a mapped one has a single subtask.
    pub inputs: BTreeMap<String, Input>,
    /// Every output by name.
    pub outputs: BTreeMap<String, LiteralType>,
    /// How the subtasks are run and judged.
    pub policy: Policy,
    /// What each subtask's container gets.
    pub resources: Resources,
    /// Added to each subtask's environment.
    pub environment: BTreeMap<String, String>,
    /// Absolute directory for input files inside the container; a temporary one when absent.
    pub input_dir: Option<String>,
    /// Absolute directory for output files inside the container; a temporary one when absent.
    pub output_dir: Option<String>,
    /// How the command takes its inputs and leaves its outputs.
    pub entrypoint: Entrypoint,
    /// What the jobs are submitted with besides.
    pub batch: BatchOptions,
}

/// How a task's command takes its inputs and leaves its outputs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Entrypoint {
    /// By arguments, files and environment, as [`crate::worker`] says: any command.
    #[default]
    Command,
    /// As Flyte has it.
    Flyte(Flyte),
}

/// A command of Flyte's. Its templates are Flyte's, see [`super::flyte::template`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flyte {
    /// What it is given and what it leaves.
    pub kind: FlyteKind,
    /// Who runs it inside the container.
    pub runner: Runner,
    /// Where its files go, as `s3://BUCKET/PREFIX` without a slash at the end; the execution's own place when absent.
    pub raw_output_prefix: Option<String>,
}

/// What a command of Flyte's is given and what it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlyteKind {
    /// `{{.input}}` holds the subtask's own values: `pyflyte-execute`. It leaves `outputs.pb` or `error.pb`.
    Single,
    /// `{{.input}}` holds a list for each mapped input: `pyflyte-map-execute`. It leaves the same.
    Map,
    /// A raw container: a file for each input, and a file for each output.
    Container,
}

/// Who runs a command of Flyte's inside the container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Runner {
    /// batchmap's worker, which is in the image or injected beside it.
    #[default]
    Worker,
    /// Nobody: in an image that has flytekit and a shell, the command itself finds its element and its place for outputs.
    Stock,
    /// The same in an image without a shell.
    StockNoShell,
    /// As [`Runner::Stock`], where children are processes of one machine: each makes itself a directory to work in.
    StockProcess,
}

impl Runner {
    /// Whether there is no worker.
    pub fn is_stock(self) -> bool {
        self != Runner::Worker
    }

    /// Whether the command is run by a shell, which knows of the attempt.
    pub fn has_shell(self) -> bool {
        matches!(self, Runner::Stock | Runner::StockProcess)
    }
}

/// What jobs are submitted with besides, as Flyte's `AWSBatchConfig` says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchOptions {
    /// Where the jobs must run; wherever the queue does when absent.
    pub platform: Option<Platform>,
    /// Whether the job's tags go to its ECS task too.
    pub propagate_tags: bool,
    /// `schedulingPriorityOverride`, in fair-share queues only: 0..=9999.
    pub scheduling_priority: Option<u32>,
    /// Tags of the jobs.
    pub tags: BTreeMap<String, String>,
    /// Environment variables whose values AWS Batch gets from the secret or the parameter of this ARN.
    pub secrets: BTreeMap<String, String>,
    /// MiB of shared memory at `/dev/shm`; 0 is what every container has.
    pub shared_memory_mib: u32,
    /// Whether the image is one for ARM.
    pub arm64: bool,
    /// How the worker gets beside the image; absent where it is in the image, or none is used.
    pub injection: Option<Injection>,
}

impl MapTask {
    /// The names of the mapped inputs, sorted: the order of the lists in a pack.
    pub fn mapped(&self) -> Vec<&str> {
        let mapped = self.inputs.iter().filter(|(_, input)| matches!(input.source, Source::Mapped(_)));
        mapped.map(|(name, _)| name.as_str()).collect()
    }

    /// Whether a list is written out and holds nothing: then there is nothing to run. Of lists elsewhere it is not known.
    pub fn is_empty(&self) -> bool {
        let empty = |source: &Source| match source {
            Source::Mapped(MappedSource::Inline(list)) => list.is_empty(),
            Source::Mapped(MappedSource::Literals(list)) => list.is_empty(),
            _ => false,
        };
        self.inputs.values().any(|input| empty(&input.source))
    }
}

/// One input: its element type and where its values come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// The type of one element (mapped) or of the value (bound); inferred from the values when absent.
    pub literal_type: Option<LiteralType>,
    /// Where the values come from.
    pub source: Source,
}

/// Where an input's values come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// One element for each subtask.
    Mapped(MappedSource),
    /// One value that every subtask shares.
    Bound(BoundSource),
}

/// A list to map over.
#[derive(Clone, Debug, PartialEq)]
pub enum MappedSource {
    /// The list itself.
    Inline(Vec<Value>),
    /// The list itself, as literals; the input's type is given.
    Literals(Arc<[Literal]>),
    /// A JSON array or JSON lines.
    File(PathBuf),
    /// A JSON array or JSON lines on standard input; at most one input of a task.
    Stdin,
    /// A JSON array or JSON lines in an object.
    S3 {
        /// The object's bucket.
        bucket: String,
        /// The object's key.
        key: String,
    },
}

/// A value to bind.
#[derive(Clone, Debug, PartialEq)]
pub enum BoundSource {
    /// The value itself; a string is a path or an `s3://` address where the type is a blob.
    Value(Value),
    /// The value itself, as a literal; the input's type is given.
    Literal(Box<Literal>),
    /// An output of an earlier execution, whole.
    Execution {
        /// That execution's id.
        id: String,
        /// The output's name; its only one when absent.
        output: Option<String>,
    },
}

/// How subtasks are run and judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Children that Batch may hold unfinished at once; unbounded when absent.
    pub concurrency: Option<NonZeroU32>,
    /// How places are filled under a concurrency.
    pub concurrency_mode: ConcurrencyMode,
    /// How many subtasks must succeed.
    pub min_success: MinSuccess,
    /// When success is declared.
    pub completion: Completion,
    /// How often a subtask that failed recoverably is run again.
    pub retries: u32,
    /// Of one attempt.
    pub timeout: Option<Duration>,
    /// Whether a subtask that ran into the timeout is run again, within `retries`.
    pub retry_timeouts: bool,
    /// Run on the interruptible (spot) queue, the last attempt on the default one.
    pub interruptible: bool,
    /// Run every subtask even when success has become impossible.
    pub run_all_sub_nodes: bool,
    /// Give each attempt a directory that is saved for the next one.
    pub checkpoint: bool,
    /// Of the whole execution, from its beginning on.
    pub deadline: Option<Duration>,
    /// Whether outputs are taken from the cache and kept in it.
    pub cache: Option<Cache>,
}

/// How a subtask's outputs are found again by its inputs: see [`super::cache`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cache {
    /// The caller's own word for what the task does: another one, and nothing cached before is used.
    pub version: String,
    /// Inputs that do not tell subtasks apart.
    pub ignored: BTreeSet<String>,
    /// Run everything, and put the new outputs in the place of cached ones.
    pub overwrite: bool,
    /// What several executions would compute at once is computed by one; the others wait for its outputs.
    pub serialize: bool,
    /// Whether the task was given no name: then its command tells it from others.
    pub by_command: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            concurrency: None,
            concurrency_mode: ConcurrencyMode::Rolling,
            min_success: MinSuccess::Ratio(Ratio::ONE),
            completion: Completion::Settled,
            retries: 0,
            timeout: None,
            retry_timeouts: false,
            interruptible: false,
            run_all_sub_nodes: false,
            checkpoint: false,
            deadline: None,
            cache: None,
        }
    }
}

/// How places are filled under a concurrency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ConcurrencyMode {
    /// A new array as soon as enough places are free.
    Rolling,
    /// The next array when the last has ended.
    Batches,
}

/// How many subtasks must succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinSuccess {
    /// A share of all subtasks, rounded up.
    Ratio(Ratio),
    /// A number of subtasks.
    Count(u64),
}

impl MinSuccess {
    /// The number of the `n` subtasks that must succeed; never more than `n`.
    pub fn of(self, n: u64) -> u64 {
        match self {
            MinSuccess::Ratio(ratio) => ratio.ceil_of(n),
            MinSuccess::Count(count) => count.min(n),
        }
    }
}

/// When success is declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Completion {
    /// When every subtask has settled.
    Settled,
    /// As soon as enough have succeeded; the rest is terminated.
    Satisfied,
}

/// What each subtask's container gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resources {
    /// Thousandths of a vCPU.
    pub cpu_milli: u32,
    /// MiB.
    pub memory_mib: u32,
    /// Whole GPUs.
    pub gpus: u32,
}

impl Default for Resources {
    /// One vCPU and 2 GiB: valid on EC2 and on Fargate.
    fn default() -> Self {
        Resources { cpu_milli: 1000, memory_mib: 2048, gpus: 0 }
    }
}
