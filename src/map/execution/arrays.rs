//! Every array of an execution: those that go on in full, those that are over in 32 bytes each.
//!
//! A million children at a small concurrency make a million arrays. Of one that is over only two things are ever asked:
//! which subtasks it held, and what Batch called it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::mem::size_of;

use super::Action;
use super::array::Array;
use crate::map::event::Queue;
use crate::map::index::{ChildIndex, OriginalIndex};
use crate::map::plan::Members;
use crate::map::ranges::Ranges;

/// Batch's id of an array that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// It never had one.
    None,
    /// A UUID, as AWS gives them.
    Uuid([u8; 16]),
    /// Some other text, kept beside.
    Text,
}

/// An array that is over. Entries of arrays that go on are vacant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    /// Its first subtask; 0 for a list.
    pub(super) first: u64,
    /// Its children; 0 for a list, which is kept beside.
    pub(super) count: u16,
    pub(super) job: Job,
    pub(super) queue: Queue,
    pub(super) attempts: u8,
}

const VACANT: Ended = Ended { first: 0, count: 0, job: Job::None, queue: Queue::Default, attempts: 0 };

/// The arrays of an execution, by number from 0 without a gap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrays {
    pub(super) open: BTreeMap<u32, Array>,
    /// One for each array.
    pub(super) ended: Vec<Ended>,
    /// The members of ended arrays that are no range.
    pub(super) lists: BTreeMap<u32, Ranges>,
    /// The ids of ended arrays that are no UUID.
    pub(super) texts: BTreeMap<u32, String>,
    /// Sums over the open ones.
    tally: Tally,
    due: Due,
}

/// Sums over the arrays that go on, kept as they change: to go over a thousand of them for each step would cost a million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Places that their children take under a concurrency.
    pub(super) places: u64,
    /// Children counted as failed that no listing has shown.
    pub(super) unlisted_failures: u64,
    /// Of the ends that are counted and not judged, those that may be successes.
    pub(super) hopeful: u64,
    /// Arrays of which anybody has begun to do anything.
    pub(super) begun: u64,
    /// Arrays that need another intent.
    pub(super) withheld: u64,
}

impl Tally {
    fn add(&mut self, array: Tally) {
        self.places += array.places;
        self.unlisted_failures += array.unlisted_failures;
        self.hopeful += array.hopeful;
        self.begun += array.begun;
        self.withheld += array.withheld;
    }

    fn take(&mut self, array: Tally) {
        self.places -= array.places;
        self.unlisted_failures -= array.unlisted_failures;
        self.hopeful -= array.hopeful;
        self.begun -= array.begun;
        self.withheld -= array.withheld;
    }
}

/// The arrays that have changed since they were last asked what is to be done about them. Two machines that differ in
/// nothing else do the same.
#[derive(Clone, Debug, Default)]
struct Due(BTreeSet<u32>);

impl PartialEq for Due {
    fn eq(&self, _: &Due) -> bool {
        true
    }
}

impl Eq for Due {}

/// One array, whether it goes on or is over.
#[derive(Clone, Copy, Debug)]
pub struct ArrayRef<'a> {
    number: u32,
    all: &'a Arrays,
}

impl Arrays {
    /// How many there are, ended ones included.
    pub fn len(&self) -> usize {
        self.ended.len()
    }

    /// Whether none was ever planned.
    pub fn is_empty(&self) -> bool {
        self.ended.is_empty()
    }

    /// Every array, by number.
    pub fn iter(&self) -> impl Iterator<Item = ArrayRef<'_>> {
        (0..self.len() as u32).map(|number| ArrayRef { number, all: self })
    }

    /// The array of this number, if it was ever planned.
    pub fn get(&self, number: u32) -> Option<ArrayRef<'_>> {
        ((number as usize) < self.len()).then_some(ArrayRef { number, all: self })
    }

    /// The arrays that held subtask `index`, the latest last.
    pub fn holding(&self, index: OriginalIndex) -> impl Iterator<Item = (ArrayRef<'_>, ChildIndex)> {
        self.iter().filter_map(move |array| Some((array, array.child(index)?)))
    }

    /// Bytes that all of it takes, near enough: what an allocator adds is not counted.
    pub fn bytes(&self) -> usize {
        let lists: usize = self.lists.values().map(|ranges| 16 * ranges.spans().len()).sum();
        let texts: usize = self.texts.values().map(String::capacity).sum();
        self.ended.capacity() * size_of::<Ended>() + self.open.len() * size_of::<Array>() + lists + texts
    }

    /// Changes an array that goes on. Only so is what is kept of all of them kept right.
    pub(super) fn change(&mut self, number: u32, change: impl FnOnce(&mut Array)) {
        let Some(array) = self.open.get_mut(&number) else { return };
        self.tally.take(array.tally());
        change(array);
        self.tally.add(array.tally());
        self.due.0.insert(number);
    }

    /// Changes every array that goes on.
    pub(super) fn change_all(&mut self, change: impl Fn(&mut Array)) {
        self.open.values_mut().for_each(change);
        self.due.0.extend(self.open.keys());
        self.tally = self.count();
    }

    /// The sums over those that go on.
    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    /// The same, counted anew.
    pub(super) fn count(&self) -> Tally {
        let mut tally = Tally::default();
        self.open.values().for_each(|array| tally.add(array.tally()));
        tally
    }

    /// Open arrays that have something to be done about them and would never be asked: there must be none.
    #[cfg(test)]
    pub(super) fn forgotten(&self, decided: bool) -> Vec<u32> {
        let waits = |(number, array): &(&u32, &Array)| match array.action(**number, decided) {
            Some(action) => array.asked != Some(std::mem::discriminant(&action)) && !self.due.0.contains(number),
            None => false,
        };
        self.open.iter().filter(waits).map(|(number, _)| *number).collect()
    }

    /// What is to be done about the first array of which it was not asked for yet.
    pub(super) fn next_action(&mut self, decided: bool) -> Option<Action> {
        while let Some(number) = self.due.0.pop_first() {
            let Some(array) = self.open.get(&number) else { continue };
            let Some(action) = array.action(number, decided) else { continue };
            let kind = Some(std::mem::discriminant(&action));
            if array.asked != kind {
                self.change(number, |array| array.asked = kind);
                self.due.0.remove(&number);
                return Some(action);
            }
        }
        None
    }

    /// Adds an array that goes on, under the next number.
    pub(super) fn push(&mut self, array: Array) {
        self.tally.add(array.tally());
        self.due.0.insert(self.len() as u32);
        self.open.insert(self.len() as u32, array);
        self.ended.push(VACANT);
    }

    /// The array is over: all that is kept of it is what logs and reports ask for.
    pub(super) fn end(&mut self, number: u32) {
        let Some(array) = self.open.remove(&number) else { return };
        self.tally.take(array.tally());
        self.due.0.remove(&number);
        let job = match array.job_id().map(|job| (job, uuid(job))) {
            None => Job::None,
            Some((_, Some(uuid))) => Job::Uuid(uuid),
            Some((text, None)) => {
                self.texts.insert(number, text.to_owned());
                Job::Text
            }
        };
        let (first, count) = match array.members {
            Members::Range { first, count } => (first.0, count),
            Members::List(ranges) => {
                self.lists.insert(number, ranges);
                (0, 0)
            }
        };
        // Both are checked when the array is planned: at most 10,000 children and 10 attempts.
        let (count, attempts) = (count as u16, array.attempts as u8);
        self.ended[number as usize] = Ended { first, count, job, queue: array.queue, attempts };
    }
}

impl<'a> ArrayRef<'a> {
    /// Its number.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The array in full, while it goes on.
    pub fn open(&self) -> Option<&'a Array> {
        self.all.open.get(&self.number)
    }

    fn ended(&self) -> &'a Ended {
        &self.all.ended[self.number as usize]
    }

    /// Its subtasks.
    pub fn members(&self) -> Cow<'a, Members> {
        match (self.open(), self.all.lists.get(&self.number)) {
            (Some(array), _) => Cow::Borrowed(&array.members),
            (None, Some(list)) => Cow::Owned(Members::List(list.clone())),
            (None, None) => {
                let Ended { first, count, .. } = *self.ended();
                Cow::Owned(Members::Range { first: OriginalIndex(first), count: u32::from(count) })
            }
        }
    }

    /// The number of its children.
    pub fn size(&self) -> u32 {
        match self.all.lists.get(&self.number) {
            Some(list) => list.len() as u32,
            None => self.open().map_or(u32::from(self.ended().count), |array| array.members.len()),
        }
    }

    /// Where it went.
    pub fn queue(&self) -> Queue {
        self.open().map_or(self.ended().queue, |array| array.queue)
    }

    /// How often Batch may start each child.
    pub fn attempts(&self) -> u32 {
        self.open().map_or(u32::from(self.ended().attempts), |array| array.attempts)
    }

    /// Batch's id of it, once it has one.
    pub fn job_id(&self) -> Option<Cow<'a, str>> {
        match (self.open(), self.ended().job) {
            (Some(array), _) => array.job_id().map(Cow::Borrowed),
            (None, Job::None) => None,
            (None, Job::Uuid(uuid)) => Some(Cow::Owned(uuid_text(uuid))),
            (None, Job::Text) => self.all.texts.get(&self.number).map(|text| Cow::Borrowed(text.as_str())),
        }
    }

    /// The child that runs subtask `index`.
    pub fn child(&self, index: OriginalIndex) -> Option<ChildIndex> {
        self.members().child(index)
    }
}

/// The bytes of a UUID in the one spelling that [`uuid_text`] writes.
fn uuid(text: &str) -> Option<[u8; 16]> {
    let bytes = text.as_bytes();
    if bytes.len() != 36 {
        return None;
    }
    let mut uuid = [0; 16];
    let mut digits = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if matches!(at, 8 | 13 | 18 | 23) {
            if byte != b'-' {
                return None;
            }
            continue;
        }
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        uuid[digits / 2] = uuid[digits / 2] << 4 | digit;
        digits += 1;
    }
    Some(uuid)
}

fn uuid_text(uuid: [u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (at, byte) in uuid.into_iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_survives_and_nothing_else_is_taken_for_one() {
        let text = "0f5d7e64-9a3b-4c1d-8e2f-00112233aaff";
        assert_eq!(uuid(text).map(uuid_text).as_deref(), Some(text));
        for other in ["", "job-1", "0F5D7E64-9A3B-4C1D-8E2F-00112233AAFF", "0f5d7e6409a3b-4c1d-8e2f-00112233aaff"] {
            assert_eq!(uuid(other), None, "{other}");
        }
    }

    #[test]
    fn an_array_that_is_over_takes_32_bytes() {
        assert!(size_of::<Ended>() <= 32, "{}", size_of::<Ended>());
    }

    #[test]
    fn what_was_known_of_an_array_is_known_after_its_end() {
        let range = Members::Range { first: OriginalIndex(7), count: 3 };
        let list = Members::List([1, 4, 5].map(OriginalIndex).into_iter().collect());
        let jobs = [Some("0f5d7e64-9a3b-4c1d-8e2f-00112233aaff"), Some("job-1"), None];
        for (members, job) in [range, list].into_iter().flat_map(|members| jobs.map(|job| (members.clone(), job))) {
            let mut arrays = Arrays::default();
            arrays.push(Array::of(members.clone(), Queue::Interruptible, 2));
            if let Some(job) = job {
                arrays.change(0, |array| array.run_as(job));
            }
            let before = format!("{:?}", seen(&arrays));
            arrays.end(0);
            assert_eq!(format!("{:?}", seen(&arrays)), before);
            assert!(arrays.open.is_empty());
        }
    }

    fn seen(arrays: &Arrays) -> (Members, u32, Queue, u32, Option<String>, Option<ChildIndex>) {
        let array = arrays.get(0).unwrap();
        let job = array.job_id().map(Cow::into_owned);
        let child = array.child(OriginalIndex(array.members().ranges().spans()[0].1));
        (array.members().into_owned(), array.size(), array.queue(), array.attempts(), job, child)
    }
}
