//! Ready keys in an exact order: round-robin, lru, fill-first.
//!
//! One ordered set serves all three; only the rank differs (see [`super::Selector`]): the place in
//! the configuration, or the number of the last grant. Finding the first key with room costs a
//! look-up in the set however many keys there are, unless keys at the front lack room for this
//! very demand.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

#[derive(Debug, Default)]
pub(crate) struct Ordered(BTreeSet<(u64, usize)>);

impl Ordered {
    pub(crate) fn insert(&mut self, rank: u64, index: usize) {
        self.0.insert((rank, index));
    }

    pub(crate) fn remove(&mut self, rank: u64, index: usize) {
        self.0.remove(&(rank, index));
    }

    /// The first key within the ranks that fits.
    pub(crate) fn first_fit(
        &self,
        ranks: RangeInclusive<u64>,
        mut fits: impl FnMut(usize) -> bool,
    ) -> Option<(u64, usize)> {
        let (first, last) = ranks.into_inner();
        if first > last {
            return None;
        }
        self.0
            .range((first, 0)..=(last, usize::MAX))
            .find(|&&(_, index)| fits(index))
            .copied()
    }
}
