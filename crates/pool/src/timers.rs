//! Deadlines of keys, earliest first.
//!
//! A deadline that moves is pushed again and its old entry left where it is; the key knows which
//! one counts. Work is then proportional to what changed, not to the number of keys.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::slab::Handle;
use crate::time::Timestamp;

#[derive(Debug, Default)]
pub(crate) struct Timers(BinaryHeap<Reverse<(Timestamp, Handle)>>);

impl Timers {
    pub(crate) fn push(&mut self, at: Timestamp, key: Handle) {
        self.0.push(Reverse((at, key)));
    }

    /// The earliest entry, stale or not.
    pub(crate) fn peek(&self) -> Option<(Timestamp, Handle)> {
        self.0.peek().map(|&Reverse(entry)| entry)
    }

    pub(crate) fn pop(&mut self) -> Option<(Timestamp, Handle)> {
        self.0.pop().map(|Reverse(entry)| entry)
    }

    /// Takes the earliest entry if it is due.
    pub(crate) fn pop_due(&mut self, now: Timestamp) -> Option<(Timestamp, Handle)> {
        if self.peek().is_some_and(|(at, _)| at <= now) {
            self.pop()
        } else {
            None
        }
    }

    /// Whether stale entries outnumber what `keys` keys can have.
    pub(crate) fn is_bloated(&self, keys: usize) -> bool {
        self.0.len() > 64 + 4 * keys
    }

    pub(crate) fn rebuild(&mut self, entries: impl Iterator<Item = (Timestamp, Handle)>) {
        self.0 = entries.map(Reverse).collect();
    }
}
