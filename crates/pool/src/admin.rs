//! What an operator may tell a running pool.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::config::{ConfigError, KeyConfig, PoolConfig, Priority, Sequential};
use crate::id::KeyId;
use crate::limits::Limits;
use crate::output::StateChange;
use crate::strategy::Strategy;
use crate::time::Timestamp;

/// An operator's command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Command {
    /// Adds a key behind the others; usable by the next request.
    AddKey(KeyConfig),
    /// Removes a key at once; its leases in flight settle without harm.
    RemoveKey(KeyId),
    /// Changes a key. Setting `enabled` to true also returns an unavailable or cooling key.
    UpdateKey(KeyId, KeyPatch),
    /// Changes the strategy from the next request on.
    SetStrategy(Strategy),
    /// Serves one request at a time, per key or in all, or as many as the limits allow.
    SetSequential(Sequential),
    /// Makes the next grant go to another key than the last one did.
    Rotate,
    /// Re-evaluates all timers now and asks for a probe of every unavailable key.
    HealthCheck,
    /// Takes a new configuration: keys with the same id keep health, usage and leases; new limits
    /// hold at once; keys that are not listed stop at once.
    Reconfigure(PoolConfig),
}

/// A change to one optional field of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Edit<T> {
    /// Leave it as it is. In JSON: the field is absent.
    #[default]
    Keep,
    /// Remove it. In JSON: `null`.
    Clear,
    /// Set it.
    Set(T),
}

impl<T> Edit<T> {
    /// Whether nothing changes.
    pub const fn is_keep(&self) -> bool {
        matches!(self, Self::Keep)
    }

    fn over(self, earlier: &mut Self) {
        if !self.is_keep() {
            *earlier = self;
        }
    }

    pub(crate) fn apply(self, field: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Clear => *field = None,
            Self::Set(value) => *field = Some(value),
        }
    }
}

impl<T: Serialize> Serialize for Edit<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Keep | Self::Clear => serializer.serialize_none(),
            Self::Set(value) => serializer.serialize_some(value),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Edit<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(|value| value.map_or(Self::Clear, Self::Set))
    }
}

/// Changes to a key; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct KeyPatch {
    /// What people call it.
    #[serde(skip_serializing_if = "Edit::is_keep")]
    pub name: Edit<String>,
    /// Whether it may be selected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Its weight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// Its tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// Its models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// Its limits, all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// Its quota group.
    #[serde(skip_serializing_if = "Edit::is_keep")]
    pub quota_group: Edit<String>,
    /// When it expires.
    #[serde(skip_serializing_if = "Edit::is_keep")]
    pub expires_at: Edit<Timestamp>,
}

impl KeyPatch {
    /// Puts a later change over this one.
    pub fn merge(&mut self, later: &Self) {
        let Self {
            name,
            enabled,
            priority,
            tags,
            models,
            limits,
            quota_group,
            expires_at,
        } = later.clone();
        name.over(&mut self.name);
        quota_group.over(&mut self.quota_group);
        expires_at.over(&mut self.expires_at);
        self.enabled = enabled.or(self.enabled);
        self.priority = priority.or(self.priority);
        self.tags = tags.or(self.tags.take());
        self.models = models.or(self.models.take());
        self.limits = limits.or(self.limits.take());
    }

    /// The configuration after this change.
    #[must_use]
    pub fn applied_to(self, config: &KeyConfig) -> KeyConfig {
        let mut changed = config.clone();
        self.name.apply(&mut changed.name);
        self.quota_group.apply(&mut changed.quota_group);
        self.expires_at.apply(&mut changed.expires_at);
        changed.enabled = self.enabled.unwrap_or(changed.enabled);
        changed.priority = self.priority.unwrap_or(changed.priority);
        changed.limits = self.limits.unwrap_or(changed.limits);
        if let Some(tags) = self.tags {
            changed.tags = tags;
        }
        if let Some(models) = self.models {
            changed.models = models;
        }
        changed
    }
}

/// What a command did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Applied {
    /// It is in force.
    Done,
    /// The next grant goes to this key if it can take the demand, else to another than the last.
    Rotated {
        /// The key.
        key: KeyId,
    },
    /// What the check found.
    Checked {
        /// States that changed by it.
        changed: Vec<StateChange>,
        /// Keys for which a probe was asked for, or which the next request tries.
        probing: Vec<KeyId>,
    },
}

/// Why a command was not obeyed; nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AdminError {
    /// The pool has no such key.
    #[error("there is no key {0}")]
    UnknownKey(KeyId),
    /// The pool has this key already.
    #[error("{0} is in the pool already")]
    DuplicateKey(KeyId),
    /// There is no key with room other than the last one used.
    #[error("no other key has room now")]
    NoOtherKey,
    /// The key or configuration cannot be taken.
    #[error(transparent)]
    Config(#[from] ConfigError),
}
