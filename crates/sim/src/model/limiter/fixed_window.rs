//! The counter that starts anew at each turn of the window, aligned to the Unix epoch.
//!
//! Worked example: 60 per minute. Sixty charges at 12:00:59 and sixty more at 12:01:00 all pass: twice
//! the limit within two seconds, which is why a gateway must not trust a minute's average.

use crate::SimTime;

#[derive(Debug)]
pub(super) struct FixedWindow {
    limit: u64,
    window_us: u64,
    index: u64,
    used: u64,
}

impl FixedWindow {
    pub(super) fn new(limit: u64, window_us: u64) -> Self {
        Self {
            limit,
            window_us: window_us.max(1),
            index: 0,
            used: 0,
        }
    }

    fn roll(&mut self, now: SimTime) {
        let index = now.as_unix_micros() / self.window_us;
        if index != self.index {
            self.index = index;
            self.used = 0;
        }
    }

    fn next_turn(&self) -> SimTime {
        SimTime::from_unix_micros((self.index + 1).saturating_mul(self.window_us))
    }

    pub(super) fn ready_at(&mut self, now: SimTime, amount: u64) -> Option<SimTime> {
        self.roll(now);
        if amount > self.limit {
            None
        } else if self.used.saturating_add(amount) <= self.limit {
            Some(now)
        } else {
            Some(self.next_turn())
        }
    }

    pub(super) fn full_at(&mut self, now: SimTime) -> SimTime {
        self.roll(now);
        if self.used == 0 {
            now
        } else {
            self.next_turn()
        }
    }

    pub(super) fn charge(&mut self, now: SimTime, amount: u64) {
        self.roll(now);
        self.used = self.used.saturating_add(amount);
    }

    pub(super) fn refund(&mut self, now: SimTime, amount: u64) {
        self.roll(now);
        self.used = self.used.saturating_sub(amount);
    }

    pub(super) fn remaining(&mut self, now: SimTime) -> u64 {
        self.roll(now);
        self.limit.saturating_sub(self.used)
    }
}
