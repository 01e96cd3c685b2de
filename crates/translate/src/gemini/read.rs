//! Reading a client's request.

use std::borrow::Cow;

use super::content::{Calls, read_part};
use super::schema::to_json_schema;
use super::shapes::{
    Body, Content, FunctionCallingConfig, FunctionDeclaration, GenerationConfig, ThinkingConfig,
};
use crate::api::Api;
use crate::ir::{Depth, Effort, Output, Reasoning, Request, Role, Tool, ToolChoice};
use crate::json::{WordOr, read_object};
use crate::losses::Refusal;
use crate::rules::Field;

const API: Api = Api::GenerateContent;

/// Reads a body. Model and stream stand in the path.
pub(crate) fn read_request(body: &[u8]) -> Result<Request<'_>, Refusal> {
    let body: Body<'_> = read_object(body).map_err(|error| Refusal::shape(API, error))?;
    let Some(contents) = body.contents else {
        return Err(Refusal::shape(API, "`contents` is missing"));
    };
    let mut request = Request {
        stream_usage: true,
        ..Request::default()
    };
    request.losses.unknown("", &body.unknown);
    let fields = &mut request.fields;
    fields.note(Field::Moderation, body.safety_settings.as_ref());
    fields.note(Field::Metadata, body.labels.as_ref());
    fields.note(Field::ServiceTier, body.service_tier.as_ref());
    fields.note(Field::Store, body.store.filter(|store| *store).as_ref());
    if body.cached_content.is_some() {
        request.find(Field::AccountState, "cachedContent");
    }
    match body.system_instruction {
        Some(WordOr::Word(text)) => request.push_system(text),
        Some(WordOr::Object(content)) => {
            for part in content.parts.unwrap_or_default() {
                request.push_system(part.text.unwrap_or_default());
            }
        }
        None => {}
    }
    let mut calls = Calls::default();
    for content in contents {
        read_content(&mut request, content, &mut calls)?;
    }
    for tool in body.tools.unwrap_or_default() {
        // Every member but the declarations is a tool of Google's.
        if let Some(name) = tool.unknown.first() {
            request.find(Field::ServerTools, name);
        }
        for function in tool.function_declarations.unwrap_or_default() {
            read_function(&mut request, function)?;
        }
    }
    if let Some(config) = body.tool_config {
        request.losses.unknown("toolConfig.", &config.unknown);
        read_choice(
            &mut request,
            config.function_calling_config.unwrap_or_default(),
        );
    }
    if let Some(config) = body.generation_config {
        read_config(&mut request, config)?;
    }
    Ok(request)
}

fn read_content<'a>(
    request: &mut Request<'a>,
    content: Content<'a>,
    calls: &mut Calls,
) -> Result<(), Refusal> {
    let role = match content.role.as_deref() {
        Some("user" | "function" | "") | None => Role::User,
        Some("model") => Role::Assistant,
        Some(role) => return Err(Refusal::shape(API, format!("role `{role}` is not known"))),
    };
    for part in content.parts.unwrap_or_default() {
        read_part(request, role, part, calls);
    }
    Ok(())
}

fn read_function<'a>(
    request: &mut Request<'a>,
    function: FunctionDeclaration<'a>,
) -> Result<(), Refusal> {
    request
        .losses
        .unknown("functionDeclarations[].", &function.unknown);
    let fields = &mut request.fields;
    fields.add(Field::Tools);
    fields.note(Field::ToolExtras, function.response.as_ref());
    fields.note(Field::ToolExtras, function.response_json_schema.as_ref());
    fields.note(Field::ToolExtras, function.behavior.as_ref());
    let Some(name) = function.name else {
        return Err(Refusal::shape(API, "a function has no `name`"));
    };
    let json_schema = function.parameters_json_schema.map(Cow::Borrowed);
    request.tools.push(Tool {
        name,
        description: function.description,
        parameters: json_schema.or_else(|| function.parameters.map(to_json_schema)),
        strict: None,
    });
    Ok(())
}

fn read_choice<'a>(request: &mut Request<'a>, config: FunctionCallingConfig<'a>) {
    request
        .losses
        .unknown("functionCallingConfig.", &config.unknown);
    let extra = config.stream_function_call_arguments.as_ref();
    request.fields.note(Field::StreamOptions, extra);
    let mut allowed = config.allowed_function_names.unwrap_or_default();
    let choice = match config.mode.as_deref() {
        Some("ANY") if allowed.len() == 1 => allowed.pop().map(ToolChoice::Named),
        Some("ANY" | "VALIDATED") if !allowed.is_empty() => {
            request.fields.add(Field::AllowedTools);
            None
        }
        Some("ANY") => Some(ToolChoice::Any),
        Some("NONE") => Some(ToolChoice::None),
        Some("VALIDATED") => {
            request.fields.add(Field::ToolStrict);
            Some(ToolChoice::Auto)
        }
        Some("AUTO") => Some(ToolChoice::Auto),
        _ => None,
    };
    request.fields.note(Field::ToolChoice, choice.as_ref());
    request.tool_choice = choice;
}

fn read_config<'a>(request: &mut Request<'a>, config: GenerationConfig<'a>) -> Result<(), Refusal> {
    request.losses.unknown("generationConfig.", &config.unknown);
    request.temperature = config.temperature;
    request.top_p = config.top_p;
    request.top_k = config.top_k;
    request.max_output_tokens = config.max_output_tokens;
    request.presence_penalty = config.presence_penalty;
    request.frequency_penalty = config.frequency_penalty;
    request.seed = config.seed;
    request.stop = config.stop_sequences.unwrap_or_default();
    let fields = &mut request.fields;
    fields.note(Field::Temperature, config.temperature.as_ref());
    fields.note(Field::TopP, config.top_p.as_ref());
    fields.note(Field::TopK, config.top_k.as_ref());
    fields.note(Field::MaxTokens, config.max_output_tokens.as_ref());
    fields.note(Field::Penalties, config.presence_penalty.as_ref());
    fields.note(Field::Penalties, config.frequency_penalty.as_ref());
    fields.note(Field::Seed, config.seed.as_ref());
    fields.note(Field::Stop, request.stop.first());
    let candidates = config.candidate_count.filter(|count| *count != 1);
    fields.note(Field::Candidates, candidates.as_ref());
    let logprobs = config.response_logprobs.filter(|wanted| *wanted);
    fields.note(Field::Logprobs, logprobs.as_ref());
    fields.note(Field::ImageDetail, config.media_resolution.as_ref());
    fields.note(Field::Modalities, config.speech_config.as_ref());
    fields.note(Field::Modalities, config.image_config.as_ref());
    let modalities = config.response_modalities.as_deref().unwrap_or_default();
    let is_other = |mode: &&crate::json::Str<'_>| !mode.eq_ignore_ascii_case("text");
    fields.note(Field::Modalities, modalities.iter().find(is_other));
    if let Some(thinking) = config.thinking_config {
        read_thinking(request, &thinking);
    }
    let json_schema = config.response_json_schema.map(Cow::Borrowed);
    let schema = json_schema.or_else(|| config.response_schema.map(to_json_schema));
    match (config.response_mime_type.as_deref(), schema) {
        (Some("application/json"), Some(schema)) => {
            request.fields.add(Field::JsonSchema);
            request.output = Output::JsonSchema {
                name: None,
                description: None,
                schema,
                strict: None,
            };
        }
        (Some("application/json"), None) => {
            request.fields.add(Field::JsonObject);
            request.output = Output::JsonObject;
        }
        (Some("text/plain") | None, None) => {}
        (None, Some(_)) => {
            let message = "a response schema needs `responseMimeType` `application/json`";
            return Err(Refusal::shape(API, message));
        }
        (Some(kind), _) => request.find(Field::Modalities, kind),
    }
    Ok(())
}

fn read_thinking(request: &mut Request<'_>, thinking: &ThinkingConfig<'_>) {
    request.losses.unknown("thinkingConfig.", &thinking.unknown);
    request.fields.add(Field::Reasoning);
    let level = thinking
        .thinking_level
        .as_deref()
        .and_then(Effort::from_name);
    let depth = match (level, thinking.thinking_budget) {
        (Some(effort), _) => Depth::Effort(effort),
        (None, Some(0)) => Depth::Off,
        // A negative budget leaves it to the model.
        (None, budget) => match budget.and_then(|tokens| u64::try_from(tokens).ok()) {
            Some(tokens) => Depth::Budget(tokens),
            None => Depth::Auto,
        },
    };
    request.reasoning = Some(Reasoning {
        depth,
        is_shown: thinking.include_thoughts.unwrap_or(false),
    });
}
