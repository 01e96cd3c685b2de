//! What LLM APIs say and mean, as pure functions over bytes.
//!
//! Everything here knows the dialects and nothing else: no sockets, no clock, no HTTP library. The
//! gateway asks it what a request wants ([`peek()`]), what to send ([`upstream_body`],
//! [`UpstreamBase`]), what an answer means ([`judge`], [`StreamMeter`]), what it cost
//! ([`usage_of_answer`], [`charge`]) and how to word an error of its own ([`error_body`]).
//!
//! All input comes from outside: no function panics on any bytes, and all memory is bounded by
//! [`limits`].

mod base_url;
mod charging;
mod dates;
mod dialect;
mod excerpt;
mod gemini_path;
mod headers;
mod json;
pub mod limits;
mod model_ref;
mod own_error;
mod owner;
mod peek;
mod place;
mod provider;
mod quota;
mod retry_after;
mod rules;
mod splice;
mod sse;
mod state;
mod stream;
mod taxonomy;
mod usage;

pub use base_url::{BaseUrlError, Call, Scheme, UpstreamBase};
pub use charging::{charge, output_owed_when_given_up, reservation};
pub use dialect::{Dialect, Endpoint};
pub use excerpt::excerpt;
pub use gemini_path::GeminiPath;
pub use headers::Headers;
pub use json::is_json_object;
pub use model_ref::ModelRef;
pub use own_error::{OwnError, error_body, error_body_with_request_id, stream_error_event};
pub use owner::{QuotaOwner, quota_owner};
pub use peek::{ModelField, Peek, PeekError, RequestKind, peek};
pub use place::{KeyPlace, Place, PlaceError};
pub use provider::{AuthScheme, ProviderKind};
pub use quota::{
    Counted, Period, QuotaReading, QuotaReadings, quota_readings, quota_readings_of_error,
};
pub use rules::{DayRule, QuotaRules, WindowShape, model_class, quota_rules};
pub use splice::{take_subagent_model, upstream_body};
pub use sse::{SseError, SseEvent, SseSplitter};
pub use state::{session_hash, state_ids_of_answer};
pub use stream::{EventKind, StreamEnd, StreamError, StreamMeter, error_of_answer};
pub use taxonomy::{Judgement, KeyVerdict, RequestVerdict, Scope, judge};
pub use usage::{Usage, UsageSource, UsageTally, tally_of_answer, usage_in_part, usage_of_answer};
