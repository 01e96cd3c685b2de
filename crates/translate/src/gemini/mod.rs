//! Gemini's `generateContent` and `streamGenerateContent`.

mod answer;
mod content;
mod read;
mod schema;
mod shapes;
mod stream_read;
mod stream_write;
mod write;

pub(crate) use answer::{read_answer, write_answer};
pub(crate) use read::read_request;
pub(crate) use stream_read::StreamReader;
pub(crate) use stream_write::StreamWriter;
pub(crate) use write::write_request;

/// What Google documents to stand for the signature of a call that another model made.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";
