//! `GET /api/metrics/realtime`: a few totals, small enough to be asked for every second.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use keypool_pool::Usage;
use serde::Serialize;
use utoipa::ToSchema;

use super::envelope::{Answer, Success};
use super::named::Named;
use super::number::Number;
use super::stats::{StateCounts, average_health_score};
use crate::core::Core;
use crate::telemetry::{KeyView, census};

/// Totals of the gateway and of each provider, since the start.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Realtime {
    #[serde(flatten)]
    overall: Totals,
    /// Streams that are being relayed.
    streams_open: u64,
    upstream_connections_opened: u64,
    #[schema(value_type = std::collections::BTreeMap<String, Totals>)]
    providers: Named<Totals>,
}

/// Totals over some keys.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Totals {
    requests: u64,
    successes: u64,
    errors: u64,
    rate_limits: u64,
    in_flight: u64,
    input_tokens: u64,
    output_tokens: u64,
    cached_tokens: u64,
    average_health_score: Number,
    #[serde(flatten)]
    states: StateCounts,
}

/// Totals since the start.
#[utoipa::path(
    get, path = "/api/metrics/realtime", tag = "gateway",
    responses((status = 200, body = Success<Realtime>)),
)]
pub(super) async fn get(State(core): State<Arc<Core>>) -> Answer<Realtime> {
    let views = census(core.live().providers());
    let each = views
        .iter()
        .map(|view| (view.provider.name.clone(), Totals::of(&view.keys.iter())));
    let providers = Named(each.collect());
    let measurements = &core.measurements;
    Ok(Success::ok(Realtime {
        overall: Totals::of(&views.iter().flat_map(|view| &view.keys)),
        streams_open: measurements.streams_open.load(Ordering::Relaxed),
        upstream_connections_opened: measurements.connections_opened.load(Ordering::Relaxed),
        providers,
    }))
}

impl Totals {
    fn of<'a>(keys: &(impl Iterator<Item = &'a KeyView> + Clone)) -> Self {
        let keys = || keys.clone();
        let sum = |count: fn(&KeyView) -> u64| keys().map(count).sum();
        let cached = |usage: &Usage| {
            usage
                .cache_read_tokens
                .saturating_add(usage.cache_write_tokens)
        };
        Self {
            requests: sum(|key| key.now.requests),
            successes: sum(|key| key.now.successes),
            errors: sum(|key| key.now.errors),
            rate_limits: sum(|key| key.now.errors_by_class.rate_limited),
            in_flight: sum(|key| u64::from(key.now.in_flight)),
            input_tokens: sum(|key| key.now.usage.input_tokens),
            output_tokens: sum(|key| key.now.usage.output_tokens),
            cached_tokens: keys().map(|key| cached(&key.now.usage)).sum(),
            average_health_score: average_health_score(keys()),
            states: StateCounts::of(keys()),
        }
    }
}
