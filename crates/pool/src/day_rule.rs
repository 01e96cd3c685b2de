//! When a provider's day ends.
//!
//! A daily quota that is thought to return at midnight UTC and returns at midnight in California is
//! unused for hours, or refused for hours.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// US Pacific time with its summer time, as a rule, so that no time zone database is needed.
const PACIFIC: &str = "PST8PDT,M3.2.0,M11.1.0";

/// Where midnight is when a per-day limit starts afresh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DayRule {
    /// UTC.
    #[default]
    Utc,
    /// US Pacific time, with daylight saving: Gemini's requests per day
    /// (ai.google.dev/gemini-api/docs/rate-limits).
    UsPacific,
}

impl DayRule {
    /// The first midnight strictly after an instant.
    #[must_use]
    pub fn next_midnight(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Utc => now.next_utc_midnight(),
            // Beyond the calendar's end any midnight will do.
            Self::UsPacific => next_pacific_midnight(now).unwrap_or(now.next_utc_midnight()),
        }
    }
}

fn next_pacific_midnight(now: Timestamp) -> Option<Timestamp> {
    let zone = TimeZone::posix(PACIFIC).ok()?;
    let micros = i64::try_from(now.as_unix_micros()).ok()?;
    let now = jiff::Timestamp::from_microsecond(micros).ok()?;
    let tomorrow: Date = now.to_zoned(zone.clone()).date().tomorrow().ok()?;
    let midnight = tomorrow.to_zoned(zone).ok()?.timestamp().as_microsecond();
    u64::try_from(midnight)
        .ok()
        .map(Timestamp::from_unix_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pacific_midnight_moves_by_an_hour_with_daylight_saving() {
        let next = |text: &str| {
            let at: jiff::Timestamp = text.parse().unwrap();
            let at = Timestamp::from_unix_micros(at.as_microsecond().unsigned_abs());
            let next = DayRule::UsPacific.next_midnight(at).as_unix_micros();
            jiff::Timestamp::from_microsecond(i64::try_from(next).unwrap())
                .unwrap()
                .to_string()
        };
        assert_eq!(next("2026-11-26T12:00:00Z"), "2026-11-27T08:00:00Z");
        assert_eq!(next("2026-07-01T06:59:59Z"), "2026-07-01T07:00:00Z");
        assert_eq!(next("2026-07-01T07:00:00Z"), "2026-07-02T07:00:00Z");
        // The days of the change have 23 and 25 hours.
        assert_eq!(next("2026-03-08T08:00:00Z"), "2026-03-09T07:00:00Z");
        assert_eq!(next("2026-11-01T07:00:00Z"), "2026-11-02T08:00:00Z");
    }
}
