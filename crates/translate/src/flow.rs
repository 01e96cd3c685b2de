//! The order of a streamed answer.
//!
//! Readers tell what they read, in whatever order the provider sends it; the flow puts it into the
//! order that writers rely on: the start first, one part at a time, each opened and closed, one end.
//! What cannot be put in order is an error, and after an error or the end nothing more comes.

use crate::error::Failure;
use crate::ir::{Event, PartKind, Start, Stop, Usage};
use crate::seal::{Seal, SealKind};
use crate::stream::Writer;

/// How far an answer has come.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    phase: Phase,
    open: Option<Open>,
    has_calls: bool,
    has_refusal: bool,
    /// Why the answer stopped, once that was told.
    stop: Option<Stop<'static>>,
    usage: Usage,
}

/// Where an answer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Before,
    Running,
    Done,
    Failed {
        /// Because of what is no answer in the provider's API.
        malformed: bool,
    },
}

/// The part that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Text,
    Refusal,
    Reasoning,
    ToolCall,
}

/// A text that comes in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextKind {
    Text,
    Refusal,
    Reasoning(SealKind),
}

impl Flow {
    /// Whether nothing more can come.
    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Done | Phase::Failed { .. })
    }

    pub(crate) const fn has_failed(&self) -> bool {
        matches!(self.phase, Phase::Failed { .. })
    }

    /// Whether it failed because of what is no answer in the provider's API.
    pub(crate) const fn is_malformed(&self) -> bool {
        matches!(self.phase, Phase::Failed { malformed: true })
    }

    /// Whether the provider has said why it stopped.
    pub(crate) const fn is_stopped(&self) -> bool {
        self.stop.is_some()
    }
}

/// Where a reader puts what it reads: the flow, the writer behind it, and the writer's buffer.
pub(crate) struct Sink<'s> {
    pub(crate) flow: &'s mut Flow,
    pub(crate) writer: &'s mut Writer,
    pub(crate) out: &'s mut Vec<u8>,
}

impl Sink<'_> {
    fn emit(&mut self, event: &Event<'_>) {
        self.writer.event(event, self.out);
    }

    /// The answer begins. Later calls are ignored.
    pub(crate) fn start(&mut self, id: &str, model: &str) {
        if self.flow.phase == Phase::Before {
            self.flow.phase = Phase::Running;
            let usage = self.flow.usage;
            self.emit(&Event::Start(Start { id, model, usage }));
        }
    }

    /// More of a text; a part is opened for it where none of its kind is open.
    pub(crate) fn text(&mut self, kind: TextKind, text: &str) {
        if text.is_empty() || self.flow.is_over() {
            return;
        }
        let (open, part) = match kind {
            TextKind::Text => (Open::Text, PartKind::Text),
            TextKind::Refusal => (Open::Refusal, PartKind::Refusal),
            TextKind::Reasoning(maker) => (Open::Reasoning, PartKind::Reasoning(maker)),
        };
        self.flow.has_refusal |= kind == TextKind::Refusal;
        if self.flow.open != Some(open) {
            self.open(open, part);
        }
        self.emit(&Event::Text(text));
    }

    /// A tool is called; its arguments follow.
    pub(crate) fn call(&mut self, id: &str, name: &str, seal: Option<Seal<'_>>) {
        if !self.flow.is_over() {
            self.flow.has_calls = true;
            self.open(Open::ToolCall, PartKind::ToolCall { id, name, seal });
        }
    }

    /// A piece of the JSON of the open call's arguments.
    pub(crate) fn arguments(&mut self, piece: &str) {
        if self.flow.is_over() || piece.is_empty() {
            return;
        }
        if self.flow.open == Some(Open::ToolCall) {
            self.emit(&Event::Text(piece));
        } else {
            self.fail(&Failure::unreadable());
        }
    }

    /// The seal of the reasoning that is open, or of reasoning that is not shown.
    pub(crate) fn seal(&mut self, seal: Seal<'_>) {
        if self.flow.is_over() {
            return;
        }
        if self.flow.open != Some(Open::Reasoning) {
            self.open(Open::Reasoning, PartKind::Reasoning(seal.kind));
        }
        self.emit(&Event::Seal(seal));
        self.close();
    }

    /// The open part is over, if there is one.
    pub(crate) fn close(&mut self) {
        if !self.flow.is_over() && self.flow.open.take().is_some() {
            self.emit(&Event::Close);
        }
    }

    fn open(&mut self, open: Open, part: PartKind<'_>) {
        self.start("", "");
        self.close();
        self.flow.open = Some(open);
        self.emit(&Event::Open(part));
    }

    /// What the answer cost, as far as it is told; later figures replace earlier ones.
    pub(crate) fn usage(&mut self, usage: Usage) {
        self.flow.usage = usage;
    }

    pub(crate) fn keep_alive(&mut self) {
        if self.flow.phase == Phase::Running {
            self.emit(&Event::KeepAlive);
        }
    }

    /// Why the answer stopped. The end is still to come.
    pub(crate) fn stop(&mut self, stop: Stop<'_>) {
        self.flow.stop = Some(stop.into_owned());
    }

    /// The provider's end marker came.
    pub(crate) fn done(&mut self) {
        if self.flow.is_over() {
            return;
        }
        self.start("", "");
        self.close();
        let stop = self.flow.stop.take().unwrap_or_default();
        let stop = stop
            .with_calls(self.flow.has_calls)
            .with_refusal(self.flow.has_refusal);
        let usage = self.flow.usage;
        self.emit(&Event::Done(stop, usage));
        self.flow.phase = Phase::Done;
    }

    /// The answer failed: the client gets its API's error event, and no end marker.
    pub(crate) fn fail(&mut self, failure: &Failure) {
        if !self.flow.is_over() {
            let malformed = failure.is_malformed();
            self.flow.phase = Phase::Failed { malformed };
            self.writer.fail(failure, self.out);
        }
    }
}
