//! The machine of an execution that is driven here, shared between its driver and whoever asks how it goes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::node::Standing;
use crate::map::summary::Summary;
use crate::map::workflow::Flow;

/// A machine with one who changes it and many who look. A look costs nothing, however large the workflow is; a change
/// made while somebody still looks leaves them the machine as it was.
#[derive(Clone, Debug)]
pub(super) struct SharedFlow(Arc<Mutex<Arc<Flow>>>);

impl SharedFlow {
    pub(super) fn new(flow: Arc<Flow>) -> Self {
        SharedFlow(Arc::new(Mutex::new(flow)))
    }

    /// The machine as it stands.
    pub(super) fn look(&self) -> Arc<Flow> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes it.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Flow) -> T) -> T {
        change(Arc::make_mut(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// How the nodes that run here go, by their unique ids.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress(Arc<Mutex<BTreeMap<String, watch::Receiver<Standing>>>>);

impl Progress {
    pub(super) fn begin(&self, node: &str, standing: watch::Receiver<Standing>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(node.to_owned(), standing);
    }

    pub(super) fn end(&self, node: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(node);
    }

    /// How one node goes.
    pub(super) fn of(&self, node: &str) -> Option<Standing> {
        Some(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(node)?.borrow().clone())
    }

    /// Looks at the counts of every node.
    pub(super) fn each(&self, mut look: impl FnMut(&Summary)) {
        for standing in self.0.lock().unwrap_or_else(PoisonError::into_inner).values() {
            if let Some(counts) = &standing.borrow().counts {
                look(counts);
            }
        }
    }
}
