//! Instants and durations in the API's forms.

use std::time::Duration;

use keypool_pool::Timestamp;

use super::number::Number;

/// RFC 3339 in UTC, to the millisecond.
pub(super) fn rfc3339(at: Timestamp) -> String {
    let micros = i64::try_from(at.as_unix_micros()).unwrap_or(i64::MAX);
    let instant = jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::MAX);
    format!("{instant:.3}")
}

/// An RFC 3339 time, or a date, which stands for its first moment in UTC.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let instant = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        let date = text.parse::<jiff::civil::Date>().ok()?;
        date.to_zoned(jiff::tz::TimeZone::UTC)
            .ok()
            .map(|zoned| zoned.timestamp())
    })?;
    u64::try_from(instant.as_microsecond())
        .ok()
        .map(Timestamp::from_unix_micros)
}

/// Milliseconds with one decimal.
pub(super) fn millis(duration: Duration) -> Number {
    Number::rounded(duration.as_secs_f64() * 1000.0, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_and_written_in_utc() {
        let start = parse("2027-01-31").unwrap();
        assert_eq!(rfc3339(start), "2027-01-31T00:00:00.000Z");
        assert_eq!(parse("2027-01-31T01:00:00+01:00"), Some(start));
        assert_eq!(
            rfc3339(Timestamp::from_unix_micros(1_500_999)),
            "1970-01-01T00:00:01.500Z"
        );
        assert_eq!(
            rfc3339(Timestamp::from_unix_micros(u64::MAX)).get(..5),
            Some("9999-")
        );
        for text in ["", "31.1.2027", "1969-01-01", "2027-02-30"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
