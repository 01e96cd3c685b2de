//! An answer that begins before it is known: for clients behind proxies that close a silent connection.
//!
//! While a request waits in the queue its answer may still become a 429, so nothing is sent. Where the
//! operator lets requests wait for longer than a connection may be silent, a streamed request's answer
//! begins after a while: 200 and an event stream, kept alive by the dialect's own means. From then on what
//! goes wrong can only be told as an error event.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response};
use http_body::{Body, Frame};
use keypool_wire::{Dialect, Endpoint, OwnError, stream_error_event};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep};

use crate::body::{AnswerBody, CutOff};
use crate::limits;

/// Raised by a request that has waited for long enough.
#[derive(Debug)]
pub(super) struct HoldOpen {
    after: Duration,
    raised: Notify,
}

/// The rest of a request's way to its answer.
pub(super) type Pending = Pin<Box<dyn Future<Output = Response<AnswerBody>> + Send>>;

/// The body of an answer that began before it was known.
pub(crate) struct Deferred {
    endpoint: Endpoint,
    stage: Stage,
    tick: Pin<Box<Sleep>>,
}

enum Stage {
    /// Nothing is known yet.
    Pending(Pending),
    /// The answer, as it comes.
    Answer(Box<AnswerBody>),
    /// A failure, told as an event; its body is being read.
    Failure(u16, Box<AnswerBody>),
    Over,
}

impl HoldOpen {
    /// To be raised after so long in the queue.
    pub(super) fn new(after: Duration) -> Self {
        Self {
            after,
            raised: Notify::new(),
        }
    }

    /// Waits for a turn; raised if it takes too long.
    pub(super) async fn watch<T>(&self, turn: impl Future<Output = T>) -> T {
        tokio::pin!(turn);
        tokio::select! {
            turn = &mut turn => turn,
            () = tokio::time::sleep(self.after) => {
                self.raised.notify_one();
                turn.await
            }
        }
    }

    /// Returns when it is raised.
    pub(super) async fn raised(&self) {
        self.raised.notified().await;
    }
}

/// Begins an answer that is not known yet.
pub(super) fn held_open(endpoint: Endpoint, pending: Pending) -> Response<AnswerBody> {
    let body = Deferred {
        endpoint,
        stage: Stage::Pending(pending),
        // The first sign of life goes out at once.
        tick: Box::pin(tokio::time::sleep(Duration::ZERO)),
    };
    let mut response = Response::new(AnswerBody::Deferred(Box::new(body)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

impl Deferred {
    /// What keeps a connection alive and means nothing to the client.
    fn sign_of_life(&self) -> Bytes {
        Bytes::from_static(match self.endpoint.dialect() {
            Dialect::Anthropic => b"event: ping\ndata: {\"type\": \"ping\"}\n\n",
            Dialect::OpenAi => b": waiting for room\n\n",
            // Its SDKs take no comments, but pass over blank lines.
            Dialect::Gemini => b"\r\n",
        })
    }

    fn failure(&self, status: u16, body: &[u8]) -> Bytes {
        let said: Option<serde_json::Value> = serde_json::from_slice(body).ok();
        let said = said
            .as_ref()
            .and_then(|body| body.pointer("/error/message"));
        let message = said.and_then(serde_json::Value::as_str);
        let error = OwnError {
            status,
            code: "failed_after_waiting",
            message: message
                .unwrap_or("the request failed after it had waited")
                .to_owned(),
        };
        stream_error_event(self.endpoint, &error, 0)
    }
}

impl Body for Deferred {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        let deferred = self.get_mut();
        loop {
            match &mut deferred.stage {
                Stage::Over => return Poll::Ready(None),
                Stage::Answer(body) => return Pin::new(body.as_mut()).poll_frame(cx),
                Stage::Failure(status, body) => {
                    let status = *status;
                    let said = match std::task::ready!(Pin::new(body.as_mut()).poll_frame(cx)) {
                        Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
                        Some(Err(_)) | None => Bytes::new(),
                    };
                    let event = deferred.failure(status, &said);
                    deferred.stage = Stage::Over;
                    return Poll::Ready(Some(Ok(Frame::data(event))));
                }
                Stage::Pending(pending) => match pending.as_mut().poll(cx) {
                    Poll::Ready(response) => deferred.stage = Stage::of(response),
                    Poll::Pending => {
                        std::task::ready!(deferred.tick.as_mut().poll(cx));
                        let next = Instant::now() + limits::WAITING_KEEP_ALIVE;
                        deferred.tick.as_mut().reset(next);
                        return Poll::Ready(Some(Ok(Frame::data(deferred.sign_of_life()))));
                    }
                },
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }
}

impl Stage {
    fn of(response: Response<AnswerBody>) -> Self {
        let (parts, body) = response.into_parts();
        let content_type = parts.headers.get(CONTENT_TYPE);
        let streams = content_type
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.starts_with("text/event-stream"));
        match (parts.status.is_success(), streams) {
            (true, true) => Self::Answer(Box::new(body)),
            // Asked for a stream, the provider sent something else: no event can carry it.
            (true, false) => Self::Failure(502, Box::new(AnswerBody::whole(Bytes::new()))),
            (false, _) => Self::Failure(parts.status.as_u16(), Box::new(body)),
        }
    }
}

impl std::fmt::Debug for Deferred {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deferred")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}
