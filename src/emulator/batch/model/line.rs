//! Who waits in a queue.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// A queue's children that are RUNNABLE. One that has moved on is dropped from the line when it is met.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Line {
    /// Children that start again, ahead of all others.
    pub(super) retries: VecDeque<(u32, u32)>,
    /// Jobs with children that never started: each knows its next.
    pub(super) fresh: VecDeque<u32>,
}
