//! What each provider charges its counters for one request.
//!
//! Anthropic estimates the input when a request starts and corrects it later, counts output as it is
//! produced, ignores `max_tokens`, and lets cache reads go free. OpenAI takes
//! max(`max_tokens`, estimate) when it admits a request and gives nothing back, for cached input either.
//! Gemini counts input alone.
//! [`crate::Organisation::cache_reads_count`] turns the rule for cache reads round: Groq speaks OpenAI's
//! dialect and lets them go free.

use super::meters::Cost;
use crate::dialect::Usage;
use crate::dialect::request::Request;
use crate::{Dialect, Endpoint, Organisation};

/// What becomes of the charge for input once the true count is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settlement {
    /// Nothing: the charge at admission stands.
    None,
    /// Corrected; input read from the prompt cache is charged like any other.
    WithReads,
    /// Corrected; input read from the prompt cache is free.
    WithoutReads,
}

/// How one request is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tariff {
    /// What must fit for the request to be admitted.
    pub(crate) needed: Cost,
    /// What is charged when it is.
    pub(crate) at_start: Cost,
    settlement: Settlement,
    /// Output counts as it is produced.
    live_output: bool,
    /// Output counts in the counters of input and output together, too.
    live_tokens: bool,
}

impl Tariff {
    /// The tariff of `request`, of which `cache_read` tokens stand in the prompt cache.
    pub(crate) fn new(
        endpoint: Endpoint,
        request: &Request,
        cache_read: u64,
        organisation: &Organisation,
    ) -> Self {
        match endpoint.dialect() {
            Dialect::Anthropic => {
                let counts_reads = organisation.cache_reads_count.unwrap_or(false);
                Self::anthropic(request, organisation.input_estimate_percent, counts_reads)
            }
            Dialect::OpenAi => {
                let counts_reads = organisation.cache_reads_count.unwrap_or(true);
                let free = if counts_reads { 0 } else { cache_read };
                let input = request.input_tokens.saturating_sub(free);
                Self::openai(endpoint, input, request.max_tokens)
            }
            Dialect::Gemini => Self::gemini(request.input_tokens),
        }
    }

    fn anthropic(request: &Request, estimate_percent: u64, counts_reads: bool) -> Self {
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
            settlement: if counts_reads {
                Settlement::WithReads
            } else {
                Settlement::WithoutReads
            },
            live_output: true,
            live_tokens: true,
        }
    }

    fn openai(endpoint: Endpoint, input: u64, max_tokens: Option<u64>) -> Self {
        let reserved = max_tokens.unwrap_or(0);
        let tokens = input.max(reserved);
        let at_start = Cost {
            requests: 1,
            input,
            output: reserved,
            tokens,
        };
        let least_output = u64::from(!endpoint.embeds());
        Self {
            needed: Cost {
                output: reserved.max(least_output),
                ..at_start
            },
            at_start,
            settlement: Settlement::None,
            live_output: max_tokens.is_none(),
            live_tokens: false,
        }
    }

    fn gemini(input: u64) -> Self {
        let cost = Cost {
            requests: 1,
            input,
            output: 0,
            tokens: input,
        };
        Self {
            needed: cost,
            at_start: cost,
            settlement: Settlement::None,
            live_output: false,
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

    /// What is still owed, and what is given back, once the input is known.
    pub(crate) fn correction(&self, usage: Usage) -> Option<(Cost, Cost)> {
        let fresh = usage.input.saturating_add(usage.cache_write);
        let actual = match self.settlement {
            Settlement::None => return None,
            Settlement::WithReads => fresh.saturating_add(usage.cache_read),
            Settlement::WithoutReads => fresh,
        };
        let estimated = self.at_start.input;
        let input = |tokens| Cost {
            input: tokens,
            tokens,
            ..Cost::default()
        };
        let owed = input(actual.saturating_sub(estimated));
        let given_back = input(estimated.saturating_sub(actual));
        Some((owed, given_back))
    }
}
