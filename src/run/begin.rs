//! From a record that is written to a driver that has begun: what the cache and earlier executions hold, the job
//! definition, the first journal record.

use std::collections::BTreeMap;

use super::driver::{Driver, Patience};
use super::launch::{self, LaunchError, Names};
use super::{Ports, cache, definition, recover};
use crate::aws::batch::{BatchError, Definition};
use crate::aws::store::StoreError;
use crate::idl::record::TaskRecord;
use crate::map::event::Source;
use crate::map::layout::Root;
use crate::map::ranges::Ranges;

/// Why an execution was not begun.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// No job definition can be made of its task.
    #[error("{0}")]
    Definition(String),
    /// AWS Batch.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// S3.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its journal.
    #[error(transparent)]
    Launch(#[from] LaunchError),
}

/// Where an execution's arrays go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queues {
    /// Name or ARN of the default queue.
    pub default: String,
    /// Name or ARN of the interruptible queue, where there is one.
    pub interruptible: Option<String>,
}

/// Begins the execution at `root`, whose record is written: takes what is `reused` and what the cache knows of the rest.
/// The job definition is made and registered only if something is to run.
///
/// # Errors
/// When AWS or the definition cannot be used.
pub async fn begin(
    ports: &Ports,
    root: &Root,
    record: TaskRecord,
    definition: impl FnOnce() -> Result<Definition, String>,
    queues: &Queues,
    patience: Patience,
    mut reused: BTreeMap<Source, Ranges>,
) -> Result<Driver, BeginError> {
    let known = Ranges::union_of(reused.values());
    let claimed = cache::consult(&ports.store, root, &record, &known, patience.pace).await?;
    reused.insert(Source::Cache, claimed.hits.clone());
    let mut first = recover::events(reused);
    first.extend(claimed.held());
    let definition = if launch::has_work(&record, &first)? {
        let definition = definition().map_err(BeginError::Definition)?;
        definition::ensure(ports.batch.as_ref(), definition).await?
    } else {
        String::new()
    };
    let Queues { default: queue, interruptible: interruptible_queue } = queues.clone();
    let names = Names { definition, queue, interruptible_queue };
    let driver = launch::begin_reusing(ports, root, record, names, patience, first).await?;
    Ok(driver.waiting_for(claimed.waits))
}
