//! Executions that are not driven here, as the bucket has them: what was read is kept, and only what came after is read.

use std::sync::{Arc, Mutex, PoisonError};

use prost::Message;

use super::host::{Key, key};
use super::log;
use super::shared::Ended;
use super::view::{self, FlowView, ViewError};
use crate::aws::store::Store;
use crate::idl::core::WorkflowExecutionIdentifier;
use crate::map::layout::flyte::FlyteRoot;
use crate::run::recent::Recent;

/// Bytes of all that is kept, as far as they can be told: 500 executions of a small workflow and more, of which none is
/// read again.
const ROOM: usize = 64 << 20;

/// Bytes of an execution's record for each byte that is stored of it, its graph included.
const SPREAD: usize = 4;

/// Bytes of an execution of nothing, and of each of its nodes.
const EACH: usize = 512;

/// What was read of one execution, and how many records of its journal that was. Nothing comes after the last record of
/// one that is over.
#[derive(Clone)]
struct Read {
    view: Arc<FlowView>,
    records: u64,
}

/// Whoever asks meanwhile waits for the same reading.
type Slot = Arc<tokio::sync::Mutex<Option<Read>>>;

/// What was read.
pub(super) struct Known {
    slots: Mutex<Recent<Key, Slot>>,
    /// What was driven here of them.
    ended: Ended,
}

impl Known {
    pub(super) fn new(ended: Ended) -> Self {
        Known { slots: Mutex::new(Recent::new(ROOM)), ended }
    }

    /// An execution that was driven here to its end.
    pub(super) fn ended(&self, key: Key, view: FlowView) {
        let weight = weight(&view);
        let read = Read { view: Arc::new(view), records: 0 };
        self.recent().put(key, Arc::new(tokio::sync::Mutex::new(Some(read))), weight);
    }

    /// An execution as the bucket has it now.
    ///
    /// # Errors
    /// When there is none, or what is stored of it cannot be read.
    pub(super) async fn view(
        &self,
        store: &dyn Store,
        root: &FlyteRoot,
        id: &WorkflowExecutionIdentifier,
    ) -> Result<Arc<FlowView>, ViewError> {
        let (key, root) = (key(id), root.flow(id));
        let slot = self.slot(&key);
        let mut read = slot.lock().await;
        match read.as_mut() {
            Some(read) if read.view.flow.finished().is_some() => {}
            Some(known) => {
                let new = log::read_on(store, &root, known.records + 1).await?;
                if !new.is_empty() {
                    let mut view = FlowView::clone(&known.view);
                    view::replay(Arc::make_mut(&mut view.flow), &new)?;
                    *known = Read { view: Arc::new(view), records: known.records + new.len() as u64 };
                }
            }
            None => {
                let stored = view::read(store, &root, id).await?;
                let records = stored.records.len() as u64;
                let view = Arc::new(stored.view(self.ended.clone()));
                self.recent().put(key, slot.clone(), weight(&view));
                *read = Some(Read { view: view.clone(), records });
                return Ok(view);
            }
        }
        // There is something, or this was left above.
        read.as_ref().map(|read| read.view.clone()).ok_or_else(|| ViewError::Moving { name: id.name.clone() })
    }

    /// The slot of an execution. One that nothing was read of weighs little, and goes when it is not asked for again.
    fn slot(&self, key: &Key) -> Slot {
        let mut recent = self.recent();
        recent.get(key).unwrap_or_else(|| {
            let slot = Slot::default();
            recent.put(key.clone(), slot.clone(), EACH);
            slot
        })
    }

    fn recent(&self) -> std::sync::MutexGuard<'_, Recent<Key, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn weight(view: &FlowView) -> usize {
    view.record.encoded_len() * SPREAD + (1 + view.flow.graph().nodes().len()) * EACH
}
