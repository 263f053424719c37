//! What must come of a script, whatever the network and the drivers do: worked out subtask by subtask, without arrays,
//! polls or time.

use std::collections::BTreeSet;

use batchmap::map::execution::SYSTEM_ATTEMPTS;

use crate::script::{Ending, Script};

/// Arrays that a subtask may go into because of losses, beyond the first.
const SYSTEM_ARRAYS: u32 = 1;

/// What must come of a script.
pub struct Oracle {
    /// The subtasks that succeed when all are run.
    pub good: BTreeSet<u64>,
    /// Whether they are enough.
    pub enough: bool,
}

/// What must come of one subtask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fate {
    pub succeeds: bool,
    /// How many arrays it goes into.
    pub arrays: u32,
}

/// How a child of one array ends.
enum Judged {
    Succeeded,
    User { again: bool },
    System,
}

impl Script {
    pub fn oracle(&self) -> Oracle {
        let good: BTreeSet<u64> = (0..self.size).filter(|index| self.fate(*index).succeeds).collect();
        Oracle { enough: good.len() as u64 >= self.policy.min_successes, good }
    }

    /// What becomes of a subtask that nothing keeps from its end.
    pub fn fate(&self, index: u64) -> Fate {
        let (mut user, mut system) = (0, 0);
        for arrays in 1.. {
            let again = match self.child(index, user, system) {
                Judged::Succeeded => return Fate { succeeds: true, arrays },
                Judged::User { again: true } if user < self.policy.retries => &mut user,
                Judged::System if system < SYSTEM_ARRAYS => &mut system,
                Judged::User { .. } | Judged::System => return Fate { succeeds: false, arrays },
            };
            *again += 1;
        }
        unreachable!("every budget ends")
    }

    fn child(&self, index: u64, user: u32, system: u32) -> Judged {
        for attempt in 1..=self.attempts(user, system) {
            match self.ending(index, user, system, attempt) {
                Ending::Good | Ending::GoodThenCode | Ending::GoodThenLost => return Judged::Succeeded,
                Ending::Recoverable | Ending::AsksAgain => return Judged::User { again: true },
                Ending::Hopeless | Ending::Code | Ending::Silent | Ending::Hangs => {
                    return Judged::User { again: false };
                }
                Ending::SystemRecoverable => return Judged::System,
                Ending::Lost | Ending::Unpulled => {}
            }
        }
        Judged::System
    }

    /// How often Batch itself starts a child before it is lost for good.
    fn attempts(&self, user: u32, system: u32) -> u32 {
        let first = user == 0 && system == 0;
        let last = !first && (system > 0 || user >= self.policy.retries);
        match (self.policy.interruptible, last) {
            (false, _) => SYSTEM_ATTEMPTS,
            (true, false) => SYSTEM_ATTEMPTS - 1,
            (true, true) => 1,
        }
    }
}
