//! `GET /api/apikeys/health`: every key's state, and why it is what it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use keypool_pool::{ErrorNote, KeyState, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::envelope::{Answer, Failure, Success};
use super::instant::rfc3339;
use super::named::Named;
use super::number::Number;
use super::request::{Params, ProviderQuery, providers};
use super::stats::{StateCounts, average_health_score};
use crate::core::Core;
use crate::telemetry::{KeyView, ProviderView, census};

/// A provider's keys and their health.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProviderHealth {
    #[serde(flatten)]
    states: StateCounts,
    /// Mean over the keys, 0 to 100.
    average_health_score: Number,
    keys: Vec<KeyHealth>,
}

/// One key's health.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct KeyHealth {
    /// The key, masked.
    key: String,
    /// Its stable id; accepted wherever a key is named.
    id: String,
    name: Option<String>,
    enabled: bool,
    /// Its weight, 1 to 100.
    priority: u8,
    /// `healthy`, `degraded`, `rate-limited` or `unavailable`.
    health: &'static str,
    /// 0 to 100.
    health_score: u8,
    /// The score in a word: `excellent`, `good`, `degraded` or `poor`.
    health_band: &'static str,
    /// The state's colour: `green`, `yellow`, `orange` or `red`.
    health_color: &'static str,
    /// Requests given to the key.
    request_count: u64,
    /// Those that failed by the key's or the provider's fault.
    error_count: u64,
    /// RFC 3339.
    last_used: Option<String>,
    /// When the provider will accept it again; RFC 3339.
    rate_limited_until: Option<String>,
    /// When an unavailable key is tried again; RFC 3339.
    next_probe: Option<String>,
    last_error: Option<LastError>,
}

/// What last went wrong with a key.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct LastError {
    /// RFC 3339.
    at: String,
    /// The provider's HTTP status, if it answered.
    status: Option<u16>,
    code: String,
    message: String,
}

/// The keys of every provider, with their states.
#[utoipa::path(
    get, path = "/api/apikeys/health", tag = "keys", params(ProviderQuery),
    responses(
        (status = 200, body = Success<BTreeMap<String, ProviderHealth>>),
        (status = 404, body = Failure),
    ),
)]
pub(super) async fn get(
    State(core): State<Arc<Core>>,
    Params(query): Params<ProviderQuery>,
) -> Answer<Named<ProviderHealth>> {
    let views = census(&providers(&core, query.provider.as_deref())?);
    let health = views
        .iter()
        .map(|view| (view.provider.name.clone(), ProviderHealth::of(view)));
    Ok(Success::ok(Named(health.collect())))
}

impl ProviderHealth {
    fn of(view: &ProviderView) -> Self {
        Self {
            states: StateCounts::of(view.keys.iter()),
            average_health_score: average_health_score(view.keys.iter()),
            keys: view.keys.iter().map(KeyHealth::of).collect(),
        }
    }
}

impl KeyHealth {
    /// What is shown of a key wherever it is listed.
    pub(super) fn of(key: &KeyView) -> Self {
        let now = &key.now;
        Self {
            key: key.mask.clone(),
            id: now.config.id.to_string(),
            name: now.config.name.clone(),
            enabled: now.config.enabled,
            priority: now.config.priority.get(),
            health: now.state.as_str(),
            health_score: now.health_score,
            health_band: band(now.health_score),
            health_color: color(now.state),
            request_count: now.requests,
            error_count: now.errors,
            last_used: now.last_used.map(rfc3339),
            rate_limited_until: now.rate_limited_until.map(rfc3339),
            next_probe: now.next_probe.map(rfc3339),
            last_error: now
                .last_error
                .as_ref()
                .map(|(at, note)| LastError::new(*at, note)),
        }
    }
}

impl LastError {
    fn new(at: Timestamp, note: &ErrorNote) -> Self {
        Self {
            at: rfc3339(at),
            status: note.status,
            code: note.code.clone(),
            message: note.message.clone(),
        }
    }
}

/// A health score in a word.
pub(super) fn band(score: u8) -> &'static str {
    match score {
        90.. => "excellent",
        70..=89 => "good",
        50..=69 => "degraded",
        _ => "poor",
    }
}

/// A state's colour.
pub(super) fn color(state: KeyState) -> &'static str {
    match state {
        KeyState::Healthy => "green",
        KeyState::Degraded => "yellow",
        KeyState::RateLimited => "orange",
        KeyState::Unavailable => "red",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_begin_and_end_where_they_are_said_to() {
        // acceptance 46
        let bands = [
            (100, "excellent"),
            (90, "excellent"),
            (89, "good"),
            (70, "good"),
        ];
        let lower = [
            (69, "degraded"),
            (50, "degraded"),
            (49, "poor"),
            (0, "poor"),
        ];
        for (score, word) in bands.into_iter().chain(lower) {
            assert_eq!(band(score), word, "{score}");
        }
    }

    #[test]
    fn each_state_has_the_colour_of_the_guide() {
        // acceptance 48
        let states = [
            KeyState::Healthy,
            KeyState::Degraded,
            KeyState::RateLimited,
            KeyState::Unavailable,
        ];
        assert_eq!(states.map(color), ["green", "yellow", "orange", "red"]);
    }
}
