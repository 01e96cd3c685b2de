//! One key with all that the pool knows of it.

use std::time::Duration;

use smallvec::SmallVec;

use crate::bars::{BarKind, ModelBars};
use crate::config::KeyConfig;
use crate::health::Health;
use crate::id::KeyId;
use crate::meter::Counting;
use crate::meters::Meters;
use crate::output::WakeReason;
use crate::quota_class::QuotaClasses;
use crate::ramp::Ramp;
use crate::recent::RecentLoad;
use crate::record::Record;
use crate::slab::Handle;
use crate::snapshot::{KeySnapshot, KeyState};
use crate::time::Timestamp;

/// Where a key is with regard to selection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the ready structures: it can take at least the smallest demand, as far as is known.
    Ready,
    /// Out of them, since it cannot take even the smallest demand until then; without an instant,
    /// until a request in flight ends.
    Parked(Option<Timestamp>),
    /// Out of them: disabled, unavailable or cooling down.
    Out,
}

/// What picks and refusals read lies inside; what only grants, settlements and people read lies
/// behind pointers. In large pools a key costs what it costs in cache lines.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) id: KeyId,
    /// Rises in configuration order.
    pub(crate) position: u64,
    /// Number of the last grant to it; 0 if it was never used.
    pub(crate) last_grant: u64,
    pub(crate) class: usize,
    pub(crate) place: Place,
    pub(crate) group: Option<Handle>,
    /// Who owns its quota, as its answers name them.
    pub(crate) owner: Option<u64>,
    pub(crate) meters: Meters,
    pub(crate) recent: RecentLoad,
    pub(crate) ramp: Option<Ramp>,
    pub(crate) health: Health,
    /// The state that was last told.
    pub(crate) shown: KeyState,
    /// The entry in the timers that counts.
    pub(crate) timer: Option<Timestamp>,
    pub(crate) bars: ModelBars,
    pub(crate) record: Box<Record>,
    pub(crate) config: Box<KeyConfig>,
}

impl Key {
    pub(crate) fn new(
        now: Timestamp,
        config: KeyConfig,
        counting: Counting,
        position: u64,
        next_lease: u64,
        probe_interval: Duration,
    ) -> Self {
        let mut health = Health::new(probe_interval);
        health.set_expiry(now, config.expires_at);
        Self {
            id: config.id,
            position,
            last_grant: 0,
            class: 0,
            place: Place::Out,
            group: None,
            owner: None,
            meters: Meters::new(now, &config.limits, counting, next_lease),
            recent: RecentLoad::default(),
            ramp: None,
            health,
            shown: health.state(),
            timer: None,
            bars: ModelBars::default(),
            record: Box::default(),
            config: Box::new(config),
        }
    }

    /// Weight under the weighted strategy. A key at score 0 that is not out is still used.
    pub(crate) fn weight(&self) -> u64 {
        u64::from(self.config.priority.get()) * u64::from(self.health.score().max(1))
    }

    /// The state that people are shown. A key that is out of quota for one model is shown as
    /// rate-limited, though it serves others.
    pub(crate) fn state(&self) -> KeyState {
        match self.health.state() {
            KeyState::Healthy | KeyState::Degraded if self.bars.cooling_until().is_some() => {
                KeyState::RateLimited
            }
            state => state,
        }
    }

    pub(crate) fn next_change(&self) -> Option<(Timestamp, WakeReason)> {
        let of_health =
            self.health
                .next_change(self.id, self.config.expires_at, self.config.enabled);
        let cooled = self.bars.next_cooled();
        let of_bars = cooled.map(|at| (at, WakeReason::CooldownEnds(self.id)));
        of_health
            .into_iter()
            .chain(of_bars)
            .min_by_key(|&(at, _)| at)
    }

    pub(crate) fn has_tags(&self, wanted: &[String]) -> bool {
        wanted.iter().all(|tag| self.config.tags.contains(tag))
    }

    /// As it is now; `group` is the name of its quota group.
    pub(crate) fn snapshot(
        &self,
        now: Timestamp,
        classes: &QuotaClasses,
        group: Option<String>,
    ) -> KeySnapshot {
        let record = &self.record;
        KeySnapshot {
            config: KeyConfig::clone(&self.config),
            quota_group: group,
            state: self.state(),
            health_score: self.health.score(),
            requests: record.requests,
            successes: record.successes,
            errors: record.counts.errors(),
            errors_by_class: record.counts,
            usage: record.usage,
            in_flight: self.meters.in_flight(),
            last_used: record.last_used,
            rate_limited_until: self.health.cooling_until().max(self.bars.cooling_until()),
            last_error: record.last_error.clone(),
            latency_p50: record.latencies.percentile(50),
            latency_p99: record.latencies.percentile(99),
            meters: self.meters.snapshot(now, |class| {
                classes.name(class).unwrap_or_default().to_owned()
            }),
            barred_models: self
                .bars
                .iter(now)
                .map(|bar| (bar.model.to_string(), Some(bar.until)))
                .collect(),
            next_probe: self.health.next_probe(),
            is_tried_for_credit: self.health.is_tried_for_credit(),
        }
    }

    pub(crate) fn bar_model(
        &mut self,
        now: Timestamp,
        name: &str,
        kind: BarKind,
        until: Timestamp,
    ) {
        self.bars.set(name, kind, until, now);
    }
}

/// Handles of the keys that share a quota group, or of one key.
pub(crate) type Handles = SmallVec<[Handle; 4]>;
