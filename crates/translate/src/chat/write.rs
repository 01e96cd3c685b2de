//! Writing a request for an upstream.

use std::borrow::Cow;

use crate::api::{ChatFlavour, Target};
use crate::ir::{
    Depth, Media, Output, Part, Request, Role, Source, Tool, ToolCall, ToolChoice, ToolResult,
};
use crate::json::{Array, Json, Object, Str, object, static_json};
use crate::losses::Losses;
use crate::models::takes_effort;
use crate::rules::Field;
use crate::seal::SealKind;

/// The longest name of an end user that OpenAI takes.
pub(crate) const USER_BYTES_MAX: usize = 64;

/// Writes the body.
pub(crate) fn write_request(
    request: &Request<'_>,
    target: &Target<'_>,
    losses: &mut Losses,
    out: &mut Vec<u8>,
) {
    let is_openai = target.chat == ChatFlavour::OpenAi;
    object(out, |body| {
        body.put("model", target.model);
        body.array("messages", |messages| {
            for turn in &request.turns {
                match turn.role {
                    Role::System => write_plain("system", &turn.parts, messages),
                    Role::User => write_user(&turn.parts, messages),
                    Role::Assistant => write_assistant(&turn.parts, target, losses, messages),
                }
            }
        });
        let max_tokens = target.output_tokens(request.max_output_tokens);
        let name = if is_openai {
            "max_completion_tokens"
        } else {
            "max_tokens"
        };
        body.maybe(name, max_tokens)
            .maybe("temperature", request.temperature)
            .maybe("top_p", request.top_p)
            .maybe("presence_penalty", request.presence_penalty)
            .maybe("frequency_penalty", request.frequency_penalty)
            .maybe("seed", request.seed);
        if !request.stop.is_empty() {
            body.array("stop", |list| {
                request.stop.iter().for_each(|text| list.put(text));
            });
        }
        write_tools(request, body);
        write_format(&request.output, body);
        write_effort(request, target, losses, body);
        match &request.user {
            Some(user) if user.len() > USER_BYTES_MAX => losses.dropped(Field::User),
            user => {
                let name = if is_openai {
                    "safety_identifier"
                } else {
                    "user"
                };
                body.maybe(name, user.as_ref());
            }
        }
        if request.stream {
            body.put("stream", true);
        }
        if request.stream && target.stream_options {
            body.object("stream_options", |options| {
                options.put("include_usage", true);
            });
        }
    });
}

/// A message of text alone, as one string where it is one.
fn write_plain(role: &'static str, parts: &[Part<'_>], messages: &mut Array<'_>) {
    let parts: Vec<_> = parts.iter().collect();
    messages.object(|message| {
        message.put("role", role);
        write_content(&parts, message);
    });
}

fn write_content(parts: &[&Part<'_>], message: &mut Object<'_>) {
    if let [Part::Text(text)] = parts {
        message.put("content", text);
        return;
    }
    message.array("content", |content| {
        for part in parts {
            match part {
                Part::Text(text) | Part::Refusal(text) => content.object(|object| {
                    object.put("type", "text").put("text", text);
                }),
                Part::Image(media) => content.object(|object| {
                    object
                        .put("type", "image_url")
                        .object("image_url", |image| {
                            write_url(&media.source, "url", image);
                        });
                }),
                Part::Document(media) => content.object(|object| write_file(media, object)),
                Part::Reasoning { .. } | Part::ToolCall(_) | Part::ToolResult(_) => {}
            }
        }
    });
}

/// A URL, or the bytes as one.
pub(crate) fn write_url(source: &Source<'_>, key: &'static str, object: &mut Object<'_>) {
    match source {
        Source::Base64 { media_type, data } => {
            object.put(key, format!("data:{};base64,{}", &**media_type, &**data));
        }
        Source::Url(text) | Source::Text(text) => {
            object.put(key, text);
        }
    }
}

fn write_file(media: &Media<'_>, object: &mut Object<'_>) {
    if let Source::Text(text) = &media.source {
        object
            .put("type", "text")
            .put("text", titled(media.name.as_ref(), text));
        return;
    }
    object.put("type", "file").object("file", |file| {
        let name = media.name.as_ref().map_or("document.pdf", |name| name);
        file.put("filename", name);
        write_url(&media.source, "file_data", file);
    });
}

/// A document of plain text as text.
pub(crate) fn titled(title: Option<&Str<'_>>, text: &str) -> String {
    match title {
        Some(title) => format!("{}\n\n{text}", &**title),
        None => text.to_owned(),
    }
}

/// The results of tools first, one message each, then what the user said.
fn write_user(parts: &[Part<'_>], messages: &mut Array<'_>) {
    let mut rest: Vec<&Part<'_>> = Vec::new();
    for part in parts {
        if let Part::ToolResult(result) = part {
            messages.object(|message| {
                message
                    .put("role", "tool")
                    .put("tool_call_id", &result.id)
                    .put("content", &*result_text(result));
            });
            rest.extend(media_of(result));
        }
    }
    let is_said = |part: &&Part<'_>| match part {
        Part::Text(text) => !text.is_empty(),
        Part::ToolResult(_) => false,
        _ => true,
    };
    rest.extend(parts.iter().filter(is_said));
    if !rest.is_empty() {
        messages.object(|message| {
            message.put("role", "user");
            write_content(&rest, message);
        });
    }
}

/// The text of a result. There is no field for a failure, so the text says it.
pub(crate) fn result_text<'r>(result: &'r ToolResult<'_>) -> Cow<'r, str> {
    let text = joined_text(result);
    if result.is_error {
        return Cow::Owned(format!("Error: {text}"));
    }
    text
}

/// The texts of a result's content, one under the other; mostly there is but one.
pub(crate) fn joined_text<'r>(result: &'r ToolResult<'_>) -> Cow<'r, str> {
    let mut joined = Cow::default();
    let mut is_first = true;
    for part in &result.content {
        if let Part::Text(text) = part {
            if !std::mem::take(&mut is_first) {
                joined += "\n";
            }
            joined += &**text;
        }
    }
    joined
}

/// The images and documents of a result.
pub(crate) fn media_of<'r, 'a>(
    result: &'r ToolResult<'a>,
) -> impl Iterator<Item = &'r Part<'a>> + use<'r, 'a> {
    let is_media = |part: &&Part<'_>| matches!(part, Part::Image(_) | Part::Document(_));
    result.content.iter().filter(is_media)
}

fn write_assistant(
    parts: &[Part<'_>],
    target: &Target<'_>,
    losses: &mut Losses,
    messages: &mut Array<'_>,
) {
    let mut text = Cow::default();
    let mut reasoning = Cow::default();
    let mut calls: Vec<&ToolCall<'_>> = Vec::new();
    for part in parts {
        match part {
            Part::Text(part) | Part::Refusal(part) => text += &**part,
            Part::Reasoning { text, seal } => {
                let is_own = seal
                    .as_ref()
                    .is_some_and(|seal| seal.kind == SealKind::Chat);
                if is_own && target.chat == ChatFlavour::Compatible {
                    reasoning += &**text;
                } else {
                    losses.dropped(Field::ForeignReasoning);
                }
            }
            Part::ToolCall(call) => calls.push(call),
            Part::Image(_) | Part::Document(_) | Part::ToolResult(_) => {}
        }
    }
    if text.is_empty() && calls.is_empty() {
        return;
    }
    let takes_signatures =
        target.chat == ChatFlavour::Compatible && target.model.contains("gemini");
    messages.object(|message| {
        message.put("role", "assistant");
        message.put("content", Some(&*text).filter(|text| !text.is_empty()));
        message.maybe(
            "reasoning_content",
            Some(&*reasoning).filter(|text| !text.is_empty()),
        );
        if !calls.is_empty() {
            message.array("tool_calls", |list| {
                for call in calls {
                    list.object(|object| write_call(call, takes_signatures, object));
                }
            });
        }
    });
}

pub(super) fn write_call(call: &ToolCall<'_>, takes_signatures: bool, object: &mut Object<'_>) {
    object
        .put("id", &call.id)
        .put("type", "function")
        .object("function", |function| {
            function
                .put("name", &call.name)
                .text_of("arguments", &call.arguments);
        });
    let seal = call
        .seal
        .as_ref()
        .filter(|seal| seal.kind == SealKind::Gemini);
    if let Some(seal) = seal.filter(|_| takes_signatures) {
        write_signature(&seal.data, object);
    }
}

/// A call's signature in the place where Google's own chat completions have it.
pub(super) fn write_signature(signature: &str, object: &mut Object<'_>) {
    object.object("extra_content", |extra| {
        extra.object("google", |google| {
            google.put("thought_signature", signature);
        });
    });
}

fn write_tools(request: &Request<'_>, body: &mut Object<'_>) {
    if request.tools.is_empty() {
        return;
    }
    body.array("tools", |tools| {
        for tool in &request.tools {
            tools.object(|object| {
                object
                    .put("type", "function")
                    .object("function", |function| {
                        write_function(tool, function);
                    });
            });
        }
    });
    let choice = request.tool_choice.as_ref();
    body.maybe("tool_choice", choice.and_then(choice_word));
    if let Some(ToolChoice::Named(name)) = choice {
        body.object("tool_choice", |choice| {
            choice
                .put("type", "function")
                .object("function", |function| {
                    function.put("name", name);
                });
        });
    }
    let is_serial = request.parallel_tool_calls.filter(|parallel| !parallel);
    body.maybe("parallel_tool_calls", is_serial);
}

/// A choice that is one word, the same in both of OpenAI's APIs.
pub(crate) fn choice_word(choice: &ToolChoice<'_>) -> Option<&'static str> {
    match choice {
        ToolChoice::Auto => Some("auto"),
        ToolChoice::None => Some("none"),
        ToolChoice::Any => Some("required"),
        ToolChoice::Named(_) => None,
    }
}

fn write_function(tool: &Tool<'_>, function: &mut Object<'_>) {
    function
        .put("name", &tool.name)
        .maybe("description", tool.description.as_ref())
        .put("parameters", &*parameters(tool))
        .maybe("strict", tool.strict);
}

/// The parameters of a function; those of a function without any.
pub(crate) fn parameters<'t>(tool: &'t Tool<'_>) -> Json<'t> {
    match &tool.parameters {
        Some(parameters) => Json::Borrowed(&**parameters),
        None => static_json(r#"{"type":"object","properties":{}}"#),
    }
}

fn write_format(output: &Output<'_>, body: &mut Object<'_>) {
    match output {
        Output::Text => {}
        Output::JsonObject => {
            body.object("response_format", |format| {
                format.put("type", "json_object");
            });
        }
        Output::JsonSchema {
            name,
            description,
            schema,
            strict,
        } => {
            body.object("response_format", |format| {
                format
                    .put("type", "json_schema")
                    .object("json_schema", |object| {
                        object
                            .put("name", name.as_ref().map_or("answer", |name| name))
                            .maybe("description", description.as_ref())
                            .put("schema", &**schema)
                            .maybe("strict", *strict);
                    });
            });
        }
    }
}

/// Models that do not reason refuse to be asked for it, and so do imitations that are told to stop.
fn write_effort(
    request: &Request<'_>,
    target: &Target<'_>,
    losses: &mut Losses,
    body: &mut Object<'_>,
) {
    let Some(reasoning) = request.reasoning else {
        return;
    };
    let word = match reasoning.depth {
        Depth::Off => Some("none").filter(|_| target.chat == ChatFlavour::OpenAi),
        depth => depth.effort().map(crate::ir::Effort::name),
    };
    match word {
        Some(word) if takes_effort(target.model) => {
            body.put("reasoning_effort", word);
        }
        None if reasoning.depth == Depth::Auto => {}
        _ => losses.dropped(Field::Reasoning),
    }
}
