//! One key with all that the pool knows of it.

use smallvec::SmallVec;

use crate::bars::{BarKind, ModelBars};
use crate::bounds::ERROR_MESSAGE_MAX;
use crate::config::{KeyConfig, Window};
use crate::health::Health;
use crate::id::KeyId;
use crate::latency::Latencies;
use crate::meters::Meters;
use crate::outcome::{ErrorNote, FaultKind, Usage, Verdict};
use crate::output::WakeReason;
use crate::ramp::Ramp;
use crate::recent::RecentLoad;
use crate::slab::Handle;
use crate::snapshot::{ErrorCounts, KeySnapshot, KeyState};
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
    pub(crate) meters: Meters,
    pub(crate) recent: RecentLoad,
    pub(crate) ramp: Option<Ramp>,
    pub(crate) health: Health,
    /// The state that was last told.
    pub(crate) shown: KeyState,
    /// The entry in the timers that counts.
    pub(crate) timer: Option<Timestamp>,
    pub(crate) bars: ModelBars,
    pub(crate) last_used: Option<Timestamp>,
    requests: u64,
    successes: u64,
    counts: ErrorCounts,
    usage: Usage,
    latencies: Option<Box<Latencies>>,
    last_error: Option<Box<(Timestamp, ErrorNote)>>,
    pub(crate) config: Box<KeyConfig>,
}

impl Key {
    pub(crate) fn new(
        now: Timestamp,
        config: KeyConfig,
        window: Window,
        position: u64,
        next_lease: u64,
    ) -> Self {
        let mut health = Health::new();
        health.set_expiry(now, config.expires_at);
        Self {
            id: config.id,
            position,
            last_grant: 0,
            class: 0,
            place: Place::Out,
            group: None,
            meters: Meters::new(now, &config.limits, window, next_lease),
            recent: RecentLoad::default(),
            ramp: None,
            health,
            shown: health.state(),
            timer: None,
            bars: ModelBars::default(),
            last_used: None,
            requests: 0,
            successes: 0,
            counts: ErrorCounts::default(),
            usage: Usage::default(),
            latencies: None,
            last_error: None,
            config: Box::new(config),
        }
    }

    /// Weight under the weighted strategy. A key at score 0 that is not out is still used.
    pub(crate) fn weight(&self) -> u64 {
        u64::from(self.config.priority.get()) * u64::from(self.health.score().max(1))
    }

    pub(crate) fn next_change(&self) -> Option<(Timestamp, WakeReason)> {
        self.health
            .next_change(self.id, self.config.expires_at, self.config.enabled)
    }

    pub(crate) fn has_tags(&self, wanted: &[String]) -> bool {
        wanted.iter().all(|tag| self.config.tags.contains(tag))
    }

    pub(crate) fn count_grant(&mut self, now: Timestamp) {
        self.requests = self.requests.saturating_add(1);
        self.last_used = Some(now);
    }

    /// Counts the end of an attempt; health and meters are told elsewhere.
    pub(crate) fn count_outcome(&mut self, verdict: &Verdict, usage: &Usage) {
        self.usage.add(usage);
        let counts = &mut self.counts;
        let count = match verdict {
            Verdict::Success => &mut self.successes,
            Verdict::ClientError => &mut counts.client_error,
            Verdict::Cancelled => &mut counts.cancelled,
            Verdict::Overloaded => &mut counts.overloaded,
            Verdict::Fault(FaultKind::ServerError) => &mut counts.server_error,
            Verdict::Fault(FaultKind::Timeout) => &mut counts.timeout,
            Verdict::Fault(FaultKind::Reset) => &mut counts.reset,
            Verdict::Fault(FaultKind::Garbage) => &mut counts.garbage,
            Verdict::RateLimited { .. } => &mut counts.rate_limited,
            Verdict::Invalid => &mut counts.invalid,
            Verdict::OutOfCredit { .. } => &mut counts.out_of_credit,
            Verdict::ModelDenied => &mut counts.model_denied,
        };
        *count = count.saturating_add(1);
    }

    pub(crate) fn record_latency(&mut self, latency: std::time::Duration) {
        self.latencies
            .get_or_insert_with(|| Box::new(Latencies::new()))
            .record(latency);
    }

    pub(crate) fn note_error(&mut self, now: Timestamp, note: &ErrorNote) {
        let message = note.message.chars().take(ERROR_MESSAGE_MAX).collect();
        let code = note.code.chars().take(ERROR_MESSAGE_MAX).collect();
        self.last_error = Some(Box::new((
            now,
            ErrorNote {
                status: note.status,
                code,
                message,
            },
        )));
    }

    pub(crate) fn snapshot(&self, now: Timestamp) -> KeySnapshot {
        let percentile = |percent| self.latencies.as_ref()?.percentile(percent);
        KeySnapshot {
            config: KeyConfig::clone(&self.config),
            state: self.health.state(),
            health_score: self.health.score(),
            requests: self.requests,
            successes: self.successes,
            errors: self.counts.errors(),
            errors_by_class: self.counts,
            usage: self.usage,
            in_flight: self.meters.in_flight(),
            last_used: self.last_used,
            rate_limited_until: self.health.cooling_until(),
            last_error: self.last_error.as_deref().cloned(),
            latency_p50: percentile(50),
            latency_p99: percentile(99),
            meters: self.meters.snapshot(now),
            barred_models: self
                .bars
                .iter(now)
                .map(|bar| (bar.model.to_string(), Some(bar.until)))
                .collect(),
            next_probe: self.health.next_probe(),
        }
    }

    pub(crate) fn bar_model(
        &mut self,
        now: Timestamp,
        model: Option<&str>,
        kind: BarKind,
        until: Timestamp,
    ) {
        if let Some(model) = model {
            self.bars.set(model, kind, until, now);
        }
    }
}

/// Handles of the keys that share a quota group, or of one key.
pub(crate) type Handles = SmallVec<[Handle; 4]>;
