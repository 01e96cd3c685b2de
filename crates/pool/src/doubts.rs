//! Keys that failed of late, so that a request which has failed already is not sent to them as long as
//! there is another.
//!
//! What it prevents: a request that goes through all bad keys before it comes to the sound one, and a
//! budget for retries that is spent on keys which are known to fail while one that would serve is not asked.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use crate::bounds::{DOUBT, DOUBTS_MAX};
use crate::id::KeyId;
use crate::time::Timestamp;

#[derive(Debug, Default)]
pub(crate) struct Doubts(BTreeMap<KeyId, Timestamp>);

impl Doubts {
    /// A key failed.
    pub(crate) fn raise(&mut self, now: Timestamp, key: KeyId) {
        if self.0.len() >= DOUBTS_MAX {
            self.0.retain(|_, until| now < *until);
        }
        if self.0.len() < DOUBTS_MAX {
            self.0.insert(key, now + DOUBT);
        }
    }

    /// A key served.
    pub(crate) fn clear(&mut self, key: KeyId) {
        if !self.0.is_empty() {
            self.0.remove(&key);
        }
    }

    /// The excluded keys and those in doubt.
    pub(crate) fn exclude(&self, now: Timestamp, excluded: &[KeyId]) -> SmallVec<[KeyId; 16]> {
        let doubted = self.0.iter().filter(|&(_, &until)| now < until);
        let doubted = doubted.map(|(&key, _)| key);
        excluded
            .iter()
            .copied()
            .chain(doubted.filter(|key| !excluded.contains(key)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn key(number: u64) -> KeyId {
        KeyId::from_bits(number)
    }

    #[test]
    fn a_key_is_in_doubt_until_it_serves_or_for_a_while() {
        let now = Timestamp::from_unix_secs(1000);
        let mut doubts = Doubts::default();
        doubts.raise(now, key(1));
        doubts.raise(now + Duration::from_secs(1), key(2));
        assert_eq!(doubts.exclude(now, &[key(1)]).as_slice(), [key(1), key(2)]);
        doubts.clear(key(1));
        assert_eq!(doubts.exclude(now, &[]).as_slice(), [key(2)]);
        let later = now + Duration::from_secs(1) + DOUBT;
        assert!(doubts.exclude(later, &[]).is_empty());
    }

    #[test]
    fn their_number_is_bounded() {
        let now = Timestamp::from_unix_secs(1000);
        let mut doubts = Doubts::default();
        for number in 0..10_000 {
            doubts.raise(now, key(number));
        }
        assert_eq!(doubts.exclude(now, &[]).len(), DOUBTS_MAX);
        doubts.raise(now + DOUBT, key(20_000));
        assert_eq!(doubts.exclude(now + DOUBT, &[]).len(), 1);
    }
}
