//! The document's shape, for its JSON Schema. The reader ([`super::read`]) does not go through these types, for it
//! reports every fault at once; a test holds that both know the same keys.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde_json::Value;

use crate::map::task::{Completion, ConcurrencyMode};

/// A map task: one command, run once for each element of the mapped inputs.
#[derive(JsonSchema)]
#[schemars(title = "batchmap spec", deny_unknown_fields)]
pub struct Document {
    /// The address of this schema, for editors; not read.
    #[schemars(rename = "$schema")]
    pub schema: Option<String>,
    /// The task's name: letters, digits, `-`, `_` and `.`. Default: the command's first word.
    pub name: Option<String>,
    /// The container image. Default: the configured one; the process runner on one machine needs none.
    pub image: Option<String>,
    /// The command and its arguments; `{{.inputs.NAME}}` stands for the element, or for the bound value.
    #[schemars(length(min = 1), inner(length(min = 1)))]
    pub command: Vec<String>,
    /// Types of inputs by name: of one element where the input is mapped. Default: inferred from the values.
    pub inputs: Option<BTreeMap<String, String>>,
    /// Types of outputs by name. Default: one string `o0`, read from standard output.
    pub outputs: Option<BTreeMap<String, String>>,
    /// The lists to map over, by input; all of the same length.
    #[schemars(extend("minProperties" = 1))]
    pub map: BTreeMap<String, Mapped>,
    /// The values that every subtask shares, by input. `"@EXECUTION"` or `"@EXECUTION/OUTPUT"` is the output of an
    /// earlier execution, `"file:PATH"` a file; a string that begins with `@` is written with `@@`. Lists are refused.
    pub bind: Option<BTreeMap<String, Value>>,
    /// How subtasks are run and judged.
    pub policy: Option<Policy>,
    /// What each subtask's container gets.
    pub resources: Option<Resources>,
    /// Added to each subtask's environment.
    pub environment: Option<BTreeMap<String, String>>,
    /// Absolute directory for input files inside the container. Default: a temporary one.
    pub input_dir: Option<String>,
    /// Absolute directory for output files inside the container. Default: a temporary one.
    pub output_dir: Option<String>,
}

/// A list to map over.
#[derive(JsonSchema)]
#[serde(untagged)]
pub enum Mapped {
    /// The list itself.
    List(Vec<Value>),
    /// `@FILE`, `-` for standard input, or `s3://BUCKET/KEY`: a JSON array or JSON lines.
    Source(
        #[schemars(regex(pattern = r"^(@.+|-|s3://[^/]+/.+)$"))]
        String,
    ),
}

/// How subtasks are run and judged.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Policy {
    /// Children that Batch may hold unfinished at once; 0 is unbounded. Default: 0.
    pub concurrency: Option<u32>,
    /// How places are filled under a concurrency. Default: rolling.
    pub concurrency_mode: Option<ConcurrencyMode>,
    /// The share of subtasks that must succeed, rounded up. Default: 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_success_ratio: Option<f64>,
    /// The number of subtasks that must succeed, at most all; instead of `min_success_ratio`.
    pub min_successes: Option<u64>,
    /// When success is declared. Default: settled.
    pub completion: Option<Completion>,
    /// How often a subtask that failed recoverably is run again. Default: 0.
    #[schemars(range(max = 100))]
    pub retries: Option<u32>,
    /// Of one attempt. Default: none.
    pub timeout: Option<Timeout>,
    /// Whether a subtask that ran into the timeout is run again, within `retries`. Default: false.
    pub retry_timeouts: Option<bool>,
    /// Run on the interruptible (spot) queue, the last attempt on the default one. Default: false.
    pub interruptible: Option<bool>,
    /// Run every subtask even when success has become impossible. Default: false.
    pub run_all_sub_nodes: Option<bool>,
    /// Give each attempt the directory `$BATCHMAP_CHECKPOINT_DIR` with what the attempt before it left there. Default:
    /// false, unless the command has `{{.checkpointDir}}`.
    pub checkpoint: Option<bool>,
    /// Of the whole execution, from its beginning on, resumed or not: when it has passed, everything is terminated and
    /// the execution has failed, also when enough have succeeded already: `completion: satisfied` ends it then.
    /// Default: none.
    pub deadline: Option<Timeout>,
    /// Take outputs that are known already from the cache, run only the rest, and keep what that brings. Outputs are
    /// found by the task's name (its command where it has none), `cache_version`, the types of inputs and outputs, and
    /// the inputs' values; local files count by their content, `s3://` addresses as they stand. Default: false.
    pub cache: Option<bool>,
    /// What the task does now, in a word: another one, and nothing cached before is used. Needed with `cache`.
    #[schemars(length(min = 1, max = 256))]
    pub cache_version: Option<String>,
    /// Inputs that do not tell subtasks apart. Default: none.
    pub cache_ignore_inputs: Option<Vec<String>>,
    /// Run everything, and put what it brings in the place of what is cached. Default: false.
    pub cache_overwrite: Option<bool>,
    /// Where several runs at once would compute the same element, one does, and the others wait for its outputs; when it
    /// fails or is gone, the next one computes it. Equal elements of one run are computed once, too. Default: false.
    pub cache_serialize: Option<bool>,
}

/// A length of time.
#[derive(JsonSchema)]
#[serde(untagged)]
pub enum Timeout {
    /// Seconds.
    Seconds(#[schemars(extend("exclusiveMinimum" = 0))] f64),
    /// With units: `90s`, `5m`, `1h 30m`.
    Text(String),
}

/// What each subtask's container gets.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Resources {
    /// vCPUs: `2`, `0.5`, or thousandths as `"500m"`. Default: 1.
    pub cpu: Option<Quantity>,
    /// Memory: MiB as a number, or with a unit as `"512Mi"`, `"2Gi"`, `"300M"`. Default: 2Gi.
    pub mem: Option<Quantity>,
    /// Whole GPUs. Default: 0.
    #[schemars(range(max = 16))]
    pub gpu: Option<u32>,
}

/// A number, or a number with a unit.
#[derive(JsonSchema)]
#[serde(untagged)]
pub enum Quantity {
    /// In the field's own unit.
    Number(f64),
    /// With a unit.
    Text(String),
}

/// The JSON Schema of a spec, as `batchmap schema` prints it.
pub fn json_schema() -> Value {
    schemars::schema_for!(Document).to_value()
}
