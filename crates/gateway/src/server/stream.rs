//! A client's socket, which tells its connection's [`Activity`] what passes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::activity::Activity;

/// A socket under watch.
#[derive(Debug)]
pub(super) struct ClientStream {
    /// Taken when this is dropped.
    socket: Option<TcpStream>,
    activity: Arc<Activity>,
}

impl ClientStream {
    /// Watches a socket.
    pub(super) fn new(socket: TcpStream, activity: Arc<Activity>) -> Self {
        Self {
            socket: Some(socket),
            activity,
        }
    }

    fn socket(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        let socket = self.socket.as_mut().map(Pin::new);
        socket.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn note_write(&self, polled: &Poll<io::Result<usize>>, offered: usize) {
        match polled {
            Poll::Ready(Ok(bytes)) => self.activity.note_written(*bytes, offered),
            Poll::Pending => self.activity.note_blocked(),
            Poll::Ready(Err(_)) => {}
        }
    }
}

impl Drop for ClientStream {
    fn drop(&mut self) {
        if let Some(socket) = self.socket.take() {
            self.activity.give_back(socket);
        }
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(this.socket()?.poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            this.activity.note_read();
        } else if this.activity.may_half_close() && buffer.remaining() > 0 {
            // The client has ended its side, as it said it would, and waits for its answer. Nothing more
            // can come, so nothing needs to wake anybody.
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = this.socket()?.poll_write(cx, bytes);
        this.note_write(&polled, bytes.len());
        polled
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = this.socket()?.poll_write_vectored(cx, slices);
        this.note_write(&polled, slices.iter().map(|slice| slice.len()).sum());
        polled
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().socket()?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().socket()?.poll_shutdown(cx)
    }
}
