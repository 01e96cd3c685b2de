//! Writing a request for an upstream.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::thinking::Settings;
use crate::api::Target;
use crate::ir::{
    Media, Output, Part, Request, Role, Source, Tool, ToolCall, ToolChoice, ToolResult,
};
use crate::json::{Array, Object, object, static_json};
use crate::losses::Losses;
use crate::rules::Field;
use crate::seal::SealKind;

/// Writes the body.
pub(crate) fn write_request(
    request: &Request<'_>,
    target: &Target<'_>,
    losses: &mut Losses,
    out: &mut Vec<u8>,
) {
    let max_tokens = max_tokens(request, target);
    object(out, |body| {
        body.put("model", target.model)
            .put("max_tokens", max_tokens);
        write_system(request, body);
        body.array("messages", |messages| {
            write_messages(request, messages, losses);
        });
        if !request.tools.is_empty() {
            body.array("tools", |tools| {
                for tool in &request.tools {
                    write_tool(tool, tools);
                }
            });
            write_choice(request, body);
        }
        let settings = Settings::choose(request, target, max_tokens, losses);
        settings.write(body);
        write_output(request, &settings, body);
        write_stop(request, losses, body);
        if let Some(user) = &request.user {
            body.object("metadata", |metadata| {
                metadata.put("user_id", user);
            });
        }
        if request.stream {
            body.put("stream", true);
        }
    });
}

/// The API demands a figure. One that we choose leaves room for the thinking beside the answer.
pub(crate) fn max_tokens(request: &Request<'_>, target: &Target<'_>) -> u64 {
    let wish = request.max_output_tokens.unwrap_or_else(|| {
        let budget = request
            .reasoning
            .and_then(|reasoning| reasoning.depth.budget_tokens());
        target
            .output_tokens_default
            .saturating_add(budget.unwrap_or(0))
    });
    target.output_tokens(Some(wish)).unwrap_or(wish)
}

/// All instructions go to the front: only the newest models take them elsewhere.
fn write_system(request: &Request<'_>, body: &mut Object<'_>) {
    let mut texts = request.system_texts().peekable();
    if texts.peek().is_none() {
        return;
    }
    body.array("system", |system| {
        for text in texts {
            system.object(|block| {
                block.put("type", "text").put("text", text);
            });
        }
    });
}

fn write_messages(request: &Request<'_>, messages: &mut Array<'_>, losses: &mut Losses) {
    let dialogue = request.dialogue();
    if let Some((Role::Assistant, _)) = dialogue.first() {
        losses.changed(Field::AssistantFirst);
        messages.object(|message| {
            message.put("role", "user").put("content", "…");
        });
    }
    for (role, parts) in dialogue {
        // Results first: a text before them would stand between a call and its result.
        let is_result = |part: &&&Part<'_>| matches!(part, Part::ToolResult(_));
        let results = parts.iter().filter(is_result);
        let others = parts.iter().filter(|part| !is_result(part));
        let parts: Vec<_> = results
            .chain(others)
            .copied()
            .filter(|p| is_kept(p, losses))
            .collect();
        if parts.is_empty() {
            continue;
        }
        messages.object(|message| {
            message.put(
                "role",
                if role == Role::User {
                    "user"
                } else {
                    "assistant"
                },
            );
            message.array("content", |content| {
                for part in parts {
                    write_part(part, content);
                }
            });
        });
    }
}

/// Blank texts are refused upstream; reasoning goes back to its maker only, whole or not at all.
fn is_kept(part: &Part<'_>, losses: &mut Losses) -> bool {
    match part {
        Part::Text(text) | Part::Refusal(text) => !text.trim().is_empty(),
        Part::Reasoning { seal, .. } => {
            let kind = seal.as_ref().map(|seal| seal.kind);
            let is_own = matches!(kind, Some(SealKind::Anthropic | SealKind::Redacted));
            if !is_own {
                losses.dropped(Field::ForeignReasoning);
            }
            is_own
        }
        _ => true,
    }
}

pub(super) fn write_part(part: &Part<'_>, content: &mut Array<'_>) {
    match part {
        Part::Text(text) | Part::Refusal(text) => content.object(|block| {
            block.put("type", "text").put("text", text);
        }),
        Part::Reasoning { text, seal } => content.object(|block| match seal {
            Some(seal) if seal.kind == SealKind::Redacted => {
                block
                    .put("type", "redacted_thinking")
                    .put("data", &seal.data);
            }
            seal => {
                let signature = seal
                    .as_ref()
                    .and_then(|seal| seal.for_slot(SealKind::Anthropic));
                block
                    .put("type", "thinking")
                    .put("thinking", text)
                    .put("signature", signature.as_deref().unwrap_or_default());
            }
        }),
        Part::Image(media) => content.object(|block| write_image(media, block)),
        Part::Document(media) => content.object(|block| write_document(media, block)),
        Part::ToolCall(call) => content.object(|block| write_call(call, block)),
        Part::ToolResult(result) => content.object(|block| write_result(result, block)),
    }
}

fn write_image(media: &Media<'_>, block: &mut Object<'_>) {
    block.put("type", "image");
    write_source(&media.source, block);
}

fn write_document(media: &Media<'_>, block: &mut Object<'_>) {
    block.put("type", "document");
    match &media.source {
        // Only PDFs are taken as base64.
        Source::Base64 { media_type, data } if media_type.starts_with("text/") => {
            let text = STANDARD.decode(data.as_bytes()).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            write_source(&Source::Text((&*text).into()), block);
        }
        source => write_source(source, block),
    }
    block.maybe("title", media.name.as_ref());
}

fn write_source(source: &Source<'_>, block: &mut Object<'_>) {
    block.object("source", |object| match source {
        Source::Base64 { media_type, data } => {
            object
                .put("type", "base64")
                .put("media_type", media_type)
                .put("data", data);
        }
        Source::Url(url) => {
            object.put("type", "url").put("url", url);
        }
        Source::Text(text) => {
            object
                .put("type", "text")
                .put("media_type", "text/plain")
                .put("data", text);
        }
    });
}

fn write_call(call: &ToolCall<'_>, block: &mut Object<'_>) {
    block
        .put("type", "tool_use")
        .put("id", &*accepted_id(&call.id))
        .put("name", &call.name)
        .put("input", &*call.arguments);
}

fn write_result(result: &ToolResult<'_>, block: &mut Object<'_>) {
    block
        .put("type", "tool_result")
        .put("tool_use_id", &*accepted_id(&result.id));
    match result.content.as_slice() {
        [] => {}
        [Part::Text(text)] => {
            block.put("content", text);
        }
        parts => {
            let is_blank =
                |part: &&Part<'_>| matches!(part, Part::Text(text) if text.trim().is_empty());
            block.array("content", |content| {
                for part in parts.iter().filter(|part| !is_blank(part)) {
                    write_part(part, content);
                }
            });
        }
    }
    if result.is_error {
        block.put("is_error", true);
    }
}

/// Ids pass as they are, but for characters that the API refuses: some vendors write
/// `functions.name:0`.
fn accepted_id(id: &str) -> Cow<'_, str> {
    let is_accepted = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if id.bytes().map(char::from).all(is_accepted) {
        return Cow::Borrowed(id);
    }
    id.chars()
        .map(|c| if is_accepted(c) { c } else { '_' })
        .collect()
}

fn write_tool(tool: &Tool<'_>, tools: &mut Array<'_>) {
    let empty = static_json(r#"{"type":"object","properties":{}}"#);
    tools.object(|object| {
        object
            .put("name", &tool.name)
            .maybe("description", tool.description.as_ref())
            .put(
                "input_schema",
                &**tool.parameters.as_ref().unwrap_or(&empty),
            );
    });
}

fn write_choice(request: &Request<'_>, body: &mut Object<'_>) {
    let is_serial = request.parallel_tool_calls == Some(false);
    let auto = is_serial.then_some(&ToolChoice::Auto);
    let Some(choice) = request.tool_choice.as_ref().or(auto) else {
        return;
    };
    body.object("tool_choice", |object| {
        match choice {
            ToolChoice::Auto => object.put("type", "auto"),
            ToolChoice::Any => object.put("type", "any"),
            ToolChoice::None => object.put("type", "none"),
            ToolChoice::Named(name) => object.put("type", "tool").put("name", name),
        };
        if is_serial && *choice != ToolChoice::None {
            object.put("disable_parallel_tool_use", true);
        }
    });
}

fn write_output(request: &Request<'_>, settings: &Settings, body: &mut Object<'_>) {
    let schema = match &request.output {
        Output::JsonSchema { schema, .. } => Some(schema),
        Output::Text | Output::JsonObject => None,
    };
    if schema.is_none() && settings.effort().is_none() {
        return;
    }
    body.object("output_config", |config| {
        config.maybe("effort", settings.effort().map(crate::ir::Effort::name));
        if let Some(schema) = schema {
            config.object("format", |format| {
                format.put("type", "json_schema").put("schema", &**schema);
            });
        }
    });
}

fn write_stop(request: &Request<'_>, losses: &mut Losses, body: &mut Object<'_>) {
    let is_blank = |text: &&_| str::trim(text).is_empty();
    if request.stop.iter().any(|text| is_blank(&&**text)) {
        losses.dropped(Field::BlankStop);
    }
    let mut kept = request
        .stop
        .iter()
        .filter(|text| !is_blank(&&***text))
        .peekable();
    if kept.peek().is_some() {
        body.array("stop_sequences", |list| {
            kept.for_each(|text| list.put(text));
        });
    }
}
