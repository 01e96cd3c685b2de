//! Every bound this crate keeps, in one place, so that outside bytes can never make it grow
//! without end.

use std::time::Duration;

/// Nesting of a request body. The same bound `serde_json` keeps for trees; no client comes near.
pub const JSON_DEPTH_MAX: usize = 128;

/// Bytes of one server-sent event, terminators included. The largest are pictures: the Responses API
/// sends each in base64 in one event, and again in `response.completed`. One of 1536 by 1024 pixels
/// is 2 to 5 MiB so. A stream holds at most twice as much, and only while such an event is unfinished.
pub const SSE_EVENT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Capacity a splitter keeps for the next unfinished event. Larger buffers are freed once their
/// event is over, so that one large event does not weigh on a stream for the rest of its life.
pub const SSE_BUFFER_KEPT_BYTES: usize = 8 * 1024;

/// Bytes of an error body that are looked at. Real ones have a few kilobytes; a page of HTML from
/// a CDN may have many more and tells nothing.
pub const ERROR_BODY_BYTES_MAX: usize = 64 * 1024;

/// Characters of a provider's message that are handed on in logs and errors.
pub const EXCERPT_CHARS_MAX: usize = 200;

/// Longest wait a header or message is believed to ask for: a monthly limit's worth.
pub const RETRY_AFTER_MAX: Duration = Duration::from_hours(31 * 24);

/// The largest quota figure that is believed. The largest limits seen are some tens of millions of
/// tokens a minute; with this bound no product of two of them overflows.
pub const QUOTA_MAX: u64 = 1_000_000_000_000_000;

/// Quota readings taken from one answer: more than any provider has limits.
pub const QUOTA_READINGS_MAX: usize = 8;

/// Bytes of an organisation's or workspace's name. Real ones have some tens.
pub const OWNER_ID_BYTES_MAX: usize = 128;

/// Pieces of an account's state that are noted of one request or answer. One account has to know
/// them all, so a few are enough to find it.
pub const STATE_IDS_MAX: usize = 8;

/// How many of these may be sealed thinking: a conversation has one for each step, and the last
/// ones tell who made it.
pub const SEALED_STATE_MAX: usize = 4;

/// Bytes at each end of a text that are hashed; of what lies between only the length counts. Long
/// enough for texts that differ to differ there, short enough to be hashed in a microsecond or two.
pub const HASHED_BYTES_PER_END: usize = 2 * 1024;

/// Tokens of output set aside for a request whose provider counts what is really written.
///
/// `max_tokens` is no guide there: Claude Code asks for 64,000 and mostly gets a few hundred, so
/// reserving it would leave most of a key's quota unused. Settlement charges the true figure.
pub const OUTPUT_RESERVATION_TOKENS: u64 = 1024;

const _: () = assert!(SEALED_STATE_MAX < STATE_IDS_MAX);
const _: () = assert!(SSE_BUFFER_KEPT_BYTES < SSE_EVENT_BYTES_MAX);
const _: () = assert!(EXCERPT_CHARS_MAX < ERROR_BODY_BYTES_MAX);
