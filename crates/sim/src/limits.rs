//! What a provider limits, and by which algorithm it counts.

use serde::{Deserialize, Serialize};

/// Upper bounds on what one organisation, model class or key may use; `None` means unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// Requests per minute.
    pub requests_per_minute: Option<u64>,
    /// Input and output tokens together, per minute.
    pub tokens_per_minute: Option<u64>,
    /// Input tokens per minute.
    pub input_tokens_per_minute: Option<u64>,
    /// Output tokens per minute.
    pub output_tokens_per_minute: Option<u64>,
    /// Requests per day.
    pub requests_per_day: Option<u64>,
    /// Input and output tokens together, per day.
    pub tokens_per_day: Option<u64>,
    /// Requests that may be in flight at one time.
    pub max_concurrent: Option<u64>,
}

impl Limits {
    /// No limit at all.
    pub const NONE: Self = Self {
        requests_per_minute: None,
        tokens_per_minute: None,
        input_tokens_per_minute: None,
        output_tokens_per_minute: None,
        requests_per_day: None,
        tokens_per_day: None,
        max_concurrent: None,
    };

    /// Only requests are limited, to `requests` per minute.
    #[must_use]
    pub const fn per_minute(requests: u64) -> Self {
        Self {
            requests_per_minute: Some(requests),
            ..Self::NONE
        }
    }

    /// The bound of one dimension.
    #[must_use]
    pub const fn of(&self, dimension: Dimension) -> Option<u64> {
        match dimension {
            Dimension::Requests => self.requests_per_minute,
            Dimension::InputTokens => self.input_tokens_per_minute,
            Dimension::OutputTokens => self.output_tokens_per_minute,
            Dimension::Tokens => self.tokens_per_minute,
            Dimension::RequestsPerDay => self.requests_per_day,
            Dimension::TokensPerDay => self.tokens_per_day,
        }
    }
}

/// One thing that is counted over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dimension {
    /// Requests per minute.
    Requests,
    /// Input tokens per minute.
    InputTokens,
    /// Output tokens per minute.
    OutputTokens,
    /// Input and output tokens together, per minute.
    Tokens,
    /// Requests per day.
    RequestsPerDay,
    /// Tokens per day.
    TokensPerDay,
}

impl Dimension {
    /// All dimensions, in the order in which they are checked.
    pub const ALL: [Self; 6] = [
        Self::Requests,
        Self::InputTokens,
        Self::OutputTokens,
        Self::Tokens,
        Self::RequestsPerDay,
        Self::TokensPerDay,
    ];

    /// Whether the window is a day; otherwise it is a minute.
    #[must_use]
    pub const fn is_daily(self) -> bool {
        matches!(self, Self::RequestsPerDay | Self::TokensPerDay)
    }

    /// Whether requests are counted; otherwise tokens are.
    #[must_use]
    pub const fn counts_requests(self) -> bool {
        matches!(self, Self::Requests | Self::RequestsPerDay)
    }
}

/// How an organisation's counters refill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// A bucket that holds one window's worth and refills evenly (Anthropic; OpenAI by observation).
    #[default]
    Bucket,
    /// A counter that is set back to zero at the turn of each window (Azure's token counter).
    FixedMinute,
    /// Requests are spread over the seconds of the minute and unused ones expire (Azure's request
    /// counter; Anthropic announces "60 per minute may be 1 per second"). Tokens and daily counts
    /// are as in [`Algorithm::FixedMinute`].
    PerSecondSlices,
    /// No interval of one window's length may hold more than the limit.
    Sliding,
}
