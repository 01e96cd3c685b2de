//! A fixed day: counts from midnight to midnight, in the time zone of the provider's accounts.
//!
//! Providers with a daily quota clear it at a fixed hour; a rolling day would hold back traffic
//! that the provider would take.
//!
//! Worked example: limit 5000 a day, used up at 16:00. The next request fits at 00:00 UTC. One
//! that began at 23:59 and turns out larger than reserved at 00:01 charges only the difference to
//! the new day; were it smaller, nothing comes back, as the old day is over.

use crate::day_rule::DayRule;
use crate::time::Timestamp;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Day {
    limit: u64,
    rule: DayRule,
    began_at: Timestamp,
    ends_at: Timestamp,
    used: u64,
}

impl Day {
    pub(crate) fn new(now: Timestamp, limit: u64, rule: DayRule) -> Self {
        Self {
            limit,
            rule,
            began_at: Timestamp::default(),
            ends_at: rule.next_midnight(now),
            used: 0,
        }
    }

    fn advance(&mut self, now: Timestamp) {
        if now >= self.ends_at {
            // The end of an earlier day, and not the begin of this one: early enough for a comparison.
            self.began_at = self.ends_at;
            self.ends_at = self.rule.next_midnight(now);
            self.used = 0;
        }
    }

    pub(crate) fn used(&self, now: Timestamp) -> u64 {
        if now >= self.ends_at { 0 } else { self.used }
    }

    fn end_of_day(&self, now: Timestamp) -> Timestamp {
        if now >= self.ends_at {
            self.rule.next_midnight(now)
        } else {
            self.ends_at
        }
    }

    pub(crate) fn take(&mut self, now: Timestamp, amount: u64) {
        self.advance(now);
        self.used = self.used.saturating_add(amount);
    }

    /// Gives back what was taken at `taken_at`, if that was today.
    pub(crate) fn give_back(&mut self, now: Timestamp, taken_at: Timestamp, amount: u64) {
        self.advance(now);
        if taken_at >= self.began_at {
            self.used = self.used.saturating_sub(amount);
        }
    }

    pub(crate) fn fits(&self, now: Timestamp, amount: u64) -> bool {
        self.used(now).saturating_add(amount) <= self.limit
    }

    /// The first instant at which `amount` fits: now or the next midnight.
    pub(crate) fn ready_at(&self, now: Timestamp, amount: u64) -> Option<Timestamp> {
        if amount > self.limit {
            None
        } else if self.fits(now, amount) {
            Some(now)
        } else {
            Some(self.end_of_day(now))
        }
    }

    pub(crate) fn empty_at(&self, now: Timestamp) -> Timestamp {
        if self.used(now) == 0 {
            now
        } else {
            self.end_of_day(now)
        }
    }

    /// Whether an instant is of the day that is counted at another.
    pub(crate) fn is_today(&self, at: Timestamp, now: Timestamp) -> bool {
        self.rule.next_midnight(at) == self.end_of_day(now)
    }

    /// Used share of the limit, above 1 in debt.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a load is compared, not accounted"
    )]
    pub(crate) fn load(&self, now: Timestamp) -> f64 {
        self.used(now) as f64 / self.limit as f64
    }

    pub(crate) const fn limit(&self) -> u64 {
        self.limit
    }

    pub(crate) const fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOON: Timestamp = Timestamp::from_unix_secs(20_000 * 86_400 + 43_200);
    const MIDNIGHT: Timestamp = Timestamp::from_unix_secs(20_001 * 86_400);

    #[test]
    fn a_used_up_day_starts_afresh_at_midnight() {
        let mut day = Day::new(NOON, 3, DayRule::Utc);
        day.take(NOON, 3);
        assert!(!day.fits(NOON, 1));
        assert_eq!(day.ready_at(NOON, 1), Some(MIDNIGHT));
        assert_eq!(day.ready_at(NOON, 4), None);
        assert!(day.fits(MIDNIGHT, 3));
        assert_eq!(day.used(MIDNIGHT), 0);
    }

    #[test]
    fn yesterday_gives_nothing_back() {
        let mut day = Day::new(NOON, 10, DayRule::Utc);
        day.take(NOON, 10);
        day.take(MIDNIGHT, 4);
        day.give_back(MIDNIGHT + Duration::from_secs(1), NOON, 10);
        assert_eq!(day.used(MIDNIGHT), 4);
        day.give_back(MIDNIGHT, MIDNIGHT, 1);
        assert_eq!(day.used(MIDNIGHT), 3);
    }
}
