//! `GET` and `POST /api/apikeys/strategy`: how keys are chosen, from the next request on.

use std::sync::Arc;

use axum::extract::State;
use keypool_pool::{Command, Strategy};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::change::{command, exclusively};
use super::envelope::{Answer, ApiError, Failure, Success};
use super::fields::Fields;
use super::named::Named;
use super::request::{JsonBody, Params, ProviderQuery, providers};
use crate::core::Core;
use crate::provider::Provider;
use crate::state::Change;
use crate::telemetry::POOL_LOG;

/// The strategies in force.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Strategies {
    /// The strategy of all providers; null when they differ.
    strategy: Option<&'static str>,
    /// Each provider's strategy.
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    current: Named<&'static str>,
    /// All there are.
    available: [&'static str; Strategy::ALL.len()],
}

/// What to change.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body, which is read field by field")]
pub(super) struct StrategyBody {
    /// `round-robin`, `lru`, `least-loaded`, `weighted` or `fill-first`.
    strategy: String,
    /// All providers when absent.
    provider: Option<String>,
}

/// The strategies in force, and all there are.
#[utoipa::path(
    get, path = "/api/apikeys/strategy", tag = "pool", params(ProviderQuery),
    responses((status = 200, body = Success<Strategies>), (status = 404, body = Failure)),
)]
pub(super) async fn get(
    State(core): State<Arc<Core>>,
    Params(query): Params<ProviderQuery>,
) -> Answer<Strategies> {
    Ok(Success::ok(Strategies::of(&providers(
        &core,
        query.provider.as_deref(),
    )?)))
}

/// Changes the strategy of one provider or of all. Requests in flight are not touched.
#[utoipa::path(
    post, path = "/api/apikeys/strategy", tag = "pool", request_body = StrategyBody,
    responses(
        (status = 200, body = Success<Strategies>),
        (status = 400, body = Failure),
        (status = 404, body = Failure),
    ),
)]
pub(super) async fn post(
    State(core): State<Arc<Core>>,
    JsonBody(mut fields): JsonBody,
) -> Answer<Strategies> {
    let strategy = read_strategy(&mut fields)?;
    let name = fields.text("provider")?;
    fields.finish()?;
    let changed = exclusively(core, move |core| {
        let changing = providers(core, name.as_deref())?;
        record(core, &changing, strategy)?;
        for provider in &changing {
            command(provider, Command::SetStrategy(strategy))?;
            tracing::info!(target: POOL_LOG, provider = %provider.name, "strategy is {strategy}");
        }
        Ok(Strategies::of(&changing))
    });
    changed.await.map(Success::ok)
}

fn read_strategy(fields: &mut Fields) -> Result<Strategy, ApiError> {
    fields.required_text("strategy")?.parse().map_err(|_| {
        let names = Strategy::ALL.map(Strategy::as_str).join(", ");
        let message = format!("there is no such strategy; available are: {names}");
        ApiError::field("unknown_strategy", "strategy", message)
    })
}

/// Writes down what is set over what the configuration says.
fn record(core: &Core, changing: &[Arc<Provider>], set: Strategy) -> Result<(), ApiError> {
    let live = core.live();
    core.state.update(|state| {
        for provider in changing {
            let configured = live.configured(&provider.name);
            let over = configured.map_or(set, |own| own.strategy);
            state.provider(&provider.name).strategy = Some(Change { set, over });
        }
    })?;
    Ok(())
}

impl Strategies {
    fn of(providers: &[Arc<Provider>]) -> Self {
        let now = |provider: &Arc<Provider>| {
            provider
                .pool
                .with(|pool, now| pool.snapshot(now).strategy.as_str())
        };
        let current: Vec<(String, &'static str)> = providers
            .iter()
            .map(|provider| (provider.name.clone(), now(provider)))
            .collect();
        let first = current.first().map(|(_, strategy)| *strategy);
        let strategy = first.filter(|first| current.iter().all(|(_, other)| other == first));
        Self {
            strategy,
            current: Named(current),
            available: Strategy::ALL.map(Strategy::as_str),
        }
    }
}
