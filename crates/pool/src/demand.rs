//! What a request asks of the pool.

use serde::{Deserialize, Serialize};

use crate::id::KeyId;
use crate::time::Timestamp;
use crate::urgency::Urgency;

/// One request's needs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Demand<'a> {
    /// The model, as the provider names it.
    pub model: &'a str,
    /// The models whose quota the provider counts together, under one name; `None` where each model is
    /// counted by itself.
    pub model_class: Option<&'a str>,
    /// Tokens of the whole prompt, estimated from its bytes; the pool corrects the estimate by what it
    /// has learned of the class, and reserves what comes out.
    pub input_tokens: u64,
    /// Output tokens to set aside by the provider's charging rule; corrected as the input is.
    pub output_tokens: u64,
    /// Only keys that carry all these tags.
    pub tags: &'a [String],
    /// Keys that have been tried for this request and must not be drawn again.
    pub excluded: &'a [KeyId],
    /// The conversation it belongs to, by hash: it is kept where its prompt cache is.
    pub session: Option<u64>,
    /// State of an account that it carries (sealed reasoning, ids of earlier answers or files), by hash:
    /// only the quota that made it understands it.
    pub state: &'a [u64],
    /// Whether it is an attempt after one that failed for want of neither quota nor credit. Such attempts
    /// are bounded, so that a provider in trouble is not flooded.
    pub is_retry: bool,
    /// Whether and how it waits when there is no room; `None` refuses at once.
    pub wait: Option<Wait>,
}

/// How a request waits for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wait {
    /// It is refused when it has not been granted by then.
    pub until: Timestamp,
    /// When it arrived.
    pub since: Timestamp,
    /// How urgent it is.
    pub urgency: Urgency,
    /// Whose it is: tenants share what there is in proportion to their weights.
    pub tenant: u64,
    /// The tenant's weight, at least 1.
    pub weight: u32,
    /// Bytes that it holds while it waits.
    pub bytes: u64,
    /// It was being served and lost its key: it goes before others of its urgency.
    pub resumed: bool,
}

impl<'a> Demand<'a> {
    /// The name of its model class.
    #[must_use]
    pub fn class_name(&self) -> &'a str {
        self.model_class.unwrap_or(self.model)
    }
}
