//! Consumable resources: what jobs may hold beside vCPUs and memory, such as licences.

use serde::{Deserialize, Serialize};

/// What becomes of units that a job took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(in super::super) enum ConsumableKind {
    /// They are free again when its attempt is over.
    Replenishable,
    /// They are gone.
    NonReplenishable,
}

/// A consumable resource. A child takes its units when it moves to STARTING.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Consumable {
    pub(in super::super) kind: ConsumableKind,
    /// All units, whoever has them. A unit that a job used up is taken off here.
    pub(in super::super) total: u64,
    /// Units of children that are STARTING or RUNNING. More than `total` once that was lowered below them.
    pub(in super::super) in_use: u64,
}

impl Consumable {
    /// Units that the next child may take.
    pub(in super::super) fn available(&self) -> u64 {
        self.total.saturating_sub(self.in_use)
    }
}
