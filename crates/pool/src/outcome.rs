//! What became of a request: the verdict on its key, and what to charge.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// The end of one attempt, handed in with its lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// What it says about the key.
    pub verdict: Verdict,
    /// What the key's and group's meters are charged in place of the reservation.
    pub charge: Charge,
    /// Tokens by kind, for the counters.
    pub usage: Usage,
    /// From sending to the end of the answer.
    pub latency: Duration,
    /// What went wrong, for people.
    pub error: Option<ErrorNote>,
    /// The provider refused since traffic grows too fast.
    pub grew_too_fast: bool,
    /// State of the account that the answer made, by hash; see [`Demand::state`](crate::Demand::state).
    pub made_state: Vec<u64>,
}

impl Outcome {
    /// An end about which there is nothing to say but this.
    #[must_use]
    pub const fn of(verdict: Verdict, charge: Charge) -> Self {
        Self {
            verdict,
            charge,
            usage: Usage {
                input_tokens: 0,
                output_tokens: 0,
                cache_read_tokens: 0,
                cache_write_tokens: 0,
            },
            latency: Duration::ZERO,
            error: None,
            grew_too_fast: false,
            made_state: Vec::new(),
        }
    }
}

/// What the end of an attempt says about the key that made it (contract §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It worked: score +1.
    Success,
    /// The client's mistake: no effect on the key.
    ClientError,
    /// The client left: no effect on the key.
    Cancelled,
    /// The provider as a whole is overloaded: counted, but no blame.
    Overloaded,
    /// The provider serves nobody from where the gateway is: told, and no blame.
    NotServed,
    /// A fault that is the key's or may be: score −5.
    Fault(FaultKind),
    /// A 429: cools down, and score −5 when declared limits did not foresee it.
    RateLimited {
        /// When the provider will accept again; `None` takes a minute, longer when repeated.
        until: Option<Timestamp>,
        /// What cools down.
        scope: CooldownScope,
    },
    /// The key is dead: score 0, unavailable, probed.
    Invalid,
    /// No money: unavailable until then, or probed hourly.
    OutOfCredit {
        /// When credit returns, if the provider said.
        until: Option<Timestamp>,
        /// What is out of credit.
        scope: CooldownScope,
    },
    /// This key may not use this model: barred for it alone.
    ModelDenied,
    /// The key may be at fault, the request, or the provider: no effect on its score until
    /// [`Pool::handle_served`](crate::Pool::handle_served) tells that another key did better. A key that
    /// was refused is left out meanwhile, and probed.
    Suspected(Suspicion),
}

/// What a key is suspected of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Suspicion {
    /// A fault: if it was the key's, score −5.
    Fault(FaultKind),
    /// The provider refused the key: if it is dead, as [`Verdict::Invalid`].
    Invalid,
    /// The provider refused the account behind the key: the same for all keys of its quota group.
    AccountInvalid,
    /// The provider does not know the model: if others may use it, as [`Verdict::ModelDenied`].
    ModelDenied,
}

impl Suspicion {
    /// Whether the provider refused the key, or what is behind it.
    #[must_use]
    pub const fn is_refusal(self) -> bool {
        matches!(self, Self::Invalid | Self::AccountInvalid)
    }

    /// Whether the provider may have worked on the request, so that sending it again may be billed twice.
    #[must_use]
    pub const fn may_have_run(self) -> bool {
        matches!(self, Self::Fault(FaultKind::Timeout | FaultKind::Reset))
    }
}

/// A fault that may be the key's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// A 5xx answer.
    ServerError,
    /// No answer, or no progress, in time.
    Timeout,
    /// No connection could be made, so that the provider never saw the request.
    Unreachable,
    /// The connection broke after the request was sent.
    Reset,
    /// An answer that cannot be understood.
    Garbage,
}

/// What a provider's refusal covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CooldownScope {
    /// The key, for all models.
    Key,
    /// The key, for the model of the request.
    KeyModel,
    /// Every key of the key's quota group.
    Group,
    /// Every key of the key's quota group, for the model of the request.
    GroupModel,
}

/// What to charge in place of the reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Charge {
    /// What was reserved: nothing better is known.
    AsReserved,
    /// One request and these tokens; more than reserved puts the meters into debt.
    #[serde(rename_all = "camelCase")]
    Actual {
        /// Input tokens.
        input_tokens: u64,
        /// Output tokens.
        output_tokens: u64,
    },
    /// As [`Self::Actual`], but some of the figures are a guess: nothing is learned from them.
    #[serde(rename_all = "camelCase")]
    Estimated {
        /// Input tokens.
        input_tokens: u64,
        /// Output tokens.
        output_tokens: u64,
    },
    /// One request without tokens: it reached the provider, which did no work.
    RequestOnly,
    /// Nothing: it never reached the provider, and all that was reserved is given back.
    Nothing,
}

/// Token counts by kind, as the provider reported them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Usage {
    /// Input tokens, without those read from or written to a cache.
    pub input_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
    /// Input tokens read from the provider's prompt cache.
    pub cache_read_tokens: u64,
    /// Input tokens written to the provider's prompt cache.
    pub cache_write_tokens: u64,
}

impl Usage {
    /// All input, cached or not.
    #[must_use]
    pub const fn prompt(&self) -> u64 {
        self.input_tokens
            .saturating_add(self.cache_read_tokens)
            .saturating_add(self.cache_write_tokens)
    }

    /// All tokens together.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.input_tokens
            .saturating_add(self.output_tokens)
            .saturating_add(self.cache_read_tokens)
            .saturating_add(self.cache_write_tokens)
    }

    pub(crate) const fn add(&mut self, other: &Self) {
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.cache_read_tokens = self
            .cache_read_tokens
            .saturating_add(other.cache_read_tokens);
        self.cache_write_tokens = self
            .cache_write_tokens
            .saturating_add(other.cache_write_tokens);
    }
}

/// An error in a form for people. It must hold no secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorNote {
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// The provider's or the gateway's code.
    pub code: String,
    /// A short message; the pool keeps its beginning.
    pub message: String,
}
