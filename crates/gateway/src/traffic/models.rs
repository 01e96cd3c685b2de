//! `GET /v1/models`: the models that clients may name, in the asker's dialect.

use std::collections::BTreeSet;

use http::HeaderMap;
use keypool_wire::Dialect;
use serde_json::{Value, json};

use crate::live::Live;

/// Which dialect a client that lists models speaks. Not told by where its key is: current Anthropic
/// SDKs send it as a bearer token.
fn dialect_of(headers: &HeaderMap) -> Dialect {
    if headers.contains_key("anthropic-version") {
        Dialect::Anthropic
    } else if headers.contains_key("x-goog-api-key") {
        Dialect::Gemini
    } else {
        Dialect::OpenAi
    }
}

/// Lists every alias, and every model that the configuration names, as `provider,model`.
#[must_use]
pub(crate) fn list_models(live: &Live, headers: &HeaderMap) -> Value {
    let aliases = live
        .config
        .aliases
        .iter()
        .map(|(alias, _)| (alias.clone(), "keypool"));
    let listed = live.providers().iter().flat_map(|provider| {
        let settings = provider.settings();
        let forms: Vec<_> = settings
            .models
            .iter()
            .map(|model| (format!("{},{model}", provider.name), provider.name.as_str()))
            .collect();
        forms
    });
    let models: BTreeSet<(String, &str)> = aliases.chain(listed).collect();
    match dialect_of(headers) {
        Dialect::Anthropic => anthropic(&models),
        Dialect::OpenAi => openai(&models),
        Dialect::Gemini => gemini(&models),
    }
}

/// Not known for models that only the configuration names; both dialects require a date.
const CREATED: &str = "1970-01-01T00:00:00Z";

fn anthropic(models: &BTreeSet<(String, &str)>) -> Value {
    let entry = |(id, _): &(String, &str)| json!({"type": "model", "id": id, "display_name": id, "created_at": CREATED});
    json!({
        "data": models.iter().map(entry).collect::<Vec<_>>(),
        "has_more": false,
        "first_id": models.first().map(|(id, _)| id),
        "last_id": models.last().map(|(id, _)| id),
    })
}

fn openai(models: &BTreeSet<(String, &str)>) -> Value {
    let entry = |(id, owner): &(String, &str)| json!({"id": id, "object": "model", "created": 0, "owned_by": owner});
    json!({"object": "list", "data": models.iter().map(entry).collect::<Vec<_>>()})
}

fn gemini(models: &BTreeSet<(String, &str)>) -> Value {
    let entry = |(id, _): &(String, &str)| json!({"name": format!("models/{id}")});
    json!({"models": models.iter().map(entry).collect::<Vec<_>>()})
}
