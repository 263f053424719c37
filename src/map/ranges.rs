//! Sets of original indices as sorted ranges: how the journal and reports write them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::index::OriginalIndex;

/// A set of original indices, as sorted, disjoint, inclusive ranges that do not touch.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// The `count` indices from `first` on.
    pub fn span(first: OriginalIndex, count: u64) -> Self {
        // A span that a damaged journal makes up may leave the numbers; it is then no subtask of anything.
        Ranges(if count == 0 { Vec::new() } else { vec![(first.0, first.0.saturating_add(count - 1))] })
    }

    /// Adds an index that is greater than every one in the set, or equal to the greatest.
    ///
    /// # Panics
    /// When the index is smaller: callers go through their indices in order.
    pub fn push(&mut self, index: OriginalIndex) {
        match self.0.last_mut() {
            Some((_, last)) if *last == index.0 => {}
            Some((_, last)) if *last + 1 == index.0 => *last = index.0,
            Some((_, last)) => {
                assert!(*last < index.0, "indices are pushed in order");
                self.0.push((index.0, index.0));
            }
            None => self.0.push((index.0, index.0)),
        }
    }

    /// The ranges, first and last index of each.
    pub fn spans(&self) -> &[(u64, u64)] {
        &self.0
    }

    /// Every index, in order.
    pub fn iter(&self) -> impl Iterator<Item = OriginalIndex> + '_ {
        self.0.iter().flat_map(|&(first, last)| (first..=last).map(OriginalIndex))
    }

    /// The number of indices.
    pub fn len(&self) -> u64 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an index is in the set.
    pub fn contains(&self, index: OriginalIndex) -> bool {
        let at = self.0.partition_point(|&(_, last)| last < index.0);
        self.0.get(at).is_some_and(|&(first, _)| first <= index.0)
    }

    /// Whether every index is below `size` and the ranges are in the order this type promises: data read back from a
    /// store may be neither.
    pub fn is_valid(&self, size: u64) -> bool {
        let ordered = self.0.windows(2).all(|pair| pair[0].1.saturating_add(1) < pair[1].0);
        ordered && self.0.iter().all(|&(first, last)| first <= last && last < size)
    }

    /// Whether every index is in `other`.
    pub fn is_within(&self, other: &Ranges) -> bool {
        self.0.iter().all(|&(first, last)| {
            let at = other.0.partition_point(|&(_, end)| end < first);
            other.0.get(at).is_some_and(|&(start, end)| start <= first && last <= end)
        })
    }

    /// What is in this set and not in `other`.
    pub fn minus(&self, other: &Ranges) -> Ranges {
        let mut left = Vec::new();
        let mut taken = other.0.iter().copied().peekable();
        for &(first, last) in &self.0 {
            let mut from = first;
            while taken.next_if(|taken| taken.1 < from).is_some() {}
            let mut whole = true;
            while let Some(&(start, end)) = taken.peek().filter(|taken| taken.0 <= last) {
                if start > from {
                    left.push((from, start - 1));
                }
                if end >= last {
                    whole = false;
                    break;
                }
                from = end + 1;
                taken.next();
            }
            if whole {
                left.push((from, last));
            }
        }
        Ranges(left)
    }

    /// The union of two sets.
    pub fn union(&self, other: &Ranges) -> Ranges {
        Ranges::union_of([self, other])
    }

    /// The union of any number of sets.
    pub fn union_of<'a>(sets: impl IntoIterator<Item = &'a Ranges>) -> Ranges {
        let mut spans: Vec<(u64, u64)> = sets.into_iter().flat_map(|set| set.0.iter().copied()).collect();
        spans.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::with_capacity(spans.len());
        for (first, last) in spans {
            match merged.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => merged.push((first, last)),
            }
        }
        Ranges(merged)
    }
}

impl FromIterator<OriginalIndex> for Ranges {
    /// The set of indices that come in order.
    fn from_iter<I: IntoIterator<Item = OriginalIndex>>(indices: I) -> Self {
        let mut ranges = Ranges::default();
        indices.into_iter().for_each(|index| ranges.push(index));
        ranges
    }
}

impl fmt::Display for Ranges {
    /// As Flyte writes them: `[0-3],[7]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (first, last)) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            if first == last {
                write!(f, "{comma}[{first}]")?;
            } else {
                write!(f, "{comma}[{first}-{last}]")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn ranges(indices: &BTreeSet<u64>) -> Ranges {
        indices.iter().copied().map(OriginalIndex).collect()
    }

    #[test]
    fn written_as_flyte_does() {
        assert_eq!(ranges(&BTreeSet::from([0, 1, 2, 3, 7, 9, 10])).to_string(), "[0-3],[7],[9-10]");
        assert_eq!(Ranges::default().to_string(), "");
    }

    #[test]
    fn what_a_damaged_journal_holds_is_found_invalid() {
        for text in ["[[3,2]]", "[[0,5],[6,7]]", "[[0,18446744073709551615],[0,1]]", "[[4,5],[0,1]]", "[[0,10]]"] {
            let read: Ranges = serde_json::from_str(text).unwrap();
            assert!(!read.is_valid(10), "{text}");
        }
        assert!(!Ranges::span(OriginalIndex(u64::MAX), 2).is_valid(u64::MAX));
    }

    proptest! {
        #[test]
        fn behaves_as_a_set(a in prop::collection::btree_set(0_u64..60, 0..40), b in prop::collection::btree_set(0_u64..60, 0..40)) {
            let (left, right) = (ranges(&a), ranges(&b));
            prop_assert!(left.is_valid(60));
            prop_assert_eq!(left.iter().map(|i| i.0).collect::<BTreeSet<_>>(), a.clone());
            prop_assert_eq!(left.len(), a.len() as u64);
            prop_assert!((0..61).all(|index| left.contains(OriginalIndex(index)) == a.contains(&index)));
            prop_assert_eq!(left.union(&right), ranges(&a.union(&b).copied().collect()));
            prop_assert_eq!(left.minus(&right), ranges(&a.difference(&b).copied().collect()));
            prop_assert_eq!(left.is_within(&right), a.is_subset(&b));
            prop_assert!(left.is_within(&left.union(&right)));
        }
    }
}
