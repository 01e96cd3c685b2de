//! Writing a stream for a client.

use super::answer::{write_stop, write_usage};
use crate::answer::Settings;
use crate::api::Api;
use crate::error::Failure;
use crate::ir::{Event, PartKind, Start, Stop, Usage};
use crate::json::{Object, Str};
use crate::seal::{Seal, SealKind};
use crate::sse;

/// Where in the stream we are.
#[derive(Debug, Default)]
pub(crate) struct StreamWriter {
    /// The number of the open block, or of the next one.
    index: u64,
    block: Block,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Block {
    #[default]
    None,
    Text,
    Call,
    /// Reasoning begins with its first text: a redacted block has none.
    ReasoningToCome(SealKind),
    Reasoning {
        maker: SealKind,
        is_sealed: bool,
    },
    /// A redacted block was written whole.
    Written,
}

impl StreamWriter {
    pub(crate) fn event(&mut self, settings: &Settings<'_>, event: &Event<'_>, out: &mut Vec<u8>) {
        match event {
            Event::Start(start) => write_start(start, settings, out),
            Event::Open(part) => self.open(part, out),
            Event::Text(text) => self.text(text, out),
            Event::Seal(seal) => self.seal(seal, out),
            Event::Close => self.close(out),
            Event::KeepAlive => sse::event(out, "ping", |object| {
                object.put("type", "ping");
            }),
            Event::Done(stop, usage) => write_end(stop, usage, out),
        }
    }

    pub(crate) fn fail(failure: &Failure, out: &mut Vec<u8>) {
        out.extend_from_slice(b"event: error\ndata: ");
        failure.write(Api::Messages, out);
        out.extend_from_slice(b"\n\n");
    }

    fn open(&mut self, part: &PartKind<'_>, out: &mut Vec<u8>) {
        self.block = match part {
            PartKind::Text | PartKind::Refusal => {
                self.start_block(out, |block| {
                    block.put("type", "text").put("text", "");
                });
                Block::Text
            }
            PartKind::Reasoning(maker) => Block::ReasoningToCome(*maker),
            PartKind::ToolCall { id, name, seal } => {
                if let Some(seal) = seal {
                    // A call has no slot for a seal: it goes before it, as thinking not shown.
                    self.block = Block::ReasoningToCome(seal.kind);
                    self.seal(seal, out);
                    self.close(out);
                }
                self.start_block(out, |block| {
                    block
                        .put("type", "tool_use")
                        .put("id", id)
                        .put("name", name)
                        .object("input", |_| {});
                });
                Block::Call
            }
        };
    }

    fn text(&mut self, text: &str, out: &mut Vec<u8>) {
        if let Block::ReasoningToCome(maker) = self.block {
            self.start_reasoning(maker, out);
        }
        let (kind, key) = match self.block {
            Block::Text => ("text_delta", "text"),
            Block::Call => ("input_json_delta", "partial_json"),
            Block::Reasoning { .. } => ("thinking_delta", "thinking"),
            Block::None | Block::ReasoningToCome(_) | Block::Written => return,
        };
        self.delta(out, |delta| {
            delta.put("type", kind).put(key, text);
        });
    }

    fn seal(&mut self, seal: &Seal<'_>, out: &mut Vec<u8>) {
        if seal.kind == SealKind::Redacted && matches!(self.block, Block::ReasoningToCome(_)) {
            self.start_block(out, |block| {
                block
                    .put("type", "redacted_thinking")
                    .put("data", &seal.data);
            });
            self.block = Block::Written;
            return;
        }
        if let Block::ReasoningToCome(maker) = self.block {
            self.start_reasoning(maker, out);
        }
        let signature = seal.for_slot(SealKind::Anthropic).unwrap_or_default();
        self.delta(out, |delta| {
            delta
                .put("type", "signature_delta")
                .put("signature", &*signature);
        });
        self.block = Block::Reasoning {
            maker: seal.kind,
            is_sealed: true,
        };
    }

    fn start_reasoning(&mut self, maker: SealKind, out: &mut Vec<u8>) {
        self.start_block(out, |block| {
            block
                .put("type", "thinking")
                .put("thinking", "")
                .put("signature", "");
        });
        self.block = Block::Reasoning {
            maker,
            is_sealed: false,
        };
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if matches!(self.block, Block::None | Block::ReasoningToCome(_)) {
            self.block = Block::None;
            return;
        }
        if let Block::Reasoning {
            maker,
            is_sealed: false,
        } = self.block
        {
            // Nobody sealed it. The mark keeps it from being taken for Anthropic's own.
            self.seal(&Seal::empty(maker), out);
        }
        self.block = Block::None;
        sse::event(out, "content_block_stop", |object| {
            object
                .put("type", "content_block_stop")
                .put("index", self.index);
        });
        self.index += 1;
    }

    fn start_block(&self, out: &mut Vec<u8>, block: impl FnOnce(&mut Object<'_>)) {
        sse::event(out, "content_block_start", |object| {
            object
                .put("type", "content_block_start")
                .put("index", self.index)
                .object("content_block", block);
        });
    }

    fn delta(&self, out: &mut Vec<u8>, delta: impl FnOnce(&mut Object<'_>)) {
        sse::event(out, "content_block_delta", |object| {
            object
                .put("type", "content_block_delta")
                .put("index", self.index)
                .object("delta", delta);
        });
    }
}

fn write_start(start: &Start<'_>, settings: &Settings<'_>, out: &mut Vec<u8>) {
    sse::event(out, "message_start", |object| {
        object.put("type", "message_start");
        object.object("message", |message| {
            message
                .put("id", settings.id(start.id))
                .put("type", "message")
                .put("role", "assistant")
                .put("model", settings.model(start.model))
                .array("content", |_| {})
                .put("stop_reason", None::<Str<'_>>)
                .put("stop_sequence", None::<Str<'_>>)
                .object("usage", |usage| write_usage(&start.usage, usage));
        });
    });
}

fn write_end(stop: &Stop<'_>, usage: &Usage, out: &mut Vec<u8>) {
    sse::event(out, "message_delta", |object| {
        object
            .put("type", "message_delta")
            .object("delta", |delta| write_stop(stop, delta))
            .object("usage", |object| write_usage(usage, object));
    });
    sse::event(out, "message_stop", |object| {
        object.put("type", "message_stop");
    });
}
