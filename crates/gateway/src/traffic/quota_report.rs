//! What an answer says about its key's quota, brought from the wire's words into the pool's.

use std::time::Duration;

use http::HeaderMap;
use keypool_pool::{Dimension, QuotaOwner, QuotaReading, Timestamp};
use keypool_wire::{Counted, Endpoint, Period, ProviderKind, QuotaReadings};

use crate::traffic::failure::upstream_headers;

/// The limits that an answer's headers state, and what is left of them.
#[must_use]
pub(super) fn readings_of_head(
    kind: ProviderKind,
    headers: &HeaderMap,
    now: Timestamp,
) -> Vec<QuotaReading> {
    let headers = upstream_headers(headers);
    let readings = keypool_wire::quota_readings(kind, &headers, now.as_unix_micros());
    translated(&readings, now)
}

/// The limits that an error's body states.
#[must_use]
pub(super) fn readings_of_error(
    kind: ProviderKind,
    status: u16,
    body: &[u8],
    now: Timestamp,
) -> Vec<QuotaReading> {
    translated(
        &keypool_wire::quota_readings_of_error(kind, status, body),
        now,
    )
}

/// Who owns the quota, as an answer's headers name them. The organisation, where it is named: its limits
/// hold for all its workspaces and projects.
#[must_use]
pub(super) fn owner_of_head(kind: ProviderKind, headers: &HeaderMap) -> Option<QuotaOwner> {
    let headers = upstream_headers(headers);
    let owner = keypool_wire::quota_owner(kind, &headers);
    let (what, name) = match (owner.organisation, owner.workspace) {
        (Some(organisation), _) => ("organisation", organisation),
        (None, Some(workspace)) => ("workspace", workspace),
        (None, None) => return None,
    };
    let name = format!("{what} {}", keypool_wire::excerpt(name));
    Some(QuotaOwner {
        id: keypool_wire::session_hash(&name),
        name,
    })
}

/// The models whose quota is counted together with this one's. Counting tokens has a quota of its own.
#[must_use]
pub(super) fn model_class(kind: ProviderKind, endpoint: Endpoint, model: &str) -> &str {
    if endpoint.counts_tokens() {
        "count_tokens"
    } else {
        keypool_wire::model_class(kind, model)
    }
}

fn translated(readings: &QuotaReadings, now: Timestamp) -> Vec<QuotaReading> {
    let each = readings.iter().filter_map(|reading| {
        Some(QuotaReading {
            dimension: dimension(reading.counted, reading.period)?,
            limit: reading.limit,
            remaining: reading.remaining,
            resets_at: reading.resets_in.map(|wait: Duration| now + wait),
            grain: reading.grain,
        })
    });
    each.collect()
}

/// The pool's name for it; `None` for what no provider has been seen to limit.
const fn dimension(counted: Counted, period: Period) -> Option<Dimension> {
    Some(match (counted, period) {
        (Counted::Requests, Period::Second) => Dimension::RequestsPerSecond,
        (Counted::Requests, Period::Minute) => Dimension::RequestsPerMinute,
        (Counted::Requests, Period::Day) => Dimension::RequestsPerDay,
        (Counted::Tokens, Period::Second) => Dimension::TokensPerSecond,
        (Counted::Tokens, Period::Minute) => Dimension::TokensPerMinute,
        (Counted::Tokens | Counted::InputTokens, Period::Day) => Dimension::TokensPerDay,
        (Counted::InputTokens, Period::Minute) => Dimension::InputTokensPerMinute,
        (Counted::OutputTokens, Period::Minute) => Dimension::OutputTokensPerMinute,
        (Counted::InputTokens | Counted::OutputTokens, Period::Second)
        | (Counted::OutputTokens, Period::Day) => return None,
    })
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use keypool_wire::Dialect;

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_secs(1_795_348_800);

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |&(name, value)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    fn reading(readings: &[QuotaReading], dimension: Dimension) -> &QuotaReading {
        let mut found = readings
            .iter()
            .filter(|reading| reading.dimension == dimension);
        let reading = found
            .next()
            .unwrap_or_else(|| panic!("{dimension} in {readings:?}"));
        assert!(found.next().is_none(), "{dimension} twice in {readings:?}");
        reading
    }

    #[test]
    fn what_anthropic_states_is_taken_with_its_limit_its_rest_and_its_instant() {
        let head = headers(&[
            ("anthropic-ratelimit-requests-limit", "50"),
            ("anthropic-ratelimit-requests-remaining", "49"),
            ("anthropic-ratelimit-requests-reset", "2026-11-22T12:00:30Z"),
            ("anthropic-ratelimit-input-tokens-limit", "40000"),
            ("anthropic-ratelimit-input-tokens-remaining", "39000"),
            ("anthropic-ratelimit-output-tokens-limit", "8000"),
            ("anthropic-ratelimit-output-tokens-remaining", "8000"),
        ]);
        let readings = readings_of_head(ProviderKind::Anthropic, &head, NOW);
        let requests = reading(&readings, Dimension::RequestsPerMinute);
        assert_eq!((requests.limit, requests.remaining), (Some(50), Some(49)));
        let input = reading(&readings, Dimension::InputTokensPerMinute);
        assert_eq!((input.limit, input.remaining), (Some(40_000), Some(39_000)));
        let output = reading(&readings, Dimension::OutputTokensPerMinute);
        assert_eq!(output.limit, Some(8000));
    }

    #[test]
    fn a_reset_is_an_instant_of_the_pools_clock() {
        let head = headers(&[
            ("x-ratelimit-limit-requests", "60"),
            ("x-ratelimit-remaining-requests", "59"),
            ("x-ratelimit-reset-requests", "1s"),
        ]);
        let readings = readings_of_head(ProviderKind::OpenAi, &head, NOW);
        let requests = reading(&readings, Dimension::RequestsPerMinute);
        assert_eq!(requests.limit, Some(60));
        if let Some(at) = requests.resets_at {
            assert_eq!(at, NOW + Duration::from_secs(1));
        }
    }

    #[test]
    fn an_answer_that_states_nothing_teaches_nothing() {
        for kind in [
            ProviderKind::Anthropic,
            ProviderKind::OpenAi,
            ProviderKind::Generic(Dialect::OpenAi),
        ] {
            assert!(readings_of_head(kind, &HeaderMap::new(), NOW).is_empty());
            assert!(readings_of_error(kind, 429, b"not JSON", NOW).is_empty());
            assert!(owner_of_head(kind, &HeaderMap::new()).is_none());
        }
    }

    #[test]
    fn the_limit_in_an_error_of_openai_is_taken() {
        let body = br#"{"error":{"message":"Rate limit reached for gpt-4o in organization org-a on requests per min (RPM): Limit 3, Used 3, Requested 1. Please try again in 20s.","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#;
        let readings = readings_of_error(ProviderKind::OpenAi, 429, body, NOW);
        let requests = reading(&readings, Dimension::RequestsPerMinute);
        assert_eq!(requests.limit, Some(3));
    }

    #[test]
    fn the_organisation_owns_the_quota_and_two_answers_that_name_it_agree() {
        let named = |name: &'static str| headers(&[("anthropic-organization-id", name)]);
        let owner = |name| owner_of_head(ProviderKind::Anthropic, &named(name)).unwrap();
        assert_eq!(owner("org-a").id, owner("org-a").id);
        assert_ne!(owner("org-a").id, owner("org-b").id);
        assert_eq!(owner("org-a").name, "organisation org-a");
    }

    #[test]
    fn counting_tokens_has_a_quota_of_its_own() {
        let class = |endpoint| model_class(ProviderKind::Anthropic, endpoint, "claude-haiku-4-5");
        assert_eq!(class(Endpoint::CountTokens), "count_tokens");
        assert_ne!(class(Endpoint::Messages), "count_tokens");
    }

    #[test]
    fn every_period_that_the_pool_counts_has_its_dimension() {
        let named = [
            (
                Counted::Requests,
                Period::Second,
                Dimension::RequestsPerSecond,
            ),
            (
                Counted::Requests,
                Period::Minute,
                Dimension::RequestsPerMinute,
            ),
            (Counted::Requests, Period::Day, Dimension::RequestsPerDay),
            (Counted::Tokens, Period::Second, Dimension::TokensPerSecond),
            (Counted::Tokens, Period::Minute, Dimension::TokensPerMinute),
            (Counted::Tokens, Period::Day, Dimension::TokensPerDay),
            (
                Counted::InputTokens,
                Period::Minute,
                Dimension::InputTokensPerMinute,
            ),
            (
                Counted::OutputTokens,
                Period::Minute,
                Dimension::OutputTokensPerMinute,
            ),
        ];
        for (counted, period, expected) in named {
            assert_eq!(dimension(counted, period), Some(expected));
        }
        assert_eq!(dimension(Counted::OutputTokens, Period::Day), None);
        assert_eq!(dimension(Counted::InputTokens, Period::Second), None);
    }
}
