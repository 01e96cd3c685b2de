//! Reading a client's request.

use std::borrow::Cow;

use super::shapes::{
    Block, Body, Message, OutputConfig, Source as RawSource, Thinking, Tool as RawTool,
    ToolChoice as RawChoice,
};
use crate::api::Api;
use crate::ir::{
    Depth, Effort, Media, Output, Part, Reasoning, Request, Role, Source, Tool, ToolCall,
    ToolChoice, ToolResult,
};
use crate::json::{OneOrMany, Str, WordOr, read_object, static_json};
use crate::losses::Refusal;
use crate::rules::Field;
use crate::seal::{Seal, SealKind};

/// Reads a body.
pub(crate) fn read_request(body: &[u8]) -> Result<Request<'_>, Refusal> {
    let body: Body<'_> = read_object(body).map_err(|error| Refusal::shape(Api::Messages, error))?;
    let Some(messages) = body.messages else {
        return Err(Refusal::shape(Api::Messages, "`messages` is missing"));
    };
    let mut request = Request {
        stream: body.stream.unwrap_or(false),
        stream_usage: true,
        max_output_tokens: body.max_tokens,
        temperature: body.temperature,
        top_p: body.top_p,
        top_k: body.top_k,
        stop: body.stop_sequences.unwrap_or_default(),
        ..Request::default()
    };
    request.losses.unknown("", &body.unknown);
    let fields = &mut request.fields;
    fields.note(Field::MaxTokens, body.max_tokens.as_ref());
    fields.note(Field::Temperature, body.temperature.as_ref());
    fields.note(Field::TopP, body.top_p.as_ref());
    fields.note(Field::TopK, body.top_k.as_ref());
    fields.note(Field::Stop, request.stop.first());
    fields.note(Field::CacheControl, body.cache_control.as_ref());
    fields.note(Field::ServiceTier, body.service_tier.as_ref());
    fields.note(Field::ServiceTier, body.speed.as_ref());
    fields.note(Field::ContextManagement, body.context_management.as_ref());
    fields.note(Field::Metadata, body.diagnostics.as_ref());
    fields.note(Field::Region, body.inference_geo.as_ref());
    fields.note(Field::AccountState, body.container.as_ref());
    fields.note(Field::AccountState, body.previous_message_id.as_ref());
    let servers = body.mcp_servers.unwrap_or_default();
    fields.note(Field::ServerTools, servers.first());
    request.user = body.metadata.and_then(|metadata| {
        request.losses.unknown("metadata.", &metadata.unknown);
        metadata.user_id
    });
    request.fields.note(Field::User, request.user.as_ref());

    read_system(&mut request, body.system);
    for message in messages {
        read_message(&mut request, message)?;
    }
    for tool in body.tools.unwrap_or_default() {
        read_tool(&mut request, tool)?;
    }
    read_choice(&mut request, body.tool_choice)?;
    read_reasoning(&mut request, body.thinking.as_ref(), body.output_config)?;
    Ok(request)
}

fn read_system<'a>(request: &mut Request<'a>, system: Option<OneOrMany<'a, Block<'a>>>) {
    for block in blocks_of(system) {
        note_block(request, &block);
        request.push_system(block.text.unwrap_or_default());
    }
}

/// Content as blocks: a plain string is a text block.
fn blocks_of<'a>(content: Option<OneOrMany<'a, Block<'a>>>) -> Vec<Block<'a>> {
    match content {
        None | Some(OneOrMany::Other) => Vec::new(),
        Some(OneOrMany::Many(blocks)) => blocks,
        Some(OneOrMany::One(text)) => vec![Block {
            kind: Some("text".into()),
            text: Some(text),
            ..Block::default()
        }],
    }
}

/// Notes the members that any block may have and that are not carried.
fn note_block(request: &mut Request<'_>, block: &Block<'_>) {
    let fields = &mut request.fields;
    fields.note(Field::CacheControl, block.cache_control.as_ref());
    fields.note(Field::ToolExtras, block.toolset_name.as_ref());
    let citations = block.citations.map_or("[]", |raw| raw.get());
    if citations != "[]" {
        fields.add(Field::Citations);
    }
    request.losses.unknown("content[].", &block.unknown);
}

fn read_message<'a>(request: &mut Request<'a>, message: Message<'a>) -> Result<(), Refusal> {
    request.losses.unknown("messages[].", &message.unknown);
    let role = match message.role.as_deref() {
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some("system") => Role::System,
        other => {
            let role = other.unwrap_or("none");
            return Err(Refusal::shape(
                Api::Messages,
                format!("role `{role}` is not known"),
            ));
        }
    };
    let parts = read_parts(request, role, message.content)?;
    if role != Role::System {
        request.push_all(role, parts);
        return Ok(());
    }
    for part in parts {
        match part {
            Part::Text(text) => request.push_system(text),
            _ => request.find(Field::UnknownContent, "media in `system`"),
        }
    }
    Ok(())
}

/// Content as parts: a plain string is one text.
fn read_parts<'a>(
    request: &mut Request<'a>,
    role: Role,
    content: Option<OneOrMany<'a, Block<'a>>>,
) -> Result<Vec<Part<'a>>, Refusal> {
    match content {
        None | Some(OneOrMany::Other) => Ok(Vec::new()),
        Some(OneOrMany::One(text)) => Ok(vec![Part::Text(text)]),
        Some(OneOrMany::Many(blocks)) => {
            let mut parts = Vec::with_capacity(blocks.len());
            for block in blocks {
                note_block(request, &block);
                parts.extend(read_block(request, role, block)?);
            }
            Ok(parts)
        }
    }
}

fn read_block<'a>(
    request: &mut Request<'a>,
    role: Role,
    block: Block<'a>,
) -> Result<Option<Part<'a>>, Refusal> {
    let kind = block.kind.unwrap_or_default();
    let part = match &*kind {
        "text" => Part::Text(block.text.unwrap_or_default()),
        "thinking" => Part::Reasoning {
            text: block.thinking.unwrap_or_default(),
            seal: Seal::from_slot(block.signature.unwrap_or_default(), SealKind::Anthropic),
        },
        "redacted_thinking" => Part::Reasoning {
            text: Str::default(),
            seal: Seal::from_slot(block.data.unwrap_or_default(), SealKind::Redacted),
        },
        "tool_use" => Part::ToolCall(ToolCall {
            id: block.id.unwrap_or_default(),
            name: block.name.unwrap_or_default(),
            arguments: block.input.map_or_else(|| static_json("{}"), Cow::Borrowed),
            seal: None,
        }),
        "tool_result" => {
            let is_error = block.is_error.unwrap_or(false);
            if is_error {
                request.fields.add(Field::ToolResultError);
            }
            let content = read_parts(request, Role::User, block.content)?;
            for part in &content {
                match part {
                    Part::Text(_) => {}
                    Part::Image(_) | Part::Document(_) => {
                        request.fields.add(Field::ToolResultMedia);
                    }
                    _ => request.find(Field::UnknownContent, "tool_result.content"),
                }
            }
            Part::ToolResult(ToolResult {
                id: block.tool_use_id.unwrap_or_default(),
                content,
                is_error,
            })
        }
        "image" | "document" if role == Role::Assistant => {
            request.fields.add(Field::AssistantMedia);
            return Ok(None);
        }
        "image" => {
            request.fields.add(Field::Image);
            return Ok(read_source(request, block.source)?
                .map(|source| Part::Image(Media { source, name: None })));
        }
        "document" => {
            request.fields.add(Field::Document);
            request
                .fields
                .note(Field::DocumentExtras, block.context.as_ref());
            let name = block.title;
            let source = read_source(request, block.source)?;
            if matches!(source, Some(Source::Url(_))) {
                request.fields.add(Field::DocumentUrl);
            }
            return Ok(source.map(|source| Part::Document(Media { source, name })));
        }
        "search_result" => Part::Text(search_result(block.source, block.title, block.content)),
        "server_tool_use" => {
            request.fields.add(Field::ServerToolHistory);
            return Ok(None);
        }
        result if result.ends_with("_tool_result") => {
            request.fields.add(Field::ServerToolHistory);
            return Ok(None);
        }
        "container_upload" => {
            request.find(Field::File, &kind);
            return Ok(None);
        }
        _ => {
            request.find(Field::UnknownContent, &kind);
            return Ok(None);
        }
    };
    Ok(Some(part))
}

fn read_source<'a>(
    request: &mut Request<'a>,
    source: Option<WordOr<'a, RawSource<'a>>>,
) -> Result<Option<Source<'a>>, Refusal> {
    let Some(WordOr::Object(source)) = source else {
        return Err(Refusal::shape(Api::Messages, "a block has no `source`"));
    };
    let RawSource {
        kind,
        media_type,
        data,
        url,
        content,
        ..
    } = *source;
    Ok(match kind.as_deref() {
        Some("base64") => Some(Source::Base64 {
            media_type: media_type.unwrap_or_default(),
            data: data.unwrap_or_default(),
        }),
        Some("url") => Some(Source::Url(url.unwrap_or_default())),
        Some("text") => Some(Source::Text(data.unwrap_or_default())),
        Some("content") => Some(Source::Text(joined_text(content))),
        Some("file") => {
            request.fields.add(Field::File);
            None
        }
        other => {
            request.find(Field::UnknownContent, other.unwrap_or("source"));
            None
        }
    })
}

fn joined_text<'a>(content: Option<OneOrMany<'a, Block<'a>>>) -> Str<'a> {
    let mut texts = blocks_of(content)
        .into_iter()
        .filter_map(|block| block.text);
    let mut joined = texts.next().unwrap_or_default();
    for text in texts {
        joined.push_str("\n");
        joined.push_str(&text);
    }
    joined
}

/// A search result as text: no other API has a place for one.
fn search_result<'a>(
    source: Option<WordOr<'a, RawSource<'a>>>,
    title: Option<Str<'a>>,
    content: Option<OneOrMany<'a, Block<'a>>>,
) -> Str<'a> {
    let source = match source {
        Some(WordOr::Word(source)) => source,
        _ => Str::default(),
    };
    let (title, text) = (title.unwrap_or_default(), joined_text(content));
    Str::from(format!("{}\n{}\n{}", &*title, &*source, &*text))
}

fn read_tool<'a>(request: &mut Request<'a>, tool: RawTool<'a>) -> Result<(), Refusal> {
    if let Some(kind) = tool.kind.as_deref().filter(|kind| *kind != "custom") {
        request.find(Field::ServerTools, kind);
        return Ok(());
    }
    let fields = &mut request.fields;
    fields.add(Field::Tools);
    fields.note(Field::ToolStrict, tool.strict.as_ref());
    fields.note(Field::CacheControl, tool.cache_control.as_ref());
    fields.note(Field::ToolExtras, tool.defer_loading.as_ref());
    fields.note(Field::ToolExtras, tool.allowed_callers.as_ref());
    fields.note(Field::ToolExtras, tool.eager_input_streaming.as_ref());
    fields.note(Field::ToolExtras, tool.input_examples.as_ref());
    request.losses.unknown("tools[].", &tool.unknown);
    let Some(name) = tool.name else {
        return Err(Refusal::shape(Api::Messages, "a tool has no `name`"));
    };
    request.tools.push(Tool {
        name,
        description: tool.description,
        parameters: tool.input_schema.map(Cow::Borrowed),
        strict: tool.strict,
    });
    Ok(())
}

fn read_choice<'a>(
    request: &mut Request<'a>,
    choice: Option<RawChoice<'a>>,
) -> Result<(), Refusal> {
    let Some(choice) = choice else {
        return Ok(());
    };
    request.losses.unknown("tool_choice.", &choice.unknown);
    request.fields.add(Field::ToolChoice);
    if let Some(is_serial) = choice.disable_parallel_tool_use {
        request.parallel_tool_calls = Some(!is_serial);
        if is_serial {
            request.fields.add(Field::ParallelToolCalls);
        }
    }
    request.tool_choice = Some(match (choice.kind.as_deref(), choice.name) {
        (Some("auto"), _) => ToolChoice::Auto,
        (Some("any"), _) => ToolChoice::Any,
        (Some("none"), _) => ToolChoice::None,
        (Some("tool"), Some(name)) => ToolChoice::Named(name),
        (kind, _) => {
            let message = format!("`tool_choice.type` is {:?}", kind.unwrap_or("missing"));
            return Err(Refusal::shape(Api::Messages, message));
        }
    });
    Ok(())
}

fn read_reasoning<'a>(
    request: &mut Request<'a>,
    thinking: Option<&Thinking<'a>>,
    config: Option<OutputConfig<'a>>,
) -> Result<(), Refusal> {
    let config = config.unwrap_or_default();
    request.losses.unknown("output_config.", &config.unknown);
    let effort = config.effort.as_deref().and_then(Effort::from_name);
    let worded = effort.map_or(Depth::Auto, Depth::Effort);
    let (depth, is_shown) = match thinking {
        None => (effort.map(Depth::Effort), false),
        Some(thinking) => {
            request.losses.unknown("thinking.", &thinking.unknown);
            let depth = match (thinking.kind.as_deref(), thinking.budget_tokens) {
                (Some("disabled"), _) => Depth::Off,
                (Some("enabled"), Some(tokens)) if effort.is_none() => Depth::Budget(tokens),
                _ => worded,
            };
            let is_shown = thinking.display.as_deref() != Some("omitted");
            (Some(depth), is_shown && depth != Depth::Off)
        }
    };
    request.reasoning = depth.map(|depth| Reasoning { depth, is_shown });
    request.fields.note(Field::Reasoning, depth.as_ref());
    if let Some(format) = config.format {
        let (Some("json_schema"), Some(schema)) = (format.kind.as_deref(), format.schema) else {
            let message = "`output_config.format` is not a JSON schema";
            return Err(Refusal::shape(Api::Messages, message));
        };
        request.fields.add(Field::JsonSchema);
        request.output = Output::JsonSchema {
            name: None,
            description: None,
            schema: Cow::Borrowed(schema),
            strict: Some(true),
        };
    }
    Ok(())
}
