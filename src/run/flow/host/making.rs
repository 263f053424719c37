//! Executions on their way in and out: made, asked about, asked to end; for clients, and for nodes that run launch plans.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use tokio::time::Instant;

use super::{CreateError, Key, SLOW, Shared, key};
use crate::aws::store::StoreError;
use crate::idl::core::WorkflowExecutionIdentifier;
use crate::idl::record::FlowRecord;
use crate::map::workflow::FlowOutcome;
use crate::run::flow::created_ms;
use crate::run::flow::drive::locked;
use crate::run::flow::view::{self, Stored, ViewError};

impl Shared {
    /// See [`Flows::create`].
    pub(in crate::run::flow) async fn create(self: &Arc<Self>, record: FlowRecord) -> Result<(), CreateError> {
        if self.stopping.is_cancelled() {
            return Err(CreateError::Stopping);
        }
        let id = record.id.clone().unwrap_or_default();
        let stored = Stored::new(record)?;
        {
            if !self.making().insert(key(&id)) {
                return Err(CreateError::Making(id.name));
            }
            // Also when the caller goes away.
            let _making = Making { shared: self, key: key(&id) };
            self.make(&id, &stored.record).await?;
        }
        // From here on it exists, and nothing that fails may say otherwise.
        self.clone().drive_here(id, stored);
        Ok(())
    }

    /// Writes what an execution is made of. Marks come before the record that they are of: one without it is swept away, a
    /// record without them would be lost.
    async fn make(&self, id: &WorkflowExecutionIdentifier, record: &FlowRecord) -> Result<(), CreateError> {
        let host = &self.host;
        let (store, root) = (host.ports.store.as_ref(), host.root.flow(id));
        match store.get(&root.spec()).await {
            Ok(_) => return Err(CreateError::Exists(id.name.clone())),
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let began = Instant::now();
        // The one names the other, for whoever sweeps.
        let (mark, entry) = (host.root.running(id), host.root.index_entry(id, created_ms(record)));
        store.put(&mark, Bytes::from(entry.clone())).await?;
        store.put(&entry, Bytes::new()).await?;
        match store.put_new(&root.spec(), Bytes::from(record.encode_to_vec())).await {
            Ok(()) => {}
            Err(StoreError::AlreadyExists { .. }) => {
                let there = view::read_record(store, &root, id).await?;
                if *there != *record {
                    if created_ms(&there) != created_ms(record) {
                        // It has an entry of its own.
                        store.delete_many(&[entry]).await?;
                    }
                    return Err(CreateError::Exists(id.name.clone()));
                }
            }
            Err(error) => return Err(error.into()),
        }
        if began.elapsed() > SLOW {
            store.put(&mark, Bytes::from(entry)).await?;
        }
        Ok(())
    }

    pub(super) async fn stored(&self, id: &WorkflowExecutionIdentifier) -> Result<Stored, ViewError> {
        let host = &self.host;
        view::read(host.ports.store.as_ref(), &host.root.flow(id), id).await
    }

    /// See [`Flows::abort`].
    pub(in crate::run::flow) async fn abort(
        self: &Arc<Self>,
        id: &WorkflowExecutionIdentifier,
        cause: &str,
        principal: &str,
    ) -> Result<(), ViewError> {
        // The second time for one that has just been taken over, or has just ended.
        for _ in 0..2 {
            if self.ask_to_abort(id, cause, principal).await {
                return Ok(());
            }
            let flow = self.stored(id).await?.flow;
            if flow.finished().is_some() || flow.abort().is_some() {
                return Ok(());
            }
            self.clone().begin(id.clone()).await?;
        }
        if self.ask_to_abort(id, cause, principal).await {
            return Ok(());
        }
        Err(ViewError::Moving { name: id.name.clone() })
    }

    /// How an execution ended, if it has.
    pub(in crate::run::flow) async fn outcome(
        &self,
        id: &WorkflowExecutionIdentifier,
    ) -> Result<Option<FlowOutcome>, ViewError> {
        let live = self.live().get(&key(id)).map(|live| live.flow.clone());
        match live {
            Some(flow) => Ok(locked(&flow).finished().cloned()),
            None => Ok(self.stored(id).await?.flow.finished().cloned()),
        }
    }

    /// Whether an execution is driven here.
    pub(in crate::run::flow) fn drives(&self, id: &WorkflowExecutionIdentifier) -> bool {
        self.live().contains_key(&key(id))
    }
}

/// Takes an execution from the list of those that are being made here, when it is dropped.
struct Making<'s> {
    shared: &'s Shared,
    key: Key,
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        self.shared.making().remove(&self.key);
    }
}
