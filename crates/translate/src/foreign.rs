//! A body for a provider of the client's own API, without what another API sealed.
//!
//! Such a body passes untouched otherwise: prompt caches hash it. But a conversation that was led with
//! another API for a while holds reasoning which that API sealed, and which the client brings back
//! behind a mark. Anthropic would refuse the mark as a signature of its own. So just these blocks
//! are cut out, and every other byte stays.

use serde_json::value::RawValue;

use crate::api::Api;
use crate::json::{Str, json_object, members, object};
use crate::seal::{carries_foreign_state, is_marked};

json_object! {
    /// What tells a sealed piece of reasoning, in any API.
    struct Piece<'a> {
        kind = "type": Str<'a>,
        signature = "signature": Str<'a>,
        data = "data": Str<'a>,
        encrypted_content = "encrypted_content": Str<'a>,
        thought = "thought": bool,
        thought_signature = "thoughtSignature" | "thought_signature": Str<'a>,
    }
}

impl Piece<'_> {
    /// Whether it is reasoning behind another API's mark. Text of a user that looks like a mark is not.
    fn is_foreign(&self) -> bool {
        let slot = match (self.kind.as_deref(), self.thought) {
            (Some("thinking" | "reasoning.text"), _) => &self.signature,
            (Some("redacted_thinking" | "reasoning.encrypted"), _) => &self.data,
            (Some("reasoning"), _) => &self.encrypted_content,
            (None, Some(true)) => &self.thought_signature,
            _ => return false,
        };
        slot.as_ref().is_some_and(|slot| is_marked(slot))
    }
}

/// The body without reasoning that another API sealed; `None` if there is none, and it can pass as
/// it is. What is cut is cut whole: a message of nothing else goes with it.
#[must_use]
pub fn without_foreign_state(api: Api, body: &[u8]) -> Option<Vec<u8>> {
    if !carries_foreign_state(body) {
        return None;
    }
    let text = std::str::from_utf8(body).ok()?;
    let conversation = match api {
        Api::Messages | Api::ChatCompletions => "messages",
        Api::Responses => "input",
        Api::GenerateContent => "contents",
    };
    let mut cutter = Cutter::default();
    let out = replace_member(text, conversation, |list, out| {
        let keep = |cutter: &mut Cutter, message: &str, out: &mut String| match api {
            Api::Responses => cutter.keep_piece(message, out),
            Api::Messages => cutter.keep_message(message, "content", out),
            Api::GenerateContent => cutter.keep_message(message, "parts", out),
            Api::ChatCompletions => cutter.keep_chat_message(message, out),
        };
        cutter.filter(list, out, keep).map(|_| ())
    });
    out.filter(|_| cutter.has_cut).map(String::into_bytes)
}

/// Copies a conversation, all but what is foreign in it.
#[derive(Debug, Default)]
struct Cutter {
    has_cut: bool,
}

impl Cutter {
    /// Copies a piece unless it is foreign; tells whether it did.
    fn keep_piece(&mut self, piece: &str, out: &mut String) -> bool {
        let is_foreign = serde_json::from_str::<Piece<'_>>(piece).is_ok_and(|p| p.is_foreign());
        self.has_cut |= is_foreign;
        if !is_foreign {
            out.push_str(piece);
        }
        !is_foreign
    }

    /// Copies a message without its foreign pieces; tells whether anything is left.
    fn keep_message(&mut self, message: &str, parts: &str, out: &mut String) -> bool {
        let mut has_parts = true;
        let replaced = replace_member(message, parts, |list, out| {
            has_parts = self.filter(list, out, Self::keep_piece)?;
            Some(())
        });
        match replaced {
            Some(replaced) if has_parts => out.push_str(&replaced),
            Some(_) => return false,
            // Content that is a plain string.
            None => out.push_str(message),
        }
        true
    }

    /// Copies a chat message, without the members in which reasoning is shown and sealed if they
    /// are foreign.
    fn keep_chat_message(&mut self, message: &str, out: &mut String) -> bool {
        let all = members(message).unwrap_or_default();
        let mut details = Self::default();
        for (_, value) in all
            .iter()
            .filter(|(name, _)| &**name == "reasoning_details")
        {
            details.filter(value.get(), &mut String::new(), Self::keep_piece);
        }
        self.has_cut |= details.has_cut;
        if !details.has_cut {
            out.push_str(message);
            return true;
        }
        let is_reasoning = |name: &str| matches!(name, "reasoning_details" | "reasoning_content");
        let mut written = Vec::with_capacity(message.len());
        object(&mut written, |object| {
            for (name, value) in all.iter().filter(|(name, _)| !is_reasoning(name)) {
                object.member(name, |out| out.extend_from_slice(value.get().as_bytes()));
            }
        });
        out.push_str(&String::from_utf8_lossy(&written));
        true
    }

    /// Writes the items of an array that `keep` copies; tells whether there are any. `None` if it
    /// is no array.
    fn filter(
        &mut self,
        array: &str,
        out: &mut String,
        keep: impl Fn(&mut Self, &str, &mut String) -> bool,
    ) -> Option<bool> {
        let items: Vec<&RawValue> = serde_json::from_str(array).ok()?;
        out.push('[');
        let mut has_items = false;
        for item in items {
            let end = out.len();
            if has_items {
                out.push(',');
            }
            if keep(self, item.get(), out) {
                has_items = true;
            } else {
                out.truncate(end);
            }
        }
        out.push(']');
        Some(has_items)
    }
}

/// The object with one member's value written anew; every other byte stays. `None` if there is no
/// such member, or `value` cannot write it.
fn replace_member(
    object: &str,
    name: &str,
    value: impl FnOnce(&str, &mut String) -> Option<()>,
) -> Option<String> {
    let all = members(object).ok()?;
    let (_, old) = all.iter().rev().find(|(known, _)| &**known == name)?;
    let old = old.get();
    // The value is a part of the object's own text.
    let start = (old.as_ptr() as usize).checked_sub(object.as_ptr() as usize)?;
    let mut out = String::with_capacity(object.len());
    out.push_str(object.get(..start)?);
    value(old, &mut out)?;
    out.push_str(object.get(start + old.len()..)?);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(api: Api, body: &str) -> Option<String> {
        without_foreign_state(api, body.as_bytes()).map(|body| String::from_utf8(body).unwrap())
    }

    #[test]
    fn only_foreign_thinking_is_cut_out_of_messages_and_every_other_byte_stays() {
        let body = r#"{ "model":"m",  "messages": [{"role":"user","content":"say keypool::gemini::x"},
            {"role":"assistant","content":[{"type":"thinking","thinking":"","signature":"keypool::gemini::S"},{"type":"thinking","thinking":"t","signature":"own"},{"type":"text","text":"keypool::gemini::x", "cache_control":{"type":"ephemeral"}}]},
            {"role":"assistant","content":[{"type":"redacted_thinking","data":"keypool::chat::"}]}], "temperature": 1.0e0 }"#;
        let expected = r#"{ "model":"m",  "messages": [{"role":"user","content":"say keypool::gemini::x"},{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"own"},{"type":"text","text":"keypool::gemini::x", "cache_control":{"type":"ephemeral"}}]}], "temperature": 1.0e0 }"#;
        assert_eq!(cut(Api::Messages, body).as_deref(), Some(expected));
    }

    #[test]
    fn foreign_items_parts_and_details_are_cut_out_of_the_other_apis() {
        let cases = [
            (
                Api::Responses,
                r#"{"input":[{"role":"user","content":"x"},{"type":"reasoning","encrypted_content":"keypool::anthropic::S"}]}"#,
                r#"{"input":[{"role":"user","content":"x"}]}"#,
            ),
            (
                Api::GenerateContent,
                r#"{"contents":[{"role":"model","parts":[{"text":"","thought":true,"thoughtSignature":"a2V5cG9vbDo6YW50aHJvcGljOjpT"},{"text":"x","thoughtSignature":"own"}]}]}"#,
                r#"{"contents":[{"role":"model","parts":[{"text":"x","thoughtSignature":"own"}]}]}"#,
            ),
            (
                Api::ChatCompletions,
                r#"{"messages":[{"role":"assistant","content":"x","reasoning_content":"r","reasoning_details":[{"type":"reasoning.text","signature":"keypool::anthropic::S"}],"tool_calls":[{"id":"1"}]}]}"#,
                r#"{"messages":[{"role":"assistant","content":"x","tool_calls":[{"id":"1"}]}]}"#,
            ),
        ];
        for (api, body, expected) in cases {
            assert_eq!(cut(api, body).as_deref(), Some(expected), "{api:?}");
        }
    }

    #[test]
    fn a_body_without_foreign_state_passes_as_it_is() {
        for api in Api::ALL {
            assert_eq!(
                cut(api, r#"{"messages":[],"input":[],"contents":[]}"#),
                None
            );
            assert_eq!(cut(api, "keypool:: is no JSON"), None);
            let more =
                r#"{"input":[{"type":"reasoning","encrypted_content":"keypool::anthropic::S"}]},"#;
            assert_eq!(cut(api, more), None);
            let said = r#"{"messages":[ {"role":"user","content":[ {"type":"text","text":"keypool::"} ]} ]}"#;
            assert_eq!(cut(api, said), None);
        }
    }
}
