//! When a fault strikes, and whom.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Fault;
use crate::Endpoint;
use crate::config::{millis, names};

/// A fault and when it strikes. Times count from the moment the window is set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FaultWindow {
    /// When the window opens.
    #[serde(default, with = "millis", rename = "fromMs")]
    pub from: Duration,
    /// When it closes; never when absent.
    #[serde(default, with = "millis::optional", rename = "untilMs")]
    pub until: Option<Duration>,
    /// It closes after so many faulty answers.
    #[serde(default)]
    pub requests: Option<u64>,
    /// The share of requests that it strikes, 0.0 to 1.0, drawn by the seed.
    #[serde(default = "whole")]
    pub share: f64,
    /// Strike the free endpoints (models, token counting) too, not only inference.
    #[serde(default)]
    pub everywhere: bool,
    /// Strike only requests for these models; a `*` at the end stands for any rest. All when empty.
    #[serde(default)]
    pub models: Vec<String>,
    /// What goes wrong.
    pub fault: Fault,
}

fn whole() -> f64 {
    1.0
}

impl FaultWindow {
    /// From now on, for ever.
    #[must_use]
    pub fn always(fault: Fault) -> Self {
        Self {
            from: Duration::ZERO,
            until: None,
            requests: None,
            share: whole(),
            everywhere: false,
            models: Vec::new(),
            fault,
        }
    }

    /// The next `requests` requests.
    #[must_use]
    pub fn next(requests: u64, fault: Fault) -> Self {
        Self {
            requests: Some(requests),
            ..Self::always(fault)
        }
    }

    /// From `from` until `until` after now.
    #[must_use]
    pub fn between(from: Duration, until: Duration, fault: Fault) -> Self {
        Self {
            from,
            until: Some(until),
            ..Self::always(fault)
        }
    }

    /// Only a share of the requests, 0.0 to 1.0.
    #[must_use]
    pub fn share(mut self, share: f64) -> Self {
        self.share = share;
        self
    }

    /// Only requests for these models; a `*` at the end stands for any rest.
    #[must_use]
    pub fn for_models(mut self, models: &[&str]) -> Self {
        self.models = models.iter().map(|&name| name.to_owned()).collect();
        self
    }

    /// Whether it strikes a request that comes `elapsed` after it was set, having struck `struck`.
    pub(crate) fn strikes(
        &self,
        elapsed: Duration,
        struck: u64,
        endpoint: Endpoint,
        model: &str,
    ) -> bool {
        elapsed >= self.from
            && self.until.is_none_or(|until| elapsed < until)
            && self.requests.is_none_or(|requests| struck < requests)
            && (self.everywhere || self.fault.touches(endpoint))
            && (self.models.is_empty() || self.models.iter().any(|name| names(name, model)))
    }
}

impl From<Fault> for FaultWindow {
    fn from(fault: Fault) -> Self {
        Self::always(fault)
    }
}
