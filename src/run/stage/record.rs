//! A staged task as its stored record.

use std::collections::BTreeMap;

use crate::idl::core::{LiteralType, TypedInterface, Variable, VariableMap};
use crate::idl::record::flyte::{Kind as StoredKind, Runner as StoredRunner};
use crate::idl::record::policy::{Completion as StoredCompletion, ConcurrencyMode as StoredMode};
use crate::idl::record::{
    BatchOptions as StoredOptions, Cache, Flyte as StoredFlyte, Injection as StoredInjection, Policy, Resources,
    TaskRecord,
};
use crate::map::layout::RECORD_VERSION;
use crate::map::task::{BatchOptions, Completion, ConcurrencyMode, Entrypoint, FlyteKind, MapTask, Runner};

/// The record of `task` with inputs of `types`, of which `mapped` are mapped over `size` elements in packs that begin
/// at `pack_starts`.
pub(super) fn record(
    task: &MapTask,
    types: BTreeMap<String, LiteralType>,
    mapped: Vec<String>,
    size: u64,
    pack_starts: Vec<u64>,
) -> TaskRecord {
    TaskRecord {
        version: RECORD_VERSION,
        name: task.name.clone(),
        image: task.image.clone().unwrap_or_default(),
        command: task.command.clone(),
        interface: Some(TypedInterface {
            inputs: Some(variables(types)),
            outputs: Some(variables(task.outputs.clone())),
        }),
        mapped,
        size,
        pack_starts,
        policy: Some(policy(task, size)),
        resources: Some(Resources {
            cpu_milli: task.resources.cpu_milli,
            memory_mib: task.resources.memory_mib,
            gpus: task.resources.gpus,
        }),
        environment: task.environment.clone(),
        input_dir: task.input_dir.clone().unwrap_or_default(),
        output_dir: task.output_dir.clone().unwrap_or_default(),
        checkpoint: task.policy.checkpoint,
        cache: task.policy.cache.as_ref().map(|cache| Cache {
            version: cache.version.clone(),
            ignored: cache.ignored.iter().cloned().collect(),
            overwrite: cache.overwrite,
            serialize: cache.serialize,
        }),
        inputs_of: String::new(),
        relies_on: Vec::new(),
        flyte: flyte(&task.entrypoint),
        batch: batch(&task.batch),
    }
}

fn flyte(entrypoint: &Entrypoint) -> Option<StoredFlyte> {
    let Entrypoint::Flyte(flyte) = entrypoint else { return None };
    let kind = match flyte.kind {
        FlyteKind::Single => StoredKind::Single,
        FlyteKind::Map => StoredKind::Map,
        FlyteKind::Container => StoredKind::Container,
    };
    let runner = match flyte.runner {
        Runner::Worker => StoredRunner::Worker,
        Runner::Stock => StoredRunner::Stock,
        Runner::StockNoShell => StoredRunner::StockNoShell,
        Runner::StockProcess => StoredRunner::StockProcess,
    };
    let raw_output_prefix = flyte.raw_output_prefix.clone().unwrap_or_default();
    Some(StoredFlyte { kind: kind.into(), runner: runner.into(), raw_output_prefix })
}

fn batch(options: &BatchOptions) -> Option<StoredOptions> {
    (*options != BatchOptions::default()).then(|| StoredOptions {
        platform: options.platform.map(|platform| platform.to_string()).unwrap_or_default(),
        propagate_tags: options.propagate_tags,
        scheduling_priority: options.scheduling_priority,
        tags: options.tags.clone(),
        secrets: options.secrets.clone(),
        shared_memory_mib: options.shared_memory_mib,
        arm64: options.arm64,
        injection: options.injection.as_ref().map(|injection| StoredInjection {
            image: injection.image.clone(),
            readonly_root: injection.readonly_root,
        }),
    })
}

fn policy(task: &MapTask, size: u64) -> Policy {
    let policy = &task.policy;
    let mode = match policy.concurrency_mode {
        ConcurrencyMode::Rolling => StoredMode::Rolling,
        ConcurrencyMode::Batches => StoredMode::Batches,
    };
    let completion = match policy.completion {
        Completion::Settled => StoredCompletion::Settled,
        Completion::Satisfied => StoredCompletion::Satisfied,
    };
    Policy {
        concurrency: policy.concurrency.map_or(0, u32::from),
        concurrency_mode: mode.into(),
        min_successes: policy.min_success.of(size),
        completion: completion.into(),
        retries: policy.retries,
        // A year is far below 64 bits of milliseconds.
        timeout_ms: policy.timeout.map_or(0, |timeout| timeout.as_millis() as u64),
        interruptible: policy.interruptible,
        run_all_sub_nodes: policy.run_all_sub_nodes,
        retry_timeouts: policy.retry_timeouts,
        deadline_ms: policy.deadline.map_or(0, |deadline| deadline.as_millis() as u64),
    }
}

fn variables(types: BTreeMap<String, LiteralType>) -> VariableMap {
    let variable = |literal_type| Variable { r#type: Some(literal_type), ..Variable::default() };
    VariableMap { variables: types.into_iter().map(|(name, literal_type)| (name, variable(literal_type))).collect() }
}
