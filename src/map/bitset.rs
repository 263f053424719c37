//! What is known of every subtask, in two bits each.

use bitvec::prelude::{BitVec, Lsb0};

use super::index::OriginalIndex;
use super::ranges::Ranges;

/// What is known of one subtask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Not settled: waiting, running, or to be run again.
    Outstanding,
    /// Its outputs count.
    Succeeded,
    /// It has failed for good.
    Failed,
}

/// The outcomes of all subtasks: two bits each, and their counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcomes {
    succeeded: BitVec<u64, Lsb0>,
    failed: BitVec<u64, Lsb0>,
    succeeded_count: u64,
    failed_count: u64,
}

impl Outcomes {
    /// `size` outstanding subtasks.
    pub fn new(size: u64) -> Self {
        let size = usize::try_from(size).expect("a list that was staged fits the address space at a bit each");
        Outcomes {
            succeeded: BitVec::repeat(false, size),
            failed: BitVec::repeat(false, size),
            succeeded_count: 0,
            failed_count: 0,
        }
    }

    /// The number of subtasks.
    pub fn size(&self) -> u64 {
        self.succeeded.len() as u64
    }

    /// Subtasks that have succeeded.
    pub fn succeeded(&self) -> u64 {
        self.succeeded_count
    }

    /// Subtasks that have failed for good.
    pub fn failed(&self) -> u64 {
        self.failed_count
    }

    /// Subtasks that have not settled.
    pub fn outstanding(&self) -> u64 {
        self.size() - self.succeeded_count - self.failed_count
    }

    /// What is known of one subtask.
    pub fn get(&self, index: OriginalIndex) -> Outcome {
        let at = index.0 as usize;
        match (self.succeeded[at], self.failed[at]) {
            (true, _) => Outcome::Succeeded,
            (false, true) => Outcome::Failed,
            (false, false) => Outcome::Outstanding,
        }
    }

    /// Settles an outstanding subtask as succeeded; whether it was outstanding.
    pub fn succeed(&mut self, index: OriginalIndex) -> bool {
        let was = self.get(index) == Outcome::Outstanding;
        if was {
            self.succeeded.set(index.0 as usize, true);
            self.succeeded_count += 1;
        }
        was
    }

    /// Settles an outstanding subtask as failed; whether it was outstanding.
    pub fn fail(&mut self, index: OriginalIndex) -> bool {
        let was = self.get(index) == Outcome::Outstanding;
        if was {
            self.failed.set(index.0 as usize, true);
            self.failed_count += 1;
        }
        was
    }

    /// Settles every outstanding subtask of `ranges` as succeeded, a word at a time.
    pub fn succeed_all(&mut self, ranges: &Ranges) {
        for &(first, last) in ranges.spans() {
            let span = first as usize..last as usize + 1;
            let taken = self.succeeded[span.clone()].count_ones() + self.failed[span.clone()].count_ones();
            if taken == 0 {
                self.succeeded[span.clone()].fill(true);
                self.succeeded_count += span.len() as u64;
            } else {
                (first..=last).for_each(|index| {
                    self.succeed(OriginalIndex(index));
                });
            }
        }
    }

    /// The subtasks that have succeeded, as ranges.
    pub fn succeeded_ranges(&self) -> Ranges {
        self.succeeded.iter_ones().map(|at| OriginalIndex(at as u64)).collect()
    }

    /// The subtasks that have failed for good, as ranges.
    pub fn failed_ranges(&self) -> Ranges {
        self.failed.iter_ones().map(|at| OriginalIndex(at as u64)).collect()
    }

    /// The bits, 64 to a word and the first subtask lowest: those that have succeeded, and those that have failed.
    pub fn words(&self) -> (&[u64], &[u64]) {
        (self.succeeded.as_raw_slice(), self.failed.as_raw_slice())
    }

    /// The outcomes that [`Outcomes::words`] gave; nothing when they are not `size` subtasks' or settle one both ways.
    pub fn from_words(size: u64, succeeded: Vec<u64>, failed: Vec<u64>) -> Option<Self> {
        let bits = usize::try_from(size).ok()?;
        let fits = |words: &[u64]| {
            let tail = bits % 64;
            let clean = tail == 0 || words.last().is_none_or(|last| last >> tail == 0);
            words.len() == bits.div_ceil(64) && clean
        };
        let twice = succeeded.iter().zip(&failed).any(|(good, bad)| good & bad != 0);
        if !fits(&succeeded) || !fits(&failed) || twice {
            return None;
        }
        let whole = |words: Vec<u64>| {
            let mut set = BitVec::from_vec(words);
            set.truncate(bits);
            set
        };
        let (succeeded, failed): (BitVec<u64, Lsb0>, BitVec<u64, Lsb0>) = (whole(succeeded), whole(failed));
        let (succeeded_count, failed_count) = (succeeded.count_ones() as u64, failed.count_ones() as u64);
        Some(Outcomes { succeeded, failed, succeeded_count, failed_count })
    }

    /// Bytes that the bits take.
    pub fn bytes(&self) -> usize {
        (self.succeeded.capacity() + self.failed.capacity()) / 8
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn two_bits_a_subtask() {
        assert!(Outcomes::new(1_000_000).bytes() <= 250_016);
    }

    #[derive(Clone, Debug)]
    enum Op {
        Succeed(u64),
        Fail(u64),
        SucceedAll(u64, u64),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            (0_u64..200).prop_map(Op::Succeed),
            (0_u64..200).prop_map(Op::Fail),
            (0_u64..200, 0_u64..80).prop_map(|(first, count)| Op::SucceedAll(first, count.min(200 - first))),
        ]
    }

    proptest! {
        #[test]
        fn behaves_as_two_sets(ops in prop::collection::vec(op(), 0..60)) {
            let mut bits = Outcomes::new(200);
            let (mut good, mut bad) = (BTreeSet::new(), BTreeSet::new());
            for op in ops {
                match op {
                    Op::Succeed(i) => {
                        let fresh = !bad.contains(&i) && good.insert(i);
                        prop_assert_eq!(bits.succeed(OriginalIndex(i)), fresh);
                    }
                    Op::Fail(i) => {
                        let fresh = !good.contains(&i) && bad.insert(i);
                        prop_assert_eq!(bits.fail(OriginalIndex(i)), fresh);
                    }
                    Op::SucceedAll(first, count) => {
                        bits.succeed_all(&Ranges::span(OriginalIndex(first), count));
                        good.extend((first..first + count).filter(|i| !bad.contains(i)));
                    }
                }
                prop_assert_eq!(bits.succeeded(), good.len() as u64);
                prop_assert_eq!(bits.failed(), bad.len() as u64);
            }
            prop_assert_eq!(bits.succeeded_ranges().iter().map(|i| i.0).collect::<BTreeSet<_>>(), good);
            prop_assert_eq!(bits.failed_ranges().iter().map(|i| i.0).collect::<BTreeSet<_>>(), bad);
        }
    }
}
