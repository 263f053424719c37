//! Staging: a task's inputs into packs, once, before anything is submitted.
//!
//! ```text
//! bound values ──────────────────────────► head ┐
//! mapped lists ─► zip ─► convert ─► literals ───┴► PackBuilder ─► PUT pack and index, IN_FLIGHT at once
//!                           └► files ─► upload                                 └► task.pb, last
//! ```
//!
//! `task.pb` says that staging is complete, so it is written last and only when nothing is wrong. Packs and files of a
//! staging that failed lie under an execution without `task.pb`: nothing reads them, and they cost their storage only.

use std::io::Read;
use std::sync::Arc;

use super::bound::{self, Results};
use super::files::Files;
use super::source::{Elements, Stores};
use crate::aws::store::{Store, StoreError};
use crate::idl::record::TaskRecord;
use crate::map::cache::{Scheme, Types};
use crate::map::layout::Root;
use crate::map::pack::PackBuilder;
use crate::map::spec::{Fault, Faults};
use crate::map::task::{MapTask, MappedSource, Source};

mod column;
mod record;
mod stager;

use column::Column;
use stager::Stager;

/// What staging needs besides the task and its place.
pub struct StageOptions {
    /// Only look: count elements, packs and bytes, and write nothing.
    pub dry_run: bool,
    /// The stores of other buckets, for mapped inputs on S3.
    pub stores: Stores,
    /// The outputs of earlier executions, for bound inputs.
    pub results: Arc<dyn Results>,
    /// Read in place of the process's standard input.
    pub stdin: Option<Box<dyn Read + Send>>,
}

/// What was staged or, in a dry run, would have been.
#[derive(Clone, Debug, PartialEq)]
pub struct Staged {
    /// The execution's record, as written.
    pub record: TaskRecord,
    /// Bytes of packs and their indexes.
    pub pack_bytes: u64,
    /// Number of input files uploaded.
    pub files: u64,
    /// Their bytes.
    pub file_bytes: u64,
}

/// Why nothing was staged.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The inputs are wrong: the caller's to correct.
    #[error(transparent)]
    Faults(#[from] Faults),
    /// The store refused, or could not be reached.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Stages `task` under `root` in `store`.
///
/// # Errors
/// Everything that is wrong with the inputs, as far as it is told one by one; or the store's failure. Then there is no
/// `task.pb`.
pub async fn stage(
    task: &MapTask,
    store: &Arc<dyn Store>,
    root: &Root,
    mut options: StageOptions,
) -> Result<Staged, StageError> {
    let mut faults = Faults::default();
    let files = Files::new(store, root);
    let mut columns = Vec::new();
    for (name, input) in &task.inputs {
        if let Source::Mapped(source) = &input.source {
            let stdin = if *source == MappedSource::Stdin { options.stdin.take() } else { None };
            let elements = Elements::open(source, &options.stores, stdin);
            columns.push(Column::new(name, input.literal_type.clone(), elements));
        }
    }
    let bound = bound::resolve(task, &files, options.results.as_ref(), &mut faults).await?;
    for column in &mut columns {
        column.infer(&mut faults).await?;
    }
    let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    let builder = PackBuilder::new(&bound.literals, &names)
        .map_err(|error| faults.0.push(Fault::missing("bind", error.to_string(), "")));
    let (Ok(builder), false) = (builder, columns.iter().any(|column| column.dead)) else {
        return Err(faults.into());
    };

    let mut types = bound.types;
    types.extend(columns.iter().map(|column| (column.name.clone(), column.literal_type.clone())));
    let scheme = task.policy.cache.as_ref().map(|cache| {
        let types = Types { inputs: &types, outputs: &task.outputs };
        Scheme::new((&task.name, &task.command), cache, types, &bound.literals, &names)
    });
    let mut stager = Stager::new(store.clone(), root.clone(), files, builder, options.dry_run).keyed(scheme);
    stager.faults.kept = faults.0;
    stager.queue(bound.uploads).await?;
    stager.zip(&mut columns).await?;
    stager.finish(|size, starts| record::record(task, types, names, size, starts)).await
}
