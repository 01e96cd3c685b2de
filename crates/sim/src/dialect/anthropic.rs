//! Answers of the Anthropic Messages API.

use bytes::Bytes;

use super::ids::{Ids, Mark};
use super::stream::{Frame, named};
use super::{AnswerFacts, Usage, json};

fn stop_reason(facts: &AnswerFacts<'_>) -> &'static str {
    if facts.cut_short {
        "max_tokens"
    } else {
        "end_turn"
    }
}

/// What every thinking block says.
const THOUGHT: &str = "The key with room answers.";

/// The signature of the answer's thinking block: drawn after the id of the message.
fn signature(facts: &AnswerFacts<'_>) -> String {
    thinking_signature(facts.seed, facts.mark)
}

/// The signature of the thinking block in the answer with this seed.
pub(crate) fn thinking_signature(seed: u64, mark: &Mark) -> String {
    let mut ids = Ids::new(seed);
    ids.message();
    ids.signature(mark)
}

/// The events of a thinking block, which is the first of its message.
fn thinking_events(facts: &AnswerFacts<'_>) -> [Bytes; 4] {
    let delta = |delta: &str| {
        let data = format!(r#"{{"type":"content_block_delta","index":0,"delta":{{{delta}}}}}"#);
        named("content_block_delta", &data)
    };
    [
        named(
            "content_block_start",
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
        ),
        delta(&format!(
            r#""type":"thinking_delta","thinking":"{THOUGHT}""#
        )),
        delta(&format!(
            r#""type":"signature_delta","signature":"{}""#,
            signature(facts)
        )),
        named(
            "content_block_stop",
            r#"{"type":"content_block_stop","index":0}"#,
        ),
    ]
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
    let thinking = if facts.thinking {
        format!(
            r#"{{"type":"thinking","thinking":"{THOUGHT}","signature":"{}"}},"#,
            signature(facts)
        )
    } else {
        String::new()
    };
    format!(
        r#"{{"model":{},"id":"{}","type":"message","role":"assistant","content":[{thinking}{{"type":"text","text":{}}}],"stop_reason":"{}","stop_sequence":null,"usage":{}}}"#,
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
    let mut prologue = vec![named("message_start", &start)];
    let ping = named("ping", r#"{"type": "ping"}"#);
    let text_index = u64::from(facts.thinking);
    let text_start = format!(
        r#"{{"type":"content_block_start","index":{text_index},"content_block":{{"type":"text","text":""}}}}"#
    );
    let text_start = named("content_block_start", &text_start);
    if facts.thinking {
        let [begin, rest @ ..] = thinking_events(facts);
        prologue.extend([begin, ping]);
        prologue.extend(rest);
        prologue.push(text_start);
    } else {
        prologue.extend([text_start, ping]);
    }
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
        prologue,
        render: Box::new(move |_, text| {
            let data = format!(
                r#"{{"type":"content_block_delta","index":{text_index},"delta":{{"type":"text_delta","text":{}}}}}"#,
                json(text)
            );
            named("content_block_delta", &data)
        }),
        epilogue: vec![
            named(
                "content_block_stop",
                &format!(r#"{{"type":"content_block_stop","index":{text_index}}}"#),
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
