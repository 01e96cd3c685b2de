use proptest::prelude::*;

use super::*;
use crate::dialect::Dialect;
use Counted::{InputTokens, OutputTokens, Requests, Tokens};
use Period::{Day, Minute, Second};
use ProviderKind as P;

/// 2026-11-22T10:00:00Z
const NOW: u64 = 1_795_341_600_000_000;
const GENERIC: P = P::Generic(Dialect::OpenAi);

/// Counted, period, limit, remaining, milliseconds to the reset.
type Expected = (Counted, Period, Option<u64>, Option<u64>, Option<u64>);

fn plain(readings: &QuotaReadings) -> Vec<Expected> {
    readings
        .iter()
        .map(|reading| {
            (
                reading.counted,
                reading.period,
                reading.limit,
                reading.remaining,
                reading
                    .resets_in
                    .map(|wait| u64::try_from(wait.as_millis()).unwrap()),
            )
        })
        .collect()
}

#[track_caller]
fn check(provider: P, headers: &[(&str, &str)], expected: &[Expected]) {
    let readings = quota_readings(provider, &headers, NOW);
    assert_eq!(plain(&readings), expected, "{provider:?} {headers:?}");
}

#[track_caller]
fn check_error(provider: P, status: u16, body: &str, expected: &[Expected]) {
    let readings = quota_readings_of_error(provider, status, body.as_bytes());
    assert_eq!(plain(&readings), expected, "{provider:?} {status} {body}");
}

/// A reading without a reset.
const fn read(counted: Counted, period: Period, limit: u64, remaining: u64) -> Expected {
    (counted, period, Some(limit), Some(remaining), None)
}

#[test]
fn anthropics_headers_are_per_minute_and_reset_at_an_instant() {
    let headers = [
        ("anthropic-ratelimit-requests-limit", "1000"),
        ("anthropic-ratelimit-requests-remaining", "999"),
        ("anthropic-ratelimit-requests-reset", "2026-11-22T10:00:01Z"),
        ("anthropic-ratelimit-input-tokens-limit", "2000000"),
        ("anthropic-ratelimit-input-tokens-remaining", "1960000"),
        (
            "anthropic-ratelimit-input-tokens-reset",
            "2026-11-22T10:00:02Z",
        ),
        ("anthropic-ratelimit-output-tokens-limit", "400000"),
        ("anthropic-ratelimit-output-tokens-remaining", "400000"),
        (
            "anthropic-ratelimit-output-tokens-reset",
            "2026-11-22T09:59:59Z",
        ),
    ];
    let expected = [
        (Requests, Minute, Some(1000), Some(999), Some(1000)),
        (
            InputTokens,
            Minute,
            Some(2_000_000),
            Some(1_960_000),
            Some(2000),
        ),
        (OutputTokens, Minute, Some(400_000), Some(400_000), Some(0)),
    ];
    for provider in [P::Anthropic, P::Generic(Dialect::Anthropic)] {
        check(provider, &headers, &expected);
        let grains: Vec<u64> = quota_readings(provider, &headers, NOW)
            .iter()
            .map(|reading| reading.grain)
            .collect();
        assert_eq!(grains, [1, 1000, 1000]);
    }
}

#[test]
fn anthropics_figure_for_all_tokens_counts_only_where_it_is_a_limit_of_its_own() {
    let input = read(InputTokens, Minute, 50_000, 40_000);
    let output = read(OutputTokens, Minute, 10_000, 9_000);
    let all = |limit| read(Tokens, Minute, limit, 5_000);
    let parts = [
        ("anthropic-ratelimit-input-tokens-limit", "50000"),
        ("anthropic-ratelimit-input-tokens-remaining", "40000"),
        ("anthropic-ratelimit-output-tokens-limit", "10000"),
        ("anthropic-ratelimit-output-tokens-remaining", "9000"),
    ];
    for (limit, counts) in [
        ("60000", false), // the sum
        ("10000", false), // the more restrictive of the two
        ("50000", false),
        ("90000", false),
        ("30000", false), // lower than one of them only
        ("8000", true),   // a workspace's own
    ] {
        let mut headers = parts.to_vec();
        headers.push(("anthropic-ratelimit-tokens-limit", limit));
        headers.push(("anthropic-ratelimit-tokens-remaining", "5000"));
        let mut expected = vec![input, output];
        if counts {
            expected.push(all(limit.parse().unwrap()));
        }
        check(P::Anthropic, &headers, &expected);
    }
    check(
        P::Anthropic,
        &[
            ("anthropic-ratelimit-tokens-limit", "60000"),
            ("anthropic-ratelimit-tokens-remaining", "5000"),
        ],
        &[all(60_000)],
    );
    check(
        P::Anthropic,
        &[
            ("anthropic-ratelimit-output-tokens-remaining", "9000"),
            ("anthropic-ratelimit-tokens-limit", "6000"),
            ("anthropic-ratelimit-tokens-remaining", "5000"),
        ],
        &[(OutputTokens, Minute, None, Some(9_000), None)],
    );
}

#[test]
fn openais_headers_give_durations_and_their_period_is_told_by_the_refill() {
    for provider in [P::OpenAi, P::Xai, GENERIC] {
        check(
            provider,
            &[
                ("x-ratelimit-limit-requests", "500"),
                ("x-ratelimit-remaining-requests", "499"),
                ("x-ratelimit-reset-requests", "120ms"),
                ("x-ratelimit-limit-tokens", "30000"),
                ("x-ratelimit-remaining-tokens", "20000"),
                ("x-ratelimit-reset-tokens", "20s"),
            ],
            &[
                (Requests, Minute, Some(500), Some(499), Some(120)),
                (Tokens, Minute, Some(30_000), Some(20_000), Some(20_000)),
            ],
        );
    }
    for (remaining, reset, period, millis) in [
        ("9999", "8.64s", Day, Some(8_640)),  // 1/10000 of a day
        ("9999", "8.4s", Day, Some(8_400)),   // rounded: within 3 %
        ("9999", "8.2s", Minute, Some(8200)), // too far off
        ("10000", "8.64s", Minute, Some(8640)),
        ("0", "60s", Minute, Some(60_000)),
        ("0", "75s", Minute, Some(75_000)),
        ("0", "76s", Day, Some(76_000)),
        ("7000", "7h12m0s", Day, Some(25_920_000)),
        ("9000", "soon", Minute, None),
        ("9000", "-3s", Minute, None),
        ("9000", "99999h", Minute, None),
        ("9000", "inf", Minute, None),
        ("9000", "NaN", Minute, None),
    ] {
        check(
            P::OpenAi,
            &[
                ("x-ratelimit-limit-requests", "10000"),
                ("x-ratelimit-remaining-requests", remaining),
                ("x-ratelimit-reset-requests", reset),
            ],
            &[(
                Requests,
                period,
                Some(10_000),
                Some(remaining.parse().unwrap()),
                millis,
            )],
        );
    }
}

#[test]
fn the_tighter_of_organisation_and_project_counts() {
    for (limit, remaining, project_limit, project_remaining, left) in [
        (40_000, 30_000, 10_000, 5_000, (10_000, 5_000)),
        (40_000, 10_000, 10_000, 5_000, (40_000, 10_000)),
        (40_000, 20_000, 10_000, 5_000, (10_000, 5_000)), // equal shares: the smaller limit
        (40_000, 0, 10_000, 5_000, (40_000, 0)),
    ] {
        check(
            P::OpenAi,
            &[
                ("x-ratelimit-limit-tokens", &limit.to_string()),
                ("x-ratelimit-remaining-tokens", &remaining.to_string()),
                (
                    "x-ratelimit-limit-project-tokens",
                    &project_limit.to_string(),
                ),
                (
                    "x-ratelimit-remaining-project-tokens",
                    &project_remaining.to_string(),
                ),
            ],
            &[read(Tokens, Minute, left.0, left.1)],
        );
    }
    check(
        P::OpenAi,
        &[("x-ratelimit-remaining-project-tokens", "7")],
        &[(Tokens, Minute, None, Some(7), None)],
    );
}

#[test]
fn azures_integers_are_seconds_of_a_fixed_minute_and_its_minus_ones_are_nothing() {
    check(
        P::Azure,
        &[
            ("x-ratelimit-limit-requests", "1440"),
            ("x-ratelimit-remaining-requests", "1439"),
            // A refilling limit would be one of a day.
            ("x-ratelimit-reset-requests", "60"),
            ("x-ratelimit-limit-tokens", "240000"),
            ("x-ratelimit-remaining-tokens", "230000"),
            ("x-ratelimit-reset-tokens", "12"),
        ],
        &[
            (Requests, Minute, Some(1440), Some(1439), Some(60_000)),
            (Tokens, Minute, Some(240_000), Some(230_000), Some(12_000)),
        ],
    );
    for (limit, remaining) in [
        ("-1", "-1"),
        ("-1", "0"),
        ("0", "-1"),
        ("0", "0"),
        ("1440", "-1"),
    ] {
        check(
            P::Azure,
            &[
                ("x-ratelimit-limit-requests", limit),
                ("x-ratelimit-remaining-requests", remaining),
                ("x-ratelimit-reset-requests", "-1"),
            ],
            &[],
        );
    }
}

#[test]
fn groqs_requests_are_of_the_day_and_its_tokens_of_the_minute() {
    check(
        P::Groq,
        &[
            ("x-ratelimit-limit-requests", "14400"),
            ("x-ratelimit-limit-tokens", "18000"),
            ("x-ratelimit-remaining-requests", "14370"),
            ("x-ratelimit-remaining-tokens", "17997"),
            ("x-ratelimit-reset-requests", "2m59.56s"),
            ("x-ratelimit-reset-tokens", "7.66s"),
        ],
        &[
            (Requests, Day, Some(14_400), Some(14_370), Some(179_560)),
            (Tokens, Minute, Some(18_000), Some(17_997), Some(7_660)),
        ],
    );
    check(
        P::Groq,
        &[
            ("x-ratelimit-remaining-requests", "5"),
            ("x-ratelimit-limit-tokens", "500000"),
            ("x-ratelimit-remaining-tokens", "400000"),
            ("x-ratelimit-reset-tokens", "4h48m"),
        ],
        &[
            (Requests, Day, None, Some(5), None),
            (Tokens, Day, Some(500_000), Some(400_000), Some(17_280_000)),
        ],
    );
}

#[test]
fn together_counts_by_the_second() {
    check(
        P::Together,
        &[
            ("x-ratelimit-limit", "10"),
            ("x-ratelimit-remaining", "9"),
            ("x-ratelimit-reset", "1"),
            ("x-tokenlimit-limit", "3000"),
            ("x-tokenlimit-remaining", "2999.5"),
        ],
        &[
            (Requests, Second, Some(10), Some(9), Some(1000)),
            read(Tokens, Second, 3000, 2999),
        ],
    );
    check(
        P::Together,
        &[
            ("x-ratelimit-limit", "0.5"),
            ("x-ratelimit-remaining", "0.0"),
        ],
        &[],
    );
}

#[test]
fn mistral_names_the_minute_in_its_headers() {
    check(
        P::Mistral,
        &[
            ("x-ratelimit-limit-tokens-minute", "5000000"),
            ("x-ratelimit-remaining-tokens-minute", "4999911"),
            ("x-ratelimit-tokens-query-cost", "52"),
            ("x-ratelimit-limit-req-minute", "720"),
            ("x-ratelimit-remaining-req-minute", "717"),
        ],
        &[
            read(Requests, Minute, 720, 717),
            read(Tokens, Minute, 5_000_000, 4_999_911),
        ],
    );
    check(
        P::Mistral,
        &[
            ("ratelimitbysize-reset", "24"),
            ("x-ratelimitbysize-limit-minute", "500000"),
            ("x-ratelimitbysize-remaining-minute", "499000"),
            ("x-ratelimitbysize-limit-month", "1000000000"),
            ("x-ratelimitbysize-remaining-month", "7"),
            ("x-ratelimit-remaining", "0"),
        ],
        &[
            read(Tokens, Minute, 500_000, 499_000),
            (Requests, Second, None, Some(0), None),
        ],
    );
}

#[test]
fn openrouter_is_believed_only_with_its_own_kind_of_reset() {
    let headers = |reset: &'static str| {
        [
            ("x-ratelimit-limit", "20"),
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", reset),
        ]
    };
    check(
        P::OpenRouter,
        &headers("1795341630000"),
        &[(Requests, Minute, Some(20), Some(0), Some(30_000))],
    );
    check(
        P::OpenRouter,
        &headers("1795392000000"),
        &[(Requests, Day, Some(20), Some(0), Some(50_400_000))],
    );
    for foreign in ["30", "6m0s", "1795341630", "", "x"] {
        check(P::OpenRouter, &headers(foreign), &[]);
    }
    check(
        P::OpenRouter,
        &[
            ("x-ratelimit-limit-requests", "9"),
            ("x-ratelimit-limit", "9"),
        ],
        &[],
    );
}

#[test]
fn cerebras_and_fireworks_have_names_of_their_own() {
    check(
        P::Cerebras,
        &[
            ("x-ratelimit-limit-requests-day", "14400"),
            ("x-ratelimit-remaining-requests-day", "14399"),
            ("x-ratelimit-reset-requests-day", "33011.38"),
            ("x-ratelimit-limit-tokens-minute", "60000"),
            ("x-ratelimit-remaining-tokens-minute", "59000"),
            ("x-ratelimit-reset-tokens-minute", "11.38"),
            ("x-ratelimit-limit-tokens-hour", "1000000"),
        ],
        &[
            (Requests, Day, Some(14_400), Some(14_399), Some(33_011_380)),
            (Tokens, Minute, Some(60_000), Some(59_000), Some(11_380)),
        ],
    );
    check(
        P::Cerebras,
        &[
            ("x-ratelimit-limit-requests-minute", "30"),
            ("x-ratelimit-remaining-tokens-day", "5"),
        ],
        &[
            (Requests, Minute, Some(30), None, None),
            (Tokens, Day, None, Some(5), None),
        ],
    );
    check(
        P::Fireworks,
        &[
            ("x-ratelimit-limit-tokens-prompt", "60000"),
            ("x-ratelimit-remaining-tokens-prompt", "59000"),
            ("x-ratelimit-limit-tokens-generated", "3600"),
        ],
        &[
            read(InputTokens, Minute, 60_000, 59_000),
            (OutputTokens, Minute, Some(3600), None, None),
        ],
    );
}

#[test]
fn who_sends_no_quota_headers_is_not_read() {
    let headers = [
        ("x-ratelimit-limit-requests", "500"),
        ("anthropic-ratelimit-requests-limit", "500"),
        ("x-ratelimit-limit", "500"),
    ];
    for provider in [P::Gemini, P::DeepSeek, P::Generic(Dialect::Gemini)] {
        check(provider, &headers, &[]);
    }
}

#[test]
fn senseless_figures_never_become_readings() {
    for (limit, remaining, expected) in [
        ("500", "501", Some((Some(500), Some(500)))),
        ("500", "0", Some((Some(500), Some(0)))),
        (" 500 ", "7", Some((Some(500), Some(7)))),
        ("0", "0", Some((Some(0), Some(0)))),
        ("0", "5", None),
        ("-1", "5", None),
        ("500", "-5", None),
        ("many", "5", None),
        ("500", "", None),
        ("30,000", "5", None),
        ("1e9", "5", None),
        ("500.5", "7.9", Some((Some(500), Some(7)))),
        ("500.x", "7", None),
        ("100, 100;w=60", "5", None),
        ("18446744073709551615", "5", None),
        ("99999999999999999999999", "5", None),
        ("1000000000000001", "5", None),
    ] {
        let headers = [
            ("x-ratelimit-limit-requests", limit),
            ("x-ratelimit-remaining-requests", remaining),
        ];
        let expected: Vec<Expected> = expected
            .into_iter()
            .map(|(limit, remaining)| (Requests, Minute, limit, remaining, None))
            .collect();
        check(P::OpenAi, &headers, &expected);
    }
    check(
        P::OpenAi,
        &[
            ("x-ratelimit-limit-tokens", "9"),
            ("x-ratelimit-reset-requests", "1s"),
        ],
        &[(Tokens, Minute, Some(9), None, None)],
    );
    check(P::OpenAi, &[("x-ratelimit-limit-requests", "0")], &[]);
    check(P::OpenAi, &[], &[]);
}

fn openai_error(message: &str) -> String {
    format!(
        r#"{{"error":{{"message":"{message}","type":"tokens","param":null,"code":"rate_limit_exceeded"}}}}"#
    )
}

#[test]
fn a_sentence_names_the_limit_and_what_was_used() {
    for (says, expected) in [
        (
            "Rate limit reached for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Used 29000, Requested 2000. Please try again in 2s.",
            Some(read(Tokens, Minute, 30_000, 1_000)),
        ),
        (
            "Rate limit reached for gpt-4o in organization org-x on requests per min (RPM): Limit 3, Used 3, Requested 1. Please try again in 20s.",
            Some(read(Requests, Minute, 3, 0)),
        ),
        (
            "Rate limit reached for gpt-4o on requests per day (RPD): Limit 200, Used 200, Requested 1. Please try again in 7m12s.",
            Some(read(Requests, Day, 200, 0)),
        ),
        (
            "Rate limit reached for model `x` in organization `org_1` service tier `on_demand` on tokens per day (TPD): Limit 500000, Used 500900, Requested 12. Please try again in 4m.",
            Some(read(Tokens, Day, 500_000, 0)),
        ),
        (
            "Rate limit reached on input tokens per minute (ITPM): Limit 30,000, Used 29,999, Requested 7.",
            Some(read(InputTokens, Minute, 30_000, 1)),
        ),
        (
            "Rate limit reached on output tokens per minute (OTPM): Limit 1,000,000, Used 5.",
            Some(read(OutputTokens, Minute, 1_000_000, 999_995)),
        ),
        (
            "Rate limit reached for default-x in organization org-x on requests per min. Limit: 3 / min. Please try again in 20s.",
            Some((Requests, Minute, Some(3), None, None)),
        ),
        (
            "Request too large for gpt-4o on tokens per min (TPM): Limit 10000, Requested 12000.",
            Some((Tokens, Minute, Some(10_000), None, None)),
        ),
        ("Limit 30000, Used 29000", None),
        ("on tokens per min (TPM): Limit 30k, Used 2", None),
        ("on tokens per min (TPM): Limit 1.5M, Used 2", None),
        ("on tokens per min (TPM): Limit 30,00, Used 2", None),
        (
            "on tokens per min (TPM): Limit 0, Used 0, Requested 5",
            None,
        ),
        (
            "on tokens per min (TPM): Limit 99999999999999999999999, Used 2",
            None,
        ),
        ("on images per min (IPM): Limit 5, Used 5", None),
        ("Rate limit reached", None),
    ] {
        for provider in [P::OpenAi, P::Azure, P::Groq, GENERIC] {
            check_error(provider, 429, &openai_error(says), expected.as_slice());
        }
        check_error(P::Groq, 413, &openai_error(says), expected.as_slice());
        check_error(P::OpenAi, 400, &openai_error(says), &[]);
        // Somebody else's sentence, handed on.
        check_error(P::OpenRouter, 429, &openai_error(says), &[]);
    }
}

fn violation(id: &str, value: &str) -> String {
    format!(
        r#"{{"quotaMetric":"generativelanguage.googleapis.com/x","quotaId":"{id}","quotaDimensions":{{"model":"gemini-2.5-flash","location":"global"}},"quotaValue":{value}}}"#
    )
}

#[test]
fn geminis_violations_name_the_limit_of_which_nothing_is_left() {
    let body = |violations: &[String]| {
        format!(
            r#"{{"error":{{"code":429,"status":"RESOURCE_EXHAUSTED","message":"x","details":[{{"@type":"type.googleapis.com/google.rpc.Help"}},{{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{}]}},{{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"22s"}}]}}}}"#,
            violations.join(",")
        )
    };
    let all = [
        violation(
            "GenerateRequestsPerMinutePerProjectPerModel-FreeTier",
            "\"10\"",
        ),
        violation(
            "GenerateRequestsPerDayPerProjectPerModel-FreeTier",
            "\"250\"",
        ),
        violation(
            "GenerateContentPaidTierInputTokensPerModelPerMinute-PaidTier2",
            "3000000",
        ),
        violation("SpendPerTenMinutes", "\"10\""),
        violation("GenerateRequestsPerProject", "\"10\""),
    ];
    let expected = [
        read(Requests, Minute, 10, 0),
        read(Requests, Day, 250, 0),
        read(InputTokens, Minute, 3_000_000, 0),
    ];
    check_error(P::Gemini, 429, &body(&all), &expected);
    check_error(P::Gemini, 429, &format!("[{}]", body(&all)), &expected);
    check_error(P::Gemini, 400, &body(&all), &[]);
    let unreadable = [violation(
        "GenerateContentInputTokensPerModelPerMinute-FreeTier",
        "\"many\"",
    )];
    check_error(
        P::Gemini,
        429,
        &body(&unreadable),
        &[(InputTokens, Minute, None, Some(0), None)],
    );
    for nothing in ["", "<html>", "[]", "{}", r#"{"error":{"details":{}}}"#] {
        check_error(P::Gemini, 429, nothing, &[]);
    }
}

fn every_provider() -> impl Strategy<Value = P> {
    prop::sample::select(
        P::names()
            .filter_map(P::from_name)
            .chain([Dialect::Anthropic, Dialect::OpenAi, Dialect::Gemini].map(P::Generic))
            .collect::<Vec<_>>(),
    )
}

proptest! {
    #[test]
    fn whatever_the_headers_say_a_reading_makes_sense(
        provider in every_provider(),
        values in prop::collection::vec(
            prop_oneof!["[0-9]{1,25}", "-?[0-9]{1,4}", "[0-9.]{1,8}(ms|s|m|h)?", ".{0,12}", "20[0-9]{2}-1[0-2]-2[0-8]T10:00:00Z"],
            15,
        ),
        now in any::<u64>(),
    ) {
        let names: Vec<&str> = table::rows(provider)
            .iter()
            .flat_map(|row| [row.limit, row.remaining, row.reset])
            .collect();
        let headers: Vec<(&str, &str)> = names.into_iter().zip(values.iter().map(String::as_str)).collect();
        let readings = quota_readings(provider, &headers.as_slice(), now);
        prop_assert!(readings.len() <= QUOTA_READINGS_MAX);
        for (index, reading) in readings.iter().enumerate() {
            prop_assert!(reading.limit.is_some() || reading.remaining.is_some());
            prop_assert!(reading.limit.is_none_or(|limit| reading.remaining.is_none_or(|left| left <= limit)));
            prop_assert!(reading.limit != Some(0) || reading.remaining == Some(0));
            prop_assert!(reading.grain > 0);
            let is_same = |other: &QuotaReading| (other.counted, other.period) == (reading.counted, reading.period);
            prop_assert!(!readings[..index].iter().any(is_same));
        }
    }

    #[test]
    fn any_error_body_is_read_without_panic(
        provider in every_provider(),
        body in prop::collection::vec(any::<u8>(), 0..100),
        says in ".{0,20}(limit|used)[: ]*[0-9,.]{0,30}.{0,20}",
    ) {
        _ = quota_readings_of_error(provider, 429, &body);
        let message = serde_json::json!({ "error": { "message": format!("{says} (TPM)") } });
        for reading in quota_readings_of_error(provider, 429, message.to_string().as_bytes()) {
            prop_assert!(reading.limit.is_some_and(|limit| limit > 0));
        }
    }
}
