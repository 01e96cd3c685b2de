//! One attempt: a request sent with one key, and what its answer means.
//!
//! Until a byte of the answer has gone to the client, whatever goes wrong is reported to the journey,
//! which may try another key. So a plain answer is held until it is whole, and a stream until its
//! first real event: providers send errors inside a 200.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use keypool_pool::{FaultKind, Verdict};
use keypool_wire::{Dialect, Endpoint, ProviderKind, StreamMeter};
use tokio::time::Instant;

use crate::body::AnswerBody;
use crate::config::Timeouts;
use crate::limits;
use crate::telemetry::GatewayMeasurements;
use crate::traffic::failure::Failure;
use crate::traffic::headers::{self, ANTHROPIC_VERSION, ANTHROPIC_VERSION_HEADER};
use crate::traffic::relay::{Relay, RelayStart, Scan, StreamCount};
use crate::traffic::request::ClientRequest;
use crate::traffic::settlement::Settlement;
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
    /// The body as this target gets it.
    pub body: Bytes,
    /// Whether the usage chunk was asked for on the client's behalf.
    pub usage_injected: bool,
    /// Time left until the request's deadline.
    pub time_left: Duration,
    /// When the answer must have ended.
    pub end: Instant,
}

impl Attempt<'_> {
    /// Runs the attempt. The lease is settled in every case, now or when the answer ends.
    pub(super) async fn run(self, settlement: Settlement) -> Result<Response<AnswerBody>, Failure> {
        let request = match self.upstream_request(&settlement) {
            Ok(request) => request,
            Err(reason) => return Err(Failure::not_sent(settlement, &reason)),
        };
        let first_byte = self.timeouts.first_byte.min(self.time_left);
        let sent = tokio::time::timeout(first_byte, self.upstream.send(request)).await;
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
        let (parts, body) = response.into_parts();
        settlement.key.count_status(parts.status.as_u16());
        settlement.observe_head(parts.status, &parts.headers);
        if !parts.status.is_success() {
            return Err(self.read_error(settlement, parts, body).await);
        }
        if is_encoded(&parts.headers) {
            // Asked for none, got one: passed on unread, charged as reserved.
            return Ok(self.relay(settlement, &parts, body, open, None, VecDeque::new()));
        }
        if is_event_stream(&parts.headers) {
            self.hold_stream(settlement, parts, body, open).await
        } else {
            self.hold_plain(settlement, parts, body, open).await
        }
    }

    fn upstream_request(&self, settlement: &Settlement) -> Result<Request<Full<Bytes>>, String> {
        let client = self.request;
        let url = settlement
            .key
            .base
            .url(client.facts.endpoint, client.query.as_deref());
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url
            .parse()
            .map_err(|error| format!("the URL is not valid: {error}"))?;
        *request.headers_mut() = client.headers.clone();
        let (name, value) = settlement.key.auth.clone();
        request.headers_mut().insert(name, value);
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().entry(CONTENT_TYPE).or_insert(json);
        if client.facts.endpoint.dialect() == Dialect::Anthropic {
            // The API demands it; a plain `curl` has none, every SDK sends its own.
            let version = HeaderValue::from_static(ANTHROPIC_VERSION);
            request
                .headers_mut()
                .entry(ANTHROPIC_VERSION_HEADER)
                .or_insert(version);
        }
        Ok(request)
    }

    async fn read_error(&self, settlement: Settlement, parts: Parts, body: Incoming) -> Failure {
        let reading = read_bounded(body, limits::ERROR_BODY_BYTES);
        let body = tokio::time::timeout(limits::ERROR_BODY_TIME, reading)
            .await
            .unwrap_or_default();
        Failure::judged(settlement, parts, body)
    }

    /// Waits for the whole of a plain answer.
    async fn hold_plain(
        &self,
        mut settlement: Settlement,
        parts: Parts,
        mut body: Incoming,
        open: OpenRequest,
    ) -> Result<Response<AnswerBody>, Failure> {
        let mut held = VecDeque::new();
        let mut held_bytes = 0;
        loop {
            match next_chunk(&mut body, self.patience()).await {
                Next::Chunk(chunk) => {
                    held_bytes += chunk.len();
                    held.push_back(chunk);
                    if held_bytes > limits::HELD_ANSWER_BYTES {
                        return Ok(self.relay(settlement, &parts, body, open, None, held));
                    }
                }
                Next::End => break,
                Next::Silence => {
                    return Err(Failure::silent(
                        settlement,
                        self.timeouts.idle.min(self.timeouts.total),
                    ));
                }
                Next::Broken(reason) => {
                    return Err(Failure::broken(settlement, FaultKind::Reset, &reason));
                }
            }
        }
        let whole = join(held, held_bytes);
        if !looks_like_json(&whole) {
            return Err(Failure::garbage(settlement, &parts, &whole));
        }
        let endpoint = settlement.request.endpoint;
        settlement.begin_answer(parts.status.as_u16());
        let usage = keypool_wire::usage_of_answer(endpoint, &whole);
        let made_state = keypool_wire::state_ids_of_answer(endpoint, &whole);
        settlement.settle_used(Verdict::Success, usage.as_ref(), &made_state);
        Ok(answer(&parts, AnswerBody::whole(whole)))
    }

    /// Waits for the first event of a stream that a client can use.
    async fn hold_stream(
        &self,
        settlement: Settlement,
        parts: Parts,
        mut body: Incoming,
        open: OpenRequest,
    ) -> Result<Response<AnswerBody>, Failure> {
        let endpoint = settlement.request.endpoint;
        let mut scan = Scan::new(StreamMeter::new(endpoint, self.usage_injected));
        let mut held = VecDeque::new();
        let mut held_bytes = 0;
        let hold_until = Instant::now() + limits::HELD_STREAM_TIME;
        loop {
            let patience = hold_until.saturating_duration_since(Instant::now());
            let idle = self.patience().min(patience);
            let chunk = match next_chunk(&mut body, idle).await {
                Next::Chunk(chunk) => chunk,
                Next::Silence if Instant::now() >= hold_until => break,
                Next::Silence => return Err(Failure::silent(settlement, idle)),
                Next::Broken(reason) => {
                    return Err(Failure::broken(settlement, FaultKind::Reset, &reason));
                }
                Next::End => {
                    let reason = "the stream ended before its first event";
                    return Err(Failure::broken(settlement, FaultKind::Reset, reason));
                }
            };
            held_bytes += chunk.len();
            match scan.take_in(&chunk, &mut held) {
                Err(error) => {
                    return Err(Failure::broken(
                        settlement,
                        FaultKind::Garbage,
                        &error.to_string(),
                    ));
                }
                Ok(scanned) => {
                    if let Some(error) = scanned.error_first {
                        return Err(Failure::in_stream(settlement, &error));
                    }
                    if scanned.committing || held_bytes > limits::HELD_STREAM_BYTES {
                        break;
                    }
                }
            }
        }
        Ok(self.relay(settlement, &parts, body, open, Some(scan), held))
    }

    /// How long the next chunk may take.
    fn patience(&self) -> Duration {
        self.timeouts
            .idle
            .min(self.end.saturating_duration_since(Instant::now()))
    }

    fn relay(
        &self,
        mut settlement: Settlement,
        parts: &Parts,
        upstream: Incoming,
        open: OpenRequest,
        scan: Option<Scan>,
        held: VecDeque<Bytes>,
    ) -> Response<AnswerBody> {
        settlement.begin_answer(parts.status.as_u16());
        let streams = StreamCount::new(Arc::clone(&self.measurements.streams_open));
        let idle = self.timeouts.idle;
        let start = RelayStart {
            upstream,
            scan,
            held,
            idle,
            end: self.end,
            settlement,
            open,
            streams,
        };
        answer(parts, AnswerBody::Relayed(Box::new(Relay::new(start))))
    }
}

/// An upstream's head with a body of ours.
pub(super) fn answer(parts: &Parts, body: AnswerBody) -> Response<AnswerBody> {
    let mut response = Response::new(body);
    *response.status_mut() = parts.status;
    *response.headers_mut() = headers::for_client(&parts.headers);
    response
}

enum Next {
    Chunk(Bytes),
    End,
    Silence,
    Broken(String),
}

async fn next_chunk(body: &mut Incoming, idle: Duration) -> Next {
    loop {
        match tokio::time::timeout(idle, body.frame()).await {
            Err(_) => return Next::Silence,
            Ok(None) => return Next::End,
            Ok(Some(Err(error))) => return Next::Broken(error.to_string()),
            Ok(Some(Ok(frame))) => {
                if let Ok(chunk) = frame.into_data() {
                    return Next::Chunk(chunk);
                }
            }
        }
    }
}

/// Reads up to `bound` bytes and forgets the rest; a break ends it early.
async fn read_bounded(mut body: Incoming, bound: usize) -> Bytes {
    let mut read = BytesMut::new();
    while let Some(Ok(frame)) = body.frame().await {
        if let Ok(chunk) = frame.into_data() {
            let room = bound - read.len();
            read.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
        }
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

fn is_event_stream(headers: &HeaderMap) -> bool {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    value.is_some_and(|value| value.trim_start().starts_with("text/event-stream"))
}

fn is_encoded(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_ENCODING)
        .is_some_and(|value| value != "identity")
}

/// A cheap look: every answer of every dialect is one JSON object. Some providers send blanks first.
fn looks_like_json(body: &[u8]) -> bool {
    let body = body.trim_ascii();
    body.starts_with(b"{") && body.ends_with(b"}")
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
