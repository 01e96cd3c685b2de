//! Connections that know whether an answer to their last request has begun.
//!
//! What it prevents: a provider closes a connection that was idle, just as a request is written to it. That is
//! nobody's fault, and another connection cures it. Two signs tell it from a provider that breaks off: the
//! connection has served before, and not a byte has come since the request was written.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How far a connection's requests have come. Clones speak of the same connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// Something came before the last request was written.
    has_served: AtomicBool,
    /// Something has come since.
    is_answering: AtomicBool,
}

impl Progress {
    fn writes(&self) {
        if self.0.is_answering.swap(false, Ordering::Relaxed) {
            self.0.has_served.store(true, Ordering::Relaxed);
        }
    }

    fn reads(&self) {
        self.0.is_answering.store(true, Ordering::Relaxed);
    }

    /// Whether the connection has served before, and nothing came of its last request.
    pub(super) fn is_stale(&self) -> bool {
        self.0.has_served.load(Ordering::Relaxed) && !self.0.is_answering.load(Ordering::Relaxed)
    }
}

/// A connection that keeps its [`Progress`].
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: TokioIo<S>,
    progress: Progress,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream: TokioIo::new(stream),
            progress: Progress::default(),
        }
    }
}

impl<S: Connection> Connection for Watched<S> {
    fn connected(&self) -> Connected {
        let connected = Connected::new().extra(self.progress.clone());
        if self.stream.inner().connected().is_negotiated_h2() {
            connected.negotiated_h2()
        } else {
            connected
        }
    }
}

impl<S: hyper::rt::Read + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.progress.reads();
        }
        polled
    }
}

impl<S: hyper::rt::Write + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.progress.writes();
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.progress.writes();
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
