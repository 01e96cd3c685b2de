//! Writing a stream for a client.
//!
//! A chunk is an answer of its own with what is new. Arguments of a call come whole or not at all,
//! so their pieces are kept until the call is over.

use super::answer::{finish_reason, write_thought, write_usage};
use super::write::write_call;
use crate::answer::Settings;
use crate::api::Api;
use crate::chat::read_arguments;
use crate::error::Failure;
use crate::ir::{Event, PartKind, Start, Stop, ToolCall, Usage};
use crate::json::{Object, Str};
use crate::limits::STREAM_KEPT_BYTES_MAX;
use crate::seal::{Seal, SealKind};
use crate::sse;

/// Where in the stream we are.
#[derive(Debug, Default)]
pub(crate) struct StreamWriter {
    id: String,
    model: String,
    part: Part,
    /// The arguments of the open call so far.
    arguments: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Text,
    Reasoning,
    Call {
        id: String,
        name: String,
        seal: Option<Seal<'static>>,
    },
}

impl StreamWriter {
    /// Whether more than may be kept has come.
    pub(crate) fn is_too_large(&self) -> bool {
        self.arguments.len() > STREAM_KEPT_BYTES_MAX
    }

    pub(crate) fn event(&mut self, settings: &Settings<'_>, event: &Event<'_>, out: &mut Vec<u8>) {
        match event {
            Event::Start(Start { id, model, .. }) => {
                settings.id(id).clone_into(&mut self.id);
                settings.model(model).clone_into(&mut self.model);
            }
            Event::Open(part) => self.open(part),
            Event::Text(text) => self.text(text, out),
            Event::Seal(seal) => self.chunk(out, |part| write_thought("", Some(seal), part)),
            Event::Close => self.close(out),
            // The SDKs take no comments.
            Event::KeepAlive => {}
            Event::Done(stop, usage) => self.end(stop, usage, out),
        }
    }

    pub(crate) fn fail(failure: &Failure, out: &mut Vec<u8>) {
        out.extend_from_slice(b"data: ");
        failure.write(Api::GenerateContent, out);
        out.extend_from_slice(b"\n\n");
    }

    fn open(&mut self, part: &PartKind<'_>) {
        self.part = match part {
            PartKind::Text | PartKind::Refusal => Part::Text,
            PartKind::Reasoning(_) => Part::Reasoning,
            PartKind::ToolCall { id, name, seal } => Part::Call {
                id: (*id).to_owned(),
                name: (*name).to_owned(),
                seal: seal.as_ref().map(Seal::to_owned),
            },
        };
    }

    fn text(&mut self, text: &str, out: &mut Vec<u8>) {
        match self.part {
            Part::Text => self.chunk(out, |part| {
                part.put("text", text);
            }),
            Part::Reasoning => self.chunk(out, |part| write_thought(text, None, part)),
            Part::Call { .. } => self.arguments.push_str(text),
        }
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        let Part::Call { id, name, seal } = std::mem::take(&mut self.part) else {
            return;
        };
        let text = std::mem::take(&mut self.arguments);
        let (arguments, _) = read_arguments(Str::from(text));
        let signature = seal
            .as_ref()
            .and_then(|seal| seal.for_base64_slot(SealKind::Gemini));
        let call = ToolCall {
            id: id.into(),
            name: name.into(),
            arguments,
            seal: None,
        };
        self.chunk(out, |part| {
            write_call(&call, part);
            part.maybe("thoughtSignature", signature.as_deref());
        });
    }

    fn chunk(&self, out: &mut Vec<u8>, part: impl FnOnce(&mut Object<'_>)) {
        self.response(out, part, |_| {}, |_| {});
    }

    fn end(&self, stop: &Stop<'_>, usage: &Usage, out: &mut Vec<u8>) {
        self.response(
            out,
            |part| {
                part.put("text", "");
            },
            |candidate| {
                candidate.put("finishReason", finish_reason(stop));
            },
            |response| {
                response.object("usageMetadata", |object| write_usage(usage, object));
            },
        );
    }

    fn response(
        &self,
        out: &mut Vec<u8>,
        part: impl FnOnce(&mut Object<'_>),
        candidate_more: impl FnOnce(&mut Object<'_>),
        response_more: impl FnOnce(&mut Object<'_>),
    ) {
        sse::data(out, |response| {
            response.array("candidates", |candidates| {
                candidates.object(|candidate| {
                    candidate.object("content", |content| {
                        content
                            .array("parts", |parts| parts.object(part))
                            .put("role", "model");
                    });
                    candidate_more(candidate);
                    candidate.put("index", 0_u64);
                });
            });
            response_more(response);
            response
                .put("modelVersion", &self.model)
                .put("responseId", &self.id);
        });
    }
}
