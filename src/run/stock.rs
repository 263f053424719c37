//! Arrays whose children have no worker: what is written for them before they are submitted.
//!
//! A child of such an array reads a whole pack, so a compacted one gets a pack of its own, in the order of its children;
//! and it is told where the attempts before it have left checkpoints, if they have. Both objects are the same whoever
//! writes them, so that a driver which takes over writes them again without harm.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};

use crate::aws::store::{Store, StoreError};
use crate::idl::record::TaskRecord;
use crate::idl::record::flyte::Runner;
use crate::map::execution::Execution;
use crate::map::flyte::stock;
use crate::map::flyte::template::{self, Piece};
use crate::map::index::{ChildIndex, OriginalIndex};
use crate::map::layout::{Root, index_width};
use crate::map::pack::{IndexEntry, PackBuilder, Pushed, decode_element, decode_head};
use crate::map::plan::{Members, Packs};

/// Listings of checkpoints under way at once.
const LISTS_AT_ONCE: usize = 32;

/// An execution's keys, its record and who runs its commands.
#[derive(Clone, Copy)]
pub struct Task<'a> {
    /// The bucket.
    pub store: &'a dyn Store,
    /// The execution's keys.
    pub root: &'a Root,
    /// What is to be done.
    pub record: &'a TaskRecord,
    /// Who runs it: not the worker.
    pub runner: Runner,
}

impl Task<'_> {
    /// Writes what the children of array `number` need; whether any of them may go on from a checkpoint.
    ///
    /// # Errors
    /// When S3 fails, or a pack is damaged.
    pub async fn prepare(&self, execution: &Execution, number: u32) -> Result<bool, StoreError> {
        let Some(array) = execution.array(number) else { return Ok(false) };
        if let Members::List(indices) = &array.members {
            let pack = self.pack(execution.packs(), indices.iter()).await?;
            self.store.put(&self.root.array_inputs(number), pack).await?;
        }
        if !stock::has_shell(self.runner) || !template::mentions(&self.record.command, &Piece::PreviousCheckpoint) {
            return Ok(false);
        }
        let previous = self.previous(execution, number, &array.members).await?;
        if previous.is_empty() {
            return Ok(false);
        }
        let body = serde_json::to_vec(&previous).unwrap_or_default();
        self.store.put(&self.root.array_previous(number), body.into()).await?;
        Ok(true)
    }

    /// A pack of these elements alone.
    async fn pack(&self, packs: &Packs, indices: impl Iterator<Item = OriginalIndex>) -> Result<Bytes, StoreError> {
        let inputs = self.root.inputs(self.record);
        let mut open: Option<(u32, Bytes, Bytes)> = None;
        let mut builder: Option<PackBuilder> = None;
        for index in indices {
            let (number, position) = packs.locate(index);
            if open.as_ref().is_none_or(|(open, ..)| *open != number) {
                let (body, at) = (inputs.pack(number), inputs.pack_index(number));
                let (body, entries) = futures::try_join!(self.store.get(&body), self.store.get(&at))?;
                open = Some((number, body, entries));
            }
            let Some((_, body, entries)) = &open else { continue };
            self.copy(&mut builder, body, entries, position).map_err(|problem| self.damaged(number, problem))?;
        }
        Ok(builder.and_then(|mut builder| builder.finish()).map(|pack| pack.body).unwrap_or_default())
    }

    /// Copies one element from a pack to the one under way, whose head is the same.
    fn copy(
        &self,
        builder: &mut Option<PackBuilder>,
        body: &Bytes,
        entries: &Bytes,
        position: u32,
    ) -> Result<(), String> {
        let mapped = &self.record.mapped;
        let width = index_width(mapped.len()) as usize;
        let at = position as usize * width;
        let entry = entries.get(at..at + width).ok_or_else(|| format!("its index has no entry {position}"))?;
        let entry = IndexEntry::parse(entry, mapped.len())?;
        let slice = |run: &std::ops::Range<u64>| {
            body.get(run.start as usize..run.end as usize).ok_or_else(|| format!("it has no bytes {run:?}"))
        };
        let element: Result<Vec<_>, String> = entry.runs.iter().map(|run| decode_element(slice(run)?)).collect();
        if builder.is_none() {
            let head = decode_head(slice(&(0..entry.head_len))?)?;
            *builder = Some(PackBuilder::new(&head, mapped).map_err(|error| error.to_string())?);
        }
        let Some(builder) = builder else { return Ok(()) };
        match builder.try_push(&element?).map_err(|error| error.to_string())? {
            Pushed::Added => Ok(()),
            // Its elements are some of one pack's.
            Pushed::Full => Err("its elements are too large for one pack".to_owned()),
        }
    }

    fn damaged(&self, pack: u32, problem: String) -> StoreError {
        StoreError::Refused {
            operation: "GetObject",
            bucket: self.store.bucket().to_owned(),
            key: self.root.inputs(self.record).pack(pack),
            code: "Damaged".to_owned(),
            message: problem,
        }
    }

    /// The newest checkpoint of each child's subtask, as an address, by the child's number.
    async fn previous(
        &self,
        execution: &Execution,
        number: u32,
        members: &Members,
    ) -> Result<BTreeMap<u32, String>, StoreError> {
        let failed = members.ranges().iter().filter(|index| execution.has_failed_before(*index)).collect();
        let looks = before(execution, number, &failed).into_iter().filter_map(|(index, runs)| {
            let child = members.child(index)?;
            Some(async move { Ok::<_, StoreError>((child.0, self.newest(&runs).await?)) })
        });
        let found: Vec<(u32, Option<String>)> =
            futures::stream::iter(looks).buffer_unordered(LISTS_AT_ONCE).try_collect().await?;
        Ok(found.into_iter().filter_map(|(child, address)| Some((child, address?))).collect())
    }

    /// The address of the newest checkpoint that these runs, the latest last, have left.
    async fn newest(&self, runs: &[Run]) -> Result<Option<String>, StoreError> {
        for Run { array, job, child } in runs.iter().rev() {
            let prefix = format!("{}{job}/{}/", self.root.children_checkpoints(*array), child.0);
            let attempts = self.store.list_directories(&prefix).await?;
            let newest = attempts.iter().filter_map(|attempt| attempt.parse::<u32>().ok()).max();
            if let Some(attempt) = newest {
                return Ok(Some(format!("s3://{}/{prefix}{attempt}", self.store.bucket())));
            }
        }
        Ok(None)
    }
}

/// Where a subtask was run before.
struct Run {
    array: u32,
    job: String,
    child: ChildIndex,
}

/// The runs of these subtasks in arrays before `number`, the latest last.
fn before(execution: &Execution, number: u32, failed: &BTreeSet<OriginalIndex>) -> BTreeMap<OriginalIndex, Vec<Run>> {
    let mut runs: BTreeMap<OriginalIndex, Vec<Run>> = BTreeMap::new();
    if failed.is_empty() {
        return runs;
    }
    for array in execution.arrays().iter().take(number as usize) {
        let members = array.members();
        for &(first, last) in members.ranges().spans() {
            for &index in failed.range(OriginalIndex(first)..=OriginalIndex(last)) {
                let (Some(child), Some(job)) = (members.child(index), array.job_id()) else { continue };
                runs.entry(index).or_default().push(Run { array: array.number(), job: job.into_owned(), child });
            }
        }
    }
    runs
}
