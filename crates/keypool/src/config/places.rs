//! Where keys are, and how they prove themselves, as far as that is said key by key.

use keypool_gateway::config::KeyEntry;
use keypool_wire::{KeyPlace, Place};

use super::checker::Checker;
use super::file::KeyFile;
use super::path::FieldPath;
use super::providers::Upstream;

/// What a key says of its place.
pub(super) fn read(file: &KeyFile, field: &FieldPath, checker: &mut Checker<'_>) -> KeyPlace {
    let mut text = |name: &'static str, text: &Option<String>| {
        let text = text.as_ref()?;
        checker.text(text, &field.field(name))
    };
    KeyPlace {
        base_url: text("baseUrl", &file.base_url),
        resource: text("resource", &file.resource),
        api_version: text("apiVersion", &file.api_version),
        region: text("region", &file.region),
        project: text("project", &file.project),
        deployment: text("deployment", &file.deployment),
        deployments: file.deployments.clone(),
    }
}

/// Reports a key that nothing could be sent with. `field` is where the key stands.
pub(super) fn check(
    entry: &KeyEntry,
    upstream: &Upstream,
    field: &FieldPath,
    checker: &mut Checker<'_>,
) {
    let url = upstream.base_url.as_deref();
    let Err(error) = Place::of(upstream.kind, upstream.dialect, url, &entry.place) else {
        return;
    };
    // A base URL for all keys has been looked at where it stands.
    if error.field != "baseUrl" || entry.place.base_url.is_some() {
        checker.error(&field.field(error.field), error.message);
    }
}
