//! `GET /api/queue/status` and `POST /api/queue/clear`: the requests that wait for room.

use std::sync::Arc;

use axum::extract::State;
use keypool_pool::{Pool, QueueSnapshot, Urgency};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::envelope::{Answer, ApiError, Failure, Success};
use super::instant::rfc3339;
use super::named::Named;
use super::request::{JsonBody, Params, ProviderQuery, providers};
use crate::core::Core;
use crate::provider::Provider;
use crate::telemetry::POOL_LOG;

/// What waits, provider by provider.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct QueueStatus {
    /// Whether requests wait at all.
    enabled: bool,
    /// How long one may wait, in milliseconds.
    max_wait_ms: u64,
    /// How many may wait per provider.
    max_length: usize,
    /// How many wait, all providers together.
    length: usize,
    #[schema(value_type = std::collections::BTreeMap<String, QueueOfProvider>)]
    providers: Named<QueueOfProvider>,
}

/// What waits for one provider.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct QueueOfProvider {
    length: usize,
    /// Bytes of the bodies that wait.
    bytes: u64,
    /// Tokens that they ask for.
    tokens: u64,
    /// Their number by priority, the most urgent first.
    #[schema(value_type = std::collections::BTreeMap<String, usize>)]
    by_priority: Named<usize>,
    /// When the one that has waited for longest arrived; RFC 3339.
    oldest_since: Option<String>,
    /// When the next one may go, as far as is known; RFC 3339.
    next_turn_at: Option<String>,
}

/// What to clear.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body, which is read field by field")]
pub(super) struct ClearBody {
    /// All providers when absent.
    provider: Option<String>,
    /// `critical`, `high`, `normal`, `low` or `batch`; all of them when absent.
    priority: Option<String>,
}

/// How many requests were refused.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Cleared {
    cleared: usize,
}

/// The requests that wait for room.
#[utoipa::path(
    get, path = "/api/queue/status", tag = "pool", params(ProviderQuery),
    responses((status = 200, body = Success<QueueStatus>), (status = 404, body = Failure)),
)]
pub(super) async fn status(
    State(core): State<Arc<Core>>,
    Params(query): Params<ProviderQuery>,
) -> Answer<QueueStatus> {
    let providers = providers(&core, query.provider.as_deref())?;
    let of = |provider: &Arc<Provider>| {
        let snapshot = provider.pool.with(|pool, _| Pool::queue_snapshot(pool));
        (provider.name.clone(), QueueOfProvider::of(&snapshot))
    };
    let each: Vec<_> = providers.iter().map(of).collect();
    let live = core.live();
    let config = &live.config.queue;
    Ok(Success::ok(QueueStatus {
        enabled: config.enabled,
        max_wait_ms: u64::try_from(config.max_wait.as_millis()).unwrap_or(u64::MAX),
        max_length: config.max_length,
        length: each.iter().map(|(_, queue)| queue.length).sum(),
        providers: Named(each),
    }))
}

/// Refuses requests that wait, with a 429 that says when there will be room.
#[utoipa::path(
    post, path = "/api/queue/clear", tag = "pool", request_body = Option<ClearBody>,
    responses(
        (status = 200, body = Success<Cleared>),
        (status = 400, body = Failure),
        (status = 404, body = Failure),
    ),
)]
pub(super) async fn clear(
    State(core): State<Arc<Core>>,
    JsonBody(mut fields): JsonBody,
) -> Answer<Cleared> {
    let name = fields.text("provider")?;
    let priority = fields.text("priority")?;
    fields.finish()?;
    let urgency = priority.map(|text| urgency(&text)).transpose()?;
    let mut cleared = 0;
    for provider in providers(&core, name.as_deref())? {
        let count = provider
            .pool
            .with(|pool, now| pool.clear_queue(now, urgency));
        if count > 0 {
            tracing::info!(target: POOL_LOG, provider = %provider.name,
                "the queue was cleared: {count} requests were refused");
        }
        cleared += count;
    }
    Ok(Success::ok(Cleared { cleared }))
}

fn urgency(text: &str) -> Result<Urgency, ApiError> {
    text.parse().map_err(|_| {
        let names = Urgency::ALL.map(Urgency::as_str).join(", ");
        let message = format!("there is no such priority; there are: {names}");
        ApiError::field("unknown_priority", "priority", message)
    })
}

impl QueueOfProvider {
    fn of(queue: &QueueSnapshot) -> Self {
        let by_priority = queue
            .by_urgency
            .iter()
            .map(|&(urgency, count)| (urgency.as_str().to_owned(), count));
        Self {
            length: queue.length,
            bytes: queue.bytes,
            tokens: queue.tokens,
            by_priority: Named(by_priority.collect()),
            oldest_since: queue.oldest_since.map(rfc3339),
            next_turn_at: queue.next_turn_at.map(rfc3339),
        }
    }
}
