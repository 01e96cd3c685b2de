//! Writing a request for an upstream.
//!
//! Nothing is to be stored there: `store` is false, and reasoning comes back encrypted, so that the
//! client carries it.

use crate::api::Target;
use crate::chat::{
    USER_BYTES_MAX, choice_word, media_of, parameters, result_text, titled, write_url,
};
use crate::ir::{
    Depth, Effort, Media, Output, Part, Request, Role, Source, ToolChoice, ToolResult,
};
use crate::json::{Array, Object, object};
use crate::losses::Losses;
use crate::models::takes_effort;
use crate::rules::Field;
use crate::seal::SealKind;

/// The least number of output tokens that can be asked for.
const OUTPUT_TOKENS_MIN: u64 = 16;

/// Writes the body.
pub(crate) fn write_request(
    request: &Request<'_>,
    target: &Target<'_>,
    losses: &mut Losses,
    out: &mut Vec<u8>,
) {
    object(out, |body| {
        body.put("model", target.model);
        body.array("input", |input| {
            for turn in &request.turns {
                match turn.role {
                    Role::System => write_message("system", &turn.parts, input),
                    Role::User => write_user(&turn.parts, input),
                    Role::Assistant => write_assistant(&turn.parts, losses, input),
                }
            }
        });
        let max_tokens = target.output_tokens(request.max_output_tokens);
        if max_tokens.is_some_and(|tokens| tokens < OUTPUT_TOKENS_MIN) {
            losses.changed(Field::MaxTokens);
        }
        body.maybe(
            "max_output_tokens",
            max_tokens.map(|tokens| tokens.max(OUTPUT_TOKENS_MIN)),
        )
        .maybe("temperature", request.temperature)
        .maybe("top_p", request.top_p);
        write_tools(request, body);
        write_format(&request.output, body);
        write_reasoning(request, target, losses, body);
        match &request.user {
            Some(user) if user.len() > USER_BYTES_MAX => losses.dropped(Field::User),
            user => {
                body.maybe("safety_identifier", user.as_ref());
            }
        }
        body.put("store", false);
        if request.stream {
            body.put("stream", true);
        }
    });
}

fn write_message(role: &'static str, parts: &[Part<'_>], input: &mut Array<'_>) {
    let parts: Vec<_> = parts.iter().collect();
    write_parts(role, &parts, input);
}

fn write_parts(role: &'static str, parts: &[&Part<'_>], input: &mut Array<'_>) {
    input.object(|item| {
        item.put("type", "message").put("role", role);
        item.array("content", |content| {
            for part in parts {
                write_part(part, content);
            }
        });
    });
}

fn write_part(part: &Part<'_>, content: &mut Array<'_>) {
    match part {
        Part::Text(text) | Part::Refusal(text) => content.object(|object| {
            object.put("type", "input_text").put("text", text);
        }),
        Part::Image(media) => content.object(|object| {
            object.put("type", "input_image").put("detail", "auto");
            write_url(&media.source, "image_url", object);
        }),
        Part::Document(media) => content.object(|object| write_file(media, object)),
        Part::Reasoning { .. } | Part::ToolCall(_) | Part::ToolResult(_) => {}
    }
}

fn write_file(media: &Media<'_>, object: &mut Object<'_>) {
    let name = media.name.as_ref();
    match &media.source {
        Source::Text(text) => {
            object
                .put("type", "input_text")
                .put("text", titled(name, text));
        }
        Source::Url(url) => {
            object.put("type", "input_file").put("file_url", url);
        }
        source @ Source::Base64 { .. } => {
            let name = name.map_or("document.pdf", |name| name);
            object.put("type", "input_file").put("filename", name);
            write_url(source, "file_data", object);
        }
    }
}

/// The results of tools first, one item each, then what the user said.
fn write_user(parts: &[Part<'_>], input: &mut Array<'_>) {
    for part in parts {
        if let Part::ToolResult(result) = part {
            input.object(|item| {
                item.put("type", "function_call_output")
                    .put("call_id", &result.id);
                write_result(result, item);
            });
        }
    }
    let is_said = |part: &&Part<'_>| match part {
        Part::Text(text) => !text.is_empty(),
        Part::ToolResult(_) => false,
        _ => true,
    };
    let said: Vec<_> = parts.iter().filter(is_said).collect();
    if !said.is_empty() {
        write_parts("user", &said, input);
    }
}

fn write_result(result: &ToolResult<'_>, item: &mut Object<'_>) {
    let text = result_text(result);
    let mut media = media_of(result).peekable();
    if media.peek().is_none() {
        item.put("output", &*text);
        return;
    }
    item.array("output", |content| {
        if !text.is_empty() {
            content.object(|object| {
                object.put("type", "input_text").put("text", &*text);
            });
        }
        media.for_each(|part| write_part(part, content));
    });
}

/// Items in the order of the parts; reasoning stands before the call or text that it led to.
fn write_assistant(parts: &[Part<'_>], losses: &mut Losses, input: &mut Array<'_>) {
    for part in parts {
        match part {
            Part::Text(text) | Part::Refusal(text) if text.is_empty() => {}
            Part::Text(text) | Part::Refusal(text) => input.object(|item| {
                item.put("role", "assistant").put("content", text);
            }),
            Part::Reasoning { seal, .. } => {
                let seal = seal
                    .as_ref()
                    .filter(|seal| seal.kind == SealKind::Responses);
                match seal.and_then(|seal| seal.data.split_once(':')) {
                    Some((id, encrypted)) => input.object(|item| {
                        item.put("type", "reasoning")
                            .maybe("id", Some(id).filter(|id| !id.is_empty()))
                            .array("summary", |_| {})
                            .put("encrypted_content", encrypted);
                    }),
                    None => losses.dropped(Field::ForeignReasoning),
                }
            }
            Part::ToolCall(call) => input.object(|item| {
                item.put("type", "function_call")
                    .put("call_id", &call.id)
                    .put("name", &call.name)
                    .text_of("arguments", &call.arguments);
            }),
            Part::Image(_) | Part::Document(_) | Part::ToolResult(_) => {}
        }
    }
}

/// Functions are strict here unless they say otherwise.
fn write_tools(request: &Request<'_>, body: &mut Object<'_>) {
    if request.tools.is_empty() {
        return;
    }
    body.array("tools", |tools| {
        for tool in &request.tools {
            tools.object(|object| {
                object
                    .put("type", "function")
                    .put("name", &tool.name)
                    .maybe("description", tool.description.as_ref())
                    .put("parameters", &*parameters(tool))
                    .put("strict", tool.strict.unwrap_or(false));
            });
        }
    });
    let choice = request.tool_choice.as_ref();
    body.maybe("tool_choice", choice.and_then(choice_word));
    if let Some(ToolChoice::Named(name)) = choice {
        body.object("tool_choice", |choice| {
            choice.put("type", "function").put("name", name);
        });
    }
    let is_serial = request.parallel_tool_calls.filter(|parallel| !parallel);
    body.maybe("parallel_tool_calls", is_serial);
}

fn write_format(output: &Output<'_>, body: &mut Object<'_>) {
    let mut format = |members: &dyn Fn(&mut Object<'_>)| {
        body.object("text", |text| {
            text.object("format", members);
        });
    };
    match output {
        Output::Text => {}
        Output::JsonObject => format(&|format| {
            format.put("type", "json_object");
        }),
        Output::JsonSchema {
            name,
            description,
            schema,
            strict,
        } => format(&|format| {
            format
                .put("type", "json_schema")
                .put("name", name.as_ref().map_or("answer", |name| name))
                .maybe("description", description.as_ref())
                .put("schema", &**schema)
                .maybe("strict", *strict);
        }),
    }
}

/// Models that do not reason refuse to be asked for it, and for what they would seal.
fn write_reasoning(
    request: &Request<'_>,
    target: &Target<'_>,
    losses: &mut Losses,
    body: &mut Object<'_>,
) {
    if !takes_effort(target.model) {
        if request
            .reasoning
            .is_some_and(|wish| wish.depth != Depth::Off)
        {
            losses.dropped(Field::Reasoning);
        }
        return;
    }
    if let Some(wish) = request.reasoning {
        let effort = match wish.depth {
            Depth::Off => Some("none"),
            depth => depth.effort().map(Effort::name),
        };
        let summary = wish.is_shown.then_some("auto");
        if effort.is_some() || summary.is_some() {
            body.object("reasoning", |reasoning| {
                reasoning.maybe("effort", effort).maybe("summary", summary);
            });
        }
    }
    body.array("include", |include| {
        include.put("reasoning.encrypted_content");
    });
}
