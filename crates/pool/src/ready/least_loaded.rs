//! Ready keys for least-loaded: a dense list, searched in full or sampled.
//!
//! Loads sink by themselves as meters refill, so no order of them can be kept. Up to
//! [`EXACT_MAX`] keys all are compared. Beyond that the best of [`SAMPLES`] keys drawn at random is
//! taken, which spreads load nearly as evenly (the gap to the best shrinks fast with the number
//! of draws); only when none of them fits are all examined, so that room is never overlooked.

/// A full comparison costs some ten nanoseconds a key.
pub(crate) const EXACT_MAX: usize = 64;

/// Each draw costs several cache misses in a large pool, and the bound for a grant is 2 µs. Four draws
/// keep the most loaded key within about one request of the mean.
pub(crate) const SAMPLES: usize = 4;

const ABSENT: u32 = u32::MAX;

/// Key indices without order, with O(1) insertion and removal.
#[derive(Debug, Default)]
pub(crate) struct Dense {
    list: Vec<u32>,
    /// By key index: the position in the list, or [`ABSENT`].
    position: Vec<u32>,
}

impl Dense {
    pub(crate) fn insert(&mut self, index: usize) {
        if self.position.len() <= index {
            self.position.resize(index + 1, ABSENT);
        }
        if let (Some(position), Ok(key)) = (self.position.get_mut(index), u32::try_from(index))
            && *position == ABSENT
        {
            // As many positions as keys, and an index fits 32 bits.
            *position = u32::try_from(self.list.len()).unwrap_or(ABSENT);
            self.list.push(key);
        }
    }

    pub(crate) fn remove(&mut self, index: usize) {
        let Some(position) = self.position.get_mut(index) else {
            return;
        };
        let freed = std::mem::replace(position, ABSENT);
        if freed == ABSENT {
            return;
        }
        self.list.swap_remove(freed as usize);
        if let Some(&moved) = self.list.get(freed as usize)
            && let Some(position) = self.position.get_mut(moved as usize)
        {
            *position = freed;
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn get(&self, position: usize) -> Option<usize> {
        self.list.get(position).map(|&key| key as usize)
    }

    pub(crate) fn indices(&self) -> impl Iterator<Item = usize> {
        self.list.iter().map(|&key| key as usize)
    }
}

/// What least-loaded compares, first field first; the last one makes it total.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(crate) struct Load {
    /// Used share of the tightest limit of key and group.
    pub(crate) ratio: f64,
    /// Requests in flight.
    pub(crate) in_flight: f64,
    /// Recent traffic in requests and tokens; see [`crate::recent`].
    pub(crate) recent: f64,
    /// Number of the last grant: the least recently used goes first.
    pub(crate) last_grant: u64,
    /// Never-used keys go in configuration order.
    pub(crate) position: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removal_keeps_the_others() {
        let mut dense = Dense::default();
        for index in [4, 0, 2, 4] {
            dense.insert(index);
        }
        dense.remove(0);
        dense.remove(0);
        dense.remove(9);
        let mut left: Vec<usize> = dense.indices().collect();
        left.sort_unstable();
        assert_eq!(left, [2, 4]);
        dense.remove(4);
        assert_eq!((dense.len(), dense.get(0)), (1, Some(2)));
    }
}
