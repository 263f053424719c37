//! What AWS Batch holds of a node, child by child: the external resources of its task execution.
//!
//! They are read from the journal of the node's map execution, whichever server drives it. A client asks every second or
//! so, and a journal may be long: what was read is kept, for good once the execution is over.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::aws::store::Store;
use crate::idl::core::CatalogCacheStatus;
use crate::idl::core::task_execution::Phase;
use crate::idl::event::ExternalResourceInfo;
use crate::map::bitset::Outcome;
use crate::map::event::Source;
use crate::map::execution::Execution;
use crate::map::index::OriginalIndex;
use crate::map::layout::Root;
use crate::map::ranges::Ranges;
use crate::run::launch;

/// Children that are told one by one; of a larger map it is the arrays, and no more of them than this.
const MOST: usize = 1000;

/// How long what was read of an execution that goes on is good enough.
const FRESH: Duration = Duration::from_secs(10);

/// The same, in times of what the reading took: so that reading is never more than a small part of all.
const FRESH_OF_READING: u32 = 20;

/// Executions that are remembered.
const REMEMBERED: usize = 128;

/// Journals read at once.
const READS: usize = 4;

/// A list of external resources; one that AWS Batch holds now has the phase UNDEFINED.
type Resources = Arc<Vec<ExternalResourceInfo>>;

struct Read {
    at: Instant,
    took: Duration,
    /// The execution was over, or its node was: there is nothing more to come.
    last: bool,
    resources: Resources,
}

type Slot = Arc<tokio::sync::Mutex<Option<Read>>>;

/// What was read, by the map execution's id.
pub(super) struct Children {
    slots: Mutex<(u64, BTreeMap<String, (u64, Slot)>)>,
    reads: Semaphore,
}

impl Children {
    pub(super) fn new() -> Self {
        Children { slots: Mutex::default(), reads: Semaphore::new(READS) }
    }

    /// The external resources of the map execution at `root`, whose node has `ended` or not. Where they cannot be read,
    /// they are those that were read before, or none: an answer without them is better than no answer.
    pub(super) async fn of(&self, store: &Arc<dyn Store>, root: &Root, ended: bool) -> Resources {
        let slot = self.slot(root.id());
        // Whoever asks meanwhile waits for the same reading.
        let mut read = slot.lock().await;
        if let Some(read) = read.as_ref() {
            let good = FRESH.max(read.took * FRESH_OF_READING);
            if read.last || (!ended && read.at.elapsed() < good) {
                return read.resources.clone();
            }
        }
        let Ok(_permit) = self.reads.acquire().await else { return Resources::default() };
        let at = Instant::now();
        let (resources, last) = match launch::read(store, root).await {
            Ok(known) => (Arc::new(resources(&known.execution)), ended || known.execution.finished().is_some()),
            Err(error) => {
                tracing::debug!(execution = root.id(), %error, "cannot tell what AWS Batch holds of it");
                (read.as_ref().map(|read| read.resources.clone()).unwrap_or_default(), false)
            }
        };
        *read = Some(Read { at, took: at.elapsed(), last, resources: resources.clone() });
        resources
    }

    fn slot(&self, id: &str) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let (clock, slots) = &mut *slots;
        *clock += 1;
        let (used, slot) = slots.entry(id.to_owned()).or_default();
        *used = *clock;
        let slot = slot.clone();
        if slots.len() > REMEMBERED
            && let Some(oldest) = slots.iter().min_by_key(|(_, (used, _))| *used).map(|(id, _)| id.clone())
        {
            slots.remove(&oldest);
        }
        slot
    }
}

/// The children of a map, by index, or the arrays of one with more than [`MOST`].
fn resources(execution: &Execution) -> Vec<ExternalResourceInfo> {
    match usize::try_from(execution.outcomes().size()) {
        Ok(size) if size <= MOST => children(execution, size),
        _ => arrays(execution),
    }
}

fn children(execution: &Execution, size: usize) -> Vec<ExternalResourceInfo> {
    let over = execution.finished().is_some();
    let mut children: Vec<ExternalResourceInfo> = (0..size)
        .map(|index| ExternalResourceInfo { index: index as u32, phase: Phase::Queued.into(), ..Default::default() })
        .collect();
    // How often each was given to AWS Batch; the later array has the last word.
    let mut tries = vec![0; size];
    for array in execution.arrays().iter() {
        let (job, alone) = (array.job_id(), array.size() == 1);
        for (child, index) in array.members().ranges().iter().enumerate() {
            let Some(told) = children.get_mut(index.0 as usize) else { continue };
            told.retry_attempt = tries[index.0 as usize];
            tries[index.0 as usize] += 1;
            told.external_id = match &job {
                Some(job) if alone => job.to_string(),
                Some(job) => format!("{job}:{child}"),
                None => String::new(),
            };
            let phase = match (array.open().is_some(), &job) {
                (true, Some(_)) => Phase::Undefined,
                (true, None) => Phase::Queued,
                (false, _) => Phase::RetryableFailed,
            };
            told.phase = phase.into();
        }
    }
    let cached = execution.reused().get(&Source::Cache).cloned().unwrap_or_default();
    for (told, index) in children.iter_mut().zip(0..) {
        let phase = match execution.outcomes().get(OriginalIndex(index)) {
            Outcome::Succeeded => Some(Phase::Succeeded),
            Outcome::Failed => Some(Phase::Failed),
            Outcome::Outstanding => over.then_some(Phase::Aborted),
        };
        told.phase = phase.map_or(told.phase, i32::from);
        told.cache_status = cache_status(&cached, OriginalIndex(index));
    }
    children
}

fn cache_status(cached: &Ranges, index: OriginalIndex) -> i32 {
    let status = if cached.contains(index) { CatalogCacheStatus::CacheHit } else { CatalogCacheStatus::CacheDisabled };
    status.into()
}

/// The arrays, the newest ones where there are too many.
fn arrays(execution: &Execution) -> Vec<ExternalResourceInfo> {
    let over = execution.finished().is_some();
    let first = execution.arrays().len().saturating_sub(MOST);
    let succeeded = execution.outcomes().succeeded_ranges();
    let told = execution.arrays().iter().skip(first).map(|array| {
        let phase = match (array.open().is_some(), array.job_id()) {
            (true, _) if over => Phase::Aborted,
            (true, Some(_)) => Phase::Undefined,
            (true, None) => Phase::Queued,
            (false, _) if array.members().ranges().is_within(&succeeded) => Phase::Succeeded,
            (false, _) => Phase::Failed,
        };
        ExternalResourceInfo {
            external_id: array.job_id().map(|job| job.into_owned()).unwrap_or_default(),
            index: array.number(),
            phase: phase.into(),
            ..Default::default()
        }
    });
    told.collect()
}
