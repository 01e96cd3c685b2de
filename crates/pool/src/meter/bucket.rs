//! A continuously refilled bucket.
//!
//! It prevents the double burst of counters that are cleared every minute: 50 requests at 11:59:59
//! and 50 more at 12:00:00 pass such a counter and fail at the provider.
//!
//! A full bucket begins to refill [`TRANSIT`] after something is taken from it: the provider's begins
//! when the request arrives, and a pool that is ahead of it by so much earns a refusal for each bucket
//! it empties.
//!
//! Worked example: limit 60 a minute, full at start. 60 requests are granted at once; the level is
//! 0 and refills by 1 a second, from a quarter of a second later on. An answer that used 90 tokens where
//! 60 were reserved leaves the level at −30: the next single token fits after 31.25 seconds. Debt is not
//! forgiven.

use std::time::Duration;

use crate::bounds::TRANSIT;
use crate::time::Timestamp;

/// [`TRANSIT`] as the levels are counted: this is worked out for every key that a pick looks at.
const TRANSIT_MICROS: u64 = TRANSIT.as_secs() * 1_000_000 + TRANSIT.subsec_micros() as u64;

/// The level is kept times the period in microseconds, so that refill per microsecond is exactly the
/// limit and nothing is ever rounded. [`LIMIT_MAX`](crate::bounds::LIMIT_MAX) × a minute fits an `i64`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    limit: i64,
    level: i64,
    /// When the level was right; in the future where the refill has not begun.
    updated: Timestamp,
    /// Microseconds in which the whole limit refills.
    period: i64,
}

impl Bucket {
    pub(crate) fn new(now: Timestamp, limit: u64, period: Duration) -> Self {
        let period = i64::try_from(period.as_micros()).unwrap_or(i64::MAX).max(1);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX / period);
        Self {
            limit,
            level: limit.saturating_mul(period),
            updated: now,
            period,
        }
    }

    const fn scaled(&self, amount: u64) -> i64 {
        let amount = if amount > i64::MAX.unsigned_abs() {
            i64::MAX
        } else {
            amount.cast_signed()
        };
        amount.saturating_mul(self.period)
    }

    pub(crate) const fn limit(&self) -> u64 {
        self.limit.unsigned_abs()
    }

    const fn full(&self) -> i64 {
        self.limit.saturating_mul(self.period)
    }

    /// When the refill of a bucket begins that was full.
    const fn after_grace(&self, now: Timestamp) -> Timestamp {
        let share = self.period.unsigned_abs() / 50;
        let grace = if share < TRANSIT_MICROS {
            share
        } else {
            TRANSIT_MICROS
        };
        Timestamp::from_unix_micros(now.as_unix_micros().saturating_add(grace))
    }

    pub(crate) fn level_at(&self, now: Timestamp) -> i64 {
        let elapsed = now
            .as_unix_micros()
            .saturating_sub(self.updated.as_unix_micros());
        let gained = self
            .limit
            .saturating_mul(i64::try_from(elapsed).unwrap_or(i64::MAX));
        self.level.saturating_add(gained).min(self.full())
    }

    pub(crate) fn take(&mut self, now: Timestamp, amount: u64) {
        let level = self.level_at(now);
        // A bucket short of full has been refilling all along, as the provider's has.
        let from = if level == self.full() && amount > 0 {
            self.after_grace(now)
        } else {
            now
        };
        self.level = level.saturating_sub(self.scaled(amount));
        self.updated = self.updated.max(from);
    }

    pub(crate) fn give_back(&mut self, now: Timestamp, amount: u64) {
        self.level = self
            .level_at(now)
            .saturating_add(self.scaled(amount))
            .min(self.full());
        self.updated = self.updated.max(now);
    }

    /// At least so much is left, in whole units.
    pub(crate) fn raise_to(&mut self, now: Timestamp, least: i64) {
        let least = least.saturating_mul(self.period).min(self.full());
        self.level = self.level_at(now).max(least);
        self.updated = self.updated.max(now);
    }

    pub(crate) fn fits(&self, now: Timestamp, amount: u64) -> bool {
        self.level_at(now) >= self.scaled(amount)
    }

    /// The first microsecond at which `amount` fits.
    pub(crate) fn ready_at(&self, now: Timestamp, amount: u64) -> Option<Timestamp> {
        let wanted = self.scaled(amount);
        if wanted > self.full() {
            return None;
        }
        Some(self.when_level_is(now, wanted))
    }

    pub(crate) fn full_at(&self, now: Timestamp) -> Timestamp {
        self.when_level_is(now, self.full())
    }

    fn when_level_is(&self, now: Timestamp, wanted: i64) -> Timestamp {
        let missing = wanted.saturating_sub(self.level_at(now)).max(0);
        // `limit` is at least 1: a configuration with zero is refused.
        let whole = missing / self.limit.max(1);
        let wait = whole + i64::from(missing % self.limit.max(1) != 0);
        if missing == 0 {
            return now;
        }
        let at = self
            .updated
            .max(now)
            .as_unix_micros()
            .saturating_add(u64::try_from(wait).unwrap_or(0));
        Timestamp::from_unix_micros(at)
    }

    /// What refills in so long, in whole units, rounded up.
    pub(crate) fn refill(&self, time: Duration) -> u64 {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let gained = u128::from(micros) * u128::from(self.limit());
        let whole = gained.div_ceil(u128::from(self.period.unsigned_abs()));
        u64::try_from(whole).unwrap_or(u64::MAX).min(self.limit())
    }

    /// Used share of the limit, above 1 in debt. What a bucket holds back for the way to the provider does
    /// not count: else the keys well below their limits would differ by when they were used last, and
    /// requests of unequal size would go to them in turn, not to the one that has had the least.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a load is compared, not accounted"
    )]
    pub(crate) fn load(&self, now: Timestamp) -> f64 {
        1.0 - self.level_at(self.after_grace(now)) as f64 / self.full() as f64
    }

    /// What is left in whole units, rounded down; negative in debt.
    pub(crate) fn remaining(&self, now: Timestamp) -> i64 {
        self.level_at(now).div_euclid(self.period)
    }

    /// Another limit; what is used stays used.
    pub(crate) fn set_limit(&mut self, now: Timestamp, limit: u64) {
        let used = self.full().saturating_sub(self.level_at(now));
        self.limit = i64::try_from(limit).unwrap_or(i64::MAX / self.period);
        self.level = self.full().saturating_sub(used);
        self.updated = self.updated.max(now);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);
    const START: Timestamp = Timestamp::from_unix_secs(1_000_000);

    /// So long after a full bucket was emptied at the start.
    fn after(seconds: u64) -> Timestamp {
        START + TRANSIT + Duration::from_secs(seconds)
    }

    #[test]
    fn a_full_bucket_gives_its_limit_at_once_and_then_refills_evenly() {
        let mut bucket = Bucket::new(START, 60, MINUTE);
        for _ in 0..60 {
            assert!(bucket.fits(START, 1));
            bucket.take(START, 1);
        }
        assert!(!bucket.fits(START, 1));
        assert_eq!(bucket.ready_at(START, 1), Some(after(1)));
        assert_eq!(bucket.ready_at(START, 60), Some(after(60)));
        assert_eq!(bucket.ready_at(START, 61), None);
        assert!(!bucket.fits(
            Timestamp::from_unix_micros(after(1).as_unix_micros() - 1),
            1
        ));
        assert!(bucket.fits(after(1), 1));
    }

    #[test]
    fn debt_delays_the_next_grant() {
        let mut bucket = Bucket::new(START, 60, MINUTE);
        bucket.take(START, 90);
        assert_eq!(bucket.remaining(START), -30);
        assert_eq!(bucket.ready_at(START, 1), Some(after(31)));
        assert!(!bucket.fits(START, 0));
        assert!((bucket.load(START) - 1.5).abs() < 1e-9);
        assert!((bucket.load(after(0)) - 1.5 + TRANSIT.as_secs_f64() / 60.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_given_back_never_exceeds_the_limit() {
        let mut bucket = Bucket::new(START, 60, MINUTE);
        bucket.take(START, 30);
        bucket.give_back(after(120), 30);
        assert_eq!(bucket.remaining(after(120)), 60);
    }

    #[test]
    fn a_new_limit_keeps_what_was_used() {
        let mut bucket = Bucket::new(START, 60, MINUTE);
        bucket.take(START, 50);
        bucket.set_limit(START, 30);
        assert_eq!(bucket.remaining(START), -20);
        bucket.set_limit(START, 100);
        assert_eq!(bucket.remaining(START), 50);
    }

    #[test]
    fn extremes_saturate_instead_of_wrapping() {
        let mut bucket = Bucket::new(START, crate::bounds::LIMIT_MAX, MINUTE);
        bucket.take(START, u64::MAX);
        bucket.take(START, u64::MAX);
        assert!(!bucket.fits(START, 1));
        let later = Timestamp::from_unix_micros(u64::MAX);
        assert!(bucket.level_at(later) <= bucket.full());
        assert_eq!(bucket.ready_at(later, u64::MAX), None);
    }
}
