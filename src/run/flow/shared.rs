//! The machine of an execution that is driven here, shared between its driver and whoever asks how it goes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::map::execution::Execution;
use crate::map::summary::Summary;
use crate::map::workflow::Flow;
use crate::run::recent::Recent;

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

/// How a node that runs here goes.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub(super) counts: Summary,
    /// Its map execution.
    pub(super) shown: watch::Receiver<Arc<Execution>>,
}

/// Map executions that were driven here to their ends, by their ids.
pub(super) type Ended = Arc<Mutex<Recent<String, Arc<Execution>>>>;

/// Bytes of all [`Ended`], as far as they can be told.
const ROOM: usize = 32 << 20;

/// Bytes of a map execution of nothing, and of each of its arrays.
const EACH: usize = 1024;

/// Room for what has ended.
pub(super) fn room() -> Ended {
    Arc::new(Mutex::new(Recent::new(ROOM)))
}

/// How a node that is to run here stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    /// How it goes, once its map execution has a driver here.
    pub(super) running: Option<Running>,
    /// What keeps it from going on, in words, until it does.
    pub(super) trouble: Option<String>,
}

/// Nodes by their unique ids, each with the id of its map execution and how that stands.
type Nodes = BTreeMap<String, (String, watch::Receiver<Standing>)>;

/// The nodes that run here, and what has ended.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    running: Arc<Mutex<Nodes>>,
    ended: Ended,
}

impl Progress {
    pub(super) fn new(ended: Ended) -> Self {
        Progress { running: Arc::default(), ended }
    }

    pub(super) fn begin(&self, node: &str, execution: &str, standing: watch::Receiver<Standing>) {
        self.running().insert(node.to_owned(), (execution.to_owned(), standing));
    }

    /// The node does not run any more.
    pub(super) fn end(&self, node: &str) {
        let Some((execution, standing)) = self.running().remove(node) else { return };
        let last = standing.borrow().running.as_ref().map(|last| last.shown.borrow().clone());
        if let Some(over) = last.filter(|last| last.finished().is_some()) {
            let weight = over.outcomes().size() as usize / 2 + (1 + over.arrays().len()) * EACH;
            locked(&self.ended).put(execution, over, weight);
        }
    }

    /// The counts of one node.
    pub(super) fn of(&self, node: &str) -> Option<Summary> {
        self.running().get(node)?.1.borrow().running.as_ref().map(|running| running.counts.clone())
    }

    /// What keeps one node from going on.
    pub(super) fn trouble(&self, node: &str) -> Option<String> {
        self.running().get(node)?.1.borrow().trouble.clone()
    }

    /// The map execution of this id, which `node` runs or ran, if it is known here.
    pub(super) fn execution(&self, node: &str, id: &str) -> Option<Arc<Execution>> {
        let standing = self.running().get(node).filter(|(execution, _)| execution == id).cloned();
        let shown = standing.and_then(|(_, it)| it.borrow().running.as_ref().map(|it| it.shown.borrow().clone()));
        shown.or_else(|| locked(&self.ended).get(&id.to_owned()))
    }

    /// Looks at the counts of every node.
    pub(super) fn each(&self, mut look: impl FnMut(&Summary)) {
        for (_, standing) in self.running().values() {
            if let Some(running) = &standing.borrow().running {
                look(&running.counts);
            }
        }
    }

    fn running(&self) -> MutexGuard<'_, Nodes> {
        locked(&self.running)
    }
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
