//! Changing a member of a request body and not one byte more.
//!
//! Prompt caches and signatures are over the bytes, and re-serialising changes numbers, order and
//! escapes; so a change is cut into the text at the place that [`peek`](crate::peek()) found.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::peek::{Peek, SubagentTag, UsageSlot};

const STREAM_OPTIONS: &str = r#""stream_options":{"include_usage":true}"#;

/// The body to send upstream: with another model's name (in Gemini's API, where the path has it, wherever the
/// body repeats it), and asking for the usage chunk of a
/// stream if `inject_usage` is set, the body is streamed, and it does not ask already.
///
/// `peek` must be what [`peek`](crate::peek()) read from this very body. When nothing changes the
/// same bytes are handed back, not copied.
#[must_use]
pub fn upstream_body(body: &Bytes, peek: &Peek, model: Option<&str>, inject_usage: bool) -> Bytes {
    let mut edits: SmallVec<[Edit; 3]> = SmallVec::new();
    let mut added: SmallVec<[Cow<'static, str>; 2]> = SmallVec::new();
    if let Some(new) = model {
        match &peek.model {
            _ if peek.repeated_models.is_some() => {
                let repeated = peek.repeated_models.iter().flatten();
                edits.extend(repeated.filter_map(|range| repeated_model(body, range, new)));
            }
            Some(old) if old.name == new => {}
            Some(old) => edits.push((old.range.clone(), json_string(new).into())),
            None => added.push(format!(r#""model":{}"#, json_string(new)).into()),
        }
    }
    if inject_usage && peek.stream {
        match usage_edit(&peek.usage_slot) {
            UsageEdit::None => {}
            UsageEdit::Add => added.push(STREAM_OPTIONS.into()),
            UsageEdit::At(edit) => edits.push(edit),
        }
    }
    if !added.is_empty() {
        let comma = if peek.end.is_empty { "" } else { "," };
        let text = format!("{comma}{}", added.join(","));
        edits.push((peek.end.brace..peek.end.brace, text.into()));
    }
    apply(body, edits)
}

/// The model of a path, where the body has another in its place. It is written as the name of a resource
/// there, or as it is.
fn repeated_model(body: &Bytes, range: &Range<usize>, new: &str) -> Option<Edit> {
    const RESOURCE: &str = "models/";
    let old: Cow<'_, str> = serde_json::from_slice(body.get(range.clone())?).ok()?;
    let bare = new.strip_prefix(RESOURCE).unwrap_or(new);
    if old.strip_prefix(RESOURCE).unwrap_or(&old) == bare {
        return None;
    }
    let written = json_string(&format!("{RESOURCE}{bare}"));
    Some((range.clone(), written.into()))
}

/// Takes the model that a subagent's prompt names out of a request: the name, and the body without the tag
/// that named it. `None` if there is no tag.
///
/// `peek` must be what [`peek`](crate::peek()) read from this very body, and is that of the new one
/// afterwards.
#[must_use]
pub fn take_subagent_model(body: &Bytes, peek: &mut Peek) -> Option<(String, Bytes)> {
    let SubagentTag { model, range } = peek.tag.take()?;
    let moved = |at: &mut usize| {
        if *at >= range.end {
            *at -= range.len();
        }
    };
    if let Some(field) = &mut peek.model {
        moved(&mut field.range.start);
        moved(&mut field.range.end);
    }
    match &mut peek.usage_slot {
        UsageSlot::Null(place) | UsageSlot::Value(place) => {
            moved(&mut place.start);
            moved(&mut place.end);
        }
        UsageSlot::Object { after_brace, .. } => moved(after_brace),
        UsageSlot::Absent | UsageSlot::Present => {}
    }
    for repeated in peek.repeated_models.iter_mut().flatten() {
        moved(&mut repeated.start);
        moved(&mut repeated.end);
    }
    moved(&mut peek.end.brace);
    let edits = SmallVec::from_iter([(range, Cow::Borrowed(""))]);
    Some((model, apply(body, edits)))
}

type Edit = (Range<usize>, Cow<'static, str>);

enum UsageEdit {
    None,
    Add,
    At(Edit),
}

fn usage_edit(slot: &UsageSlot) -> UsageEdit {
    match slot {
        UsageSlot::Present => UsageEdit::None,
        UsageSlot::Absent => UsageEdit::Add,
        UsageSlot::Null(range) => {
            UsageEdit::At((range.clone(), r#"{"include_usage":true}"#.into()))
        }
        UsageSlot::Value(range) => UsageEdit::At((range.clone(), "true".into())),
        UsageSlot::Object {
            after_brace,
            is_empty,
        } => {
            let comma = if *is_empty { "" } else { "," };
            let text = format!(r#""include_usage":true{comma}"#);
            UsageEdit::At((*after_brace..*after_brace, text.into()))
        }
    }
}

fn apply(body: &Bytes, mut edits: SmallVec<[Edit; 3]>) -> Bytes {
    if edits.is_empty() {
        return body.clone();
    }
    edits.sort_by_key(|(range, _)| range.start);
    let growth: usize = edits.iter().map(|(_, text)| text.len()).sum();
    let mut out = Vec::with_capacity(body.len() + growth);
    let mut done = 0;
    for (range, text) in edits {
        out.extend_from_slice(body.get(done..range.start).unwrap_or_default());
        out.extend_from_slice(text.as_bytes());
        done = range.end;
    }
    out.extend_from_slice(body.get(done..).unwrap_or_default());
    out.into()
}

fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests;
