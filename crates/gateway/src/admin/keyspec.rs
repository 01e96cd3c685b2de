//! A key as the API takes it: the fields of the configuration file, checked, without a host.

use std::collections::BTreeMap;

use keypool_pool::bounds::{CONCURRENT_MAX, LIMIT_MAX};
use keypool_pool::{Edit, KeyPatch, Limits, Priority, Timestamp};
use keypool_wire::KeyPlace;
use serde::Deserialize;
use utoipa::ToSchema;

use super::envelope::ApiError;
use super::fields::Fields;
use super::instant;
use crate::config::{Credential, KeyEntry};
use crate::limits;
use crate::secret::Secret;

/// A key to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the body, which is read field by field")]
pub(super) struct NewKey {
    /// The key itself.
    key: String,
    /// A name for people.
    name: Option<String>,
    /// 1 to 100, default 10.
    priority: Option<u8>,
    /// Default true.
    enabled: Option<bool>,
    tags: Option<Vec<String>>,
    /// Models it may serve, `*` for any characters; empty or absent means all.
    models: Option<Vec<String>>,
    rate_limit: Option<LimitsBody>,
    /// A quota group of the provider's configuration.
    quota_group: Option<String>,
    /// A date (its first moment in UTC) or an RFC 3339 time.
    expires_at: Option<String>,
    /// `bearer` sends the key as a bearer token, whatever the provider's own header is.
    auth: Option<String>,
    /// Azure: the version of the API.
    api_version: Option<String>,
    /// Bedrock and Vertex: the region.
    region: Option<String>,
    /// Vertex: the project's id.
    project: Option<String>,
    /// What the account calls every model that `deployments` does not name.
    deployment: Option<String>,
    /// What the account calls models.
    deployments: Option<BTreeMap<String, String>>,
}

/// A change to a key; what is absent stays, `null` clears.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the body, which is read field by field")]
pub(super) struct KeyChange {
    name: Option<String>,
    /// 1 to 100.
    priority: Option<u8>,
    /// Setting it to true also returns an unavailable or rate-limited key.
    enabled: Option<bool>,
    tags: Option<Vec<String>>,
    models: Option<Vec<String>>,
    /// Limits that are absent stay.
    rate_limit: Option<LimitsBody>,
    quota_group: Option<String>,
    expires_at: Option<String>,
}

/// Limits; absent means that the dimension is not limited.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the body, which is read field by field")]
pub(super) struct LimitsBody {
    requests_per_second: Option<u64>,
    requests_per_minute: Option<u64>,
    tokens_per_minute: Option<u64>,
    input_tokens_per_minute: Option<u64>,
    output_tokens_per_minute: Option<u64>,
    requests_per_day: Option<u64>,
    tokens_per_day: Option<u64>,
    max_concurrent: Option<u32>,
}

const HOST_IS_CONFIGURED: &str = "a key's host comes only from the configuration file: \
     a key must not be sent where a caller says";

/// Reads a key to add. `groups` are the provider's quota groups.
pub(super) fn read_key(fields: &mut Fields, groups: &[String]) -> Result<KeyEntry, ApiError> {
    let bare = bare_key(&fields.required_text("key")?, &fields.at("key"))?;
    fields.refuse("baseUrl", HOST_IS_CONFIGURED)?;
    fields.refuse("resource", HOST_IS_CONFIGURED)?;
    let place = read_place(fields)?;
    let listed = fields.labels("models")?.unwrap_or_default();
    let models = if listed.is_empty() {
        place.models()
    } else {
        listed
    };
    Ok(KeyEntry {
        credential: read_credential(fields)?.unwrap_or(bare.credential),
        place,
        name: fields.label("name")?,
        quota_group: or_none(read_group(fields, groups)?),
        limits: read_limits(fields, Limits::default())?.unwrap_or_default(),
        priority: read_priority(fields)?.unwrap_or_default(),
        enabled: fields.flag("enabled")?.unwrap_or(true),
        tags: fields.labels("tags")?.unwrap_or_default(),
        models,
        expires_at: or_none(read_expiry(fields)?),
        secret: bare.secret,
    })
}

/// A key with nothing said but the key.
pub(super) fn bare_key(text: &str, field: &str) -> Result<KeyEntry, ApiError> {
    Ok(KeyEntry::new(read_secret(text, field)?))
}

/// How the key is sent, if that is said.
fn read_credential(fields: &mut Fields) -> Result<Option<Credential>, ApiError> {
    match fields.text("auth")?.as_deref() {
        None | Some("key") => Ok(None),
        Some("bearer") => Ok(Some(Credential::Bearer)),
        Some(_) => {
            let field = fields.at("auth");
            Err(ApiError::field(
                "invalid_field",
                field,
                "must be \"key\" or \"bearer\"",
            ))
        }
    }
}

/// What is said of where the key's account is; whether it can be so is looked at with the provider.
fn read_place(fields: &mut Fields) -> Result<KeyPlace, ApiError> {
    let deployments = match fields.value("deployments") {
        None => BTreeMap::new(),
        Some(value) => serde_json::from_value(value).map_err(|_| {
            let field = fields.at("deployments");
            let message = "must be an object of models, each with the name of its deployment";
            ApiError::field("invalid_field", field, message)
        })?,
    };
    Ok(KeyPlace {
        api_version: fields.label("apiVersion")?,
        region: fields.label("region")?,
        project: fields.label("project")?,
        deployment: fields.label("deployment")?,
        deployments,
        ..KeyPlace::default()
    })
}

/// Reads a change to a key that has the limits `current`.
pub(super) fn read_patch(
    fields: &mut Fields,
    groups: &[String],
    current: Limits,
) -> Result<KeyPatch, ApiError> {
    fields.refuse(
        "key",
        "a key cannot become another one: add the new one, then remove the old",
    )?;
    fields.refuse("baseUrl", HOST_IS_CONFIGURED)?;
    Ok(KeyPatch {
        name: fields.text_edit("name")?,
        enabled: fields.flag("enabled")?,
        priority: read_priority(fields)?,
        tags: fields.labels("tags")?,
        models: fields.labels("models")?,
        limits: read_limits(fields, current)?,
        quota_group: read_group(fields, groups)?,
        expires_at: read_expiry(fields)?,
    })
}

/// For a key that is new, clearing a field is the same as saying nothing.
fn or_none<T>(edit: Edit<T>) -> Option<T> {
    match edit {
        Edit::Keep | Edit::Clear => None,
        Edit::Set(value) => Some(value),
    }
}

fn read_secret(text: &str, field: &str) -> Result<Secret, ApiError> {
    let wrong = |message: &str| Err(ApiError::field("invalid_key", field, message));
    let text = text.trim();
    if text.len() > limits::KEY_BYTES {
        return wrong(&format!(
            "a key may have at most {} bytes",
            limits::KEY_BYTES
        ));
    }
    if text
        .chars()
        .any(|char| char.is_whitespace() || char.is_control())
    {
        return wrong("a key has no spaces and no control characters");
    }
    if text.contains("****") {
        return wrong("this is a mask, not a key: keypool never shows whole keys");
    }
    if text.starts_with('$') || text.starts_with("file:") {
        return wrong(
            "references are resolved in the configuration file only; send the key itself",
        );
    }
    Ok(Secret::new(text))
}

fn read_priority(fields: &mut Fields) -> Result<Option<Priority>, ApiError> {
    let most = u64::from(Priority::MAX.get());
    let priority = fields.whole("priority", 1, most)?;
    Ok(priority.and_then(|value| Priority::try_from(u8::try_from(value).ok()?).ok()))
}

fn read_group(fields: &mut Fields, groups: &[String]) -> Result<Edit<String>, ApiError> {
    let edit = fields.text_edit("quotaGroup")?;
    match &edit {
        Edit::Set(group) if !groups.contains(group) => {
            let known = if groups.is_empty() {
                "none".to_owned()
            } else {
                groups.join(", ")
            };
            let message =
                format!("there is no such quota group; the configuration declares: {known}");
            Err(ApiError::field(
                "unknown_quota_group",
                fields.at("quotaGroup"),
                message,
            ))
        }
        _ => Ok(edit),
    }
}

fn read_expiry(fields: &mut Fields) -> Result<Edit<Timestamp>, ApiError> {
    Ok(match fields.text_edit("expiresAt")? {
        Edit::Keep => Edit::Keep,
        Edit::Clear => Edit::Clear,
        Edit::Set(text) => Edit::Set(instant::parse(&text).ok_or_else(|| {
            let message =
                "must be a date such as 2027-01-31 or a time such as 2027-01-31T12:00:00Z";
            ApiError::field("invalid_field", fields.at("expiresAt"), message)
        })?),
    })
}

/// Reads limits over `current` ones; `None` when nothing is said about them.
fn read_limits(fields: &mut Fields, current: Limits) -> Result<Option<Limits>, ApiError> {
    let mut body = match fields.object("rateLimit")? {
        Edit::Keep => return Ok(None),
        Edit::Clear => return Ok(Some(Limits::default())),
        Edit::Set(body) => body,
    };
    let mut limit = |name, field: Option<u64>, most| {
        Ok::<_, ApiError>(match body.whole_edit(name, 1, most)? {
            Edit::Keep => field,
            Edit::Clear => None,
            Edit::Set(value) => Some(value),
        })
    };
    let most = LIMIT_MAX;
    let concurrent = current.max_concurrent.map(u64::from);
    let read = Limits {
        requests_per_second: limit("requestsPerSecond", current.requests_per_second, most)?,
        tokens_per_second: current.tokens_per_second,
        requests_per_minute: limit("requestsPerMinute", current.requests_per_minute, most)?,
        tokens_per_minute: limit("tokensPerMinute", current.tokens_per_minute, most)?,
        input_tokens_per_minute: limit(
            "inputTokensPerMinute",
            current.input_tokens_per_minute,
            most,
        )?,
        output_tokens_per_minute: limit(
            "outputTokensPerMinute",
            current.output_tokens_per_minute,
            most,
        )?,
        requests_per_day: limit("requestsPerDay", current.requests_per_day, most)?,
        tokens_per_day: limit("tokensPerDay", current.tokens_per_day, most)?,
        max_concurrent: limit("maxConcurrent", concurrent, u64::from(CONCURRENT_MAX))?
            .and_then(|value| u32::try_from(value).ok()),
    };
    body.finish()?;
    Ok(Some(read))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn key(body: Value) -> Result<KeyEntry, ApiError> {
        let mut fields = Fields::of(body, "").unwrap();
        let entry = read_key(&mut fields, &["org-a".to_owned()])?;
        fields.finish()?;
        Ok(entry)
    }

    fn refusal(body: Value) -> (&'static str, Option<String>) {
        let error = key(body).unwrap_err();
        (error.code, error.field)
    }

    #[test]
    fn the_guides_key_is_read_in_full_and_everything_but_the_key_has_a_default() {
        // acceptance 32 33
        let full = key(json!({
            "key": "sk-ant-api03-new-key",
            "rateLimit": {"requestsPerMinute": 50, "tokensPerMinute": 40000},
            "priority": 20, "enabled": false, "tags": ["production"],
        }))
        .unwrap();
        assert_eq!(full.limits.requests_per_minute, Some(50));
        assert_eq!(full.limits.tokens_per_minute, Some(40_000));
        assert_eq!((full.priority.get(), full.enabled), (20, false));
        assert_eq!(full.tags, ["production"]);

        let least = key(json!({"key": "sk-ant-api03-new-key"})).unwrap();
        assert_eq!((least.priority.get(), least.enabled), (10, true));
        assert!(least.limits.is_unlimited());
    }

    #[test]
    fn what_is_wrong_with_a_key_is_told_by_its_field() {
        // acceptance 10 33
        let field = |name: &str| Some(name.to_owned());
        assert_eq!(refusal(json!({})), ("missing_field", field("key")));
        assert_eq!(
            refusal(json!({"key": "k", "priority": 101})),
            ("invalid_field", field("priority"))
        );
        assert_eq!(
            refusal(json!({"key": "k", "priority": 0})),
            ("invalid_field", field("priority"))
        );
        assert_eq!(
            refusal(json!({"key": "k", "priority": 9.5})),
            ("invalid_field", field("priority"))
        );
        let limit = json!({"key": "k", "rateLimit": {"requestsPerMinute": -1}});
        assert_eq!(
            refusal(limit),
            ("invalid_field", field("rateLimit.requestsPerMinute"))
        );
        // As much as the configuration file takes, and no more.
        let concurrent = |most: u64| json!({"key": "k", "rateLimit": {"maxConcurrent": most}});
        assert_eq!(
            refusal(concurrent(1_000_001)),
            ("invalid_field", field("rateLimit.maxConcurrent"))
        );
        let entry = key(concurrent(1_000_000)).unwrap();
        assert_eq!(entry.limits.max_concurrent, Some(1_000_000));
        let unknown = json!({"key": "k", "rateLimit": {"requestPerMinute": 1}});
        assert_eq!(
            refusal(unknown),
            ("unknown_field", field("rateLimit.requestPerMinute"))
        );
        let group = json!({"key": "k", "quotaGroup": "org-b"});
        assert_eq!(refusal(group), ("unknown_quota_group", field("quotaGroup")));
        assert_eq!(
            refusal(json!({"key": "k", "expiresAt": "soon"})),
            ("invalid_field", field("expiresAt"))
        );
        assert_eq!(
            refusal(json!({"key": "sk-a****key1"})),
            ("invalid_key", field("key"))
        );
        assert_eq!(
            refusal(json!({"key": "two words"})),
            ("invalid_key", field("key"))
        );
        assert_eq!(
            refusal(json!({"key": "$HOME"})),
            ("invalid_key", field("key"))
        );
    }

    #[test]
    fn a_caller_never_chooses_where_a_key_is_sent() {
        let body = json!({"key": "k", "baseUrl": "http://127.0.0.1:9"});
        assert_eq!(
            refusal(body),
            ("field_not_allowed", Some("baseUrl".to_owned()))
        );
    }

    #[test]
    fn a_change_of_limits_keeps_those_it_does_not_name_and_null_clears() {
        let current = Limits {
            requests_per_minute: Some(50),
            tokens_per_minute: Some(40_000),
            ..Limits::default()
        };
        let patch =
            |body: Value| read_patch(&mut Fields::of(body, "").unwrap(), &[], current).unwrap();
        let limits =
            patch(json!({"rateLimit": {"requestsPerMinute": 60, "tokensPerMinute": null}}));
        let expected = Limits {
            requests_per_minute: Some(60),
            ..Limits::default()
        };
        assert_eq!(limits.limits, Some(expected));
        assert_eq!(
            patch(json!({"rateLimit": null})).limits,
            Some(Limits::default())
        );
        assert_eq!(patch(json!({"name": null})).name, Edit::Clear);
        assert_eq!(patch(json!({})), KeyPatch::default());
    }
}
