//! State that an account keeps between requests, and the names of sessions.
//!
//! Some requests can be served by one account only: thinking blocks are sealed for the
//! organisation that made them, a `previous_response_id` is known to the project that stored it, a
//! file to the workspace it was sent to. Sent through another account they are refused, or worse,
//! quietly dropped from the prompt. So each piece of such state is brought to one number, the same
//! when an answer makes it and when a later request carries it.
//!
//! Worked example: an answer's `"id":"resp_1"` and the next request's
//! `"previous_response_id":"resp_1"` give the same number, so the gateway finds the key that knows
//! it. A file of the name `resp_1` gives another, since each kind is hashed in a domain of its own.
//!
//! The hash has no secret, so that processes agree on it; whoever sends a colliding name can
//! only lead its own requests to another key.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hasher};

use smallvec::SmallVec;

use crate::dialect::{Dialect, Endpoint};
use crate::limits::{HASHED_BYTES_PER_END, SEALED_STATE_MAX, STATE_IDS_MAX};
use crate::peek::{Piece, Raw, Walk};

/// What kind of state of an account a request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum StateKind {
    /// A stored response of the Responses API.
    Response,
    /// A stored conversation of the Responses API.
    Conversation,
    /// A container in which code runs.
    Container,
    /// A file.
    File,
    /// A part of a prompt that Gemini keeps.
    CachedContent,
    /// Thinking sealed by Anthropic: a block's signature or redacted data.
    Thinking,
    /// Reasoning sealed by OpenAI.
    Reasoning,
}

impl StateKind {
    /// How it is called in an error message.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Response => "previous_response_id",
            Self::Conversation => "conversation",
            Self::Container => "container",
            Self::File => "file",
            Self::CachedContent => "cachedContent",
            Self::Thinking => "thinking blocks",
            Self::Reasoning => "encrypted reasoning",
        }
    }

    const fn domain(self) -> u8 {
        match self {
            Self::Response => 2,
            Self::Conversation => 3,
            Self::Container => 4,
            Self::File => 5,
            Self::Thinking => 6,
            Self::Reasoning => 7,
            Self::CachedContent => 8,
        }
    }

    const fn is_sealed(self) -> bool {
        matches!(self, Self::Thinking | Self::Reasoning)
    }
}

const SESSION_DOMAIN: u8 = 1;
/// First of the domains of a prompt's parts.
pub(crate) const PREFIX_DOMAIN: u8 = 16;

/// The number of a session, from what a client calls it in a header: the same that a body with
/// that name has as its [`Peek::session`](crate::Peek::session). White space around it does not
/// count.
#[must_use]
pub fn session_hash(text: &str) -> u64 {
    sampled_hash(SESSION_DOMAIN, text.trim().as_bytes())
}

/// A hash of bytes in a domain. Of long ones only both ends and the length count, so that its cost
/// is bounded.
pub(crate) fn sampled_hash(domain: u8, bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write_u8(domain);
    hasher.write_u64(bytes.len() as u64);
    match (
        bytes.get(..HASHED_BYTES_PER_END),
        bytes.get(bytes.len().saturating_sub(HASHED_BYTES_PER_END)..),
    ) {
        (Some(head), Some(tail)) if bytes.len() > 2 * HASHED_BYTES_PER_END => {
            hasher.write(head);
            hasher.write(tail);
        }
        _ => hasher.write(bytes),
    }
    hasher.finish()
}

/// The text of a JSON string. Escapes are rare in names and seals, but some clients write `+` and
/// `/` with them.
pub(crate) fn unescaped(raw: &[u8]) -> Option<Cow<'_, [u8]>> {
    if memchr::memchr(b'\\', raw).is_none() {
        return Some(Cow::Borrowed(raw));
    }
    let mut quoted = Vec::with_capacity(raw.len() + 2);
    quoted.push(b'"');
    quoted.extend_from_slice(raw);
    quoted.push(b'"');
    let text: String = serde_json::from_slice(&quoted).ok()?;
    Some(Cow::Owned(text.into_bytes()))
}

/// The number of a piece of state, from the inside of its JSON string; `None` for an empty one.
fn state_hash(kind: StateKind, raw: &[u8]) -> Option<u64> {
    let text = unescaped(raw)?;
    (!text.is_empty()).then(|| sampled_hash(kind.domain(), &text))
}

/// State found on the way through a text: all that is named, bounded, and the last of what is
/// sealed. (A conversation repeats all its sealed thinking; the last was made last, by the account
/// that has to read it.)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FoundState<'a> {
    named: SmallVec<[(StateKind, &'a [u8]); 4]>,
    sealed: [Option<(StateKind, &'a [u8])>; SEALED_STATE_MAX],
    sealed_count: usize,
}

impl<'a> FoundState<'a> {
    pub(crate) fn add(&mut self, kind: StateKind, raw: &'a [u8]) {
        if raw.is_empty() {
            return;
        }
        if kind.is_sealed() {
            if let Some(slot) = self.sealed.get_mut(self.sealed_count % SEALED_STATE_MAX) {
                *slot = Some((kind, raw));
            }
            self.sealed_count += 1;
        } else if self.named.len() < STATE_IDS_MAX - SEALED_STATE_MAX
            && !self.named.contains(&(kind, raw))
        {
            self.named.push((kind, raw));
        }
    }

    /// The numbers, named state before sealed, and the kind of the first.
    pub(crate) fn numbers(&self) -> (SmallVec<[u64; 4]>, Option<StateKind>) {
        let mut ids = SmallVec::new();
        let mut first_kind = None;
        let sealed = self.sealed.iter().flatten();
        for &(kind, raw) in self.named.iter().chain(sealed) {
            if let Some(id) = state_hash(kind, raw)
                && !ids.contains(&id)
            {
                ids.push(id);
                first_kind = first_kind.or(Some(kind));
            }
        }
        (ids, first_kind)
    }
}

/// Finds state in the strings of a walk, by the names they stand under.
///
/// A seal counts only in a block of its own type, since a tool may be called with members of any
/// name; the type may stand before or after it. Seals of the Responses API stand behind nested
/// lists, so there the name alone has to do.
#[derive(Debug)]
pub(crate) struct StateFinder<'a> {
    endpoint: Endpoint,
    block_type: &'a [u8],
    /// A possible seal, and the name it has.
    pending: Option<(&'a [u8], &'a [u8])>,
}

impl<'a> StateFinder<'a> {
    pub(crate) const fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            block_type: b"",
            pending: None,
        }
    }

    /// An object or list begins or ends.
    pub(crate) fn see_bracket(&mut self) {
        self.block_type = b"";
        self.pending = None;
    }

    /// A string under a name.
    pub(crate) fn see_text(&mut self, found: &mut FoundState<'a>, name: &'a [u8], raw: Raw<'a>) {
        match name {
            b"type" => self.block_type = raw.bytes,
            b"signature" | b"data" => self.pending = Some((name, raw.bytes)),
            b"encrypted_content" if self.endpoint == Endpoint::Responses => {
                found.add(StateKind::Reasoning, raw.bytes);
                return;
            }
            // All files' names begin so; a tool's own member of that name seldom does.
            b"file_id" if raw.bytes.starts_with(b"file") => {
                found.add(StateKind::File, raw.bytes);
                return;
            }
            // Gemini's; other addresses can be read by everybody.
            b"fileUri" | b"file_uri"
                if self.endpoint.dialect() == Dialect::Gemini && is_gemini_file(raw.bytes) =>
            {
                found.add(StateKind::File, raw.bytes);
                return;
            }
            _ => return,
        }
        if let Some((name, seal)) = self.pending
            && matches!(
                (self.block_type, name),
                (b"thinking", b"signature") | (b"redacted_thinking", b"data")
            )
        {
            found.add(StateKind::Thinking, seal);
            self.pending = None;
        }
    }
}

/// Whether an address is of a file that was sent to Gemini's API, and can be read by its project alone:
/// `https://generativelanguage.googleapis.com/v1beta/files/abc-123`.
fn is_gemini_file(address: &[u8]) -> bool {
    const HOST: &[u8] = b"generativelanguage.googleapis.com/";
    address.starts_with(b"files/") || memchr::memmem::find(address, HOST).is_some()
}

/// The state of an account that a whole (not streamed) answer made, in the numbers that requests
/// carrying it will have in their [`Peek::state_ids`](crate::Peek::state_ids): what is named first,
/// then the last few seals. At most [`STATE_IDS_MAX`].
///
/// Whatever the body is, nothing panics; of what is not JSON the result is nonsense or empty.
#[must_use]
pub fn state_ids_of_answer(endpoint: Endpoint, body: &[u8]) -> SmallVec<[u64; 4]> {
    found_in_answer(endpoint, body).numbers().0
}

/// Where the members of an answer stand: inside the answer's own object.
const ANSWER_DEPTH: usize = 1;

/// The same for an answer inside an event.
pub(crate) const ANSWER_IN_EVENT_DEPTH: usize = 2;

fn found_in_answer(endpoint: Endpoint, body: &[u8]) -> FoundState<'_> {
    let mut found = FoundState::default();
    match endpoint {
        Endpoint::Messages | Endpoint::Responses => {
            walk_answer(endpoint, body, ANSWER_DEPTH, &mut found);
        }
        // These keep nothing.
        Endpoint::CountTokens
        | Endpoint::ChatCompletions
        | Endpoint::Embeddings
        | Endpoint::GenerateContent
        | Endpoint::CountContentTokens
        | Endpoint::EmbedContent
        | Endpoint::BatchEmbedContents => {}
    }
    found
}

/// Walks an answer whose members stand at `top`, which is deeper for one inside an event.
pub(crate) fn walk_answer<'a>(
    endpoint: Endpoint,
    json: &'a [u8],
    top: usize,
    found: &mut FoundState<'a>,
) {
    let mut finder = StateFinder::new(endpoint);
    let mut depth = 0_usize;
    let mut name: &[u8] = b"";
    // The member at the top that we are in.
    let mut member: &[u8] = b"";
    for piece in Walk::new(json) {
        match piece {
            Piece::Name(called) => {
                name = called;
                if depth == top {
                    member = called;
                }
            }
            Piece::Open => {
                depth += 1;
                finder.see_bracket();
            }
            Piece::Close => {
                depth = depth.saturating_sub(1);
                finder.see_bracket();
            }
            Piece::Text(raw) => {
                if let Some(kind) = made_by_answer(endpoint, depth.checked_sub(top), member, name) {
                    found.add(kind, raw.bytes);
                } else {
                    finder.see_text(found, name, raw);
                }
            }
            Piece::Number(_) => {}
        }
    }
}

/// The name of a response, from an event that begins it. Only as far as the name is the event
/// looked at: after it comes all that was asked for.
pub(crate) fn response_id_in_event(json: &[u8]) -> Option<&[u8]> {
    let mut depth = 0_usize;
    let mut name: &[u8] = b"";
    for piece in Walk::new(json) {
        match piece {
            Piece::Name(called) => name = called,
            Piece::Open => depth += 1,
            Piece::Close => depth = depth.saturating_sub(1),
            Piece::Text(raw) if depth == ANSWER_IN_EVENT_DEPTH && name == b"id" => {
                return Some(raw.bytes);
            }
            Piece::Text(_) | Piece::Number(_) => {}
        }
    }
    None
}

/// What a string in an answer names, by where it stands: how deep below the top, in which member
/// there, and under which name.
fn made_by_answer(
    endpoint: Endpoint,
    below_top: Option<usize>,
    member: &[u8],
    name: &[u8],
) -> Option<StateKind> {
    if name != b"id" {
        return None;
    }
    match (endpoint, below_top?, member) {
        (Endpoint::Responses, 0, _) => Some(StateKind::Response),
        (Endpoint::Responses, 1, b"conversation") => Some(StateKind::Conversation),
        (Endpoint::Messages, 1, b"container") => Some(StateKind::Container),
        _ => None,
    }
}

/// State made by an answer that is still going by: numbers, since the text is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MadeState {
    ids: SmallVec<[u64; 4]>,
}

impl MadeState {
    pub(crate) fn ids(&self) -> &[u64] {
        &self.ids
    }

    pub(crate) fn add(&mut self, kind: StateKind, raw: &[u8]) {
        if let Some(id) = state_hash(kind, raw) {
            self.push(id);
        }
    }

    pub(crate) fn add_all(&mut self, found: &FoundState<'_>) {
        for id in found.numbers().0 {
            self.push(id);
        }
    }

    /// The latest stay: a follow-up carries the last seals, and a response's name comes with its
    /// last event again.
    fn push(&mut self, id: u64) {
        self.ids.retain(|known| *known != id);
        if self.ids.len() == STATE_IDS_MAX {
            self.ids.remove(0);
        }
        self.ids.push(id);
    }
}

#[cfg(test)]
mod tests;
