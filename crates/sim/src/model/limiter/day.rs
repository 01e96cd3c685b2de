//! The day of US Pacific time. A gateway that takes it for 24 hours from 08:00 UTC is wrong by an hour
//! for eight months of the year, and refuses or floods for that hour.
//!
//! Worked example: on 2026-03-08 clocks go forward, so that day runs from 08:00 UTC to 07:00 UTC: 23
//! hours.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use crate::SimTime;

/// The rule in force since 2007, so that no time zone database is needed.
const PACIFIC: &str = "PST8PDT,M3.2.0,M11.1.0";

/// A day that no calendar knows, beyond the year 9999 that jiff can express.
const DAY_US: u64 = 24 * 3600 * 1_000_000;

/// Begin and end of the Pacific day that holds `now`.
pub(super) fn pacific(now: SimTime) -> (SimTime, SimTime) {
    calendar_day(now).unwrap_or_else(|| {
        let start = now.as_unix_micros() / DAY_US * DAY_US;
        let at = SimTime::from_unix_micros;
        (at(start), at(start.saturating_add(DAY_US)))
    })
}

fn calendar_day(now: SimTime) -> Option<(SimTime, SimTime)> {
    let zone = TimeZone::posix(PACIFIC).ok()?;
    let micros = i64::try_from(now.as_unix_micros()).ok()?;
    let instant = Timestamp::from_microsecond(micros).ok()?;
    let today = zone.to_datetime(instant).date();
    let midnight = |day: Date| {
        let instant = zone.to_timestamp(day.at(0, 0, 0, 0)).ok()?;
        let micros = u64::try_from(instant.as_microsecond().max(0)).ok()?;
        Some(SimTime::from_unix_micros(micros))
    };
    let tomorrow = today.checked_add(1.day()).ok()?;
    Some((midnight(today)?, midnight(tomorrow)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> SimTime {
        let instant: Timestamp = text.parse().unwrap();
        SimTime::from_unix_micros(instant.as_microsecond().try_into().unwrap())
    }

    #[test]
    fn the_pacific_day_begins_at_eight_in_winter_and_at_seven_in_summer() {
        let winter = pacific(utc("2026-01-15T07:59:59Z"));
        assert_eq!(
            winter,
            (utc("2026-01-14T08:00:00Z"), utc("2026-01-15T08:00:00Z"))
        );
        let summer = pacific(utc("2026-07-15T07:00:00Z"));
        assert_eq!(
            summer,
            (utc("2026-07-15T07:00:00Z"), utc("2026-07-16T07:00:00Z"))
        );
    }

    #[test]
    fn the_days_on_which_clocks_change_have_23_and_25_hours() {
        let spring = pacific(utc("2026-03-08T12:00:00Z"));
        assert_eq!(
            spring,
            (utc("2026-03-08T08:00:00Z"), utc("2026-03-09T07:00:00Z"))
        );
        let autumn = pacific(utc("2026-11-01T12:00:00Z"));
        assert_eq!(
            autumn,
            (utc("2026-11-01T07:00:00Z"), utc("2026-11-02T08:00:00Z"))
        );
    }
}
