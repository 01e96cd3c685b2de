//! What a request tells of the conversation and of the account it belongs to.
//!
//! A conversation that wanders between accounts pays for its prompt cache again with each turn,
//! and loses its thinking blocks. So three things are read off in the walk that weighs the prompt:
//! the session a client names, a hash of the prompt's beginning for clients that name none, and
//! state that one account keeps.
//!
//! The beginning is the system prompt, the tools, and the messages up to the first of the user's.
//! Only what is said counts, not how it is wrapped: agents move `cache_control` from message to
//! message, and write a message's text as a string or as a block accordingly.
//!
//! Worked example: turn one has the messages `[user A]`, turn two `[user A, assistant B, user C]`.
//! Both have the prefix of the system prompt, the tools and A.

use std::hash::{DefaultHasher, Hasher};

use serde_json::value::RawValue;
use smallvec::SmallVec;

use super::walk::{Piece, Raw, top_level_text};
use crate::dialect::Endpoint;
use crate::limits::HASHED_BYTES_PER_END;
use crate::state::{
    FoundState, PREFIX_DOMAIN, StateFinder, StateKind, sampled_hash, session_hash, unescaped,
};

/// What a weighed member is to the prompt's beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A system prompt: all of it belongs to the beginning.
    System,
    /// The turns of the conversation, up to the first of the user's.
    Turns,
    /// Tool definitions: as they are written.
    Tools,
    /// It does not belong to the beginning.
    Apart,
}

/// A system block that Claude Code writes for billing: its text changes with each request.
const BILLING_BLOCK: &[u8] = b"x-anthropic-billing-header";

/// Gathers what is told, member by member.
pub(super) struct Identity<'a> {
    state: FoundState<'a>,
    finder: StateFinder<'a>,
    prefix: u64,
    /// The member that is walked.
    role: Role,
    depth: usize,
    item_is_users: bool,
    /// Whether the text that comes still belongs to the beginning.
    is_beginning: bool,
    text: TextHash<'a>,
    /// `text` after the first item, should none be the user's.
    first_item: Option<TextHash<'a>>,
}

/// Depth inside a list of messages, and inside one of them.
const LIST_DEPTH: usize = 1;
const ITEM_DEPTH: usize = 2;

impl<'a> Identity<'a> {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self {
            state: FoundState::default(),
            finder: StateFinder::new(endpoint),
            prefix: 0,
            role: Role::Apart,
            depth: 0,
            item_is_users: false,
            is_beginning: false,
            text: TextHash::new(Role::Apart),
            first_item: None,
        }
    }

    /// A member begins.
    pub(super) fn begin(&mut self, role: Role, json: &str) {
        self.role = role;
        self.depth = 0;
        self.is_beginning = matches!(role, Role::System | Role::Turns);
        self.text = TextHash::new(role);
        self.first_item = None;
        if role == Role::Tools {
            self.add_part(sampled_hash(domain(role), json.as_bytes()));
        }
    }

    /// A piece of the member, under the name that was last seen. Only members that are text have
    /// to be shown.
    pub(super) fn see(&mut self, name: &'a [u8], piece: Piece<'a>) {
        match piece {
            Piece::Text(raw) => self.see_text(name, raw),
            Piece::Open => {
                self.depth += 1;
                self.finder.see_bracket();
            }
            Piece::Close => {
                self.depth = self.depth.saturating_sub(1);
                self.finder.see_bracket();
                if self.is_beginning && self.depth == LIST_DEPTH && self.role == Role::Turns {
                    self.end_item();
                }
            }
            Piece::Name(_) | Piece::Number(_) => {}
        }
    }

    fn see_text(&mut self, name: &'a [u8], raw: Raw<'a>) {
        self.finder.see_text(&mut self.state, name, raw);
        if !self.is_beginning {
            return;
        }
        match name {
            b"role" => {
                self.item_is_users |= self.depth == ITEM_DEPTH && raw.bytes == b"user";
            }
            b"type" | b"ttl" => {}
            _ if raw.bytes.starts_with(BILLING_BLOCK) => {}
            _ => self.text.add(raw.bytes),
        }
    }

    fn end_item(&mut self) {
        if self.item_is_users {
            self.is_beginning = false;
            self.first_item = None;
        } else if self.first_item.is_none() {
            self.first_item = Some(self.text.clone());
        }
        self.item_is_users = false;
    }

    /// The member is over.
    pub(super) fn end(&mut self) {
        if matches!(self.role, Role::System | Role::Turns) {
            let text = self.first_item.take().unwrap_or_else(|| self.text.clone());
            self.add_part(text.finish());
        }
    }

    /// A sum, so that the order of the members does not count.
    fn add_part(&mut self, hash: u64) {
        self.prefix = self.prefix.wrapping_add(hash);
    }

    /// State that has a member of its own: a name, or an object that has one.
    pub(super) fn add_named_state(&mut self, kind: StateKind, value: &'a RawValue) {
        if let Some(id) = text_or_id(value.get()) {
            self.state.add(kind, id);
        }
    }

    pub(super) const fn prefix(&self) -> u64 {
        self.prefix
    }

    pub(super) fn state(&self) -> (SmallVec<[u64; 4]>, Option<StateKind>) {
        self.state.numbers()
    }
}

/// Where a session is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionForm {
    /// In the member itself.
    Key,
    /// In the `user_id` of Anthropic's `metadata`.
    Metadata,
}

/// The session that a member names, if it does.
pub(super) fn session(form: SessionForm, value: &RawValue) -> Option<u64> {
    let json = value.get();
    let named = match form {
        SessionForm::Key => unescaped(quoted(json)?)?,
        SessionForm::Metadata => unescaped(top_level_text(json.as_bytes(), b"user_id")?)?,
    };
    let named = str::from_utf8(&named).ok()?;
    match form {
        SessionForm::Key => hash_if_any(named),
        SessionForm::Metadata => session_of_user_id(named),
    }
}

/// Claude Code writes a JSON object into `user_id`; older versions
/// `user_HASH_account_UUID_session_UUID`. Any other user id is that of a person or a program, who
/// may have many sessions at a time.
fn session_of_user_id(user_id: &str) -> Option<u64> {
    if user_id.starts_with('{') {
        let session = unescaped(top_level_text(user_id.as_bytes(), b"session_id")?)?;
        return hash_if_any(str::from_utf8(&session).ok()?);
    }
    let (user, session) = user_id.rsplit_once("_session_")?;
    if user.starts_with("user_") && user.contains("_account_") {
        hash_if_any(session)
    } else {
        None
    }
}

fn hash_if_any(session: &str) -> Option<u64> {
    (!session.trim().is_empty()).then(|| session_hash(session))
}

/// The inside of a JSON string.
fn quoted(json: &str) -> Option<&[u8]> {
    let inside = json.strip_prefix('"')?.strip_suffix('"')?;
    Some(inside.as_bytes())
}

fn text_or_id(json: &str) -> Option<&[u8]> {
    quoted(json).or_else(|| top_level_text(json.as_bytes(), b"id"))
}

const fn domain(role: Role) -> u8 {
    PREFIX_DOMAIN
        + match role {
            Role::System => 0,
            Role::Turns => 1,
            Role::Tools => 2,
            Role::Apart => 3,
        }
}

/// A hash of several strings, of which the beginning, the end of the last and the length count.
#[derive(Clone)]
struct TextHash<'a> {
    hasher: DefaultHasher,
    /// Bytes that are still hashed as they come.
    left: usize,
    length: u64,
    last: &'a [u8],
}

impl<'a> TextHash<'a> {
    fn new(role: Role) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write_u8(domain(role));
        Self {
            hasher,
            left: HASHED_BYTES_PER_END,
            length: 0,
            last: b"",
        }
    }

    fn add(&mut self, raw: &'a [u8]) {
        const SEPARATOR: u8 = 0xFF;
        if self.left > 0 {
            let head = raw.get(..self.left).unwrap_or(raw);
            self.hasher.write(head);
            self.hasher.write_u8(SEPARATOR);
            self.left = self.left.saturating_sub(head.len() + 1);
        }
        self.length += raw.len() as u64;
        self.last = raw;
    }

    fn finish(mut self) -> u64 {
        let tail = self.last.len().saturating_sub(HASHED_BYTES_PER_END);
        self.hasher.write(self.last.get(tail..).unwrap_or_default());
        self.hasher.write_u64(self.length);
        self.hasher.finish()
    }
}

#[cfg(test)]
mod tests;
