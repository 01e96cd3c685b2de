//! Instants in the calendar: dates that providers write, and the resets they tie to one.
//!
//! All instants are microseconds since the Unix epoch.

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};

use crate::headers::Headers;

/// US Pacific time with its summer time, written as a rule so that no time zone database is needed.
const PACIFIC: &str = "PST8PDT,M3.2.0,M11.1.0";

/// How far a provider's clock may be from ours before its own counts: more than the second to which a `date`
/// is cut and the time that an answer is on its way.
const CLOCK_TOLERANCE_MICROS: u64 = 10_000_000;

/// The instant of an answer by its provider's clock: its `date`, where that is not about ours.
///
/// Instants that the answer names are waits from there. Held against a clock of ours that is a day behind, a
/// reset a second from now would be one tomorrow.
pub(crate) fn now_of_provider(headers: &dyn Headers, now_unix_micros: u64) -> u64 {
    headers
        .get("date")
        .and_then(parse_instant)
        .filter(|theirs| theirs.abs_diff(now_unix_micros) > CLOCK_TOLERANCE_MICROS)
        .unwrap_or(now_unix_micros)
}

/// An RFC 3339 instant, or the date of an HTTP header.
pub(crate) fn parse_instant(text: &str) -> Option<u64> {
    let instant: Timestamp = text
        .parse()
        .or_else(|_| jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text))
        .ok()?;
    to_unix_micros(instant)
}

/// The first day of the next month, 00:00 UTC: when monthly limits start anew.
pub(crate) fn next_month(now_unix_micros: u64) -> Option<u64> {
    let today = zoned(now_unix_micros, TimeZone::UTC)?.date();
    let first = today.first_of_month().checked_add(1.month()).ok()?;
    midnight(first, TimeZone::UTC)
}

/// The next midnight in UTC.
pub(crate) fn next_midnight(now_unix_micros: u64) -> Option<u64> {
    let today = zoned(now_unix_micros, TimeZone::UTC)?.date();
    midnight(today.tomorrow().ok()?, TimeZone::UTC)
}

/// The next Monday, 00:00 UTC: when weekly limits start anew.
pub(crate) fn next_monday(now_unix_micros: u64) -> Option<u64> {
    let today = zoned(now_unix_micros, TimeZone::UTC)?.date();
    let monday = today.nth_weekday(1, Weekday::Monday).ok()?;
    midnight(monday, TimeZone::UTC)
}

/// The next midnight in US Pacific time: when Gemini's daily limits start anew.
pub(crate) fn next_pacific_midnight(now_unix_micros: u64) -> Option<u64> {
    let pacific = TimeZone::posix(PACIFIC).ok()?;
    let today = zoned(now_unix_micros, pacific.clone())?.date();
    midnight(today.tomorrow().ok()?, pacific)
}

/// The first `2026-12-01` or `2026-12-01 at 00:00` (UTC) stated in a message.
pub(crate) fn stated_instant(message: &str) -> Option<u64> {
    (0..message.len()).find_map(|start| {
        let date: Date = message
            .get(start..start + 10)
            .filter(|text| text.starts_with(|c: char| c.is_ascii_digit()))?
            .parse()
            .ok()?;
        let after = message.get(start + 10..)?;
        let time = after
            .trim_start_matches(" at ")
            .trim_start_matches(['T', ' ']);
        let (hour, minute) = hour_and_minute(time).unwrap_or((0, 0));
        let instant = date.at(hour, minute, 0, 0).to_zoned(TimeZone::UTC).ok()?;
        to_unix_micros(instant.timestamp())
    })
}

/// `HH:MM` at the start of the text.
fn hour_and_minute(text: &str) -> Option<(i8, i8)> {
    let hour = text
        .get(..2)?
        .parse()
        .ok()
        .filter(|hour| (0..24).contains(hour))?;
    let minute = text.get(2..5)?.strip_prefix(':')?.parse().ok()?;
    (0..60).contains(&minute).then_some((hour, minute))
}

fn zoned(unix_micros: u64, zone: TimeZone) -> Option<Zoned> {
    let micros = i64::try_from(unix_micros).ok()?;
    Some(Timestamp::from_microsecond(micros).ok()?.to_zoned(zone))
}

fn midnight(date: Date, zone: TimeZone) -> Option<u64> {
    to_unix_micros(date.to_zoned(zone).ok()?.timestamp())
}

/// An instant before 1970 becomes 1970: for a reset time both mean "already over".
fn to_unix_micros(instant: Timestamp) -> Option<u64> {
    u64::try_from(instant.as_microsecond().max(0)).ok()
}

#[cfg(test)]
mod tests;
