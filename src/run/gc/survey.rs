//! What every id in the bucket is: an execution that runs or is over, one that was never begun, or what is left of one.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::pages;
use crate::aws::store::{Store, StoreError};
use crate::map::event::{Decision, Source};
use crate::map::layout::Root;
use crate::run::launch::{self, Known, LaunchError};

/// How an execution ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Enough subtasks succeeded.
    Succeeded,
    /// Too few did, or AWS refused what it needs.
    Failed,
    /// It was aborted.
    Aborted,
    /// It was staged, wholly or in part, and never begun.
    Unbegun,
    /// It cannot be read: damaged, or of a newer version.
    Damaged,
    /// It was removed before, but for files that others named then, or for the want of time.
    Removed,
}

/// What an id stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Not over by its journal.
    Running,
    /// Over, or never begun, or removed but for remains.
    Still(State),
    /// A removal was broken off: it has a journal and no record.
    HalfRemoved,
    /// Damaged, or of another version.
    Unreadable(String),
}

/// One id, as it was found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) id: String,
    pub(super) standing: Standing,
    /// When its last record was written or, without a journal, its newest object; by the store's clock.
    pub(super) newest_ms: u64,
    /// Every other execution whose objects it reads.
    pub(super) relies_on: BTreeSet<String>,
    /// Whether it runs a node of a Flyte workflow.
    pub(super) of_workflow: bool,
}

/// Looks at one id.
///
/// # Errors
/// When S3 fails.
pub(super) async fn look(store: &Arc<dyn Store>, root: &Root) -> Result<Found, StoreError> {
    let (records, mut newest_ms) = pages::newest(store.as_ref(), root.journal()).await?;
    let read = launch::read(store, root).await;
    let of_workflow = read.as_ref().is_ok_and(|known| known.record.flyte.is_some());
    let (standing, relies_on) = match read {
        Ok(known) => (standing(&known), relies_on(root.id(), &known)),
        Err(LaunchError::Unknown { .. }) if records > 0 => (Standing::HalfRemoved, BTreeSet::new()),
        Err(LaunchError::Unknown { .. }) => (without_record(store.as_ref(), root).await?, BTreeSet::new()),
        Err(LaunchError::Store(error)) => return Err(error),
        Err(LaunchError::Journal(crate::run::journal::JournalError::Store(error))) => return Err(error),
        Err(error) => (Standing::Unreadable(error.to_string()), BTreeSet::new()),
    };
    if records == 0 {
        let (_, own) = pages::newest(store.as_ref(), root.everything()).await?;
        let (_, files) = pages::newest(store.as_ref(), root.raw()).await?;
        newest_ms = own.max(files);
    }
    Ok(Found { id: root.id().to_owned(), standing, newest_ms, relies_on, of_workflow })
}

fn standing(known: &Known) -> Standing {
    match known.execution.finished() {
        _ if known.names.is_none() => Standing::Still(State::Unbegun),
        None => Standing::Running,
        Some(Decision::Succeeded) => Standing::Still(State::Succeeded),
        Some(Decision::Failed { .. } | Decision::Refused { .. }) => Standing::Still(State::Failed),
        Some(Decision::Aborted { .. }) => Standing::Still(State::Aborted),
    }
}

/// Nothing but files is left of what was removed; more than files was staged in part.
async fn without_record(store: &dyn Store, root: &Root) -> Result<Standing, StoreError> {
    let own = store.list(&root.everything(), None).await?;
    Ok(Standing::Still(if own.objects.is_empty() { State::Removed } else { State::Unbegun }))
}

/// The executions whose packs or outputs one reads, by its record and by its journal.
fn relies_on(id: &str, known: &Known) -> BTreeSet<String> {
    let record = &known.record;
    let sources = known.execution.reused().keys().filter_map(|source| match source {
        Source::Execution(id) => Some(id.clone()),
        Source::Cache => None,
    });
    let named = record.relies_on.iter().cloned().chain([record.inputs_of.clone()]);
    named.chain(sources).filter(|other| !other.is_empty() && other != id).collect()
}
