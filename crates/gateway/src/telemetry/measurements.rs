//! Counters and histograms that the traffic path feeds. Nothing here blocks or allocates in the
//! steady state.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use prometheus_client::metrics::histogram::Histogram;

use super::defence::Defence;
use super::events::Events;
use super::trace::Traces;
use crate::limits;

/// Upper bounds in seconds of the duration histograms: from a refusal's few milliseconds to the ten
/// minutes that a long answer may take; about one a doubling where most answers lie.
const DURATION_BUCKETS: [f64; 16] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0,
];

/// What is measured about one provider besides what its pool counts.
#[derive(Debug)]
pub(crate) struct ProviderMeasurements {
    pub(super) request_duration: Histogram,
    pub(super) first_byte: Histogram,
    pub(super) queue_wait: Histogram,
    pub(super) failovers: Mutex<BTreeMap<String, u64>>,
}

/// What is measured about the gateway as a whole.
#[derive(Debug)]
pub(crate) struct GatewayMeasurements {
    /// Upstream connections that were opened since the start.
    pub(crate) connections_opened: Arc<AtomicU64>,
    /// Streams that are being relayed now.
    pub(crate) streams_open: Arc<AtomicU64>,
    /// Clients' connections, and what was refused and closed.
    pub(crate) defence: Arc<Defence>,
    pub(super) answers: Answers,
    pub(super) time_to_answer: Histogram,
    events: Arc<Events>,
    traces: Arc<Traces>,
    request_ids: RequestIds,
}

/// Answers to clients, by what the client made of them.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// 2xx and 3xx.
    pub(super) success: AtomicU64,
    /// 4xx other than 429: the client's mistake.
    pub(super) client_error: AtomicU64,
    /// 429: nothing had room.
    pub(super) no_room: AtomicU64,
    /// 5xx.
    pub(super) failed: AtomicU64,
}

impl Default for ProviderMeasurements {
    fn default() -> Self {
        Self {
            request_duration: Histogram::new(DURATION_BUCKETS),
            first_byte: Histogram::new(DURATION_BUCKETS),
            queue_wait: Histogram::new(DURATION_BUCKETS),
            failovers: Mutex::default(),
        }
    }
}

impl ProviderMeasurements {
    /// Takes in how long an attempt took, from its beginning to the end of its answer.
    pub(crate) fn observe_request(&self, duration: Duration) {
        self.request_duration.observe(duration.as_secs_f64());
    }

    /// Takes in how long an attempt took until its answer could begin.
    pub(crate) fn observe_first_byte(&self, duration: Duration) {
        self.first_byte.observe(duration.as_secs_f64());
    }

    /// Takes in how long a request waited for room, whether it got any or not.
    pub(crate) fn observe_wait(&self, duration: Duration) {
        self.queue_wait.observe(duration.as_secs_f64());
    }

    /// Counts an attempt that followed one that failed for `reason`. Reasons may be a provider's
    /// own words: past the bound on their number, new ones are counted together.
    pub(crate) fn count_failover(&self, reason: &str) {
        let mut failovers = self.failovers.lock();
        let is_one_too_many =
            failovers.len() >= limits::FAILOVER_REASONS && !failovers.contains_key(reason);
        let reason = if is_one_too_many { "other" } else { reason };
        *failovers.entry(reason.to_owned()).or_default() += 1;
    }
}

impl Default for GatewayMeasurements {
    fn default() -> Self {
        Self {
            connections_opened: Arc::default(),
            streams_open: Arc::default(),
            defence: Arc::default(),
            answers: Answers::default(),
            time_to_answer: Histogram::new(DURATION_BUCKETS),
            events: Arc::default(),
            traces: Arc::default(),
            request_ids: RequestIds::new(),
        }
    }
}

impl GatewayMeasurements {
    /// The hub for state changes and alerts.
    #[must_use]
    pub(crate) fn events(&self) -> Arc<Events> {
        self.events.clone()
    }

    /// The hub for traces of requests.
    #[must_use]
    pub(crate) fn traces(&self) -> &Arc<Traces> {
        &self.traces
    }

    /// A name for the next request: unique among all gateways for all practical purposes.
    #[must_use]
    pub(crate) fn next_request_id(&self) -> String {
        self.request_ids.next()
    }

    /// Counts an answer to a client; `took` is the time until its head was ready.
    pub(crate) fn observe_answer(&self, status: u16, took: Duration) {
        let count = match status {
            429 => &self.answers.no_room,
            400..=499 => &self.answers.client_error,
            500.. => &self.answers.failed,
            _ => &self.answers.success,
        };
        count.fetch_add(1, Ordering::Relaxed);
        self.time_to_answer.observe(took.as_secs_f64());
    }
}

/// Names requests: a prefix drawn at the start, then a counter.
#[derive(Debug)]
struct RequestIds {
    prefix: u32,
    next: AtomicU64,
}

impl RequestIds {
    fn new() -> Self {
        // The hasher's keys are random; the time is added should they not be.
        let mut hasher = RandomState::new().build_hasher();
        SystemTime::now().hash(&mut hasher);
        std::process::id().hash(&mut hasher);
        let prefix = u32::try_from(hasher.finish() >> 32).unwrap_or_default();
        Self {
            prefix,
            next: AtomicU64::new(0),
        }
    }

    fn next(&self) -> String {
        format!(
            "kp-{:08x}-{:x}",
            self.prefix,
            self.next.fetch_add(1, Ordering::Relaxed)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_differ_within_a_run_and_between_runs() {
        let (first, second) = (
            GatewayMeasurements::default(),
            GatewayMeasurements::default(),
        );
        let ids = [
            first.next_request_id(),
            first.next_request_id(),
            second.next_request_id(),
        ];
        assert!(ids.iter().all(|id| id.starts_with("kp-")), "{ids:?}");
        assert_ne!(ids[0], ids[1]);
        assert_ne!(ids[0], ids[2]);
    }

    #[test]
    fn reasons_of_failovers_beyond_the_bound_share_one_series() {
        let measurements = ProviderMeasurements::default();
        for number in 0..limits::FAILOVER_REASONS * 2 {
            measurements.count_failover(&format!("reason_{number}"));
        }
        measurements.count_failover("reason_0");
        let failovers = measurements.failovers.lock();
        assert_eq!(failovers.len(), limits::FAILOVER_REASONS + 1);
        assert_eq!(failovers["reason_0"], 2);
        assert_eq!(failovers["other"], limits::FAILOVER_REASONS as u64);
    }

    #[test]
    fn answers_are_counted_by_what_the_client_made_of_them() {
        let measurements = GatewayMeasurements::default();
        for status in [200, 204, 400, 404, 429, 500, 529] {
            measurements.observe_answer(status, Duration::from_millis(3));
        }
        let answers = &measurements.answers;
        let counts = [
            &answers.success,
            &answers.client_error,
            &answers.no_room,
            &answers.failed,
        ]
        .map(|count| count.load(Ordering::Relaxed));
        assert_eq!(counts, [2, 2, 1, 2]);
    }
}
