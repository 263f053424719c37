//! What must come of a script, whatever the network and the drivers do: worked out subtask by subtask, without arrays,
//! polls or time.

use std::collections::BTreeSet;

use batchmap::map::execution::SYSTEM_ATTEMPTS;
use batchmap::map::index::OriginalIndex;
use batchmap::map::ranges::Ranges;

use crate::script::{Ending, Script};

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
    /// How often it is started.
    pub starts: u32,
}

impl Script {
    /// Where `reused` need not run.
    pub fn oracle(&self, reused: &Ranges) -> Oracle {
        let good = |index: &u64| reused.contains(OriginalIndex(*index)) || self.fate(*index).succeeds;
        let good: BTreeSet<u64> = (0..self.size).filter(good).collect();
        Oracle { enough: good.len() as u64 >= self.policy.min_successes, good }
    }

    /// What becomes of a subtask that nothing keeps from its end, whatever arrays its starts are made in.
    pub fn fate(&self, index: u64) -> Fate {
        let (mut user, mut lost) = (0, 0);
        for starts in 1.. {
            let again = match self.ending(index, user, lost) {
                Ending::Good | Ending::GoodThenCode | Ending::GoodThenLost => return Fate { succeeds: true, starts },
                Ending::Recoverable | Ending::AsksAgain => true,
                Ending::Hangs => self.policy.retry_timeouts,
                Ending::Hopeless | Ending::Code | Ending::Silent => false,
                Ending::Lost | Ending::Unpulled | Ending::SystemRecoverable => {
                    lost += 1;
                    if lost < SYSTEM_ATTEMPTS {
                        continue;
                    }
                    false
                }
            };
            user += 1;
            if !again || user > self.policy.retries {
                return Fate { succeeds: false, starts };
            }
        }
        unreachable!("every budget ends")
    }
}
