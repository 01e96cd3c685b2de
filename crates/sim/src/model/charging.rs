//! What each provider charges its counters for one request.
//!
//! Anthropic estimates the input when a request starts and corrects it later, counts output as it is
//! produced, ignores `max_tokens`, and lets cache reads go free. OpenAI takes
//! max(`max_tokens`, estimate) when it admits a request and gives nothing back.

use super::meters::Cost;
use crate::dialect::Usage;
use crate::dialect::request::Request;
use crate::{Dialect, Endpoint};

/// How one request is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tariff {
    /// What must fit for the request to be admitted.
    pub(crate) needed: Cost,
    /// What is charged when it is.
    pub(crate) at_start: Cost,
    /// The charge for input is an estimate, corrected once the true count is known.
    corrects_input: bool,
    /// Output counts as it is produced.
    live_output: bool,
    /// Output counts in the counters of input and output together, too.
    live_tokens: bool,
}

impl Tariff {
    pub(crate) fn new(endpoint: Endpoint, request: &Request, estimate_percent: u64) -> Self {
        match endpoint.dialect() {
            Dialect::Anthropic => Self::anthropic(request, estimate_percent),
            Dialect::OpenAi => Self::openai(endpoint, request),
        }
    }

    fn anthropic(request: &Request, estimate_percent: u64) -> Self {
        let input = (request.input_tokens.saturating_mul(estimate_percent) / 100).max(1);
        Self {
            needed: Cost {
                requests: 1,
                input,
                output: 1,
                tokens: input.saturating_add(1),
            },
            at_start: Cost {
                requests: 1,
                input,
                output: 0,
                tokens: input,
            },
            corrects_input: true,
            live_output: true,
            live_tokens: true,
        }
    }

    fn openai(endpoint: Endpoint, request: &Request) -> Self {
        let input = request.input_tokens;
        let reserved = request.max_tokens.unwrap_or(0);
        let tokens = input.max(reserved);
        let at_start = Cost {
            requests: 1,
            input,
            output: reserved,
            tokens,
        };
        let least_output = u64::from(endpoint != Endpoint::Embeddings);
        Self {
            needed: Cost {
                output: reserved.max(least_output),
                ..at_start
            },
            at_start,
            corrects_input: false,
            live_output: request.max_tokens.is_none(),
            live_tokens: false,
        }
    }

    /// What `tokens` of output cost when they are produced.
    pub(crate) fn output(&self, tokens: u64) -> Cost {
        Cost {
            requests: 0,
            input: 0,
            output: if self.live_output { tokens } else { 0 },
            tokens: if self.live_tokens { tokens } else { 0 },
        }
    }

    /// What is still owed, and what is given back, once the input is known. Cache reads are free.
    pub(crate) fn correction(&self, usage: Usage) -> Option<(Cost, Cost)> {
        let actual = usage.input.saturating_add(usage.cache_write);
        let estimated = self.at_start.input;
        let input = |tokens| Cost {
            input: tokens,
            tokens,
            ..Cost::default()
        };
        let owed = input(actual.saturating_sub(estimated));
        let given_back = input(estimated.saturating_sub(actual));
        self.corrects_input.then_some((owed, given_back))
    }
}
