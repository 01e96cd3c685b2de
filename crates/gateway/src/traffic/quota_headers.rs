//! The pool's quota in the header names in which the client's API states a key's.
//!
//! Clients that pace themselves by these headers would pace themselves by one key's quota; so the
//! key's are taken out and the pool's are put in: sum of limits, sum of what remains, earliest reset.

use std::time::Duration;

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderName, HeaderValue};
use keypool_pool::{Dimension, MeterSnapshot, Timestamp};
use keypool_wire::Dialect;

use crate::pool_shell::SharedPool;

/// How long the headers are used before they are made anew: summing takes time in proportion to the
/// number of keys, and no client paces itself by the second.
const FRESH: Duration = Duration::from_secs(1);

/// The headers as they were a moment ago, for the dialect and the model class that were asked for last:
/// mostly they are asked for again.
#[derive(Debug, Default)]
pub(crate) struct QuotaHeaders(ArcSwap<Made>);

#[derive(Debug, Default)]
struct Made {
    at: Option<Timestamp>,
    dialect: Option<Dialect>,
    model_class: String,
    headers: HeaderMap,
}

impl QuotaHeaders {
    /// Adds the headers to an answer.
    pub(crate) fn write_to(
        &self,
        headers: &mut HeaderMap,
        pool: &SharedPool,
        dialect: Dialect,
        model_class: &str,
    ) {
        let now = pool.time().now();
        let made = self.0.load();
        if made
            .at
            .is_some_and(|at| now.saturating_duration_since(at) < FRESH)
            && made.dialect == Some(dialect)
            && made.model_class == model_class
        {
            headers.extend(made.headers.clone());
            return;
        }
        let totals = pool.with(|pool, now| pool.quota_totals(now, model_class));
        let fresh = quota_headers(dialect, &totals, now);
        headers.extend(fresh.clone());
        self.0.store(
            Made {
                at: Some(now),
                dialect: Some(dialect),
                model_class: model_class.to_owned(),
                headers: fresh,
            }
            .into(),
        );
    }
}

fn quota_headers(dialect: Dialect, totals: &[MeterSnapshot], now: Timestamp) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for total in totals {
        let Some([limit, remaining, reset]) = names(dialect, total.dimension) else {
            continue;
        };
        let reset_text = match dialect {
            Dialect::Anthropic => rfc3339(total.resets_at),
            Dialect::OpenAi | Dialect::Gemini => {
                duration_text(total.resets_at.saturating_duration_since(now))
            }
        };
        headers.insert(limit, HeaderValue::from(total.limit));
        headers.insert(remaining, HeaderValue::from(total.remaining.max(0)));
        if let Ok(value) = HeaderValue::try_from(reset_text) {
            headers.insert(reset, value);
        }
    }
    headers
}

/// Limit, remaining and reset; `None` where the dialect has no header for it (providers.md §2).
fn names(dialect: Dialect, dimension: Dimension) -> Option<[HeaderName; 3]> {
    let names = match (dialect, dimension) {
        (Dialect::Anthropic, Dimension::RequestsPerMinute) => [
            "anthropic-ratelimit-requests-limit",
            "anthropic-ratelimit-requests-remaining",
            "anthropic-ratelimit-requests-reset",
        ],
        (Dialect::Anthropic, Dimension::TokensPerMinute) => [
            "anthropic-ratelimit-tokens-limit",
            "anthropic-ratelimit-tokens-remaining",
            "anthropic-ratelimit-tokens-reset",
        ],
        (Dialect::Anthropic, Dimension::InputTokensPerMinute) => [
            "anthropic-ratelimit-input-tokens-limit",
            "anthropic-ratelimit-input-tokens-remaining",
            "anthropic-ratelimit-input-tokens-reset",
        ],
        (Dialect::Anthropic, Dimension::OutputTokensPerMinute) => [
            "anthropic-ratelimit-output-tokens-limit",
            "anthropic-ratelimit-output-tokens-remaining",
            "anthropic-ratelimit-output-tokens-reset",
        ],
        (Dialect::OpenAi, Dimension::RequestsPerMinute) => [
            "x-ratelimit-limit-requests",
            "x-ratelimit-remaining-requests",
            "x-ratelimit-reset-requests",
        ],
        (Dialect::OpenAi, Dimension::TokensPerMinute) => [
            "x-ratelimit-limit-tokens",
            "x-ratelimit-remaining-tokens",
            "x-ratelimit-reset-tokens",
        ],
        _ => return None,
    };
    Some(names.map(HeaderName::from_static))
}

fn rfc3339(at: Timestamp) -> String {
    let seconds = i64::try_from(at.as_unix_micros().div_ceil(1_000_000)).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds)
        .map(|at| at.to_string())
        .unwrap_or_default()
}

/// A duration as Go writes it, which is how `OpenAI` does: `6m0s`, `1s`, `20ms`.
fn duration_text(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis < 1000 {
        return format!("{millis}ms");
    }
    let seconds = millis.div_ceil(1000);
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, minutes, seconds) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_secs(1_700_000_000);

    fn total(dimension: Dimension) -> MeterSnapshot {
        let resets_at = NOW + Duration::from_secs(90);
        MeterSnapshot {
            dimension,
            model_class: None,
            limit: 150,
            used: 20,
            reserved: 5,
            remaining: 125,
            resets_at,
        }
    }

    #[test]
    fn each_dialect_gets_its_own_names_and_its_own_form_of_reset() {
        let totals = [
            total(Dimension::RequestsPerMinute),
            total(Dimension::RequestsPerDay),
        ];
        let anthropic = quota_headers(Dialect::Anthropic, &totals, NOW);
        assert_eq!(anthropic.len(), 3);
        assert_eq!(anthropic["anthropic-ratelimit-requests-limit"], "150");
        assert_eq!(anthropic["anthropic-ratelimit-requests-remaining"], "125");
        assert_eq!(
            anthropic["anthropic-ratelimit-requests-reset"],
            "2023-11-14T22:14:50Z"
        );
        let openai = quota_headers(Dialect::OpenAi, &totals, NOW);
        assert_eq!(openai["x-ratelimit-limit-requests"], "150");
        assert_eq!(openai["x-ratelimit-reset-requests"], "1m30s");
    }

    #[test]
    fn durations_read_as_go_writes_them() {
        for (millis, text) in [
            (20, "20ms"),
            (1000, "1s"),
            (360_000, "6m0s"),
            (3_723_000, "1h2m3s"),
        ] {
            assert_eq!(duration_text(Duration::from_millis(millis)), text);
        }
    }
}
