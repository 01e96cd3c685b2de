//! Short, single-line, harmless excerpts of what a provider said.
//!
//! Providers quote the key they refuse, CDNs answer with pages of HTML, and messages may run over
//! many lines. What reaches a log or a client is at most [`EXCERPT_CHARS_MAX`] characters, on one
//! line, with anything that looks like an API key masked.

use crate::limits::EXCERPT_CHARS_MAX;

/// How keys of the known providers begin.
const KEY_PREFIXES: [&str; 9] = [
    "sk-", "sk_", "csk-", "gsk_", "xai-", "fw_", "AIza", "AQ.", "tgp_",
];

/// The shortest word a known prefix makes a key of.
const PREFIXED_LENGTH_MIN: usize = 8;

/// The length from which an unbroken mixture of letters and digits is taken for a key. Names of
/// models and UUIDs have their breaks well before that.
const UNBROKEN_LENGTH_MIN: usize = 20;

/// Below this length a mask would show too much of the key.
const MASKED_LENGTH_MIN: usize = 12;

/// At most [`EXCERPT_CHARS_MAX`] characters of `text`, on one line, keys masked.
#[must_use]
pub fn excerpt(text: &str) -> String {
    let mut out = String::new();
    let mut chars = 0;
    // Cut before masking, or a huge body would be masked for nothing; with room for the words that
    // masking shortens.
    let considered: String = text.chars().take(EXCERPT_CHARS_MAX * 4).collect();
    let words = considered
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty());
    for word in words {
        let gap = usize::from(!out.is_empty());
        let masked = mask_keys(word);
        if gap == 1 {
            out.push(' ');
        }
        out.push_str(&masked);
        chars += gap + masked.chars().count();
        if chars > EXCERPT_CHARS_MAX {
            out = out.chars().take(EXCERPT_CHARS_MAX - 1).collect();
            out.push('…');
            break;
        }
    }
    out
}

/// The word with each part that looks like a key masked.
fn mask_keys(word: &str) -> String {
    let is_key_char = |c: char| c.is_ascii_alphanumeric() || "-_.+/=".contains(c);
    let mut out = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(first) = rest.chars().next() {
        let inside = is_key_char(first);
        let end = rest
            .find(|c| is_key_char(c) != inside)
            .unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        if inside && looks_like_key(part) {
            push_mask(&mut out, part);
        } else {
            out.push_str(part);
        }
        rest = after;
    }
    out
}

fn looks_like_key(part: &str) -> bool {
    let starts_at = |position: usize| {
        let before = part
            .get(..position)
            .and_then(|before| before.chars().next_back());
        before.is_none_or(|c| !c.is_ascii_alphanumeric())
    };
    let has_prefix = KEY_PREFIXES
        .iter()
        .flat_map(|prefix| part.match_indices(prefix))
        .any(|(position, _)| starts_at(position));
    has_prefix && part.len() >= PREFIXED_LENGTH_MIN
        || part
            .split(|c: char| !c.is_ascii_alphanumeric())
            .any(is_unbroken_mixture)
}

fn is_unbroken_mixture(run: &str) -> bool {
    run.len() >= UNBROKEN_LENGTH_MIN
        && run.contains(|c: char| c.is_ascii_digit())
        && run.contains(|c: char| c.is_ascii_alphabetic())
}

/// First four characters, `****`, last four; `****` alone for a short key.
fn push_mask(out: &mut String, key: &str) {
    let ends = (key.get(..4), key.get(key.len().saturating_sub(4)..));
    match ends {
        (Some(head), Some(tail)) if key.len() >= MASKED_LENGTH_MIN => {
            out.push_str(head);
            out.push_str("****");
            out.push_str(tail);
        }
        _ => out.push_str("****"),
    }
}

#[cfg(test)]
mod tests;
