//! What a request asks of the pool.

use crate::id::KeyId;

/// One request's needs. Token counts are what to reserve: estimates, by the provider's own
/// charging rule; the outcome replaces them by what was really used.
#[derive(Clone, Copy, Debug)]
pub struct Demand<'a> {
    /// The model, as the provider names it.
    pub model: &'a str,
    /// Input tokens to reserve.
    pub input_tokens: u64,
    /// Output tokens to reserve.
    pub output_tokens: u64,
    /// Only keys that carry all these tags.
    pub tags: &'a [String],
    /// Keys that have been tried for this request and must not be drawn again.
    pub excluded: &'a [KeyId],
}
