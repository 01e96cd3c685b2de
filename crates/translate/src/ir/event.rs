//! What happens in a streamed answer.
//!
//! The order is always the same, whatever the provider sends: `Start`, then parts one after the
//! other (`Open`, any number of `Text`, `Close`), then `Stop` and `Done`. `crate::flow` sees to it, so
//! the writers need not ask.

use super::answer::{Stop, Usage};
use crate::seal::{Seal, SealKind};

/// One step of a streamed answer.
#[derive(Clone, Debug)]
pub(crate) enum Event<'e> {
    /// The answer begins.
    Start(Start<'e>),
    /// A part begins.
    Open(PartKind<'e>),
    /// More of the open part: text, or a piece of the JSON of a tool's arguments.
    Text(&'e str),
    /// The seal of the open part, which is reasoning.
    Seal(Seal<'e>),
    /// The open part is over.
    Close,
    /// Nothing happened, and the connection is alive.
    KeepAlive,
    /// The answer is over, and this is why. The usage is final.
    Done(Stop<'e>, Usage),
}

/// What is known when an answer begins.
#[derive(Clone, Debug, Default)]
pub(crate) struct Start<'e> {
    pub(crate) id: &'e str,
    pub(crate) model: &'e str,
    /// What is known of the input by then.
    pub(crate) usage: Usage,
}

/// A part of a streamed answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PartKind<'e> {
    Text,
    Refusal,
    /// Of its maker's kind: unsealed reasoning is marked with it.
    Reasoning(SealKind),
    ToolCall {
        id: &'e str,
        name: &'e str,
        seal: Option<Seal<'e>>,
    },
}
