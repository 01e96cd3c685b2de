//! A client that writes bytes as no HTTP library would.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::client::Client;
use super::wait::PATIENCE;

/// A connection of its own to the gateway.
#[derive(Debug)]
pub(crate) struct Raw {
    stream: TcpStream,
    received: Vec<u8>,
}

/// An answer as it was read from a connection.
#[derive(Debug)]
pub(crate) struct RawAnswer {
    pub(crate) status: u16,
    /// Status line and headers, in lower case.
    head: String,
    pub(crate) body: String,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The gateway closed it.
    Closed,
    /// The gateway reset it.
    Reset,
}

/// `POST /v1/messages` with these further header lines and this body; nothing is added but `Host`.
pub(crate) fn post(headers: &str, body: &str) -> Vec<u8> {
    format!("POST /v1/messages HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n{body}").into_bytes()
}

/// The same with the length of its body.
pub(crate) fn post_whole(body: &Value) -> Vec<u8> {
    let body = body.to_string();
    post(&format!("content-length: {}\r\n", body.len()), &body)
}

impl Raw {
    /// Connects.
    pub(crate) async fn open(client: &Client) -> Self {
        Self::of(TcpStream::connect(address(client)).await.unwrap())
    }

    /// Connects with a receive buffer of a few kilobytes, so that little is enough to fill it.
    pub(crate) async fn open_narrow(client: &Client) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let address = address(client).parse().unwrap();
        Self::of(socket.connect(address).await.unwrap())
    }

    fn of(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            received: Vec::new(),
        }
    }

    /// Connects and sends.
    pub(crate) async fn sent(client: &Client, bytes: &[u8]) -> Self {
        let mut raw = Self::open(client).await;
        raw.send(bytes).await;
        raw
    }

    /// Sends; a gateway that has closed already is no failure.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let _ = timeout(PATIENCE, self.stream.write_all(bytes))
            .await
            .expect("the gateway takes nothing");
    }

    /// Sends as much as the connection takes at once; answers how much that was.
    pub(crate) fn try_send(&self, bytes: &[u8]) -> usize {
        self.stream.try_write(bytes).unwrap_or(0)
    }

    /// Ends this side; the other may go on.
    pub(crate) async fn end(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// The next answer, which must have a length or be chunked.
    pub(crate) async fn answer(&mut self) -> RawAnswer {
        loop {
            if let Some((answer, length)) = RawAnswer::parse(&self.received) {
                self.received.drain(..length);
                return answer;
            }
            let more = self.read().await.expect("the connection was reset");
            let so_far = String::from_utf8_lossy(&self.received);
            assert!(more > 0, "the connection was closed after {so_far:?}");
        }
    }

    /// Whether an answer comes, rather than the connection's end.
    pub(crate) async fn answered(&mut self) -> bool {
        while RawAnswer::parse(&self.received).is_none() {
            if !matches!(self.read().await, Ok(1..)) {
                return false;
            }
        }
        true
    }

    /// Everything until the connection ends, which it must.
    pub(crate) async fn rest(&mut self) -> (Vec<u8>, End) {
        loop {
            match self.read().await {
                Ok(0) => return (std::mem::take(&mut self.received), End::Closed),
                Ok(_) => {}
                Err(_) => return (std::mem::take(&mut self.received), End::Reset),
            }
        }
    }

    /// The statuses of all answers until the connection ends, which it must.
    pub(crate) async fn statuses(&mut self) -> Vec<u16> {
        let (bytes, _) = self.rest().await;
        let mut rest = bytes.as_slice();
        let answers = std::iter::from_fn(|| {
            let (answer, length) = RawAnswer::parse(rest)?;
            rest = &rest[length..];
            Some(answer.status)
        });
        answers.collect()
    }

    /// Fails if the connection ends, or anything comes, within this time.
    pub(crate) async fn assert_silent_for(&mut self, time: Duration) {
        let read = timeout(time, self.read()).await;
        assert!(read.is_err(), "{read:?}");
    }

    /// Exactly so many bytes.
    pub(crate) async fn exactly(&mut self, bytes: usize) -> Option<Vec<u8>> {
        while self.received.len() < bytes {
            if !matches!(self.read().await, Ok(1..)) {
                return None;
            }
        }
        Some(self.received.drain(..bytes).collect())
    }

    async fn read(&mut self) -> std::io::Result<usize> {
        timeout(PATIENCE, self.stream.read_buf(&mut self.received))
            .await
            .expect("nothing more comes")
    }
}

fn address(client: &Client) -> &str {
    client.url().strip_prefix("http://").unwrap()
}

impl RawAnswer {
    /// The answer at the start of `bytes`, and its length, once it is whole.
    fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let (body, length) = if head.contains("transfer-encoding: chunked") {
            let last = bytes[end..]
                .windows(5)
                .position(|five| five == b"0\r\n\r\n")?
                + end;
            (&bytes[end..last], last + 5)
        } else {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.trim().parse().unwrap());
            (bytes.get(end..end + length)?, end + length)
        };
        let answer = Self {
            status: head.split(' ').nth(1)?.parse().ok()?,
            body: String::from_utf8_lossy(body).into_owned(),
            head,
        };
        Some((answer, length))
    }

    /// A header's value; empty when it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut lines = self.head.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.unwrap_or_default()
    }

    /// The stable code of an error of keypool's own.
    #[track_caller]
    pub(crate) fn error_code(&self) -> String {
        let body = serde_json::from_str(&self.body).unwrap();
        super::api::Api::Messages.error_code_in(&body)
    }
}
