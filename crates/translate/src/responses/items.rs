//! Writing the items of an answer, whole or in a stream.

use crate::json::{Object, Str};
use crate::namespaces::{NamespacedTool, split};
use crate::seal::{Seal, SealKind};

/// The id of an item, by its place in the answer.
pub(super) fn item_id(kind: &str, answer_id: &str, index: u64) -> String {
    format!("{kind}_{answer_id}_{index}")
}

/// A message with one part.
pub(super) fn message(
    item: &mut Object<'_>,
    id: &str,
    status: &str,
    part: Option<(TextPart, &str)>,
) {
    item.put("id", id)
        .put("type", "message")
        .put("status", status)
        .put("role", "assistant")
        .array("content", |content| {
            if let Some((kind, text)) = part {
                content.object(|object| text_part(object, kind, text));
            }
        });
}

/// A part of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextPart {
    Text,
    Refusal,
}

/// A part with its text.
pub(super) fn text_part(object: &mut Object<'_>, kind: TextPart, text: &str) {
    match kind {
        TextPart::Text => object
            .put("type", "output_text")
            .put("text", text)
            .array("annotations", |_| {})
            .array("logprobs", |_| {}),
        TextPart::Refusal => object.put("type", "refusal").put("refusal", text),
    };
}

/// Reasoning, as far as it is shown, and its seal for the client to bring back.
pub(super) fn reasoning(item: &mut Object<'_>, id: &str, text: &str, seal: Option<&Seal<'_>>) {
    item.put("id", id)
        .put("type", "reasoning")
        .array("summary", |summary| {
            if !text.is_empty() {
                summary.object(|object| {
                    object.put("type", "summary_text").put("text", text);
                });
            }
        });
    item.maybe("encrypted_content", seal.and_then(encrypted));
}

fn encrypted(seal: &Seal<'_>) -> Option<Str<'static>> {
    let slot = seal.for_slot(SealKind::Responses)?;
    // The API's own came with the id of the item it was in.
    let own = slot
        .split_once(':')
        .filter(|_| seal.kind == SealKind::Responses);
    let encrypted = own.map_or(&*slot, |(_, encrypted)| encrypted);
    Some(encrypted.to_owned().into())
}

/// The function that is called: as the model named it, and what is in which namespace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Called<'c> {
    pub(super) id: &'c str,
    pub(super) name: &'c str,
    pub(super) namespaced: &'c [NamespacedTool],
}

/// A call.
pub(super) fn call(
    item: &mut Object<'_>,
    id: &str,
    status: &str,
    called: Called<'_>,
    arguments: &str,
) {
    let (namespace, name) = split(called.namespaced, called.name);
    item.put("id", id)
        .put("type", "function_call")
        .put("status", status)
        .put("call_id", called.id)
        .maybe("namespace", namespace)
        .put("name", name)
        .put("arguments", arguments);
}
