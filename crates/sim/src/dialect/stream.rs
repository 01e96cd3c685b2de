//! A streamed answer as a sequence of server-sent events, made one at a time.

use std::collections::VecDeque;

use bytes::Bytes;

use super::text::AnswerText;
use super::{AnswerFacts, Dialect, Endpoint, anthropic, chat, errors, gemini, json, responses};
use crate::model::{ProviderError, Request};

/// One server-sent event, ready to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) bytes: Bytes,
    /// Output tokens that it carries.
    pub(crate) output_tokens: u64,
    /// It follows another event with text, so the pace of the answer applies.
    pub(crate) is_paced: bool,
}

impl Event {
    /// An event that carries no output and does not wait.
    pub(crate) fn plain(bytes: Bytes) -> Self {
        Self {
            bytes,
            output_tokens: 0,
            is_paced: false,
        }
    }
}

/// Neither JSON nor text.
pub(crate) const GARBAGE: &[u8] = b"\x01\x02\xff\xfe no JSON }{";

/// Writes the event that carries the `ordinal`-th piece of text.
type Render = Box<dyn Fn(u64, &str) -> Bytes + Send>;

/// The events of one answer, in order.
pub(crate) struct EventStream {
    prologue: VecDeque<Bytes>,
    render: Render,
    text: AnswerText,
    tokens: u64,
    chunk_tokens: u64,
    next_token: u64,
    chunks: u64,
    epilogue: VecDeque<Bytes>,
}

/// What a dialect puts around the text.
pub(crate) struct Frame {
    pub(crate) prologue: Vec<Bytes>,
    pub(crate) render: Render,
    pub(crate) epilogue: Vec<Bytes>,
}

impl EventStream {
    /// The stream with which `endpoint` answers; embeddings and the free endpoints have none.
    pub(crate) fn new(
        endpoint: Endpoint,
        request: &Request,
        facts: &AnswerFacts<'_>,
    ) -> Option<Self> {
        let frame = match endpoint {
            Endpoint::Messages => anthropic::frame(facts),
            Endpoint::ChatCompletions => chat::frame(request, facts),
            Endpoint::Responses => responses::frame(request, facts),
            Endpoint::GenerateContent => gemini::frame(request, facts),
            Endpoint::Embeddings
            | Endpoint::CountTokens
            | Endpoint::CountContentTokens
            | Endpoint::EmbedContent
            | Endpoint::BatchEmbedContents
            | Endpoint::Models(_) => return None,
        };
        Some(Self {
            prologue: frame.prologue.into(),
            render: frame.render,
            text: facts.text.clone(),
            tokens: facts.usage.output,
            chunk_tokens: facts.chunk_tokens.max(1),
            next_token: 0,
            chunks: 0,
            epilogue: frame.epilogue.into(),
        })
    }

    /// Leaves out the event by which clients tell that the answer is complete.
    pub(crate) fn drop_end_marker(&mut self) {
        self.epilogue.pop_back();
    }

    fn chunk(&mut self) -> Event {
        let start = self.next_token;
        let end = start.saturating_add(self.chunk_tokens).min(self.tokens);
        let ordinal = self.chunks;
        self.next_token = end;
        self.chunks += 1;
        Event {
            bytes: (self.render)(ordinal, &self.text.piece(start, end)),
            output_tokens: end - start,
            is_paced: ordinal > 0,
        }
    }
}

impl Iterator for EventStream {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        if let Some(bytes) = self.prologue.pop_front() {
            return Some(Event::plain(bytes));
        }
        if self.next_token < self.tokens {
            return Some(self.chunk());
        }
        self.epilogue.pop_front().map(Event::plain)
    }
}

/// Events with text in an answer of `facts`.
pub(crate) fn chunk_count(facts: &AnswerFacts<'_>) -> u64 {
    facts.usage.output.div_ceil(facts.chunk_tokens.max(1))
}

/// `event:` and `data:` lines.
pub(crate) fn named(name: &str, data: &str) -> Bytes {
    format!("event: {name}\ndata: {data}\n\n").into()
}

/// A `data:` line alone.
pub(crate) fn unnamed(data: &str) -> Bytes {
    format!("data: {data}\n\n").into()
}

/// What should carry text and carries garbage.
pub(crate) fn garbage_event(endpoint: Endpoint) -> Event {
    let name: &[u8] = match endpoint {
        Endpoint::Messages | Endpoint::CountTokens => b"event: content_block_delta\n",
        Endpoint::Responses => b"event: response.output_text.delta\n",
        _ => b"",
    };
    Event::plain([name, b"data: ", GARBAGE, b"\n\n"].concat().into())
}

/// The event that tells of an error after `sent` other events.
pub(crate) fn error_event(
    endpoint: Endpoint,
    error: &ProviderError,
    request_id: &str,
    sent: u64,
) -> Bytes {
    let body = error.body(endpoint.dialect(), request_id);
    if endpoint.dialect() == Dialect::Gemini {
        return gemini::event(&body).into();
    }
    match endpoint {
        Endpoint::Messages | Endpoint::CountTokens => named("error", &body),
        Endpoint::Responses => {
            let code = error.code.as_deref().unwrap_or(&error.kind);
            let data = format!(
                r#"{{"type":"error","sequence_number":{sent},"code":{},"message":{},"param":null}}"#,
                json(code),
                json(&error.message)
            );
            named("error", &data)
        }
        _ => unnamed(&body),
    }
}

/// The error of a stream fault, in the words of the endpoint's dialect.
pub(crate) fn fault_error(endpoint: Endpoint, code: Option<&str>) -> ProviderError {
    errors::of_code(endpoint.dialect(), code)
}
