//! Reading a client's request.

use std::borrow::Cow;

use super::content::{parts_of, read_call, read_part, read_reasoning};
use super::shapes::{
    Body, Item, Reasoning as RawReasoning, TextConfig, Tool as RawTool, ToolChoice as RawChoice,
};
use crate::api::Api;
use crate::chat::{read_choice_word, read_effort};
use crate::ir::{Depth, Output, Part, Reasoning, Request, Role, Tool, ToolChoice, ToolResult};
use crate::json::{OneOrMany, WordOr, read_object};
use crate::losses::Refusal;
use crate::namespaces::NamespacedTool;
use crate::rules::Field;

const API: Api = Api::Responses;

/// Reads a body.
pub(crate) fn read_request(body: &[u8]) -> Result<Request<'_>, Refusal> {
    let body: Body<'_> = read_object(body).map_err(|error| Refusal::shape(API, error))?;
    let mut request = Request {
        stream: body.stream.unwrap_or(false),
        stream_usage: true,
        max_output_tokens: body.max_output_tokens,
        temperature: body.temperature,
        top_p: body.top_p,
        parallel_tool_calls: body.parallel_tool_calls,
        ..Request::default()
    };
    note_fields(&mut request, &body);
    request.user = body.safety_identifier.or(body.user);
    request.fields.note(Field::User, request.user.as_ref());
    match body.instructions {
        Some(OneOrMany::One(text)) => request.push_system(text),
        Some(OneOrMany::Many(items)) => {
            for item in items {
                read_item(&mut request, item)?;
            }
        }
        Some(OneOrMany::Other) | None => {}
    }
    match body.input {
        Some(OneOrMany::One(text)) => request.push(Role::User, Part::Text(text)),
        Some(OneOrMany::Many(items)) => {
            for item in items {
                read_item(&mut request, item)?;
            }
        }
        // What is missing here is stored elsewhere, which the rules refuse.
        Some(OneOrMany::Other) | None if request.fields.has(Field::AccountState) => {}
        Some(OneOrMany::Other) | None => {
            return Err(Refusal::shape(API, "`input` is missing"));
        }
    }
    for tool in body.tools.unwrap_or_default() {
        read_tool(&mut request, tool, None)?;
    }
    if let Some(choice) = body.tool_choice {
        request.fields.add(Field::ToolChoice);
        request.tool_choice = read_choice(&mut request, choice)?;
    }
    if let Some(text) = body.text {
        read_format(&mut request, text)?;
    }
    if let Some(reasoning) = body.reasoning {
        read_depth(&mut request, &reasoning);
    }
    Ok(request)
}

fn note_fields(request: &mut Request<'_>, body: &Body<'_>) {
    request.losses.unknown("", &body.unknown);
    let fields = &mut request.fields;
    fields.note(Field::MaxTokens, body.max_output_tokens.as_ref());
    fields.note(Field::Temperature, body.temperature.as_ref());
    fields.note(Field::TopP, body.top_p.as_ref());
    let is_serial = body.parallel_tool_calls.filter(|parallel| !parallel);
    fields.note(Field::ParallelToolCalls, is_serial.as_ref());
    let includes = body.include.as_deref().unwrap_or_default();
    let logprobs = includes
        .iter()
        .find(|include| include.ends_with("logprobs"));
    fields.note(Field::Logprobs, logprobs);
    fields.note(Field::Logprobs, body.top_logprobs.as_ref());
    fields.note(Field::Store, body.store.filter(|store| *store).as_ref());
    fields.note(
        Field::Background,
        body.background.filter(|wanted| *wanted).as_ref(),
    );
    let truncation = body
        .truncation
        .as_deref()
        .filter(|mode| *mode != "disabled");
    fields.note(Field::ContextManagement, truncation.as_ref());
    fields.note(Field::ContextManagement, body.context_management.as_ref());
    fields.note(Field::StreamOptions, body.stream_options.as_ref());
    fields.note(Field::ToolExtras, body.max_tool_calls.as_ref());
    fields.note(Field::Metadata, body.metadata.as_ref());
    fields.note(Field::Metadata, body.client_metadata.as_ref());
    fields.note(Field::Moderation, body.moderation.as_ref());
    fields.note(Field::ServiceTier, body.service_tier.as_ref());
    fields.note(Field::CacheControl, body.prompt_cache_key.as_ref());
    fields.note(Field::CacheControl, body.prompt_cache_options.as_ref());
    fields.note(Field::CacheControl, body.prompt_cache_retention.as_ref());
    let stored = [
        ("previous_response_id", body.previous_response_id),
        ("conversation", body.conversation),
        ("prompt", body.prompt),
    ];
    for (name, _) in stored.iter().filter(|(_, value)| value.is_some()) {
        request.find(Field::AccountState, name);
    }
}

fn read_item<'a>(request: &mut Request<'a>, item: Item<'a>) -> Result<(), Refusal> {
    request.losses.unknown("input[].", &item.unknown);
    match item.kind.as_deref() {
        Some("message") | None => read_message(request, item)?,
        Some("reasoning") => request.push(Role::Assistant, read_reasoning(item)),
        Some("function_call") => {
            request.fields.note(Field::ToolExtras, item.caller.as_ref());
            let (call, is_object) = read_call(item);
            if !is_object {
                request.fields.add(Field::ToolArguments);
            }
            request.push(Role::Assistant, Part::ToolCall(call));
        }
        Some("function_call_output") => {
            let mut content = Vec::new();
            for part in parts_of(item.output) {
                let part = read_part(request, part)?;
                if matches!(part, Some(Part::Image(_) | Part::Document(_))) {
                    request.fields.add(Field::ToolResultMedia);
                }
                content.extend(part);
            }
            let result = ToolResult {
                id: item.call_id.unwrap_or_default(),
                content,
                is_error: false,
            };
            request.push(Role::User, Part::ToolResult(result));
        }
        Some("custom_tool_call" | "custom_tool_call_output") => {
            request.fields.add(Field::CustomTools);
        }
        Some(kind @ ("item_reference" | "compaction")) => {
            request.find(Field::AccountState, kind);
        }
        Some(kind) if is_server_tool(kind) => request.fields.add(Field::ServerToolHistory),
        Some(kind) => request.find(Field::UnknownContent, kind),
    }
    Ok(())
}

/// Calls of tools that OpenAI runs, and what goes with them. Those that the client runs in its own
/// shell or editor are not among them: without their results the conversation has a hole.
fn is_server_tool(kind: &str) -> bool {
    const KINDS: [&str; 6] = [
        "web_search_call",
        "file_search_call",
        "code_interpreter_call",
        "image_generation_call",
        "mcp_list_tools",
        "mcp_call",
    ];
    KINDS.contains(&kind)
}

fn read_message<'a>(request: &mut Request<'a>, item: Item<'a>) -> Result<(), Refusal> {
    let role = match item.role.as_deref() {
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some("system" | "developer") => Role::System,
        other => {
            let role = other.unwrap_or("none");
            return Err(Refusal::shape(API, format!("role `{role}` is not known")));
        }
    };
    for part in parts_of(item.content) {
        match read_part(request, part)? {
            Some(Part::Text(text)) if role == Role::System => request.push_system(text),
            Some(Part::Image(_) | Part::Document(_)) if role != Role::User => {
                request.fields.add(Field::AssistantMedia);
            }
            Some(part) => request.push(role, part),
            None => {}
        }
    }
    Ok(())
}

/// Reads a tool, or all those of a namespace.
fn read_tool<'a>(
    request: &mut Request<'a>,
    tool: RawTool<'a>,
    namespace: Option<&str>,
) -> Result<(), Refusal> {
    match tool.kind.as_deref() {
        Some("function") => {}
        Some("namespace") => {
            request.losses.unknown("tools[].", &tool.unknown);
            request.fields.add(Field::ToolNamespaces);
            for member in tool.tools.unwrap_or_default() {
                read_tool(request, member, tool.name.as_deref())?;
            }
            return Ok(());
        }
        Some("custom") => {
            request.fields.add(Field::CustomTools);
            return Ok(());
        }
        kind => {
            request.find(Field::ServerTools, kind.unwrap_or("tools"));
            return Ok(());
        }
    }
    request.losses.unknown("tools[].", &tool.unknown);
    let fields = &mut request.fields;
    fields.add(Field::Tools);
    fields.note(
        Field::ToolStrict,
        tool.strict.filter(|strict| *strict).as_ref(),
    );
    fields.note(Field::ToolExtras, tool.allowed_callers.as_ref());
    fields.note(Field::ToolExtras, tool.defer_loading.as_ref());
    fields.note(Field::ToolExtras, tool.output_schema.as_ref());
    let Some(mut name) = tool.name else {
        return Err(Refusal::shape(API, "a tool has no `name`"));
    };
    if let Some(namespace) = namespace {
        let tool = NamespacedTool::new(namespace, &name);
        name = tool.joined().to_owned().into();
        request.namespaced.push(tool);
    }
    request.tools.push(Tool {
        name,
        description: tool.description,
        parameters: tool.parameters.map(Cow::Borrowed),
        strict: tool.strict,
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
    match (choice.kind.as_deref(), choice.name) {
        (Some("function"), Some(name)) => return Ok(Some(ToolChoice::Named(name))),
        (Some("allowed_tools"), _) => request.fields.add(Field::AllowedTools),
        (Some("custom"), _) => request.fields.add(Field::CustomTools),
        (kind, _) => request.find(Field::ServerTools, kind.unwrap_or("tool_choice")),
    }
    Ok(None)
}

fn read_format<'a>(request: &mut Request<'a>, text: TextConfig<'a>) -> Result<(), Refusal> {
    request.losses.unknown("text.", &text.unknown);
    request
        .fields
        .note(Field::Verbosity, text.verbosity.as_ref());
    let format = text.format.unwrap_or_default();
    request.output = match format.kind.as_deref() {
        Some("text") | None => Output::Text,
        Some("json_object") => {
            request.fields.add(Field::JsonObject);
            Output::JsonObject
        }
        Some("json_schema") => {
            request.fields.add(Field::JsonSchema);
            let Some(schema) = format.schema else {
                return Err(Refusal::shape(API, "`text.format` has no `schema`"));
            };
            Output::JsonSchema {
                name: format.name,
                description: format.description,
                schema: Cow::Borrowed(schema),
                strict: format.strict,
            }
        }
        Some(kind) => {
            return Err(Refusal::shape(API, format!("`text.format` is {kind:?}")));
        }
    };
    Ok(())
}

fn read_depth(request: &mut Request<'_>, reasoning: &RawReasoning<'_>) {
    request.losses.unknown("reasoning.", &reasoning.unknown);
    request.fields.add(Field::Reasoning);
    let effort = reasoning.effort.as_deref();
    let summary = reasoning
        .summary
        .as_ref()
        .or(reasoning.generate_summary.as_ref());
    request.reasoning = Some(Reasoning {
        depth: effort.map_or(Depth::Auto, read_effort),
        is_shown: summary.is_some(),
    });
}
