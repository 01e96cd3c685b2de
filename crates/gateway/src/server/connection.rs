//! One client connection: HTTP/1.1 or HTTP/2 without TLS, under its clocks, drained when a stop is asked for.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::header::CONNECTION;
use http::{Request, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, timeout};

use super::activity::{Activity, Clocks, Expiry};
use super::http2::StreamExecutor;
use super::served::Serving;
use super::service::Service;
use super::stream::ClientStream;
use crate::limits;
use crate::telemetry::Closed;

/// Serves a connection until its end.
pub(super) async fn serve_connection(
    socket: TcpStream,
    activity: &Arc<Activity>,
    service: Service,
    mut stopped: watch::Receiver<bool>,
) {
    let clocks = service.clocks();
    let builder = builder(clocks);
    let stream = ClientStream::new(socket, activity.clone());
    serve_stream(stream, &builder, service, activity, clocks, &mut stopped).await;
    if let Some(socket) = activity.take_back() {
        // However that goes, the connection is over.
        let _ = timeout(limits::LINGER_TIME, linger(socket)).await;
    }
}

async fn serve_stream(
    stream: ClientStream,
    builder: &auto::Builder<StreamExecutor>,
    service: Service,
    activity: &Arc<Activity>,
    clocks: Clocks,
    stopped: &mut watch::Receiver<bool>,
) {
    let defence = service.defence().clone();
    let answer = service_fn(move |request| {
        let serving = begin(activity, &request);
        let (service, activity) = (service.clone(), activity.clone());
        // On the heap, so that an open stream does not keep the room of the work that began it.
        Box::pin(async move {
            let has_body = !request.body().is_end_stream();
            let response = service.serve(request).await;
            if has_body && !response.status().is_success() {
                activity.note_unread_body();
            }
            Ok::<_, Infallible>(serving.answer(response))
        })
    });
    let mut serving = pin!(builder.serve_connection(TokioIo::new(stream), answer));
    let mut expired = pin!(Expired::new(activity, clocks));
    let mut is_stopping = false;
    loop {
        tokio::select! {
            // What is served sets and stops clocks, so it goes first.
            biased;
            ended = serving.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!("client connection ended: {error}");
                }
                return;
            }
            () = until_stopped(stopped), if !is_stopping => {
                is_stopping = true;
                serving.as_mut().graceful_shutdown();
            }
            () = activity.asked_to_leave() => {
                if activity.leaves() {
                    tracing::debug!("client connection closed to make room");
                    defence.count_closed(Closed::ForAnother);
                    return;
                }
            }
            expiry = expired.as_mut() => {
                if expired.is_closing() {
                    return;
                }
                tracing::debug!("client connection closed: {expiry:?}");
                defence.count_closed(expiry.into());
                if expiry != Expiry::Idle {
                    return;
                }
                // Told so, an HTTP/2 client knows what of its requests was not looked at.
                expired.set(Expired::closing(activity, clocks));
                serving.as_mut().graceful_shutdown();
            }
        }
    }
}

fn builder(clocks: Clocks) -> auto::Builder<StreamExecutor> {
    let mut builder = auto::Builder::new(StreamExecutor {
        patience: clocks.stall,
    });
    // No clock of HTTP/1's own: it would run for the next request's head from the last one's end, and cut
    // idle connections.
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(limits::REQUEST_HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .adaptive_window(true)
        .max_header_list_size(u32::try_from(limits::REQUEST_HEAD_BYTES).unwrap_or(u32::MAX))
        .max_concurrent_streams(limits::HTTP2_STREAMS)
        .max_send_buf_size(limits::HTTP2_SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(limits::HTTP2_EARLY_RESETS)
        .max_local_error_reset_streams(limits::HTTP2_ERROR_RESETS);
    builder
}

/// Notes that a request's head is here.
fn begin(activity: &Arc<Activity>, request: &Request<Incoming>) -> Serving {
    let said = |token: &str| {
        let values = request.headers().get_all(CONNECTION).iter();
        let mut tokens = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','));
        tokens.any(|said| said.trim().eq_ignore_ascii_case(token))
    };
    let (is_multiplexed, closes) = match request.version() {
        Version::HTTP_2 => (true, false),
        Version::HTTP_11 => (false, said("close")),
        _ => (false, !said("keep-alive")),
    };
    Serving::begin(activity, is_multiplexed, closes)
}

/// Reads what a client still sends and drops it, until the client ends.
async fn linger(mut socket: TcpStream) {
    // The answer's end; a second time it is ignored.
    let _ = socket.shutdown().await;
    let mut dropped = [0; 4096];
    let mut left = limits::LINGER_BYTES;
    while left > 0 {
        match socket.read(&mut dropped).await {
            Ok(0) | Err(_) => return,
            Ok(bytes) => left = left.saturating_sub(bytes),
        }
    }
}

/// Ends when one of a connection's clocks runs out. Its timer is seldom moved: it is set to the earliest
/// instant that was ever asked for, and there set anew.
struct Expired<'a> {
    activity: &'a Activity,
    clocks: Clocks,
    /// Set once the connection was asked to end.
    closed_by: Option<Instant>,
    sleep: Pin<Box<Sleep>>,
}

impl<'a> Expired<'a> {
    fn new(activity: &'a Activity, clocks: Clocks) -> Self {
        Self {
            activity,
            clocks,
            closed_by: None,
            sleep: Box::pin(tokio::time::sleep(clocks.head)),
        }
    }

    /// As [`Expired::new`], for a connection that was asked to end.
    fn closing(activity: &'a Activity, clocks: Clocks) -> Self {
        Self {
            closed_by: Some(Instant::now() + limits::CLOSING_TIME),
            ..Self::new(activity, clocks)
        }
    }

    fn is_closing(&self) -> bool {
        self.closed_by.is_some()
    }

    fn deadline(&self) -> (Instant, Option<Expiry>) {
        if let Some(closed_by) = self.closed_by {
            return (closed_by, Some(Expiry::Idle));
        }
        match self.activity.deadline(&self.clocks) {
            Some((at, expiry)) => (at, Some(expiry)),
            // A request is served; when it ends, nothing may wake this.
            None => (Instant::now() + self.clocks.idle, None),
        }
    }
}

impl Future for Expired<'_> {
    type Output = Expiry;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Expiry> {
        let this = self.get_mut();
        loop {
            let (deadline, expiry) = this.deadline();
            if deadline < this.sleep.deadline() {
                this.sleep.as_mut().reset(deadline);
            }
            ready!(this.sleep.as_mut().poll(cx));
            match expiry {
                Some(expiry) if Instant::now() >= deadline => return Poll::Ready(expiry),
                _ => this.sleep.as_mut().reset(deadline),
            }
        }
    }
}

/// Ends when a stop is asked for, or when nobody can ask any more.
pub(super) async fn until_stopped(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

impl From<Expiry> for Closed {
    fn from(expiry: Expiry) -> Self {
        match expiry {
            Expiry::Idle => Self::Idle,
            Expiry::Head => Self::SlowHead,
            Expiry::Stalled => Self::SlowReader,
        }
    }
}
