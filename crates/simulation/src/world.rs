//! The two sides of a scenario: the provider as it is, and the pool as it is told.

use std::collections::BTreeMap;

use keypool_pool::{AffinityConfig, KeyConfig, KeyId, Limits, PoolConfig, QueueConfig};
use keypool_sim::{ModelClass, Organisation, SimConfig, SimKey};

use crate::scenario::{Declared, Scenario};
use crate::traffic::model_name;

/// The id of the key at a position.
pub(crate) fn key_id(position: usize) -> KeyId {
    KeyId::from_bits(position as u64 + 1)
}

/// The position of the key with an id.
pub(crate) fn position_of(key: KeyId) -> usize {
    usize::try_from(key.as_bits()).unwrap_or(usize::MAX) - 1
}

/// The secret of the key at a position.
pub(crate) fn secret(position: usize) -> String {
    format!("sk-simulated-{position}")
}

fn organisation(quota: usize) -> String {
    format!("org-{quota}")
}

/// The provider as it is.
pub(crate) fn provider(scenario: &Scenario) -> SimConfig {
    let mut config = SimConfig::empty().without_request_log();
    config.seed = scenario.seed;
    for (number, quota) in scenario.quotas.iter().enumerate() {
        let name = organisation(number);
        let dialect = scenario.provider.dialect();
        let mut owner = Organisation::new(&name, dialect, quota.limits);
        owner.algorithm = scenario.limiter;
        owner.headers = scenario.provider.header_style();
        owner.model_classes = (1..scenario.traffic.models)
            .map(|model| ModelClass {
                models: vec![model_name(model).to_owned()],
                limits: quota.limits,
            })
            .collect();
        config.organisations.push(owner);
    }
    for (position, plan) in scenario.keys.iter().enumerate() {
        let mut key = SimKey::new(&secret(position), &organisation(plan.quota));
        key.limits = plan.limits;
        key.faults.clone_from(&plan.faults);
        config.keys.push(key);
    }
    config
}

/// The pool as it is told.
pub(crate) fn pool(scenario: &Scenario) -> PoolConfig {
    let rules = keypool_wire::quota_rules(scenario.provider.kind());
    let groups: BTreeMap<&str, Limits> = scenario
        .quotas
        .iter()
        .filter_map(|quota| Some((quota.group.as_deref()?, told(scenario, &quota.limits))))
        .collect();
    PoolConfig {
        strategy: scenario.pool.strategy,
        window: scenario.window(),
        cache_reads_free: rules.cache_reads_free,
        correct_limits: scenario.pool.correct_limits,
        sequential: scenario.pool.sequential,
        affinity: AffinityConfig {
            enabled: scenario.pool.affinity,
            ..AffinityConfig::default()
        },
        queue: QueueConfig {
            max_length: scenario.pool.queue_length,
            ..QueueConfig::default()
        },
        quota_groups: groups
            .into_iter()
            .map(|(name, limits)| (name.to_owned(), limits))
            .collect(),
        keys: (0..scenario.keys.len())
            .map(|position| key(scenario, position))
            .collect(),
        seed: scenario.seed,
        ..PoolConfig::default()
    }
}

fn key(scenario: &Scenario, position: usize) -> KeyConfig {
    let mut key = KeyConfig::new(key_id(position));
    if let Some(plan) = scenario.keys.get(position) {
        let quota = scenario.quotas.get(plan.quota);
        let group = quota.and_then(|quota| quota.group.clone());
        let own = told(scenario, &plan.limits);
        key.limits = match (quota, &group) {
            (Some(quota), None) => tighter(own, &told(scenario, &quota.limits)),
            _ => own,
        };
        key.quota_group = group;
        key.name.clone_from(&plan.name);
        key.models.clone_from(&plan.models);
    }
    key
}

fn tighter(own: Limits, shared: &Limits) -> Limits {
    let least = |own: Option<u64>, shared: Option<u64>| own.into_iter().chain(shared).min();
    Limits {
        requests_per_minute: least(own.requests_per_minute, shared.requests_per_minute),
        tokens_per_minute: least(own.tokens_per_minute, shared.tokens_per_minute),
        input_tokens_per_minute: least(own.input_tokens_per_minute, shared.input_tokens_per_minute),
        output_tokens_per_minute: least(
            own.output_tokens_per_minute,
            shared.output_tokens_per_minute,
        ),
        requests_per_day: least(own.requests_per_day, shared.requests_per_day),
        tokens_per_day: least(own.tokens_per_day, shared.tokens_per_day),
        max_concurrent: own
            .max_concurrent
            .into_iter()
            .chain(shared.max_concurrent)
            .min(),
        ..own
    }
}

/// True limits as they are told to the pool.
fn told(scenario: &Scenario, limits: &keypool_sim::Limits) -> Limits {
    let told = |limit: Option<u64>| {
        let limit = limit?;
        match scenario.declared {
            Declared::Right => Some(limit),
            Declared::Nothing => None,
            Declared::Percent(percent) => Some((limit.saturating_mul(percent) / 100).max(1)),
        }
    };
    Limits {
        requests_per_minute: told(limits.requests_per_minute),
        tokens_per_minute: told(limits.tokens_per_minute),
        input_tokens_per_minute: told(limits.input_tokens_per_minute),
        output_tokens_per_minute: told(limits.output_tokens_per_minute),
        requests_per_day: told(limits.requests_per_day),
        tokens_per_day: told(limits.tokens_per_day),
        max_concurrent: told(limits.max_concurrent).and_then(|limit| u32::try_from(limit).ok()),
        ..Limits::default()
    }
}
