//! How a run went, in ratios to what the quotas allow.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How long answered requests waited for room, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Waits {
    /// Half of them waited less.
    pub p50_ms: f64,
    /// All but a hundredth waited less.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

impl Waits {
    #[expect(clippy::cast_precision_loss, reason = "waits are far below 2^52")]
    pub(crate) fn of(waits_us: &mut [u64]) -> Self {
        waits_us.sort_unstable();
        let at = |percent: usize| {
            let position = waits_us.len() * percent / 100;
            let wait = waits_us.get(position).or(waits_us.last());
            wait.map_or(0.0, |&wait| wait as f64 / 1000.0)
        };
        Self {
            p50_ms: at(50),
            p99_ms: at(99),
            max_ms: at(100),
        }
    }
}

/// One key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyReport {
    /// Its name.
    pub name: String,
    /// Requests that it answered.
    pub answered: u64,
    /// Requests that reached the provider with it.
    pub upstream: u64,
    /// Of those, 429s.
    pub limited: u64,
    /// Its tokens by those of an even share.
    pub of_fair_share: f64,
}

/// One quota.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuotaReport {
    /// Its name.
    pub name: String,
    /// What is limited, and which part of it was used.
    pub used: Vec<(String, f64)>,
}

impl QuotaReport {
    /// The used part of the limit that binds.
    #[must_use]
    pub fn tightest(&self) -> f64 {
        self.used.iter().map(|(_, used)| *used).fold(0.0, f64::max)
    }

    /// The limit that binds.
    #[must_use]
    pub fn binding(&self) -> Option<&str> {
        let most = self.used.iter().max_by(|a, b| a.1.total_cmp(&b.1));
        most.map(|(name, _)| name.as_str())
    }
}

/// How failures begin that came after the answer had begun, so that nothing could cure them.
pub(crate) const BROKEN_OFF: &str = "broken off: ";

/// How a run went. Counts are of the time after the warm-up, unless they say otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The scenario's name.
    pub scenario: String,
    /// Its seed.
    pub seed: u64,
    /// How long counts were taken.
    pub minutes: f64,
    /// Requests per minute that the quotas allow.
    pub capacity_per_minute: f64,
    /// Requests per minute that were meant to come.
    pub offered_per_minute: f64,
    /// Requests that came.
    pub requests: u64,
    /// Those that were answered.
    pub answered: u64,
    /// Those that were told to come later.
    pub told_to_wait: u64,
    /// Those whose clients left.
    pub left: u64,
    /// Those that failed, by reason.
    pub failures: BTreeMap<String, u64>,
    /// Answered requests per minute.
    pub answered_per_minute: f64,
    /// Tokens of answered requests per minute.
    pub tokens_per_minute: f64,
    /// What was served of what could be: the used part of the quotas, or the answered part of the
    /// requests where that is more.
    pub efficiency: f64,
    /// The used part of each quota's tightest limit, on average.
    pub utilisation: f64,
    /// Waits for room.
    pub waits: Waits,
    /// The waits that one queue before one quota as large as all together would have had.
    pub ideal_waits: Waits,
    /// Requests that reached the provider.
    pub upstream_requests: u64,
    /// Of those, 429s.
    pub upstream_limited: u64,
    /// 429s, the warm-up included.
    pub upstream_limited_in_all: u64,
    /// Of the requests that reached the provider, other errors and silence.
    pub upstream_errors: u64,
    /// Prompt tokens read from a cache by all prompt tokens.
    pub cache_hits: f64,
    /// The keys.
    pub keys: Vec<KeyReport>,
    /// The quotas.
    pub quotas: Vec<QuotaReport>,
    /// What operators were alerted of, in all.
    pub alerts: BTreeMap<String, u64>,
    /// How often a circuit breaker opened.
    pub breakers_opened: u64,
    /// Changes of keys' states, in all.
    pub state_changes: u64,
    /// Probes, in all.
    pub probes: u64,
    /// How often the pool asked to be woken, in all.
    pub wakes: u64,
    /// Requests that the provider saw, in all.
    pub provider_requests: u64,
}

impl Report {
    /// Requests that were not answered though their answers had not begun, and whose clients did not leave.
    #[must_use]
    pub fn avoidable_failures(&self) -> u64 {
        let begun: u64 = self
            .failures
            .iter()
            .filter(|(reason, _)| reason.starts_with(BROKEN_OFF))
            .map(|(_, count)| count)
            .sum();
        self.failed() - begun + self.told_to_wait
    }

    /// Requests that failed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// 429s by requests that reached the provider.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub fn limited_share(&self) -> f64 {
        self.upstream_limited as f64 / self.upstream_requests.max(1) as f64
    }

    /// The largest share of a key by a fair one.
    #[must_use]
    pub fn largest_share(&self) -> f64 {
        let shares = self.keys.iter().map(|key| key.of_fair_share);
        shares.fold(0.0, f64::max)
    }
}
