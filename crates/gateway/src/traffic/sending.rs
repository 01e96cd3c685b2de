//! Sending the request of an attempt, up to the head of its answer.
//!
//! A kept connection may be closed by the provider at the very moment at which a request is written to it. That is
//! no failure: the request goes out again at once on a connection of its own.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use keypool_pool::FaultKind;
use keypool_wire::{Call, Dialect};
use tokio::time::Instant;

use crate::credentials::ProofError;
use crate::traffic::attempt::Attempt;
use crate::traffic::failure::Failure;
use crate::traffic::headers::{
    self, ANTHROPIC_BETA_HEADER, ANTHROPIC_VERSION, ANTHROPIC_VERSION_HEADER,
};
use crate::traffic::settlement::Settlement;
use crate::upstream::{OpenRequest, SendError};

/// Whether a request may go on a connection that has served others.
#[derive(Clone, Copy)]
enum Connection {
    Kept,
    New,
}

/// A request that was sent, and the head of its answer.
pub(super) struct Sent {
    pub(super) answer: (Response<Incoming>, OpenRequest),
    pub(super) at: Instant,
    pub(super) first_byte_due: Instant,
}

/// Why no head of an answer came.
pub(super) enum NoHead {
    Unbuilt(String),
    Proof(ProofError),
    Silence(Duration),
    Lost(SendError),
}

impl Attempt<'_> {
    /// Sends the request, once more if it was lost with a connection that the provider was closing.
    pub(super) async fn sent(&mut self, settlement: &Settlement) -> Result<Sent, NoHead> {
        let sent = self.send(settlement, Connection::Kept).await;
        match &sent {
            Err(NoHead::Lost(error)) if self.may_send_anew(error) => {
                tracing::debug!(request = %self.request.facts.id, "sent anew: {error}");
                self.send(settlement, Connection::New).await
            }
            _ => sent,
        }
    }

    /// Sends the request and waits for the head of its answer.
    async fn send(&self, settlement: &Settlement, connection: Connection) -> Result<Sent, NoHead> {
        let mut request = self.upstream_request(settlement).map_err(NoHead::Unbuilt)?;
        let time = settlement.provider.pool.time();
        let body = request.body().clone();
        let first_byte = self.timeouts.first_byte.min(self.time_left);
        let proof = &settlement.key.proof;
        let proving = proof.put_on(&mut request, &body, self.upstream, time);
        tokio::time::timeout(first_byte, proving)
            .await
            .map_err(|_| NoHead::Silence(first_byte))?
            .map_err(NoHead::Proof)?;
        let at = Instant::now();
        let first_byte_due = at + first_byte;
        let request = request.map(Full::new);
        let sending = async {
            match connection {
                Connection::Kept => self.upstream.send(request).await,
                Connection::New => self.upstream.send_anew(request).await,
            }
        };
        let answer = tokio::time::timeout_at(first_byte_due, sending)
            .await
            .map_err(|_| NoHead::Silence(first_byte))?
            .map_err(NoHead::Lost)?;
        Ok(Sent {
            answer,
            at,
            first_byte_due,
        })
    }

    /// Whether a request that was lost with its connection goes out again at once, on a new one. If the provider may
    /// have seen it, it is one of those that may have run twice.
    fn may_send_anew(&mut self, lost: &SendError) -> bool {
        match lost {
            SendError::Unseen(_) => true,
            SendError::Stale(_) => self.course.replays(),
            SendError::Connect(_) | SendError::Broken(_) => false,
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
}

impl NoHead {
    pub(super) fn into_failure(self, settlement: Settlement) -> Failure {
        match self {
            Self::Proof(ProofError::Refused(parts, body)) => {
                Failure::judged(settlement, *parts, body)
            }
            Self::Unbuilt(reason)
            | Self::Proof(ProofError::Unavailable(reason))
            | Self::Lost(SendError::Connect(reason)) => Failure::not_sent(settlement, &reason),
            Self::Silence(waited) => Failure::silent(settlement, waited),
            Self::Lost(SendError::Stale(reason)) => Failure::stale(settlement, &reason),
            Self::Lost(SendError::Unseen(reason) | SendError::Broken(reason)) => {
                Failure::broken(settlement, FaultKind::Reset, &reason)
            }
        }
    }
}
