//! What an operator tells a running pool to do: check its keys, move on to another key, read the
//! configuration anew.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use keypool_pool::{Applied, Command, KeyId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::change::command;
use super::envelope::{Answer, ApiError, Failure, Success};
use super::request::{JsonBody, provider, providers};
use crate::core::{Core, ReloadSummary};
use crate::provider::Provider;
use crate::telemetry::POOL_LOG;

/// Which provider to act on.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body, which is read field by field")]
pub(super) struct OptionalProvider {
    /// All providers when absent.
    provider: Option<String>,
}

/// Which provider to act on.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body, which is read field by field")]
pub(super) struct OneProvider {
    provider: String,
}

/// What a check found.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the API's own names")]
pub(super) struct Checked {
    /// Keys that were looked at.
    checked_keys: usize,
    /// Keys whose state is another since.
    changed: Vec<ChangedKey>,
    /// Suspect keys that are being tried; `/api/apikeys/health` soon shows the outcome.
    probing: Vec<NamedKey>,
}

/// A key whose state changed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ChangedKey {
    #[serde(flatten)]
    key: NamedKey,
    from: &'static str,
    to: &'static str,
    /// Why, for people.
    reason: String,
}

/// A key by its names.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NamedKey {
    provider: String,
    /// The key, masked.
    key: String,
    id: String,
}

/// The key that comes next.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rotated {
    #[serde(flatten)]
    key: NamedKey,
    health: &'static str,
    health_score: u8,
}

/// Looks at all timers now, and tries the suspect keys with the provider's cheapest free call.
#[utoipa::path(
    post, path = "/api/apikeys/health-check", tag = "pool", request_body = Option<OptionalProvider>,
    responses((status = 200, body = Success<Checked>), (status = 404, body = Failure)),
)]
pub(super) async fn health_check(
    State(core): State<Arc<Core>>,
    JsonBody(mut fields): JsonBody,
) -> Answer<Checked> {
    let name = fields.text("provider")?;
    fields.finish()?;
    let mut checked = Checked::default();
    for provider in providers(&core, name.as_deref())? {
        check(&provider, &mut checked)?;
    }
    Ok(Success::ok(checked))
}

/// Makes the next request go to another key than the last one did.
#[utoipa::path(
    post, path = "/api/apikeys/rotate", tag = "pool", request_body = OneProvider,
    responses(
        (status = 200, body = Success<Rotated>),
        (status = 400, body = Failure),
        (status = 404, body = Failure),
        (status = 409, body = Failure, description = "No other key has room"),
    ),
)]
pub(super) async fn rotate(
    State(core): State<Arc<Core>>,
    JsonBody(mut fields): JsonBody,
) -> Answer<Rotated> {
    let name = fields.required_text("provider")?;
    fields.finish()?;
    let provider = provider(&core, &name)?;
    let applied = command(&provider, Command::Rotate)?;
    let Applied::Rotated { key: id } = applied else {
        return Err(ApiError::internal());
    };
    let now = provider.pool.with(|pool, now| pool.key_snapshot(now, id));
    let now = now.ok_or_else(|| {
        ApiError::new(
            StatusCode::CONFLICT,
            "no_other_key",
            "the only other key was just removed",
        )
    })?;
    let key = NamedKey::of(&provider, id);
    tracing::info!(target: POOL_LOG, provider = %name, key = %key.key, "rotated by an operator");
    Ok(Success::ok(Rotated {
        key,
        health: now.state.as_str(),
        health_score: now.health_score,
    }))
}

/// Reads the configuration anew. A wrong one leaves the running one in force.
#[utoipa::path(
    post, path = "/api/config/reload", tag = "gateway",
    responses((status = 200, body = Success<ReloadSummary>), (status = 422, body = Failure)),
)]
pub(super) async fn reload(State(core): State<Arc<Core>>) -> Answer<ReloadSummary> {
    let reload = tokio::task::spawn_blocking(move || core.reload_from_source());
    match reload.await {
        Ok(summary) => Ok(Success::ok(summary?)),
        Err(error) => {
            tracing::error!("a reload through the admin API failed: {error}");
            Err(ApiError::internal())
        }
    }
}

fn check(provider: &Arc<Provider>, checked: &mut Checked) -> Result<(), ApiError> {
    let applied = command(provider, Command::HealthCheck)?;
    let Applied::Checked { changed, probing } = applied else {
        return Err(ApiError::internal());
    };
    checked.checked_keys += provider.key_count();
    checked
        .changed
        .extend(changed.into_iter().map(|change| ChangedKey {
            key: NamedKey::of(provider, change.key),
            from: change.from.as_str(),
            to: change.to.as_str(),
            reason: change.reason,
        }));
    checked
        .probing
        .extend(probing.into_iter().map(|id| NamedKey::of(provider, id)));
    Ok(())
}

impl NamedKey {
    fn of(provider: &Provider, id: KeyId) -> Self {
        let mask = provider
            .key(id)
            .map_or_else(|| "****".to_owned(), |key| key.mask.clone());
        Self {
            provider: provider.name.clone(),
            key: mask,
            id: id.to_string(),
        }
    }
}
