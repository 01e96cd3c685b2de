//! A bounded map whose entries end some time after their last use.
//!
//! Clients choose what is kept in such maps (sessions, conversations), so without a bound they
//! would choose the memory too, and without an end what nobody uses would stay for ever.
//!
//! An entry ends `ttl` after it was inserted or [`touch`](ExpiringMap::touch)ed last. At capacity
//! the entry unused for longest gives way. An entry that has ended is never seen, even if nobody
//! called [`expire`](ExpiringMap::expire) since.
//!
//! Worked example: capacity 2, ttl 10 s. `a` and `b` come at 0 s; `a` is touched at 5 s; `c` comes
//! at 6 s and `b` gives way. At 15 s `a` has ended, `c` has a second left.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::time::Timestamp;

#[derive(Clone, Debug)]
pub(crate) struct ExpiringMap<K, V> {
    capacity: usize,
    ttl: Duration,
    entries: BTreeMap<K, Kept<V>>,
    /// The keys by their last use, the one unused for longest first.
    by_use: BTreeMap<u64, K>,
    uses: u64,
    /// The latest instant seen; an earlier one counts as this, so that uses stay in order.
    latest: Timestamp,
}

#[derive(Clone, Debug)]
struct Kept<V> {
    value: V,
    /// Its number in `by_use`.
    use_number: u64,
    used: Timestamp,
}

impl<K: Ord + Copy, V> ExpiringMap<K, V> {
    pub(crate) const fn new(capacity: usize, ttl: Duration) -> Self {
        Self {
            capacity,
            ttl,
            entries: BTreeMap::new(),
            by_use: BTreeMap::new(),
            uses: 0,
            latest: Timestamp::from_unix_micros(0),
        }
    }

    /// New bounds. They hold for what is kept already.
    pub(crate) fn set_bounds(&mut self, capacity: usize, ttl: Duration) {
        self.capacity = capacity;
        self.ttl = ttl;
        while self.entries.len() > capacity {
            self.pop_unused();
        }
    }

    /// The value, if it has not ended. This is not a use.
    pub(crate) fn get(&self, now: Timestamp, key: &K) -> Option<&V> {
        let kept = self.entries.get(key)?;
        (kept.used + self.ttl > now).then_some(&kept.value)
    }

    /// The value, ended or not. This is not a use.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key).map(|kept| &mut kept.value)
    }

    /// The value, if it has not ended, whose time starts anew.
    pub(crate) fn touch(&mut self, now: Timestamp, key: &K) -> Option<&mut V> {
        self.expire(now);
        let kept = self.entries.get_mut(key)?;
        self.by_use.remove(&kept.use_number);
        self.uses += 1;
        self.by_use.insert(self.uses, *key);
        kept.use_number = self.uses;
        kept.used = self.latest;
        Some(&mut kept.value)
    }

    /// Keeps a value. What had to give way is returned: the old value of this key, or the entry
    /// unused for longest; with no capacity, what was given.
    pub(crate) fn insert(&mut self, now: Timestamp, key: K, value: V) -> Option<(K, V)> {
        self.expire(now);
        if self.capacity == 0 {
            return Some((key, value));
        }
        let mut gone = self.remove(&key).map(|value| (key, value));
        if self.entries.len() >= self.capacity {
            gone = self.pop_unused();
        }
        self.uses += 1;
        self.by_use.insert(self.uses, key);
        let kept = Kept {
            value,
            use_number: self.uses,
            used: self.latest,
        };
        self.entries.insert(key, kept);
        gone
    }

    /// Takes a value out, ended or not.
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let kept = self.entries.remove(key)?;
        self.by_use.remove(&kept.use_number);
        Some(kept.value)
    }

    /// How many are kept; some may have ended since the last call that took `&mut self` and `now`.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The values, in the order of their keys; call [`Self::expire`] before.
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.values().map(|kept| &kept.value)
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.by_use.clear();
    }

    /// Drops what has ended; how many.
    pub(crate) fn expire(&mut self, now: Timestamp) -> usize {
        self.latest = self.latest.max(now);
        let before = self.entries.len();
        while self.next_end().is_some_and(|end| end <= self.latest) {
            self.pop_unused();
        }
        before - self.entries.len()
    }

    /// When the next entry ends.
    pub(crate) fn next_end(&self) -> Option<Timestamp> {
        let (_, key) = self.by_use.first_key_value()?;
        Some(self.entries.get(key)?.used + self.ttl)
    }

    fn pop_unused(&mut self) -> Option<(K, V)> {
        let (_, key) = self.by_use.pop_first()?;
        let kept = self.entries.remove(&key)?;
        Some((key, kept.value))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_secs(1000 + seconds)
    }

    #[test]
    fn what_is_unused_for_longest_gives_way_and_all_ends() {
        let mut map = ExpiringMap::new(2, Duration::from_secs(10));
        assert_eq!(map.insert(at(0), 'a', 1), None);
        assert_eq!(map.insert(at(0), 'b', 2), None);
        assert_eq!(map.touch(at(5), &'a'), Some(&mut 1));
        assert_eq!(map.insert(at(6), 'c', 3), Some(('b', 2)));
        assert_eq!(map.insert(at(6), 'c', 4), Some(('c', 3)));
        assert_eq!(map.next_end(), Some(at(15)));
        assert_eq!(map.get(at(14), &'a'), Some(&1));
        assert_eq!(map.get(at(15), &'a'), None);
        assert_eq!(map.get(at(15), &'c'), Some(&4));
        assert_eq!(map.expire(at(16)), 2);
        assert_eq!(map.len(), 0);
    }

    #[test]
    fn without_capacity_nothing_is_kept() {
        let mut map = ExpiringMap::new(0, Duration::MAX);
        assert_eq!(map.insert(at(0), 1, 'x'), Some((1, 'x')));
        assert_eq!(map.len(), 0);
    }

    #[test]
    fn an_instant_that_goes_back_disorders_nothing() {
        let mut map = ExpiringMap::new(9, Duration::from_secs(10));
        map.insert(at(50), 1, ());
        map.insert(at(0), 2, ());
        assert_eq!(map.expire(at(59)), 0);
        assert_eq!(map.expire(at(60)), 2);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u8),
        Touch(u8),
        Remove(u8),
        Expire,
        Bounds(usize, u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => (0..12_u8).prop_map(Step::Insert),
            4 => (0..12_u8).prop_map(Step::Touch),
            2 => (0..12_u8).prop_map(Step::Remove),
            1 => Just(Step::Expire),
            1 => (0..9_usize, 1..20_u64).prop_map(|(capacity, ttl)| Step::Bounds(capacity, ttl)),
        ]
    }

    proptest! {
        #[test]
        fn it_does_what_a_list_does(steps in vec((step(), 0..4_u64), 1..200)) {
            // Key, value, last use; the one unused for longest first.
            let mut list: Vec<(u8, usize, u64)> = Vec::new();
            let (mut capacity, mut ttl) = (6, 10);
            let mut map = ExpiringMap::new(capacity, Duration::from_secs(ttl));
            let mut now = 0;
            for (number, (step, passes)) in steps.into_iter().enumerate() {
                now += passes;
                match step {
                    Step::Insert(key) => {
                        list.retain(|&(other, _, used)| other != key && used + ttl > now);
                        list.push((key, number, now));
                        let surplus = list.len().saturating_sub(capacity);
                        list.drain(..surplus);
                        map.insert(at(now), key, number);
                    }
                    Step::Touch(key) => {
                        list.retain(|&(_, _, used)| used + ttl > now);
                        let place = list.iter().position(|&(other, ..)| other == key);
                        let touched = map.touch(at(now), &key).copied();
                        prop_assert_eq!(touched, place.map(|place| list[place].1));
                        if let Some(place) = place {
                            let (_, value, _) = list.remove(place);
                            list.push((key, value, now));
                        }
                    }
                    Step::Remove(key) => {
                        list.retain(|&(other, ..)| other != key);
                        map.remove(&key);
                    }
                    Step::Expire => {
                        map.expire(at(now));
                        list.retain(|&(_, _, used)| used + ttl > now);
                        prop_assert_eq!(map.len(), list.len());
                    }
                    Step::Bounds(new_capacity, new_ttl) => {
                        (capacity, ttl) = (new_capacity, new_ttl);
                        let surplus = list.len().saturating_sub(capacity);
                        list.drain(..surplus);
                        map.set_bounds(capacity, Duration::from_secs(ttl));
                    }
                }
                for key in 0..12 {
                    let listed = list
                        .iter()
                        .find(|&&(other, _, used)| other == key && used + ttl > now)
                        .map(|(_, value, _)| value);
                    prop_assert_eq!(map.get(at(now), &key), listed);
                }
                prop_assert!(map.len() <= capacity);
                prop_assert_eq!(map.len(), map.by_use.len());
                let next_end = list.first().map(|&(_, _, used)| at(used + ttl));
                prop_assert_eq!(map.next_end(), next_end);
            }
        }
    }
}
