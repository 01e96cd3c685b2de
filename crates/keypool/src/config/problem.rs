//! What is wrong with a configuration file, and where: all of it in one go, since a list of errors that
//! grows by one with each try wears people out.

use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};

use super::document::Position;
use super::path::{FieldPath, shown_name};

/// One thing wrong with the file, or worth a warning.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where in the file.
    pub at: Position,
    /// Which field.
    pub field: FieldPath,
    /// What is wrong and what is allowed; secrets are masked.
    pub message: String,
}

impl Problem {
    /// A problem with a field. What looks like a key in the message is masked, wherever it was pasted. Control
    /// characters, which a message may quote from the file, are written as escapes: they would reach a
    /// terminal.
    #[must_use]
    pub fn new(at: Position, field: FieldPath, mut message: String) -> Self {
        if message.contains(char::is_control) {
            message = message.chars().fold(String::new(), |mut text, c| {
                if c.is_control() {
                    text.extend(c.escape_debug());
                } else {
                    text.push(c);
                }
                text
            });
        }
        let message = without_keys(&message);
        Self { at, field, message }
    }
}

/// A message with a mask for each word in it that looks like a key.
fn without_keys(message: &str) -> String {
    let is_in_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let mut shown = String::with_capacity(message.len());
    for part in message.split_inclusive(|c: char| !is_in_word(c)) {
        let word = part.trim_end_matches(|c: char| !is_in_word(c));
        shown.push_str(&shown_name(word));
        shown.push_str(part.get(word.len()..).unwrap_or_default());
    }
    shown
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, field, message } = self;
        if field.segments().is_empty() {
            write!(f, "{at}: {message}")
        } else {
            write!(f, "{at}: {field}: {message}")
        }
    }
}

/// Why no configuration came out.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No file is at any of the usual places.
    #[error("no configuration found; looked at:{}\n`keypool init` writes one", listed(.0))]
    NotFound(Vec<String>),
    /// The file cannot be read.
    #[error("{}: cannot be read: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        reason: String,
    },
    /// The file says something that is not allowed.
    #[error("{}", report(path, problems))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Everything that is wrong, in the order of the file; never empty.
        problems: Vec<Problem>,
    },
}

fn listed(places: &[String]) -> String {
    let mut text = String::new();
    for place in places {
        // Writing to a String does not fail.
        let _ = write!(text, "\n  {place}");
    }
    text
}

fn report(path: &Path, problems: &[Problem]) -> String {
    let path = path.display();
    let mut text = String::new();
    for problem in problems {
        let _ = writeln!(text, "{path}:{problem}");
    }
    let count = problems.len();
    let noun = if count == 1 { "error" } else { "errors" };
    let _ = write!(text, "{count} {noun} in {path}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_masked_wherever_in_a_message_it_stands() {
        let at = Position { line: 1, column: 1 };
        let message = "\"sk-ant-canary-0001\" is no alias; did you mean (gsk_canary0000001), or x/0123456789abcdef01234567?";
        let problem = Problem::new(at, FieldPath::default(), message.to_owned());
        assert_eq!(
            problem.to_string(),
            "1:1: \"sk-a****0001\" is no alias; did you mean (gsk_****0001), or x/0123****4567?"
        );
    }

    #[test]
    fn a_message_is_one_line_whatever_it_quotes() {
        let at = Position { line: 1, column: 1 };
        let quoted = "\u{1b}[2J is no key,\nnor is é".to_owned();
        let problem = Problem::new(at, FieldPath::default(), quoted);
        assert_eq!(problem.to_string(), "1:1: \\u{1b}[2J is no key,\\nnor is é");
    }
}
