//! What an answer is, told by its first bytes.
//!
//! Content types are wrong now and then: an event stream called JSON or HTML by what stands in between, a
//! bare error called an event stream. The bytes do not lie, so they decide, and the type is mended.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};

/// What an answer's first bytes begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    /// An event stream.
    Events,
    /// A JSON object, as which every dialect writes its plain answers.
    Object,
    /// Neither: a page of HTML, binary.
    Other,
}

/// What lines of an event stream begin with, besides the colon of a comment.
const FIELDS: [&[u8]; 4] = [b"data", b"event", b"id", b"retry"];

impl Opening {
    /// What `bytes` begin. Blanks and blank lines before it must be gone.
    pub(super) fn of(bytes: &[u8]) -> Self {
        const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
        let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
        match bytes.first() {
            Some(b'{') => Self::Object,
            Some(b':') => Self::Events,
            // Cut off in its first word, it still counts as one.
            Some(_) if FIELDS.iter().any(|field| begins_with(bytes, field)) => Self::Events,
            Some(_) | None => Self::Other,
        }
    }

    /// Makes the content type say what the answer is.
    pub(super) fn mend_type(self, headers: &mut HeaderMap) {
        let (mark, right) = match self {
            Self::Events => ("text/event-stream", "text/event-stream"),
            Self::Object => ("json", "application/json"),
            Self::Other => return,
        };
        let says = |value: &HeaderValue| value.to_str().is_ok_and(|value| value.contains(mark));
        if !headers.get(CONTENT_TYPE).is_some_and(says) {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(right));
        }
    }
}

fn begins_with(bytes: &[u8], field: &[u8]) -> bool {
    match bytes.strip_prefix(field) {
        Some(rest) => matches!(rest.first(), None | Some(b':' | b'\r' | b'\n')),
        None => field.starts_with(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_told_by_its_first_bytes() {
        for events in [
            ": keep-alive\n\n",
            "data: {}\n\n",
            "data\n",
            "event: message_start",
            "id:1",
            "retry: 10",
            "ev",
            "\u{FEFF}data: x",
        ] {
            assert_eq!(Opening::of(events.as_bytes()), Opening::Events, "{events}");
        }
        for object in ["{", "{\"error\":{}}", "\u{FEFF}{"] {
            assert_eq!(Opening::of(object.as_bytes()), Opening::Object, "{object}");
        }
        for other in ["<html>", "database error", "[1]", "OK", "\u{0}", ""] {
            assert_eq!(Opening::of(other.as_bytes()), Opening::Other, "{other}");
        }
    }

    #[test]
    fn a_wrong_content_type_is_mended_and_a_right_one_kept() {
        for (opening, before, after) in [
            (
                Opening::Events,
                Some("application/json"),
                "text/event-stream",
            ),
            (
                Opening::Events,
                Some("text/event-stream; charset=utf-8"),
                "text/event-stream; charset=utf-8",
            ),
            (Opening::Events, None, "text/event-stream"),
            (Opening::Object, Some("text/html"), "application/json"),
            (
                Opening::Object,
                Some("application/problem+json"),
                "application/problem+json",
            ),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(before) = before {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(before));
            }
            opening.mend_type(&mut headers);
            assert_eq!(headers[CONTENT_TYPE], after, "{before:?}");
        }
    }
}
