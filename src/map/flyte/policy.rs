//! How a Flyte task is run and judged: the element's node, then the node around it, then the task itself.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use super::container::Source;
use super::{CONTAINER_ARRAY, Options, structs};
use crate::idl::core::array_node::{ParallelismOption, SuccessCriteria};
use crate::idl::core::node_metadata::{
    CacheSerializableValue, CacheVersionValue, CacheableValue, InterruptibleValue as OfNode,
};
use crate::idl::core::task_metadata::InterruptibleValue as OfTask;
use crate::idl::core::{NodeMetadata, TaskMetadata, TaskTemplate};
use crate::map::ratio::Ratio;
use crate::map::spec::{Fault, Faults};
use crate::map::task::{Cache, MinSuccess, Policy};

/// The task's name among all: by it, and by the cache's version and not the task's, cached outputs are found again.
pub(super) fn name(template: &TaskTemplate) -> String {
    let id = template.id.clone().unwrap_or_default();
    format!("{}/{}/{}", id.project, id.domain, id.name)
}

impl<'a> Source<'a> {
    fn metadata(&self) -> Option<&'a TaskMetadata> {
        self.template.metadata.as_ref()
    }

    /// The first word of a node about something.
    fn said<T>(&self, word: impl Fn(&'a NodeMetadata) -> Option<T>) -> Option<T> {
        self.nodes.iter().filter_map(|node| node.metadata.as_ref()).find_map(word)
    }
}

/// The policy of a task; what Batch has no words for goes to `faults`.
pub(super) fn policy(source: &Source, options: &Options, faults: &mut Faults) -> Policy {
    let (parallelism, min_success) = match source.template.r#type.as_str() {
        CONTAINER_ARRAY => legacy_array(source.template, faults),
        _ => array(source, faults),
    };
    Policy {
        concurrency: NonZeroU32::new(parallelism).or(NonZeroU32::new(options.max_parallelism)),
        min_success,
        retries: retries(source),
        timeout: timeout(source, faults),
        // As in Flyte, where an attempt that takes too long is one that may be repeated.
        retry_timeouts: true,
        interruptible: interruptible(source, options),
        run_all_sub_nodes: source.array.is_some_and(|array| array.run_all_sub_nodes),
        cache: cache(source, options, faults),
        ..Policy::default()
    }
}

/// A node says 0 where it says nothing.
fn retries(source: &Source) -> u32 {
    let of_node = source.said(|node| node.retries.as_ref().map(|strategy| strategy.retries).filter(|n| *n > 0));
    let of_task = source.metadata().and_then(|task| task.retries.as_ref()).map(|strategy| strategy.retries);
    of_node.or(of_task).unwrap_or_default()
}

fn timeout(source: &Source, faults: &mut Faults) -> Option<Duration> {
    let zero = |duration: &&prost_types::Duration| duration.seconds != 0 || duration.nanos != 0;
    let of_node = source.said(|node| node.timeout.as_ref().filter(zero));
    let given = of_node.or_else(|| source.metadata()?.timeout.as_ref().filter(zero))?;
    match Duration::try_from(*given) {
        Ok(timeout) => Some(timeout.max(Duration::from_millis(1))),
        Err(_) => {
            let fix = "give a positive time, or leave it out";
            faults.0.push(Fault::text("metadata.timeout", &given.to_string(), "is negative", fix));
            None
        }
    }
}

fn interruptible(source: &Source, options: &Options) -> bool {
    let of_node = || source.said(|node| node.interruptible_value.map(|OfNode::Interruptible(value)| value));
    let of_task = || source.metadata()?.interruptible_value.map(|OfTask::Interruptible(value)| value);
    options.interruptible.or_else(of_node).or_else(of_task).unwrap_or(options.interruptible_default)
}

/// Parallelism (0 is none) and the successes needed, of an ArrayNode or of a task that is not mapped.
fn array(source: &Source, faults: &mut Faults) -> (u32, MinSuccess) {
    let Some(array) = source.array else { return (0, MinSuccess::Ratio(Ratio::ONE)) };
    let parallelism = array.parallelism_option.as_ref().map_or(0, |ParallelismOption::Parallelism(n)| *n);
    let min_success = match array.success_criteria {
        Some(SuccessCriteria::MinSuccesses(count)) => MinSuccess::Count(u64::from(count)),
        Some(SuccessCriteria::MinSuccessRatio(ratio)) => {
            ratio_of("array_node.min_success_ratio", ratio.to_string(), Ratio::from_f32(ratio), faults)
        }
        None => MinSuccess::Ratio(Ratio::ONE),
    };
    (parallelism, min_success)
}

fn ratio_of(field: &str, shown: String, ratio: Result<Ratio, String>, faults: &mut Faults) -> MinSuccess {
    MinSuccess::Ratio(ratio.unwrap_or_else(|_| {
        faults.0.push(Fault::text(field, &shown, "is outside 0..1", "give a number from 0 to 1, like 0.8"));
        Ratio::ONE
    }))
}

/// The same of a map task of the old kind: `custom` is an ArrayJob in JSON, where whole numbers are strings.
fn legacy_array(template: &TaskTemplate, faults: &mut Faults) -> (u32, MinSuccess) {
    let custom = template.custom.as_ref().map(structs::object).unwrap_or_default();
    let mut count = |key: &str| -> Option<u64> {
        let value = custom.get(key).filter(|value| !value.is_null())?;
        let read = value.as_u64().or_else(|| value.as_str()?.parse().ok());
        if read.is_none() {
            faults.0.push(Fault::of(format!("custom.{key}"), value, "is no whole number", "give one from 0 on"));
        }
        read
    };
    let parallelism = count("parallelism").unwrap_or_default().min(u64::from(u32::MAX)) as u32;
    let min_successes = count("minSuccesses").filter(|n| *n > 0);
    let ratio = custom.get("minSuccessRatio").filter(|value| !value.is_null());
    let min_success = match (min_successes, ratio) {
        (Some(count), _) => MinSuccess::Count(count),
        // The ArrayJob's ratio is a 32-bit float as well, on its way through JSON.
        (None, Some(value)) => {
            let ratio = value.as_f64().map_or(f32::NAN, |ratio| ratio as f32);
            ratio_of("custom.minSuccessRatio", value.to_string(), Ratio::from_f32(ratio), faults)
        }
        (None, None) => MinSuccess::Ratio(Ratio::ONE),
    };
    (parallelism, min_success)
}

fn cache(source: &Source, options: &Options, faults: &mut Faults) -> Option<Cache> {
    let task = source.metadata().cloned().unwrap_or_default();
    let wanted = source.said(|node| node.cacheable_value.map(|CacheableValue::Cacheable(value)| value));
    if !wanted.unwrap_or(task.discoverable) {
        return None;
    }
    let version =
        source.said(|node| node.cache_version_value.as_ref().map(|CacheVersionValue::CacheVersion(text)| text.clone()));
    let version = version.unwrap_or(task.discovery_version);
    if version.is_empty() {
        let fix = "give the task a cache_version, and change it whenever the task does something else";
        faults.0.push(Fault::missing("metadata.discovery_version", "is missing, and the task is cached", fix));
    }
    let serialize =
        source.said(|node| node.cache_serializable_value.map(|CacheSerializableValue::CacheSerializable(value)| value));
    let serialize = serialize.unwrap_or(task.cache_serializable);
    let ignored: BTreeSet<String> = task.cache_ignore_input_vars.into_iter().collect();
    let overwrite = options.overwrite_cache;
    // Who overwrites runs everything, and has nothing to wait for.
    Some(Cache { version, ignored, overwrite, by_command: false, serialize: serialize && !overwrite })
}
