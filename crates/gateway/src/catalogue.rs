//! What a provider itself says of its models, for those of which the configuration names none.
//!
//! It is asked when somebody wants a list of models, with a key that is in use, and what it said is believed
//! for [`limits::MODEL_LIST_KEPT`]. One that does not say is left alone for a while, too: clients that list
//! models in a loop would otherwise each wait for it.

use std::sync::Arc;

use http::Uri;
use http_body_util::{BodyExt, Limited};
use keypool_pool::{KeyState, Pool, Timestamp};
use keypool_wire::Dialect;
use serde_json::{Map, Value};

use crate::driver::models_request;
use crate::limits;
use crate::provider::{Provider, UpstreamKey};
use crate::telemetry::POOL_LOG;
use crate::upstream::UpstreamClient;

/// A model as its provider lists it.
#[derive(Debug)]
pub(crate) struct Model {
    /// Its name there.
    pub id: String,
    /// All that the provider says of it, in its own dialect.
    pub entry: Map<String, Value>,
}

/// What one provider said.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    known: parking_lot::Mutex<Known>,
    /// Held while the provider is asked, so that it is asked once and not by each who wants to know.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default, Clone)]
struct Known {
    /// What it said last, if it ever did.
    models: Option<Arc<[Model]>>,
    /// Until when it is not asked again.
    until: Option<Timestamp>,
}

impl Catalogue {
    /// The provider's models; `None` if it did not say.
    pub(crate) async fn models(
        &self,
        provider: &Provider,
        upstream: &UpstreamClient,
    ) -> Option<Arc<[Model]>> {
        let time = provider.pool.time();
        if let Some(known) = self.known_at(time.now()) {
            return known.models;
        }
        let _asking = self.asking.lock().await;
        if let Some(known) = self.known_at(time.now()) {
            return known.models;
        }
        let asked = tokio::time::timeout(limits::MODEL_LIST_TIME, ask(provider, upstream)).await;
        let asked = asked.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        let now = time.now();
        let mut known = self.known.lock();
        match asked {
            Ok(models) => {
                *known = Known {
                    models: Some(models.into()),
                    until: Some(now + limits::MODEL_LIST_KEPT),
                };
            }
            Err(reason) => {
                tracing::warn!(target: POOL_LOG, provider = %provider.name,
                    "the list of models could not be had: {reason}");
                known.until = Some(now + limits::MODEL_LIST_PAUSE);
            }
        }
        known.models.clone()
    }

    /// Forgets what was said, since the provider may be elsewhere now.
    pub(crate) fn clear(&self) {
        *self.known.lock() = Known::default();
    }

    fn known_at(&self, now: Timestamp) -> Option<Known> {
        let known = self.known.lock();
        known
            .until
            .is_some_and(|until| now < until)
            .then(|| known.clone())
    }
}

async fn ask(provider: &Provider, upstream: &UpstreamClient) -> Result<Vec<Model>, String> {
    let settings = provider.settings();
    if settings.kind.is_placed_by_key(settings.dialect) {
        let reason = "a cloud lists its models, and not what requests may name with a key";
        return Err(reason.to_owned());
    }
    let key = usable_key(provider).ok_or("no key is usable")?;
    let time = provider.pool.time();
    let request = models_request(settings.dialect, &key, upstream, time).await;
    let mut request = request.ok().flatten().ok_or("the URL is not usable")?;
    if let Some(query) = everything(settings.dialect) {
        let uri = with_query(request.uri(), query).ok_or("the URL is not usable")?;
        *request.uri_mut() = uri;
    }
    let (response, _open) = upstream
        .send(request)
        .await
        .map_err(|error| error.to_string())?;
    let status = response.status();
    key.count_status(status.as_u16());
    if !status.is_success() {
        return Err(format!("status {}", status.as_u16()));
    }
    let body = Limited::new(response.into_body(), limits::MODEL_LIST_BYTES)
        .collect()
        .await;
    let body = body.map_err(|error| error.to_string())?.to_bytes();
    let list = serde_json::from_slice(&body).map_err(|_| "the answer is not JSON")?;
    models(list).ok_or_else(|| "the answer is no list of models".to_owned())
}

/// One of the keys in use, the healthiest first.
fn usable_key(provider: &Provider) -> Option<Arc<UpstreamKey>> {
    let keys = provider.pool.with(Pool::snapshot).keys;
    let usable = keys
        .into_iter()
        .filter(|key| key.config.enabled && key.state != KeyState::Unavailable);
    provider.key(usable.min_by_key(|key| key.state)?.config.id)
}

/// Asks for as much as the API gives at a time: both give no more than 20 or 50 unasked (Anthropic's and
/// Gemini's reference of `models.list`).
const fn everything(dialect: Dialect) -> Option<&'static str> {
    match dialect {
        Dialect::Anthropic => Some("limit=1000"),
        Dialect::Gemini => Some("pageSize=1000"),
        Dialect::OpenAi => None,
    }
}

fn with_query(uri: &Uri, query: &str) -> Option<Uri> {
    let path = uri.path_and_query()?.as_str();
    let separator = if uri.query().is_some() { '&' } else { '?' };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(format!("{path}{separator}{query}").parse().ok()?);
    Uri::from_parts(parts).ok()
}

/// Reads a list: `data` with `id`s (Anthropic, OpenAI), `models` with `name`s (Gemini), or a bare array (Together).
fn models(mut list: Value) -> Option<Vec<Model>> {
    let entries = match &mut list {
        Value::Array(_) => list.take(),
        Value::Object(members) => ["data", "models"]
            .into_iter()
            .filter_map(|name| members.remove(name))
            .find(Value::is_array)?,
        _ => return None,
    };
    let Value::Array(entries) = entries else {
        return None;
    };
    let model = |entry: Value| {
        let Value::Object(entry) = entry else {
            return None;
        };
        let id = entry.get("id").or_else(|| entry.get("name"))?.as_str()?;
        let id = id.strip_prefix("models/").unwrap_or(id).trim().to_owned();
        let is_name = !id.is_empty() && id.len() <= limits::MODEL_NAME_BYTES;
        is_name.then_some(Model { id, entry })
    };
    let models = entries.into_iter().filter_map(model);
    Some(models.take(limits::MODELS_LISTED).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ids(list: Value) -> Option<Vec<String>> {
        Some(models(list)?.into_iter().map(|model| model.id).collect())
    }

    #[test]
    fn a_list_is_read_in_every_shape_that_providers_have() {
        let expected = Some(vec!["a".to_owned(), "b/c:free".to_owned()]);
        for list in [
            json!({"object": "list", "data": [{"id": "a"}, {"id": "b/c:free"}]}),
            json!({"data": [{"type": "model", "id": "a"}, {"id": "b/c:free"}], "has_more": false}),
            json!({"models": [{"name": "models/a"}, {"name": "models/b/c:free"}]}),
            json!([{"id": "a"}, {"id": "b/c:free"}]),
            json!({"data": [{"id": "a"}, {"id": 5}, {"id": " "}, null, {"id": "x".repeat(5000)}, {"id": "b/c:free"}]}),
        ] {
            assert_eq!(ids(list.clone()), expected, "{list}");
        }
        for other in [
            json!({}),
            json!("a"),
            json!({"data": {}}),
            json!({"error": {}}),
        ] {
            assert_eq!(ids(other.clone()), None, "{other}");
        }
    }

    #[test]
    fn the_whole_list_is_asked_for_beside_what_the_base_url_asks_for() {
        let url = |text: &str| {
            let uri = with_query(&text.parse().unwrap(), "limit=1000").unwrap();
            uri.to_string()
        };
        assert_eq!(
            url("https://x.y/v1/models"),
            "https://x.y/v1/models?limit=1000"
        );
        assert_eq!(
            url("http://x:1/models?a=b"),
            "http://x:1/models?a=b&limit=1000"
        );
    }
}
