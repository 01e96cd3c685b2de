//! `GET /api/apikeys/stats`: the pool in a dozen numbers.

use std::sync::Arc;

use axum::extract::State;
use keypool_pool::KeyState;
use serde::Serialize;
use utoipa::ToSchema;

use super::envelope::{Answer, Failure, Success};
use super::named::Named;
use super::number::{Number, ratio, shares};
use super::request::{Params, ProviderQuery, providers};
use crate::core::Core;
use crate::telemetry::{KeyView, ProviderView, census};

/// The pool in numbers.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stats {
    #[serde(flatten)]
    states: StateCounts,
    /// Requests given to keys; one that failed over counts for each key that was tried.
    total_requests: u64,
    /// Those that failed by the key's or the provider's fault.
    total_errors: u64,
    /// Mean over the keys, 0 to 100; 0 without keys.
    average_health_score: Number,
    /// Each key's share of the requests in percent; adds up to 100 once there were any.
    #[schema(value_type = std::collections::BTreeMap<String, f64>)]
    key_utilization: Named<Number>,
    /// How much of its tightest limit each key has used or reserved, in percent; null for a key
    /// without limits.
    #[schema(value_type = std::collections::BTreeMap<String, Option<f64>>)]
    limit_utilization: Named<Option<Number>>,
}

/// Keys by state. The four states add up to the total.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the API's own names")]
pub(super) struct StateCounts {
    total_keys: usize,
    healthy_keys: usize,
    degraded_keys: usize,
    rate_limited_keys: usize,
    unavailable_keys: usize,
    /// Those that an operator disabled; counted in their state as well.
    disabled_keys: usize,
}

/// Totals over the keys of all providers, or of one.
#[utoipa::path(
    get, path = "/api/apikeys/stats", tag = "keys", params(ProviderQuery),
    responses((status = 200, body = Success<Stats>), (status = 404, body = Failure)),
)]
pub(super) async fn get(
    State(core): State<Arc<Core>>,
    Params(query): Params<ProviderQuery>,
) -> Answer<Stats> {
    let views = census(&providers(&core, query.provider.as_deref())?);
    Ok(Success::ok(stats(&views)))
}

/// The numbers of some providers together.
pub(super) fn stats(views: &[ProviderView]) -> Stats {
    let keys = || views.iter().flat_map(|view| &view.keys);
    let requests: Vec<u64> = keys().map(|key| key.now.requests).collect();
    let limits = views.iter().flat_map(|view| {
        view.keys
            .iter()
            .map(move |key| (key.mask.clone(), limit_utilization(view, key)))
    });
    Stats {
        states: StateCounts::of(keys()),
        total_requests: requests.iter().sum(),
        total_errors: keys().map(|key| key.now.errors).sum(),
        average_health_score: average_health_score(keys()),
        key_utilization: Named(
            keys()
                .map(|key| key.mask.clone())
                .zip(shares(&requests))
                .collect(),
        ),
        limit_utilization: Named(limits.collect()),
    }
}

/// The share of its tightest limit, its own or its quota group's, that a key has used or reserved.
pub(super) fn limit_utilization(view: &ProviderView, key: &KeyView) -> Option<Number> {
    let used = view.meters_of(key).map(|meter| {
        ratio(
            meter.used.saturating_add(meter.reserved),
            meter.limit.max(1),
        ) * 100.0
    });
    used.reduce(f64::max)
        .map(|percent| Number::rounded(percent, 1))
}

/// Mean over the keys with one decimal.
pub(super) fn average_health_score<'a>(keys: impl Iterator<Item = &'a KeyView>) -> Number {
    let (count, sum) = keys.fold((0, 0), |(count, sum), key| {
        (count + 1, sum + u64::from(key.now.health_score))
    });
    if count == 0 {
        Number::rounded(0.0, 1)
    } else {
        Number::rounded(ratio(sum, count), 1)
    }
}

impl StateCounts {
    /// Counts keys by their states.
    pub(super) fn of<'a>(keys: impl Iterator<Item = &'a KeyView>) -> Self {
        let mut counts = Self::default();
        for key in keys {
            counts.add(key.now.state, key.now.config.enabled);
        }
        counts
    }

    fn add(&mut self, state: KeyState, enabled: bool) {
        self.total_keys += 1;
        self.disabled_keys += usize::from(!enabled);
        *match state {
            KeyState::Healthy => &mut self.healthy_keys,
            KeyState::Degraded => &mut self.degraded_keys,
            KeyState::RateLimited => &mut self.rate_limited_keys,
            KeyState::Unavailable => &mut self.unavailable_keys,
        } += 1;
    }
}
