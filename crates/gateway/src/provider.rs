//! A provider at run time: its pool, and the secrets that the pool's key ids stand for.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use http::HeaderMap;
use keypool_pool::{AdminError, ConfigError, KeyConfig, KeyId, Pool, PoolConfig};
use keypool_wire::{Dialect, Place, PlaceError, ProviderKind};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::catalogue::Catalogue;
use crate::clock::TimeSource;
use crate::config::{Credential, KeyEntry, ProviderConfig};
use crate::credentials::{Proof, takes_keys};
use crate::pool_shell::SharedPool;
use crate::telemetry::ProviderMeasurements;
use crate::traffic::QuotaHeaders;

/// One provider, its keys and its pool.
#[derive(Debug)]
pub(crate) struct Provider {
    /// The configured name.
    pub name: String,
    /// The pool of its keys.
    pub pool: SharedPool,
    /// What is measured about it besides what the pool counts.
    pub measurements: ProviderMeasurements,
    /// What it says of its models.
    pub catalogue: Catalogue,
    quota_headers: QuotaHeaders,
    settings: ArcSwap<Settings>,
    keys: ArcSwap<HashMap<KeyId, Arc<UpstreamKey>>>,
    /// Serialises changes of the set of keys; readers never wait for it.
    changing: Mutex<()>,
}

/// What a reload may change about a provider, besides its keys.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Which provider's rules apply.
    pub kind: ProviderKind,
    /// The dialect its endpoints speak.
    pub dialect: Dialect,
    /// The base URL of keys that say nothing else.
    pub base_url: Option<String>,
    /// Models it is known to serve.
    pub models: Vec<String>,
    /// Whether it serves the Responses API.
    pub serves_responses: bool,
    /// The most tokens of output that its models can be asked for.
    pub output_tokens_max: Option<u64>,
    /// Whether a translated request goes without the tools of the client's provider.
    pub drops_server_tools: bool,
}

/// A key as the gateway uses it: the secret, ready to be put on the wire.
#[derive(Debug)]
pub(crate) struct UpstreamKey {
    /// The stable id that the pool knows it by.
    pub id: KeyId,
    /// What people are shown.
    pub mask: String,
    /// The configured entry; holds the secret.
    pub entry: KeyEntry,
    /// Where requests with this key go.
    pub place: Place,
    /// What proves upstream who sends a request.
    pub proof: Proof,
    /// Who owns its quota, as its answers name them; 0 until one did.
    pub owner: AtomicU64,
    /// Upstream answers by status.
    pub statuses: Mutex<BTreeMap<u16, u64>>,
    /// Input and output tokens among those counted that the provider never stated.
    pub guessed_tokens: Mutex<(u64, u64)>,
}

/// Why a provider cannot be set up or changed.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// Nothing can be sent where the key is said to be.
    #[error("provider {provider}: key {mask}: {source}")]
    Place {
        /// The provider's name.
        provider: String,
        /// The key's mask.
        mask: String,
        /// What is wrong.
        source: PlaceError,
    },
    /// The key has characters that no HTTP header can carry.
    #[error("provider {provider}: key {mask} has characters that no HTTP header can carry")]
    KeyCharacters {
        /// The provider's name.
        provider: String,
        /// The key's mask.
        mask: String,
    },
    /// The pool refuses the configuration.
    #[error("provider {provider}: {source}")]
    Pool {
        /// The provider's name.
        provider: String,
        /// The pool's reason.
        source: ConfigError,
    },
    /// The running pool refuses the change.
    #[error("provider {provider}: {source}")]
    Change {
        /// The provider's name.
        provider: String,
        /// The pool's reason.
        source: AdminError,
    },
}

impl Provider {
    /// Sets up a provider. What its pool puts out goes to `outputs`.
    pub(crate) fn new(
        config: &ProviderConfig,
        pool_config: PoolConfig,
        time: &Arc<dyn TimeSource>,
        outputs: mpsc::UnboundedSender<keypool_pool::Output>,
    ) -> Result<Self, ProviderError> {
        let settings = Settings::new(config);
        let keys = upstream_keys(config, &settings)?;
        let pool = Pool::new(time.now(), pool_config).map_err(|source| ProviderError::Pool {
            provider: config.name.clone(),
            source,
        })?;
        Ok(Self {
            name: config.name.clone(),
            pool: SharedPool::new(pool, time.clone(), outputs),
            measurements: ProviderMeasurements::default(),
            catalogue: Catalogue::default(),
            quota_headers: QuotaHeaders::default(),
            settings: ArcSwap::from_pointee(settings),
            keys: ArcSwap::from_pointee(keys),
            changing: Mutex::new(()),
        })
    }

    /// The current settings.
    #[must_use]
    pub(crate) fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// Tells a client of a dialect what is left of the pool's quota for the models of a class.
    pub(crate) fn write_quota_headers(
        &self,
        headers: &mut HeaderMap,
        dialect: Dialect,
        model_class: &str,
    ) {
        self.quota_headers
            .write_to(headers, &self.pool, dialect, model_class);
    }

    /// The key behind an id.
    #[must_use]
    pub(crate) fn key(&self, id: KeyId) -> Option<Arc<UpstreamKey>> {
        self.keys.load().get(&id).cloned()
    }

    /// Builds the wire form of a key without adding it.
    pub(crate) fn prepare_key(&self, entry: KeyEntry) -> Result<Arc<UpstreamKey>, ProviderError> {
        UpstreamKey::new(&self.name, &self.settings.load(), entry).map(Arc::new)
    }

    /// Number of keys, disabled ones included.
    #[must_use]
    pub(crate) fn key_count(&self) -> usize {
        self.keys.load().len()
    }

    /// Makes keys' secrets available, before the pool may hand them out.
    pub(crate) fn insert_keys(&self, added: impl IntoIterator<Item = Arc<UpstreamKey>>) {
        let _changing = self.changing.lock();
        let mut keys = HashMap::clone(&self.keys.load());
        keys.extend(added.into_iter().map(|key| (key.id, key)));
        self.keys.store(Arc::new(keys));
    }

    /// Forgets keys' secrets, after the pool has stopped handing them out.
    pub(crate) fn forget_keys(&self, ids: &[KeyId]) {
        let _changing = self.changing.lock();
        let mut keys = HashMap::clone(&self.keys.load());
        for id in ids {
            keys.remove(id);
        }
        self.keys.store(Arc::new(keys));
    }

    /// Takes over a reloaded configuration: keys that stay keep their health and their quota.
    pub(crate) fn reconfigure(
        &self,
        config: &ProviderConfig,
        pool_config: PoolConfig,
    ) -> Result<(), ProviderError> {
        let settings = Settings::new(config);
        let fresh = upstream_keys(config, &settings)?;
        let _changing = self.changing.lock();
        let old = self.keys.load_full();
        let keep_counts = |(id, key): (KeyId, Arc<UpstreamKey>)| {
            if let Some(old) = old.get(&id) {
                key.statuses.lock().clone_from(&old.statuses.lock());
                *key.guessed_tokens.lock() = *old.guessed_tokens.lock();
                key.owner
                    .store(old.owner.load(Ordering::Relaxed), Ordering::Relaxed);
            }
            (id, key)
        };
        let fresh: HashMap<_, _> = fresh.into_iter().map(keep_counts).collect();
        // Old and new secrets are both known while the pool changes over, so that no lease names a
        // key whose secret is not there.
        let mut both = HashMap::clone(&old);
        both.extend(fresh.iter().map(|(id, key)| (*id, key.clone())));
        self.keys.store(Arc::new(both));
        self.pool
            .with(|pool, now| {
                pool.handle_admin(now, keypool_pool::Command::Reconfigure(pool_config))
            })
            .map_err(|source| ProviderError::Change {
                provider: self.name.clone(),
                source,
            })?;
        self.settings.store(Arc::new(settings));
        self.catalogue.clear();
        self.keys.store(Arc::new(fresh));
        Ok(())
    }
}

impl Settings {
    fn new(config: &ProviderConfig) -> Self {
        Self {
            kind: config.kind,
            dialect: config.dialect,
            base_url: config.base_url.clone(),
            models: config.models.clone(),
            serves_responses: config.serves_responses,
            output_tokens_max: config.output_tokens_max,
            drops_server_tools: config.drops_server_tools,
        }
    }
}

impl UpstreamKey {
    fn new(provider: &str, settings: &Settings, entry: KeyEntry) -> Result<Self, ProviderError> {
        let mask = entry.mask();
        if matches!(entry.credential, Credential::Key) && !takes_keys(settings.kind) {
            let message = "is no service account: those are configured in the file alone";
            return Err(ProviderError::Place {
                provider: provider.to_owned(),
                mask,
                source: PlaceError::new("key", message),
            });
        }
        let url = settings.base_url.as_deref();
        let place =
            Place::of(settings.kind, settings.dialect, url, &entry.place).map_err(|source| {
                ProviderError::Place {
                    provider: provider.to_owned(),
                    mask: mask.clone(),
                    source,
                }
            })?;
        let usual = settings.kind.auth_scheme(settings.dialect);
        let proof =
            Proof::of(&entry, usual, &place).ok_or_else(|| ProviderError::KeyCharacters {
                provider: provider.to_owned(),
                mask: mask.clone(),
            })?;
        Ok(Self {
            id: entry.id(),
            mask,
            entry,
            place,
            proof,
            owner: AtomicU64::new(0),
            statuses: Mutex::default(),
            guessed_tokens: Mutex::default(),
        })
    }

    /// Counts an upstream answer.
    pub(crate) fn count_status(&self, status: u16) {
        if status == 401 {
            self.proof.refused();
        }
        *self.statuses.lock().entry(status).or_default() += 1;
    }

    /// Counts tokens that were guessed.
    pub(crate) fn count_guesses(&self, input_tokens: u64, output_tokens: u64) {
        let mut guessed = self.guessed_tokens.lock();
        guessed.0 = guessed.0.saturating_add(input_tokens);
        guessed.1 = guessed.1.saturating_add(output_tokens);
    }
}

/// What the pool is told about a key.
#[must_use]
pub(crate) fn pool_key(entry: &KeyEntry) -> KeyConfig {
    KeyConfig {
        id: entry.id(),
        name: entry.name.clone(),
        enabled: entry.enabled,
        priority: entry.priority,
        tags: entry.tags.clone(),
        models: entry.models.clone(),
        limits: entry.limits,
        quota_group: entry.quota_group.clone(),
        expires_at: entry.expires_at,
    }
}

fn upstream_keys(
    config: &ProviderConfig,
    settings: &Settings,
) -> Result<HashMap<KeyId, Arc<UpstreamKey>>, ProviderError> {
    let ready = |entry: &KeyEntry| {
        let key = UpstreamKey::new(&config.name, settings, entry.clone())?;
        Ok((key.id, Arc::new(key)))
    };
    config.keys.iter().map(ready).collect()
}
