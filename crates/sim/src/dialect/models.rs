//! The list of models, in each dialect.

use bytes::Bytes;

use super::{Dialect, json};

/// What is listed when an organisation names no models of its own.
pub(crate) fn well_known(dialect: Dialect) -> Vec<String> {
    let names: &[&str] = match dialect {
        Dialect::Anthropic => &["claude-opus-4-8", "claude-sonnet-4-6", "claude-haiku-4-5"],
        Dialect::OpenAi => &["gpt-4o", "gpt-4o-mini", "text-embedding-3-small"],
        Dialect::Gemini => &["gemini-2.5-pro", "gemini-2.5-flash", "gemini-embedding-001"],
    };
    names.iter().map(|&name| name.to_owned()).collect()
}

/// The answer to `GET /v1/models`.
pub(crate) fn list(dialect: Dialect, names: &[String]) -> Bytes {
    let entries: Vec<String> = names.iter().map(|name| entry(dialect, name)).collect();
    let entries = entries.join(",");
    match dialect {
        Dialect::Anthropic => {
            let id = |name: Option<&String>| name.map_or_else(|| "null".to_owned(), |n| json(n));
            let (first, last) = (id(names.first()), id(names.last()));
            format!(
                r#"{{"data":[{entries}],"has_more":false,"first_id":{first},"last_id":{last}}}"#
            )
        }
        Dialect::OpenAi => format!(r#"{{"object":"list","data":[{entries}]}}"#),
        Dialect::Gemini => format!(r#"{{"models":[{entries}]}}"#),
    }
    .into()
}

/// The answer to `GET /v1/models/{id}`, and an entry of the list.
pub(crate) fn entry(dialect: Dialect, name: &str) -> String {
    if dialect == Dialect::Gemini {
        let resource = json(&format!("models/{name}"));
        return format!(
            r#"{{"name":{resource},"version":"001","displayName":{},"inputTokenLimit":1048576,"outputTokenLimit":65536,"supportedGenerationMethods":["generateContent","countTokens"]}}"#,
            json(name)
        );
    }
    let name = json(name);
    match dialect {
        Dialect::Anthropic => format!(
            r#"{{"type":"model","id":{name},"display_name":{name},"created_at":"2026-01-01T00:00:00Z","lifecycle":"active"}}"#
        ),
        Dialect::OpenAi | Dialect::Gemini => {
            format!(r#"{{"id":{name},"object":"model","created":1767225600,"owned_by":"system"}}"#)
        }
    }
}
