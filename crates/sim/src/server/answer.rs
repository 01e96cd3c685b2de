//! Turning the model's reply into an answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;

use super::body::{EventBody, SimBody, State};
use super::head::{EVENT_STREAM, Head, JSON};
use super::shared::InFlight;
use super::socket::ConnectionControl;
use crate::Endpoint;
use crate::dialect::stream::{self, Event, EventStream};
use crate::dialect::text::AnswerText;
use crate::dialect::{AnswerFacts, anthropic, chat, embeddings, errors, models, responses};
use crate::model::{Break, Grant, ProviderError, Reply, Request};

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
        (Reply::Hang | Reply::Reset, _) => {
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
        if let (Some(Break::Error(_, code)), false) = (&grant.broken, request.stream) {
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
        let events = request
            .stream
            .then(|| EventStream::new(self.endpoint, request, &facts));
        let Some(events) = events.flatten() else {
            let body = self.plain(request, &facts, &mut in_flight);
            return plain_answer(body, &grant, head, in_flight, connection);
        };
        let endpoint = self.endpoint;
        let request_id = head.request_id.clone();
        let code = match &grant.broken {
            Some(Break::Error(_, code)) => code.clone(),
            _ => None,
        };
        let body = EventBody {
            events: Box::new(events),
            broken: grant.broken,
            error_event: Box::new(move |sent| {
                let error = stream::fault_error(endpoint, code.as_deref());
                stream::error_event(endpoint, &error, &request_id, sent)
            }),
            pace: grant.pace,
            in_flight: Some(in_flight),
            control: connection,
            state: State::Sending(0),
        };
        let mut head = head;
        head.set("cache-control", "no-cache");
        let content_type = if grant.wrong_content_type {
            WRONG_TYPE
        } else {
            EVENT_STREAM
        };
        head.with_body(200, Some(content_type), SimBody::Events(Box::new(body)))
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
            Endpoint::Models(dialect) => {
                let names = in_flight.with_model(|model, _, ticket| model.models(ticket, dialect));
                match self.path.strip_prefix("/v1/models/") {
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
    in_flight: InFlight,
    connection: Arc<ConnectionControl>,
) -> Response<SimBody> {
    let content_type = Some(if grant.wrong_content_type {
        WRONG_TYPE
    } else {
        JSON
    });
    let broken = match grant.broken {
        None => {
            return head.with_body(200, content_type, SimBody::whole(body, Some(in_flight)));
        }
        Some(Break::Truncate(_)) => Break::Truncate(1),
        Some(Break::Stall(_)) => Break::Stall(1),
        Some(Break::Reset(_) | Break::Error(..)) => Break::Reset(1),
    };
    if broken != Break::Truncate(1) {
        head.set("content-length", &body.len().to_string());
    }
    let half = Event {
        bytes: body.slice(..body.len() / 2),
        output_tokens: 0,
        is_paced: false,
    };
    let body = EventBody {
        events: Box::new(std::iter::once(half)),
        broken: Some(broken),
        error_event: Box::new(|_| Bytes::new()),
        pace: Duration::ZERO,
        in_flight: Some(in_flight),
        control: connection,
        state: State::Sending(0),
    };
    head.with_body(200, content_type, SimBody::Events(Box::new(body)))
}
