//! Commands of flytekit in images that hold flytekit and no worker: what can be run so, and as what.
//!
//! All children of an array share one command line, and each has to find its element and a place of its own:
//!
//! ```text
//! sh -c 'BATCHMAP_CHILD=<job>/<child>/<attempt>; exec pyflyte-map-execute --inputs <a whole pack>
//!        --output-prefix <the array's place>/"$BATCHMAP_CHILD" ...'      which element: BATCH_JOB_ARRAY_INDEX_*
//! ```
//! The paths are relative to nothing that two attempts share, so neither a repeated attempt nor a second job of the same
//! array writes where another one has. Without a shell ([`Runner::StockNoShell`]) the arguments are the same for every
//! child: flytekit's older resolver appends the element's index to the outputs' place itself, attempts share one place,
//! and there are no checkpoints.

use std::collections::{BTreeMap, BTreeSet};

use super::command::{EXECUTE, MAP_EXECUTE};
use super::inputs::Mapping;
use super::template::{self, Piece};
use crate::idl::record::TaskRecord;
use crate::idl::record::flyte::Runner as StoredRunner;
use crate::map::spec::{Fault, Faults};
use crate::map::task::{FlyteKind, Policy, Runner};

mod quote;
mod render;

pub use quote::quoted;
pub use render::{Array, Rendered, offset, render};

/// The shortest timeout that Batch takes, and nothing else ends an attempt here: shorter ones last this long.
pub const SHORTEST_TIMEOUT_SECONDS: u64 = 60;

const FAST_EXECUTE: &str = "pyflyte-fast-execute";
/// It writes its outputs exactly where it is told.
const ARRAY_RESOLVER: &str = "flytekit.core.array_node_map_task.ArrayNodeMapTaskResolver";
/// It takes the same arguments, and appends the index to the outputs' place.
const LEGACY_RESOLVER: &str = "flytekit.core.legacy_map_task.MapTaskResolver";

const FIELD: &str = "container.args";
const WITH_WORKER: &str = "have the server run images that hold batchmap (flyte_images = \"worker\")";

/// Who runs a record's command, where that is no worker.
pub fn runner(record: &TaskRecord) -> Option<StoredRunner> {
    let runner = record.flyte.as_ref()?.runner();
    (runner != StoredRunner::Worker).then_some(runner)
}

/// Whether a record's command is run by a shell, without a worker.
pub fn has_shell(runner: StoredRunner) -> bool {
    matches!(runner, StoredRunner::Stock | StoredRunner::StockProcess)
}

/// The command as `runner` needs it, and what it then is. What cannot be put right goes to `faults`.
pub(super) fn command(
    mut words: Vec<String>,
    kind: FlyteKind,
    mapping: &Mapping,
    runner: Runner,
    faults: &mut Faults,
) -> (Vec<String>, FlyteKind) {
    if !runner.is_stock() {
        return (words, kind);
    }
    let mut kind = kind;
    if let (FlyteKind::Single, Mapping::Lists { bound, .. }) = (kind, mapping) {
        match mapped(&words, bound) {
            Some(repaired) => (words, kind) = (repaired, FlyteKind::Map),
            None => {
                let problem = "the command is one of a single task, and it is mapped";
                faults.0.push(Fault::missing(FIELD, problem, WITH_WORKER));
            }
        }
    }
    let resolver = if runner.has_shell() { ARRAY_RESOLVER } else { LEGACY_RESOLVER };
    if kind == FlyteKind::Map
        && let Some(word) = words.iter_mut().find(|word| [ARRAY_RESOLVER, LEGACY_RESOLVER].contains(&word.as_str()))
    {
        resolver.clone_into(word);
    }
    if runner == Runner::StockProcess {
        unpack_here(&mut words);
    }
    (words, kind)
}

/// The command of a single task as one of a map: flytekit leaves the former where a task with AWSBatchConfig is mapped.
fn mapped(words: &[String], bound: &BTreeSet<String>) -> Option<Vec<String>> {
    let execute = words.iter().position(|word| word == EXECUTE)?;
    let resolver = words.iter().position(|word| word == "--resolver").filter(|at| *at > execute)?;
    let (own, rest) = match words.get(resolver + 1..)? {
        [own, dashes, rest @ ..] if dashes == "--" => (own, rest),
        [own, rest @ ..] => (own, rest),
        [] => return None,
    };
    let bound: Vec<&str> = bound.iter().map(String::as_str).collect();
    let mut repaired = words[..resolver].to_vec();
    MAP_EXECUTE.clone_into(&mut repaired[execute]);
    let added = ["--resolver", ARRAY_RESOLVER, "--", "vars", &bound.join(","), "resolver", own];
    repaired.extend(added.map(str::to_owned));
    repaired.extend_from_slice(rest);
    Some(repaired)
}

/// Lets code that comes with the task be unpacked where the command works, wherever in a container it would go.
pub fn unpack_here(words: &mut [String]) {
    let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
    let fast = words[..end].iter().any(|word| word == FAST_EXECUTE);
    if let (true, Some(at)) = (fast, words[..end].iter().position(|word| word == "--dest-dir"))
        && at + 1 < end
    {
        ".".clone_into(&mut words[at + 1]);
    }
}

/// What needs the worker, where there is none.
pub(super) fn check(
    words: &[String],
    kind: FlyteKind,
    policy: &Policy,
    environment: &BTreeMap<String, String>,
    runner: Runner,
    faults: &mut Faults,
) {
    if !runner.is_stock() {
        return;
    }
    if kind == FlyteKind::Container {
        let problem = "the files of a raw container are brought and fetched by batchmap's worker, and images are run \
                       without one";
        faults.0.push(Fault::missing(
            "container.data_config",
            problem,
            format!("make it a python task, or {WITH_WORKER}"),
        ));
        return;
    }
    if !words.iter().any(|word| word == MAP_EXECUTE || word == EXECUTE) {
        let problem =
            format!("runs neither {EXECUTE} nor {MAP_EXECUTE}: what it leaves would be taken up by batchmap's worker");
        faults.0.push(Fault::text(FIELD, &words.join(" "), problem, WITH_WORKER));
        return;
    }
    for word in words {
        for piece in template::parse(word) {
            let worker_only = match piece {
                Piece::Value(_) | Piece::InputPrefix => true,
                Piece::UniqueKey => !runner.has_shell(),
                _ => false,
            };
            if worker_only {
                faults.0.push(Fault::text(
                    FIELD,
                    word,
                    "is filled in by batchmap's worker, and there is none",
                    WITH_WORKER,
                ));
            }
        }
    }
    if !runner.has_shell() && policy.retries > 0 {
        let problem = "without a shell in the image all attempts would leave their outputs in one place";
        let fix = "set it to 0, or have the server run images with a shell (flyte_images = \"stock\")";
        faults.0.push(Fault::text("metadata.retries", &policy.retries.to_string(), problem, fix));
    }
    for (name, value) in environment.iter().filter(|(name, _)| name.starts_with("AWS_BATCH")) {
        let problem = "names that begin with AWS_BATCH are AWS Batch's own";
        faults.0.push(Fault::text(format!("{ENVIRONMENT}.{name}"), value, problem, "give it another name"));
    }
}

const ENVIRONMENT: &str = "container.env";

#[cfg(test)]
mod tests;
