//! What a pool is made of. It never holds a secret: keys are known by their ids alone.

use std::collections::BTreeSet;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::bounds::{GROUPS_MAX, KEYS_MAX, LIMIT_MAX, PROBE_INTERVAL_DEFAULT};
use crate::id::KeyId;
use crate::limits::{Dimension, Limits};
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolConfig {
    /// Which key goes next.
    pub strategy: Strategy,
    /// How per-minute limits are counted.
    pub window: Window,
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
    /// More groups than [`GROUPS_MAX`].
    #[error("{0} quota groups; a pool holds at most {GROUPS_MAX}")]
    TooManyGroups(usize),
}

impl PoolConfig {
    /// Checks what the types cannot express.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.keys.len() > KEYS_MAX {
            return Err(ConfigError::TooManyKeys(self.keys.len()));
        }
        if self.quota_groups.len() > GROUPS_MAX {
            return Err(ConfigError::TooManyGroups(self.quota_groups.len()));
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
