//! `GET /api/session-affinity/status` and `POST /api/session-affinity/clear`: the keys on which
//! conversations are kept.

use std::sync::Arc;

use axum::extract::State;
use keypool_pool::{AffinitySnapshot, KeyId, Pool};
use serde::Serialize;
use utoipa::ToSchema;

use super::envelope::{Answer, Failure, Success};
use super::named::Named;
use super::number::Number;
use super::operations::OptionalProvider;
use super::request::{JsonBody, Params, ProviderQuery, providers};
use crate::core::Core;
use crate::provider::Provider;

/// How conversations are kept, provider by provider.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AffinityStatus {
    enabled: bool,
    /// How long a conversation is remembered after its last request, in milliseconds.
    ttl_ms: u64,
    /// How far above the mean load of all keys a key may be kept by its conversations.
    load_factor: Number,
    #[schema(value_type = std::collections::BTreeMap<String, AffinityOfProvider>)]
    providers: Named<AffinityOfProvider>,
}

/// What is remembered for one provider.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AffinityOfProvider {
    /// Conversations that are remembered.
    sessions: usize,
    /// Sealed reasoning, answers and files whose account is remembered.
    states: usize,
    /// Requests of conversations that were new.
    started: u64,
    /// Requests that stayed where their conversation was.
    kept: u64,
    /// Requests that moved their conversation to another key or quota group.
    moved: u64,
    /// Conversations per key (masked) or quota group.
    #[schema(value_type = std::collections::BTreeMap<String, usize>)]
    homes: Named<usize>,
}

/// How many conversations were forgotten.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Forgotten {
    cleared: usize,
}

/// The keys on which conversations are kept.
#[utoipa::path(
    get, path = "/api/session-affinity/status", tag = "pool", params(ProviderQuery),
    responses((status = 200, body = Success<AffinityStatus>), (status = 404, body = Failure)),
)]
pub(super) async fn status(
    State(core): State<Arc<Core>>,
    Params(query): Params<ProviderQuery>,
) -> Answer<AffinityStatus> {
    let of = |provider: &Arc<Provider>| {
        let snapshot = provider.pool.with(Pool::affinity_snapshot);
        (
            provider.name.clone(),
            AffinityOfProvider::of(&snapshot, provider),
        )
    };
    let each = providers(&core, query.provider.as_deref())?;
    let live = core.live();
    let config = &live.config.affinity;
    Ok(Success::ok(AffinityStatus {
        enabled: config.enabled,
        ttl_ms: u64::try_from(config.ttl.as_millis()).unwrap_or(u64::MAX),
        load_factor: Number::rounded(config.load_factor, 3),
        providers: Named(each.iter().map(of).collect()),
    }))
}

/// Forgets where conversations were: their next requests go wherever there is most room. What only one
/// account understands still goes to that account.
#[utoipa::path(
    post, path = "/api/session-affinity/clear", tag = "pool",
    request_body = Option<OptionalProvider>,
    responses((status = 200, body = Success<Forgotten>), (status = 404, body = Failure)),
)]
pub(super) async fn clear(
    State(core): State<Arc<Core>>,
    JsonBody(mut fields): JsonBody,
) -> Answer<Forgotten> {
    let name = fields.text("provider")?;
    fields.finish()?;
    let each = providers(&core, name.as_deref())?;
    let forget = |provider: &Arc<Provider>| provider.pool.with(Pool::forget_sessions);
    let cleared = each.iter().map(forget).sum();
    Ok(Success::ok(Forgotten { cleared }))
}

impl AffinityOfProvider {
    fn of(snapshot: &AffinitySnapshot, provider: &Provider) -> Self {
        let name = |home: &str| {
            let key = home.parse::<KeyId>().ok().and_then(|id| provider.key(id));
            key.map_or_else(|| home.to_owned(), |key| key.mask.clone())
        };
        let mut homes: Vec<(String, usize)> = Vec::new();
        for (home, sessions) in &snapshot.homes {
            let name = name(home);
            // Two keys may have one mask.
            let alike = homes
                .iter()
                .filter(|(known, _)| known.split('#').next() == Some(&*name))
                .count();
            let name = match alike {
                0 => name,
                alike => format!("{name}#{}", alike + 1),
            };
            homes.push((name, *sessions));
        }
        Self {
            sessions: snapshot.sessions,
            states: snapshot.states,
            started: snapshot.counts.started,
            kept: snapshot.counts.kept,
            moved: snapshot.counts.moved,
            homes: Named(homes),
        }
    }
}
