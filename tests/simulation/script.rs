//! What children do, and what must come of it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

/// Draws of one kind: the same seed and question, the same answer.
#[derive(Clone, Copy, Debug)]
pub struct Dice(pub u64);

impl Dice {
    /// A number below `sides`.
    pub fn roll(self, question: &str, sides: u64) -> u64 {
        let hash = blake3::hash(format!("{}/{question}", self.0).as_bytes());
        u64::from_le_bytes(hash.as_bytes()[..8].try_into().unwrap()) % sides
    }

    /// Whether something with this many chances in a hundred happens.
    pub fn hits(self, question: &str, percent: u64) -> bool {
        self.roll(question, 100) < percent
    }
}

/// How a subtask's run goes that is not lost with its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Outputs, exit code 0.
    Good,
    /// A recoverable error document.
    Recoverable,
    /// A non-recoverable one.
    Hopeless,
    /// No document: exit code 1.
    Code,
}

/// The script of one execution.
#[derive(Clone, Debug)]
pub struct Script {
    pub dice: Dice,
    pub size: u64,
    pub concurrency: u32,
    pub min_successes: u64,
    pub retries: u32,
    /// Chances in a hundred that a call to Batch goes wrong in one of its ways.
    pub trouble: u64,
}

impl Script {
    pub fn new(seed: u64) -> Script {
        let dice = Dice(seed);
        let size = 1 + dice.roll("size", 60);
        Script {
            dice,
            size,
            concurrency: [0, 1, 3, 7, 20][dice.roll("concurrency", 5) as usize],
            min_successes: size - dice.roll("slack", size / 4 + 1),
            retries: dice.roll("retries", 3) as u32,
            trouble: [0, 5, 15][dice.roll("trouble", 3) as usize],
        }
    }

    /// How the `user`-th run (from 0) of a subtask ends that its host let end.
    pub fn ending(&self, index: u64, user: u32) -> Ending {
        match self.dice.roll(&format!("ending/{index}/{user}"), 20) {
            0 => Ending::Hopeless,
            1 => Ending::Code,
            2..5 => Ending::Recoverable,
            _ => Ending::Good,
        }
    }

    /// What Batch itself does: it tells summaries and listings late (less late than drivers are patient), and starts
    /// slowly.
    pub fn faults(&self) -> serde_json::Value {
        let mut faults = serde_json::Map::new();
        for (name, most) in [("summary_lag", 40), ("listing_lag", 40), ("slow_start", 60)] {
            if self.dice.hits(name, 40) {
                faults
                    .insert(name.to_owned(), json!(format!("{}s", 1 + self.dice.roll(&format!("{name}/time"), most))));
            }
        }
        json!(faults)
    }

    /// Whether the host of a run is lost; at most once a subtask, so that no budget of Batch's own is used up.
    pub fn loses_host(&self, index: u64, losses: u32) -> bool {
        losses == 0 && self.dice.hits(&format!("host/{index}"), 10)
    }

    /// Milliseconds of a run.
    pub fn duration(&self, index: u64, run: u32) -> u64 {
        200 + self.dice.roll(&format!("duration/{index}/{run}"), 90_000)
    }

    /// What must come of it, whatever the network and the drivers do.
    pub fn oracle(&self) -> Oracle {
        let good: BTreeSet<u64> = (0..self.size).filter(|index| self.succeeds(*index)).collect();
        Oracle { enough: good.len() as u64 >= self.min_successes, good }
    }

    fn succeeds(&self, index: u64) -> bool {
        for run in 0..=self.retries {
            match self.ending(index, run) {
                Ending::Good => return true,
                Ending::Recoverable => {}
                Ending::Hopeless | Ending::Code => return false,
            }
        }
        false
    }
}

/// The subtasks that succeed, and whether they are enough.
pub struct Oracle {
    pub good: BTreeSet<u64>,
    pub enough: bool,
}

/// What has happened to subtasks so far.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Runs that ended by themselves, by subtask.
    pub user: BTreeMap<u64, u32>,
    /// Hosts lost, by subtask.
    pub losses: BTreeMap<u64, u32>,
    /// Which job ran (array, subtask): a second job for the same would be a submission made twice.
    pub jobs: BTreeMap<(u32, u64), String>,
}
