//! The keys of one provider.

use keypool_gateway::config::{Credential, KeyEntry};
use keypool_gateway::{AwsSecret, Secret, ServiceAccount};
use keypool_pool::{Priority, Timestamp};
use keypool_wire::ProviderKind;

use super::checker::Checker;
use super::file::{AuthName, KeyFile, PoolProviderFile, SecretText};
use super::path::FieldPath;
use super::places;
use super::providers::Upstream;
use super::suggest::did_you_mean;

/// The keys under `ApiKeyPool.providers.<name>`; `field` is that place.
pub(super) fn pooled_keys(
    file: &PoolProviderFile,
    upstream: Option<&Upstream>,
    field: &FieldPath,
    checker: &mut Checker<'_>,
) -> Vec<KeyEntry> {
    let groups = checker.root.names(&field.field("quotaGroups"));
    let mut entries: Vec<KeyEntry> = Vec::with_capacity(file.keys.len());
    let mut places = std::collections::HashMap::new();
    for (index, key) in file.keys.iter().enumerate() {
        let Some(key) = key else { continue };
        let field = field.field("keys").index(index);
        let Some(entry) = pooled_key(key, &groups, upstream, &field, checker) else {
            continue;
        };
        let (id, mask) = (entry.id(), entry.mask());
        match places.insert(id, index) {
            None => entries.push(entry),
            Some(first) => {
                let message = format!("{mask} is the same key as keys[{first}]");
                checker.error(&field.field("key"), message);
                places.insert(id, first);
            }
        }
    }
    entries
}

fn pooled_key(
    file: &KeyFile,
    groups: &[String],
    upstream: Option<&Upstream>,
    field: &FieldPath,
    checker: &mut Checker<'_>,
) -> Option<KeyEntry> {
    let bare = bare_key(file, upstream.map(|it| it.kind), field, checker);
    if let Some(group) = &file.quota_group {
        check_group(group, groups, &field.field("quotaGroup"), checker);
    }
    let mut place = places::read(file, field, checker);
    for (index, glob) in file.models.iter().enumerate() {
        if glob.is_empty() {
            checker.error(
                &field.field("models").index(index),
                "is empty: write a model, or * for all",
            );
        }
    }
    let expires_at = file.expires_at.as_ref().and_then(|text| {
        let expires_at = instant(text);
        if expires_at.is_none() {
            let message = format!("{text:?} is not an instant: expected a date such as 2027-01-31, or a time such as 2027-01-31T12:00:00Z");
            checker.error(&field.field("expiresAt"), message);
        }
        expires_at
    });
    let models = if file.models.is_empty() {
        place.models()
    } else {
        file.models.clone()
    };
    let bare = bare?;
    if let Credential::ServiceAccount(account) = &bare.credential
        && place.project.is_none()
    {
        place.project = account.project().map(str::to_owned);
    }
    let entry = KeyEntry {
        place,
        name: file.name.clone(),
        quota_group: file.quota_group.clone(),
        limits: file.rate_limit.clone().unwrap_or_default().into(),
        // The schema has held it to the range.
        priority: file
            .priority
            .and_then(|priority| Priority::try_from(priority).ok())
            .unwrap_or_default(),
        enabled: file.enabled,
        tags: file.tags.clone(),
        models,
        expires_at,
        ..bare
    };
    if let Some(upstream) = upstream {
        places::check(&entry, upstream, field, checker);
    }
    Some(entry)
}

/// What proves who sends a request, and nothing else of the key.
fn bare_key(
    file: &KeyFile,
    kind: Option<ProviderKind>,
    field: &FieldPath,
    checker: &mut Checker<'_>,
) -> Option<KeyEntry> {
    let key_field = field.field("key");
    let is_bearer = matches!(file.auth, Some(AuthName::Bearer));
    if let Some(said) = access_key_field(file) {
        return access_key(file, said, kind, field, checker);
    }
    match &file.key {
        Some(text) if kind == Some(ProviderKind::Vertex) && !is_bearer => {
            let json = checker.text(&text.0, &key_field)?;
            let account = ServiceAccount::parse(&json);
            let account = account.map_err(|error| checker.error(&key_field, error.to_string()));
            account.ok().map(KeyEntry::of_account)
        }
        Some(text) => {
            let mut entry = KeyEntry::new(checker.secret(text, &key_field)?);
            if is_bearer {
                entry.credential = Credential::Bearer;
            }
            Some(entry)
        }
        None if kind.is_some_and(ProviderKind::is_open) => {
            Some(KeyEntry::new(Secret::new(KeyEntry::NO_KEY)))
        }
        None if kind == Some(ProviderKind::Bedrock) => {
            let message =
                "is required and missing: write the key, or accessKeyId and secretAccessKey";
            checker.error(&key_field, message);
            None
        }
        None => {
            let message =
                "is required and missing; write \"none\" for a server that asks for no key";
            checker.error(&key_field, message);
            None
        }
    }
}

/// The first field of an access key of AWS's that is there.
fn access_key_field(file: &KeyFile) -> Option<&'static str> {
    let fields = [
        ("accessKeyId", &file.access_key_id),
        ("secretAccessKey", &file.secret_access_key),
        ("sessionToken", &file.session_token),
    ];
    let mut said = fields.into_iter().filter(|(_, text)| text.is_some());
    said.next().map(|(name, _)| name)
}

/// An access key of AWS's, of which `said` is there.
fn access_key(
    file: &KeyFile,
    said: &str,
    kind: Option<ProviderKind>,
    field: &FieldPath,
    checker: &mut Checker<'_>,
) -> Option<KeyEntry> {
    if kind.is_some_and(|kind| kind != ProviderKind::Bedrock) {
        let message = "has no meaning for this provider; it is for bedrock";
        checker.error(&field.field(said), message);
        return None;
    }
    if file.key.is_some() {
        let message = "stands beside an access key: write one of them";
        checker.error(&field.field("key"), message);
        return None;
    }
    let mut secret = |name: &'static str, text: &Option<SecretText>| match text {
        Some(text) => checker.secret(text, &field.field(name)),
        None if name != "sessionToken" => {
            let message = "is required and missing: an access key has an id and a secret";
            checker.error(&field.field(name), message);
            None
        }
        None => None,
    };
    let id = secret("accessKeyId", &file.access_key_id);
    let secret_access_key = secret("secretAccessKey", &file.secret_access_key);
    let session_token = secret("sessionToken", &file.session_token);
    if file.session_token.is_some() && session_token.is_none() {
        return None;
    }
    Some(KeyEntry {
        credential: Credential::Aws(AwsSecret {
            secret_access_key: secret_access_key?,
            session_token,
        }),
        ..KeyEntry::new(id?)
    })
}

fn check_group(group: &str, groups: &[String], field: &FieldPath, checker: &mut Checker<'_>) {
    if groups.iter().any(|known| known == group) {
        return;
    }
    let hint = did_you_mean(group, groups.iter().map(String::as_str));
    let known = if groups.is_empty() {
        "declare it in quotaGroups".to_owned()
    } else {
        format!("declared in quotaGroups: {}", groups.join(", "))
    };
    checker.error(
        field,
        format!("there is no quota group {group:?}{hint}; {known}"),
    );
}

/// A date, meaning its first moment in UTC (a key is not used on a day on which it may be gone), or an
/// RFC 3339 time.
fn instant(text: &str) -> Option<Timestamp> {
    let timestamp = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        // The parser would also take a time without a zone, and drop the time.
        let date = text
            .parse::<jiff::civil::Date>()
            .ok()
            .filter(|_| !text.contains(':'))?;
        date.to_zoned(jiff::tz::TimeZone::UTC)
            .ok()
            .map(|zoned| zoned.timestamp())
    })?;
    u64::try_from(timestamp.as_microsecond())
        .ok()
        .map(Timestamp::from_unix_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_a_date_or_a_time() {
        let micros = |text| instant(text).map(Timestamp::as_unix_micros);
        assert_eq!(micros("2027-01-31"), Some(1_801_353_600_000_000));
        assert_eq!(
            micros("2027-01-31T01:00:00+01:00"),
            Some(1_801_353_600_000_000)
        );
        for text in [
            "",
            "31.1.2027",
            "2027-02-30",
            "2027-01-31T00:00:00",
            "1969-01-01",
        ] {
            assert_eq!(micros(text), None, "{text}");
        }
    }
}
