use super::*;
use crate::dialect::Dialect;

const USAGE: Usage = Usage {
    input_tokens: 200,
    output_tokens: 30,
    cache_read_tokens: 5000,
    cache_write_tokens: 800,
};

#[test]
fn anthropic_reserves_a_modest_output_and_charges_the_real_one_without_cache_reads() {
    let kind = ProviderKind::Anthropic;
    let seen = Some(64_000);
    assert_eq!(
        reservation(kind, Endpoint::Messages, 1000, seen),
        (1000, OUTPUT_RESERVATION_TOKENS)
    );
    let seen = Some(16);
    assert_eq!(
        reservation(kind, Endpoint::Messages, 1000, seen),
        (1000, 16)
    );
    assert_eq!(charge(kind, &USAGE, seen), (1000, 30));
}

#[test]
fn openai_reserves_and_charges_the_larger_of_max_tokens_and_the_prompt() {
    for kind in [ProviderKind::OpenAi, ProviderKind::Azure] {
        let seen = Some(8_000);
        let (input, output) = reservation(kind, Endpoint::ChatCompletions, 1000, seen);
        assert_eq!((input, input + output), (1000, 8_000));
        let (input, output) = charge(kind, &USAGE, seen);
        assert_eq!((input, input + output), (6000, 8_000), "not given back");

        let seen = Some(500);
        assert_eq!(
            reservation(kind, Endpoint::Responses, 1000, seen),
            (1000, 0)
        );
        assert_eq!(charge(kind, &USAGE, seen), (6000, 0));
    }
}

#[test]
fn openai_without_max_tokens_is_charged_what_it_wrote() {
    let seen = None;
    let kind = ProviderKind::OpenAi;
    assert_eq!(
        reservation(kind, Endpoint::ChatCompletions, 1000, seen),
        (1000, OUTPUT_RESERVATION_TOKENS)
    );
    assert_eq!(charge(kind, &USAGE, seen), (6000, 30));
}

#[test]
fn gemini_counts_input_only() {
    let seen = Some(500);
    assert_eq!(
        reservation(ProviderKind::Gemini, Endpoint::ChatCompletions, 1000, seen),
        (1000, 0)
    );
    assert_eq!(charge(ProviderKind::Gemini, &USAGE, seen), (6000, 0));
}

#[test]
fn others_count_input_and_output_and_groq_forgives_cache_reads() {
    let seen = Some(500);
    for kind in [
        ProviderKind::Mistral,
        ProviderKind::Generic(Dialect::OpenAi),
    ] {
        assert_eq!(
            reservation(kind, Endpoint::ChatCompletions, 1000, seen),
            (1000, 500)
        );
        assert_eq!(charge(kind, &USAGE, seen), (6000, 30));
    }
    assert_eq!(charge(ProviderKind::Groq, &USAGE, seen), (1000, 30));
}

#[test]
fn an_answer_that_is_given_up_is_charged_in_full_by_those_who_run_on() {
    let (bounded, unbounded) = (Some(500), None);
    for kind in [ProviderKind::Groq, ProviderKind::Mistral] {
        assert_eq!(output_owed_when_given_up(kind, bounded), 500);
        assert_eq!(
            output_owed_when_given_up(kind, unbounded),
            OUTPUT_RESERVATION_TOKENS
        );
    }
    // Each token counts up to five times there.
    assert_eq!(
        output_owed_when_given_up(ProviderKind::Bedrock, bounded),
        2500
    );
    for kind in [
        // Runs on, but does not count output.
        ProviderKind::Gemini,
        ProviderKind::Anthropic,
        ProviderKind::OpenAi,
        ProviderKind::DeepSeek,
        ProviderKind::Generic(Dialect::OpenAi),
    ] {
        assert_eq!(output_owed_when_given_up(kind, bounded), 0, "{kind:?}");
    }
}

#[test]
fn embeddings_reserve_input_only_and_counting_tokens_reserves_none() {
    let seen = Some(500);
    for kind in [ProviderKind::OpenAi, ProviderKind::Mistral] {
        assert_eq!(
            reservation(kind, Endpoint::Embeddings, 1000, seen),
            (1000, 0)
        );
    }
    assert_eq!(
        reservation(ProviderKind::Anthropic, Endpoint::CountTokens, 1000, seen),
        (0, 0)
    );
}
