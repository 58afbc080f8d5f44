//! A table of limited size: when it is full, the entry with the lowest rank is evicted.
//!
//! Knows digests only.

use std::collections::{BTreeSet, HashMap};

use crate::domain::Digest;

/// Values by digest, each with its rank.
#[derive(Debug)]
pub(super) struct BoundedTable<R, V> {
    entries: HashMap<Digest, (R, V)>,
    // INVARIANT: the rank and key of each entry, and nothing else.
    order: BTreeSet<(R, Digest)>,
    most: usize,
}

impl<R: Copy + Ord, V> BoundedTable<R, V> {
    /// An empty table with a maximum number of entries, at least one.
    pub(super) fn new(most: usize) -> Self {
        Self { entries: HashMap::new(), order: BTreeSet::new(), most: most.max(1) }
    }

    pub(super) fn get(&self, key: &Digest) -> Option<&(R, V)> {
        self.entries.get(key)
    }

    /// The lowest rank there is.
    pub(super) fn lowest(&self) -> Option<R> {
        self.order.first().map(|(rank, _)| *rank)
    }

    /// Whether a new key would evict another one.
    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= self.most
    }

    pub(super) fn remove(&mut self, key: &Digest) -> Option<(R, V)> {
        let (rank, value) = self.entries.remove(key)?;
        self.order.remove(&(rank, *key));
        Some((rank, value))
    }

    /// Inserts a value; evicts another key if there is no room.
    pub(super) fn put(&mut self, key: Digest, rank: R, value: V) {
        self.remove(&key);
        if self.is_full() {
            self.remove_lowest();
        }
        self.order.insert((rank, key));
        self.entries.insert(key, (rank, value));
    }

    /// Removes entries below a rank.
    pub(super) fn remove_below(&mut self, rank: R) {
        while self.lowest().is_some_and(|lowest| lowest < rank) {
            self.remove_lowest();
        }
    }

    /// Removes all entries that do not pass.
    pub(super) fn retain(&mut self, passes: impl Fn(R) -> bool) {
        self.entries.retain(|_, (rank, _)| passes(*rank));
        self.order.retain(|(rank, _)| passes(*rank));
    }

    fn remove_lowest(&mut self) {
        if let Some((_, key)) = self.order.pop_first() {
            self.entries.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Digest {
        Digest::of(&[name.as_bytes()])
    }

    #[test]
    fn what_ranks_lowest_goes() {
        let mut table = BoundedTable::new(2);
        table.put(key("a"), 3, 'a');
        table.put(key("b"), 1, 'b');
        assert!(table.is_full());
        table.put(key("a"), 4, 'A');
        assert_eq!(table.lowest(), Some(1), "a key that is there pushes none out");
        table.put(key("c"), 2, 'c');
        assert!(table.get(&key("b")).is_none());
        assert_eq!(table.get(&key("a")), Some(&(4, 'A')));
        table.put(key("d"), 0, 'd');
        assert_eq!(table.lowest(), Some(0), "a new one stays, whatever its rank");
        assert!(table.get(&key("c")).is_none());
        assert_eq!((table.entries.len(), table.order.len()), (2, 2));
    }

    #[test]
    fn what_is_over_is_removed() {
        let mut table = BoundedTable::new(10);
        for rank in 0..10 {
            table.put(key(&rank.to_string()), rank, ());
        }
        table.remove_below(3);
        assert_eq!(table.lowest(), Some(3));
        table.retain(|rank| rank % 2 == 0);
        assert_eq!((table.lowest(), table.entries.len(), table.order.len()), (Some(4), 3, 3));
        assert_eq!(table.remove(&key("4")), Some((4, ())));
        assert_eq!((table.lowest(), table.entries.len(), table.order.len()), (Some(6), 2, 2));
    }
}
