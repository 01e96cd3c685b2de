//! Writing a request for an upstream. Model and stream stand in the path.

use std::collections::HashMap;

use super::NO_SIGNATURE;
use crate::api::Target;
use crate::chat::{joined_text, media_of};
use crate::ir::{
    Depth, Effort, Media, Output, Part, Request, Role, Source, ToolCall, ToolChoice, ToolResult,
};
use crate::json::{Array, Object, object};
use crate::losses::Losses;
use crate::models::is_gemini_3;
use crate::rules::Field;
use crate::seal::SealKind;

/// Writes the body.
pub(crate) fn write_request(
    request: &Request<'_>,
    target: &Target<'_>,
    losses: &mut Losses,
    out: &mut Vec<u8>,
) {
    let names = call_names(request);
    object(out, |body| {
        write_system(request, body);
        body.array("contents", |contents| {
            for (role, mut parts) in request.dialogue() {
                parts.retain(|part| is_kept(part, losses));
                if parts.is_empty() {
                    continue;
                }
                contents.object(|content| match role {
                    Role::Assistant => {
                        content.put("role", "model");
                        content.array("parts", |list| write_model(&parts, target, list));
                    }
                    Role::User | Role::System => {
                        content.put("role", "user");
                        content.array("parts", |list| write_user(&parts, &names, list));
                    }
                });
            }
        });
        write_tools(request, body);
        body.object("generationConfig", |config| {
            write_config(request, target, losses, config);
        });
    });
}

/// The names of the tools that were called, by the ids of the calls: results are to name them.
type Names<'r> = HashMap<&'r str, &'r str>;

fn call_names<'r>(request: &'r Request<'_>) -> Names<'r> {
    let parts = request.turns.iter().flat_map(|turn| &turn.parts);
    parts
        .filter_map(|part| match part {
            Part::ToolCall(call) => Some((&*call.id, &*call.name)),
            _ => None,
        })
        .collect()
}

/// All instructions go to the front: the API takes them nowhere else.
fn write_system(request: &Request<'_>, body: &mut Object<'_>) {
    let mut texts = request.system_texts().peekable();
    if texts.peek().is_none() {
        return;
    }
    body.object("systemInstruction", |system| {
        system.array("parts", |parts| {
            for text in texts {
                parts.object(|part| {
                    part.put("text", text);
                });
            }
        });
    });
}

/// Results first, all of a turn together; what they show follows them.
fn write_user(parts: &[&Part<'_>], names: &Names<'_>, list: &mut Array<'_>) {
    let results = || {
        parts.iter().filter_map(|part| match part {
            Part::ToolResult(result) => Some(result),
            _ => None,
        })
    };
    for result in results() {
        list.object(|part| write_result(result, names, part));
    }
    let shown = results().flat_map(media_of);
    for part in shown.chain(parts.iter().copied()) {
        match part {
            Part::Text(text) | Part::Refusal(text) => list.object(|object| {
                object.put("text", text);
            }),
            Part::Image(media) | Part::Document(media) => {
                list.object(|object| write_media(media, object));
            }
            _ => {}
        }
    }
}

fn write_result(result: &ToolResult<'_>, names: &Names<'_>, part: &mut Object<'_>) {
    let key = if result.is_error { "error" } else { "output" };
    part.object("functionResponse", |response| {
        response
            .put("id", &result.id)
            .put("name", *names.get(&*result.id).unwrap_or(&&*result.id))
            .object("response", |object| {
                object.put(key, &*joined_text(result));
            });
    });
}

fn write_media(media: &Media<'_>, part: &mut Object<'_>) {
    match &media.source {
        Source::Base64 { media_type, data } => {
            part.object("inlineData", |blob| {
                blob.put("mimeType", media_type).put("data", data);
            });
        }
        Source::Url(url) => {
            part.object("fileData", |file| {
                file.maybe("mimeType", guessed_type(url))
                    .put("fileUri", url);
            });
        }
        Source::Text(text) => {
            part.put("text", crate::chat::titled(media.name.as_ref(), text));
        }
    }
}

/// The type of what is at an address, by its ending.
fn guessed_type(url: &str) -> Option<&'static str> {
    const TYPES: [(&str, &str); 7] = [
        (".png", "image/png"),
        (".jpg", "image/jpeg"),
        (".jpeg", "image/jpeg"),
        (".webp", "image/webp"),
        (".gif", "image/gif"),
        (".pdf", "application/pdf"),
        (".txt", "text/plain"),
    ];
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let path = path.to_ascii_lowercase();
    let mut known = TYPES.iter();
    known
        .find(|(ending, _)| path.ends_with(ending))
        .map(|(_, kind)| *kind)
}

/// A message without any part is refused upstream. Reasoning goes back to its maker only; what is not
/// sealed is of no use to it.
fn is_kept(part: &Part<'_>, losses: &mut Losses) -> bool {
    match part {
        Part::Text(text) | Part::Refusal(text) => !text.is_empty(),
        Part::Reasoning { seal, .. } => {
            let own = seal.as_ref().filter(|seal| seal.kind == SealKind::Gemini);
            if own.is_none() {
                losses.dropped(Field::ForeignReasoning);
            }
            own.is_some_and(|seal| !seal.data.is_empty())
        }
        _ => true,
    }
}

/// The model's parts. State that it sealed goes back to it: with the call it came with, or alone.
fn write_model(parts: &[&Part<'_>], target: &Target<'_>, list: &mut Array<'_>) {
    let mut first_call = true;
    let mut signature = None;
    for (at, part) in parts.iter().enumerate() {
        match part {
            Part::Text(text) | Part::Refusal(text) => list.object(|object| {
                object.put("text", text);
            }),
            Part::Reasoning { text, seal } => {
                let data = seal.as_ref().map(|seal| &seal.data);
                if text.is_empty() && is_unsealed_call(parts.get(at + 1)) {
                    // Of a call that could not carry it in the client's API.
                    signature = data;
                    continue;
                }
                list.object(|object| {
                    object.put("text", text);
                    if !text.is_empty() {
                        object.put("thought", true);
                    }
                    object.maybe("thoughtSignature", data);
                });
            }
            Part::ToolCall(call) => {
                let own = call
                    .seal
                    .as_ref()
                    .filter(|seal| seal.kind == SealKind::Gemini);
                let data = own.map(|seal| &seal.data).or(signature.take());
                // Only the first of several calls has to be signed.
                let none = (first_call && is_gemini_3(target.model)).then_some(NO_SIGNATURE);
                first_call = false;
                list.object(|object| {
                    write_call(call, object);
                    object.maybe("thoughtSignature", data.map(|data| &**data).or(none));
                });
            }
            _ => {}
        }
    }
}

fn is_unsealed_call(part: Option<&&Part<'_>>) -> bool {
    matches!(part, Some(Part::ToolCall(ToolCall { seal: None, .. })))
}

pub(super) fn write_call(call: &ToolCall<'_>, part: &mut Object<'_>) {
    part.object("functionCall", |object| {
        object
            .put("id", &call.id)
            .put("name", &call.name)
            .put("args", &*call.arguments);
    });
}

fn write_tools(request: &Request<'_>, body: &mut Object<'_>) {
    if request.tools.is_empty() {
        return;
    }
    body.array("tools", |tools| {
        tools.object(|tool| {
            tool.array("functionDeclarations", |list| {
                for tool in &request.tools {
                    list.object(|function| {
                        function
                            .put("name", &tool.name)
                            .maybe("description", tool.description.as_ref())
                            .maybe("parametersJsonSchema", tool.parameters.as_deref());
                    });
                }
            });
        });
    });
    let Some(choice) = &request.tool_choice else {
        return;
    };
    body.object("toolConfig", |config| {
        config.object("functionCallingConfig", |calling| {
            match choice {
                ToolChoice::Auto => calling.put("mode", "AUTO"),
                ToolChoice::None => calling.put("mode", "NONE"),
                ToolChoice::Any => calling.put("mode", "ANY"),
                ToolChoice::Named(name) => calling
                    .put("mode", "ANY")
                    .array("allowedFunctionNames", |names| names.put(name)),
            };
        });
    });
}

fn write_config(
    request: &Request<'_>,
    target: &Target<'_>,
    losses: &mut Losses,
    config: &mut Object<'_>,
) {
    config
        .maybe(
            "maxOutputTokens",
            target.output_tokens(request.max_output_tokens),
        )
        .maybe("temperature", request.temperature)
        .maybe("topP", request.top_p)
        .maybe("topK", request.top_k)
        .maybe("presencePenalty", request.presence_penalty)
        .maybe("frequencyPenalty", request.frequency_penalty)
        .maybe("seed", request.seed);
    if !request.stop.is_empty() {
        config.array("stopSequences", |list| {
            for text in &request.stop {
                list.put(text);
            }
        });
    }
    match &request.output {
        Output::Text => {}
        Output::JsonObject => {
            config.put("responseMimeType", "application/json");
        }
        Output::JsonSchema { schema, .. } => {
            config
                .put("responseMimeType", "application/json")
                .put("responseJsonSchema", &**schema);
        }
    }
    if let Some(wish) = request.reasoning {
        let is_leveled = is_gemini_3(target.model);
        if is_leveled && wish.depth == Depth::Off {
            losses.changed(Field::Reasoning);
        }
        config.object("thinkingConfig", |thinking| {
            if wish.is_shown {
                thinking.put("includeThoughts", true);
            }
            if is_leveled {
                thinking.maybe("thinkingLevel", level(wish.depth));
            } else {
                thinking.maybe("thinkingBudget", wish.depth.budget_tokens());
            }
        });
    }
}

/// Reasoning in Google's words; it cannot be switched off there.
fn level(depth: Depth) -> Option<&'static str> {
    if depth == Depth::Off {
        return Some("MINIMAL");
    }
    depth.effort().map(|effort| match effort {
        Effort::Minimal => "MINIMAL",
        Effort::Low => "LOW",
        Effort::Medium => "MEDIUM",
        Effort::High | Effort::XHigh | Effort::Max => "HIGH",
    })
}
