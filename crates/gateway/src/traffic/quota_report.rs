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
    match endpoint {
        Endpoint::CountTokens => "count_tokens",
        _ => keypool_wire::model_class(kind, model),
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
