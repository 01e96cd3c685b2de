use proptest::prelude::*;

use super::*;

fn read(endpoint: Endpoint, body: &str) -> Option<(u64, u64, u64, u64)> {
    usage_of_answer(endpoint, body.as_bytes()).map(|usage| {
        (
            usage.input_tokens,
            usage.output_tokens,
            usage.cache_read_tokens,
            usage.cache_write_tokens,
        )
    })
}

#[test]
fn usage_is_read_from_every_endpoints_answer() {
    for (endpoint, body, expected) in [
        (
            Endpoint::Messages,
            r#"{"id":"msg_1","type":"message","content":[{"type":"text","text":"\"usage\":{}"}],"usage":{"input_tokens":10,"cache_creation_input_tokens":5,"cache_read_input_tokens":100,"output_tokens":20,"service_tier":"standard"}}"#,
            (10, 20, 100, 5),
        ),
        (
            Endpoint::ChatCompletions,
            r#"{"choices":[],"usage":{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120,"prompt_tokens_details":{"cached_tokens":60,"audio_tokens":0}}}"#,
            (40, 20, 60, 0),
        ),
        (
            Endpoint::ChatCompletions,
            r#"{"usage":{"prompt_tokens":100,"completion_tokens":20,"prompt_cache_hit_tokens":70,"prompt_cache_miss_tokens":30}}"#,
            (30, 20, 70, 0),
        ),
        (
            Endpoint::ChatCompletions,
            r#"{"usage":{"prompt_tokens":100,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":20,"cache_write_tokens":30}}}"#,
            (50, 1, 20, 30),
        ),
        (
            Endpoint::Responses,
            r#"{"object":"response","usage":{"input_tokens":100,"input_tokens_details":{"cached_tokens":60},"output_tokens":20}}"#,
            (40, 20, 60, 0),
        ),
        (
            Endpoint::Embeddings,
            r#"{"object":"list","data":[{"embedding":[0.1,0.2]}],"usage":{"prompt_tokens":8,"total_tokens":8}}"#,
            (8, 0, 0, 0),
        ),
        (
            Endpoint::CountTokens,
            r#"{"input_tokens":2095}"#,
            (2095, 0, 0, 0),
        ),
        // Gemini: what was cached is a part of the prompt; reasoning and what tools brought in are not.
        (
            Endpoint::GenerateContent,
            r#"{"candidates":[{"content":{"parts":[{"text":"\"usageMetadata\":{}"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":100,"cachedContentTokenCount":60,"candidatesTokenCount":20,"thoughtsTokenCount":5,"toolUsePromptTokenCount":7,"totalTokenCount":132,"promptTokensDetails":[{"modality":"TEXT","tokenCount":100}]}}"#,
            (47, 25, 60, 0),
        ),
        (
            Endpoint::GenerateContent,
            r#"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":9}}"#,
            (9, 0, 0, 0),
        ),
        (
            Endpoint::CountContentTokens,
            r#"{"totalTokens":31,"promptTokensDetails":[{"modality":"TEXT","tokenCount":31}]}"#,
            (31, 0, 0, 0),
        ),
        (
            Endpoint::BatchEmbedContents,
            r#"{"embeddings":[{"values":[0.1]}],"usageMetadata":{"promptTokenCount":4}}"#,
            (4, 0, 0, 0),
        ),
    ] {
        assert_eq!(read(endpoint, body), Some(expected), "{body}");
    }
}

#[test]
fn blank_lines_before_the_answer_are_skipped() {
    let body = "\n\n  \r\n{\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}";
    assert_eq!(read(Endpoint::ChatCompletions, body), Some((3, 4, 0, 0)));
}

#[test]
fn answers_that_state_no_usage_give_none() {
    for body in [
        "",
        "<html>",
        "{}",
        r#"{"usage":null}"#,
        r#"{"error":{"message":"x"}}"#,
        "[1]",
    ] {
        assert_eq!(read(Endpoint::Messages, body), None, "{body}");
        assert_eq!(read(Endpoint::CountTokens, body), None, "{body}");
    }
}

#[test]
fn a_senseless_figure_does_not_spoil_the_others() {
    for wrong in ["-1", "null", "\"7\"", "[1]", "{\"a\":1}", "true", "-2.5"] {
        let body = format!(r#"{{"usage":{{"input_tokens":{wrong},"output_tokens":20}}}}"#);
        assert_eq!(
            read(Endpoint::Messages, &body),
            Some((0, 20, 0, 0)),
            "{wrong}"
        );
    }
    let body = r#"{"usage":{"input_tokens":7.0,"output_tokens":1e30}}"#;
    assert_eq!(read(Endpoint::Messages, body), Some((7, u64::MAX, 0, 0)));
}

#[test]
fn what_is_no_object_counts_as_missing() {
    for (body, expected) in [
        // By position the first would be cached tokens, the second written ones.
        (
            r#"{"usage":{"prompt_tokens":5,"prompt_tokens_details":[3,1]}}"#,
            (5, 0, 0, 0),
        ),
        (
            r#"{"usage":{"prompt_tokens":5,"prompt_tokens_details":"none","input_tokens_details":{"cached_tokens":2}}}"#,
            (3, 0, 2, 0),
        ),
        (
            r#"{"usage":0,"x_groq":{"usage":{"prompt_tokens":5}}}"#,
            (5, 0, 0, 0),
        ),
    ] {
        assert_eq!(read(Endpoint::ChatCompletions, body), Some(expected));
    }
    assert_eq!(read(Endpoint::Messages, r#"{"usage":[1,2]}"#), None);
}

#[test]
fn more_cached_than_sent_is_not_counted_below_zero() {
    let body = r#"{"usage":{"prompt_tokens":10,"prompt_tokens_details":{"cached_tokens":99,"cache_write_tokens":99}}}"#;
    assert_eq!(read(Endpoint::ChatCompletions, body), Some((0, 0, 10, 0)));
}

#[test]
fn total_input_saturates() {
    let usage = Usage {
        input_tokens: u64::MAX,
        output_tokens: 0,
        cache_read_tokens: 5,
        cache_write_tokens: 5,
    };
    assert_eq!(usage.total_input_tokens(), u64::MAX);
}

#[test]
fn an_answer_without_usage_is_estimated_from_its_text() {
    let estimate = |endpoint, body: &str| tally_of_answer(endpoint, body.as_bytes(), 50);
    let chat =
        r#"{"id":"1","choices":[{"message":{"role":"assistant","content":"twelve bytes"}}]}"#;
    assert_eq!(
        estimate(Endpoint::ChatCompletions, chat),
        UsageTally::estimated(50, 3)
    );
    let message = r#"{"content":[{"type":"text","text":"four"}],"usage":null}"#;
    assert_eq!(
        estimate(Endpoint::Messages, message),
        UsageTally::estimated(50, 1)
    );
    let vectors = r#"{"data":[{"embedding":"AAAA","text":"not written"}]}"#;
    assert_eq!(
        estimate(Endpoint::Embeddings, vectors),
        UsageTally::estimated(50, 0)
    );
    let stated = r#"{"usage":{"input_tokens":7,"output_tokens":2}}"#;
    let tally = estimate(Endpoint::Messages, stated);
    assert_eq!((tally.usage.input_tokens, tally.is_estimated()), (7, false));
}

#[test]
fn usage_is_found_in_the_end_of_an_answer() {
    let end = r#","text":"\"usage\": {\"input_tokens\": 9}"}],"usage" : {"prompt_tokens":12,"total_tokens":12},"user":null}"#;
    let usage = usage_in_part(Endpoint::Embeddings, end.as_bytes());
    assert_eq!(usage.map(|usage| usage.input_tokens), Some(12));
    let end = r#"QQ=="}}]}}],"usageMetadata":{"promptTokenCount":12,"candidatesTokenCount":1290},"responseId":"r"}"#;
    let usage = usage_in_part(Endpoint::GenerateContent, end.as_bytes());
    assert_eq!(usage.map(|usage| usage.output_tokens), Some(1290));
    for without in [
        "",
        "\"usage\"",
        "\"usage\":",
        "\"usage\":{\"prompt_",
        "[0.1,0.2]}",
    ] {
        assert_eq!(
            usage_in_part(Endpoint::Embeddings, without.as_bytes()),
            None,
            "{without}"
        );
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        for endpoint in Endpoint::ALL {
            _ = tally_of_answer(endpoint, &body, 1);
            _ = usage_in_part(endpoint, &body);
        }
    }
}
