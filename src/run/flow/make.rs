//! The making of an execution: its record, the mark that it is not over, its place in the lists. When it is over the
//! execution is there, whatever fails; when it has failed there is none, or will be none.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;

use super::created_ms;
use super::host::{CreateError, Key, Shared, key};
use super::view::{self, Stored};
use crate::aws::store::StoreError;
use crate::idl::core::WorkflowExecutionIdentifier;
use crate::idl::record::FlowRecord;
use crate::map::layout::flyte::FlowRoot;

/// How often the record of an execution is written when S3 does not answer.
const TRIES: u32 = 5;

/// The first pause between two tries of that; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(300);

/// Between two tries to take away what could not be made.
const PAUSE: Duration = Duration::from_secs(2);

/// Takes an execution from the list of those that are being made here, when it is dropped.
struct Making {
    shared: Arc<Shared>,
    key: Key,
}

impl Drop for Making {
    fn drop(&mut self) {
        self.shared.making().remove(&self.key);
    }
}

impl Shared {
    /// See [`super::Flows::create`].
    pub(super) async fn create(self: &Arc<Self>, record: FlowRecord) -> Result<(), CreateError> {
        if self.stopping.is_cancelled() {
            return Err(CreateError::Stopping);
        }
        let id = record.id.clone().unwrap_or_default();
        let stored = Stored::new(record)?;
        if !self.making().insert(key(&id)) {
            return Err(CreateError::Making(id.name));
        }
        // Also when the caller goes away.
        let making = Making { shared: self.clone(), key: key(&id) };
        self.make(&id, &stored.record, making).await?;
        // From here on it exists, and nothing that fails may say otherwise.
        self.clone().drive_here(id, stored, None);
        Ok(())
    }

    /// Writes what an execution is made of. Marks come before the record that they are of: one without it is swept away, a
    /// record without them would be lost.
    async fn make(
        &self,
        id: &WorkflowExecutionIdentifier,
        record: &FlowRecord,
        making: Making,
    ) -> Result<(), CreateError> {
        let (store, root) = (self.host.ports.store.as_ref(), self.host.root.flow(id));
        match store.get(&root.spec()).await {
            Ok(_) => return Err(CreateError::Exists(id.name.clone())),
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        self.mark(id, record).await?;
        match self.write(&root, record).await {
            Ok(()) => {}
            Err(StoreError::AlreadyExists { .. }) => {
                let there = view::read_record(store, &root, id).await?;
                // Bytes, for a value that is no number is not equal to itself.
                if there.encode_to_vec() != record.encode_to_vec() {
                    if created_ms(&there) != created_ms(record) {
                        // It has an entry of its own.
                        store.delete_many(&[self.host.root.index_entry(id, created_ms(record))]).await?;
                    }
                    return Err(CreateError::Exists(id.name.clone()));
                }
            }
            Err(error) => {
                let (id, record) = (id.clone(), record.clone());
                // Until then nobody makes it anew here.
                self.tasks.spawn(async move { making.shared.unmake(&id, &record).await });
                return Err(error.into());
            }
        }
        if let Err(error) = self.mark_again(id, record).await {
            tracing::warn!(execution = id.name, %error, "cannot tell whether the mark of a new execution is still there");
        }
        Ok(())
    }

    /// Writes the record. It may have landed though S3 has not answered, so it is tried again until that is known.
    async fn write(&self, root: &FlowRoot, record: &FlowRecord) -> Result<(), StoreError> {
        let (store, body) = (self.host.ports.store.as_ref(), Bytes::from(record.encode_to_vec()));
        let (mut tries, mut pause) = (1, FIRST_PAUSE);
        loop {
            match store.put_new(&root.spec(), body.clone()).await {
                Err(error @ StoreError::Unreachable { .. }) if tries < TRIES && !self.stopping.is_cancelled() => {
                    tracing::warn!(%error, "trying again");
                }
                known => return known,
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.stopping.cancelled() => {}
            }
            (tries, pause) = (tries + 1, pause * 2);
        }
    }

    /// Marks an execution as one that is not over, and lists it. The mark names its entry, for whoever sweeps.
    pub(super) async fn mark(&self, id: &WorkflowExecutionIdentifier, record: &FlowRecord) -> Result<(), StoreError> {
        let (store, root) = (self.host.ports.store.as_ref(), &self.host.root);
        let entry = root.index_entry(id, created_ms(record));
        store.put(&root.running(id), Bytes::from(entry.clone())).await?;
        store.put(&entry, Bytes::new()).await
    }

    /// Marks an execution that has just been made once more, if another server has swept its mark away: to that one it may
    /// have looked like something that was never made.
    pub(super) async fn mark_again(
        &self,
        id: &WorkflowExecutionIdentifier,
        record: &FlowRecord,
    ) -> Result<(), StoreError> {
        match self.host.ports.store.get(&self.host.root.running(id)).await {
            Ok(_) => Ok(()),
            Err(StoreError::NotFound { .. }) => self.mark(id, record).await,
            Err(error) => Err(error),
        }
    }

    /// Takes away what there may be of an execution whose maker was told that it could not be made, as soon as S3 can be
    /// reached.
    pub(super) async fn unmake(&self, id: &WorkflowExecutionIdentifier, record: &FlowRecord) {
        let (store, root) = (self.host.ports.store.as_ref(), &self.host.root);
        let taken_away = async || {
            let spec = root.flow(id).spec();
            match store.get(&spec).await {
                Ok(there) if there == record.encode_to_vec() => {
                    // The mark first: what is marked is driven.
                    store.delete_many(&[root.running(id)]).await?;
                    store.delete_many(&[spec, root.index_entry(id, created_ms(record))]).await
                }
                // Somebody else's.
                Ok(_) => Ok(()),
                Err(StoreError::NotFound { .. }) => {
                    store.delete_many(&[root.index_entry(id, created_ms(record))]).await?;
                    store.delete_many(&[root.running(id)]).await
                }
                Err(error) => Err(error),
            }
        };
        while let Err(error) = taken_away().await {
            tracing::warn!(execution = id.name, %error, "what could not be made is not taken away yet");
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = self.stopping.cancelled() => return,
            }
        }
    }
}
