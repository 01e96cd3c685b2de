//! What happened, for tests and demos to ask afterwards.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Everything counted since the start or the last reset.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counters {
    /// TCP connections accepted.
    pub connections: u64,
    /// TCP connections open now.
    pub open_connections: u64,
    /// Requests to the simulated APIs, with whatever credential.
    pub requests: u64,
    /// Requests without a known key.
    pub unknown_key: u64,
    /// Per key, by its secret.
    pub keys: BTreeMap<String, KeyCounters>,
    /// Per organisation, by its name.
    pub organisations: BTreeMap<String, OrganisationCounters>,
}

impl Counters {
    /// The counters of one key; all zero when it is not known.
    #[must_use]
    pub fn key(&self, secret: &str) -> KeyCounters {
        self.keys.get(secret).cloned().unwrap_or_default()
    }

    /// The sum of one number over all keys.
    #[must_use]
    pub fn total(&self, number: impl Fn(&KeyCounters) -> u64) -> u64 {
        self.keys.values().map(number).sum()
    }

    /// Answers of this status, over all keys.
    #[must_use]
    pub fn with_status(&self, status: u16) -> u64 {
        self.total(|key| key.by_status.get(&status).copied().unwrap_or(0))
    }
}

/// Counts of one key.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyCounters {
    /// Requests with this key, free ones included.
    pub requests: u64,
    /// Of those, the ones to free endpoints: lists of models, counted tokens.
    pub free: u64,
    /// Requests to a model that the limits let in.
    pub admitted: u64,
    /// Admitted requests whose answer was handed over whole.
    pub completed: u64,
    /// Answers by status. A request that was never answered is in none.
    pub by_status: BTreeMap<u16, u64>,
    /// Requests refused by a limit: each is a 429.
    pub limited: u64,
    /// Requests struck by a scripted fault.
    pub faults: u64,
    /// Requests that never got a head: hung or reset by a fault.
    pub unanswered: u64,
    /// Requests whose connection the client closed before the end of the answer.
    pub cancelled: u64,
    /// Input tokens of admitted requests, cached ones included.
    pub input_tokens: u64,
    /// Of those, read from the prompt cache.
    pub cache_read_tokens: u64,
    /// Of those, written to the prompt cache.
    pub cache_write_tokens: u64,
    /// Output tokens produced.
    pub output_tokens: u64,
    /// Requests in flight now.
    pub in_flight: u64,
    /// The most that were in flight at one time.
    pub in_flight_peak: u64,
}

impl KeyCounters {
    /// Answers of this status.
    #[must_use]
    pub fn with_status(&self, status: u16) -> u64 {
        self.by_status.get(&status).copied().unwrap_or(0)
    }

    pub(crate) fn enter(&mut self) {
        self.requests += 1;
        self.in_flight += 1;
        self.in_flight_peak = self.in_flight_peak.max(self.in_flight);
    }

    /// Forgets all but what is still going on.
    pub(crate) fn reset(&mut self) {
        let in_flight = self.in_flight;
        *self = Self {
            in_flight,
            in_flight_peak: in_flight,
            ..Self::default()
        };
    }
}

/// Sums over the keys of one organisation.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrganisationCounters {
    /// Requests of all its keys.
    pub requests: u64,
    /// Requests that the limits let in.
    pub admitted: u64,
    /// Requests refused by a limit.
    pub limited: u64,
    /// Input tokens.
    pub input_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
}

impl OrganisationCounters {
    pub(crate) fn add(&mut self, key: &KeyCounters) {
        self.requests += key.requests;
        self.admitted += key.admitted;
        self.limited += key.limited;
        self.input_tokens += key.input_tokens;
        self.output_tokens += key.output_tokens;
    }
}
