//! A simulated Batch that is honest but slow: children end in any order, counts and states lag, answers get lost. And
//! a driver in front of it that journals before it acts, and dies anywhere.

use super::script::replay;
use crate::map::event::{Event, Failure};
use crate::map::execution::{Action, ArrayState, Execution, Look, SYSTEM_ATTEMPTS, Seen, Terms, ended_unjudged};
use crate::map::index::OriginalIndex;
use crate::map::plan::{Members, Packs};
use crate::map::policy::Origin;
use crate::map::ranges::Ranges;
use crate::map::status::JobStatus;
use crate::map::task::ConcurrencyMode;

/// Numbers that a seed decides (splitmix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Dice(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

/// How one start of a subtask ends: what Batch makes of it, and what we do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Good,
    /// FAILED, with its outputs complete: a host lost too late to matter.
    GoodThoughFailed,
    Fatal,
    /// SUCCEEDED, with outputs due and none there.
    NoOutputs,
    Recoverable,
    /// Its host is gone: Batch itself starts it again while the array has attempts.
    Lost,
}

impl Fate {
    fn status(self) -> JobStatus {
        match self {
            Fate::Good | Fate::NoOutputs => JobStatus::Succeeded,
            _ => JobStatus::Failed,
        }
    }

    fn is_success(self) -> bool {
        matches!(self, Fate::Good | Fate::GoodThoughFailed)
    }

    fn failure(self) -> (Origin, bool) {
        match self {
            Fate::Recoverable => (Origin::User, true),
            Fate::Lost => (Origin::System, true),
            _ => (Origin::User, false),
        }
    }

    fn roll(dice: &mut Dice) -> Self {
        match dice.below(100) {
            0..65 => Fate::Good,
            65..70 => Fate::GoodThoughFailed,
            70..75 => Fate::Fatal,
            75..80 => Fate::NoOutputs,
            80..93 => Fate::Recoverable,
            _ => Fate::Lost,
        }
    }
}

#[derive(Clone, Debug)]
struct Child {
    index: OriginalIndex,
    /// Of its last start.
    fate: Fate,
    /// In this array.
    starts: u32,
    ended: bool,
}

#[derive(Clone, Debug)]
struct Job {
    children: Vec<Child>,
    /// Ended children, FAILED and SUCCEEDED, as the lagging counts show them.
    shown: (u32, u32),
}

impl Job {
    fn is_over(&self) -> bool {
        self.children.iter().all(|child| child.ended)
    }

    fn ended(&self, status: JobStatus) -> u32 {
        self.children.iter().filter(|child| child.ended && child.fate.status() == status).count() as u32
    }
}

/// A driver and its Batch.
#[derive(Clone, Debug)]
pub struct Sim {
    pub machine: Execution,
    /// What is in S3.
    pub journal: Vec<Event>,
    /// What the machine has taken in and a crash would lose.
    unwritten: Vec<Event>,
    /// By array: Batch's side of it, where it has one.
    jobs: Vec<Option<Job>>,
    /// By subtask: how each of its starts ends.
    pub fates: Vec<Vec<Fate>>,
    /// By subtask: the arrays it was in so far.
    pub runs: Vec<u32>,
    /// By subtask: its starts so far, Batch's own included.
    pub starts: Vec<u32>,
    pub submissions: u64,
    dice: Dice,
    crashes: u64,
    /// Whether every record is held against a replay: costly in a long execution.
    pub replays: bool,
}

impl Sim {
    pub fn new(terms: Terms, packs: Packs, seed: u64, crashes: u64) -> Self {
        let mut dice = Dice::new(seed);
        let size = packs.size() as usize;
        let starts = (terms.retries + SYSTEM_ATTEMPTS) as usize;
        let fates = (0..size).map(|_| (0..starts).map(|_| Fate::roll(&mut dice)).collect()).collect();
        Sim {
            machine: Execution::new(terms, packs),
            journal: Vec::new(),
            unwritten: Vec::new(),
            jobs: Vec::new(),
            fates,
            runs: vec![0; size],
            starts: vec![0; size],
            submissions: 0,
            dice,
            crashes,
            replays: true,
        }
    }

    /// How many subtasks succeed in the end when nobody stops them.
    pub fn truth(&self) -> u64 {
        let succeeds = |fates: &Vec<Fate>| {
            let (mut user, mut system) = (self.machine.terms().retries, SYSTEM_ATTEMPTS - 1);
            for fate in fates {
                let budget = match fate.failure() {
                    _ if fate.is_success() => return true,
                    (_, false) => return false,
                    (Origin::User, true) => &mut user,
                    (Origin::System, true) => &mut system,
                };
                if *budget == 0 {
                    return false;
                }
                *budget -= 1;
            }
            unreachable!("there are more fates than attempts");
        };
        self.fates.iter().filter(|fates| succeeds(fates)).count() as u64
    }

    /// One turn: time passes, the driver polls, acts, or dies. Whether the execution is over.
    pub fn step(&mut self) -> bool {
        if self.dice.percent(self.crashes) {
            self.crash();
        }
        self.time_passes();
        if self.dice.percent(70) {
            self.poll();
        }
        let over = self.drain();
        self.check();
        over
    }

    pub fn run(&mut self) {
        for _ in 0..20_000 {
            if self.step() {
                return;
            }
        }
        panic!("no end in sight: {:?}", self.machine);
    }

    pub fn abort(&mut self) {
        self.take_in(Event::AbortRequested { reason: "enough".to_owned() });
    }

    /// The driver dies; another one reads the journal.
    pub fn crash(&mut self) {
        self.unwritten.clear();
        self.machine = replay(self.machine.terms(), self.machine.packs(), &self.journal);
        self.machine.resume();
    }

    fn take_in(&mut self, event: Event) {
        self.machine.handle(&event).expect("an honest event fits");
        self.unwritten.push(event);
    }

    fn flush(&mut self) {
        self.journal.append(&mut self.unwritten);
        if !self.replays {
            return;
        }
        let again = replay(self.machine.terms(), self.machine.packs(), &self.journal);
        assert_eq!(durable(&again), durable(&self.machine), "a replay knows what the living machine knows");
        assert_eq!(again.snapshot(), self.machine.snapshot(), "so does a snapshot of either");
    }

    fn time_passes(&mut self) {
        let (slow, lag) = (self.dice.below(60), self.dice.below(100));
        for job in self.jobs.iter_mut().flatten() {
            for child in job.children.iter_mut().filter(|child| !child.ended) {
                child.ended = self.dice.percent(slow);
            }
            if self.dice.percent(lag) {
                job.shown = (job.ended(JobStatus::Failed), job.ended(JobStatus::Succeeded));
            }
        }
    }

    fn poll(&mut self) {
        let running: Vec<u32> = self.machine.running().map(|(array, _, _)| array).collect();
        for array in running {
            let job = self.jobs[array as usize].clone().expect("Batch has what runs");
            let over = job.is_over() && self.dice.percent(60);
            let plain = job.children.len() == 1;
            let status = match job.ended(JobStatus::Failed) {
                _ if !over => JobStatus::Pending,
                0 => JobStatus::Succeeded,
                _ => JobStatus::Failed,
            };
            let counts = [(JobStatus::Failed, job.shown.0), (JobStatus::Succeeded, job.shown.1)];
            let children = if plain { Default::default() } else { counts.into_iter().collect() };
            let look = self.machine.observe(array, &Seen { status: Some(status), children });
            // One look in ten finds AWS out of reach.
            if look != Look::Away && !self.dice.percent(10) {
                self.judge(array, &job, look);
            }
        }
    }

    fn judge(&mut self, array: u32, job: &Job, look: Look) {
        if self.machine.decision().is_some() {
            return self.take_in(ended_unjudged(array));
        }
        let state = self.machine.array(array).expect("it runs");
        let (mut succeeded, mut failures) = (Ranges::default(), Vec::new());
        let mut listed_failed = 0;
        for child in job.children.iter().filter(|child| child.ended) {
            let failed = child.fate.status() == JobStatus::Failed;
            // A listing may be behind too, but never when everything has ended.
            let shown = look == Look::AtAll || (self.dice.percent(90) && (failed || look == Look::AtEnds));
            if !shown {
                continue;
            }
            listed_failed += u32::from(failed);
            if state.judged_early(child.index) {
                continue;
            }
            if child.fate.is_success() {
                succeeded.push(child.index);
            } else {
                let (origin, recoverable) = child.fate.failure();
                let indices = [child.index].into_iter().collect();
                let (code, message) = (format!("{:?}", child.fate), String::new());
                failures.push(Failure { indices, origin, recoverable, starts: child.starts, code, message });
            }
        }
        self.take_in(Event::Settled { array, succeeded, failures, ended: look == Look::AtAll });
        self.machine.listed(array, listed_failed);
    }

    fn drain(&mut self) -> bool {
        while let Some(action) = self.machine.next_action() {
            match action {
                Action::Record(event) => {
                    self.check_plan(&event);
                    self.take_in(event);
                    continue;
                }
                Action::Finish(_) => {
                    self.flush();
                    return true;
                }
                _ => self.flush(),
            }
            // One call in ten fails without having done anything, and one driver in a while dies after a call.
            if self.dice.percent(10) {
                if let Action::Submit { array } | Action::LookUp { array } | Action::Terminate { array, .. } = action {
                    self.machine.ask_again(array);
                }
                break;
            }
            self.carry_out(action);
            if self.dice.percent(self.crashes) {
                self.crash();
            }
        }
        self.flush();
        false
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Submit { array } if self.dice.percent(5) => self.take_in(Event::Withheld { arrays: vec![array] }),
            Action::Submit { array } => {
                let arrived = self.dice.percent(85);
                if arrived {
                    self.create(array);
                }
                let event = match arrived && self.dice.percent(85) {
                    true => Event::Submitted { array, job: format!("job-{array}") },
                    false => Event::SubmitUnknown { array },
                };
                self.take_in(event);
            }
            Action::LookUp { array } => {
                let there = self.jobs.get(array as usize).is_some_and(Option::is_some);
                let event = match there {
                    true => Event::Submitted { array, job: format!("job-{array}") },
                    false => Event::NotSubmitted { array },
                };
                self.take_in(event);
            }
            Action::Terminate { array, .. } => {
                let job = self.jobs[array as usize].as_mut().expect("only what runs is terminated");
                job.children.iter_mut().for_each(|child| child.ended = true);
            }
            Action::Record(_) | Action::Finish(_) => unreachable!("not for the world"),
        }
    }

    /// Batch takes an array: each of its subtasks runs once more.
    fn create(&mut self, array: u32) {
        self.submissions += 1;
        let (members, attempts) = {
            let array = self.machine.array(array).expect("it is planned");
            (array.members.ranges(), array.attempts)
        };
        let mut children = Vec::new();
        for index in members.iter() {
            let at = index.0 as usize;
            if self.runs[at] > 0 {
                let mut earlier = self.jobs.iter().flatten().flat_map(|job| &job.children).filter(|c| c.index == index);
                assert!(earlier.all(|child| child.ended), "subtask {index} runs twice at once");
                let last = self.fates[at][self.starts[at] as usize - 1];
                assert!(!last.is_success() && last.failure().1, "subtask {index} runs again after {last:?}");
            }
            self.runs[at] += 1;
            let before = self.starts[at];
            let fate = loop {
                let most = self.machine.terms().retries + SYSTEM_ATTEMPTS;
                assert!(self.starts[at] < most, "subtask {index} is started too often");
                let fate = self.fates[at][self.starts[at] as usize];
                self.starts[at] += 1;
                if fate != Fate::Lost || self.starts[at] - before == attempts {
                    break fate;
                }
            };
            children.push(Child { index, fate, starts: self.starts[at] - before, ended: false });
        }
        self.jobs.resize(self.jobs.len().max(array as usize + 1), None);
        let there = self.jobs[array as usize].replace(Job { children, shown: (0, 0) });
        assert!(there.is_none(), "array {array} is submitted twice");
    }

    /// Under `batches`, a new one begins only when the last has ended whole.
    fn check_plan(&self, event: &Event) {
        let terms = self.machine.terms();
        if let Event::Planned { members, .. } = event
            && terms.concurrency > 0
        {
            let open = || self.machine.open().map(|(_, array)| array);
            if terms.mode == ConcurrencyMode::Batches {
                assert!(
                    open().all(|array| array.state == ArrayState::Planned && !array.is_in_doubt()),
                    "a batch is under way"
                );
            }
            assert!(self.machine.packs().members(members.ranges()) == *members || matches!(members, Members::List(_)));
        }
    }

    /// Never more places taken than there are, by the truth and not by the counts.
    fn check(&self) {
        let arrays = &self.machine.arrays;
        assert_eq!(arrays.tally(), arrays.count(), "the sums are those of the arrays");
        let forgotten = arrays.forgotten(self.machine.decision().is_some());
        assert!(forgotten.is_empty(), "nothing that is to be done is forgotten");
        let held = |(number, array): (u32, &crate::map::execution::Array)| match self.jobs.get(number as usize) {
            Some(Some(job)) => job.children.iter().filter(|child| !child.ended).count() as u32,
            _ => array.members.len(),
        };
        let held: u32 = self.machine.open().map(held).sum();
        let concurrency = self.machine.terms().concurrency;
        assert!(concurrency == 0 || held <= concurrency, "{held} children at a concurrency of {concurrency}");
        let summary = self.machine.summary();
        assert!(summary.succeeded + summary.failed <= summary.size);
    }
}

/// The machine without what only polls know, and without the doubt of a new driver.
pub fn durable(machine: &Execution) -> Execution {
    let mut machine = machine.clone();
    machine.arrays.change_all(crate::map::execution::Array::forget_observations);
    machine
}
