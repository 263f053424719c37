//! The environment of a Flyte task: the task's own, the execution's, and what flytekit reads of where it runs.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Options;
use super::container::{Source, Target};
use crate::map::spec::{Fault, Faults};

/// The environment of every subtask. What the worker adds for each attempt comes over it.
pub(super) fn environment(
    source: &Source,
    target: &Target,
    options: &Options,
    faults: &mut Faults,
) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::new();
    let envs = options.envs.iter().map(|(name, value)| ("envs".to_owned(), name.clone(), value.clone()));
    for (field, name, value) in target.environment.iter().cloned().chain(envs) {
        let problem = if name.is_empty() || name.contains(['=', '\0']) {
            "cannot name an environment variable"
        } else if name.starts_with("BATCHMAP_") {
            "names that begin with BATCHMAP_ are batchmap's own"
        } else if value.contains('\0') {
            "holds a zero byte"
        } else {
            environment.insert(name, value);
            continue;
        };
        faults.0.push(Fault::of(
            format!("{field}.{name}"),
            &Value::from(value),
            problem,
            "give it another name or value",
        ));
    }
    environment.extend(identity(source, options));
    environment
}

/// What flytekit reads to know its execution and its task.
fn identity(source: &Source, options: &Options) -> impl Iterator<Item = (String, String)> {
    let name = |id: &Option<crate::idl::core::Identifier>| id.as_ref().map(|id| id.name.clone()).unwrap_or_default();
    let task = source.template.id.clone().unwrap_or_default();
    let variables = [
        ("FLYTE_INTERNAL_EXECUTION_PROJECT", options.project.clone()),
        ("FLYTE_INTERNAL_EXECUTION_DOMAIN", options.domain.clone()),
        ("FLYTE_INTERNAL_EXECUTION_ID", options.execution.clone()),
        ("FLYTE_INTERNAL_EXECUTION_WORKFLOW", name(&options.workflow)),
        ("FLYTE_INTERNAL_EXECUTION_LAUNCHPLAN", name(&options.launch_plan)),
        ("FLYTE_INTERNAL_TASK_PROJECT", task.project.clone()),
        ("FLYTE_INTERNAL_TASK_DOMAIN", task.domain.clone()),
        ("FLYTE_INTERNAL_TASK_NAME", task.name.clone()),
        ("FLYTE_INTERNAL_TASK_VERSION", task.version.clone()),
        // The same by the names that other SDKs of Flyte read.
        ("FLYTE_INTERNAL_PROJECT", task.project),
        ("FLYTE_INTERNAL_DOMAIN", task.domain),
        ("FLYTE_INTERNAL_NAME", task.name),
        ("FLYTE_INTERNAL_VERSION", task.version),
        // A failure ends with an exit code other than 0, which Batch then shows.
        ("FLYTE_FAIL_ON_ERROR", "true".to_owned()),
    ];
    variables.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name.to_owned(), value))
}

/// Where files go, if the execution says so.
pub(super) fn raw_output_prefix(options: &Options, faults: &mut Faults) -> Option<String> {
    let given = options.raw_output_prefix.as_deref().filter(|prefix| !prefix.is_empty())?;
    let rest = given.strip_prefix("s3://").unwrap_or_default();
    let bucket = rest.split('/').next().unwrap_or_default();
    if bucket.is_empty() {
        let problem = "is no address in S3";
        let fix = "write s3://BUCKET/PREFIX, or leave it out";
        faults.0.push(Fault::text("raw_output_data_config.output_location_prefix", given, problem, fix));
        return None;
    }
    Some(given.trim_end_matches('/').to_owned())
}
