//! Answers of OpenAI's chat completions.

use bytes::Bytes;

use super::ids::Ids;
use super::stream::{Frame, unnamed};
use super::{AnswerFacts, Usage, json};
use crate::model::Request;

/// Padding lengths that chunks take in turn.
const PADDING: &str = "aB3xY9kLm2Qz";

fn finish_reason(facts: &AnswerFacts<'_>) -> &'static str {
    if facts.cut_short { "length" } else { "stop" }
}

fn usage(usage: Usage) -> String {
    let (prompt, completion) = (usage.whole_input(), usage.output);
    let cached = usage.cache_read;
    format!(
        r#"{{"prompt_tokens":{prompt},"completion_tokens":{completion},"total_tokens":{},"prompt_tokens_details":{{"cached_tokens":{cached},"audio_tokens":0}},"completion_tokens_details":{{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}}"#,
        prompt + completion
    )
}

/// The answer to `POST /v1/chat/completions`.
pub(crate) fn completion(facts: &AnswerFacts<'_>) -> Bytes {
    let mut ids = Ids::new(facts.seed);
    let text = facts.text.piece(0, facts.usage.output);
    format!(
        r#"{{"id":"{}","object":"chat.completion","created":{},"model":{},"choices":[{{"index":0,"message":{{"role":"assistant","content":{},"refusal":null,"annotations":[]}},"logprobs":null,"finish_reason":"{}"}}],"usage":{},"service_tier":"default","system_fingerprint":"{}"}}"#,
        ids.chat(),
        facts.created,
        json(facts.model),
        json(&text),
        finish_reason(facts),
        usage(facts.usage),
        ids.fingerprint(),
    )
    .into()
}

/// The chunks around the text of a streamed completion.
pub(crate) fn frame(request: &Request, facts: &AnswerFacts<'_>) -> Frame {
    let mut ids = Ids::new(facts.seed);
    let head = format!(
        r#"{{"id":"{}","object":"chat.completion.chunk","created":{},"model":{},"service_tier":"default","system_fingerprint":"{}","#,
        ids.chat(),
        facts.created,
        json(facts.model),
        ids.fingerprint(),
    );
    let null_usage = if request.include_usage {
        r#","usage":null"#
    } else {
        ""
    };
    let obfuscate = request.obfuscate;
    let chunk = move |head: &str, ordinal: u64, delta: &str, finish_reason: &str| {
        let padding = if obfuscate {
            padding(ordinal)
        } else {
            String::new()
        };
        unnamed(&format!(
            r#"{head}"choices":[{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish_reason}}}]{null_usage}{padding}}}"#
        ))
    };
    let role = r#"{"role":"assistant","content":"","refusal":null}"#;
    let finish_reason = format!("\"{}\"", finish_reason(facts));
    let mut epilogue = vec![chunk(&head, 1, "{}", &finish_reason)];
    if request.include_usage {
        let padding = if obfuscate { padding(2) } else { String::new() };
        let usage = usage(facts.usage);
        epilogue.push(unnamed(&format!(
            r#"{head}"choices":[],"usage":{usage}{padding}}}"#
        )));
    }
    epilogue.push(unnamed("[DONE]"));
    Frame {
        prologue: vec![chunk(&head, 0, role, "null")],
        render: Box::new(move |ordinal, text| {
            chunk(
                &head,
                ordinal,
                &format!(r#"{{"content":{}}}"#, json(text)),
                "null",
            )
        }),
        epilogue,
    }
}

/// The field that hides the length of a chunk's text.
fn padding(ordinal: u64) -> String {
    let lengths = PADDING.len() as u64;
    let length = usize::try_from(ordinal.wrapping_mul(7) % lengths).unwrap_or_default();
    format!(
        r#","obfuscation":"{}""#,
        PADDING.get(..=length).unwrap_or_default()
    )
}
