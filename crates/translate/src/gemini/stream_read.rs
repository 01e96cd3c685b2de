//! Reading the chunks of an upstream's stream.

use super::answer::{check_part, read_stop, read_usage};
use super::content::seal_of;
use super::shapes::{Part, Response};
use crate::chat::made_id;
use crate::error::Failure;
use crate::flow::{Sink, TextKind};
use crate::ir::Stop;
use crate::json::read_object;
use crate::seal::SealKind;

/// Where in the stream we are.
#[derive(Debug)]
pub(crate) struct StreamReader {
    /// The answer's id, for ids of its calls.
    answer_id: String,
    calls: usize,
}

impl StreamReader {
    /// A reader for an answer that may not name an id of its own.
    pub(crate) fn new(answer_id: &str) -> Self {
        Self {
            answer_id: answer_id.to_owned(),
            calls: 0,
        }
    }

    /// Takes the next chunk.
    pub(crate) fn read(&mut self, data: &[u8], sink: &mut Sink<'_>) {
        let Ok(chunk) = read_object::<Response<'_>>(data) else {
            return sink.fail(&Failure::unreadable());
        };
        if chunk.error.is_some() {
            return sink.fail(&Failure::read(None, data));
        }
        if let Some(usage) = &chunk.usage_metadata {
            sink.usage(read_usage(usage));
        }
        let id = chunk.id.unwrap_or_default();
        sink.start(&id, &chunk.model_version.unwrap_or_default());
        if self.calls == 0 && !id.is_empty() {
            (*id).clone_into(&mut self.answer_id);
        }
        let blocked = chunk
            .prompt_feedback
            .and_then(|feedback| feedback.block_reason);
        let candidates = chunk.candidates.unwrap_or_default();
        let first = candidates
            .into_iter()
            .find(|candidate| candidate.index.unwrap_or(0) == 0);
        let Some(mut candidate) = first else {
            if blocked.is_some() {
                sink.stop(Stop::Refusal);
            }
            return;
        };
        let content = candidate.content.take().unwrap_or_default();
        for part in content.parts.unwrap_or_default() {
            self.part(part, sink);
        }
        if candidate.finish_reason.is_some() {
            match read_stop(&candidate) {
                Ok(stop) => sink.stop(stop),
                Err(failure) => sink.fail(&failure),
            }
        }
    }

    fn part(&mut self, part: Part<'_>, sink: &mut Sink<'_>) {
        if let Err(failure) = check_part(&part) {
            return sink.fail(&failure);
        }
        let seal = seal_of(part.thought_signature);
        let text = part.text.unwrap_or_default();
        if let Some(call) = part.function_call {
            let made = made_id(&self.answer_id, self.calls);
            self.calls += 1;
            let id = call.id.filter(|id| !id.is_empty());
            let id = id.as_deref().unwrap_or(&made);
            sink.call(id, call.name.as_deref().unwrap_or_default(), seal);
            sink.arguments(call.args.map_or("{}", |args| args.get()));
            sink.close();
            return;
        }
        let kind = if part.thought == Some(true) {
            TextKind::Reasoning(SealKind::Gemini)
        } else {
            TextKind::Text
        };
        sink.text(kind, &text);
        if let Some(seal) = seal {
            sink.seal(seal);
        }
    }
}
