//! `cache_serialize`: what several executions would compute at once is computed by one, and the others wait for it.
//!
//! ```text
//! GET cache/<key> ── usable ─────────────────────────────────────────────► Reused
//!   │ miss
//!   ▼
//! PUT leases/<key>/00000001, if none is there ── created ── GET cache/<key> once more ── miss ──► ours to compute
//!   │ taken
//!   ▼
//! LIST, GET: the newest lease ── its holder computes still ───────────────► Held
//!   │ the holder is gone, is over, or has settled that subtask
//!   ▼
//! PUT the next number, if it is not there ── created: as above; taken: Held by whoever was faster
//! ```
//! The second look at the entry is what makes it safe: who gets a lease after its holder's end finds what that one left.
//!
//! **Calls.** Three for a miss, before anything is submitted; one for a hit; four for a key that another has. A heartbeat
//! an execution, not a key. While waiting, each look reads the journals of the executions waited for, as they have grown,
//! and asks about those subtasks only that have settled there.
//!
//! **Nobody waits for ever.** A subtask waits for a subtask, of another execution or its own, that has the newest lease
//! of the key. That one does not wait in turn: who gets the lease is freed at the next look, and then it runs or settles,
//! whatever else its execution waits for, since what is held takes no places and keeps no other from being submitted. So
//! every chain of waiting has one link, and two executions that hold one another's keys both go on. When the other one
//! settles it, whatever the outcome, is decided, loses its driver for longer than its heartbeat lasts, or is removed, the
//! lease is free.
//!
//! Work is done twice only where a holder was taken for gone and was not, or when `batchmap gc` removes a lease in the
//! moment between a reader's look and its answer. The results are right then, too: the first entry stays.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};

use super::lease::{self, Holder, Lease};
use super::pulse::{Beat, Pulse, is_beating};
use super::{AT_ONCE, Cache, look_up};
use crate::aws::store::{Store, StoreError};
use crate::idl::record::TaskRecord;
use crate::map::bitset::{Outcome, Outcomes};
use crate::map::cache::Key;
use crate::map::cadence::Pace;
use crate::map::event::{Event, Source};
use crate::map::execution::Execution;
use crate::map::index::OriginalIndex;
use crate::map::layout::Root;
use crate::map::ranges::Ranges;
use crate::run::journal::JournalError;
use crate::run::launch::{self, LaunchError};

/// Subtasks asked about in one look, so that the driver hears what else is wanted of it.
const A_LOOK: usize = 2000;

/// Executions looked at, at once.
const OTHERS_AT_ONCE: usize = 16;

/// What each subtask waits for: by the execution's id, pairs of a subtask here and the one there. 16 bytes a subtask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waits(BTreeMap<String, Vec<(OriginalIndex, OriginalIndex)>>);

/// What the cache, and those who are filling it, say of some subtasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claimed {
    /// Their outputs are there.
    pub hits: Ranges,
    /// They are this execution's to compute.
    pub ours: Ranges,
    /// The rest, and whom it waits for.
    pub waits: Waits,
}

/// What another look has brought.
#[derive(Debug, Default)]
pub struct Looked {
    /// To be taken in and journalled.
    pub events: Vec<Event>,
    /// Whether there is more to look at, at once.
    pub more: bool,
}

impl Waits {
    fn indices(&self) -> Ranges {
        let mut all: Vec<OriginalIndex> = self.0.values().flatten().map(|(here, _)| *here).collect();
        all.sort_unstable();
        all.into_iter().collect()
    }

    fn add(&mut self, here: OriginalIndex, holder: Holder) {
        self.0.entry(holder.execution).or_default().push((here, holder.index));
    }

    fn forget(&mut self, indices: &Ranges) {
        self.0.retain(|_, pairs| {
            pairs.retain(|(here, _)| !indices.contains(*here));
            !pairs.is_empty()
        });
    }

    /// Who waits for whom, as events say it.
    fn held(&self) -> impl Iterator<Item = (&String, Ranges)> {
        self.0.iter().map(|(by, pairs)| {
            let mut indices: Vec<OriginalIndex> = pairs.iter().map(|(here, _)| *here).collect();
            indices.sort_unstable();
            (by, indices.into_iter().collect())
        })
    }
}

impl Claimed {
    /// The events that say what waits.
    pub fn held(&self) -> Vec<Event> {
        self.waits.held().map(|(by, indices)| Event::Held { indices, by: by.clone() }).collect()
    }
}

/// Whether what this task computes is shared with other executions while it is being computed.
pub fn is_shared(record: &TaskRecord) -> bool {
    record.cache.as_ref().is_some_and(|cache| cache.serialize && !cache.overwrite)
}

/// Asks the cache about an execution that is about to begin, but for the subtasks in `known`; of a task with
/// `cache_serialize`, takes upon itself what nobody computes.
///
/// # Errors
/// When S3 fails or refuses. What was taken is free again when the heartbeat has run out.
pub async fn consult(
    store: &Arc<dyn Store>,
    root: &Root,
    record: &TaskRecord,
    known: &Ranges,
    pace: Pace,
) -> Result<Claimed, StoreError> {
    let Some(cache) = Cache::of(store.as_ref(), root, record).filter(|_| is_shared(record)) else {
        let hits = look_up(store.as_ref(), root, record, known).await?;
        return Ok(Claimed { hits, ..Claimed::default() });
    };
    let _pulse = Pulse::start(store.clone(), root, Beat::of(pace)).await?;
    let mut others = Others::new(store, root, None).await?;
    let mut claimed = Claimed::default();
    for (pack, &start) in (0..).zip(&record.pack_starts) {
        let keys = match store.get(&cache.inputs.pack_keys(pack)).await {
            Ok(keys) => keys,
            Err(StoreError::NotFound { .. }) => continue,
            Err(error) => return Err(error),
        };
        let elements = (start..).map(OriginalIndex).zip(Key::all(&keys));
        let unknown = elements.filter(|(index, _)| index.0 < record.size && !known.contains(*index));
        let more = cache.claim(unknown.collect(), &mut others).await?;
        claimed.hits = claimed.hits.union(&more.hits);
        claimed.ours = claimed.ours.union(&more.ours);
        for (by, pairs) in more.waits.0 {
            claimed.waits.0.entry(by).or_default().extend(pairs);
        }
    }
    Ok(claimed)
}

/// Looks again at what `execution` waits for: at those that `waits` knows nothing of, and at those whose holder has
/// settled them or is gone.
///
/// # Errors
/// When S3 fails or refuses.
pub async fn look_again(
    store: &Arc<dyn Store>,
    root: &Root,
    record: &TaskRecord,
    execution: &Execution,
    waits: &mut Waits,
) -> Result<Looked, StoreError> {
    let held = Ranges::union_of(execution.held().values());
    let Some(cache) = Cache::of(store.as_ref(), root, record).filter(|_| !held.is_empty()) else {
        return Ok(Looked::default());
    };
    let mut others = Others::new(store, root, Some(execution.outcomes())).await?;
    let unknown = held.minus(&waits.indices());
    let mut due: Vec<OriginalIndex> = unknown.iter().take(A_LOOK + 1).collect();
    others.learn(waits.0.keys().cloned()).await?;
    for (by, pairs) in &waits.0 {
        let free = |there: OriginalIndex| others.is_free(&Holder { execution: by.clone(), index: there });
        due.extend(pairs.iter().filter(|(_, there)| free(*there)).map(|(here, _)| *here).take(A_LOOK + 1));
    }
    let more = due.len() > A_LOOK;
    due.truncate(A_LOOK);
    due.sort_unstable();
    let due: Ranges = due.into_iter().collect();
    if due.is_empty() {
        return Ok(Looked::default());
    }
    let claimed = match cache.keys(execution.packs(), &due).await {
        Ok(keyed) => cache.claim(keyed, &mut others).await?,
        // Without keys there is no cache, and nothing to wait for.
        Err(StoreError::NotFound { .. }) => Claimed { ours: due.clone(), ..Claimed::default() },
        Err(error) => return Err(error),
    };
    waits.forget(&due);
    let mut events = Vec::new();
    if !claimed.hits.is_empty() {
        events.push(Event::Reused { indices: claimed.hits.clone(), source: Source::Cache });
    }
    if !claimed.ours.is_empty() {
        events.push(Event::Freed { indices: claimed.ours.clone() });
    }
    for (by, indices) in claimed.waits.held() {
        let moved = execution.held().get(by).map_or_else(|| indices.clone(), |same| indices.minus(same));
        if !moved.is_empty() {
            events.push(Event::Held { indices: moved, by: by.clone() });
        }
    }
    for (by, pairs) in claimed.waits.0 {
        waits.0.entry(by).or_default().extend(pairs);
    }
    Ok(Looked { events, more })
}

/// What becomes of one subtask.
enum Claim {
    Hit,
    Ours,
    /// Somebody has the lease.
    Taken(Option<Lease>),
}

impl Cache<'_> {
    /// Takes what is cached, and the leases of what nobody computes.
    async fn claim(&self, elements: Vec<(OriginalIndex, Key)>, others: &mut Others<'_>) -> Result<Claimed, StoreError> {
        let first = elements.into_iter().map(|(index, key)| async move {
            let claim = self.first_claim(index, &key).await?;
            Ok::<_, StoreError>((index, key, claim))
        });
        let claims: Vec<_> = stream::iter(first).buffered(AT_ONCE).try_collect().await?;
        let holders = claims.iter().filter_map(|(_, _, claim)| match claim {
            Claim::Taken(lease) => Some(lease.as_ref()?.holder.as_ref()?.execution.clone()),
            _ => None,
        });
        others.learn(holders).await?;
        let others: &Others = others;
        let second = claims.into_iter().map(|(index, key, claim)| async move {
            Ok::<_, StoreError>((index, self.second_claim(index, &key, claim, others).await?))
        });
        let claims: Vec<_> = stream::iter(second).buffered(AT_ONCE).try_collect().await?;
        let mut claimed = Claimed::default();
        for (index, claim) in claims {
            match claim {
                Claim::Hit => claimed.hits.push(index),
                Claim::Taken(Some(Lease { holder: Some(holder), .. })) => claimed.waits.add(index, holder),
                Claim::Ours | Claim::Taken(_) => claimed.ours.push(index),
            }
        }
        Ok(claimed)
    }

    async fn first_claim(&self, index: OriginalIndex, key: &Key) -> Result<Claim, StoreError> {
        if self.take(index, key).await? {
            return Ok(Claim::Hit);
        }
        self.take_lease(index, key, 1).await
    }

    /// Takes over the lease of who is gone.
    async fn second_claim(
        &self,
        index: OriginalIndex,
        key: &Key,
        claim: Claim,
        others: &Others<'_>,
    ) -> Result<Claim, StoreError> {
        let Claim::Taken(lease) = &claim else { return Ok(claim) };
        let free = lease.as_ref().is_none_or(|lease| lease.holder.as_ref().is_none_or(|it| others.is_free(it)));
        match lease {
            _ if !free => Ok(claim),
            Some(lease) => self.take_lease(index, key, lease.number + 1).await,
            // It was removed meanwhile.
            None => self.take_lease(index, key, 1).await,
        }
    }

    async fn take_lease(&self, index: OriginalIndex, key: &Key, number: u64) -> Result<Claim, StoreError> {
        let own = Holder { execution: self.root.id().to_owned(), index };
        if !lease::create(self.store, self.root, key, number, &own).await? {
            let newest = lease::newest(self.store, self.root, key).await?;
            // Ours from before: a driver that died, or a request that was repeated.
            if newest.as_ref().is_none_or(|lease| lease.holder.as_ref() != Some(&own)) {
                return Ok(Claim::Taken(newest));
            }
        }
        // Whoever had it before may have left its outputs since the first look.
        Ok(if self.take(index, key).await? { Claim::Hit } else { Claim::Ours })
    }
}

/// How another execution stands.
enum Standing {
    /// It is over, removed, or nobody drives it: it computes nothing for anybody.
    Gone,
    /// It goes on; what it has settled, once it has begun.
    Alive(Option<Outcomes>),
}

/// Other executions, each looked at once.
struct Others<'a> {
    store: &'a Arc<dyn Store>,
    root: &'a Root,
    /// What this execution has settled itself; nothing before it has begun.
    own: Option<&'a Outcomes>,
    now_ms: u64,
    known: BTreeMap<String, Standing>,
}

impl<'a> Others<'a> {
    async fn new(store: &'a Arc<dyn Store>, root: &'a Root, own: Option<&'a Outcomes>) -> Result<Self, StoreError> {
        Ok(Others { store, root, own, now_ms: store.now().await?, known: BTreeMap::new() })
    }

    /// Looks at those that were not looked at yet.
    async fn learn(&mut self, ids: impl Iterator<Item = String>) -> Result<(), StoreError> {
        let new: BTreeSet<String> = ids.filter(|id| id != self.root.id() && !self.known.contains_key(id)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let this: &Self = self;
        let looks = new.into_iter().map(|id| async move {
            let standing = this.look_at(&id).await?;
            Ok::<_, StoreError>((id, standing))
        });
        let looks: Vec<(String, Standing)> = stream::iter(looks).buffered(OTHERS_AT_ONCE).try_collect().await?;
        self.known.extend(looks);
        Ok(())
    }

    async fn look_at(&self, id: &str) -> Result<Standing, StoreError> {
        let root = self.root.sibling(id);
        if !is_beating(self.store.as_ref(), &root, self.now_ms).await? {
            return Ok(Standing::Gone);
        }
        match launch::read(self.store, &root).await {
            Ok(known) if known.execution.decision().is_some() => Ok(Standing::Gone),
            Ok(known) => Ok(Standing::Alive(Some(known.execution.outcomes().clone()))),
            Err(LaunchError::Store(error) | LaunchError::Journal(JournalError::Store(error))) => Err(error),
            // It beats: whatever it is that cannot be read, somebody drives it.
            Err(error) => {
                tracing::debug!(id, %error, "an execution that computes what others wait for cannot be read");
                Ok(Standing::Alive(None))
            }
        }
    }

    /// Whether the lease of `holder` is free: that one is gone, or has settled its subtask.
    fn is_free(&self, holder: &Holder) -> bool {
        let settled = |outcomes: &Outcomes| {
            holder.index.0 >= outcomes.size() || outcomes.get(holder.index) != Outcome::Outstanding
        };
        if holder.execution == self.root.id() {
            return self.own.is_some_and(settled);
        }
        match self.known.get(&holder.execution) {
            Some(Standing::Gone) => true,
            Some(Standing::Alive(outcomes)) => outcomes.as_ref().is_some_and(settled),
            None => false,
        }
    }
}
