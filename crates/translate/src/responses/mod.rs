//! OpenAI's Responses API, without the state that it can keep: every request brings its whole
//! conversation.

mod answer;
mod content;
mod items;
mod read;
mod shapes;
mod stream_read;
mod stream_write;
mod write;

pub(crate) use answer::{read_answer, write_answer};
pub(crate) use read::read_request;
pub(crate) use stream_read::StreamReader;
pub(crate) use stream_write::StreamWriter;
pub(crate) use write::write_request;
