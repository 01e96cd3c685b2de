//! Reading the parts of messages.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};

use serde_json::value::RawValue;

use super::NO_SIGNATURE;
use super::shapes::{Blob, FunctionCall, FunctionResponse, Outcome, Part as RawPart};
use crate::ir::{Media, Part, Request, Role, Source, ToolCall, ToolResult};
use crate::json::{Str, members, static_json};
use crate::rules::Field;
use crate::seal::{Seal, SealKind};

/// `NO_SIGNATURE` as an SDK writes it, which takes it for bytes.
const NO_SIGNATURE_BASE64: &str = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I";

/// The ids of the calls so far. The API may give calls none, but knows which result belongs to which
/// by name and order.
#[derive(Debug, Default)]
pub(super) struct Calls {
    count: usize,
    /// By name, the made ids of those that wait for their results.
    waiting: HashMap<String, VecDeque<String>>,
}

impl Calls {
    fn add<'a>(&mut self, call: &FunctionCall<'a>) -> Str<'a> {
        let number = self.count;
        self.count += 1;
        match &call.id {
            Some(own) if !own.is_empty() => own.clone(),
            _ => {
                let made = format!("call_{number}");
                let name = call.name.as_deref().unwrap_or_default().to_owned();
                let waiting = self.waiting.entry(name).or_default();
                waiting.push_back(made.clone());
                made.into()
            }
        }
    }

    fn take<'a>(&mut self, response: &FunctionResponse<'a>) -> Str<'a> {
        match &response.id {
            Some(own) if !own.is_empty() => own.clone(),
            _ => {
                let name = response.name.clone().unwrap_or_default();
                let waiting = self.waiting.get_mut(&*name);
                let made = waiting.and_then(VecDeque::pop_front);
                made.map_or(name, Str::from)
            }
        }
    }
}

/// The seal of a part, if it has one that says something.
pub(super) fn seal_of(signature: Option<Str<'_>>) -> Option<Seal<'_>> {
    let slot = signature.unwrap_or_default();
    if &*slot == NO_SIGNATURE || slot.trim_end_matches('=') == NO_SIGNATURE_BASE64 {
        return None;
    }
    Seal::from_base64_slot(slot, SealKind::Gemini)
}

/// Reads a part of a request into the conversation.
pub(super) fn read_part<'a>(
    request: &mut Request<'a>,
    role: Role,
    part: RawPart<'a>,
    calls: &mut Calls,
) {
    request.losses.unknown("parts[].", &part.unknown);
    let fields = &mut request.fields;
    fields.note(Field::ImageDetail, part.media_resolution.as_ref());
    fields.note(Field::ServerToolHistory, part.executable_code.as_ref());
    fields.note(
        Field::ServerToolHistory,
        part.code_execution_result.as_ref(),
    );
    fields.note(Field::ServerToolHistory, part.tool_call.as_ref());
    fields.note(Field::ServerToolHistory, part.tool_response.as_ref());
    let seal = seal_of(part.thought_signature);
    if let Some(call) = part.function_call {
        let id = calls.add(&call);
        let is_own = seal
            .as_ref()
            .is_some_and(|seal| seal.kind == SealKind::Gemini);
        let (own, foreign) = if is_own { (seal, None) } else { (None, seal) };
        if foreign.is_some() {
            push_reasoning(request, Str::default(), foreign);
        }
        request.push(
            role,
            Part::ToolCall(ToolCall {
                id,
                name: call.name.unwrap_or_default(),
                arguments: call.args.map_or_else(|| static_json("{}"), Cow::Borrowed),
                seal: own,
            }),
        );
        return;
    }
    if let Some(response) = part.function_response {
        let id = calls.take(&response);
        let result = read_result(request, *response, id);
        request.push(Role::User, Part::ToolResult(result));
        return;
    }
    if part.thought == Some(true) {
        push_reasoning(request, part.text.unwrap_or_default(), seal);
        return;
    }
    for blob in part.inline_data.into_iter().chain(part.file_data) {
        if let Some(media) = read_media(request, *blob) {
            if role == Role::Assistant {
                request.fields.add(Field::AssistantMedia);
            }
            request.push(role, media);
        }
    }
    if let Some(text) = part.text {
        request.push(role, Part::Text(text));
    }
    if seal.is_some() {
        push_reasoning(request, Str::default(), seal);
    }
}

/// Adds reasoning. A streamed answer leaves it in several parts, the last of which is sealed; they
/// are one.
fn push_reasoning<'a>(request: &mut Request<'a>, text: Str<'a>, seal: Option<Seal<'a>>) {
    let last = request
        .turns
        .last_mut()
        .filter(|turn| turn.role == Role::Assistant);
    if let Some(Part::Reasoning {
        text: so_far,
        seal: open @ Some(_),
    }) = last.and_then(|turn| turn.parts.last_mut())
        && *open == Some(Seal::empty(SealKind::Gemini))
    {
        if !text.is_empty() {
            so_far.push_str(&text);
        }
        if seal.is_some() {
            *open = seal;
        }
        return;
    }
    let seal = seal.or_else(|| Some(Seal::empty(SealKind::Gemini)));
    request.push(Role::Assistant, Part::Reasoning { text, seal });
}

fn read_result<'a>(
    request: &mut Request<'a>,
    response: FunctionResponse<'a>,
    id: Str<'a>,
) -> ToolResult<'a> {
    let (text, is_error) = response
        .response
        .map_or((Str::default(), false), result_text);
    if is_error {
        request.fields.add(Field::ToolResultError);
    }
    let mut content = Vec::new();
    if !text.is_empty() {
        content.push(Part::Text(text));
    }
    for part in response.parts.unwrap_or_default() {
        for blob in part.inline_data.into_iter().chain(part.file_data) {
            if let Some(media) = read_media(request, *blob) {
                request.fields.add(Field::ToolResultMedia);
                content.push(media);
            }
        }
    }
    ToolResult {
        id,
        content,
        is_error,
    }
}

/// A result as text, and whether it is a failure. By convention `output` or `result` holds the
/// result and `error` the failure; any other object is carried as JSON.
fn result_text(response: &RawValue) -> (Str<'_>, bool) {
    // Nearly always a text alone; anything else fails here, or has members that are not known.
    let outcome: Outcome<'_> = serde_json::from_str(response.get()).unwrap_or_default();
    match (outcome.output, outcome.result, outcome.error) {
        (Some(text), None, None) | (None, Some(text), None) if outcome.unknown.is_empty() => {
            return (text, false);
        }
        (None, None, Some(text)) if outcome.unknown.is_empty() => return (text, true),
        _ => {}
    }
    let members = members(response.get()).unwrap_or_default();
    match members.as_slice() {
        [(name, value)] if matches!(&**name, "output" | "result") => (value.get().into(), false),
        [(name, value)] if &**name == "error" => (value.get().into(), true),
        _ => (response.get().into(), false),
    }
}

/// Bytes or an address as image or document; `None` for what is not carried, which is noted then.
fn read_media<'a>(request: &mut Request<'a>, blob: Blob<'a>) -> Option<Part<'a>> {
    let mime_type = blob.mime_type.unwrap_or_default();
    let is_image = mime_type.starts_with("image/");
    let is_document = mime_type.starts_with("text/") || &*mime_type == "application/pdf";
    if mime_type.starts_with("audio/") || mime_type.starts_with("video/") {
        request.fields.add(Field::Audio);
        return None;
    }
    let source = match (blob.data, blob.file_uri) {
        (Some(data), _) => Source::Base64 {
            media_type: mime_type.clone(),
            data,
        },
        (None, Some(uri)) if is_public(&uri) => Source::Url(uri),
        (None, _) => {
            request.fields.add(Field::File);
            return None;
        }
    };
    if !is_image && !is_document {
        request.find(Field::UnknownContent, &mime_type);
        return None;
    }
    let media = Media {
        source,
        name: blob.display_name,
    };
    if is_image {
        request.fields.add(Field::Image);
        return Some(Part::Image(media));
    }
    request.fields.add(Field::Document);
    if matches!(media.source, Source::Url(_)) {
        request.fields.add(Field::DocumentUrl);
    }
    Some(Part::Document(media))
}

/// Whether an address is for everybody: uploaded files have addresses of Google's, too.
fn is_public(uri: &str) -> bool {
    uri.starts_with("https://") && !uri.starts_with("https://generativelanguage.googleapis.com/")
}
