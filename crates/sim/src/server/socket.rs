//! A socket whose end can be scripted: reset, so that the peer sees RST as when a provider's proxy dies, or
//! closed after bytes that are no HTTP.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// How a connection ends before its time.
#[derive(Debug, Clone, Copy)]
pub(super) enum ConnectionEnd {
    /// With RST.
    Reset,
    /// With these bytes and FIN.
    Close(&'static [u8]),
}

/// Lets an answer end the connection that it travels on.
#[derive(Debug, Default)]
pub(super) struct ConnectionControl {
    end: OnceLock<ConnectionEnd>,
    asked: Notify,
}

impl ConnectionControl {
    /// Asks for the connection to end. The first who asks decides how.
    pub(super) fn end(&self, how: ConnectionEnd) {
        self.end.get_or_init(|| how);
        self.asked.notify_one();
    }

    /// Waits until an end is asked for.
    pub(super) async fn end_asked(&self) {
        self.asked.notified().await;
    }
}

/// A TCP stream that ends as its control says when it is dropped.
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
        // What cannot be done here leaves the peer with a plain close: still no answer.
        match self.control.end.get() {
            Some(ConnectionEnd::Reset) => {
                let _ = self.stream.set_zero_linger();
            }
            Some(ConnectionEnd::Close(last_words)) => {
                let _ = self.stream.try_write(last_words);
            }
            None => {}
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
