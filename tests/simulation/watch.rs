//! What must hold at every step: read off the journal as it is written and off Batch as it changes, by nothing that the
//! driver has.

use std::collections::BTreeMap;
use std::sync::Arc;

use batchmap::emulator::batch::model::Model;
use batchmap::map::event::{Decision, Event, Source};
use batchmap::map::layout;
use batchmap::map::ranges::Ranges;
use batchmap::run::journal::Record;

use crate::dice::Fold;
use crate::script::{PATIENCE, Script};
use crate::trace;

/// What the journal says of a subtask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Subtask {
    succeeded: bool,
    /// The array that it is in, unless it has been judged there.
    within: Option<u32>,
    /// How many arrays it has been in.
    arrays: u32,
}

/// What the journal says of an array.
struct Planned {
    members: Ranges,
    adopted: Option<String>,
    ended: bool,
}

/// A driver, as it makes a call.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    pub driver: u64,
    /// When it was started, in milliseconds from the beginning.
    pub began: u64,
    /// Whether the call has come so late that its caller had given it up.
    pub late: bool,
}

/// A submission that Batch has taken.
#[derive(Clone, Debug)]
struct Taken {
    job: String,
    by: Caller,
    at: u64,
}

/// The journal so far, and the jobs that there are.
pub struct Watch {
    script: Arc<Script>,
    records: u64,
    last_ms: u64,
    subtasks: Vec<Subtask>,
    arrays: Vec<Planned>,
    decision: Option<Decision>,
    finished: bool,
    /// What must be reused, by where it is.
    pub due: BTreeMap<Source, Ranges>,
    /// What is reused.
    pub reused: BTreeMap<Source, Ranges>,
    /// Jobs by their array, those left out that have ended.
    jobs: BTreeMap<u32, Vec<String>>,
    /// Everything that Batch has taken, by its array.
    taken: BTreeMap<u32, Vec<Taken>>,
    /// Jobs that Batch took for an array that had one already.
    pub doubles: u64,
    /// What the records say, but for the names of their writers.
    pub fold: Fold,
    /// Whether records are to be seen.
    show: bool,
}

impl Watch {
    pub fn new(script: Arc<Script>) -> Watch {
        let subtasks = vec![Subtask::default(); script.size as usize];
        Watch {
            script,
            records: 0,
            last_ms: 0,
            subtasks,
            arrays: Vec::new(),
            decision: None,
            finished: false,
            due: BTreeMap::new(),
            reused: BTreeMap::new(),
            jobs: BTreeMap::new(),
            taken: BTreeMap::new(),
            doubles: 0,
            fold: Fold::default(),
            show: trace::is_shown(),
        }
    }

    /// Arrays planned so far.
    pub fn arrays(&self) -> u64 {
        self.arrays.len() as u64
    }

    /// Whether the execution has begun.
    pub fn is_begun(&self) -> bool {
        self.records > 0
    }

    /// Whether the execution is over.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// A record of the journal has been written by `driver`.
    pub fn record(&mut self, body: &[u8], driver: u64) {
        let record: Record = serde_json::from_slice(body).expect("a record is JSON");
        assert!(!self.finished, "record {} comes after the end", record.sequence);
        self.records += 1;
        assert_eq!(record.sequence, self.records, "records come one after another");
        assert!(record.now_ms >= self.last_ms, "record {} goes back in time", record.sequence);
        self.last_ms = record.now_ms;
        let line = format!("{} {:?}", record.now_ms, record.events);
        self.fold.add(&line);
        if self.show {
            eprintln!("record {}: {line}", record.sequence);
        }
        record.events.iter().for_each(|event| {
            if let Event::NotSubmitted { array } = event {
                self.given_up(*array, driver);
            }
            self.event(event);
        });
        if record.sequence == 1 {
            assert_eq!(self.reused, self.due, "something else is reused than is there");
        }
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::Reused { indices, source } => {
                assert_eq!(self.records, 1, "something is reused that the first record does not have");
                indices.iter().for_each(|index| self.subtasks[index.0 as usize].succeeded = true);
                self.reused.insert(source.clone(), indices.clone());
            }
            Event::Planned { array, members, .. } => self.planned(*array, &members.ranges()),
            Event::Submitted { array, job } => {
                let adopted = &mut self.arrays[*array as usize].adopted;
                assert_eq!(*adopted, None, "array {array} has its job already, and not {job}");
                *adopted = Some(job.clone());
            }
            Event::Settled { array, succeeded, failures, ended } => {
                failures.iter().for_each(|failure| self.judged(*array, &failure.indices, false));
                self.judged(*array, succeeded, true);
                self.arrays[*array as usize].ended |= ended;
            }
            Event::NotSubmitted { array } if self.decision.is_some() => self.arrays[*array as usize].ended = true,
            Event::Decided { decision } => {
                assert_eq!(self.decision, None, "it is decided twice");
                self.decision = Some(decision.clone());
            }
            Event::Finished => {
                assert!(self.decision.is_some(), "it has finished with nothing decided");
                self.finished = true;
            }
            _ => {}
        }
    }

    /// Jobs that are left at `now`, when driver `writer` says that all is over, with who submitted them. Nothing is but what has
    /// come behind the back of its last sweep, of one that slept or in a call that was late.
    pub fn left(&self, model: &Model, writer: u64, now: u64) -> Vec<(Caller, String)> {
        let all = self.taken.values().flatten().filter(|taken| model.unfinished_children_of(&taken.job) > 0);
        let left: Vec<(Caller, String)> = all
            .inspect(|taken| {
                let fine = (taken.by.late || taken.by.driver != writer) && taken.at + PATIENCE >= now;
                assert!(fine, "{taken:?} is left when driver {writer} says that it has finished");
            })
            .map(|taken| (taken.by, taken.job.clone()))
            .collect();
        assert_eq!(model.unfinished(), left.len(), "jobs are left when it says that it has finished");
        left
    }

    /// A driver says that an array was not submitted. What it has itself submitted in time it must have found: listings
    /// lag, but less than its patience lasts.
    fn given_up(&self, array: u32, driver: u64) {
        let own =
            self.taken.get(&array).into_iter().flatten().find(|taken| taken.by.driver == driver && !taken.by.late);
        let fine = own.is_none() || self.script.forgotten;
        assert!(fine, "driver {driver} gives up array {array}, and {own:?} was taken");
    }

    fn planned(&mut self, array: u32, members: &Ranges) {
        assert_eq!(array as usize, self.arrays.len(), "arrays are numbered");
        assert_eq!(self.decision, None, "array {array} is planned when all is decided");
        // A storm may cost an array that no script knows of.
        let storms = self.script.storms.len() as u32;
        for index in members.iter() {
            let subtask = &mut self.subtasks[index.0 as usize];
            assert!(!subtask.succeeded, "subtask {index} has succeeded, and array {array} runs it again");
            assert_eq!(subtask.within, None, "subtask {index} runs, and array {array} runs it as well");
            subtask.within = Some(array);
            subtask.arrays += 1;
            // Everybody has the first.
            let most = if subtask.arrays > 1 { self.script.fate(index.0).starts + storms } else { 1 };
            assert!(subtask.arrays <= most, "array {array} runs subtask {index} beyond its budget of {most}");
        }
        self.arrays.push(Planned { members: members.clone(), adopted: None, ended: false });
    }

    fn judged(&mut self, array: u32, indices: &Ranges, succeeded: bool) {
        for index in indices.iter() {
            let subtask = &mut self.subtasks[index.0 as usize];
            assert!(!subtask.succeeded, "subtask {index} has succeeded, and array {array} judges it again");
            assert_eq!(subtask.within, Some(array), "array {array} judges subtask {index}");
            subtask.within = None;
            subtask.succeeded = succeeded && self.decision.is_none();
        }
    }

    /// Batch has taken a job: it must be one that the journal intends, and not be too much.
    pub fn submitted(&mut self, (name, size): (&str, u32), id: &str, model: &Model, by: Caller, now: u64) {
        let number =
            name.strip_prefix(&layout::job_name_prefix(&self.script.id)).and_then(|number| number.parse().ok());
        let array: u32 = number.unwrap_or_else(|| panic!("{name} is no array's name"));
        let Some(planned) = self.arrays.get(array as usize) else { panic!("array {array} is not in the journal") };
        assert_eq!(planned.members.len(), u64::from(size), "array {array} has another size in the journal");
        let taken = self.taken.entry(array).or_default();
        let there = taken.iter().find(|taken| taken.at < by.began).filter(|_| !self.script.forgotten);
        assert!(there.is_none(), "{by:?} submits array {array}, and {there:?} was there when it began");
        taken.push(Taken { job: id.to_owned(), by, at: now });
        let jobs = self.jobs.entry(array).or_default();
        jobs.push(id.to_owned());
        self.doubles += u64::from(jobs.len() > 1);
        let (held, most) = (self.in_flight(model), u64::from(self.script.policy.concurrency));
        assert!(most == 0 || held <= most, "{held} children at once, and {most} are allowed");
    }

    /// Whether a child's job is not the first that Batch took for its array.
    pub fn is_double(&self, array: u32, child: &str) -> bool {
        let first = self.taken.get(&array).and_then(|taken| taken.first());
        first.is_some_and(|first| child.split(':').next() != Some(first.job.as_str()))
    }

    /// Batch is asked to end a job: all is decided by then, or it is nobody's. A request that comes late may find it
    /// adopted since.
    pub fn terminates(&self, job: &str) {
        let adopted = self.arrays.iter().any(|array| array.adopted.as_deref() == Some(job) && !array.ended);
        let fine = self.decision.is_some() || !adopted || self.script.may_double();
        assert!(fine, "job {job} is terminated, and nothing in the journal says why");
    }

    /// Children in Batch that have not ended, of arrays that the journal has adopted or still intends to. One that came
    /// too late is none of them: it is to be terminated, and counted at the end.
    fn in_flight(&mut self, model: &Model) -> u64 {
        let mut all = 0;
        self.jobs.retain(|array, jobs| {
            jobs.retain(|job| model.unfinished_children_of(job) > 0);
            let planned = &self.arrays[*array as usize];
            let held = |job: &String| u64::from(model.unfinished_children_of(job));
            all += match &planned.adopted {
                Some(adopted) => held(adopted),
                None if planned.ended => 0,
                None => jobs.iter().map(held).max().unwrap_or(0),
            };
            !jobs.is_empty()
        });
        all
    }

    /// A child begins: it must be one of its array's.
    pub fn begins(&self, array: u32, index: u64) {
        let spans = self.arrays[array as usize].members.spans();
        let after = spans.partition_point(|(first, _)| *first <= index);
        assert!(after > 0 && index <= spans[after - 1].1, "subtask {index} runs in array {array}, which has it not");
    }
}
