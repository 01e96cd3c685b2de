//! The text of an answer, cut into tokens.

use std::sync::Arc;

/// Words of which an answer without a configured text is made, one per token.
const WORDS: [&str; 16] = [
    "A", " key", " with", " room", " answers", " now", ";", " one", " without", " waits", ".",
    " Nothing", " is", " lost", ".", " Next,",
];

/// A text of a known number of tokens.
#[derive(Debug, Clone)]
pub(crate) struct AnswerText {
    fixed: Option<Arc<str>>,
    tokens: u64,
}

impl AnswerText {
    /// `fixed` spread over `tokens` tokens, or words of no meaning.
    pub(crate) fn new(fixed: Option<Arc<str>>, tokens: u64) -> Self {
        Self { fixed, tokens }
    }

    /// The text of the tokens from `start` up to, not including, `end`.
    pub(crate) fn piece(&self, start: u64, end: u64) -> String {
        match &self.fixed {
            Some(text) => self.fixed_piece(text, start, end),
            None => (start..end).map(word).collect(),
        }
    }

    fn fixed_piece(&self, text: &str, start: u64, end: u64) -> String {
        let tokens = usize::try_from(self.tokens.max(1)).unwrap_or(usize::MAX);
        let length = text.chars().count();
        let upto = |token: u64| {
            let token = usize::try_from(token).unwrap_or(usize::MAX).min(tokens);
            length.saturating_mul(token) / tokens
        };
        text.chars()
            .skip(upto(start))
            .take(upto(end) - upto(start))
            .collect()
    }
}

fn word(token: u64) -> &'static str {
    let index = usize::try_from(token % 16).unwrap_or_default();
    WORDS.get(index).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_of_a_fixed_text_add_up_to_it() {
        let text = AnswerText::new(Some("Grüße aus dem Simulator".into()), 7);
        let joined: String = (0..7).map(|token| text.piece(token, token + 1)).collect();
        assert_eq!(joined, "Grüße aus dem Simulator");
        assert_eq!(text.piece(0, 7), joined);
    }

    #[test]
    fn a_text_of_words_has_one_word_for_each_token() {
        let text = AnswerText::new(None, 5);
        assert_eq!(text.piece(0, 5), "A key with room answers");
    }
}
