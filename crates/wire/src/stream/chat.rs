//! Streams of chat completions, OpenAI's and those of its many imitators.
//!
//! Chunks have no event name, so what one is has to be seen in it: one walk over its names and
//! strings, without building anything. Usage comes in a chunk of its own after `finish_reason`,
//! with `choices: []`; `OpenRouter` sends it with a choice, Groq under `x_groq`.

use super::{EventKind, Progress, StreamError};
use crate::dialect::Dialect;
use crate::peek::{Piece, Walk};
use crate::sse::SseEvent;
use crate::usage::Answer;

pub(super) fn observe(
    progress: &mut Progress,
    event: &SseEvent<'_>,
    usage_injected: bool,
) -> EventKind {
    if event.data == b"[DONE]" {
        return progress.complete();
    }
    let chunk = Chunk::look(event.data);
    if chunk.has_error || event.name == b"error" {
        return progress.fail(StreamError::read(event.data));
    }
    progress.delta_bytes += chunk.delta_bytes;
    progress.finished |= chunk.finished;
    if chunk.has_usage {
        read_usage(progress, event.data);
        if chunk.choices == Choices::Empty {
            return if usage_injected {
                EventKind::UsageOnly
            } else {
                progress.content()
            };
        }
    }
    if chunk.has_content || chunk.finished || progress.has_content {
        return progress.content();
    }
    EventKind::Preamble
}

fn read_usage(progress: &mut Progress, data: &[u8]) {
    let answer = serde_json::from_slice::<Answer>(data).ok();
    if let Some(usage) = answer.and_then(|answer| answer.usage(Dialect::OpenAi)) {
        progress.tell(usage);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choices {
    Missing,
    Empty,
    Some,
}

/// What can be seen of a chunk in passing.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "four sightings, each possible with any other"
)]
struct Chunk {
    choices: Choices,
    delta_bytes: u64,
    has_content: bool,
    finished: bool,
    has_usage: bool,
    has_error: bool,
}

impl Chunk {
    fn look(data: &[u8]) -> Self {
        let mut chunk = Self {
            choices: Choices::Missing,
            delta_bytes: 0,
            has_content: false,
            finished: false,
            has_usage: false,
            has_error: false,
        };
        let mut depth = 0_usize;
        let mut in_choices = false;
        let mut delta_depth = usize::MAX;
        let mut name: &[u8] = b"";
        for piece in Walk::new(data) {
            match piece {
                Piece::Name(found) => name = found,
                Piece::Open => {
                    match (depth, name) {
                        (1 | 2, b"usage") => chunk.has_usage = true,
                        (1, b"error") => chunk.has_error = true,
                        (1, b"choices") => {
                            chunk.choices = Choices::Empty;
                            in_choices = true;
                        }
                        (2, _) if in_choices => chunk.choices = Choices::Some,
                        (_, b"delta") if delta_depth == usize::MAX => delta_depth = depth,
                        _ => {}
                    }
                    depth += 1;
                    name = b"";
                }
                Piece::Close => {
                    depth = depth.saturating_sub(1);
                    in_choices &= depth > 1;
                    if depth == delta_depth {
                        delta_depth = usize::MAX;
                    }
                    name = b"";
                }
                Piece::Text(text) if depth > delta_depth => chunk.see_delta(name, text.bytes),
                Piece::Text(_) => match (depth, name) {
                    (1, b"error") => chunk.has_error = true,
                    (3, b"finish_reason") => chunk.finished = true,
                    _ => {}
                },
                Piece::Number => {}
            }
        }
        chunk
    }

    /// A string inside a `delta`: anything but the role is content.
    fn see_delta(&mut self, name: &[u8], text: &[u8]) {
        match name {
            b"role" => {}
            b"id" | b"type" | b"name" => self.has_content |= !text.is_empty(),
            _ => {
                self.has_content |= !text.is_empty();
                self.delta_bytes += text.len() as u64;
            }
        }
    }
}
