//! Ports at which something other than a provider is, or nothing.

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// What is at a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Port {
    /// Nobody: connections are refused.
    Closed,
    /// Connections are taken, and never a word is said.
    Silent,
    /// Half a head is said, and nothing more.
    HalfHead,
    /// A server that speaks no TLS, though its URL says so.
    NoTls,
}

/// An open port, until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenPort {
    /// The base URL that leads to it.
    pub(crate) base_url: String,
    /// Held so that nobody else gets the port.
    _socket: Option<TcpSocket>,
    task: Option<JoinHandle<()>>,
}

impl Drop for OpenPort {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl OpenPort {
    pub(crate) async fn open(port: Port) -> Self {
        match port {
            Port::Closed => {
                let socket = TcpSocket::new_v4().unwrap();
                // Bound and not listening, so that it is closed and stays so.
                socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
                let address = socket.local_addr().unwrap();
                Self {
                    base_url: format!("http://{address}"),
                    _socket: Some(socket),
                    task: None,
                }
            }
            Port::Silent => Self::serve(b"").await,
            Port::HalfHead => Self::serve(b"HTTP/1.1 200 OK\r\ncontent-type: applic").await,
            Port::NoTls => {
                let mut port = Self::serve(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
                port.base_url = port.base_url.replace("http:", "https:");
                port
            }
        }
    }

    /// Says `words` on each connection and keeps it open.
    async fn serve(words: &'static [u8]) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(say(stream, words));
            }
        });
        Self {
            base_url: format!("http://{address}"),
            _socket: None,
            task: Some(task),
        }
    }
}

async fn say(mut stream: TcpStream, words: &'static [u8]) {
    // Who is gone hears nothing.
    let _ = stream.write_all(words).await;
    std::future::pending::<()>().await;
}
