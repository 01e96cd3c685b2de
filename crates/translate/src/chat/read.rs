//! Reading a client's request.

use std::borrow::Cow;

use super::content::read_parts;
use super::shapes::{
    Arguments, Body, Function, Message, ReasoningDetail, ResponseFormat, Tool as RawTool,
    ToolCall as RawCall, ToolChoice as RawChoice,
};
use crate::api::Api;
use crate::ir::{
    Depth, Effort, Output, Part, Reasoning, Request, Role, Tool, ToolCall, ToolChoice, ToolResult,
};
use crate::json::{
    Json, Object, OneOrMany, Str, WordOr, object, owned_json, read_object, static_json,
};
use crate::losses::Refusal;
use crate::rules::Field;
use crate::seal::{Seal, SealKind};

const API: Api = Api::ChatCompletions;

/// Reads a body.
pub(crate) fn read_request(body: &[u8]) -> Result<Request<'_>, Refusal> {
    let mut body: Body<'_> = read_object(body).map_err(|error| Refusal::shape(API, error))?;
    let Some(messages) = body.messages.take() else {
        return Err(Refusal::shape(API, "`messages` is missing"));
    };
    if body.functions.is_some() {
        return Err(Refusal::shape(API, "`functions` are called `tools`"));
    }
    let mut request = Request {
        stream: body.stream.unwrap_or(false),
        max_output_tokens: body.max_completion_tokens.or(body.max_tokens),
        temperature: body.temperature,
        top_p: body.top_p,
        presence_penalty: body.presence_penalty,
        frequency_penalty: body.frequency_penalty,
        seed: body.seed,
        parallel_tool_calls: body.parallel_tool_calls,
        ..Request::default()
    };
    note_fields(&mut request, &body);
    if let Some(options) = body.stream_options {
        request.stream_usage = options.include_usage.unwrap_or(false);
        request.losses.unknown("stream_options.", &options.unknown);
    }
    request.stop = match body.stop {
        None | Some(OneOrMany::Other) => Vec::new(),
        Some(OneOrMany::One(stop)) => vec![stop],
        Some(OneOrMany::Many(stops)) => stops,
    };
    request.fields.note(Field::Stop, request.stop.first());
    request.user = body.safety_identifier.or(body.user);
    request.fields.note(Field::User, request.user.as_ref());

    for message in messages {
        read_message(&mut request, message)?;
    }
    for tool in body.tools.unwrap_or_default() {
        read_tool(&mut request, tool)?;
    }
    if let Some(choice) = body.tool_choice {
        request.fields.add(Field::ToolChoice);
        request.tool_choice = read_choice(&mut request, choice)?;
    }
    if let Some(format) = body.response_format {
        read_format(&mut request, format)?;
    }
    if let Some(effort) = body.reasoning_effort {
        request.fields.add(Field::Reasoning);
        request.reasoning = Some(Reasoning {
            depth: read_effort(&effort),
            is_shown: false,
        });
    }
    Ok(request)
}

fn note_fields(request: &mut Request<'_>, body: &Body<'_>) {
    request.losses.unknown("", &body.unknown);
    let fields = &mut request.fields;
    fields.note(Field::MaxTokens, request.max_output_tokens.as_ref());
    fields.note(Field::Temperature, body.temperature.as_ref());
    fields.note(Field::TopP, body.top_p.as_ref());
    fields.note(Field::Penalties, body.presence_penalty.as_ref());
    fields.note(Field::Penalties, body.frequency_penalty.as_ref());
    fields.note(Field::Seed, body.seed.as_ref());
    fields.note(Field::Candidates, body.n.filter(|n| *n != 1).as_ref());
    let is_serial = body.parallel_tool_calls.filter(|parallel| !parallel);
    fields.note(Field::ParallelToolCalls, is_serial.as_ref());
    fields.note(
        Field::Logprobs,
        body.logprobs.filter(|wanted| *wanted).as_ref(),
    );
    fields.note(Field::Logprobs, body.top_logprobs.as_ref());
    fields.note(Field::LogitBias, body.logit_bias.as_ref());
    fields.note(Field::Prediction, body.prediction.as_ref());
    fields.note(Field::Verbosity, body.verbosity.as_ref());
    fields.note(Field::ServerTools, body.web_search_options.as_ref());
    fields.note(Field::Metadata, body.metadata.as_ref());
    fields.note(Field::Store, body.store.filter(|store| *store).as_ref());
    fields.note(Field::Moderation, body.moderation.as_ref());
    fields.note(Field::ServiceTier, body.service_tier.as_ref());
    fields.note(Field::CacheControl, body.prompt_cache_key.as_ref());
    fields.note(Field::CacheControl, body.prompt_cache_options.as_ref());
    fields.note(Field::CacheControl, body.prompt_cache_retention.as_ref());
    let modalities = body.modalities.as_deref().unwrap_or_default();
    fields.note(
        Field::Modalities,
        modalities.iter().find(|mode| &***mode != "text"),
    );
}

fn read_message<'a>(request: &mut Request<'a>, message: Message<'a>) -> Result<(), Refusal> {
    request.losses.unknown("messages[].", &message.unknown);
    request.fields.note(Field::Name, message.name.as_ref());
    request.fields.note(Field::Audio, message.audio.as_ref());
    let annotations = message.annotations.as_deref().unwrap_or_default();
    request.fields.note(Field::Citations, annotations.first());
    if message.function_call.is_some() {
        return Err(Refusal::shape(
            API,
            "`function_call` is called `tool_calls`",
        ));
    }
    match message.role.as_deref() {
        Some("system" | "developer") => {
            for part in read_parts(request, message.content)? {
                match part {
                    Part::Text(text) => request.push_system(text),
                    _ => request.find(Field::UnknownContent, "media in `system`"),
                }
            }
            Ok(())
        }
        Some("user") => {
            let parts = read_parts(request, message.content)?;
            request.push_all(Role::User, parts);
            Ok(())
        }
        Some("assistant") => read_assistant(request, message),
        Some("tool") => {
            let content = read_parts(request, message.content)?;
            if content.iter().any(is_media) {
                request.fields.add(Field::ToolResultMedia);
            }
            let id = message.tool_call_id.unwrap_or_default();
            let result = ToolResult {
                id,
                content,
                is_error: false,
            };
            request.push(Role::User, Part::ToolResult(result));
            Ok(())
        }
        other => {
            let role = other.unwrap_or("none");
            Err(Refusal::shape(API, format!("role `{role}` is not known")))
        }
    }
}

fn read_assistant<'a>(request: &mut Request<'a>, message: Message<'a>) -> Result<(), Refusal> {
    let role = Role::Assistant;
    let shown = message.reasoning_content.or(message.reasoning);
    for part in reasoning_parts(message.reasoning_details.unwrap_or_default(), shown) {
        request.push(role, part);
    }
    let parts = read_parts(request, message.content)?;
    if parts.iter().any(is_media) {
        request.fields.add(Field::AssistantMedia);
    }
    request.push_all(role, parts);
    if let Some(refusal) = message.refusal {
        request.push(role, Part::Refusal(refusal));
    }
    for call in message.tool_calls.unwrap_or_default() {
        if call.function.is_none() {
            request.find(
                Field::CustomTools,
                call.kind.as_deref().unwrap_or("tool_calls"),
            );
            continue;
        }
        let (call, is_object) = read_call(call);
        if !is_object {
            request.fields.add(Field::ToolArguments);
        }
        request.push(role, Part::ToolCall(call));
    }
    Ok(())
}

/// Reasoning of a message: sealed in details, or as plain text.
pub(super) fn reasoning_parts<'a>(
    details: Vec<ReasoningDetail<'a>>,
    mut shown: Option<Str<'a>>,
) -> Vec<Part<'a>> {
    let mut parts = Vec::new();
    for detail in details {
        let slot = detail.signature.or(detail.data).unwrap_or_default();
        let Some(seal) = Seal::from_slot(slot, SealKind::Chat) else {
            continue;
        };
        // Its own details are of no use to anybody but their maker, whom nobody knows.
        if seal.kind != SealKind::Chat {
            let text = match detail.text {
                Some(text) if !text.is_empty() => text,
                _ if seal.kind == SealKind::Redacted => Str::default(),
                _ => shown.take().unwrap_or_default(),
            };
            parts.push(Part::Reasoning {
                text,
                seal: Some(seal),
            });
        }
    }
    if parts.is_empty() {
        parts.extend(
            shown
                .filter(|text| !text.is_empty())
                .map(|text| Part::Reasoning {
                    text,
                    seal: Some(Seal::empty(SealKind::Chat)),
                }),
        );
    }
    parts
}

/// A call, and whether its arguments were a JSON object.
pub(super) fn read_call(call: RawCall<'_>) -> (ToolCall<'_>, bool) {
    let function = call.function.unwrap_or_default();
    let (arguments, is_object) = match function.arguments {
        Some(Arguments::Text(text)) => read_arguments(text),
        Some(Arguments::Json(json)) => (Cow::Borrowed(json), true),
        None => (static_json("{}"), true),
    };
    let google = call.extra_content.and_then(|extra| extra.google);
    let signature = google.and_then(|google| google.thought_signature);
    let call = ToolCall {
        id: call.id.unwrap_or_default(),
        name: function.name.unwrap_or_default(),
        arguments,
        seal: signature.map(|data| Seal {
            kind: SealKind::Gemini,
            data,
        }),
    };
    (call, is_object)
}

/// Arguments in a string: mostly a JSON object. An empty string is none; what is no object is
/// wrapped into one, since models do write such things and the conversation must go on.
pub(crate) fn read_arguments(text: Str<'_>) -> (Json<'_>, bool) {
    if text.trim_ascii().is_empty() {
        return (static_json("{}"), true);
    }
    match owned_json(text, b'{') {
        Ok(json) => (json, true),
        Err(text) => {
            let mut wrapped = Vec::new();
            object(&mut wrapped, |object: &mut Object<'_>| {
                object.put("invalid_arguments", &text);
            });
            let json = String::from_utf8(wrapped).unwrap_or_default();
            let json = owned_json(json.into(), b'{').unwrap_or_else(|_| static_json("{}"));
            (json, false)
        }
    }
}

fn is_media(part: &Part<'_>) -> bool {
    matches!(part, Part::Image(_) | Part::Document(_))
}

fn read_tool<'a>(request: &mut Request<'a>, tool: RawTool<'a>) -> Result<(), Refusal> {
    match tool.kind.as_deref() {
        Some("function") | None => {}
        Some("custom") => {
            request.fields.add(Field::CustomTools);
            return Ok(());
        }
        Some(kind) => {
            request.find(Field::ServerTools, kind);
            return Ok(());
        }
    }
    let function: Function<'_> = tool.function.unwrap_or_default();
    request
        .losses
        .unknown("tools[].function.", &function.unknown);
    request.fields.add(Field::Tools);
    request.fields.note(
        Field::ToolStrict,
        function.strict.filter(|strict| *strict).as_ref(),
    );
    let Some(name) = function.name else {
        return Err(Refusal::shape(API, "a tool has no `function.name`"));
    };
    request.tools.push(Tool {
        name,
        description: function.description,
        parameters: function.parameters.map(Cow::Borrowed),
        strict: function.strict,
    });
    Ok(())
}

fn read_choice<'a>(
    request: &mut Request<'a>,
    choice: WordOr<'a, RawChoice<'a>>,
) -> Result<Option<ToolChoice<'a>>, Refusal> {
    let choice = match choice {
        WordOr::Word(word) => return read_choice_word(API, &word).map(Some),
        WordOr::Object(choice) => *choice,
    };
    match (choice.kind.as_deref(), choice.function.and_then(|f| f.name)) {
        (Some("function"), Some(name)) => Ok(Some(ToolChoice::Named(name))),
        (Some("allowed_tools"), _) => {
            request.fields.add(Field::AllowedTools);
            Ok(None)
        }
        (kind, _) => {
            request.find(Field::CustomTools, kind.unwrap_or("tool_choice"));
            Ok(None)
        }
    }
}

/// A choice in one word, the same in both of OpenAI's APIs.
pub(crate) fn read_choice_word<'a>(api: Api, word: &str) -> Result<ToolChoice<'a>, Refusal> {
    match word {
        "auto" => Ok(ToolChoice::Auto),
        "none" => Ok(ToolChoice::None),
        "required" => Ok(ToolChoice::Any),
        _ => Err(Refusal::shape(api, format!("`tool_choice` is {word:?}"))),
    }
}

fn read_format<'a>(request: &mut Request<'a>, format: ResponseFormat<'a>) -> Result<(), Refusal> {
    request.output = match format.kind.as_deref() {
        Some("text") | None => Output::Text,
        Some("json_object") => {
            request.fields.add(Field::JsonObject);
            Output::JsonObject
        }
        Some("json_schema") => {
            request.fields.add(Field::JsonSchema);
            let schema = format.json_schema.unwrap_or_default();
            let Some(json) = schema.schema else {
                return Err(Refusal::shape(API, "`response_format` has no `schema`"));
            };
            Output::JsonSchema {
                name: schema.name,
                description: schema.description,
                schema: Cow::Borrowed(json),
                strict: schema.strict,
            }
        }
        Some(kind) => {
            return Err(Refusal::shape(
                API,
                format!("`response_format` is {kind:?}"),
            ));
        }
    };
    Ok(())
}

/// The effort of a word; words that are not known leave it to the model.
pub(crate) fn read_effort(word: &str) -> Depth {
    match Effort::from_name(word) {
        Some(effort) => Depth::Effort(effort),
        None if word == "none" => Depth::Off,
        None => Depth::Auto,
    }
}
