//! The continuously refilled bucket: holds `limit`, regains `limit` per window, evenly.
//!
//! Worked example: 60 per minute. Sixty charges at once empty it; one second later one more fits;
//! the bucket is full again a minute after it was empty.

use crate::SimTime;

/// The level is kept in units of 1/window, so that each microsecond adds exactly `limit` of them and
/// nothing is ever rounded.
#[derive(Debug)]
pub(super) struct Bucket {
    limit: u64,
    window_us: u64,
    level: i128,
    updated: SimTime,
}

impl Bucket {
    pub(super) fn new(limit: u64, window_us: u64, now: SimTime) -> Self {
        let mut bucket = Self {
            limit,
            window_us,
            level: 0,
            updated: now,
        };
        bucket.level = bucket.capacity();
        bucket
    }

    fn capacity(&self) -> i128 {
        self.scaled(self.limit)
    }

    fn scaled(&self, amount: u64) -> i128 {
        i128::from(amount) * i128::from(self.window_us)
    }

    fn refill(&mut self, now: SimTime) {
        let elapsed = now
            .as_unix_micros()
            .saturating_sub(self.updated.as_unix_micros());
        let gained = i128::from(elapsed) * i128::from(self.limit);
        self.level = (self.level + gained).min(self.capacity());
        self.updated = self.updated.max(now);
    }

    pub(super) fn ready_at(&mut self, now: SimTime, amount: u64) -> Option<SimTime> {
        if amount > self.limit {
            return None;
        }
        self.reaches(now, self.scaled(amount))
    }

    pub(super) fn full_at(&mut self, now: SimTime) -> SimTime {
        self.reaches(now, self.capacity()).unwrap_or(now)
    }

    fn reaches(&mut self, now: SimTime, level: i128) -> Option<SimTime> {
        self.refill(now);
        if self.level >= level {
            return Some(now);
        }
        let limit = i128::from(self.limit);
        let micros = (level - self.level + limit - 1).checked_div(limit)?;
        let micros = u64::try_from(micros).unwrap_or(u64::MAX);
        Some(SimTime::from_unix_micros(
            now.as_unix_micros().saturating_add(micros),
        ))
    }

    pub(super) fn charge(&mut self, now: SimTime, amount: u64) {
        self.refill(now);
        self.level -= self.scaled(amount);
    }

    pub(super) fn refund(&mut self, now: SimTime, amount: u64) {
        self.refill(now);
        self.level = (self.level + self.scaled(amount)).min(self.capacity());
    }

    /// What was used stays used, up to the new limit.
    pub(super) fn set_limit(&mut self, now: SimTime, limit: u64) {
        self.refill(now);
        let used = self.capacity() - self.level;
        self.limit = limit;
        self.level = (self.capacity() - used).max(0);
    }

    pub(super) fn remaining(&mut self, now: SimTime) -> u64 {
        self.refill(now);
        let whole = self
            .level
            .max(0)
            .checked_div(i128::from(self.window_us))
            .unwrap_or(0);
        u64::try_from(whole).unwrap_or(0)
    }
}
