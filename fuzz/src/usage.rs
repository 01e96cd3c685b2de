//! What plain answers say they cost, against a naive reading of the same JSON.

use keypool_wire::limits::STATE_IDS_MAX;
use keypool_wire::{
    Dialect, Endpoint, ProviderKind, Usage, charge, peek, reservation, state_ids_of_answer,
    usage_of_answer,
};
use serde_json::Value;

use crate::answer::providers;
use crate::json;

/// Reads the answer as each endpoint's.
pub fn check(data: &[u8]) {
    let value = json::value(data).filter(|_| !json::has_duplicates(data));
    for endpoint in Endpoint::ALL {
        let usage = usage_of_answer(endpoint, data);
        if let Some(value) = &value {
            assert_eq!(usage, naive(endpoint, value), "{endpoint:?}");
        }
        let held_open = [b"\r\n\n \t", data].concat();
        assert_eq!(usage_of_answer(endpoint, &held_open), usage);
        assert!(state_ids_of_answer(endpoint, data).len() <= STATE_IDS_MAX);
        if let Some(usage) = usage {
            assert_chargeable(&usage);
        }
    }
}

/// No provider's rule makes more of an answer than it cost, or than was asked for; Bedrock counts each token of
/// output as up to five.
fn assert_chargeable(usage: &Usage) {
    const REQUEST: &[u8] =
        br#"{"model":"m","max_tokens":300,"messages":[{"role":"user","content":"hi"}]}"#;
    let Ok(peek) = peek(Endpoint::ChatCompletions, REQUEST) else {
        panic!("the request is a good one");
    };
    for provider in providers() {
        let (input, output) = charge(provider, usage, peek.max_output_tokens);
        assert!(input <= usage.total_input_tokens());
        let factor = if provider == ProviderKind::Bedrock {
            5
        } else {
            1
        };
        assert!(output <= usage.output_tokens.max(300).saturating_mul(factor));
        let (reserved_input, _) = reservation(
            provider,
            Endpoint::ChatCompletions,
            peek.input_tokens,
            peek.max_output_tokens,
        );
        assert_eq!(reserved_input, peek.input_tokens);
    }
}

/// The usage in a tree of JSON, looked up member by member.
fn naive(endpoint: Endpoint, answer: &Value) -> Option<Usage> {
    let answer = answer.as_object()?;
    if endpoint == Endpoint::CountTokens {
        return Some(Usage {
            input_tokens: count(answer.get("input_tokens"))?,
            output_tokens: count(answer.get("output_tokens")).unwrap_or(0),
            cache_read_tokens: count(answer.get("cache_read_input_tokens")).unwrap_or(0),
            cache_write_tokens: count(answer.get("cache_creation_input_tokens")).unwrap_or(0),
        });
    }
    if endpoint == Endpoint::CountContentTokens {
        return Some(Usage {
            input_tokens: count(answer.get("totalTokens"))?,
            ..Usage::default()
        });
    }
    if endpoint.dialect() == Dialect::Gemini {
        let usage = answer.get("usageMetadata")?.as_object()?;
        let figure = |name: &str| count(usage.get(name)).unwrap_or(0);
        let prompt = figure("promptTokenCount");
        let cached = figure("cachedContentTokenCount").min(prompt);
        let output = figure("candidatesTokenCount").saturating_add(figure("thoughtsTokenCount"));
        return Some(Usage {
            input_tokens: (prompt - cached).saturating_add(figure("toolUsePromptTokenCount")),
            output_tokens: output,
            cache_read_tokens: cached,
            cache_write_tokens: 0,
        });
    }
    let usage = answer
        .get("usage")
        .filter(|usage| usage.is_object())
        .or_else(|| answer.get("x_groq")?.get("usage"))
        .filter(|usage| usage.is_object())?;
    let figure = |name: &str| count(usage.get(name));
    if endpoint.dialect() == Dialect::Anthropic {
        return Some(Usage {
            input_tokens: figure("input_tokens").unwrap_or(0),
            output_tokens: figure("output_tokens").unwrap_or(0),
            cache_read_tokens: figure("cache_read_input_tokens").unwrap_or(0),
            cache_write_tokens: figure("cache_creation_input_tokens").unwrap_or(0),
        });
    }
    let details = ["prompt_tokens_details", "input_tokens_details"]
        .iter()
        .find_map(|name| usage.get(*name).filter(|details| details.is_object()));
    let detail = |name: &str| count(details.and_then(|details| details.get(name)));
    let input = figure("prompt_tokens")
        .or_else(|| figure("input_tokens"))
        .unwrap_or(0);
    let cached = detail("cached_tokens")
        .or_else(|| figure("prompt_cache_hit_tokens"))
        .unwrap_or(0)
        .min(input);
    let written = detail("cache_write_tokens")
        .unwrap_or(0)
        .min(input - cached);
    Some(Usage {
        input_tokens: input - cached - written,
        output_tokens: figure("completion_tokens")
            .or_else(|| figure("output_tokens"))
            .unwrap_or(0),
        cache_read_tokens: cached,
        cache_write_tokens: written,
    })
}

/// A count of tokens: a number that is not negative, its fraction cut off.
fn count(value: Option<&Value>) -> Option<u64> {
    let number = value?.as_number()?;
    if let Some(whole) = number.as_u64() {
        return Some(whole);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates"
    )]
    let whole = |number: f64| number as u64;
    number.as_f64().filter(|&number| number >= 0.0).map(whole)
}
