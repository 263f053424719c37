//! What AWS Batch holds of a node, child by child: the external resources of its task execution.
//!
//! Where this server drives the node's map execution, its machine tells them; else they are read from its journal. A
//! client asks every second or so, and a journal may be long: what was read is kept, for good once the execution is over.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
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
use crate::run::recent::Recent;

/// Children that are told one by one; of a larger map it is the arrays, and no more of them than this.
const MOST: usize = 1000;

/// How long what was read of an execution that goes on is good enough.
const FRESH: Duration = Duration::from_secs(10);

/// The same, in times of what the reading took: so that reading is never more than a small part of all.
const FRESH_OF_READING: u32 = 20;

/// Children that are remembered, of all executions together.
const REMEMBERED: usize = 400_000;

/// What an execution of no child counts for among them.
const EACH: usize = 10;

/// Journals read at once.
const READS: usize = 16;

/// How long a client waits for a reading of an execution that goes on: it asks again soon.
const PATIENCE: Duration = Duration::from_millis(250);

/// The same of one that is over: it may not ask again.
const LAST_PATIENCE: Duration = Duration::from_secs(10);

/// A list of external resources; one that AWS Batch holds now has the phase UNDEFINED.
type Resources = Arc<Vec<ExternalResourceInfo>>;

struct Read {
    at: Instant,
    took: Duration,
    /// The execution was over, or its node was: there is nothing more to come.
    last: bool,
    resources: Resources,
}

/// What is known of one map execution.
#[derive(Default)]
struct Known {
    read: Option<Read>,
    /// Closed when the reading that is under way is over.
    under_way: Option<watch::Receiver<()>>,
}

type Slot = Arc<Mutex<Known>>;

/// What was read, by the map execution's id.
#[derive(Clone)]
pub(super) struct Children {
    slots: Arc<Mutex<Recent<String, Slot>>>,
    reads: Arc<Semaphore>,
}

impl Children {
    pub(super) fn new() -> Self {
        Children { slots: Arc::new(Mutex::new(Recent::new(REMEMBERED))), reads: Arc::new(Semaphore::new(READS)) }
    }

    /// The external resources of the map execution at `root`, whose node has `ended` or not. Where they cannot be read, or
    /// not soon, they are those that were read before, or none: an answer without them is better than no answer.
    pub(super) async fn of(&self, store: &Arc<dyn Store>, root: &Root, ended: bool) -> Resources {
        let slot = self.slot(root.id());
        // Twice: the first reading may have begun before the end.
        for _ in 0..2 {
            let reading = {
                let mut known = locked(&slot);
                if let Some(resources) = known.good(ended) {
                    return resources;
                }
                let under_way = known.under_way.take().filter(|reading| reading.has_changed().is_ok());
                // A task of its own: whoever asks may go away, and others wait for the same reading.
                let reading = under_way.unwrap_or_else(|| self.read(store, root, &slot, ended));
                known.under_way = Some(reading.clone());
                reading
            };
            let mut over = reading;
            let patience = if ended { LAST_PATIENCE } else { PATIENCE };
            let waited = tokio::time::timeout(patience, async { while over.changed().await.is_ok() {} }).await;
            if waited.is_err() || !ended {
                break;
            }
        }
        locked(&slot).read.as_ref().map(|read| read.resources.clone()).unwrap_or_default()
    }

    /// Begins to read; what it gives is closed when that is over.
    fn read(&self, store: &Arc<dyn Store>, root: &Root, slot: &Slot, ended: bool) -> watch::Receiver<()> {
        let (under_way, over) = watch::channel(());
        let (own, store, root, slot) = (self.clone(), store.clone(), root.clone(), slot.clone());
        tokio::spawn(async move {
            let _under_way = under_way;
            let Ok(_permit) = own.reads.acquire().await else { return };
            let at = Instant::now();
            let (resources, last) = match launch::read(&store, &root).await {
                Ok(known) => (Arc::new(resources(&known.execution)), ended || known.execution.finished().is_some()),
                Err(error) => {
                    tracing::debug!(execution = root.id(), %error, "cannot tell what AWS Batch holds of it");
                    let before = locked(&slot).read.as_ref().map(|read| read.resources.clone());
                    (before.unwrap_or_default(), false)
                }
            };
            let weight = EACH + resources.len();
            locked(&slot).read = Some(Read { at, took: at.elapsed(), last, resources });
            locked(&own.slots).put(root.id().to_owned(), slot, weight);
        });
        over
    }

    fn slot(&self, id: &str) -> Slot {
        let (mut slots, id) = (locked(&self.slots), id.to_owned());
        slots.get(&id).unwrap_or_else(|| {
            let slot = Slot::default();
            slots.put(id, slot.clone(), EACH);
            slot
        })
    }
}

impl Known {
    /// What was read, if that is good enough still.
    fn good(&self, ended: bool) -> Option<Resources> {
        let read = self.read.as_ref()?;
        let good = FRESH.max(read.took * FRESH_OF_READING);
        (read.last || (!ended && read.at.elapsed() < good)).then(|| read.resources.clone())
    }
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The children of a map, by index, or the arrays of one with more than [`MOST`].
pub(super) fn resources(execution: &Execution) -> Vec<ExternalResourceInfo> {
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use prost::Message;

    use super::*;
    use crate::aws::memory::MemoryStore;
    use crate::idl::record::{Policy, TaskRecord};
    use crate::map::event::{Decision, Event, Failure};
    use crate::map::execution::Action;
    use crate::map::layout::RECORD_VERSION;
    use crate::map::policy::Origin;
    use crate::run::journal::Journal;

    const JOB: &str = "0f0e0d0c-0b0a-4908-8706-050403020100";

    fn record(size: u64) -> TaskRecord {
        let policy = Policy { min_successes: size, retries: 1, ..Default::default() };
        let pack_starts = (0..size).step_by(10_000).collect();
        TaskRecord { version: RECORD_VERSION, size, pack_starts, policy: Some(policy), ..Default::default() }
    }

    fn range(first: u64, count: u64) -> Ranges {
        Ranges::span(OriginalIndex(first), count)
    }

    /// A machine, and every event that it has taken in.
    struct Lived {
        execution: Execution,
        events: Vec<Event>,
    }

    impl Lived {
        fn new(size: u64) -> Self {
            let names = ("d".to_owned(), "q".to_owned());
            let mut lived = Lived { execution: launch::machine(&record(size)), events: Vec::new() };
            lived.take(Event::Started { definition: names.0, queue: names.1, interruptible_queue: None });
            lived
        }

        fn take(&mut self, event: Event) {
            self.execution.handle(&event).unwrap();
            self.events.push(event);
        }

        /// Plans and submits what is due.
        fn go_on(&mut self) {
            while let Some(action) = self.execution.next_action() {
                match action {
                    Action::Record(event) => self.take(event),
                    Action::Submit { array } => {
                        let job = if array == 0 { JOB.to_owned() } else { format!("job-{array}") };
                        self.take(Event::Submitted { array, job });
                    }
                    // The end is told again and again.
                    _ => return,
                }
            }
        }

        fn settle(&mut self, array: u32, succeeded: Ranges, failed: Ranges, recoverable: bool) {
            let (code, message) = ("X".to_owned(), "broken".to_owned());
            let failure = Failure { indices: failed, origin: Origin::User, recoverable, starts: 1, code, message };
            let failures = if failure.indices.is_empty() { Vec::new() } else { vec![failure] };
            self.take(Event::Settled { array, succeeded, failures, ended: true });
        }
    }

    fn told(children: &[ExternalResourceInfo]) -> Vec<(String, Phase, u32)> {
        children.iter().map(|child| (child.external_id.clone(), child.phase(), child.retry_attempt)).collect()
    }

    #[test]
    fn a_child_is_told_by_its_latest_array() {
        let mut lived = Lived::new(4);
        assert_eq!(told(&resources(&lived.execution))[3], (String::new(), Phase::Queued, 0));
        lived.take(Event::Reused { indices: range(3, 1), source: Source::Cache });
        lived.go_on();
        let child = |index: u32, phase| (format!("{JOB}:{index}"), phase, 0);
        let held = [0, 1, 2].map(|index| child(index, Phase::Undefined));
        assert_eq!(told(&resources(&lived.execution))[..3], held);
        lived.settle(0, range(0, 2), range(2, 1), true);
        assert_eq!(told(&resources(&lived.execution))[2], child(2, Phase::RetryableFailed));
        lived.go_on();
        let children = resources(&lived.execution);
        let cached = (String::new(), Phase::Succeeded, 0);
        let again = ("job-1".to_owned(), Phase::Undefined, 1);
        assert_eq!(told(&children), [child(0, Phase::Succeeded), child(1, Phase::Succeeded), again, cached]);
        let statuses: Vec<_> = children.iter().map(ExternalResourceInfo::cache_status).collect();
        assert_eq!(statuses[2..], [CatalogCacheStatus::CacheDisabled, CatalogCacheStatus::CacheHit]);
        lived.settle(1, Ranges::default(), range(2, 1), true);
        lived.go_on();
        assert!(matches!(lived.execution.finished(), Some(Decision::Failed { .. })));
        assert_eq!(told(&resources(&lived.execution))[2], ("job-1".to_owned(), Phase::Failed, 1));
    }

    #[test]
    fn of_a_large_map_it_is_the_arrays() {
        let mut lived = Lived::new(20_000);
        lived.go_on();
        lived.settle(0, range(0, 10_000), Ranges::default(), false);
        let told = told(&resources(&lived.execution));
        let expected = [(JOB.to_owned(), Phase::Succeeded, 0), ("job-1".to_owned(), Phase::Undefined, 0)];
        assert_eq!(told, expected);
    }

    #[tokio::test]
    async fn a_journal_is_read_once_until_its_node_has_ended() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new("b"));
        let root = Root::new("p", "id");
        let children = Children::new();
        assert!(children.of(&store, &root, false).await.is_empty(), "nothing is written yet");
        let children = Children::new();
        let mut lived = Lived::new(2);
        lived.go_on();
        store.put(&root.task(), Bytes::from(record(2).encode_to_vec())).await.unwrap();
        let (mut journal, _) = Journal::open(store.clone(), root.clone(), "w".to_owned()).await.unwrap();
        journal.append(1, std::mem::take(&mut lived.events)).await.unwrap();
        journal.flush().await.unwrap();
        let held = children.of(&store, &root, false).await;
        assert_eq!((held.len(), held[0].phase()), (2, Phase::Undefined));
        lived.settle(0, range(0, 2), Ranges::default(), false);
        lived.go_on();
        journal.append(2, lived.events).await.unwrap();
        journal.flush().await.unwrap();
        assert!(Arc::ptr_eq(&held, &children.of(&store, &root, false).await));
        let ended = children.of(&store, &root, true).await;
        assert_eq!(ended[1].phase(), Phase::Succeeded);
        // It is over: nothing is read any more.
        let keys: Vec<String> =
            store.list("", None).await.unwrap().objects.into_iter().map(|listed| listed.key).collect();
        store.delete_many(&keys).await.unwrap();
        assert!(Arc::ptr_eq(&ended, &children.of(&store, &root, true).await));
    }
}
