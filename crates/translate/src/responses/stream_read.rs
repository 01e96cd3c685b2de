//! Reading the events of an upstream's stream.

use super::answer::{read_stop, read_usage};
use super::content::read_reasoning;
use super::shapes::{Item, Response, StreamEvent};
use crate::error::Failure;
use crate::flow::{Sink, TextKind};
use crate::ir::Part;
use crate::json::read_object;
use crate::seal::SealKind;

/// Where in the stream we are.
#[derive(Debug, Default)]
pub(crate) struct StreamReader {
    call: Option<OpenCall>,
}

/// The call whose arguments come.
#[derive(Clone, Copy, Debug)]
struct OpenCall {
    output_index: u64,
    has_arguments: bool,
}

impl StreamReader {
    /// Takes the next event. Most repeat what is known by then and are skipped, as are those of
    /// unknown types.
    pub(crate) fn read(&mut self, data: &[u8], sink: &mut Sink<'_>) {
        if data.trim_ascii() == b"[DONE]" {
            return;
        }
        let Ok(event) = read_object::<StreamEvent<'_>>(data) else {
            return sink.fail(&Failure::unreadable());
        };
        let delta = event.delta.as_deref().unwrap_or_default();
        match event.kind.as_deref() {
            Some("response.created") => {
                let response = event.response.unwrap_or_default();
                let id = response.id.unwrap_or_default();
                sink.start(&id, &response.model.unwrap_or_default());
            }
            Some("response.output_item.added") => {
                self.open(&event.item.unwrap_or_default(), event.output_index, sink);
            }
            Some("response.output_text.delta") => sink.text(TextKind::Text, delta),
            Some("response.refusal.delta") => sink.text(TextKind::Refusal, delta),
            Some("response.reasoning_summary_text.delta" | "response.reasoning_text.delta") => {
                sink.text(TextKind::Reasoning(SealKind::Responses), delta);
            }
            Some("response.reasoning_summary_part.added") if event.summary_index > Some(0) => {
                sink.text(TextKind::Reasoning(SealKind::Responses), "\n\n");
            }
            Some("response.function_call_arguments.delta") => {
                self.arguments(event.output_index, delta, sink);
            }
            Some("response.output_item.done") => {
                self.close(event.item.unwrap_or_default(), sink);
            }
            Some("response.completed" | "response.incomplete") => {
                Self::end(&event.response.unwrap_or_default(), sink);
            }
            Some("response.failed" | "error") => sink.fail(&Failure::read(None, data)),
            _ => {}
        }
    }

    fn open(&mut self, item: &Item<'_>, output_index: Option<u64>, sink: &mut Sink<'_>) {
        sink.close();
        if item.kind.as_deref() == Some("function_call") {
            let id = item.call_id.as_ref().or(item.id.as_ref());
            let name = item.name.as_deref().unwrap_or_default();
            sink.call(id.map_or("", |id| id), name, None);
            self.call = Some(OpenCall {
                output_index: output_index.unwrap_or(0),
                has_arguments: false,
            });
        }
    }

    fn arguments(&mut self, output_index: Option<u64>, piece: &str, sink: &mut Sink<'_>) {
        let output_index = output_index.unwrap_or(0);
        match &mut self.call {
            Some(call) if call.output_index == output_index => {
                call.has_arguments |= !piece.is_empty();
                sink.arguments(piece);
            }
            // A piece of a call that is over, or of none: it cannot be put in its place.
            _ => sink.fail(&Failure::unreadable()),
        }
    }

    fn close(&mut self, item: Item<'_>, sink: &mut Sink<'_>) {
        match item.kind.as_deref() {
            Some("function_call") => {
                let is_empty = self.call.take().is_some_and(|call| !call.has_arguments);
                if is_empty {
                    let whole = item.arguments.as_deref().filter(|text| !text.is_empty());
                    sink.arguments(whole.unwrap_or("{}"));
                }
                sink.close();
            }
            Some("reasoning") => match read_reasoning(item) {
                Part::Reasoning {
                    seal: Some(seal), ..
                } if !seal.data.is_empty() => sink.seal(seal),
                _ => sink.close(),
            },
            _ => sink.close(),
        }
    }

    fn end(response: &Response<'_>, sink: &mut Sink<'_>) {
        if let Some(usage) = &response.usage {
            sink.usage(read_usage(usage));
        }
        let details = response.incomplete_details.as_ref();
        match read_stop(response.status.as_deref(), details) {
            Ok(stop) => {
                sink.stop(stop);
                sink.done();
            }
            Err(failure) => sink.fail(&failure),
        }
    }
}
