//! OpenAI's Chat Completions, and all who imitate them.

mod answer;
mod content;
mod read;
mod shapes;
mod stream_read;
mod stream_write;
mod write;

pub(crate) use answer::{made_id, read_answer, write_answer};
pub(crate) use content::read_data_uri;
pub(crate) use read::{read_arguments, read_choice_word, read_effort, read_request};
pub(crate) use stream_read::StreamReader;
pub(crate) use stream_write::StreamWriter;
pub(crate) use write::{
    USER_BYTES_MAX, choice_word, joined_text, media_of, parameters, result_text, titled,
    write_request, write_url,
};
