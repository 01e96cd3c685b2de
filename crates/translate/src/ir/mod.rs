//! The intermediate form: what a request, an answer and an event of a stream *mean*, in no API's
//! words.
//!
//! Each API has a reader into this form and a writer out of it, so n APIs need 2n translations.
//! The form borrows from the body it was read from. What it has no place for was noted by the
//! reader, and the rules (`crate::rules`) say what becomes of it.

mod answer;
mod event;
mod reasoning;
mod request;

pub(crate) use answer::{Answer, Stop, Usage};
pub(crate) use event::{Event, PartKind, Start};
pub(crate) use reasoning::{Depth, Effort, Reasoning};
pub(crate) use request::{
    Media, Output, Part, Request, Role, Source, Tool, ToolCall, ToolChoice, ToolResult,
};
