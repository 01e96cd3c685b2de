//! A provider that keeps what it was sent and answers as a test says.

pub(crate) mod frames;

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::eventually;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// An answer of the provider's.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// The rest of the body, and what it waits for.
    rest: Option<(Arc<Notify>, Vec<u8>)>,
}

/// Answers each request on a connection of its own.
pub(crate) struct Server {
    url: String,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Server {
    pub(crate) async fn start(answer: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let received = Arc::new(Mutex::new(Vec::new()));
        let (keep, answer) = (received.clone(), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                let (keep, answer) = (keep.clone(), answer.clone());
                tokio::spawn(async move {
                    let Some(request) = read(&mut connection).await else {
                        return;
                    };
                    let reply = answer(&request);
                    keep.lock().unwrap().push(request);
                    // A client that has gone is a test's own affair.
                    let _ = connection.write_all(&reply.bytes()).await;
                    if let Some((gate, rest)) = reply.rest {
                        gate.notified().await;
                        let _ = connection.write_all(&rest).await;
                    }
                    let _ = connection.shutdown().await;
                });
            }
        });
        Self { url, received }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What came so far, in order.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// The probe of a key, which must come.
    pub(crate) async fn probe(&self) -> Received {
        eventually("a key is probed", async || {
            let received = self.received();
            received.into_iter().find(|request| request.method == "GET")
        })
        .await
    }

    /// The only request that came.
    #[track_caller]
    pub(crate) fn only(&self) -> Received {
        let received = self.received();
        assert_eq!(received.len(), 1, "{received:?}");
        received[0].clone()
    }
}

impl Received {
    /// The value of a header that comes once at most; empty when it is absent.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut values = self.headers.iter().filter(|(known, _)| known == name);
        let value = values.next().map_or("", |(_, value)| value);
        assert!(values.next().is_none(), "{name} came twice");
        value
    }

    /// The headers by which clients prove who they are, as far as they came.
    pub(crate) fn credentials(&self) -> Vec<(&str, &str)> {
        const NAMES: [&str; 4] = ["authorization", "x-api-key", "x-goog-api-key", "api-key"];
        let pairs = self.headers.iter();
        let pairs = pairs.filter(|(name, _)| NAMES.contains(&name.as_str()));
        pairs.map(|(name, value)| (&**name, &**value)).collect()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Reply {
    pub(crate) fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::bare(status, body).header("content-type", content_type)
    }

    /// An answer without a header.
    pub(crate) fn bare(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            rest: None,
        }
    }

    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::new(status, "application/json", body.to_string())
    }

    /// A small chat completion.
    pub(crate) fn chat() -> Self {
        let message = json!({"role": "assistant", "content": "Hello."});
        Self::json(
            200,
            &json!({
                "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
            }),
        )
    }

    /// A small answer of Messages.
    pub(crate) fn messages() -> Self {
        Self::json(
            200,
            &json!({
                "id": "msg_1", "type": "message", "role": "assistant", "model": "claude",
                "content": [{"type": "text", "text": "Hello."}], "stop_reason": "end_turn",
                "stop_sequence": null, "usage": {"input_tokens": 9, "output_tokens": 3},
            }),
        )
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The body goes on with these bytes once the gate is opened.
    pub(crate) fn then(mut self, gate: &Arc<Notify>, rest: Vec<u8>) -> Self {
        self.rest = Some((gate.clone(), rest));
        self
    }

    /// What goes over a connection that is closed behind it.
    fn bytes(&self) -> Vec<u8> {
        self.clone().header("connection", "close").kept_alive()
    }

    /// What goes over a connection that is kept.
    pub(crate) fn kept_alive(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} Said\r\n", self.status);
        for (name, value) in &self.headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        let rest = self.rest.as_ref().map_or(0, |(_, rest)| rest.len());
        write!(head, "content-length: {}\r\n\r\n", self.body.len() + rest).unwrap();
        [head.as_bytes(), &self.body].concat()
    }
}

/// Head and body of the next request of a connection; `None` if it closes before.
pub(crate) async fn read(connection: &mut TcpStream) -> Option<Received> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 8192];
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let received = parse(&head, &bytes[end + 4..]);
            let length = received.header("content-length");
            if received.body.len() >= length.parse().unwrap_or(0) {
                return Some(received);
            }
        }
        match connection.read(&mut buffer).await {
            Ok(count @ 1..) => bytes.extend_from_slice(&buffer[..count]),
            _ => return None,
        }
    }
}

fn parse(head: &str, body: &[u8]) -> Received {
    let mut lines = head.lines();
    let mut first = lines.next().unwrap().split(' ');
    let (method, target) = (first.next().unwrap(), first.next().unwrap());
    let header = |line: &str| {
        let (name, value) = line.split_once(':').unwrap();
        (name.to_ascii_lowercase(), value.trim().to_owned())
    };
    Received {
        method: method.to_owned(),
        target: target.to_owned(),
        headers: lines.map(header).collect(),
        body: body.to_vec(),
    }
}
