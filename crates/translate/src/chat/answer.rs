//! Whole answers.

use super::read::{read_call, reasoning_parts};
use super::shapes::{self, Message, UsageDetails};
use super::write::{write_call, write_signature};
use crate::answer::Settings;
use crate::error::Failure;
use crate::ir::{Answer, Part, Stop, ToolCall, Usage};
use crate::json::{Array, Count, Object, OneOrMany, Str, object, read_object};
use crate::seal::{Seal, SealKind};

/// Reads an upstream's answer.
pub(crate) fn read_answer(body: &[u8]) -> Result<Answer<'_>, Failure> {
    let answer: shapes::Answer<'_> = read_object(body).map_err(|_| Failure::unreadable())?;
    if answer.error.is_some() {
        return Err(Failure::read(None, body));
    }
    let choices = answer.choices.unwrap_or_default();
    let Some(choice) = choices.into_iter().next() else {
        return Err(Failure::unreadable());
    };
    // OpenRouter tells failures of its providers within the choice.
    if let Some(error) = choice.error {
        return Err(Failure::read(None, error.get().as_bytes()));
    }
    let id = answer.id.unwrap_or_default();
    let parts = read_message(choice.message.unwrap_or_default(), &id);
    let stop = read_stop(choice.finish_reason.as_deref());
    Ok(Answer {
        id,
        model: answer.model.unwrap_or_default(),
        parts,
        stop,
        usage: answer
            .usage
            .map(|usage| read_usage(&usage))
            .unwrap_or_default(),
    }
    .with_told_stop())
}

fn read_message<'a>(message: Message<'a>, answer_id: &str) -> Vec<Part<'a>> {
    let shown = message.reasoning_content.or(message.reasoning);
    let mut parts = reasoning_parts(message.reasoning_details.unwrap_or_default(), shown);
    match message.content {
        None | Some(OneOrMany::Other) => {}
        Some(OneOrMany::One(text)) => parts.push(Part::Text(text)),
        Some(OneOrMany::Many(many)) => {
            parts.extend(
                many.into_iter()
                    .filter_map(|part| part.text)
                    .map(Part::Text),
            );
        }
    }
    parts.extend(message.refusal.map(Part::Refusal));
    let calls = message.tool_calls.unwrap_or_default();
    for (at, call) in calls.into_iter().enumerate() {
        let (mut call, _) = read_call(call);
        if call.id.is_empty() {
            call.id = made_id(answer_id, at).into();
        }
        parts.push(Part::ToolCall(call));
    }
    parts.retain(|part| !matches!(part, Part::Text(text) | Part::Refusal(text) if text.is_empty()));
    parts
}

/// An id for a call that has none. It must differ from those of other answers.
pub(crate) fn made_id(answer_id: &str, at: usize) -> String {
    format!("call_{answer_id}_{at}")
}

pub(super) fn read_stop(reason: Option<&str>) -> Stop<'static> {
    match reason {
        Some("length") => Stop::MaxTokens,
        Some("tool_calls" | "function_call") => Stop::ToolUse,
        Some("content_filter") => Stop::Refusal,
        _ => Stop::EndTurn,
    }
}

pub(super) fn read_usage(usage: &shapes::Usage<'_>) -> Usage {
    let get = |count: Option<Count>| count.unwrap_or_default();
    let detail = |details: &Option<UsageDetails<'_>>,
                  pick: fn(&UsageDetails<'_>) -> Option<Count>| {
        get(details.as_ref().and_then(pick))
    };
    let cached = detail(&usage.prompt_tokens_details, |details| {
        details.cached_tokens
    });
    let written = detail(&usage.prompt_tokens_details, |details| {
        details.cache_write_tokens
    });
    let reasoned = detail(&usage.completion_tokens_details, |details| {
        details.reasoning_tokens
    });
    let read = Usage::from_inclusive(
        get(usage.prompt_tokens).get(),
        cached.or(get(usage.prompt_cache_hit_tokens)).get(),
        written.get(),
        get(usage.completion_tokens).get(),
    );
    Usage {
        reasoning: reasoned.get(),
        ..read
    }
}

/// Writes the answer for a client.
pub(crate) fn write_answer(answer: &Answer<'_>, settings: &Settings<'_>, out: &mut Vec<u8>) {
    let has_refusal = answer.has_refusal();
    object(out, |completion| {
        completion
            .put("id", settings.id(&answer.id))
            .put("object", "chat.completion")
            .put("created", settings.created_unix_s)
            .put("model", settings.model(&answer.model));
        completion.array("choices", |choices| {
            choices.object(|choice| {
                choice
                    .put("index", 0_u64)
                    .object("message", |message| write_message(answer, message))
                    .null("logprobs")
                    .put("finish_reason", finish_reason(&answer.stop, has_refusal));
            });
        });
        completion.object("usage", |usage| write_usage(&answer.usage, usage));
    });
}

fn write_message(answer: &Answer<'_>, message: &mut Object<'_>) {
    let mut text = String::new();
    let mut refusal = String::new();
    let mut reasoning = String::new();
    let mut sealed: Vec<(&Str<'_>, &Seal<'_>)> = Vec::new();
    let mut calls: Vec<&ToolCall<'_>> = Vec::new();
    for part in &answer.parts {
        match part {
            Part::Text(part) => text.push_str(part),
            Part::Refusal(part) => refusal.push_str(part),
            Part::Reasoning { text, seal } => {
                reasoning.push_str(text);
                let seal = seal.as_ref().filter(|seal| seal.kind != SealKind::Chat);
                sealed.extend(seal.map(|seal| (text, seal)));
            }
            Part::ToolCall(call) => calls.push(call),
            Part::Image(_) | Part::Document(_) | Part::ToolResult(_) => {}
        }
    }
    let filled = |text: String| Some(text).filter(|text| !text.is_empty());
    message
        .put("role", "assistant")
        .put("content", filled(text))
        .put("refusal", filled(refusal))
        .maybe("reasoning_content", filled(reasoning));
    if !sealed.is_empty() {
        message.array("reasoning_details", |details| {
            for (text, seal) in sealed {
                write_detail(Some(text), seal, details);
            }
        });
    }
    if !calls.is_empty() {
        message.array("tool_calls", |list| {
            for call in calls {
                list.object(|object| {
                    write_call(call, false, object);
                    if let Some(seal) = &call.seal {
                        write_signature(&seal.data, object);
                    }
                });
            }
        });
    }
}

/// Sealed reasoning, for the client to bring back.
pub(super) fn write_detail(text: Option<&str>, seal: &Seal<'_>, details: &mut Array<'_>) {
    let mark = seal.for_slot(SealKind::Chat).unwrap_or_default();
    details.object(|detail| {
        if seal.kind == SealKind::Redacted {
            detail
                .put("type", "reasoning.encrypted")
                .put("data", &*mark);
        } else {
            detail
                .put("type", "reasoning.text")
                .maybe("text", text)
                .put("signature", &*mark);
        }
    });
}

/// An answer declined in words of its own is whole; SDKs take `content_filter` for a failure.
pub(super) const fn finish_reason(stop: &Stop<'_>, has_refusal: bool) -> &'static str {
    match stop {
        Stop::Refusal if has_refusal => "stop",
        Stop::EndTurn | Stop::Sequence(_) | Stop::Pause => "stop",
        Stop::MaxTokens | Stop::ContextWindow => "length",
        Stop::ToolUse => "tool_calls",
        Stop::Refusal => "content_filter",
    }
}

pub(super) fn write_usage(usage: &Usage, object: &mut Object<'_>) {
    object
        .put("prompt_tokens", usage.total_input())
        .put("completion_tokens", usage.output)
        .put("total_tokens", usage.total())
        .object("prompt_tokens_details", |details| {
            details
                .put("cached_tokens", usage.cache_read)
                .put("cache_write_tokens", usage.cache_write);
        })
        .object("completion_tokens_details", |details| {
            details.put("reasoning_tokens", usage.reasoning);
        });
}
