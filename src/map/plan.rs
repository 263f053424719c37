//! Which subtasks go into which array job, and the only place where the two kinds of index meet.

use serde::{Deserialize, Serialize};

use super::index::{ChildIndex, OriginalIndex};
use super::layout::Place;
use super::ranges::Ranges;

/// AWS Batch's largest array.
pub const MAX_ARRAY: u32 = 10_000;

/// How many groups a full set of places is cut into under rolling concurrency: a new array waits until a sixteenth of
/// the places is free. Fewer groups hold places idle for longer, more of them cost SubmitJob calls; with sixteen the
/// calls stay under 20·n/C and the makespan within a few per cent of list scheduling.
const ROLLING_GROUPS: u32 = 16;

/// The smallest rolling group for `concurrency` places.
pub fn rolling_group(concurrency: u32) -> u32 {
    concurrency.div_ceil(ROLLING_GROUPS).max(1)
}

/// The subtasks of one array job, child by child.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Members {
    /// Consecutive subtasks of one pack.
    Range {
        /// The subtask of child 0.
        first: OriginalIndex,
        /// The number of children.
        count: u32,
    },
    /// Any subtasks, in order: what a retry takes together.
    List(Ranges),
}

impl Members {
    /// The number of children.
    pub fn len(&self) -> u32 {
        match self {
            Members::Range { count, .. } => *count,
            Members::List(ranges) => ranges.len() as u32,
        }
    }

    /// Whether there is no child: never so for a planned array.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every subtask in the order of the children.
    pub fn ranges(&self) -> Ranges {
        match self {
            Members::Range { first, count } => Ranges::span(*first, u64::from(*count)),
            Members::List(ranges) => ranges.clone(),
        }
    }

    /// The subtask that child `child` runs.
    pub fn original(&self, child: ChildIndex) -> Option<OriginalIndex> {
        match self {
            Members::Range { first, count } => (child.0 < *count).then(|| OriginalIndex(first.0 + u64::from(child.0))),
            Members::List(ranges) => {
                let mut left = u64::from(child.0);
                for &(first, last) in ranges.spans() {
                    let count = last - first + 1;
                    if left < count {
                        return Some(OriginalIndex(first + left));
                    }
                    left -= count;
                }
                None
            }
        }
    }

    /// The child that runs subtask `index`.
    pub fn child(&self, index: OriginalIndex) -> Option<ChildIndex> {
        let mut before = 0;
        for &(first, last) in self.ranges().spans() {
            if (first..=last).contains(&index.0) {
                return Some(ChildIndex((before + index.0 - first) as u32));
            }
            before += last - first + 1;
        }
        None
    }
}

/// Where each pack of staged inputs begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packs {
    starts: Vec<u64>,
    size: u64,
    /// Whether no array goes beyond one pack.
    apart: bool,
}

impl Packs {
    /// Packs beginning at `starts` (the first at 0, ascending) that hold `size` elements together.
    pub fn new(starts: Vec<u64>, size: u64) -> Self {
        Packs { starts, size, apart: false }
    }

    /// The same, for arrays of which none has elements of two packs: each of their children reads all of an array's inputs,
    /// which are then no more than one pack holds.
    pub fn apart(self) -> Self {
        Packs { apart: true, ..self }
    }

    /// Those of `indices` (in order) that may be in one array with the first of them.
    pub fn together(&self, indices: impl Iterator<Item = OriginalIndex>) -> impl Iterator<Item = OriginalIndex> {
        let mut indices = indices.peekable();
        let end = indices.peek().filter(|_| self.apart).map_or(u64::MAX, |first| self.end(*first));
        indices.take_while(move |index| index.0 < end)
    }

    /// The number of elements.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The pack that holds element `index`, and the element's position in it.
    pub fn locate(&self, index: OriginalIndex) -> (u32, u32) {
        let pack = self.starts.partition_point(|&start| start <= index.0) - 1;
        (pack as u32, (index.0 - self.starts[pack]) as u32)
    }

    /// One past the last element of the pack that holds `index`.
    fn end(&self, index: OriginalIndex) -> u64 {
        let next = self.starts.partition_point(|&start| start <= index.0);
        self.starts.get(next).copied().unwrap_or(self.size)
    }

    /// The largest array from `first` on: within one pack, at most `limit` and [`MAX_ARRAY`] children.
    pub fn range_from(&self, first: OriginalIndex, limit: u64) -> Members {
        let room = (self.end(first) - first.0).min(limit).min(u64::from(MAX_ARRAY));
        Members::Range { first, count: room as u32 }
    }

    /// The members for `indices` (in order, at most [`MAX_ARRAY`]): a range where they are one within a pack.
    pub fn members(&self, indices: Ranges) -> Members {
        match indices.spans() {
            [(first, last)] if self.locate(OriginalIndex(*first)).0 == self.locate(OriginalIndex(*last)).0 => {
                Members::Range { first: OriginalIndex(*first), count: (last - first + 1) as u32 }
            }
            _ => Members::List(indices),
        }
    }

    /// How the children of `members` find their elements.
    pub fn place(&self, members: &Members) -> Place {
        match members {
            Members::Range { first, .. } => {
                let (pack, position) = self.locate(*first);
                Place::Range { pack, position, first: *first }
            }
            Members::List(_) => Place::List,
        }
    }

    /// The content of `arrays/<k>/indices` for a list: an entry of [`super::layout::INDICES_WIDTH`] bytes a child.
    pub fn list_entries(&self, indices: &Ranges) -> Vec<u8> {
        let mut entries = Vec::with_capacity(indices.len() as usize * super::layout::INDICES_WIDTH as usize);
        for index in indices.iter() {
            let (pack, position) = self.locate(index);
            entries.extend_from_slice(&index.0.to_le_bytes());
            entries.extend_from_slice(&pack.to_le_bytes());
            entries.extend_from_slice(&position.to_le_bytes());
        }
        entries
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packs() -> Packs {
        Packs::new(vec![0, 10_000, 10_500], 25_000)
    }

    #[test]
    fn an_array_stays_within_its_pack() {
        let range = |first, limit| packs().range_from(OriginalIndex(first), limit);
        assert_eq!(range(0, u64::MAX), Members::Range { first: OriginalIndex(0), count: 10_000 });
        assert_eq!(range(10_000, u64::MAX), Members::Range { first: OriginalIndex(10_000), count: 500 });
        assert_eq!(range(10_500, u64::MAX), Members::Range { first: OriginalIndex(10_500), count: 10_000 });
        assert_eq!(range(20_500, u64::MAX), Members::Range { first: OriginalIndex(20_500), count: 4_500 });
        assert_eq!(range(9_990, 7), Members::Range { first: OriginalIndex(9_990), count: 7 });
    }

    #[test]
    fn a_list_that_is_a_range_becomes_one_unless_it_crosses_packs() {
        let span = |first, count| packs().members(Ranges::span(OriginalIndex(first), count));
        assert_eq!(span(3, 4), Members::Range { first: OriginalIndex(3), count: 4 });
        assert!(matches!(span(9_999, 2), Members::List(_)));
    }

    #[test]
    fn what_is_kept_apart_ends_with_its_pack() {
        let indices = [9_998, 9_999, 10_000, 10_600].map(OriginalIndex);
        let together = |packs: Packs| packs.together(indices.into_iter()).map(|index| index.0).collect::<Vec<_>>();
        assert_eq!(together(packs().apart()), [9_998, 9_999]);
        assert_eq!(together(packs()).len(), 4);
        assert_eq!(packs().apart().together(std::iter::empty()).count(), 0);
    }

    #[test]
    fn list_entries_name_the_element() {
        let indices: Ranges = [7, 10_001].map(OriginalIndex).into_iter().collect();
        let entries = packs().list_entries(&indices);
        assert_eq!(entries.len(), 32);
        assert_eq!(entries[16..24], 10_001_u64.to_le_bytes());
        assert_eq!(entries[24..28], 1_u32.to_le_bytes());
        assert_eq!(entries[28..32], 1_u32.to_le_bytes());
    }

    proptest! {
        #[test]
        fn children_and_subtasks_are_a_bijection(indices in prop::collection::btree_set(0_u64..25_000, 1..300)) {
            let members = packs().members(indices.iter().copied().map(OriginalIndex).collect());
            prop_assert_eq!(members.len() as usize, indices.len());
            for (child, &index) in indices.iter().enumerate() {
                let child = ChildIndex(child as u32);
                prop_assert_eq!(members.original(child), Some(OriginalIndex(index)));
                prop_assert_eq!(members.child(OriginalIndex(index)), Some(child));
            }
            prop_assert_eq!(members.original(ChildIndex(members.len())), None);
        }
    }
}
