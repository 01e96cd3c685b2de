//! Writing a stream for a client.
//!
//! The API repeats itself: each part's text at the part's end, each item at the item's end, and all
//! items in the last event. So the text of the open part and the items so far are kept.

use super::answer::{Head, State, write_response, write_usage};
use super::items::{self, Called, TextPart, item_id, text_part};
use crate::answer::Settings;
use crate::error::Failure;
use crate::ir::{Event, PartKind, Start, Stop, Usage};
use crate::json::{Object, object};
use crate::limits::STREAM_KEPT_BYTES_MAX;
use crate::seal::Seal;
use crate::sse;

/// Where in the stream we are.
#[derive(Debug, Default)]
pub(crate) struct StreamWriter {
    id: String,
    model: String,
    sequence: u64,
    /// The number of the open item, or of the next one.
    index: u64,
    item_id: String,
    part: Part,
    /// The text of the open part.
    text: String,
    /// The items that are over, as JSON with commas between them.
    items: Vec<u8>,
    has_refusal: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    None,
    Text(TextPart),
    Reasoning {
        seal: Option<Seal<'static>>,
    },
    Call {
        id: String,
        name: String,
    },
}

impl StreamWriter {
    /// Whether more than may be kept has come.
    pub(crate) fn is_too_large(&self) -> bool {
        self.text.len() + self.items.len() > STREAM_KEPT_BYTES_MAX
    }

    pub(crate) fn event(&mut self, settings: &Settings<'_>, event: &Event<'_>, out: &mut Vec<u8>) {
        match event {
            Event::Start(start) => self.start(start, settings, out),
            Event::Open(part) => self.open(part, settings, out),
            Event::Text(text) => self.more(text, out),
            Event::Seal(seal) => {
                self.part = Part::Reasoning {
                    seal: Some(seal.to_owned()),
                };
            }
            Event::Close => self.close(settings, out),
            Event::KeepAlive => out.extend_from_slice(b": keep-alive\n\n"),
            Event::Done(stop, usage) => self.end(stop, usage, settings, out),
        }
    }

    pub(crate) fn fail(&mut self, failure: &Failure, out: &mut Vec<u8>) {
        self.emit(out, "error", |event| {
            event
                .put("code", failure.code())
                .put("message", &failure.message)
                .null("param");
        });
    }

    fn emit(
        &mut self,
        out: &mut Vec<u8>,
        name: &'static str,
        members: impl FnOnce(&mut Object<'_>),
    ) {
        let sequence = self.sequence;
        self.sequence += 1;
        sse::event(out, name, |event| {
            event.put("type", name).put("sequence_number", sequence);
            members(event);
        });
    }

    /// An event about the open item.
    fn emit_of_item(
        &mut self,
        out: &mut Vec<u8>,
        name: &'static str,
        members: impl FnOnce(&mut Object<'_>),
    ) {
        let (id, index) = (std::mem::take(&mut self.item_id), self.index);
        self.emit(out, name, |event| {
            event.put("item_id", &id).put("output_index", index);
            members(event);
        });
        self.item_id = id;
    }

    fn start(&mut self, start: &Start<'_>, settings: &Settings<'_>, out: &mut Vec<u8>) {
        settings.id(start.id).clone_into(&mut self.id);
        settings.model(start.model).clone_into(&mut self.model);
        for name in ["response.created", "response.in_progress"] {
            let (id, model) = (self.id.clone(), self.model.clone());
            let head = Head {
                id: &id,
                model: &model,
                created_unix_s: settings.created_unix_s,
            };
            self.emit(out, name, |event| {
                event.object("response", |response| {
                    write_response(response, &head, State::InProgress, |_| {});
                    response.null("usage");
                });
            });
        }
    }

    fn open(&mut self, part: &PartKind<'_>, settings: &Settings<'_>, out: &mut Vec<u8>) {
        match part {
            PartKind::Text => self.open_text(TextPart::Text, out),
            PartKind::Refusal => self.open_text(TextPart::Refusal, out),
            PartKind::Reasoning(_) => {
                self.add_item("rs", out, |item, id| items::reasoning(item, id, "", None));
                self.part = Part::Reasoning { seal: None };
            }
            PartKind::ToolCall { id, name, seal } => {
                if let Some(seal) = seal {
                    // A call has no slot for a seal: it goes before it, as reasoning not shown.
                    self.add_item("rs", out, |item, id| items::reasoning(item, id, "", None));
                    self.part = Part::Reasoning {
                        seal: Some(seal.to_owned()),
                    };
                    self.close(settings, out);
                }
                let called = Called {
                    id,
                    name,
                    namespaced: settings.namespaced,
                };
                self.add_item("fc", out, |item, item_id| {
                    items::call(item, item_id, "in_progress", called, "");
                });
                self.part = Part::Call {
                    id: (*id).to_owned(),
                    name: (*name).to_owned(),
                };
            }
        }
    }

    fn open_text(&mut self, kind: TextPart, out: &mut Vec<u8>) {
        self.has_refusal |= kind == TextPart::Refusal;
        self.add_item("msg", out, |item, id| {
            items::message(item, id, "in_progress", None);
        });
        self.part = Part::Text(kind);
        self.emit_of_item(out, "response.content_part.added", |event| {
            event
                .put("content_index", 0_u64)
                .object("part", |part| text_part(part, kind, ""));
        });
    }

    fn add_item(
        &mut self,
        kind: &str,
        out: &mut Vec<u8>,
        item: impl FnOnce(&mut Object<'_>, &str),
    ) {
        let id = item_id(kind, &self.id, self.index);
        let index = self.index;
        self.emit(out, "response.output_item.added", |event| {
            event
                .put("output_index", index)
                .object("item", |object| item(object, &id));
        });
        self.item_id = id;
        self.text.clear();
    }

    fn more(&mut self, text: &str, out: &mut Vec<u8>) {
        let (name, place) = match self.part {
            Part::None => return,
            Part::Text(TextPart::Text) => ("response.output_text.delta", Some("content_index")),
            Part::Text(TextPart::Refusal) => ("response.refusal.delta", Some("content_index")),
            Part::Reasoning { .. } => (
                "response.reasoning_summary_text.delta",
                Some("summary_index"),
            ),
            Part::Call { .. } => ("response.function_call_arguments.delta", None),
        };
        if self.text.is_empty() && matches!(self.part, Part::Reasoning { .. }) {
            self.emit_of_item(out, "response.reasoning_summary_part.added", |event| {
                event
                    .put("summary_index", 0_u64)
                    .object("part", |part| summary_part(part, ""));
            });
        }
        self.text.push_str(text);
        let has_logprobs = self.part == Part::Text(TextPart::Text);
        self.emit_of_item(out, name, |event| {
            if let Some(place) = place {
                event.put(place, 0_u64);
            }
            event.put("delta", text);
            if has_logprobs {
                event.array("logprobs", |_| {});
            }
        });
    }

    fn close(&mut self, settings: &Settings<'_>, out: &mut Vec<u8>) {
        let part = std::mem::take(&mut self.part);
        let text = std::mem::take(&mut self.text);
        match &part {
            Part::None => return,
            Part::Text(kind) => self.close_text(*kind, &text, out),
            Part::Reasoning { .. } if text.is_empty() => {}
            Part::Reasoning { .. } => {
                self.emit_of_item(out, "response.reasoning_summary_text.done", |event| {
                    event.put("summary_index", 0_u64).put("text", &text);
                });
                self.emit_of_item(out, "response.reasoning_summary_part.done", |event| {
                    event
                        .put("summary_index", 0_u64)
                        .object("part", |part| summary_part(part, &text));
                });
            }
            Part::Call { .. } => {
                self.emit_of_item(out, "response.function_call_arguments.done", |event| {
                    event.put("arguments", &text);
                });
            }
        }
        if !self.items.is_empty() {
            self.items.push(b',');
        }
        let start = self.items.len();
        let id = std::mem::take(&mut self.item_id);
        object(&mut self.items, |item| match &part {
            Part::None => {}
            Part::Text(kind) => items::message(item, &id, "completed", Some((*kind, &text))),
            Part::Reasoning { seal } => items::reasoning(item, &id, &text, seal.as_ref()),
            Part::Call { id: call_id, name } => {
                let called = Called {
                    id: call_id,
                    name,
                    namespaced: settings.namespaced,
                };
                items::call(item, &id, "completed", called, &text);
            }
        });
        let items = std::mem::take(&mut self.items);
        let index = self.index;
        self.emit(out, "response.output_item.done", |event| {
            event
                .put("output_index", index)
                .written("item", items.get(start..).unwrap_or_default());
        });
        self.items = items;
        self.index += 1;
    }

    fn close_text(&mut self, kind: TextPart, text: &str, out: &mut Vec<u8>) {
        let (name, key) = match kind {
            TextPart::Text => ("response.output_text.done", "text"),
            TextPart::Refusal => ("response.refusal.done", "refusal"),
        };
        self.emit_of_item(out, name, |event| {
            event.put("content_index", 0_u64).put(key, text);
            if kind == TextPart::Text {
                event.array("logprobs", |_| {});
            }
        });
        self.emit_of_item(out, "response.content_part.done", |event| {
            event
                .put("content_index", 0_u64)
                .object("part", |part| text_part(part, kind, text));
        });
    }

    fn end(&mut self, stop: &Stop<'_>, usage: &Usage, settings: &Settings<'_>, out: &mut Vec<u8>) {
        let state = State::over(stop, self.has_refusal);
        let name = match state {
            State::Incomplete(_) => "response.incomplete",
            State::InProgress | State::Completed => "response.completed",
        };
        let items = std::mem::take(&mut self.items);
        let (id, model) = (self.id.clone(), self.model.clone());
        let head = Head {
            id: &id,
            model: &model,
            created_unix_s: settings.created_unix_s,
        };
        self.emit(out, name, |event| {
            event.object("response", |response| {
                write_response(response, &head, state, |output| output.written(&items));
                response.object("usage", |object| write_usage(usage, object));
            });
        });
    }
}

fn summary_part(part: &mut Object<'_>, text: &str) {
    part.put("type", "summary_text").put("text", text);
}
