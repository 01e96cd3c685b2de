//! How soon a request wants to be served when not all can be at once.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The class in which a request waits for room. It decides nothing while there is room.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Urgency {
    /// Someone or something stands still until it is answered.
    Critical,
    /// Before the usual.
    High,
    /// The usual.
    #[default]
    Normal,
    /// After the usual.
    Low,
    /// Whenever there is room to spare.
    Batch,
}

impl Urgency {
    /// All classes, the most urgent first.
    pub const ALL: [Self; 5] = [
        Self::Critical,
        Self::High,
        Self::Normal,
        Self::Low,
        Self::Batch,
    ];

    /// The name in configuration, header and API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
            Self::Batch => "batch",
        }
    }

    /// Its place in [`Urgency::ALL`]: 0 for the most urgent, 4 for the least.
    #[must_use]
    pub const fn rank(self) -> u8 {
        match self {
            Self::Critical => 0,
            Self::High => 1,
            Self::Normal => 2,
            Self::Low => 3,
            Self::Batch => 4,
        }
    }
}

impl fmt::Display for Urgency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no class of urgency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a priority is one of critical, high, normal, low, batch")]
pub struct ParseUrgencyError;

impl FromStr for Urgency {
    type Err = ParseUrgencyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|urgency| urgency.as_str() == text)
            .ok_or(ParseUrgencyError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_urgency_has_one_name_in_text_and_json_and_the_default_is_normal() {
        for urgency in Urgency::ALL {
            assert_eq!(urgency.to_string().parse(), Ok(urgency));
            let json = serde_json::to_string(&urgency).unwrap();
            assert_eq!(json, format!("\"{urgency}\""));
        }
        assert_eq!("urgent".parse::<Urgency>(), Err(ParseUrgencyError));
        assert_eq!(Urgency::default(), Urgency::Normal);
    }

    #[test]
    fn ranks_follow_the_order_of_the_list() {
        assert!(Urgency::ALL.map(Urgency::rank).into_iter().eq(0..5));
    }

    #[test]
    fn the_error_names_every_urgency() {
        let message = ParseUrgencyError.to_string();
        assert!(
            Urgency::ALL
                .iter()
                .all(|urgency| message.contains(urgency.as_str()))
        );
    }
}
