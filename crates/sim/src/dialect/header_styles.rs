//! Quota headers of providers that speak OpenAI's dialect in their own way. Whoever reads Groq's
//! `x-ratelimit-remaining-requests` as a count for the minute empties the day's quota before noon.
//!
//! Worked example: 14400 requests a day of which 30 are used, 6000 tokens a minute of which 2000 are
//! used. Groq: `x-ratelimit-remaining-requests: 14370`, `x-ratelimit-reset-requests: 3m0s`,
//! `x-ratelimit-remaining-tokens: 4000`, `x-ratelimit-reset-tokens: 20s`.

use super::quota_headers::{Header, Names, OPENAI_REQUESTS, OPENAI_TOKENS, Quota, go_duration};
use crate::SimTime;
use crate::model::Level;

const TOGETHER_REQUESTS: Names = [
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
];
const TOGETHER_TOKENS: Names = [
    "x-tokenlimit-limit",
    "x-tokenlimit-remaining",
    "x-tokenlimit-reset",
];

/// Seconds in the minute of which [`together`] shows one.
const SECONDS: u64 = 60;

/// Azure: OpenAI's names, the time until full in whole seconds.
pub(super) fn azure(quota: &Quota, now: SimTime) -> Vec<Header> {
    let seconds = |level: &Level| level.full_at.since(now).as_micros().div_ceil(1_000_000);
    let shown = [
        (OPENAI_REQUESTS, quota.requests),
        (OPENAI_TOKENS, quota.tokens.or(quota.input_tokens)),
    ];
    triples(shown, |level| {
        [
            level.limit.to_string(),
            level.remaining.to_string(),
            seconds(level).to_string(),
        ]
    })
}

/// Groq: requests of the day, tokens of the minute.
pub(super) fn groq(quota: &Quota, now: SimTime) -> Vec<Header> {
    let shown = [
        (OPENAI_REQUESTS, quota.requests_per_day),
        (OPENAI_TOKENS, quota.tokens.or(quota.input_tokens)),
    ];
    triples(shown, |level| {
        [
            level.limit.to_string(),
            level.remaining.to_string(),
            go_duration(level.full_at.since(now)),
        ]
    })
}

/// Together: what one second holds, and what is left of it.
pub(super) fn together(quota: &Quota) -> Vec<Header> {
    let shown = [
        (TOGETHER_REQUESTS, quota.requests),
        (TOGETHER_TOKENS, quota.tokens.or(quota.input_tokens)),
    ];
    triples(shown, |level| {
        let share = hundredths(level.limit.saturating_mul(100) / SECONDS);
        let left = level.remaining.saturating_mul(SECONDS).min(level.limit);
        let reset = if left < level.limit { "1" } else { "0" };
        let left = hundredths(left.saturating_mul(100) / SECONDS);
        [share, left, reset.to_owned()]
    })
}

/// `8333` as `83.33`, `8300` as `83`.
fn hundredths(count: u64) -> String {
    match (count / 100, count % 100) {
        (whole, 0) => whole.to_string(),
        (whole, rest) => format!("{whole}.{rest:02}"),
    }
}

fn triples<const N: usize>(
    shown: [(Names, Option<Level>); N],
    values: impl Fn(&Level) -> [String; 3],
) -> Vec<Header> {
    let levels = shown
        .into_iter()
        .filter_map(|(names, level)| Some((names, level?)));
    levels
        .flat_map(|(names, level)| names.into_iter().zip(values(&level)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: SimTime = SimTime::from_unix_micros(1_760_000_000_000_000);

    fn level(limit: u64, remaining: u64, full_in_millis: u64) -> Level {
        let full_at = NOW + std::time::Duration::from_millis(full_in_millis);
        Level {
            limit,
            remaining,
            full_at,
        }
    }

    fn quota() -> Quota {
        Quota {
            requests: Some(level(50, 49, 1200)),
            requests_per_day: Some(level(14_400, 14_370, 180_000)),
            tokens: Some(level(6000, 4000, 20_000)),
            ..Quota::default()
        }
    }

    fn values(headers: &[Header]) -> Vec<&str> {
        headers.iter().map(|(_, value)| value.as_str()).collect()
    }

    #[test]
    fn azure_resets_in_whole_seconds() {
        let headers = azure(&quota(), NOW);
        assert_eq!(values(&headers), ["50", "49", "2", "6000", "4000", "20"]);
    }

    #[test]
    fn groq_speaks_of_the_day_in_requests_and_of_the_minute_in_tokens() {
        let headers = groq(&quota(), NOW);
        let expected = ["14400", "14370", "3m0s", "6000", "4000", "20s"];
        assert_eq!(values(&headers), expected);
        assert_eq!(headers[1].0, "x-ratelimit-remaining-requests");
    }

    #[test]
    fn together_speaks_of_one_second() {
        let headers = together(&quota());
        assert_eq!(values(&headers), ["0.83", "0.83", "0", "100", "100", "0"]);
        let spent = Quota {
            requests: Some(level(120, 1, 500)),
            ..Quota::default()
        };
        assert_eq!(values(&together(&spent)), ["2", "1", "1"]);
    }
}
