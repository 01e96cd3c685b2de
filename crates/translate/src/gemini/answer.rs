//! Whole answers.

use std::borrow::Cow;

use super::content::seal_of;
use super::shapes::{Candidate, Part as RawPart, Response, UsageMetadata};
use super::write::write_call;
use crate::answer::Settings;
use crate::chat::made_id;
use crate::error::Failure;
use crate::ir::{Answer, Part, Stop, ToolCall, Usage};
use crate::json::{Array, Count, Object, Str, object, read_object, static_json};
use crate::seal::{Seal, SealKind};

/// Reads an upstream's answer.
pub(crate) fn read_answer<'a>(
    body: &'a [u8],
    settings: &Settings<'_>,
) -> Result<Answer<'a>, Failure> {
    let response: Response<'_> = read_object(body).map_err(|_| Failure::unreadable())?;
    if response.error.is_some() {
        return Err(Failure::read(None, body));
    }
    let id = response.id.unwrap_or_default();
    let blocked = response
        .prompt_feedback
        .and_then(|feedback| feedback.block_reason);
    let candidate = response.candidates.unwrap_or_default().into_iter().next();
    let (parts, stop) = match (candidate, blocked) {
        (Some(candidate), _) => {
            let stop = read_stop(&candidate)?;
            (read_parts(candidate, settings.id(&id))?, stop)
        }
        (None, Some(_)) => (Vec::new(), Stop::Refusal),
        (None, None) => return Err(Failure::unreadable()),
    };
    let usage = response.usage_metadata.map(|usage| read_usage(&usage));
    Ok(Answer {
        id,
        model: response.model_version.unwrap_or_default(),
        parts,
        stop,
        usage: usage.unwrap_or_default(),
    }
    .with_told_stop())
}

fn read_parts<'a>(candidate: Candidate<'a>, answer_id: &str) -> Result<Vec<Part<'a>>, Failure> {
    let content = candidate.content.unwrap_or_default();
    let mut parts = Vec::new();
    let mut calls = 0;
    for part in content.parts.unwrap_or_default() {
        check_part(&part)?;
        let seal = seal_of(part.thought_signature);
        let text = part.text.unwrap_or_default();
        if let Some(call) = part.function_call {
            let id = call.id.filter(|id| !id.is_empty());
            parts.push(Part::ToolCall(ToolCall {
                id: id.unwrap_or_else(|| made_id(answer_id, calls).into()),
                name: call.name.unwrap_or_default(),
                arguments: call.args.map_or_else(|| static_json("{}"), Cow::Borrowed),
                seal,
            }));
            calls += 1;
        } else if part.thought == Some(true) {
            let seal = seal.or_else(|| Some(Seal::empty(SealKind::Gemini)));
            parts.push(Part::Reasoning { text, seal });
        } else {
            if !text.is_empty() {
                parts.push(Part::Text(text));
            }
            if seal.is_some() {
                let text = Str::default();
                parts.push(Part::Reasoning { text, seal });
            }
        }
    }
    Ok(parts)
}

/// An answer may hold what no other API has a place for; without it the answer is not whole.
pub(super) fn check_part(part: &RawPart<'_>) -> Result<(), Failure> {
    let calls = part.function_call.as_ref();
    let is_partial = calls.is_some_and(|call| call.partial_args.is_some());
    if part.inline_data.is_some() || part.file_data.is_some() || is_partial {
        return Err(Failure::own(
            502,
            "answer_not_translatable",
            "the answer holds media, which the client's API has no place for",
        ));
    }
    Ok(())
}

/// Why the answer stopped. Where the model failed there is no answer.
pub(super) fn read_stop(candidate: &Candidate<'_>) -> Result<Stop<'static>, Failure> {
    match candidate.finish_reason.as_deref() {
        Some("STOP" | "FINISH_REASON_UNSPECIFIED") | None => Ok(Stop::EndTurn),
        Some("MAX_TOKENS") => Ok(Stop::MaxTokens),
        Some("CONTINUATION") => Ok(Stop::Pause),
        Some(
            "SAFETY"
            | "RECITATION"
            | "LANGUAGE"
            | "BLOCKLIST"
            | "PROHIBITED_CONTENT"
            | "SPII"
            | "IMAGE_SAFETY"
            | "IMAGE_PROHIBITED_CONTENT"
            | "IMAGE_RECITATION"
            | "MODEL_ARMOR",
        ) => Ok(Stop::Refusal),
        Some(reason) => {
            let message = candidate.finish_message.as_deref();
            let message = message.unwrap_or("the model gave up without an answer");
            Err(Failure::own(502, reason, &keypool_wire::excerpt(message)))
        }
    }
}

pub(super) fn read_usage(usage: &UsageMetadata<'_>) -> Usage {
    let get = |count: Option<Count>| count.unwrap_or_default().get();
    let prompt = get(usage.prompt_token_count);
    let thoughts = get(usage.thoughts_token_count);
    let read = Usage::from_inclusive(
        prompt.saturating_add(get(usage.tool_use_prompt_token_count)),
        get(usage.cached_content_token_count),
        0,
        get(usage.candidates_token_count).saturating_add(thoughts),
    );
    Usage {
        reasoning: thoughts,
        ..read
    }
}

/// Writes the answer for a client.
pub(crate) fn write_answer(answer: &Answer<'_>, settings: &Settings<'_>, out: &mut Vec<u8>) {
    object(out, |response| {
        response.array("candidates", |candidates| {
            candidates.object(|candidate| {
                candidate.object("content", |content| {
                    content
                        .array("parts", |list| write_parts(&answer.parts, list))
                        .put("role", "model");
                });
                candidate
                    .put("finishReason", finish_reason(&answer.stop))
                    .put("index", 0_u64);
            });
        });
        response
            .object("usageMetadata", |usage| write_usage(&answer.usage, usage))
            .put("modelVersion", settings.model(&answer.model))
            .put("responseId", settings.id(&answer.id));
    });
}

fn write_parts(parts: &[Part<'_>], list: &mut Array<'_>) {
    for part in parts {
        match part {
            Part::Text(text) | Part::Refusal(text) if text.is_empty() => {}
            Part::Text(text) | Part::Refusal(text) => list.object(|object| {
                object.put("text", text);
            }),
            Part::Reasoning { text, seal } => list.object(|object| {
                write_thought(text, seal.as_ref(), object);
            }),
            Part::ToolCall(call) => list.object(|object| {
                write_call(call, object);
                let seal = call.seal.as_ref();
                let signature = seal.and_then(|seal| seal.for_base64_slot(SealKind::Gemini));
                object.maybe("thoughtSignature", signature.as_deref());
            }),
            Part::Image(_) | Part::Document(_) | Part::ToolResult(_) => {}
        }
    }
}

/// Reasoning, as far as it is shown, and its seal for the client to bring back.
pub(super) fn write_thought(text: &str, seal: Option<&Seal<'_>>, part: &mut Object<'_>) {
    let signature = seal.and_then(|seal| seal.for_base64_slot(SealKind::Gemini));
    part.put("text", text)
        .put("thought", true)
        .maybe("thoughtSignature", signature.as_deref());
}

pub(super) const fn finish_reason(stop: &Stop<'_>) -> &'static str {
    match stop {
        Stop::EndTurn | Stop::Sequence(_) | Stop::ToolUse | Stop::Pause => "STOP",
        Stop::MaxTokens | Stop::ContextWindow => "MAX_TOKENS",
        Stop::Refusal => "SAFETY",
    }
}

pub(super) fn write_usage(usage: &Usage, object: &mut Object<'_>) {
    object
        .put("promptTokenCount", usage.total_input())
        .put("cachedContentTokenCount", usage.cache_read)
        .put(
            "candidatesTokenCount",
            usage.output.saturating_sub(usage.reasoning),
        )
        .put("thoughtsTokenCount", usage.reasoning)
        .put("totalTokenCount", usage.total());
}
