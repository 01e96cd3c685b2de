//! Adding, removing and changing keys while requests run.

use std::sync::Arc;

use axum::extract::State;
use keypool_pool::{AdminError, Command, KeyId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::change::{command, commit, exclusively};
use super::envelope::{Answer, ApiError, Failure, Success};
use super::fields::Fields;
use super::keyspec::{KeyChange, NewKey, read_key, read_patch};
use super::provider::KeyDetails;
use super::request::{JsonBody, Params, Segment, key_id, provider, providers};
use crate::config::KeyEntry;
use crate::core::Core;
use crate::provider::{Provider, pool_key};
use crate::state::ProviderState;
use crate::telemetry::{POOL_LOG, census};

/// A key and the provider it is for.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body, which is read field by field")]
pub(super) struct AddBody {
    provider: String,
    #[serde(flatten)]
    key: NewKey,
}

/// Which key to remove: in full, or by its id.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body, which is read field by field")]
pub(super) struct RemoveBody {
    provider: String,
    /// The whole key, or its id.
    key: Option<String>,
    /// `key_` and 12 hex digits.
    id: Option<String>,
}

/// Which provider's key is meant, where several providers have it.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PatchQuery {
    /// The provider's name.
    provider: Option<String>,
}

/// A key that is gone.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Removed {
    provider: String,
    /// The key, masked.
    key: String,
    id: String,
}

/// A key as it is now.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OneKey {
    provider: String,
    #[serde(flatten)]
    key: KeyDetails,
}

/// Adds a key; the next request may use it.
#[utoipa::path(
    post, path = "/api/apikeys/add", tag = "keys", request_body = AddBody,
    responses(
        (status = 201, body = Success<OneKey>),
        (status = 400, body = Failure),
        (status = 404, body = Failure),
        (status = 409, body = Failure, description = "The provider has this key already"),
    ),
)]
pub(super) async fn add(
    State(core): State<Arc<Core>>,
    JsonBody(fields): JsonBody,
) -> Answer<OneKey> {
    exclusively(core, move |core| add_key(core, fields))
        .await
        .map(Success::created)
}

/// Removes a key at once. Its requests in flight finish.
#[utoipa::path(
    post, path = "/api/apikeys/remove", tag = "keys", request_body = RemoveBody,
    responses(
        (status = 200, body = Success<Removed>),
        (status = 400, body = Failure),
        (status = 404, body = Failure),
    ),
)]
pub(super) async fn remove(
    State(core): State<Arc<Core>>,
    JsonBody(fields): JsonBody,
) -> Answer<Removed> {
    exclusively(core, move |core| remove_key(core, fields))
        .await
        .map(Success::ok)
}

/// Changes a key. What the body does not name stays.
#[utoipa::path(
    patch, path = "/api/apikeys/{id}", tag = "keys", request_body = KeyChange,
    params(("id" = String, Path, description = "The key's id"), PatchQuery),
    responses(
        (status = 200, body = Success<OneKey>),
        (status = 400, body = Failure),
        (status = 404, body = Failure),
        (status = 409, body = Failure, description = "Several providers have this key"),
    ),
)]
pub(super) async fn patch(
    State(core): State<Arc<Core>>,
    Segment(id): Segment,
    Params(query): Params<PatchQuery>,
    JsonBody(fields): JsonBody,
) -> Answer<OneKey> {
    let id = key_id(&id);
    let changed = exclusively(core, move |core| {
        patch_key(core, id, query.provider.as_deref(), fields)
    });
    changed.await.map(Success::ok)
}

fn add_key(core: &Core, mut fields: Fields) -> Result<OneKey, ApiError> {
    let name = fields.required_text("provider")?;
    let provider = provider(core, &name)?;
    let entry = read_key(&mut fields, &group_names(core, &name))?;
    fields.finish()?;
    if provider.key(entry.id()).is_some() {
        return Err(ApiError::duplicate_key(&name, &entry.mask()));
    }
    let id = entry.id();
    put_in(core, &provider, &[entry])?;
    one_key(&provider, id)
}

/// Puts new keys into a provider: first on disk, then for use.
pub(super) fn put_in(
    core: &Core,
    provider: &Provider,
    entries: &[KeyEntry],
) -> Result<(), ApiError> {
    if entries.is_empty() {
        return Ok(());
    }
    let mut ready = Vec::with_capacity(entries.len());
    for entry in entries {
        ready.push(provider.prepare_key(entry.clone())?);
    }
    let ids: Vec<KeyId> = ready.iter().map(|key| key.id).collect();
    let record = |state: &mut ProviderState| {
        for entry in entries {
            state.add(entry);
        }
    };
    let apply = || {
        // The secret is there before the pool may hand the key out.
        provider.insert_keys(ready);
        for (added, entry) in entries.iter().enumerate() {
            if let Err(error) = command(provider, Command::AddKey(pool_key(entry))) {
                take_out(provider, ids.iter().take(added).copied());
                provider.forget_keys(&ids);
                return Err(error);
            }
        }
        Ok(())
    };
    commit(core, provider, record, apply)?;
    for entry in entries {
        tracing::info!(target: POOL_LOG, provider = %provider.name, key = %entry.mask(),
            "key added");
    }
    Ok(())
}

/// Undoes additions that a later one spoilt.
fn take_out(provider: &Provider, ids: impl Iterator<Item = KeyId>) {
    for id in ids {
        if let Err(error) = command(provider, Command::RemoveKey(id)) {
            tracing::error!("{id} was added and cannot be taken out again: {error}");
        }
    }
}

fn remove_key(core: &Core, mut fields: Fields) -> Result<Removed, ApiError> {
    let name = fields.required_text("provider")?;
    let provider = provider(core, &name)?;
    let (field, named) = match fields.text("id")? {
        Some(id) => {
            fields.text("key")?;
            ("id", id)
        }
        None => ("key", fields.required_text("key")?),
    };
    fields.finish()?;
    let id = key_id(&named);
    let Some(key) = provider.key(id) else {
        return Err(ApiError::unknown_key(&name, field));
    };
    let apply = || command(&provider, Command::RemoveKey(id));
    commit(core, &provider, |state| state.remove(id), apply)?;
    // Requests in flight hold what they need of it.
    provider.forget_keys(&[id]);
    tracing::info!(target: POOL_LOG, provider = %name, key = %key.mask, "key removed");
    Ok(Removed {
        provider: name,
        key: key.mask.clone(),
        id: id.to_string(),
    })
}

fn patch_key(
    core: &Core,
    id: KeyId,
    named: Option<&str>,
    mut fields: Fields,
) -> Result<OneKey, ApiError> {
    let provider = owner(core, id, named)?;
    let now = provider.pool.with(|pool, now| pool.key_snapshot(now, id));
    let now = now.ok_or(AdminError::UnknownKey(id))?;
    let groups = group_names(core, &provider.name);
    let patch = read_patch(&mut fields, &groups, now.config.limits)?;
    fields.finish()?;
    let apply = || command(&provider, Command::UpdateKey(id, patch.clone()));
    commit(core, &provider, |state| state.patch(id, &patch), apply)?;
    let one = one_key(&provider, id)?;
    tracing::info!(target: POOL_LOG, provider = %provider.name, key = %id, "key changed");
    Ok(one)
}

/// The provider that has this key.
fn owner(core: &Core, id: KeyId, named: Option<&str>) -> Result<Arc<Provider>, ApiError> {
    let candidates = providers(core, named)?;
    let mut owners = candidates
        .into_iter()
        .filter(|provider| provider.key(id).is_some());
    match (owners.next(), owners.next()) {
        (Some(only), None) => Ok(only),
        (Some(_), Some(_)) => Err(ApiError::new(
            http::StatusCode::CONFLICT,
            "ambiguous_key",
            "several providers have this key: say which with ?provider=",
        )),
        (None, _) => Err(ApiError::unknown_key(named.unwrap_or("the pool"), "id")),
    }
}

/// The quota groups that a provider's configuration declares.
pub(super) fn group_names(core: &Core, provider: &str) -> Vec<String> {
    let live = core.live();
    let configured = live
        .config
        .providers
        .iter()
        .find(|one| one.name == provider);
    configured
        .map(|one| {
            one.quota_groups
                .iter()
                .map(|(name, _)| name.clone())
                .collect()
        })
        .unwrap_or_default()
}

fn one_key(provider: &Arc<Provider>, id: KeyId) -> Result<OneKey, ApiError> {
    let views = census(std::slice::from_ref(provider));
    let mut keys = views.iter().flat_map(|view| &view.keys);
    let key = keys
        .find(|key| key.now.config.id == id)
        .ok_or(AdminError::UnknownKey(id))?;
    Ok(OneKey {
        provider: provider.name.clone(),
        key: KeyDetails::of(key),
    })
}
