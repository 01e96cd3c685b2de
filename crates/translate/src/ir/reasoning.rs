//! How hard the model is to think.
//!
//! Each API has a scale of its own: words, a budget of tokens, or both. What one says in words and
//! the other in tokens is translated by the table that Google documents for its own OpenAI dialect
//! (low 1,024, medium 8,192, high 24,576 tokens); the ends are continued by us.

/// What the client wants of the model's reasoning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reasoning {
    pub(crate) depth: Depth,
    /// Whether the reasoning, or a summary of it, is to be shown.
    pub(crate) is_shown: bool,
}

/// How much reasoning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    Off,
    /// As the model sees fit.
    Auto,
    Effort(Effort),
    /// At most so many tokens.
    Budget(u64),
}

/// Reasoning in words, least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Effort {
    Minimal,
    Low,
    Medium,
    High,
    XHigh,
    Max,
}

impl Effort {
    const ALL: [(Self, &'static str, u64); 6] = [
        (Self::Minimal, "minimal", 512),
        (Self::Low, "low", 1_024),
        (Self::Medium, "medium", 8_192),
        (Self::High, "high", 24_576),
        (Self::XHigh, "xhigh", 32_768),
        (Self::Max, "max", 65_536),
    ];

    fn row(self) -> (&'static str, u64) {
        let mut rows = Self::ALL.iter();
        rows.find(|row| row.0 == self)
            .map_or(("high", 24_576), |row| (row.1, row.2))
    }

    /// The word that OpenAI and Anthropic use.
    pub(crate) fn name(self) -> &'static str {
        self.row().0
    }

    /// About as many tokens of reasoning.
    pub(crate) fn budget_tokens(self) -> u64 {
        self.row().1
    }

    /// The effort of a word, in any case.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let mut rows = Self::ALL.iter();
        rows.find(|row| row.1.eq_ignore_ascii_case(name))
            .map(|row| row.0)
    }

    /// The least effort whose budget covers so many tokens.
    fn from_budget(tokens: u64) -> Self {
        let mut rows = Self::ALL.iter();
        rows.find(|row| tokens <= row.2)
            .map_or(Self::Max, |row| row.0)
    }
}

impl Depth {
    /// In words; `None` leaves it to the model.
    pub(crate) fn effort(self) -> Option<Effort> {
        match self {
            Self::Off | Self::Auto => None,
            Self::Effort(effort) => Some(effort),
            Self::Budget(tokens) => Some(Effort::from_budget(tokens)),
        }
    }

    /// In tokens; `None` leaves it to the model.
    pub(crate) fn budget_tokens(self) -> Option<u64> {
        match self {
            Self::Off => Some(0),
            Self::Auto => None,
            Self::Effort(effort) => Some(effort.budget_tokens()),
            Self::Budget(tokens) => Some(tokens),
        }
    }
}
