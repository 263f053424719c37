//! What a server does beside driving: it gives signs of life, and takes up what nobody drives any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::time::Instant;

use super::host::{Key, Shared, key};
use super::lease;
use super::seen::Seen;
use super::view::{self, ViewError};
use crate::aws::store::{Listed, StoreError};
use crate::idl::core::WorkflowExecutionIdentifier;

/// How long a mark without a journal may be a server's that has just begun.
const JUST_BEGUN_MS: u64 = 30_000;

impl Shared {
    /// Takes away what is left of an execution that was never completely made.
    async fn sweep(&self, id: &WorkflowExecutionIdentifier) -> Result<(), StoreError> {
        let (store, mark) = (self.host.ports.store.as_ref(), self.host.root.running(id));
        let entry = match store.get(&mark).await {
            Ok(body) => String::from_utf8(body.into()).ok(),
            Err(StoreError::NotFound { .. }) => None,
            Err(error) => return Err(error),
        };
        let of_index = self.host.root.index(&id.project, &id.domain);
        let entry = entry.filter(|entry| entry.starts_with(&of_index));
        // The mark last: it leads to the entry.
        store.delete_many(&Vec::from_iter(entry)).await?;
        store.delete_many(&[mark]).await?;
        // Meanwhile somebody may have made it after all, on another server: whoever of the two looks last puts them back.
        match view::read_record(store, &self.host.root.flow(id), id).await {
            Ok(record) => self.mark(id, &record).await,
            Err(ViewError::Store(error)) => Err(error),
            Err(_) => Ok(()),
        }
    }

    /// Gives signs of life and looks for executions that nobody drives, until the host is stopped.
    pub(super) async fn watch(self: Arc<Self>) {
        // Two servers that begin together are not to take each other for dead.
        self.sign().await;
        // A look may take long, and signs are due all the same.
        let both = async { tokio::join!(self.signs(), self.looks()) };
        tokio::select! {
            () = self.stopping.cancelled() => {}
            _ = both => {}
        }
    }

    async fn sign(&self) {
        if let Err(error) = lease::beat(self.host.ports.store.as_ref(), &self.host.root, &self.host.server).await {
            tracing::warn!(%error, "cannot give a sign of life: another server may take this one for dead");
        }
    }

    async fn signs(&self) {
        let mut turn = self.turns();
        loop {
            turn.tick().await;
            self.sign().await;
        }
    }

    async fn looks(self: &Arc<Self>) {
        let mut turn = self.turns();
        let mut seen = BTreeMap::new();
        loop {
            turn.tick().await;
            if let Err(error) = self.look(&mut seen).await {
                tracing::warn!(%error, "cannot look for executions that nobody drives");
            }
        }
    }

    fn turns(&self) -> tokio::time::Interval {
        let mut turn = tokio::time::interval(self.host.lease.beat);
        turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        turn
    }

    /// Looks at every execution that is not over and is not driven here; `seen` is what earlier looks have found out.
    async fn look(self: &Arc<Self>, seen: &mut BTreeMap<Key, Seen>) -> Result<(), StoreError> {
        let (store, root) = (self.host.ports.store.as_ref(), &self.host.root);
        let mut marks = Vec::new();
        loop {
            let after = marks.last().map(|mark: &Listed| mark.key.clone());
            let page = store.list(&root.all_running(), after.as_deref()).await?;
            marks.extend(page.objects);
            if !page.more {
                break;
            }
        }
        let others = marks.iter().filter_map(|mark| Some((root.marked(&mark.key)?, mark.modified_ms)));
        let others: Vec<_> = others.filter(|(id, _)| self.is_others(&key(id))).collect();
        let keys: BTreeSet<Key> = others.iter().map(|(id, _)| key(id)).collect();
        seen.retain(|key, _| keys.contains(key));
        if others.is_empty() {
            return Ok(());
        }
        let mut alive = lease::servers(store, root, self.host.lease.lapse).await?;
        let (now, mut listed) = (store.now().await?, Instant::now());
        for (id, modified_ms) in others {
            // Many executions take long to read, and servers begin meanwhile.
            if listed.elapsed() > self.host.lease.beat {
                alive = lease::servers(store, root, self.host.lease.lapse).await?;
                listed = Instant::now();
            }
            let old = now.saturating_sub(modified_ms) > JUST_BEGUN_MS || self.host.lease.lapse.is_zero();
            let seen = seen.entry(key(&id)).or_default();
            if seen.rests() {
                continue;
            }
            match seen.is_orphan(&self.host, &id, &alive, old).await {
                // It may have been begun here meanwhile.
                Ok(true) if self.is_others(&key(&id)) => self.adopt(id, old, seen).await,
                Ok(_) => {}
                Err(error) => seen.give_up(&id, &error.into()),
            }
        }
        Ok(())
    }

    /// Takes up an execution that nobody drives; one that was never completely made leaves only marks, which go.
    async fn adopt(self: &Arc<Self>, id: WorkflowExecutionIdentifier, old: bool, seen: &mut Seen) {
        match self.clone().begin(id.clone(), None).await {
            Ok(()) => {
                tracing::info!(execution = id.name, "taken up");
                seen.taken_up();
            }
            Err(ViewError::Unknown { .. }) if old => {
                if let Err(error) = self.sweep(&id).await {
                    tracing::warn!(%error, "the marks of an execution that was never made stay for now");
                }
            }
            Err(ViewError::Unknown { .. }) => {}
            Err(error) => seen.give_up(&id, &error),
        }
    }
}
