//! The one notion of time in this crate: an instant which the caller passes in.
//!
//! The pool never reads a clock. Whoever drives it derives [`Timestamp`]s from a monotonic clock
//! anchored to wall time at start, so that a stepped wall clock cannot refill a meter or end a
//! cool-down, while "the next UTC midnight" still means what an operator expects.

use std::fmt;
use std::ops::Add;
use std::time::Duration;

use serde::{Deserialize, Serialize};

const MICROS_PER_DAY: u64 = 24 * 60 * 60 * 1_000_000;

/// Microseconds since the Unix epoch.
///
/// Arithmetic saturates: an instant past the end of the range is the end of the range.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The instant `micros` microseconds after 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn from_unix_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// The instant `seconds` seconds after 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn from_unix_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn as_unix_micros(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to this instant; zero when `earlier` is later.
    #[must_use]
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// The first midnight (UTC) strictly after this instant: when per-day limits start afresh.
    #[must_use]
    pub const fn next_utc_midnight(self) -> Self {
        Self(
            self.utc_day()
                .saturating_add(1)
                .saturating_mul(MICROS_PER_DAY),
        )
    }

    /// Whole days (UTC) since the epoch.
    pub(crate) const fn utc_day(self) -> u64 {
        self.0 / MICROS_PER_DAY
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(micros))
    }
}

impl fmt::Display for Timestamp {
    /// Seconds since the epoch with six decimals; people-facing formats are the caller's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_midnight_is_strictly_later() {
        let midnight = Timestamp::from_unix_micros(MICROS_PER_DAY * 3);
        assert_eq!(
            midnight.next_utc_midnight().as_unix_micros(),
            MICROS_PER_DAY * 4
        );
        let just_before = Timestamp::from_unix_micros(MICROS_PER_DAY * 3 - 1);
        assert_eq!(just_before.next_utc_midnight(), midnight);
    }

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        let end = Timestamp::from_unix_micros(u64::MAX);
        assert_eq!(end + Duration::from_secs(1), end);
        assert_eq!(end.next_utc_midnight(), end);
        assert_eq!(
            Timestamp::default().saturating_duration_since(end),
            Duration::ZERO
        );
    }
}
