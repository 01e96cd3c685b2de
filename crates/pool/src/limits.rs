//! What an operator declares about a key's or a group's quota.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::bounds::LIMIT_MAX;

/// Declared limits; `None` means that this dimension is not limited.
///
/// Limits per second and minute hold over a window of the provider's kind (see [`crate::Window`]),
/// per-day limits over a day of its time zone (see [`crate::DayRule`]). `tokens_…` counts input and output together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Limits {
    /// Requests per second.
    pub requests_per_second: Option<u64>,
    /// Input and output tokens together per second.
    pub tokens_per_second: Option<u64>,
    /// Requests per minute.
    pub requests_per_minute: Option<u64>,
    /// Input and output tokens together per minute.
    pub tokens_per_minute: Option<u64>,
    /// Input tokens per minute.
    pub input_tokens_per_minute: Option<u64>,
    /// Output tokens per minute.
    pub output_tokens_per_minute: Option<u64>,
    /// Requests per day.
    pub requests_per_day: Option<u64>,
    /// Input and output tokens together per day.
    pub tokens_per_day: Option<u64>,
    /// Requests in flight at one time.
    pub max_concurrent: Option<u32>,
}

/// One thing that is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Dimension {
    /// Requests per second.
    RequestsPerSecond,
    /// Input and output tokens together per second.
    TokensPerSecond,
    /// Requests per minute.
    RequestsPerMinute,
    /// Input and output tokens together per minute.
    TokensPerMinute,
    /// Input tokens per minute.
    InputTokensPerMinute,
    /// Output tokens per minute.
    OutputTokensPerMinute,
    /// Requests per day.
    RequestsPerDay,
    /// Input and output tokens together per day.
    TokensPerDay,
    /// Requests in flight.
    MaxConcurrent,
}

impl Dimension {
    /// The dimensions that a meter counts: all but concurrency, which counts itself.
    pub(crate) const METERED: [Self; 8] = [
        Self::RequestsPerSecond,
        Self::TokensPerSecond,
        Self::RequestsPerMinute,
        Self::TokensPerMinute,
        Self::InputTokensPerMinute,
        Self::OutputTokensPerMinute,
        Self::RequestsPerDay,
        Self::TokensPerDay,
    ];

    /// The field's name in configuration and API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RequestsPerSecond => "requestsPerSecond",
            Self::TokensPerSecond => "tokensPerSecond",
            Self::RequestsPerMinute => "requestsPerMinute",
            Self::TokensPerMinute => "tokensPerMinute",
            Self::InputTokensPerMinute => "inputTokensPerMinute",
            Self::OutputTokensPerMinute => "outputTokensPerMinute",
            Self::RequestsPerDay => "requestsPerDay",
            Self::TokensPerDay => "tokensPerDay",
            Self::MaxConcurrent => "maxConcurrent",
        }
    }
}

/// A set of dimensions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dimensions(u16);

impl Dimensions {
    pub(crate) const fn contains(self, dimension: Dimension) -> bool {
        self.0 & (1 << dimension as u16) != 0
    }

    pub(crate) const fn insert(&mut self, dimension: Dimension) {
        self.0 |= 1 << dimension as u16;
    }

    pub(crate) const fn remove(&mut self, dimension: Dimension) {
        self.0 &= !(1 << dimension as u16);
    }
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Limits {
    /// The declared limit of one dimension.
    #[must_use]
    pub fn get(&self, dimension: Dimension) -> Option<u64> {
        match dimension {
            Dimension::RequestsPerSecond => self.requests_per_second,
            Dimension::TokensPerSecond => self.tokens_per_second,
            Dimension::RequestsPerMinute => self.requests_per_minute,
            Dimension::TokensPerMinute => self.tokens_per_minute,
            Dimension::InputTokensPerMinute => self.input_tokens_per_minute,
            Dimension::OutputTokensPerMinute => self.output_tokens_per_minute,
            Dimension::RequestsPerDay => self.requests_per_day,
            Dimension::TokensPerDay => self.tokens_per_day,
            Dimension::MaxConcurrent => self.max_concurrent.map(u64::from),
        }
    }

    pub(crate) const fn get_mut(&mut self, dimension: Dimension) -> Option<&mut Option<u64>> {
        match dimension {
            Dimension::RequestsPerSecond => Some(&mut self.requests_per_second),
            Dimension::TokensPerSecond => Some(&mut self.tokens_per_second),
            Dimension::RequestsPerMinute => Some(&mut self.requests_per_minute),
            Dimension::TokensPerMinute => Some(&mut self.tokens_per_minute),
            Dimension::InputTokensPerMinute => Some(&mut self.input_tokens_per_minute),
            Dimension::OutputTokensPerMinute => Some(&mut self.output_tokens_per_minute),
            Dimension::RequestsPerDay => Some(&mut self.requests_per_day),
            Dimension::TokensPerDay => Some(&mut self.tokens_per_day),
            Dimension::MaxConcurrent => None,
        }
    }

    /// Of two declarations of one quota the larger limit in each dimension that both limit; where one
    /// of them is silent, what the other says.
    pub(crate) fn larger(mut self, other: &Self) -> Self {
        for dimension in Dimension::METERED {
            let theirs = other.get(dimension);
            if let Some(ours) = self.get_mut(dimension) {
                *ours = (*ours).max(theirs);
            }
        }
        self.max_concurrent = None;
        self
    }

    /// Whether nothing is limited.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }

    /// The first dimension whose limit is zero or above [`LIMIT_MAX`].
    pub(crate) fn first_out_of_range(&self) -> Option<(Dimension, u64)> {
        let all = Dimension::METERED
            .into_iter()
            .chain([Dimension::MaxConcurrent]);
        all.filter_map(|dimension| Some((dimension, self.get(dimension)?)))
            .find(|&(_, limit)| limit == 0 || limit > LIMIT_MAX)
    }
}
