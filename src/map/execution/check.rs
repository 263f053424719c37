//! Whether an event fits. The journal may be damaged and the driver may be wrong, so nothing is taken on trust: an
//! event that would lose a subtask, or run one twice, is refused before it changes anything.

use super::super::bitset::Outcome;
use super::super::event::{Event, Failure, Queue};
use super::super::plan::{MAX_ARRAY, Members};
use super::super::ranges::Ranges;
use super::{Array, ArrayState, Execution};

/// The most that Batch takes as the attempts of a job.
const MAX_ATTEMPTS: u32 = 10;

impl Execution {
    /// What is wrong with `event` in the present state.
    pub(super) fn check(&self, event: &Event) -> Result<(), String> {
        if self.finished {
            return Err("it has finished".to_owned());
        }
        match event {
            Event::Started { .. } if !self.arrays.is_empty() => Err("it has started".to_owned()),
            Event::Reused { indices, .. } => self.check_reused(indices),
            Event::Held { indices, .. } => self.check_held(indices),
            Event::Freed { indices } => self.check_freed(indices),
            Event::Planned { array, members, queue, attempts } => {
                self.check_planned(*array, members, *queue, *attempts)
            }
            Event::Submitted { array, .. } | Event::SubmitUnknown { array } | Event::NotSubmitted { array } => {
                match self.known(*array)?.map(|known| &known.state) {
                    Some(ArrayState::Planned | ArrayState::Unknown) => Ok(()),
                    _ => Err(format!("array {array} is already with Batch")),
                }
            }
            Event::Withheld { arrays } => {
                self.check_each(arrays, |state| matches!(state, ArrayState::Planned | ArrayState::Unknown))
            }
            Event::Intended { .. } if self.decision.is_some() => Err("the outcome is decided".to_owned()),
            Event::Intended { arrays } => self.check_each(arrays, |state| *state == ArrayState::Withheld),
            Event::Settled { array, succeeded, failures, ended } => {
                self.check_settled(*array, succeeded, failures, *ended)
            }
            Event::Decided { .. } if self.decision.is_some() => Err("the outcome is decided".to_owned()),
            Event::Finished if self.decision.is_none() => Err("nothing is decided".to_owned()),
            Event::Finished => match self.arrays.open.keys().next() {
                Some(array) => Err(format!("array {array} has not ended")),
                None => Ok(()),
            },
            Event::Started { .. }
            | Event::Refused { .. }
            | Event::Expired { .. }
            | Event::AbortRequested { .. }
            | Event::Decided { .. } => Ok(()),
        }
    }

    /// The array, unless it is over.
    fn known(&self, array: u32) -> Result<Option<&Array>, String> {
        let planned = self.arrays.get(array).ok_or_else(|| format!("array {array} is not planned"))?;
        Ok(planned.open())
    }

    /// Each of some arrays goes on in a state that `fits`.
    fn check_each(&self, arrays: &[u32], fits: impl Fn(&ArrayState) -> bool) -> Result<(), String> {
        if arrays.is_empty() || !arrays.is_sorted_by(|one, next| one < next) {
            return Err("it names no arrays in order".to_owned());
        }
        for &array in arrays {
            if !self.known(array)?.is_some_and(|known| fits(&known.state)) {
                return Err(format!("array {array} is not in that state"));
            }
        }
        Ok(())
    }

    /// Reuse comes before all work, but for what has waited for it: an array that holds a reused subtask would run it again.
    fn check_reused(&self, indices: &Ranges) -> Result<(), String> {
        let waited = !indices.is_empty() && self.held.has_all(indices);
        if (!self.arrays.is_empty() && !waited) || self.decision.is_some() {
            return Err("it has begun to run".to_owned());
        }
        if indices.is_empty() || !indices.is_valid(self.outcomes.size()) {
            return Err("it names no subtasks".to_owned());
        }
        match indices.iter().find(|index| self.outcomes.get(*index) != Outcome::Outstanding) {
            Some(index) => Err(format!("subtask {index} has settled already")),
            None => Ok(()),
        }
    }

    /// An array takes the next stretch of new work, or subtasks that wait to be run again: never one that runs or has
    /// settled.
    fn check_planned(&self, array: u32, members: &Members, queue: Queue, attempts: u32) -> Result<(), String> {
        if array as usize != self.arrays.len() {
            return Err(format!("array {} comes next", self.arrays.len()));
        }
        if self.decision.is_some() {
            return Err("the outcome is decided".to_owned());
        }
        let ranges = members.ranges();
        if ranges.is_empty() || !ranges.is_valid(self.outcomes.size()) {
            return Err("its members are no subtasks".to_owned());
        }
        if ranges.len() > u64::from(MAX_ARRAY) {
            return Err(format!("it has more than {MAX_ARRAY} members"));
        }
        if !(1..=MAX_ATTEMPTS).contains(&attempts) {
            return Err(format!("it has {attempts} attempts, and Batch takes 1 to {MAX_ATTEMPTS}"));
        }
        if let Members::Range { .. } = members
            && self.packs.members(ranges.clone()) != *members
        {
            return Err("its range crosses packs".to_owned());
        }
        let again = self.again.get(&queue);
        let waits = |index| again.is_some_and(|set| set.contains(&index));
        if self.is_next_fresh(&ranges) || ranges.iter().all(waits) {
            return Ok(());
        }
        Err("its members do not wait to be run".to_owned())
    }

    /// Children are members of their array, and when it ends no member is left without a judgement.
    fn check_settled(&self, array: u32, succeeded: &Ranges, failures: &[Failure], ended: bool) -> Result<(), String> {
        let running = self.known(array)?.filter(|known| matches!(known.state, ArrayState::Running { .. }));
        let Some(state) = running else { return Err(format!("array {array} is not with Batch")) };
        let size = self.outcomes.size();
        if !succeeded.is_valid(size) || !failures.iter().all(|failure| failure.indices.is_valid(size)) {
            return Err("it names subtasks that do not exist".to_owned());
        }
        let early: Ranges = state.early.iter().copied().collect();
        let failed = failures.iter().map(|failure| &failure.indices);
        let judged = Ranges::union_of(failed.chain([succeeded, &early]));
        let members = state.members.ranges();
        if !judged.is_within(&members) {
            return Err(format!("it names subtasks that are not in array {array}"));
        }
        // Once the outcome is decided, how the rest ended does not matter any more.
        let complete = !ended || self.decision.is_some() || judged.len() == members.len();
        if complete { Ok(()) } else { Err(format!("array {array} has ended with children that nobody has judged")) }
    }
}
