//! What an execution says of all its tasks.

use crate::idl::record::FlowRecord;
use crate::map::flyte::Options;
use crate::map::inject::Injection;
use crate::map::task::Runner;

/// The options of an execution, as its specification has them, on a server whose images are run so.
pub(super) fn options(record: &FlowRecord, runner: Runner, injection: Option<Injection>) -> Options {
    let id = record.id.clone().unwrap_or_default();
    let spec = record.spec.clone().unwrap_or_default();
    let template = record.workflow.as_ref().and_then(|workflow| workflow.primary.as_ref()?.template.as_ref());
    let envs = spec.envs.unwrap_or_default().values.into_iter().map(|pair| (pair.key, pair.value));
    let prefix = spec.raw_output_data_config.unwrap_or_default().output_location_prefix;
    Options {
        project: id.project,
        domain: id.domain,
        execution: id.name,
        workflow: template.and_then(|template| template.id.clone()),
        launch_plan: spec.launch_plan,
        envs: envs.collect(),
        interruptible: spec.interruptible,
        interruptible_default: template
            .and_then(|template| template.metadata_defaults.as_ref())
            .is_some_and(|defaults| defaults.interruptible),
        overwrite_cache: spec.overwrite_cache,
        max_parallelism: u32::try_from(spec.max_parallelism).unwrap_or_default(),
        raw_output_prefix: Some(prefix).filter(|prefix| !prefix.is_empty()),
        labels: spec.labels.unwrap_or_default().values,
        runner,
        injection,
    }
}
