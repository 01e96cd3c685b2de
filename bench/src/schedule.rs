//! When the requests of an open-loop run are due.
//!
//! A client that waits for an answer before it sends again slows down exactly when the server does,
//! and then counts one slow answer where a steady stream of users would have suffered hundreds:
//! coordinated omission. Here the instant at which a request is due depends on its number alone, and
//! its latency counts from that instant even if nothing could be sent then.
//!
//! At 100 requests per second, a server that stands still for one second is seen as 100 requests
//! with latencies of 1000, 990, 980 … ms, not as a single one of 1000 ms.

use std::time::Duration;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// The requests of one open-loop run that have not been sent yet.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    rate_per_second: u64,
    total: u64,
    taken: u64,
}

impl Schedule {
    /// Evenly spaced requests for `duration`. A rate of zero counts as one per second.
    pub(crate) fn new(rate_per_second: u64, duration: Duration) -> Self {
        let rate_per_second = rate_per_second.max(1);
        let total = duration.as_nanos() * u128::from(rate_per_second) / NANOS_PER_SECOND;
        Self {
            rate_per_second,
            total: u64::try_from(total).unwrap_or(u64::MAX),
            taken: 0,
        }
    }

    /// When the next request is due, counted from the start; `None` once all were taken.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        (self.taken < self.total).then(|| self.due(self.taken))
    }

    /// Takes the next request if it is due at `now`, and answers when it *was* due: that, and not
    /// `now`, is where its latency starts.
    pub(crate) fn take_due(&mut self, now: Duration) -> Option<Duration> {
        let due = self.next_due().filter(|due| *due <= now)?;
        self.taken += 1;
        Some(due)
    }

    /// Exact for every request, so that rounding never adds up to a drift.
    fn due(&self, number: u64) -> Duration {
        let nanos = u128::from(number) * NANOS_PER_SECOND / u128::from(self.rate_per_second);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn requests_are_evenly_spaced_and_counted() {
        let mut schedule = Schedule::new(250, 20 * MILLI);
        let dues: Vec<_> = std::iter::from_fn(|| schedule.take_due(Duration::MAX)).collect();
        assert_eq!(dues, [0, 4, 8, 12, 16].map(|ms| ms * MILLI));
        assert_eq!(schedule.next_due(), None);
    }

    #[test]
    fn nothing_is_sent_before_it_is_due() {
        let mut schedule = Schedule::new(1000, Duration::from_secs(1));
        assert_eq!(schedule.take_due(Duration::ZERO), Some(Duration::ZERO));
        assert_eq!(
            schedule.take_due(MILLI.saturating_sub(Duration::from_nanos(1))),
            None
        );
        assert_eq!(schedule.next_due(), Some(MILLI));
        assert_eq!(schedule.take_due(MILLI), Some(MILLI));
    }

    #[test]
    fn an_uneven_rate_does_not_drift() {
        let mut schedule = Schedule::new(3, Duration::from_secs(1_000_000));
        let last = std::iter::from_fn(|| schedule.take_due(Duration::MAX))
            .last()
            .unwrap();
        assert_eq!(last, Duration::from_nanos(999_999_666_666_666));
    }

    #[test]
    fn a_stall_is_charged_to_every_request_that_was_due_in_it() {
        let mut schedule = Schedule::new(100, Duration::from_secs(2));
        while schedule.take_due(500 * MILLI).is_some() {}
        let stall_ends = 1500 * MILLI;
        let waits: Vec<Duration> = std::iter::from_fn(|| schedule.take_due(stall_ends))
            .map(|due| stall_ends.saturating_sub(due))
            .collect();
        assert_eq!(waits.len(), 100);
        assert_eq!(waits.first(), Some(&(990 * MILLI)));
        assert_eq!(waits.last(), Some(&Duration::ZERO));
    }
}
