//! Streams of the Messages API.
//!
//! `message_start` carries the input figures and an `output_tokens` of about 1 that means nothing;
//! `message_delta` carries cumulative output, and sometimes the input again; `message_stop` ends.
//! `ping` may come at any time, unknown events must be relayed.

use memchr::memmem;
use serde::Deserialize;

use super::{EventKind, Progress, StreamError, is_garbage};
use crate::dialect::Endpoint;
use crate::peek::{Piece, Walk, top_level_text};
use crate::sse::SseEvent;
use crate::state::{ANSWER_IN_EVENT_DEPTH, FoundState, StateKind, walk_answer};
use crate::usage::{Answer, RawUsage};

pub(super) fn observe(progress: &mut Progress, event: &SseEvent<'_>) -> EventKind {
    let name = if event.name.is_empty() {
        type_of(event.data)
    } else {
        event.name
    };
    if is_parsed(name) && is_garbage(event) {
        return EventKind::Garbage;
    }
    match name {
        b"content_block_delta" => {
            read_content(progress, event.data);
            progress.content()
        }
        b"content_block_start" => {
            // Redacted thinking comes whole, and so do the large results of the provider's tools.
            if memmem::find(event.data, b"thinking").is_some() {
                read_state(progress, event.data);
            }
            progress.content()
        }
        b"ping" => EventKind::KeepAlive,
        b"message_start" => {
            read_start(progress, event.data);
            read_container(progress, event.data);
            EventKind::Preamble
        }
        b"message_delta" => {
            read_delta(progress, event.data);
            read_container(progress, event.data);
            progress.content()
        }
        b"message_stop" => progress.complete(),
        b"error" => progress.fail(StreamError::read(event.data)),
        _ => progress.content(),
    }
}

/// Whether clients read the data of these events; what has another name they pass over.
fn is_parsed(name: &[u8]) -> bool {
    name.is_empty() || name.starts_with(b"message_") || name.starts_with(b"content_block_")
}

#[derive(Deserialize)]
struct Start {
    #[serde(default)]
    message: Answer,
}

fn read_start(progress: &mut Progress, data: &[u8]) {
    let Ok(start) = serde_json::from_slice::<Start>(data) else {
        return;
    };
    if let Some(raw) = start.message.raw() {
        read_input(progress, raw);
    }
}

fn read_delta(progress: &mut Progress, data: &[u8]) {
    let Ok(delta) = serde_json::from_slice::<Answer>(data) else {
        return;
    };
    if let Some(raw) = delta.raw() {
        read_input(progress, raw);
        if raw.output_tokens.is_told() {
            raw.output_tokens.update(&mut progress.told.output_tokens);
            progress.output_is_told();
        }
    }
}

fn read_input(progress: &mut Progress, raw: &RawUsage) {
    let told = &mut progress.told;
    raw.input_tokens.update(&mut told.input_tokens);
    raw.cache_read_input_tokens
        .update(&mut told.cache_read_tokens);
    raw.cache_creation_input_tokens
        .update(&mut told.cache_write_tokens);
    progress.input_told |= raw.input_tokens.is_told();
}

/// The `type` at the top of an event that came without a name.
fn type_of(data: &[u8]) -> &[u8] {
    top_level_text(data, b"type").unwrap_or_default()
}

/// A delta: bytes of text, or a signature. (That, and citations, are not output anyone is charged
/// for.)
fn read_content(progress: &mut Progress, data: &[u8]) {
    let mut name: &[u8] = b"";
    for piece in Walk::new(data) {
        match piece {
            Piece::Name(found) => name = found,
            Piece::Text(text) if matches!(name, b"text" | b"partial_json" | b"thinking") => {
                progress.delta_bytes += text.bytes.len() as u64;
            }
            Piece::Text(text) if name == b"signature" => {
                progress.made.add(StateKind::Thinking, text.bytes);
            }
            Piece::Text(_) | Piece::Number(_) | Piece::Open | Piece::Close => {}
        }
    }
}

/// The container that code ran in; few answers have one.
fn read_container(progress: &mut Progress, data: &[u8]) {
    if memmem::find(data, b"\"container\"").is_some() {
        read_state(progress, data);
    }
}

fn read_state(progress: &mut Progress, data: &[u8]) {
    let mut found = FoundState::default();
    walk_answer(Endpoint::Messages, data, ANSWER_IN_EVENT_DEPTH, &mut found);
    progress.made.add_all(&found);
}
