//! The two kinds of index, kept apart by type; only an array's members convert between them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A subtask's place in the caller's list, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OriginalIndex(pub u64);

/// A child's place in its array job, from 0: what Batch calls `AWS_BATCH_JOB_ARRAY_INDEX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChildIndex(pub u32);

impl fmt::Display for OriginalIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ChildIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
