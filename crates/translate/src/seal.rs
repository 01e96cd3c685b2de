//! Opaque state that one API made and that only that API can read: signatures of reasoning,
//! encrypted reasoning.
//!
//! It must come back unchanged, or the next turn is refused, and it must reach no other API. The
//! client carries it in the slot that its own API has for such state, behind a mark that says whose
//! it is: `keypool::gemini::<state>` in the `signature` of an Anthropic thinking block, say. What
//! comes back with the mark goes to its maker alone; what has no mark was made by the API that the
//! client speaks.

use std::borrow::Cow;

use crate::json::Str;

/// Before each piece of state that travels in a foreign slot.
const MARK: &str = "keypool::";

/// The mark in base64: it has nine bytes, so that its base64 is the same whatever follows.
const MARK_BASE64: &str = "a2V5cG9vbDo6";

/// One piece of opaque state. The data is empty for reasoning that its maker did not seal: the
/// mark alone says then whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seal<'a> {
    pub(crate) kind: SealKind,
    pub(crate) data: Str<'a>,
}

/// Who made it, and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SealKind {
    /// The signature of an Anthropic thinking block.
    Anthropic,
    /// The data of an Anthropic block that is redacted as a whole.
    Redacted,
    /// Reasoning in a chat message, which is never sealed.
    Chat,
    /// `id:encrypted_content` of a reasoning item of the Responses API.
    Responses,
    /// Gemini's `thoughtSignature`.
    Gemini,
}

impl SealKind {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Anthropic, "anthropic"),
        (Self::Redacted, "redacted"),
        (Self::Chat, "chat"),
        (Self::Responses, "responses"),
        (Self::Gemini, "gemini"),
    ];

    fn tag(self) -> &'static str {
        let mut all = Self::ALL.iter();
        all.find(|(kind, _)| *kind == self)
            .map_or("", |(_, tag)| *tag)
    }
}

impl<'a> Seal<'a> {
    /// State of which nothing but its maker is known.
    pub(crate) fn empty(kind: SealKind) -> Self {
        Self {
            kind,
            data: Str::default(),
        }
    }

    pub(crate) fn to_owned(&self) -> Seal<'static> {
        Seal {
            kind: self.kind,
            data: self.data.to_string().into(),
        }
    }

    pub(crate) fn by_ref(&self) -> Seal<'_> {
        Seal {
            kind: self.kind,
            data: self.data.by_ref(),
        }
    }

    /// Reads a slot for state of `native` kind. An empty slot holds none.
    pub(crate) fn from_slot(slot: Str<'a>, native: SealKind) -> Option<Self> {
        if slot.is_empty() {
            return None;
        }
        Some(Self::from_mark(&slot).unwrap_or(Seal {
            kind: native,
            data: slot,
        }))
    }

    /// As [`Self::from_slot`], where the slot must be base64.
    pub(crate) fn from_base64_slot(slot: Str<'a>, native: SealKind) -> Option<Self> {
        if slot.is_empty() {
            return None;
        }
        let marked = slot.starts_with(MARK_BASE64).then(|| {
            // The SDK writes bytes with the alphabet for URLs.
            let plain: String = slot
                .trim_end_matches('=')
                .replace('-', "+")
                .replace('_', "/");
            base64::Engine::decode(&base64::engine::general_purpose::STANDARD_NO_PAD, plain)
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok())
        });
        let foreign = marked.flatten().and_then(|text| Self::from_mark(&text));
        Some(foreign.unwrap_or(Seal {
            kind: native,
            data: slot,
        }))
    }

    fn from_mark<'o>(text: &str) -> Option<Seal<'o>> {
        let (tag, data) = text.strip_prefix(MARK)?.split_once("::")?;
        let (kind, _) = SealKind::ALL.iter().find(|(_, known)| *known == tag)?;
        Some(Seal {
            kind: *kind,
            data: data.to_owned().into(),
        })
    }

    /// The text for a slot of `native` kind; `None` leaves it empty.
    pub(crate) fn for_slot(&self, native: SealKind) -> Option<Cow<'_, str>> {
        if self.kind == native {
            return Some(Cow::Borrowed(&*self.data)).filter(|data| !data.is_empty());
        }
        Some(Cow::Owned(format!(
            "{MARK}{}::{}",
            self.kind.tag(),
            &*self.data
        )))
    }

    /// As [`Self::for_slot`], where the slot must be base64.
    pub(crate) fn for_base64_slot(&self, native: SealKind) -> Option<Cow<'_, str>> {
        Some(match self.for_slot(native)? {
            Cow::Borrowed(own) => Cow::Borrowed(own),
            Cow::Owned(marked) => Cow::Owned(base64::Engine::encode(
                &base64::engine::general_purpose::STANDARD,
                marked,
            )),
        })
    }
}

/// Whether a body may carry state that another API made: whether the mark is anywhere in it.
#[must_use]
pub fn carries_foreign_state(body: &[u8]) -> bool {
    let holds = |mark: &str| memchr::memmem::find(body, mark.as_bytes()).is_some();
    holds(MARK) || holds(MARK_BASE64)
}

/// Whether a slot holds another API's state.
pub(crate) fn is_marked(slot: &str) -> bool {
    slot.starts_with(MARK) || slot.starts_with(MARK_BASE64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_comes_back_from_a_foreign_slot_as_it_was() {
        let seal = Seal {
            kind: SealKind::Gemini,
            data: "AbC+/=".into(),
        };
        let slot = seal.for_slot(SealKind::Anthropic).unwrap().into_owned();
        assert_eq!(slot, "keypool::gemini::AbC+/=");
        assert!(carries_foreign_state(slot.as_bytes()));
        let back = Seal::from_slot(slot.into(), SealKind::Anthropic);
        assert_eq!(back, Some(seal));
    }

    #[test]
    fn state_in_its_makers_own_slot_is_not_marked() {
        let seal = Seal {
            kind: SealKind::Anthropic,
            data: "sig".into(),
        };
        assert_eq!(seal.for_slot(SealKind::Anthropic).as_deref(), Some("sig"));
        assert_eq!(
            Seal::from_slot("sig".into(), SealKind::Anthropic),
            Some(seal)
        );
        assert_eq!(Seal::from_slot("".into(), SealKind::Anthropic), None);
    }

    #[test]
    fn a_slot_that_must_be_base64_holds_base64_with_either_alphabet() {
        let seal = Seal {
            kind: SealKind::Anthropic,
            data: "sig?>~ÿ".into(),
        };
        let slot = seal.for_base64_slot(SealKind::Gemini).unwrap().into_owned();
        assert!(slot.starts_with(MARK_BASE64), "{slot}");
        assert!(carries_foreign_state(slot.as_bytes()));
        let for_urls = slot.replace('+', "-").replace('/', "_");
        for slot in [slot, for_urls] {
            let back = Seal::from_base64_slot(slot.into(), SealKind::Gemini);
            assert_eq!(back.as_ref(), Some(&seal));
        }
    }
}
