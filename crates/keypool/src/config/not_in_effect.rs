//! Fields that are read and checked, and that nothing acts on. One table, so that a person who relies on
//! one learns it from `keypool check` and not from an outage.

use super::checker::Checker;
use super::file::{ConfigFile, PoolProviderFile, RateLimitFile, WindowName};
use super::path::FieldPath;

/// What steers who waits and for how long.
const WAITING: &str = "waiting for room";

/// Fields by path, and what they would steer.
const FIELDS: [(&[&str], &str); 9] = [
    (&["ApiKeyPool", "affinity"], "session affinity"),
    (&["ApiKeyPool", "queue"], WAITING),
    (&["Router", "background"], "routing by kind of request"),
    (&["Router", "think"], "routing by kind of request"),
    (&["Router", "longContext"], "routing by kind of request"),
    (
        &["Router", "longContextThreshold"],
        "routing by kind of request",
    ),
    (&["Router", "webSearch"], "routing by kind of request"),
    (&["Router", "image"], "routing by kind of request"),
    (
        &["NON_INTERACTIVE_MODE"],
        "the launcher of claude-code-router",
    ),
];

/// Warns of each such field that the file sets.
pub(super) fn check(file: &ConfigFile, checker: &mut Checker<'_>) {
    for (fields, feature) in FIELDS {
        let field = FieldPath::of(fields);
        if checker.root.get(&field).is_some() {
            warn(checker, &field, feature);
        }
    }
    for (index, provider) in file.providers.iter().enumerate() {
        if provider
            .as_ref()
            .is_some_and(|provider| provider.transformer.is_some())
        {
            let field = FieldPath::of(&["Providers"])
                .index(index)
                .field("transformer");
            warn(checker, &field, "rewriting of requests");
        }
    }
    for (index, tenant) in file.tenants.iter().enumerate() {
        let Some(tenant) = tenant else { continue };
        let field = FieldPath::of(&["Tenants"]).index(index);
        if tenant.weight.is_some() {
            warn(checker, &field.field("weight"), WAITING);
        }
        if tenant.priority.is_some() {
            warn(checker, &field.field("priority"), WAITING);
        }
    }
    let pooled = file.api_key_pool.iter().flat_map(|pool| &pool.providers);
    for (name, provider) in pooled {
        let field = FieldPath::of(&["ApiKeyPool", "providers"]).field(name);
        check_provider(provider, &field, checker);
    }
}

fn check_provider(provider: &PoolProviderFile, field: &FieldPath, checker: &mut Checker<'_>) {
    if matches!(
        provider.window,
        Some(WindowName::Fixed | WindowName::Slices)
    ) {
        let feature = "this way of counting; a bucket is used";
        warn(checker, &field.field("window"), feature);
    }
    if provider.correct_limits.is_some() {
        let feature = "correcting limits by the provider's answers";
        warn(checker, &field.field("correctLimits"), feature);
    }
    if provider.sequential.is_some() {
        warn(checker, &field.field("sequential"), "one request at a time");
    }
    for (name, group) in &provider.quota_groups {
        let field = field.field("quotaGroups").field(name);
        check_limits(group.rate_limit.as_ref(), &field, checker);
    }
    for (index, key) in provider.keys.iter().enumerate() {
        let limits = key.as_ref().and_then(|key| key.rate_limit.as_ref());
        check_limits(limits, &field.field("keys").index(index), checker);
    }
}

fn check_limits(limits: Option<&RateLimitFile>, owner: &FieldPath, checker: &mut Checker<'_>) {
    if limits.is_some_and(|limits| limits.requests_per_second.is_some()) {
        let field = owner.field("rateLimit").field("requestsPerSecond");
        warn(checker, &field, "limits per second");
    }
}

fn warn(checker: &mut Checker<'_>, field: &FieldPath, feature: &str) {
    checker.warn(field, format!("accepted, not yet in effect: {feature}"));
}
