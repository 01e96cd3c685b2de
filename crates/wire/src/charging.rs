//! How each provider charges a request to its limits, before and after.
//!
//! One formula is wrong for two of three: Anthropic counts real output and forgives cache reads,
//! OpenAI and Azure charge the larger of `max_tokens` and the prompt when the request is admitted
//! and give nothing back, Gemini counts input only. A pool that counts in another way than the
//! provider either sends what will be refused or leaves quota unused. Who counts how stands in
//! [`quota_rules`]; here it is applied.
//!
//! Worked example: a prompt of 2,000 tokens with `max_tokens` 64,000 and 300 tokens of answer.
//! Anthropic: 2,000 + 300. OpenAI: 64,000. Gemini: 2,000. Bedrock: 2,000 + 64,000 until the end, then 2,000 + 1,500.

use crate::dialect::Endpoint;
use crate::limits::OUTPUT_RESERVATION_TOKENS;
use crate::provider::ProviderKind;
use crate::rules::{OutputRule, quota_rules};
use crate::usage::Usage;

/// How many times a token of output counts on Bedrock for Claude from 3.7 on (B-bd). Older models count once;
/// the safe side is taken for all, as names of deployments do not tell.
const BURNDOWN: u64 = 5;

/// The (input, output) tokens to set aside on a key's meters before a request with so much input is sent, whose
/// answer may have so many tokens at most.
#[must_use]
pub fn reservation(
    provider: ProviderKind,
    endpoint: Endpoint,
    input: u64,
    max_output_tokens: Option<u64>,
) -> (u64, u64) {
    match endpoint {
        // Has a limit of its own, on requests.
        Endpoint::CountTokens | Endpoint::CountContentTokens => return (0, 0),
        Endpoint::Embeddings | Endpoint::EmbedContent | Endpoint::BatchEmbedContents => {
            return (input, 0);
        }
        Endpoint::Messages
        | Endpoint::ChatCompletions
        | Endpoint::Responses
        | Endpoint::GenerateContent => {}
    }
    let output = match (quota_rules(provider).output, max_output_tokens) {
        (OutputRule::Free, _) => 0,
        (OutputRule::MaxTokensOrPrompt, Some(max)) => max.saturating_sub(input),
        (OutputRule::Burned, Some(max)) => max,
        (OutputRule::Written | OutputRule::MaxTokensOrPrompt | OutputRule::Burned, max) => max
            .map_or(OUTPUT_RESERVATION_TOKENS, |max| {
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
pub fn charge(provider: ProviderKind, usage: &Usage, max_output_tokens: Option<u64>) -> (u64, u64) {
    let rules = quota_rules(provider);
    let input = if rules.cache_reads_free {
        usage.input_tokens.saturating_add(usage.cache_write_tokens)
    } else {
        usage.total_input_tokens()
    };
    let output = match (rules.output, max_output_tokens) {
        (OutputRule::Free, _) => 0,
        (OutputRule::MaxTokensOrPrompt, Some(max)) => max.saturating_sub(input),
        (OutputRule::Burned, _) => usage.output_tokens.saturating_mul(BURNDOWN),
        (OutputRule::Written | OutputRule::MaxTokensOrPrompt, _) => usage.output_tokens,
    };
    (input, output)
}

/// The output tokens that a provider charges at least for an answer that was given up before its end: the
/// client left, or it took too long.
///
/// 0 for those that stop when the connection closes, which most do. Those that run on charge what the
/// answer comes to, which nobody sees any more: at most that of `max_tokens`, which is taken for it, or what is set
/// aside where the request has none.
#[must_use]
pub fn output_owed_when_given_up(provider: ProviderKind, max_output_tokens: Option<u64>) -> u64 {
    let rules = quota_rules(provider);
    let most = max_output_tokens.unwrap_or(OUTPUT_RESERVATION_TOKENS);
    match rules.output {
        OutputRule::Written if rules.runs_on => most,
        OutputRule::Burned if rules.runs_on => most.saturating_mul(BURNDOWN),
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
