//! A machine under test: what goes in and what comes out, a line each.

use crate::map::event::{Decision, Event, Failure, Queue, Source};
use crate::map::execution::{Action, Execution, IllegalEvent, Look, Seen, Terms};
use crate::map::index::OriginalIndex;
use crate::map::plan::Packs;
use crate::map::policy::Origin;
use crate::map::ranges::Ranges;
use crate::map::status::JobStatus;
use crate::map::task::{Completion, ConcurrencyMode};

/// Every subtask must succeed, nothing is bounded, nothing is run again.
pub fn terms(min_successes: u64) -> Terms {
    Terms {
        min_successes,
        concurrency: 0,
        mode: ConcurrencyMode::Rolling,
        completion: Completion::Settled,
        retries: 0,
        interruptible: false,
        run_all: false,
    }
}

/// `size` elements in packs of 10,000.
pub fn packs(size: u64) -> Packs {
    Packs::new((0..size.max(1)).step_by(10_000).collect(), size)
}

/// A machine, its journal, and the lines since the last [`Script::lines`].
pub struct Script {
    pub machine: Execution,
    pub journal: Vec<Event>,
    lines: Vec<String>,
}

impl Script {
    /// A new execution, its first actions taken.
    pub fn new(terms: Terms, size: u64) -> Self {
        let mut script = Script { machine: Execution::new(terms, packs(size)), journal: Vec::new(), lines: Vec::new() };
        script.drain();
        script
    }

    /// A new execution that has the outputs of `indices` already.
    pub fn reusing(terms: Terms, size: u64, indices: &[u64]) -> Self {
        let mut script = Script { machine: Execution::new(terms, packs(size)), journal: Vec::new(), lines: Vec::new() };
        script.feed(Event::Reused { indices: ranges(indices), source: Source::Cache });
        script
    }

    /// A new execution whose first record has these events.
    pub fn beginning(terms: Terms, size: u64, events: impl IntoIterator<Item = Event>) -> Self {
        let mut script = Script { machine: Execution::new(terms, packs(size)), journal: Vec::new(), lines: Vec::new() };
        for event in events {
            script.machine.handle(&event).expect("it fits a beginning");
            script.journal.push(event);
        }
        script.drain();
        script
    }

    /// Feeds an event and takes every action that follows.
    pub fn feed(&mut self, event: Event) -> &mut Self {
        self.machine.handle(&event).unwrap_or_else(|error| panic!("{error}\n{}", self.lines()));
        self.journal.push(event);
        self.drain();
        self
    }

    /// Feeds an event that does not fit, and gives the problem.
    pub fn refused(&mut self, event: Event) -> String {
        let before = self.machine.clone();
        let IllegalEvent { problem, .. } = self.machine.handle(&event).expect_err("it does not fit");
        assert_eq!(self.machine, before, "a refused event changes nothing");
        problem
    }

    /// Takes every action, recording what is to be recorded.
    pub fn drain(&mut self) -> &mut Self {
        while let Some(action) = self.machine.next_action() {
            self.lines.push(line(&action));
            match action {
                Action::Record(event) => {
                    self.machine.handle(&event).expect("the machine's own event fits");
                    self.journal.push(event);
                }
                Action::Finish(_) => break,
                _ => {}
            }
        }
        self
    }

    /// Batch takes `array` as `job-<array>`.
    pub fn submitted(&mut self, array: u32) -> &mut Self {
        self.feed(Event::Submitted { array, job: format!("job-{array}") })
    }

    /// Children are judged while their array goes on.
    pub fn settled(&mut self, array: u32, succeeded: &[u64], failures: Vec<Failure>) -> &mut Self {
        self.feed(Event::Settled { array, succeeded: ranges(succeeded), failures, ended: false })
    }

    /// The rest of an array's children is judged, and it is over.
    pub fn ended(&mut self, array: u32, succeeded: &[u64], failures: Vec<Failure>) -> &mut Self {
        self.feed(Event::Settled { array, succeeded: ranges(succeeded), failures, ended: true })
    }

    /// All that `array` holds has succeeded.
    pub fn all_succeeded(&mut self, array: u32) -> &mut Self {
        let succeeded = self.machine.array(array).expect("it is open").members.ranges();
        self.feed(Event::Settled { array, succeeded, failures: Vec::new(), ended: true })
    }

    /// One poll of an array with children in these states.
    pub fn poll(&mut self, array: u32, children: &[(JobStatus, u32)]) -> Look {
        let seen = Seen { status: Some(JobStatus::Pending), children: children.iter().copied().collect() };
        let look = self.machine.observe(array, &seen);
        self.drain();
        look
    }

    /// The lines since the last call.
    pub fn lines(&mut self) -> String {
        std::mem::take(&mut self.lines).join("\n")
    }

    /// A driver dies here and another takes over from the journal.
    pub fn crash(&mut self) -> &mut Self {
        self.machine = replay(self.machine.terms(), self.machine.packs(), &self.journal);
        self.machine.resume();
        self.lines.push("-- another driver --".to_owned());
        self.drain();
        self
    }
}

/// The machine that `journal` makes.
pub fn replay(terms: &Terms, packs: &Packs, journal: &[Event]) -> Execution {
    let mut machine = Execution::new(terms.clone(), packs.clone());
    for event in journal {
        machine.handle(event).expect("what fitted once fits again");
    }
    machine
}

pub fn ranges(indices: &[u64]) -> Ranges {
    indices.iter().copied().map(OriginalIndex).collect()
}

fn failure(indices: &[u64], origin: Origin, recoverable: bool) -> Vec<Failure> {
    let (code, message) = (format!("{origin:?}"), "it broke".to_owned());
    vec![Failure { indices: ranges(indices), origin, recoverable, starts: 1, code, message }]
}

/// The same children, started so often in their array.
pub fn started(starts: u32, mut failures: Vec<Failure>) -> Vec<Failure> {
    failures.iter_mut().for_each(|failure| failure.starts = starts);
    failures
}

/// The user's fault, and final.
pub fn fatal(indices: &[u64]) -> Vec<Failure> {
    failure(indices, Origin::User, false)
}

/// The user's fault, and worth another attempt.
pub fn recoverable(indices: &[u64]) -> Vec<Failure> {
    failure(indices, Origin::User, true)
}

/// Nobody's fault.
pub fn lost(indices: &[u64]) -> Vec<Failure> {
    failure(indices, Origin::System, true)
}

fn line(action: &Action) -> String {
    match action {
        Action::Record(Event::Planned { array, members, queue, attempts }) => {
            let spot = if *queue == Queue::Interruptible { " spot" } else { "" };
            format!("plan {array}: {}{spot} x{attempts}", members.ranges())
        }
        Action::Record(Event::Decided { decision }) => format!("decide {}", outcome(decision)),
        Action::Record(Event::Finished) => "finished".to_owned(),
        Action::Record(Event::Intended { arrays }) => format!("intend {arrays:?}"),
        Action::Record(event) => format!("record {event:?}"),
        Action::Submit { array } => format!("submit {array}"),
        Action::LookUp { array } => format!("look up {array}"),
        Action::Terminate { array, job } => format!("terminate {array} ({job})"),
        Action::Finish(decision) => format!("finish {}", outcome(decision)),
    }
}

fn outcome(decision: &Decision) -> String {
    match decision {
        Decision::Succeeded => "succeeded".to_owned(),
        Decision::Failed { reason } => format!("failed: {reason}"),
        Decision::Aborted { reason } => format!("aborted: {reason}"),
        Decision::Refused { reason } => format!("refused: {reason}"),
    }
}
