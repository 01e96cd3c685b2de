//! `GET /api/apikeys/provider/{provider}`: everything about one provider's keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use keypool_pool::{GroupSnapshot, KeyConfig, KeySnapshot, Limits, MeterSnapshot, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::envelope::{Answer, ApiError, Failure, Success};
use super::health::KeyHealth;
use super::instant::{millis, rfc3339};
use super::number::{Number, ratio};
use super::request::{self, Segment};
use super::stats::{Stats, stats};
use crate::core::Core;
use crate::telemetry::{KeyView, ProviderView, census};

/// A provider, its totals and its keys.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProviderDetails {
    provider: String,
    /// The strategy in force.
    strategy: &'static str,
    #[serde(flatten)]
    stats: Stats,
    keys: Vec<KeyDetails>,
    quota_groups: Vec<GroupDetails>,
}

/// One key: how it is configured, what it did, and what room it has.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct KeyDetails {
    #[serde(flatten)]
    health: KeyHealth,
    config: KeySettings,
    metrics: KeyMetrics,
    /// The key's own limits; those of its quota group are listed there.
    meters: Vec<Meter>,
    #[serde(rename = "barredModels")]
    barred_models: Vec<BarredModel>,
}

/// A key's configuration in force, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct KeySettings {
    name: Option<String>,
    enabled: bool,
    priority: u8,
    tags: Vec<String>,
    /// Models it may serve, `*` for any characters; empty means all.
    models: Vec<String>,
    rate_limit: RateLimit,
    quota_group: Option<String>,
    /// RFC 3339.
    expires_at: Option<String>,
}

/// Declared limits; null where there is none.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RateLimit {
    requests_per_second: Option<u64>,
    requests_per_minute: Option<u64>,
    tokens_per_minute: Option<u64>,
    input_tokens_per_minute: Option<u64>,
    output_tokens_per_minute: Option<u64>,
    requests_per_day: Option<u64>,
    tokens_per_day: Option<u64>,
    max_concurrent: Option<u32>,
}

/// What a key did since it was added.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct KeyMetrics {
    requests: u64,
    successes: u64,
    /// Failures by the key's or the provider's fault.
    errors: u64,
    /// Everything that did not succeed, by class; clients' mistakes and clients that left are not
    /// among the errors.
    errors_by_class: BTreeMap<&'static str, u64>,
    /// 429s.
    rate_limits: u64,
    tokens: TokenCounts,
    /// Median of recent successes.
    #[schema(value_type = Option<f64>)]
    latency_p50_ms: Option<Number>,
    /// 99th percentile of recent successes.
    #[schema(value_type = Option<f64>)]
    latency_p99_ms: Option<Number>,
    /// RFC 3339.
    last_used: Option<String>,
    in_flight: u32,
    /// The provider's answers by HTTP status, probes included.
    upstream_statuses: BTreeMap<u16, u64>,
}

/// Tokens as the provider counted them.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TokenCounts {
    /// Without cached ones.
    input: u64,
    output: u64,
    cache_read: u64,
    cache_write: u64,
    /// Read from and written to the cache together.
    cached: u64,
    total: u64,
}

/// One limit and what is left of it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Meter {
    /// The limit's name in the configuration, such as `requestsPerMinute`.
    dimension: &'static str,
    /// The models that it counts, where the provider's answers told of a limit of their own; null: all
    /// models for which there is no such meter.
    model_class: Option<String>,
    limit: u64,
    used: u64,
    /// For requests in flight.
    reserved: u64,
    /// Negative when overdrawn.
    remaining: i64,
    /// Percent used or reserved.
    utilization: Number,
    /// When all of it is free again if nothing more is used; RFC 3339.
    resets_at: String,
}

/// A model that a key may not be used for at present.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BarredModel {
    model: String,
    /// RFC 3339; null without an end.
    until: Option<String>,
}

/// Quota that several keys share.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct GroupDetails {
    name: String,
    /// Found out from the provider's answers, not declared.
    learned: bool,
    in_flight: u32,
    /// Its keys, masked.
    keys: Vec<String>,
    meters: Vec<Meter>,
}

/// One provider's keys with configuration, metrics and limits.
#[utoipa::path(
    get, path = "/api/apikeys/provider/{provider}", tag = "keys",
    params(("provider" = String, Path, description = "The provider's name")),
    responses((status = 200, body = Success<ProviderDetails>), (status = 404, body = Failure)),
)]
pub(super) async fn get(
    State(core): State<Arc<Core>>,
    Segment(name): Segment,
) -> Answer<ProviderDetails> {
    let provider = request::provider(&core, &name)?;
    let views = census(std::slice::from_ref(&provider));
    let details = views
        .first()
        .map(|view| ProviderDetails::of(view, stats(&views)));
    details.map(Success::ok).ok_or_else(ApiError::internal)
}

impl ProviderDetails {
    fn of(view: &ProviderView, stats: Stats) -> Self {
        Self {
            provider: view.provider.name.clone(),
            strategy: view.strategy.as_str(),
            stats,
            keys: view.keys.iter().map(KeyDetails::of).collect(),
            quota_groups: view
                .groups
                .iter()
                .map(|group| GroupDetails::of(group, view))
                .collect(),
        }
    }
}

impl KeyDetails {
    /// Everything about one key.
    pub(super) fn of(key: &KeyView) -> Self {
        let barred = |(model, until): &(String, Option<Timestamp>)| BarredModel {
            model: model.clone(),
            until: until.map(rfc3339),
        };
        Self {
            health: KeyHealth::of(key),
            config: KeySettings::of(&key.now.config),
            metrics: KeyMetrics::of(&key.now, key.upstream.statuses.lock().clone()),
            meters: key.now.meters.iter().map(Meter::of).collect(),
            barred_models: key.now.barred_models.iter().map(barred).collect(),
        }
    }
}

impl KeySettings {
    /// What the pool was told about a key.
    pub(super) fn of(config: &KeyConfig) -> Self {
        Self {
            name: config.name.clone(),
            enabled: config.enabled,
            priority: config.priority.get(),
            tags: config.tags.clone(),
            models: config.models.clone(),
            rate_limit: RateLimit::of(&config.limits),
            quota_group: config.quota_group.clone(),
            expires_at: config.expires_at.map(rfc3339),
        }
    }
}

impl RateLimit {
    fn of(limits: &Limits) -> Self {
        Self {
            requests_per_second: limits.requests_per_second,
            requests_per_minute: limits.requests_per_minute,
            tokens_per_minute: limits.tokens_per_minute,
            input_tokens_per_minute: limits.input_tokens_per_minute,
            output_tokens_per_minute: limits.output_tokens_per_minute,
            requests_per_day: limits.requests_per_day,
            tokens_per_day: limits.tokens_per_day,
            max_concurrent: limits.max_concurrent,
        }
    }
}

impl KeyMetrics {
    fn of(now: &KeySnapshot, upstream_statuses: BTreeMap<u16, u64>) -> Self {
        let classes = &now.errors_by_class;
        let errors_by_class = BTreeMap::from([
            ("serverError", classes.server_error),
            ("timeout", classes.timeout),
            ("unreachable", classes.unreachable),
            ("reset", classes.reset),
            ("garbage", classes.garbage),
            ("overloaded", classes.overloaded),
            ("rateLimited", classes.rate_limited),
            ("invalid", classes.invalid),
            ("outOfCredit", classes.out_of_credit),
            ("modelDenied", classes.model_denied),
            ("clientError", classes.client_error),
            ("cancelled", classes.cancelled),
        ]);
        let usage = &now.usage;
        Self {
            requests: now.requests,
            successes: now.successes,
            errors: now.errors,
            errors_by_class,
            rate_limits: classes.rate_limited,
            tokens: TokenCounts {
                input: usage.input_tokens,
                output: usage.output_tokens,
                cache_read: usage.cache_read_tokens,
                cache_write: usage.cache_write_tokens,
                cached: usage
                    .cache_read_tokens
                    .saturating_add(usage.cache_write_tokens),
                total: usage.total(),
            },
            latency_p50_ms: now.latency_p50.map(millis),
            latency_p99_ms: now.latency_p99.map(millis),
            last_used: now.last_used.map(rfc3339),
            in_flight: now.in_flight,
            upstream_statuses,
        }
    }
}

impl Meter {
    fn of(meter: &MeterSnapshot) -> Self {
        let taken = meter.used.saturating_add(meter.reserved);
        Self {
            dimension: meter.dimension.as_str(),
            model_class: meter.model_class.clone(),
            limit: meter.limit,
            used: meter.used,
            reserved: meter.reserved,
            remaining: meter.remaining,
            utilization: Number::rounded(ratio(taken, meter.limit.max(1)) * 100.0, 1),
            resets_at: rfc3339(meter.resets_at),
        }
    }
}

impl GroupDetails {
    fn of(group: &GroupSnapshot, view: &ProviderView) -> Self {
        let member = |key: &&KeyView| key.now.quota_group.as_deref() == Some(&group.name);
        Self {
            name: group.name.clone(),
            learned: group.is_learned,
            in_flight: group.in_flight,
            keys: view
                .keys
                .iter()
                .filter(member)
                .map(|key| key.mask.clone())
                .collect(),
            meters: group.meters.iter().map(Meter::of).collect(),
        }
    }
}
