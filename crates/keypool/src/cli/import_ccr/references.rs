//! References to environment variables. claude-code-router replaces `$NAME` and `${NAME}` anywhere in a text, and
//! leaves those that are not set as they are; keypool knows a reference that is the whole text, and nothing else.

use crate::config::Environment;

/// A text in keypool's form: a whole reference stays one, references within a text are replaced by what they
/// stand for. With it comes whether anything was replaced.
pub(super) fn settled(text: &str, environment: Environment<'_>) -> (String, bool) {
    if is_reference(text) {
        return (text.to_owned(), false);
    }
    let mut result = String::with_capacity(text.len());
    let mut replaced = false;
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        result.push_str(before);
        let (name, length) = name_at(from);
        match name.and_then(environment).filter(|value| !value.is_empty()) {
            Some(value) => {
                result.push_str(&value);
                replaced = true;
            }
            None => result.push_str(from.get(..length).unwrap_or(from)),
        }
        rest = from.get(length..).unwrap_or_default();
    }
    result.push_str(rest);
    (result, replaced)
}

/// Whether a text is one reference and nothing else.
pub(super) fn is_reference(text: &str) -> bool {
    let (name, length) = name_at(text);
    name.is_some() && length == text.len()
}

/// The name in a reference with which `text` begins, and how long the reference is. Where there is none, one
/// character to go past.
fn name_at(text: &str) -> (Option<&str>, usize) {
    let none = (None, text.chars().next().map_or(0, char::len_utf8));
    let Some(rest) = text.strip_prefix('$') else {
        return none;
    };
    if let Some(braced) = rest.strip_prefix('{') {
        return match braced.split_once('}') {
            Some((name, _)) if !name.is_empty() => (Some(name), "${}".len() + name.len()),
            Some(_) | None => none,
        };
    }
    let end = rest
        .find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))
        .unwrap_or(rest.len());
    match rest.get(..end) {
        Some(name) if name.starts_with(|c: char| !c.is_ascii_digit()) => (Some(name), 1 + end),
        Some(_) | None => none,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_references_stay_and_others_are_replaced() {
        let environment = |name: &str| (name == "HOST_1").then(|| "example.com".to_owned());
        let settled = |text: &str| settled(text, &environment);
        for whole in ["$MY_KEY", "${my-key}", "$HOST_1"] {
            assert_eq!(settled(whole), (whole.to_owned(), false));
        }
        for (text, expected) in [
            ("https://$HOST_1/v1", "https://example.com/v1"),
            ("https://${HOST_1}:8080", "https://example.com:8080"),
        ] {
            assert_eq!(settled(text), (expected.to_owned(), true));
        }
        for unknown in [
            "",
            "plain",
            "$",
            "a$b",
            "x${",
            "${}",
            "cost: $5 é",
            "$NOT_SET/v1",
        ] {
            assert_eq!(settled(unknown), (unknown.to_owned(), false), "{unknown}");
        }
    }
}
