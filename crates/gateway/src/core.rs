//! What all workers share: the live configuration, the clock, the stored state, the counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use keypool_pool::{DayRule, PoolConfig, QueueConfig, Window};
use keypool_wire::WindowShape;
use parking_lot::Mutex;

use crate::clock::TimeSource;
use crate::config::{GatewayConfig, ProviderConfig};
use crate::driver::Housekeeping;
use crate::live::Live;
use crate::provider::{Provider, ProviderError, pool_key};
use crate::state::StateStore;
use crate::telemetry::GatewayMeasurements;
use crate::traffic::intake::BodyMemory;

/// Reads the configuration anew; the error is fit for the operator.
pub type Reloader = Arc<dyn Fn() -> Result<GatewayConfig, String> + Send + Sync>;

/// The gateway's shared state.
pub(crate) struct Core {
    /// The clock.
    pub time: Arc<dyn TimeSource>,
    /// What is counted besides the pools.
    pub measurements: GatewayMeasurements,
    /// Changes made through the admin API.
    pub state: StateStore,
    /// The memory that request bodies share.
    pub bodies: Arc<BodyMemory>,
    live: ArcSwap<Live>,
    housekeeping: Housekeeping,
    reloader: Mutex<Option<Reloader>>,
    /// Serialises reloads and admin changes; traffic never waits for it.
    changing: Mutex<()>,
    draining: AtomicBool,
}

/// What a reload changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReloadSummary {
    /// Providers that were not there before.
    pub providers_added: Vec<String>,
    /// Providers that are gone; their requests in flight finish.
    pub providers_removed: Vec<String>,
    /// Number of keys now configured.
    pub keys: usize,
}

/// Why a configuration was not taken over; the running one stays in force.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The configuration could not be read or is wrong.
    #[error("{0}")]
    Config(String),
    /// A provider cannot be set up as configured.
    #[error(transparent)]
    Provider(#[from] ProviderError),
}

impl Core {
    /// Sets up all providers of a configuration.
    pub(crate) fn new(
        mut config: GatewayConfig,
        time: Arc<dyn TimeSource>,
        state: StateStore,
        housekeeping: Housekeeping,
        measurements: GatewayMeasurements,
    ) -> Result<Self, ProviderError> {
        let configured = state.apply_to(&mut config);
        let make = |provider: &ProviderConfig| {
            let made = Provider::new(
                provider,
                pool_config(&config, provider),
                &time,
                housekeeping.outputs(&provider.name),
            )?;
            Ok(Arc::new(made))
        };
        let providers: Vec<Arc<Provider>> = config
            .providers
            .iter()
            .map(make)
            .collect::<Result<_, ProviderError>>()?;
        for provider in &providers {
            housekeeping.drive(provider);
        }
        let live = ArcSwap::from_pointee(Live::new(config, providers, configured));
        Ok(Self {
            time,
            measurements,
            state,
            bodies: Arc::default(),
            live,
            housekeeping,
            reloader: Mutex::new(None),
            changing: Mutex::new(()),
            draining: AtomicBool::new(false),
        })
    }

    /// The configuration in force.
    #[must_use]
    pub(crate) fn live(&self) -> Arc<Live> {
        self.live.load_full()
    }

    /// Runs a change of keys or configuration; only one runs at a time.
    pub(crate) fn exclusively<T>(&self, change: impl FnOnce() -> T) -> T {
        let _changing = self.changing.lock();
        change()
    }

    /// Takes a configuration over without dropping a request: providers that stay keep their keys'
    /// health and quota; what is removed finishes what it has begun.
    pub(crate) fn reload(&self, mut config: GatewayConfig) -> Result<ReloadSummary, ReloadError> {
        let _changing = self.changing.lock();
        let configured = self.state.apply_to(&mut config);
        let old = self.live();
        let mut summary = ReloadSummary::default();
        let mut providers = Vec::with_capacity(config.providers.len());
        let mut fresh = Vec::new();
        // New providers first: they can fail without having changed anything.
        for provider in &config.providers {
            if old.provider(&provider.name).is_none() {
                let outputs = self.housekeeping.outputs(&provider.name);
                let pool = pool_config(&config, provider);
                fresh.push(Arc::new(Provider::new(
                    provider, pool, &self.time, outputs,
                )?));
            }
        }
        for provider in &config.providers {
            summary.keys += provider.keys.len();
            if let Some(running) = old.provider(&provider.name) {
                running.reconfigure(provider, pool_config(&config, provider))?;
                providers.push(running.clone());
            } else if let Some(made) = fresh.iter().find(|made| made.name == provider.name) {
                self.housekeeping.drive(made);
                summary.providers_added.push(provider.name.clone());
                providers.push(made.clone());
            }
        }
        let gone = |provider: &&Arc<Provider>| {
            !config
                .providers
                .iter()
                .any(|configured| configured.name == provider.name)
        };
        summary.providers_removed = old
            .providers()
            .iter()
            .filter(gone)
            .map(|provider| provider.name.clone())
            .collect();
        self.live
            .store(Arc::new(Live::new(config, providers, configured)));
        Ok(summary)
    }

    /// Says how [`Core::reload_from_source`] finds the configuration.
    pub(crate) fn set_reloader(&self, reloader: Reloader) {
        *self.reloader.lock() = Some(reloader);
    }

    /// Reads the configuration from where it came from, and takes it over.
    pub(crate) fn reload_from_source(&self) -> Result<ReloadSummary, ReloadError> {
        let reloader = self.reloader.lock().clone();
        let Some(reloader) = reloader else {
            return Err(ReloadError::Config(
                "this gateway was not started from a file".to_owned(),
            ));
        };
        let config = reloader().map_err(ReloadError::Config)?;
        self.reload(config)
    }

    /// Whether a stop has been asked for.
    #[must_use]
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// From now on new requests are refused.
    pub(crate) fn begin_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Refuses all requests that wait for room.
    pub(crate) fn dismiss_waiting(&self) {
        for provider in self.live().providers() {
            provider.pool.with(|pool, now| pool.clear_queue(now, None));
        }
    }
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core")
            .field("live", &self.live.load())
            .finish_non_exhaustive()
    }
}

fn pool_config(config: &GatewayConfig, provider: &ProviderConfig) -> PoolConfig {
    let rules = keypool_wire::quota_rules(provider.kind);
    PoolConfig {
        strategy: provider.strategy,
        window: provider.window.unwrap_or(match rules.window {
            WindowShape::Bucket => Window::Bucket,
            WindowShape::Sliding => Window::Sliding,
            WindowShape::FixedMinute => Window::Fixed,
            WindowShape::SecondSlices => Window::Slices,
        }),
        day: match rules.day {
            keypool_wire::DayRule::Utc => DayRule::Utc,
            keypool_wire::DayRule::UsPacific => DayRule::UsPacific,
        },
        cache_reads_free: rules.cache_reads_free,
        correct_limits: provider.correct_limits,
        sequential: provider.sequential,
        affinity: config.affinity,
        queue: QueueConfig {
            max_length: config.queue.max_length,
            max_bytes: u64::try_from(config.queue.max_bytes).unwrap_or(u64::MAX),
        },
        quota_groups: provider.quota_groups.clone(),
        keys: provider.keys.iter().map(pool_key).collect(),
        probe_interval: config.health_check_interval,
        seed: config.seed,
    }
}
