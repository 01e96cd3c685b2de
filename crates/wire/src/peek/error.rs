//! What can be wrong with a request body, in words a client can act on. None of them quotes the
//! body, which may hold anything.

use crate::limits::JSON_DEPTH_MAX;

/// Why a request body cannot be used. The text is fit to be shown to the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeekError {
    /// The body is empty.
    #[error("the request body is empty; send a JSON object")]
    Empty,
    /// The bytes are not UTF-8.
    #[error("the request body is not valid UTF-8 at line {line} column {column}")]
    NotUtf8 {
        /// Line of the first wrong byte, from 1.
        line: usize,
        /// Byte within that line, from 1.
        column: usize,
    },
    /// The text is not JSON.
    #[error("the request body is not valid JSON: {reason} at line {line} column {column}")]
    NotJson {
        /// What the parser expected.
        reason: String,
        /// Line where it stopped, from 1.
        line: usize,
        /// Byte within that line, from 1.
        column: usize,
    },
    /// JSON, but not an object.
    #[error("the request body must be a JSON object")]
    NotAnObject,
    /// Nested more deeply than [`JSON_DEPTH_MAX`].
    #[error("the request body is nested more deeply than {JSON_DEPTH_MAX} levels")]
    TooDeep,
    /// A member has the wrong type or an impossible value.
    #[error("`{field}` must be {expected}, not {found}")]
    WrongType {
        /// The member's name.
        field: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// A member that must be unambiguous comes more than once.
    #[error("`{field}` is given more than once")]
    Duplicate {
        /// The member's name.
        field: &'static str,
    },
}

impl PeekError {
    pub(super) fn not_utf8(body: &[u8], offset: usize) -> Self {
        let before = body.get(..offset).unwrap_or(body);
        let line_start = memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1);
        Self::NotUtf8 {
            line: memchr::memchr_iter(b'\n', before).count() + 1,
            column: before.len() - line_start + 1,
        }
    }

    pub(super) fn from_json(error: &serde_json::Error) -> Self {
        if error.is_data() {
            return Self::NotAnObject;
        }
        let (line, column) = (error.line(), error.column());
        let full = error.to_string();
        let position = format!(" at line {line} column {column}");
        let reason = full.strip_suffix(&position).unwrap_or(&full).to_owned();
        Self::NotJson {
            reason,
            line,
            column,
        }
    }
}
