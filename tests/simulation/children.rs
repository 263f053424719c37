//! What children do.

use std::collections::BTreeMap;
use std::sync::Arc;

use batchmap::aws::memory::MemoryStore;
use batchmap::aws::store::{Store, StoreError};
use batchmap::emulator::batch::model::{End, Start};
use batchmap::idl::core::container_error::Kind;
use batchmap::idl::core::execution_error::ErrorKind;
use batchmap::idl::core::{ContainerError, ErrorDocument};
use batchmap::map::execution::SYSTEM_ATTEMPTS;
use batchmap::map::exit::EXIT_RECOVERABLE;
use batchmap::map::index::OriginalIndex;
use batchmap::map::layout::{self, Place};
use prost::Message;

use crate::script::{Ending, Script};
use crate::values::at_once;
use crate::watch::Watch;

/// A child under way.
pub struct Run {
    /// Its execution.
    pub id: String,
    /// The id of its job.
    job: String,
    index: u64,
    array: u32,
    attempt: u32,
    ending: Ending,
    /// In milliseconds; none that never ends.
    pub lasts: Option<u64>,
}

/// Whose fault it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failed {
    User,
    System,
}

/// All children of an execution.
pub struct Children {
    script: Arc<Script>,
    /// By subtask, and by the array and the attempt there: those that came to nothing.
    failed: BTreeMap<u64, BTreeMap<(u32, u32), Failed>>,
    /// Starts of each subtask.
    starts: BTreeMap<u64, u32>,
    /// Attempts begun.
    pub begun: u64,
    /// Milliseconds of all attempts begun.
    pub work: u64,
}

impl Children {
    pub fn new(script: Arc<Script>) -> Children {
        Children { script, failed: BTreeMap::new(), starts: BTreeMap::new(), begun: 0, work: 0 }
    }

    /// Begins one.
    pub fn begin(&mut self, store: &MemoryStore, start: &Start, watch: &Watch) -> Run {
        let (array, index) = self.place(store, start);
        watch.begins(array, index);
        let starts = self.starts.entry(index).or_default();
        *starts += 1;
        let budget = self.script.policy.retries + SYSTEM_ATTEMPTS;
        let bounded = !self.script.may_double();
        assert!(!bounded || *starts <= budget, "start {starts} of subtask {index}, and {budget} are its budgets");
        // What has gone before decides. Another job of this same array, from a driver that came too late, goes the same way.
        let attempt = start.attempt.attempt;
        let before = |kind| {
            let failed = self.failed.get(&index).map(|failed| failed.range(..(array, attempt)));
            failed.into_iter().flatten().filter(|(_, failed)| **failed == kind).count() as u32
        };
        let there = at_once(store.get(&self.script.root().outputs(OriginalIndex(index)))).is_ok();
        let ending = match self.script.ending(index, before(Failed::User), before(Failed::System)) {
            _ if there => Ending::Good,
            ending => ending,
        };
        let lasts = self.script.duration(index, u64::from(array) << 8 | u64::from(attempt));
        self.begun += 1;
        self.work += if ending == Ending::Hangs { self.script.policy.timeout_ms + 120_000 } else { lasts };
        let lasts = (ending != Ending::Hangs).then_some(lasts);
        Run { id: self.script.id.clone(), job: start.job_id.clone(), index, array, attempt, ending, lasts }
    }

    /// One is stopped before its end, and leaves nothing. What never ends by itself has run into its timeout.
    pub fn stopped(&mut self, run: &Run) {
        if run.ending == Ending::Hangs {
            self.failed.entry(run.index).or_default().insert((run.array, run.attempt), Failed::User);
        }
    }

    /// Leaves in the bucket what a worker leaves.
    pub fn leave(&mut self, store: &MemoryStore, run: &Run) -> End {
        let outputs = || {
            if self.script.outputs_due {
                let (root, index) = (self.script.root(), OriginalIndex(run.index));
                let file = format!("{}o0", root.raw_attempt(index, &layout::attempt(run.array, run.attempt), &run.job));
                let outputs = self.script.outputs(store, run.index, &file);
                let written = at_once(store.put_new(&root.outputs(index), outputs));
                assert!(matches!(written, Ok(()) | Err(StoreError::AlreadyExists { .. })), "{written:?}");
            }
        };
        let document = |kind, origin| {
            let key = self.script.root().error(OriginalIndex(run.index), &layout::attempt(run.array, run.attempt));
            at_once(store.put(&key, error(kind, origin).encode_to_vec().into())).expect("memory takes everything");
            (Some(if origin == ErrorKind::User { Failed::User } else { Failed::System }), End::exited(1))
        };
        let lost = End::Lost { status_reason: "Host EC2 (instance i-0123456789abcdef0) terminated.".to_owned() };
        let (failed, end) = match run.ending {
            Ending::Good => {
                outputs();
                (None, End::exited(0))
            }
            Ending::GoodThenCode => {
                outputs();
                (None, End::exited(1))
            }
            Ending::GoodThenLost => {
                outputs();
                (None, lost)
            }
            Ending::Recoverable => document(Kind::Recoverable, ErrorKind::User),
            Ending::Hopeless => document(Kind::NonRecoverable, ErrorKind::User),
            Ending::SystemRecoverable => document(Kind::Recoverable, ErrorKind::System),
            Ending::AsksAgain => (Some(Failed::User), End::exited(EXIT_RECOVERABLE)),
            Ending::Code | Ending::Hangs => (Some(Failed::User), End::exited(1)),
            Ending::Silent => (Some(Failed::User), End::exited(0)),
            Ending::Lost => (Some(Failed::System), lost),
            Ending::Unpulled => {
                let reason = "CannotPullContainerError: i/o timeout".to_owned();
                (Some(Failed::System), End::StartFailed { reason })
            }
        };
        if let Some(failed) = failed {
            self.failed.entry(run.index).or_default().insert((run.array, run.attempt), failed);
        }
        end
    }
}

fn error(kind: Kind, origin: ErrorKind) -> ErrorDocument {
    ErrorDocument {
        error: Some(ContainerError {
            code: "ValueError".to_owned(),
            message: "it broke".to_owned(),
            kind: kind.into(),
            origin: origin.into(),
            ..Default::default()
        }),
    }
}

/// A variable that a child is started with.
pub fn variable<'a>(start: &'a Start, name: &str) -> &'a str {
    let found = start.environment.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str()).unwrap_or_else(|| panic!("{name} is set"))
}

impl Children {
    /// The array and the subtask of a child, found as the worker finds them.
    fn place(&self, store: &MemoryStore, start: &Start) -> (u32, u64) {
        let array = variable(start, layout::ENV_ARRAY).parse().expect("a number");
        let child = u64::from(start.attempt.child);
        match variable(start, layout::ENV_PLACE).parse().expect("a place") {
            Place::Range { first, .. } => (array, first.0 + child),
            Place::List => {
                let list = self.script.root().array_indices(array);
                let list = at_once(store.get(&list)).expect("the list is there first");
                let at = (child * layout::INDICES_WIDTH) as usize;
                (array, u64::from_le_bytes(list[at..at + 8].try_into().expect("eight bytes")))
            }
        }
    }
}
