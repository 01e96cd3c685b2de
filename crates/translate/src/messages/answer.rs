//! Whole answers.

use std::borrow::Cow;

use super::shapes;
use super::write::write_part;
use crate::answer::Settings;
use crate::error::Failure;
use crate::ir::{Answer, Part, Stop, ToolCall, Usage};
use crate::json::{Object, Str, object, read_object, static_json};
use crate::seal::{Seal, SealKind};

/// Reads an upstream's answer.
pub(crate) fn read_answer(body: &[u8]) -> Result<Answer<'_>, Failure> {
    let answer: shapes::Answer<'_> = read_object(body).map_err(|_| Failure::unreadable())?;
    if answer.kind.as_deref() == Some("error") {
        return Err(Failure::read(None, body));
    }
    let Some(blocks) = answer.content else {
        return Err(Failure::unreadable());
    };
    Ok(Answer {
        id: answer.id.unwrap_or_default(),
        model: answer.model.unwrap_or_default(),
        parts: blocks.into_iter().filter_map(read_block).collect(),
        stop: read_stop(answer.stop_reason.as_deref(), answer.stop_sequence),
        usage: answer
            .usage
            .map(|usage| read_usage(&usage))
            .unwrap_or_default(),
    })
}

/// Calls and results of tools that Anthropic ran itself are left out: the text tells what they
/// gave.
fn read_block(block: shapes::Block<'_>) -> Option<Part<'_>> {
    Some(match block.kind.as_deref()? {
        "text" => Part::Text(block.text.unwrap_or_default()),
        "thinking" => Part::Reasoning {
            text: block.thinking.unwrap_or_default(),
            seal: Some(Seal {
                kind: SealKind::Anthropic,
                data: block.signature.unwrap_or_default(),
            }),
        },
        "redacted_thinking" => Part::Reasoning {
            text: Str::default(),
            seal: Some(Seal {
                kind: SealKind::Redacted,
                data: block.data.unwrap_or_default(),
            }),
        },
        "tool_use" => Part::ToolCall(ToolCall {
            id: block.id.unwrap_or_default(),
            name: block.name.unwrap_or_default(),
            arguments: block.input.map_or_else(|| static_json("{}"), Cow::Borrowed),
            seal: None,
        }),
        _ => return None,
    })
}

pub(super) fn read_stop<'a>(reason: Option<&str>, sequence: Option<Str<'a>>) -> Stop<'a> {
    match reason {
        Some("max_tokens") => Stop::MaxTokens,
        Some("stop_sequence") => Stop::Sequence(sequence),
        Some("tool_use") => Stop::ToolUse,
        Some("refusal") => Stop::Refusal,
        Some("pause_turn") => Stop::Pause,
        Some("model_context_window_exceeded") => Stop::ContextWindow,
        _ => Stop::EndTurn,
    }
}

pub(super) fn read_usage(usage: &shapes::Usage<'_>) -> Usage {
    let details = usage.output_tokens_details.as_ref();
    let thinking = details.and_then(|details| details.thinking_tokens);
    let get = |count: Option<crate::json::Count>| count.unwrap_or_default().get();
    Usage {
        input: get(usage.input_tokens),
        cache_read: get(usage.cache_read_input_tokens),
        cache_write: get(usage.cache_creation_input_tokens),
        output: get(usage.output_tokens),
        reasoning: get(thinking),
    }
}

/// Writes the answer for a client.
pub(crate) fn write_answer(answer: &Answer<'_>, settings: &Settings<'_>, out: &mut Vec<u8>) {
    object(out, |message| {
        message
            .put("id", settings.id(&answer.id))
            .put("type", "message")
            .put("role", "assistant")
            .put("model", settings.model(&answer.model));
        message.array("content", |content| {
            for part in &answer.parts {
                let is_empty =
                    matches!(part, Part::Text(text) | Part::Refusal(text) if text.is_empty());
                if let Part::ToolCall(ToolCall {
                    seal: Some(seal), ..
                }) = part
                {
                    // A call has no slot for a seal: it goes before it, as thinking not shown.
                    let (text, seal) = (Str::default(), Some(seal.by_ref()));
                    write_part(&Part::Reasoning { text, seal }, content);
                }
                if !is_empty {
                    write_part(part, content);
                }
            }
        });
        write_stop(&answer.stop, message);
        message.object("usage", |usage| write_usage(&answer.usage, usage));
    });
}

pub(super) fn write_stop(stop: &Stop<'_>, object: &mut Object<'_>) {
    let (reason, sequence) = match stop {
        Stop::EndTurn | Stop::Sequence(None) => ("end_turn", None),
        Stop::Sequence(Some(sequence)) => ("stop_sequence", Some(sequence)),
        Stop::MaxTokens => ("max_tokens", None),
        Stop::ContextWindow => ("model_context_window_exceeded", None),
        Stop::ToolUse => ("tool_use", None),
        Stop::Refusal => ("refusal", None),
        Stop::Pause => ("pause_turn", None),
    };
    object
        .put("stop_reason", reason)
        .put("stop_sequence", sequence);
}

pub(super) fn write_usage(usage: &Usage, object: &mut Object<'_>) {
    object
        .put("input_tokens", usage.input)
        .put("cache_creation_input_tokens", usage.cache_write)
        .put("cache_read_input_tokens", usage.cache_read)
        .put("output_tokens", usage.output);
    if usage.reasoning > 0 {
        object.object("output_tokens_details", |details| {
            details.put("thinking_tokens", usage.reasoning);
        });
    }
}
