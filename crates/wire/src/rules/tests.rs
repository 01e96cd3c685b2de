use proptest::prelude::*;

use super::*;
use DayRule::{UsPacific, Utc};
use ProviderKind as P;
use WindowShape::{Bucket, SecondSlices, Sliding};

const GENERIC: P = P::Generic(Dialect::OpenAi);

#[test]
fn each_provider_counts_by_its_own_rules() {
    for (provider, window, day, cache_reads_free, concurrency_only) in [
        (P::Anthropic, Bucket, Utc, true, false),
        (P::Generic(Dialect::Anthropic), Bucket, Utc, true, false),
        (P::OpenAi, Bucket, Utc, false, false),
        (P::Azure, SecondSlices, Utc, false, false),
        (P::Gemini, Sliding, UsPacific, false, false),
        (
            P::Generic(Dialect::Gemini),
            Sliding,
            UsPacific,
            false,
            false,
        ),
        (P::OpenRouter, Sliding, Utc, false, false),
        (P::DeepSeek, Bucket, Utc, false, true),
        (P::Groq, Bucket, Utc, true, false),
        (P::Mistral, Bucket, Utc, false, false),
        (P::Together, Bucket, Utc, false, false),
        (P::Xai, Bucket, Utc, false, false),
        (P::Fireworks, Bucket, Utc, false, false),
        (P::Cerebras, Bucket, Utc, false, false),
        (P::Bedrock, Sliding, Utc, true, false),
        (P::Vertex, Sliding, Utc, true, false),
        (P::Ollama, Bucket, Utc, false, false),
        (P::Vllm, Bucket, Utc, false, false),
        (P::LmStudio, Bucket, Utc, false, false),
        (GENERIC, Bucket, Utc, false, false),
    ] {
        let rules = quota_rules(provider);
        assert_eq!(
            (
                rules.window,
                rules.day,
                rules.cache_reads_free,
                rules.concurrency_only
            ),
            (window, day, cache_reads_free, concurrency_only),
            "{provider:?}"
        );
    }
}

#[test]
fn models_that_share_a_bucket_have_one_name() {
    const OPUS: &str = "claude-opus-4.5-4.8";
    const SONNET: &str = "claude-sonnet-4.5-4.6";
    for (provider, model, class) in [
        (P::Anthropic, "claude-opus-4-5", OPUS),
        (P::Anthropic, "claude-opus-4-5-20251101", OPUS),
        (P::Anthropic, "claude-opus-4-5@20251101", OPUS),
        (P::Anthropic, "claude-opus-4-8", OPUS),
        (P::Anthropic, "claude-opus-4.6", OPUS),
        (P::Anthropic, "claude-opus-4-9", "claude-opus-4-9"),
        (P::Anthropic, "claude-opus-4-1-20250805", "claude-opus-4-1"),
        (P::Anthropic, "claude-opus-4-20250514", "claude-opus-4"),
        (P::Anthropic, "claude-opus-4-0", "claude-opus-4"),
        (P::Anthropic, "claude-opus-4-55", "claude-opus-4-55"),
        (P::Anthropic, "claude-opus-5", "claude-opus-5"),
        (P::Anthropic, "claude-sonnet-4-5-20250929", SONNET),
        (P::Anthropic, "claude-sonnet-4-6", SONNET),
        (P::Anthropic, "claude-sonnet-4-7", "claude-sonnet-4-7"),
        (
            P::Anthropic,
            "claude-haiku-4-5-20251001",
            "claude-haiku-4-5",
        ),
        (P::Anthropic, "claude-3-5-haiku-latest", "claude-3-5-haiku"),
        (P::Anthropic, "claude-fable-5", "claude-fable-5"),
        (P::Anthropic, "-20251101", ""),
        (P::Anthropic, "", ""),
        (P::Generic(Dialect::Anthropic), "claude-sonnet-4-5", SONNET),
        (P::OpenAi, "gpt-4o-2024-08-06", "gpt-4o-2024-08-06"),
        (P::Azure, "my-deployment", "my-deployment"),
        (P::Gemini, "models/gemini-2.5-flash", "gemini-2.5-flash"),
        (P::Gemini, "gemini-2.5-flash", "gemini-2.5-flash"),
        (P::OpenRouter, "anthropic/claude-opus-4.5", ""),
        (P::OpenRouter, "deepseek/deepseek-r1:free", ":free"),
        (P::Mistral, "mistral-small-latest", ""),
        (P::Groq, "llama-3.3-70b", "llama-3.3-70b"),
        (P::DeepSeek, "deepseek-chat", "deepseek-chat"),
        (P::Together, "meta-llama/Llama-4", "meta-llama/Llama-4"),
        (GENERIC, "claude-opus-4-5", "claude-opus-4-5"),
    ] {
        assert_eq!(model_class(provider, model), class, "{provider:?} {model}");
    }
}

proptest! {
    #[test]
    fn a_class_is_its_own_class(
        provider in prop::sample::select(P::names().filter_map(P::from_name).collect::<Vec<_>>()),
        model in "(claude-(opus|sonnet)-4)?[-.@0-9a-z:é]{0,16}(latest|20251101)?",
    ) {
        let class = model_class(provider, &model);
        // Once more may take a second date off; the classes of real names stay.
        if !class.contains(['@', '2']) && !class.ends_with("latest") && !class.ends_with("-0") {
            prop_assert_eq!(model_class(provider, class), class);
        }
    }
}
