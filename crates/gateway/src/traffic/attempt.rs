//! One attempt: a request sent with one key, and what its answer means.
//!
//! Until a byte of the answer has gone to the client, whatever goes wrong is reported to the journey,
//! which may try another key. So a plain answer is held until it is whole, and a stream until its
//! first real event: providers send errors inside a 200.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::response::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use keypool_pool::{FaultKind, Verdict};
use keypool_wire::{Call, Dialect, Endpoint, ProviderKind, StreamMeter};
use tokio::time::Instant;

use crate::body::AnswerBody;
use crate::config::Timeouts;
use crate::credentials::ProofError;
use crate::limits;
use crate::telemetry::GatewayMeasurements;
use crate::traffic::failure::Failure;
use crate::traffic::headers::{
    self, ANTHROPIC_BETA_HEADER, ANTHROPIC_VERSION, ANTHROPIC_VERSION_HEADER,
};
use crate::traffic::opening::Opening;
use crate::traffic::relay::{
    Reader, Relay, RelayStart, Rewriter, Scan, StreamCount, Tail, array_of_one,
};
use crate::traffic::request::{ClientRequest, RequestFacts};
use crate::traffic::settlement::Settlement;
use crate::traffic::translation::{Outbound, as_stream, told_at};
use crate::traffic::upstream_body::{BodyError, UpstreamBody};
use crate::upstream::{OpenRequest, SendError, UpstreamClient};

/// What an attempt needs besides its settlement.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    /// The worker's connections.
    pub upstream: &'a UpstreamClient,
    /// The gateway's counters.
    pub measurements: &'a GatewayMeasurements,
    /// The clocks of an attempt.
    pub timeouts: &'a Timeouts,
    /// What the client asked for.
    pub request: &'a ClientRequest<'a>,
    /// The model, as this target names it.
    pub model: &'a str,
    /// The request as this target gets it.
    pub outbound: &'a Outbound,
    /// Time left until the request's deadline.
    pub time_left: Duration,
    /// When the answer must have ended.
    pub end: Instant,
}

impl Attempt<'_> {
    /// Runs the attempt. The lease is settled in every case, now or when the answer ends.
    pub(super) async fn run(self, settlement: Settlement) -> Result<Response<AnswerBody>, Failure> {
        let mut request = match self.upstream_request(&settlement) {
            Ok(request) => request,
            Err(reason) => return Err(Failure::not_sent(settlement, &reason)),
        };
        let key = settlement.key.clone();
        let time = settlement.provider.pool.time();
        let body = request.body().clone();
        let first_byte = self.timeouts.first_byte.min(self.time_left);
        let proving = key.proof.put_on(&mut request, &body, self.upstream, time);
        match tokio::time::timeout(first_byte, proving).await {
            Ok(Ok(())) => {}
            Ok(Err(ProofError::Refused(parts, body))) => {
                return Err(Failure::judged(settlement, *parts, body));
            }
            Ok(Err(ProofError::Unavailable(reason))) => {
                return Err(Failure::not_sent(settlement, &reason));
            }
            Err(_) => return Err(Failure::silent(settlement, first_byte)),
        }
        let sent_at = Instant::now();
        let first_byte_due = sent_at + first_byte;
        let sending = self.upstream.send(request.map(Full::new));
        let sent = tokio::time::timeout_at(first_byte_due, sending).await;
        let (response, open) = match sent {
            Err(_) => return Err(Failure::silent(settlement, first_byte)),
            Ok(Err(SendError::Connect(reason))) => {
                return Err(Failure::not_sent(settlement, &reason));
            }
            Ok(Err(SendError::Broken(reason))) => {
                return Err(Failure::broken(settlement, FaultKind::Reset, &reason));
            }
            Ok(Ok(answered)) => answered,
        };
        let (mut parts, body) = response.into_parts();
        settlement.key.count_status(parts.status.as_u16());
        settlement.observe_head(parts.status, &parts.headers);
        let body = UpstreamBody::open(&mut parts.headers, body);
        if !parts.status.is_success() {
            return Err(self.read_error(settlement, parts, body.ok()).await);
        }
        let mut answer = match body {
            Ok(body) => Beginning {
                parts,
                body,
                open,
                sent: sent_at,
                first_byte_due,
            },
            Err(error) => return Err(failure_of(settlement, Next::Broken(error))),
        };
        let first = match self.first_chunk(&mut answer).await {
            Next::Chunk(first) => first,
            other => return Err(failure_of(settlement, other)),
        };
        let opening = Opening::of(&first);
        opening.mend_type(&mut answer.parts.headers);
        match opening {
            Opening::Events if self.request.facts.is_streamed() => {
                answer.body.put_back(first);
                self.hold_stream(settlement, answer).await
            }
            Opening::Events => {
                let reason = "it is an event stream, though none was asked for";
                Err(Failure::unreadable(settlement, reason))
            }
            Opening::Object => {
                answer.body.put_back(first);
                self.hold_plain(settlement, answer).await
            }
            Opening::Other => Err(Failure::garbage(settlement, &answer.parts, &first)),
        }
    }

    fn upstream_request(&self, settlement: &Settlement) -> Result<Request<Bytes>, String> {
        let (client, outbound) = (self.request, self.outbound);
        let is_translated = outbound.translation.is_some();
        // Parameters are the client's API's own.
        let query = client.query.as_deref().filter(|_| !is_translated);
        let in_path = client.in_path.as_ref().filter(|_| !is_translated);
        let call = Call {
            endpoint: outbound.endpoint,
            model: self.model,
            stream: client.facts.is_streamed(),
            version: in_path.map(|path| path.version),
            query,
        };
        let place = &settlement.key.place;
        let url = place.url(&call);
        let beta = headers::list(&client.headers, &ANTHROPIC_BETA_HEADER);
        let beta = if is_translated { "" } else { &beta };
        let mut request = Request::new(place.body(&call, &outbound.body, beta));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url
            .parse()
            .map_err(|error| format!("the URL is not valid: {error}"))?;
        *request.headers_mut() = client.headers.clone();
        if is_translated || !place.takes_dialect_headers() {
            headers::take_dialect_out(request.headers_mut());
        }
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().entry(CONTENT_TYPE).or_insert(json);
        if outbound.endpoint.dialect() == Dialect::Anthropic && place.takes_dialect_headers() {
            // The API demands it; a plain `curl` has none, every SDK sends its own.
            let version = HeaderValue::from_static(ANTHROPIC_VERSION);
            request
                .headers_mut()
                .entry(ANTHROPIC_VERSION_HEADER)
                .or_insert(version);
        }
        Ok(request)
    }

    async fn read_error(
        &self,
        settlement: Settlement,
        parts: Parts,
        body: Option<UpstreamBody>,
    ) -> Failure {
        let body = match body {
            Some(body) => {
                let reading = read_bounded(body, limits::ERROR_BODY_BYTES);
                tokio::time::timeout(limits::ERROR_BODY_TIME, reading)
                    .await
                    .unwrap_or_default()
            }
            // In an encoding that is not known: its status has to do.
            None => Bytes::new(),
        };
        Failure::judged(settlement, parts, body)
    }

    /// Waits for the whole of a plain answer.
    async fn hold_plain(
        &self,
        mut settlement: Settlement,
        mut answer: Beginning,
    ) -> Result<Response<AnswerBody>, Failure> {
        let mut held = VecDeque::new();
        let mut held_bytes = 0;
        loop {
            match answer.chunk(self.patience()).await {
                Next::Chunk(chunk) => {
                    held_bytes += chunk.len();
                    held.push_back(chunk);
                    if held_bytes > limits::HELD_ANSWER_BYTES {
                        let facts = &self.request.facts;
                        if self.outbound.translation.is_some() || facts.is_streamed() {
                            let reason = "it is too large to be written anew";
                            return Err(Failure::unreadable(settlement, reason));
                        }
                        let reader = Reader::Plain(Box::new(Tail::of(&held)));
                        return Ok(self.relay(settlement, answer, reader, held, None));
                    }
                }
                Next::End => break,
                other => return Err(failure_of(settlement, other)),
            }
        }
        let whole = join(held, held_bytes);
        if !keypool_wire::is_json_object(&whole) {
            let reason = "its JSON is damaged or cut off";
            return Err(Failure::unreadable(settlement, reason));
        }
        let endpoint = self.outbound.endpoint;
        let input_tokens = self.request.facts.peek.input_tokens;
        let tally = keypool_wire::tally_of_answer(endpoint, &whole, input_tokens);
        settlement.observe_usage(tally);
        let verdict = match keypool_wire::error_of_answer(&whole) {
            None => Verdict::Success,
            Some(error) => match settlement.verdict_of_failed_response(&error) {
                Some(verdict) => verdict,
                None => return Err(Failure::in_stream(settlement, &error)),
            },
        };
        let translated = match &self.outbound.translation {
            None => None,
            Some(translation) => {
                let id = &self.request.facts.id;
                match translation.answer(&whole, id, settlement.started) {
                    Ok(translated) => Some(translated),
                    Err(failure) if failure.is_malformed() => {
                        return Err(Failure::unreadable(settlement, &failure.message));
                    }
                    // The provider has answered, but with what the client's API cannot hold, or with a
                    // failure of the model's: another key would do no better.
                    Err(failure) => {
                        let status = StatusCode::from_u16(failure.status);
                        answer.parts.status = status.unwrap_or(StatusCode::BAD_GATEWAY);
                        Some(told_at(self.request.facts.endpoint, &failure))
                    }
                }
            }
        };
        let made_state = keypool_wire::state_ids_of_answer(endpoint, &whole);
        let mut body = translated.unwrap_or(whole);
        let facts = &self.request.facts;
        if facts.is_array {
            body = array_of_one(&body);
        } else if facts.is_streamed() && answer.parts.status.is_success() {
            let Some(stream) = as_stream(facts.endpoint, &body) else {
                let reason = "it is no stream, and no answer that could be made one";
                return Err(Failure::unreadable(settlement, reason));
            };
            Opening::Events.mend_type(&mut answer.parts.headers);
            body = stream;
        }
        settlement.begin_answer(answer.parts.status.as_u16());
        settlement.settle_seen(verdict, &made_state);
        Ok(answered(&answer.parts, AnswerBody::whole(body)))
    }

    /// Waits for the first event of a stream that a client can use.
    async fn hold_stream(
        &self,
        mut settlement: Settlement,
        mut answer: Beginning,
    ) -> Result<Response<AnswerBody>, Failure> {
        let RequestFacts {
            id,
            endpoint,
            peek,
            is_array,
            ..
        } = &*self.request.facts;
        let outbound = self.outbound;
        let meter = StreamMeter::new(outbound.endpoint, outbound.usage_injected);
        let translation = outbound.translation.as_ref();
        let translator = translation.and_then(|t| t.stream(id, settlement.started));
        let rewriter = Rewriter::new(*endpoint, translator, *is_array);
        let mut scan = Scan::new(meter, rewriter);
        if *is_array {
            let json = HeaderValue::from_static("application/json");
            answer.parts.headers.insert(CONTENT_TYPE, json);
        }
        let mut held = VecDeque::new();
        let hold_until = Instant::now() + limits::HELD_STREAM_TIME;
        let mut first_meaning_due = Some(answer.first_byte_due);
        loop {
            let due = first_meaning_due.map_or(hold_until, |due| due.min(hold_until));
            let scanned = match answer.chunk_before(due, self.patience()).await {
                Next::Chunk(chunk) => scan.take_in(&chunk, &mut held),
                Next::Silence(_) if Instant::now() >= hold_until => break,
                Next::End => match scan.finish(&mut held) {
                    Ok(scanned) if !scanned.committing => {
                        return Err(failure_of(settlement, Next::End));
                    }
                    finished => finished,
                },
                other => return Err(failure_of(settlement, other)),
            };
            settlement.observe_usage(scan.meter.tally(peek.input_tokens));
            if let Some(error) = scan.failure() {
                return Err(Failure::in_stream(settlement, error));
            }
            match scanned {
                Err(error) => return Err(Failure::unreadable(settlement, &error.to_string())),
                Ok(scanned) => {
                    if scanned.meaningful {
                        first_meaning_due = None;
                    }
                    // An event that is unfinished has a bound of its own.
                    let held_bytes: usize = held.iter().map(Bytes::len).sum();
                    if scanned.committing || held_bytes > limits::HELD_STREAM_BYTES {
                        break;
                    }
                }
            }
        }
        let reader = Reader::Events(Box::new(scan));
        Ok(self.relay(settlement, answer, reader, held, first_meaning_due))
    }

    /// How long the next chunk may take.
    fn patience(&self) -> Duration {
        self.timeouts
            .idle
            .min(self.end.saturating_duration_since(Instant::now()))
    }

    /// Waits for the first byte of an answer that means something. Blank lines only keep the connection
    /// alive while a provider has no answer yet.
    async fn first_chunk(&self, answer: &mut Beginning) -> Next {
        loop {
            let due = answer.first_byte_due;
            let chunk = match answer.chunk_before(due, self.patience()).await {
                Next::Chunk(chunk) => chunk,
                other => return other,
            };
            let blanks = chunk.len() - chunk.trim_ascii_start().len();
            if blanks < chunk.len() {
                return Next::Chunk(chunk.slice(blanks..));
            }
        }
    }

    fn relay(
        &self,
        mut settlement: Settlement,
        answer: Beginning,
        reader: Reader,
        held: VecDeque<Bytes>,
        first_meaning_due: Option<Instant>,
    ) -> Response<AnswerBody> {
        settlement.begin_answer(answer.parts.status.as_u16());
        let start = RelayStart {
            upstream: answer.body,
            reader,
            held,
            idle: self.timeouts.idle,
            first_meaning_due,
            end: self.end,
            settlement,
            open: answer.open,
            streams: StreamCount::new(Arc::clone(&self.measurements.streams_open)),
        };
        let relay = Box::new(Relay::new(start));
        answered(&answer.parts, AnswerBody::Relayed(relay))
    }
}

/// An upstream's head with a body of ours.
pub(super) fn answered(parts: &Parts, body: AnswerBody) -> Response<AnswerBody> {
    let mut response = Response::new(body);
    *response.status_mut() = parts.status;
    *response.headers_mut() = headers::for_client(&parts.headers);
    response
}

/// An answer of which nothing has gone to the client.
struct Beginning {
    parts: Parts,
    body: UpstreamBody,
    open: OpenRequest,
    sent: Instant,
    /// When the first byte that means something must have come.
    first_byte_due: Instant,
}

/// What came next of an answer.
enum Next {
    Chunk(Bytes),
    End,
    /// Nothing, for so long after the request was sent.
    Silence(Duration),
    Broken(BodyError),
}

impl Beginning {
    async fn chunk(&mut self, patience: Duration) -> Next {
        match tokio::time::timeout(patience, self.body.chunk()).await {
            Err(_) => Next::Silence(self.sent.elapsed()),
            Ok(None) => Next::End,
            Ok(Some(Err(error))) => Next::Broken(error),
            Ok(Some(Ok(chunk))) => Next::Chunk(chunk),
        }
    }

    /// The next chunk within `patience`, or silence when it is `due` and not there.
    async fn chunk_before(&mut self, due: Instant, patience: Duration) -> Next {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Next::Silence(self.sent.elapsed());
        }
        self.chunk(patience.min(left)).await
    }
}

/// An answer that ended, fell silent or broke before anything of it could go to the client.
fn failure_of(settlement: Settlement, next: Next) -> Failure {
    match next {
        Next::Chunk(_) | Next::End => {
            let reason = "it ended before it had begun";
            Failure::broken(settlement, FaultKind::Reset, reason)
        }
        Next::Silence(waited) => Failure::silent(settlement, waited),
        Next::Broken(BodyError::Broken(reason)) => {
            Failure::broken(settlement, FaultKind::Reset, &reason)
        }
        Next::Broken(BodyError::Undecodable(reason)) => Failure::unreadable(settlement, &reason),
    }
}

/// Reads up to `bound` bytes and forgets the rest; a break ends it early.
async fn read_bounded(mut body: UpstreamBody, bound: usize) -> Bytes {
    let mut read = BytesMut::new();
    while let Some(Ok(chunk)) = body.chunk().await {
        let room = bound - read.len();
        read.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
        if read.len() >= bound {
            break;
        }
    }
    read.freeze()
}

fn join(mut chunks: VecDeque<Bytes>, bytes: usize) -> Bytes {
    if chunks.len() <= 1 {
        return chunks.pop_front().unwrap_or_default();
    }
    let mut whole = BytesMut::with_capacity(bytes);
    for chunk in chunks {
        whole.extend_from_slice(&chunk);
    }
    whole.freeze()
}

/// Whether the usage chunk of this request's stream has to be asked for.
#[must_use]
pub(super) fn wants_usage(endpoint: Endpoint, peek: &keypool_wire::Peek) -> bool {
    endpoint == Endpoint::ChatCompletions && peek.stream && !peek.asks_usage
}

/// Whether a provider understands `stream_options`. Mistral states the usage of a stream unasked, and
/// refuses members that it does not know.
#[must_use]
pub(super) fn takes_stream_options(provider: ProviderKind) -> bool {
    provider != ProviderKind::Mistral
}
