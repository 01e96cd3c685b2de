//! Reading items and the parts of messages.

use super::shapes::{ContentPart, Item};
use crate::api::Api;
use crate::chat::{read_arguments, read_data_uri};
use crate::ir::{Media, Part, Request, Source, ToolCall};
use crate::json::{OneOrMany, Str};
use crate::losses::Refusal;
use crate::namespaces::joined;
use crate::rules::Field;
use crate::seal::{Seal, SealKind};

/// Content as parts: a plain string is a text part.
pub(super) fn parts_of<'a>(
    content: Option<OneOrMany<'a, ContentPart<'a>>>,
) -> Vec<ContentPart<'a>> {
    match content {
        None | Some(OneOrMany::Other) => Vec::new(),
        Some(OneOrMany::Many(parts)) => parts,
        Some(OneOrMany::One(text)) => vec![ContentPart {
            kind: Some("input_text".into()),
            text: Some(text),
            ..ContentPart::default()
        }],
    }
}

/// A part of a request; `None` if it cannot be carried, which is noted then.
pub(super) fn read_part<'a>(
    request: &mut Request<'a>,
    part: ContentPart<'a>,
) -> Result<Option<Part<'a>>, Refusal> {
    request.losses.unknown("content[].", &part.unknown);
    let fields = &mut request.fields;
    fields.note(Field::CacheControl, part.prompt_cache_breakpoint.as_ref());
    let annotations = part.annotations.as_deref().unwrap_or_default();
    fields.note(Field::Citations, annotations.first());
    let kind = part.kind.unwrap_or_default();
    match &*kind {
        "input_text" | "output_text" | "text" => {
            Ok(Some(Part::Text(part.text.unwrap_or_default())))
        }
        "refusal" => Ok(Some(Part::Refusal(part.refusal.unwrap_or_default()))),
        "input_image" => {
            fields.add(Field::Image);
            let detail = part.detail.filter(|detail| &**detail != "auto");
            fields.note(Field::ImageDetail, detail.as_ref());
            fields.note(Field::File, part.file_id.as_ref());
            let Some(url) = part.image_url else {
                return match part.file_id {
                    Some(_) => Ok(None),
                    None => Err(Refusal::shape(
                        Api::Responses,
                        "an image has no `image_url`",
                    )),
                };
            };
            let source = read_data_uri(url);
            Ok(Some(Part::Image(Media { source, name: None })))
        }
        "input_file" => {
            fields.add(Field::Document);
            let name = part.filename;
            let source = match (part.file_data, part.file_url) {
                (Some(data), _) => document(data),
                (None, Some(url)) => {
                    fields.add(Field::DocumentUrl);
                    Source::Url(url)
                }
                (None, None) => {
                    fields.add(Field::File);
                    return Ok(None);
                }
            };
            Ok(Some(Part::Document(Media { source, name })))
        }
        "input_audio" => {
            fields.add(Field::Audio);
            Ok(None)
        }
        _ => {
            request.find(Field::UnknownContent, &kind);
            Ok(None)
        }
    }
}

/// A file's bytes; plain base64 does not say of what.
fn document(data: Str<'_>) -> Source<'_> {
    match read_data_uri(data) {
        Source::Url(data) => Source::Base64 {
            media_type: "application/pdf".into(),
            data,
        },
        source => source,
    }
}

/// A reasoning item: what is shown of it, and its sealed form with its id before it.
pub(super) fn read_reasoning(item: Item<'_>) -> Part<'_> {
    let mut shown = item.summary.unwrap_or_default();
    if shown.is_empty() {
        shown = parts_of(item.content);
    }
    let mut texts = shown.into_iter().filter_map(|part| part.text);
    let mut text = texts.next().unwrap_or_default();
    for more in texts {
        text.push_str(
            "

",
        );
        text.push_str(&more);
    }
    let slot = item.encrypted_content.unwrap_or_default();
    let seal = Seal::from_slot(slot, SealKind::Responses);
    let seal = seal.map_or(Seal::empty(SealKind::Responses), |seal| {
        if seal.kind == SealKind::Responses {
            let id = item.id.unwrap_or_default();
            let data = Str::from(format!("{}:{}", &*id, &*seal.data));
            Seal { data, ..seal }
        } else {
            seal
        }
    });
    Part::Reasoning {
        text,
        seal: Some(seal),
    }
}

/// A call, and whether its arguments were a JSON object.
pub(super) fn read_call(item: Item<'_>) -> (ToolCall<'_>, bool) {
    let (arguments, is_object) = read_arguments(item.arguments.unwrap_or_default());
    let name = item.name.unwrap_or_default();
    let call = ToolCall {
        id: item.call_id.or(item.id).unwrap_or_default(),
        name: match item.namespace.filter(|namespace| !namespace.is_empty()) {
            Some(namespace) => joined(&namespace, &name).into(),
            None => name,
        },
        arguments,
        seal: None,
    };
    (call, is_object)
}
