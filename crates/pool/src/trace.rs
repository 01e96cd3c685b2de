//! What a recorded request looks like: enough to replay the traffic in virtual time, and nothing of what
//! anybody wrote.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;
use crate::urgency::Urgency;

/// One request as it passed through the gateway. A trace is one such record a line, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TraceRecord {
    /// When it arrived, in microseconds since the Unix epoch.
    pub at: Timestamp,
    /// The provider that answered, or was asked last.
    pub provider: String,
    /// The model, as the provider names it.
    pub model: String,
    /// Tokens of the whole prompt: as the provider counted them, else as they were estimated.
    pub input_tokens: u64,
    /// Of those, what came from the prompt cache.
    #[serde(default)]
    pub cached_tokens: u64,
    /// Output tokens; 0 where there was no answer.
    pub output_tokens: u64,
    /// Whether any of these figures is a guess, since the provider never stated it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
    /// The client's bound on output tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
    /// Whether the answer was streamed.
    #[serde(default)]
    pub stream: bool,
    /// The conversation, by a hash that means nothing outside this trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<u64>,
    /// Whose request it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// How urgent it was.
    #[serde(default)]
    pub urgency: Urgency,
    /// Status of the answer that the client got.
    pub status: u16,
    /// Attempts that were made.
    #[serde(default)]
    pub attempts: u32,
    /// Milliseconds that it waited for room.
    #[serde(default)]
    pub queued_ms: u64,
    /// Milliseconds from the last attempt's begin to the end of the answer.
    pub latency_ms: u64,
}
