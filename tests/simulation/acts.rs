//! What comes after the first execution of a seed, and beside all of them: the same map once more with a cache, a recovery
//! of what has failed, a `batchmap gc`, and a week in which nobody looks.

use crate::dice::Dice;
use crate::gate::{Halt, How};
use crate::script::{Collection, DAY, FORGETFUL, HOUR, MINUTE, Script, halts};

/// Larger ones are not run twice: a look into the cache is several calls a subtask, of which none may fail.
const LARGEST: u64 = 60;

impl Script {
    /// The same with a cache, a gc and a long absence, where it gets them.
    pub fn with_more(mut self) -> Script {
        let dice = self.dice;
        if self.size > LARGEST {
            return self;
        }
        if dice.hits("cached", &[], 15) {
            self.cache = Some(1);
        }
        self.gc = dice.hits("gc", &[], 4).then(|| collection(dice));
        let traced = self.outputs_due && self.losses == 0 && self.storms.is_empty();
        if traced && dice.hits("forgotten", &[], 6) {
            self.forgotten = true;
            self.rivals = 0;
            let call = dice.roll("forgotten/call", &[], 80);
            let how = if dice.hits("forgotten/dies", &[], 50) { How::Dies } else { How::Sleeps(FORGETFUL) };
            self.halts.retain(|halt| halt.driver > 0);
            self.halts.push(Halt { driver: 0, call, answered: dice.hits("forgotten/answered", &[], 50), how });
        }
        self
    }

    /// The executions that come after this one, the first.
    pub fn sequels(&self) -> Vec<Script> {
        let dice = self.dice;
        let further = match self.cache {
            _ if self.size > LARGEST => 0,
            Some(_) => dice.pick("sequels", &[], &[0, 1, 1, 2]),
            None if dice.hits("sequels", &[], 12) => dice.pick("sequels/many", &[], &[1, 1, 2]),
            None => 0,
        };
        let mut before = self.clone();
        let sequel = |number| {
            before = before.sequel(Dice(dice.bits("sequel", &[number])), number);
            before.clone()
        };
        (1..=further).map(sequel).collect()
    }

    /// One that comes right after this: of the same map, with other luck.
    fn sequel(&self, dice: Dice, number: u64) -> Script {
        let recovers = dice.hits("recovers", &[], if self.cache.is_some() { 40 } else { 85 });
        let eventful = dice.hits("eventful", &[], 60);
        let version = self.cache.map(|version| if dice.hits("version", &[], 25) { version + 1 } else { version });
        Script {
            dice,
            id: ["x", "y", "z"][number as usize].to_owned(),
            recovers: recovers.then(|| self.id.clone()),
            // A recovery has the record of what it recovers.
            cache: if recovers { self.cache } else { version },
            overwrite: if recovers { self.overwrite } else { dice.hits("overwrite", &[], 15) },
            damage: dice.pick("damage", &[], &[0, 0, 30]),
            pause: dice.pick("pause", &[], &[0, 0, 2 * HOUR, FORGETFUL]),
            gc: dice.hits("gc", &[], 40).then(|| collection(dice)),
            forgotten: false,
            losses: if self.storms.is_empty() { self.losses } else { 0 },
            failures: dice.pick("failures", &[], &[0, 1, 3]),
            storms: Vec::new(),
            outage: None,
            // For the same reason.
            trouble: self.trouble.at_most(if self.size > 20 { 1 } else { 3 }),
            abort_at: dice.hits("abort", &[], 5).then(|| dice.roll("abort/at", &[], 5 * MINUTE)),
            halts: if eventful { halts(dice) } else { Vec::new() },
            mortals: if eventful { dice.roll("mortals", &[], 6) } else { 0 },
            rivals: if eventful { dice.pick("rivals", &[], &[0, 0, 1]) } else { 0 },
            ..self.clone()
        }
    }
}

fn collection(dice: Dice) -> Collection {
    Collection {
        at: dice.roll("gc/at", &[], 3 * MINUTE),
        older_than: dice.pick("gc/age", &[], &[0, 0, HOUR, DAY]),
        cache_older_than: dice.pick("gc/cache", &[], &[None, None, Some(0), Some(HOUR)]),
    }
}
