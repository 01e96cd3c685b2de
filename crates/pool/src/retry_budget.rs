//! How many attempts beyond the first a pool may make while its provider is in trouble.
//!
//! What it prevents: a storm. When everything fails, each request would be tried on every key, round
//! after round, and a provider that is down would get many times the load that brought it down.
//!
//! Only attempts on keys that failed of late are paid for ([`Doubts`](crate::doubts::Doubts)), and a request
//! that is served pays in as many as there are keys: as long as one key is sound the budget never runs out.
//! When nothing succeeds it is spent once, and then lets through ten attempts a second.
//!
//! Worked example: with 5 keys 500 attempts are in stock. In an outage requests are tried on all keys for
//! those 500; from then on each is tried once, and ten more a second find out whether it is over.

use crate::bounds::{RETRIES_PER_SECOND, RETRY_STOCK_MAX, RETRY_STOCK_PER_KEY};
use crate::time::Timestamp;

/// Micros of time that earn one attempt.
const TRICKLE_MICROS: u64 = 1_000_000 / RETRIES_PER_SECOND;

#[derive(Clone, Copy, Debug)]
pub(crate) struct RetryBudget {
    /// Attempts spent of the stock.
    spent: u64,
    /// Up to when time has been turned into attempts.
    counted_to: Timestamp,
}

impl RetryBudget {
    pub(crate) const fn new(now: Timestamp) -> Self {
        Self {
            spent: 0,
            counted_to: now,
        }
    }

    /// Takes one attempt out; false when there is none for a pool of so many keys.
    pub(crate) fn take(&mut self, now: Timestamp, keys: usize) -> bool {
        self.trickle(now);
        let allowed = self.spent < stock(keys);
        if allowed {
            self.spent += 1;
        }
        allowed
    }

    /// A request was served.
    pub(crate) fn pay_in(&mut self, keys: usize) {
        let keys = u64::try_from(keys).unwrap_or(u64::MAX);
        self.spent = self.spent.saturating_sub(keys.max(1));
    }

    /// Whether nothing is missing, so that nobody need pay in.
    pub(crate) const fn is_full(&self) -> bool {
        self.spent == 0
    }

    fn trickle(&mut self, now: Timestamp) {
        let micros = now.saturating_duration_since(self.counted_to).as_micros();
        let earned = u64::try_from(micros).unwrap_or(u64::MAX) / TRICKLE_MICROS;
        if earned > 0 {
            self.spent = self.spent.saturating_sub(earned);
            self.counted_to = now;
        }
    }
}

fn stock(keys: usize) -> u64 {
    let keys = u64::try_from(keys).unwrap_or(u64::MAX);
    keys.max(1)
        .saturating_mul(RETRY_STOCK_PER_KEY)
        .min(RETRY_STOCK_MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const START: Timestamp = Timestamp::from_unix_secs(1000);

    fn taken(budget: &mut RetryBudget, now: Timestamp, keys: usize, wanted: usize) -> usize {
        (0..wanted).filter(|_| budget.take(now, keys)).count()
    }

    #[test]
    fn when_nothing_succeeds_it_is_spent_once_and_then_trickles() {
        let mut budget = RetryBudget::new(START);
        assert_eq!(taken(&mut budget, START, 5, 10_000), 500);
        let later = START + Duration::from_secs(1);
        assert_eq!(taken(&mut budget, later, 5, 10_000), 10);
    }

    #[test]
    fn with_one_sound_key_it_never_runs_out() {
        let mut budget = RetryBudget::new(START);
        for _ in 0..100_000 {
            assert_eq!(taken(&mut budget, START, 5, 4), 4);
            budget.pay_in(5);
        }
    }

    #[test]
    fn the_stock_of_a_large_pool_is_bounded() {
        let mut budget = RetryBudget::new(START);
        let bound = usize::try_from(RETRY_STOCK_MAX).unwrap();
        assert_eq!(taken(&mut budget, START, 100_000, 1_000_000), bound);
    }
}
