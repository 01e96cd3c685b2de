//! How each provider charges a request to its limits, before and after.
//!
//! One formula is wrong for two of three: Anthropic counts real output and forgives cache reads,
//! OpenAI and Azure charge the larger of `max_tokens` and the prompt when the request is admitted
//! and give nothing back, Gemini counts input only. A pool that counts in another way than the
//! provider either sends what will be refused or leaves quota unused.
//!
//! Worked example: a prompt of 2,000 tokens with `max_tokens` 64,000 and 300 tokens of answer.
//! Anthropic: 2,000 + 300. OpenAI: 64,000. Gemini: 2,000.

use crate::dialect::{Dialect, Endpoint};
use crate::limits::OUTPUT_RESERVATION_TOKENS;
use crate::peek::Peek;
use crate::provider::ProviderKind;
use crate::usage::Usage;

/// The rules of counting.
enum Rule {
    /// Input without cache reads, and real output. `max_tokens` plays no part.
    RealOutput,
    /// The larger of `max_tokens` and the whole prompt, at admission, never given back.
    MaxTokensOrPrompt,
    /// The whole prompt; output is free.
    InputOnly,
    /// The whole prompt and real output.
    InputAndOutput,
    /// As [`Rule::InputAndOutput`], without cache reads.
    UncachedInputAndOutput,
}

/// Sources: `Anthropic`, `OpenAi`, `Gemini`, `Azure` and `Groq` by their own documents on limits;
/// the others by what they say of tokens per minute, or by analogy.
const fn rule(provider: ProviderKind) -> Rule {
    use ProviderKind as P;
    match provider {
        P::Anthropic | P::Generic(Dialect::Anthropic) => Rule::RealOutput,
        P::OpenAi | P::Azure => Rule::MaxTokensOrPrompt,
        P::Gemini | P::Generic(Dialect::Gemini) => Rule::InputOnly,
        P::Groq => Rule::UncachedInputAndOutput,
        P::OpenRouter
        | P::DeepSeek
        | P::Mistral
        | P::Together
        | P::Xai
        | P::Fireworks
        | P::Cerebras
        | P::Generic(Dialect::OpenAi) => Rule::InputAndOutput,
    }
}

/// The (input, output) tokens to set aside on a key's meters before a request is sent.
#[must_use]
pub fn reservation(provider: ProviderKind, peek: &Peek, endpoint: Endpoint) -> (u64, u64) {
    let input = peek.input_tokens;
    match endpoint {
        // Has a limit of its own, on requests.
        Endpoint::CountTokens => return (0, 0),
        Endpoint::Embeddings => return (input, 0),
        Endpoint::Messages | Endpoint::ChatCompletions | Endpoint::Responses => {}
    }
    let output = match (rule(provider), peek.max_output_tokens) {
        (Rule::InputOnly, _) => 0,
        (Rule::MaxTokensOrPrompt, Some(max)) => max.saturating_sub(input),
        (_, max) => max.map_or(OUTPUT_RESERVATION_TOKENS, |max| {
            max.min(OUTPUT_RESERVATION_TOKENS)
        }),
    };
    (input, output)
}

/// The (input, output) tokens a key's meters are charged once the answer's usage is known.
///
/// For OpenAI and Azure this is not what was used but what they charged at admission, with the
/// real size of the prompt in place of their estimate of it. Without `max_tokens` in the request
/// their rule is not documented; then the real output is charged, which is the safe side.
#[must_use]
pub fn charge(provider: ProviderKind, usage: &Usage, peek: &Peek) -> (u64, u64) {
    let whole_input = usage.total_input_tokens();
    let uncached_input = usage.input_tokens.saturating_add(usage.cache_write_tokens);
    match rule(provider) {
        Rule::RealOutput | Rule::UncachedInputAndOutput => (uncached_input, usage.output_tokens),
        Rule::InputOnly => (whole_input, 0),
        Rule::InputAndOutput => (whole_input, usage.output_tokens),
        Rule::MaxTokensOrPrompt => {
            let output = peek
                .max_output_tokens
                .map_or(usage.output_tokens, |max| max.saturating_sub(whole_input));
            (whole_input, output)
        }
    }
}

#[cfg(test)]
mod tests;
