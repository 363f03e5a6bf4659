//! A bounded cache that gives up what was not used for longest, roughly (second chance). Pure.
//!
//! A value that was read before something was removed must not be put after: it may be of before the change. So a
//! reader notes the generation first, and puts with it.

use std::{collections::HashMap, hash::Hash};

struct Slot<K, V> {
    key: K,
    value: V,
    used: bool,
}

/// At most `limit` values by key.
pub(crate) struct Cache<K, V> {
    limit: usize,
    slots: Vec<Slot<K, V>>,
    found: HashMap<K, usize>,
    hand: usize,
    generation: u64,
}

impl<K: Copy + Eq + Hash, V: Clone> Cache<K, V> {
    /// An empty cache of at most `limit` values, at least one.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), slots: Vec::new(), found: HashMap::new(), hand: 0, generation: 0 }
    }

    pub(crate) fn get(&mut self, key: K) -> Option<V> {
        let slot = &mut self.slots[*self.found.get(&key)?];
        slot.used = true;
        Some(slot.value.clone())
    }

    /// Changes with every removal.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Puts a value that was read in `generation`, unless something was removed since.
    pub(crate) fn put(&mut self, generation: u64, key: K, value: V) {
        if generation != self.generation {
            return;
        }
        let slot = Slot { key, value, used: false };
        if let Some(at) = self.found.get(&key) {
            self.slots[*at] = slot;
        } else if self.slots.len() < self.limit {
            self.found.insert(key, self.slots.len());
            self.slots.push(slot);
        } else {
            let at = self.victim();
            self.found.remove(&self.slots[at].key);
            self.found.insert(key, at);
            self.slots[at] = slot;
        }
    }

    fn victim(&mut self) -> usize {
        loop {
            let at = self.hand;
            self.hand = (self.hand + 1) % self.slots.len();
            if !std::mem::take(&mut self.slots[at].used) {
                return at;
            }
        }
    }

    /// Gives up the value of a key.
    pub(crate) fn remove(&mut self, key: K) {
        self.generation += 1;
        if let Some(at) = self.found.remove(&key) {
            self.slots.swap_remove(at);
            if let Some(moved) = self.slots.get(at) {
                self.found.insert(moved.key, at);
            }
            self.hand = 0;
        }
    }

    pub(crate) fn clear(&mut self) {
        self.generation += 1;
        self.slots.clear();
        self.found.clear();
        self.hand = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::Cache;

    #[test]
    fn it_stays_bounded_and_keeps_what_is_used() {
        let mut cache = Cache::new(3);
        for key in 0..100 {
            cache.put(0, key, key * 2);
            assert_eq!(cache.get(0), Some(0), "used each time, so never given up");
        }
        assert_eq!((0..100).filter(|key| cache.get(*key).is_some()).count(), 3);
    }

    #[test]
    fn a_value_is_replaced_and_cleared() {
        let mut cache = Cache::new(2);
        cache.put(0, 1, 'a');
        cache.put(0, 1, 'b');
        cache.put(0, 2, 'c');
        assert_eq!((cache.get(1), cache.get(2)), (Some('b'), Some('c')));
        cache.remove(1);
        assert_eq!((cache.get(1), cache.get(2)), (None, Some('c')));
        cache.clear();
        assert_eq!(cache.get(2), None);
        cache.put(cache.generation(), 1, 'd');
        assert_eq!(cache.get(1), Some('d'));
    }

    #[test]
    fn what_was_read_before_a_removal_is_not_kept_after_it() {
        let mut cache = Cache::new(2);
        let before = cache.generation();
        cache.remove(1);
        cache.put(before, 1, 'a');
        assert_eq!(cache.get(1), None);
        cache.put(cache.generation(), 1, 'b');
        assert_eq!(cache.get(1), Some('b'));
    }
}
