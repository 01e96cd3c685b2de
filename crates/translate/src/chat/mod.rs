//! OpenAI's Chat Completions, and all who imitate them.

mod answer;
mod content;
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
