//! A new execution of an old one: what has succeeded there is taken as it is, and only the rest is run.
//!
//! Outputs and packs stay where they are. The new record names every execution that it relies on, so that none of them
//! is removed while this one is there; an execution that has itself been recovered is not one of them unless it holds
//! something of its own, so chains do not grow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use prost::Message;

use super::launch::Known;
use super::result::declared;
use crate::aws::store::{Store, StoreError};
use crate::idl::core::LiteralType;
use crate::idl::record::TaskRecord;
use crate::map::bitset::{Outcome, Outcomes};
use crate::map::cache;
use crate::map::event::{Event, Source};
use crate::map::index::OriginalIndex;
use crate::map::layout::Root;
use crate::map::ranges::Ranges;

/// Subtasks this near to one another are listed together.
const NEAR: u64 = 500;

/// Stretches of subtasks listed at once.
const LISTS_AT_ONCE: usize = 16;

/// Outputs looked at, at once.
const READS_AT_ONCE: usize = 64;

/// Why an execution cannot be recovered.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// It may still bring successes.
    #[error(
        "{id} is not over: see it through with `batchmap resume {id}`, or end it with `batchmap abort {id}` and recover \
         it then"
    )]
    NotOver {
        /// The execution.
        id: String,
    },
    /// It was staged and never begun: it has nothing to take.
    #[error("{id} was staged and never begun: run it again")]
    NeverBegun {
        /// The execution.
        id: String,
    },
    /// What it would rely on is being removed.
    #[error("{id} has just been removed by `batchmap gc`: there is nothing left of it to recover")]
    Removed {
        /// The execution.
        id: String,
    },
    /// S3.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is taken from an old execution.
#[derive(Clone, Debug, PartialEq)]
pub struct Recovered {
    /// The new execution's record, not yet written.
    pub record: TaskRecord,
    /// Which subtasks are reused, by where their outputs are.
    pub reused: BTreeMap<Source, Ranges>,
    /// Successes among those that the old execution did not count: they came after its end, or after it had given
    /// them up.
    pub late: u64,
}

/// Finds out what the execution at `old` has brought.
///
/// # Errors
/// When it is not over, or S3 fails.
pub async fn recover(store: &dyn Store, old: &Root, known: &Known) -> Result<Recovered, RecoverError> {
    let id = old.id().to_owned();
    if known.names.is_none() {
        return Err(RecoverError::NeverBegun { id });
    }
    if known.execution.finished().is_none() {
        return Err(RecoverError::NotOver { id });
    }
    let outcomes = known.execution.outcomes();
    let late = late(store, old, &known.record, outcomes).await?;
    let mut reused: BTreeMap<Source, Ranges> = known
        .execution
        .reused()
        .iter()
        .filter(|(source, _)| matches!(source, Source::Execution(_)))
        .map(|(source, ranges)| (source.clone(), ranges.clone()))
        .collect();
    let elsewhere = Ranges::union_of(reused.values());
    let here = outcomes.succeeded_ranges().union(&late);
    let here: Ranges = here.iter().filter(|index| !elsewhere.contains(*index)).collect();
    if !here.is_empty() {
        reused.insert(Source::Execution(id), here);
    }
    let inputs_of = old.inputs(&known.record).id().to_owned();
    let sources = reused.keys().filter_map(|source| match source {
        Source::Execution(id) => Some(id.clone()),
        Source::Cache => None,
    });
    let relies_on: BTreeSet<String> = sources.chain([inputs_of.clone()]).collect();
    let record = TaskRecord { inputs_of, relies_on: relies_on.into_iter().collect(), ..known.record.clone() };
    Ok(Recovered { record, reused, late: late.len() })
}

/// The events that say what is reused.
pub fn events(reused: BTreeMap<Source, Ranges>) -> Vec<Event> {
    let some = reused.into_iter().filter(|(_, indices)| !indices.is_empty());
    some.map(|(source, indices)| Event::Reused { indices, source }).collect()
}

/// Writes the record of a new execution, which says that it can be begun.
///
/// # Errors
/// When S3 fails, or there is another execution of that id.
pub async fn write(store: &Arc<dyn Store>, root: &Root, record: &TaskRecord) -> Result<(), StoreError> {
    let (key, body) = (root.task(), Bytes::from(record.encode_to_vec()));
    match store.put_new(&key, body.clone()).await {
        // The store tries again when a reply is lost: what is there may be ours.
        Err(StoreError::AlreadyExists { .. }) if store.get(&key).await? == body => Ok(()),
        written => written,
    }
}

/// Makes sure that all that a new execution relies on is still there, after its record is written and before it begins.
/// `gc` looks the other way round, so that one of the two sees the other: see `run::gc`. Where something is gone, the
/// record is taken back.
///
/// # Errors
/// When something is gone, or S3 fails.
pub async fn confirm(store: &dyn Store, root: &Root, record: &TaskRecord) -> Result<(), RecoverError> {
    for id in &record.relies_on {
        let task = root.sibling(id).task();
        if !store.list(&task, None).await?.objects.iter().any(|object| object.key == task) {
            store.delete_many(&[root.task()]).await?;
            return Err(RecoverError::Removed { id: id.clone() });
        }
    }
    Ok(())
}

/// Subtasks that have left good outputs without being counted as successes.
async fn late(store: &dyn Store, old: &Root, record: &TaskRecord, outcomes: &Outcomes) -> Result<Ranges, StoreError> {
    let declared = declared(record);
    let mut late = Ranges::default();
    // Without outputs, S3 does not show who has succeeded.
    if declared.is_empty() {
        return Ok(late);
    }
    let lists = clusters(outcomes).map(|(first, last)| list(store, old, first, last, outcomes));
    let mut lists = stream::iter(lists).buffered(LISTS_AT_ONCE);
    while let Some(found) = lists.try_next().await? {
        let declared = &declared;
        let reads = found.into_iter().map(|index| async move {
            is_good(store, &old.outputs(index), declared).await.map(|good| good.then_some(index))
        });
        let mut reads = stream::iter(reads).buffered(READS_AT_ONCE);
        while let Some(good) = reads.try_next().await? {
            good.into_iter().for_each(|index| late.push(index));
        }
    }
    Ok(late)
}

/// Stretches that hold every subtask that is not counted as a success, and few others.
fn clusters(outcomes: &Outcomes) -> impl Iterator<Item = (OriginalIndex, OriginalIndex)> + '_ {
    let mut missing =
        (0..outcomes.size()).map(OriginalIndex).filter(|index| outcomes.get(*index) != Outcome::Succeeded).peekable();
    std::iter::from_fn(move || {
        let first = missing.next()?;
        let mut last = first;
        // A stretch of one page of keys or two: the stretches are listed at once.
        while let Some(next) = missing.next_if(|next| next.0 - last.0 <= NEAR && next.0 - first.0 <= NEAR) {
            last = next;
        }
        Some((first, last))
    })
}

/// Those of the subtasks `first` to `last` that have outputs and are not counted as successes.
async fn list(
    store: &dyn Store,
    old: &Root,
    first: OriginalIndex,
    last: OriginalIndex,
    outcomes: &Outcomes,
) -> Result<Vec<OriginalIndex>, StoreError> {
    let (prefix, end) = (old.subtasks(), old.subtask(OriginalIndex(last.0 + 1)));
    let mut after = Some(old.subtask(first));
    let mut found = Vec::new();
    loop {
        let page = store.list(&prefix, after.as_deref()).await?;
        for object in page.objects.iter().take_while(|object| object.key < end) {
            let index = object.key.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix("/outputs.pb"));
            let index = index.and_then(|index| index.parse().ok()).map(OriginalIndex);
            let missing = |index: &OriginalIndex| outcomes.get(*index) != Outcome::Succeeded;
            found.extend(index.filter(|index| index.0 < outcomes.size()).filter(missing));
        }
        let beyond = page.objects.last().is_none_or(|object| object.key >= end);
        if beyond || !page.more {
            return Ok(found);
        }
        after = page.objects.into_iter().last().map(|object| object.key);
    }
}

async fn is_good(store: &dyn Store, key: &str, declared: &BTreeMap<String, LiteralType>) -> Result<bool, StoreError> {
    match store.get(key).await {
        Ok(outputs) => Ok(cache::check(&outputs, declared).is_ok()),
        Err(StoreError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_hold_what_is_missing_and_leave_out_long_gaps() {
        let mut outcomes = Outcomes::new(5000);
        let missing = [3, 4, 400, 502, 504, 3000];
        let succeeded: Ranges = (0..5000).filter(|index| !missing.contains(index)).map(OriginalIndex).collect();
        outcomes.succeed_all(&succeeded);
        outcomes.fail(OriginalIndex(400));
        let found: Vec<(u64, u64)> = clusters(&outcomes).map(|(first, last)| (first.0, last.0)).collect();
        assert_eq!(found, [(3, 502), (504, 504), (3000, 3000)]);
        assert_eq!(clusters(&Outcomes::new(0)).count(), 0);
    }
}
