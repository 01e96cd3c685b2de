//! Every bound this crate keeps. Nesting is bounded by `serde_json` (128), sizes of bodies and events
//! by the caller.

/// Losses that are listed for one request. Real requests have a handful; a header has to hold them.
pub const LOSSES_MAX: usize = 24;

/// Characters of an unknown member's name that are repeated.
pub const FIELD_NAME_CHARS_MAX: usize = 48;

/// Bytes of a streamed answer that are kept for an API that repeats them at the end (Responses) or
/// takes them in one piece only (arguments for Gemini). The largest answers of current models are
/// below a tenth of this.
pub const STREAM_KEPT_BYTES_MAX: usize = 8 * 1024 * 1024;
