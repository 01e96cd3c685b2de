//! Import and export: many keys at once.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::AdminAccess;
use super::change::exclusively;
use super::envelope::{Answer, ApiError, Failure, Success};
use super::fields::Fields;
use super::keys::{group_names, put_in};
use super::keyspec::{NewKey, bare_key, read_key};
use super::named::Named;
use super::provider::KeySettings;
use super::request::{Params, ProviderQuery, RawBody, parse_json, provider, providers};
use crate::config::KeyEntry;
use crate::core::Core;
use crate::provider::Provider;
use crate::telemetry::{KeyView, POOL_LOG, census};

/// Keys to add, for one provider.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body, which is read field by field")]
pub(super) struct ImportBody {
    /// May be given in the query instead.
    provider: Option<String>,
    /// Keys, or objects as `add` takes them.
    keys: Vec<NewKey>,
}

/// What an import did.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct Imported {
    /// Keys that are new.
    added: usize,
    /// Keys that were there already, or came twice.
    duplicates: usize,
    /// The new keys, masked.
    keys: Vec<ImportedKey>,
}

/// A key that was added.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ImportedKey {
    provider: String,
    /// The key, masked.
    key: String,
    id: String,
}

/// What to export.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ExportQuery {
    /// The provider's name; all providers when absent.
    provider: Option<String>,
    /// `1` for whole keys instead of masked ones; takes the admin token.
    secrets: Option<String>,
}

/// A provider's keys, in the form that import takes.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ExportedProvider {
    keys: Vec<ExportedKey>,
}

/// A key with its settings.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ExportedKey {
    /// Masked unless whole keys were asked for.
    key: String,
    #[serde(flatten)]
    settings: KeySettings,
}

/// Everything that is configured for the keys.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Exported {
    #[schema(value_type = std::collections::BTreeMap<String, ExportedProvider>)]
    providers: Named<ExportedProvider>,
}

/// What one import wants of one provider.
struct Batch {
    provider: Arc<Provider>,
    entries: Vec<KeyEntry>,
}

/// Adds many keys: all of them, or none when one is wrong. Takes one key a line (`#` begins a
/// comment), a JSON list of keys or of objects as `add` takes them, `{"provider", "keys"}`, or what
/// an export with whole keys answered.
#[utoipa::path(
    post, path = "/api/apikeys/import", tag = "keys", params(ProviderQuery),
    request_body(content((ImportBody = "application/json"), (String = "text/plain"))),
    responses(
        (status = 200, body = Success<Imported>),
        (status = 400, body = Failure),
        (status = 404, body = Failure),
    ),
)]
pub(super) async fn import(
    State(core): State<Arc<Core>>,
    Params(query): Params<ProviderQuery>,
    RawBody(body): RawBody,
) -> Answer<Imported> {
    let imported = exclusively(core, move |core| {
        let batches = read_batches(core, query.provider.as_deref(), &body)?;
        let mut imported = Imported::default();
        for batch in batches {
            take_in(core, batch, &mut imported)?;
        }
        Ok(imported)
    });
    imported.await.map(Success::ok)
}

/// All keys with their settings; masked unless whole keys are asked for with the admin token.
#[utoipa::path(
    get, path = "/api/apikeys/export", tag = "keys", params(ExportQuery),
    responses(
        (status = 200, body = Success<Exported>),
        (status = 403, body = Failure),
        (status = 404, body = Failure),
    ),
)]
pub(super) async fn export(
    State(core): State<Arc<Core>>,
    access: Option<Extension<AdminAccess>>,
    Params(query): Params<ExportQuery>,
) -> Answer<Exported> {
    let whole = match query.secrets.as_deref() {
        None | Some("" | "0" | "false") => false,
        Some("1" | "true") => true,
        Some(_) => {
            return Err(ApiError::field(
                "invalid_query",
                "secrets",
                "secrets is 0 or 1",
            ));
        }
    };
    let with_token = access.is_some_and(|Extension(access)| access.with_admin_token);
    if whole && !with_token {
        let message = "whole keys are exported only to who presents the admin token: set \
                       Admin.token \
                       in the configuration, and send it as x-api-key";
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "admin_token_required",
            message,
        ));
    }
    if whole {
        tracing::warn!(target: POOL_LOG, "whole keys were exported through the admin API");
    }
    let views = census(&providers(&core, query.provider.as_deref())?);
    let exported = views.iter().map(|view| {
        let keys = view
            .keys
            .iter()
            .map(|key| ExportedKey::of(key, whole))
            .collect();
        (view.provider.name.clone(), ExportedProvider { keys })
    });
    Ok(Success::ok(Exported {
        providers: Named(exported.collect()),
    }))
}

impl ExportedKey {
    fn of(key: &KeyView, whole: bool) -> Self {
        let shown = if whole {
            key.upstream.entry.secret.expose().to_owned()
        } else {
            key.mask.clone()
        };
        Self {
            key: shown,
            settings: KeySettings::of(&key.now.config),
        }
    }
}

fn read_batches(core: &Core, named: Option<&str>, body: &[u8]) -> Result<Vec<Batch>, ApiError> {
    if !body.trim_ascii_start().starts_with(b"{") && !body.trim_ascii_start().starts_with(b"[") {
        return Ok(vec![read_lines(core, named, body)?]);
    }
    let list = match parse_json(body)? {
        Value::Array(list) => list,
        object => return read_object(core, named, object),
    };
    Ok(vec![Batch::read(core, required(named)?, list, "")?])
}

fn read_object(core: &Core, named: Option<&str>, object: Value) -> Result<Vec<Batch>, ApiError> {
    let mut fields = Fields::of(object, "")?;
    if let Some(Value::Object(providers)) = fields.value("providers") {
        fields.finish()?;
        let mut batches = Vec::new();
        for (name, value) in providers {
            // The name is not repeated before it is known to be a provider's.
            let known = provider(core, &name)?.name.clone();
            let mut fields = Fields::of(value, format!("providers.{known}"))?;
            let list = key_list(&mut fields)?;
            let path = fields.at("keys");
            fields.finish()?;
            batches.push(Batch::read(core, &known, list, &path)?);
        }
        return Ok(batches);
    }
    let in_body = fields.text("provider")?;
    let list = key_list(&mut fields)?;
    fields.finish()?;
    let name = required(in_body.as_deref().or(named))?;
    Ok(vec![Batch::read(core, name, list, "keys")?])
}

fn key_list(fields: &mut Fields) -> Result<Vec<Value>, ApiError> {
    if let Some(Value::Array(list)) = fields.value("keys") {
        return Ok(list);
    }
    Err(ApiError::field(
        "missing_field",
        fields.at("keys"),
        "must be a list of keys",
    ))
}

fn required(name: Option<&str>) -> Result<&str, ApiError> {
    name.ok_or_else(|| {
        ApiError::field(
            "missing_field",
            "provider",
            "say whose keys these are with ?provider=",
        )
    })
}

fn read_lines(core: &Core, named: Option<&str>, body: &[u8]) -> Result<Batch, ApiError> {
    let provider = provider(core, required(named)?)?;
    let text = std::str::from_utf8(body).map_err(|_| {
        ApiError::new(
            StatusCode::BAD_REQUEST,
            "invalid_body",
            "the body is not UTF-8 text",
        )
    })?;
    let lines = text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.trim()));
    let entries = lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| bare_key(line, &format!("line {number}")));
    Ok(Batch {
        provider,
        entries: entries.collect::<Result<_, _>>()?,
    })
}

impl Batch {
    fn read(core: &Core, name: &str, list: Vec<Value>, path: &str) -> Result<Self, ApiError> {
        let provider = provider(core, name)?;
        let groups = group_names(core, name);
        let read = |(index, value)| {
            let path = format!("{path}[{index}]");
            match value {
                Value::String(key) => bare_key(&key, &path),
                value => {
                    let mut fields = Fields::of(value, path)?;
                    let entry = read_key(&mut fields, &groups)?;
                    fields.finish()?;
                    Ok(entry)
                }
            }
        };
        let entries = list
            .into_iter()
            .enumerate()
            .map(read)
            .collect::<Result<_, _>>()?;
        Ok(Self { provider, entries })
    }
}

/// Adds what is new of a batch.
fn take_in(core: &Core, batch: Batch, imported: &mut Imported) -> Result<(), ApiError> {
    let Batch { provider, entries } = batch;
    let total = entries.len();
    let mut seen = HashSet::new();
    let is_new = |entry: &KeyEntry| {
        let id = entry.id();
        provider.key(id).is_none() && seen.insert(id)
    };
    let fresh: Vec<KeyEntry> = entries.into_iter().filter(is_new).collect();
    imported.duplicates += total - fresh.len();
    imported.added += fresh.len();
    imported.keys.extend(fresh.iter().map(|entry| ImportedKey {
        provider: provider.name.clone(),
        key: entry.mask(),
        id: entry.id().to_string(),
    }));
    put_in(core, &provider, &fresh)
}
