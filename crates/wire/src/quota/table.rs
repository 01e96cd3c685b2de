//! The names of all quota headers, as data.
//!
//! Marks: V read in the provider's own documents, S a secondary source or observed answers, NV by
//! analogy. A row's source stands beside it.

use super::{Counted, Period};
use crate::dialect::Dialect;
use crate::provider::ProviderKind;

/// The headers that speak of one limit.
pub(super) struct Row {
    pub(super) limit: &'static str,
    pub(super) remaining: &'static str,
    /// Empty where the provider sends none for this limit alone.
    pub(super) reset: &'static str,
    pub(super) counted: Counted,
    pub(super) window: Window,
    pub(super) grain: u64,
    pub(super) oddity: Oddity,
}

/// How the time over which a limit counts is known.
#[derive(Clone, Copy)]
pub(super) enum Window {
    /// It is in the header's name, or in the provider's documents.
    Named(Period),
    /// It is told by how fast the limit refills, which it does continuously; else this one.
    Refilling(Period),
    /// A reset far away tells that it is a day; else this one.
    Usual(Period),
}

/// What else has to be known to read a row rightly.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Oddity {
    None,
    /// A limit of zero means that there is no figure.
    ZeroIsUnknown,
    /// The headers are the provider's own only if the reset is milliseconds since the epoch.
    /// Without that they are those of somebody behind it.
    EpochResetOnly,
}

impl Row {
    const fn new(names: [&'static str; 3], counted: Counted, window: Window) -> Self {
        let [limit, remaining, reset] = names;
        Self {
            limit,
            remaining,
            reset,
            counted,
            window,
            grain: 1,
            oddity: Oddity::None,
        }
    }

    const fn rounded_to(mut self, grain: u64) -> Self {
        self.grain = grain;
        self
    }

    const fn with(mut self, oddity: Oddity) -> Self {
        self.oddity = oddity;
        self
    }
}

use Counted::{InputTokens, OutputTokens, Requests, Tokens};
use Period::{Day, Minute, Second};
use Window::{Named, Refilling, Usual};

/// Rounding of token figures: to the nearest thousand, V.
const ANTHROPIC_GRAIN: u64 = 1000;

const ANTHROPIC: &[Row] = &[
    // V: A-rl; all per minute.
    Row::new(
        [
            "anthropic-ratelimit-requests-limit",
            "anthropic-ratelimit-requests-remaining",
            "anthropic-ratelimit-requests-reset",
        ],
        Requests,
        Named(Minute),
    ),
    Row::new(
        [
            "anthropic-ratelimit-input-tokens-limit",
            "anthropic-ratelimit-input-tokens-remaining",
            "anthropic-ratelimit-input-tokens-reset",
        ],
        InputTokens,
        Named(Minute),
    )
    .rounded_to(ANTHROPIC_GRAIN),
    Row::new(
        [
            "anthropic-ratelimit-output-tokens-limit",
            "anthropic-ratelimit-output-tokens-remaining",
            "anthropic-ratelimit-output-tokens-reset",
        ],
        OutputTokens,
        Named(Minute),
    )
    .rounded_to(ANTHROPIC_GRAIN),
    Row::new(
        [
            "anthropic-ratelimit-tokens-limit",
            "anthropic-ratelimit-tokens-remaining",
            "anthropic-ratelimit-tokens-reset",
        ],
        Tokens,
        Named(Minute),
    )
    .rounded_to(ANTHROPIC_GRAIN),
];

const REQUESTS: [&str; 3] = [
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
];
const TOKENS: [&str; 3] = [
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-tokens",
];
const PROJECT_TOKENS: [&str; 3] = [
    "x-ratelimit-limit-project-tokens",
    "x-ratelimit-remaining-project-tokens",
    "x-ratelimit-reset-project-tokens",
];
const PLAIN: [&str; 3] = [
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
];

const OPENAI: &[Row] = &[
    // V: O-rl. Models with a limit per day show that one; which it is only the reset tells.
    Row::new(REQUESTS, Requests, Refilling(Minute)),
    Row::new(TOKENS, Tokens, Refilling(Minute)),
    Row::new(PROJECT_TOKENS, Tokens, Refilling(Minute)),
];

const AZURE: &[Row] = &[
    // V: Z-q; the window is fixed, so what remains tells nothing of its length. I-5: answers with
    // -1 and 0 for figures that are not known.
    Row::new(REQUESTS, Requests, Usual(Minute)).with(Oddity::ZeroIsUnknown),
    Row::new(TOKENS, Tokens, Usual(Minute)).with(Oddity::ZeroIsUnknown),
];

const GROQ: &[Row] = &[
    // V: Q-rl.
    Row::new(REQUESTS, Requests, Refilling(Day)),
    Row::new(TOKENS, Tokens, Refilling(Minute)),
];

const TOGETHER: &[Row] = &[
    // S: T-2.
    Row::new(PLAIN, Requests, Named(Second)),
    Row::new(
        [
            "x-tokenlimit-limit",
            "x-tokenlimit-remaining",
            "x-tokenlimit-reset",
        ],
        Tokens,
        Named(Second),
    ),
];

const MISTRAL: &[Row] = &[
    // S: answers of 2026 (mistralai/client-ts#169); no reset was among them, so its name is NV.
    Row::new(
        [
            "x-ratelimit-limit-req-minute",
            "x-ratelimit-remaining-req-minute",
            "x-ratelimit-reset-req-minute",
        ],
        Requests,
        Named(Minute),
    ),
    Row::new(
        [
            "x-ratelimit-limit-tokens-minute",
            "x-ratelimit-remaining-tokens-minute",
            "x-ratelimit-reset-tokens-minute",
        ],
        Tokens,
        Named(Minute),
    ),
    // S: older answers. Their `ratelimitbysize-reset` speaks of the minute or of the month,
    // whichever is tighter, and so of neither.
    Row::new(
        [
            "x-ratelimitbysize-limit-minute",
            "x-ratelimitbysize-remaining-minute",
            "",
        ],
        Tokens,
        Named(Minute),
    ),
    // NV: M-rl counts requests per second.
    Row::new(PLAIN, Requests, Named(Second)),
];

const OPENROUTER: &[Row] = &[
    // V: R-lim, on its own 429s only: free models, per minute or per UTC day.
    Row::new(PLAIN, Requests, Usual(Minute)).with(Oddity::EpochResetOnly),
];

const CEREBRAS: &[Row] = &[
    // S: answers seen; limits per hour exist, too, and have no period here.
    Row::new(
        [
            "x-ratelimit-limit-requests-minute",
            "x-ratelimit-remaining-requests-minute",
            "x-ratelimit-reset-requests-minute",
        ],
        Requests,
        Named(Minute),
    ),
    Row::new(
        [
            "x-ratelimit-limit-requests-day",
            "x-ratelimit-remaining-requests-day",
            "x-ratelimit-reset-requests-day",
        ],
        Requests,
        Named(Day),
    ),
    Row::new(
        [
            "x-ratelimit-limit-tokens-minute",
            "x-ratelimit-remaining-tokens-minute",
            "x-ratelimit-reset-tokens-minute",
        ],
        Tokens,
        Named(Minute),
    ),
    Row::new(
        [
            "x-ratelimit-limit-tokens-day",
            "x-ratelimit-remaining-tokens-day",
            "x-ratelimit-reset-tokens-day",
        ],
        Tokens,
        Named(Day),
    ),
];

const FIREWORKS: &[Row] = &[
    // S: answers seen; the limits equal those per minute of its documents.
    Row::new(
        [
            "x-ratelimit-limit-tokens-prompt",
            "x-ratelimit-remaining-tokens-prompt",
            "",
        ],
        InputTokens,
        Named(Minute),
    ),
    Row::new(
        [
            "x-ratelimit-limit-tokens-generated",
            "x-ratelimit-remaining-tokens-generated",
            "",
        ],
        OutputTokens,
        Named(Minute),
    ),
];

const LIKE_OPENAI: &[Row] = &[
    // NV: by analogy.
    Row::new(REQUESTS, Requests, Refilling(Minute)),
    Row::new(TOKENS, Tokens, Refilling(Minute)),
];

/// The headers a provider is read by.
pub(super) const fn rows(provider: ProviderKind) -> &'static [Row] {
    use ProviderKind as P;
    match provider {
        P::Anthropic | P::Generic(Dialect::Anthropic) => ANTHROPIC,
        P::OpenAi => OPENAI,
        P::Azure => AZURE,
        P::Groq => GROQ,
        P::Together => TOGETHER,
        P::Mistral => MISTRAL,
        P::OpenRouter => OPENROUTER,
        P::Cerebras => CEREBRAS,
        P::Fireworks => FIREWORKS,
        P::Xai | P::Generic(Dialect::OpenAi) => LIKE_OPENAI,
        // V: Gemini sends none; S: nor does DeepSeek; NV: nor do Bedrock and Vertex. Local servers have no quotas.
        P::Gemini
        | P::DeepSeek
        | P::Bedrock
        | P::Vertex
        | P::Ollama
        | P::Vllm
        | P::LmStudio
        | P::Generic(Dialect::Gemini) => &[],
    }
}
