//! Anthropic's Messages API, versions 2023-06-01 and 2026-10-21.

mod answer;
mod read;
mod shapes;
mod stream_read;
mod stream_write;
mod thinking;
mod write;

pub(crate) use answer::{read_answer, write_answer};
pub(crate) use read::read_request;
pub(crate) use stream_read::StreamReader;
pub(crate) use stream_write::StreamWriter;
pub(crate) use write::{max_tokens, write_request};
