use proptest::prelude::*;

use super::*;

/// 2026-11-22T10:00:00Z
const NOW: u64 = 1_795_341_600_000_000;

fn wait(headers: &[(&str, &str)]) -> Option<Duration> {
    retry_after(&headers, NOW)
}

fn reset(headers: &[(&str, &str)]) -> Option<Duration> {
    exhausted_reset(&headers, NOW)
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "it stands beside `None` in every table"
)]
fn millis(millis: u64) -> Option<Duration> {
    Some(Duration::from_millis(millis))
}

#[test]
fn now_is_what_the_tests_say_it_is() {
    assert_eq!(parse_instant("2026-11-22T10:00:00Z"), Some(NOW));
}

// acceptance 51
#[test]
fn retry_after_is_understood_in_every_form() {
    for (value, expected) in [
        ("17", millis(17_000)),
        (" 2 ", millis(2_000)),
        ("0", millis(0)),
        ("0.25", millis(250)),
        ("86400", millis(86_400_000)),
        ("Sun, 22 Nov 2026 10:01:30 GMT", millis(90_000)),
        ("Sun, 22 Nov 2026 09:00:00 GMT", millis(0)),
        ("2026-11-22T10:00:05Z", millis(5_000)),
        ("6m0s", millis(360_000)),
        ("1e99", Some(RETRY_AFTER_MAX)),
        ("inf", Some(RETRY_AFTER_MAX)),
        ("-5", None),
        ("NaN", None),
        ("soon", None),
        ("", None),
    ] {
        assert_eq!(wait(&[("Retry-After", value)]), expected, "{value}");
    }
}

// acceptance 51
#[test]
fn instants_are_held_against_the_answers_own_date_where_the_clocks_differ() {
    for date in [
        // A provider whose clock is a day ahead of ours or behind, for whatever reason.
        "Mon, 23 Nov 2026 10:00:00 GMT",
        "Sat, 21 Nov 2026 10:00:00 GMT",
    ] {
        let day = &date[..17];
        let after = format!("{day}10:01:30 GMT");
        let headers = [("date", date), ("retry-after", after.as_str())];
        assert_eq!(wait(&headers), millis(90_000), "{date}");
        let full_at = parse_instant(date).unwrap() / 1_000_000 + 7;
        let full_at = full_at.to_string();
        let headers = [
            ("date", date),
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", &full_at),
        ];
        assert_eq!(reset(&headers), millis(7_000), "{date}");
    }
    // A date is cut to its second, so one that is about ours says nothing new.
    let headers = [
        ("date", "Sun, 22 Nov 2026 09:59:58 GMT"),
        ("retry-after", "2026-11-22T10:00:05Z"),
    ];
    assert_eq!(wait(&headers), millis(5_000));
    for senseless in ["", "yesterday", "Sun, 99 Nov 2026 10:00:00 GMT"] {
        let headers = [("date", senseless), ("retry-after", "2026-11-22T10:00:05Z")];
        assert_eq!(wait(&headers), millis(5_000), "{senseless}");
    }
}

// acceptance 51
#[test]
fn milliseconds_come_before_seconds_unless_senseless() {
    let headers = [("retry-after", "2"), ("retry-after-ms", "350")];
    assert_eq!(wait(&headers), millis(350));
    let headers = [("retry-after", "2"), ("retry-after-ms", "-1")];
    assert_eq!(wait(&headers), millis(2_000));
}

// acceptance 51
#[test]
fn the_reset_of_an_exhausted_limit_counts_and_no_others() {
    let headers = [
        ("anthropic-ratelimit-requests-remaining", "12"),
        ("anthropic-ratelimit-requests-reset", "2026-11-22T11:00:00Z"),
        ("anthropic-ratelimit-input-tokens-remaining", "0"),
        (
            "anthropic-ratelimit-input-tokens-reset",
            "2026-11-22T10:00:30Z",
        ),
    ];
    assert_eq!(reset(&headers), millis(30_000));
    assert_eq!(reset(&headers[..2]), None);
}

// acceptance 51
#[test]
fn the_latest_of_several_exhausted_limits_counts() {
    let headers = [
        ("x-ratelimit-remaining-requests", "0"),
        ("x-ratelimit-reset-requests", "17ms"),
        ("x-ratelimit-remaining-tokens", "0"),
        ("x-ratelimit-reset-tokens", "6m0s"),
    ];
    assert_eq!(reset(&headers), millis(360_000));
}

// acceptance 51
#[test]
fn a_reset_may_be_a_number_of_seconds_or_an_epoch() {
    for (value, expected) in [
        ("59", millis(59_000)),
        ("1795341610", millis(10_000)),
        ("1795341610500", millis(10_500)),
        ("1795341000", millis(0)),
        ("-1", None),
        ("never", None),
    ] {
        let headers = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", value)];
        assert_eq!(reset(&headers), expected, "{value}");
    }
}

#[test]
fn headers_that_say_nothing_give_no_wait() {
    assert_eq!(wait(&[]), None);
    assert_eq!(reset(&[]), None);
    assert_eq!(reset(&[("x-ratelimit-remaining-tokens", "-1")]), None);
}

#[test]
fn durations_are_sums_of_their_terms() {
    for (text, expected) in [
        ("1s", millis(1_000)),
        ("17ms", millis(17)),
        ("1h2m3.5s", millis(3_723_500)),
        ("1d", millis(86_400_000)),
        ("250us", Some(Duration::from_micros(250))),
        ("250µs", Some(Duration::from_micros(250))),
        ("10.689924287s", Some(Duration::from_nanos(10_689_924_287))),
        ("0s", millis(0)),
        ("", None),
        ("s", None),
        ("5", None),
        ("5 s", None),
        ("5x", None),
        ("1.2.3s", None),
        ("-5s", None),
    ] {
        assert_eq!(go_duration(text), expected, "{text}");
    }
}

// acceptance 51
#[test]
fn a_wait_stated_in_a_sentence_is_found() {
    for (message, expected) in [
        ("please try again in 6m0s.", millis(360_000)),
        ("please try again in 20s. visit https://x", millis(20_000)),
        ("please try again in 350ms.", millis(350)),
        ("please try again in 1.242s", millis(1_242)),
        ("please try again in 5 seconds.", millis(5_000)),
        ("please try again in 2 minutes.", millis(120_000)),
        ("please try again in 250 ms.", millis(250)),
        ("please try again in 250 milliseconds.", millis(250)),
        ("please try again in 2 hours.", millis(7_200_000)),
        ("please try again in 1 day.", millis(86_400_000)),
        ("please retry in 22.5s.", millis(22_500)),
        ("please retry after 8 seconds.", millis(8_000)),
        ("do not retry in haste; try again in 3s", millis(3_000)),
        ("please try again in a while.", None),
        ("try again in ", None),
        ("no wait here.", None),
    ] {
        assert_eq!(stated_in_message(message), expected, "{message}");
    }
}

#[test]
fn a_period_named_by_its_length_ends_with_it_in_utc() {
    let hours = |hours: u64| millis(hours * 3_600_000);
    for (value, expected) in [
        ("daily", hours(14)),
        // It is Sunday.
        ("weekly", hours(14)),
        ("monthly", hours(14 + 8 * 24)),
        ("2026-11-22T11:00:00Z", hours(1)),
        ("1795345200", hours(1)),
        ("yearly", None),
    ] {
        assert_eq!(stated_reset(value, NOW), expected, "{value}");
    }
}

proptest! {
    #[test]
    fn any_value_is_read_without_panic(value in ".*", at in any::<u64>()) {
        for headers in [
            [("retry-after", value.as_str()), ("x", "")],
            [("retry-after-ms", value.as_str()), ("x", "")],
            [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", value.as_str())],
        ] {
            _ = (retry_after(&headers, at), exhausted_reset(&headers, at));
        }
        _ = stated_in_message(&format!("try again in {value}"));
        _ = stated_reset(&value, at);
    }

    #[test]
    fn any_number_with_a_unit_is_read_without_panic(number in "[0-9.]{0,30}", unit in "[a-zµ]{0,3}") {
        _ = go_duration(&format!("{number}{unit}"));
    }
}
