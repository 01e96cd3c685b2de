//! Writing a stream for a client.

use super::answer::{finish_reason, write_detail, write_usage};
use super::write::write_signature;
use crate::answer::Settings;
use crate::api::Api;
use crate::error::Failure;
use crate::ir::{Event, PartKind, Start, Stop, Usage};
use crate::json::{Object, object, string};
use crate::seal::SealKind;
use crate::sse;

/// Where in the stream we are.
#[derive(Debug, Default)]
pub(crate) struct StreamWriter {
    /// What all chunks begin with, up to their choices.
    head: Vec<u8>,
    part: Part,
    /// The number of the next call; calls are counted alone.
    calls: u64,
    has_refusal: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Text,
    Refusal,
    Reasoning,
    Call,
}

impl StreamWriter {
    pub(crate) fn event(&mut self, settings: &Settings<'_>, event: &Event<'_>, out: &mut Vec<u8>) {
        match event {
            Event::Start(start) => {
                self.head = head(start, settings);
                self.delta(out, |delta| {
                    delta.put("role", "assistant").put("content", "");
                });
            }
            Event::Open(part) => self.open(part, out),
            Event::Text(text) => self.text(text, out),
            Event::Seal(seal) if seal.kind == SealKind::Chat => {}
            Event::Seal(seal) => self.delta(out, |delta| {
                delta.array("reasoning_details", |details| {
                    write_detail(None, seal, details);
                });
            }),
            Event::Close => {}
            Event::KeepAlive => out.extend_from_slice(b": keep-alive\n\n"),
            Event::Done(stop, usage) => self.end(stop, usage, settings, out),
        }
    }

    pub(crate) fn fail(failure: &Failure, out: &mut Vec<u8>) {
        out.extend_from_slice(b"data: ");
        failure.write(Api::ChatCompletions, out);
        out.extend_from_slice(b"\n\n");
    }

    fn open(&mut self, part: &PartKind<'_>, out: &mut Vec<u8>) {
        self.has_refusal |= *part == PartKind::Refusal;
        self.part = match part {
            PartKind::Text => Part::Text,
            PartKind::Refusal => Part::Refusal,
            PartKind::Reasoning(_) => Part::Reasoning,
            PartKind::ToolCall { id, name, seal } => {
                let index = self.calls;
                self.calls += 1;
                self.call(out, |call| {
                    call.put("index", index)
                        .put("id", id)
                        .put("type", "function")
                        .object("function", |function| {
                            function.put("name", name).put("arguments", "");
                        });
                    if let Some(seal) = seal {
                        write_signature(&seal.data, call);
                    }
                });
                Part::Call
            }
        };
    }

    fn text(&self, text: &str, out: &mut Vec<u8>) {
        let key = match self.part {
            Part::Text => "content",
            Part::Refusal => "refusal",
            Part::Reasoning => "reasoning_content",
            Part::Call => {
                let index = self.calls.saturating_sub(1);
                return self.call(out, |call| {
                    call.put("index", index).object("function", |function| {
                        function.put("arguments", text);
                    });
                });
            }
        };
        self.delta(out, |delta| {
            delta.put(key, text);
        });
    }

    fn call(&self, out: &mut Vec<u8>, call: impl FnOnce(&mut Object<'_>)) {
        self.delta(out, |delta| {
            delta.array("tool_calls", |calls| calls.object(call));
        });
    }

    fn delta(&self, out: &mut Vec<u8>, delta: impl FnOnce(&mut Object<'_>)) {
        self.chunk(None, delta, out);
    }

    fn chunk(
        &self,
        finish_reason: Option<&'static str>,
        delta: impl FnOnce(&mut Object<'_>),
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(br#"[{"index":0,"delta":"#);
        object(out, delta);
        out.extend_from_slice(br#","logprobs":null,"finish_reason":"#);
        match finish_reason {
            Some(reason) => string(out, reason),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b"}]}\n\n");
    }

    fn end(&self, stop: &Stop<'_>, usage: &Usage, settings: &Settings<'_>, out: &mut Vec<u8>) {
        self.chunk(Some(finish_reason(stop, self.has_refusal)), |_| {}, out);
        if settings.stream_usage {
            out.extend_from_slice(&self.head);
            out.extend_from_slice(br#"[],"usage":"#);
            object(out, |object| write_usage(usage, object));
            out.extend_from_slice(b"}\n\n");
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }
}

fn head(start: &Start<'_>, settings: &Settings<'_>) -> Vec<u8> {
    let mut head = Vec::new();
    sse::data(&mut head, |chunk| {
        chunk
            .put("id", settings.id(start.id))
            .put("object", "chat.completion.chunk")
            .put("created", settings.created_unix_s)
            .put("model", settings.model(start.model));
    });
    // The object and the event go on.
    head.truncate(head.len().saturating_sub(b"}\n\n".len()));
    head.extend_from_slice(br#","choices":"#);
    head
}
