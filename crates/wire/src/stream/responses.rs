//! Streams of the Responses API: every event is named, the last one carries the whole response
//! with its usage.

use serde::Deserialize;

use super::{EventKind, Progress, StreamError, is_garbage};
use crate::dialect::{Dialect, Endpoint};
use crate::peek::{Piece, Walk, top_level_text};
use crate::sse::SseEvent;
use crate::state::{
    ANSWER_IN_EVENT_DEPTH, FoundState, StateKind, response_id_in_event, walk_answer,
};
use crate::usage::Answer;

pub(super) fn observe(progress: &mut Progress, event: &SseEvent<'_>) -> EventKind {
    if event.data.trim_ascii() == b"[DONE]" {
        return progress.complete();
    }
    let name = if event.name.is_empty() {
        top_level_text(event.data, b"type").unwrap_or_default()
    } else {
        event.name
    };
    if (name.is_empty() || name.starts_with(b"response.")) && is_garbage(event) {
        return EventKind::Garbage;
    }
    match name {
        b"response.created" => {
            if let Some(id) = response_id_in_event(event.data) {
                progress.made.add(StateKind::Response, id);
            }
            EventKind::Preamble
        }
        b"response.in_progress" | b"response.queued" => EventKind::Preamble,
        b"response.completed" | b"response.incomplete" => {
            read_usage(progress, event.data);
            read_state(progress, event.data);
            progress.complete()
        }
        b"response.failed" => {
            read_usage(progress, event.data);
            progress.fail(StreamError::read(event.data))
        }
        b"error" => progress.fail(StreamError::read(event.data)),
        _ => {
            if name.ends_with(b".delta") {
                progress.delta_bytes += delta_bytes(event.data);
            }
            progress.content()
        }
    }
}

#[derive(Deserialize)]
struct Terminal {
    #[serde(default)]
    response: Answer,
}

fn read_usage(progress: &mut Progress, data: &[u8]) {
    let Ok(terminal) = serde_json::from_slice::<Terminal>(data) else {
        return;
    };
    if let Some(usage) = terminal.response.usage(Dialect::OpenAi) {
        progress.tell(usage);
    }
}

fn read_state(progress: &mut Progress, data: &[u8]) {
    let mut found = FoundState::default();
    walk_answer(Endpoint::Responses, data, ANSWER_IN_EVENT_DEPTH, &mut found);
    progress.made.add_all(&found);
}

fn delta_bytes(data: &[u8]) -> u64 {
    let mut is_delta = false;
    let mut bytes = 0;
    for piece in Walk::new(data) {
        match piece {
            Piece::Name(name) => is_delta = name == b"delta",
            Piece::Text(text) if is_delta => bytes += text.bytes.len() as u64,
            Piece::Text(_) | Piece::Number(_) | Piece::Open | Piece::Close => {}
        }
    }
    bytes
}
