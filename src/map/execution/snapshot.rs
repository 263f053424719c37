//! The machine's state as data: what a journal's first records add up to.
//!
//! A snapshot holds what the records have told, nothing that only polls know, so that a machine made from it and the
//! records after it equals one made from all records. Outcomes are bits and job ids bytes, both in base64; everything
//! that is sparse is ranges; so its size goes with the arrays and with the changes, never with the children.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::array::{Array, ArrayState};
use super::arrays::{Arrays, Ended, Job};
use super::{Execution, Spent, Terms};
use crate::idl::base64;
use crate::map::bitset::{Outcome, Outcomes};
use crate::map::event::{Decision, Queue, Source};
use crate::map::index::OriginalIndex;
use crate::map::plan::{MAX_ARRAY, Members, Packs};
use crate::map::ranges::Ranges;
use crate::map::summary::{FailureFold, Fold};

/// The format of [`Snapshot`]. One of another format is not read: the journal has it all.
pub const VERSION: u32 = 1;

/// The state of an [`Execution`] without what its task's record says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// A bit a subtask, in words of 64, little-endian, as base64.
    succeeded: String,
    failed: String,
    fresh: u64,
    again: Vec<(Queue, Ranges)>,
    /// Attempts used up, the user's and the system's, and by whom.
    spent: Vec<(u32, u32, Ranges)>,
    open: Vec<Open>,
    ended: EndedArrays,
    failures: Vec<Fold>,
    reused: Vec<(Source, Ranges)>,
    held: Vec<(String, Ranges)>,
    held_ever: Ranges,
    unsure: bool,
    abort: Option<String>,
    expired: Option<String>,
    refusal: Option<String>,
    decision: Option<Decision>,
    finished: bool,
}

/// An array that goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Open {
    array: u32,
    members: Members,
    queue: Queue,
    attempts: u32,
    state: State,
    /// Judged before the array's end.
    early: Ranges,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Planned,
    Withheld,
    Unknown,
    Running(String),
}

/// The arrays that are over, in the order of their numbers; numbers of open arrays are passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct EndedArrays {
    /// Arrays alike, each beginning where the one before it ends.
    runs: Vec<Run>,
    /// The members of those that are no range.
    lists: BTreeMap<u32, Ranges>,
    /// 16 bytes of each one's UUID, as base64; zero for those below.
    uuids: String,
    /// The ids that are no UUID.
    texts: BTreeMap<u32, String>,
    /// Those that never had an id.
    without: Ranges,
}

/// First subtask (0 for a list), children of each (0 for a list), how many arrays, their queue, their attempts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Run(u64, u16, u32, Queue, u8);

/// Why a snapshot makes no machine: it is damaged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Damaged(String);

fn damaged(problem: impl Into<String>) -> Damaged {
    Damaged(problem.into())
}

impl Execution {
    /// The state as data. What a journal tells is in it, what polls have told is not.
    pub fn snapshot(&self) -> Snapshot {
        let (succeeded, failed) = self.outcomes.words();
        let mut spent: BTreeMap<(u32, u32), Ranges> = BTreeMap::new();
        for (index, Spent { user, system }) in &self.spent {
            spent.entry((*user, *system)).or_default().push(*index);
        }
        Snapshot {
            succeeded: text(succeeded.iter().flat_map(|word| word.to_le_bytes())),
            failed: text(failed.iter().flat_map(|word| word.to_le_bytes())),
            fresh: self.fresh,
            again: self.again.iter().map(|(queue, set)| (*queue, set.iter().copied().collect())).collect(),
            spent: spent.into_iter().map(|((user, system), indices)| (user, system, indices)).collect(),
            open: self.open().map(|(number, array)| Open::of(number, array)).collect(),
            ended: EndedArrays::of(&self.arrays),
            failures: self.failures.folds(),
            reused: self.reused.iter().map(|(source, indices)| (source.clone(), indices.clone())).collect(),
            held: self.held.by().iter().map(|(by, indices)| (by.clone(), indices.clone())).collect(),
            held_ever: self.held.ever().clone(),
            unsure: self.unsure,
            abort: self.abort.clone(),
            expired: self.expired.clone(),
            refusal: self.refusal.clone(),
            decision: self.decision.clone(),
            finished: self.finished,
        }
    }

    /// The machine that `snapshot` was taken of, agreed on `terms` over `packs`.
    ///
    /// # Errors
    /// When the snapshot is not one of such an execution.
    pub fn restore(terms: Terms, packs: Packs, snapshot: Snapshot) -> Result<Self, Damaged> {
        let size = packs.size();
        let within = |what: &str, indices: &Ranges| match indices.is_valid(size) {
            true => Ok(()),
            false => Err(damaged(format!("{what} are no subtasks"))),
        };
        let mut execution = Execution::new(terms, packs);
        let (succeeded, failed) = (words(&snapshot.succeeded)?, words(&snapshot.failed)?);
        execution.outcomes =
            Outcomes::from_words(size, succeeded, failed).ok_or_else(|| damaged("its outcomes are of another size"))?;
        if snapshot.fresh > size {
            return Err(damaged("new work begins beyond the last subtask"));
        }
        execution.fresh = snapshot.fresh;
        for (queue, indices) in snapshot.again {
            within("those to be run again", &indices)?;
            execution.again.insert(queue, indices.iter().collect());
        }
        for (user, system, indices) in snapshot.spent {
            within("those that have failed before", &indices)?;
            execution.spent.extend(indices.iter().map(|index| (index, Spent { user, system })));
        }
        for (source, indices) in snapshot.reused {
            within("reused ones", &indices)?;
            execution.reused.insert(source, indices);
        }
        within("held ones", &snapshot.held_ever)?;
        for (_, indices) in &snapshot.held {
            within("held ones", indices)?;
        }
        execution.held = super::held::Held::restore(snapshot.held, snapshot.held_ever)
            .filter(|held| held.indices().iter().all(|index| execution.outcomes.get(index) == Outcome::Outstanding))
            .ok_or_else(|| damaged("it holds subtasks that do not wait"))?;
        execution.ahead = execution.count_ahead();
        if execution.ahead > size - execution.fresh {
            return Err(damaged("more is reused than there is"));
        }
        for fold in &snapshot.failures {
            within("failed ones", &fold.indices)?;
        }
        execution.failures = FailureFold::from_folds(snapshot.failures);
        execution.arrays = arrays(&execution.outcomes, snapshot.open, snapshot.ended)?;
        execution.unsure = snapshot.unsure;
        (execution.abort, execution.expired) = (snapshot.abort, snapshot.expired);
        (execution.refusal, execution.decision) = (snapshot.refusal, snapshot.decision);
        execution.finished = snapshot.finished;
        if execution.finished && (execution.decision.is_none() || !execution.arrays.open.is_empty()) {
            return Err(damaged("it has finished with something left to do"));
        }
        Ok(execution)
    }
}

impl Open {
    fn of(array: u32, open: &Array) -> Self {
        let state = match &open.state {
            ArrayState::Planned => State::Planned,
            ArrayState::Withheld => State::Withheld,
            ArrayState::Unknown => State::Unknown,
            ArrayState::Running { job } => State::Running(job.clone()),
        };
        let (members, early) = (open.members.clone(), open.early.iter().copied().collect());
        Open { array, members, queue: open.queue, attempts: open.attempts, state, early }
    }

    fn restore(self, size: u64) -> Result<Array, Damaged> {
        let ranges = self.members.ranges();
        let fits = !ranges.is_empty() && ranges.is_valid(size) && ranges.len() <= u64::from(MAX_ARRAY);
        if !fits || !self.early.is_valid(size) || !self.early.is_within(&ranges) {
            return Err(damaged(format!("array {} holds no subtasks", self.array)));
        }
        let mut array = Array::of(self.members, self.queue, self.attempts);
        array.early = self.early.iter().collect();
        match self.state {
            State::Planned => {}
            State::Withheld => array.state = ArrayState::Withheld,
            State::Unknown => array.state = ArrayState::Unknown,
            State::Running(job) => array.run_as(&job),
        }
        Ok(array)
    }
}

impl EndedArrays {
    fn of(arrays: &Arrays) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        let mut without = Ranges::default();
        let mut uuids = Vec::new();
        for (number, array) in (0_u32..).zip(&arrays.ended) {
            if arrays.open.contains_key(&number) {
                continue;
            }
            let Ended { first, count, job, queue, attempts } = *array;
            match runs.last_mut() {
                Some(run) if run.goes_on_with(array) => run.2 += 1,
                _ => runs.push(Run(first, count, 1, queue, attempts)),
            }
            match job {
                Job::Uuid(uuid) => uuids.extend(uuid),
                Job::Text => uuids.extend([0; 16]),
                Job::None => {
                    uuids.extend([0; 16]);
                    without.push(OriginalIndex(u64::from(number)));
                }
            }
        }
        let (lists, texts) = (arrays.lists.clone(), arrays.texts.clone());
        EndedArrays { runs, lists, uuids: base64::encode(&uuids), texts, without }
    }

    /// Every entry in order, with an id if it has one of 16 bytes.
    fn entries(&self) -> Result<Vec<Ended>, Damaged> {
        let uuids = base64::decode(&self.uuids).ok_or_else(|| damaged("its job ids are no base64"))?;
        let arrays: u64 = self.runs.iter().map(|run| u64::from(run.2)).sum();
        if uuids.len() as u64 != 16 * arrays {
            return Err(damaged("it has not as many job ids as arrays"));
        }
        let mut uuids = uuids.chunks_exact(16);
        let mut entries = Vec::with_capacity(uuids.len());
        for &Run(first, count, repeat, queue, attempts) in &self.runs {
            for step in 0..u64::from(repeat) {
                let mut uuid = [0; 16];
                uuid.copy_from_slice(uuids.next().ok_or_else(|| damaged("a job id is missing"))?);
                let first = first.saturating_add(step.saturating_mul(u64::from(count)));
                entries.push(Ended { first, count, job: Job::Uuid(uuid), queue, attempts });
            }
        }
        Ok(entries)
    }
}

impl Run {
    /// Whether `array` is like these and begins where the last of them ends.
    fn goes_on_with(&self, array: &Ended) -> bool {
        let Run(first, count, repeat, queue, attempts) = *self;
        let next = first + u64::from(count) * u64::from(repeat);
        (next, count, queue, attempts) == (array.first, array.count, array.queue, array.attempts)
    }
}

/// The arrays, each under its number.
fn arrays(outcomes: &Outcomes, open: Vec<Open>, ended: EndedArrays) -> Result<Arrays, Damaged> {
    let size = outcomes.size();
    let entries = ended.entries()?;
    if !ended.lists.values().all(|list| !list.is_empty() && list.is_valid(size)) {
        return Err(damaged("the members of an array are no subtasks"));
    }
    let without: Vec<u64> = match ended.without.is_valid(u64::from(u32::MAX)) {
        true => ended.without.iter().map(|number| number.0).take(entries.len() + 1).collect(),
        false => return Err(damaged("arrays without an id are out of order")),
    };
    let total = entries.len() + open.len();
    let mut arrays = Arrays::default();
    arrays.ended.reserve_exact(total);
    let (mut entries, mut open) = (entries.into_iter(), open.into_iter().peekable());
    for number in 0..total as u32 {
        if let Some(next) = open.next_if(|next| next.array == number) {
            arrays.push(next.restore(size)?);
            continue;
        }
        let mut entry = entries.next().ok_or_else(|| damaged(format!("array {number} is missing")))?;
        let last = entry.first.saturating_add(u64::from(entry.count));
        if (entry.count == 0) != ended.lists.contains_key(&number) || last > size {
            return Err(damaged(format!("array {number} holds no subtasks")));
        }
        if without.binary_search(&u64::from(number)).is_ok() {
            entry.job = Job::None;
        } else if ended.texts.contains_key(&number) {
            entry.job = Job::Text;
        }
        arrays.ended.push(entry);
    }
    (arrays.lists, arrays.texts) = (ended.lists, ended.texts);
    Ok(arrays)
}

/// Bytes as base64.
fn text(bytes: impl Iterator<Item = u8>) -> String {
    base64::encode(&bytes.collect::<Vec<u8>>())
}

/// Words of 64 bits from base64.
fn words(text: &str) -> Result<Vec<u64>, Damaged> {
    let bytes = base64::decode(text).ok_or_else(|| damaged("its outcomes are no base64"))?;
    let words = bytes.chunks_exact(8).map(|word| word.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte)));
    Ok(words.collect())
}
