//! The counter that starts anew at each turn of the window: of the minute, of the day.
//!
//! Worked example: 60 per minute. Sixty charges at 12:00:59 and sixty more at 12:01:00 all pass: twice
//! the limit within two seconds, which is why a gateway must not trust a minute's average.

use super::day;
use crate::SimTime;

/// When windows turn.
#[derive(Debug, Clone, Copy)]
pub(super) enum Turn {
    /// Every so many microseconds, aligned to the Unix epoch; not 0.
    Every(u64),
    /// At midnight of US Pacific time.
    PacificDay,
}

impl Turn {
    /// Begin and end of the window that holds `now`.
    fn around(self, now: SimTime) -> (SimTime, SimTime) {
        match self {
            Self::Every(window_us) => {
                let window_us = window_us.max(1);
                let start = now.as_unix_micros() / window_us * window_us;
                let at = SimTime::from_unix_micros;
                (at(start), at(start.saturating_add(window_us)))
            }
            Self::PacificDay => day::pacific(now),
        }
    }
}

#[derive(Debug)]
pub(super) struct FixedWindow {
    limit: u64,
    turn: Turn,
    start: SimTime,
    end: SimTime,
    used: u64,
}

impl FixedWindow {
    pub(super) fn new(limit: u64, turn: Turn) -> Self {
        Self {
            limit,
            turn,
            start: SimTime::default(),
            end: SimTime::default(),
            used: 0,
        }
    }

    fn roll(&mut self, now: SimTime) {
        if now < self.start || now >= self.end {
            (self.start, self.end) = self.turn.around(now);
            self.used = 0;
        }
    }

    pub(super) fn ready_at(&mut self, now: SimTime, amount: u64) -> Option<SimTime> {
        self.roll(now);
        if amount > self.limit {
            None
        } else if self.used.saturating_add(amount) <= self.limit {
            Some(now)
        } else {
            Some(self.end)
        }
    }

    pub(super) fn full_at(&mut self, now: SimTime) -> SimTime {
        self.roll(now);
        if self.used == 0 { now } else { self.end }
    }

    pub(super) fn charge(&mut self, now: SimTime, amount: u64) {
        self.roll(now);
        self.used = self.used.saturating_add(amount);
    }

    pub(super) fn refund(&mut self, now: SimTime, amount: u64) {
        self.roll(now);
        self.used = self.used.saturating_sub(amount);
    }

    pub(super) fn set_limit(&mut self, _: SimTime, limit: u64) {
        self.limit = limit;
    }

    pub(super) fn remaining(&mut self, now: SimTime) -> u64 {
        self.roll(now);
        self.limit.saturating_sub(self.used)
    }
}
