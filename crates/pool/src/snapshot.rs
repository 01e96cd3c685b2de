//! What the pool shows: plain data for the admin API, metrics and the dashboard.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::breaker::BreakerState;
use crate::config::{AffinityConfig, KeyConfig};
use crate::limits::Dimension;
use crate::outcome::{ErrorNote, Usage};
use crate::strategy::Strategy;
use crate::time::Timestamp;
use crate::urgency::Urgency;

/// A key's state (contract §4). Where several would fit, the later variant is shown. Whether an
/// operator disabled the key is told by its configuration, not by its state.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum KeyState {
    /// Works normally.
    #[default]
    Healthy,
    /// Shows errors, still used.
    Degraded,
    /// Refused by the provider until its reset time, and not used until then. Also shown while the
    /// refusal covers only some of its models; it serves the others.
    RateLimited,
    /// Invalid, expired or out of credit; not used.
    Unavailable,
}

impl KeyState {
    /// The name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::RateLimited => "rate-limited",
            Self::Unavailable => "unavailable",
        }
    }
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The whole pool at one instant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolSnapshot {
    /// The strategy in force.
    pub strategy: Strategy,
    /// The keys, in configuration order.
    pub keys: Vec<KeySnapshot>,
    /// The quota groups, by name.
    pub groups: Vec<GroupSnapshot>,
}

/// How often requests of sessions went where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AffinityCounts {
    /// Sessions that were new.
    pub started: u64,
    /// Requests that stayed where their session was.
    pub kept: u64,
    /// Requests that moved their session elsewhere.
    pub moved: u64,
}

/// What is remembered of sessions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AffinitySnapshot {
    /// How sessions are kept.
    pub config: AffinityConfig,
    /// Sessions whose home is remembered.
    pub sessions: usize,
    /// States of accounts whose maker is remembered.
    pub states: usize,
    /// How often they were kept.
    pub counts: AffinityCounts,
    /// Sessions per key or quota group: the key's id or the group's name.
    pub homes: Vec<(String, usize)>,
}

/// What waits for room, at one instant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueSnapshot {
    /// Requests that wait.
    pub length: usize,
    /// Bytes that they hold.
    pub bytes: u64,
    /// Tokens that they want.
    pub tokens: u64,
    /// Their number by urgency, the most urgent first.
    pub by_urgency: Vec<(Urgency, usize)>,
    /// When the one that has waited for longest arrived.
    pub oldest_since: Option<Timestamp>,
    /// When the next may go, as far as is known.
    pub next_turn_at: Option<Timestamp>,
}

/// A quota group at one instant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupSnapshot {
    /// Its name.
    pub name: String,
    /// Whether it was found out from answers rather than declared.
    #[serde(default)]
    pub is_learned: bool,
    /// Requests in flight on its keys.
    pub in_flight: u32,
    /// Its shared meters.
    pub meters: Vec<MeterSnapshot>,
}

/// A key at one instant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeySnapshot {
    /// Its configuration in force.
    pub config: KeyConfig,
    /// The quota group that it is counted in: the configured one, or one that answers revealed.
    pub quota_group: Option<String>,
    /// Its state.
    pub state: KeyState,
    /// Its health score, 0 to 100.
    pub health_score: u8,
    /// Requests granted to it.
    pub requests: u64,
    /// Those that succeeded.
    pub successes: u64,
    /// Those that failed, without clients' mistakes and cancellations.
    pub errors: u64,
    /// All that did not succeed, by class.
    pub errors_by_class: ErrorCounts,
    /// Tokens by kind.
    pub usage: Usage,
    /// Requests in flight.
    pub in_flight: u32,
    /// When it was last granted.
    pub last_used: Option<Timestamp>,
    /// When its cool-down ends, if it is cooling, for all models or some.
    pub rate_limited_until: Option<Timestamp>,
    /// Its last error.
    pub last_error: Option<(Timestamp, ErrorNote)>,
    /// Median latency of recent successes, to within an eighth.
    pub latency_p50: Option<Duration>,
    /// 99th percentile of the latency of recent successes, to within an eighth.
    pub latency_p99: Option<Duration>,
    /// Its own meters.
    pub meters: Vec<MeterSnapshot>,
    /// Models it is cooling down or barred for, and until when.
    pub barred_models: Vec<(String, Option<Timestamp>)>,
    /// When it will be probed, if it is unavailable.
    pub next_probe: Option<Timestamp>,
    /// Whether it is unavailable for want of credit, and the next request is to tell if that is over.
    pub is_tried_for_credit: bool,
}

/// Attempts that did not succeed, by class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ErrorCounts {
    /// 5xx answers.
    pub server_error: u64,
    /// No answer or no progress in time.
    pub timeout: u64,
    /// Connections that could not be made.
    pub unreachable: u64,
    /// Connections that broke.
    pub reset: u64,
    /// Answers that could not be understood.
    pub garbage: u64,
    /// The provider as a whole was overloaded.
    pub overloaded: u64,
    /// 429s.
    pub rate_limited: u64,
    /// Refusals of the key.
    pub invalid: u64,
    /// Refusals for lack of credit.
    pub out_of_credit: u64,
    /// Refusals of the model.
    pub model_denied: u64,
    /// Clients' mistakes; not among the key's errors.
    pub client_error: u64,
    /// Clients that left; not among the key's errors.
    pub cancelled: u64,
}

impl ErrorCounts {
    /// The key's errors: all classes but clients' mistakes and cancellations.
    #[must_use]
    pub const fn errors(&self) -> u64 {
        self.server_error
            + self.timeout
            + self.unreachable
            + self.reset
            + self.garbage
            + self.overloaded
            + self.rate_limited
            + self.invalid
            + self.out_of_credit
            + self.model_denied
    }
}

/// A circuit breaker at one instant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BreakerSnapshot {
    /// The model that it watches; `None` for the provider as a whole.
    pub model: Option<String>,
    /// Whether requests go through.
    pub state: BreakerState,
    /// Whether an operator opened it; then only an operator closes it.
    pub forced: bool,
    /// When an open one lets a request try.
    pub open_until: Option<Timestamp>,
    /// Requests of the last ten seconds.
    pub requests: u64,
    /// Those of them that no key served.
    pub failures: u64,
    /// How often it has opened.
    pub times_opened: u64,
}

/// One meter at one instant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MeterSnapshot {
    /// What it counts.
    pub dimension: Dimension,
    /// The models it counts, where the provider's answers told of a limit of their own; `None`: all
    /// models for which there is no such meter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_class: Option<String>,
    /// The limit, in requests or tokens per window.
    pub limit: u64,
    /// Counted against the limit and settled.
    pub used: u64,
    /// Counted against the limit for requests in flight.
    pub reserved: u64,
    /// What is left; negative when in debt.
    pub remaining: i64,
    /// When all of the limit is free again, if nothing more is used.
    pub resets_at: Timestamp,
}
