//! Whole answers.

use super::content::{parts_of, read_call, read_reasoning};
use super::items::{self, Called, TextPart, item_id};
use super::shapes::{IncompleteDetails, Item, Response, Usage as RawUsage, UsageDetails};
use crate::answer::Settings;
use crate::error::Failure;
use crate::ir::{Answer, Part, Stop, ToolCall, Usage};
use crate::json::{Array, Count, Object, object, read_object};
use crate::namespaces::NamespacedTool;

/// Reads an upstream's answer.
pub(crate) fn read_answer(body: &[u8]) -> Result<Answer<'_>, Failure> {
    let response: Response<'_> = read_object(body).map_err(|_| Failure::unreadable())?;
    if response.error.is_some() || response.status.as_deref() == Some("failed") {
        return Err(Failure::read(None, body));
    }
    let Some(output) = response.output else {
        return Err(Failure::unreadable());
    };
    let stop = read_stop(
        response.status.as_deref(),
        response.incomplete_details.as_ref(),
    )?;
    let mut parts = Vec::new();
    for item in output {
        read_item(item, &mut parts);
    }
    Ok(Answer {
        id: response.id.unwrap_or_default(),
        model: response.model.unwrap_or_default(),
        parts,
        stop,
        usage: response
            .usage
            .map(|usage| read_usage(&usage))
            .unwrap_or_default(),
    }
    .with_told_stop())
}

/// Why the answer stopped; an error for one that is not over.
pub(super) fn read_stop(
    status: Option<&str>,
    details: Option<&IncompleteDetails<'_>>,
) -> Result<Stop<'static>, Failure> {
    match status {
        Some("completed") | None => Ok(Stop::EndTurn),
        Some("incomplete") => {
            let reason = details.and_then(|details| details.reason.as_deref());
            Ok(match reason {
                Some("content_filter") => Stop::Refusal,
                Some("steered") => Stop::Pause,
                _ => Stop::MaxTokens,
            })
        }
        Some(_) => Err(Failure::unreadable()),
    }
}

/// Calls of tools that OpenAI ran itself are left out: the text tells what they gave.
fn read_item<'a>(item: Item<'a>, parts: &mut Vec<Part<'a>>) {
    match item.kind.as_deref() {
        Some("message") => {
            for part in parts_of(item.content) {
                match part.kind.as_deref() {
                    Some("refusal") => parts.extend(part.refusal.map(Part::Refusal)),
                    _ => parts.extend(part.text.map(Part::Text)),
                }
            }
        }
        Some("reasoning") => {
            let part = read_reasoning(item);
            // Neither shown nor sealed: of no use to anybody.
            let is_empty = matches!(&part, Part::Reasoning { text, seal: Some(seal) }
                if text.is_empty() && seal.data.is_empty());
            parts.extend(Some(part).filter(|_| !is_empty));
        }
        Some("function_call") => parts.push(Part::ToolCall(read_call(item).0)),
        _ => {}
    }
}

pub(super) fn read_usage(usage: &RawUsage<'_>) -> Usage {
    let get = |count: Option<Count>| count.unwrap_or_default().get();
    let input = usage.input_tokens_details.as_ref();
    let output = usage.output_tokens_details.as_ref();
    let pick = |details: Option<&UsageDetails<'_>>,
                pick: fn(&UsageDetails<'_>) -> Option<Count>| {
        get(details.and_then(pick))
    };
    let read = Usage::from_inclusive(
        get(usage.input_tokens),
        pick(input, |details| details.cached_tokens),
        pick(input, |details| details.cache_write_tokens),
        get(usage.output_tokens),
    );
    Usage {
        reasoning: pick(output, |details| details.reasoning_tokens),
        ..read
    }
}

/// Writes the answer for a client.
pub(crate) fn write_answer(answer: &Answer<'_>, settings: &Settings<'_>, out: &mut Vec<u8>) {
    let has_refusal = answer.has_refusal();
    let head = Head {
        id: settings.id(&answer.id),
        model: settings.model(&answer.model),
        created_unix_s: settings.created_unix_s,
    };
    object(out, |response| {
        write_response(
            response,
            &head,
            State::over(&answer.stop, has_refusal),
            |output| {
                write_output(&answer.parts, head.id, settings.namespaced, output);
            },
        );
        response.object("usage", |usage| write_usage(&answer.usage, usage));
    });
}

/// What stays the same throughout an answer.
pub(super) struct Head<'h> {
    pub(super) id: &'h str,
    pub(super) model: &'h str,
    pub(super) created_unix_s: u64,
}

/// How far an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    InProgress,
    Completed,
    Incomplete(&'static str),
}

impl State {
    pub(super) fn over(stop: &Stop<'_>, has_refusal: bool) -> Self {
        match stop {
            Stop::MaxTokens | Stop::ContextWindow => Self::Incomplete("max_output_tokens"),
            // Declined in words of its own, the answer is whole.
            Stop::Refusal if !has_refusal => Self::Incomplete("content_filter"),
            _ => Self::Completed,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete(_) => "incomplete",
        }
    }
}

/// A response, all but its usage. SDKs expect its settings to be there, so they are, with the
/// values that say nothing.
pub(super) fn write_response(
    response: &mut Object<'_>,
    head: &Head<'_>,
    state: State,
    output: impl FnOnce(&mut Array<'_>),
) {
    response
        .put("id", head.id)
        .put("object", "response")
        .put("created_at", head.created_unix_s)
        .put("status", state.name())
        .null("error");
    match state {
        State::Incomplete(reason) => response.object("incomplete_details", |details| {
            details.put("reason", reason);
        }),
        State::InProgress | State::Completed => response.null("incomplete_details"),
    };
    response
        .null("instructions")
        .null("max_output_tokens")
        .object("metadata", |_| {})
        .put("model", head.model)
        .array("output", output)
        .put("parallel_tool_calls", true)
        .null("previous_response_id")
        .object("reasoning", |reasoning| {
            reasoning.null("effort").null("summary");
        })
        .put("store", false)
        .null("temperature")
        .object("text", |text| {
            text.object("format", |format| {
                format.put("type", "text");
            });
        })
        .put("tool_choice", "auto")
        .array("tools", |_| {})
        .null("top_p")
        .put("truncation", "disabled");
}

fn write_output(
    parts: &[Part<'_>],
    answer_id: &str,
    namespaced: &[NamespacedTool],
    output: &mut Array<'_>,
) {
    let mut index = 0;
    let mut item = |kind: &str, members: &dyn Fn(&mut Object<'_>, &str)| {
        let id = item_id(kind, answer_id, index);
        index += 1;
        output.object(|object| members(object, &id));
    };
    for part in parts {
        match part {
            Part::Text(text) | Part::Refusal(text) if text.is_empty() => {}
            Part::Text(text) => item("msg", &|object, id| {
                items::message(object, id, "completed", Some((TextPart::Text, text)));
            }),
            Part::Refusal(text) => item("msg", &|object, id| {
                items::message(object, id, "completed", Some((TextPart::Refusal, text)));
            }),
            Part::Reasoning { text, seal } => item("rs", &|object, id| {
                items::reasoning(object, id, text, seal.as_ref());
            }),
            Part::ToolCall(call) => {
                let ToolCall {
                    id: call_id,
                    name,
                    arguments,
                    seal,
                } = call;
                if let Some(seal) = seal {
                    // A call has no slot for a seal: it goes before it, as reasoning not shown.
                    item("rs", &|object, id| {
                        items::reasoning(object, id, "", Some(seal));
                    });
                }
                let called = Called {
                    id: call_id,
                    name,
                    namespaced,
                };
                item("fc", &|object, id| {
                    items::call(object, id, "completed", called, arguments.get());
                });
            }
            Part::Image(_) | Part::Document(_) | Part::ToolResult(_) => {}
        }
    }
}

pub(super) fn write_usage(usage: &Usage, object: &mut Object<'_>) {
    object
        .put("input_tokens", usage.total_input())
        .object("input_tokens_details", |details| {
            details
                .put("cached_tokens", usage.cache_read)
                .put("cache_write_tokens", usage.cache_write);
        })
        .put("output_tokens", usage.output)
        .object("output_tokens_details", |details| {
            details.put("reasoning_tokens", usage.reasoning);
        })
        .put("total_tokens", usage.total());
}
