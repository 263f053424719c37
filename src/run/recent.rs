//! What was used last, up to a weight: a bound on what is remembered of what anybody may ask for.

use std::collections::BTreeMap;

/// Values by key; those that were used longest ago go first.
#[derive(Debug)]
pub struct Recent<K, V> {
    most: usize,
    weight: usize,
    /// Grows with every use.
    clock: u64,
    entries: BTreeMap<K, Entry<V>>,
    /// The keys, by when they were used last.
    uses: BTreeMap<u64, K>,
}

#[derive(Debug)]
struct Entry<V> {
    used: u64,
    weight: usize,
    value: V,
}

impl<K: Ord + Clone, V: Clone> Recent<K, V> {
    /// Room for values that weigh `most` together, in a unit of the caller's.
    pub fn new(most: usize) -> Self {
        Recent { most, weight: 0, clock: 0, entries: BTreeMap::new(), uses: BTreeMap::new() }
    }

    /// The value of a key, which counts as a use.
    pub fn get(&mut self, key: &K) -> Option<V> {
        let entry = self.entries.get_mut(key)?;
        self.clock += 1;
        if let Some(own) = self.uses.remove(&entry.used) {
            self.uses.insert(self.clock, own);
        }
        entry.used = self.clock;
        Some(entry.value.clone())
    }

    /// Remembers a value in the place of the key's earlier one. One that takes more than a quarter of all room is not
    /// remembered: it would push out too much.
    pub fn put(&mut self, key: K, value: V, weight: usize) {
        self.remove(&key);
        if weight > self.most / 4 {
            return;
        }
        self.clock += 1;
        self.weight += weight;
        self.uses.insert(self.clock, key.clone());
        self.entries.insert(key, Entry { used: self.clock, weight, value });
        while self.weight > self.most
            && let Some((_, oldest)) = self.uses.pop_first()
        {
            self.forget(&oldest);
        }
    }

    /// Forgets a key.
    pub fn remove(&mut self, key: &K) {
        if let Some(entry) = self.entries.get(key) {
            self.uses.remove(&entry.used);
            self.forget(key);
        }
    }

    fn forget(&mut self, key: &K) {
        if let Some(entry) = self.entries.remove(key) {
            self.weight -= entry.weight;
        }
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let mut recent = Recent::new(4);
        (0..4).for_each(|key| recent.put(key, key * 10, 1));
        assert_eq!(recent.get(&0), Some(0));
        recent.put(4, 40, 1);
        assert_eq!((recent.get(&0), recent.get(&1), recent.len()), (Some(0), None, 4));
        // In the place of the earlier one, which weighs nothing any more.
        (0..9).for_each(|value| recent.put(4, value, 1));
        assert_eq!((recent.get(&4), recent.len()), (Some(8), 4));
        recent.remove(&4);
        recent.remove(&4);
        assert_eq!((recent.get(&4), recent.len(), recent.uses.len(), recent.weight), (None, 3, 3, 3));
    }

    #[test]
    fn the_weight_stays_within_its_bound() {
        let mut recent = Recent::new(100);
        for key in 0..1000_usize {
            recent.put(key % 37, key, key % 25 + 1);
            let weights: usize = recent.entries.values().map(|entry| entry.weight).sum();
            assert!(weights == recent.weight && weights <= 100 && recent.uses.len() == recent.entries.len());
        }
        let before = recent.len();
        recent.put(99, 0, 26);
        assert_eq!((recent.get(&99), recent.len()), (None, before), "one that is too large pushes nothing out");
    }
}
