//! Checkpoints: what an attempt leaves for the next one of its subtask.
//!
//! A command may keep its own under `{{.checkpointOutputPrefix}}` in S3, as flytekit does: then all there is to do is
//! to tell it the newest earlier attempt that did. Or it writes files to a directory, which this module saves in S3 and
//! restores:
//!
//! ```text
//! subtasks/<index>/checkpoint/<attempt>/...                the command's own
//! subtasks/<index>/checkpoint/<attempt>.saved/<number>     a file of the directory
//! subtasks/<index>/checkpoint/<attempt>.saved/manifest     which files make the checkpoint: written last
//! ```
//! A checkpoint is what a manifest says. A file that has changed goes to a number that no manifest names, so an attempt
//! that dies in the middle of a save leaves the one before it whole.

mod manifest;
mod save;
mod scan;

pub(super) use self::save::Saver;

use std::path::Path;
use std::sync::Arc;

use super::failure::Failure;
use super::setting::Setting;
use crate::aws::store::Store;
use crate::map::flyte::template as flyte;
use crate::map::index::OriginalIndex;
use crate::map::layout::SAVED;
use crate::map::template::{Piece, mentions};

/// What a command wants of checkpoints. Who wants nothing costs no request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// A directory.
    directory: bool,
    /// The address of an earlier attempt's.
    previous: bool,
}

impl Wanted {
    /// What `command` wants, of a task that asks for the directory or does not.
    pub(super) fn of(command: &[String], asked: bool) -> Self {
        Wanted {
            directory: asked || mentions(command, &Piece::CheckpointDir),
            previous: mentions(command, &Piece::PreviousCheckpoint),
        }
    }

    /// What a command of Flyte's wants.
    pub(super) fn of_flyte(command: &[String]) -> Self {
        Wanted { directory: false, previous: flyte::mentions(command, &flyte::Piece::PreviousCheckpoint) }
    }

    /// Finds what earlier attempts left, and restores the newest directory that is complete. Directories are made in
    /// `parent`.
    ///
    /// # Errors
    /// When S3 cannot be read or the directory cannot be made.
    pub(super) async fn find(
        self,
        store: &Arc<dyn Store>,
        setting: &Setting,
        index: OriginalIndex,
        parent: &Path,
    ) -> Result<Found, Failure> {
        if self == Wanted::default() {
            return Ok(Found::default());
        }
        let mut attempts = store.list_directories(&setting.root.checkpoints(index)).await?;
        attempts.sort_unstable_by(|one, other| other.cmp(one));
        let saved: Vec<&str> = attempts.iter().filter_map(|name| name.strip_suffix(SAVED)).collect();
        let own = |name: &&String| **name != setting.attempt && !name.ends_with(SAVED);
        let previous = attempts.iter().find(own).filter(|_| self.previous).cloned();
        let saver = match self.directory {
            true => Some(Saver::restore(store, setting, index, &saved, parent).await?),
            false => None,
        };
        Ok(Found { previous, saver })
    }
}

/// What there is.
#[derive(Default)]
pub(super) struct Found {
    /// The newest other attempt whose command left something of its own.
    pub previous: Option<String>,
    /// The directory, where one is wanted.
    pub saver: Option<Saver>,
}
