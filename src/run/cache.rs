//! The cache in S3: looked into before anything is submitted, and filled before a success is journalled.
//!
//! ```text
//! inputs/<p>.keys ─► GET cache/<key> ─► check ─► PUT subtasks/<index>/outputs.pb ─► Event::Reused
//! judged success ──► GET subtasks/<index>/outputs.pb ─► PUT cache/<key>, if none is there ─► Event::Settled
//! ```
//! An entry is the bytes of an `outputs.pb`; of a task without outputs it is empty, and says that the task has run.
//! Nothing in the cache is ever needed: an entry that is damaged, or names a file that is gone, is as good as none, and
//! is replaced by the next success. Only drivers write here: a child's role does not reach this far.

mod lease;
mod pulse;
mod shared;

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
pub use lease::holder;
pub use pulse::{Beat, Pulse, is_beating};
pub use shared::{Claimed, Looked, Waits, consult, is_shared, look_again};

use super::result::declared;
use crate::aws::store::{Store, StoreError};
use crate::idl::core::{Blob, LiteralType};
use crate::idl::record::{self, TaskRecord};
use crate::idl::types::is_directory;
use crate::map::cache::{self, KEY_BYTES, Key};
use crate::map::event::Event;
use crate::map::index::OriginalIndex;
use crate::map::layout::Root;
use crate::map::plan::Packs;
use crate::map::ranges::Ranges;

/// Entries read or written at once.
const AT_ONCE: usize = 64;

/// Entries of one settlement that may fail before the rest is given up: what ten have met, the others will meet too.
const FAILURES: usize = 10;

/// The cache as one execution sees it.
struct Cache<'a> {
    store: &'a dyn Store,
    root: &'a Root,
    /// Where the packs, and the keys beside them, are.
    inputs: Root,
    policy: &'a record::Cache,
    declared: BTreeMap<String, LiteralType>,
}

/// Copies what the cache knows of an execution's subtasks to where they would have left it, and says which those are.
/// Subtasks in `known` are not asked about.
///
/// # Errors
/// When S3 fails or refuses. Nothing has been decided then.
pub async fn look_up(
    store: &dyn Store,
    root: &Root,
    record: &TaskRecord,
    known: &Ranges,
) -> Result<Ranges, StoreError> {
    let mut hits = Ranges::default();
    let Some(cache) = Cache::of(store, root, record).filter(|cache| !cache.policy.overwrite) else {
        return Ok(hits);
    };
    for (pack, &start) in (0..).zip(&record.pack_starts) {
        let keys = match store.get(&cache.inputs.pack_keys(pack)).await {
            Ok(keys) => keys,
            Err(StoreError::NotFound { .. }) => continue,
            Err(error) => return Err(error),
        };
        let elements = (start..).map(OriginalIndex).zip(Key::all(&keys));
        let unknown = elements.filter(|(index, _)| index.0 < record.size && !known.contains(*index));
        let looks = unknown.map(|(index, key)| {
            let cache = &cache;
            async move { cache.take(index, &key).await.map(|hit| hit.then_some(index)) }
        });
        let mut looks = stream::iter(looks).buffered(AT_ONCE);
        while let Some(hit) = looks.try_next().await? {
            hit.into_iter().for_each(|index| hits.push(index));
        }
    }
    Ok(hits)
}

/// Puts the outputs of newly judged successes into the cache. What fails is warned about and left: the outputs
/// themselves are safe, they will merely be made again by the next execution.
pub async fn keep(store: &dyn Store, root: &Root, record: &TaskRecord, packs: &Packs, judged: &Event) {
    let Event::Settled { succeeded, .. } = judged else { return };
    let Some(cache) = Cache::of(store, root, record).filter(|_| !succeeded.is_empty()) else { return };
    let keyed = match cache.keys(packs, succeeded).await {
        Ok(keyed) => keyed,
        Err(error) => return tracing::warn!(%error, "the outputs of {succeeded} are not cached"),
    };
    let puts = keyed.into_iter().map(|(index, key)| {
        let cache = &cache;
        async move { cache.give(index, &key).await.map_err(|problem| (index, problem)) }
    });
    let mut puts = stream::iter(puts).buffer_unordered(AT_ONCE);
    let mut failed = 0;
    while let Some(put) = puts.next().await {
        let Err((index, problem)) = put else { continue };
        tracing::warn!(%index, problem, "the outputs of a subtask are not cached");
        failed += 1;
        if failed == FAILURES {
            return tracing::warn!("the rest of this array's outputs is not cached either");
        }
    }
}

impl<'a> Cache<'a> {
    /// The cache, if the task has one.
    fn of(store: &'a dyn Store, root: &'a Root, record: &'a TaskRecord) -> Option<Self> {
        let policy = record.cache.as_ref()?;
        Some(Cache { store, root, inputs: root.inputs(record), policy, declared: declared(record) })
    }

    /// Copies an entry to where subtask `index` would have left its outputs; whether there is a usable one.
    async fn take(&self, index: OriginalIndex, key: &Key) -> Result<bool, StoreError> {
        let entry = match self.store.get(&self.root.cached(key)).await {
            Ok(entry) => entry,
            Err(StoreError::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        if let Some(problem) = self.problem(&entry).await? {
            tracing::debug!(%key, problem, "a cached entry cannot be used");
            return Ok(false);
        }
        // Of a task without outputs nothing is due, and nobody would read it.
        if self.declared.is_empty() {
            return Ok(true);
        }
        let outputs = self.root.outputs(index);
        self.store.put(&outputs, entry.clone()).await?;
        // `gc` removes an entry first, and then files that no outputs name: it has seen these, if the entry is still there.
        let names_files = cache::check(&entry, &self.declared).is_ok_and(|outputs| !cache::blobs(&outputs).is_empty());
        if names_files && matches!(self.store.get(&self.root.cached(key)).await, Err(StoreError::NotFound { .. })) {
            self.store.delete_many(&[outputs]).await?;
            return Ok(false);
        }
        Ok(true)
    }

    /// What is wrong with an entry.
    async fn problem(&self, entry: &[u8]) -> Result<Option<String>, StoreError> {
        let outputs = match cache::check(entry, &self.declared) {
            Ok(outputs) => outputs,
            Err(problem) => return Ok(Some(problem)),
        };
        for blob in cache::blobs(&outputs) {
            if !self.is_there(blob).await? {
                return Ok(Some(format!("{} is gone", blob.uri)));
            }
        }
        Ok(None)
    }

    /// Whether a file is there. Of files outside our bucket nothing is known, and they are trusted.
    async fn is_there(&self, blob: &Blob) -> Result<bool, StoreError> {
        let path = blob.uri.strip_prefix("s3://").and_then(|rest| rest.strip_prefix(self.store.bucket()));
        let Some(key) = path.and_then(|rest| rest.strip_prefix('/')).filter(|key| !key.is_empty()) else {
            return Ok(true);
        };
        let kind = blob.metadata.as_ref().and_then(|metadata| metadata.r#type.as_ref());
        if kind.is_some_and(is_directory) {
            let folder = format!("{}/", key.trim_end_matches('/'));
            return Ok(!self.store.list(&folder, None).await?.objects.is_empty());
        }
        // An object sorts before all others that begin with its key.
        Ok(self.store.list(key, None).await?.objects.first().is_some_and(|object| object.key == key))
    }

    /// The keys of `indices`, in order.
    async fn keys(&self, packs: &Packs, indices: &Ranges) -> Result<Vec<(OriginalIndex, Key)>, StoreError> {
        let mut by_pack: BTreeMap<u32, Vec<(u32, OriginalIndex)>> = BTreeMap::new();
        for index in indices.iter() {
            let (pack, position) = packs.locate(index);
            by_pack.entry(pack).or_default().push((position, index));
        }
        let mut keyed = Vec::with_capacity(indices.len() as usize);
        for (pack, members) in by_pack {
            let (Some((first, _)), Some((last, _))) = (members.first(), members.last()) else { continue };
            let bytes = |position: u32| u64::from(position) * KEY_BYTES as u64;
            let range = bytes(*first)..bytes(*last + 1);
            let read = self.store.get_range(&self.inputs.pack_keys(pack), range).await?;
            let keys: Vec<Key> = Key::all(&read).collect();
            let own = members.iter().filter_map(|(at, index)| Some((*index, *keys.get((at - first) as usize)?)));
            keyed.extend(own);
        }
        Ok(keyed)
    }

    /// Puts the outputs of subtask `index` into the cache, where nothing usable is.
    async fn give(&self, index: OriginalIndex, key: &Key) -> Result<(), String> {
        let told = |error: StoreError| error.to_string();
        let outputs = match self.declared.is_empty() {
            true => Bytes::new(),
            false => self.store.get(&self.root.outputs(index)).await.map_err(told)?,
        };
        cache::check(&outputs, &self.declared)?;
        let cached = self.root.cached(key);
        if self.policy.overwrite {
            return self.store.put(&cached, outputs).await.map_err(told);
        }
        match self.store.put_new(&cached, outputs.clone()).await {
            Err(StoreError::AlreadyExists { .. }) => self.replace_unusable(&cached, outputs).await.map_err(told),
            written => written.map_err(told),
        }
    }

    /// Replaces an entry that no execution can use: it would be looked up in vain for ever.
    async fn replace_unusable(&self, cached: &str, outputs: Bytes) -> Result<(), StoreError> {
        let usable = match self.store.get(cached).await {
            Ok(entry) => entry == outputs || self.problem(&entry).await?.is_none(),
            Err(StoreError::NotFound { .. }) => false,
            Err(error) => return Err(error),
        };
        if usable { Ok(()) } else { self.store.put(cached, outputs).await }
    }
}
