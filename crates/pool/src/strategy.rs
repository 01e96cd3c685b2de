//! How the pool orders the keys that have room.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Which of the keys with room takes the next request. A key without room is never tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// In configuration order, around and around.
    RoundRobin,
    /// The key unused for longest; never used ones first, in configuration order.
    Lru,
    /// The key whose tightest limit is used least; then fewest in flight; then least recent
    /// traffic; then least recently used.
    #[default]
    LeastLoaded,
    /// At random, in proportion to priority × health score.
    Weighted,
    /// The first key in configuration order until it is full, then the second, and so on.
    FillFirst,
}

impl Strategy {
    /// All strategies, in the order in which they are listed to people.
    pub const ALL: [Self; 5] = [
        Self::RoundRobin,
        Self::Lru,
        Self::LeastLoaded,
        Self::Weighted,
        Self::FillFirst,
    ];

    /// The name in configuration and API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::Lru => "lru",
            Self::LeastLoaded => "least-loaded",
            Self::Weighted => "weighted",
            Self::FillFirst => "fill-first",
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a strategy is one of round-robin, lru, least-loaded, weighted, fill-first")]
pub struct ParseStrategyError;

impl FromStr for Strategy {
    type Err = ParseStrategyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|strategy| strategy.as_str() == text)
            .ok_or(ParseStrategyError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // acceptance 3
    #[test]
    fn every_strategy_has_one_name_in_text_and_json_and_the_default_is_least_loaded() {
        for strategy in Strategy::ALL {
            assert_eq!(strategy.to_string().parse(), Ok(strategy));
            let json = serde_json::to_string(&strategy).unwrap();
            assert_eq!(json, format!("\"{strategy}\""));
        }
        assert_eq!("random".parse::<Strategy>(), Err(ParseStrategyError));
        assert_eq!(Strategy::default(), Strategy::LeastLoaded);
    }
}
