//! A document to a [`MapTask`].

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use serde_json::Value;

use super::fault::{Fault, Faults};
use super::reader::{Fields, no};
use super::{cache, inputs, names, quantity};
use crate::idl::core::{LiteralType, SimpleType};
use crate::idl::types::{as_simple, simple};
use crate::map::ratio::Ratio;
use crate::map::task::{BatchOptions, Completion, ConcurrencyMode, Entrypoint, MapTask, MinSuccess, Policy, Resources};

/// The keys of a spec.
pub(super) const KEYS: &[&str] = &[
    "$schema",
    "name",
    "image",
    "command",
    "inputs",
    "outputs",
    "map",
    "bind",
    "policy",
    "resources",
    "environment",
    "input_dir",
    "output_dir",
];
/// The keys of `policy`.
pub(super) const POLICY_KEYS: &[&str] = &[
    "concurrency",
    "concurrency_mode",
    "min_success_ratio",
    "min_successes",
    "completion",
    "retries",
    "timeout",
    "retry_timeouts",
    "interruptible",
    "run_all_sub_nodes",
    "checkpoint",
    "deadline",
    "cache",
    "cache_version",
    "cache_ignore_inputs",
    "cache_overwrite",
    "cache_serialize",
];
/// The keys of `resources`.
pub(super) const RESOURCES_KEYS: &[&str] = &["cpu", "mem", "gpu"];

/// More retries than this is a task that does not work.
const MAX_RETRIES: u64 = 100;
/// No machine of Batch has more.
const MAX_GPUS: u64 = 16;

/// Reads a document.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read(document: &Value) -> Result<MapTask, Faults> {
    let mut faults = Faults::default();
    let all = &mut faults;
    let fields = Fields::open("", Some(document), KEYS, all);
    let command = command(&fields, all);
    let inputs = inputs::inputs(&fields, all);
    // Also those with a fault of their own: a variable that names one is not a second fault.
    let known: BTreeSet<&str> = ["inputs", "map", "bind"]
        .iter()
        .filter_map(|key| fields.get(key)?.as_object())
        .flat_map(|object| object.keys().map(String::as_str))
        .collect();
    inputs::variables_known(&command, &known, all);
    let task = MapTask {
        name: fields.read("name", all, names::task).unwrap_or_else(|| names::from_command(&command)),
        image: fields.read("image", all, image),
        outputs: outputs(&fields, all),
        policy: policy(&fields, &known, all),
        resources: resources(&fields, all),
        environment: environment(&fields, all),
        input_dir: fields.read("input_dir", all, directory),
        output_dir: fields.read("output_dir", all, directory),
        command,
        inputs,
        entrypoint: Entrypoint::Command,
        batch: BatchOptions::default(),
    };
    if task.input_dir.is_some() && task.input_dir == task.output_dir {
        let problem = "is the directory of the inputs too";
        let value = fields.get("output_dir").unwrap_or(&Value::Null);
        faults.0.push(Fault::of("output_dir", value, problem, "give another one"));
    }
    faults.or(task)
}

fn command(fields: &Fields, faults: &mut Faults) -> Vec<String> {
    let fix = "give the program and its arguments as a list of strings, or after --";
    let Some(value) = fields.get("command") else {
        faults.0.push(Fault::missing("command", "there is none", fix));
        return Vec::new();
    };
    let Some(words) = value.as_array() else {
        let shell = value.as_str().map_or(fix.to_owned(), |text| format!("write [\"sh\", \"-c\", {text:?}]"));
        faults.0.push(Fault::of("command", value, "is not a list", shell));
        return Vec::new();
    };
    if words.is_empty() {
        faults.0.push(Fault::of("command", value, "is empty", fix));
    }
    let mut command = Vec::with_capacity(words.len());
    for (i, word) in words.iter().enumerate() {
        let (problem, fix) = match word.as_str() {
            Some("") => ("AWS Batch refuses an empty argument", "leave it out"),
            Some(text) if text.contains('\0') => ("holds a zero byte", "leave it out"),
            Some(text) => {
                command.push(text.to_owned());
                continue;
            }
            None => ("is not a string", "write it in quotes"),
        };
        faults.0.push(Fault::of(format!("command[{i}]"), word, problem, fix));
    }
    command
}

fn image(value: &Value) -> Result<String, (String, String)> {
    let fix = "give an image like registry/name:tag";
    match value.as_str() {
        Some("") => Err(("is empty".to_owned(), fix.to_owned())),
        Some(text) if text.contains(|c: char| c.is_whitespace() || c.is_control()) => {
            Err(("holds a space".to_owned(), fix.to_owned()))
        }
        Some(text) => Ok(text.to_owned()),
        None => Err(no("a string", fix)),
    }
}

fn directory(value: &Value) -> Result<String, (String, String)> {
    let fix = "give an absolute path inside the container, like /var/inputs";
    match value.as_str() {
        Some(text) if text.starts_with('/') && !text.contains('\0') => Ok(text.to_owned()),
        Some(_) => Err(("is not absolute".to_owned(), fix.to_owned())),
        None => Err(no("a string", fix)),
    }
}

fn outputs(fields: &Fields, faults: &mut Faults) -> BTreeMap<String, LiteralType> {
    if fields.get("outputs").is_none() {
        return BTreeMap::from([("o0".to_owned(), simple(SimpleType::String))]);
    }
    let mut outputs = BTreeMap::new();
    for (name, literal_type) in inputs::types(fields, "outputs", faults) {
        let Some(literal_type) = literal_type else { continue };
        if as_simple(&literal_type) == Some(SimpleType::None) {
            let problem = "an output of type none carries nothing";
            faults.0.push(Fault::text(format!("outputs.{name}"), "none", problem, "leave it out"));
        }
        outputs.insert(name.to_owned(), literal_type);
    }
    outputs
}

fn environment(fields: &Fields, faults: &mut Faults) -> BTreeMap<String, String> {
    let entries: Vec<_> = fields.entries("environment", faults).collect();
    let mut environment = BTreeMap::new();
    for (name, value) in entries {
        match names::environment(name, value) {
            Ok(text) => drop(environment.insert(name.to_owned(), text)),
            Err((problem, fix)) => faults.0.push(Fault::of(format!("environment.{name}"), value, problem, fix)),
        }
    }
    environment
}

fn policy(fields: &Fields, inputs: &BTreeSet<&str>, faults: &mut Faults) -> Policy {
    let policy = Fields::open("policy", fields.get("policy"), POLICY_KEYS, faults);
    let modes = [("rolling", ConcurrencyMode::Rolling), ("batches", ConcurrencyMode::Batches)];
    let completions = [("settled", Completion::Settled), ("satisfied", Completion::Satisfied)];
    let default = Policy::default();
    let concurrency = policy.count("concurrency", "children (0 is unbounded)", u64::from(u32::MAX), faults);
    let retries = policy.count("retries", "retries", MAX_RETRIES, faults);
    Policy {
        concurrency: concurrency.and_then(|n| NonZeroU32::new(n as u32)),
        concurrency_mode: policy.choice("concurrency_mode", &modes, faults).unwrap_or(default.concurrency_mode),
        min_success: min_success(&policy, faults).unwrap_or(default.min_success),
        completion: policy.choice("completion", &completions, faults).unwrap_or(default.completion),
        retries: retries.unwrap_or_default() as u32,
        timeout: policy.read("timeout", faults, quantity::timeout),
        retry_timeouts: policy.boolean("retry_timeouts", faults).unwrap_or_default(),
        interruptible: policy.boolean("interruptible", faults).unwrap_or_default(),
        run_all_sub_nodes: policy.boolean("run_all_sub_nodes", faults).unwrap_or_default(),
        checkpoint: policy.boolean("checkpoint", faults).unwrap_or_default(),
        deadline: policy.read("deadline", faults, quantity::timeout),
        cache: cache::cache(&policy, inputs, fields.get("name").is_some(), faults),
    }
}

fn min_success(policy: &Fields, faults: &mut Faults) -> Option<MinSuccess> {
    let ratio = policy.read("min_success_ratio", faults, |value| {
        let fix = "give a number from 0 to 1, like 0.8".to_owned();
        let number = value.as_f64().ok_or_else(|| ("is not a number".to_owned(), fix.clone()))?;
        Ratio::from_f64(number).map_err(|_| ("is outside 0..1".to_owned(), fix))
    });
    let count = policy.count("min_successes", "subtasks", u64::MAX, faults);
    if let (Some(value), Some(_)) = (policy.get("min_successes"), policy.get("min_success_ratio")) {
        let problem = "min_success_ratio is given too";
        faults.0.push(Fault::of("policy.min_successes", value, problem, "keep one of the two"));
    }
    count.map(MinSuccess::Count).or(ratio.map(MinSuccess::Ratio))
}

fn resources(fields: &Fields, faults: &mut Faults) -> Resources {
    let resources = Fields::open("resources", fields.get("resources"), RESOURCES_KEYS, faults);
    let default = Resources::default();
    Resources {
        cpu_milli: resources.read("cpu", faults, quantity::cpu).unwrap_or(default.cpu_milli),
        memory_mib: resources.read("mem", faults, quantity::memory).unwrap_or(default.memory_mib),
        gpus: resources.count("gpu", "GPUs", MAX_GPUS, faults).unwrap_or_default() as u32,
    }
}
