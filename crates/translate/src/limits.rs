//! Every bound this crate keeps. Nesting is bounded by `serde_json` (128), sizes of bodies and events
//! by the caller.

/// Losses that are listed for one request. Real requests have a handful; a header has to hold them.
pub const LOSSES_MAX: usize = 24;

/// Characters of an unknown member's name that are repeated.
pub const FIELD_NAME_CHARS_MAX: usize = 48;
