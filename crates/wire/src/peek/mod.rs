//! Looking into a request body without taking it apart.
//!
//! The body goes upstream byte for byte, since prompt caches hash it. What the gateway has to know
//! (which model, streamed or not, how large) is read off in passing: `serde_json` checks the whole
//! text and hands over the top-level members as slices of it; no tree is built, and nothing is
//! allocated per message.

mod error;
mod estimate;
mod identity;
mod kind;
mod members;
mod walk;

use std::ops::Range;

pub use error::PeekError;
use smallvec::SmallVec;

use crate::dialect::{Dialect, Endpoint};
use crate::state::StateKind;
use estimate::Estimate;
use identity::Identity;
use kind::KindFinder;
pub use kind::RequestKind;
pub(crate) use kind::SubagentTag;
use members::Members;
pub(crate) use walk::{Piece, Raw, Walk, raw_string, top_level_text};

/// What a request body tells about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peek {
    /// The model asked for, if the body names one.
    pub model: Option<ModelField>,
    /// Whether the answer is to be streamed. In Gemini's API the path says so, and not the body.
    pub stream: bool,
    /// The most tokens the answer may have (`max_tokens`, `max_completion_tokens`, `max_output_tokens` or
    /// `generationConfig.maxOutputTokens`, whichever the endpoint reads).
    pub max_output_tokens: Option<u64>,
    /// Whether the client itself asks for the usage chunk (`stream_options.include_usage`).
    pub asks_usage: bool,
    /// An estimate of the tokens of the prompt.
    pub input_tokens: u64,
    /// The session the body names (Claude Code's in `metadata.user_id`, or `prompt_cache_key`), as
    /// [`session_hash`](crate::session_hash) has it; `None` if it names none.
    pub session: Option<u64>,
    /// A hash of the prompt's beginning: system prompt, tools, and messages up to the user's first.
    /// It stays the same from turn to turn of a conversation, whatever bound or form of answer is
    /// asked for. Conversations that begin alike have the same. 0 if there is no prompt.
    pub prefix: u64,
    /// State of one account that the body carries or refers to, each a hash: a previous response,
    /// a conversation, a container, cached content, files, and the last few pieces of sealed thinking, in this
    /// order. At most [`STATE_IDS_MAX`](crate::limits::STATE_IDS_MAX).
    pub state_ids: SmallVec<[u64; 4]>,
    /// What it wants of a model besides text.
    pub kind: RequestKind,
    /// The model that a subagent's prompt names; [`take_subagent_model`](crate::take_subagent_model).
    pub(crate) tag: Option<SubagentTag>,
    /// What the first of these is.
    pub(crate) state_kind: Option<StateKind>,
    /// Where the body repeats the model, in Gemini's API, in which the path names it; `None` where the body
    /// is the place to name it.
    pub(crate) repeated_models: Option<SmallVec<[Range<usize>; 1]>>,
    /// Where `include_usage` would have to be written.
    pub(crate) usage_slot: UsageSlot,
    /// Where another member could be added: just before the closing brace.
    pub(crate) end: EndSlot,
}

impl Peek {
    /// What ties the request to one account, in the words of an error message: the kind of the
    /// first of [`Self::state_ids`], such as `previous_response_id` or `thinking blocks`.
    #[must_use]
    pub fn state_name(&self) -> Option<&'static str> {
        self.state_kind.map(StateKind::name)
    }
}

/// The `model` member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelField {
    /// The name, escapes resolved.
    pub name: String,
    /// Where its JSON string stands in the body, quotes included.
    pub range: Range<usize>,
}

/// How `stream_options.include_usage` can be brought to `true` with the least change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UsageSlot {
    /// There is no `stream_options`: add the member.
    Absent,
    /// `stream_options` is `null`: write an object in its place.
    Null(Range<usize>),
    /// An object without `include_usage`: write it after the brace at this offset.
    Object { after_brace: usize, is_empty: bool },
    /// `include_usage` has another value, at this place.
    Value(Range<usize>),
    /// It is `true` already.
    Present,
}

/// The end of the top-level object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EndSlot {
    pub(crate) brace: usize,
    pub(crate) is_empty: bool,
}

/// Reads what the gateway must know of a request body.
///
/// The whole body is checked to be JSON. A member the endpoint knows must have the right type;
/// unknown members are none of our business. `model` must not come twice, since the one that is
/// read here might not be the one the provider reads; of other members the last one counts.
pub fn peek(endpoint: Endpoint, body: &[u8]) -> Result<Peek, PeekError> {
    let text = str::from_utf8(body).map_err(|e| PeekError::not_utf8(body, e.valid_up_to()))?;
    let members = Members::read(endpoint, text)?;
    let usage_slot = members.usage_slot(text)?;
    let mut estimate = Estimate::new(text.is_ascii());
    let mut identity = Identity::new(endpoint);
    let mut kind = KindFinder::new(members.kind());
    for &(kind, value) in &members.state {
        identity.add_named_state(kind, value);
    }
    for &(part, role, value) in &members.weighed {
        identity.begin(role, value.get());
        kind.begin(role);
        estimate.add(part, value.get(), &mut identity, &mut kind)?;
        identity.end();
    }
    let (state_ids, state_kind) = identity.state();
    Ok(Peek {
        model: members.model(text)?,
        stream: members.stream()?,
        max_output_tokens: members.max_output_tokens()?,
        asks_usage: usage_slot == UsageSlot::Present,
        input_tokens: estimate.tokens(),
        session: members.session(),
        prefix: identity.prefix(),
        state_ids,
        kind: kind.kind,
        tag: kind.tag(text),
        state_kind,
        repeated_models: (endpoint.dialect() == Dialect::Gemini)
            .then(|| members.repeated_models(text)),
        usage_slot,
        end: EndSlot {
            brace: text.trim_ascii_end().len().saturating_sub(1),
            is_empty: members.count == 0,
        },
    })
}

#[cfg(test)]
mod tests;
