//! A socket which can be reset on demand: the peer then sees RST, as when a provider's proxy dies.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// Lets an answer break the connection that it travels on.
#[derive(Debug, Default)]
pub(super) struct ConnectionControl {
    is_reset: AtomicBool,
    asked: Notify,
}

impl ConnectionControl {
    /// Asks for the connection to be reset.
    pub(super) fn reset(&self) {
        self.is_reset.store(true, Ordering::Release);
        self.asked.notify_one();
    }

    /// Waits until a reset is asked for.
    pub(super) async fn reset_asked(&self) {
        self.asked.notified().await;
    }
}

/// A TCP stream that sends RST instead of FIN when it is dropped after a reset was asked for.
#[derive(Debug)]
pub(super) struct SimSocket {
    stream: TcpStream,
    control: Arc<ConnectionControl>,
}

impl SimSocket {
    pub(super) fn new(stream: TcpStream, control: Arc<ConnectionControl>) -> Self {
        Self { stream, control }
    }
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        if self.control.is_reset.load(Ordering::Acquire) {
            // If it cannot be set, the peer sees a plain close: still no answer.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for SimSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for SimSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
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
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
