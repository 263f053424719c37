//! What a seed is made of: a map, its policy, its children, and everything that goes wrong.

use std::ops::Range;

use batchmap::idl::core::{LiteralType, TypedInterface, Variable, VariableMap};
use batchmap::idl::record::policy::{Completion, ConcurrencyMode};
use batchmap::idl::record::{Cache, Policy, TaskRecord};
use batchmap::map::layout::{RECORD_VERSION, Root};
use serde_json::json;

use crate::dice::Dice;
use crate::gate::{Halt, How};

pub const SECOND: u64 = 1000;
pub const MINUTE: u64 = 60 * SECOND;
pub const HOUR: u64 = 60 * MINUTE;
pub const DAY: u64 = 24 * HOUR;

/// Longer than Batch remembers a job.
pub const FORGETFUL: u64 = 8 * DAY;

/// How long drivers wait for what Batch does not show yet. All lateness of one kind stays below it: AWS promises no
/// bound, so what is later still cannot be told from what will never come.
pub const PATIENCE: u64 = 60 * SECOND;

/// How one attempt of a child goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Outputs, exit code 0.
    Good,
    /// Outputs, and then exit code 1: what is there counts.
    GoodThenCode,
    /// Outputs, and then the host is lost.
    GoodThenLost,
    /// A recoverable error document.
    Recoverable,
    /// No document: the exit code that asks for another run.
    AsksAgain,
    /// A non-recoverable document.
    Hopeless,
    /// No document: exit code 1.
    Code,
    /// Exit code 0 without outputs, where some are due.
    Silent,
    /// A recoverable document that blames the system.
    SystemRecoverable,
    /// Its host is lost.
    Lost,
    /// Its image cannot be pulled this time.
    Unpulled,
    /// It never ends: its timeout ends it.
    Hangs,
}

/// Chances in a hundred that something happens to a call.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trouble {
    pub throttled: u64,
    /// Never arrives; or a 5xx, or a 409.
    pub lost: u64,
    /// Arrives, and the answer does not: for a conditional write, also as a 412 about itself.
    pub unanswered: u64,
    /// Arrives long after its caller has given it up.
    pub late: u64,
    /// An answer of DescribeJobs that was true some time ago.
    pub stale: u64,
    pub credentials: u64,
}

impl Trouble {
    /// The same, each chance at most so large.
    pub fn at_most(self, percent: u64) -> Trouble {
        Trouble {
            throttled: self.throttled.min(percent),
            lost: self.lost.min(percent),
            unanswered: self.unanswered.min(percent),
            late: self.late.min(percent),
            stale: self.stale,
            credentials: self.credentials.min(percent),
        }
    }
}

/// A `batchmap gc` beside an execution.
#[derive(Clone, Copy, Debug)]
pub struct Collection {
    /// When it begins, in milliseconds from the execution's beginning.
    pub at: u64,
    pub older_than: u64,
    pub cache_older_than: Option<u64>,
}

/// The script of one execution.
#[derive(Clone, Debug)]
pub struct Script {
    pub dice: Dice,
    /// The execution's id.
    pub id: String,
    /// The one that it recovers.
    pub recovers: Option<String>,
    /// The version that its outputs are cached as, if they are.
    pub cache: Option<u64>,
    pub overwrite: bool,
    /// Whether every two subtasks have the same input.
    pub twins: bool,
    /// Whether its outputs are files.
    pub files: bool,
    /// How likely an entry of the cache is to be damaged before this begins, in a hundred.
    pub damage: u64,
    /// How long after the execution before it this begins, in milliseconds.
    pub pause: u64,
    pub gc: Option<Collection>,
    /// Whether calls to Batch go through the pacer.
    pub paced: bool,
    /// Whether nobody looks after it for so long that Batch forgets its jobs.
    pub forgotten: bool,
    pub size: u64,
    pub pack_starts: Vec<u64>,
    pub policy: Policy,
    pub outputs_due: bool,
    pub slots: u32,
    /// The longest ordinary run, in milliseconds.
    pub longest: u64,
    /// Chances in a hundred that an attempt is lost with its host, or does not start.
    pub losses: u64,
    /// Chances in ten that a subtask fails in an array.
    pub failures: u64,
    /// When every host under way goes at once.
    pub storms: Vec<u64>,
    pub trouble: Trouble,
    /// When neither S3 nor Batch can be reached at all.
    pub outage: Option<Range<u64>>,
    /// When somebody asks for the end.
    pub abort_at: Option<u64>,
    /// What happens to drivers at a certain call of theirs.
    pub halts: Vec<Halt>,
    /// Drivers, from the first, that die at a drawn time.
    pub mortals: u64,
    /// Drivers that are started though another one is alive.
    pub rivals: u64,
    /// Whether drivers' clocks are wrong, and jump.
    pub jumpy: bool,
}

impl Script {
    pub fn new(seed: u64) -> Script {
        let dice = Dice(seed);
        let size = size(dice);
        let policy = policy(dice, size);
        let stormy = dice.hits("stormy", &[], 15);
        // So few that they never use up a budget: what must come of it stays known.
        let storms = if policy.interruptible { 1 } else { 1 + dice.roll("storms", &[], 2) };
        let storm = |number| dice.roll("storm", &[number], 4 * MINUTE);
        let eventful = dice.hits("eventful", &[], 80);
        let script = Script {
            dice,
            id: "x".to_owned(),
            recovers: None,
            cache: None,
            overwrite: false,
            twins: dice.hits("twins", &[], 30),
            files: dice.hits("files", &[], 40),
            damage: 0,
            pause: 0,
            gc: None,
            paced: dice.hits("paced", &[], 50),
            forgotten: false,
            size,
            pack_starts: pack_starts(dice, size),
            policy,
            outputs_due: !dice.hits("outputless", &[], 15),
            slots: if size > 300 { size as u32 / 4 } else { 1 + dice.roll("slots", &[], 30) as u32 },
            longest: longest(dice, size),
            losses: if stormy { 0 } else { dice.pick("losses", &[], &[0, 0, 5, 30]) },
            failures: dice.pick("failures", &[], &[0, 1, 1, 3]),
            storms: if stormy { (0..storms).map(storm).collect() } else { Vec::new() },
            trouble: trouble(dice, size),
            outage: dice.hits("outage", &[], 8).then(|| {
                let from = dice.roll("outage/from", &[], 3 * MINUTE);
                from..from + dice.roll("outage/for", &[], 20 * MINUTE)
            }),
            abort_at: dice.hits("abort", &[], 6).then(|| dice.roll("abort/at", &[], 5 * MINUTE)),
            halts: if eventful { halts(dice) } else { Vec::new() },
            mortals: if eventful { dice.roll("mortals", &[], 12) } else { 0 },
            rivals: if eventful { dice.pick("rivals", &[], &[0, 0, 0, 1, 3]) } else { 0 },
            jumpy: dice.hits("jumpy", &[], 30),
        };
        script.with_more()
    }

    /// A small one in which nothing goes wrong but for `halts`.
    pub fn quiet(seed: u64, size: u64, halts: Vec<Halt>) -> Script {
        let dice = Dice(seed);
        Script {
            size,
            pack_starts: pack_starts(dice, size),
            policy: policy(dice, size),
            slots: 20,
            // Short ones: what matters here is the driver's own calls, and not how often it asks.
            longest: 2 * SECOND,
            storms: Vec::new(),
            trouble: Trouble::default(),
            outage: None,
            abort_at: None,
            halts,
            mortals: 0,
            rivals: 0,
            jumpy: false,
            gc: None,
            forgotten: false,
            ..Script::new(seed)
        }
    }

    /// Whether a submission may come so late that its array was rightly submitted anew.
    pub fn may_double(&self) -> bool {
        let sleeps = |halt: &Halt| matches!(halt.how, How::Sleeps(_));
        self.trouble.late > 0 || self.rivals > 0 || self.forgotten || self.halts.iter().any(sleeps)
    }

    /// The execution's keys.
    pub fn root(&self) -> Root {
        Root::new("", &self.id)
    }

    /// The record that is staged for it.
    pub fn record(&self) -> TaskRecord {
        let output = Variable { r#type: Some(LiteralType::default()), ..Default::default() };
        let outputs = VariableMap { variables: [("o0".to_owned(), output)].into() };
        TaskRecord {
            version: RECORD_VERSION,
            command: vec!["true".to_owned()],
            interface: Some(TypedInterface { outputs: self.outputs_due.then_some(outputs), ..Default::default() }),
            mapped: vec!["x".to_owned()],
            size: self.size,
            pack_starts: self.pack_starts.clone(),
            policy: Some(self.policy),
            cache: self.cache.map(|version| Cache {
                version: version.to_string(),
                overwrite: self.overwrite,
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    /// What Batch itself does: it tells summaries and listings late, and starts slowly.
    pub fn faults(&self) -> serde_json::Value {
        let mut faults = serde_json::Map::new();
        for (name, most) in [("summary_lag", 20), ("listing_lag", 30), ("slow_start", 60)] {
            if self.dice.hits(name, &[], 30) {
                faults.insert(name.to_owned(), json!(format!("{}s", 1 + self.dice.roll(name, &[1], most))));
            }
        }
        json!(faults)
    }

    /// How the next start of a subtask goes that has ended by itself `user` times, and been lost `lost` times.
    pub fn ending(&self, index: u64, user: u32, lost: u32) -> Ending {
        let place = [index, u64::from(user), u64::from(lost)];
        if self.dice.hits("loss", &place, self.losses) {
            return self.dice.pick("loss/kind", &place, &[Ending::Lost, Ending::Lost, Ending::Unpulled]);
        }
        if !self.dice.hits("failure", &place, self.failures * 10) {
            let other = self.outputs_due && self.dice.hits("good/kind", &place, 10);
            return match (other, self.storms.is_empty()) {
                (false, _) => Ending::Good,
                (true, true) => self.dice.pick("good/which", &place, &[Ending::GoodThenCode, Ending::GoodThenLost]),
                (true, false) => Ending::GoodThenCode,
            };
        }
        match self.dice.roll("failure/kind", &place, 20) {
            // What leaves no trace but in Batch is lost with its job.
            even if self.forgotten => {
                if even < 14 {
                    Ending::Recoverable
                } else {
                    Ending::Hopeless
                }
            }
            0..8 => Ending::Recoverable,
            8..11 => Ending::AsksAgain,
            11..13 => Ending::Hopeless,
            13 if self.outputs_due => Ending::Silent,
            14..17 if self.storms.is_empty() => Ending::SystemRecoverable,
            17 if self.policy.timeout_ms > 0 => Ending::Hangs,
            _ => Ending::Code,
        }
    }

    /// Milliseconds of an attempt.
    pub fn duration(&self, index: u64, start: u64) -> u64 {
        let long = if self.dice.hits("long", &[index, start], 2) { 10 } else { 1 };
        200 + long * self.dice.roll("duration", &[index, start], self.longest)
    }
}

fn size(dice: Dice) -> u64 {
    let among = |least: u64, most: u64| least + dice.roll("size", &[], most - least + 1);
    match dice.roll("sizes", &[], 1000) {
        0..30 => 0,
        30..60 => 1,
        60..90 => 2,
        90..600 => among(1, 20),
        600..900 => among(21, 60),
        900..992 => among(61, 300),
        992..997 => among(301, 2500),
        _ => dice.pick("size", &[], &[9_999, 10_000, 10_001, 25_000]),
    }
}

fn longest(dice: Dice, size: u64) -> u64 {
    let most = if size > 60 { 90 * SECOND } else { 20 * MINUTE };
    dice.pick("longest", &[], &[2 * SECOND, 90 * SECOND, 90 * SECOND, most])
}

fn policy(dice: Dice, size: u64) -> Policy {
    let small = [0, 1, 3, 7, 20, 60];
    let concurrency = match size {
        301.. => dice.pick("concurrency", &[], &[0, size as u32 / 16, size as u32 / 3, 10_000]),
        _ => dice.pick("concurrency", &[], &small),
    };
    // At least what a run takes, so that only those time out that hang.
    let timeout_ms = if dice.hits("timeout", &[], 25) { 10 * longest(dice, size) + MINUTE } else { 0 };
    let mode = dice.pick("mode", &[], &[ConcurrencyMode::Rolling, ConcurrencyMode::Rolling, ConcurrencyMode::Batches]);
    let completion = dice.pick("completion", &[], &[Completion::Settled, Completion::Settled, Completion::Satisfied]);
    Policy {
        concurrency,
        concurrency_mode: mode.into(),
        min_successes: size - dice.pick("slack", &[], &[0, size / 10, size / 4, size / 2, size]),
        completion: completion.into(),
        retries: dice.roll("retries", &[], 4) as u32,
        timeout_ms,
        interruptible: dice.hits("interruptible", &[], 35),
        run_all_sub_nodes: dice.hits("run_all", &[], 25),
        retry_timeouts: dice.hits("retry_timeouts", &[], 50),
        deadline_ms: if dice.hits("deadline", &[], 8) { 1 + dice.roll("deadline/ms", &[], 15 * MINUTE) } else { 0 },
    }
}

/// Packs as staging cuts them, and smaller ones.
fn pack_starts(dice: Dice, size: u64) -> Vec<u64> {
    let most = 10_000;
    let pack = if size > 1000 || dice.hits("one pack", &[], 60) { most } else { 1 + dice.roll("pack", &[], 20) };
    (0..size).step_by(pack as usize).collect()
}

fn trouble(dice: Dice, size: u64) -> Trouble {
    // A look at a large array is many calls, of which none may fail: where most do, it never ends, as it should not.
    let most = if size > 60 { 2 } else { 4 };
    let level: u64 = dice.pick("trouble", &[], &[0, 1, 3, 8][..most]);
    let of = |what, times: u64| if dice.hits(what, &[], 60) { times * level } else { 0 };
    Trouble {
        throttled: of("throttled", 2),
        lost: of("lost", 1),
        unanswered: of("unanswered", 1),
        late: of("late", 1),
        stale: of("stale", 4),
        credentials: of("credentials", 1) / 2,
    }
}

/// Crashes and pauses of the first drivers, each at some call.
pub fn halts(dice: Dice) -> Vec<Halt> {
    let one = |driver| Halt::draw(dice, driver);
    (0..dice.roll("halts", &[], 8)).map(one).collect()
}
