//! Answers of the Anthropic Messages API.

use bytes::Bytes;

use super::ids::Ids;
use super::stream::{Frame, named};
use super::{AnswerFacts, Usage, json};

fn stop_reason(facts: &AnswerFacts<'_>) -> &'static str {
    if facts.cut_short {
        "max_tokens"
    } else {
        "end_turn"
    }
}

/// `usage` with as many output tokens as are known by then.
fn usage(usage: Usage, output: u64) -> String {
    let Usage {
        input,
        cache_write,
        cache_read,
        ..
    } = usage;
    format!(
        r#"{{"input_tokens":{input},"cache_creation_input_tokens":{cache_write},"cache_read_input_tokens":{cache_read},"cache_creation":{{"ephemeral_5m_input_tokens":{cache_write},"ephemeral_1h_input_tokens":0}},"output_tokens":{output},"service_tier":"standard"}}"#
    )
}

/// The answer to `POST /v1/messages`.
pub(crate) fn message(facts: &AnswerFacts<'_>) -> Bytes {
    let text = facts.text.piece(0, facts.usage.output);
    format!(
        r#"{{"model":{},"id":"{}","type":"message","role":"assistant","content":[{{"type":"text","text":{}}}],"stop_reason":"{}","stop_sequence":null,"usage":{}}}"#,
        json(facts.model),
        Ids::new(facts.seed).message(),
        json(&text),
        stop_reason(facts),
        usage(facts.usage, facts.usage.output),
    )
    .into()
}

/// The events around the text of a streamed message.
pub(crate) fn frame(facts: &AnswerFacts<'_>) -> Frame {
    let start = format!(
        r#"{{"type":"message_start","message":{{"model":{},"id":"{}","type":"message","role":"assistant","content":[],"stop_reason":null,"stop_sequence":null,"usage":{}}}}}"#,
        json(facts.model),
        Ids::new(facts.seed).message(),
        usage(facts.usage, 1.min(facts.usage.output)),
    );
    let block_start =
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#;
    let Usage {
        input,
        cache_write,
        cache_read,
        output,
    } = facts.usage;
    let delta = format!(
        r#"{{"type":"message_delta","delta":{{"stop_reason":"{}","stop_sequence":null}},"usage":{{"input_tokens":{input},"cache_creation_input_tokens":{cache_write},"cache_read_input_tokens":{cache_read},"output_tokens":{output}}}}}"#,
        stop_reason(facts),
    );
    Frame {
        prologue: vec![
            named("message_start", &start),
            named("content_block_start", block_start),
            named("ping", r#"{"type": "ping"}"#),
        ],
        render: Box::new(|_, text| {
            let data = format!(
                r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":{}}}}}"#,
                json(text)
            );
            named("content_block_delta", &data)
        }),
        epilogue: vec![
            named(
                "content_block_stop",
                r#"{"type":"content_block_stop","index":0}"#,
            ),
            named("message_delta", &delta),
            named("message_stop", r#"{"type":"message_stop"}"#),
        ],
    }
}

/// The answer to `POST /v1/messages/count_tokens`.
pub(crate) fn token_count(input_tokens: u64) -> Bytes {
    format!(r#"{{"input_tokens":{input_tokens}}}"#).into()
}
