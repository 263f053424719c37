//! Judged children: what they change.

use super::super::event::{Event, Failure};
use super::super::policy::Origin;
use super::super::ranges::Ranges;
use super::{ArrayState, Execution, SYSTEM_ATTEMPTS};

impl Execution {
    /// Takes in the judgement of children of `array`.
    pub(super) fn settle(&mut self, array: u32, succeeded: &Ranges, failures: &[Failure], ended: bool) {
        // After the decision nothing enters the list any more: a late result stays out of it.
        if self.decision.is_none() {
            self.outcomes.succeed_all(succeeded);
            self.forget_retries_of(succeeded);
            for failure in failures {
                self.fail(array, failure);
            }
        }
        if ended {
            self.arrays.end(array);
        } else {
            self.arrays.change(array, |state| {
                state.early.extend(succeeded.iter());
                failures.iter().for_each(|failure| state.early.extend(failure.indices.iter()));
            });
        }
    }

    /// A subtask that waited to be run again and turned out to have succeeded is not run again.
    fn forget_retries_of(&mut self, succeeded: &Ranges) {
        self.held.release(succeeded);
        for set in self.again.values_mut().filter(|set| !set.is_empty()) {
            for &(first, last) in succeeded.spans() {
                let late: Vec<_> =
                    set.range(super::OriginalIndex(first)..=super::OriginalIndex(last)).copied().collect();
                late.iter().for_each(|index| {
                    set.remove(index);
                });
            }
        }
    }

    fn fail(&mut self, array: u32, failure: &Failure) {
        let mut lost = Ranges::default();
        let attempts = self.array(array).map_or(1, |array| array.attempts.max(1));
        let starts = failure.starts.clamp(1, attempts);
        for index in failure.indices.iter() {
            let judged = self.array(array).is_some_and(|array| array.early.contains(&index));
            if judged || self.outcomes.get(index) != super::super::bitset::Outcome::Outstanding {
                continue;
            }
            let mut spent = self.spent.get(&index).copied().unwrap_or_default();
            spent.system += starts - 1;
            let used_up = match failure.origin {
                Origin::User => {
                    spent.user += 1;
                    spent.user > self.terms.retries
                }
                Origin::System => {
                    spent.system += 1;
                    spent.system >= SYSTEM_ATTEMPTS
                }
            };
            if failure.recoverable && !used_up {
                let queue = self.next_queue(spent);
                self.spent.insert(index, spent);
                self.again.entry(queue).or_default().insert(index);
            } else {
                self.outcomes.fail(index);
                lost.push(index);
            }
        }
        self.failures.add(&lost, failure);
    }

    /// An array is not with Batch: what is next for it is `state`, or nothing when nobody needs it any more.
    pub(super) fn not_there(&mut self, array: u32, state: ArrayState) {
        if self.decision.is_some() {
            self.arrays.end(array);
        } else {
            self.arrays.change(array, |array| array.is_not_there(state));
        }
    }

    /// Once the outcome is decided, an array that was planned and not acknowledged is not submitted any more; but it
    /// may have been already, by a driver that died: the next one looks it up. One that was withheld is over.
    pub(super) fn doubt_planned(&mut self) {
        self.withheld().into_iter().for_each(|array| self.arrays.end(array));
        self.arrays.change_all(|array| {
            if array.state == ArrayState::Planned {
                array.state = ArrayState::Unknown;
            }
        });
    }

    /// The arrays that need another intent.
    pub(super) fn withheld(&self) -> Vec<u32> {
        match self.arrays.tally().withheld {
            0 => Vec::new(),
            _ => self.open().filter(|(_, array)| array.state == ArrayState::Withheld).map(|(array, _)| array).collect(),
        }
    }
}

/// The event that says an array is over without judging its children: what is left to say once the outcome is
/// decided.
pub fn ended_unjudged(array: u32) -> Event {
    Event::Settled { array, succeeded: Ranges::default(), failures: Vec::new(), ended: true }
}
