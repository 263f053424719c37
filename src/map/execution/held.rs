//! Subtasks that wait for outputs which somebody else computes: another execution, or an equal subtask of this one.
//!
//! ```text
//! new work, or work to be repeated ──Held──► held ──Reused──► succeeded
//!                                             └───Freed───► to be run, ahead of new work
//! ```
//! What is held takes no place under the concurrency and is part of no array; it is as outstanding as anything else, so
//! the outcome waits for it. What was held once is new work never again: it is passed over there.

use std::collections::BTreeMap;

use super::Execution;
use crate::map::bitset::Outcome;
use crate::map::index::OriginalIndex;
use crate::map::ranges::Ranges;

/// The subtasks that wait so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// By the id of the execution that computes them; no set is empty.
    by: BTreeMap<String, Ranges>,
    /// Every subtask that has ever waited so.
    ever: Ranges,
}

impl Held {
    /// What a snapshot has kept; nothing where that contradicts itself.
    pub(super) fn restore(by: Vec<(String, Ranges)>, ever: Ranges) -> Option<Self> {
        let held = Held { by: by.into_iter().collect(), ever };
        let total: u64 = held.by.values().map(Ranges::len).sum();
        let fits = held.indices().is_within(&held.ever) && held.indices().len() == total;
        (fits && held.by.values().all(|indices| !indices.is_empty())).then_some(held)
    }

    pub(super) fn by(&self) -> &BTreeMap<String, Ranges> {
        &self.by
    }

    pub(super) fn ever(&self) -> &Ranges {
        &self.ever
    }

    /// All that wait now.
    pub(super) fn indices(&self) -> Ranges {
        Ranges::union_of(self.by.values())
    }

    pub(super) fn has_all(&self, indices: &Ranges) -> bool {
        !self.by.is_empty() && indices.is_within(&self.indices())
    }

    /// These wait no longer, those of them that did.
    pub(super) fn release(&mut self, indices: &Ranges) {
        self.by.retain(|_, held| {
            *held = held.minus(indices);
            !held.is_empty()
        });
    }

    fn add(&mut self, indices: &Ranges, by: &str) {
        self.release(indices);
        let held = self.by.entry(by.to_owned()).or_default();
        *held = held.union(indices);
        self.ever = self.ever.union(indices);
    }
}

impl Execution {
    /// The subtasks that wait for outputs which somebody else computes, by the id of the execution that does.
    pub fn held(&self) -> &BTreeMap<String, Ranges> {
        self.held.by()
    }

    /// How many subtasks wait so.
    pub fn waiting_for_others(&self) -> u64 {
        self.held.by().values().map(Ranges::len).sum()
    }

    /// Every subtask that has not settled and is in no array that goes on.
    pub fn unsubmitted(&self) -> Ranges {
        let fresh: Ranges = self.fresh_from(OriginalIndex(self.fresh)).collect();
        let again: Vec<Ranges> = self.again.values().map(|set| set.iter().copied().collect()).collect();
        Ranges::union_of(again.iter().chain([&fresh, &self.held.indices()]))
    }

    pub(super) fn hold(&mut self, indices: &Ranges, by: &str) {
        for set in self.again.values_mut().filter(|set| !set.is_empty()) {
            set.retain(|index| !indices.contains(*index));
        }
        self.held.add(indices, by);
        self.ahead = self.count_ahead();
        self.skip_reused();
    }

    pub(super) fn free(&mut self, indices: &Ranges) {
        self.held.release(indices);
        for index in indices.iter() {
            let queue = self.spent.get(&index).map_or_else(|| self.first_queue(), |spent| self.next_queue(*spent));
            self.again.entry(queue).or_default().insert(index);
        }
    }

    /// Only what is in no array may wait: an array that holds it would run it all the same.
    pub(super) fn check_held(&self, indices: &Ranges) -> Result<(), String> {
        self.check_set(indices)?;
        let fresh = |index: OriginalIndex| {
            let new = index.0 >= self.fresh && !self.held.ever().contains(index);
            new && self.outcomes.get(index) == Outcome::Outstanding
        };
        let waits = self.held.indices();
        let again = |index: OriginalIndex| self.again.values().any(|set| set.contains(&index));
        match indices.iter().find(|index| !fresh(*index) && !waits.contains(*index) && !again(*index)) {
            Some(index) => Err(format!("subtask {index} has settled or is being run")),
            None => Ok(()),
        }
    }

    pub(super) fn check_freed(&self, indices: &Ranges) -> Result<(), String> {
        self.check_set(indices)?;
        if self.held.has_all(indices) { Ok(()) } else { Err("it frees what is not held".to_owned()) }
    }

    fn check_set(&self, indices: &Ranges) -> Result<(), String> {
        if self.decision.is_some() {
            return Err("the outcome is decided".to_owned());
        }
        if indices.is_empty() || !indices.is_valid(self.outcomes.size()) {
            return Err("it names no subtasks".to_owned());
        }
        Ok(())
    }
}
