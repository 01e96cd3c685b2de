//! Streams of `streamGenerateContent`: each event is an answer of its own with the next part of the text.
//!
//! There is no end marker: the answer is whole once each of its candidates has a `finishReason`, or the
//! prompt was blocked. Usage stands in every chunk and counts all so far, so the last figures hold
//! (providers.md §5). Seen in one walk, without building anything.

use super::chat::ChoiceSet;
use super::{EventKind, Progress, StreamError, is_garbage};
use crate::peek::{Piece, Walk};
use crate::sse::SseEvent;
use crate::usage::{Count, GeminiUsage};

/// Why an answer ends where the account is closed for breaches of policy: no answer, and the account's
/// fault (V: G-py).
pub(super) const ACCOUNT_LIMITED: &[u8] = b"PUP_LIMITED_DISABLED";

pub(super) fn observe(progress: &mut Progress, event: &SseEvent<'_>) -> EventKind {
    if event.name == b"error" {
        return progress.fail(StreamError::read(event.data));
    }
    if is_garbage(event) {
        return EventKind::Garbage;
    }
    let chunk = Chunk::look(event.data);
    progress.delta_bytes += chunk.text_bytes;
    read_usage(progress, &chunk);
    if chunk.has_error {
        return progress.fail(StreamError::read(event.data));
    }
    progress.choices_seen.add_all(chunk.seen);
    progress.choices_finished.add_all(chunk.finished);
    if chunk.has_content || !chunk.finished.is_empty() || progress.has_content {
        return progress.content();
    }
    EventKind::Preamble
}

/// Each figure stands as long as no later chunk states it anew. Output that is not stated at all was none,
/// but only of an answer that has come to its end.
fn read_usage(progress: &mut Progress, chunk: &Chunk) {
    let usage = &mut progress.gemini_usage;
    usage.update(&chunk.usage);
    progress.told = usage.read();
    progress.input_told = usage.prompt.is_told();
    if chunk.usage.tells_output() || (chunk.usage.is_told() && !chunk.finished.is_empty()) {
        progress.output_is_told();
    }
}

/// What can be seen of a chunk in passing.
#[derive(Debug, Default)]
struct Chunk {
    /// The candidates that the chunk speaks of, and those among them that it finishes.
    seen: ChoiceSet,
    finished: ChoiceSet,
    text_bytes: u64,
    has_content: bool,
    has_error: bool,
    usage: GeminiUsage,
}

/// Where the walk over a chunk is.
#[derive(Default)]
struct Place<'a> {
    depth: usize,
    name: &'a [u8],
    /// The member at the top that we are in, that of a candidate, and that of a part.
    member: &'a [u8],
    of_candidate: &'a [u8],
    of_part: &'a [u8],
    candidate: u64,
    is_finished: bool,
}

/// Depth of the members of an object at the top, of a candidate, of a part of its content, and of what the part is.
const MEMBER_DEPTH: usize = 2;
const CANDIDATE_DEPTH: usize = 3;
const PART_DEPTH: usize = 6;
const INSIDE_PART_DEPTH: usize = 7;

impl Chunk {
    fn look(data: &[u8]) -> Self {
        let mut chunk = Self::default();
        let mut place = Place::default();
        for piece in Walk::new(data) {
            match piece {
                Piece::Name(name) => {
                    place.name = name;
                    match place.depth {
                        1 => place.member = name,
                        CANDIDATE_DEPTH => place.of_candidate = name,
                        PART_DEPTH => place.of_part = name,
                        _ => {}
                    }
                }
                Piece::Open => {
                    chunk.has_error |= place.depth == 1 && place.name == b"error";
                    place.depth += 1;
                    if place.depth == CANDIDATE_DEPTH {
                        (place.candidate, place.is_finished) = (0, false);
                    }
                }
                Piece::Close => chunk.leave(&mut place),
                Piece::Text(text) => chunk.see_text(&mut place, text.bytes),
                Piece::Number(digits) => chunk.see_number(&mut place, digits),
            }
        }
        chunk
    }

    fn leave(&mut self, place: &mut Place<'_>) {
        if place.depth == CANDIDATE_DEPTH && place.member == b"candidates" {
            self.seen.add(place.candidate);
            if place.is_finished {
                self.finished.add(place.candidate);
            }
        }
        place.depth = place.depth.saturating_sub(1);
    }

    fn see_text(&mut self, place: &mut Place<'_>, text: &[u8]) {
        match (place.member, place.depth, place.name) {
            (b"error", 1, _) => self.has_error = true,
            // The prompt is not answered, and that is the answer.
            (b"promptFeedback", MEMBER_DEPTH, b"blockReason") => {
                self.seen.add(0);
                self.finished.add(0);
            }
            (b"candidates", CANDIDATE_DEPTH, b"finishReason") => {
                place.is_finished = text != b"FINISH_REASON_UNSPECIFIED";
                self.has_error |= text == ACCOUNT_LIMITED;
            }
            (b"candidates", PART_DEPTH.., _) if place.of_candidate == b"content" => {
                self.see_part(place, text);
            }
            // Ratings, citations, what a search found: about the answer, and none of it.
            _ => {}
        }
    }

    /// A string in a part of the answer.
    fn see_part(&mut self, place: &Place<'_>, text: &[u8]) {
        let is_beside = matches!(
            place.of_part,
            b"thoughtSignature" | b"partMetadata" | b"mediaResolution" | b"videoMetadata"
        );
        self.has_content |= !is_beside && !text.is_empty();
        let is_written = match place.of_part {
            b"text" => true,
            b"functionCall" => place.depth > INSIDE_PART_DEPTH || place.name == b"name",
            b"executableCode" => place.name == b"code",
            b"codeExecutionResult" => place.name == b"output",
            // Pictures and files.
            _ => false,
        };
        if is_written {
            self.text_bytes += text.len() as u64;
        }
    }

    fn see_number(&mut self, place: &mut Place<'_>, digits: &[u8]) {
        let number = || str::from_utf8(digits).ok()?.parse().ok();
        match (place.member, place.depth) {
            (b"candidates", CANDIDATE_DEPTH) if place.name == b"index" => {
                place.candidate = number().unwrap_or(0);
            }
            (b"usageMetadata", MEMBER_DEPTH) => {
                let count = Count::of(number());
                match place.name {
                    b"promptTokenCount" => self.usage.prompt = count,
                    b"cachedContentTokenCount" => self.usage.cached = count,
                    b"candidatesTokenCount" => self.usage.candidates = count,
                    b"thoughtsTokenCount" => self.usage.thoughts = count,
                    b"toolUsePromptTokenCount" => self.usage.tool_use_prompt = count,
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
