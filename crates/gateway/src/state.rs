//! What the admin API changed, kept across restarts.
//!
//! One JSON file, readable by its owner alone, replaced as a whole (written beside it, synced,
//! renamed): a crash leaves the old file or the new one. It is written before a change takes
//! effect, so that a change that was answered with success is never lost.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use keypool_pool::{KeyId, KeyPatch, Limits, Priority, Sequential, Strategy, Timestamp};
use keypool_wire::KeyPlace;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::config::{Credential, GatewayConfig, KeyEntry, ProviderConfig};
use crate::provider::pool_key;
use crate::secret::Secret;

/// The file and what is in it.
#[derive(Debug)]
pub(crate) struct StateStore {
    file: Option<PathBuf>,
    state: Mutex<State>,
}

/// All changes made through the admin API.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct State {
    /// Changes by provider name.
    pub providers: BTreeMap<String, ProviderState>,
}

/// The changes made to one provider.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ProviderState {
    /// A strategy set at run time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Change<Strategy>>,
    /// Whether one request is served at a time, set at run time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequential: Option<Change<Sequential>>,
    /// Keys added, in order.
    pub added: Vec<StoredKey>,
    /// Configured keys that were removed.
    pub removed: Vec<KeyId>,
    /// Changes to keys.
    pub patched: BTreeMap<KeyId, KeyPatch>,
}

/// What the configuration itself says, by provider name, of what can be set at run time.
pub(crate) type Configured = BTreeMap<String, ConfiguredChoices>;

/// What the configuration itself says of one provider.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConfiguredChoices {
    /// How a key is chosen.
    pub strategy: Strategy,
    /// Whether one request is served at a time.
    pub sequential: Sequential,
}

/// A choice made at run time, in force until the file's own is edited.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Change<T> {
    /// The one in force.
    pub set: T,
    /// What the configuration said when it was set.
    pub over: T,
}

impl<T: PartialEq + Copy> Change<T> {
    fn apply_to(self, configured: &mut T) {
        if self.over == *configured {
            *configured = self.set;
        }
    }
}

/// A key as it is stored.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredKey {
    key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    quota_group: Option<String>,
    #[serde(default)]
    rate_limit: Limits,
    priority: Priority,
    enabled: bool,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    models: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    /// Whether it is sent as a bearer token, whatever is usual.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    bearer: bool,
    #[serde(default, skip_serializing_if = "is_anywhere")]
    place: KeyPlace,
}

fn is_anywhere(place: &KeyPlace) -> bool {
    *place == KeyPlace::default()
}

/// Why stored state cannot be used or written.
#[derive(Debug, thiserror::Error)]
#[error("{action} {path}: {reason}")]
pub struct StateError {
    action: &'static str,
    path: PathBuf,
    reason: String,
}

impl StateStore {
    /// Reads the file; a missing one is an empty state.
    pub(crate) fn open(file: Option<PathBuf>) -> Result<Self, StateError> {
        let state = match &file {
            None => State::default(),
            Some(path) => read(path)?,
        };
        Ok(Self {
            file,
            state: Mutex::new(state),
        })
    }

    /// Changes the state: on disk first, then in memory. On an error nothing has changed.
    /// Blocks on the disk.
    pub(crate) fn update(&self, change: impl FnOnce(&mut State)) -> Result<(), StateError> {
        let mut state = self.state.lock();
        let mut changed = state.clone();
        change(&mut changed);
        if let Some(path) = &self.file {
            write(path, &changed).map_err(|error| StateError {
                action: "cannot write",
                path: path.clone(),
                reason: error.to_string(),
            })?;
        }
        *state = changed;
        Ok(())
    }

    /// Applies the stored changes to a configuration. Answers what it said by itself.
    pub(crate) fn apply_to(&self, config: &mut GatewayConfig) -> Configured {
        let state = self.state.lock();
        let configured = config.providers.iter().map(|provider| {
            let choices = ConfiguredChoices {
                strategy: provider.strategy,
                sequential: provider.sequential,
            };
            (provider.name.clone(), choices)
        });
        let configured = configured.collect();
        for provider in &mut config.providers {
            if let Some(changes) = state.providers.get(&provider.name) {
                changes.apply_to(provider);
            }
        }
        configured
    }
}

impl State {
    /// The changes of one provider, made if there are none yet.
    pub(crate) fn provider(&mut self, name: &str) -> &mut ProviderState {
        self.providers.entry(name.to_owned()).or_default()
    }
}

impl ProviderState {
    /// Records that a key was added.
    pub(crate) fn add(&mut self, entry: &KeyEntry) {
        let id = entry.id();
        self.removed.retain(|removed| *removed != id);
        self.patched.remove(&id);
        self.added.retain(|stored| stored.id() != id);
        self.added.push(StoredKey::from(entry));
    }

    /// Records that a key was removed.
    pub(crate) fn remove(&mut self, id: KeyId) {
        self.added.retain(|stored| stored.id() != id);
        self.patched.remove(&id);
        if !self.removed.contains(&id) {
            self.removed.push(id);
        }
    }

    /// Records a change to a key, over earlier ones.
    pub(crate) fn patch(&mut self, id: KeyId, patch: &KeyPatch) {
        self.patched.entry(id).or_default().merge(patch);
    }

    fn apply_to(&self, provider: &mut ProviderConfig) {
        if let Some(change) = self.strategy {
            change.apply_to(&mut provider.strategy);
        }
        if let Some(change) = self.sequential {
            change.apply_to(&mut provider.sequential);
        }
        provider
            .keys
            .retain(|entry| !self.removed.contains(&entry.id()));
        for stored in &self.added {
            let id = stored.id();
            provider.keys.retain(|entry| entry.id() != id);
            provider.keys.push(KeyEntry::from(stored));
        }
        for entry in &mut provider.keys {
            if let Some(patch) = self.patched.get(&entry.id()) {
                patch_entry(entry, patch);
            }
        }
    }
}

impl StoredKey {
    fn id(&self) -> KeyId {
        KeyEntry::from(self).id()
    }
}

impl std::fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("StoredKey").field(&self.id()).finish()
    }
}

impl From<&KeyEntry> for StoredKey {
    fn from(entry: &KeyEntry) -> Self {
        Self {
            key: entry.secret.expose().to_owned(),
            name: entry.name.clone(),
            quota_group: entry.quota_group.clone(),
            rate_limit: entry.limits,
            priority: entry.priority,
            enabled: entry.enabled,
            tags: entry.tags.clone(),
            models: entry.models.clone(),
            expires_at: entry.expires_at,
            bearer: matches!(entry.credential, Credential::Bearer),
            place: entry.place.clone(),
        }
    }
}

impl From<&StoredKey> for KeyEntry {
    fn from(stored: &StoredKey) -> Self {
        let bare = Self::new(Secret::new(stored.key.as_str()));
        Self {
            credential: if stored.bearer {
                Credential::Bearer
            } else {
                bare.credential
            },
            place: stored.place.clone(),
            name: stored.name.clone(),
            quota_group: stored.quota_group.clone(),
            limits: stored.rate_limit,
            priority: stored.priority,
            enabled: stored.enabled,
            tags: stored.tags.clone(),
            models: stored.models.clone(),
            expires_at: stored.expires_at,
            secret: bare.secret,
        }
    }
}

/// Applies a change to a configured key.
pub(crate) fn patch_entry(entry: &mut KeyEntry, patch: &KeyPatch) {
    let changed = patch.clone().applied_to(&pool_key(entry));
    entry.name = changed.name;
    entry.enabled = changed.enabled;
    entry.priority = changed.priority;
    entry.tags = changed.tags;
    entry.models = changed.models;
    entry.limits = changed.limits;
    entry.quota_group = changed.quota_group;
    entry.expires_at = changed.expires_at;
}

fn read(path: &Path) -> Result<State, StateError> {
    let bad = |reason: String| StateError {
        action: "cannot read",
        path: path.to_owned(),
        reason,
    };
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(State::default()),
        Err(error) => Err(bad(error.to_string())),
    }
}

fn write(path: &Path, state: &State) -> io::Result<()> {
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    // tempfile makes the file readable by its owner alone.
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    serde_json::to_writer_pretty(&mut file, state)?;
    file.write_all(b"\n")?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    std::fs::File::open(directory)?.sync_all()
}
