//! Streams of the Messages API.
//!
//! `message_start` carries the input figures and an `output_tokens` of about 1 that means nothing;
//! `message_delta` carries cumulative output, and sometimes the input again; `message_stop` ends.
//! `ping` may come at any time, unknown events must be relayed.

use serde::Deserialize;

use super::{EventKind, Progress, StreamError};
use crate::peek::{Piece, Walk};
use crate::sse::SseEvent;
use crate::usage::{Answer, RawUsage};

pub(super) fn observe(progress: &mut Progress, event: &SseEvent<'_>) -> EventKind {
    let name = if event.name.is_empty() {
        type_of(event.data)
    } else {
        event.name
    };
    match name {
        b"content_block_delta" => {
            progress.delta_bytes += delta_bytes(event.data);
            progress.content()
        }
        b"ping" => EventKind::Preamble,
        b"message_start" => {
            read_start(progress, event.data);
            EventKind::Preamble
        }
        b"message_delta" => {
            read_delta(progress, event.data);
            progress.content()
        }
        b"message_stop" => progress.complete(),
        b"error" => progress.fail(StreamError::read(event.data)),
        _ => progress.content(),
    }
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
        raw.output_tokens.update(&mut progress.told.output_tokens);
        progress.output_told |= raw.output_tokens.is_told();
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
    super::error::top_level_text(data, b"type").unwrap_or_default()
}

/// Bytes of text in a delta; signatures and citations are not output anyone is charged for.
fn delta_bytes(data: &[u8]) -> u64 {
    let mut name: &[u8] = b"";
    let mut bytes = 0;
    for piece in Walk::new(data) {
        match piece {
            Piece::Name(found) => name = found,
            Piece::Text(text) if matches!(name, b"text" | b"partial_json" | b"thinking") => {
                bytes += text.bytes.len() as u64;
            }
            Piece::Text(_) | Piece::Number(_) | Piece::Open | Piece::Close => {}
        }
    }
    bytes
}
