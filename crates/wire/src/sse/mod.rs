//! Server-sent events: cutting a byte stream into events, however it was cut into chunks.
//!
//! Chunks end anywhere: between the bytes of a character, between CR and LF, in the middle of a
//! name. A reader that trusts chunk borders loses events under load, and only there. The splitter
//! finds the blank line that ends an event across any number of chunks. An event that lies wholly
//! inside one chunk is borrowed from it; only the head of an unfinished one is copied.

mod fields;

use crate::limits::{SSE_BUFFER_KEPT_BYTES, SSE_EVENT_BYTES_MAX};
use fields::{Fields, read_fields};

/// One event, borrowed from the chunk or from the splitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SseEvent<'a> {
    /// The `event` field; empty when there is none.
    pub name: &'a [u8],
    /// The `data` fields, joined by line feeds.
    pub data: &'a [u8],
    /// No `data` field at all: a comment (keep-alive), a retry hint, a lone id.
    pub is_comment_only: bool,
    /// Its lines, where it has no `data` field and some that no event stream has: a page of HTML, an error as
    /// bare JSON, binary.
    pub foreign: Option<&'a [u8]>,
    /// Offset in the chunk just past the event, blank line included: its bytes are those between
    /// the end of the event before it and here.
    pub end: usize,
}

/// Why a stream cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// An event went on beyond the bound.
    #[error("a server-sent event exceeds {limit} bytes")]
    EventTooLong {
        /// The bound, in bytes.
        limit: usize,
    },
}

/// Cuts a stream of bytes into server-sent events. One per stream; call [`Self::feed`] with every
/// chunk in order, then [`Self::finish`].
#[derive(Debug)]
pub struct SseSplitter {
    /// Bytes of the event that has begun in an earlier chunk.
    pending: Vec<u8>,
    /// Scratch for events with several `data` lines.
    joined: Vec<u8>,
    line: Line,
    at_start: bool,
    event_bytes_max: usize,
}

/// What the end of the bytes seen so far means for the next byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// At the beginning of a line.
    Start,
    /// At the beginning of a line after CR: a line feed that follows belongs to that CR.
    StartAfterCr,
    /// Within a line.
    Inside,
}

impl Default for SseSplitter {
    fn default() -> Self {
        Self::new()
    }
}

impl SseSplitter {
    /// A splitter for a new stream, bounded by [`SSE_EVENT_BYTES_MAX`].
    #[must_use]
    pub const fn new() -> Self {
        Self::with_event_bytes_max(SSE_EVENT_BYTES_MAX)
    }

    /// A splitter with a bound of its own on the bytes of one event.
    #[must_use]
    pub const fn with_event_bytes_max(event_bytes_max: usize) -> Self {
        Self {
            pending: Vec::new(),
            joined: Vec::new(),
            line: Line::Start,
            at_start: true,
            event_bytes_max,
        }
    }

    /// Takes the next chunk, calls `on_event` for each event completed by it, and returns how many
    /// bytes of this chunk belong to events completed so far. The rest has been remembered.
    ///
    /// After an error the splitter must not be fed again.
    pub fn feed(
        &mut self,
        chunk: &[u8],
        mut on_event: impl FnMut(SseEvent<'_>),
    ) -> Result<usize, SseError> {
        let mut event_start = 0;
        let mut position = 0;
        if self.line == Line::StartAfterCr && !chunk.is_empty() {
            self.line = Line::Start;
            if chunk.first() == Some(&b'\n') {
                position = 1;
                // Of an event already over, unless one has begun.
                event_start = usize::from(self.pending.is_empty());
            }
        }
        while let Some(end) = Self::next_line_end(chunk, position) {
            let was_blank = self.line != Line::Inside && end.content == position;
            self.line = end.after;
            position = end.next;
            if was_blank {
                let tail = chunk.get(event_start..position).unwrap_or_default();
                self.complete(tail, position, &mut on_event)?;
                event_start = position;
            }
        }
        let rest = chunk.get(event_start..).unwrap_or_default();
        if position < chunk.len() {
            self.line = Line::Inside;
        }
        self.check_length(rest)?;
        self.pending.extend_from_slice(rest);
        Ok(event_start)
    }

    /// Takes the end of the stream: an event that lacks only its blank line is handed out.
    pub fn finish(&mut self, mut on_event: impl FnMut(SseEvent<'_>)) -> Result<(), SseError> {
        self.line = Line::Start;
        self.complete(&[], 0, &mut on_event)
    }

    /// Whether the stream stands in the middle of an event.
    #[must_use]
    pub fn is_inside_event(&self) -> bool {
        !self.pending.is_empty()
    }

    fn next_line_end(chunk: &[u8], from: usize) -> Option<LineEnd> {
        let content = from + memchr::memchr2(b'\n', b'\r', chunk.get(from..)?)?;
        let (next, after) = match (chunk.get(content), chunk.get(content + 1)) {
            (Some(b'\r'), Some(b'\n')) => (content + 2, Line::Start),
            (Some(b'\r'), None) => (content + 1, Line::StartAfterCr),
            _ => (content + 1, Line::Start),
        };
        Some(LineEnd {
            content,
            next,
            after,
        })
    }

    /// An event is over; `tail` is the part of it that is in this chunk.
    fn complete(
        &mut self,
        tail: &[u8],
        end: usize,
        on_event: &mut impl FnMut(SseEvent<'_>),
    ) -> Result<(), SseError> {
        self.check_length(tail)?;
        if self.pending.is_empty() {
            emit(tail, &mut self.joined, &mut self.at_start, end, on_event);
        } else {
            self.pending.extend_from_slice(tail);
            emit(
                &self.pending,
                &mut self.joined,
                &mut self.at_start,
                end,
                on_event,
            );
            self.pending.clear();
            if self.pending.capacity() > SSE_BUFFER_KEPT_BYTES {
                self.pending = Vec::new();
            }
        }
        if self.joined.capacity() > SSE_BUFFER_KEPT_BYTES {
            self.joined = Vec::new();
        }
        Ok(())
    }

    fn check_length(&self, more: &[u8]) -> Result<(), SseError> {
        if self.pending.len() + more.len() > self.event_bytes_max {
            return Err(SseError::EventTooLong {
                limit: self.event_bytes_max,
            });
        }
        Ok(())
    }
}

/// A line's end: where its content stops, where the next line starts, and what is known there.
struct LineEnd {
    content: usize,
    next: usize,
    after: Line,
}

fn emit(
    raw: &[u8],
    joined: &mut Vec<u8>,
    at_start: &mut bool,
    end: usize,
    on_event: &mut impl FnMut(SseEvent<'_>),
) {
    const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
    let raw = if std::mem::take(at_start) {
        raw.strip_prefix(BYTE_ORDER_MARK).unwrap_or(raw)
    } else {
        raw
    };
    let Fields {
        name,
        data,
        has_foreign_line,
        is_empty,
    } = read_fields(raw, joined);
    if !is_empty {
        on_event(SseEvent {
            name,
            data: data.unwrap_or_default(),
            is_comment_only: data.is_none(),
            foreign: (data.is_none() && has_foreign_line).then_some(raw),
            end,
        });
    }
}

#[cfg(test)]
mod tests;
