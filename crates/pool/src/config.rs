//! What a pool is made of. It never holds a secret: keys are known by their ids alone.

use std::collections::BTreeSet;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::bounds::{GROUPS_MAX, KEYS_MAX, LIMIT_MAX, PROBE_INTERVAL_DEFAULT};
use crate::day_rule::DayRule;
use crate::id::KeyId;
use crate::limits::{Dimension, Limits};
use crate::meter::Counting;
use crate::strategy::Strategy;
use crate::time::Timestamp;

/// How the per-minute limits of a provider are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Window {
    /// A continuously refilled bucket, full at start: the limit may be used at once, and refills
    /// evenly. What most providers do.
    #[default]
    Bucket,
    /// A sliding window: no 60 seconds ever see more than the limit.
    Sliding,
    /// A window that is cleared at each turn of the clock's minute, as Azure counts tokens.
    Fixed,
    /// As [`Self::Fixed`] for tokens; requests in slices of a second, each with its share of the minute,
    /// as Azure counts them.
    Slices,
}

/// Whether a pool serves one request at a time ("shin mode").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sequential {
    /// As many as the limits allow.
    #[default]
    Off,
    /// One at a time on each key.
    Key,
    /// One at a time in the whole pool.
    Provider,
}

impl Sequential {
    /// The name in configuration and API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Key => "key",
            Self::Provider => "provider",
        }
    }
}

/// How sessions are kept on the quota whose prompt cache they have filled.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AffinityConfig {
    /// Whether they are kept at all.
    pub enabled: bool,
    /// How long after its last request a session is remembered. Providers keep prompt caches for some
    /// minutes.
    pub ttl: Duration,
    /// How far above the mean load of all keys a key may be kept by its sessions; at least 1.
    pub load_factor: f64,
}

impl Default for AffinityConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            ttl: Duration::from_mins(5),
            load_factor: 1.25,
        }
    }
}

/// Bounds on the requests that wait for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueConfig {
    /// Requests that may wait at one time; 0 lets none wait.
    pub max_length: usize,
    /// Bytes of their bodies together.
    pub max_bytes: u64,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            max_length: 10_000,
            max_bytes: 256 * 1024 * 1024,
        }
    }
}

/// A key's weight among its peers: 1 to 100, default 10.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Priority(u8);

impl Priority {
    /// The largest priority.
    pub const MAX: Self = Self(100);

    /// The value, 1 to 100.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self(10)
    }
}

/// The number is not within 1 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a priority is 1 to 100, not {0}")]
pub struct PriorityOutOfRange(pub u8);

impl TryFrom<u8> for Priority {
    type Error = PriorityOutOfRange;

    fn try_from(value: u8) -> Result<Self, Self::Error> {
        if (1..=Self::MAX.0).contains(&value) {
            Ok(Self(value))
        } else {
            Err(PriorityOutOfRange(value))
        }
    }
}

impl From<Priority> for u8 {
    fn from(priority: Priority) -> Self {
        priority.0
    }
}

/// One key of the pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyConfig {
    /// Who it is.
    pub id: KeyId,
    /// What people call it.
    pub name: Option<String>,
    /// A disabled key stays listed and is never selected.
    pub enabled: bool,
    /// Its weight under the weighted strategy.
    pub priority: Priority,
    /// Labels; a demand may want some.
    pub tags: Vec<String>,
    /// Models it may serve, as globs with `*`; empty means all.
    pub models: Vec<String>,
    /// Its own limits.
    pub limits: Limits,
    /// The quota group whose limits it shares, if any.
    pub quota_group: Option<String>,
    /// From this instant on it is unavailable.
    pub expires_at: Option<Timestamp>,
}

impl KeyConfig {
    /// A key with defaults: enabled, priority 10, any model, no limits, no group.
    #[must_use]
    pub fn new(id: KeyId) -> Self {
        Self {
            id,
            name: None,
            enabled: true,
            priority: Priority::default(),
            tags: Vec::new(),
            models: Vec::new(),
            limits: Limits::default(),
            quota_group: None,
            expires_at: None,
        }
    }
}

/// A whole pool: one provider's keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolConfig {
    /// Which key goes next.
    pub strategy: Strategy,
    /// How limits per second and minute are counted.
    pub window: Window,
    /// When per-day limits start afresh.
    pub day: DayRule,
    /// Whether input read from the provider's prompt cache is free of token limits.
    pub cache_reads_free: bool,
    /// Whether limits declared a little too low are raised to what the provider states. Those declared
    /// too high are lowered in any case.
    pub correct_limits: bool,
    /// One request at a time, per key or in all.
    pub sequential: Sequential,
    /// How sessions are kept on the key whose prompt cache they have filled.
    pub affinity: AffinityConfig,
    /// Bounds on the requests that wait for room.
    pub queue: QueueConfig,
    /// Named quotas that several keys share.
    pub quota_groups: Vec<(String, Limits)>,
    /// The keys; their order is the order of the strategies that follow one.
    pub keys: Vec<KeyConfig>,
    /// Unit of the probes of dead keys: after 1, 5 and 30 of it, then every 60.
    pub probe_interval: Duration,
    /// Seed of every random choice: equal seeds and events give equal answers.
    pub seed: u64,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            strategy: Strategy::default(),
            window: Window::default(),
            day: DayRule::default(),
            cache_reads_free: false,
            correct_limits: true,
            sequential: Sequential::default(),
            affinity: AffinityConfig::default(),
            queue: QueueConfig::default(),
            quota_groups: Vec::new(),
            keys: Vec::new(),
            probe_interval: PROBE_INTERVAL_DEFAULT,
            seed: 0,
        }
    }
}

/// Why a configuration cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Two keys have one id, so they are the same secret twice.
    #[error("{0} is listed twice")]
    DuplicateKey(KeyId),
    /// Two groups have one name.
    #[error("quota group `{0}` is defined twice")]
    DuplicateGroup(String),
    /// A key names a group that is not defined.
    #[error("{key} is in quota group `{group}`, which is not defined")]
    UnknownGroup {
        /// The key.
        key: KeyId,
        /// The name that is not defined.
        group: String,
    },
    /// A limit of zero would disable the key, which is what `enabled` is for; one above
    /// [`LIMIT_MAX`] is a slip.
    #[error("{owner}: {dimension} is {limit}, which is not within 1 to {LIMIT_MAX}")]
    LimitOutOfRange {
        /// The key's id or the group's name.
        owner: String,
        /// Which limit.
        dimension: Dimension,
        /// The value.
        limit: u64,
    },
    /// More keys than [`KEYS_MAX`].
    #[error("{0} keys; a pool holds at most {KEYS_MAX}")]
    TooManyKeys(usize),
    /// A factor below 1 would forbid what is fair.
    #[error("affinity: the load factor is {0}; it must be a number of at least 1")]
    LoadFactor(String),
    /// More groups than [`GROUPS_MAX`].
    #[error("{0} quota groups; a pool holds at most {GROUPS_MAX}")]
    TooManyGroups(usize),
}

impl PoolConfig {
    pub(crate) const fn counting(&self) -> Counting {
        Counting {
            window: self.window,
            day: self.day,
        }
    }

    /// Checks what the types cannot express.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.keys.len() > KEYS_MAX {
            return Err(ConfigError::TooManyKeys(self.keys.len()));
        }
        if self.quota_groups.len() > GROUPS_MAX {
            return Err(ConfigError::TooManyGroups(self.quota_groups.len()));
        }
        let factor = self.affinity.load_factor;
        if !(factor.is_finite() && factor >= 1.0) {
            return Err(ConfigError::LoadFactor(factor.to_string()));
        }
        let mut groups = BTreeSet::new();
        for (name, limits) in &self.quota_groups {
            check_limits(name, limits)?;
            if !groups.insert(name.as_str()) {
                return Err(ConfigError::DuplicateGroup(name.clone()));
            }
        }
        let mut ids = BTreeSet::new();
        for key in &self.keys {
            check_key(key, |name| groups.contains(name))?;
            if !ids.insert(key.id) {
                return Err(ConfigError::DuplicateKey(key.id));
            }
        }
        Ok(())
    }
}

/// Checks one key against the groups that exist.
pub(crate) fn check_key(
    key: &KeyConfig,
    group_exists: impl Fn(&str) -> bool,
) -> Result<(), ConfigError> {
    check_limits(&key.id.to_string(), &key.limits)?;
    match &key.quota_group {
        Some(group) if !group_exists(group) => Err(ConfigError::UnknownGroup {
            key: key.id,
            group: group.clone(),
        }),
        _ => Ok(()),
    }
}

fn check_limits(owner: &str, limits: &Limits) -> Result<(), ConfigError> {
    match limits.first_out_of_range() {
        None => Ok(()),
        Some((dimension, limit)) => Err(ConfigError::LimitOutOfRange {
            owner: owner.to_owned(),
            dimension,
            limit,
        }),
    }
}
