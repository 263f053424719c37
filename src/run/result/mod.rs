//! The list of outputs: collected in the caller's order, spooled, stored and read back.
//!
//! Nothing here holds the list in memory. Children's outputs are fetched with some read-ahead and go to a [`Spool`] on
//! local disk; from there the result is written as one flyteidl `LiteralMap` of lists (in parts above [`PART_LIMIT`])
//! and printed as JSON.

mod json;
mod places;
mod read;
mod spool;
mod write;

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt};
use prost::Message;

pub use json::{Format, PrintError, print};
pub use places::Places;
pub use read::Stored;
pub use spool::Spool;
pub use write::{PART_LIMIT, write};

use crate::aws::store::{Store, StoreError};
use crate::idl::core::{Literal, LiteralMap, LiteralType};
use crate::idl::make;
use crate::idl::record::TaskRecord;
use crate::map::bitset::Outcome;
use crate::map::execution::Execution;
use crate::map::index::OriginalIndex;
use crate::map::layout::Root;

/// Children's outputs fetched at once. On AWS a GET takes some 20 ms, so this many give a few thousand a second.
const READ_AHEAD: usize = 64;

/// Why the outputs could not be collected.
#[derive(Debug, thiserror::Error)]
pub enum ResultError {
    /// S3.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Local disk.
    #[error("cannot spool the outputs in {path}: {source}; free space there or set TMPDIR to another folder")]
    Spool {
        /// The spool's folder.
        path: String,
        /// The cause.
        source: std::io::Error,
    },
    /// What a child left is no LiteralMap.
    #[error("the outputs of subtask {index} cannot be read: {problem}")]
    Damaged {
        /// The subtask.
        index: OriginalIndex,
        /// What is wrong.
        problem: String,
    },
}

/// The outputs that the task declares, by name.
pub fn declared(record: &TaskRecord) -> BTreeMap<String, LiteralType> {
    let outputs = record.interface.as_ref().and_then(|interface| interface.outputs.as_ref());
    let variables = outputs.map(|outputs| outputs.variables.iter());
    variables
        .into_iter()
        .flatten()
        .map(|(name, variable)| (name.clone(), variable.r#type.clone().unwrap_or_default()))
        .collect()
}

/// Fetches every succeeded subtask's outputs into a spool, in the caller's order; a failed one's are none.
///
/// # Errors
/// When S3 or the local disk fails, or a child's outputs are damaged.
pub async fn collect(
    store: &dyn Store,
    root: &Root,
    record: &TaskRecord,
    execution: &Execution,
) -> Result<Spool, ResultError> {
    let names: Vec<String> = declared(record).into_keys().collect();
    let mut spool = Spool::create(names.clone())?;
    if names.is_empty() {
        return Ok(spool);
    }
    let (outcomes, places) = (execution.outcomes(), Places::of(root, execution));
    let fetches = (0..outcomes.size()).map(OriginalIndex).map(|index| {
        let succeeded = outcomes.get(index) == Outcome::Succeeded;
        let root = places.root(index);
        async move {
            if succeeded {
                fetch(store, root, index).await.map(|outputs| (index, outputs))
            } else {
                Ok((index, LiteralMap::default()))
            }
        }
    });
    let mut fetched = futures::stream::iter(fetches).buffered(READ_AHEAD);
    while let Some((_, mut outputs)) = fetched.try_next().await? {
        let row: Vec<Literal> =
            names.iter().map(|name| outputs.literals.remove(name).unwrap_or_else(make::none)).collect();
        spool.push(&row)?;
    }
    spool.rewind()?;
    Ok(spool)
}

async fn fetch(store: &dyn Store, root: &Root, index: OriginalIndex) -> Result<LiteralMap, ResultError> {
    let body = store.get(&root.outputs(index)).await?;
    LiteralMap::decode(body).map_err(|error| ResultError::Damaged { index, problem: error.to_string() })
}
