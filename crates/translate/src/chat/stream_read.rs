//! Reading the chunks of an upstream's stream.

use super::answer::{made_id, read_stop, read_usage};
use super::shapes::{Answer, Arguments, Choice, Message, ToolCall};
use crate::error::Failure;
use crate::flow::{Sink, TextKind};
use crate::json::{OneOrMany, read_object};
use crate::seal::{Seal, SealKind};

/// Where in the stream we are.
#[derive(Debug, Default)]
pub(crate) struct StreamReader {
    answer_id: String,
    call: Option<OpenCall>,
    calls: usize,
}

/// The call whose arguments come.
#[derive(Debug)]
struct OpenCall {
    index: u64,
    id: String,
    has_arguments: bool,
}

impl StreamReader {
    /// Takes the next chunk.
    pub(crate) fn read(&mut self, data: &[u8], sink: &mut Sink<'_>) {
        if data.trim_ascii() == b"[DONE]" {
            self.close_call(sink);
            return sink.done();
        }
        let Ok(chunk) = read_object::<Answer<'_>>(data) else {
            return sink.fail(&Failure::unreadable());
        };
        if chunk.error.is_some() {
            return sink.fail(&Failure::read(None, data));
        }
        let groq = chunk.x_groq.and_then(|groq| groq.usage);
        if let Some(usage) = chunk.usage.or(groq) {
            sink.usage(read_usage(&usage));
        }
        let choices = chunk.choices.unwrap_or_default();
        let Some(choice) = choices
            .into_iter()
            .find(|choice| choice.index.unwrap_or(0) == 0)
        else {
            return;
        };
        if self.answer_id.is_empty() {
            chunk
                .id
                .as_deref()
                .unwrap_or_default()
                .clone_into(&mut self.answer_id);
        }
        let model = chunk.model.unwrap_or_default();
        sink.start(&self.answer_id, &model);
        self.choice(choice, sink);
    }

    fn choice(&mut self, choice: Choice<'_>, sink: &mut Sink<'_>) {
        if let Some(error) = choice.error {
            return sink.fail(&Failure::read(None, error.get().as_bytes()));
        }
        if let Some(delta) = choice.delta {
            self.delta(delta, sink);
        }
        match choice.finish_reason.as_deref() {
            None | Some("") => {}
            Some("error") => sink.fail(&Failure::broken()),
            reason => {
                self.close_call(sink);
                sink.stop(read_stop(reason));
            }
        }
    }

    fn delta(&mut self, delta: Message<'_>, sink: &mut Sink<'_>) {
        let shown = delta.reasoning_content.or(delta.reasoning);
        if let Some(text) = shown {
            sink.text(TextKind::Reasoning(SealKind::Chat), &text);
        }
        match delta.content {
            None | Some(OneOrMany::Other) => {}
            Some(OneOrMany::One(text)) => self.text(TextKind::Text, &text, sink),
            Some(OneOrMany::Many(parts)) => {
                for part in parts {
                    self.text(TextKind::Text, &part.text.unwrap_or_default(), sink);
                }
            }
        }
        if let Some(refusal) = delta.refusal {
            self.text(TextKind::Refusal, &refusal, sink);
        }
        for call in delta.tool_calls.unwrap_or_default() {
            self.call(call, sink);
        }
    }

    fn text(&mut self, kind: TextKind, text: &str, sink: &mut Sink<'_>) {
        if !text.is_empty() {
            self.close_call(sink);
            sink.text(kind, text);
        }
    }

    /// A piece of a call. The first piece has id and name; some vendors repeat the id in all, some
    /// number all calls 0, so a call is new by its index or by another id.
    fn call(&mut self, call: ToolCall<'_>, sink: &mut Sink<'_>) {
        let index = call.index.unwrap_or(0);
        let id = call.id.as_deref().unwrap_or_default();
        let function = call.function.unwrap_or_default();
        let is_same = self
            .call
            .as_ref()
            .is_some_and(|open| open.index == index && (id.is_empty() || open.id == id));
        if !is_same {
            let name = function.name.as_deref().unwrap_or_default();
            if name.is_empty() {
                // A piece of a call that is over, or of none: it cannot be put in its place.
                return sink.fail(&Failure::unreadable());
            }
            self.close_call(sink);
            let made = made_id(&self.answer_id, self.calls);
            let id = if id.is_empty() { made.as_str() } else { id };
            let google = call.extra_content.and_then(|extra| extra.google);
            let seal = google
                .and_then(|google| google.thought_signature)
                .map(|data| Seal {
                    kind: SealKind::Gemini,
                    data,
                });
            sink.call(id, name, seal);
            self.calls += 1;
            self.call = Some(OpenCall {
                index,
                id: id.to_owned(),
                has_arguments: false,
            });
        }
        let piece = match &function.arguments {
            None => "",
            Some(Arguments::Text(text)) => text,
            Some(Arguments::Json(json)) => json.get(),
        };
        if let Some(open) = &mut self.call {
            open.has_arguments |= !piece.is_empty();
            sink.arguments(piece);
        }
    }

    fn close_call(&mut self, sink: &mut Sink<'_>) {
        if let Some(call) = self.call.take() {
            if !call.has_arguments {
                sink.arguments("{}");
            }
            sink.close();
        }
    }
}
