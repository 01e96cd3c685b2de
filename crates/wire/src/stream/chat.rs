//! Streams of chat completions, OpenAI's and those of its many imitators.
//!
//! Chunks have no event name, so what one is has to be seen in it: one walk over its names and
//! strings, without building anything. Usage comes in a chunk of its own after `finish_reason`,
//! with `choices: []`; `OpenRouter` sends it with a choice, Groq under `x_groq`. Some vendors never
//! send `[DONE]`, so an answer also counts as whole once each of its choices has a `finish_reason`.

use super::{EventKind, Progress, StreamError, is_garbage};
use crate::dialect::Dialect;
use crate::peek::{Piece, Walk};
use crate::sse::SseEvent;
use crate::usage::Answer;

pub(super) fn observe(
    progress: &mut Progress,
    event: &SseEvent<'_>,
    usage_injected: bool,
) -> EventKind {
    if event.data.trim_ascii() == b"[DONE]" {
        return progress.complete();
    }
    if event.name == b"error" {
        return progress.fail(StreamError::read(event.data));
    }
    if is_garbage(event) {
        return EventKind::Garbage;
    }
    let chunk = Chunk::look(event.data);
    if chunk.has_error {
        if chunk.has_usage {
            read_usage(progress, event.data);
        }
        return progress.fail(StreamError::read(event.data));
    }
    progress.delta_bytes += chunk.delta_bytes;
    progress.choices_seen.add_all(chunk.seen);
    progress.choices_finished.add_all(chunk.finished);
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
    if chunk.has_content || !chunk.finished.is_empty() || progress.has_content {
        return progress.content();
    }
    EventKind::Preamble
}

/// Whether every choice that has been seen is finished.
pub(super) fn is_finished(progress: &Progress) -> bool {
    !progress.choices_seen.is_empty() && progress.choices_seen == progress.choices_finished
}

fn read_usage(progress: &mut Progress, data: &[u8]) {
    let answer = serde_json::from_slice::<Answer>(data).ok();
    if let Some(usage) = answer.and_then(|answer| answer.usage(Dialect::OpenAi)) {
        progress.tell(usage);
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Choices {
    #[default]
    Missing,
    Empty,
    Some,
}

/// What can be seen of a chunk in passing.
#[derive(Debug, Default)]
struct Chunk {
    choices: Choices,
    /// The choices that the chunk speaks of, and those among them that it finishes.
    seen: ChoiceSet,
    finished: ChoiceSet,
    delta_bytes: u64,
    has_content: bool,
    has_usage: bool,
    has_error: bool,
}

/// Where the walk over a chunk is.
#[derive(Default)]
struct Place<'a> {
    depth: usize,
    name: &'a [u8],
    in_choices: bool,
    /// Depth of the `delta` we are in.
    delta: Option<usize>,
    choice: u64,
    choice_finished: bool,
}

/// Depth of the members of a choice: root, list, choice.
const CHOICE_DEPTH: usize = 3;

impl Chunk {
    fn look(data: &[u8]) -> Self {
        let mut chunk = Self::default();
        let mut place = Place::default();
        for piece in Walk::new(data) {
            match piece {
                Piece::Name(name) => place.name = name,
                Piece::Open => chunk.enter(&mut place),
                Piece::Close => chunk.leave(&mut place),
                Piece::Text(text) => chunk.see_text(&mut place, text.bytes),
                Piece::Number(digits) => place.see_number(digits),
            }
        }
        chunk
    }

    fn enter(&mut self, place: &mut Place<'_>) {
        match (place.depth, place.name) {
            (1 | 2, b"usage") => self.has_usage = true,
            (1, b"error") => self.has_error = true,
            (1, b"choices") => {
                self.choices = Choices::Empty;
                place.in_choices = true;
            }
            (2, _) if place.in_choices => {
                self.choices = Choices::Some;
                (place.choice, place.choice_finished) = (0, false);
            }
            (CHOICE_DEPTH, b"delta") => place.delta = Some(place.depth),
            _ => {}
        }
        place.depth += 1;
        place.name = b"";
    }

    fn leave(&mut self, place: &mut Place<'_>) {
        place.depth = place.depth.saturating_sub(1);
        place.name = b"";
        if place.delta == Some(place.depth) {
            place.delta = None;
        }
        if place.in_choices && place.depth + 1 == CHOICE_DEPTH {
            self.seen.add(place.choice);
            if place.choice_finished {
                self.finished.add(place.choice);
            }
        }
        place.in_choices &= place.depth > 1;
    }

    fn see_text(&mut self, place: &mut Place<'_>, text: &[u8]) {
        if place.delta.is_some() {
            self.see_delta(place.name, text);
        } else if place.depth == CHOICE_DEPTH && place.name == b"finish_reason" {
            place.choice_finished = true;
            // `OpenRouter`'s word for a provider that gave up.
            self.has_error |= text == b"error";
        } else if place.depth == 1 && place.name == b"error" {
            self.has_error = true;
        }
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

impl Place<'_> {
    fn see_number(&mut self, digits: &[u8]) {
        if self.depth == CHOICE_DEPTH && self.name == b"index" {
            self.choice = str::from_utf8(digits)
                .ok()
                .and_then(|digits| digits.parse().ok())
                .unwrap_or(0);
        }
    }
}

/// A set of choices by index. All from the 63rd on count as one: nobody asks for as many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ChoiceSet(u64);

impl ChoiceSet {
    pub(super) fn add(&mut self, index: u64) {
        self.0 |= 1 << index.min(63);
    }

    pub(super) fn add_all(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }
}
