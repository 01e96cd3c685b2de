//! Turning the model's reply into an answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;

use super::body::{EventBody, SimBody, State};
use super::carrier::Carrier;
use super::head::{EVENT_STREAM, Head, JSON};
use super::shared::InFlight;
use super::socket::ConnectionControl;
use crate::Endpoint;
use crate::dialect::stream::{self, Event, EventStream};
use crate::dialect::text::AnswerText;
use crate::dialect::{AnswerFacts, anthropic, chat, embeddings, errors, gemini, models, responses};
use crate::model::{Break, BreakKind, Grant, Oddity, ProviderError, Reply, Request};

/// The type of an answer whose type is wrong on purpose.
const WRONG_TYPE: &str = "text/html; charset=utf-8";

/// What was asked, and the seed of the answer's ids.
pub(super) struct Asked<'a> {
    pub(super) endpoint: Endpoint,
    pub(super) path: &'a str,
    pub(super) request: Result<Request, ProviderError>,
    pub(super) seed: u64,
}

/// Writes the answer that `reply` stands for. A hang or a reset has none and is not given here.
pub(super) fn write(
    asked: Asked<'_>,
    reply: Reply,
    mut head: Head,
    mut in_flight: InFlight,
    connection: Arc<ConnectionControl>,
) -> Response<SimBody> {
    match (reply, asked.request) {
        (
            Reply::Verbatim {
                status,
                headers,
                body,
            },
            _,
        ) => {
            let identity = in_flight.with_model(|model, _, ticket| model.identity_headers(ticket));
            head.add(identity.unwrap_or_default());
            for (name, value) in &headers {
                head.set(name, value);
            }
            let body = SimBody::whole(Bytes::from(body), Some(in_flight));
            head.with_body(status, None, body)
        }
        (Reply::Refusal(error), _) | (Reply::Grant(_), Err(error)) => {
            let headers = in_flight
                .with_model(|model, now, ticket| model.refusal_headers(now, ticket, &error));
            head.add(headers.unwrap_or_default());
            head.with_error(&error, Some(in_flight))
        }
        (Reply::Grant(grant), Ok(request)) => {
            let headers = in_flight.with_model(|model, now, ticket| model.headers(now, ticket));
            head.add(headers.unwrap_or_default());
            let writer = Writer {
                endpoint: asked.endpoint,
                path: asked.path,
                seed: asked.seed,
            };
            writer.grant(&request, grant, head, in_flight, connection)
        }
        (Reply::Hang | Reply::Reset | Reply::Close(_), _) => {
            let error = errors::of_code(asked.endpoint.dialect(), None);
            head.with_error(&error, Some(in_flight))
        }
    }
}

struct Writer<'a> {
    endpoint: Endpoint,
    path: &'a str,
    seed: u64,
}

impl Writer<'_> {
    fn grant(
        &self,
        request: &Request,
        grant: Grant,
        head: Head,
        mut in_flight: InFlight,
        connection: Arc<ConnectionControl>,
    ) -> Response<SimBody> {
        let code = match &grant.broken {
            Some(Break {
                how: BreakKind::Error(code),
                ..
            }) => Some(code.clone()),
            _ => None,
        };
        if let (Some(code), false) = (&code, request.stream) {
            let error = stream::fault_error(self.endpoint, code.as_deref());
            return head.with_error(&error, Some(in_flight));
        }
        let known = in_flight.with_model(|model, now, ticket| {
            (model.answer().text.clone(), model.origin(ticket), now)
        });
        let (text, origin, now) = known.unwrap_or_default();
        let text = AnswerText::new(text.map(Into::into), grant.usage.output);
        let facts = AnswerFacts {
            model: &request.model,
            usage: grant.usage,
            cut_short: grant.cut_short,
            created: now.as_unix_seconds(),
            seed: self.seed,
            mark: &origin.mark,
            thinking: origin.thinking,
            text: &text,
            chunk_tokens: grant.chunk_tokens,
        };
        let is_streamed = request.stream && grant.oddity != Some(Oddity::NotStreamed);
        let events = is_streamed.then(|| EventStream::new(self.endpoint, request, &facts));
        let Some(events) = events.flatten() else {
            let body = self.plain(request, &facts, &mut in_flight);
            return plain_answer(body, &grant, head, in_flight, connection);
        };
        if cannot_end(&grant) {
            in_flight.breaks();
        }
        let (endpoint, request_id) = (self.endpoint, head.request_id.clone());
        let body = EventBody {
            events: self.odd_events(events, grant.oddity.as_ref()),
            broken: grant.broken,
            error_event: Box::new(move |sent| {
                let error = stream::fault_error(endpoint, code.clone().flatten().as_deref());
                stream::error_event(endpoint, &error, &request_id, sent)
            }),
            pace: grant.pace,
            in_flight: Some(in_flight),
            control: connection,
            state: State::Sending(0),
        };
        let mut head = head;
        head.set("cache-control", "no-cache");
        let body = SimBody::Events(Box::new(body));
        let content_type = if request.as_array { JSON } else { EVENT_STREAM };
        dressed(head, content_type, body, grant.oddity.as_ref())
    }

    /// The events as an oddity has them.
    fn odd_events(
        &self,
        mut events: EventStream,
        oddity: Option<&Oddity>,
    ) -> Box<dyn Iterator<Item = Event> + Send> {
        match oddity {
            Some(Oddity::NoEndMarker) => {
                events.drop_end_marker();
                Box::new(events)
            }
            Some(&Oddity::Garbage(after)) => {
                let mut events: Vec<Event> = events.collect();
                let after = usize::try_from(after).unwrap_or(usize::MAX);
                let garbage = stream::garbage_event(self.endpoint);
                events.insert(after.min(events.len()), garbage);
                Box::new(events.into_iter())
            }
            _ => Box::new(events),
        }
    }

    /// The body of an answer that is no stream. All its output counts as produced.
    fn plain(&self, request: &Request, facts: &AnswerFacts<'_>, in_flight: &mut InFlight) -> Bytes {
        in_flight.produce(facts.usage.output);
        match self.endpoint {
            Endpoint::Messages => anthropic::message(facts),
            Endpoint::CountTokens => anthropic::token_count(request.input_tokens),
            Endpoint::ChatCompletions => chat::completion(facts),
            Endpoint::Responses => responses::response(request, facts),
            Endpoint::Embeddings => embeddings::embeddings(request, facts),
            Endpoint::GenerateContent => gemini::content(facts),
            Endpoint::CountContentTokens => gemini::token_count(request.input_tokens),
            Endpoint::EmbedContent => gemini::embeddings(false, request, facts),
            Endpoint::BatchEmbedContents => gemini::embeddings(true, request, facts),
            Endpoint::Models(dialect) => {
                let names = in_flight.with_model(|model, _, ticket| model.models(ticket, dialect));
                let of_version =
                    |version| self.path.strip_prefix(version)?.strip_prefix("/models/");
                match of_version("/v1").or_else(|| of_version("/v1beta")) {
                    Some(name) => models::entry(dialect, name).into(),
                    None => models::list(dialect, &names.unwrap_or_default()),
                }
            }
        }
    }
}

/// An answer in one piece, or the half of it that a fault lets through.
fn plain_answer(
    body: Bytes,
    grant: &Grant,
    mut head: Head,
    mut in_flight: InFlight,
    connection: Arc<ConnectionControl>,
) -> Response<SimBody> {
    let oddity = grant.oddity.as_ref();
    let (half, rest) = body.split_at(body.len() / 2);
    let Some(broken) = &grant.broken else {
        if cannot_end(grant) {
            in_flight.breaks();
        }
        let body = match oddity {
            Some(Oddity::Garbage(_)) => [half, stream::GARBAGE, rest].concat().into(),
            _ => body,
        };
        return dressed(head, JSON, SimBody::whole(body, Some(in_flight)), oddity);
    };
    if broken.how != BreakKind::Truncate {
        head.set("content-length", &body.len().to_string());
    }
    let half = (broken.after > 0).then(|| Event::plain(Bytes::copy_from_slice(half)));
    let body = EventBody {
        broken: Some(Break {
            after: u64::from(half.is_some()),
            how: broken.how.clone(),
        }),
        events: Box::new(half.into_iter()),
        error_event: Box::new(|_| Bytes::new()),
        pace: Duration::ZERO,
        in_flight: Some(in_flight),
        control: connection,
        state: State::Sending(0),
    };
    dressed(head, JSON, SimBody::Events(Box::new(body)), oddity)
}

/// Whether the answer's beginning never ends, so that who gives up on it is not to blame.
fn cannot_end(grant: &Grant) -> bool {
    matches!(grant.oddity, Some(Oddity::KeepAlive { times: None, .. }))
}

/// The answer with its type and its encoding, on its way as an oddity has it.
fn dressed(
    mut head: Head,
    content_type: &'static str,
    body: SimBody,
    oddity: Option<&Oddity>,
) -> Response<SimBody> {
    let (content_type, body) = match oddity {
        Some(Oddity::WrongContentType) => (WRONG_TYPE, body),
        Some(&Oddity::Compressed(encoding)) => {
            head.set("content-encoding", encoding.name());
            (content_type, Carrier::compressed(body, encoding))
        }
        Some(&Oddity::KeepAlive { times, every }) => {
            let blank = if content_type == EVENT_STREAM {
                ": keep-alive\n\n"
            } else {
                "\n"
            };
            let body = Carrier::behind_blanks(body, blank, times, every);
            (content_type, body)
        }
        Some(&Oddity::Trickle { bytes, delay }) => {
            (content_type, Carrier::in_pieces(body, bytes, delay))
        }
        Some(Oddity::NotStreamed | Oddity::Garbage(_) | Oddity::NoEndMarker) | None => {
            (content_type, body)
        }
    };
    head.with_body(200, Some(content_type), body)
}
