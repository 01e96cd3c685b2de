//! JSON as the translation needs it: read once, into borrowed and typed shapes that remember what
//! they did not understand; written directly, in the order of the calls.

mod read;
mod write;

pub(crate) use read::{
    Count, Ignored, Json, OneOrMany, Str, WordOr, json_object, members, owned_json, read_object,
    skip_value, static_json,
};
pub(crate) use write::{Array, Object, array, object, string};
