//! Reading the parts of messages.

use super::shapes::{Attachment, ContentPart, ImageUrl};
use crate::api::Api;
use crate::ir::{Media, Part, Request, Source};
use crate::json::{OneOrMany, Str, WordOr};
use crate::losses::Refusal;
use crate::rules::Field;

/// Content as parts: a plain string is one text.
pub(super) fn read_parts<'a>(
    request: &mut Request<'a>,
    content: Option<OneOrMany<'a, ContentPart<'a>>>,
) -> Result<Vec<Part<'a>>, Refusal> {
    match content {
        None | Some(OneOrMany::Other) => Ok(Vec::new()),
        Some(OneOrMany::One(text)) => Ok(vec![Part::Text(text)]),
        Some(OneOrMany::Many(many)) => {
            let mut parts = Vec::with_capacity(many.len());
            for part in many {
                parts.extend(read_part(request, part)?);
            }
            Ok(parts)
        }
    }
}

/// A part; `None` if it cannot be carried, which is noted then.
fn read_part<'a>(
    request: &mut Request<'a>,
    part: ContentPart<'a>,
) -> Result<Option<Part<'a>>, Refusal> {
    request.losses.unknown("content[].", &part.unknown);
    request
        .fields
        .note(Field::CacheControl, part.cache_control.as_ref());
    request
        .fields
        .note(Field::CacheControl, part.prompt_cache_breakpoint.as_ref());
    let kind = part.kind.unwrap_or_default();
    Ok(Some(match &*kind {
        "text" => Part::Text(part.text.unwrap_or_default()),
        "refusal" => Part::Refusal(part.refusal.unwrap_or_default()),
        "image_url" => {
            request.fields.add(Field::Image);
            let (url, detail) = match part.image_url {
                Some(WordOr::Word(url)) => (Some(url), None),
                Some(WordOr::Object(image)) => {
                    let ImageUrl { url, detail, .. } = *image;
                    (url, detail)
                }
                None => (None, None),
            };
            let detail = detail.filter(|detail| &**detail != "auto");
            request.fields.note(Field::ImageDetail, detail.as_ref());
            let Some(url) = url else {
                return Err(Refusal::shape(
                    Api::ChatCompletions,
                    "an image has no `url`",
                ));
            };
            let source = read_data_uri(url);
            Part::Image(Media { source, name: None })
        }
        "file" => return Ok(read_file(request, *part.file.unwrap_or_default())),
        "input_audio" => {
            request.fields.add(Field::Audio);
            return Ok(None);
        }
        _ => {
            request.find(Field::UnknownContent, &kind);
            return Ok(None);
        }
    }))
}

fn read_file<'a>(request: &mut Request<'a>, file: Attachment<'a>) -> Option<Part<'a>> {
    request.fields.add(Field::Document);
    let Some(data) = file.file_data else {
        request.fields.add(Field::File);
        return None;
    };
    let source = match read_data_uri(data) {
        // Plain base64, without saying of what.
        Source::Url(data) if !data.contains("://") => Source::Base64 {
            media_type: "application/pdf".into(),
            data,
        },
        source => source,
    };
    let name = file.filename;
    Some(Part::Document(Media { source, name }))
}

/// An image's or file's bytes: `data:image/png;base64,…`, or where they are.
pub(crate) fn read_data_uri(url: Str<'_>) -> Source<'_> {
    let split = url.strip_prefix("data:").and_then(|rest| {
        let comma = rest.find(',')?;
        let media_type = rest.get(..comma)?.strip_suffix(";base64")?;
        let end = media_type.find(';').unwrap_or(media_type.len());
        Some((media_type.get(..end)?.to_owned(), "data:".len() + comma + 1))
    });
    match split {
        Some((media_type, data)) => Source::Base64 {
            media_type: media_type.into(),
            data: url.slice(data),
        },
        None => Source::Url(url),
    }
}
