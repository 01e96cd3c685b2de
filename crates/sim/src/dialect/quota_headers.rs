//! The state of the quota, in the headers of each provider.
//!
//! Anthropic gives the RFC 3339 instant at which a counter is full again and rounds token counts to
//! thousands; OpenAI gives the time until then in Go's notation (`6m0s`, `17ms`).

use std::time::Duration;

use super::{Dialect, header_styles};
use crate::model::meters::Level;
use crate::{HeaderStyle, SimTime};

/// The counters that one answer shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quota {
    /// Requests per minute, or per day where only days are limited.
    pub requests: Option<Level>,
    /// Requests per day.
    pub requests_per_day: Option<Level>,
    /// Input tokens per minute.
    pub input_tokens: Option<Level>,
    /// Output tokens per minute.
    pub output_tokens: Option<Level>,
    /// Input and output tokens together, per minute.
    pub tokens: Option<Level>,
    /// The key's own limit on tokens per minute, below that of its organisation.
    pub project_tokens: Option<Level>,
}

/// A header of an answer: its name in lower case, and its value.
pub type Header = (&'static str, String);

/// The names under which a counter's limit, remainder and reset are shown.
pub(super) type Names = [&'static str; 3];

const ANTHROPIC_REQUESTS: Names = [
    "anthropic-ratelimit-requests-limit",
    "anthropic-ratelimit-requests-remaining",
    "anthropic-ratelimit-requests-reset",
];
const ANTHROPIC_TOKENS: Names = [
    "anthropic-ratelimit-tokens-limit",
    "anthropic-ratelimit-tokens-remaining",
    "anthropic-ratelimit-tokens-reset",
];
const ANTHROPIC_INPUT: Names = [
    "anthropic-ratelimit-input-tokens-limit",
    "anthropic-ratelimit-input-tokens-remaining",
    "anthropic-ratelimit-input-tokens-reset",
];
const ANTHROPIC_OUTPUT: Names = [
    "anthropic-ratelimit-output-tokens-limit",
    "anthropic-ratelimit-output-tokens-remaining",
    "anthropic-ratelimit-output-tokens-reset",
];
pub(super) const OPENAI_REQUESTS: Names = [
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
];
pub(super) const OPENAI_TOKENS: Names = [
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-tokens",
];
const OPENAI_PROJECT_TOKENS: Names = [
    "x-ratelimit-limit-project-tokens",
    "x-ratelimit-remaining-project-tokens",
    "x-ratelimit-reset-project-tokens",
];

/// The headers that show `quota` as seen at `now`. With `scaled`, instants keep their fractions.
pub(crate) fn render(
    dialect: Dialect,
    style: HeaderStyle,
    quota: &Quota,
    now: SimTime,
    scaled: bool,
) -> Vec<Header> {
    match (style, dialect) {
        (HeaderStyle::Dialect, Dialect::Anthropic) => anthropic(quota, scaled),
        (HeaderStyle::Dialect, Dialect::OpenAi) => openai(quota, now),
        (HeaderStyle::None, _) | (HeaderStyle::Dialect, Dialect::Gemini) => Vec::new(),
        (HeaderStyle::Azure, _) => header_styles::azure(quota, now),
        (HeaderStyle::Groq, _) => header_styles::groq(quota, now),
        (HeaderStyle::Together, _) => header_styles::together(quota),
    }
}

fn anthropic(quota: &Quota, scaled: bool) -> Vec<Header> {
    let both = quota
        .input_tokens
        .zip(quota.output_tokens)
        .map(|(input, output)| sum(input, output));
    let shown = [
        (ANTHROPIC_REQUESTS, quota.requests, 1),
        (ANTHROPIC_TOKENS, quota.tokens.or(both), 1000),
        (ANTHROPIC_INPUT, quota.input_tokens, 1000),
        (ANTHROPIC_OUTPUT, quota.output_tokens, 1000),
    ];
    let headers = |(names, level, grain): (Names, Option<Level>, u64)| {
        let level = level?;
        let [limit, remaining, reset] = names;
        Some([
            (limit, level.limit.to_string()),
            (remaining, rounded(level.remaining, grain).to_string()),
            (reset, instant(level.full_at, scaled)),
        ])
    };
    shown.into_iter().filter_map(headers).flatten().collect()
}

fn sum(input: Level, output: Level) -> Level {
    Level {
        limit: input.limit.saturating_add(output.limit),
        remaining: input.remaining.saturating_add(output.remaining),
        full_at: input.full_at.max(output.full_at),
    }
}

fn openai(quota: &Quota, now: SimTime) -> Vec<Header> {
    let shown = [
        (OPENAI_REQUESTS, quota.requests),
        (OPENAI_TOKENS, quota.tokens.or(quota.input_tokens)),
        (OPENAI_PROJECT_TOKENS, quota.project_tokens),
    ];
    let headers = |(names, level): (Names, Option<Level>)| {
        let level = level?;
        let [limit, remaining, reset] = names;
        Some([
            (limit, level.limit.to_string()),
            (remaining, level.remaining.to_string()),
            (reset, go_duration(level.full_at.since(now))),
        ])
    };
    shown.into_iter().filter_map(headers).flatten().collect()
}

/// To the nearest multiple of `grain`.
fn rounded(count: u64, grain: u64) -> u64 {
    (count.saturating_add(grain / 2) / grain).saturating_mul(grain)
}

/// Whole seconds, rounded up, unless the minute is shortened: there a second may be the whole window.
fn instant(at: SimTime, scaled: bool) -> String {
    let micros = at.as_unix_micros();
    let micros = if scaled {
        micros
    } else {
        micros.div_ceil(1_000_000).saturating_mul(1_000_000)
    };
    let micros = i64::try_from(micros).unwrap_or(i64::MAX);
    jiff::Timestamp::from_microsecond(micros)
        .unwrap_or(jiff::Timestamp::MAX)
        .to_string()
}

/// Go's notation, to the millisecond, rounded up: `1h0m0s`, `6m0s`, `1.5s`, `17ms`, `0s`.
pub(crate) fn go_duration(duration: Duration) -> String {
    let millis = duration.as_micros().div_ceil(1000);
    let (seconds, rest) = (millis / 1000, millis % 1000);
    if seconds == 0 {
        return if rest == 0 {
            "0s".to_owned()
        } else {
            format!("{rest}ms")
        };
    }
    let fraction = match rest {
        0 => String::new(),
        rest => format!(".{rest:03}").trim_end_matches('0').to_owned(),
    };
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}{fraction}s"),
        (0, _) => format!("{minutes}m{seconds}{fraction}s"),
        _ => format!("{hours}h{minutes}m{seconds}{fraction}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_go_writes_them() {
        let go = |micros| go_duration(Duration::from_micros(micros));
        assert_eq!(go(0), "0s");
        assert_eq!(go(17_000), "17ms");
        assert_eq!(go(1_000_000), "1s");
        assert_eq!(go(1_499_001), "1.5s");
        assert_eq!(go(360_000_000), "6m0s");
        assert_eq!(go(3_723_500_000), "1h2m3.5s");
        assert_eq!(go(86_400_000_000), "24h0m0s");
    }

    fn level(limit: u64, remaining: u64) -> Level {
        let full_at = SimTime::from_unix_micros(1_760_000_000_000_001);
        Level {
            limit,
            remaining,
            full_at,
        }
    }

    #[test]
    fn anthropic_rounds_tokens_to_thousands_and_resets_to_whole_seconds() {
        let quota = Quota {
            requests: Some(level(50, 49)),
            input_tokens: Some(level(30_000, 29_400)),
            output_tokens: Some(level(8000, 7500)),
            ..Quota::default()
        };
        let headers = render(
            Dialect::Anthropic,
            HeaderStyle::Dialect,
            &quota,
            SimTime::default(),
            false,
        );
        let get = |name: &str| {
            let name = format!("anthropic-ratelimit-{name}");
            headers
                .iter()
                .find(|(known, _)| *known == name)
                .unwrap()
                .1
                .clone()
        };
        assert_eq!(get("requests-remaining"), "49");
        assert_eq!(get("input-tokens-remaining"), "29000");
        assert_eq!(get("output-tokens-remaining"), "8000");
        assert_eq!(get("tokens-limit"), "38000");
        assert_eq!(get("tokens-remaining"), "37000");
        assert_eq!(get("requests-reset"), "2025-10-09T08:53:21Z");
    }

    #[test]
    fn openai_gives_the_time_until_full() {
        let quota = Quota {
            requests: Some(level(500, 499)),
            tokens: Some(level(30_000, 1)),
            ..Quota::default()
        };
        let now = SimTime::from_unix_micros(1_759_999_999_880_001);
        let headers = render(Dialect::OpenAi, HeaderStyle::Dialect, &quota, now, false);
        assert!(headers.contains(&("x-ratelimit-reset-requests", "120ms".to_owned())));
        assert!(headers.contains(&("x-ratelimit-remaining-tokens", "1".to_owned())));
        assert_eq!(headers.len(), 6);
    }
}
