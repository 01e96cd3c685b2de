//! `GET /api/apikeys/distribution`: who got how much of the work, and how uneven that is.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::envelope::{Answer, Failure, Success};
use super::named::Named;
use super::number::{Number, ratio, shares};
use super::request::{Params, ProviderQuery, providers};
use crate::core::Core;
use crate::telemetry::{KeyView, ProviderView, census};

/// Shares over everything that was asked for, and within each provider.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Distribution {
    #[serde(flatten)]
    overall: Shares,
    #[schema(value_type = std::collections::BTreeMap<String, Shares>)]
    providers: Named<Shares>,
}

/// Shares among some keys.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shares {
    total_requests: u64,
    /// Input and output together, cached ones included.
    total_tokens: u64,
    total_errors: u64,
    /// Errors in percent of requests.
    error_rate: Number,
    /// Largest share of requests ÷ fair share; 1 is perfectly even, null before there was traffic.
    /// Disabled keys that took no request have no fair share.
    imbalance: Option<Number>,
    keys: Vec<KeyShare>,
}

/// One key's share.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct KeyShare {
    /// The key, masked.
    key: String,
    id: String,
    name: Option<String>,
    provider: String,
    requests: u64,
    tokens: u64,
    errors: u64,
    /// Errors in percent of requests.
    error_rate: Number,
    /// Percent of the requests; the shares add up to 100.
    request_share: Number,
    /// Percent of the tokens; the shares add up to 100.
    token_share: Number,
}

/// Each key's share of requests and of tokens.
#[utoipa::path(
    get, path = "/api/apikeys/distribution", tag = "keys", params(ProviderQuery),
    responses((status = 200, body = Success<Distribution>), (status = 404, body = Failure)),
)]
pub(super) async fn get(
    State(core): State<Arc<Core>>,
    Params(query): Params<ProviderQuery>,
) -> Answer<Distribution> {
    let views = census(&providers(&core, query.provider.as_deref())?);
    let each = views.iter().map(|view| {
        (
            view.provider.name.clone(),
            Shares::among(std::slice::from_ref(view)),
        )
    });
    let providers = Named(each.collect());
    Ok(Success::ok(Distribution {
        overall: Shares::among(&views),
        providers,
    }))
}

impl Shares {
    fn among(views: &[ProviderView]) -> Self {
        let keys: Vec<(&str, &KeyView)> = views
            .iter()
            .flat_map(|view| {
                view.keys
                    .iter()
                    .map(|key| (view.provider.name.as_str(), key))
            })
            .collect();
        let requests: Vec<u64> = keys.iter().map(|(_, key)| key.now.requests).collect();
        let tokens: Vec<u64> = keys.iter().map(|(_, key)| key.now.usage.total()).collect();
        let sharing = |(_, key): &&(&str, &KeyView)| key.now.config.enabled || key.now.requests > 0;
        let total_requests = requests.iter().sum();
        let total_errors = keys.iter().map(|(_, key)| key.now.errors).sum();
        Self {
            total_requests,
            total_tokens: tokens.iter().sum(),
            total_errors,
            error_rate: error_rate(total_errors, total_requests),
            imbalance: imbalance(&requests, keys.iter().filter(sharing).count()),
            keys: keys
                .iter()
                .zip(shares(&requests))
                .zip(shares(&tokens))
                .map(|(((provider, key), requests), tokens)| {
                    KeyShare::new(provider, key, requests, tokens)
                })
                .collect(),
        }
    }
}

impl KeyShare {
    fn new(provider: &str, key: &KeyView, request_share: Number, token_share: Number) -> Self {
        Self {
            key: key.mask.clone(),
            id: key.now.config.id.to_string(),
            name: key.now.config.name.clone(),
            provider: provider.to_owned(),
            requests: key.now.requests,
            tokens: key.now.usage.total(),
            errors: key.now.errors,
            error_rate: error_rate(key.now.errors, key.now.requests),
            request_share,
            token_share,
        }
    }
}

/// Two decimals: one failure in a thousand requests must show.
fn error_rate(errors: u64, requests: u64) -> Number {
    Number::rounded(
        if requests == 0 {
            0.0
        } else {
            ratio(errors, requests) * 100.0
        },
        2,
    )
}

fn imbalance(requests: &[u64], sharing: usize) -> Option<Number> {
    let total: u64 = requests.iter().sum();
    let largest = *requests.iter().max()?;
    let sharing = u64::try_from(sharing).unwrap_or(u64::MAX);
    (total > 0).then(|| Number::rounded(ratio(largest.saturating_mul(sharing), total), 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imbalance_is_one_when_even_and_the_number_of_keys_when_one_takes_all() {
        // acceptance 82
        let shown = |requests: &[u64], sharing| {
            serde_json::to_string(&imbalance(requests, sharing)).unwrap()
        };
        assert_eq!(shown(&[10, 10, 10], 3), "1");
        assert_eq!(shown(&[30, 0, 0], 3), "3");
        assert_eq!(shown(&[30, 10, 0], 2), "1.5");
        assert_eq!(shown(&[0, 0], 2), "null");
        assert_eq!(shown(&[], 0), "null");
    }

    #[test]
    fn error_rates_are_in_percent() {
        // acceptance 82
        let shown =
            |errors, requests| serde_json::to_string(&error_rate(errors, requests)).unwrap();
        assert_eq!(shown(12, 1523), "0.79");
        assert_eq!(shown(0, 0), "0");
        assert_eq!(shown(1, 1), "100");
    }
}
