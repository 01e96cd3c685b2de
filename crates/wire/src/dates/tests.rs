use super::*;

fn micros(rfc3339: &str) -> u64 {
    parse_instant(rfc3339).unwrap()
}

#[test]
fn instants_are_read_in_both_forms() {
    let expected = 784_111_777_000_000;
    assert_eq!(parse_instant("1994-11-06T08:49:37Z"), Some(expected));
    assert_eq!(parse_instant("1994-11-06T09:49:37+01:00"), Some(expected));
    assert_eq!(
        parse_instant("Sun, 06 Nov 1994 08:49:37 GMT"),
        Some(expected)
    );
    assert_eq!(parse_instant("1969-12-31T00:00:00Z"), Some(0));
    for wrong in ["", "soon", "1994-11-06", "Sun, 99 Nov 1994 08:49:37 GMT"] {
        assert_eq!(parse_instant(wrong), None, "{wrong}");
    }
}

#[test]
fn the_next_month_starts_on_its_first_day_in_utc() {
    for (now, start) in [
        ("2026-11-22T10:00:00Z", "2026-12-01T00:00:00Z"),
        ("2026-12-31T23:59:59Z", "2027-01-01T00:00:00Z"),
        ("2028-01-31T00:00:00Z", "2028-02-01T00:00:00Z"),
    ] {
        assert_eq!(next_month(micros(now)), Some(micros(start)));
    }
    assert_eq!(next_month(u64::MAX), None);
}

#[test]
fn days_and_weeks_end_at_midnight_in_utc() {
    for (now, midnight, monday) in [
        (
            "2026-11-22T10:00:00Z",
            "2026-11-23T00:00:00Z",
            "2026-11-23T00:00:00Z",
        ),
        (
            "2026-11-23T00:00:00Z",
            "2026-11-24T00:00:00Z",
            "2026-11-30T00:00:00Z",
        ),
        (
            "2026-12-31T23:59:59Z",
            "2027-01-01T00:00:00Z",
            "2027-01-04T00:00:00Z",
        ),
    ] {
        assert_eq!(next_midnight(micros(now)), Some(micros(midnight)), "{now}");
        assert_eq!(next_monday(micros(now)), Some(micros(monday)), "{now}");
    }
    assert_eq!(next_midnight(u64::MAX), None);
    assert_eq!(next_monday(u64::MAX), None);
}

#[test]
fn pacific_midnight_follows_summer_time() {
    for (now, midnight) in [
        // Winter: eight hours behind.
        ("2026-11-22T10:00:00Z", "2026-11-23T08:00:00Z"),
        ("2026-11-22T07:59:59Z", "2026-11-22T08:00:00Z"),
        // Summer: seven.
        ("2026-07-01T10:00:00Z", "2026-07-02T07:00:00Z"),
        // The nights in which the clocks change: 8 March and 1 November 2026, at 2 o'clock.
        ("2026-03-08T09:00:00Z", "2026-03-09T07:00:00Z"),
        ("2026-11-01T07:30:00Z", "2026-11-02T08:00:00Z"),
    ] {
        assert_eq!(
            next_pacific_midnight(micros(now)),
            Some(micros(midnight)),
            "{now}"
        );
    }
}

#[test]
fn a_date_stated_in_a_sentence_is_found() {
    for (message, instant) in [
        (
            "You will regain access on 2026-12-01 at 00:00 UTC.",
            "2026-12-01T00:00:00Z",
        ),
        ("access on 2026-12-05 at 13:45 UTC", "2026-12-05T13:45:00Z"),
        ("try after 2026-12-05.", "2026-12-05T00:00:00Z"),
        ("at 2026-12-05T13:45:10Z", "2026-12-05T13:45:00Z"),
        (
            "claude-x-20260101 is limited until 2027-01-31",
            "2027-01-31T00:00:00Z",
        ),
    ] {
        assert_eq!(stated_instant(message), Some(micros(instant)), "{message}");
    }
    for message in ["", "next month", "2026-13-01", "é2026-1"] {
        assert_eq!(stated_instant(message), None, "{message}");
    }
}
