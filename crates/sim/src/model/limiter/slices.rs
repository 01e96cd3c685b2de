//! Requests spread over the seconds of the minute; what a second does not use is lost.
//!
//! Worked example: 90 per minute. Seconds admit 1, 2, 1, 2, … requests: a burst of three fails
//! although the headers, which speak of the minute, still show 87 remaining.

use super::fixed_window::{FixedWindow, Turn};
use crate::SimTime;

/// Slices in one window.
const SLICES: u64 = 60;

#[derive(Debug)]
pub(super) struct Slices {
    limit: u64,
    slice_us: u64,
    index: u64,
    used: u64,
    minute: FixedWindow,
}

impl Slices {
    pub(super) fn new(limit: u64, window_us: u64) -> Self {
        Self {
            limit,
            slice_us: (window_us / SLICES).max(1),
            index: 0,
            used: 0,
            minute: FixedWindow::new(limit, Turn::Every(window_us)),
        }
    }

    fn roll(&mut self, now: SimTime) {
        let index = now.as_unix_micros() / self.slice_us;
        if index != self.index {
            self.index = index;
            self.used = 0;
        }
    }

    /// The share of one slice: whole numbers which sum to the limit over any 60 slices.
    fn share(&self, index: u64) -> u64 {
        let upto = |slices: u64| (slices % SLICES).saturating_mul(self.limit) / SLICES;
        let next = index.wrapping_add(1);
        let turn = if next.is_multiple_of(SLICES) {
            self.limit
        } else {
            0
        };
        turn + upto(next) - upto(index)
    }

    fn starts_at(&self, index: u64) -> SimTime {
        SimTime::from_unix_micros(index.saturating_mul(self.slice_us))
    }

    pub(super) fn ready_at(&mut self, now: SimTime, amount: u64) -> Option<SimTime> {
        self.roll(now);
        if self.used.saturating_add(amount) <= self.share(self.index) {
            return Some(now);
        }
        (self.index + 1..=self.index + SLICES)
            .find(|&index| amount <= self.share(index))
            .map(|index| self.starts_at(index))
    }

    pub(super) fn full_at(&mut self, now: SimTime) -> SimTime {
        self.minute.full_at(now)
    }

    pub(super) fn charge(&mut self, now: SimTime, amount: u64) {
        self.roll(now);
        self.used = self.used.saturating_add(amount);
        self.minute.charge(now, amount);
    }

    pub(super) fn refund(&mut self, now: SimTime, amount: u64) {
        self.roll(now);
        self.used = self.used.saturating_sub(amount);
        self.minute.refund(now, amount);
    }

    pub(super) fn set_limit(&mut self, now: SimTime, limit: u64) {
        self.limit = limit;
        self.minute.set_limit(now, limit);
    }

    pub(super) fn remaining(&mut self, now: SimTime) -> u64 {
        self.minute.remaining(now)
    }
}
