//! Habits in which providers differ beside their limits: a gateway that was judged against one habit
//! only would fail at the next provider.
//!
//! All are off by default. Worked example: `"headers": "groq", "dayReset": "utc"` gives an organisation
//! whose request headers speak of the UTC day and whose token headers speak of the minute.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::millis;

/// Under which names, and about which windows, an organisation's answers show its quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HeaderStyle {
    /// As Anthropic or OpenAI do, by the organisation's dialect.
    #[default]
    Dialect,
    /// No quota headers at all, as from `DeepSeek`. Waits are still named on a 429.
    None,
    /// OpenAI's names; the reset in whole seconds, and `retry-after-ms` on a 429 in either dialect.
    Azure,
    /// OpenAI's names; requests speak of the day, tokens of the minute; `retry-after` in whole seconds
    /// is all that a 429 adds.
    Groq,
    /// `x-ratelimit-*` and `x-tokenlimit-*`, both about one second: a sixtieth of the minute's limit,
    /// with two decimals where that is no whole number.
    Together,
}

/// A bound on growth: in the last `window` an organisation may admit at most
/// `factor` × what it admitted in the window before, plus `floor`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ramp {
    /// Length of both windows, in real time even where the minute is shortened. At least 1 ms.
    /// Default one minute.
    #[serde(default = "ramp_window", with = "millis", rename = "windowMs")]
    pub window: Duration,
    /// Requests allowed per request of the window before, 0.0 and up. Default 1.5, the growth that
    /// OpenAI gives as a rule of thumb.
    #[serde(default = "ramp_factor")]
    pub factor: f64,
    /// Requests allowed whatever came before: or nobody could ever begin. Default 10.
    #[serde(default = "ramp_floor")]
    pub floor: u64,
}

impl Ramp {
    /// A bound on the growth between two windows of this length.
    #[must_use]
    pub const fn new(window: Duration, factor: f64, floor: u64) -> Self {
        Self {
            window,
            factor,
            floor,
        }
    }
}

/// The midnight at which daily counters start anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DayReset {
    /// UTC midnight.
    Utc,
    /// Midnight of US Pacific time (Gemini): 08:00 UTC in winter, 07:00 UTC in summer, so that two days
    /// of the year have 23 and 25 hours. Where the minute is shortened there is no such midnight, and
    /// days are counted as for [`DayReset::Utc`].
    Pacific,
}

const fn ramp_window() -> Duration {
    Duration::from_mins(1)
}

const fn ramp_factor() -> f64 {
    1.5
}

const fn ramp_floor() -> u64 {
    10
}
