//! `GET /api/shin/status`, `POST /api/shin/enable` and `/disable`: one request at a time ("shin mode"), per
//! key or per provider. Those that come meanwhile wait their turn.

use std::sync::Arc;

use axum::extract::State;
use keypool_pool::{Command, Sequential};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::change::{command, exclusively};
use super::envelope::{Answer, ApiError, Failure, Success};
use super::named::Named;
use super::operations::OptionalProvider;
use super::request::{JsonBody, Params, ProviderQuery, providers};
use crate::core::Core;
use crate::provider::Provider;
use crate::state::Change;
use crate::telemetry::POOL_LOG;

/// Whether each provider serves one request at a time.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ShinStatus {
    #[schema(value_type = std::collections::BTreeMap<String, ShinOfProvider>)]
    providers: Named<ShinOfProvider>,
}

/// How one provider serves requests.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ShinOfProvider {
    enabled: bool,
    /// `off`, `key` or `provider`: one request at a time on each key, or in all.
    mode: &'static str,
    in_flight: u64,
    /// Requests that wait.
    waiting: usize,
}

/// What to enable.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body, which is read field by field")]
pub(super) struct EnableBody {
    /// All providers when absent.
    provider: Option<String>,
    /// `key` (the default) or `provider`.
    mode: Option<String>,
}

/// Whether one request is served at a time.
#[utoipa::path(
    get, path = "/api/shin/status", tag = "pool", params(ProviderQuery),
    responses((status = 200, body = Success<ShinStatus>), (status = 404, body = Failure)),
)]
pub(super) async fn status(
    State(core): State<Arc<Core>>,
    Params(query): Params<ProviderQuery>,
) -> Answer<ShinStatus> {
    let providers = providers(&core, query.provider.as_deref())?;
    Ok(Success::ok(ShinStatus::of(&providers)))
}

/// Serves one request at a time from the next one on; those in flight end in peace.
#[utoipa::path(
    post, path = "/api/shin/enable", tag = "pool", request_body = Option<EnableBody>,
    responses(
        (status = 200, body = Success<ShinStatus>),
        (status = 400, body = Failure),
        (status = 404, body = Failure),
    ),
)]
pub(super) async fn enable(
    State(core): State<Arc<Core>>,
    JsonBody(mut fields): JsonBody,
) -> Answer<ShinStatus> {
    let name = fields.text("provider")?;
    let mode = match fields.text("mode")?.as_deref() {
        None | Some("key") => Sequential::Key,
        Some("provider") => Sequential::Provider,
        Some(_) => {
            let message = "there is no such mode; there are: key, provider";
            return Err(ApiError::field("unknown_mode", "mode", message));
        }
    };
    fields.finish()?;
    set(core, name, mode).await
}

/// Serves as many requests at a time as the limits allow.
#[utoipa::path(
    post, path = "/api/shin/disable", tag = "pool", request_body = Option<OptionalProvider>,
    responses((status = 200, body = Success<ShinStatus>), (status = 404, body = Failure)),
)]
pub(super) async fn disable(
    State(core): State<Arc<Core>>,
    JsonBody(mut fields): JsonBody,
) -> Answer<ShinStatus> {
    let name = fields.text("provider")?;
    fields.finish()?;
    set(core, name, Sequential::Off).await
}

async fn set(core: Arc<Core>, name: Option<String>, mode: Sequential) -> Answer<ShinStatus> {
    let changed = exclusively(core, move |core| {
        let changing = providers(core, name.as_deref())?;
        let live = core.live();
        core.state.update(|state| {
            for provider in &changing {
                let over = live
                    .configured(&provider.name)
                    .map_or(mode, |own| own.sequential);
                state.provider(&provider.name).sequential = Some(Change { set: mode, over });
            }
        })?;
        for provider in &changing {
            command(provider, Command::SetSequential(mode))?;
            tracing::info!(target: POOL_LOG, provider = %provider.name,
                "one request at a time: {}", mode.as_str());
        }
        Ok(ShinStatus::of(&changing))
    });
    changed.await.map(Success::ok)
}

impl ShinStatus {
    fn of(providers: &[Arc<Provider>]) -> Self {
        let now = |provider: &Arc<Provider>| {
            let of_provider = provider.pool.with(|pool, _| ShinOfProvider {
                enabled: pool.sequential() != Sequential::Off,
                mode: pool.sequential().as_str(),
                in_flight: pool.in_flight(),
                waiting: pool.queue_snapshot().length,
            });
            (provider.name.clone(), of_provider)
        };
        Self {
            providers: Named(providers.iter().map(now).collect()),
        }
    }
}
