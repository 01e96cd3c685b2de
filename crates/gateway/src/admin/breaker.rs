//! `/api/circuit-breaker/…`: which providers and models are left alone for a while, and an operator's
//! hand on it.

use std::sync::Arc;

use axum::extract::State;
use keypool_pool::{BreakerSnapshot, BreakerState, Pool};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::envelope::{Answer, Failure, Success};
use super::instant::rfc3339;
use super::named::Named;
use super::request::{JsonBody, Params, ProviderQuery, provider, providers};
use crate::core::Core;
use crate::telemetry::POOL_LOG;

/// The circuit breakers of all providers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BreakerStatus {
    #[schema(value_type = std::collections::BTreeMap<String, BreakersOfProvider>)]
    providers: Named<BreakersOfProvider>,
}

/// One provider's circuit breakers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BreakersOfProvider {
    #[serde(flatten)]
    whole: ShownBreaker,
    /// Models with trouble of late; all others are closed.
    #[schema(value_type = std::collections::BTreeMap<String, ShownBreaker>)]
    models: Named<ShownBreaker>,
}

/// One circuit breaker.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ShownBreaker {
    /// `closed`, `open` or `half_open`.
    state: &'static str,
    /// Whether an operator opened it; then it stays open until it is reset.
    forced: bool,
    /// When an open one lets a request try; RFC 3339.
    open_until: Option<String>,
    /// Requests of the last ten seconds, counted while there is trouble.
    requests: u64,
    /// Those of them that no key served.
    failures: u64,
    /// How often it has opened.
    times_opened: u64,
}

/// Which circuit breakers to close.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body, which is read field by field")]
pub(super) struct ResetBody {
    /// All providers when absent.
    provider: Option<String>,
    /// The provider and all its models when absent.
    model: Option<String>,
}

/// Which circuit breaker to open.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body, which is read field by field")]
pub(super) struct ForceOpenBody {
    provider: String,
    /// The provider as a whole when absent.
    model: Option<String>,
}

/// How many were not closed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Reset {
    reset: usize,
}

/// The circuit breakers: one for each provider, and one for each model with trouble of late.
#[utoipa::path(
    get, path = "/api/circuit-breaker/status", tag = "pool", params(ProviderQuery),
    responses((status = 200, body = Success<BreakerStatus>), (status = 404, body = Failure)),
)]
pub(super) async fn status(
    State(core): State<Arc<Core>>,
    Params(query): Params<ProviderQuery>,
) -> Answer<BreakerStatus> {
    let providers = providers(&core, query.provider.as_deref())?;
    let of = providers.iter().map(|provider| {
        let breakers = provider.pool.with(Pool::breakers);
        (provider.name.clone(), BreakersOfProvider::of(&breakers))
    });
    Ok(Success::ok(BreakerStatus {
        providers: Named(of.collect()),
    }))
}

/// Closes circuit breakers, so that requests go through again at once.
#[utoipa::path(
    post, path = "/api/circuit-breaker/reset", tag = "pool", request_body = Option<ResetBody>,
    responses(
        (status = 200, body = Success<Reset>),
        (status = 400, body = Failure),
        (status = 404, body = Failure),
    ),
)]
pub(super) async fn reset(
    State(core): State<Arc<Core>>,
    JsonBody(mut fields): JsonBody,
) -> Answer<Reset> {
    let name = fields.text("provider")?;
    let model = fields.text("model")?;
    fields.finish()?;
    let mut reset = 0;
    for provider in providers(&core, name.as_deref())? {
        let pool = &provider.pool;
        reset += pool.with(|pool, now| pool.reset_breaker(now, model.as_deref()));
    }
    tracing::info!(target: POOL_LOG, "circuit breakers were reset by an operator: {reset}");
    Ok(Success::ok(Reset { reset }))
}

/// Opens a circuit breaker until it is reset: requests go to fallbacks, or are refused.
#[utoipa::path(
    post, path = "/api/circuit-breaker/force-open", tag = "pool", request_body = ForceOpenBody,
    responses(
        (status = 200, body = Success<BreakersOfProvider>),
        (status = 400, body = Failure),
        (status = 404, body = Failure),
    ),
)]
pub(super) async fn force_open(
    State(core): State<Arc<Core>>,
    JsonBody(mut fields): JsonBody,
) -> Answer<BreakersOfProvider> {
    let name = fields.required_text("provider")?;
    let model = fields.text("model")?;
    fields.finish()?;
    let provider = provider(&core, &name)?;
    let breakers = provider.pool.with(|pool, now| {
        pool.force_breaker_open(now, model.as_deref());
        pool.breakers(now)
    });
    Ok(Success::ok(BreakersOfProvider::of(&breakers)))
}

impl BreakersOfProvider {
    fn of(breakers: &[BreakerSnapshot]) -> Self {
        let whole = breakers.iter().find(|breaker| breaker.model.is_none());
        let models = breakers.iter().filter_map(|breaker| {
            let model = breaker.model.clone()?;
            Some((model, ShownBreaker::of(breaker)))
        });
        Self {
            whole: whole.map_or_else(ShownBreaker::closed, ShownBreaker::of),
            models: Named(models.collect()),
        }
    }
}

impl ShownBreaker {
    fn of(breaker: &BreakerSnapshot) -> Self {
        Self {
            state: breaker.state.as_str(),
            forced: breaker.forced,
            open_until: breaker.open_until.map(rfc3339),
            requests: breaker.requests,
            failures: breaker.failures,
            times_opened: breaker.times_opened,
        }
    }

    const fn closed() -> Self {
        Self {
            state: BreakerState::Closed.as_str(),
            forced: false,
            open_until: None,
            requests: 0,
            failures: 0,
            times_opened: 0,
        }
    }
}
